//! The grants of deploy/: every test here runs with them alone, and none of them is without use.

use std::path::Path;

use moat_controller::Terms;
use moat_test_cluster::until;
use serde_json::{Value, json};

use crate::account::granted;
use crate::admission::{call, definition, webhook};
use crate::world::World;

fn policy(version: &str, kind: &str, namespace: Option<&str>, spec: &Value) -> Value {
    let mut metadata = json!({"name": "one"});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
}

/// The definitions that the played nodes install.
fn definitions_of_nodes() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../localstack/nodes/crds.yaml");
    let text = std::fs::read_to_string(path).expect("committed");
    serde_saphyr::from_multiple(&text).expect("YAML")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_is_what_is_asked_for() {
    // Kinds that need not be there are looked for before they are.
    let world = World::bare().await;
    let of_nodes = definitions_of_nodes();
    for definition in &of_nodes {
        world.delete(definition).await;
    }
    let first = world.controller("first");
    let looked = |plural: &str| {
        let asked = world.asked.beside(&granted());
        asked.iter().any(|(_, resource, verb, name)| {
            resource == "customresourcedefinitions"
                && verb == "get"
                && name.as_ref().is_some_and(|name| name.starts_with(plural))
        })
    };
    for plural in [
        "clusternetworkpolicies",
        "vpcnetworkpolicies",
        "clustervpcnetworkpolicies",
        "securitygrouppolicies",
        "cninodes",
        "eniconfigs",
    ] {
        until(plural, async || looked(plural).then_some(())).await;
    }
    first.stop().await;
    world.install().await;
    for definition in of_nodes.iter().chain([&definition()]) {
        world.apply(definition).await;
    }
    world.pods("shop", &["web"]).await;
    let (ports, port) = webhook(Terms::default()).await;
    call(&world, port).await;
    let _second = world.controller_with("second", ports, None);

    let subject =
        json!({"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}});
    let cluster = json!({"tier": "Admin", "priority": 5, "subject": subject, "ingress": []});
    let sctp =
        json!({"podSelector": {}, "ingress": [{"ports": [{"protocol": "SCTP", "port": 9}]}]});
    let closed = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    let policies = [
        policy("networking.k8s.io/v1", "NetworkPolicy", Some("shop"), &sctp),
        policy("moat.dev/v1alpha1", "VpcNetworkPolicy", Some("shop"), &closed),
        policy("moat.dev/v1alpha1", "ClusterVpcNetworkPolicy", None, &cluster),
        policy("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", None, &cluster),
    ];
    for one in &policies {
        world.apply(one).await;
    }
    let told = |asked: &str| {
        let right = |(group, resource, verb, _): &(String, String, String, Option<String>)| {
            format!("{verb} {resource}.{group}") == asked
        };
        world.asked.beside(&granted()).iter().any(right)
    };
    // What is found again after it was mended is the same event once more.
    for spec in [&sctp, &closed, &sctp] {
        world.apply(&policy("networking.k8s.io/v1", "NetworkPolicy", Some("shop"), spec)).await;
        let found = spec == &sctp;
        let says = |status: &Value| (status["findings"][0]["reason"] == "SctpPort") == found;
        world.said("shop", "netpol-one", says).await;
    }
    for asked in [
        "update secrets.",
        "patch validatingwebhookconfigurations.admissionregistration.k8s.io",
        "patch events.events.k8s.io",
        "patch clusternetworkpolicies/status.policy.networking.k8s.io",
        "watch securitygrouppolicies.vpcresources.k8s.aws",
        "watch cninodes.vpcresources.k8s.aws",
        "watch eniconfigs.crd.k8s.amazonaws.com",
        "watch daemonsets.apps",
    ] {
        until(asked, async || told(asked).then_some(())).await;
    }
    for one in &policies {
        world.delete(one).await;
    }
    for asked in ["delete policyenforcements.moat.dev", "delete clusterpolicyenforcements.moat.dev"]
    {
        until(asked, async || told(asked).then_some(())).await;
    }
    assert_eq!(world.asked.beside(&granted()), granted());
}
