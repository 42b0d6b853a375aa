//! A snapshot of what policies are about: namespaces, pods, nodes, and the cloud's interfaces that carry the pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::firewall::{Acl, AclName, ForeignAclId, ForeignGroupId, Rule};
use crate::net::{AddressSet, Family, Prefix, Transport};
use crate::policy::{Labels, PodSelector, Word};

/// Everything a compile looks at besides policies and settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Labels of each namespace; `kubernetes.io/metadata.name` is always among them.
    pub namespaces: BTreeMap<Word, Arc<Labels>>,
    /// The pods that are there: with an address, neither finished nor failed. Sorted by namespace and name.
    pub pods: Vec<Pod>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The interfaces that carry the pods, as the cloud tells.
    pub interfaces: BTreeMap<InterfaceId, Interface>,
    /// The rules of each group of others that an interface wears, as the cloud tells.
    pub foreign: BTreeMap<ForeignGroupId, BTreeSet<Rule>>,
    /// The address blocks of the VPC.
    pub vpc: Vec<Prefix>,
    /// The subnets whose network ACLs the configuration hands over, as the cloud tells.
    pub subnets: BTreeMap<SubnetId, Subnet>,
    /// The entries of each ACL of others that guards one of those subnets, or did before ours.
    pub acls: BTreeMap<ForeignAclId, Acl>,
    /// The subnet of each ENIConfig, by the ENIConfig's name (custom networking of the VPC CNI).
    pub eni_configs: BTreeMap<Word, SubnetId>,
    /// Pods that share their node's interfaces send out of the VPC over IPv4 by their node's own (source NAT of the VPC CNI).
    pub source_nat: bool,
    /// The cluster addresses of Services, which never appear in a VPC: rules that name them are reported.
    pub services: AddressSet,
}

/// A pod's place in [`Inventory::pods`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodIndex(pub usize);

/// A live pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Word,
    /// Its name.
    pub name: Word,
    /// Its unique id: state is keyed by it, since a name can be born again.
    pub uid: Word,
    /// Its labels.
    pub labels: Arc<Labels>,
    /// Its addresses, at most one for each family (`status.podIPs`).
    pub addresses: Vec<IpAddr>,
    /// The node it runs on.
    pub node: Option<Word>,
    /// Its container ports that have a name.
    pub ports: Arc<[NamedPort]>,
    /// The ports that its node's kubelet probes, over tcp.
    pub probes: Arc<[u16]>,
    /// It shares its node's addresses: neither a subject nor a pod peer.
    pub host_network: bool,
    /// The interface that carries it; none while the cloud has none for it.
    pub interface: Option<InterfaceId>,
}

/// A container port that has a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// The name.
    pub name: Word,
    /// Its transport.
    pub transport: Transport,
    /// Its number, 1 to 65535.
    pub number: u16,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Word,
    /// Its labels.
    pub labels: Arc<Labels>,
    /// Its addresses (`status.addresses`, those that are addresses).
    pub addresses: Vec<IpAddr>,
}

/// The cloud's name of an interface, such as `eni-0123456789abcdef0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InterfaceId(pub Word);

/// A network interface, as the cloud tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Whose it is and whether its groups may change.
    pub attachment: Attachment,
    /// The groups of others that it wears, or wore before Moat replaced them.
    pub prior: BTreeSet<ForeignGroupId>,
}

/// Whose an interface is and whether its groups may change (DESIGN §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Attachment {
    /// One pod's, and Moat may change its groups: a branch interface.
    Exclusive,
    /// One pod's, but not to be changed: Fargate.
    Fixed,
    /// One pod's that its owner asks Moat to let go of: no cloud says so, people do.
    Released,
    /// A node's, carrying several pods.
    Shared,
}

/// The cloud's name of a subnet, such as `subnet-0123456789abcdef0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubnetId(pub Word);

/// A subnet whose network ACL the configuration hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its address blocks.
    pub blocks: Vec<Prefix>,
    /// The ACL of ours that is to guard it.
    pub acl: AclName,
    /// The ACL of others that guards it, or did before ours.
    pub prior: ForeignAclId,
    /// Whether an interface lies in it that carries no pod, or the ACL of another cluster's Moat guards it: entries would hit what no
    /// policy of ours is about.
    pub has_others: bool,
}

/// Why a subnet that is handed over is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftAlone<'a> {
    /// It holds more than pods.
    HasOthers,
    /// The ACL that it gets back is not known.
    NoPrior,
    /// The ACL that it gets back holds other entries than that of this subnet of the same ACL of ours, the first of them.
    OtherPrior(&'a SubnetId),
}

/// The pods that policies see, by namespace: what looks for those of many selectors looks into few namespaces.
#[derive(Clone, Debug)]
pub struct ByNamespace<'a> {
    inventory: &'a Inventory,
    pods: BTreeMap<&'a Word, Vec<(PodIndex, &'a Pod)>>,
}

impl Pod {
    /// Its address of a family.
    #[must_use]
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// The families it has an address of.
    pub fn families(&self) -> impl Iterator<Item = Family> + '_ {
        Family::BOTH.into_iter().filter(|family| self.address(*family).is_some())
    }
}

impl Inventory {
    /// A pod by its place.
    #[must_use]
    pub fn pod(&self, index: PodIndex) -> Option<&Pod> {
        self.pods.get(index.0)
    }

