//! What the log says of each change of the cloud: the step, and the policies that it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use moat_core::compile::Desired;
use moat_core::drive::Attempt;
use moat_core::firewall::{AclName, Entry, GroupKey, GroupNumber, Naming};
use moat_core::plan::Plan;
use moat_core::policy::{Direction, ObjectRef};
use moat_core::provider::{AclStep, Step};
use tracing::{info, warn};

/// The policies that each group of ours serves or served, and each entry of our network ACLs, as one who looks at a change knows
/// them.
#[derive(Debug, Default)]
pub(crate) struct Records {
    serves: BTreeMap<GroupNumber, BTreeSet<ObjectRef>>,
    served: BTreeMap<GroupNumber, BTreeSet<ObjectRef>>,
    denies: Denies,
    denied: Denies,
}

/// As [`Desired::denies`].
type Denies = BTreeMap<(AclName, Direction, Entry), Arc<[ObjectRef]>>;

/// The policies that one record names at most.
const MOST: usize = 10;

impl Records {
    /// A plan is about to be carried out.
    pub(crate) fn planned(&mut self, desired: &Desired, plan: &Plan) {
        let mut serves: BTreeMap<GroupNumber, BTreeSet<ObjectRef>> = BTreeMap::new();
        for ((group, _), reason) in &desired.reasons {
            let number = plan.numbers.get(group).unwrap_or(group);
            serves.entry(*number).or_default().extend(reason.serves.iter().cloned());
        }
        self.served = std::mem::replace(&mut self.serves, serves);
        self.denied = std::mem::replace(&mut self.denies, desired.denies.clone());
    }

    /// Says what became of a step.
    pub(crate) fn tell(&self, attempt: &Attempt<'_>, cluster: &str) {
        let Attempt { purpose, step, answer } = attempt;
        // A record that nobody reads is not put together: its fields stand within the macro.
        match answer {
            Ok(()) => info!(
                ?purpose,
                step = %step.named(cluster),
                policies = %self.policies(step),
                "done"
            ),
            Err(error) => warn!(
                ?purpose,
                step = %step.named(cluster),
                policies = %self.policies(step),
                %error,
                "refused"
            ),
        }
    }

    /// The policies that a step is about, separated by commas.
    fn policies(&self, step: &Step) -> String {
        let of = |group: &GroupNumber| {
            let both = [&self.serves, &self.served].map(|known| known.get(group));
            both.into_iter().flatten().flatten().map(ToString::to_string)
        };
        let named: BTreeSet<String> = match step {
            // What each rule is described with says it exactly.
            Step::Authorize { rules, .. } => rules.values().cloned().collect(),
            Step::CreateGroup(group) | Step::Revoke { group, .. } | Step::DeleteGroup(group) => {
                of(group).collect()
            }
            Step::SetGroups { groups, .. } => {
                let ours = groups.iter().filter_map(|key| match key {
                    GroupKey::Ours(number) => Some(number),
                    GroupKey::Foreign(_) => None,
                });
                ours.flat_map(of).collect()
            }
            Step::Acl(step) => self.of_acl(step).map(ToString::to_string).collect(),
        };
        let more = named.len().saturating_sub(MOST);
        let mut text = named.into_iter().take(MOST).collect::<Vec<_>>().join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }

    /// The policies that an entry serves or served, or those of a whole ACL.
    fn of_acl(&self, step: &AclStep) -> impl Iterator<Item = &ObjectRef> {
        let (acl, put) = match step {
            AclStep::Put { acl, key, entry } => (Some(acl), Some((key.direction, *entry))),
            AclStep::Create { acl, .. } | AclStep::Remove { acl, .. } | AclStep::Delete(acl) => {
                (Some(acl), None)
            }
            AclStep::Guard { by, .. } => (by.ours(), None),
        };
        let acl = acl.map(AclName::configured);
        let entries = self.denies.iter().chain(&self.denied);
        let entries = entries.filter(move |((of, direction, entry), _)| {
            acl.as_ref() == Some(of) && put.is_none_or(|put| put == (*direction, *entry))
        });
        entries.flat_map(|(_, serves)| serves.iter())
    }
}

