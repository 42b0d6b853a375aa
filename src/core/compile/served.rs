//! Whom a rule serves: the policies with an Accept rule that lets through some of what it does.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::HashMap;
use super::class::{ClassId, Classes};
use super::cohort::CohortId;
use super::layout::{Line, LinePeer};
use super::meaning::Meaning;
use super::program::node_addresses;
use crate::net::{AddressSet, Intervals, ServiceSet};
use crate::policy::{self, Action, Direction, ObjectRef, Peers, PodSelector, Policy, Selector};

/// Finds the policies that a rule serves: those with an Accept rule that lets through some of what it does.
pub(crate) struct Served<'m, G> {
    ground: &'m G,
    objects: HashMap<Vec<u32>, Arc<[ObjectRef]>>,
}

/// What [`Served`] has to know: who is governed by what, and who is who.
pub(crate) trait Ground {
    /// The policies that govern a cohort in a direction.
    fn governing(&self, cohort: CohortId, direction: Direction) -> Cow<'_, [u32]>;
    /// A policy by its place.
    fn policy(&self, place: u32) -> Option<&Policy>;
    /// The cohorts that a selector of some policy selects, sorted.
    fn selected(&self, selector: &PodSelector) -> &[CohortId];
    /// The cohorts of a class.
    fn cohorts(&self, class: ClassId) -> impl Iterator<Item = CohortId>;
    /// The cohorts that Moat cannot program.
    fn address_peers(&self) -> &[CohortId];
    /// Whether some pod of a cohort has an address of a set.
    fn lies_in(&self, cohort: CohortId, set: &AddressSet) -> bool;
    /// The addresses of the nodes that a selector selects.
    fn nodes(&self, selector: &Selector) -> AddressSet;
}

/// One Accept rule that a class is under.
pub(crate) struct Accepting<'m> {
    policy: u32,
    /// The services that it names; none: every service.
    services: Option<ServiceSet>,
    /// Whom it names; none: everyone.
    peers: Option<Vec<Accepted<'m>>>,
}

/// One peer of an Accept rule.
enum Accepted<'m> {
    Pods(&'m [CohortId]),
    Addresses(&'m AddressSet),
    Nodes(AddressSet),
}

impl Ground for (&Meaning<'_>, &Classes) {
    fn governing(&self, cohort: CohortId, direction: Direction) -> Cow<'_, [u32]> {
        Cow::Borrowed(self.0.programs.governing(cohort, direction))
    }

    fn policy(&self, place: u32) -> Option<&Policy> {
        self.0.policies.get(place as usize).copied()
    }

    fn selected(&self, selector: &PodSelector) -> &[CohortId] {
        let set = self.0.cohorts.selected(selector);
        set.map_or(&[], |set| self.0.cohorts.members(set))
    }

    fn cohorts(&self, class: ClassId) -> impl Iterator<Item = CohortId> {
        self.1.cohorts(class)
    }

    fn address_peers(&self) -> &[CohortId] {
        self.0.cohorts.address_peers()
    }

    fn lies_in(&self, cohort: CohortId, set: &AddressSet) -> bool {
        self.0.cohorts.placed(cohort).any(|(_, at)| set.contains(at))
    }

    fn nodes(&self, selector: &Selector) -> AddressSet {
        node_addresses(selector, self.0.inventory, self.0.settings)
    }
}

impl<'m, G: Ground> Served<'m, G> {
    /// On this ground.
    pub(crate) fn new(ground: &'m G) -> Self {
        Self { ground, objects: HashMap::default() }
    }

