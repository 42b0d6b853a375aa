//! Packets at the corners of a cluster's policies: where one rule ends and another begins.

use std::collections::BTreeSet;
use std::net::IpAddr;

use moat_core::flow::{Endpoint, EndpointSet, Flow, FlowSet};
use moat_core::inventory::{Inventory, PodIndex};
use moat_core::net::{
    Address, AddressSet, Family, Intervals, Message, Point, Protocol, Service, ServiceSet,
};
use moat_core::policy::{Direction, Peer, Peers, ServiceMatch, Services};

use crate::build::{address, addresses};
use crate::generate::Cluster;
use crate::random::Random;

/// The ends and services from which the packets of a cluster are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corners {
    /// Every pod that policies see, with the families it has.
    pods: Vec<(PodIndex, Vec<Family>)>,
    /// The addresses on both sides of every boundary that policies, settings and inventory mention.
    addresses: Vec<IpAddr>,
    /// The services on both sides of every boundary.
    services: Vec<Service>,
}

/// So many pods are paired with each other.
const MANY: usize = 200;

impl Corners {
    /// The corners of one cluster, or of one after another.
    #[must_use]
    pub fn of(clusters: &[&Cluster]) -> Self {
        let inventory = clusters.last().map(|cluster| &cluster.inventory);
        let pods = inventory.into_iter().flat_map(Inventory::pods_of_policies);
        let (mut addresses, mut services) = (BTreeSet::new(), BTreeSet::new());
        for cluster in clusters {
            addresses.extend(mentioned_addresses(cluster));
            services.extend(mentioned_services(cluster));
        }
        addresses.retain(|address| clusters.iter().all(|cluster| exists(cluster, *address)));
        Self {
            pods: pods.map(|(index, pod)| (index, pod.families().collect())).collect(),
            addresses: addresses.into_iter().collect(),
            services: services.into_iter().collect(),
        }
    }

    /// About `count` packets: all of them if they are that few, else a random choice.
    #[must_use]
    pub fn packets(&self, random: &mut Random, count: usize) -> Vec<Flow> {
        // Pairs of pods are quadratic: of a large cluster, some pods stand for all.
        if self.pods.len() > MANY {
            let pods = random.many(MANY, |random, _| random.pick(&self.pods));
            return Self { pods, ..self.clone() }.packets(random, count);
        }
        let pairs = self.pairs();
        let product = pairs.len() * self.services.len();
        let flow = |(source, destination, family): (Endpoint, Endpoint, Family), service| Flow {
            source,
            destination,
            family,
            service,
        };
        let all: Vec<Flow> = if product <= count {
            let every = pairs.iter().map(|pair| self.services.iter().map(|s| flow(*pair, *s)));
            every.flatten().collect()
        } else {
            let any =
                |random: &mut Random, _| flow(random.pick(&pairs), random.pick(&self.services));
            random.many(count, any)
        };
        all.into_iter().filter(|flow| flow.service.exists_in(flow.family)).collect()
    }

    /// Every pair of ends that a packet can have. Pods meet each other in every family, however many addresses there are.
    fn pairs(&self) -> Vec<(Endpoint, Endpoint, Family)> {
        let mut pairs = Vec::new();
        for (pod, families) in &self.pods {
            for family in families {
                let others = self.pods.iter().filter(|(_, families)| families.contains(family));
                let others = others.map(|(other, _)| Endpoint::Pod(*other));
                pairs.extend(others.map(|other| (Endpoint::Pod(*pod), other, *family)));
                for address in self.addresses.iter().filter(|a| Family::of(**a) == *family) {
                    let (pod, address) = (Endpoint::Pod(*pod), Endpoint::Address(*address));
                    pairs.extend([(pod, address, *family), (address, pod, *family)]);
                }
            }
        }
        pairs
    }
}

/// Up to `count` packets of a box: at its corners, or inside it by chance.
#[must_use]
pub fn packets_of(
    cluster: &Cluster,
    flows: &FlowSet,
    random: &mut Random,
    count: usize,
) -> Vec<Flow> {
    let sources = ends(cluster, &flows.sources);
    let destinations = ends(cluster, &flows.destinations);
    let services: Vec<Service> = corners_of(&flows.services)
        .into_iter()
        .filter(|service| flows.services.contains(*service))
        .collect();
    if sources.is_empty() || destinations.is_empty() || services.is_empty() {
        return Vec::new();
    }
    let tries = random.many(count, |random, _| {
        let (source, destination) = (random.pick(&sources), random.pick(&destinations));
        let family = flows.family.unwrap_or(random.pick(&Family::BOTH));
        Flow { source, destination, family, service: random.pick(&services) }
    });
    let real = |flow: &Flow| {
        let pod = |end| matches!(end, Endpoint::Pod(_));
        flow.service.exists_in(flow.family)
            && [flow.source, flow.destination].into_iter().any(pod)
            && [flow.source, flow.destination]
                .into_iter()
                .all(|end| end.address(&cluster.inventory, flow.family).is_some())
    };
    tries.into_iter().filter(real).collect()
}

fn ends(cluster: &Cluster, set: &EndpointSet) -> Vec<Endpoint> {
    let mut edges = BTreeSet::new();
    edges_of(&set.addresses, &mut edges);
    let inside = edges.into_iter().filter(|address| set.addresses.contains(*address));
    let addresses = inside.filter(|address| exists(cluster, *address)).map(Endpoint::Address);
    set.pods.iter().copied().map(Endpoint::Pod).chain(addresses).collect()
}

