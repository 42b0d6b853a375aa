//! Where a plan leads: the desired state in the cloud's numbers, and what of it is held back.

use std::collections::{BTreeMap, BTreeSet};

use super::part::Part;
use super::state::{names, our_number, ours, rules, worn};
use crate::compile::{Desired, RuleReason};
use crate::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule, State};
use crate::inventory::InterfaceId;
use crate::policy::{Direction, ObjectRef};
use crate::provider::Observed;

/// Whom a rule serves that no policy asks for.
const SETTINGS: &str = "settings";

/// What a rule serves that is there only while others change.
pub(super) const PASSAGE: &str = "in passage";

/// The state that is wanted, in the cloud's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal<'a> {
    /// The part of the world that it is about.
    pub(super) part: &'a Part,
    /// N: what is wanted, and beside it what nobody changes.
    pub(super) state: &'a State,
    /// Whom each rule serves, in the numbers of the desired groups.
    reasons: &'a BTreeMap<(GroupNumber, Rule), RuleReason>,
}

impl<'a> Goal<'a> {
    /// What is wanted of a part of the world.
    pub(super) const fn new(part: &'a Part, desired: &'a Desired) -> Self {
        Self { part, state: &part.goal, reasons: &desired.reasons }
    }

    /// The description of a rule: whom it serves, or that it is there only while others change.
    pub(super) fn description(&self, group: GroupNumber, rule: &Rule) -> String {
        if !rules(self.state, group).contains(rule) {
            return PASSAGE.to_owned();
        }
        let asked = |group: &GroupNumber| self.part.asked.get(group).copied();
        let key = |group| {
            let peer = match names(rule).as_ref().and_then(asked) {
                Some(named) => Peer::Group(GroupKey::Ours(named)),
                None => rule.peer.clone(),
            };
            (group, Rule { peer, ..rule.clone() })
        };
        let known = asked(&group).and_then(|asked| self.reasons.get(&key(asked)));
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
            let (old, new) = (worn(now, interface), worn(self.state, interface));
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
        let used = used(&state, &self.part.anchored);
        state.groups.retain(|key, _| our_number(key).is_none_or(|group| used.contains(&group)));
        state
    }
}

/// The groups of ours that are used apart or that somebody wears, and those that such a group or one of someone else's names.
fn used(state: &State, anchored: &BTreeSet<GroupNumber>) -> BTreeSet<GroupNumber> {
    let worn = state.interfaces.values().flatten().filter_map(our_number);
    let foreign = state.groups.iter().filter(|(key, _)| our_number(key).is_none());
    let named = foreign.flat_map(|(_, rules)| rules.iter().filter_map(names));
    let mut queue: Vec<GroupNumber> = worn.chain(named).chain(anchored.iter().copied()).collect();
    let mut used = BTreeSet::new();
    while let Some(group) = queue.pop() {
        if state.groups.contains_key(&GroupKey::Ours(group)) && used.insert(group) {
            queue.extend(rules(state, group).iter().filter_map(names));
        }
    }
    used
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
