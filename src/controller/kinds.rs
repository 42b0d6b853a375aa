//! What the controller watches.

use kube::core::{ApiResource, GroupVersionKind};
use moat_core::policy::Kind;

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
}

impl Watched {
    /// Every kind.
    pub(crate) const ALL: [Self; 8] = [
        Self::Namespaces,
        Self::Nodes,
        Self::Pods,
        Self::Services,
        Self::NetworkPolicies,
        Self::ClusterNetworkPolicies,
        Self::VpcNetworkPolicies,
        Self::ClusterVpcNetworkPolicies,
    ];

    /// Its plural, as resources of the API are called.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Nodes => "nodes",
            Self::Pods => "pods",
            Self::Services => "services",
            Self::NetworkPolicies => "networkpolicies",
            Self::ClusterNetworkPolicies => "clusternetworkpolicies",
            Self::VpcNetworkPolicies => "vpcnetworkpolicies",
            Self::ClusterVpcNetworkPolicies => "clustervpcnetworkpolicies",
        }
    }

    /// The name of the definition that must be there for it, if it is no part of every cluster.
    pub(crate) fn definition(self) -> Option<String> {
        match self {
            Self::Namespaces
            | Self::Nodes
            | Self::Pods
            | Self::Services
            | Self::NetworkPolicies => None,
            Self::ClusterNetworkPolicies
            | Self::VpcNetworkPolicies
            | Self::ClusterVpcNetworkPolicies => {
                Some(format!("{}.{}", self.plural(), self.resource().group))
            }
        }
    }

    /// The resource of the API.
    pub(crate) fn resource(self) -> ApiResource {
        let (group, version, kind) = match self {
            Self::Namespaces => ("", "v1", "Namespace"),
            Self::Nodes => ("", "v1", "Node"),
            Self::Pods => ("", "v1", "Pod"),
            Self::Services => ("", "v1", "Service"),
            Self::NetworkPolicies => ("networking.k8s.io", "v1", "NetworkPolicy"),
            Self::ClusterNetworkPolicies => {
                ("policy.networking.k8s.io", "v1alpha2", "ClusterNetworkPolicy")
            }
            Self::VpcNetworkPolicies => ("moat.dev", "v1alpha1", "VpcNetworkPolicy"),
            Self::ClusterVpcNetworkPolicies => ("moat.dev", "v1alpha1", "ClusterVpcNetworkPolicy"),
        };
        let kind = GroupVersionKind::gvk(group, version, kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }

    /// What the core calls it, if it is a kind of policy.
    pub(crate) const fn policy_kind(self) -> Option<Kind> {
        match self {
            Self::Namespaces | Self::Nodes | Self::Pods | Self::Services => None,
            Self::NetworkPolicies => Some(Kind::NetworkPolicy),
            Self::ClusterNetworkPolicies => Some(Kind::ClusterNetworkPolicy),
            Self::VpcNetworkPolicies => Some(Kind::VpcNetworkPolicy),
            Self::ClusterVpcNetworkPolicies => Some(Kind::ClusterVpcNetworkPolicy),
        }
    }

    /// The kind of policy that the core calls so.
    pub(crate) fn of_policy(kind: Kind) -> Option<Self> {
        Self::ALL.into_iter().find(|watched| watched.policy_kind() == Some(kind))
    }

    /// How people abbreviate it.
    pub(crate) const fn short_name(self) -> &'static str {
        match self {
            Self::Namespaces => "ns",
            Self::Nodes => "no",
            Self::Pods => "po",
            Self::Services => "svc",
            Self::NetworkPolicies => "netpol",
            Self::ClusterNetworkPolicies => "cnp",
            Self::VpcNetworkPolicies => "vnp",
            Self::ClusterVpcNetworkPolicies => "cvnp",
        }
    }

    /// What goes before the conditions in its own status; none if it has no status. Others write into that of a
    /// ClusterNetworkPolicy, too.
    pub(crate) const fn condition_prefix(self) -> Option<&'static str> {
        match self {
            Self::Namespaces
            | Self::Nodes
            | Self::Pods
            | Self::Services
            | Self::NetworkPolicies => None,
            Self::ClusterNetworkPolicies => Some("moat.dev/"),
            Self::VpcNetworkPolicies | Self::ClusterVpcNetworkPolicies => Some(""),
        }
    }
}
