//! The universal passage: for each pair of old and new groups one middle group that says what both let through.
//!
//! Interfaces wear old and middle, then middle alone, then middle and new, then new. While some wear the middle alone, A is O ∩ N
//! between them; it never leaves the band, whatever old and new are. It costs four calls for each interface.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::path::largest;
use super::state::{common, in_use, names, our_number, rules};
use crate::firewall::{GroupKey, GroupNumber, Peer, Rule, State};
use crate::inventory::{InterfaceId, Inventory};
use crate::net::Prefix;
use crate::provider::Observed;

/// Middle groups are numbered from here on, beyond any number of lasting groups: a plan that follows an interrupted one knows
/// them by that, goes on with them, and takes none for the group of a class.
const FIRST: usize = 1_000_000;

/// What an interface wears and what it will wear.
type Passage<'a> = (&'a BTreeSet<GroupKey>, &'a BTreeSet<GroupKey>);

/// The middle groups that an interrupted plan has left on interfaces of these passages, for them and for their like.
pub(super) fn known<'a>(passages: &BTreeSet<Passage<'a>>) -> BTreeMap<Passage<'a>, GroupNumber> {
    let mut known = BTreeMap::new();
    let mut like: BTreeMap<(BTreeSet<GroupKey>, &BTreeSet<GroupKey>), GroupNumber> =
        BTreeMap::new();
    for (old, new) in passages {
        if let Some(last) = begun_for(old, new) {
            let rest = old.iter().filter(|key| **key != GroupKey::Ours(last)).cloned().collect();
            known.insert((*old, *new), last);
            like.insert((rest, new), last);
        }
    }
    for (old, new) in passages {
        if let Some(middle) = like.get(&((*old).clone(), *new)) {
            known.entry((*old, *new)).or_insert(*middle);
        }
    }
    known
}

/// The middle groups of interfaces that need one of their own.
#[derive(Debug, Default)]
pub(super) struct Middles {
    /// The middle group of each interface.
    pub(super) of: BTreeMap<InterfaceId, GroupNumber>,
    /// Their rules.
    pub(super) rules: BTreeMap<GroupNumber, BTreeSet<Rule>>,
}

/// The middle groups of these interfaces, where an interrupted plan has begun to hand them out; none, if those that are worn
/// hold other rules than they would.
pub(super) fn resume(
    movers: &BTreeMap<InterfaceId, Passage<'_>>,
    observed: &Observed,
    target: &State,
    inventory: &Inventory,
) -> Option<Middles> {
    let now = &observed.state;
    let mut begun = BTreeMap::new();
    let mut rest = BTreeMap::new();
    for (interface, (old, new)) in movers {
        let mut old = (*old).clone();
        if let Some(middle) = begun_for(&old, new) {
            old.remove(&GroupKey::Ours(middle));
            begun.insert(interface.clone(), middle);
        }
        rest.insert(interface.clone(), (old, *new));
    }
    let stripped = rest.iter().map(|(it, (old, new))| (it.clone(), (old, *new))).collect();
    let numbers: BTreeSet<GroupNumber> = begun.values().copied().collect();
    // Their companions: nobody wears them, and they alone name them.
    let worn: BTreeSet<GroupNumber> =
        now.interfaces.values().flatten().filter_map(our_number).collect();
    let named_by_begun = numbers.iter().flat_map(|group| rules(now, *group)).filter_map(names);
    let companions: BTreeSet<GroupNumber> = named_by_begun
        .filter(|it| !worn.contains(it) && !target.groups.contains_key(&GroupKey::Ours(*it)))
        .collect();
    let free = companions.into_iter().chain(free(observed));
    let middles = groups(&stripped, &begun, free, now, target, inventory);
    let same = |group: &GroupNumber| {
        middles.rules.get(group).is_none_or(|wanted| wanted == rules(now, *group))
    };
    (!begun.is_empty() && numbers.iter().all(same)).then_some(middles)
}

