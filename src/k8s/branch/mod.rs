//! Interfaces of pods' own on EKS, the branches of their nodes' trunks: what the VPC resource controller and the VPC CNI go by, and
//! what of it somebody should know.
//!
//! A pod gets a branch interface where a SecurityGroupPolicy selects it as it is made, with the groups of all that do, and keeps
//! it whatever becomes of the policies or of its labels (amazon-vpc-resource-controller-k8s, `pkg/utils`, `webhooks/core`).

mod quarantine;
mod read;

pub use quarantine::{INSTALLATION, Orders, quarantine_name};

pub(crate) use read::{cni, cni_node, is_cni, room};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use moat_core::finding::{Effect, Finding, Reason};
use moat_core::inventory::{Attachment, Inventory, Node, Pod};
use moat_core::net::Prefix;
use moat_core::policy::{Kind, Labels, ObjectRef, Selector, Word};

/// What the objects say that decide about pods' interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branches {
    /// SecurityGroupPolicies, by namespace and name.
    pub policies: BTreeMap<(Word, Word), SecurityGroupPolicy>,
    /// What nodes are to do, by their CNINodes' names, which are theirs.
    pub nodes: BTreeMap<Word, CniNode>,
    /// How many branch interfaces a node can have at a time, where it tells.
    pub rooms: BTreeMap<Word, usize>,
    /// How the VPC CNI is set up, if it is there.
    pub cni: Option<Cni>,
}

/// The groups that new pods of a namespace get (`vpcresources.k8s.aws/v1beta1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroupPolicy {
    /// By the pods' labels.
    pub pods: Option<Selector>,
    /// By the labels of their service accounts, which Moat does not follow.
    pub accounts: Option<Selector>,
    /// The cloud's ids of the groups.
    pub groups: BTreeSet<Word>,
    /// The installation whose quarantine it is, if it is one.
    pub installation: Option<Word>,
}

/// What a node is to do (`vpcresources.k8s.aws/v1alpha1`, CNINode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CniNode {
    /// Whether its pods can have branch interfaces: the feature `SecurityGroupsForPods`.
    pub branches: bool,
}

/// How the VPC CNI is set up: the environment of the DaemonSet `aws-node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cni {
    /// `POD_SECURITY_GROUP_ENFORCING_MODE` is `standard`.
    pub is_standard: bool,
    /// `AWS_VPC_K8S_CNI_EXTERNALSNAT` is `true`: pods leave the VPC by their own addresses.
    pub external_snat: bool,
}

/// The DaemonSet of the VPC CNI: its namespace and name.
pub const CNI: (&str, &str) = ("kube-system", "aws-node");

/// The label of a node that tells whether it has a trunk: `true`, `false` or `not-supported`.
const TRUNK: &str = "vpc.amazonaws.com/has-trunk-attached";

impl SecurityGroupPolicy {
    /// Whether it certainly selects a pod with these labels in its namespace: both of its selectors have to, and nobody knows of
    /// one for service accounts, unless it selects all of them.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        let pods = self.pods.as_ref().is_none_or(|pods| pods.matches(labels));
        pods && self.accounts.as_ref().is_none_or(Selector::is_everything)
    }
}

impl Branches {
    /// What is found, given the pods with the interfaces that carry them.
    #[must_use]
    pub fn findings(&self, inventory: &Inventory) -> Vec<Finding> {
        let mut found = self.of_pods(inventory);
        if !self.policies.is_empty() {
            found.extend(self.without_trunk(inventory));
        }
        found.extend(self.full(inventory));
        found.extend(self.standard_mode(inventory));
        found.extend(Self::leaves_by_node(inventory));
        found
    }

    /// The policies that certainly select a pod, by name.
    fn selecting(&self, pod: &Pod) -> impl Iterator<Item = (&Word, &SecurityGroupPolicy)> {
        let first = (Word::clone(&pod.namespace), Word::from(""));
        let namespace = Word::clone(&pod.namespace);
        let own = self.policies.range(first..).take_while(move |((it, _), _)| *it == namespace);
        let labels = Arc::clone(&pod.labels);
        let selecting = own.filter(move |(_, policy)| policy.selects(&labels));
        selecting.map(|((_, name), policy)| (name, policy))
    }

