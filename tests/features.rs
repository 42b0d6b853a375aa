//! What an installation says it supports, held to the reader and the compiler: each feature of each kind does what its name says,
//! and what a kind cannot say is none of its features.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::collections::{BTreeMap, BTreeSet};

use moat_core::finding::{Effect, Finding, Reason};
use moat_k8s::crd::SupportedFeatures;
use moat_tests::scenario::Scenario;
use serde_json::{Value, json};

/// A flow: from, to, service.
type Flow = (&'static str, &'static str, &'static str);

/// A policy of a kind, and what it does.
struct Use {
    spec: Value,
    /// A NetworkPolicy on `a/server` besides: its ingress rules.
    beside: Option<Value>,
    opens: Vec<Flow>,
    closes: Vec<Flow>,
}

/// What policies of some kind could say, whether or not it is supported.
const CONSTRUCTS: [&str; 25] = [
    "AcceptDenyPass",
    "AdminTier",
    "BaselineTier",
    "DestinationNamedPort",
    "DomainNames",
    "Egress",
    "EgressNetworks",
    "EgressNodes",
    "EndPort",
    "IcmpTypeCode",
    "Icmpv6TypeCode",
    "Ingress",
    "IngressNetworks",
    "IpBlock",
    "IpBlockExcept",
    "NamedPort",
    "NamespaceSelector",
    "Namespaces",
    "PodSelector",
    "SctpPort",
    "SctpWhole",
    "TcpPort",
    "TcpPortRange",
    "UdpPort",
    "UdpPortRange",
];

/// How a kind says things.
#[derive(Clone, Copy)]
struct Dialect {
    api_version: &'static str,
    kind: &'static str,
}

/// The features of each kind.
fn supported() -> BTreeMap<String, BTreeSet<String>> {
    let each = SupportedFeatures::all().into_iter();
    each.map(|it| (it.kind, it.features.into_iter().collect())).collect()
}

impl Dialect {
    fn of(kind: &'static str) -> Self {
        let api_version = match kind {
            "NetworkPolicy" => "networking.k8s.io/v1",
            "ClusterNetworkPolicy" => "policy.networking.k8s.io/v1alpha2",
            _ => "moat.dev/v1alpha1",
        };
        Self { api_version, kind }
    }

    fn is_cluster_wide(self) -> bool {
        self.kind.starts_with("Cluster")
    }

    /// Any pod, and in a cluster-wide kind, as far as it can say so, any address.
    fn anybody(self, ingress: bool) -> Value {
        match self.kind {
            "ClusterNetworkPolicy" if ingress => json!([{"namespaces": {}}]),
            _ if self.is_cluster_wide() => {
                json!([{"namespaces": {}}, {"networks": ["0.0.0.0/0", "::/0"]}])
            }
            _ => json!([{"namespaceSelector": {}}]),
        }
    }

    /// A port, in the words of the kind.
    fn port(self, protocol: &str, port: u16) -> (&'static str, Value) {
        if self.kind == "NetworkPolicy" {
            return ("ports", json!([{"protocol": protocol, "port": port}]));
        }
        ("protocols", json!([{protocol.to_lowercase(): {"destinationPort": {"number": port}}}]))
    }

    /// A spec that lets these peers through, at these services, and closes all else.
    fn only(self, ingress: bool, peers: &Value, (field, services): (&str, Value)) -> Value {
        let (direction, ends) = if ingress { ("ingress", "from") } else { ("egress", "to") };
        let mut rule = json!({ends: peers, field: services});
        if self.is_cluster_wide() {
            rule["action"] = json!("Accept");
            let rest = json!({"action": "Deny", ends: self.anybody(ingress)});
            return json!({direction: [rule, rest]});
        }
        let types = if ingress { ["Ingress"] } else { ["Egress"] };
        json!({"policyTypes": types, direction: [rule]})
    }

    /// A policy about `a/server`, or about all of `a`, with this spec.
    fn policy(self, spec: &Value) -> Value {
        let mut object = json!({
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": {"name": "p"},
            "spec": {"podSelector": {"matchLabels": {"app": "server"}}},
        });
        if self.is_cluster_wide() {
            let subject = json!({"namespaces": {"matchLabels": {"team": "red"}}});
            object["spec"] = json!({"tier": "Admin", "priority": 1, "subject": subject});
        } else {
            object["metadata"]["namespace"] = json!("a");
        }
        let fields = object["spec"].as_object_mut().expect("an object");
        fields.extend(spec.as_object().expect("an object").clone());
        object
    }

    /// A use of a feature, whether or not the kind has it.
    fn example(self, feature: &str) -> Use {
        let anybody = if self.is_cluster_wide() {
            json!([{"namespaces": {}}])
        } else {
            json!([{"namespaceSelector": {}}])
        };
        let alone = |spec, opens: Flow, closes: Flow| {
            let (opens, closes) = (vec![opens], vec![closes]);
            Use { spec, beside: None, opens, closes }
        };
        let services = |services: (&str, Value), opens, closes| {
            let flow = |service| ("b/other", "a/server", service);
            alone(self.only(true, &anybody, services), flow(opens), flow(closes))
        };
        let range = |protocol: &str| json!([{protocol: {"destinationPort": {"range": {"start": 8000, "end": 8010}}}}]);
        let from = |peer: Value, opens, closes| {
            let flow = |from| (from, "a/server", "tcp/80");
            let spec = self.only(true, &json!([peer]), self.port("TCP", 80));
            alone(spec, flow(opens), flow(closes))
        };
        let to = |peer: Value, opens, closes| {
            let flow = |to| ("a/server", to, "tcp/80");
            let spec = self.only(false, &json!([peer]), self.port("TCP", 80));
            alone(spec, flow(opens), flow(closes))
        };
        let (blue, client) =
            (json!({"matchLabels": {"team": "blue"}}), json!({"matchLabels": {"app": "client"}}));
        let (inside, outside) = ("172.16.0.1", "172.17.0.1");
        let block = json!(["172.16.0.0/16"]);
        let action = |action: &str, port: u16| {
            let (field, services) = self.port("TCP", port);
            json!({"action": action, "from": anybody, field: services})
        };
        let rest = json!({"action": "Deny", "from": anybody});
        let server = |service| ("b/other", "a/server", service);
        match feature {
            "TcpPort" | "Ingress" => services(self.port("TCP", 80), "tcp/80", "tcp/81"),
            "UdpPort" => services(self.port("UDP", 53), "udp/53", "tcp/53"),
            "SctpPort" => services(self.port("SCTP", 53), "sctp/53", "tcp/53"),
            "SctpWhole" if self.kind == "NetworkPolicy" => {
                services(("ports", json!([{"protocol": "SCTP"}])), "sctp/53", "tcp/53")
            }
            "SctpWhole" => services(("protocols", json!([{"sctp": {}}])), "sctp/53", "tcp/53"),
            "EndPort" => {
                let ports = json!([{"port": 8000, "endPort": 8010}]);
                services(("ports", ports), "tcp/8010", "tcp/8011")
            }
            "NamedPort" => services(("ports", json!([{"port": "http"}])), "tcp/8080", "tcp/9090"),
            "DestinationNamedPort" => {
                let named = json!([{"destinationNamedPort": "http"}]);
                services(("protocols", named), "tcp/8080", "tcp/9090")
            }
            "TcpPortRange" => services(("protocols", range("tcp")), "tcp/8010", "tcp/8011"),
            "UdpPortRange" => services(("protocols", range("udp")), "udp/8010", "udp/8011"),
            "IcmpTypeCode" => {
                let message = json!([{"icmp": {"type": 3, "code": 1}}]);
                services(("protocols", message), "icmp/3/1", "icmp/3/2")
            }
            "Icmpv6TypeCode" => {
                let message = json!([{"icmpv6": {"type": 1, "code": 4}}]);
                services(("protocols", message), "icmpv6/1/4", "icmpv6/1/3")
            }
            "PodSelector" if self.is_cluster_wide() => {
                from(json!({"pods": {"podSelector": client}}), "a/client", "b/other")
            }
            "PodSelector" => from(json!({"podSelector": client}), "a/client", "b/other"),
            "NamespaceSelector" => from(json!({"namespaceSelector": blue}), "b/other", "a/client"),
            "Namespaces" => from(json!({"namespaces": blue}), "b/other", "a/client"),
            "IpBlock" => from(json!({"ipBlock": {"cidr": "172.16.0.0/16"}}), inside, outside),
            "IpBlockExcept" => {
                let except = json!({"cidr": "172.16.0.0/15", "except": ["172.17.0.0/16"]});
                from(json!({"ipBlock": except}), inside, outside)
            }
            "IngressNetworks" => from(json!({"networks": block}), inside, outside),
            "Egress" => alone(
                self.only(false, &anybody, self.port("TCP", 80)),
                ("a/server", "b/other", "tcp/80"),
                ("a/server", "b/other", "tcp/81"),
            ),
            "EgressNetworks" => to(json!({"networks": block}), inside, outside),
            "EgressNodes" => to(json!({"nodes": {}}), "10.0.0.10", "10.0.0.11"),
            "DomainNames" => to(json!({"domainNames": ["example.com"]}), inside, outside),
            // The first rule that matches decides, and Pass leaves it to the other policy.
            "AcceptDenyPass" => Use {
                spec: json!({"ingress": [action("Accept", 80), action("Pass", 82), rest]}),
                beside: Some(json!([{"ports": [{"port": 82}, {"port": 83}]}])),
                opens: vec![server("tcp/80"), server("tcp/82")],
                closes: vec![server("tcp/81"), server("tcp/83")],
            },
            // It is asked before the other policy.
            "AdminTier" => Use {
                spec: json!({
                    "tier": "Admin",
                    "priority": 1,
                    "ingress": [action("Deny", 80), action("Accept", 81), rest],
                }),
                beside: Some(json!([{"ports": [{"port": 80}]}])),
                opens: vec![server("tcp/81")],
                closes: vec![server("tcp/80")],
            },
            // It is asked where there is no other.
            "BaselineTier" => Use {
                spec: json!({
                    "tier": "Baseline",
                    "priority": 1,
                    "ingress": [action("Accept", 81), rest],
                }),
                beside: Some(json!([{"ports": [{"port": 80}]}])),
                opens: vec![server("tcp/80"), ("b/other", "a/client", "tcp/81")],
                closes: vec![server("tcp/81"), ("b/other", "a/client", "tcp/80")],
            },
            _ => panic!("`{feature}` has no example"),
        }
    }
}

/// What a use comes to, and what of it changes flows.
fn made(dialect: Dialect, example: &Use) -> (Scenario, Vec<Finding>) {
    let beside = example.beside.iter().map(|ingress| {
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": "a", "name": "beside"},
            "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "ingress": ingress},
        })
    });
    let policies: Vec<String> = [dialect.policy(&example.spec)]
        .into_iter()
        .chain(beside)
        .map(|it| it.to_string())
        .collect();
    let scenario = Scenario::of(&policies.join("\n---\n"));
    let changes = |it: &&Finding| it.effect != Effect::Ignored && !it.reason.is_standing();
    let findings = scenario.reading.iter().chain(&scenario.desired.findings);
    let findings = findings.filter(changes).cloned().collect();
    (scenario, findings)
}

