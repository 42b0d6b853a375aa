//! Namespaces, pods, nodes, Services and workloads, gathered into one inventory.

mod pod;
mod workload;

pub(crate) use workload::owners;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use moat_core::finding::{Effect, Reason};
use moat_core::inventory::{Inventory, Node as ClusterNode, Pod, SubnetId};
use moat_core::net::{AddressSet, Prefix};
use moat_core::policy::{Kind, Labels, ObjectRef, Word};
use serde_json::Value;

use crate::branch::{self, Branches, Cni, CniNode, SecurityGroupPolicy};
use crate::crd::RELEASE;
use crate::places::{Place, Places};
use crate::reader::{Node, Reader};
use workload::Workload;

/// The label that every namespace has: its name.
pub(crate) const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The kinds that the inventory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InventoryKind {
    Part(PartKind),
    Workload(WorkloadKind),
}

/// The kinds that say one thing each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PartKind {
    Namespace,
    Node,
    Pod,
    Service,
    SecurityGroupPolicy,
    CniNode,
    EniConfig,
}

/// The kinds that stand for pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WorkloadKind {
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
    ReplicationController,
}

/// Names a workload: namespace, kind in lower case, and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadRef {
    /// Its namespace.
    pub namespace: Word,
    /// Its kind in lower case, such as `deployment`.
    pub kind: Word,
    /// Its name.
    pub name: Word,
}

/// The names of the pods of each workload, in the workload's namespace.
pub type Workloads = BTreeMap<WorkloadRef, BTreeSet<Word>>;

/// What one object of the inventory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A namespace's labels, `kubernetes.io/metadata.name` among them.
    Namespace(Arc<Labels>),
    /// A node, and how many branch interfaces it can have, if it tells.
    Node(ClusterNode, Option<usize>),
    /// A pod; none if it has finished or failed.
    Pod(Option<Box<Pod>>),
    /// The addresses of a Service.
    Service(Vec<Prefix>),
    /// A SecurityGroupPolicy; none if nobody heeds it.
    SecurityGroupPolicy(Option<SecurityGroupPolicy>),
    /// A CNINode.
    CniNode(CniNode),
    /// The DaemonSet of the VPC CNI.
    Cni(Cni),
    /// The subnet of an ENIConfig, if it tells.
    EniConfig(Option<SubnetId>),
}

/// What the objects of an inventory say, by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The labels of namespaces.
    pub namespaces: BTreeMap<Word, Arc<Labels>>,
    /// The nodes.
    pub nodes: BTreeMap<Word, ClusterNode>,
    /// The pods that have neither finished nor failed.
    pub pods: BTreeMap<(Word, Word), Pod>,
    /// The addresses of Services.
    pub services: BTreeMap<(Word, Word), Vec<Prefix>>,
    /// The subnets of ENIConfigs.
    pub eni_configs: BTreeMap<Word, SubnetId>,
    /// What decides about pods' interfaces.
    pub branches: Branches,
}

/// What was gathered so far.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    parts: Parts,
    workloads: BTreeMap<WorkloadRef, Workload>,
    /// The pods that Moat is to let go of.
    released: BTreeSet<(Word, Word)>,
    /// The workload that a pod or a workload says it belongs to.
    pod_owners: BTreeMap<(Word, Word), WorkloadRef>,
    workload_owners: BTreeMap<WorkloadRef, WorkloadRef>,
}

