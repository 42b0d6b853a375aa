//! Whatever the policies and the quotas: within every quota, every loss reported, nothing wider.

use proptest::prelude::*;

use super::super::flows;
use super::{cluster, hosts};
use crate::budget;
use crate::inventory::Attachment;
use crate::policy::{Peer, Policy, ServiceMatch};
use crate::settings::{IcmpMode, NodeTraffic, Quotas, Settings};
use crate::testing::{
    Cluster, accept, admin, block_except, blocks, deny, network_policy, pods, set,
};

/// The same pods, of which x/b has two families and a group without rules, x/c a shared interface, y/b none, and y/c a
/// group that is narrow.
fn mixed(settings: Settings) -> Cluster {
    let mut cluster = cluster(settings)
        .vpc(&["10.0.0.0/16"])
        .node("node", "", &["10.0.9.9"])
        .foreign("sg-empty", &[])
        .foreign("sg-narrow", &["ingress 10.0.0.0/8 tcp/80", "egress sg-base all"])
        .attached("x/b", Attachment::Exclusive, &["sg-base", "sg-empty"])
        .attached("x/c", Attachment::Shared, &["sg-base"])
        .attached("y/c", Attachment::Exclusive, &["sg-narrow"]);
    let dual = cluster.pod_mut("x/b").clone().at("fd00::2").probe(80);
    *cluster.pod_mut("x/b") = dual;
    cluster.pod_mut("y/b").interface = None;
    cluster
}

fn services() -> impl Strategy<Value = ServiceMatch> {
    const TEXTS: &[&str] =
        &["tcp/80", "tcp/80, tcp/443", "udp/53", "icmp/8", "icmp/8/0, icmpv6/128/0", "sctp", "tcp"];
    prop::sample::select(TEXTS).prop_map(set)
}

fn peer() -> impl Strategy<Value = Peer> {
    let pods_of = (
        prop::sample::select(&["", "ns=x", "ns=y"][..]),
        prop::sample::select(&["", "pod=a", "pod=b", "pod!=c"][..]),
    )
        .prop_map(|(namespace, labels)| Peer::Pods(pods(namespace, labels)));
    let wide = prop::sample::select(&["0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/24"][..])
        .prop_map(|block| blocks(&[block]));
    let holed = Just(block_except("10.0.0.0/8", &["10.0.0.2/32"]));
    prop_oneof![3 => pods_of, 1 => wide, 1 => holed, 1 => (1..6usize).prop_map(hosts)]
}

fn rule() -> BoxedStrategy<crate::policy::Rule> {
    let actions =
        prop_oneof![4 => Just(accept()), 2 => Just(deny()), 1 => Just(crate::testing::pass())];
    (actions, prop::option::of(peer()), prop::option::of(services()))
        .prop_map(|(mut rule, peer, services)| {
            if let Some(peer) = peer {
                rule = rule.peers([peer]);
            }
            match services {
                Some(services) => rule.services([services]),
                None => rule,
            }
        })
        .boxed()
}

/// A policy of any tier; in the NetworkPolicy tier every rule accepts.
fn policy(place: usize) -> impl Strategy<Value = Policy> {
    let direction = || prop::option::weighted(0.7, (rule(), prop::option::of(rule())));
    let subject =
        (prop::sample::select(&["x", "y"][..]), prop::sample::select(&["", "pod=a", "pod!=b"][..]));
    (0..4usize, subject, direction(), direction()).prop_map(
        move |(tier, (namespace, labels), ingress, egress)| {
            let name = format!("{namespace}/p{place}");
            let mut policy = match tier {
                0 => admin(&name, 1, pods(&format!("ns={namespace}"), labels)),
                1 => crate::testing::baseline(&name, 1, pods(&format!("ns={namespace}"), labels)),
                _ => network_policy(&name, labels),
            };
            let rules = |rules: Option<(crate::policy::Rule, Option<crate::policy::Rule>)>| {
                let rules =
                    rules.map(|(first, second)| [Some(first), second].into_iter().flatten());
                rules.map(|rules| {
                    let accepts = |rule: crate::policy::Rule| match tier {
                        0 | 1 => rule,
                        _ => crate::policy::Rule { action: crate::policy::Action::Accept, ..rule },
                    };
                    rules.map(accepts).collect::<Vec<_>>()
                })
            };
            policy.ingress = rules(ingress);
            policy.egress = rules(egress);
            policy
        },
    )
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    (0..4).map(|place| policy(place).boxed()).collect::<Vec<_>>()
}

/// Down to one rule, one group on an interface, and one group in all; sometimes with room for ICMP by type or by code.
fn quotas() -> impl Strategy<Value = Quotas> {
    let rules = prop_oneof![4 => 1..=6usize, 1 => prop::sample::select(&[20, 40, 280, 520][..])];
    (rules, 1..=4usize, 1..=8usize).prop_map(|(rules_per_group, groups_per_interface, groups)| {
        Quotas { rules_per_group, groups_per_interface, groups }
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let icmp = prop::sample::select(&[IcmpMode::Strict, IcmpMode::Essential, IcmpMode::Open][..]);
    let declared = any::<bool>();
    (quotas(), icmp, declared).prop_map(|(quotas, icmp, declared)| Settings {
        quotas,
        icmp,
        node_traffic: NodeTraffic::Probes,
        pod_subnets: if declared { vec!["10.0.0.0/23".parse().unwrap()] } else { Vec::new() },
        ..Settings::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_ladder_ends_within_every_quota_and_never_opens_more(settings in settings(), policies in policies()) {
        let mut cluster = mixed(settings);
        cluster.policies = policies;
        let desired = cluster.compile();
        prop_assert_eq!(budget::breaches(&desired.state, &cluster.settings.quotas), vec![]);
        flows::assert_honest(&cluster, &desired);
    }
}
