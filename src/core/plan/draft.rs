//! One way to the target, as stages; the proof decides whether it is a safe one.
//!
//! Every plan has the same course. Groups are made and filled while nobody wears them. Then, in rounds: worn groups gain rules,
//! interfaces gain groups, interfaces lose groups, worn groups lose rules. At the end what is left over goes. How much care
//! each group and each interface takes decides in which rounds it changes.

mod sweep;

use std::collections::{BTreeMap, BTreeSet};

use super::care::{Care, Manners, Stuck};
use super::goal::{self, Goal};
use super::middle;
use super::part::Part;
use super::path::{self, Path};
use super::state::{in_use, our_number, ours, rules, worn};
use super::{Purpose, Stage};
use crate::budget;
use crate::firewall::{GroupKey, GroupNumber, Rule, State};
use crate::inventory::{Attachment, Interface, InterfaceId, Inventory};
use crate::policy::Direction;
use crate::provider::{Observed, Step};
use crate::settings::Quotas;

/// The place of a stage in the course of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    /// Makes room under the quota of groups.
    Sweep,
    Create,
    /// Takes rules from groups that nobody wears.
    Empty,
    /// Gives rules to groups that nobody wears.
    Fill,
    Early,
    Round(usize, Turn),
    After(usize, Purpose),
}

/// The stages of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Authorize,
    Wear,
    Move,
    Revoke,
}

/// A draft in the making.
#[derive(Debug)]
struct Draft<'a> {
    observed: &'a Observed,
    goal: &'a Goal<'a>,
    target: &'a State,
    quotas: &'a Quotas,
    slots: BTreeMap<Slot, Vec<Step>>,
    /// Groups that live only during the plan, with their rules.
    passing: BTreeMap<GroupNumber, BTreeSet<Rule>>,
}

/// Drafts the stages from what is observed to the target.
pub(super) fn draft(
    goal: &Goal<'_>,
    target: &State,
    care: &Care,
    quotas: &Quotas,
) -> Result<Vec<Stage>, Stuck> {
    let Part { observed, inventory, .. } = goal.part;
    let mut draft =
        Draft { observed, goal, target, quotas, slots: BTreeMap::new(), passing: BTreeMap::new() };
    draft.groups(care)?;
    draft.interfaces(care, inventory)?;
    draft.records();
    draft.sweep()?;
    draft.leftovers();
    Ok(draft.stages())
}

