//! What a compiler is told, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::firewall::{Acl, ForeignAclId, ForeignGroupId, GroupKey, Rule};
use crate::inventory::{Interface, InterfaceId, Inventory, Node, Pod, Subnet, SubnetId};
use crate::net::{AddressSet, Prefix};
use crate::policy::{Labels, ObjectRef, Policy, Word};
use crate::settings::Settings;

/// Something that is so from here on. Told again, it changes nothing; told in another order, it comes to the same end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A pod is there, and is like this.
    Pod(Pod),
    /// No pod of this namespace and name is there.
    PodGone(Word, Word),
    /// A policy is there, and says this.
    Policy(Policy),
    /// This policy is not there.
    PolicyGone(ObjectRef),
    /// A namespace is there, with these labels.
    Namespace(Word, Arc<Labels>),
    /// This namespace is not there; pods that are told of it live in one without labels.
    NamespaceGone(Word),
    /// A node is there, and is like this.
    Node(Node),
    /// No node of this name is there.
    NodeGone(Word),
    /// An interface is there, and is like this.
    Interface(InterfaceId, Interface),
    /// This interface is not there.
    InterfaceGone(InterfaceId),
    /// The rules of each group of others.
    Foreign(BTreeMap<ForeignGroupId, BTreeSet<Rule>>),
    /// The address blocks of the VPC.
    Vpc(Vec<Prefix>),
    /// Whether pods that share their node's interfaces send out of the VPC by their node's address.
    SourceNat(bool),
    /// The subnets whose network ACLs are handed over, and the entries of the ACLs of others that guard or guarded them.
    Subnets(BTreeMap<SubnetId, Subnet>, BTreeMap<ForeignAclId, Acl>),
    /// The cluster addresses of Services.
    Services(AddressSet),
    /// What the operator decides.
    Settings(Settings),
    /// Everything but policies and settings: what is not in it is gone.
    Inventory(Inventory),
    /// All policies: those not among them are gone.
    Policies(Vec<Policy>),
}

/// How a desired state differs from the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The groups that came, went, or have other rules or other reasons.
    pub groups: BTreeSet<GroupKey>,
    /// The interfaces that came, went, or wear other groups.
    pub interfaces: BTreeSet<InterfaceId>,
    /// How much was compiled.
    pub extent: Extent,
}

/// How much of a cluster was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The rules of so many kinds of pods, of which one has pods alike in all that policies can see.
    Touched(usize),
    /// All of it.
    Everything(Cause),
}

/// Why all of a cluster was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Something changed that concerns every pod: a setting, the VPC, the rules of groups of others.
    Common,
    /// What one pod gets depends on all others: pods must stay out of wide prefixes, quotas are short, pods claim one interface,
    /// or a network ACL is handed over, which holds for all pods of its subnets.
    Entangled,
}

impl Default for Extent {
    fn default() -> Self {
        Self::Touched(0)
    }
}
