//! Kubernetes objects in, the policy model and the inventory out.
//!
//! [`read`] takes files, [`read_object`] one object that a watch delivered. Neither ever fails: what cannot be read
//! becomes a [`Finding`] at its field, and everything else is still read. What a policy holds and this version does
//! not understand fails closed, rule by rule (DESIGN §5).

mod assume;
mod branch;
pub mod configuration;
pub mod crd;
pub mod deploy;
mod documents;
mod inventory;
mod live;
mod objects;
mod places;
mod policy;
mod reader;
mod selector;
mod unread;
pub mod unsupported;

use std::collections::BTreeSet;
use std::sync::Arc;

use moat_core::finding::Finding;
use moat_core::inventory::Inventory;
use moat_core::policy::{ObjectRef, Policy, Word};
use serde_json::Value;

pub use branch::{
    Branches, CNI, Cni, CniNode, INSTALLATION, Orders, SecurityGroupPolicy, quarantine_name,
};
pub use inventory::{Part, Parts, WorkloadRef, Workloads};
pub use live::{Access, Installation, Published, Said, There};
pub use places::Places;

/// One file, or standard input under the name `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, as findings spell it.
    pub name: Arc<str>,
    /// What it holds: YAML or JSON, one document or many, `List`s too.
    pub bytes: Arc<[u8]>,
}

/// How files are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Put one pod where a policy's selector finds none: a repository of policies holds no pods.
    pub assume_pods: bool,
}

/// What the files say.
#[derive(Debug, Default)]
pub struct Cluster {
    /// The policies, sorted by [`Policy::rank`].
    pub policies: Vec<Policy>,
    /// Namespaces, pods, nodes and Service addresses. Pods may have no address and never have an interface: the
    /// provider places them.
    pub inventory: Inventory,
    /// The pods of each workload.
    pub workloads: Workloads,
    /// The pods that Moat is to let go of ([`crd::RELEASE`]), by namespace and name.
    pub released: BTreeSet<(Word, Word)>,
    /// What was not understood, in the order of the files.
    pub findings: Vec<Finding>,
    /// Where every object stands.
    pub places: Places,
}

/// Reads files. The same files in the same order always give the same cluster.
#[must_use]
pub fn read(sources: &[Source], options: &Options) -> Cluster {
    objects::read(Vec::new(), sources, options)
}

/// Reads files onto a cluster that is there: what they hold takes the place of its objects of the same names. What is found
/// of the cluster's own objects stands in no file.
#[must_use]
pub fn read_onto(there: Vec<Read>, sources: &[Source], options: &Options) -> Cluster {
    objects::read(there, sources, options)
}

/// One object, as a watch delivers it, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The object.
    pub object: ObjectRef,
    /// Its unique id.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
    /// The workloads that it belongs to, the nearest first: a pod.
    pub owners: Vec<WorkloadRef>,
    /// Whether somebody asks that Moat let go of it ([`crd::RELEASE`]): a pod.
    pub is_released: bool,
    /// What it says.
    pub content: Content,
    /// What was not understood.
    pub findings: Vec<Finding>,
}

/// What one object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A policy.
    Policy(Box<Policy>),
    /// A part of the inventory.
    Part(Part),
}

/// Reads one object by itself: a policy, namespace, node, pod or Service, or what decides about pods' interfaces. None if it has no name or is of another kind.
#[must_use]
pub fn read_object(object: &Value) -> Option<Read> {
    objects::read_object(object)
}

#[cfg(test)]
mod tests;
