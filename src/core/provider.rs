//! The port to a cloud: what Moat asks of it, with the contract.
//!
//! Two implementations ship: `moat-aws`, and `moat-sim`, a VPC in memory.

mod acl;
mod error;
mod meter;
mod renew;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use acl::{AclStep, HandedOver};
pub use error::{ProviderError, QuotaKind, Remedy};
pub use meter::{ANSWERED, Meter, Metered, Tokens, UNANSWERED, UNLISTED};

use crate::firewall::{
    AclName, ForeignAclId, ForeignGroupId, GroupKey, GroupNumber, Named, Naming, Rule, State,
};
use crate::inventory::{Interface, InterfaceId, Inventory, Subnet, SubnetId};
use crate::net::Prefix;
use crate::policy::{Direction, Word};
use crate::settings::Quotas;

/// A cloud that holds groups and interfaces.
///
/// A caller observes, plans from the picture, and [executes](crate::drive) the plan:
///
/// 1. [`observe`](Provider::observe) gives a picture; everything in it bears our tags or is worn by an interface of the scope.
/// 2. The steps of a stage are [executed](Provider::execute). What is named in a step is what the last picture showed, or
///    what an earlier `execute` made since; the provider keeps the cloud's own ids for both.
/// 3. The caller observes again, and goes on once the picture [shows](Observed::shows) every step of the stage.
///
/// Guarantees of the whole: a process may be killed before or after any call inside any method; a later one that observes and
/// plans again comes to the same end. Nothing without our tags is ever changed, except which groups an exclusive interface of
/// the picture wears. Assumptions: one process at a time executes steps for a cluster; others may change anything at any
/// moment. No two methods run at once on one provider.
pub trait Provider {
    /// What the cloud can express and how much of it.
    ///
    /// * Guarantees: reads only. The quotas are the account's where the cloud tells them. They are read once in a process.
    /// * Caveats: where the cloud does not tell a quota, or the role may not ask, it is the configured one, else the cloud's
    ///   documented default, and the answer says so. The groups that others use up are not counted.
    /// * Errors: `Throttled`, `Unauthorized`, `Credentials`, `Transient`.
    fn capabilities(&mut self) -> impl Future<Output = Result<Capabilities, ProviderError>> + Send;

    /// One consistent picture of every group of ours, every interface of `scope`, every one that bears an address of it, every
    /// other one that wears a group of ours, and every group that one of these wears or is recorded to have worn.
    ///
    /// * Guarantees: reads only. All pages of all answers, or an error. Interfaces of the scope that are not there are left out.
    ///   Ours is what bears both of our tags, cluster and number, whatever its name. The rules are in canonical form: one
    ///   for each peer, host bits masked, tcp, udp, icmp and icmpv6 by their words.
    /// * Caveats: a picture can lag behind `execute`, for minutes. An absence soon after a step proves nothing.
    /// * Errors: `Throttled`, `Unauthorized`, `Credentials`, `Transient`; the caller keeps its last picture.
    fn observe(
        &mut self,
        scope: &Scope,
    ) -> impl Future<Output = Result<Arc<Observed>, ProviderError>> + Send;

    /// The last picture, with what some steps touched read anew; a whole one where there is none, or where that costs no more.
    ///
    /// * Guarantees: if nobody else changed anything, it is the picture that [`Self::observe`] gives. What others did elsewhere
    ///   shows in the next whole one; so does it that an interface or an address left the scope.
    /// * Assumptions: what the scope asks for beyond that of the last picture is among what was touched, and its defaults are
    ///   the same.
    /// * Caveats and errors: as for [`Self::observe`]. A provider may change the last picture in place: whoever let go of it before
    ///   spares a copy of the whole.
    fn observe_again(
        &mut self,
        scope: &Scope,
        _touched: &Touched,
    ) -> impl Future<Output = Result<Arc<Observed>, ProviderError>> + Send {
        self.observe(scope)
    }

