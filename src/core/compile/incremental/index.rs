//! Who selects whom: pods by what policies can see of them, selectors with the pods that they select, policies with their
//! selectors; and from that, whose rules an event touches.

mod pods;
mod policies;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::slab::Slab;
use super::store::PodName;
use crate::compile::HashMap;
use crate::compile::cohort::{CohortId, Families};
use crate::firewall::ForeignGroupId;
use crate::inventory::{Attachment, Interface, InterfaceId, NamedPort, Pod};
use crate::net::{AddressSet, Family};
use crate::policy::{Labels, ObjectRef, PodSelector, Policy, Word};
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
