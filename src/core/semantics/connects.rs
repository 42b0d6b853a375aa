//! Whether a pod has an accepted tcp or udp flow: the condition of essential ICMP.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Semantics;
use crate::flow::{Endpoint, Flow};
use crate::inventory::{Pod, PodIndex};
use crate::net::{Address, AddressSet, Family, Intervals, Point, Service};
use crate::policy::{Direction, Peer, Peers, Rule, ServiceMatch, Services};

impl Semantics<'_> {
    /// Whether the pod has, at its own end, an accepted tcp or udp flow of the family, in or out: with any address
    /// as if no pod bore it, or with another pod.
    ///
    /// Corners are enough. An end's decision depends on an address only through which address sets and nodes hold it,
    /// and on a port only through which service sets, named ports and probe ports hold it. All of these are finite
    /// unions of intervals, so between two neighbouring corners (the points where one of them begins, or has just
    /// ended, and 0) nothing changes: the least point of each such stretch speaks for all of it.
    pub(super) fn connects(&self, subject: (PodIndex, &Pod), family: Family) -> bool {
        let Some(known) = self.pods.get(subject.0.0) else { return false };
        let cell = match family {
            Family::V4 => &known.connects.0,
            Family::V6 => &known.connects.1,
        };
        *cell.get_or_init(|| {
            let accepts = |direction| self.accepts_a_connection(subject, family, direction);
            Direction::BOTH.into_iter().any(accepts)
        })
    }

    fn accepts_a_connection(
        &self,
        (index, subject): (PodIndex, &Pod),
        family: Family,
        direction: Direction,
    ) -> bool {
        let policies = self.selecting(index).iter();
        let rules: Vec<&Rule> = policies.filter_map(|p| p.rules(direction)).flatten().collect();
        let addresses = match family {
            Family::V4 => self.corner_addresses::<u32>(&rules),
            Family::V6 => self.corner_addresses::<u128>(&rules),
        };
        let pods = self.inventory.pods_of_policies();
        let others = pods.filter(|(other, pod)| *other != index && pod.address(family).is_some());
        let remotes = addresses.into_iter().map(|address| (Endpoint::Address(address), None));
        let remotes = remotes.chain(others.map(|(other, pod)| (Endpoint::Pod(other), Some(pod))));

        let own = corner_ports(&rules, subject);
        remotes.into_iter().any(|(remote, pod)| {
            let end = |service| {
                let this = Endpoint::Pod(index);
                let (source, destination) = match direction {
                    Direction::Ingress => (remote, this),
                    Direction::Egress => (this, remote),
                };
                self.end(&Flow { source, destination, family, service }, direction).allowed()
            };
            let named = pod.into_iter().flat_map(|pod| pod.ports.iter()).map(|port| port.number);
            let named = named.flat_map(|port| [Some(port), port.checked_add(1)]).flatten();
            let ports = own.iter().copied().chain(named);
            ports.into_iter().any(|port| end(Service::Tcp(port)) || end(Service::Udp(port)))
        })
    }

    fn corner_addresses<A: Address>(&self, rules: &[&Rule]) -> Vec<IpAddr> {
        let mut corners = BTreeSet::from([A::MIN]);
        for rule in rules {
            if let Peers::AnyOf(peers) = &rule.peers {
                for peer in peers {
                    match peer {
                        Peer::Addresses(set) => add_corners(A::of(set), &mut corners),
                        Peer::Pods(_) | Peer::Nodes(_) => {}
                    }
                }
            }
        }
        for address in self.nodes.keys().copied() {
            add_corners(A::of(&AddressSet::from(address)), &mut corners);
        }
        add_corners(A::of(&self.unlabelled_nodes), &mut corners);
        corners.into_iter().map(A::to_ip).collect()
    }
}

/// The corner ports of rules and of the subject; the names of another pod add theirs.
fn corner_ports(rules: &[&Rule], subject: &Pod) -> BTreeSet<u16> {
    let mut corners = BTreeSet::from([0]);
    for rule in rules {
        if let Services::AnyOf(list) = &rule.services {
            for service in list {
                match service {
                    ServiceMatch::Set(set) => {
                        add_corners(&set.tcp, &mut corners);
                        add_corners(&set.udp, &mut corners);
                    }
                    ServiceMatch::Named { .. } => {}
                }
            }
        }
    }
    let named = subject.ports.iter().map(|port| port.number);
    for port in named.chain(subject.probes.iter().copied()) {
        add_corners(&Intervals::single(port), &mut corners);
    }
    corners
}

/// Adds the points where the set begins or has just ended.
fn add_corners<T: Point>(set: &Intervals<T>, corners: &mut BTreeSet<T>) {
    for interval in set.iter() {
        corners.insert(interval.low());
        corners.extend(interval.high().next());
    }
}
