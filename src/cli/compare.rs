//! Two sets of policies by what they let through: exact, flow by flow, through the reference semantics.
//!
//! A flow's verdict depends on little: which of the policies' selectors match its pods, on which side of each address
//! block an address lies, and on which side of each port a service lies. So pods are merged that no selector tells apart,
//! addresses and services are cut into pieces that no policy tells apart, and one flow of each combination is asked of both
//! sides. Ends that both sides treat alike are not asked at all: an edit costs what it touches.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::flow::{Endpoint, EndpointSet, Flow, FlowSet};
use moat_core::inventory::{Inventory, Pod, PodIndex};
use moat_core::net::{
    AddressSet, Family, Interval, Intervals, Message, Messages, Service, ServiceSet, Shape,
};
use moat_core::policy::{Labels, Peer, Peers, Policy, Rule, ServiceMatch, Services, Subject};
use moat_core::semantics::Semantics;
use moat_core::settings::Settings;

use crate::json::Change;

/// One set of policies over the common inventory.
pub(crate) struct Side<'a> {
    policies: &'a [Policy],
    semantics: Semantics<'a>,
    settings: &'a Settings,
}

/// A box of flows that one side lets through and the other does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) change: Change,
    pub(crate) flows: FlowSet,
    pub(crate) witness: Flow,
}

impl<'a> Side<'a> {
    pub(crate) fn of(
        policies: &'a [Policy],
        inventory: &'a Inventory,
        settings: &'a Settings,
    ) -> Self {
        Self { policies, semantics: Semantics::new(policies, inventory, settings), settings }
    }
}

/// Every flow that one side lets through and the other does not, as boxes without overlap.
pub(crate) fn differences(
    old: &Side<'_>,
    new: &Side<'_>,
    inventory: &Inventory,
) -> Vec<Difference> {
    let universe = Universe::of(old, new, inventory);
    let mut found: BTreeMap<Pair, [ServiceSet; 2]> = BTreeMap::new();
    for (from, source) in universe.remotes.iter().enumerate() {
        for (to, destination) in universe.remotes.iter().enumerate() {
            if !source.changed && !destination.changed {
                continue;
            }
            let Some((source, destination)) = source.apart(destination) else { continue };
            for family in Family::BOTH {
                let exists = |end: Endpoint| end.address(inventory, family).is_some();
                if !exists(source) || !exists(destination) {
                    continue;
                }
                let pieces = universe.services.iter();
                for (service, piece) in pieces.filter(|(it, _)| it.exists_in(family)) {
                    let flow = Flow { source, destination, family, service: *service };
                    let sides = (old.semantics.allows(&flow), new.semantics.allows(&flow));
                    let place = match sides {
                        (false, true) => 0,
                        (true, false) => 1,
                        (true, true) | (false, false) => continue,
                    };
                    let sets = found.entry(Pair { from, to, family }).or_default();
                    if let Some(set) = sets.get_mut(place) {
                        *set = set.union(&piece.clone().within(family));
                    }
                }
            }
        }
    }
    universe.boxes(found)
}

/// Two pieces of the universe of ends, in a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    from: usize,
    to: usize,
    family: Family,
}

/// Ends that no policy of either side tells apart.
struct Remote {
    ends: EndpointSet,
    /// Up to two of them.
    examples: Vec<Endpoint>,
    /// Whether the sides treat these ends differently by themselves.
    changed: bool,
}

impl Remote {
    /// An end of each; two different ones where both are the same pods, since a pod always reaches itself.
    fn apart(&self, other: &Self) -> Option<(Endpoint, Endpoint)> {
        let source = *self.examples.first()?;
        let destination = other.examples.iter().copied().find(|end| *end != source)?;
        Some((source, destination))
    }
}

/// All ends and services, in pieces that no policy tells apart.
struct Universe {
    remotes: Vec<Remote>,
    /// A service of each piece, and the piece.
    services: Vec<(Service, ServiceSet)>,
}

