//! The steps of network ACLs.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::firewall::{AclKey, AclName, EntryKey};
use moat_core::inventory::SubnetId;
use moat_core::provider::{AclStep, ProviderError};

use crate::acl::{AclId, AclOwner, AssociationId};
use crate::{Call, Sim};

/// What a process knows of network ACLs: from its last picture, and what it made since.
#[derive(Clone, Debug, Default)]
pub(crate) struct AclMemory {
    pub(crate) ids: BTreeMap<AclName, AclId>,
    /// ACLs that were made and that no picture has shown yet.
    pub(crate) made: BTreeSet<AclName>,
    /// The numbers that entries of each bear.
    pub(crate) keys: BTreeMap<AclName, BTreeSet<EntryKey>>,
    /// What each subnet is guarded by.
    pub(crate) associations: BTreeMap<SubnetId, AssociationId>,
}

impl Sim {
    pub(super) fn take_acl(&mut self, step: &AclStep) -> Result<(), ProviderError> {
        match step {
            AclStep::Create { acl, prior } => self.create_acl(acl, prior),
            AclStep::Put { acl, key, entry } => {
                let id = self.acl_id(acl)?;
                let keys = self.memory.acls.keys.get(acl);
                if keys.is_some_and(|keys| keys.contains(key)) {
                    let call = Call::ReplaceNetworkAclEntry;
                    self.change(call, &[&id.0], |vpc| vpc.replace_entry(&id, *key, *entry))?;
                } else {
                    let call = Call::CreateNetworkAclEntry;
                    self.change(call, &[&id.0], |vpc| vpc.create_entry(&id, *key, *entry))?;
                }
                self.memory.acls.keys.entry(acl.clone()).or_default().insert(*key);
                Ok(())
            }
            AclStep::Remove { acl, key } => {
                let id = self.acl_id(acl)?;
                let call = Call::DeleteNetworkAclEntry;
                self.change(call, &[&id.0], |vpc| vpc.delete_entry(&id, *key))?;
                self.memory.acls.keys.entry(acl.clone()).or_default().remove(key);
                Ok(())
            }
            AclStep::Guard { subnet, by } => self.guard(subnet, by),
            AclStep::Delete(acl) => {
                let id = self.acl_id(acl)?;
                self.change(Call::DeleteNetworkAcl, &[&id.0], |vpc| vpc.delete_acl(&id))?;
                let AclMemory { ids, made, keys, associations: _ } = &mut self.memory.acls;
                ids.remove(acl);
                made.remove(acl);
                keys.remove(acl);
                Ok(())
            }
        }
    }

    fn create_acl(&mut self, acl: &AclName, prior: &AclId) -> Result<(), ProviderError> {
        if self.memory.acls.ids.contains_key(acl) {
            return Err(ProviderError::Duplicate { subject: acl.to_string(), code: None });
        }
        let cluster = self.config.cluster.clone();
        let owner = AclOwner { cluster, name: acl.clone(), prior: prior.clone() };
        let (id, keys) = self.change(Call::CreateNetworkAcl, &[], |vpc| {
            let id = vpc.create_acl(Some(owner))?;
            let entries = vpc.acl(&id).map(|acl| acl.entries.0.keys().copied().collect());
            Ok((id, entries.unwrap_or_default()))
        })?;
        let memory = &mut self.memory.acls;
        memory.ids.insert(acl.clone(), id);
        memory.keys.insert(acl.clone(), keys);
        memory.made.insert(acl.clone());
        Ok(())
    }

    /// Whoever let another ACL guard the subnet since the last picture took its association away.
    fn guard(&mut self, subnet: &SubnetId, by: &AclKey) -> Result<(), ProviderError> {
        let id = match by {
            AclKey::Ours(name) => self.acl_id(name)?,
            AclKey::Foreign(id) => id.clone(),
        };
        let association = self.memory.acls.associations.get(subnet).cloned();
        let association = association.ok_or_else(|| ProviderError::not_found(&subnet.0))?;
        let call = Call::ReplaceNetworkAclAssociation;
        let answer = self.change(call, &[&id.0], |vpc| vpc.replace_association(&association, &id));
        let is_stale = |error: &ProviderError| matches!(error, ProviderError::NotFound { subject, .. } if **subject == *association.0);
        let new = answer.map_err(|error| {
            let changed = || ProviderError::Changed { subject: subnet.0.to_string() };
            if is_stale(&error) { changed() } else { error }
        })?;
        self.memory.acls.associations.insert(subnet.clone(), new);
        Ok(())
    }

    fn acl_id(&self, name: &AclName) -> Result<AclId, ProviderError> {
        let id = self.memory.acls.ids.get(name).cloned();
        id.ok_or_else(|| ProviderError::not_found(name))
    }
}
