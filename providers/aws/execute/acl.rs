//! The steps about network ACLs, in their calls.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::firewall::{AclKey, AclName, Entry, EntryKey, ForeignAclId};
use moat_core::inventory::SubnetId;
use moat_core::provider::{AclStep, ProviderError};

use super::Learned as Any;
use crate::errors::{Failure, Meaning};
use crate::observe::acl::Acls;
use crate::request::Run;
use crate::{Aws, tags, wire};

/// What a process knows of network ACLs: from its last picture, and what it made since.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The ids of ours.
    ids: BTreeMap<AclName, String>,
    /// Those that were made and that no picture has shown yet.
    made: BTreeSet<AclName>,
    /// The places of ours that hold an entry.
    entries: BTreeSet<(AclName, EntryKey)>,
    /// The association of each subnet that a picture showed.
    associations: BTreeMap<SubnetId, String>,
}

/// What a step about network ACLs tells the process.
#[derive(Debug)]
pub(super) enum Learned {
    /// An ACL was made.
    Made(AclName, String),
    /// A place holds an entry.
    Put(AclName, EntryKey),
    /// A place holds none.
    Removed(AclName, EntryKey),
    /// A subnet has another association.
    Associated(SubnetId, String),
    /// An ACL is deleted.
    Deleted(AclName),
}

impl Known {
    /// Whether there is no ACL of ours.
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id of an ACL.
    pub(crate) fn id<'a>(&'a self, acl: &'a AclKey) -> Option<&'a str> {
        match acl {
            AclKey::Ours(name) => self.ids.get(name).map(String::as_str),
            AclKey::Foreign(id) => Some(&id.0),
        }
    }

    /// Whether a place of ours holds an entry.
    pub(crate) fn holds(&self, acl: &AclName, key: EntryKey) -> bool {
        self.entries.contains(&(acl.clone(), key))
    }

    /// The association of a subnet.
    pub(crate) fn association(&self, subnet: &SubnetId) -> Option<&str> {
        self.associations.get(subnet).map(String::as_str)
    }

    /// Takes over what a picture shows. One that is made of older answers tells nothing new.
    pub(crate) fn see(&mut self, acls: &Acls, shown: &BTreeMap<SubnetId, AclKey>) {
        if !acls.are_new {
            return;
        }
        self.made.retain(|name| !acls.ours.contains_key(name));
        self.ids.retain(|name, _| self.made.contains(name));
        self.entries.retain(|(name, _)| self.made.contains(name));
        for (name, id) in &acls.ours {
            self.ids.insert(name.clone(), id.clone());
            let rows = acls.all.get(id).into_iter().flat_map(|acl| acl.entries());
            let keys = rows.filter_map(wire::entry).map(|(key, _)| (name.clone(), key));
            self.entries.extend(keys);
        }
        let all = acls.all.values().flat_map(|acl| acl.associations());
        let all = all.filter_map(|it| {
            let subnet = SubnetId(it.subnet_id()?.into());
            Some((subnet, it.network_acl_association_id()?.to_owned()))
        });
        self.associations = all.filter(|(subnet, _)| shown.contains_key(subnet)).collect();
    }

    pub(super) fn learn(&mut self, learned: Learned) {
        match learned {
            Learned::Made(name, id) => {
                self.ids.insert(name.clone(), id);
                self.made.insert(name);
            }
            Learned::Put(name, key) => drop(self.entries.insert((name, key))),
            Learned::Removed(name, key) => drop(self.entries.remove(&(name, key))),
            Learned::Associated(subnet, id) => drop(self.associations.insert(subnet, id)),
            Learned::Deleted(name) => {
                self.ids.remove(&name);
                self.made.remove(&name);
                self.entries.retain(|(of, _)| *of != name);
            }
        }
    }
}

impl Aws {
    pub(super) async fn take_acl(
        &self,
        step: &AclStep,
        learned: &mut Vec<Any>,
    ) -> Result<(), ProviderError> {
        let news = match step {
            AclStep::Create { acl, prior } => {
                Learned::Made(acl.clone(), self.make_acl(acl, prior).await?)
            }
            AclStep::Put { acl, key, entry } => {
                self.put(acl, *key, *entry).await?;
                Learned::Put(acl.clone(), *key)
            }
            AclStep::Remove { acl, key } => {
                let removed = self.remove_entry(Run::Real, self.acl_id(acl)?, *key).await;
                removed.map_err(|failure| self.about_entry(failure, acl, *key))?;
                Learned::Removed(acl.clone(), *key)
            }
            AclStep::Guard { subnet, by } => {
                Learned::Associated(subnet.clone(), self.guard(subnet, by).await?)
            }
            AclStep::Delete(acl) => {
                let deleted = self.delete_acl(Run::Real, self.acl_id(acl)?).await;
                deleted.map_err(|failure| self.about_acl(failure, &AclKey::Ours(acl.clone())))?;
                Learned::Deleted(acl.clone())
            }
        };
        learned.push(Any::Acl(news));
        Ok(())
    }

