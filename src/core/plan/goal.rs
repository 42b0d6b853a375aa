//! Where a plan leads: the desired state in the cloud's numbers, and what of it is held back.

use std::collections::{BTreeMap, BTreeSet};

use super::bind::{self, Binding};
use super::state::{names, our_number, ours, rules, worn};
use crate::compile::{Desired, RuleReason};
use crate::firewall::{ForeignGroupId, GroupKey, GroupNumber, Rule, State};
use crate::inventory::{Attachment, InterfaceId, Inventory};
use crate::policy::{Direction, ObjectRef};
use crate::provider::Observed;

/// Whom a rule serves that no policy asks for.
const SETTINGS: &str = "settings";

/// What a rule serves that is there only while others change.
pub(super) const PASSAGE: &str = "in passage";

/// The state that is wanted, in the cloud's numbers.
#[derive(Debug)]
pub(super) struct Goal<'a> {
    /// N: what is wanted, and beside it what nobody changes.
    pub(super) state: State,
    /// The cloud's number of each desired group.
    pub(super) numbers: Binding,
    /// Whom each rule serves, in provisional numbers.
    reasons: &'a BTreeMap<(GroupNumber, Rule), RuleReason>,
    /// The provisional number of each group.
    asked: Binding,
}

/// What is wanted of the groups and of the interfaces that may be changed, in provisional numbers.
pub(super) fn wanted(desired: &Desired, observed: &Observed) -> State {
    let groups = desired.state.groups.iter().filter(|(key, _)| our_number(key).is_some());
    let groups = groups.map(|(key, rules)| (key.clone(), rules.clone())).collect();
    let mut interfaces = BTreeMap::new();
    for (interface, seen) in &observed.interfaces {
        match seen.attachment {
            Attachment::Exclusive => {}
            Attachment::Fixed | Attachment::Shared => continue,
        }
        let asked = desired.state.interfaces.get(interface);
        // What no policy concerns any more gets back what it wore.
        let left = || {
            let prior = seen.prior.iter().cloned().map(GroupKey::Foreign).collect();
            (prior != *worn(&observed.state, interface)).then_some(prior)
        };
        let groups: Option<BTreeSet<GroupKey>> = asked.cloned().or_else(left);
        // An interface always wears a group.
        if let Some(groups) = groups.filter(|groups| !groups.is_empty()) {
            interfaces.insert(interface.clone(), groups);
        }
    }
    let mut wanted = State { groups, interfaces };
    let used = bind::used(&wanted);
    wanted.groups.retain(|key, _| our_number(key).is_some_and(|group| used.contains(&group)));
    wanted
}

impl<'a> Goal<'a> {
    /// Binds what is wanted to the groups that are there, but to none of `banned`.
    pub(super) fn new(
        wanted: &State,
        desired: &'a Desired,
        observed: &Observed,
        inventory: &Inventory,
        banned: &BTreeSet<GroupNumber>,
    ) -> Self {
        let banned = banned.iter().chain(observed.taken.keys()).copied().collect();
        let binding = bind::bind(wanted, &observed.state, &banned);
        let bound = bind::rename(wanted, &binding);
        let mut state = observed.state.clone();
        for (id, rules) in &inventory.foreign {
            state.groups.entry(GroupKey::Foreign(id.clone())).or_insert_with(|| rules.clone());
        }
        state.groups.extend(bound.groups);
        state.interfaces.extend(bound.interfaces);
        for (group, rule) in &observed.foreign_rules {
            if let Some(rules) = state.groups.get_mut(&GroupKey::Ours(*group)) {
                rules.insert(rule.clone());
            }
        }
        let asked = binding.iter().map(|(group, number)| (*number, *group)).collect();
        Self { state, reasons: &desired.reasons, asked, numbers: binding }
    }

    /// The description of a rule: whom it serves, or that it is there only while others change.
    pub(super) fn description(&self, group: GroupNumber, rule: &Rule) -> String {
        if !rules(&self.state, group).contains(rule) {
            return PASSAGE.to_owned();
        }
        let known = self
            .asked
            .get(&group)
            .and_then(|asked| self.reasons.get(&(*asked, bind::rename_rule(rule, &self.asked))));
        known.map_or_else(|| SETTINGS.to_owned(), |reason| describe(&reason.serves))
    }

    /// The state at the end of a plan that gives up these groups of passage, and leaves these groups and interfaces as they are.
    pub(super) fn target(
        &self,
        now: &State,
        shedding: &BTreeSet<InterfaceId>,
        groups: &BTreeSet<(GroupNumber, Direction)>,
        interfaces: &BTreeSet<InterfaceId>,
    ) -> State {
        let kept = interfaces.iter().filter_map(|id| Some((id.clone(), now.interfaces.get(id)?)));
        let mut state = self.state.clone();
        for interface in shedding {
            let (old, new) = (worn(now, interface), worn(&self.state, interface));
            if let Some(last) = old.difference(new).filter(|key| our_number(key).is_some()).last() {
                let rest = old.iter().filter(|key| *key != last).cloned().collect();
                state.interfaces.insert(interface.clone(), rest);
            }
        }
        state.interfaces.extend(kept.map(|(id, worn)| (id, worn.clone())));
        for (group, direction) in groups {
            let old = rules(now, *group).iter().filter(|rule| rule.direction == *direction);
            if let Some(rules) = state.groups.get_mut(&GroupKey::Ours(*group)) {
                rules.retain(|rule| rule.direction != *direction);
                rules.extend(old.cloned());
            }
        }
        let used = bind::used(&state);
        state.groups.retain(|key, _| our_number(key).is_none_or(|group| used.contains(&group)));
        state
    }
}

/// Whom a rule serves, in words that every cloud takes: at most 255 characters, none of them unusual (EC2 `IpRange`,
/// `Description`).
fn describe(serves: &[ObjectRef]) -> String {
    const LONGEST: usize = 255;
    if serves.is_empty() {
        return SETTINGS.to_owned();
    }
    let mut text = String::new();
    for (place, object) in serves.iter().enumerate() {
        let next = if place == 0 { object.to_string() } else { format!(", {object}") };
        let rest = format!(" and {} more", serves.len() - place);
        let more = if place + 1 == serves.len() { 0 } else { " and 99999 more".len() };
        if text.len() + next.len() + more > LONGEST {
            return if place == 0 { format!("{} policies", serves.len()) } else { text + &rest };
        }
        text += &next;
    }
    text
}

/// The groups of ours that another group of `among` names.
pub(super) fn named_by_others(
    state: &State,
    among: &BTreeSet<GroupNumber>,
) -> BTreeSet<GroupNumber> {
    let pairs = among.iter().flat_map(|group| {
        let named = rules(state, *group).iter().filter_map(names);
        named.filter(move |other| other != group)
    });
    pairs.filter(|group| among.contains(group)).collect()
}

/// The groups of ours in `now` that are not in `target`.
pub(super) fn doomed(now: &State, target: &State) -> BTreeSet<GroupNumber> {
    ours(now).filter(|group| !target.groups.contains_key(&GroupKey::Ours(*group))).collect()
}

/// What to write down about an interface that is to wear these groups.
pub(super) fn record(
    observed: &Observed,
    interface: &InterfaceId,
    groups: &BTreeSet<GroupKey>,
) -> BTreeSet<ForeignGroupId> {
    let seen = observed.interfaces.get(interface);
    let moved = groups.iter().any(|key| our_number(key).is_some());
    seen.filter(|_| moved).map(|seen| seen.prior.clone()).unwrap_or_default()
}
