//! An example of each reason: what causes it, and what mends it.

use moat_core::finding::{Effect, Reason};
use serde_json::{Value, json};

use super::scene::OPENED;

/// How a reason comes about in a cluster.
pub(crate) enum Means {
    /// By policies; and so often by other objects, or by what others do in the cloud, with no effect of its own there.
    Policies(Vec<Example>, usize),
    /// By the latter alone, so often.
    Others(Effect, usize),
    /// Not at all, and why.
    Never(&'static str),
}

/// A policy of which something is found, in a namespace of its own that has a pod `web`.
pub(crate) struct Example {
    pub(crate) reason: Reason,
    pub(crate) effect: Effect,
    /// The field that is named.
    pub(crate) path: &'static str,
    pub(crate) policy: Value,
    /// What it is changed to in order to mend it: itself, where something else is.
    pub(crate) mended: Value,
    /// What else has to be there: policies of which nothing is found.
    pub(crate) beside: Vec<Value>,
}

/// The means of a reason.
pub(crate) fn means(reason: Reason) -> Means {
    use Effect::{Ignored, Narrower, NotEnforced};
    let policies = match reason {
        Reason::Malformed => return Means::Never("the API server holds objects alone"),
        Reason::UnknownKind => return Means::Never("what is watched are the kinds that are read"),
        Reason::DuplicateObject => {
            return Means::Never("the API server holds one object of a kind, namespace and name");
        }
        Reason::NotApplied => {
            return Means::Never(
                "a policy says Programmed=False, with a reason of its own, until it is applied",
            );
        }
        // One pod that failed.
        Reason::NotRunning => return Means::Others(Ignored, 1),
        // The group that all pods wear at first.
        Reason::GroupReplaced => return Means::Others(Ignored, 1),
        Reason::PriorGroups | Reason::PriorAcl => return Means::Others(Narrower, 1),
        // The rule, and the policies whose pods wear its group.
        Reason::ForeignRule => return Means::Others(NotEnforced, 1 + OPENED.len()),
        Reason::NameTaken => return Means::Others(Ignored, 1),
        // A rule, and the groups of an interface.
        Reason::Drift => return Means::Others(Ignored, 2),
        Reason::NeverFiltered => return Means::Others(NotEnforced, 1),
        Reason::CheaperWithAcl => {
            return Means::Never("it takes a second compile, which `moat check` pays for");
        }
        // One that is not there.
        Reason::SubnetLeftAlone => return Means::Others(Ignored, 1),
        // SecurityGroupPolicies, nodes, and the DaemonSet of the VPC CNI.
        Reason::GroupsJoined | Reason::NoTrunk | Reason::TrunkFull => {
            return Means::Others(Ignored, 1);
        }
        Reason::StandardMode | Reason::StartsOpen | Reason::LeavesByNode => {
            return Means::Others(NotEnforced, 1);
        }

        Reason::InvalidField => {
            let policies = vec![
                misread(reason, [70_000, 80].map(|port| egress(&json!({"namespaces": {}}), port)))
                    .at("spec.egress[0].protocols[0].tcp.destinationPort.number"),
                misread_subject(reason, &json!({})).at("spec.subject"),
            ];
            // The annotation of a pod.
            return Means::Policies(policies, 1);
        }
        Reason::UnknownField => vec![
            misread_peer(reason, &json!({"colour": "blue"})).at("spec.egress[0].to[0].colour"),
            misread_subject(reason, &json!({"colour": "blue"})).at("spec.subject.colour"),
        ],
        Reason::UnsupportedField => vec![
            misread_peer(reason, &json!({"domainNames": ["example.com"]}))
                .at("spec.egress[0].to[0].domainNames"),
        ],
        Reason::InvalidSelector => {
            let near =
                json!({"namespaces": {"matchExpressions": [{"key": "a", "operator": "Near"}]}});
            vec![
                misread_peer(reason, &near)
                    .at("spec.egress[0].to[0].namespaces.matchExpressions[0].operator"),
                misread_subject(reason, &near)
                    .at("spec.subject.namespaces.matchExpressions[0].operator"),
            ]
        }
        Reason::InvalidCidr => vec![
            misread_peer(reason, &json!({"networks": ["10.0.0.300/8"]}))
                .at("spec.egress[0].to[0].networks[0]"),
        ],
        Reason::SloppyCidr => {
            let from = |block: &str| json!({"ingress": [{"from": [{"ipBlock": {"cidr": block}}]}]});
            vec![
                by_network_policy(reason, Ignored, &from("172.16.0.1/16"), &from("172.16.0.0/16"))
                    .at("spec.ingress[0].from[0].ipBlock.cidr"),
            ]
        }
        Reason::EqualPriority => {
            let pass = json!([{"action": "Pass", "to": [{"namespaces": {}}]}]);
            let at = |priority: u16| json!({"priority": priority, "egress": pass});
            let mut example = by_cluster_policy(reason, Ignored, &at(7), &at(8));
            let mut first = example.policy.clone();
            first["metadata"]["name"] = json!("equalpriority-first");
            example.beside.push(first);
            vec![example.at("spec.priority")]
        }
        Reason::SctpPort => vec![
            by_network_policy(reason, Narrower, &port("SCTP", 9_000), &port("TCP", 9_000))
                .at("spec.ingress[0]"),
        ],
        Reason::UnresolvedPort => vec![
            by_vpc_policy(
                reason,
                Ignored,
                json!({"destinationNamedPort": "nowhere"}),
                json!({"destinationNamedPort": "http"}),
            )
            .at("spec.ingress[0]"),
        ],
        Reason::NamedPortOfAddress => {
            let peers = json!([{"namespaces": {}}, {"networks": ["172.16.0.0/16"]}]);
            let to = |service: Value| json!({"egress": [{"action": "Accept", "to": peers, "protocols": [service]}]});
            vec![
                by_cluster_policy(
                    reason,
                    Ignored,
                    &to(json!({"destinationNamedPort": "http"})),
                    &to(json!({"tcp": {"destinationPort": {"number": 8_080}}})),
                )
                .at("spec.egress[0]"),
            ]
        }
        Reason::ServiceAddress => {
            let from = |block: &str| json!({"ingress": [{"from": [{"ipBlock": {"cidr": block}}]}]});
            let service = format!("{SERVICE}/32");
            vec![
                by_network_policy(reason, Ignored, &from(&service), &from("172.16.0.0/16"))
                    .at("spec.ingress[0]"),
            ]
        }
        Reason::DnsClosed => {
            let out = |rules: Value| json!({"policyTypes": ["Egress"], "egress": rules});
            let dns = json!([{"ports": [{"protocol": "UDP", "port": 53}]}]);
            vec![by_network_policy(reason, Ignored, &out(json!([])), &out(dns)).at("spec")]
        }
        Reason::PathMtu => {
            // Only tcp is left, so that few rules are needed.
            let deny = |code: u8| {
                json!({"ingress": [
                    {"action": "Deny", "from": [everywhere()], "protocols": [{"icmp": {"type": 3, "code": code}}]},
                    {"action": "Accept", "from": [everywhere()], "protocols": [{"tcp": {}}]},
                    {"action": "Deny", "from": [everywhere()]},
                ]})
            };
            vec![by_cluster_policy(reason, Ignored, &deny(4), &deny(1)).at("spec.ingress[0]")]
        }
        Reason::UntrackedProtocol => vec![
            by_vpc_policy(reason, Ignored, json!({"sctp": {}}), json!({"tcp": {}}))
                .at("spec.ingress[0]"),
        ],
        Reason::ProbesFromAllNodes => {
            let out = json!({"policyTypes": ["Egress"], "egress": [{}]});
            vec![by_network_policy(reason, Ignored, &port("TCP", 80), &out).at("spec")]
        }
        // What mends these is not the policy.
        Reason::FixedInterface | Reason::Released | Reason::GroupKept => vec![passing(reason)],
        // The pod is told, too.
        Reason::SharedInterface | Reason::NoInterface => {
            return Means::Policies(vec![passing(reason)], 1);
        }
        Reason::DuplicateAddress => {
            let from =
                json!({"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "peer"}}}]}]});
            // So are both pods that claim it.
            return Means::Policies(vec![by_network_policy(reason, Narrower, &from, &from)], 2);
        }
        Reason::UndeclaredPodSubnets => {
            let block = json!({"networks": [format!("{UNDECLARED}.0/24")]});
            let rules = |first: Value| {
                json!({"ingress": [
                    first,
                    {"action": "Accept", "from": [block], "protocols": [{"tcp": {"destinationPort": {"number": 80}}}]},
                    {"action": "Deny", "from": [everywhere()]},
                ]})
            };
            let deny = |app: &str| json!({"action": "Deny", "from": [peers(reason, app)]});
            vec![
                by_cluster_policy(reason, Narrower, &rules(deny("tool")), &rules(deny("nobody")))
                    .at(""),
            ]
        }
        Reason::FamilyMismatch => {
            let (four, six) = (format!("{DECLARED}.0/24"), format!("{DECLARED_6}/64"));
            let accept = |networks: Value, port: u16| {
                json!({
                    "action": "Accept",
                    "from": [{"networks": networks}],
                    "protocols": [{"tcp": {"destinationPort": {"number": port}}}],
                })
            };
            let rules = |more: Value| {
                json!({"ingress": [
                    {"action": "Deny", "from": [peers(reason, "tool")]},
                    accept(json!([four, six]), 80),
                    accept(more, 443),
                    {"action": "Deny", "from": [everywhere()]},
                ]})
            };
            vec![
                by_cluster_policy(
                    reason,
                    Narrower,
                    &rules(json!([six])),
                    &rules(json!([four, six])),
                )
                .at(""),
            ]
        }
        Reason::QuotaExceeded => {
            let from = |count: u32| {
                let block = |place: u32| format!("172.16.{}.{}/32", place / 100, 2 * (place % 100));
                let peers: Vec<Value> =
                    (0..count).map(|place| json!({"ipBlock": {"cidr": block(place)}})).collect();
                json!({"ingress": [{"from": peers}]})
            };
            vec![by_network_policy(reason, Narrower, &from(400), &from(4)).at("")]
        }
    };
    Means::Policies(policies, 0)
}

/// The address of a Service.
pub(crate) const SERVICE: &str = "10.96.7.7";

/// The first octets of a subnet of pods that the configuration declares, and of one that it does not.
pub(crate) const DECLARED: &str = "10.0.250";
pub(crate) const UNDECLARED: &str = "10.0.240";

/// The subnet of their other addresses.
pub(crate) const DECLARED_6: &str = "2001:db8:1234:1a80::";

impl Example {
    /// Its namespace, and the name of its policy.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.reason, self.effect.as_str()).to_lowercase()
    }

    fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }
}

fn everywhere() -> Value {
    json!({"networks": ["0.0.0.0/0", "::/0"]})
}

/// Pods of an app in the namespace of a reason's narrowing example.
fn peers(reason: Reason, app: &str) -> Value {
    let namespace = format!("{reason}-narrower").to_lowercase();
    json!({"pods": {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {"app": app}},
    }})
}

