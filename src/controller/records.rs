//! What the log says of each change of the cloud: the step, and the policies that it serves.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::compile::Desired;
use moat_core::drive::Attempt;
use moat_core::firewall::{GroupKey, GroupNumber, Naming};
use moat_core::plan::Plan;
use moat_core::policy::ObjectRef;
use moat_core::provider::Step;
use tracing::{info, warn};

/// The policies that each group of ours serves or served, as one who looks at a change knows them.
#[derive(Debug, Default)]
pub(crate) struct Records {
    serves: BTreeMap<GroupNumber, BTreeSet<ObjectRef>>,
    served: BTreeMap<GroupNumber, BTreeSet<ObjectRef>>,
}

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
            Step::Acl(_) => BTreeSet::new(),
        };
        let more = named.len().saturating_sub(MOST);
        let mut text = named.into_iter().take(MOST).collect::<Vec<_>>().join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use moat_core::compile::RuleReason;
    use moat_core::firewall::{Peer, Rule};
    use moat_core::net::Shape;
    use moat_core::policy::{Direction, Kind};

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
}
