//! VpcNetworkPolicy: NetworkPolicy with protocols.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{PolicyStatus, Protocol};

/// A NetworkPolicy that can name ICMP types and codes. It isolates the pods that it selects, as a NetworkPolicy does,
/// and all policies of a pod are joined: traffic passes if any of them allows it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "moat.dev",
    version = "v1alpha1",
    kind = "VpcNetworkPolicy",
    plural = "vpcnetworkpolicies",
    shortname = "vnp",
    category = "moat",
    namespaced,
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "VpcNetworkPolicy is a NetworkPolicy that can name ICMP types and codes. It joins the NetworkPolicy tier."
)]
pub struct VpcNetworkPolicySpec {
    /// The pods of this namespace that the policy is about. Absent or empty: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// The directions in which the selected pods are isolated. Absent: Ingress, and Egress if there are egress rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2))]
    pub policy_types: Option<Vec<PolicyType>>,
    /// What may reach the selected pods. Traffic passes if any rule matches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub ingress: Option<Vec<IngressRule>>,
    /// What the selected pods may reach. Traffic passes if any rule matches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub egress: Option<Vec<EgressRule>>,
}

/// A direction, seen from the selected pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyType {
    /// What reaches the pods.
    Ingress,
    /// What the pods reach.
    Egress,
}

/// What may reach the selected pods: peers and protocols must both match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct IngressRule {
    /// Where it comes from; any of these. Absent or empty: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub from: Option<Vec<Peer>>,
    /// What it asks for; any of these. Absent: every protocol, ICMP included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub protocols: Option<Vec<Protocol>>,
}

/// What the selected pods may reach: peers and protocols must both match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct EgressRule {
    /// Where it goes; any of these. Absent or empty: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub to: Option<Vec<Peer>>,
    /// What it asks for; any of these. Absent: every protocol, ICMP included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub protocols: Option<Vec<Protocol>>,
}

/// Who is at the other end: pods by selectors, or addresses by `ipBlock`, never both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
#[x_kube(validation = Rule::new("!has(self.ipBlock) || (!has(self.podSelector) && !has(self.namespaceSelector))").message("ipBlock stands alone: make two peers of it"))]
pub struct Peer {
    /// Pods by labels; empty: all of them. Without `namespaceSelector`, those of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Namespaces by labels; empty: all of them. Without `podSelector`, all their pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Addresses, whoever bears them, pods too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
}

/// A block of addresses with holes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct IpBlock {
    /// The block, such as `10.0.0.0/8` or `2001:db8::/32`.
    #[schemars(length(max = 43))]
    #[x_kube(validation = Rule::new("isCIDR(self)").message("not an address block such as 10.0.0.0/8"))]
    pub cidr: String,
    /// Smaller blocks within it that are left out.
    // So many blocks exceed the API server's budget for a CEL rule: it checks their form, Moat that they lie within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 100),
        inner(length(max = 43), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]+$"))
    )]
    pub except: Option<Vec<String>>,
}
