//! One first packet, and sets of them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::inventory::{Inventory, PodIndex};
use crate::net::{AddressSet, Family, Service, ServiceSet};

/// The first packet of a connection. At least one end is a pod, or no group ever sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Where it comes from.
    pub source: Endpoint,
    /// Where it goes.
    pub destination: Endpoint,
    /// The family of its addresses; a pod end has an address of it.
    pub family: Family,
    /// What it asks for; exists in `family`.
    pub service: Service,
}

/// One end of a flow. An address that a live pod bears, host network aside, is that pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// A pod.
    Pod(PodIndex),
    /// An address that no pod of the policies bears.
    Address(IpAddr),
}

/// A box of flows: any of the sources to any of the destinations by any of the services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowSet {
    /// Where they come from.
    pub sources: EndpointSet,
    /// Where they go.
    pub destinations: EndpointSet,
    /// What they ask for.
    pub services: ServiceSet,
    /// The family of their addresses; none: both.
    pub family: Option<Family>,
}

/// A set of pods and of addresses. A pod is in it by itself only, never by its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointSet {
    /// The pods.
    pub pods: BTreeSet<PodIndex>,
    /// The addresses that no pod bears.
    pub addresses: AddressSet,
}

impl Endpoint {
    /// The address of this end in a family.
    #[must_use]
    pub fn address(self, inventory: &Inventory, family: Family) -> Option<IpAddr> {
        match self {
            Self::Pod(index) => inventory.pod(index)?.address(family),
            Self::Address(address) => (Family::of(address) == family).then_some(address),
        }
    }

    /// How people call it: `namespace/pod`, or the address.
    #[must_use]
    pub fn named(self, inventory: &Inventory) -> String {
        match self {
            Self::Pod(index) => match inventory.pod(index) {
                Some(pod) => format!("{}/{}", pod.namespace, pod.name),
                None => format!("pod {}", index.0),
            },
            Self::Address(address) => address.to_string(),
        }
    }
}

impl Flow {
    /// The flow in one line: `shop/web-0 10.0.1.4 → 10.0.9.8 tcp/8443`.
    pub fn display<'a>(&'a self, inventory: &'a Inventory) -> impl fmt::Display + 'a {
        let end = |end: Endpoint| match (end, end.address(inventory, self.family)) {
            (Endpoint::Pod(_), Some(address)) => format!("{} {address}", end.named(inventory)),
            (Endpoint::Pod(_) | Endpoint::Address(_), _) => end.named(inventory),
        };
        fmt::from_fn(move |f| {
            write!(f, "{} → {} {}", end(self.source), end(self.destination), self.service)
        })
    }
}

impl EndpointSet {
    /// Whether an end is in the set.
    #[must_use]
    pub fn contains(&self, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::Pod(index) => self.pods.contains(&index),
            Endpoint::Address(address) => self.addresses.contains(address),
        }
    }

    /// Whether it holds nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.addresses.is_empty()
    }

    /// The pods by name, then the addresses: `shop/web-0, shop/web-1, 10.0.0.0/8`; `none` for nobody.
    pub fn display<'a>(&'a self, inventory: &'a Inventory) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            for (index, pod) in self.pods.iter().enumerate() {
                let separator = if index == 0 { "" } else { ", " };
                write!(f, "{separator}{}", Endpoint::Pod(*pod).named(inventory))?;
            }
            match (self.pods.is_empty(), self.addresses.is_empty()) {
                (false, true) => Ok(()),
                (false, false) => write!(f, ", {}", self.addresses),
                (true, _) => write!(f, "{}", self.addresses),
            }
        })
    }
}

impl FlowSet {
    /// Whether a flow is in the box.
    #[must_use]
    pub fn contains(&self, flow: &Flow) -> bool {
        self.sources.contains(flow.source)
            && self.destinations.contains(flow.destination)
            && self.services.contains(flow.service)
            && self.family.is_none_or(|family| family == flow.family)
    }

    /// The box in one line: `shop/web-0, 10.0.0.0/8 → shop/db-0 tcp/80-443, udp/53`.
    pub fn display<'a>(&'a self, inventory: &'a Inventory) -> impl fmt::Display + 'a {
        let (sources, destinations) = (&self.sources, &self.destinations);
        fmt::from_fn(move |f| {
            let (sources, destinations) =
                (sources.display(inventory), destinations.display(inventory));
            write!(f, "{sources} → {destinations} {}", self.services)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::inventory::Pod;

    fn web() -> Inventory {
        let pod = Pod {
            namespace: "shop".into(),
            name: "web-0".into(),
            uid: "1".into(),
            labels: Arc::default(),
            addresses: vec!["10.0.1.4".parse().unwrap(), "2001:db8::4".parse().unwrap()],
            node: None,
            ports: Arc::default(),
            probes: Arc::default(),
            host_network: false,
            interface: None,
        };
        Inventory { pods: vec![pod], ..Inventory::default() }
    }

    #[test]
    fn a_flow_prints_names_and_the_addresses_of_its_family() {
        let inventory = web();
        let flow = |address: &str, service: &str| {
            let destination: IpAddr = address.parse().unwrap();
            let flow = Flow {
                source: Endpoint::Pod(PodIndex(0)),
                destination: Endpoint::Address(destination),
                family: Family::of(destination),
                service: service.parse().unwrap(),
            };
            flow.display(&inventory).to_string()
        };
        assert_eq!(flow("10.0.9.8", "tcp/8443"), "shop/web-0 10.0.1.4 → 10.0.9.8 tcp/8443");
        assert_eq!(
            flow("2001:db8::9", "icmpv6/2/0"),
            "shop/web-0 2001:db8::4 → 2001:db8::9 icmpv6/2/0"
        );
    }

    #[test]
    fn a_box_of_flows_prints_its_pods_then_its_addresses() {
        let pod = EndpointSet { pods: [PodIndex(0)].into(), ..EndpointSet::default() };
        let both = EndpointSet { addresses: "10.0.0.0/8".parse().unwrap(), ..pod.clone() };
        let services: ServiceSet = "tcp/80, udp/53".parse().unwrap();
        let flows = |sources: &EndpointSet, destinations: &EndpointSet| {
            let (sources, destinations) = (sources.clone(), destinations.clone());
            let flows = FlowSet { sources, destinations, services: services.clone(), family: None };
            flows.display(&web()).to_string()
        };
        assert_eq!(flows(&both, &pod), "shop/web-0, 10.0.0.0/8 → shop/web-0 tcp/80, udp/53");
        assert_eq!(flows(&pod, &EndpointSet::default()), "shop/web-0 → none tcp/80, udp/53");
    }
}
