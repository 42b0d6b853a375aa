//! Whom a rule serves: the policies with an Accept rule that lets through some of what it does.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::HashMap;
use super::class::{Class, Classes};
use super::cohort::CohortId;
use super::layout::{Line, LinePeer};
use super::meaning::Meaning;
use super::program::node_addresses;
use crate::net::{AddressSet, Intervals, ServiceSet};
use crate::policy::{self, Action, Direction, ObjectRef, Peers};

/// Finds the policies that a rule serves: those with an Accept rule that lets through some of what it does.
pub(crate) struct Served<'m, 'a> {
    meaning: &'m Meaning<'a>,
    classes: &'m Classes,
    objects: HashMap<Vec<u32>, Arc<[ObjectRef]>>,
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

impl<'m, 'a> Served<'m, 'a> {
    /// For these classes.
    pub(crate) fn new(meaning: &'m Meaning<'a>, classes: &'m Classes) -> Self {
        Self { meaning, classes, objects: HashMap::default() }
    }

    /// The Accept rules that a class is under in a direction.
    pub(crate) fn accepting(&self, class: &Class, direction: Direction) -> Vec<Accepting<'m>> {
        let cohorts = class.cohorts.iter();
        let governing: BTreeSet<u32> = cohorts
            .flat_map(|cohort| self.meaning.programs.governing(*cohort, direction))
            .copied()
            .collect();
        let mut accepting = Vec::new();
        for index in governing {
            let Some(policy) = self.meaning.policies.get(index as usize) else { continue };
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
        let cohorts = &self.meaning.cohorts;
        let peers = match &rule.peers {
            Peers::Anyone => None,
            Peers::AnyOf(peers) => Some(peers.iter().map(|peer| match peer {
                policy::Peer::Pods(selector) => {
                    let set = cohorts.selected(selector);
                    Accepted::Pods(set.map_or(&[][..], |set| cohorts.members(set)))
                }
                policy::Peer::Addresses(set) => Accepted::Addresses(set),
                policy::Peer::Nodes(selector) => Accepted::Nodes(node_addresses(
                    selector,
                    self.meaning.inventory,
                    self.meaning.settings,
                )),
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
        let policies = served.iter().filter_map(|index| self.meaning.policies.get(*index as usize));
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
        let cohorts = &self.meaning.cohorts;
        let any_named = |is_meant: &dyn Fn(CohortId) -> bool| match &line.peer {
            LinePeer::Class(id) => self.classes.cohorts(*id).any(is_meant),
            LinePeer::Members(ids) => {
                ids.iter().flat_map(|id| self.classes.cohorts(*id)).any(is_meant)
            }
            LinePeer::Prefix(_) => cohorts.address_peers().iter().copied().any(is_meant),
            LinePeer::Copied(_) => false,
        };
        let lies_in = |id, set: &AddressSet| cohorts.placed(id).any(|(_, at)| set.contains(at));
        match peer {
            Accepted::Pods(members) => any_named(&|id| {
                members.binary_search(&id).is_ok()
                    && prefix.is_none_or(|prefix| lies_in(id, prefix))
            }),
            Accepted::Addresses(set) => match prefix {
                Some(prefix) => !set.intersection(prefix).is_empty(),
                None => carved && any_named(&|id| lies_in(id, set)),
            },
            Accepted::Nodes(nodes) => {
                prefix.is_some_and(|prefix| !nodes.intersection(prefix).is_empty())
            }
        }
    }
}
