//! Moat's own kinds as custom resources: the types here are the schema, `moat crds` prints them, and `deploy/crds`
//! holds what it prints. Objects are read by the same reader as every other policy, never through these types, since
//! decoding drops what it does not know.
//!
//! Field documentation is what `kubectl explain` shows.

#[cfg(test)]
mod admission;
#[expect(unreachable_pub, reason = "the schema derive makes a hidden copy of each type")]
mod cluster;
#[expect(unreachable_pub, reason = "the schema derive makes a hidden copy of each type")]
mod enforcement;
#[expect(unreachable_pub, reason = "the schema derive makes a hidden copy of each type")]
#[expect(clippy::duplicated_attributes, reason = "each print column has a type")]
mod installation;
#[expect(unreachable_pub, reason = "the schema derive makes a hidden copy of each type")]
mod namespaced;
#[expect(unreachable_pub, reason = "the schema derive makes a hidden copy of each type")]
mod shared;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

pub use cluster::{
    ClusterEgressPeer, ClusterEgressRule, ClusterIngressPeer, ClusterIngressRule,
    ClusterVpcNetworkPolicy, ClusterVpcNetworkPolicySpec, NamespacedPod, RuleAction, Subject, Tier,
};
pub use enforcement::{
    ClusterPolicyEnforcement, ClusterPolicyEnforcementSpec, EnforcementStatus, FindingRow,
    PolicyEnforcement, PolicyEnforcementSpec, PolicyReference, Summary, Unfiltered,
};
pub use installation::{
    APPROVED_CHANGE, CloudFinding, HeldChange, InstallationStatus, MoatInstallation,
    MoatInstallationSpec, NamespaceUse, PAUSED, ProviderInUse, QuotaInUse, QuotasInUse,
    SettingsInForce, SupportedFeatures,
};
pub use namespaced::{
    EgressRule, IngressRule, IpBlock, Peer, PolicyType, VpcNetworkPolicy, VpcNetworkPolicySpec,
};
pub use shared::{DestinationPort, Icmp, PolicyStatus, PortRange, Ports, Protocol};

/// The annotation of a pod by which its interface gets back the groups that it wore before Moat, while it is `true`.
pub const RELEASE: &str = "moat.dev/release";

/// The definitions of every kind of Moat's.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        VpcNetworkPolicy::crd(),
        ClusterVpcNetworkPolicy::crd(),
        PolicyEnforcement::crd(),
        ClusterPolicyEnforcement::crd(),
    ];
    for version in crds.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
        let own = version.additional_printer_columns.take().unwrap_or_default();
        version.additional_printer_columns = Some(columns(own));
    }
    crds.push(MoatInstallation::crd());
    for version in crds.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            refuse_null(schema);
        }
    }
    crds
}

/// What `kubectl get` shows: what an object of the kind says, what holds of it, how much it is, and since when.
fn columns(own: Vec<CustomResourceColumnDefinition>) -> Vec<CustomResourceColumnDefinition> {
    let column = |name: &str, type_: &str, json_path: String| CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path,
        ..CustomResourceColumnDefinition::default()
    };
    let conditions = ["Accepted", "Programmed", "Exact"];
    let conditions = conditions.map(|condition| {
        let json_path = format!(".status.conditions[?(@.type==\"{condition}\")].status");
        column(condition, "string", json_path)
    });
    let says = |own: &CustomResourceColumnDefinition| own.json_path.starts_with(".spec.");
    let (said, sizes): (Vec<_>, Vec<_>) = own.into_iter().partition(says);
    let age = column("Age", "date", ".metadata.creationTimestamp".to_owned());
    said.into_iter().chain(conditions).chain(sizes).chain([age]).collect()
}

/// The definitions of the kinds that users write.
#[cfg(test)]
pub(crate) fn policies() -> impl Iterator<Item = CustomResourceDefinition> {
    crds().into_iter().filter(|crd| crd.spec.names.kind.ends_with("Policy"))
}

/// Takes `nullable` away: a null field is absent (API conventions), and stored nulls would only puzzle.
fn refuse_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        refuse_null(property);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        refuse_null(values);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => refuse_null(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(refuse_null),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `MOAT_UPDATE=1 cargo test -p moat-k8s crd` writes the files that this compares.
    #[test]
    fn the_committed_definitions_are_what_the_types_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
        for crd in crds() {
            let path = folder.join(format!("{}.yaml", crd.spec.names.plural));
            let text = serde_saphyr::to_string(&crd).expect("it serialises");
            if std::env::var_os("MOAT_UPDATE").is_some() {
                std::fs::create_dir_all(&folder).expect("a folder");
                std::fs::write(&path, &text).expect("writable");
            }
            let committed = std::fs::read_to_string(&path).expect("committed");
            assert!(committed == text, "{} is stale: run with MOAT_UPDATE=1", path.display());
        }
    }
}