#[cfg(test)]
mod tests {
    use moat_core::compile::RuleReason;
    use moat_core::firewall::{AclKey, EntryKey, ForeignAclId, Peer, Rule};
    use moat_core::inventory::SubnetId;
    use moat_core::net::Shape;
    use moat_core::policy::Kind;

    use super::*;

    fn number(number: u32) -> GroupNumber {
        GroupNumber(number.try_into().expect("it is not zero"))
    }

    fn policy(name: &str) -> ObjectRef {
        ObjectRef { kind: Kind::NetworkPolicy, namespace: Some("shop".into()), name: name.into() }
    }

    #[test]
    fn a_step_names_the_policies_that_its_group_serves_and_served() {
        let rule = Rule {
            direction: Direction::Ingress,
            peer: Peer::Group(GroupKey::Ours(number(1))),
            shape: Shape::All,
        };
        let desired = |name: &str| Desired {
            reasons: BTreeMap::from([(
                (number(1), rule.clone()),
                RuleReason { serves: Arc::new([policy(name)]), witness: None },
            )]),
            ..Desired::default()
        };
        // The group bears another number in the cloud.
        let plan = Plan { numbers: BTreeMap::from([(number(1), number(7))]), ..Plan::default() };
        let mut records = Records::default();
        records.planned(&desired("old"), &plan);
        records.planned(&desired("new"), &plan);
        let both = "NetworkPolicy shop/new, NetworkPolicy shop/old";
        assert_eq!(records.policies(&Step::DeleteGroup(number(7))), both);
        assert_eq!(records.policies(&Step::DeleteGroup(number(1))), "");
        let names: Vec<String> =
            (0..12).map(|number| format!("NetworkPolicy shop/{number:02}")).collect();
        let rules = names.iter().zip([80_u16, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91]);
        let rules = rules.map(|(name, port)| {
            let peer = Peer::Group(GroupKey::Ours(number(port.into())));
            (Rule { peer, ..rule.clone() }, name.clone())
        });
        let step = Step::Authorize {
            group: number(7),
            direction: Direction::Ingress,
            rules: rules.collect(),
        };
        assert!(records.policies(&step).ends_with("shop/08, NetworkPolicy shop/09 and 2 more"));
    }

    #[test]
    fn a_step_of_a_network_acl_names_the_policies_of_its_entry_or_of_all() {
        let acl = |name: &str| AclName(name.into());
        let entry = |text: &str| -> Entry { text.parse().expect("an entry") };
        let desired = |of: &str, text: &str, name: &str| Desired {
            denies: [((acl(of), Direction::Egress, entry(text)), [policy(name)].into())].into(),
            ..Desired::default()
        };
        let mut records = Records::default();
        records.planned(&desired("pods", "deny 10.0.0.0/8 all", "old"), &Plan::default());
        records.planned(&desired("pods", "deny 10.9.0.0/16 all", "new"), &Plan::default());
        let key = |number: u16| EntryKey {
            direction: Direction::Egress,
            number: number.try_into().expect("a number"),
        };
        let put = |text: &str| AclStep::Put { acl: acl("pods"), key: key(1), entry: entry(text) };
        let told = |step: AclStep| records.policies(&Step::Acl(step));
        assert_eq!(told(put("deny 10.9.0.0/16 all")), "NetworkPolicy shop/new");
        assert_eq!(told(put("allow 0.0.0.0/0 all")), "");
        let both = "NetworkPolicy shop/new, NetworkPolicy shop/old";
        assert_eq!(told(AclStep::Remove { acl: acl("pods"), key: key(2) }), both);
        // An ACL that takes the place of another one for a while.
        assert_eq!(told(AclStep::Delete(acl("pods+1"))), both);
        assert_eq!(told(AclStep::Delete(acl("others"))), "");
        let guard = |by| AclStep::Guard { subnet: SubnetId("subnet-1".into()), by };
        assert_eq!(told(guard(AclKey::Ours(acl("pods")))), both);
        assert_eq!(told(guard(AclKey::Foreign(ForeignAclId("acl-1".into())))), "");
    }
}
