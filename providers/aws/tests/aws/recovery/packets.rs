//! The packets that the faults are judged by.

use moat_core::flow::{Endpoint, Flow};
use moat_core::inventory::PodIndex;
use moat_core::net::{Family, Message, Service};

/// Every pair of ends with a service on either side of every rule's edge.
pub(crate) fn packets() -> Vec<Flow> {
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