impl<'a> Draft<'a> {
    fn now(&self) -> &'a State {
        &self.observed.state
    }

    fn push(&mut self, slot: Slot, step: Step) {
        self.slots.entry(slot).or_default().push(step);
    }

    /// Makes groups, and changes their rules.
    fn groups(&mut self, care: &Care) -> Result<(), Stuck> {
        let (target, quotas) = (self.target, self.quotas);
        let (worn, _) = in_use(self.now());
        for group in ours(target) {
            if !worn.contains(&group) {
                let rules = rules(target, group);
                if let Some(breach) = budget::of_group(group, rules, quotas).next() {
                    return Err(Stuck::group(group, breach));
                }
                self.make(group, rules);
                continue;
            }
            let (old, new) = (rules(self.now(), group).clone(), rules(target, group).clone());
            if old == new {
                continue;
            }
            if let Some(breach) = budget::of_group(group, &new, quotas).next() {
                return Err(Stuck::group(group, breach));
            }
            for direction in Direction::BOTH {
                let of = |rules: &BTreeSet<Rule>| -> BTreeSet<Rule> {
                    rules.iter().filter(|rule| rule.direction == direction).cloned().collect()
                };
                let (old, new) = (of(&old), of(&new));
                if old != new {
                    let manner = care.group(group, direction);
                    let limit = quotas.rules_per_group;
                    let path = path::find(&old, &new, direction, limit, manner)
                        .ok_or_else(|| Stuck::path(group, direction, manner, &old, &new, quotas))?;
                    self.walk(group, direction, path);
                }
            }
        }
        Ok(())
    }

    /// Makes and fills a group that nobody wears; one that is there already is made to fit.
    fn make(&mut self, group: GroupNumber, wanted: &BTreeSet<Rule>) {
        if !self.now().groups.contains_key(&GroupKey::Ours(group)) {
            self.push(Slot::Create, Step::CreateGroup(group));
        }
        let there = rules(self.now(), group);
        for direction in Direction::BOTH {
            let of = |rules: BTreeSet<Rule>| -> BTreeSet<Rule> {
                rules.into_iter().filter(|rule| rule.direction == direction).collect()
            };
            self.revoke(Slot::Empty, group, direction, of(there - wanted));
            self.authorize(Slot::Fill, group, direction, of(wanted - there));
        }
    }

    fn walk(&mut self, group: GroupNumber, direction: Direction, path: Path) {
        self.revoke(Slot::Early, group, direction, path.early);
        for (round, change) in path.rounds.into_iter().enumerate() {
            self.authorize(Slot::Round(round, Turn::Authorize), group, direction, change.add);
            self.revoke(Slot::Round(round, Turn::Revoke), group, direction, change.remove);
        }
    }

    fn authorize(
        &mut self,
        slot: Slot,
        group: GroupNumber,
        direction: Direction,
        rules: BTreeSet<Rule>,
    ) {
        if !rules.is_empty() {
            let describe = |rule: Rule| {
                let description = self.goal.description(group, &rule);
                (rule, description)
            };
            let rules = rules.into_iter().map(describe).collect();
            self.push(slot, Step::Authorize { group, direction, rules });
        }
    }

    fn revoke(
        &mut self,
        slot: Slot,
        group: GroupNumber,
        direction: Direction,
        rules: BTreeSet<Rule>,
    ) {
        if !rules.is_empty() {
            self.push(slot, Step::Revoke { group, direction, rules });
        }
    }

    /// Gives interfaces their groups.
    fn interfaces(&mut self, care: &Care, inventory: &Inventory) -> Result<(), Stuck> {
        let moves = changed(self.now(), self.target);
        let of = |manners| moves.iter().filter(move |(it, _)| care.interface(it) == manners);
        let again = of(Manners::Again).map(|(_, passage)| *passage).collect();
        let again = middle::known(&again);
        let fresh = of(Manners::Middle).map(|(it, passage)| (it.clone(), *passage)).collect();
        let (now, target) = (self.now(), self.target);
        let fresh = middle::resume(&fresh, self.observed, target, inventory).unwrap_or_else(|| {
            let free = middle::free(self.observed);
            middle::groups(&fresh, &BTreeMap::new(), free, now, target, inventory)
        });
        for (group, rules) in &fresh.rules {
            if let Some(breach) = budget::of_group(*group, rules, self.quotas).next() {
                let movers = of(Manners::Middle).map(|(it, _)| it.clone()).collect();
                return Err(Stuck::interfaces(movers, breach));
            }
            self.make(*group, rules);
        }
        self.passing = fresh.rules;
        for (interface, passage) in &moves {
            let (old, new) = *passage;
            if let Some(breach) = budget::of_interface(interface, new.len(), self.quotas) {
                return Err(Stuck::interfaces(BTreeSet::from([interface.clone()]), breach));
            }
            match care.interface(interface) {
                Manners::OneCall => self.walk_over(interface, old, new, 0, None)?,
                Manners::TwoCalls => self.walk_over(interface, old, new, 0, Some(old | new))?,
                Manners::Late => self.walk_over(interface, old, new, 1, Some(old | new))?,
                Manners::Again => match again.get(passage) {
                    Some(middle) => self.pass(interface, old, new, *middle)?,
                    None => self.walk_over(interface, old, new, 1, Some(old | new))?,
                },
                Manners::Middle => {
                    if let Some(middle) = fresh.of.get(interface) {
                        self.pass(interface, old, new, *middle)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// From old to new, by way of `between` if it is not one step anyway.
    fn walk_over(
        &mut self,
        interface: &InterfaceId,
        old: &BTreeSet<GroupKey>,
        new: &BTreeSet<GroupKey>,
        round: usize,
        between: Option<BTreeSet<GroupKey>>,
    ) -> Result<(), Stuck> {
        let first = if old.is_subset(new) { Some(new.clone()) } else { between };
        if let Some(first) = first.clone().filter(|first| first != old) {
            self.wear(Slot::Round(round, Turn::Wear), interface, first)?;
        }
        if first.as_ref() != Some(new) {
            self.wear(Slot::Round(round, Turn::Move), interface, new.clone())?;
        }
        Ok(())
    }

    /// From old to new by way of a middle group alone, beside what others made and both want.
    fn pass(
        &mut self,
        interface: &InterfaceId,
        old: &BTreeSet<GroupKey>,
        new: &BTreeSet<GroupKey>,
        middle: GroupNumber,
    ) -> Result<(), Stuck> {
        let middle = BTreeSet::from([GroupKey::Ours(middle)]);
        let foreign = (old & new).into_iter().filter(|key| our_number(key).is_none());
        let alone: BTreeSet<GroupKey> = foreign.chain(middle.iter().cloned()).collect();
        if !middle.is_subset(old) {
            self.wear(Slot::Round(0, Turn::Wear), interface, old | &middle)?;
        }
        if alone != *old {
            self.wear(Slot::Round(0, Turn::Move), interface, alone.clone())?;
        }
        if !new.is_subset(&alone) {
            self.wear(Slot::Round(1, Turn::Wear), interface, new | &middle)?;
        }
        self.wear(Slot::Round(1, Turn::Move), interface, new.clone())
    }

    fn wear(
        &mut self,
        slot: Slot,
        interface: &InterfaceId,
        groups: BTreeSet<GroupKey>,
    ) -> Result<(), Stuck> {
        if let Some(breach) = budget::of_interface(interface, groups.len(), self.quotas) {
            return Err(Stuck::interfaces(BTreeSet::from([interface.clone()]), breach));
        }
        let record = goal::record(self.observed, interface, &groups);
        self.push(slot, Step::SetGroups { interface: interface.clone(), groups, record });
        Ok(())
    }

    /// Removes the records of interfaces that wear nothing of ours any more: a killed process left them.
    fn records(&mut self) {
        let exclusive = |told: &Interface| matches!(told.attachment, Attachment::Exclusive);
        for interface in self.observed.records.keys() {
            if !self.observed.interfaces.get(interface).is_some_and(exclusive) {
                continue;
            }
            let groups = worn(self.now(), interface);
            let stays = self.target.interfaces.get(interface) == Some(groups);
            if stays && groups.iter().all(|key| our_number(key).is_none()) {
                let (interface, groups) = (interface.clone(), groups.clone());
                let record = BTreeSet::new();
                self.push(
                    Slot::Round(0, Turn::Move),
                    Step::SetGroups { interface, groups, record },
                );
            }
        }
    }

    fn stages(self) -> Vec<Stage> {
        let mut state = self.observed.state.clone();
        let slots = self.slots.into_iter();
        slots
            .map(|(slot, steps)| {
                let redundant = |step: &Step| redundant(&state, step);
                let purpose = match slot {
                    Slot::Sweep => Purpose::Delete,
                    Slot::Create => Purpose::Create,
                    Slot::Empty => Purpose::Clean,
                    Slot::Fill => Purpose::Prepare,
                    Slot::Early => Purpose::Tighten,
                    Slot::Round(_, Turn::Wear) => Purpose::Wear,
                    Slot::Round(_, Turn::Move) => Purpose::Move,
                    Slot::Round(_, Turn::Authorize) if steps.iter().all(redundant) => {
                        Purpose::Prepare
                    }
                    Slot::Round(_, Turn::Authorize) => Purpose::Widen,
                    Slot::Round(_, Turn::Revoke) if steps.iter().all(redundant) => Purpose::Clean,
                    Slot::Round(_, Turn::Revoke) => Purpose::Tighten,
                    Slot::After(_, purpose) => purpose,
                };
                steps.iter().for_each(|step| super::state::apply(&mut state, step));
                Stage { purpose, steps }
            })
            .collect()
    }
}

/// Whether what a step adds or removes is let through without it, by the same group.
fn redundant(state: &State, step: &Step) -> bool {
    match step {
        Step::Authorize { group, rules: added, .. } => {
            added.keys().all(|rule| path::covered(rule, rules(state, *group)))
        }
        Step::Revoke { group, rules: removed, .. } => {
            let stay = rules(state, *group) - removed;
            removed.iter().all(|rule| path::covered(rule, &stay))
        }
        Step::CreateGroup(_) | Step::SetGroups { .. } | Step::DeleteGroup(_) | Step::Acl(_) => {
            false
        }
    }
}

/// The interfaces that are to wear other groups: what they wear and what they will.
pub(super) fn changed<'a>(
    now: &'a State,
    target: &'a State,
) -> BTreeMap<InterfaceId, (&'a BTreeSet<GroupKey>, &'a BTreeSet<GroupKey>)> {
    let all = target.interfaces.iter();
    let moves = all.map(|(interface, new)| (interface.clone(), (worn(now, interface), new)));
    moves.filter(|(_, (old, new))| old != new).collect()
}
