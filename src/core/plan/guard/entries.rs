//! The entries of our network ACLs: what ours deny, and what they copy.

use std::collections::BTreeSet;

use crate::firewall::{Acl, AclName, Entry, EntryAction, EntryKey, EntryNumber};
use crate::plan::state::common;
use crate::policy::Direction;
use crate::provider::AclStep;

/// What an ACL of ours denies. The order means nothing: each entry denies something that may be denied.
pub(super) type Denies = BTreeSet<(Direction, Entry)>;

/// What an ACL of ours denies by entries of its own.
pub(super) fn denies(acl: &Acl) -> Denies {
    let own = acl.own().filter(|(_, entry)| entry.action == EntryAction::Deny);
    own.map(|(key, entry)| (key.direction, *entry)).collect()
}

/// Makes an ACL that guards nothing hold these denies, and what another one copies.
pub(super) fn fill(
    acl: &AclName,
    there: &Acl,
    denies: &Denies,
    copied: Option<&Acl>,
) -> Vec<AclStep> {
    let mut wanted: Acl = copied.map(|it| Acl(it.copied().collect())).unwrap_or_default();
    for (direction, entry) in denies {
        if let Some(key) = free(*direction, &wanted) {
            wanted.0.insert(key, *entry);
        }
    }
    let gone = there.0.keys().filter(|key| !wanted.0.contains_key(*key));
    let gone = gone.map(|key| AclStep::Remove { acl: acl.clone(), key: *key });
    let put = wanted.0.iter().filter(|(key, entry)| there.0.get(*key) != Some(*entry));
    let put = put.map(|(key, entry)| AclStep::Put { acl: acl.clone(), key: *key, entry: *entry });
    gone.chain(put).collect()
}

/// Adds what an ACL does not deny yet. Where nothing else changes, an entry takes the place of one that is to go, if all else that
/// this one denies may pass: that is one call instead of two.
pub(super) fn add(
    acl: &AclName,
    there: &Acl,
    wanted: &Denies,
    instead: Option<&Denies>,
) -> Vec<AclStep> {
    let mut then = there.clone();
    let known = denies(there);
    let mut steps = Vec::new();
    for (direction, entry) in wanted.difference(&known) {
        let replaced = instead.and_then(|new| {
            let stale = then.own().filter(|(key, old)| {
                key.direction == *direction && !new.contains(&(key.direction, **old))
            });
            let mut stale = stale.filter(|(_, old)| frees_nothing(old, entry, *direction, new));
            stale.next().map(|(key, _)| *key)
        });
        let Some(key) = replaced.or_else(|| free(*direction, &then)) else { continue };
        then.0.insert(key, *entry);
        steps.push(AclStep::Put { acl: acl.clone(), key, entry: *entry });
    }
    steps
}

/// Removes the entries of its own that an ACL is not to keep, and those that it has twice.
pub(super) fn trim(acl: &AclName, there: &Acl, keep: &Denies) -> Vec<AclStep> {
    let mut left = keep.clone();
    let needless = there.own().filter(|(key, entry)| !left.remove(&(key.direction, **entry)));
    needless.map(|(key, _)| AclStep::Remove { acl: acl.clone(), key: *key }).collect()
}

/// The lowest key of a direction that no entry bears.
fn free(direction: Direction, acl: &Acl) -> Option<EntryKey> {
    let own = (1..EntryNumber::COPIED).filter_map(|number| EntryNumber::try_from(number).ok());
    let mut keys = own.map(|number| EntryKey { direction, number });
    keys.find(|key| !acl.0.contains_key(key))
}

/// Whether nothing that is to be denied passes for a moment when one entry takes the place of another: all that the old one denies
/// of it, the new one does.
fn frees_nothing(old: &Entry, new: &Entry, direction: Direction, wanted: &Denies) -> bool {
    let meet = |a: &Entry, b: &Entry| Some((common(a.prefix, b.prefix)?, a.shape.common(b.shape)?));
    let mut others = wanted.iter().filter(|(of, entry)| *of == direction && entry != new);
    old.action == EntryAction::Deny
        && others.all(|(_, other)| {
            meet(old, other).is_none_or(|(prefix, shape)| {
                new.prefix.contains_prefix(prefix) && new.shape.common(shape) == Some(shape)
            })
        })
}
