//! Whatever the policies and the quotas: within every quota, every loss reported, nothing wider.

use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::super::flows;
use super::{cluster, hosts};
use crate::budget;
use crate::compile::Desired;
use crate::finding::Reason;
use crate::inventory::{Attachment, PodIndex};
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
        Quotas { rules_per_group, groups_per_interface, groups, ..Quotas::default() }
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let icmp = prop::sample::select(&[IcmpMode::Strict, IcmpMode::Essential, IcmpMode::Open][..]);
    let (declared, budget) = (any::<bool>(), prop::option::of(1..6usize));
    (quotas(), icmp, declared, budget).prop_map(|(quotas, icmp, declared, budget)| Settings {
        groups_per_namespace: budget.and_then(NonZeroUsize::new),
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
        if let Some(budget) = cluster.settings.groups_per_namespace {
            for (namespace, groups) in budget::groups_by_namespace(&desired.state, &cluster.inventory) {
                prop_assert!(groups.len() <= budget.get(), "{namespace} wears {groups:?}");
            }
        }
        flows::assert_honest(&cluster, &desired);
    }

    #[test]
    fn a_namespace_never_wears_more_groups_than_its_budget_and_others_lose_nothing_but_its_pods(
        mut settings in settings(),
        policies in policies(),
        budget in 1..4usize,
    ) {
        (settings.quotas, settings.groups_per_namespace) = (Quotas::UNLIMITED, None);
        let mut cluster = mixed(settings);
        cluster.policies = policies;
        let inventory = cluster.inventory.clone();
        let worn = |desired: &Desired| budget::groups_by_namespace(&desired.state, &inventory);
        let beyond = worn(&cluster.compile());
        let beyond: Vec<_> =
            beyond.into_iter().filter(|(_, groups)| groups.len() > budget).map(|it| it.0.clone()).collect();
        cluster.settings.groups_per_namespace = NonZeroUsize::new(budget);
        let desired = cluster.compile();
        for (namespace, groups) in worn(&desired) {
            prop_assert!(groups.len() <= budget, "{namespace} wears {groups:?}");
        }
        flows::assert_honest(&cluster, &desired);
        let exceeded = desired.findings.iter().filter(|it| it.reason == Reason::QuotaExceeded);
        for flows in exceeded.flat_map(|finding| finding.flows.iter()) {
            let is_beyond = |place: &PodIndex| beyond.contains(&cluster.inventory.pods[place.0].namespace);
            let mut ends = [&flows.sources, &flows.destinations].into_iter();
            prop_assert!(
                ends.any(|end| end.addresses.is_empty() && end.pods.iter().all(is_beyond)),
                "{beyond:?} alone may lose: {}",
                flows.display(&cluster.inventory)
            );
        }
    }
}
