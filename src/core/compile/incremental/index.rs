//! Who selects whom: pods by what policies can see of them, selectors with the pods that they select, policies with their
//! selectors; and from that, whose rules an event touches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::slab::Slab;
use super::store::{PodName, Store};
use crate::compile::HashMap;
use crate::compile::cohort::{CohortId, Families};
use crate::firewall::ForeignGroupId;
use crate::inventory::{Attachment, Interface, InterfaceId, NamedPort, Pod};
use crate::net::{AddressSet, Family};
use crate::policy::{
    Direction, Labels, Namespaces, ObjectRef, Peer, Peers, PodSelector, Policy, Rule, Subject,
    Tier, Word,
};
use crate::settings::NodeTraffic;

/// The place of a policy in [`Index`].
pub(super) type PolicyId = u32;

/// What pods of one cohort have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Alike {
    pub(super) namespace: Word,
    pub(super) labels: Arc<Labels>,
    pub(super) ports: Arc<[NamedPort]>,
    probes: Arc<[u16]>,
    families: Families,
    carrier: Option<(Attachment, BTreeSet<ForeignGroupId>)>,
}

/// Pods that are alike. One without pods is there until the next burial.
#[derive(Clone, Debug)]
pub(super) struct Cohort {
    pub(super) alike: Arc<Alike>,
    pub(super) pods: BTreeSet<PodName>,
    /// The selectors that select it, sorted.
    selectors: Vec<usize>,
}

/// A selector that some policy uses.
#[derive(Clone, Debug)]
struct Use {
    selector: Arc<PodSelector>,
    /// The cohorts that it selects, sorted.
    members: Vec<CohortId>,
    /// The policies that are about these pods.
    subject_of: BTreeSet<PolicyId>,
    /// The policies that name these pods as peers.
    peer_of: BTreeSet<PolicyId>,
}

/// A policy with its selectors.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) policy: Arc<Policy>,
    subject: Option<usize>,
    peers: BTreeSet<usize>,
}

/// The graph of pods, selectors and policies.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    cohorts: Slab<Cohort>,
    by_alike: HashMap<Arc<Alike>, CohortId>,
    namespaces: BTreeMap<Word, BTreeSet<CohortId>>,
    policies: Slab<Known>,
    by_object: BTreeMap<ObjectRef, PolicyId>,
    selectors: Slab<Use>,
    by_selector: HashMap<Arc<PodSelector>, usize>,
    /// The selectors that name a namespace.
    named: HashMap<Word, BTreeSet<usize>>,
    /// The other selectors.
    matching: BTreeSet<usize>,
    /// Policies that name ports of anyone: all pods with such ports are their peers.
    of_port_names: BTreeSet<PolicyId>,
    /// Policies with Deny and Pass: what a reference must say can depend on addresses.
    ordered: BTreeSet<PolicyId>,
    /// Policies that name nodes.
    of_nodes: BTreeSet<PolicyId>,
    /// The address sets that policies name, with how often they do.
    blocks: BTreeMap<AddressSet, usize>,
    address_peers: Vec<CohortId>,
    of: HashMap<PodName, CohortId>,
    claims: HashMap<IpAddr, BTreeSet<PodName>>,
    carried: HashMap<InterfaceId, BTreeSet<PodName>>,
    /// Interfaces that carry one pod, and that several claim.
    contested: BTreeSet<InterfaceId>,
    /// Interfaces that pods came to or went from.
    loose: BTreeSet<InterfaceId>,
    /// Cohorts that have lost their last pod.
    empty: BTreeSet<CohortId>,
    /// Cohorts whose rules have to be found anew.
    touched: BTreeSet<CohortId>,
}

impl Alike {
    fn new(pod: &Pod, interface: Option<&Interface>) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            ports: pod.ports.clone(),
            probes: pod.probes.clone(),
            families: Family::BOTH.map(|family| pod.address(family).is_some()),
            carrier: interface.map(|it| (it.attachment, it.prior.clone())),
        }
    }

    /// Whether Moat may change the groups of these pods' interfaces.
    pub(super) fn programmable(&self) -> bool {
        matches!(self.carrier, Some((Attachment::Exclusive, _)))
    }
}

// -------------------------------------------------------------------------------------------------- pods