    /// Performs steps of one stage, in any order or side by side. One answer for each, in their order; each is taken whole or
    /// not at all, as far as its answer tells, whatever becomes of the others.
    ///
    /// * Guarantees: after `Ok` the cloud has taken the step, and a later picture shows it, unless someone undid it. After
    ///   `Transient` the cloud has taken it or not; after every other error it has not. A step that consists of several calls
    ///   is resumed when it is executed again by the same process. The record of an interface's prior groups is written
    ///   before its groups change, and removed after.
    /// * Assumptions: the last picture is one that the steps were planned from, or later. None of them needs another one. Each
    ///   keeps its own terms: see [`Step`].
    /// * Caveats: an effect can take moments to be enforced, and tracked connections outlive it. `SetGroups` compares the
    ///   interface with the last picture first; what happens between that reading and the writing is overwritten. Refused
    ///   after that, it can leave a record behind, which counts for nothing.
    /// * Errors: each says what the caller must do, see [`ProviderError`]. The provider itself repeats nothing whose outcome is
    ///   unknown. It need not try a step where the answer to another one shows that the cloud throttles: it answers the same.
    fn execute(
        &mut self,
        steps: &[&Step],
    ) -> impl Future<Output = Vec<Result<(), ProviderError>>> + Send;

    /// Gives the pods of an inventory their addresses and interfaces, where it is this provider that decides about them: a VPC in
    /// memory does. In a real cloud others do, and a picture tells.
    ///
    /// # Errors
    /// Why a pod has no place, and what to do.
    fn place(&mut self, _inventory: &mut Inventory) -> Result<(), String> {
        Ok(())
    }

    /// The cloud's own id of a group of ours, as the last picture showed it or a step made it: for who names it elsewhere.
    fn group_id(&self, _number: GroupNumber) -> Option<Word> {
        None
    }

    /// Lets time pass: between a refusal that says "later" and the next try, or until a picture shows a step.
    ///
    /// * Guarantees: reads and changes nothing; never fails. The clock is the provider's own: simulated, or the runtime's.
    fn wait(&mut self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Tells a meter of every request from here on.
    fn meter(&mut self, meter: Arc<dyn Meter>);
}

/// What a cloud can express and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The limits of the account.
    pub quotas: Quotas,
    /// Those of them that are assumed, each with the reason why the account does not tell.
    pub assumed: BTreeMap<QuotaKind, String>,
    /// The address blocks of the VPC.
    pub vpc: Vec<Prefix>,
}

/// What a picture is to show besides our groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The interfaces of the inventory. Others that wear a group of ours, because their pod is gone or nobody names it any
    /// more, are shown unasked: they are to be given back.
    pub interfaces: BTreeSet<InterfaceId>,
    /// The addresses of pods whose interface nobody names: the cloud tells which one bears them.
    pub addresses: BTreeSet<IpAddr>,
    /// The groups of others that an interface gets back that wears groups of ours alone, where no record tells what it wore before:
    /// it was made so. They are shown if they exist.
    pub defaults: BTreeSet<ForeignGroupId>,
    /// The subnets that the configuration hands over, by the ACL that is to guard them. One that several name is the first's.
    pub acls: BTreeMap<AclName, HandedOver>,
}

/// Groups of ours and interfaces of which something may have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Groups of ours.
    pub groups: BTreeSet<GroupNumber>,
    /// Interfaces.
    pub interfaces: BTreeSet<InterfaceId>,
    /// Whether something may have changed of network ACLs, or of what they guard: few enough to be read all together.
    pub acls: bool,
}

