//! MoatInstallation: what one installation does and can do.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Nothing: Moat makes the object, people annotate it.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema,
)]
#[kube(
    group = "moat.dev",
    version = "v1alpha1",
    kind = "MoatInstallation",
    plural = "moatinstallations",
    shortname = "moat",
    category = "moat",
    status = "InstallationStatus",
    derive = "PartialEq",
    doc = "MoatInstallation says what an installation of Moat does and can do. The annotation `moat.dev/paused: \"true\"` keeps it from changing the cloud; `moat.dev/approved-change` with the id of a held change lets that one through.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.settings.mode"),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].reason"
    ),
    printcolumn(name = "Groups", type_ = "integer", json_path = ".status.quotas.groups.used"),
    printcolumn(name = "Held", type_ = "string", json_path = ".status.heldChange.id"),
    printcolumn(
        name = "Provider",
        type_ = "string",
        priority = 1,
        json_path = ".status.provider.name"
    ),
    printcolumn(name = "VPC", type_ = "string", priority = 1, json_path = ".status.provider.vpc"),
    printcolumn(name = "Leader", type_ = "string", priority = 1, json_path = ".status.leader"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct MoatInstallationSpec {}

impl MoatInstallation {
    /// Whether somebody asks that it change nothing ([`PAUSED`]).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.and_then(|it| it.get(PAUSED)).is_some_and(|value| value == "true")
    }
}

/// The annotation that keeps an installation from changing the cloud, while it is `true`.
pub const PAUSED: &str = "moat.dev/paused";

/// The annotation that lets one held change through: its id.
pub const APPROVED_CHANGE: &str = "moat.dev/approved-change";

/// What an installation does and can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstallationStatus {
    /// `Configured`: the configuration is in force as it is written. `Programmed`: the cloud was read back and holds what the policies say, as far as each policy's own conditions tell. `Exact`: nobody else opens or closes anything there, but for facts that stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// The process that changes the cloud, as its lease names it.
    #[serde(default)]
    pub leader: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// The cloud that it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderInUse>,
    /// The settings in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsInForce>,
    /// The limits of the cloud, and how much of each is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<QuotasInUse>,
    /// The namespaces whose pods wear most groups; 20 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub namespaces: Vec<NamespaceUse>,
    /// A change that waits for a word, as `maxChange` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_change: Option<HeldChange>,
    /// What is found of the cloud rather than of a policy: 100 at most, what changes flows first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub findings: Vec<CloudFinding>,
    /// What policies may say, by kind. What is not there is reported on the policy, and fails closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub supported_features: Vec<SupportedFeatures>,
}

/// The cloud that an installation keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ProviderInUse {
    /// `aws`, or `sim`: a VPC in memory.
    pub name: String,
    /// The VPC, where there is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// Where the VPC is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// Settings of the configuration that are in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettingsInForce {
    /// `Observe` or `Enforce`.
    pub mode: String,
    /// `Strict`, `Essential` or `Open`.
    pub icmp: String,
    /// `Probes`, `All` or `None`.
    pub node_traffic: String,
    /// `Hold` or `Narrow`.
    pub on_quota: String,
    /// The share of the groups that one plan may change before it waits for a word.
    pub max_change: String,
}

/// The limits of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotasInUse {
    /// Security groups of this installation.
    pub groups: QuotaInUse,
    /// Rules of the largest group, in one direction and family.
    pub rules_per_group: QuotaInUse,
    /// Groups of the interface that wears most.
    pub groups_per_interface: QuotaInUse,
}

/// A limit, and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct QuotaInUse {
    /// How much is used.
    pub used: i64,
    /// How much there is.
    pub limit: i64,
}

/// What a namespace uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct NamespaceUse {
    /// Its name.
    pub namespace: String,
    /// The groups that its pods wear; one that pods of several namespaces wear counts for each of them.
    pub groups: i64,
    /// How many they may wear between them, as `quotas.groupsPerNamespace` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// A change that waits for a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct HeldChange {
    /// Names the change: `kubectl annotate moat NAME moat.dev/approved-change=ID` lets it through.
    pub id: String,
    /// The groups that it makes, changes or deletes.
    pub groups: i64,
    /// The groups that there are, or would be, whichever is more.
    pub of: i64,
}

/// Something found of the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct CloudFinding {
    /// What it is about: a security group, several of them, or the VPC.
    pub object: String,
    /// What it is, in one word.
    pub reason: String,
    /// What becomes of it: `Narrower`, `NotEnforced` or `Ignored`.
    pub effect: String,
    /// What happened, and what to do.
    pub message: String,
}

/// What the policies of a kind may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SupportedFeatures {
    /// The kind.
    pub kind: String,
    /// Its features.
    #[schemars(length(max = 50))]
    pub features: Vec<String>,
}

/// What every kind may say and have enforced exactly.
const EVERY: &[&str] = &["Egress", "Ingress", "PodSelector", "SctpWhole", "TcpPort", "UdpPort"];

/// What NetworkPolicy and the kind in its manner may say besides.
const NAMESPACED: &[&str] = &["IpBlock", "IpBlockExcept", "NamespaceSelector"];

/// What ClusterNetworkPolicy and the kind in its manner may say besides.
const CLUSTER_WIDE: &[&str] =
    &["AcceptDenyPass", "AdminTier", "BaselineTier", "EgressNetworks", "EgressNodes", "Namespaces"];

/// What the kinds with `protocols` may say besides (API of ClusterNetworkPolicy v1alpha2).
const PROTOCOLS: &[&str] = &["DestinationNamedPort", "TcpPortRange", "UdpPortRange"];

/// What Moat's own kinds add.
const OWN: &[&str] = &["IcmpTypeCode", "Icmpv6TypeCode"];

/// The features of each kind.
const FEATURES: [(&str, &[&[&str]]); 4] = [
    ("ClusterNetworkPolicy", &[EVERY, CLUSTER_WIDE, PROTOCOLS]),
    ("ClusterVpcNetworkPolicy", &[EVERY, CLUSTER_WIDE, PROTOCOLS, OWN, &["IngressNetworks"]]),
    ("NetworkPolicy", &[EVERY, NAMESPACED, &["EndPort", "NamedPort"]]),
    ("VpcNetworkPolicy", &[EVERY, NAMESPACED, PROTOCOLS, OWN]),
];

impl SupportedFeatures {
    /// What this version supports, by kind, in alphabetical order.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let of = |(kind, features): (&str, &[&[&str]])| {
            let features: BTreeSet<&str> = features.iter().copied().flatten().copied().collect();
            let features = features.into_iter().map(str::to_owned).collect();
            Self { kind: kind.to_owned(), features }
        };
        FEATURES.into_iter().map(of).collect()
    }
}