    /// The Accept rules that a class is under in a direction.
    pub(crate) fn accepting(&self, class: ClassId, direction: Direction) -> Vec<Accepting<'m>> {
        let mut governing = BTreeSet::new();
        for cohort in self.ground.cohorts(class) {
            governing.extend(self.ground.governing(cohort, direction).iter().copied());
        }
        let mut accepting = Vec::new();
        for index in governing {
            let Some(policy) = self.ground.policy(index) else { continue };
            let rules = policy.rules(direction).unwrap_or_default();
            accepting.extend(
                rules
                    .iter()
                    .filter(|rule| rule.action == Action::Accept)
                    .map(|rule| self.accepted(index, rule)),
            );
        }
        accepting
    }

    fn accepted(&self, policy: u32, rule: &'m policy::Rule) -> Accepting<'m> {
        let services = match &rule.services {
            policy::Services::Every => None,
            policy::Services::AnyOf(list) => {
                let mut services = ServiceSet::empty();
                for one in list {
                    match one {
                        policy::ServiceMatch::Set(set) => services = services.union(set),
                        // A port that has a name may be any.
                        policy::ServiceMatch::Named { .. } => {
                            services.tcp = Intervals::full();
                            services.udp = Intervals::full();
                            services.sctp = Intervals::full();
                        }
                    }
                }
                Some(services)
            }
        };
        let peers = match &rule.peers {
            Peers::Anyone => None,
            Peers::AnyOf(peers) => Some(peers.iter().map(|peer| match peer {
                policy::Peer::Pods(selector) => Accepted::Pods(self.ground.selected(selector)),
                policy::Peer::Addresses(set) => Accepted::Addresses(set),
                policy::Peer::Nodes(selector) => Accepted::Nodes(self.ground.nodes(selector)),
            })),
        };
        Accepting { policy, services, peers: peers.map(Iterator::collect) }
    }

    /// The policies that a line serves.
    pub(crate) fn by(
        &mut self,
        accepting: &[Accepting<'m>],
        carved: bool,
        line: &Line,
    ) -> Arc<[ObjectRef]> {
        let shape = line.shape.services();
        let prefix = match &line.peer {
            LinePeer::Prefix(prefix) => Some(AddressSet::from(*prefix)),
            LinePeer::Class(_) | LinePeer::Members(_) | LinePeer::Copied(_) => None,
        };
        let serves = |rule: &&Accepting<'_>| {
            rule.services.as_ref().is_none_or(|set| !set.intersection(&shape).is_empty())
                && rule.peers.as_ref().is_none_or(|peers| {
                    peers.iter().any(|peer| self.names(carved, peer, line, prefix.as_ref()))
                })
        };
        let served: BTreeSet<u32> = match line.peer {
            LinePeer::Copied(_) => BTreeSet::new(),
            LinePeer::Prefix(_) | LinePeer::Class(_) | LinePeer::Members(_) => {
                accepting.iter().filter(serves).map(|rule| rule.policy).collect()
            }
        };
        let served: Vec<u32> = served.into_iter().collect();
        if let Some(known) = self.objects.get(&served) {
            return known.clone();
        }
        let policies = served.iter().filter_map(|index| self.ground.policy(*index));
        let mut objects: Vec<ObjectRef> = policies.map(|policy| policy.object.clone()).collect();
        objects.sort();
        let objects: Arc<[ObjectRef]> = objects.into();
        self.objects.insert(served, objects.clone());
        objects
    }

    /// Whether a line names a peer. Where addresses were taken out, a reference stands for pods by their addresses, too; a
    /// prefix may stand for pods that have no group.
    fn names(
        &self,
        carved: bool,
        peer: &Accepted<'_>,
        line: &Line,
        prefix: Option<&AddressSet>,
    ) -> bool {
        let any_named = |is_meant: &dyn Fn(CohortId) -> bool| match &line.peer {
            LinePeer::Class(id) => self.ground.cohorts(*id).any(is_meant),
            LinePeer::Members(ids) => {
                ids.iter().flat_map(|id| self.ground.cohorts(*id)).any(is_meant)
            }
            LinePeer::Prefix(_) => self.ground.address_peers().iter().copied().any(is_meant),
            LinePeer::Copied(_) => false,
        };
        match peer {
            Accepted::Pods(members) => any_named(&|id| {
                members.binary_search(&id).is_ok()
                    && prefix.is_none_or(|prefix| self.ground.lies_in(id, prefix))
            }),
            Accepted::Addresses(set) => match prefix {
                Some(prefix) => !set.intersection(prefix).is_empty(),
                None => carved && any_named(&|id| self.ground.lies_in(id, set)),
            },
            Accepted::Nodes(nodes) => {
                prefix.is_some_and(|prefix| !nodes.intersection(prefix).is_empty())
            }
        }
    }
}
