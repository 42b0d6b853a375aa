//! What becomes of a policy: one object for each, since a NetworkPolicy has no status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// One kind for policies of a namespace, and one for those of the cluster: they differ by their names alone.
macro_rules! enforcement {
    ($spec:ident, $kind:literal, $plural:literal, $short:literal, $doc:literal $(, $namespaced:ident)?) => {
        /// Which policy this is about; `status` says what becomes of it. Moat writes these, and nobody else.
        #[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
        #[serde(rename_all = "camelCase")]
        #[kube(
            group = "moat.dev",
            version = "v1alpha1",
            kind = $kind,
            plural = $plural,
            shortname = $short,
            category = "moat",
            $($namespaced,)?
            status = "EnforcementStatus",
            derive = "PartialEq",
            doc = $doc,
            printcolumn(name = "Findings", type_ = "integer", json_path = ".status.findingsTotal"),
            printcolumn(name = "Pods", type_ = "integer", json_path = ".status.summary.pods"),
            printcolumn(name = "Rules", type_ = "integer", json_path = ".status.summary.rules"),
            printcolumn(
                name = "Reason",
                type_ = "string",
                priority = 1,
                json_path = ".status.conditions[?(@.type==\"Exact\")].reason"
            )
        )]
        pub struct $spec {
            /// The policy.
            pub policy: PolicyReference,
        }
    };
}

enforcement!(
    PolicyEnforcementSpec,
    "PolicyEnforcement",
    "policyenforcements",
    "pe",
    "PolicyEnforcement says what becomes of one policy of its namespace in the cloud.",
    namespaced
);
enforcement!(
    ClusterPolicyEnforcementSpec,
    "ClusterPolicyEnforcement",
    "clusterpolicyenforcements",
    "cpe",
    "ClusterPolicyEnforcement says what becomes of one cluster-wide policy in the cloud."
);

/// Names a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReference {
    /// Its kind, such as `NetworkPolicy`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What becomes of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnforcementStatus {
    /// The generation of the policy that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: every field was understood. `Programmed`: the cloud was read back and holds the policy. `Exact`: the
    /// cloud lets through what the policy says and nothing else. `Stalled` and `Reconciling` are there only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// What the cloud does not do as the policy says, and what is worth knowing: 100 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub findings: Vec<FindingRow>,
    /// How many findings there are.
    #[serde(default)]
    pub findings_total: i32,
    /// What it comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The pods that it selects and that the cloud does not filter, by reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub unfiltered: Vec<Unfiltered>,
}

/// Pods that the cloud does not filter, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unfiltered {
    /// `SharedInterface`, `FixedInterface`, `Released`, `NoInterface`, or `NotSelected`: `namespaceSelector` leaves their namespace out.
    pub reason: String,
    /// How many they are.
    pub pods: i32,
    /// Their names, as `namespace/name` in order: the first 100.
    #[schemars(length(max = 100))]
    pub names: Vec<String>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingRow {
    /// The field, such as `spec.ingress[0].ports[1].port`; empty for the whole policy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What it is, in one word.
    pub reason: String,
    /// What becomes of it: `Narrower`, `NotEnforced` or `Ignored`.
    pub effect: String,
    /// What happened, and what to do.
    pub message: String,
    /// A flow that policies and cloud treat differently because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
}

/// Sizes of a policy in the cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The pods that it selects.
    pub pods: i32,
    /// The security groups that hold rules for it.
    pub groups: i32,
    /// Their rules that serve it.
    pub rules: i32,
    /// The network ACLs that hold entries for it, on subnets that are handed over.
    #[serde(default, skip_serializing_if = "is_none")]
    pub acls: i32,
    /// Their entries that serve it: each denies something that it closes.
    #[serde(default, skip_serializing_if = "is_none")]
    pub entries: i32,
}

/// Most clusters have no network ACLs of ours: their statuses say nothing of them.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_none(count: &i32) -> bool {
    *count == 0
}