impl Index {
    /// A pod is there.
    pub(super) fn join(&mut self, name: &PodName, pod: &Pod, store: &Store) {
        if pod.host_network {
            return;
        }
        let interface = store.rest.interface(pod);
        let alike = Alike::new(pod, interface);
        let id = match self.by_alike.get(&alike) {
            Some(id) => *id,
            None => self.born(alike, store.labels(&pod.namespace)),
        };
        let placed_alike = self.is_placed_alike(id, pod, store);
        let Some(cohort) = self.cohorts.get_mut(id as usize) else { return };
        let before = cohort.pods.len();
        cohort.pods.insert(name.clone());
        self.of.insert(name.clone(), id);
        self.empty.remove(&id);
        if let Some(id) = &pod.interface {
            let carried = self.carried.entry(id.clone()).or_default();
            carried.insert(name.clone());
            if carried.len() > 1
                && interface.is_some_and(|it| it.attachment == Attachment::Exclusive)
            {
                self.contested.insert(id.clone());
            }
            self.loose.insert(id.clone());
        }
        for address in &pod.addresses {
            self.claims.entry(*address).or_default().insert(name.clone());
            self.touch_claimants(*address);
        }
        self.resized(id, before, placed_alike);
    }

    /// A pod, as it was told last, is not there any more.
    pub(super) fn leave(&mut self, name: &PodName, pod: &Pod, store: &Store) {
        let Some(id) = self.of.remove(name) else { return };
        for address in &pod.addresses {
            self.touch_claimants(*address);
            forget(&mut self.claims, address, name);
        }
        if let Some(interface) = &pod.interface {
            forget(&mut self.carried, interface, name);
            if self.carried(interface).count() < 2 {
                self.contested.remove(interface);
            }
            self.loose.insert(interface.clone());
        }
        let Some(cohort) = self.cohorts.get_mut(id as usize) else { return };
        cohort.pods.remove(name);
        let left = cohort.pods.len();
        if left == 0 {
            self.empty.insert(id);
        }
        let placed_alike = self.is_placed_alike(id, pod, store);
        self.resized(id, left, placed_alike);
    }

    fn born(&mut self, alike: Alike, labels: &Labels) -> CohortId {
        let alike = Arc::new(alike);
        let cohort = Cohort { alike: alike.clone(), pods: BTreeSet::new(), selectors: Vec::new() };
        let id = CohortId::try_from(self.cohorts.insert(cohort)).unwrap_or(CohortId::MAX);
        if !alike.programmable() {
            insert(&mut self.address_peers, id);
        }
        self.namespaces.entry(alike.namespace.clone()).or_default().insert(id);
        self.by_alike.insert(alike, id);
        self.select(id, labels);
        id
    }

    /// Removes the cohorts without pods; their places stay taken until [`Self::bury`].
    pub(super) fn dead(&mut self) -> Vec<CohortId> {
        let dead: Vec<CohortId> = std::mem::take(&mut self.empty).into_iter().collect();
        for id in &dead {
            self.touched.remove(id);
            let Some(cohort) = self.cohorts.get_mut(*id as usize) else { continue };
            let (alike, selectors) = (cohort.alike.clone(), std::mem::take(&mut cohort.selectors));
            for selector in selectors {
                if let Some(used) = self.selectors.get_mut(selector) {
                    remove(&mut used.members, *id);
                }
            }
            forget_in(&mut self.namespaces, &alike.namespace, id);
            self.by_alike.remove(&alike);
            remove(&mut self.address_peers, *id);
        }
        dead
    }

    /// Gives the places of dead cohorts free.
    pub(super) fn bury(&mut self, dead: Vec<CohortId>) {
        for id in dead {
            self.cohorts.remove(id as usize);
        }
    }

    /// A cohort has, or had, one pod more than this. Where it comes or goes, everyone who names it is touched. Else its
    /// size matters to itself, as a pod is no peer of its own, and its addresses matter where there are rules that deny,
    /// and it has no pod that is placed alike, or no rule names it but by its addresses.
    fn resized(&mut self, id: CohortId, fewer: usize, placed_alike: bool) {
        let Some(cohort) = self.cohorts.get(id as usize) else { return };
        let by_address = !cohort.alike.programmable() || !placed_alike;
        if fewer <= 1 {
            self.touched.insert(id);
        }
        if fewer == 0 || by_address {
            self.touch_namers(id);
        }
    }

