//! Network ACLs in the file: an entry is spelled as [`Entry`] shows it.

use moat_core::firewall::{Acl, Entry, EntryKey, EntryNumber};
use moat_core::policy::Direction;
use serde::{Deserialize, Serialize};

use super::StateError;
use crate::acl::{AclId, AclOwner, NetworkAcl};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileAcl {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<AclOwner>,
    entries: Vec<FileEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    direction: Direction,
    number: EntryNumber,
    entry: String,
}

impl FileAcl {
    pub(super) fn of(acl: &NetworkAcl) -> Self {
        let entries = acl.entries.0.iter().map(|(key, entry)| FileEntry {
            direction: key.direction,
            number: key.number,
            entry: entry.to_string(),
        });
        Self { owner: acl.owner.clone(), entries: entries.collect() }
    }

    /// What the ACL of this id is.
    pub(super) fn into_acl(self, id: &AclId) -> Result<NetworkAcl, StateError> {
        let entry = |entry: FileEntry| {
            let key = EntryKey { direction: entry.direction, number: entry.number };
            let read = entry.entry.parse::<Entry>();
            let read = read.map_err(|error| StateError::Entry { acl: id.0.to_string(), error })?;
            Ok((key, read))
        };
        let entries = self.entries.into_iter().map(entry).collect::<Result<_, StateError>>()?;
        Ok(NetworkAcl { owner: self.owner, entries: Acl(entries) })
    }
}
