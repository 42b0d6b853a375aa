//! The rules of one worn group in one direction: from old to new within the quota, never leaving old ∩ new ⊆ A ⊆ old ∪ new.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::state::{contains, meet};
use crate::budget;
use crate::firewall::{Peer, Rule};
use crate::net::{Family, Prefix, ServiceSet};
use crate::policy::Direction;

/// The changes of a group's rules, in order. No part holds a rule twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    /// Revoked first of all: redundant, or pure tightening.
    pub(super) early: BTreeSet<Rule>,
    /// Then, round after round, what is authorized and what is revoked after that.
    pub(super) rounds: Vec<Round>,
}

/// One authorize and one revoke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) add: BTreeSet<Rule>,
    pub(super) remove: BTreeSet<Rule>,
}

/// How a group goes from old to new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Manner {
    /// By old ∪ new: authorize, then revoke. Two calls.
    #[default]
    Direct,
    /// By old ∩ new: what an end may open while another end, with which it must not be open together, still closes.
    Through,
}

/// A path, if there is one within `limit` rules for each family.
pub(super) fn find(
    old: &BTreeSet<Rule>,
    new: &BTreeSet<Rule>,
    direction: Direction,
    limit: usize,
    manner: Manner,
) -> Option<Path> {
    let fits = |rules: &BTreeSet<Rule>| {
        Family::BOTH.into_iter().all(|family| budget::rules(rules, direction, family) <= limit)
    };
    match manner {
        Manner::Direct => direct(old, new, &fits),
        Manner::Through => through(old, new, &fits),
    }
}

fn direct(
    old: &BTreeSet<Rule>,
    new: &BTreeSet<Rule>,
    fits: &impl Fn(&BTreeSet<Rule>) -> bool,
) -> Option<Path> {
    let (add, remove) = (new - old, old - new);
    let stay = old & new;
    if remove.iter().all(|rule| spare(rule, new, &stay)) {
        let rounds =
            if add.is_empty() { Vec::new() } else { vec![Round { add, remove: BTreeSet::new() }] };
        return fits(new).then_some(Path { early: remove, rounds });
    }
    if fits(&(old | new)) {
        return Some(Path { early: BTreeSet::new(), rounds: vec![Round { add, remove }] });
    }
    let mut now = old.clone();
    let early = drop_spare(&mut now, new);
    let mut rounds = Vec::new();
    while now != *new {
        let add = batch(&mut now, new, fits);
        let remove = drop_spare(&mut now, new);
        if add.is_empty() && remove.is_empty() {
            return None;
        }
        rounds.push(Round { add, remove });
    }
    Some(Path { early, rounds })
}

fn through(
    old: &BTreeSet<Rule>,
    new: &BTreeSet<Rule>,
    fits: &impl Fn(&BTreeSet<Rule>) -> bool,
) -> Option<Path> {
    let middle = intersection(old, new);
    let first = Round { add: &middle - old, remove: &(old - new) - &middle };
    let second = Round { add: &(new - old) - &middle, remove: &middle - new };
    (fits(&(old | &middle)) && fits(&(&middle | new)))
        .then(|| Path { early: BTreeSet::new(), rounds: vec![first, second] })
}

/// What both sets of rules let through, as far as single rules can say it, without rules that another one makes redundant.
pub(super) fn intersection(old: &BTreeSet<Rule>, new: &BTreeSet<Rule>) -> BTreeSet<Rule> {
    let all = old.iter().flat_map(|a| new.iter().filter_map(|b| meet(a, b))).collect();
    largest(&all)
}