// ------------------------------------------------------------------------------------------- Addresses

/// An address that a packet can bear without being a pod's: none that a pod has, and none that a subnet of pods has free.
fn exists(cluster: &Cluster, address: IpAddr) -> bool {
    let mut pods = cluster.inventory.pods_of_policies();
    cluster.only_pods().all(|subnet| !subnet.contains(address))
        && pods.all(|(_, pod)| !pod.addresses.contains(&address))
}

fn mentioned_addresses(cluster: &Cluster) -> BTreeSet<IpAddr> {
    let Cluster { policies, inventory, settings } = cluster;
    let mut edges = BTreeSet::new();
    let rules = policies.iter().flat_map(|policy| {
        Direction::BOTH.into_iter().filter_map(|direction| policy.rules(direction)).flatten()
    });
    for rule in rules {
        let Peers::AnyOf(peers) = &rule.peers else { continue };
        for peer in peers {
            if let Peer::Addresses(set) = peer {
                edges_of(set, &mut edges);
            }
        }
    }
    let entries = inventory.acls.values().flat_map(|acl| acl.0.values());
    entries.for_each(|entry| edges_of(&entry.prefix.into(), &mut edges));
    let blocks = inventory.vpc.iter().chain(&settings.pod_subnets).chain(&settings.nodes);
    edges_of(&blocks.copied().collect(), &mut edges);
    edges_of(&addresses(&["10.0.1.0/24", "2001:db8:0:1::/64"]), &mut edges);
    edges.extend(inventory.nodes.iter().flat_map(|node| node.addresses.iter().copied()));
    edges.extend(NEVER_FILTERED.map(address));
    edges.extend(ANYWHERE.map(address));
    edges
}

/// A selection of the addresses that groups never filter (DESIGN §6; AWS, security groups), the resolver of the VPC among them.
const NEVER_FILTERED: [&str; 5] =
    ["169.254.169.254", "169.254.169.253", "169.254.170.2", "10.0.0.2", "fd00:ec2::253"];

/// Addresses that nothing singles out, in and out of the VPC.
const ANYWHERE: [&str; 5] = ["10.0.1.200", "10.0.77.7", "8.8.8.8", "2001:db8:0:1::c8", "2600::8"];

/// The first and last address of each part of a set, and their neighbours outside.
fn edges_of(set: &AddressSet, edges: &mut BTreeSet<IpAddr>) {
    edges.extend(points(&set.v4).into_iter().map(Address::to_ip));
    edges.extend(points(&set.v6).into_iter().map(Address::to_ip));
}

/// The first and last point of each part of a set, and their neighbours outside.
fn points<T: Point>(set: &Intervals<T>) -> BTreeSet<T> {
    let around = |low: T, high: T| [low.previous(), Some(low), Some(high), high.next()];
    set.iter().flat_map(|part| around(part.low(), part.high())).flatten().collect()
}

// -------------------------------------------------------------------------------------------- Services

fn mentioned_services(cluster: &Cluster) -> BTreeSet<Service> {
    let mut services = BTreeSet::from(always());
    let rules = cluster.policies.iter().flat_map(|policy| {
        Direction::BOTH.into_iter().filter_map(|direction| policy.rules(direction)).flatten()
    });
    for rule in rules {
        let Services::AnyOf(matches) = &rule.services else { continue };
        for service in matches {
            if let ServiceMatch::Set(set) = service {
                services.extend(corners_of(set));
            }
        }
    }
    for entry in cluster.inventory.acls.values().flat_map(|acl| acl.0.values()) {
        services.extend(corners_of(&entry.shape.services()));
    }
    for pod in &cluster.inventory.pods {
        services.extend(pod.ports.iter().flat_map(|port| {
            corners_of(&ServiceSet::ports(port.transport, Intervals::single(port.number)))
        }));
        services.extend(pod.probes.iter().map(|port| Service::Tcp(*port)));
    }
    services
}

/// Services that every cluster is asked about: path MTU messages, echo, and one of each protocol.
fn always() -> [Service; 8] {
    let message = |kind, code| Message { kind, code };
    [
        Service::Tcp(443),
        Service::Udp(53),
        Service::Sctp(9003),
        Service::Icmp(message(3, 4)),
        Service::Icmp(message(8, 0)),
        Service::Icmpv6(message(2, 0)),
        Service::Icmpv6(message(128, 0)),
        Protocol::new(47).map_or(Service::Tcp(0), Service::Other),
    ]
}

/// The services on both sides of every boundary of a set.
fn corners_of(set: &ServiceSet) -> Vec<Service> {
    let mut corners: Vec<Service> = points(&set.tcp).into_iter().map(Service::Tcp).collect();
    corners.extend(points(&set.udp).into_iter().map(Service::Udp));
    corners.extend(points(&set.sctp).into_iter().map(Service::Sctp));
    corners.extend(points(&set.icmp).into_iter().map(|p| Service::Icmp(Message::at(p))));
    corners.extend(points(&set.icmpv6).into_iter().map(|p| Service::Icmpv6(Message::at(p))));
    let other = points(set.other()).into_iter().filter_map(Protocol::new);
    corners.extend(other.map(Service::Other));
    corners
}
