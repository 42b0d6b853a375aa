//! The order in which objects come in changes nothing.

use proptest::prelude::*;

use super::plain;
use crate::policy::{Peer, Policy};
use crate::settings::{IcmpMode, NodeTraffic, Quotas, Settings};
use crate::testing::{
    Cluster, accept, admin, baseline, blocks, deny, network_policy, pass, pod, pods, set,
};

/// Policies of every tier, two of them with equal priorities.
fn policies() -> Vec<Policy> {
    let web = || Peer::Pods(pods("ns=x", "pod=a"));
    let lan = || blocks(&["10.0.0.0/8"]);
    vec![
        admin("first", 1, pods("ns=x", "pod=b"))
            .ingress([pass().peers([web()]), deny().peers([Peer::Pods(pods("ns=y", ""))])]),
        admin("second", 1, pods("ns=x", "")).egress([deny().services([set("tcp/443")])]),
        network_policy("x/b", "pod=b").ingress([accept().peers([lan()]).services([set("tcp/80")])]),
        network_policy("x/web", "pod=b").ingress([accept().peers([web()])]),
        network_policy("y/out", "")
            .egress([accept().peers([lan(), web()]).services([set("udp/53")])]),
        baseline("last", 1, pods("", "")).ingress([accept().peers([web()]), deny()]),
    ]
}

/// The names of six pods and their labels.
const PODS: [(&str, &str, &str); 6] = [
    ("x/a", "a", "10.0.0.1"),
    ("x/a-2", "a", "10.0.0.2"),
    ("x/b", "b", "10.0.0.3"),
    ("x/b-2", "b", "10.0.0.4"),
    ("y/c", "c", "10.0.1.1"),
    ("y/d", "d", "10.0.1.2"),
];

/// The cluster as it is read in this order.
fn cluster(policies: Vec<Policy>, pods: &[(&str, &str, &str)], settings: Settings) -> Cluster {
    let mut cluster = Cluster::default().namespace("x", "ns=x").namespace("y", "ns=y");
    for (name, label, address) in pods {
        cluster = cluster.pod(pod(name).label("pod", label).at(address));
    }
    cluster.policies = policies;
    cluster.settings(settings).based()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn policies_and_pods_in_any_order_compile_to_the_same(
        policies_shuffled in Just(policies()).prop_shuffle(),
        pods_shuffled in Just(PODS.to_vec()).prop_shuffle(),
        rules_per_group in prop::sample::select(&[1, 2, 3, 60][..]),
        groups in prop::sample::select(&[3, 5, 2_500][..]),
    ) {
        let quotas = Quotas { rules_per_group, groups, ..Quotas::default() };
        let icmp = IcmpMode::Essential;
        let settings = Settings { quotas, icmp, node_traffic: NodeTraffic::Probes, ..plain() };
        let straight = cluster(policies(), &PODS, settings.clone());
        let shuffled = cluster(policies_shuffled, &pods_shuffled, settings);
        prop_assert_eq!(straight.compile(), shuffled.compile());
    }
}

#[test]
fn names_of_policies_and_labels_change_no_group() {
    let straight = cluster(policies(), &PODS, plain());
    let mut renamed = straight.clone();
    for policy in &mut renamed.policies {
        policy.object.name = format!("z-{}", policy.object.name).into();
    }
    assert_eq!(straight.compile().state, renamed.compile().state);
    let mut labelled = straight.clone();
    for (name, _, _) in PODS {
        let more = labelled.pod_mut(name).clone().label("hash", &name.replace('/', "-"));
        *labelled.pod_mut(name) = more;
    }
    assert_eq!(straight.compile().state, labelled.compile().state);
}