impl Universe {
    fn of(old: &Side<'_>, new: &Side<'_>, inventory: &Inventory) -> Self {
        let rules = || {
            let policies = old.policies.iter().chain(new.policies);
            policies.flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten())
        };
        let blocks = blocks(rules(), old.settings, inventory);
        let mut remotes = pods(old, new, rules(), &blocks, inventory);
        remotes.extend(addresses(&blocks, inventory));
        let services = services(rules(), inventory);
        Self { remotes, services }
    }

    /// Pairs with the same difference become one box where their ends can be put together.
    fn boxes(&self, found: BTreeMap<Pair, [ServiceSet; 2]>) -> Vec<Difference> {
        type Kind = (Change, ServiceSet, BTreeSet<Family>);
        let mut families: BTreeMap<_, BTreeSet<Family>> = BTreeMap::new();
        for (Pair { from, to, family }, [opened, closed]) in found {
            for (change, services) in [(Change::Opened, opened), (Change::Closed, closed)] {
                if !services.is_empty() {
                    families.entry((change, services, from, to)).or_default().insert(family);
                }
            }
        }
        let mut destinations: BTreeMap<(Kind, usize), BTreeSet<usize>> = BTreeMap::new();
        for ((change, services, from, to), families) in families {
            let key = ((change, services, families), from);
            destinations.entry(key).or_default().insert(to);
        }
        let mut sources: BTreeMap<(Kind, BTreeSet<usize>), BTreeSet<usize>> = BTreeMap::new();
        for ((kind, from), to) in destinations {
            sources.entry((kind, to)).or_default().insert(from);
        }
        let difference = |((kind, to), from): ((Kind, BTreeSet<usize>), BTreeSet<usize>)| {
            let (change, services, families) = kind;
            let witness =
                self.witness(*from.first()?, *to.first()?, *families.first()?, &services)?;
            let (sources, destinations) = (self.ends(&from), self.ends(&to));
            let mut families = families.into_iter();
            let family = families.next().filter(|_| families.next().is_none());
            let flows = FlowSet { sources, destinations, services, family };
            Some(Difference { change, flows, witness })
        };
        sources.into_iter().filter_map(difference).collect()
    }

    fn ends(&self, remotes: &BTreeSet<usize>) -> EndpointSet {
        let mut ends = EndpointSet::default();
        for remote in remotes.iter().filter_map(|remote| self.remotes.get(*remote)) {
            ends.pods.extend(&remote.ends.pods);
            ends.addresses = ends.addresses.union(&remote.ends.addresses);
        }
        ends
    }

    fn witness(
        &self,
        from: usize,
        to: usize,
        family: Family,
        services: &ServiceSet,
    ) -> Option<Flow> {
        let (source, destination) = self.remotes.get(from)?.apart(self.remotes.get(to)?)?;
        let service = services.clone().within(family).first()?;
        Some(Flow { source, destination, family, service })
    }
}

// ------------------------------------------------------------------------------------------------ pieces

/// The address sets that tell addresses apart: the peers', and the nodes'.
fn blocks<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    settings: &Settings,
    inventory: &Inventory,
) -> BTreeSet<AddressSet> {
    let mut blocks: BTreeSet<AddressSet> = rules
        .flat_map(peers)
        .filter_map(|peer| match peer {
            Peer::Addresses(addresses) => Some(addresses.clone()),
            Peer::Pods(_) | Peer::Nodes(_) => None,
        })
        .collect();
    // No selector tells nodes of the same labels apart.
    let mut nodes: BTreeMap<&Labels, Vec<AddressSet>> = BTreeMap::new();
    for node in &inventory.nodes {
        let addresses = node.addresses.iter().copied().map(AddressSet::from);
        nodes.entry(&node.labels).or_default().extend(addresses);
    }
    blocks.extend(nodes.into_values().map(union));
    blocks.insert(settings.nodes.iter().copied().collect());
    blocks
}

fn peers(rule: &Rule) -> &[Peer] {
    match &rule.peers {
        Peers::Anyone => &[],
        Peers::AnyOf(peers) => peers,
    }
}

/// Addresses that no pod bears, cut along every block.
fn addresses(blocks: &BTreeSet<AddressSet>, inventory: &Inventory) -> Vec<Remote> {
    let pods = inventory.pods_of_policies().flat_map(|(_, pod)| &pod.addresses);
    let pods = pods.copied().map(AddressSet::from);
    let borne = union(pods.collect());
    let mut pieces = vec![AddressSet::full().difference(&borne)];
    for block in blocks {
        pieces = pieces
            .into_iter()
            .flat_map(|piece| [piece.intersection(block), piece.difference(block)])
            .filter(|piece| !piece.is_empty())
            .collect();
    }
    // The families are different ends: a flow has one.
    let families = pieces.into_iter().flat_map(|piece| {
        let v4 = AddressSet { v6: AddressSet::empty().v6, ..piece.clone() };
        let v6 = AddressSet { v4: AddressSet::empty().v4, ..piece };
        [v4, v6]
    });
    families
        .filter_map(|addresses| {
            let examples = vec![Endpoint::Address(addresses.first()?)];
            let ends = EndpointSet { pods: BTreeSet::new(), addresses };
            Some(Remote { ends, examples, changed: false })
        })
        .collect()
}

/// The union of many sets, by halves.
fn union(mut sets: Vec<AddressSet>) -> AddressSet {
    while sets.len() > 1 {
        sets = sets
            .chunks(2)
            .map(|pair| {
                let mut pair = pair.iter();
                let first = pair.next().cloned().unwrap_or_default();
                pair.next().map_or_else(|| first.clone(), |second| first.union(second))
            })
            .collect();
    }
    sets.pop().unwrap_or_default()
}