/// A picture of the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Groups, with all of their rules, and the interfaces, with the groups they wear; every network ACL of ours, those that
    /// guard subnets of the scope or did before ours, and the subnets that all of these guard.
    pub state: State,
    /// The cloud's id of each rule in a group of ours.
    pub rule_ids: BTreeMap<(GroupNumber, Rule), RuleId>,
    /// Numbers that no group can be made with, and the group that bears the name of each: it lacks our tags, or they tell
    /// another number. Someone else made it, or took the tags off one of ours.
    pub taken: BTreeMap<GroupNumber, GroupKey>,
    /// Those rules of `state` that someone else keeps in groups of ours and that stay (DESIGN §6.10).
    pub foreign_rules: BTreeSet<(GroupNumber, Rule)>,
    /// Those rules of `state` in groups of ours that do not bear our tag: someone else added them, or took the tag off.
    pub unmarked: BTreeSet<(GroupNumber, Rule)>,
    /// Rules in groups of ours that a [`Rule`] cannot say, such as one that names a list of addresses, as the cloud spells
    /// them. `state` shows each by rules that let through no less, with its id in `rule_ids`, so that it is seen and can be
    /// revoked.
    pub unreadable: BTreeMap<(GroupNumber, RuleId), String>,
    /// Each interface of the scope that exists, each that bears an address of it, and each other one that wears a group of
    /// ours. Its prior groups are the groups of others that it wears and, while it wears a group of ours, those on its record
    /// that still exist: a record that a killed process left behind counts for nothing. If it wears groups of ours and there are
    /// none, its prior groups are the [defaults](Scope::defaults) that exist. With a record, a group that bears a name
    /// of ours counts as ours: someone took its tags off.
    pub interfaces: BTreeMap<InterfaceId, Interface>,
    /// The interface that bears each address of the scope, as one of its own or in a prefix delegated to it.
    pub bearers: BTreeMap<IpAddr, InterfaceId>,
    /// The record of each of these interfaces that has one.
    pub records: BTreeMap<InterfaceId, BTreeSet<ForeignGroupId>>,
    /// The subnets of the scope that exist. Prior is the ACL of others that guards one or, where ours does, the one recorded on
    /// ours; the VPC's default ACL where that is gone.
    pub subnets: BTreeMap<SubnetId, Subnet>,
    /// What is recorded on each ACL of ours, whether it guards anything: what its subnets get back, as [`Self::subnets`] has it.
    pub acl_priors: BTreeMap<AclName, ForeignAclId>,
    /// The other subnets that an ACL of ours guards, with what they get back.
    pub former: BTreeMap<SubnetId, ForeignAclId>,
}

/// The tag that names the cluster, on everything that Moat makes or marks.
pub const CLUSTER_TAG: &str = "moat.dev/cluster";
/// The tag that holds a group's number.
pub const NUMBER_TAG: &str = "moat.dev/number";

/// The cloud's id of a rule, such as `sgr-0123456789abcdef0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub Word);

/// One call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the group of this number, without any rule: where a cloud adds default rules, they are removed before this is done.
    CreateGroup(GroupNumber),
    /// Add rules of one direction to a group of ours; at most one such step for a group and direction in a stage.
    Authorize {
        /// The group.
        group: GroupNumber,
        /// The direction of all of them.
        direction: Direction,
        /// The rules, each with the description that says whom it serves. Never empty; none of them is there.
        rules: BTreeMap<Rule, String>,
    },
    /// Remove rules of one direction from a group of ours; at most one such step for a group and direction in a stage.
    Revoke {
        /// The group.
        group: GroupNumber,
        /// The direction of all of them.
        direction: Direction,
        /// The rules. Never empty; the provider's last picture shows all of them, and tells their ids.
        rules: BTreeSet<Rule>,
    },
    /// Let an exclusive interface wear exactly these groups; never none.
    SetGroups {
        /// The interface.
        interface: InterfaceId,
        /// The groups.
        groups: BTreeSet<GroupKey>,
        /// The groups of others to record on the interface, so that they can be put back; an empty set removes the record.
        record: BTreeSet<ForeignGroupId>,
    },
    /// Delete a group of ours that nobody wears and no rule of another group names.
    DeleteGroup(GroupNumber),
    /// Change a network ACL of ours, or what guards a subnet.
    Acl(AclStep),
}

