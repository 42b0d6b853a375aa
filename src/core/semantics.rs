//! What a set of policies means for one packet: the first reference.
//!
//! Written from the API texts and DESIGN §5, to be checked against them in one sitting. It looks at one packet at a time,
//! walks rules in their written order, and shares no evaluation code with the compiler or with [`crate::firewall`].
//!
//! A flow passes if both its ends let it through. [`Semantics::end`] is one end: the tiers decide (`tiers`),
//! and what they close the cluster's settings may loosen (`loosen`).

mod connects;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::flow::{Endpoint, Flow};
use crate::inventory::{Inventory, Pod, PodIndex};
use crate::net::{AddressSet, Message, Service, Transport};
use crate::policy::{
    Action, Direction, Labels, Peer, Peers, Policy, Rule, Selector, ServiceMatch, Services,
    Subject, Tier,
};
use crate::settings::{IcmpMode, NodeTraffic, Settings};

/// The meaning of policies and settings over an inventory. Made once, asked for many flows.
#[derive(Debug)]
pub struct Semantics<'a> {
    inventory: &'a Inventory,
    settings: &'a Settings,
    /// All policies in the order in which they are asked.
    ranked: Vec<&'a Policy>,
    /// By [`PodIndex`].
    pods: Vec<Known<'a>>,
    /// The labels of the nodes that bear each address.
    nodes: BTreeMap<IpAddr, Vec<&'a Labels>>,
    /// The addresses of [`Settings::nodes`]: nodes without labels.
    unlabelled_nodes: AddressSet,
}

/// What both ends say about a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The source's end.
    pub egress: Decision<'a>,
    /// The destination's end.
    pub ingress: Decision<'a>,
}

/// What decides at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// A rule, by its action. Pass decides in the Baseline tier only, where nothing follows: it lets through.
    Rule {
        /// The policy.
        policy: &'a Policy,
        /// Its rule.
        rule: &'a Rule,
    },
    /// Policies of the NetworkPolicy tier isolate the pod, and none of their rules matches: closed.
    Isolated {
        /// They, in their order; never empty.
        policies: Vec<&'a Policy>,
    },
    /// Closed by isolation, but let through by [`Settings::node_traffic`].
    NodeTraffic,
    /// Closed by isolation or by a Deny without protocols, but let through by [`IcmpMode::Essential`].
    EssentialIcmp,
    /// Closed by isolation, but let through by [`IcmpMode::Open`].
    OpenIcmp,
    /// A pod reaches itself.
    Itself,
    /// The end is an address, or a pod that bears its node's: no policy is about it.
    NotAPod,
    /// Nothing decides: let through.
    Default,
}

/// What is worked out about a pod when it is first asked for.
#[derive(Debug)]
struct Known<'a> {
    namespace: Arc<Labels>,
    /// The policies that select it, in the order in which they are asked.
    policies: OnceLock<Vec<&'a Policy>>,
    /// Whether it has an accepted tcp or udp flow in IPv4, and in IPv6.
    connects: (OnceLock<bool>, OnceLock<bool>),
}

/// A flow as the pod at one of its ends sees it.
#[derive(Clone, Copy, Debug)]
struct View<'a> {
    flow: &'a Flow,
    direction: Direction,
    subject: (PodIndex, &'a Pod),
    /// The other end, if it is a pod that policies see.
    peer: Option<(PodIndex, &'a Pod)>,
    /// The other end's address.
    address: Option<IpAddr>,
}

// --------------------------------------------------------------------------------------------- Decisions

impl Verdict<'_> {
    /// Whether both ends let the flow through.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.egress.allowed() && self.ingress.allowed()
    }
}

impl Decision<'_> {
    /// Whether this end lets the flow through.
    #[must_use]
    pub fn allowed(&self) -> bool {
        match self {
            Self::Rule { rule, .. } => match rule.action {
                Action::Accept | Action::Pass => true,
                Action::Deny => false,
            },
            Self::Isolated { .. } => false,
            Self::NodeTraffic
            | Self::EssentialIcmp
            | Self::OpenIcmp
            | Self::Itself
            | Self::NotAPod
            | Self::Default => true,
        }
    }
}

impl<'a> Semantics<'a> {
    /// The meaning of these policies and settings over this inventory.
    #[must_use]
    pub fn new(policies: &'a [Policy], inventory: &'a Inventory, settings: &'a Settings) -> Self {
        let mut ranked: Vec<&Policy> = policies.iter().collect();
        ranked.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let known = |pod: &Pod| Known {
            namespace: inventory.namespace_labels(&pod.namespace),
            policies: OnceLock::new(),
            connects: (OnceLock::new(), OnceLock::new()),
        };
        let mut nodes: BTreeMap<IpAddr, Vec<&Labels>> = BTreeMap::new();
        for node in &inventory.nodes {
            for address in &node.addresses {
                nodes.entry(*address).or_default().push(&node.labels);
            }
        }
        Self {
            inventory,
            settings,
            ranked,
            pods: inventory.pods.iter().map(known).collect(),
            nodes,
            unlabelled_nodes: settings.nodes.iter().copied().collect(),
        }
    }