/// What of a pod the policies of either side can see.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Signature<'a> {
    /// Which policies of the old and of the new side select it.
    selected_by: [Vec<usize>; 2],
    /// Which of the peers' selectors match it.
    peer_of: Vec<bool>,
    ports: &'a [moat_core::inventory::NamedPort],
    probes: &'a [u16],
    /// Which blocks hold its addresses, one after the other.
    blocks: Vec<bool>,
    families: Vec<Family>,
}

/// Pods that no policy of either side tells apart.
fn pods<'r>(
    old: &Side<'_>,
    new: &Side<'_>,
    rules: impl Iterator<Item = &'r Rule>,
    blocks: &BTreeSet<AddressSet>,
    inventory: &Inventory,
) -> Vec<Remote> {
    let selectors: BTreeSet<_> = rules
        .flat_map(peers)
        .filter_map(|peer| match peer {
            Peer::Pods(selector) => Some(selector),
            Peer::Addresses(_) | Peer::Nodes(_) => None,
        })
        .collect();
    let mut classes: BTreeMap<Signature<'_>, BTreeSet<PodIndex>> = BTreeMap::new();
    for (index, pod) in inventory.pods_of_policies() {
        let namespace = inventory.namespace_labels(&pod.namespace);
        let matched =
            selectors.iter().map(|it| it.matches(&pod.namespace, &namespace, &pod.labels));
        let signature = Signature {
            selected_by: [old.policies, new.policies]
                .map(|policies| selected_by(policies, pod, &namespace)),
            peer_of: matched.collect(),
            ports: &pod.ports,
            probes: &pod.probes,
            blocks: pod
                .addresses
                .iter()
                .flat_map(|address| blocks.iter().map(|it| it.contains(*address)))
                .collect(),
            families: pod.families().collect(),
        };
        classes.entry(signature).or_default().insert(index);
    }
    let remote = |(signature, pods): (Signature<'_>, BTreeSet<PodIndex>)| {
        let [before, after] = signature.selected_by;
        let policies = |side: &[Policy], places: &[usize]| -> Vec<Policy> {
            places.iter().filter_map(|place| side.get(*place).cloned()).collect()
        };
        Remote {
            examples: pods.iter().take(2).copied().map(Endpoint::Pod).collect(),
            ends: EndpointSet { pods, addresses: AddressSet::empty() },
            changed: policies(old.policies, &before) != policies(new.policies, &after),
        }
    };
    classes.into_iter().map(remote).collect()
}

/// The places of the policies that select a pod.
fn selected_by(policies: &[Policy], pod: &Pod, namespace: &Labels) -> Vec<usize> {
    let selects = |policy: &Policy| match &policy.subject {
        Subject::Nobody => false,
        Subject::Pods(selector) => selector.matches(&pod.namespace, namespace, &pod.labels),
    };
    let places = policies.iter().enumerate().filter(|(_, policy)| selects(policy));
    places.map(|(place, _)| place).collect()
}

/// All services, cut along every set that a rule names and every port with a name or a probe.
fn services<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    inventory: &Inventory,
) -> Vec<(Service, ServiceSet)> {
    let mut cuts: BTreeSet<ServiceSet> = BTreeSet::new();
    for rule in rules {
        match &rule.services {
            Services::Every => {}
            Services::AnyOf(matches) => cuts.extend(matches.iter().filter_map(|it| match it {
                ServiceMatch::Set(set) => Some(set.clone()),
                ServiceMatch::Named { .. } => None,
            })),
        }
    }
    for pod in &inventory.pods {
        let ports = pod
            .ports
            .iter()
            .map(|port| ServiceSet::ports(port.transport, Intervals::single(port.number)));
        let probes = pod.probes.iter().map(|port| ServiceSet::from(Service::Tcp(*port)));
        cuts.extend(ports.chain(probes));
    }
    // What the settings can loosen (`icmp: Essential`, `icmp: Open`).
    let message = |kind, code| Message { kind, code };
    cuts.insert(Service::Icmp(message(3, 4)).into());
    cuts.insert(Service::Icmpv6(message(2, 0)).into());
    // A protocol is a piece by itself: settings tell tcp and udp from the others, and families one ICMP from the other.
    let protocols = [
        Shape::Tcp(Interval::FULL),
        Shape::Udp(Interval::FULL),
        Shape::Sctp,
        Shape::Icmp(Messages::All),
        Shape::Icmpv6(Messages::All),
    ];
    let mut pieces: Vec<ServiceSet> = protocols.into_iter().map(Shape::services).collect();
    let others = pieces.iter().fold(ServiceSet::all(), |all, piece| all.difference(piece));
    pieces.push(others);
    for cut in &cuts {
        pieces = pieces
            .into_iter()
            .flat_map(|piece| [piece.intersection(cut), piece.difference(cut)])
            .filter(|piece| !piece.is_empty())
            .collect();
    }
    pieces.into_iter().filter_map(|piece| Some((piece.first()?, piece))).collect()
}

#[cfg(test)]
mod tests;