    /// Gives the id. EC2 makes as many of a name as are asked for, so that one is looked for first: an earlier creation whose answer
    /// was lost. The ACL of others that a picture told is gone by now, the next one tells.
    async fn make_acl(&self, acl: &AclName, prior: &ForeignAclId) -> Result<String, ProviderError> {
        let duplicate = || ProviderError::Duplicate { subject: subject(acl), code: None };
        if self.memory.acls.ids.contains_key(acl) {
            return Err(duplicate());
        }
        let told = |failure| self.told(failure, &subject(acl));
        let found = self.read_own_acls(acl).await.map_err(told)?.into_iter().next();
        let Some(found) = found else {
            let tags = tags::acl_owner(&self.config.cluster, acl, prior);
            return self.create_acl(Run::Real, tags).await.map_err(told);
        };
        let untouched = found.associations().is_empty()
            && found.entries().iter().all(|row| wire::entry(row).is_none());
        let same = untouched && tags::prior_acl(found.tags()).as_ref() == Some(prior);
        found.network_acl_id.filter(|_| same).ok_or_else(duplicate)
    }

    async fn put(&self, acl: &AclName, key: EntryKey, entry: Entry) -> Result<(), ProviderError> {
        let id = self.acl_id(acl)?;
        let row = wire::spell_entry(key, entry);
        if wire::entry(&row) != Some((key, entry)) {
            let message = format!("no entry of a network ACL can say `{entry}`");
            return Err(ProviderError::Invalid { message });
        }
        let put = if self.memory.acls.holds(acl, key) {
            self.replace_entry(Run::Real, id, row).await
        } else {
            self.add_entry(Run::Real, id, row).await
        };
        put.map_err(|failure| self.about_entry(failure, acl, key))
    }

    /// Gives the id of the new association. Whoever let another ACL guard the subnet meanwhile has ended the one that the last picture
    /// showed.
    async fn guard(&self, subnet: &SubnetId, by: &AclKey) -> Result<String, ProviderError> {
        let known = &self.memory.acls;
        let association = known.association(subnet);
        let association = association.ok_or_else(|| ProviderError::not_found(&subnet.0))?;
        let acl = known.id(by).ok_or_else(|| ProviderError::not_found(by))?;
        self.associate(Run::Real, association, acl).await.map_err(|failure| {
            if failure.is_about_association() {
                ProviderError::Changed { subject: subnet.0.to_string() }
            } else {
                self.about_acl(failure, by)
            }
        })
    }

    /// The id of an ACL of ours.
    pub(crate) fn acl_id<'a>(&'a self, acl: &AclName) -> Result<&'a str, ProviderError> {
        let id = self.memory.acls.ids.get(acl).map(String::as_str);
        id.ok_or_else(|| ProviderError::not_found(subject(acl)))
    }

    /// What a failure means where an ACL was named. One that was made and not shown yet is not visible yet.
    fn about_acl(&self, failure: Failure, key: &AclKey) -> ProviderError {
        let subject = match key {
            AclKey::Ours(name) => subject(name),
            AclKey::Foreign(id) => id.0.to_string(),
        };
        let new = match key {
            AclKey::Ours(name) => self.memory.acls.made.contains(name),
            AclKey::Foreign(_) => false,
        };
        if new && failure.meaning == Meaning::NotFound && !failure.is_about_entry() {
            return ProviderError::NotYetVisible { subject, code: Some(failure.code) };
        }
        self.told(failure, &subject)
    }

    /// The same where an entry was named, too.
    fn about_entry(&self, failure: Failure, acl: &AclName, key: EntryKey) -> ProviderError {
        if failure.is_about_entry() {
            return self.told(failure, &format!("{key} of {}", subject(acl)));
        }
        self.about_acl(failure, &AclKey::Ours(acl.clone()))
    }
}

fn subject(acl: &AclName) -> String {
    format!("network ACL {acl}")
}
