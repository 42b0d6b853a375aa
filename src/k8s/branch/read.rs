//! SecurityGroupPolicies, CNINodes, the room of nodes, and the DaemonSet of the VPC CNI, as far as they matter.

use moat_core::finding::Reason;
use moat_core::policy::{Selector, Word};
use serde_json::Value;

use super::{CNI, Cni, CniNode, INSTALLATION, SecurityGroupPolicy};
use crate::reader::{Node, Reader};

/// The resource of which a node says how many branch interfaces it can have.
const RESOURCE: &str = "vpc.amazonaws.com/pod-eni";

impl Reader {
    /// A SecurityGroupPolicy; none if the VPC resource controller passes it over.
    pub(crate) fn security_group_policy(&mut self, root: &Node<'_>) -> Option<SecurityGroupPolicy> {
        let spec = root.get("spec")?;
        let mark = self.mark();
        let mut selector = |field: &str| -> Option<Selector> {
            spec.get(field).map(|selector| self.selector(&selector))
        };
        let (pods, accounts) = (selector("podSelector"), selector("serviceAccountSelector"));
        let ids = spec.at(["securityGroups", "groupIds"]).and_then(Value::as_array);
        let ids = ids.into_iter().flatten().filter_map(Value::as_str);
        let groups = ids.map(|id| self.word(id)).collect();
        let installation = root.at(["metadata", "labels", INSTALLATION]).and_then(Value::as_str);
        let installation = installation.map(|name| self.word(name));
        let policy = SecurityGroupPolicy { pods, accounts, groups, installation };
        if self.failed_since(mark) {
            return None;
        }
        let lacks = match (&policy.pods, &policy.accounts) {
            (None, None) => "`podSelector` or `serviceAccountSelector`",
            _ if policy.groups.is_empty() => "`securityGroups.groupIds`",
            _ => return Some(policy),
        };
        let message = format!("without {lacks} the VPC resource controller passes it over");
        self.note(&spec, Reason::InvalidField, message);
        None
    }
}

/// A CNINode.
pub(crate) fn cni_node(root: &Node<'_>) -> CniNode {
    let features = root.at(["spec", "features"]).and_then(Value::as_array);
    let mut names = features.into_iter().flatten().filter_map(|feature| feature.get("name"));
    CniNode { branches: names.any(|name| name == "SecurityGroupsForPods") }
}

/// How many branch interfaces a node can have, if it tells.
pub(crate) fn room(root: &Node<'_>) -> Option<usize> {
    let quantity = root.at(["status", "allocatable", RESOURCE])?;
    quantity.as_str()?.parse().ok()
}

/// Whether an object is the DaemonSet of the VPC CNI.
pub(crate) fn is_cni(namespace: Option<&Word>, name: &Word) -> bool {
    (namespace.map(|it| &**it), &**name) == (Some(CNI.0), CNI.1)
}

/// How the VPC CNI is set up.
pub(crate) fn cni(root: &Node<'_>) -> Cni {
    let containers = root.at(["spec", "template", "spec", "containers"]).and_then(Value::as_array);
    let variables = containers.into_iter().flatten().filter_map(|it| it.get("env")?.as_array());
    let is = |name: &str, value: &str| {
        let mut variables = variables.clone().flatten();
        variables.any(|it| {
            it.get("name").is_some_and(|it| it == name)
                && it.get("value").is_some_and(|it| it == value)
        })
    };
    Cni {
        is_standard: is("POD_SECURITY_GROUP_ENFORCING_MODE", "standard"),
        external_snat: is("AWS_VPC_K8S_CNI_EXTERNALSNAT", "true"),
    }
}