/// Whether a rule's description is one that the AWS load balancer controller gives its own rules: they stay (DESIGN §6.10).
#[must_use]
pub fn is_kept(description: &str) -> bool {
    description.contains("elbv2.k8s.aws/targetGroupBinding")
}

/// The prior groups of an interface, as [`Observed::interfaces`] has them: from the groups that it wears, those on its record that
/// exist, [`Observed::taken`], and those of [`Scope::defaults`] that exist.
#[must_use]
pub fn prior(
    worn: &BTreeSet<GroupKey>,
    record: &BTreeSet<ForeignGroupId>,
    taken: &BTreeMap<GroupNumber, GroupKey>,
    defaults: &BTreeSet<ForeignGroupId>,
) -> BTreeSet<ForeignGroupId> {
    let bereft = |key| !record.is_empty() && taken.values().any(|taken| taken == key);
    let (ours, others): (Vec<&GroupKey>, Vec<&GroupKey>) =
        worn.iter().partition(|key| key.foreign().is_none() || bereft(*key));
    let recorded = record.iter().filter(|_| !ours.is_empty());
    let prior: BTreeSet<_> =
        others.into_iter().filter_map(GroupKey::foreign).chain(recorded).cloned().collect();
    if prior.is_empty() && !ours.is_empty() { defaults.clone() } else { prior }
}

impl Observed {
    /// Whether the picture shows the effect of a step. What is gone altogether has nothing left to revoke or to wear.
    #[must_use]
    pub fn shows(&self, step: &Step) -> bool {
        let rules = |group: &GroupNumber| self.state.groups.get(&GroupKey::Ours(*group));
        match step {
            // A cloud that adds default rules to a new group may show it with them for a while.
            Step::CreateGroup(group) => rules(group).is_some_and(BTreeSet::is_empty),
            Step::Authorize { group, rules: added, .. } => {
                rules(group).is_some_and(|there| added.keys().all(|rule| there.contains(rule)))
            }
            Step::Revoke { group, rules: removed, .. } => {
                rules(group).is_none_or(|there| there.is_disjoint(removed))
            }
            Step::SetGroups { interface, groups, record } => {
                let none = BTreeSet::new();
                let recorded = self.records.get(interface).unwrap_or(&none) == record;
                self.state.interfaces.get(interface).is_none_or(|worn| worn == groups && recorded)
            }
            Step::DeleteGroup(group) => rules(group).is_none(),
            Step::Acl(step) => step.shows(&self.state),
        }
    }
}

impl Naming for Step {
    fn write(&self, cluster: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        match self {
            Self::CreateGroup(group) => write!(f, "create group {}", Named(group, cluster)),
            Self::Authorize { group, direction, rules } => {
                let (count, group) = (rules.len(), Named(group, cluster));
                write!(f, "authorize {count} {direction} rule{} in {group}", plural(count))
            }
            Self::Revoke { group, direction, rules } => {
                let (count, group) = (rules.len(), Named(group, cluster));
                write!(f, "revoke {count} {direction} rule{} from {group}", plural(count))
            }
            Self::SetGroups { interface, groups, .. } => {
                let groups: Vec<String> =
                    groups.iter().map(|group| Named(group, cluster).to_string()).collect();
                write!(f, "let {} wear {}", interface.0, groups.join(", "))
            }
            Self::DeleteGroup(group) => write!(f, "delete group {}", Named(group, cluster)),
            Self::Acl(step) => write!(f, "{step}"),
        }
    }
}

// ----------------------------------------------------------------------------------------------- Touched

impl Touched {
    /// What these steps change.
    #[must_use]
    pub fn by<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Self {
        let mut touched = Self::default();
        for step in steps {
            match step {
                Step::CreateGroup(group)
                | Step::Authorize { group, .. }
                | Step::Revoke { group, .. }
                | Step::DeleteGroup(group) => drop(touched.groups.insert(*group)),
                Step::SetGroups { interface, .. } => {
                    touched.interfaces.insert(interface.clone());
                }
                Step::Acl(_) => touched.acls = true,
            }
        }
        touched
    }
}