    /// Policies that share pods, and pods that have no interface of their own although a policy selects them.
    fn of_pods(&self, inventory: &Inventory) -> Vec<Finding> {
        let mut joined: BTreeMap<(&Word, &Word), (&Word, &SecurityGroupPolicy)> = BTreeMap::new();
        let mut found = Vec::new();
        if self.policies.is_empty() {
            return found;
        }
        for (_, pod) in inventory.pods_of_policies() {
            // A quarantine goes first: of two policies the other one is told.
            let mut policies: Vec<_> = self.selecting(pod).collect();
            policies.sort_by_key(|(_, policy)| policy.installation.is_none());
            let mut policies = policies.into_iter();
            let Some((first, policy)) = policies.next() else { continue };
            let others = policies.filter(|(_, other)| other.installation.is_none());
            joined.extend(others.map(|(other, _)| ((&pod.namespace, other), (first, policy))));
            let attachment = inventory.interface(pod).map(|interface| interface.attachment);
            if attachment == Some(Attachment::Shared) {
                found.push(self.unheeded(pod, first, inventory));
            }
        }
        found.extend(joined.into_iter().map(|((namespace, other), (first, policy))| {
            let object = ObjectRef {
                kind: Kind::SecurityGroupPolicy,
                namespace: Some(Word::clone(namespace)),
                name: Word::clone(other),
            };
            let message = if policy.installation.is_some() {
                format!(
                    "`{first}`, Moat's quarantine, selects pods of this one, too: their interfaces start with the groups of both, and \
                     so open; delete this one, if the pods need nothing but interfaces of their own"
                )
            } else {
                format!(
                    "`{first}` selects pods of this one, too: their interfaces start with the groups of both; let one of the two \
                     select each pod"
                )
            };
            Finding::without_flows(object, Reason::GroupsJoined, Effect::Ignored, message)
        }));
        found
    }

    /// A pod on its node's interface that a policy selects.
    fn unheeded(&self, pod: &Pod, policy: &Word, inventory: &Inventory) -> Finding {
        let node = inventory.nodes.iter().find(|node| Some(&node.name) == pod.node.as_ref());
        let why = match node.and_then(|node| Some((node, self.lack(node)?))) {
            Some((node, lack)) => format!(
                "its node `{}` {lack}; let it run where pods can have interfaces of their own",
                node.name
            ),
            None => "it is older than the policy or than its own labels, or the webhook `mpod.vpc.k8s.aws` did not answer as it \
                     was made; make it anew"
                .to_owned(),
        };
        let message = format!(
            "SecurityGroupPolicy `{policy}` selects the pod, which shares its node's interface all the same: {why}"
        );
        let object = ObjectRef {
            kind: Kind::Pod,
            namespace: Some(Word::clone(&pod.namespace)),
            name: Word::clone(&pod.name),
        };
        Finding::without_flows(object, Reason::SharedInterface, Effect::Ignored, message)
    }

