//! The port to a cloud: what Moat asks of it, with the contract.
//!
//! Two implementations ship: `moat-aws`, and `moat-sim`, a VPC in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::firewall::{ForeignGroupId, GroupKey, GroupNumber, Rule, State};
use crate::inventory::{Interface, InterfaceId};
use crate::net::Prefix;
use crate::policy::{Direction, Word};
use crate::settings::Quotas;

/// A cloud that holds groups and interfaces.
pub trait Provider {
    /// What the cloud can express and how much of it.
    ///
    /// Guarantees: reads only; the quotas are the account's where the cloud tells them. Errors: `Throttled`,
    /// `Unauthorized`, `Transient`.
    fn capabilities(&mut self) -> impl Future<Output = Result<Capabilities, ProviderError>> + Send;

    /// One consistent picture of every group of ours, every interface of `scope`, and every group that one of these wears.
    ///
    /// Guarantees: reads only; all pages of all answers, or an error. Caveats: a picture can lag behind `execute`; a
    /// step that depends on another is executed once a picture shows the other's effect. Errors: `Throttled`,
    /// `Unauthorized`, `Transient`.
    fn observe(
        &mut self,
        scope: &Scope,
    ) -> impl Future<Output = Result<Observed, ProviderError>> + Send;

    /// Performs one step, whole or not at all, as far as the answer tells.
    ///
    /// Guarantees: after `Ok` the cloud has taken the step; a later picture shows it. After `Transient` it may or may not have.
    /// Nothing without our tag is changed, except which groups an exclusive interface of the inventory wears. Errors: all of [`ProviderError`].
    fn execute(&mut self, step: &Step) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// Lets time pass: between a refusal that says "later" and the next try, or until a picture shows a step.
    ///
    /// Guarantees: reads and changes nothing. The clock is the provider's own: simulated, or the runtime's.
    fn wait(&mut self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// What a cloud can express and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The limits of the account.
    pub quotas: Quotas,
    /// The address blocks of the VPC.
    pub vpc: Vec<Prefix>,
}

/// What a picture is to show besides our groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The interfaces of the inventory.
    pub interfaces: BTreeSet<InterfaceId>,
}

/// A picture of the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Groups, with their rules, and the interfaces, with the groups they wear.
    pub state: State,
    /// The cloud's id of each rule in a group of ours.
    pub rule_ids: BTreeMap<(GroupNumber, Rule), RuleId>,
    /// Rules in groups of ours that someone else keeps there and that stay (DESIGN §6.10).
    pub foreign_rules: BTreeSet<(GroupNumber, Rule)>,
    /// Each interface of the scope that exists, with the groups of others that it wears or is recorded to have worn.
    pub interfaces: BTreeMap<InterfaceId, Interface>,
}

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
}

/// Why a call failed, by what the caller must do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// Wait, then try again.
    #[error("the cloud throttles `{action}`")]
    Throttled {
        /// The cloud's name of the call.
        action: String,
        /// How long to wait, if the cloud said.
        retry_after: Option<Duration>,
    },
    /// Wait for a picture that shows it.
    #[error("`{subject}` is not visible yet")]
    NotYetVisible {
        /// The group, rule or interface.
        subject: String,
    },
    /// Observe again and plan anew: it is there already.
    #[error("`{subject}` exists already")]
    Duplicate {
        /// The group or rule.
        subject: String,
    },
    /// Observe again and plan anew: it is gone.
    #[error("`{subject}` does not exist")]
    NotFound {
        /// The group, rule or interface.
        subject: String,
    },
    /// Plan within the limit.
    #[error("the quota `{quota}` of {limit} is reached for `{subject}`")]
    Quota {
        /// Which limit.
        quota: QuotaKind,
        /// Its value.
        limit: usize,
        /// What would have passed it.
        subject: String,
    },
    /// Wait until nobody uses it.
    #[error("`{subject}` is in use")]
    InUse {
        /// The group.
        subject: String,
    },
    /// Give the role this permission.
    #[error("not allowed to call `{action}`")]
    Unauthorized {
        /// The cloud's name of the call.
        action: String,
    },
    /// A fault of ours: the step itself is wrong.
    #[error("the cloud refuses the step as invalid: {message}")]
    Invalid {
        /// What the cloud said.
        message: String,
    },
    /// Observe again: the call may have been taken or not.
    #[error("`{action}` got no answer")]
    Transient {
        /// The cloud's name of the call.
        action: String,
    },
}

/// The limits that a call can run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QuotaKind {
    /// [`Quotas::rules_per_group`].
    RulesPerGroup,
    /// [`Quotas::groups_per_interface`].
    GroupsPerInterface,
    /// [`Quotas::groups`].
    Groups,
}

impl std::fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RulesPerGroup => "rules per group",
            Self::GroupsPerInterface => "groups per interface",
            Self::Groups => "groups",
        })
    }
}
