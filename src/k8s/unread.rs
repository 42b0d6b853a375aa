//! What is said of documents and objects that are not read, and which of them are passed over.

use serde_json::Value;

use crate::inventory::{InventoryKind, KINDS, group};
use crate::policy::{DIALECTS, Dialect};
use crate::reader::Node;

/// Why an object cannot be named, and what to do; none if it does not matter.
pub(crate) fn no_identity(root: &Node<'_>) -> Option<String> {
    if let Some(items) = root.value.as_array() {
        let expectations = items.iter().any(|item| item.get("expect").is_some());
        return Some(if expectations {
            "a list of expectations: give it to `moat check --expect`".to_owned()
        } else {
            "a list, and no Kubernetes object: put `---` between objects".to_owned()
        });
    }
    for field in ["apiVersion", "kind", "metadata"] {
        if root.get(field).is_some_and(|value| value.is_given_twice()) {
            return Some(format!(
                "`{field}` is given twice: keep one of the two, or put `---` between two objects"
            ));
        }
    }
    let text = |field: &str| root.value.get(field).and_then(Value::as_str);
    let (version, kind) = match (text("apiVersion"), text("kind")) {
        (Some(version), Some(kind)) => (version, kind),
        (Some(_), None) => return Some("no Kubernetes object: it has no `kind`".to_owned()),
        (None, Some(_)) => return Some("no Kubernetes object: it has no `apiVersion`".to_owned()),
        (None, None) => {
            return Some("no Kubernetes object: it has no `apiVersion` and `kind`".to_owned());
        }
    };
    if (version, kind) == ("moat.dev/v1alpha1", "Configuration") {
        return Some(
            "a configuration, which is not in force as a path: give it by `--config`".into(),
        );
    }
    if kind.ends_with("List") {
        return Some(format!("a {kind} without a list of `items` holds nothing: write them there"));
    }
    let is_read =
        Dialect::of(version, kind).is_some() || InventoryKind::of(version, kind).is_some();
    if !is_read && is_beside_policy(version, kind) {
        return None;
    }
    let odd = |field: &&str| root.at(["metadata", field]).is_some_and(|it| !it.is_string());
    Some(match ["name", "namespace"].into_iter().find(odd) {
        Some(field) => {
            format!(
                "a {kind} whose `metadata.{field}` is not one string, which is left out: put it in quotes, once"
            )
        }
        None => format!("a {kind} without `metadata.name`, which is left out: name it"),
    })
}

/// Whether a kind is known to have no bearing on who reaches whom.
pub(crate) fn is_beside_policy(api_version: &str, kind: &str) -> bool {
    if nearly(kind).is_some() {
        return false;
    }
    let group = group(api_version);
    match group {
        "policy.networking.k8s.io" | "networking.k8s.aws" | "extensions" => false,
        "moat.dev" => {
            matches!(kind, "PolicyEnforcement" | "ClusterPolicyEnforcement" | "Configuration")
        }
        "networking.k8s.io" => true,
        "" | "apps" | "batch" | "policy" | "autoscaling" => true,
        _ => group.ends_with(".k8s.io"),
    }
}

/// The version and kind that someone means who writes a kind that is read, in other letters, in the plural, or of another
/// version.
fn nearly(kind: &str) -> Option<(&'static str, &'static str)> {
    let singular = match kind.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => kind.trim_end_matches('s').to_owned(),
    };
    let policies = DIALECTS.iter().map(|dialect| (dialect.api_version, dialect.kind.as_str()));
    let mut kinds = policies.chain(KINDS.iter().map(|(version, _, kind, _)| (*version, *kind)));
    kinds.find(|(_, read)| [kind, &*singular].iter().any(|it| it.eq_ignore_ascii_case(read)))
}

/// What to do about an object that is not read.
pub(crate) fn advice(api_version: &str, kind: &str) -> String {
    let advice = match (group(api_version), kind) {
        ("policy.networking.k8s.io", "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy") => {
            "AdminNetworkPolicy and BaselineAdminNetworkPolicy are superseded: write a ClusterNetworkPolicy of `policy.networking.k8s.io/v1alpha2`"
        }
        ("policy.networking.k8s.io", _) => {
            "the version read is `policy.networking.k8s.io/v1alpha2`"
        }
        ("networking.k8s.aws", _) => {
            "it is the AWS controller's own kind, not the upstream one of the same name: write a ClusterNetworkPolicy of `policy.networking.k8s.io/v1alpha2`"
        }
        ("moat.dev", _) => {
            "the kinds are VpcNetworkPolicy and ClusterVpcNetworkPolicy of `moat.dev/v1alpha1`"
        }
        ("cilium.io", _) => {
            "Cilium's own policies are not read: write a NetworkPolicy or a VpcNetworkPolicy"
        }
        ("crd.projectcalico.org" | "projectcalico.org", _) => {
            "Calico's own policies are not read: write a NetworkPolicy or a VpcNetworkPolicy"
        }
        ("crd.antrea.io", _) => {
            "Antrea's own policies are not read: write a NetworkPolicy or a VpcNetworkPolicy"
        }
        _ => match nearly(kind) {
            Some((version, kind)) => return format!("write `{kind}` of `{version}`"),
            None => "if it stands for pods, give the objects that it creates",
        },
    };
    advice.to_owned()
}
