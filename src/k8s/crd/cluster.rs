//! ClusterVpcNetworkPolicy: ClusterNetworkPolicy with richer protocols, and networks on ingress too.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{PolicyStatus, Protocol};

/// A ClusterNetworkPolicy that can name ICMP types and codes, and networks on ingress. It takes its place among the
/// ClusterNetworkPolicies by tier and priority; the first rule that matches decides.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "moat.dev",
    version = "v1alpha1",
    kind = "ClusterVpcNetworkPolicy",
    plural = "clustervpcnetworkpolicies",
    shortname = "cvnp",
    category = "moat",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "ClusterVpcNetworkPolicy is a ClusterNetworkPolicy that can name ICMP types and codes, and networks on ingress.",
    printcolumn(name = "Tier", type_ = "string", json_path = ".spec.tier"),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority")
)]
pub struct ClusterVpcNetworkPolicySpec {
    /// Admin policies are asked before NetworkPolicies and VpcNetworkPolicies, Baseline policies after them.
    pub tier: Tier,
    /// Within the tier, the policy of lower priority is asked first. Equal priorities go by name, and are reported
    /// where they can meet.
    #[schemars(range(min = 0, max = 1000))]
    pub priority: i32,
    /// The pods that the policy is about; pods on the host's network are never among them.
    pub subject: Subject,
    /// Rules for what reaches the subject, in order. Absent or empty: ingress is not touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 25))]
    pub ingress: Option<Vec<ClusterIngressRule>>,
    /// Rules for what the subject reaches, in order. Absent or empty: egress is not touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 25))]
    pub egress: Option<Vec<ClusterEgressRule>>,
}

/// When a policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Tier {
    /// Before NetworkPolicies.
    Admin,
    /// After NetworkPolicies, for pods that none of them isolates.
    Baseline,
}

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleAction {
    /// Let it through, finally.
    Accept,
    /// Drop it, finally and silently.
    Deny,
    /// Ask the next tier.
    Pass,
}

/// Pods by namespace, or by namespace and labels: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Subject {
    /// All pods of these namespaces; empty: of all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Some pods of some namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
}

/// Pods by the labels of their namespaces and their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedPod {
    /// The namespaces. Absent or empty: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The pods of those namespaces; empty: all of them.
    pub pod_selector: LabelSelector,
}

/// A rule for what reaches the subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct ClusterIngressRule {
    /// A name for people; it need not be unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub name: Option<String>,
    /// What the rule does with what it matches.
    pub action: RuleAction,
    /// Where it comes from; any of these.
    #[schemars(length(min = 1, max = 25))]
    pub from: Vec<ClusterIngressPeer>,
    /// What it asks for; any of these. Absent: every protocol, ICMP included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 25))]
    pub protocols: Option<Vec<Protocol>>,
}

/// A rule for what the subject reaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct ClusterEgressRule {
    /// A name for people; it need not be unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub name: Option<String>,
    /// What the rule does with what it matches.
    pub action: RuleAction,
    /// Where it goes; any of these.
    #[schemars(length(min = 1, max = 25))]
    pub to: Vec<ClusterEgressPeer>,
    /// What it asks for; any of these. Absent: every protocol, ICMP included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 25))]
    pub protocols: Option<Vec<Protocol>>,
}

/// Who is at the other end: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct ClusterIngressPeer {
    /// All pods of these namespaces; empty: of all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Some pods of some namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
    /// Addresses, whoever bears them, pods too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 25), inner(length(max = 43)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network))").message("not an address block such as 10.0.0.0/8"))]
    pub networks: Option<Vec<String>>,
}

/// Who is at the other end: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct ClusterEgressPeer {
    /// All pods of these namespaces; empty: of all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Some pods of some namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
    /// The addresses of the nodes with these labels; empty: of all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<LabelSelector>,
    /// Addresses, whoever bears them, pods too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 25), inner(length(max = 43)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network))").message("not an address block such as 10.0.0.0/8"))]
    pub networks: Option<Vec<String>>,
}
