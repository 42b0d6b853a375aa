//! Subnets and network ACLs of the VPC, with EC2's own checks.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::firewall::{Acl, AclName, Entry, EntryKey, ForeignAclId};
use moat_core::inventory::SubnetId;
use moat_core::net::{Family, Prefix, Shape};
use moat_core::policy::Word;
use moat_core::provider::{ProviderError, QuotaKind};
use serde::{Deserialize, Serialize};

use crate::vpc::{invalid, not_found, quota};
use crate::{Config, Vpc};

/// The id of a network ACL, whoever owns it.
pub type AclId = ForeignAclId;

/// The id of an ACL's hold on a subnet: each replacement gives another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssociationId(pub Word);

/// A network ACL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkAcl {
    /// Its tags, if they are Moat's.
    pub owner: Option<AclOwner>,
    /// Its entries, without the final denies.
    pub entries: Acl,
}

/// The tags that make a network ACL a cluster's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclOwner {
    /// The cluster.
    pub cluster: String,
    /// What the cluster's configuration calls it.
    pub name: AclName,
    /// What its subnets get back.
    pub prior: AclId,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    /// Its address blocks.
    pub blocks: Vec<Prefix>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<Word, Word>,
    /// The ACL that guards it.
    pub acl: AclId,
    /// The id of that.
    pub association: AssociationId,
}

/// A subnet as it is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetConfig {
    /// Its address blocks.
    pub blocks: Vec<Prefix>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<Word, Word>,
}

/// The network ACL that guards every new subnet, and lets everything pass.
#[must_use]
pub fn default_acl() -> AclId {
    ForeignAclId("acl-0defa000000000000".into())
}

/// It as a new VPC has it.
pub(crate) fn open(blocks: &[Prefix]) -> NetworkAcl {
    let families: BTreeSet<Family> = blocks.iter().map(|block| block.family()).collect();
    NetworkAcl { owner: None, entries: Acl::open(families) }
}

impl Vpc {
    /// A network ACL by its id.
    #[must_use]
    pub fn acl(&self, id: &AclId) -> Option<&NetworkAcl> {
        self.acls.get(id)
    }

