//! What a plan costs, and what it could cost at least.

use std::collections::{BTreeMap, BTreeSet};

use super::Plan;
use crate::firewall::{GroupNumber, Rule};
use crate::inventory::InterfaceId;
use crate::policy::Direction;
use crate::provider::Step;

/// A new group is created, and the rule that EC2 gives it is revoked.
const CALLS_OF_A_CREATION: usize = 2;

impl Plan {
    /// The calls that change something.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.steps().map(calls).sum()
    }

    /// The fewest calls that any way from the plan's start to its target takes, the band aside: for each group and direction
    /// one if rules come and one if rules go, for each new group its creation, for each interface one.
    #[must_use]
    pub fn minimum_calls(&self) -> usize {
        let mut rules: BTreeMap<(GroupNumber, Direction, &Rule), Vec<bool>> = BTreeMap::new();
        let mut groups: BTreeMap<GroupNumber, Vec<&Step>> = BTreeMap::new();
        let mut interfaces: BTreeSet<&InterfaceId> = BTreeSet::new();
        for step in self.steps() {
            match step {
                Step::CreateGroup(group) | Step::DeleteGroup(group) => {
                    groups.entry(*group).or_default().push(step);
                }
                Step::Authorize { group, direction, rules: added, .. } => {
                    for rule in added.keys() {
                        rules.entry((*group, *direction, rule)).or_default().push(true);
                    }
                }
                Step::Revoke { group, direction, rules: removed } => {
                    for rule in removed {
                        rules.entry((*group, *direction, rule)).or_default().push(false);
                    }
                }
                Step::SetGroups { interface, .. } => {
                    interfaces.insert(interface);
                }
                Step::Acl(_) => {}
            }
        }
        // A group that goes takes its rules along; one that comes and goes was never needed.
        let deleted = |group: &GroupNumber| {
            let steps = groups.get(group).into_iter().flatten();
            steps.into_iter().any(|step| matches!(step, Step::DeleteGroup(_)))
        };
        // What comes and goes, or goes and comes, is no change.
        let changes: BTreeSet<(GroupNumber, Direction, bool)> = rules
            .iter()
            .filter(|((group, _, _), _)| !deleted(group))
            .filter(|(_, ways)| ways.len() % 2 == 1)
            .filter_map(|((group, direction, _), ways)| Some((*group, *direction, *ways.last()?)))
            .collect();
        let lasting = groups.values().filter(|steps| steps.len() == 1);
        let lasting: usize = lasting.flatten().map(|step| calls(step)).sum();
        changes.len() + lasting + interfaces.len()
    }

    /// All steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> + '_ {
        self.stages.iter().flat_map(|stage| &stage.steps)
    }
}

const fn calls(step: &Step) -> usize {
    match step {
        Step::CreateGroup(_) => CALLS_OF_A_CREATION,
        Step::Authorize { .. }
        | Step::Revoke { .. }
        | Step::SetGroups { .. }
        | Step::DeleteGroup(_)
        | Step::Acl(_) => 1,
    }
}