    /// Whether no policy can tell a pod's addresses from those of a pod of this cohort.
    fn is_placed_alike(&self, id: CohortId, pod: &Pod, store: &Store) -> bool {
        /// How many pods are looked at: most have neighbours.
        const SOME: usize = 8;
        if self.ordered.is_empty() {
            return true;
        }
        let nodes = || store.rest.nodes.iter().flat_map(|node| node.addresses.iter().copied());
        let settled = &store.settings.nodes;
        let is_node =
            |at| nodes().any(|node| node == at) || settled.iter().any(|it| it.contains(at));
        let alike = |other: &Pod| {
            Family::BOTH.into_iter().all(|family| {
                match (pod.address(family), other.address(family)) {
                    (Some(one), Some(other)) => {
                        let inside = |set: &AddressSet| set.contains(one) == set.contains(other);
                        self.blocks.keys().all(inside) && !is_node(one) && !is_node(other)
                    }
                    (one, other) => one == other,
                }
            })
        };
        let others = self.cohort(id).into_iter().flat_map(|cohort| &cohort.pods).take(SOME);
        others.filter_map(|name| store.pod(name)).any(alike)
    }

    /// Where several pods claim an address, only what each of them may passes there.
    fn touch_claimants(&mut self, address: IpAddr) {
        let Some(claimants) = self.claims.get(&address).filter(|pods| pods.len() > 1) else {
            return;
        };
        let cohorts: BTreeSet<CohortId> =
            claimants.iter().filter_map(|pod| self.of.get(pod).copied()).collect();
        cohorts.into_iter().for_each(|id| self.touch_namers(id));
    }

    /// Touches the pods whose policies name a cohort.
    fn touch_namers(&mut self, id: CohortId) {
        let Some(cohort) = self.cohorts.get(id as usize) else { return };
        let selectors = cohort.selectors.iter().filter_map(|id| self.selectors.get(*id));
        let naming = selectors.flat_map(|used| &used.peer_of);
        let by_port = self.of_port_names.iter().filter(|_| !cohort.alike.ports.is_empty());
        let naming: BTreeSet<PolicyId> = naming.chain(by_port).copied().collect();
        naming.into_iter().for_each(|policy| self.touch_subjects(policy));
    }

    fn touch_subjects(&mut self, policy: PolicyId) {
        let subject = self.policies.get(policy as usize).and_then(|known| known.subject);
        let subject = subject.and_then(|id| self.selectors.get(id));
        self.touched.extend(subject.iter().flat_map(|used| &used.members));
    }

    /// The labels of a namespace have changed.
    pub(super) fn relabelled(&mut self, namespace: &Word, labels: &Labels) {
        let cohorts = self.namespaces.get(namespace).cloned().unwrap_or_default();
        cohorts.into_iter().for_each(|id| self.select(id, labels));
    }

    /// Finds the selectors that select a cohort.
    fn select(&mut self, id: CohortId, labels: &Labels) {
        let Some(cohort) = self.cohorts.get(id as usize) else { return };
        let (alike, before) = (cohort.alike.clone(), cohort.selectors.clone());
        let candidates = self.named.get(&alike.namespace).into_iter().flatten();
        let candidates = candidates.chain(&self.matching).copied();
        let selects = |it: &usize| {
            self.selectors
                .get(*it)
                .is_some_and(|used| used.selector.matches(&alike.namespace, labels, &alike.labels))
        };
        let mut after: Vec<usize> = candidates.filter(selects).collect();
        after.sort_unstable();
        for selector in before.iter().filter(|it| after.binary_search(it).is_err()) {
            self.touch_users(*selector, id);
            if let Some(used) = self.selectors.get_mut(*selector) {
                remove(&mut used.members, id);
            }
        }
        for selector in after.iter().filter(|it| before.binary_search(it).is_err()) {
            if let Some(used) = self.selectors.get_mut(*selector) {
                insert(&mut used.members, id);
            }
            self.touch_users(*selector, id);
        }
        if let Some(cohort) = self.cohorts.get_mut(id as usize) {
            cohort.selectors = after;
        }
    }

    /// A selector selects a cohort, or does no longer.
    fn touch_users(&mut self, selector: usize, id: CohortId) {
        self.touched.insert(id);
        let naming = self.selectors.get(selector).map(|used| used.peer_of.clone());
        naming.unwrap_or_default().into_iter().for_each(|policy| self.touch_subjects(policy));
    }
}

// ---------------------------------------------------------------------------------------------- policies

