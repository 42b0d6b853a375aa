//! One first packet, and sets of them.

use std::collections::BTreeSet;
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
}

/// A set of pods and of addresses. A pod is in it by itself only, never by its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

impl FlowSet {
    /// Whether a flow is in the box.
    #[must_use]
    pub fn contains(&self, flow: &Flow) -> bool {
        self.sources.contains(flow.source)
            && self.destinations.contains(flow.destination)
            && self.services.contains(flow.service)
    }
}
