//! Pods that a repository of policies implies.

use std::collections::BTreeMap;

use moat_core::policy::{Peer, Peers, Subject};
use proptest::prelude::*;

use super::{read, source};
use crate::{Cluster, Options, WorkloadRef};

fn assume(text: &str) -> Cluster {
    crate::read(&[source("f", text.as_bytes())], &Options { assume_pods: true })
}

fn pods(cluster: &Cluster) -> Vec<String> {
    let pods = cluster.inventory.pods.iter();
    pods.map(|pod| {
        let labels: BTreeMap<_, _> = pod.labels.0.iter().collect();
        format!("{}/{} {labels:?}", pod.namespace, pod.name)
    })
    .collect()
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: shop}}, spec: {spec}}}\n"
    )
}

#[test]
fn each_selector_that_finds_nobody_gets_one_pod_and_equal_ones_share_it() {
    let web = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]}";
    let again = "{podSelector: {matchExpressions: [{key: app, operator: In, values: [web]}]}}";
    let text =
        format!("{}{}{}", policy("a", web), policy("b", again), policy("c", "{podSelector: {}}"));
    let expected = [
        "shop/assumed {}",
        r#"shop/assumed-api {"app": "api"}"#,
        r#"shop/assumed-web {"app": "web"}"#,
    ];
    assert_eq!(pods(&assume(&text)), expected);
    assert_eq!(pods(&read(&text)), Vec::<String>::new());
}

#[test]
fn a_pod_that_is_there_is_enough_but_not_one_on_the_hosts_network() {
    let pod = |more: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: x, namespace: shop, labels: {{app: web}}}}, spec: {{{more}}}}}\n"
        )
    };
    let web = policy("a", "{podSelector: {matchLabels: {app: web}}}");
    assert_eq!(pods(&assume(&format!("{}{web}", pod("")))), [r#"shop/x {"app": "web"}"#]);
    let host = assume(&format!("{}{web}", pod("hostNetwork: true")));
    assert_eq!(pods(&host), [r#"shop/assumed-web {"app": "web"}"#, r#"shop/x {"app": "web"}"#]);
}

#[test]
fn a_namespace_is_made_where_none_matches_and_named_where_the_selector_names_one() {
    let peers = "{ingress: [{from: [{namespaceSelector: {matchLabels: {team: Ops}}}, {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}, podSelector: {matchLabels: {a: b}}}]}]}";
    let cluster = assume(&policy("a", peers));
    assert_eq!(
        pods(&cluster),
        ["assumed-ops/assumed {}", r#"monitoring/assumed-b {"a": "b"}"#, "shop/assumed {}"]
    );
    let labels = |name: &str| {
        cluster.inventory.namespaces[name]
            .0
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(labels("assumed-ops"), ["kubernetes.io/metadata.name=assumed-ops", "team=Ops"]);
    assert_eq!(labels("monitoring"), ["kubernetes.io/metadata.name=monitoring"]);
}

#[test]
fn selectors_that_nothing_can_satisfy_get_nothing() {
    let both = "{podSelector: {matchExpressions: [{key: a, operator: Exists}, {key: a, operator: DoesNotExist}]}}";
    let neither = "{podSelector: {matchExpressions: [{key: a, operator: In, values: [b]}, {key: a, operator: NotIn, values: [b]}]}}";
    assert_eq!(
        pods(&assume(&format!("{}{}", policy("a", both), policy("b", neither)))),
        Vec::<String>::new()
    );
}

#[test]
fn workloads_know_their_pods_and_so_do_those_above_them() {
    let owned = |kind: &str, name: &str| {
        format!("ownerReferences: [{{kind: {kind}, name: {name}, controller: true}}]")
    };
    let text = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: shop}}, spec: {{template: {{}}}}}}\n---\n\
         {{apiVersion: apps/v1, kind: ReplicaSet, metadata: {{name: web-1, namespace: shop, {}}}, spec: {{template: {{}}}}}}\n---\n\
         {{apiVersion: v1, kind: Pod, metadata: {{name: web-1-x, namespace: shop, {}}}}}\n---\n\
         {{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: db, namespace: shop}}, spec: {{replicas: 2, template: {{}}}}}}\n",
        owned("Deployment", "web"),
        owned("ReplicaSet", "web-1"),
    );
    let cluster = read(&text);
    let workload = |kind: &str, name: &str| WorkloadRef {
        namespace: "shop".into(),
        kind: kind.into(),
        name: name.into(),
    };
    let pods = |workload: WorkloadRef| {
        cluster.workloads[&workload].iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(pods(workload("deployment", "web")), ["web-1-x"]);
    assert_eq!(pods(workload("replicaset", "web-1")), ["web-1-x"]);
    assert_eq!(pods(workload("statefulset", "db")), ["db-0", "db-1"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Afterwards every selector that labels can satisfy finds a pod.
    #[test]
    fn every_satisfiable_selector_finds_a_pod(
        selectors in prop::collection::vec(prop::collection::vec((0..3_usize, 0..4_usize, 0..3_usize), 0..4), 1..4),
    ) {
        let operators = ["In", "NotIn", "Exists", "DoesNotExist"];
        let selector = |parts: &Vec<(usize, usize, usize)>| {
            let parts = parts.iter().map(|(key, operator, value)| {
                let values = if *operator < 2 { format!(", values: [v{value}]") } else { String::new() };
                format!("{{key: k{key}, operator: {}{values}}}", operators[*operator])
            });
            format!("{{matchExpressions: [{}]}}", parts.collect::<Vec<_>>().join(", "))
        };
        let text: String = selectors.iter().enumerate().map(|(index, parts)| {
            let selector = selector(parts);
            policy(&format!("p{index}"), &format!("{{podSelector: {selector}, ingress: [{{from: [{{namespaceSelector: {selector}}}]}}]}}"))
        }).collect();
        let cluster = assume(&text);
        let satisfiable = |parts: &Vec<(usize, usize, usize)>| (0..3).all(|key| {
            let of_key: Vec<_> = parts.iter().filter(|part| part.0 == key).collect();
            let absent = of_key.iter().all(|part| part.1 == 1 || part.1 == 3);
            let present = ["v0", "v1", "v2", "other"].iter().any(|value| of_key.iter().all(|part| match part.1 {
                0 => *value == format!("v{}", part.2),
                1 => *value != format!("v{}", part.2),
                2 => true,
                _ => false,
            }));
            absent || present
        });
        for (policy, parts) in cluster.policies.iter().zip(&selectors) {
            let Subject::Pods(subject) = &policy.subject else { panic!("nobody") };
            let rules = policy.ingress.as_deref().expect("rules");
            let Peers::AnyOf(peers) = &rules[0].peers else { panic!("anyone") };
            let Peer::Pods(peer) = &peers[0] else { panic!("no pods") };
            for selector in [subject, peer] {
                let found = cluster.inventory.pods.iter().any(|pod| {
                    selector.matches(&pod.namespace, &cluster.inventory.namespace_labels(&pod.namespace), &pod.labels)
                });
                prop_assert_eq!(found, satisfiable(parts), "{:?} in {}", selector, text);
            }
        }
    }
}
