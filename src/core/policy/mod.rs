//! The one policy model: every kind of policy object becomes a [`Policy`].
//!
//! Parsing has already failed closed here (DESIGN §5): an Accept rule that holds something unknown matches nothing,
//! and a Deny or Pass rule that does is a Deny of everything, in its place, marked [`Rule::failed_closed`].

mod selector;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use selector::{Labels, Requirement, Selector, Word};

use crate::net::{AddressSet, ServiceSet, Transport};

/// The kinds of object that a finding or a rule can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy.
    ClusterNetworkPolicy,
    /// `moat.dev/v1alpha1` VpcNetworkPolicy.
    VpcNetworkPolicy,
    /// `moat.dev/v1alpha1` ClusterVpcNetworkPolicy.
    ClusterVpcNetworkPolicy,
    /// A pod.
    Pod,
    /// A namespace.
    Namespace,
    /// A node.
    Node,
    /// A workload that stands for pods: Deployment, StatefulSet, DaemonSet, Job, CronJob and the like.
    Workload,
    /// A Service.
    Service,
    /// `vpcresources.k8s.aws/v1beta1` SecurityGroupPolicy.
    SecurityGroupPolicy,
    /// A security group, or several: those of others by their ids, ours by their names.
    SecurityGroup,
    /// The VPC itself, which has no name here.
    Vpc,
    /// A file of which something is no object, by its path.
    File,
    /// An object of some other kind.
    Other,
}

/// Names one object. Ordered by kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; none for cluster-scoped kinds.
    pub namespace: Option<Word>,
    /// Its name; empty for the VPC.
    pub name: Word,
}

/// What one object asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// The object it came from.
    pub object: ObjectRef,
    /// When it is asked.
    pub tier: Tier,
    /// The pods it is about.
    pub subject: Subject,
    /// Rules for what may reach the subject. None: this direction is not touched. In the NetworkPolicy tier `Some`
    /// isolates the subject, even without rules.
    pub ingress: Option<Vec<Rule>>,
    /// Rules for what the subject may reach; `None` and `Some` as for `ingress`.
    pub egress: Option<Vec<Rule>>,
}

/// When a policy is asked: Admin by priority, then the NetworkPolicy tier, then Baseline by priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Before everything else.
    Admin {
        /// 0 to 1000; the lower is asked first.
        priority: u16,
    },
    /// A union of accepts; final for pods that it isolates in the direction.
    NetworkPolicy,
    /// Where no NetworkPolicy isolates the pod in the direction.
    Baseline {
        /// 0 to 1000; the lower is asked first.
        priority: u16,
    },
}

/// The pods that a policy is about. hostNetwork pods are never among them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Nobody: the selector could not be understood.
    Nobody,
    /// The pods of a selector.
    Pods(PodSelector),
}

/// Pods by namespace and labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodSelector {
    /// Which namespaces.
    pub namespaces: Namespaces,
    /// Which pods of those.
    pub pods: Selector,
}

/// Namespaces by name or by labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespaces {
    /// The one of this name.
    Named(Word),
    /// Those whose labels match.
    Matching(Selector),
}

/// One rule of one direction, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Where it stands, such as `spec.ingress[2]`.
    pub path: Arc<str>,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// What it does with what it matches.
    pub action: Action,
    /// Whom it matches at the other end.
    pub peers: Peers,
    /// Which services it matches.
    pub services: Services,
    /// The rule was not understood and so denies everything: it stands even where essential ICMP would be let through.
    pub failed_closed: bool,
}

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Action {
    /// Let it through, finally.
    Accept,
    /// Drop it, finally.
    Deny,
    /// Ask the next tier.
    Pass,
}

/// The other end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peers {
    /// Every pod and every address.
    Anyone,
    /// Any of these; none of them if the list is empty.
    AnyOf(Vec<Peer>),
}