/// Numbers for groups of passage: those that nobody wears, no worn group names, and whose name is free.
pub(super) fn free(observed: &Observed) -> impl Iterator<Item = GroupNumber> + Clone + use<> {
    let (worn, named) = in_use(&observed.state);
    let mut taken = &worn | &named;
    taken.extend(observed.taken.keys());
    (FIRST..).map(GroupNumber::nth).filter(move |number| !taken.contains(number))
}

/// Whether a group bears the number of one of passage: it lives as long as a plan, or until the next one where that was killed.
#[must_use]
pub fn is_passing(group: GroupNumber) -> bool {
    group >= GroupNumber::nth(FIRST)
}

/// The middle group that an interrupted plan has given to an interface beside what it wore; one that wears it beside what it
/// will wear has passed.
fn begun_for(worn: &BTreeSet<GroupKey>, new: &BTreeSet<GroupKey>) -> Option<GroupNumber> {
    let last = worn.iter().filter_map(our_number).rfind(|group| is_passing(*group))?;
    let rest = worn.iter().filter(|key| our_number(key) != Some(last));
    let passed = worn.len() == 1 || rest.eq(new);
    (!passed).then_some(last)
}

/// Makes up the middle groups of these interfaces; some have theirs.
pub(super) fn groups(
    movers: &BTreeMap<InterfaceId, Passage<'_>>,
    begun: &BTreeMap<InterfaceId, GroupNumber>,
    mut free: impl Iterator<Item = GroupNumber>,
    now: &State,
    target: &State,
    inventory: &Inventory,
) -> Middles {
    if movers.is_empty() {
        return Middles::default();
    }
    let mut addresses: BTreeMap<&InterfaceId, Vec<IpAddr>> = BTreeMap::new();
    for (_, pod) in inventory.pods_of_policies() {
        if let Some(interface) = &pod.interface {
            addresses.entry(interface).or_default().extend(&pod.addresses);
        }
    }
    let of = |state, worn: &BTreeSet<GroupKey>| -> BTreeSet<Rule> {
        worn.iter().flat_map(|key| held(state, key)).cloned().collect()
    };
    let passages: BTreeSet<Passage<'_>> = movers.values().copied().collect();
    let rules: BTreeMap<Passage<'_>, (BTreeSet<Rule>, BTreeSet<Rule>)> =
        passages.iter().map(|(old, new)| ((*old, *new), (of(now, old), of(target, new)))).collect();
    // Where a group meets a prefix, those wearers count that have such an address: they need a middle group apart.
    let telling: BTreeSet<Prefix> = rules.values().flat_map(|(a, b)| telling(a, b)).collect();
    let mut moving: BTreeMap<_, Kind<'_>> = BTreeMap::new();
    let mut still: BTreeMap<&BTreeSet<GroupKey>, Vec<IpAddr>> = BTreeMap::new();
    for (interface, worn) in &now.interfaces {
        let here = addresses.get(interface).cloned().unwrap_or_default();
        match movers.get(interface) {
            Some(passage) => {
                let told: BTreeSet<Prefix> = telling
                    .iter()
                    .filter(|prefix| here.iter().any(|address| prefix.contains(*address)))
                    .copied()
                    .collect();
                let kind = moving.entry((*passage, told)).or_insert_with(|| Kind::new(*passage));
                kind.addresses.extend(here);
                kind.interfaces.push(interface.clone());
            }
            None if target.interfaces.get(interface) == Some(worn) => {
                still.entry(worn).or_default().extend(here);
            }
            None => {}
        }
    }
    let mut numbered: BTreeMap<GroupNumber, Kind<'_>> = BTreeMap::new();
    for kind in moving.into_values() {
        let known = kind.interfaces.iter().find_map(|it| begun.get(it).copied());
        let number = known.filter(|it| !numbered.contains_key(it));
        if let Some(number) = number.or_else(|| free.next()) {
            numbered.insert(number, kind);
        }
    }
    let mut middles = Middles::default();
    for (number, kind) in &numbered {
        middles.of.extend(kind.interfaces.iter().map(|interface| (interface.clone(), *number)));
        let Some((old, new)) = rules.get(&kind.passage) else { continue };
        let both = old.iter().flat_map(|a| new.iter().flat_map(|b| meet(a, b, &numbered, &still)));
        middles.rules.insert(*number, largest(&both.collect()));
    }
    middles
}

