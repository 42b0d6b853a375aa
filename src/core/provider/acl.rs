//! What changes network ACLs and which subnets they guard.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::firewall::{AclKey, AclName, Entry, EntryKey, ForeignAclId, State};
use crate::inventory::SubnetId;
use crate::policy::Word;

/// The subnets that the configuration hands over to an ACL: those with one of these ids, and those that bear all of these tags, if
/// there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// Ids of subnets.
    pub ids: BTreeSet<SubnetId>,
    /// Tags of subnets, all of which one bears.
    pub tags: BTreeMap<Word, Word>,
}

/// One call about network ACLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AclStep {
    /// Make the ACL of this name: it holds the final denies alone, and guards nothing.
    Create {
        /// The ACL.
        acl: AclName,
        /// What its subnets get back, recorded on it.
        prior: ForeignAclId,
    },
    /// Put an entry into an ACL of ours, in place of the one that bears its key if there is one. At most one step for each key in a
    /// stage.
    Put {
        /// The ACL.
        acl: AclName,
        /// Where.
        key: EntryKey,
        /// The entry.
        entry: Entry,
    },
    /// Remove an entry from an ACL of ours.
    Remove {
        /// The ACL.
        acl: AclName,
        /// Where.
        key: EntryKey,
    },
    /// Let an ACL guard a subnet in place of the one that does: one of ours, or the one that the subnet gets back.
    Guard {
        /// The subnet.
        subnet: SubnetId,
        /// The ACL.
        by: AclKey,
    },
    /// Delete an ACL of ours that guards nothing.
    Delete(AclName),
}

impl AclStep {
    /// Takes the step, as a provider would.
    pub(crate) fn apply(&self, state: &mut State) {
        let ours = |acl: &AclName| AclKey::Ours(acl.clone());
        match self {
            Self::Create { acl, .. } => drop(state.acls.entry(ours(acl)).or_default()),
            Self::Put { acl, key, entry } => {
                state.acls.entry(ours(acl)).or_default().0.insert(*key, *entry);
            }
            Self::Remove { acl, key } => {
                if let Some(there) = state.acls.get_mut(&ours(acl)) {
                    there.0.remove(key);
                }
            }
            Self::Guard { subnet, by } => drop(state.subnets.insert(subnet.clone(), by.clone())),
            Self::Delete(acl) => drop(state.acls.remove(&ours(acl))),
        }
    }

    /// Whether a state shows the effect of the step. What is gone altogether has nothing left to remove, or to guard.
    pub(super) fn shows(&self, state: &State) -> bool {
        let there = |acl: &AclName| state.acls.get(&AclKey::Ours(acl.clone()));
        match self {
            Self::Create { acl, .. } => there(acl).is_some(),
            Self::Put { acl, key, entry } => {
                there(acl).is_some_and(|there| there.0.get(key) == Some(entry))
            }
            Self::Remove { acl, key } => there(acl).is_none_or(|there| !there.0.contains_key(key)),
            Self::Guard { subnet, by } => state.subnets.get(subnet).is_none_or(|now| now == by),
            Self::Delete(acl) => there(acl).is_none(),
        }
    }
}

impl fmt::Display for AclStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { acl, .. } => write!(f, "create network ACL {acl}"),
            Self::Put { acl, key, entry } => {
                write!(f, "put {key} `{entry}` into network ACL {acl}")
            }
            Self::Remove { acl, key } => write!(f, "remove {key} from network ACL {acl}"),
            Self::Guard { subnet, by } => write!(f, "let {by} guard {}", subnet.0),
            Self::Delete(acl) => write!(f, "delete network ACL {acl}"),
        }
    }
}