/// A policy that does not hold for the pod.
fn passing(reason: Reason) -> Example {
    by_network_policy(reason, Effect::NotEnforced, &port("TCP", 80), &port("TCP", 80))
}

fn port(protocol: &str, port: u16) -> Value {
    json!({"ingress": [{"ports": [{"protocol": protocol, "port": port}]}]})
}

fn example(
    reason: Reason,
    effect: Effect,
    (api_version, kind): (&str, &str),
    [policy, mended]: [&Value; 2],
) -> Example {
    let (path, beside) = ("", Vec::new());
    let nothing = Value::Null;
    let mut example =
        Example { reason, effect, path, policy: nothing.clone(), mended: nothing, beside };
    let name = example.name();
    let of = |spec: &Value| {
        let mut object = json!({"apiVersion": api_version, "kind": kind});
        let web = json!({"matchLabels": {"app": "web"}});
        if kind.starts_with("Cluster") {
            let namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
            object["metadata"] = json!({"name": name});
            object["spec"] = json!({
                "tier": "Admin",
                "priority": 1,
                "subject": {"pods": {"namespaceSelector": namespace, "podSelector": web}},
            });
        } else {
            object["metadata"] = json!({"namespace": name, "name": name});
            object["spec"] = json!({"podSelector": web});
        }
        let fields = object["spec"].as_object_mut().expect("an object");
        fields.extend(spec.as_object().expect("an object").clone());
        object
    };
    (example.policy, example.mended) = (of(policy), of(mended));
    example
}