impl Index {
    /// A policy is there, with this text; whether that is news. `labels` tells those of a namespace.
    pub(super) fn put(&mut self, policy: Policy, store: &Store) -> bool {
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
    pub(super) fn remove(&mut self, object: &ObjectRef) -> bool {
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

// ------------------------------------------------------------------------------------------------- views

impl Index {
    /// The cohorts whose rules have to be found anew; they count as done.
    pub(super) fn touched(&mut self) -> BTreeSet<CohortId> {
        std::mem::take(&mut self.touched)
    }

    /// The interfaces that pods came to or went from; they count as done.
    pub(super) fn loose(&mut self) -> BTreeSet<InterfaceId> {
        std::mem::take(&mut self.loose)
    }

    /// Whether several pods claim an interface that carries one.
    pub(super) fn shares_interfaces(&self) -> bool {
        !self.contested.is_empty()
    }

    /// Touches the pods whose rules name nodes: because policies do, or because something opens to them.
    pub(super) fn touch_nodes(&mut self, traffic: NodeTraffic) {
        let opens = |cohort: &Cohort| match traffic {
            NodeTraffic::None => false,
            NodeTraffic::Probes => !cohort.alike.probes.is_empty(),
            NodeTraffic::All => true,
        };
        let open = self.cohorts.iter().filter(|(_, cohort)| opens(cohort));
        self.touched.extend(open.filter_map(|(id, _)| CohortId::try_from(id).ok()));
        self.of_nodes.clone().into_iter().for_each(|policy| self.touch_subjects(policy));
    }

    pub(super) fn touch_all(&mut self) {
        self.touched =
            self.cohorts.iter().filter_map(|(id, _)| CohortId::try_from(id).ok()).collect();
    }

    pub(super) fn cohort(&self, id: CohortId) -> Option<&Cohort> {
        self.cohorts.get(id as usize)
    }

    /// The cohort of a pod.
    pub(super) fn of(&self, pod: &PodName) -> Option<CohortId> {
        self.of.get(pod).copied()
    }

    /// The pods that an interface carries, as far as policies see them.
    pub(super) fn carried(&self, interface: &InterfaceId) -> impl Iterator<Item = &PodName> + '_ {
        self.carried.get(interface).into_iter().flatten()
    }

    /// The policies, sorted by their objects.
    pub(super) fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> + '_ {
        self.by_object.values().filter_map(|id| Some(&self.policies.get(*id as usize)?.policy))
    }

    /// The objects of policies, sorted.
    pub(super) fn objects(&self) -> impl Iterator<Item = &ObjectRef> + '_ {
        self.by_object.keys()
    }

    pub(super) fn policy_at(&self, id: PolicyId) -> Option<&Policy> {
        Some(&self.policies.get(id as usize)?.policy)
    }

    /// The policies that are about a cohort.
    pub(super) fn about(&self, id: CohortId) -> impl Iterator<Item = PolicyId> + '_ {
        let selectors = self.cohort(id).into_iter().flat_map(|cohort| &cohort.selectors);
        let used = selectors.filter_map(|id| self.selectors.get(*id));
        used.flat_map(|used| used.subject_of.iter().copied())
    }

    /// The cohorts that a policy names as peers.
    pub(super) fn peers(&self, id: PolicyId) -> impl Iterator<Item = CohortId> + '_ {
        let peers = self.policies.get(id as usize).into_iter().flat_map(|known| &known.peers);
        let by_port = self.of_port_names.contains(&id).then(|| self.cohorts.iter());
        let by_port = by_port.into_iter().flatten();
        let by_port = by_port.filter(|(_, cohort)| !cohort.alike.ports.is_empty());
        let by_port = by_port.filter_map(|(id, _)| CohortId::try_from(id).ok());
        let used = peers.filter_map(|id| self.selectors.get(*id));
        used.flat_map(|used| used.members.iter().copied()).chain(by_port)
    }

    /// The cohorts that a selector of some policy selects, sorted.
    pub(super) fn selected(&self, selector: &PodSelector) -> &[CohortId] {
        let used = self.by_selector.get(selector).and_then(|id| self.selectors.get(*id));
        used.map_or(&[], |used| &used.members)
    }

    pub(super) fn address_peers(&self) -> &[CohortId] {
        &self.address_peers
    }

    /// The other pods that claim an address.
    pub(super) fn claimants(&self, address: IpAddr) -> impl Iterator<Item = &PodName> + '_ {
        self.claims.get(&address).filter(|pods| pods.len() > 1).into_iter().flatten()
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

fn insert<T: Ord>(sorted: &mut Vec<T>, item: T) {
    if let Err(place) = sorted.binary_search(&item) {
        sorted.insert(place, item);
    }
}

fn remove<T: Ord>(sorted: &mut Vec<T>, item: T) {
    if let Ok(place) = sorted.binary_search(&item) {
        sorted.remove(place);
    }
}

fn forget<K: std::hash::Hash + Eq>(
    map: &mut HashMap<K, BTreeSet<PodName>>,
    key: &K,
    name: &PodName,
) {
    if let Some(names) = map.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            map.remove(key);
        }
    }
}

fn forget_in(map: &mut BTreeMap<Word, BTreeSet<CohortId>>, key: &Word, id: &CohortId) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
