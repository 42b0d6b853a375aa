//! What steps do to a state, and small questions to it.

use std::collections::BTreeSet;

use crate::firewall::{GroupKey, GroupNumber, Peer, Rule, State};
use crate::inventory::InterfaceId;
use crate::net::Prefix;
use crate::provider::{Observed, Step};

static NO_GROUPS: BTreeSet<GroupKey> = BTreeSet::new();
static NO_RULES: BTreeSet<Rule> = BTreeSet::new();

/// Takes a step, as a provider would.
pub(super) fn apply(state: &mut State, step: &Step) {
    match step {
        Step::CreateGroup(group) => {
            state.groups.entry(GroupKey::Ours(*group)).or_default();
        }
        Step::Authorize { group, rules, .. } => {
            let there = state.groups.entry(GroupKey::Ours(*group)).or_default();
            there.extend(rules.keys().cloned());
        }
        Step::Revoke { group, rules, .. } => {
            if let Some(there) = state.groups.get_mut(&GroupKey::Ours(*group)) {
                there.retain(|rule| !rules.contains(rule));
            }
        }
        Step::SetGroups { interface, groups, .. } => {
            state.interfaces.insert(interface.clone(), groups.clone());
        }
        Step::DeleteGroup(group) => {
            state.groups.remove(&GroupKey::Ours(*group));
        }
        Step::Acl(step) => step.apply(state),
    }
}

/// Takes a step in a picture, as far as plans look at one: the ids of rules are the cloud's.
pub(super) fn follow(observed: &mut Observed, step: &Step) {
    apply(&mut observed.state, step);
    match step {
        Step::SetGroups { interface, groups, record } => {
            if let Some(seen) = observed.interfaces.get_mut(interface) {
                let kept = groups.iter().filter_map(GroupKey::foreign);
                seen.prior = record.iter().chain(kept).cloned().collect();
            }
            if record.is_empty() {
                observed.records.remove(interface);
            } else {
                observed.records.insert(interface.clone(), record.clone());
            }
        }
        Step::DeleteGroup(group) => observed.foreign_rules.retain(|(of, _)| of != group),
        Step::CreateGroup(_) | Step::Authorize { .. } | Step::Revoke { .. } | Step::Acl(_) => {}
    }
}

/// The groups that an interface wears.
pub(super) fn worn<'a>(state: &'a State, interface: &InterfaceId) -> &'a BTreeSet<GroupKey> {
    state.interfaces.get(interface).unwrap_or(&NO_GROUPS)
}

/// The rules of a group of ours.
pub(super) fn rules(state: &State, group: GroupNumber) -> &BTreeSet<Rule> {
    state.groups.get(&GroupKey::Ours(group)).unwrap_or(&NO_RULES)
}

/// The numbers of our groups in a state.
pub(super) fn ours(state: &State) -> impl Iterator<Item = GroupNumber> + '_ {
    state.groups.keys().filter_map(our_number)
}

/// The groups of ours that somebody wears, and those that a rule of a worn group names: giving such a group to another interface
/// changes what somebody lets through.
pub(super) fn in_use(state: &State) -> (BTreeSet<GroupNumber>, BTreeSet<GroupNumber>) {
    let keys: BTreeSet<&GroupKey> = state.interfaces.values().flatten().collect();
    let rules = keys.iter().filter_map(|key| state.groups.get(*key)).flatten();
    (keys.iter().copied().filter_map(our_number).collect(), rules.filter_map(names).collect())
}

/// The number of a group, if it is ours.
pub(super) fn our_number(key: &GroupKey) -> Option<GroupNumber> {
    match key {
        GroupKey::Ours(number) => Some(*number),
        GroupKey::Foreign(_) => None,
    }
}

/// The group of ours that a rule names.
pub(super) fn names(rule: &Rule) -> Option<GroupNumber> {
    match &rule.peer {
        Peer::Group(key) => our_number(key),
        Peer::Prefix(_) => None,
    }
}

/// What two rules both let through, where one rule can say it: never for a prefix and a group, whose common peers are the
/// wearers with such an address.
pub(super) fn meet(a: &Rule, b: &Rule) -> Option<Rule> {
    if a.direction != b.direction {
        return None;
    }
    let peer = match (&a.peer, &b.peer) {
        (Peer::Prefix(x), Peer::Prefix(y)) => Peer::Prefix(common(*x, *y)?),
        (Peer::Group(x), Peer::Group(y)) if x == y => Peer::Group(x.clone()),
        (Peer::Group(_) | Peer::Prefix(_), _) => return None,
    };
    Some(Rule { direction: a.direction, peer, shape: a.shape.common(b.shape)? })
}

/// Whether everything that `part` lets through, `whole` does by itself.
pub(crate) fn contains(whole: &Rule, part: &Rule) -> bool {
    meet(whole, part).as_ref() == Some(part)
}

/// The addresses of two prefixes: one holds the other, or they share none.
pub(super) fn common(a: Prefix, b: Prefix) -> Option<Prefix> {
    if a.contains_prefix(b) { Some(b) } else { b.contains_prefix(a).then_some(a) }
}