/// Every kind that the inventory is made of, with the version to write and an older group that is read as well.
pub(crate) const KINDS: [(&str, Option<&str>, &str, InventoryKind); 14] = {
    use InventoryKind::{Part, Workload};
    [
        ("v1", None, "Namespace", Part(PartKind::Namespace)),
        ("v1", None, "Node", Part(PartKind::Node)),
        ("v1", None, "Pod", Part(PartKind::Pod)),
        ("v1", None, "Service", Part(PartKind::Service)),
        (
            "vpcresources.k8s.aws/v1beta1",
            None,
            "SecurityGroupPolicy",
            Part(PartKind::SecurityGroupPolicy),
        ),
        ("vpcresources.k8s.aws/v1alpha1", None, "CNINode", Part(PartKind::CniNode)),
        ("crd.k8s.amazonaws.com/v1alpha1", None, "ENIConfig", Part(PartKind::EniConfig)),
        ("v1", None, "ReplicationController", Workload(WorkloadKind::ReplicationController)),
        ("apps/v1", Some("extensions"), "Deployment", Workload(WorkloadKind::Deployment)),
        ("apps/v1", Some("extensions"), "ReplicaSet", Workload(WorkloadKind::ReplicaSet)),
        ("apps/v1", Some("extensions"), "DaemonSet", Workload(WorkloadKind::DaemonSet)),
        ("apps/v1", None, "StatefulSet", Workload(WorkloadKind::StatefulSet)),
        ("batch/v1", None, "Job", Workload(WorkloadKind::Job)),
        ("batch/v1", None, "CronJob", Workload(WorkloadKind::CronJob)),
    ]
};

/// Whether somebody asks that Moat let go of a pod.
pub(crate) fn is_released(pod: &Node<'_>) -> bool {
    pod.at(["metadata", "annotations", RELEASE]).and_then(Value::as_str) == Some("true")
}