    /// Why pods of a node cannot have branch interfaces, as far as anybody tells.
    fn lack(&self, node: &Node) -> Option<&'static str> {
        let is = |key: &str, value: &str| node.labels.get(key).is_some_and(|it| **it == *value);
        if is("kubernetes.io/os", "windows") {
            return Some("runs Windows");
        }
        let told = self.nodes.get(&node.name);
        let has_trunk = match node.labels.get(TRUNK) {
            Some(label) => &**label == "true",
            None => told.is_none_or(|told| told.branches),
        };
        (!has_trunk).then_some("has no trunk for them")
    }

    /// The nodes whose pods cannot have branch interfaces; pods of Fargate are no node's.
    fn without_trunk(&self, inventory: &Inventory) -> Option<Finding> {
        let lacking = inventory.nodes.iter().filter_map(|node| Some((node, self.lack(node)?)));
        let mut lacking = lacking.filter(|(node, _)| !is_fargate(node));
        let (first, lack) = lacking.next()?;
        let message = format!(
            "pods here cannot have interfaces of their own: the node {lack}{}; choose instance types that can trunk \
             (`vpc.amazonaws.com/has-trunk-attached`), and set `ENABLE_POD_ENI` of `aws-node`",
            and_more(lacking.count())
        );
        Some(Finding::without_flows(of_node(first), Reason::NoTrunk, Effect::Ignored, message))
    }

    /// The nodes whose pods have all the branch interfaces that there can be.
    fn full(&self, inventory: &Inventory) -> Option<Finding> {
        if self.rooms.is_empty() {
            return None;
        }
        let mut used: BTreeMap<&Word, usize> = BTreeMap::new();
        for (_, pod) in inventory.pods_of_policies() {
            let interface = inventory.interface(pod).map(|interface| interface.attachment);
            if let (Some(node), Some(Attachment::Exclusive)) = (&pod.node, interface) {
                *used.entry(node).or_default() += 1;
            }
        }
        let room = |node: &Node| self.rooms.get(&node.name).copied().filter(|room| *room > 0);
        let is_full = |node: &Node, room| used.get(&node.name).is_some_and(|used| *used >= room);
        let full = inventory.nodes.iter().filter_map(|node| Some((node, room(node)?)));
        let mut full = full.filter(|(node, room)| is_full(node, *room));
        let (first, room) = full.next()?;
        let message = format!(
            "pods have all {room} branch interfaces of the node{}: further pods that a SecurityGroupPolicy selects wait for \
             another node",
            and_more(full.count())
        );
        Some(Finding::without_flows(of_node(first), Reason::TrunkFull, Effect::Ignored, message))
    }

    /// What groups do not filter in standard mode (VPC CNI, "Pod security group enforcing mode").
    fn standard_mode(&self, inventory: &Inventory) -> Option<Finding> {
        let cni = self.cni.filter(|cni| cni.is_standard)?;
        let mut interfaces = inventory.interfaces.values();
        interfaces.find(|interface| interface.attachment == Attachment::Exclusive)?;
        let egress = if cni.external_snat {
            ""
        } else {
            ", and what leaves the VPC passes the node's groups instead of the pod's"
        };
        let message = format!(
            "the VPC CNI enforces groups in standard mode: nothing filters what pods and the kubelet of one node send each \
             other{egress}; set `POD_SECURITY_GROUP_ENFORCING_MODE: strict` of `aws-node`, and make the pods anew"
        );
        Some(Finding::without_flows(
            ObjectRef::vpc(),
            Reason::StandardMode,
            Effect::NotEnforced,
            message,
        ))
    }

    /// What network ACLs do not see of pods that share their node's interfaces (VPC CNI, `AWS_VPC_K8S_CNI_EXTERNALSNAT`).
    fn leaves_by_node(inventory: &Inventory) -> Option<Finding> {
        if !inventory.source_nat {
            return None;
        }
        let guarded = inventory.handed_over().filter(|(.., left_alone)| left_alone.is_none());
        let blocks: Vec<Prefix> = guarded.flat_map(|(_, it, _)| it.blocks.clone()).collect();
        let is_inside = |pod: &Pod| {
            let mut addresses = pod.addresses.iter().filter(|address| address.is_ipv4());
            addresses.any(|address| blocks.iter().any(|block| block.contains(*address)))
        };
        let (_, pod) = inventory.pods_of_policies().find(|(_, pod)| {
            let interface = inventory.interface(pod).map(|interface| interface.attachment);
            matches!(interface, Some(Attachment::Shared) | None) && is_inside(pod)
        })?;
        let message = format!(
            "pods without interfaces of their own, such as `{}/{}`, send over IPv4 out of the VPC by their node's address: the network ACL \
             of their subnet does not see that, as their policies' findings say, nor what they and their node send each other, which \
             is said here alone; give them interfaces of their own, or leave their subnets out of `networkAcls`",
            pod.namespace, pod.name
        );
        Some(Finding::without_flows(
            ObjectRef::vpc(),
            Reason::LeavesByNode,
            Effect::NotEnforced,
            message,
        ))
    }
}

/// Whether a node is one of Fargate's, which carry one pod each.
fn is_fargate(node: &Node) -> bool {
    node.labels.get("eks.amazonaws.com/compute-type").is_some_and(|it| &**it == "fargate")
}

fn of_node(node: &Node) -> ObjectRef {
    ObjectRef { kind: Kind::Node, namespace: None, name: Word::clone(&node.name) }
}

/// How many other nodes it is the same with.
fn and_more(nodes: usize) -> String {
    match nodes {
        0 => String::new(),
        1 => ", and so it is with one more".to_owned(),
        _ => format!(", and so it is with {nodes} more"),
    }
}

#[cfg(test)]
mod tests;
