//! The part of a cluster on which the findings of one policy depend.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Inputs;
use super::concession::Concessions;
use super::meaning::Meaning;
use super::shared::Pools;
use crate::firewall::{self, ForeignGroupId};
use crate::inventory::{ByNamespace, Inventory, Pod, PodIndex};
use crate::net::{AddressSet, Family};
use crate::policy::{Direction, ObjectRef, Peer, Peers, PodSelector, Policy, Subject, Tier};

impl Inputs {
    /// The part on which the findings of one policy depend: the pods that it selects, every policy about these, the pods that
    /// those name or whose addresses they name, those that groups of others let in, and who else claims an address of any of
    /// them. It compiles to the same findings of that policy, but for the pods in their flows, and for what others use up of
    /// the quotas. Two things are left out. Where many bear the addresses or the groups, a few stand for all: a loss that only
    /// another one of them meets is missed. And the policies about peers: what they alone close is told as passing.
    #[must_use]
    pub fn narrowed(&self, object: &ObjectRef) -> Self {
        let Self { policies, inventory, settings } = self;
        let settings = settings.clone();
        let sight = Sight::new(inventory);
        let policy = policies.iter().find(|policy| policy.object == *object);
        let subjects = policy.map(|policy| sight.subjects(policy)).unwrap_or_default();
        let about = |places: &BTreeSet<PodIndex>| -> Vec<Policy> {
            let concerned =
                |other: &&Policy| other.object == *object || sight.selects_one_of(other, places);
            policies.iter().filter(concerned).cloned().collect()
        };
        let mut kept = subjects.clone();
        kept.extend(about(&subjects).iter().flat_map(|policy| sight.peers(policy)));
        let neighbours = sight.neighbours(&kept);
        let policies = about(&(&subjects | &neighbours));
        kept.extend(neighbours);
        kept.extend(sight.claimants(&kept));
        let pods = kept.iter().filter_map(|place| inventory.pod(*place).cloned());
        let part = Inventory { pods: pods.collect(), ..inventory.clone() };
        let part = Self { policies, inventory: part, settings };
        if part.carves() || !inventory.subnets.is_empty() {
            // Whoever is let in by a prefix that no longer holds him is named instead; an ACL holds for all pods of its subnets.
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

/// Whether a flow is lost, some pods tell as well as all; beside a pod itself, and one of another family.
const FEW: usize = 3;

/// What one policy sees of the others' pods, as places in the inventory.
struct Sight<'a> {
    inventory: &'a Inventory,
    pods: ByNamespace<'a>,
    /// Whoever claims each address.
    claims: BTreeMap<IpAddr, Vec<PodIndex>>,
}

impl<'a> Sight<'a> {
    fn new(inventory: &'a Inventory) -> Self {
        let mut claims: BTreeMap<IpAddr, Vec<PodIndex>> = BTreeMap::new();
        for (place, pod) in inventory.pods.iter().enumerate() {
            for address in &pod.addresses {
                claims.entry(*address).or_default().push(PodIndex(place));
            }
        }
        Self { inventory, pods: inventory.by_namespace(), claims }
    }

    fn subjects(&self, policy: &Policy) -> BTreeSet<PodIndex> {
        match &policy.subject {
            Subject::Nobody => BTreeSet::new(),
            Subject::Pods(selector) => self.selected(selector).collect(),
        }
    }

    fn selected<'s>(&'s self, selector: &'s PodSelector) -> impl Iterator<Item = PodIndex> + 's {
        self.pods.selected(selector).map(|(place, _)| place)
    }

    fn selects_one_of(&self, policy: &Policy, places: &BTreeSet<PodIndex>) -> bool {
        let Subject::Pods(selector) = &policy.subject else { return false };
        places.iter().filter_map(|place| self.inventory.pod(*place)).any(|pod| {
            let labels = self.inventory.namespace_labels(&pod.namespace);
            selector.matches(&pod.namespace, &labels, &pod.labels)
        })
    }

    /// The pods that a policy names, in either direction.
    fn peers(&self, policy: &Policy) -> BTreeSet<PodIndex> {
        let mut places = BTreeSet::new();
        let rules = Direction::BOTH.map(|direction| policy.rules(direction).unwrap_or_default());
        for rule in rules.into_iter().flatten() {
            match &rule.peers {
                Peers::Anyone if rule.names_ports() => {
                    let holders = self.pods.all().filter(|(_, pod)| !pod.ports.is_empty());
                    places.extend(holders.map(|(place, _)| place));
                }
                Peers::Anyone => {}
                Peers::AnyOf(peers) => {
                    for peer in peers {
                        match peer {
                            Peer::Pods(selector) => places.extend(self.selected(selector)),
                            Peer::Addresses(set) => places.extend(self.bearers(set)),
                            Peer::Nodes(_) => {}
                        }
                    }
                }
            }
        }
        places
    }

    /// Pods with groups of others that these pods' groups of others name: those may pass where Moat changes nothing.
    fn neighbours(&self, places: &BTreeSet<PodIndex>) -> BTreeSet<PodIndex> {
        let prior = |pod: &Pod| self.inventory.interface(pod).map(|interface| &interface.prior);
        let kept = places.iter().filter_map(|place| self.inventory.pod(*place));
        let groups: BTreeSet<&ForeignGroupId> = kept.filter_map(prior).flatten().collect();
        let rules = groups.into_iter().filter_map(|group| self.inventory.foreign.get(group));
        let named: BTreeSet<&ForeignGroupId> = rules
            .flatten()
            .filter_map(|rule| match &rule.peer {
                firewall::Peer::Group(key) => key.foreign(),
                firewall::Peer::Prefix(_) => None,
            })
            .collect();
        let wearers = named.into_iter().flat_map(|group| {
            let wears = move |pod: &Pod| prior(pod).is_some_and(|prior| prior.contains(group));
            self.pods.all().filter(move |(_, pod)| wears(pod)).take(FEW)
        });
        wearers.map(|(place, _)| place).collect()
    }

    /// Pods that bear addresses of a set: where pods alone can bear them, whether some do decides whether anything is lost.
    fn bearers(&self, set: &AddressSet) -> Vec<PodIndex> {
        let prefixes = set.prefixes();
        let of_family = |family| {
            let prefixes = prefixes.iter().filter(move |prefix| prefix.family() == family);
            let claims = prefixes.flat_map(|it| self.claims.range(it.first()..=it.last()));
            let pods = claims.flat_map(|(_, pods)| pods).copied();
            let seen = |it: &PodIndex| self.inventory.pod(*it).is_some_and(|pod| !pod.host_network);
            pods.filter(seen).take(FEW)
        };
        Family::BOTH.into_iter().flat_map(of_family).collect()
    }

    /// The other pods that claim an address of these.
    fn claimants(&self, places: &BTreeSet<PodIndex>) -> Vec<PodIndex> {
        let kept = places.iter().filter_map(|place| self.inventory.pod(*place));
        let addresses = kept.flat_map(|pod| &pod.addresses);
        addresses.filter_map(|address| self.claims.get(address)).flatten().copied().collect()
    }
}