/// The group of an API version; the core one has none.
pub(crate) fn group(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

impl InventoryKind {
    pub(crate) fn of(api_version: &str, kind: &str) -> Option<Self> {
        let own = group(api_version);
        let is = |(version, older, name, _): &&(&str, Option<&str>, &str, Self)| {
            *name == kind && (group(version) == own || *older == Some(own))
        };
        KINDS.iter().find(is).map(|(.., kind)| *kind)
    }

    /// The kind as findings know it.
    pub(crate) const fn of_core(self) -> Kind {
        match self {
            Self::Part(PartKind::Namespace) => Kind::Namespace,
            Self::Part(PartKind::Node) => Kind::Node,
            Self::Part(PartKind::Pod) => Kind::Pod,
            Self::Part(PartKind::Service) => Kind::Service,
            Self::Part(PartKind::SecurityGroupPolicy) => Kind::SecurityGroupPolicy,
            Self::Part(PartKind::CniNode | PartKind::EniConfig) => Kind::Other,
            Self::Workload(_) => Kind::Workload,
        }
    }

    pub(crate) const fn is_namespaced(self) -> bool {
        use PartKind::{CniNode, EniConfig, Namespace, Node};
        !matches!(self, Self::Part(Namespace | Node | CniNode | EniConfig))
    }
}

impl Builder {
    /// Adds the object that the reader is at.
    pub(crate) fn add(
        &mut self,
        reader: &mut Reader,
        kind: InventoryKind,
        place: &Place,
        root: &Node<'_>,
    ) {
        let start = reader.mark();
        let (namespace, name) = (reader.object.namespace.clone(), Word::clone(&reader.object.name));
        let namespace = namespace.unwrap_or_else(|| reader.word("default"));
        match kind {
            InventoryKind::Workload(kind) => {
                let kind_name = reader.word(kind.word());
                let workload = WorkloadRef { namespace, kind: kind_name, name };
                if let Some(owner) = workload::owner(root, &workload.namespace) {
                    self.workload_owners.insert(workload.clone(), owner);
                }
                if let Some(read) = reader.workload(kind, &workload, place, root) {
                    self.workloads.insert(workload, read);
                }
            }
            InventoryKind::Part(kind) => {
                let part = reader.part(kind, root);
                let is_pod = kind == PartKind::Pod;
                let owners = if is_pod { owners(root, &namespace) } else { Vec::new() };
                self.put((namespace, name), part, owners, is_pod && is_released(root));
            }
        }
        reader.conclude(start, Effect::Ignored, "it is left out");
    }

    /// Adds an object that is there.
    pub(crate) fn there(
        &mut self,
        object: ObjectRef,
        part: Part,
        owners: Vec<WorkloadRef>,
        is_released: bool,
    ) {
        self.put(
            (object.namespace.unwrap_or_else(|| "".into()), object.name),
            part,
            owners,
            is_released,
        );
    }

    fn put(&mut self, key: (Word, Word), part: Part, owners: Vec<WorkloadRef>, is_released: bool) {
        let mut owners = owners.into_iter();
        if let Some(owner) = owners.next() {
            if let Some(above) = owners.next() {
                self.workload_owners.entry(owner.clone()).or_insert(above);
            }
            self.pod_owners.insert(key.clone(), owner);
        }
        if is_released {
            self.released.insert(key.clone());
        }
        let _ = self.parts.put(key, part);
    }

    /// The pods that Moat is to let go of.
    pub(crate) fn released(&mut self) -> BTreeSet<(Word, Word)> {
        std::mem::take(&mut self.released)
    }

    /// The inventory: workloads become pods, and every namespace that something names is there.
    pub(crate) fn finish(
        mut self,
        places: &mut Places,
        policy_namespaces: BTreeSet<Word>,
    ) -> (Inventory, Workloads) {
        let pods_of_workloads = self.expand(places);
        (self.parts.inventory(policy_namespaces), pods_of_workloads)
    }
}

impl Parts {
    /// Puts what one object says in the place of what it said before; whether that is something else. `name` is its namespace, if
    /// it has one, and its name.
    pub fn put(&mut self, (namespace, name): (Word, Word), part: Part) -> bool {
        match part {
            Part::Namespace(labels) => replace(&mut self.namespaces, name, labels),
            Part::Node(node, room) => {
                let rooms = &mut self.branches.rooms;
                replace_or_remove(rooms, Word::clone(&name), room)
                    | replace(&mut self.nodes, name, node)
            }
            Part::Pod(Some(pod)) => replace(&mut self.pods, (namespace, name), *pod),
            Part::Pod(None) => self.pods.remove(&(namespace, name)).is_some(),
            Part::Service(addresses) => replace(&mut self.services, (namespace, name), addresses),
            Part::SecurityGroupPolicy(policy) => {
                replace_or_remove(&mut self.branches.policies, (namespace, name), policy)
            }
            Part::CniNode(node) => replace(&mut self.branches.nodes, name, node),
            Part::EniConfig(subnet) => replace_or_remove(&mut self.eni_configs, name, subnet),
            Part::Cni(cni) => self.branches.cni.replace(cni) != Some(cni),
        }
    }

    /// The inventory of these parts, with every namespace that a pod is in or that is given as `named`. Pods on the host's
    /// network bear their node's addresses.
    #[must_use]
    pub fn inventory(self, named_too: BTreeSet<Word>) -> Inventory {
        let mut namespaces = self.namespaces;
        for name in self.pods.keys().map(|(namespace, _)| namespace).chain(&named_too) {
            if !namespaces.contains_key(name) {
                namespaces.insert(Word::clone(name), named(Labels::default(), name));
            }
        }
        let nodes = self.nodes;
        let mut pods: Vec<Pod> = self.pods.into_values().collect();
        for pod in pods.iter_mut().filter(|pod| pod.host_network && pod.addresses.is_empty()) {
            let node = pod.node.as_ref().and_then(|node| nodes.get(node));
            pod.addresses = node.map_or_else(Vec::new, |node| one_of_each_family(&node.addresses));
        }
        Inventory {
            namespaces,
            pods,
            nodes: nodes.into_values().collect(),
            eni_configs: self.eni_configs,
            source_nat: self.branches.cni.is_some_and(|cni| !cni.external_snat),
            services: self.services.into_values().flatten().collect::<AddressSet>(),
            ..Inventory::default()
        }
    }
}

/// Puts a value under a key; whether it was another before.
fn replace<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: V) -> bool {
    if map.get(&key) == Some(&value) {
        return false;
    }
    map.insert(key, value);
    true
}

/// The same, where there may be none any more.
fn replace_or_remove<K: Ord, V: PartialEq>(
    map: &mut BTreeMap<K, V>,
    key: K,
    value: Option<V>,
) -> bool {
    match value {
        Some(value) => replace(map, key, value),
        None => map.remove(&key).is_some(),
    }
}

