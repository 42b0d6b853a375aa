//! What a plan costs, and what it could cost at least.

use std::collections::{BTreeMap, BTreeSet};

use super::Plan;
use crate::firewall::{AclName, EntryKey, GroupNumber, Rule};
use crate::inventory::InterfaceId;
use crate::policy::Direction;
use crate::provider::{AclStep, Step};

/// A new group is created, and the rule that EC2 gives it is revoked.
const CALLS_OF_A_CREATION: usize = 2;

impl Plan {
    /// The calls that change something.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.steps().map(calls).sum()
    }

    /// The fewest calls that any way from the plan's start to its target takes, the band aside: for each group and direction
    /// one if rules come and one if rules go, for each new group its creation, for each interface one; and what network ACLs take.
    #[must_use]
    pub fn minimum_calls(&self) -> usize {
        let mut rules: BTreeMap<(GroupNumber, Direction, &Rule), Vec<bool>> = BTreeMap::new();
        let mut groups: BTreeMap<GroupNumber, Vec<&Step>> = BTreeMap::new();
        let mut interfaces: BTreeSet<&InterfaceId> = BTreeSet::new();
        let mut acls = Vec::new();
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
                Step::Acl(step) => acls.push(step),
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
        changes.len() + lasting + interfaces.len() + of_acls(&acls)
    }

    /// All steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> + '_ {
        self.stages.iter().flat_map(|stage| &stage.steps)
    }
}

/// The fewest calls about network ACLs: for each that comes or goes one, for each entry that is another one at the end, and for each
/// subnet that comes to another one.
fn of_acls(steps: &[&AclStep]) -> usize {
    let mut lives: BTreeMap<&AclName, Vec<bool>> = BTreeMap::new();
    let mut entries: BTreeMap<(&AclName, EntryKey), Vec<bool>> = BTreeMap::new();
    let mut guarded = BTreeSet::new();
    for step in steps {
        match step {
            AclStep::Create { acl, .. } => lives.entry(acl).or_default().push(true),
            AclStep::Delete(acl) => lives.entry(acl).or_default().push(false),
            AclStep::Put { acl, key, .. } => entries.entry((acl, *key)).or_default().push(true),
            AclStep::Remove { acl, key } => entries.entry((acl, *key)).or_default().push(false),
            AclStep::Guard { subnet, .. } => drop(guarded.insert(subnet)),
        }
    }
    let passes = |ways: &Vec<bool>| ways.first() == Some(&true) && ways.last() == Some(&false);
    let is_gone = |acl: &AclName| lives.get(acl).is_some_and(|ways| ways.last() == Some(&false));
    let lasting: usize = lives.values().filter(|ways| !passes(ways)).map(Vec::len).sum();
    let entries = entries.iter().filter(|((acl, _), ways)| !is_gone(acl) && !passes(ways));
    lasting + entries.count() + guarded.len()
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
