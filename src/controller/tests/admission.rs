//! Warnings at admission: each class of them, through a real API server.
#![expect(clippy::indexing_slicing, reason = "of JSON, what is missing is null")]

use axum::http::{Method, Request};
use kube::client::Body;
use moat_controller::{Ports, Terms, Webhook};
use moat_test_cluster::until;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::account::of_kinds;
use crate::world::World;

/// Lets the API server call a port of this machine.
pub(crate) async fn call(world: &World, port: u16) {
    for mut object in of_kinds(["Secret", "ValidatingWebhookConfiguration"]) {
        let webhooks = object.get_mut("webhooks").and_then(Value::as_array_mut);
        for webhook in webhooks.into_iter().flatten() {
            webhook["clientConfig"] = json!({"url": format!("https://localhost:{port}/admission")});
        }
        world.apply(&object).await;
    }
}

/// A port for it, and its number.
pub(crate) async fn webhook(terms: Terms) -> (Ports, u16) {
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let number = port.local_addr().expect("an address").port();
    (Ports { admission: Some(Webhook { port, terms }), ..Ports::default() }, number)
}

/// What the API server says of an object that is created, or changed, in a dry run.
pub(crate) async fn warnings(world: &World, method: Method, object: &Value) -> Vec<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").expect("a kind").to_lowercase();
    let plural = format!("{}ies", kind.trim_end_matches('y'));
    let namespace = text("/metadata/namespace").map(|it| format!("/namespaces/{it}"));
    let mut uri = format!(
        "/apis/{}{}/{plural}",
        text("/apiVersion").expect("a version"),
        namespace.unwrap_or_default()
    );
    if method == Method::PUT {
        uri = format!("{uri}/{}", text("/metadata/name").expect("a name"));
    }
    let request = Request::builder()
        .method(method)
        .uri(format!("{uri}?dryRun=All"))
        .header("content-type", "application/json")
        .body(Body::from(object.to_string().into_bytes()))
        .expect("a request");
    let response = world.client.send(request).await.expect("an answer");
    assert!(response.status().is_success(), "{}: {object:#}", response.status());
    let all = response.headers().get_all("warning").iter();
    let texts = all.map(|header| String::from_utf8_lossy(header.as_bytes()).into_owned());
    // 299 - "text", RFC 7234.
    let texts = texts.map(|it| it.trim_start_matches("299 - ").trim_matches('"').to_owned());
    texts.filter(|text| text.contains("moat")).collect()
}

pub(crate) fn network_policy(name: &str, app: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": name},
        "spec": spec,
    });
    object["spec"]["podSelector"] = json!({"matchLabels": {"app": app}});
    object
}

fn cluster_policy(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"tier": "Admin", "subject": {"namespaces": {}}},
    });
    let fields = object["spec"].as_object_mut().expect("an object");
    fields.extend(spec.as_object().expect("an object").clone());
    object
}

fn of_moat(name: &str, spec: &Value) -> Value {
    cluster_policy("moat.dev/v1alpha1", "ClusterVpcNetworkPolicy", name, spec)
}

