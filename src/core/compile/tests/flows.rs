//! Every flow of a small cluster, asked of both semantics: what differs is in a box, and no box is wrong.

use std::net::IpAddr;

use crate::compile::Desired;
use crate::finding::Effect;
use crate::firewall::Cloud;
use crate::flow::{Endpoint, Flow};
use crate::inventory::PodIndex;
use crate::net::{Family, Service};
use crate::testing::{Cluster, address, service};

/// Services of every protocol, and those at the edges of the tests' sets.
const SERVICES: &[&str] = &[
    "tcp/53",
    "tcp/79",
    "tcp/80",
    "tcp/81",
    "tcp/443",
    "tcp/8080",
    "udp/53",
    "udp/80",
    "sctp/80",
    "sctp/81",
    "icmp/0/0",
    "icmp/3/4",
    "icmp/4/3",
    "icmp/8/0",
    "icmp/8/1",
    "icmp/77/0",
    "icmpv6/2/0",
    "icmpv6/77/0",
    "icmpv6/128/0",
    "proto/47",
];

/// Asserts that cloud and policies agree but for what the findings say, and that the findings say nothing else. The
/// ends are pods and addresses of interest, but for those of declared pod subnets and of subnets whose network ACLs are handed over, where nothing but pods can be.
#[track_caller]
pub(super) fn assert_honest(cluster: &Cluster, desired: &Desired) {
    let policies = cluster.semantics();
    let cloud = Cloud::new(&desired.state, &cluster.inventory);
    let ports = cluster.settings.client_ports.0;
    for flow in flows(cluster) {
        let (wanted, given) = (policies.allows(&flow), cloud.allows(&flow));
        for port in
            [ports.low(), 443, 8080, ports.high()].into_iter().filter(|it| ports.contains(*it))
        {
            let shown = flow.display(&cluster.inventory);
            assert!(
                !wanted || !given || cloud.answers(&flow, port),
                "{shown} has no reply to {port}"
            );
        }
        let held = |effect| {
            let of_effect = desired.findings.iter().filter(move |it| it.effect == effect);
            of_effect.flat_map(|it| it.flows.iter()).any(|flows| flows.contains(&flow))
        };
        let shown = flow.display(&cluster.inventory);
        let (narrower, open) = (held(Effect::Narrower), held(Effect::NotEnforced));
        match (wanted, given) {
            (true, false) => assert!(narrower, "{shown} is lost and no finding says so"),
            (false, true) => assert!(open, "{shown} is open and no finding says so"),
            (true, true) => assert!(!narrower && !open, "{shown} passes and a finding is about it"),
            (false, false) => {}
        }
    }
    for finding in &desired.findings {
        let Some(witness) = &finding.witness else { continue };
        let shown = witness.display(&cluster.inventory);
        let (wanted, given) = (policies.allows(witness), cloud.allows(witness));
        let lost = finding.effect == Effect::Narrower;
        assert_eq!((wanted, given), (lost, !lost), "{shown} witnesses {}", finding.reason);
        assert!(finding.flows.iter().any(|flows| flows.contains(witness)), "{shown}");
    }
}

/// Every flow between two ends, one of them a pod, with every service.
fn flows(cluster: &Cluster) -> Vec<Flow> {
    let services: Vec<Service> = SERVICES.iter().map(|text| service(text)).collect();
    let pods: Vec<PodIndex> =
        cluster.inventory.pods_of_policies().map(|(index, _)| index).collect();
    let borne = |it: &IpAddr| {
        cluster.inventory.pods_of_policies().any(|(_, pod)| pod.addresses.contains(it))
    };
    let nodes = cluster.inventory.nodes.iter().flat_map(|node| node.addresses.clone());
    let addresses = [
        "8.8.8.8",
        "10.0.0.99",
        "10.0.5.5",
        "10.9.9.9",
        "192.168.0.9",
        "2001:db8::9",
        "fd00::99",
        "fd00:0:0:1::9",
    ];
    let addresses = addresses.iter().map(|text| address(text)).chain(nodes);
    let handed_over = cluster.inventory.subnets.values().filter(|subnet| !subnet.has_others);
    let handed_over = handed_over.flat_map(|subnet| &subnet.blocks);
    let only_pods = cluster.settings.pod_subnets.iter().chain(handed_over);
    let only_pods = |it: &IpAddr| only_pods.clone().any(|block| block.contains(*it));
    let addresses = addresses.filter(|it| !borne(it) && !only_pods(it));
    let others: Vec<Endpoint> = addresses.map(Endpoint::Address).collect();
    let others = others.into_iter().chain(pods.iter().copied().map(Endpoint::Pod));
    let mut flows = Vec::new();
    for other in others {
        for pod in pods.iter().copied().map(Endpoint::Pod).filter(|pod| *pod != other) {
            for family in Family::BOTH {
                let has = |end: Endpoint| end.address(&cluster.inventory, family).is_some();
                if !has(pod) || !has(other) {
                    continue;
                }
                for service in services.iter().copied().filter(|it| it.exists_in(family)) {
                    for (source, destination) in [(pod, other), (other, pod)] {
                        flows.push(Flow { source, destination, family, service });
                    }
                }
            }
        }
    }
    flows
}
