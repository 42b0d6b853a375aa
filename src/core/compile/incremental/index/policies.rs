//! Policies and their selectors as they come and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Index, Known, PolicyId, Use, insert, remove};
use crate::compile::cohort::CohortId;
use crate::compile::incremental::store::Store;
use crate::net::AddressSet;
use crate::policy::{
    Direction, Namespaces, ObjectRef, Peer, Peers, PodSelector, Policy, Rule, Subject, Tier, Word,
};

impl Index {
    /// A policy is there, with this text; whether that is news. `labels` tells those of a namespace.
    pub(crate) fn put(&mut self, policy: Policy, store: &Store) -> bool {
        let old = self.by_object.get(&policy.object).copied();
        if self.policy(old).is_some_and(|known| *known.policy == policy) {
            return false;
        }
        let subject = match &policy.subject {
            Subject::Nobody => None,
            Subject::Pods(selector) => Some(self.number(selector, store)),
        };
        let peers: BTreeSet<usize> =
            selectors(&policy).map(|selector| self.number(selector, store)).collect();
        let known = Known { policy: Arc::new(policy), subject, peers };
        let policy = known.policy.clone();
        let id = PolicyId::try_from(self.policies.insert(known.clone())).unwrap_or(PolicyId::MAX);
        let used = |index: &mut Self, selector: usize, of: fn(&mut Use) -> &mut BTreeSet<_>| {
            index.selectors.get_mut(selector).map(|used| of(used).insert(id));
        };
        known.subject.iter().for_each(|it| used(self, *it, |used| &mut used.subject_of));
        known.peers.iter().for_each(|it| used(self, *it, |used| &mut used.peer_of));
        if policy.rules(Direction::Egress).unwrap_or_default().iter().any(of_port_names) {
            self.of_port_names.insert(id);
        }
        if policy.tier != Tier::NetworkPolicy {
            self.ordered.insert(id);
        }
        if named(&policy).any(|peer| matches!(peer, Peer::Nodes(_))) {
            self.of_nodes.insert(id);
        }
        for block in blocks(&policy) {
            *self.blocks.entry(block.clone()).or_default() += 1;
        }
        self.touch_subjects(id);
        self.drop_policy(old);
        self.by_object.insert(policy.object.clone(), id);
        true
    }

    /// A policy is not there; whether that is news.
    pub(crate) fn remove(&mut self, object: &ObjectRef) -> bool {
        let old = self.by_object.remove(object);
        self.drop_policy(old);
        old.is_some()
    }

    fn drop_policy(&mut self, id: Option<PolicyId>) {
        let Some(id) = id else { return };
        self.touch_subjects(id);
        self.of_port_names.remove(&id);
        self.ordered.remove(&id);
        self.of_nodes.remove(&id);
        let Some(known) = self.policies.remove(id as usize) else { return };
        for block in blocks(&known.policy) {
            if let Some(count) = self.blocks.get_mut(block) {
                *count -= 1;
                if *count == 0 {
                    self.blocks.remove(block);
                }
            }
        }
        for selector in known.subject.into_iter().chain(known.peers) {
            let Some(used) = self.selectors.get_mut(selector) else { continue };
            used.subject_of.remove(&id);
            used.peer_of.remove(&id);
            if used.subject_of.is_empty() && used.peer_of.is_empty() {
                self.unused(selector);
            }
        }
    }

    /// The place of a selector.
    fn number(&mut self, selector: &PodSelector, store: &Store) -> usize {
        if let Some(known) = self.by_selector.get(selector) {
            return *known;
        }
        let mut members = Vec::new();
        let mut select = |namespace: &Word, cohorts: &BTreeSet<CohortId>| {
            let of_namespace = match &selector.namespaces {
                Namespaces::Named(name) => name == namespace,
                Namespaces::Matching(wanted) => wanted.matches(store.labels(namespace)),
            };
            let selects = |id: &&CohortId| {
                let cohort = self.cohorts.get(**id as usize);
                cohort.is_some_and(|cohort| selector.pods.matches(&cohort.alike.labels))
            };
            if of_namespace {
                members.extend(cohorts.iter().filter(selects).copied());
            }
        };
        match &selector.namespaces {
            Namespaces::Named(name) => {
                self.namespaces.get(name).into_iter().for_each(|cohorts| select(name, cohorts));
            }
            Namespaces::Matching(_) => {
                self.namespaces.iter().for_each(|(name, cohorts)| select(name, cohorts));
            }
        }
        members.sort_unstable();
        let selector = Arc::new(selector.clone());
        let (subject_of, peer_of) = Default::default();
        let used = Use { selector: selector.clone(), members, subject_of, peer_of };
        let id = self.selectors.insert(used);
        match &selector.namespaces {
            Namespaces::Named(name) => {
                self.named.entry(name.clone()).or_default().insert(id);
            }
            Namespaces::Matching(_) => {
                self.matching.insert(id);
            }
        }
        for member in self.selectors.get(id).into_iter().flat_map(|used| &used.members) {
            if let Some(cohort) = self.cohorts.get_mut(*member as usize) {
                insert(&mut cohort.selectors, id);
            }
        }
        self.by_selector.insert(selector, id);
        id
    }

    fn unused(&mut self, id: usize) {
        let Some(used) = self.selectors.remove(id) else { return };
        self.by_selector.remove(&used.selector);
        match &used.selector.namespaces {
            Namespaces::Named(name) => {
                if let Some(selectors) = self.named.get_mut(name) {
                    selectors.remove(&id);
                    if selectors.is_empty() {
                        self.named.remove(name);
                    }
                }
            }
            Namespaces::Matching(_) => {
                self.matching.remove(&id);
            }
        }
        for member in used.members {
            if let Some(cohort) = self.cohorts.get_mut(member as usize) {
                remove(&mut cohort.selectors, id);
            }
        }
    }

    fn policy(&self, id: Option<PolicyId>) -> Option<&Known> {
        self.policies.get(id? as usize)
    }
}

/// Whom a policy names as peers.
fn named(policy: &Policy) -> impl Iterator<Item = &Peer> + '_ {
    let rules = Direction::BOTH.into_iter().filter_map(|direction| policy.rules(direction));
    let peers = rules.flatten().filter_map(|rule| match &rule.peers {
        Peers::Anyone => None,
        Peers::AnyOf(peers) => Some(peers),
    });
    peers.flatten()
}

/// The selectors by which a policy names peers.
fn selectors(policy: &Policy) -> impl Iterator<Item = &PodSelector> + '_ {
    named(policy).filter_map(|peer| match peer {
        Peer::Pods(selector) => Some(selector),
        Peer::Addresses(_) | Peer::Nodes(_) => None,
    })
}

/// The addresses that a policy names.
fn blocks(policy: &Policy) -> impl Iterator<Item = &AddressSet> + '_ {
    named(policy).filter_map(|peer| match peer {
        Peer::Addresses(set) => Some(set),
        Peer::Pods(_) | Peer::Nodes(_) => None,
    })
}

/// Whether a rule names ports of anyone.
fn of_port_names(rule: &Rule) -> bool {
    rule.peers == Peers::Anyone && rule.names_ports()
}