    /// The pods that policies see, with their places: not those on the host's network.
    pub fn pods_of_policies(&self) -> impl Iterator<Item = (PodIndex, &Pod)> + '_ {
        let indexed = self.pods.iter().enumerate();
        indexed.filter(|(_, pod)| !pod.host_network).map(|(index, pod)| (PodIndex(index), pod))
    }

    /// Those of them that have an address in a subnet whose network ACL is handed over.
    pub fn pods_in_subnets(&self) -> impl Iterator<Item = PodIndex> + '_ {
        let blocks = || self.subnets.values().flat_map(|subnet| &subnet.blocks);
        let inside = move |address: &IpAddr| blocks().any(|block| block.contains(*address));
        let pods = self.pods_of_policies();
        pods.filter(move |(_, pod)| pod.addresses.iter().any(inside)).map(|(index, _)| index)
    }

    /// The subnets that are handed over, each with the reason why it is left alone, if there is one.
    pub fn handed_over(
        &self,
    ) -> impl Iterator<Item = (&SubnetId, &Subnet, Option<LeftAlone<'_>>)> + '_ {
        let mut firsts: BTreeMap<&AclName, (&SubnetId, &Acl)> = BTreeMap::new();
        self.subnets.iter().map(move |(id, subnet)| {
            let left_alone = if subnet.has_others {
                Some(LeftAlone::HasOthers)
            } else if let Some(prior) = self.acls.get(&subnet.prior) {
                let (first, same) = *firsts.entry(&subnet.acl).or_insert((id, prior));
                (same != prior).then_some(LeftAlone::OtherPrior(first))
            } else {
                Some(LeftAlone::NoPrior)
            };
            (id, subnet, left_alone)
        })
    }

    /// The pods that policies see, by namespace.
    #[must_use]
    pub fn by_namespace(&self) -> ByNamespace<'_> {
        let mut pods: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (index, pod) in self.pods_of_policies() {
            pods.entry(&pod.namespace).or_default().push((index, pod));
        }
        ByNamespace { inventory: self, pods }
    }

    /// The interface that carries a pod.
    #[must_use]
    pub fn interface(&self, pod: &Pod) -> Option<&Interface> {
        self.interfaces.get(pod.interface.as_ref()?)
    }

    /// Where pods send by their node's address if they have no interface of their own: the network ACL of their subnet does not
    /// see that.
    #[must_use]
    pub fn sent_by_nodes(&self) -> AddressSet {
        let vpc: AddressSet = self.vpc.iter().copied().collect();
        let by_nodes = AddressSet::from(Prefix::everything(Family::V4)).difference(&vpc);
        if self.source_nat { by_nodes } else { AddressSet::empty() }
    }

    /// The labels of a namespace; an unknown one has none.
    #[must_use]
    pub fn namespace_labels(&self, namespace: &Word) -> Arc<Labels> {
        self.namespaces.get(namespace).cloned().unwrap_or_default()
    }

    /// The addresses of all nodes that satisfy a condition.
    #[must_use]
    pub fn node_addresses(&self, mut condition: impl FnMut(&Node) -> bool) -> AddressSet {
        let nodes = self.nodes.iter().filter(|node| condition(node));
        nodes.flat_map(|node| node.addresses.iter().copied().map(Prefix::host)).collect()
    }
}

impl<'a> ByNamespace<'a> {
    /// All of them, with their places.
    pub fn all(&self) -> impl Iterator<Item = (PodIndex, &'a Pod)> + '_ {
        self.pods.values().flatten().copied()
    }

    /// Those that a selector is about.
    pub fn selected<'s>(
        &'s self,
        selector: &'s PodSelector,
    ) -> impl Iterator<Item = (PodIndex, &'a Pod)> + 's {
        let namespaces = self.pods.iter().filter(|(name, _)| {
            selector.namespaces.matches(name, &self.inventory.namespace_labels(name))
        });
        let pods = namespaces.flat_map(|(_, pods)| pods).copied();
        pods.filter(|(_, pod)| selector.pods.matches(&pod.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Namespaces, Selector};

    #[test]
    fn the_pods_of_a_selector_are_those_of_its_namespaces_that_it_matches() {
        let labels = |key: &str| Arc::new(Labels([(key.into(), "yes".into())].into()));
        let pod = |namespace: &str, label: &str, host_network| Pod {
            namespace: namespace.into(),
            name: label.into(),
            uid: "".into(),
            labels: labels(label),
            addresses: Vec::new(),
            node: None,
            ports: [].into(),
            probes: [].into(),
            host_network,
            interface: None,
        };
        let pods = [("a", "web"), ("a", "db"), ("b", "web"), ("c", "web")];
        let mut pods: Vec<Pod> = pods.map(|(namespace, label)| pod(namespace, label, false)).into();
        pods.push(pod("a", "web", true));
        let namespaces =
            [("a", "red"), ("b", "red")].map(|(name, label)| (name.into(), labels(label)));
        let inventory = Inventory { pods, namespaces: namespaces.into(), ..Inventory::default() };
        let exists = |key: &str| Selector::label(key, "yes");
        let places = |namespaces, pods| -> Vec<usize> {
            let selector = PodSelector { namespaces, pods };
            inventory.by_namespace().selected(&selector).map(|(place, _)| place.0).collect()
        };
        let named = |name: &str| Namespaces::Named(name.into());
        assert_eq!(places(named("a"), exists("web")), [0]);
        assert_eq!(places(Namespaces::Matching(exists("red")), exists("web")), [0, 2]);
        assert_eq!(places(Namespaces::Matching(Selector::everything()), exists("web")), [0, 2, 3]);
        assert_eq!(places(named("c"), exists("db")), [0; 0]);
    }
}