    /// Every network ACL.
    pub fn acls(&self) -> impl Iterator<Item = (&AclId, &NetworkAcl)> + '_ {
        self.acls.iter()
    }

    /// A subnet by its id.
    #[must_use]
    pub fn subnet(&self, id: &SubnetId) -> Option<&Subnet> {
        self.subnets.get(id)
    }

    /// Every subnet.
    pub fn subnets(&self) -> impl Iterator<Item = (&SubnetId, &Subnet)> + '_ {
        self.subnets.iter()
    }

    /// CreateSubnet, with an id of the caller's choice: the default ACL guards it. One that is there keeps the ACL that does.
    pub fn put_subnet(&mut self, id: SubnetId, subnet: SubnetConfig) {
        let SubnetConfig { blocks, tags } = subnet;
        if let Some(there) = self.subnets.get_mut(&id) {
            (there.blocks, there.tags) = (blocks, tags);
            return;
        }
        let association = self.association();
        self.subnets.insert(id, Subnet { blocks, tags, acl: default_acl(), association });
    }

    /// DeleteSubnet.
    pub fn remove_subnet(&mut self, id: &SubnetId) {
        self.subnets.remove(id);
    }

    /// CreateNetworkAcl: an ACL that holds the final denies alone and guards nothing. The client token of one that has an owner is
    /// made of cluster and name: while there is one with that token, it is the answer.
    ///
    /// # Errors
    /// `Duplicate` where the one with that token was made with other tags.
    pub fn create_acl(&mut self, owner: Option<AclOwner>) -> Result<AclId, ProviderError> {
        let made = owner.as_ref().and_then(|owner| {
            let token = (&owner.cluster, &owner.name);
            let bears = |it: &AclOwner| (&it.cluster, &it.name) == token;
            self.acls.iter().find(|(_, acl)| acl.owner.as_ref().is_some_and(bears))
        });
        match made {
            Some((id, acl)) if acl.owner == owner => Ok(id.clone()),
            Some((id, _)) => {
                let code = Some("IdempotentParameterMismatch".to_owned());
                Err(ProviderError::Duplicate { subject: id.0.to_string(), code })
            }
            None => {
                let id = ForeignAclId(self.fresh("acl").into());
                self.acls.insert(id.clone(), NetworkAcl { owner, entries: Acl::default() });
                Ok(id)
            }
        }
    }

    /// DeleteTags: a network ACL is nobody's.
    ///
    /// # Errors
    /// `NotFound` for an unknown ACL.
    pub fn disown_acl(&mut self, id: &AclId) -> Result<(), ProviderError> {
        self.acls.get_mut(id).ok_or_else(|| not_found(&id.0))?.owner = None;
        Ok(())
    }

    /// CreateNetworkAclEntry.
    ///
    /// # Errors
    /// `NotFound` for an unknown ACL; `Duplicate` for a number that is taken; `Quota` for an entry that does not fit; `Invalid`
    /// for what EC2 cannot say.
    pub fn create_entry(
        &mut self,
        id: &AclId,
        key: EntryKey,
        entry: Entry,
    ) -> Result<(), ProviderError> {
        if self.entry_of(id, key)?.is_some() {
            let code = Some("NetworkAclEntryAlreadyExists".to_owned());
            return Err(ProviderError::Duplicate { subject: format!("{key} of {}", id.0), code });
        }
        self.put_entry(id, key, entry)
    }

    /// ReplaceNetworkAclEntry.
    ///
    /// # Errors
    /// As for [`Self::create_entry`], but `NotFound` for a number that no entry bears.
    pub fn replace_entry(
        &mut self,
        id: &AclId,
        key: EntryKey,
        entry: Entry,
    ) -> Result<(), ProviderError> {
        match self.entry_of(id, key)? {
            Some(_) => self.put_entry(id, key, entry),
            None => Err(not_found(&format!("{key} of {}", id.0))),
        }
    }

    /// DeleteNetworkAclEntry.
    ///
    /// # Errors
    /// `NotFound` for an unknown ACL, or a number that no entry bears.
    pub fn delete_entry(&mut self, id: &AclId, key: EntryKey) -> Result<(), ProviderError> {
        let acl = self.acls.get_mut(id).ok_or_else(|| not_found(&id.0))?;
        let gone = acl.entries.0.remove(&key);
        gone.map(drop).ok_or_else(|| not_found(&format!("{key} of {}", id.0)))
    }

    /// ReplaceNetworkAclAssociation: lets an ACL guard the subnet of an association. The answer is the new one's id.
    ///
    /// # Errors
    /// `NotFound` for an association that is not there any more, or an unknown ACL.
    pub fn replace_association(
        &mut self,
        association: &AssociationId,
        id: &AclId,
    ) -> Result<AssociationId, ProviderError> {
        if !self.acls.contains_key(id) {
            return Err(not_found(&id.0));
        }
        let guarded = |subnet: &Subnet| subnet.association == *association;
        if !self.subnets.values().any(guarded) {
            return Err(not_found(&association.0));
        }
        let new = self.association();
        if let Some(subnet) = self.subnets.values_mut().find(|subnet| guarded(subnet)) {
            (subnet.acl, subnet.association) = (id.clone(), new.clone());
        }
        Ok(new)
    }

    /// DeleteNetworkAcl.
    ///
    /// # Errors
    /// `NotFound`; `InUse` while it guards a subnet; `Invalid` for the default one.
    pub fn delete_acl(&mut self, id: &AclId) -> Result<(), ProviderError> {
        if *id == default_acl() {
            return Err(invalid(format!("`{}` is the default network ACL", id.0)));
        }
        if self.subnets.values().any(|subnet| subnet.acl == *id) {
            let code = "DependencyViolation".to_owned();
            return Err(ProviderError::InUse { subject: id.0.to_string(), code });
        }
        self.acls.remove(id).map(drop).ok_or_else(|| not_found(&id.0))
    }

    /// Makes the subnets of a configuration; those that are there keep the ACL that guards them.
    pub(crate) fn put_subnets(&mut self, config: &Config) {
        for (id, subnet) in &config.subnets {
            self.put_subnet(id.clone(), subnet.clone());
        }
    }

    fn entry_of(&self, id: &AclId, key: EntryKey) -> Result<Option<&Entry>, ProviderError> {
        let acl = self.acls.get(id).ok_or_else(|| not_found(&id.0))?;
        Ok(acl.entries.0.get(&key))
    }

    /// The final deny of a family counts too (Amazon VPC quotas).
    fn put_entry(&mut self, id: &AclId, key: EntryKey, entry: Entry) -> Result<(), ProviderError> {
        check(&entry)?;
        let limit = self.quotas.entries_per_acl;
        let acl = self.acls.get_mut(id).ok_or_else(|| not_found(&id.0))?;
        let family = entry.prefix.family();
        let others = acl.entries.0.iter().filter(|(other, it)| {
            **other != key && other.direction == key.direction && it.prefix.family() == family
        });
        if others.count().saturating_add(2) > limit {
            return Err(quota(QuotaKind::EntriesPerAcl, limit, &id.0));
        }
        acl.entries.0.insert(key, entry);
        Ok(())
    }

    fn association(&mut self) -> AssociationId {
        AssociationId(self.fresh("aclassoc").into())
    }
}

/// On an IPv4 prefix EC2 takes ICMPv6 to mean all of it, and the other way round nothing is written: neither is to be asked for.
fn check(entry: &Entry) -> Result<(), ProviderError> {
    match (entry.shape, entry.prefix.family()) {
        (Shape::Icmp(_), Family::V6) | (Shape::Icmpv6(_), Family::V4) => {
            Err(invalid(format!("the entry `{entry}` with the other family's ICMP")))
        }
        (
            Shape::All
            | Shape::Tcp(_)
            | Shape::Udp(_)
            | Shape::Sctp
            | Shape::Icmp(_)
            | Shape::Icmpv6(_)
            | Shape::Other(_),
            _,
        ) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