/// The kind of the network policy API, as far as names go: its fields are not checked.
pub(crate) fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "clusternetworkpolicies.policy.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": "policy.networking.k8s.io",
            "scope": "Cluster",
            "names": {"kind": "ClusterNetworkPolicy", "plural": "clusternetworkpolicies"},
            "versions": [{
                "name": "v1alpha2",
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_applies_a_policy_is_told_what_will_not_hold() {
    let world = World::new().await;
    world.apply(&definition()).await;
    world.pods("shop", &["web", "other"]).await;
    let (webhook, port) = webhook(Terms::default()).await;
    call(&world, port).await;
    let controller = world.controller_with("one", webhook, None);
    let of_core = |name: &str, spec: &Value| {
        cluster_policy("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", name, spec)
    };
    let priority =
        json!({"priority": 7, "egress": [{"action": "Pass", "to": [{"namespaces": {}}]}]});
    world.apply(&of_moat("middle", &priority)).await;

    let nobody = network_policy("web", "nobody", &json!({"ingress": []}));
    until("the webhook answers", async || {
        let said = warnings(&world, Method::POST, &nobody).await;
        said.iter().any(|line| line.contains("selects no pod")).then_some(())
    })
    .await;
    until("the other policy is known", async || {
        let said = warnings(&world, Method::POST, &of_moat("last", &priority)).await;
        (!said.is_empty()).then_some(())
    })
    .await;

    let blocks: Vec<Value> = (0..400)
        .map(|place| json!({"ipBlock": {"cidr": format!("10.{}.{}.1/32", place / 200, place % 200)}}))
        .collect();
    let sctp = json!({"ingress": [{"ports": [{"protocol": "SCTP", "port": 9000}]}]});
    let icmp = json!({
        "priority": 1,
        "ingress": [{
            "action": "Deny", "from": [{"namespaces": {}}], "protocols": [{"icmp": {"type": 3, "code": 4}}],
        }],
    });
    let to = |peer: Value| json!({"priority": 2, "egress": [{"action": "Accept", "to": [peer]}]});
    let fine = json!({"ingress": [{"ports": [{"protocol": "TCP", "port": 8080}]}]});
    let cases = [
        ("fine", network_policy("web", "web", &fine), vec![]),
        (
            "selects nothing",
            nobody,
            vec!["moat: spec.podSelector: it selects no pod that runs, so"],
        ),
        (
            "narrower",
            network_policy("web", "web", &sctp),
            vec![
                "moat: spec.ingress[0]: SctpPort, narrower: security groups have no ports for sctp",
            ],
        ),
        (
            "over quota",
            network_policy("web", "web", &json!({"ingress": [{"from": blocks}]})),
            vec!["moat: QuotaExceeded, narrower: the exact rules need 7 groups"],
        ),
        (
            "equal priority, asked later",
            of_moat("last", &priority),
            vec![
                "moat: spec.priority: EqualPriority: `ClusterVpcNetworkPolicy middle` has the same",
            ],
        ),
        (
            "equal priority, asked first",
            of_moat("first", &priority),
            vec![
                "moat: spec.priority: EqualPriority: `ClusterVpcNetworkPolicy middle` has the same",
            ],
        ),
        (
            "path MTU",
            of_moat("icmp", &icmp),
            // All messages but one take many rules.
            vec![
                "moat: QuotaExceeded, narrower: the exact rules need 14 groups",
                "moat: … other than tcp and udp; raise the quotas or",
                "moat: spec.ingress[0]: PathMtu: the rule closes",
            ],
        ),
        (
            "unsupported",
            of_core("names", &to(json!({"domainNames": ["example.com"]}))),
            vec!["moat: spec.egress[0].to[0].domainNames: UnsupportedField, narrower: "],
        ),
        (
            "unknown",
            of_core("colour", &to(json!({"colour": "blue"}))),
            vec![
                "moat: spec.egress[0].to[0].colour: UnknownField, narrower: unknown field `colour`",
            ],
        ),
        (
            "misread",
            of_core("sloppy", &to(json!({"networks": ["10.0.0.300/8"]}))),
            vec!["moat: spec.egress[0].to[0].networks[0]: InvalidCidr, narrower: "],
        ),
    ];
    let mut wrong = Vec::new();
    for (what, object, expected) in &cases {
        let said = warnings(&world, Method::POST, object).await;
        let fits = said.len() == expected.len()
            && said.iter().zip(expected).all(|(said, start)| said.starts_with(start));
        if !fits || said.iter().any(|line| line.chars().count() > 256) {
            wrong.push((what, said));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Names that the API server gives.
    let mut unnamed = network_policy("web", "nobody", &json!({}));
    unnamed["metadata"] = json!({"namespace": "shop", "generateName": "web-"});
    assert_eq!(warnings(&world, Method::POST, &unnamed).await.len(), 1);

    // A change, too; nothing is denied, and without anybody to ask nothing is said.
    let there = network_policy("there", "web", &fine);
    world.apply(&there).await;
    assert_eq!(
        warnings(&world, Method::PUT, &network_policy("there", "web", &sctp)).await.len(),
        1
    );
    drop(controller);
    let said = warnings(&world, Method::PUT, &network_policy("there", "web", &sctp)).await;
    assert_eq!(said, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_without_the_webhook_warns_of_what_it_can_tell() {
    let world = World::new().await;
    world.apply(&definition()).await;
    world.pods("shop", &[]).await;
    for object in moat_k8s::deploy::admission_policies() {
        world.apply(&object).await;
    }
    let of_core = |spec: &Value| {
        cluster_policy("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "a", spec)
    };
    let of_vpc = |spec: Value| {
        let mut object = network_policy("a", "web", &spec);
        object["apiVersion"] = json!("moat.dev/v1alpha1");
        object["kind"] = json!("VpcNetworkPolicy");
        object
    };
    let port = |protocol: &str, port: Value| json!([{"protocol": protocol, "port": port}]);
    let block = json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}]);
    let pods = json!([{"podSelector": {}}]);
    let (named, sctp) = (
        json!([{"destinationNamedPort": "web"}]),
        json!([{"sctp": {"destinationPort": {"number": 9}}}]),
    );
    let ingress = |action: &str, protocols: Value| {
        json!({
            "priority": 1,
            "ingress": [{"action": action, "from": [{"namespaces": {}}], "protocols": protocols}],
        })
    };
    let egress = |to: Value, protocols: &Value| json!({"priority": 1, "egress": [{"action": "Accept", "to": [to], "protocols": protocols}]});
    let icmp = |kind: &str, message: Value| json!([{kind: message}]);
    let cases: Vec<(Value, &[&str])> = vec![
        (
            network_policy("a", "web", &json!({"ingress": [{"ports": port("SCTP", json!(9))}]})),
            &["SctpPort"],
        ),
        (
            network_policy("a", "web", &json!({"egress": [{"ports": port("SCTP", json!(9))}]})),
            &["SctpPort"],
        ),
        (network_policy("a", "web", &json!({"ingress": [{"ports": [{"protocol": "SCTP"}]}]})), &[]),
        (
            network_policy(
                "a",
                "web",
                &json!({"egress": [{"to": block, "ports": port("TCP", json!("web"))}]}),
            ),
            &["NamedPortOfAddress"],
        ),
        (
            network_policy("a", "web", &json!({"egress": [{"ports": port("TCP", json!("web"))}]})),
            &["NamedPortOfAddress"],
        ),
        (
            network_policy(
                "a",
                "web",
                &json!({"egress": [{"to": pods, "ports": port("TCP", json!("web"))}]}),
            ),
            &[],
        ),
        (
            network_policy(
                "a",
                "web",
                &json!({"egress": [{"to": block, "ports": port("TCP", json!(80))}]}),
            ),
            &[],
        ),
        (of_vpc(json!({"ingress": [{"protocols": sctp}]})), &["SctpPort"]),
        (of_vpc(json!({"egress": [{"to": block, "protocols": named}]})), &["NamedPortOfAddress"]),
        (of_vpc(json!({"egress": [{"to": pods, "protocols": named}]})), &[]),
        (
            of_core(&egress(json!({"domainNames": ["a.example"]}), &sctp)),
            &["SctpPort", "UnsupportedField"],
        ),
        (of_core(&egress(json!({"networks": ["10.0.0.0/8"]}), &named)), &["NamedPortOfAddress"]),
        (of_core(&egress(json!({"namespaces": {}}), &named)), &[]),
        (of_moat("a", &egress(json!({"nodes": {}}), &named)), &["NamedPortOfAddress"]),
        (of_moat("a", &ingress("Deny", icmp("icmp", json!({"type": 3})))), &["PathMtu"]),
        (
            of_moat("a", &ingress("Deny", icmp("icmpv6", json!({"type": "packet-too-big"})))),
            &["PathMtu"],
        ),
        (of_moat("a", &ingress("Deny", icmp("icmp", json!({"type": 3, "code": 1})))), &[]),
        (of_moat("a", &ingress("Deny", icmp("icmp", json!({"type": 8})))), &[]),
        (of_moat("a", &ingress("Accept", icmp("icmp", json!({})))), &[]),
    ];
    // The API server takes each of them into use in its own time.
    for (object, expected) in cases.iter().filter(|(_, expected)| !expected.is_empty()) {
        until("it is in use", async || {
            let said = warnings(&world, Method::POST, object).await;
            (said.len() == expected.len()).then_some(())
        })
        .await;
    }
    let mut wrong = Vec::new();
    for (object, expected) in &cases {
        let said = warnings(&world, Method::POST, object).await;
        let fits = said.len() == expected.len()
            && said
                .iter()
                .zip(*expected)
                .all(|(said, reason)| said.contains(&format!(": {reason}: ")));
        if !fits {
            wrong.push((object, said));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
