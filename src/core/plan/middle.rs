//! The universal passage: for each pair of old and new groups one middle group that says what both let through.
//!
//! Interfaces wear old and middle, then middle alone, then middle and new, then new. While some wear the middle alone, A is O ∩ N
//! between them; it never leaves the band, whatever old and new are. It costs four calls for each interface.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::path::largest;
use super::state::{common, common_shape, rules, worn};
use crate::firewall::{GroupKey, GroupNumber, Peer, Rule, State};
use crate::inventory::{InterfaceId, Inventory};
use crate::provider::Observed;

/// What an interface wears and what it will wear.
type Passage<'a> = (&'a BTreeSet<GroupKey>, &'a BTreeSet<GroupKey>);

/// The middle group of each passage, with its rules.
pub(super) fn groups<'a>(
    passages: &BTreeSet<Passage<'a>>,
    free: &(impl Iterator<Item = GroupNumber> + Clone),
    now: &'a State,
    target: &'a State,
    observed: &Observed,
    inventory: &Inventory,
) -> BTreeMap<Passage<'a>, (GroupNumber, BTreeSet<Rule>)> {
    let numbers: BTreeMap<Passage<'a>, GroupNumber> =
        passages.iter().copied().zip(free.clone()).collect();
    if numbers.is_empty() {
        return BTreeMap::new();
    }
    let peers = Peers::new(&numbers, now, target, observed, inventory);
    let with_rules = numbers.iter().map(|(passage, number)| {
        let (old, new) = passage;
        let of = |state, worn: &BTreeSet<GroupKey>| -> BTreeSet<Rule> {
            worn.iter().flat_map(|key| held(state, key)).cloned().collect()
        };
        let (old, new) = (of(now, old), of(target, new));
        let both = old.iter().flat_map(|a| new.iter().flat_map(|b| peers.meet(a, b)));
        (*passage, (*number, largest(&both.collect())))
    });
    with_rules.collect()
}

fn held<'s>(state: &'s State, key: &GroupKey) -> impl Iterator<Item = &'s Rule> + use<'s> {
    let rules = match key {
        GroupKey::Ours(number) => Some(rules(state, *number)),
        GroupKey::Foreign(_) => state.groups.get(key),
    };
    rules.into_iter().flatten()
}

/// Who can be at the other end.
#[derive(Debug)]
struct Peers<'a> {
    /// The passages, with the addresses behind them.
    moving: Vec<(Passage<'a>, GroupNumber, Vec<IpAddr>)>,
    /// The groups of interfaces that keep all of theirs, with the addresses behind them.
    still: BTreeMap<BTreeSet<GroupKey>, Vec<IpAddr>>,
}

impl<'a> Peers<'a> {
    fn new(
        numbers: &BTreeMap<Passage<'a>, GroupNumber>,
        now: &'a State,
        target: &'a State,
        observed: &Observed,
        inventory: &Inventory,
    ) -> Self {
        let mut moving: BTreeMap<Passage<'a>, Vec<IpAddr>> = BTreeMap::new();
        let mut still: BTreeMap<BTreeSet<GroupKey>, Vec<IpAddr>> = BTreeMap::new();
        let mut addresses: BTreeMap<&InterfaceId, Vec<IpAddr>> = BTreeMap::new();
        for (_, pod) in inventory.pods_of_policies() {
            if let Some(interface) = &pod.interface {
                addresses.entry(interface).or_default().extend(&pod.addresses);
            }
        }
        for interface in observed.interfaces.keys() {
            let here = addresses.get(interface).cloned().unwrap_or_default();
            let (old, new) = (worn(now, interface), worn(target, interface));
            match numbers.get_key_value(&(old, new)) {
                Some((passage, _)) => moving.entry(*passage).or_default().extend(here),
                None if old == new => still.entry(old.clone()).or_default().extend(here),
                None => {}
            }
        }
        let moving = moving
            .into_iter()
            .filter_map(|(passage, addresses)| Some((passage, *numbers.get(&passage)?, addresses)));
        Self { moving: moving.collect(), still }
    }

    /// What an old and a new rule both let through: between those that move exactly, towards those that stay as they are
    /// anything that the old or the new rule lets through will do, since one end alone cannot leave the band.
    fn meet(&self, old: &Rule, new: &Rule) -> Vec<Rule> {
        let shape = common_shape(old.shape, new.shape).filter(|_| old.direction == new.direction);
        let Some(shape) = shape else { return Vec::new() };
        let direction = old.direction;
        let rule = |peer| Rule { direction, peer, shape };
        if let (Peer::Prefix(a), Peer::Prefix(b)) = (&old.peer, &new.peer) {
            return common(*a, *b).map(Peer::Prefix).map(rule).into_iter().collect();
        }
        let matches = |peer: &Peer, worn: &BTreeSet<GroupKey>, addresses: &[IpAddr]| match peer {
            Peer::Group(key) => worn.contains(key),
            Peer::Prefix(prefix) => addresses.iter().any(|address| prefix.contains(*address)),
        };
        let moving = self.moving.iter().filter(|((before, after), _, addresses)| {
            matches(&old.peer, before, addresses) && matches(&new.peer, after, addresses)
        });
        let mut rules: Vec<Rule> =
            moving.map(|(_, number, _)| rule(Peer::Group(GroupKey::Ours(*number)))).collect();
        let still = self.still.iter().any(|(worn, addresses)| {
            matches(&old.peer, worn, addresses) && matches(&new.peer, worn, addresses)
        });
        if still {
            let peer = match &new.peer {
                Peer::Group(_) => &new.peer,
                Peer::Prefix(_) => &old.peer,
            };
            rules.push(rule(peer.clone()));
        }
        rules
    }
}