/// The rules that no other one contains.
pub(super) fn largest(rules: &BTreeSet<Rule>) -> BTreeSet<Rule> {
    // What contains a rule names the same group, or a prefix that holds its own: nothing else need be compared with it.
    let mut by_peer: BTreeMap<(Direction, Peer), Vec<&Rule>> = BTreeMap::new();
    let mut lengths = BTreeSet::new();
    for rule in rules {
        by_peer.entry((rule.direction, rule.peer.clone())).or_default().push(rule);
        if let Peer::Prefix(prefix) = &rule.peer {
            lengths.insert(prefix.length());
        }
    }
    let redundant = |rule: &&Rule| {
        let holders: Vec<Peer> = match &rule.peer {
            Peer::Group(_) => vec![rule.peer.clone()],
            Peer::Prefix(prefix) => {
                let lengths = lengths.range(..=prefix.length());
                let holders = lengths.filter_map(|it| Prefix::new(prefix.first(), *it));
                holders.map(Peer::Prefix).collect()
            }
        };
        let others = holders.into_iter().filter_map(|it| by_peer.get(&(rule.direction, it)));
        others.flatten().any(|other| other != rule && contains(other, rule))
    };
    rules.iter().filter(|rule| !redundant(rule)).cloned().collect()
}

/// Takes out every old rule that can go, address rules first: those are the urgent ones.
fn drop_spare(now: &mut BTreeSet<Rule>, new: &BTreeSet<Rule>) -> BTreeSet<Rule> {
    let mut dropped = BTreeSet::new();
    // `Peer::Prefix` sorts before `Peer::Group`.
    let old: Vec<Rule> = now.difference(new).cloned().collect();
    for rule in old {
        now.remove(&rule);
        if spare(&rule, new, now) {
            dropped.insert(rule);
        } else {
            now.insert(rule);
        }
    }
    dropped
}

/// Adds the new rules that fit, those first that free an old rule with the fewest companions.
fn batch(
    now: &mut BTreeSet<Rule>,
    new: &BTreeSet<Rule>,
    fits: &impl Fn(&BTreeSet<Rule>) -> bool,
) -> BTreeSet<Rule> {
    let mut added = BTreeSet::new();
    let missing: BTreeSet<Rule> = new - now;
    let companions = |old: &Rule| -> BTreeSet<Rule> {
        missing.iter().filter(|rule| meet(old, rule).is_some()).cloned().collect()
    };
    let mut wanted: Vec<BTreeSet<Rule>> = now.difference(new).map(companions).collect();
    wanted.sort_by_key(BTreeSet::len);
    for rules in wanted.into_iter().chain(missing.iter().map(|rule| BTreeSet::from([rule.clone()])))
    {
        let next = &*now | &rules;
        if fits(&next) {
            added.extend(rules.difference(now).cloned());
            *now = next;
        }
    }
    added
}

/// Whether an old rule can go while `stay` stays: what it shares with the new rules is let through without it.
fn spare(old: &Rule, new: &BTreeSet<Rule>, stay: &BTreeSet<Rule>) -> bool {
    new.iter().filter_map(|rule| meet(old, rule)).all(|shared| covered(&shared, stay))
}

/// Whether rules let through everything that one rule does.
pub(super) fn covered(rule: &Rule, by: &BTreeSet<Rule>) -> bool {
    let pieces: Vec<Rule> = by.iter().filter_map(|other| meet(rule, other)).collect();
    if pieces.contains(rule) {
        return true;
    }
    let services = |at: Option<IpAddr>| {
        let there = pieces.iter().filter(|piece| match (&piece.peer, at) {
            (Peer::Prefix(prefix), Some(at)) => prefix.contains(at),
            (Peer::Prefix(_) | Peer::Group(_), _) => true,
        });
        there.fold(ServiceSet::empty(), |sum, piece| sum.union(&piece.shape.services()))
    };
    match &rule.peer {
        Peer::Group(_) => services(None).contains_all(&rule.shape.services()),
        Peer::Prefix(prefix) => {
            let wanted = rule.shape.services().within(prefix.family());
            let ends = pieces.iter().filter_map(|piece| match &piece.peer {
                Peer::Prefix(prefix) => Some([Some(prefix.first()), after(*prefix)]),
                Peer::Group(_) => None,
            });
            let starts = ends.flatten().flatten().filter(|address| prefix.contains(*address));
            let mut starts = starts.chain([prefix.first()]);
            starts.all(|at| services(Some(at)).contains_all(&wanted))
        }
    }
}

/// The address after a prefix.
fn after(prefix: Prefix) -> Option<IpAddr> {
    match prefix.last() {
        IpAddr::V4(last) => u32::from(last).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(last) => u128::from(last).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}
