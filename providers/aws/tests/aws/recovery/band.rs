//! What packets may meet between two states.

use moat_core::firewall::{Cloud as Judge, State};
use moat_core::flow::{Endpoint, Flow};
use moat_core::inventory::{Inventory, PodIndex};
use moat_core::net::{Family, Message, Service};

/// The packets at every edge, and what both states say of each.
pub(crate) struct Band<'a> {
    inventory: &'a Inventory,
    packets: Vec<(Flow, bool, bool)>,
}

impl<'a> Band<'a> {
    pub(crate) fn new(before: &State, after: &State, inventory: &'a Inventory) -> Self {
        let (before, after) = (Judge::new(before, inventory), Judge::new(after, inventory));
        let judged = |flow: Flow| (flow, before.allows(&flow), after.allows(&flow));
        Self { inventory, packets: packets().into_iter().map(judged).collect() }
    }

    /// The packets judged; each is let through or dropped as before or as after.
    pub(crate) fn holds(&self, state: &State, when: &str) -> usize {
        let judge = Judge::new(state, self.inventory);
        for (flow, before, after) in &self.packets {
            let through = judge.allows(flow);
            let flow = flow.display(self.inventory);
            assert!(through == *before || through == *after, "{when}: {flow}: {through}");
        }
        self.packets.len()
    }
}

/// Every pair of ends with a service on either side of every rule's edge.
fn packets() -> Vec<Flow> {
    let message = |kind, code| Message { kind, code };
    let mut flows = Vec::new();
    for family in Family::BOTH {
        let tcp = [22, 23, 79, 80, 81, 82, 443, 444].map(Service::Tcp);
        let messages = match family {
            Family::V4 => {
                [(8, 0), (8, 1), (3, 4), (3, 3), (0, 0)].map(|(a, b)| Service::Icmp(message(a, b)))
            }
            Family::V6 => [(128, 0), (128, 1), (2, 0), (2, 1), (129, 0)]
                .map(|(a, b)| Service::Icmpv6(message(a, b))),
        };
        let services = tcp.into_iter().chain([53, 54].map(Service::Udp)).chain(messages);
        let services: Vec<Service> = services.collect();
        let outside = match family {
            Family::V4 => ["10.9.9.9", "192.0.2.1"],
            Family::V6 => ["2001:db8::9999", "2600::1"],
        };
        let outside = outside.map(|text| Endpoint::Address(text.parse().unwrap()));
        let pods = (0..4).map(|index| Endpoint::Pod(PodIndex(index)));
        let ends: Vec<Endpoint> = pods.chain(outside).collect();
        for (source, destination) in ends.iter().flat_map(|a| ends.iter().map(move |b| (*a, *b))) {
            let flow = |service: &Service| Flow { source, destination, family, service: *service };
            flows.extend(services.iter().map(flow));
        }
    }
    flows
}
