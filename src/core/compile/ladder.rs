//! What to give up when the exact rules do not fit the quotas (DESIGN §6.6): a fixed ladder, never wider.
//!
//! 1. Protocols other than tcp, udp and ICMP, where everything but something is asked: "all but one port" is 257 rules.
//! 2. The Accept rules of whole policies, costliest first, until the rest fits.
//! 3. Everything in the directions that policies govern.
//! 4. Everything in both directions: one closed group for all who are left.
//!
//! When groups run out, classes are served by namespace in turn; the pods of the others are closed, and nobody can name them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::class::{Class, ClassId, Classes};
use super::cohort::{Cohort, CohortId, Concession, Concessions};
use super::layout::Layout;
use super::meaning::Meaning;
use super::program::node_addresses;
use crate::net::{Family, ServiceSet};
use crate::policy::{Action, Direction, Peer, Peers, Policy, Rule, ServiceMatch, Services};

/// The concessions with one more rung for whoever does not fit; none if everybody fits, or nothing is left to give up.
pub(crate) fn climb(
    meaning: &Meaning<'_>,
    classes: &Classes,
    layout: &Layout,
) -> Option<Concessions> {
    let rungs = [too_large, out_of_groups, sealed];
    rungs.into_iter().find_map(|rung| applied(meaning, rung(meaning, classes, layout)))
}

/// More concessions, by cohort.
type Rung = BTreeMap<CohortId, Concession>;

/// One more rung for classes whose rules do not fit on their interfaces.
fn too_large(meaning: &Meaning<'_>, classes: &Classes, layout: &Layout) -> Rung {
    let mut more = Rung::new();
    for (class, (shortage, excess)) in &layout.too_large {
        let Some(class) = classes.list.get(*class) else { continue };
        for id in &class.cohorts {
            let Some(cohort) = meaning.cohorts.get(*id) else { continue };
            let mut next = next_rung(meaning, classes, class, *id, cohort, *excess);
            next.shortage = next.shortage.or(Some(*shortage));
            more.insert(*id, next);
        }
    }
    more
}

/// Where groups run out: nothing for those who are not served.
fn out_of_groups(meaning: &Meaning<'_>, classes: &Classes, layout: &Layout) -> Rung {
    let allowed = meaning.settings.quotas.groups;
    let mut more = Rung::new();
    if layout.count > allowed {
        for class in unserved(meaning, classes, layout, allowed) {
            for id in &class.cohorts {
                let Some(cohort) = meaning.cohorts.get(*id) else { continue };
                let last = (*cohort.concession).clone();
                more.insert(*id, Concession { closed: true, nameless: true, ..last });
            }
        }
    }
    more
}

/// Where even a closed group for each pattern of isolation is too many: one group, closed both ways.
fn sealed(meaning: &Meaning<'_>, _: &Classes, layout: &Layout) -> Rung {
    if layout.count <= meaning.settings.quotas.groups {
        return Rung::new();
    }
    let closed = meaning.cohorts.iter().filter(|(_, cohort)| cohort.concession.closed);
    let seal = |cohort: &Cohort| Concession { sealed: true, ..(*cohort.concession).clone() };
    closed.map(|(id, cohort)| (id, seal(cohort))).collect()
}

/// All concessions with those of a rung; none if the rung changes nothing.
fn applied(meaning: &Meaning<'_>, mut more: Rung) -> Option<Concessions> {
    let mut concessions = Concessions::new();
    let mut changed = false;
    for (id, cohort) in meaning.cohorts.iter() {
        let concession = match more.remove(&id) {
            Some(next) if next != *cohort.concession => {
                changed = true;
                Arc::new(next)
            }
            Some(_) | None => cohort.concession.clone(),
        };
        if *concession != Concession::default() {
            concessions.extend(cohort.pods.iter().map(|pod| (*pod, concession.clone())));
        }
    }
    changed.then_some(concessions)
}

/// What a cohort gives up next.
fn next_rung(
    meaning: &Meaning<'_>,
    classes: &Classes,
    class: &Class,
    id: CohortId,
    cohort: &Cohort,
    excess: usize,
) -> Concession {
    let mut next = (*cohort.concession).clone();
    if class.grants == [None, None] {
        next.nameless = true;
    } else if !next.only_ports && asks_for_all_but_something(meaning, class) {
        next.only_ports = true;
    } else {
        let mut costs = costs(meaning, classes, id, &next.without);
        costs.sort_by_key(|(index, cost)| (std::cmp::Reverse(*cost), *index));
        if costs.is_empty() {
            next.sealed |= next.closed;
            next.closed = true;
        }
        let mut saved = 0;
        for (index, cost) in costs {
            if saved < excess.max(1) {
                next.without.insert(index);
                saved += cost;
            }
        }
    }
    next
}

