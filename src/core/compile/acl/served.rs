//! Whom an entry serves: the policies that close some of what it denies for some pod behind it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::effective::ByAddress;
use super::super::meaning::Meaning;
use super::super::program::{node_addresses, services_of};
use super::entries::Named;
use crate::net::{AddressSet, Intervals, ServiceSet};
use crate::policy::{Action, Direction, ObjectRef, Peer, Peers, Policy, Rule, Tier};

/// The policies that govern the pods behind an ACL in a direction, with what they say of addresses: entries know nothing else.
pub(crate) struct Closers<'m>(Vec<Closer<'m>>);

/// One of them.
struct Closer<'m> {
    object: &'m ObjectRef,
    denies: Vec<Said>,
    /// What it accepts, if it closes all else.
    accepts: Option<Vec<Said>>,
}

/// Addresses and services of a rule.
type Said = (AddressSet, ServiceSet);

impl<'m> Closers<'m> {
    /// Those of an ACL, by its place in the list of those that are ours.
    pub(crate) fn new(meaning: &'m Meaning<'_>, acl: usize, direction: Direction) -> Self {
        let is_of = |tier: fn(&Tier) -> bool| {
            move |index: &&u32| {
                meaning.policies.get(**index as usize).is_some_and(|policy| tier(&policy.tier))
            }
        };
        let mut governing = BTreeSet::new();
        for id in meaning.guards.behind(acl) {
            let here = meaning.programs.governing(id, direction);
            // The Baseline tier is not asked where the NetworkPolicy tier isolates.
            let isolated = here.iter().any(|it| is_of(|it| *it == Tier::NetworkPolicy)(&it));
            let baseline = is_of(|tier| matches!(tier, Tier::Baseline { .. }));
            governing.extend(here.iter().filter(|it| !isolated || !baseline(it)).copied());
        }
        let policies = governing.into_iter().filter_map(|it| meaning.policies.get(it as usize));
        Self(policies.map(|policy| Closer::new(meaning, policy, direction)).collect())
    }

    /// The policies that close some of what an entry denies, sorted.
    pub(crate) fn of(&self, denied: &Named) -> Arc<[ObjectRef]> {
        let closers = self.0.iter().filter(|closer| closer.closes(denied));
        let objects: BTreeSet<&ObjectRef> = closers.map(|closer| closer.object).collect();
        objects.into_iter().cloned().collect()
    }
}

impl<'m> Closer<'m> {
    fn new(meaning: &Meaning<'_>, policy: &'m Policy, direction: Direction) -> Self {
        let rules = policy.rules(direction).unwrap_or_default();
        // A port that has a name may be any: it is denied wherever that may be, and accepted nowhere for certain.
        let said = |action: Action, named: &ServiceSet| -> Vec<Said> {
            let rules = rules.iter().filter(|rule| rule.action == action);
            let said = rules.map(|rule| {
                let services = services_of(&rule.services, |_, _| named.clone());
                (addresses(rule, meaning), services)
            });
            said.filter(|(addresses, _)| !addresses.is_empty()).collect()
        };
        let mut any = ServiceSet::empty();
        (any.tcp, any.udp, any.sctp) = (Intervals::full(), Intervals::full(), Intervals::full());
        let isolates = policy.tier == Tier::NetworkPolicy;
        Self {
            object: &policy.object,
            denies: said(Action::Deny, &any),
            accepts: isolates.then(|| said(Action::Accept, &ServiceSet::empty())),
        }
    }

    fn closes(&self, (prefix, shape): &Named) -> bool {
        let addresses = AddressSet::from(*prefix);
        let services = shape.services().within(prefix.family());
        let meets = |(at, of): &&Said| {
            !at.intersection(&addresses).is_empty() && !of.intersection(&services).is_empty()
        };
        let leaves_some = |accepts: &Vec<Said>| {
            let all = ByAddress::on(&addresses, &services);
            let left = accepts.iter().filter(meets).fold(all, |left, (at, of)| {
                left.join(&ByAddress::on(at, of), ServiceSet::difference)
            });
            !left.addresses_where(|services| !services.is_empty()).is_empty()
        };
        self.denies.iter().any(|said| meets(&said))
            || self.accepts.as_ref().is_some_and(leaves_some)
    }
}

/// The addresses that a rule names, as if no pod bore them.
fn addresses(rule: &Rule, meaning: &Meaning<'_>) -> AddressSet {
    let Peers::AnyOf(peers) = &rule.peers else { return AddressSet::full() };
    let named = peers.iter().map(|peer| match peer {
        Peer::Pods(_) => AddressSet::empty(),
        Peer::Addresses(set) => set.clone(),
        Peer::Nodes(selector) => node_addresses(selector, meaning.inventory, meaning.settings),
    });
    named.fold(AddressSet::empty(), |all, one| all.union(&one))
}
