//! Findings about constructs that change no flow: what no policy text would tell.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::class::Classes;
use super::cohort::{Cohort, CohortId};
use super::effective::Function;
use super::meaning::Meaning;
use crate::finding::{Effect, Finding, Reason};
use crate::net::{Message, Service, ServiceSet};
use crate::policy::{
    Action, Direction, Kind, ObjectRef, Peer, Peers, Policy, Rule, ServiceMatch, Services, Tier,
};
use crate::settings::{IcmpMode, NodeTraffic};

/// Every note.
pub(crate) fn findings(meaning: &Meaning<'_>, classes: &Classes) -> Vec<Finding> {
    let mut notes = Notes { meaning, spec: "spec".into(), found: Vec::new() };
    notes.replaced_groups(classes);
    notes.equal_priorities();
    for (index, policy) in meaning.policies.iter().enumerate() {
        let subjects = notes.subjects(index);
        for direction in Direction::BOTH {
            for rule in policy.rules(direction).unwrap_or_default() {
                notes.rule(policy, direction, rule, subjects);
            }
        }
        notes.isolation(policy, subjects);
    }
    notes.found
}

struct Notes<'m, 'a> {
    meaning: &'m Meaning<'a>,
    /// The path of a policy's spec.
    spec: Arc<str>,
    found: Vec<Finding>,
}