    /// What both ends say about a flow.
    #[must_use]
    pub fn verdict(&self, flow: &Flow) -> Verdict<'a> {
        Verdict {
            egress: self.end(flow, Direction::Egress),
            ingress: self.end(flow, Direction::Ingress),
        }
    }

    /// Whether both ends let a flow through.
    #[must_use]
    pub fn allows(&self, flow: &Flow) -> bool {
        Direction::BOTH.into_iter().all(|direction| self.end(flow, direction).allowed())
    }

    /// What one end says about a flow: the source's for [`Direction::Egress`], the destination's for
    /// [`Direction::Ingress`].
    #[must_use]
    pub fn end(&self, flow: &Flow, direction: Direction) -> Decision<'a> {
        let (subject, remote) = match direction {
            Direction::Ingress => (flow.destination, flow.source),
            Direction::Egress => (flow.source, flow.destination),
        };
        let Some(subject) = self.pod(subject) else { return Decision::NotAPod };
        let peer = self.pod(remote);
        if peer.is_some_and(|(index, _)| index == subject.0) {
            return Decision::Itself;
        }
        let address = remote.address(self.inventory, flow.family);
        let view = View { flow, direction, subject, peer, address };
        let decision = self.tiers(&view);
        self.loosen(&view, &decision).unwrap_or(decision)
    }

    /// The pod at an end; none for an address, nor for a pod that bears its node's.
    fn pod(&self, endpoint: Endpoint) -> Option<(PodIndex, &'a Pod)> {
        match endpoint {
            Endpoint::Pod(index) => {
                let pod = self.inventory.pod(index).filter(|pod| !pod.host_network)?;
                Some((index, pod))
            }
            Endpoint::Address(_) => None,
        }
    }
}

// ------------------------------------------------------------------------------------------------- Tiers

impl<'a> Semantics<'a> {
    /// The three tiers (`ClusterNetworkPolicySpec.tier`, `NetworkPolicySpec`).
    fn tiers(&self, view: &View<'_>) -> Decision<'a> {
        let selecting = self.selecting(view.subject.0);
        let first_match = |tier: fn(Tier) -> bool| {
            let policies = selecting.iter().copied().filter(move |policy| tier(policy.tier));
            let rules = policies.flat_map(|policy| {
                let rules = policy.rules(view.direction).unwrap_or_default();
                rules.iter().map(move |rule| (policy, rule))
            });
            rules.into_iter().find(|(_, rule)| self.rule_matches(rule, view))
        };

        // The first rule that matches decides, unless it passes to the next tier.
        if let Some((policy, rule)) = first_match(is_admin)
            && rule.action != Action::Pass
        {
            return Decision::Rule { policy, rule };
        }

        // A union of accepts, final for a pod that any of them selects in this direction. The API has no other action here.
        if let Some((policy, rule)) = first_match(is_network_policy)
            && rule.action == Action::Accept
        {
            return Decision::Rule { policy, rule };
        }
        let isolating = selecting.iter().copied().filter(|policy| {
            is_network_policy(policy.tier) && policy.rules(view.direction).is_some()
        });
        let policies: Vec<&Policy> = isolating.collect();
        if !policies.is_empty() {
            return Decision::Isolated { policies };
        }

        // As Admin; after Pass nothing is left to ask.
        match first_match(is_baseline) {
            Some((policy, rule)) => Decision::Rule { policy, rule },
            None => Decision::Default,
        }
    }

    /// The policies that select a pod, in the order in which they are asked.
    fn selecting(&self, index: PodIndex) -> &[&'a Policy] {
        let (Some(known), Some(pod)) = (self.pods.get(index.0), self.inventory.pod(index)) else {
            return &[];
        };
        let selects = |policy: &Policy| match &policy.subject {
            Subject::Nobody => false,
            Subject::Pods(s) => s.matches(&pod.namespace, &known.namespace, &pod.labels),
        };
        let select = || self.ranked.iter().copied().filter(|policy| selects(policy)).collect();
        known.policies.get_or_init(select)
    }
}

fn is_admin(tier: Tier) -> bool {
    matches!(tier, Tier::Admin { .. })
}

fn is_network_policy(tier: Tier) -> bool {
    matches!(tier, Tier::NetworkPolicy)
}

fn is_baseline(tier: Tier) -> bool {
    matches!(tier, Tier::Baseline { .. })
}

// ----------------------------------------------------------------------------------------------- Matches

impl Semantics<'_> {
    /// Whether a rule matches: one of its peers is the other end, and one of its services is asked for.
    fn rule_matches(&self, rule: &Rule, view: &View<'_>) -> bool {
        match &rule.peers {
            Peers::Anyone => service_matches(&rule.services, view, true),
            Peers::AnyOf(peers) => peers.iter().any(|peer| {
                let is_pods = matches!(peer, Peer::Pods(_));
                self.peer_matches(peer, view) && service_matches(&rule.services, view, is_pods)
            }),
        }
    }

