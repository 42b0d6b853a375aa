//! A cluster written down as YAML, all the way: read, placed in a VPC, compiled, and judged by both references.

use std::collections::BTreeSet;

use moat_core::compile::{Desired, compile};
use moat_core::finding::{Effect, Finding, Reason};
use moat_core::firewall::{Cloud, GroupKey};
use moat_core::flow::{Endpoint, Flow};
use moat_core::inventory::PodIndex;
use moat_core::net::{Family, Service};
use moat_core::policy::Direction;
use moat_core::semantics::Semantics;
use moat_core::settings::{IcmpMode, NodeTraffic, Settings};
use moat_k8s::{Options, Source, read};
use moat_sim::{Config, Sim};

use crate::differential::Judgement;
use crate::generate::Cluster;

/// Two namespaces: `a` (team red) with `client` and `server`, whose port `http` is tcp/8080, and `b` (team blue) with `other`,
/// whose port `http` is tcp/9090. All have addresses of both families.
pub const CLUSTER: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {team: blue}}}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: a, labels: {app: client}}
spec: {nodeName: node, containers: [{name: c, image: c}]}
status: {phase: Running, podIPs: [{ip: 10.0.128.10}, {ip: '2001:db8:1234:1a80::a'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: a, labels: {app: server}}
spec: {nodeName: node, containers: [{name: c, image: c, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIPs: [{ip: 10.0.128.20}, {ip: '2001:db8:1234:1a80::14'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: b, labels: {app: other}}
spec: {nodeName: node, containers: [{name: c, image: c, ports: [{name: http, containerPort: 9090}]}]}
status: {phase: Running, podIPs: [{ip: 10.0.129.10}, {ip: '2001:db8:1234:1a80::1:a'}]}
---
apiVersion: v1
kind: Node
metadata: {name: node}
status: {addresses: [{type: InternalIP, address: 10.0.0.10}]}
";

/// A cluster from YAML to groups.
#[derive(Debug)]
pub struct Scenario {
    /// What was read, placed.
    pub cluster: Cluster,
    /// What is desired.
    pub desired: Desired,
    /// What reading found.
    pub reading: Vec<Finding>,
}

impl Scenario {
    /// [`CLUSTER`] with these policies, without the settings' loosenings; its pod subnets are declared.
    #[must_use]
    pub fn of(policies: &str) -> Self {
        Self::with(policies, |_| {})
    }

    /// [`Scenario::of`] under other settings.
    #[must_use]
    pub fn with(policies: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let config = Config::dual_stack();
        let mut settings = Settings {
            icmp: IcmpMode::Strict,
            node_traffic: NodeTraffic::None,
            pod_subnets: config.pod_subnets.clone(),
            ..Settings::default()
        };
        change(&mut settings);
        let text = format!("{CLUSTER}---\n{policies}");
        let source = Source { name: "trap.yaml".into(), bytes: text.into_bytes().into() };
        let mut made = read(&[source], &Options::default());
        if let Err(error) = Sim::new(config).place(&mut made.inventory) {
            panic!("{error}");
        }
        let desired = compile(&made.policies, &made.inventory, &settings);
        let (policies, inventory) = (made.policies, made.inventory);
        let cluster = Cluster { policies, inventory, settings };
        Self { cluster, desired, reading: made.findings }
    }

    /// What both references say of a flow between pods (`namespace/pod`) or addresses, by a service such as `tcp/443`.
    /// Two pods talk IPv4, unless the service is ICMPv6's.
    #[must_use]
    pub fn judge(&self, from: &str, to: &str, service: &str) -> Judgement {
        let flow = self.flow(from, to, service);
        let Cluster { policies, inventory, settings } = &self.cluster;
        Judgement {
            policies: Semantics::new(policies, inventory, settings).allows(&flow),
            cloud: Cloud::new(&self.desired.state, inventory).allows(&flow),
        }
    }

    /// Both references let the flow through.
    pub fn allows(&self, from: &str, to: &str, service: &str) {
        let judgement = self.judge(from, to, service);
        let expected = Judgement { policies: true, cloud: true };
        assert!(judgement == expected, "{from} → {to} {service}: {judgement:?}");
    }

    /// Both references drop the flow.
    pub fn denies(&self, from: &str, to: &str, service: &str) {
        let judgement = self.judge(from, to, service);
        let expected = Judgement { policies: false, cloud: false };
        assert!(judgement == expected, "{from} → {to} {service}: {judgement:?}");
    }

    /// Only the policies let the flow through, and a finding of this reason says so.
    pub fn narrows(&self, from: &str, to: &str, service: &str, reason: Reason) {
        let judgement = self.judge(from, to, service);
        let expected = Judgement { policies: true, cloud: false };
        assert!(judgement == expected, "{from} → {to} {service}: {judgement:?}");
        let flow = self.flow(from, to, service);
        let says = |finding: &Finding| {
            finding.reason == reason
                && finding.effect == Effect::Narrower
                && finding.flows.iter().any(|flows| flows.contains(&flow))
        };
        assert!(self.desired.findings.iter().any(says), "{:#?}", self.desired.findings);
    }

    /// The reasons of all findings, of reading and of compiling.
    #[must_use]
    pub fn reasons(&self) -> BTreeSet<Reason> {
        let findings = self.reading.iter().chain(&self.desired.findings);
        findings.map(|finding| finding.reason).collect()
    }

    /// The rules of our groups that a pod wears, as text, in one direction.
    #[must_use]
    pub fn rules(&self, pod: &str, direction: Direction) -> BTreeSet<String> {
        let Endpoint::Pod(index) = self.end(pod) else { panic!("`{pod}` is no pod") };
        let worn = self.cluster.inventory.pod(index).and_then(|pod| pod.interface.as_ref());
        let worn = worn.and_then(|id| self.desired.state.interfaces.get(id));
        let ours = worn.into_iter().flatten().filter(|key| matches!(key, GroupKey::Ours(_)));
        let rules = ours.filter_map(|key| self.desired.state.groups.get(key)).flatten();
        let of_direction = rules.filter(|rule| rule.direction == direction);
        of_direction.map(|rule| format!("{} {}", rule.peer, rule.shape)).collect()
    }

    fn flow(&self, from: &str, to: &str, service: &str) -> Flow {
        let (source, destination) = (self.end(from), self.end(to));
        let service: Service = service.parse().unwrap_or_else(|error| panic!("{error}"));
        let mut family =
            if matches!(service, Service::Icmpv6(_)) { Family::V6 } else { Family::V4 };
        for end in [source, destination] {
            if let Endpoint::Address(address) = end {
                family = Family::of(address);
            }
        }
        Flow { source, destination, family, service }
    }

    fn end(&self, text: &str) -> Endpoint {
        let pods = &self.cluster.inventory.pods;
        let named = pods.iter().position(|pod| format!("{}/{}", pod.namespace, pod.name) == text);
        named.map_or_else(
            || Endpoint::Address(crate::build::address(text)),
            |index| Endpoint::Pod(PodIndex(index)),
        )
    }
}

/// A NetworkPolicy of namespace `a`, by name, pod selector and the rest of its spec, in YAML's flow style.
#[must_use]
pub fn network_policy(name: &str, pods: &str, spec: &str) -> String {
    document("networking.k8s.io/v1", "NetworkPolicy", name, "podSelector", pods, spec)
}

/// A VpcNetworkPolicy, likewise.
#[must_use]
pub fn vpc_network_policy(name: &str, pods: &str, spec: &str) -> String {
    document("moat.dev/v1alpha1", "VpcNetworkPolicy", name, "podSelector", pods, spec)
}

/// A ClusterNetworkPolicy on everything in namespace `a`, by name and the rest of its spec.
#[must_use]
pub fn cluster_network_policy(name: &str, spec: &str) -> String {
    let team = "{namespaces: {matchLabels: {team: red}}}";
    document(
        "policy.networking.k8s.io/v1alpha2",
        "ClusterNetworkPolicy",
        name,
        "subject",
        team,
        spec,
    )
}

/// A ClusterVpcNetworkPolicy, likewise.
#[must_use]
pub fn cluster_vpc_network_policy(name: &str, spec: &str) -> String {
    let team = "{namespaces: {matchLabels: {team: red}}}";
    document("moat.dev/v1alpha1", "ClusterVpcNetworkPolicy", name, "subject", team, spec)
}

fn document(
    api_version: &str,
    kind: &str,
    name: &str,
    subject_field: &str,
    subject: &str,
    spec: &str,
) -> String {
    let namespace = if kind.starts_with("Cluster") { "" } else { ", namespace: a" };
    format!(
        "{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: {name}{namespace}}}, \
         spec: {{{subject_field}: {subject}, {spec}}}}}\n---\n"
    )
}