impl<'m> Notes<'m, '_> {
    fn note(
        &mut self,
        object: &ObjectRef,
        path: &Arc<str>,
        reason: Reason,
        message: impl Into<Cow<'static, str>>,
    ) {
        let finding = Finding::without_flows(object.clone(), reason, Effect::Ignored, message);
        self.found.push(Finding { path: path.clone(), ..finding });
    }

    /// The pods that a policy is about, by its place.
    fn subjects(&self, policy: usize) -> &'m [CohortId] {
        let set = self.meaning.programs.subject(policy);
        set.map_or(&[], |set| self.meaning.cohorts.members(set))
    }

    fn cohorts<'s>(&'s self, ids: &'s [CohortId]) -> impl Iterator<Item = &'s Cohort> + 's {
        ids.iter().filter_map(|id| self.meaning.cohorts.get(*id))
    }

    /// Groups of others that no longer filter isolated pods.
    fn replaced_groups(&mut self, classes: &Classes) {
        let gone: BTreeSet<_> =
            classes.standing.iter().flat_map(|standing| &standing.gone).collect();
        for group in gone {
            let name = group.0.clone();
            let object = ObjectRef { kind: Kind::SecurityGroup, namespace: None, name };
            // How many pods wore it is not said: whoever tells of it would tell anew with each pod that comes and goes.
            let message = "the group gives way to the policies on pods that wore it; it is recorded on their interfaces and put \
                           back when the policies go";
            self.note(&object, &Arc::from(""), Reason::GroupReplaced, message);
        }
    }

    /// Policies of one tier and priority that meet at a pod.
    fn equal_priorities(&mut self) {
        let mut ranks: BTreeMap<Tier, Vec<(usize, &Policy)>> = BTreeMap::new();
        for (index, policy) in self.meaning.policies.iter().enumerate() {
            if policy.tier != Tier::NetworkPolicy {
                ranks.entry(policy.tier).or_default().push((index, policy));
            }
        }
        for mut policies in ranks.into_values().filter(|policies| policies.len() > 1) {
            policies.sort_by_key(|(_, policy)| policy.rank());
            let mut seen: BTreeMap<(CohortId, Direction), &Policy> = BTreeMap::new();
            for (index, policy) in policies {
                let mut earlier = None;
                for id in self.subjects(index).iter().copied() {
                    for direction in Direction::BOTH {
                        if policy.rules(direction).is_some_and(|rules| !rules.is_empty()) {
                            earlier = earlier.or(seen.get(&(id, direction)).copied());
                            seen.entry((id, direction)).or_insert(policy);
                        }
                    }
                }
                if let Some(earlier) = earlier {
                    let message = format!(
                        "`{}` has the same tier and priority and selects some of the same pods: it is asked first, by name; \
                         give one of them another priority",
                        earlier.object
                    );
                    let path = Arc::from("spec.priority");
                    self.note(&policy.object, &path, Reason::EqualPriority, message);
                }
            }
        }
    }

    fn rule(&mut self, policy: &Policy, direction: Direction, rule: &Rule, subjects: &[CohortId]) {
        self.names(policy, direction, rule, subjects);
        if let Services::AnyOf(list) = &rule.services {
            let untracked = |one: &ServiceMatch| match one {
                ServiceMatch::Set(set) => set.sctp.is_full() || !set.other().is_empty(),
                ServiceMatch::Named { .. } => false,
            };
            if rule.action == Action::Accept && list.iter().any(untracked) {
                let message = "the cloud tracks this protocol by address and number only: once a flow passes one way, the \
                               other way is open for 600 s";
                self.note(&policy.object, &rule.path, Reason::UntrackedProtocol, message);
            }
        }
        if self.breaks_path_mtu(direction, rule) && !subjects.is_empty() {
            let message = "the rule closes the ICMP messages that path MTU discovery needs (3/4, for IPv6 2/0): large packets \
                           may hang; let these messages through";
            self.note(&policy.object, &rule.path, Reason::PathMtu, message);
        }
        let services = &self.meaning.inventory.services;
        if let (Peers::AnyOf(peers), false) = (&rule.peers, services.is_empty()) {
            let names_service = |peer: &Peer| match peer {
                Peer::Addresses(set) => {
                    let mut prefixes = set.prefixes().into_iter();
                    prefixes.any(|prefix| services.contains_all(&prefix.into()))
                }
                Peer::Pods(_) | Peer::Nodes(_) => false,
            };
            if peers.iter().any(names_service) {
                let message = "addresses of Services never appear in the VPC, where packets carry pods' addresses: name the \
                               pods behind the Service";
                self.note(&policy.object, &rule.path, Reason::ServiceAddress, message);
            }
        }
    }

    fn breaks_path_mtu(&self, direction: Direction, rule: &Rule) -> bool {
        let needed = [
            Service::Icmp(Message { kind: 3, code: 4 }),
            Service::Icmpv6(Message { kind: 2, code: 0 }),
        ];
        let names_them = match &rule.services {
            Services::Every => rule.failed_closed,
            Services::AnyOf(list) => list.iter().any(|one| match one {
                ServiceMatch::Set(set) => needed.iter().any(|service| set.contains(*service)),
                ServiceMatch::Named { .. } => false,
            }),
        };
        let strict = self.meaning.settings.icmp == IcmpMode::Strict;
        rule.action == Action::Deny && direction == Direction::Ingress && names_them && !strict
    }

    /// Named ports that nobody has, or that nobody can resolve.
    fn names(&mut self, policy: &Policy, direction: Direction, rule: &Rule, subjects: &[CohortId]) {
        let Services::AnyOf(list) = &rule.services else { return };
        let holders: Vec<CohortId> = match direction {
            Direction::Ingress => subjects.to_vec(),
            Direction::Egress => self.peers(&rule.peers),
        };
        for one in list {
            let ServiceMatch::Named { transport, name } = one else { continue };
            let known = self
                .cohorts(&holders)
                .any(|cohort| !super::program::named(&cohort.ports, *transport, name).is_empty());
            if !known {
                let message = format!(
                    "no pod that the rule is about has a container port named `{name}`: it matches nothing"
                );
                self.note(&policy.object, &rule.path, Reason::UnresolvedPort, message);
            }
            let by_address = match &rule.peers {
                Peers::Anyone => true,
                Peers::AnyOf(peers) => {
                    peers.iter().any(|peer| matches!(peer, Peer::Addresses(_) | Peer::Nodes(_)))
                }
            };
            if direction == Direction::Egress && by_address {
                let message = format!(
                    "nobody can resolve the port named `{name}` at an address: it matches nothing there; write its number"
                );
                self.note(&policy.object, &rule.path, Reason::NamedPortOfAddress, message);
            }
        }
    }

    fn peers(&self, peers: &Peers) -> Vec<CohortId> {
        let cohorts = &self.meaning.cohorts;
        let Peers::AnyOf(peers) = peers else {
            return cohorts.iter().map(|(id, _)| id).collect();
        };
        let mut found = BTreeSet::new();
        for peer in peers {
            let Peer::Pods(selector) = peer else { continue };
            match cohorts.selected(selector) {
                Some(set) => found.extend(cohorts.members(set)),
                // Nobody asked for the peers of a policy that is about no pod.
                None => found.extend(cohorts.iter().filter_map(|(id, cohort)| {
                    let labels = self.meaning.inventory.namespace_labels(&cohort.namespace);
                    selector.matches(&cohort.namespace, &labels, &cohort.labels).then_some(id)
                })),
            }
        }
        found.into_iter().collect()
    }

    /// What isolation takes along.
    fn isolation(&mut self, policy: &Policy, subjects: &[CohortId]) {
        if policy.tier != Tier::NetworkPolicy {
            return;
        }
        let no_dns = policy.egress.is_some()
            && subjects.iter().any(|id| {
                let function = self.meaning.asked(*id, Direction::Egress);
                function.is_some_and(|function| !reaches_dns(function))
            });
        let path = self.spec.clone();
        if no_dns {
            let message = "the pods may not reach any DNS server but the VPC's own, which no group filters: allow udp/53 and \
                           tcp/53 to the cluster's DNS pods if they look up names";
            self.note(&policy.object, &path, Reason::DnsClosed, message);
        }
        let settings = self.meaning.settings;
        let nodes = !settings.nodes.is_empty() || !self.meaning.inventory.nodes.is_empty();
        let probed = self.cohorts(subjects).any(|cohort| !cohort.probes.is_empty());
        if policy.ingress.is_some()
            && settings.node_traffic == NodeTraffic::Probes
            && nodes
            && probed
        {
            let message = "the pods' probe ports are open to the addresses of every node, since a group cannot name one";
            self.note(&policy.object, &path, Reason::ProbesFromAllNodes, message);
        }
    }
}

/// Whether some remote may be asked for names.
fn reaches_dns(function: &Function) -> bool {
    let asks = |services: &ServiceSet| {
        services.contains(Service::Udp(53)) || services.contains(Service::Tcp(53))
    };
    !function.addresses.addresses_where(asks).is_empty()
        || function.singled_out().any(|(_, reach)| asks(&reach.selected))
}