    fn peer_matches(&self, peer: &Peer, view: &View<'_>) -> bool {
        match peer {
            Peer::Pods(selector) => view.peer.is_some_and(|(index, pod)| {
                self.pods.get(index.0).is_some_and(|known| {
                    selector.matches(&pod.namespace, &known.namespace, &pod.labels)
                })
            }),
            Peer::Addresses(set) => view.address.is_some_and(|address| set.contains(address)),
            Peer::Nodes(selector) => {
                view.address.is_some_and(|address| self.is_node(address, selector))
            }
        }
    }

    /// Whether a node that the selector matches bears the address.
    fn is_node(&self, address: IpAddr, selector: &Selector) -> bool {
        let labelled = self.nodes.get(&address).into_iter().flatten();
        labelled.into_iter().any(|labels| selector.matches(labels))
            || self.unlabelled_nodes.contains(address) && selector.matches(&Labels::default())
    }
}

/// Whether a list of services has the one that is asked for. Named ports belong to the destination pod; on egress,
/// only a peer that is matched as a pod has any.
fn service_matches(services: &Services, view: &View<'_>, peer_is_matched_as_pod: bool) -> bool {
    let named = match view.direction {
        Direction::Ingress => Some(view.subject),
        Direction::Egress => view.peer.filter(|_| peer_is_matched_as_pod),
    };
    match services {
        Services::Every => true,
        Services::AnyOf(list) => list.iter().any(|service| match service {
            ServiceMatch::Set(set) => set.contains(view.flow.service),
            ServiceMatch::Named { transport, name } => named.is_some_and(|(_, pod)| {
                pod.ports.iter().any(|port| {
                    port.name == *name
                        && transport.is_none_or(|transport| transport == port.transport)
                        && view.flow.service == port_of(port.transport, port.number)
                })
            }),
        }),
    }
}

fn port_of(transport: Transport, number: u16) -> Service {
    match transport {
        Transport::Tcp => Service::Tcp(number),
        Transport::Udp => Service::Udp(number),
        Transport::Sctp => Service::Sctp(number),
    }
}

// ---------------------------------------------------------------------------------------------- Settings

impl Semantics<'_> {
    /// What settings make of a closed end (DESIGN §5): isolation yields to node traffic and to ICMP; a Deny yields
    /// to essential ICMP only, and only if it speaks of no protocol.
    fn loosen<'d>(&self, view: &View<'_>, decision: &Decision<'_>) -> Option<Decision<'d>> {
        let (isolated, yields_to_essential) = match decision {
            Decision::Isolated { .. } => (true, true),
            Decision::Rule { rule, .. } => {
                let silent = rule.services == Services::Every && !rule.failed_closed;
                (false, rule.action == Action::Deny && silent)
            }
            Decision::NodeTraffic
            | Decision::EssentialIcmp
            | Decision::OpenIcmp
            | Decision::Itself
            | Decision::NotAPod
            | Decision::Default => return None,
        };
        if isolated && self.is_node_traffic(view) {
            return Some(Decision::NodeTraffic);
        }
        if isolated && self.settings.icmp == IcmpMode::Open && is_icmp(view.flow.service) {
            return Some(Decision::OpenIcmp);
        }
        let essential = yields_to_essential
            && self.settings.icmp != IcmpMode::Strict
            && view.direction == Direction::Ingress
            && is_essential(view.flow.service)
            && self.connects(view.subject, view.flow.family);
        essential.then_some(Decision::EssentialIcmp)
    }

    /// Whether nodes may send this to the pod: any node, since a group cannot name one ([`NodeTraffic`]).
    fn is_node_traffic(&self, view: &View<'_>) -> bool {
        let from_node = view.direction == Direction::Ingress
            && view.address.is_some_and(|address| {
                self.nodes.contains_key(&address) || self.unlabelled_nodes.contains(address)
            });
        let asked = match self.settings.node_traffic {
            NodeTraffic::None => false,
            NodeTraffic::Probes => view.subject.1.probes.iter().any(|p| is_tcp(view.flow, *p)),
            NodeTraffic::All => true,
        };
        from_node && asked
    }
}

fn is_tcp(flow: &Flow, port: u16) -> bool {
    flow.service == Service::Tcp(port)
}

fn is_icmp(service: Service) -> bool {
    matches!(service, Service::Icmp(_) | Service::Icmpv6(_))
}

/// What path MTU discovery needs: "fragmentation needed" (RFC 1191) and "packet too big" (RFC 8201).
fn is_essential(service: Service) -> bool {
    service == Service::Icmp(Message { kind: 3, code: 4 })
        || service == Service::Icmpv6(Message { kind: 2, code: 0 })
}

#[cfg(test)]
mod tests;