/// The prefixes of rules that meet a rule with a group.
fn telling(old: &BTreeSet<Rule>, new: &BTreeSet<Rule>) -> BTreeSet<Prefix> {
    let pairs = old.iter().flat_map(|a| new.iter().map(move |b| (a, b)));
    let meeting =
        pairs.filter(|(a, b)| a.direction == b.direction && a.shape.common(b.shape).is_some());
    meeting
        .filter_map(|(a, b)| match (&a.peer, &b.peer) {
            (Peer::Prefix(prefix), Peer::Group(_)) | (Peer::Group(_), Peer::Prefix(prefix)) => {
                Some(*prefix)
            }
            (Peer::Prefix(_), Peer::Prefix(_)) | (Peer::Group(_), Peer::Group(_)) => None,
        })
        .collect()
}

/// Interfaces that share a middle group.
#[derive(Debug)]
struct Kind<'a> {
    passage: Passage<'a>,
    addresses: Vec<IpAddr>,
    interfaces: Vec<InterfaceId>,
}

impl<'a> Kind<'a> {
    const fn new(passage: Passage<'a>) -> Self {
        Self { passage, addresses: Vec::new(), interfaces: Vec::new() }
    }
}

/// What an old and a new rule both let through: between those that move exactly, towards those that stay as they are
/// anything that the old or the new rule lets through will do, since one end alone cannot leave the band.
fn meet(
    old: &Rule,
    new: &Rule,
    moving: &BTreeMap<GroupNumber, Kind<'_>>,
    still: &BTreeMap<&BTreeSet<GroupKey>, Vec<IpAddr>>,
) -> Vec<Rule> {
    let shape = old.shape.common(new.shape).filter(|_| old.direction == new.direction);
    let Some(shape) = shape else { return Vec::new() };
    let rule = |peer| Rule { direction: old.direction, peer, shape };
    if let (Peer::Prefix(a), Peer::Prefix(b)) = (&old.peer, &new.peer) {
        return common(*a, *b).map(Peer::Prefix).map(rule).into_iter().collect();
    }
    let matches = |peer: &Peer, worn: &BTreeSet<GroupKey>, addresses: &[IpAddr]| match peer {
        Peer::Group(key) => worn.contains(key),
        Peer::Prefix(prefix) => addresses.iter().any(|address| prefix.contains(*address)),
    };
    let moving = moving.iter().filter(|(_, kind)| {
        let (before, after) = kind.passage;
        matches(&old.peer, before, &kind.addresses) && matches(&new.peer, after, &kind.addresses)
    });
    let mut rules: Vec<Rule> =
        moving.map(|(number, _)| rule(Peer::Group(GroupKey::Ours(*number)))).collect();
    let stays = still.iter().any(|(worn, addresses)| {
        matches(&old.peer, worn, addresses) && matches(&new.peer, worn, addresses)
    });
    if stays {
        let peer = match &new.peer {
            Peer::Group(_) => &new.peer,
            Peer::Prefix(_) => &old.peer,
        };
        rules.push(rule(peer.clone()));
    }
    rules
}

fn held<'s>(state: &'s State, key: &GroupKey) -> impl Iterator<Item = &'s Rule> + use<'s> {
    let rules = match key {
        GroupKey::Ours(number) => Some(rules(state, *number)),
        GroupKey::Foreign(_) => state.groups.get(key),
    };
    rules.into_iter().flatten()
}