fn asks_for_all_but_something(meaning: &Meaning<'_>, class: &Class) -> bool {
    let part = |services: &ServiceSet| {
        services.asks_for_every_other()
            && Family::BOTH.iter().all(|family| !services.contains_all(&ServiceSet::line(*family)))
    };
    class.grants.iter().flatten().filter_map(|grant| meaning.grants.get(*grant)).any(|grant| {
        !grant.addresses.addresses_where(part).is_empty()
            || grant.references.iter().any(|(_, services)| part(services))
    })
}

/// What the Accept rules of each policy cost a cohort, about: addresses and classes times shapes.
fn costs(
    meaning: &Meaning<'_>,
    classes: &Classes,
    id: CohortId,
    without: &BTreeSet<u32>,
) -> Vec<(u32, usize)> {
    let mut costs: BTreeMap<u32, usize> = BTreeMap::new();
    for direction in Direction::BOTH {
        for index in meaning.programs.governing(id, direction) {
            let Some(policy) = meaning.policies.get(*index as usize) else { continue };
            let accepts = accepts(policy, direction)
                .map(|rule| names(meaning, classes, &rule.peers) * shapes(&rule.services));
            let cost: usize = accepts.sum();
            if cost > 0 && !without.contains(index) {
                *costs.entry(*index).or_default() += cost;
            }
        }
    }
    costs.into_iter().collect()
}

fn accepts(policy: &Policy, direction: Direction) -> impl Iterator<Item = &Rule> {
    let rules = policy.rules(direction).unwrap_or_default();
    rules.iter().filter(|rule| rule.action == Action::Accept)
}

fn names(meaning: &Meaning<'_>, classes: &Classes, peers: &Peers) -> usize {
    let Peers::AnyOf(peers) = peers else { return 1 };
    let each = peers.iter().map(|peer| match peer {
        Peer::Pods(selector) => {
            let set = meaning.cohorts.selected(selector);
            let members = set.map_or(&[][..], |set| meaning.cohorts.members(set));
            let named: BTreeSet<ClassId> =
                members.iter().filter_map(|cohort| classes.of(*cohort)).collect();
            named.len()
        }
        Peer::Addresses(set) => set.prefixes().len(),
        Peer::Nodes(selector) => {
            node_addresses(selector, meaning.inventory, meaning.settings).prefixes().len()
        }
    });
    each.sum()
}

fn shapes(services: &Services) -> usize {
    let Services::AnyOf(list) = services else { return 1 };
    let each = list.iter().map(|one| match one {
        ServiceMatch::Set(set) => set.maximal_shapes_of_both().len(),
        ServiceMatch::Named { .. } => 1,
    });
    each.sum()
}

/// The classes that get no groups of their own, so that the rest fit.
fn unserved<'c>(
    meaning: &Meaning<'_>,
    classes: &'c Classes,
    layout: &Layout,
    allowed: usize,
) -> Vec<&'c Class> {
    let mut turns: Vec<(usize, &str, ClassId)> = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut closed = BTreeSet::new();
    for (id, class) in classes.list.iter().enumerate() {
        let first = class.cohorts.first().and_then(|cohort| meaning.cohorts.get(*cohort));
        let Some(cohort) = first else { continue };
        if class.grants != [None, None] {
            closed.insert((class.grants.map(|grant| grant.is_some()), class.copied.clone()));
        }
        if !cohort.concession.nameless {
            let turn = seen.entry(&cohort.namespace).or_default();
            turns.push((*turn, &cohort.namespace, id));
            *turn += 1;
        }
    }
    turns.sort_unstable();
    let mut left = allowed.saturating_sub(closed.len() + layout.memberships.len());
    let mut unserved = Vec::new();
    for (_, _, id) in turns {
        let groups = layout.groups.get(id).map_or(0, Vec::len);
        if groups <= left {
            left -= groups;
        } else {
            unserved.extend(classes.list.get(id));
        }
    }
    unserved
}
