//! Copies of what the ACL before ours says, in its order.
//!
//! A list takes the place of another one in front of it, entry by entry from its first: a packet is decided by what is there of the
//! new list, or else as before. Once the new one is whole and ends with denying the rest, the old one decides nothing.

use std::collections::BTreeMap;

use crate::firewall::{Acl, AclName, Entry, EntryAction, EntryKey, EntryNumber};
use crate::net::{Family, Prefix, Shape};
use crate::policy::Direction;
use crate::provider::AclStep;

/// From one copied entry to the next.
const APART: u16 = 10;

/// The steps, one after the other, by which an ACL comes to copy what is wanted; none if it does, or if there is no room.
pub(super) fn follow(acl: &AclName, there: &Acl, wanted: &Acl) -> Vec<AclStep> {
    let both = Direction::BOTH.into_iter();
    both.flat_map(|direction| one_way(acl, there, wanted, direction)).collect()
}

/// Whether two ACLs copy the same.
pub(super) fn are_alike(one: &Acl, other: &Acl) -> bool {
    let list =
        |acl: &Acl| -> Vec<_> { acl.copied().map(|(key, entry)| (key.direction, entry)).collect() };
    list(one) == list(other)
}

type List = BTreeMap<EntryKey, Entry>;

fn one_way(acl: &AclName, there: &Acl, wanted: &Acl, direction: Direction) -> Vec<AclStep> {
    let copied = |of: &Acl| -> List {
        let copied = of.copied().filter(|(key, _)| key.direction == direction);
        copied.collect()
    };
    let (old, new) = (copied(there), copied(wanted));
    if old.values().eq(new.values()) {
        return Vec::new();
    }
    let rest = Family::BOTH.map(|family| Entry {
        action: EntryAction::Deny,
        prefix: Prefix::everything(family),
        shape: Shape::All,
    });
    let families: Vec<Entry> = rest
        .into_iter()
        .filter(|rest| old.values().any(|it| it.prefix.family() == rest.prefix.family()))
        .collect();
    let list: Vec<Entry> = new.values().copied().chain(families).collect();
    let put = |(key, entry): (EntryKey, Entry)| AclStep::Put { acl: acl.clone(), key, entry };
    let remove = |key: EntryKey| AclStep::Remove { acl: acl.clone(), key };
    if let Some(front) = in_front(&old, &list, direction) {
        let last = front.iter().skip(new.len()).map(|(key, _)| *key);
        let last: Vec<EntryKey> = last.collect();
        let old = old.keys().copied().chain(last).map(remove);
        return front.into_iter().map(put).chain(old).collect();
    }
    // No room in front: the list that is there moves to the end first. A copy behind it decides nothing, and decides alike for
    // what is taken away before it, from the last.
    let behind: Vec<(EntryKey, Entry)> =
        at(EntryNumber::MAX, &old.values().copied().collect::<Vec<_>>(), direction);
    let free = behind.iter().all(|(key, _)| !old.contains_key(key));
    if !free || behind.len() != old.len() {
        return Vec::new();
    }
    let moved = Acl(behind.iter().copied().collect());
    let before = behind.into_iter().map(put).chain(old.keys().rev().copied().map(remove));
    before.chain(one_way(acl, &moved, wanted, direction)).collect()
}

/// A list in front of another one, if there is room.
fn in_front(old: &List, list: &[Entry], direction: Direction) -> Option<Vec<(EntryKey, Entry)>> {
    let end = old.keys().next().map_or(EntryNumber::MAX, |first| first.number.get());
    let front = at(end, list, direction);
    (front.len() == list.len()).then_some(front)
}

/// A list that ends before a number; shorter where copied entries have no numbers for all of it.
fn at(end: u16, list: &[Entry], direction: Direction) -> Vec<(EntryKey, Entry)> {
    let length = u16::try_from(list.len()).unwrap_or(u16::MAX);
    let first = end.saturating_sub(APART.saturating_mul(length));
    let numbers = (first..end).step_by(usize::from(APART)).filter(|it| *it >= EntryNumber::COPIED);
    let keys = numbers.filter_map(|it| EntryNumber::try_from(it).ok());
    keys.map(|number| EntryKey { direction, number }).zip(list.iter().copied()).collect()
}