/// A namespace's labels with the one that the API server always sets.
pub(crate) fn named(mut labels: Labels, name: &Word) -> Arc<Labels> {
    labels.0.insert(Word::from(NAMESPACE_NAME), Word::clone(name));
    Arc::new(labels)
}

/// The first address of each family.
fn one_of_each_family(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    let v6 = addresses.iter().find(|address| address.is_ipv6());
    addresses.iter().filter(|one| Some(*one) == v4 || Some(*one) == v6).copied().collect()
}

impl Reader {
    /// What the object that the reader is at says.
    pub(crate) fn part(&mut self, kind: PartKind, root: &Node<'_>) -> Part {
        let name = Word::clone(&self.object.name);
        match kind {
            PartKind::Namespace => Part::Namespace(named(self.labels_of(root), &name)),
            PartKind::Node => {
                let (labels, addresses) =
                    (Arc::new(self.labels_of(root)), self.node_addresses(root));
                Part::Node(ClusterNode { name, labels, addresses }, branch::room(root))
            }
            PartKind::Pod => Part::Pod(self.pod(root).map(Box::new)),
            PartKind::Service => Part::Service(self.service_addresses(root)),
            PartKind::SecurityGroupPolicy => {
                Part::SecurityGroupPolicy(self.security_group_policy(root))
            }
            PartKind::CniNode => Part::CniNode(branch::cni_node(root)),
            PartKind::EniConfig => {
                let subnet = root.at(["spec", "subnet"]).and_then(Value::as_str);
                Part::EniConfig(subnet.map(|id| SubnetId(self.word(id))))
            }
        }
    }

    /// `metadata.labels`.
    fn labels_of(&mut self, root: &Node<'_>) -> Labels {
        let Some(metadata) = root.get("metadata") else { return Labels::default() };
        let labels = metadata.get("labels");
        labels.map_or_else(Labels::default, |labels| self.labels(&labels))
    }

    /// `status.addresses` of a Node, those that are addresses; the others are host names.
    fn node_addresses(&mut self, root: &Node<'_>) -> Vec<IpAddr> {
        let Some(status) = root.get("status") else { return Vec::new() };
        let Some(list) = status.get("addresses") else { return Vec::new() };
        let mut addresses = Vec::new();
        for entry in self.list(&list) {
            let at = entry.get("address");
            let text = at.as_ref().and_then(|at| at.value.as_str());
            let text = text.filter(|text| text.parse::<IpAddr>().is_ok());
            addresses.extend(at.zip(text).and_then(|(at, text)| self.address(&at, text)));
        }
        addresses
    }

    /// The cluster addresses of a Service; a headless one has none.
    fn service_addresses(&mut self, root: &Node<'_>) -> Vec<Prefix> {
        let Some(spec) = root.get("spec") else { return Vec::new() };
        let mut addresses = Vec::new();
        if let Some(list) = spec.get("clusterIPs") {
            for item in self.list(&list) {
                addresses.extend(self.cluster_address(&item));
            }
        } else if let Some(one) = spec.get("clusterIP") {
            addresses.extend(self.cluster_address(&one));
        }
        addresses
    }

    fn cluster_address(&mut self, at: &Node<'_>) -> Option<Prefix> {
        let text = self.text(at).filter(|text| !text.is_empty() && *text != "None")?;
        self.address(at, text).map(Prefix::host)
    }

    /// An address. IPv6 addresses that wrap IPv4 ones are refused, as in policies.
    fn address(&mut self, at: &Node<'_>, text: &str) -> Option<IpAddr> {
        let address: Option<IpAddr> = text.parse().ok();
        let message = match address.map(|address| (address, address.to_canonical())) {
            None => format!("`{text}` is not an address"),
            Some((address, canonical)) if address != canonical => {
                format!("`{text}` wraps an IPv4 address: write `{canonical}`")
            }
            Some((address, _)) => return Some(address),
        };
        self.problem(at, Reason::InvalidField, message);
        None
    }
}
