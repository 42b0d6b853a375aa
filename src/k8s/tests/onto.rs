//! Files read onto a cluster that is there.

use serde_json::{Value, json};

use super::source;
use crate::{Cluster, Options, Read, read_object, read_onto};

fn pod(name: &str, metadata: &Value, status: &Value) -> Read {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name},
        "status": status,
    });
    let fields = metadata.as_object().into_iter().flatten();
    fields.for_each(|(key, value)| object["metadata"][key] = value.clone());
    read_object(&object).expect("it is read")
}

fn onto(there: &[Read], file: &str) -> Cluster {
    read_onto(there.to_vec(), &[source("f", file.as_bytes())], &Options::default())
}

fn pods(cluster: &Cluster) -> Vec<&str> {
    cluster.inventory.pods.iter().map(|pod| &*pod.name).collect()
}

#[test]
fn what_a_file_holds_takes_the_place_of_what_is_there() {
    let policy = |selector: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": "shop", "name": "one"},
            "spec": {"podSelector": {"matchLabels": {"app": selector}}, "unknown": 1},
        })
    };
    let there =
        [read_object(&policy("old")).expect("it is read"), pod("a", &json!({}), &json!({}))];
    let alone = onto(&there, "");
    assert_eq!((alone.policies.len(), pods(&alone)), (1, vec!["a"]));
    assert_eq!(alone.findings.len(), 1);
    assert!(alone.findings.iter().all(|finding| finding.location.is_none()), "it is in no file");
    let both = onto(&there, &policy("new").to_string());
    assert_eq!(both.policies.len(), 1);
    assert_ne!(both.policies, alone.policies);
    assert!(both.findings.iter().all(|finding| finding.location.is_some()), "{:?}", both.findings);
    assert_eq!(pods(&both), ["a"]);
}

#[test]
fn the_pods_of_a_workload_of_a_file_are_those_that_are_there() {
    let owned = |kind: &str, name: &str, hash: &str| {
        json!({
            "labels": {"pod-template-hash": hash},
            "ownerReferences": [{"kind": kind, "name": name, "controller": true}],
        })
    };
    let there = [
        pod("web-5d9-x", &owned("ReplicaSet", "web-5d9", "5d9"), &json!({})),
        pod("web-5d9-y", &owned("ReplicaSet", "web-5d9", "5d9"), &json!({"phase": "Failed"})),
        pod("own-1", &owned("ReplicaSet", "own", "5d9"), &json!({})),
        pod("db-0", &owned("StatefulSet", "db", ""), &json!({})),
    ];
    let workload = |kind: &str, name: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: {kind}, metadata: {{namespace: shop, name: {name}}}, spec: {{replicas: 3, template: {{}}}}}}\n---\n"
        )
    };
    let file = ["web", "own", "new"].map(|name| workload("Deployment", name)).concat()
        + &workload("StatefulSet", "db");
    let cluster = onto(&there, &file);
    let expected = [
        "db-0",
        "new-0",
        "new-1",
        "new-2",
        "own-0",
        "own-1",
        "own-2",
        "own-deployment-1",
        "web-5d9-x",
    ];
    let mut found = pods(&cluster);
    found.sort_unstable();
    assert_eq!(found, expected);
    let of = |kind: &str, name: &str| {
        let mut found =
            cluster.workloads.iter().filter(|(it, _)| (&*it.kind, &*it.name) == (kind, name));
        found.next().map(|(_, pods)| pods.iter().map(|pod| &**pod).collect::<Vec<_>>())
    };
    assert_eq!(
        of("deployment", "web"),
        Some(vec!["web-5d9-x"]),
        "one that failed is none of its pods"
    );
    assert_eq!(of("replicaset", "own"), Some(vec!["own-1"]));
}

#[test]
fn a_pod_that_moat_is_to_let_go_of_is_told_wherever_it_is_read() {
    let annotated = |value: &str| json!({"annotations": {"moat.dev/release": value}});
    let there = [pod("a", &annotated("true"), &json!({})), pod("b", &annotated("yes"), &json!({}))];
    let file = "{apiVersion: v1, kind: Pod, metadata: {namespace: lab, name: c, annotations: {moat.dev/release: 'true'}}}";
    let released = onto(&there, file).released;
    let released: Vec<_> =
        released.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
    assert_eq!(released, ["lab/c", "shop/a"]);
}
