//! Security groups and network ACLs, the interfaces and subnets that they filter, and what they mean for one packet: the second
//! reference.
//!
//! Written from AWS's documents; shares nothing with the compiler but `net`.

mod acl;
mod cloud;
mod notation;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

pub use acl::{
    Acl, AclKey, AclName, Entry, EntryAction, EntryKey, EntryNumber, ForeignAclId, NoEntryNumber,
    ParseEntryError, replies,
};
pub use cloud::{Border, Cloud, End, Reply, Unfiltered, Verdict, never_filtered};
pub(crate) use notation::Named;
pub use notation::{Naming, ParseRuleError};

use crate::inventory::{InterfaceId, SubnetId};
use crate::net::{Prefix, Shape};
use crate::policy::{Direction, Word};

/// The groups and network ACLs of a VPC that matter here, who wears them and what they guard: what is desired, what is there, or
/// any state in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The rules of each group, ours and others'.
    pub groups: BTreeMap<GroupKey, BTreeSet<Rule>>,
    /// The groups that each interface wears.
    pub interfaces: BTreeMap<InterfaceId, BTreeSet<GroupKey>>,
    /// The network ACLs, ours and others'.
    pub acls: BTreeMap<AclKey, Acl>,
    /// The ACL of each subnet.
    pub subnets: BTreeMap<SubnetId, AclKey>,
}

/// Names a group. Ours sort before those of others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupKey {
    /// A group of this cluster's, by its number: the `n` of `moat.<cluster>.<n>`.
    Ours(GroupNumber),
    /// A group of someone else.
    Foreign(ForeignGroupId),
}

/// The number of a group of ours, from 1. It carries no meaning beyond telling groups apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupNumber(pub NonZeroU32);

/// The cloud's id of a group that is not ours, such as `sg-0123456789abcdef0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ForeignGroupId(pub Word);

/// One rule of a group: it lets something through; nothing can say no.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Seen from the interface that wears the group.
    pub direction: Direction,
    /// The other end.
    pub peer: Peer,
    /// What it lets through.
    pub shape: Shape,
}

/// The other end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The addresses of a prefix.
    Prefix(Prefix),
    /// The interfaces that wear a group, in either family.
    Group(GroupKey),
}

impl GroupKey {
    /// The id of a group of someone else.
    #[must_use]
    pub const fn foreign(&self) -> Option<&ForeignGroupId> {
        match self {
            Self::Foreign(id) => Some(id),
            Self::Ours(_) => None,
        }
    }
}

impl GroupNumber {
    /// The group of ours that never has rules, and that no class of pods wears: new interfaces start with it while
    /// [`crate::settings::Settings::quarantine`] is on. No other group gets this number.
    pub const CLOSED: Self = Self(NonZeroU32::MIN.saturating_add(999_998));

    /// The `index`th number, from 0.
    #[must_use]
    pub fn nth(index: usize) -> Self {
        let number = u32::try_from(index).ok().and_then(|index| index.checked_add(1));
        Self(number.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX))
    }

    /// The name that the group of this number bears in the cloud: `moat.<cluster>.<n>`.
    #[must_use]
    pub fn name(self, cluster: &str) -> String {
        format!("moat.{cluster}.{}", self.0)
    }

    /// The number whose name this is. Clouds do not tell case apart in names.
    #[must_use]
    pub fn of_name(name: &str, cluster: &str) -> Option<Self> {
        let number = name.rsplit('.').next()?.parse().ok().map(Self)?;
        name.eq_ignore_ascii_case(&number.name(cluster)).then_some(number)
    }
}
