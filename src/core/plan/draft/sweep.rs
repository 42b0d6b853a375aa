//! The groups that go: at the start where the quota asks for room, else at the end.

use std::collections::BTreeSet;

use super::{Draft, Slot};
use crate::budget;
use crate::firewall::{GroupKey, GroupNumber, State};
use crate::plan::Purpose;
use crate::plan::care::Stuck;
use crate::plan::goal;
use crate::plan::state::{in_use, names, ours, rules};
use crate::policy::Direction;
use crate::provider::Step;

impl Draft<'_> {
    /// Where the quota of groups is too small for old and new side by side, unworn groups go first.
    pub(super) fn sweep(&mut self) -> Result<(), Stuck> {
        let made = self.slots.get(&Slot::Create).map_or(0, Vec::len);
        let there = self.goal.part.others + ours(self.now()).count();
        if made == 0 || budget::of_groups(there + made, self.quotas).is_none() {
            return Ok(());
        }
        let (worn, _) = in_use(self.now());
        let named = goal::named_by_others(self.now(), &ours(self.now()).collect());
        let doomed = goal::doomed(self.now(), self.target);
        let idle = doomed.into_iter().filter(|it| !worn.contains(it) && !named.contains(it));
        let idle: Vec<GroupNumber> = idle.filter(|it| !self.passing.contains_key(it)).collect();
        match budget::of_groups(there + made - idle.len(), self.quotas) {
            None => {
                for group in idle {
                    self.push(Slot::Sweep, Step::DeleteGroup(group));
                }
                Ok(())
            }
            Some(breach) => {
                let created = self.slots.remove(&Slot::Create).unwrap_or_default();
                let last = created.iter().rev().find_map(|step| match step {
                    Step::CreateGroup(group) => Some(*group),
                    Step::Authorize { .. }
                    | Step::Revoke { .. }
                    | Step::SetGroups { .. }
                    | Step::DeleteGroup(_)
                    | Step::Acl(_) => None,
                });
                Err(Stuck { created: last, ..Stuck::new(breach) })
            }
        }
    }

    /// Deletes what nobody wears any more. A group that another one names waits for that one; where two name each other, the
    /// rules go first.
    pub(super) fn leftovers(&mut self) {
        const LAYERS: usize = 3;
        let mut then = State::default();
        let mut left = goal::doomed(self.now(), self.target);
        let swept: BTreeSet<GroupNumber> =
            self.slots.get(&Slot::Sweep).map_or_else(BTreeSet::new, |steps| {
                let deleted = steps.iter().filter_map(|step| match step {
                    Step::DeleteGroup(group) => Some(*group),
                    Step::CreateGroup(_)
                    | Step::Authorize { .. }
                    | Step::Revoke { .. }
                    | Step::SetGroups { .. }
                    | Step::Acl(_) => None,
                });
                deleted.collect()
            });
        left = &left - &swept;
        for group in &left {
            then.groups.insert(GroupKey::Ours(*group), rules(self.now(), *group).clone());
        }
        for (group, rules) in &self.passing {
            left.insert(*group);
            then.groups.insert(GroupKey::Ours(*group), rules.clone());
        }
        for layer in 0.. {
            if left.is_empty() {
                return;
            }
            let mut named = goal::named_by_others(&then, &left);
            if layer + 1 >= LAYERS || named.len() == left.len() {
                for group in &left {
                    for direction in Direction::BOTH {
                        let naming = rules(&then, *group).iter().filter(|rule| {
                            let other = names(rule);
                            rule.direction == direction
                                && other.is_some_and(|it| it != *group && left.contains(&it))
                        });
                        let naming = naming.cloned().collect();
                        self.revoke(Slot::After(layer, Purpose::Clean), *group, direction, naming);
                    }
                }
                named.clear();
            }
            for group in &left - &named {
                self.push(Slot::After(layer, Purpose::Delete), Step::DeleteGroup(group));
            }
            left = named;
        }
    }
}
