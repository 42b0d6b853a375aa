//! The part of a cluster on which the findings of one policy depend.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Inputs;
use super::concession::Concessions;
use super::meaning::Meaning;
use super::shared::Pools;
use crate::inventory::{Inventory, Pod};
use crate::policy::{
    Direction, Labels, Namespaces, ObjectRef, Peer, Peers, PodSelector, Policy, Subject, Tier, Word,
};

impl Inputs {
    /// The part on which the findings of one policy depend: the pods that it selects, every policy about these, the pods that
    /// those name, and who else claims their addresses. It compiles to the same findings of that policy, but for the pods
    /// in their flows, and for what others use up of the quotas.
    #[must_use]
    pub fn narrowed(&self, object: &ObjectRef) -> Self {
        let Self { policies, inventory, settings } = self;
        let settings = settings.clone();
        let sight = Sight { inventory, pods: by_namespace(inventory) };
        let policy = policies.iter().find(|policy| policy.object == *object);
        let subjects = policy.map(|policy| sight.subjects(policy)).unwrap_or_default();
        let concerned =
            |other: &&Policy| other.object == *object || sight.selects_one_of(other, &subjects);
        let about: Vec<Policy> = policies.iter().filter(concerned).cloned().collect();
        let mut kept = subjects;
        kept.extend(about.iter().flat_map(|policy| sight.peers(policy)));
        kept.extend(sight.claimants(&kept));
        let pods = kept.iter().filter_map(|place| inventory.pods.get(*place).cloned());
        let part = Inventory { pods: pods.collect(), ..inventory.clone() };
        let part = Self { policies: about, inventory: part, settings };
        if part.carves() {
            // Whoever is let in by a prefix that no longer holds him is named instead.
            return Self { inventory: inventory.clone(), ..part };
        }
        part
    }

    /// Whether addresses of pods are taken out of prefixes.
    fn carves(&self) -> bool {
        let policies: Vec<&Policy> = self.policies.iter().collect();
        if policies.iter().all(|policy| policy.tier == Tier::NetworkPolicy) {
            return false;
        }
        let Self { inventory, settings, .. } = self;
        let (none, pools) = (Concessions::new(), &mut Pools::default());
        let meaning = Meaning::new(&policies, inventory, settings, &none, pools);
        meaning.grants.iter().any(|grant| !grant.carved.is_empty())
    }
}

/// Pods that policies see, by namespace, as places in the inventory.
struct Sight<'a> {
    inventory: &'a Inventory,
    pods: BTreeMap<&'a Word, Vec<(usize, &'a Pod)>>,
}

fn by_namespace(inventory: &Inventory) -> BTreeMap<&Word, Vec<(usize, &Pod)>> {
    let mut namespaces: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, pod) in inventory.pods_of_policies() {
        namespaces.entry(&pod.namespace).or_default().push((index.0, pod));
    }
    namespaces
}

impl<'a> Sight<'a> {
    fn subjects(&self, policy: &Policy) -> BTreeSet<usize> {
        match &policy.subject {
            Subject::Nobody => BTreeSet::new(),
            Subject::Pods(selector) => self.selected(selector).collect(),
        }
    }

    fn selected<'s>(&'s self, selector: &'s PodSelector) -> impl Iterator<Item = usize> + 's {
        let namespaces = self.pods.iter().filter(|(name, _)| match &selector.namespaces {
            Namespaces::Named(named) => named == **name,
            Namespaces::Matching(labels) => labels.matches(&self.labels(name)),
        });
        let pods = namespaces.flat_map(|(_, pods)| pods);
        pods.filter(|(_, pod)| selector.pods.matches(&pod.labels)).map(|(place, _)| *place)
    }

    fn labels(&self, namespace: &Word) -> Arc<Labels> {
        self.inventory.namespace_labels(namespace)
    }

    fn selects_one_of(&self, policy: &Policy, places: &BTreeSet<usize>) -> bool {
        let Subject::Pods(selector) = &policy.subject else { return false };
        places
            .iter()
            .filter_map(|place| self.inventory.pods.get(*place))
            .any(|pod| selector.matches(&pod.namespace, &self.labels(&pod.namespace), &pod.labels))
    }

    /// The pods that a policy names, in either direction.
    fn peers(&self, policy: &Policy) -> BTreeSet<usize> {
        let mut places = BTreeSet::new();
        let rules = Direction::BOTH.map(|direction| policy.rules(direction).unwrap_or_default());
        for rule in rules.into_iter().flatten() {
            match &rule.peers {
                Peers::Anyone if rule.names_ports() => {
                    let pods = self.pods.values().flatten();
                    let holders = pods.filter(|(_, pod)| !pod.ports.is_empty());
                    places.extend(holders.map(|(place, _)| *place));
                }
                Peers::Anyone => {}
                Peers::AnyOf(peers) => {
                    for peer in peers {
                        if let Peer::Pods(selector) = peer {
                            places.extend(self.selected(selector));
                        }
                    }
                }
            }
        }
        places
    }

    /// The other pods that claim an address of these.
    fn claimants(&self, places: &BTreeSet<usize>) -> Vec<usize> {
        let kept = places.iter().filter_map(|place| self.inventory.pods.get(*place));
        let addresses: BTreeSet<IpAddr> =
            kept.flat_map(|pod| pod.addresses.iter().copied()).collect();
        let claims = |pod: &Pod| pod.addresses.iter().any(|address| addresses.contains(address));
        let pods = self.inventory.pods.iter().enumerate();
        pods.filter(|(_, pod)| claims(pod)).map(|(place, _)| place).collect()
    }
}