fn by_network_policy(reason: Reason, effect: Effect, policy: &Value, mended: &Value) -> Example {
    example(reason, effect, ("networking.k8s.io/v1", "NetworkPolicy"), [policy, mended])
}

/// A VpcNetworkPolicy that lets in a service.
fn by_vpc_policy(reason: Reason, effect: Effect, service: Value, mended: Value) -> Example {
    let spec = |service: Value| json!({"ingress": [{"protocols": [service]}]});
    let specs = [spec(service), spec(mended)];
    example(reason, effect, ("moat.dev/v1alpha1", "VpcNetworkPolicy"), specs.each_ref())
}

fn by_cluster_policy(reason: Reason, effect: Effect, policy: &Value, mended: &Value) -> Example {
    example(reason, effect, ("moat.dev/v1alpha1", "ClusterVpcNetworkPolicy"), [policy, mended])
}

/// A ClusterNetworkPolicy under a definition that takes everything, with an egress rule that is not understood.
fn misread(reason: Reason, specs: [Value; 2]) -> Example {
    let kind = ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy");
    example(reason, Effect::Narrower, kind, specs.each_ref())
}

fn egress(peer: &Value, port: u32) -> Value {
    let services = json!([{"tcp": {"destinationPort": {"number": port}}}]);
    json!({"egress": [{"action": "Accept", "to": [peer], "protocols": services}]})
}

fn misread_peer(reason: Reason, peer: &Value) -> Example {
    misread(reason, [egress(peer, 80), egress(&json!({"namespaces": {}}), 80)])
}

/// The same with a subject that is not understood.
fn misread_subject(reason: Reason, subject: &Value) -> Example {
    let kind = ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy");
    let spec = egress(&json!({"namespaces": {}}), 80);
    let mut broken = spec.clone();
    broken["subject"] = subject.clone();
    example(reason, Effect::NotEnforced, kind, [&broken, &spec])
}