#[test]
fn every_feature_of_a_kind_is_enforced_and_whatever_is_none_is_found() {
    let supported = supported();
    let kinds =
        ["ClusterNetworkPolicy", "ClusterVpcNetworkPolicy", "NetworkPolicy", "VpcNetworkPolicy"];
    assert_eq!(supported.keys().map(String::as_str).collect::<Vec<_>>(), kinds);
    let listed: BTreeSet<&str> = supported.values().flatten().map(String::as_str).collect();
    let unknown: Vec<_> = listed.iter().filter(|feature| !CONSTRUCTS.contains(feature)).collect();
    assert!(unknown.is_empty(), "without an example of what it opens and closes: {unknown:?}");
    let (mut enforced, mut found) = (0, 0);
    for kind in kinds {
        let dialect = Dialect::of(kind);
        for feature in CONSTRUCTS {
            let example = dialect.example(feature);
            let (scenario, findings) = made(dialect, &example);
            if !supported.get(kind).is_some_and(|features| features.contains(feature)) {
                assert!(!findings.is_empty(), "{kind} has no feature `{feature}`, and does it");
                found += 1;
                continue;
            }
            assert!(findings.is_empty(), "{kind} has the feature `{feature}`: {findings:#?}");
            for (from, to, service) in example.opens {
                scenario.allows(from, to, service);
            }
            for (from, to, service) in example.closes {
                scenario.denies(from, to, service);
            }
            enforced += 1;
        }
    }
    println!("{enforced} features of kinds are enforced; {found} are none, and found");
}

#[test]
fn no_feature_is_called_as_something_that_cannot_be_enforced() {
    let never: BTreeSet<&str> = Reason::ALL.iter().map(|it| it.as_str()).collect();
    for (kind, features) in supported() {
        let both: Vec<_> = features.iter().filter(|it| never.contains(it.as_str())).collect();
        assert!(both.is_empty(), "{kind}: {both:?}");
    }
}
