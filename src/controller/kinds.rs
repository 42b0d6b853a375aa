//! What the controller watches.

use kube::core::{ApiResource, GroupVersionKind};
use moat_core::policy::Kind;

/// What a kind is called, and what it is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    /// Its plural, as resources of the API are called.
    pub(crate) plural: &'static str,
    /// What the core calls it, if it is a kind of policy.
    pub(crate) policy: Option<Kind>,
    /// Whether somebody has to install it.
    is_custom: bool,
    /// What goes before the conditions in its own status; none if it has no status. Others write into that of a
    /// ClusterNetworkPolicy, too.
    pub(crate) condition_prefix: Option<&'static str>,
    /// The namespace and the name of the only object that is followed, if not all are.
    pub(crate) only: Option<(&'static str, &'static str)>,
}

/// A kind of object that the controller follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Watched {
    Namespaces,
    Nodes,
    Pods,
    Services,
    NetworkPolicies,
    ClusterNetworkPolicies,
    VpcNetworkPolicies,
    ClusterVpcNetworkPolicies,
    SecurityGroupPolicies,
    CniNodes,
    CniDaemonSet,
    EniConfigs,
}

impl Watched {
    /// Every kind. Those that policies are, or are about, go first.
    pub(crate) const ALL: [Self; 12] = [
        Self::Namespaces,
        Self::Nodes,
        Self::Pods,
        Self::Services,
        Self::NetworkPolicies,
        Self::ClusterNetworkPolicies,
        Self::VpcNetworkPolicies,
        Self::ClusterVpcNetworkPolicies,
        Self::SecurityGroupPolicies,
        Self::CniNodes,
        Self::CniDaemonSet,
        Self::EniConfigs,
    ];

    /// Whether nothing can be said of policies without it. The others only tell more about pods' interfaces, or name subnets where
    /// the configuration asks for it.
    pub(crate) const fn is_of_policies(self) -> bool {
        match self {
            Self::Namespaces
            | Self::Nodes
            | Self::Pods
            | Self::Services
            | Self::NetworkPolicies
            | Self::ClusterNetworkPolicies
            | Self::VpcNetworkPolicies
            | Self::ClusterVpcNetworkPolicies => true,
            Self::SecurityGroupPolicies
            | Self::CniNodes
            | Self::CniDaemonSet
            | Self::EniConfigs => false,
        }
    }

    /// The kinds without which nothing can be said of policies.
    pub(crate) fn of_policies() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|watched| watched.is_of_policies())
    }

    /// What it is called, and what it is to us.
    pub(crate) const fn definition(self) -> Definition {
        match self {
            Self::Namespaces => CORE.named("Namespace", "namespaces"),
            Self::Nodes => CORE.named("Node", "nodes"),
            Self::Pods => CORE.named("Pod", "pods"),
            Self::Services => CORE.named("Service", "services"),
            Self::NetworkPolicies => Definition {
                group: "networking.k8s.io",
                policy: Some(Kind::NetworkPolicy),
                ..CORE.named("NetworkPolicy", "networkpolicies")
            },
            Self::ClusterNetworkPolicies => Definition {
                group: "policy.networking.k8s.io",
                version: "v1alpha2",
                policy: Some(Kind::ClusterNetworkPolicy),
                is_custom: true,
                condition_prefix: Some("moat.dev/"),
                ..CORE.named("ClusterNetworkPolicy", "clusternetworkpolicies")
            },
            Self::VpcNetworkPolicies => Definition {
                policy: Some(Kind::VpcNetworkPolicy),
                ..OURS.named("VpcNetworkPolicy", "vpcnetworkpolicies")
            },
            Self::ClusterVpcNetworkPolicies => Definition {
                policy: Some(Kind::ClusterVpcNetworkPolicy),
                ..OURS.named("ClusterVpcNetworkPolicy", "clustervpcnetworkpolicies")
            },
            Self::SecurityGroupPolicies => Definition {
                version: "v1beta1",
                ..BRANCHES.named("SecurityGroupPolicy", "securitygrouppolicies")
            },
            Self::CniNodes => {
                Definition { version: "v1alpha1", ..BRANCHES.named("CNINode", "cninodes") }
            }
            Self::EniConfigs => Definition {
                group: "crd.k8s.amazonaws.com",
                is_custom: true,
                version: "v1alpha1",
                ..CORE.named("ENIConfig", "eniconfigs")
            },
            Self::CniDaemonSet => Definition {
                group: "apps",
                only: Some(moat_k8s::CNI),
                ..CORE.named("DaemonSet", "daemonsets")
            },
        }
    }

    /// Its plural, as resources of the API are called.
    pub(crate) const fn plural(self) -> &'static str {
        self.definition().plural
    }

    /// The name of the definition that must be there for it, if it is no part of every cluster.
    pub(crate) fn crd(self) -> Option<String> {
        let Definition { group, plural, is_custom, .. } = self.definition();
        is_custom.then(|| format!("{plural}.{group}"))
    }

    /// Whether its objects are in namespaces.
    pub(crate) const fn is_namespaced(self) -> bool {
        match self {
            Self::Pods
            | Self::Services
            | Self::NetworkPolicies
            | Self::VpcNetworkPolicies
            | Self::SecurityGroupPolicies
            | Self::CniDaemonSet => true,
            Self::Namespaces
            | Self::Nodes
            | Self::ClusterNetworkPolicies
            | Self::ClusterVpcNetworkPolicies
            | Self::CniNodes
            | Self::EniConfigs => false,
        }
    }

    /// The resource of the API.
    pub(crate) fn resource(self) -> ApiResource {
        let Definition { group, version, kind, plural, .. } = self.definition();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// The kind of policy that the core calls so.
    pub(crate) fn of_policy(kind: Kind) -> Option<Self> {
        Self::ALL.into_iter().find(|watched| watched.definition().policy == Some(kind))
    }
}

/// The kinds of every cluster.
const CORE: Definition = Definition {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    policy: None,
    is_custom: false,
    condition_prefix: None,
    only: None,
};

/// Our own kinds.
const OURS: Definition = Definition {
    group: "moat.dev",
    version: "v1alpha1",
    is_custom: true,
    condition_prefix: Some(""),
    ..CORE
};

/// The kinds of AWS's VPC resource controller.
const BRANCHES: Definition = Definition { group: "vpcresources.k8s.aws", is_custom: true, ..CORE };

impl Definition {
    const fn named(self, kind: &'static str, plural: &'static str) -> Self {
        Self { kind, plural, ..self }
    }
}
