//! A policy comes, is enforced, is told about, changes, and goes.

use std::collections::BTreeMap;

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use moat_core::inventory::SubnetId;
use moat_sim::SubnetConfig;
use moat_test_cluster::until;
use serde_json::{Value, json};

use crate::world::{World, conditions, rules};

/// Lets the pods of `web` be reached at one port of one protocol from everywhere.
fn policy(namespace: &str, protocol: &str, port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": "web"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"ports": [{"protocol": protocol, "port": port}]}],
        },
    })
}

fn is(status: &Value, condition: &str, value: &str) -> bool {
    conditions(status).get(condition).is_some_and(|(status, ..)| status == value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_enforced_and_told_about_until_it_goes() {
    let world = World::new().await;
    let _controller = world.controller("one");
    world.pods("shop", &["web", "other"]).await;
    let named = |generation| {
        ["Accepted", "Exact", "Programmed"]
            .map(|kind| (kind.to_owned(), ("True".to_owned(), kind.to_owned(), generation)))
            .into()
    };

    world.apply(&policy("shop", "TCP", 8080)).await;
    let status = world.said("shop", "netpol-web", |status| is(status, "Programmed", "True")).await;
    assert_eq!(conditions(&status), named(1));
    assert_eq!(status["summary"], json!({"pods": 1, "groups": 1, "rules": 2}));
    let there = rules(&world);
    assert!(there.iter().any(|rule| rule.contains("tcp/8080")), "{there:?}");

    world.apply(&policy("shop", "TCP", 9090)).await;
    let edited = world.said("shop", "netpol-web", |status| conditions(status) == named(2)).await;
    let there = rules(&world);
    assert!(there.iter().all(|rule| !rule.contains("tcp/8080")), "{there:?}");
    assert_eq!(
        edited["conditions"][0]["lastTransitionTime"],
        status["conditions"][0]["lastTransitionTime"],
        "nothing came to be otherwise",
    );

    world.delete(&policy("shop", "TCP", 9090)).await;
    until("the groups are gone", async || rules(&world).is_empty().then_some(())).await;
    let about = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "PolicyEnforcement",
        "metadata": {"namespace": "shop", "name": "netpol-web"},
    });
    until("the status is gone", async || world.get(&about).await.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cloud_cannot_say_is_told_and_taken_back_when_it_is_mended() {
    let world = World::new().await;
    let _controller = world.controller("one");
    world.pods("lab", &["web"]).await;

    world.apply(&policy("lab", "SCTP", 9000)).await;
    let status = world.said("lab", "netpol-web", |status| is(status, "Programmed", "True")).await;
    let exact = ("False".to_owned(), "SctpPort".to_owned(), 1);
    assert_eq!(conditions(&status).get("Exact"), Some(&exact), "{status:#}");
    let row = &status["findings"][0];
    assert_eq!(
        (&row["path"], &row["reason"], &row["effect"]),
        (&json!("spec.ingress[0]"), &json!("SctpPort"), &json!("Narrower")),
    );
    assert!(row["witness"].as_str().is_some_and(|flow| flow.ends_with("sctp/9000")), "{row:#}");
    let events: Api<Event> = Api::namespaced(world.client.clone(), "lab");
    let said = until("an event says so", async || {
        let events = events.list(&ListParams::default()).await.ok()?;
        let of_ours =
            |event: &Event| event.reporting_controller.as_deref() == Some("moat.dev/controller");
        events.items.into_iter().find(of_ours)
    })
    .await;
    assert_eq!(said.reason.as_deref(), Some("SctpPort"));
    let regarding = said.regarding.expect("an object");
    assert_eq!(
        (regarding.kind.as_deref(), regarding.name.as_deref()),
        (Some("NetworkPolicy"), Some("web")),
    );

    world.apply(&policy("lab", "TCP", 9000)).await;
    let mended = world.said("lab", "netpol-web", |status| is(status, "Exact", "True")).await;
    assert_eq!(mended["findingsTotal"], json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_pod_wears_what_it_wore_before_until_it_is_taken_back() {
    let world = World::new().await;
    let _controller = world.controller("one");
    world.pods("shop", &["web"]).await;
    let annotated = |value: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": "shop",
                "name": "web",
                "labels": {"app": "web"},
                "annotations": {"moat.dev/release": value},
            },
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        })
    };
    world.apply(&policy("shop", "TCP", 8080)).await;
    world.said("shop", "netpol-web", |status| is(status, "Exact", "True")).await;
    assert!(!rules(&world).is_empty());

    world.apply(&annotated("true")).await;
    until("its groups are gone", async || rules(&world).is_empty().then_some(())).await;
    let status = world.said("shop", "netpol-web", |status| is(status, "Exact", "False")).await;
    let row = &status["findings"][0];
    assert_eq!(
        (&row["reason"], &row["effect"]),
        (&json!("Released"), &json!("NotEnforced")),
        "{row:#}"
    );

    world.apply(&annotated("false")).await;
    world.said("shop", "netpol-web", |status| is(status, "Exact", "True")).await;
    assert!(!rules(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_lives_in_a_network_acl_where_a_subnet_is_handed_over() {
    let world = World::new().await;
    let config = moat_sim::Config::default();
    let subnet = SubnetConfig { blocks: config.pod_subnets.clone(), tags: BTreeMap::new() };
    let subnets = [(SubnetId("subnet-0123456789abcdef0".into()), subnet)].into();
    world.cloud.lock().configure(moat_sim::Config { subnets, ..config });
    let written = "
        apiVersion: moat.dev/v1alpha1
        kind: Configuration
        networkAcls: [{name: pods, subnets: {ids: [subnet-0123456789abcdef0]}}]
        clientPorts: 1024-65535";
    *world.configuration.lock().expect("nobody panics with it") =
        Ok(written.parse().expect("a configuration"));
    let _controller = world.controller("one");
    world.pods("shop", &["web"]).await;

    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [{
                "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": private}}],
                "ports": [{"port": 443}],
            }],
        },
    });
    world.apply(&policy).await;
    let status = world.said("shop", "netpol-web", |status| is(status, "Programmed", "True")).await;
    let summary = json!({"pods": 1, "groups": 1, "rules": 8, "acls": 1, "entries": 2});
    assert_eq!(status["summary"], summary);
    assert!(is(&status, "Exact", "True"), "{status:#}");

    world.delete(&policy).await;
    until("the network ACL is gone", async || {
        let sim = world.cloud.lock();
        let ours = sim.vpc().acls().any(|(_, acl)| acl.owner.is_some());
        (!ours).then_some(())
    })
    .await;
}