/// One member of a rule's peer list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods by selector; never hostNetwork pods.
    Pods(PodSelector),
    /// Addresses, whoever bears them: pods too.
    Addresses(AddressSet),
    /// The addresses of the nodes whose labels match.
    Nodes(Selector),
}

/// The services of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Services {
    /// Every protocol, ICMP included.
    Every,
    /// Any of these; nothing if the list is empty.
    AnyOf(Vec<ServiceMatch>),
}

/// One member of a rule's list of ports or protocols.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceMatch {
    /// These services.
    Set(ServiceSet),
    /// The container ports of this name at the destination pod.
    Named {
        /// The transport that the port must have; none: any.
        transport: Option<Transport>,
        /// The port's name.
        name: Word,
    },
}

/// The two directions, seen from the pod that a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What reaches the pod.
    Ingress,
    /// What the pod reaches.
    Egress,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

impl Policy {
    /// The rules of a direction; none if the policy does not touch it.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// The order in which policies are asked: tier and priority, then name, then kind (DESIGN §5).
    #[must_use]
    pub fn rank(&self) -> (Tier, &Word, Kind, Option<&Word>) {
        (self.tier, &self.object.name, self.object.kind, self.object.namespace.as_ref())
    }
}

impl Rule {
    /// Whether it names ports by their container ports' names.
    #[must_use]
    pub fn names_ports(&self) -> bool {
        match &self.services {
            Services::Every => false,
            Services::AnyOf(matches) => {
                matches.iter().any(|one| matches!(one, ServiceMatch::Named { .. }))
            }
        }
    }
}

impl PodSelector {
    /// Whether a pod with these labels, in a namespace with this name and these labels, is selected.
    #[must_use]
    pub fn matches(&self, namespace: &Word, namespace_labels: &Labels, pod: &Labels) -> bool {
        self.namespaces.matches(namespace, namespace_labels) && self.pods.matches(pod)
    }
}

impl Namespaces {
    /// Whether a namespace with this name and these labels is among them.
    #[must_use]
    pub fn matches(&self, name: &Word, labels: &Labels) -> bool {
        match self {
            Self::Named(named) => named == name,
            Self::Matching(selector) => selector.matches(labels),
        }
    }
}

impl Kind {
    /// The kind as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Self::VpcNetworkPolicy => "VpcNetworkPolicy",
            Self::ClusterVpcNetworkPolicy => "ClusterVpcNetworkPolicy",
            Self::Pod => "Pod",
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Workload => "Workload",
            Self::Service => "Service",
            Self::SecurityGroupPolicy => "SecurityGroupPolicy",
            Self::Vpc => "VPC",
            Self::SecurityGroup => "SecurityGroup",
            Self::File => "File",
            Self::Other => "Object",
        }
    }

    /// The kind as `kubectl` abbreviates it; whole where it does not.
    #[must_use]
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "netpol",
            Self::ClusterNetworkPolicy => "cnp",
            Self::VpcNetworkPolicy => "vnp",
            Self::ClusterVpcNetworkPolicy => "cvnp",
            Self::Pod => "po",
            Self::Namespace => "ns",
            Self::Node => "no",
            Self::Service => "svc",
            Self::SecurityGroupPolicy => "sgp",
            Self::Workload | Self::Vpc | Self::SecurityGroup | Self::File | Self::Other => {
                self.as_str()
            }
        }
    }
}

impl ObjectRef {
    /// The VPC as a whole.
    #[must_use]
    pub fn vpc() -> Self {
        Self { kind: Kind::Vpc, namespace: None, name: Word::from("") }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        f.write_str(kind.as_str())?;
        match namespace {
            Some(namespace) => write!(f, " {namespace}/{name}"),
            None if name.is_empty() => Ok(()),
            None => write!(f, " {name}"),
        }
    }
}

impl Serialize for ObjectRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("object", 3)?;
        object.serialize_field("kind", self.kind.as_str())?;
        object.serialize_field("namespace", &self.namespace)?;
        object.serialize_field("name", &self.name)?;
        object.end()
    }
}
