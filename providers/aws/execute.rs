//! The steps of a stage, in their calls.

pub(crate) mod acl;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::{Attachment, InterfaceId};
use moat_core::policy::Direction;
use moat_core::provider::{ProviderError, RuleId, Step};

use crate::errors::{Failure, Meaning};
use crate::observe::{attachment, worn};
use crate::request::Run;
use crate::{Aws, Memory, tags, wire};

/// What a step tells the process, however it ended.
#[derive(Debug)]
enum Learned {
    /// A group was made, and is still without a picture.
    Made(GroupNumber, String),
    /// Its default rules are gone.
    Stripped(GroupNumber),
    /// An interface wears these groups.
    Worn(InterfaceId, BTreeSet<GroupKey>),
    /// A group is deleted.
    Deleted(GroupNumber),
    /// Something about network ACLs.
    Acl(acl::Learned),
}

impl Aws {
    /// Side by side: what one step learns, none of the others needs.
    pub(crate) async fn take(&mut self, steps: &[&Step]) -> Vec<Result<(), ProviderError>> {
        let taken = steps.iter().map(|step| self.take_one(step));
        let taken = self.time.side_by_side(taken).await;
        let answers = taken.into_iter().map(|(learned, answer)| {
            learned.into_iter().for_each(|it| self.memory.learn(it));
            answer
        });
        answers.collect()
    }

    async fn take_one(&self, step: &Step) -> (Vec<Learned>, Result<(), ProviderError>) {
        let mut learned = Vec::new();
        let answer = match step {
            Step::CreateGroup(number) => self.create_group(*number, &mut learned).await,
            Step::Authorize { group, direction, rules } => {
                self.authorize(*group, *direction, rules).await
            }
            Step::Revoke { group, direction, rules } => {
                self.revoke(*group, *direction, rules).await
            }
            Step::SetGroups { interface, groups, record } => {
                self.set_groups(interface, groups, record, &mut learned).await
            }
            Step::DeleteGroup(number) => self.delete_group(*number, &mut learned).await,
            Step::Acl(step) => self.take_acl(step, &mut learned).await,
        };
        (learned, answer)
    }

    /// What a failure means where groups were named besides `subject`. One that was made and not shown yet is not visible yet;
    /// which of others is gone, EC2's code does not tell.
    fn about_groups<'a>(
        &self,
        failure: Failure,
        subject: &str,
        named: impl IntoIterator<Item = &'a GroupKey>,
    ) -> ProviderError {
        if failure.meaning != Meaning::NotFound || failure.is_about_interface() {
            return self.told(failure, subject);
        }
        let named: BTreeSet<&GroupKey> = named.into_iter().collect();
        let new = named.iter().find(|key| match key {
            GroupKey::Ours(number) => self.memory.made.contains(number),
            GroupKey::Foreign(_) => false,
        });
        if let Some(new) = new {
            let code = Some(failure.code);
            return ProviderError::NotYetVisible { subject: new.to_string(), code };
        }
        let named: Vec<String> = named.into_iter().map(ToString::to_string).collect();
        self.told(failure, &named.join(" or "))
    }

    fn group_id(&self, number: GroupNumber) -> Result<String, ProviderError> {
        let id = self.memory.groups.get(&number).cloned();
        id.ok_or_else(|| ProviderError::not_found(number))
    }

    pub(crate) fn id_of(&self, key: &GroupKey) -> Option<String> {
        match key {
            GroupKey::Ours(number) => self.memory.groups.get(number).cloned(),
            GroupKey::Foreign(id) => Some(id.0.to_string()),
        }
    }
}

impl Memory {
    fn learn(&mut self, learned: Learned) {
        match learned {
            Learned::Made(number, id) => {
                self.groups.insert(number, id);
                self.made.insert(number);
                self.unfinished.insert(number);
            }
            Learned::Stripped(number) => {
                self.unfinished.remove(&number);
            }
            Learned::Worn(interface, groups) => {
                self.interfaces.insert(interface, groups);
            }
            Learned::Deleted(number) => {
                self.groups.remove(&number);
                self.made.remove(&number);
                self.unfinished.remove(&number);
            }
            Learned::Acl(learned) => self.acls.learn(learned),
        }
    }
}

// ------------------------------------------------------------------------------------------------ Groups

impl Aws {
    async fn create_group(
        &self,
        number: GroupNumber,
        learned: &mut Vec<Learned>,
    ) -> Result<(), ProviderError> {
        let id = if self.memory.unfinished.contains(&number) {
            self.group_id(number)?
        } else {
            if self.memory.groups.contains_key(&number) {
                return Err(ProviderError::Duplicate { subject: number.to_string(), code: None });
            }
            let cluster = &self.config.cluster;
            let name = number.name(cluster);
            let id = match self.create(Run::Real, &name, tags::owner(cluster, number)).await {
                Ok(id) => id,
                Err(failure) if failure.meaning == Meaning::Duplicate => {
                    let found = self.adopt(&name, number).await?;
                    found.ok_or_else(|| self.told(failure, &number.to_string()))?
                }
                Err(failure) => return Err(self.told(failure, &number.to_string())),
            };
            learned.push(Learned::Made(number, id.clone()));
            id
        };
        self.strip(number, &id).await?;
        learned.push(Learned::Stripped(number));
        Ok(())
    }

    /// The group of this name, if it is ours and new: an earlier creation whose answer was lost. Whatever else bears the name,
    /// the next picture tells.
    async fn adopt(
        &self,
        name: &str,
        number: GroupNumber,
    ) -> Result<Option<String>, ProviderError> {
        let found = self.read_groups_by_name(&[name.to_owned()].into()).await;
        let found = found.map_err(|failure| self.told(failure, &number.to_string()))?;
        let Some(group) = found.into_iter().next() else { return Ok(None) };
        let cluster = &self.config.cluster;
        let ours = tags::number(cluster, group.tags()) == Some(number);
        let key = |id: &str| self.key(id);
        let egress = wire::merged(Direction::Egress, group.ip_permissions_egress(), &key);
        let default = wire::default_egress(moat_core::net::Family::BOTH);
        let default = wire::merged(Direction::Egress, &default, &key);
        let new = group.ip_permissions().is_empty() && egress.is_subset(&default);
        Ok(group.group_id.filter(|_| ours && new))
    }

    /// Takes the default rules from a new group: by what they say, since their ids may not be visible yet.
    async fn strip(&self, number: GroupNumber, id: &str) -> Result<(), ProviderError> {
        let subject = number.to_string();
        let default = wire::default_egress(self.families().await?);
        match self.remove_egress(Run::Real, id, default).await {
            Ok(()) => return Ok(()),
            Err(failure) if failure.meaning == Meaning::NotFound => {}
            Err(failure) => return Err(self.told(failure, &subject)),
        }
        // The group is not visible yet, or its rules are others than expected, or gone since an earlier try.
        let told = |failure: Failure| {
            if failure.meaning == Meaning::NotFound {
                ProviderError::NotYetVisible { subject: subject.clone(), code: Some(failure.code) }
            } else {
                self.told(failure, &subject)
            }
        };
        if self.read_groups_by_id(&[id].into()).await.map_err(told)?.is_empty() {
            return Err(ProviderError::NotYetVisible { subject, code: None });
        }
        let rules = self.read_rules_of(&[id].into()).await.map_err(told)?;
        let egress = rules.iter().filter(|rule| rule.is_egress() == Some(true));
        let ids = egress.filter_map(|rule| rule.security_group_rule_id());
        let ids: BTreeSet<RuleId> = ids.map(|id| RuleId(id.into())).collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.remove(Run::Real, id, Direction::Egress, ids).await.map_err(told)
    }

    async fn delete_group(
        &self,
        number: GroupNumber,
        learned: &mut Vec<Learned>,
    ) -> Result<(), ProviderError> {
        let id = self.group_id(number)?;
        let key = GroupKey::Ours(number);
        loop {
            let Err(failure) = self.delete(Run::Real, &id).await else { break };
            let patient = self.time.elapsed() < self.memory.patience;
            if failure.meaning != Meaning::InUse || !patient {
                return Err(self.about_groups(failure, &number.to_string(), [&key]));
            }
            self.time.sleep(COOLDOWN_LOOK).await;
        }
        learned.push(Learned::Deleted(number));
        Ok(())
    }
}

/// How often the deletion of a group in use is tried.
const COOLDOWN_LOOK: Duration = Duration::from_secs(10);

// ------------------------------------------------------------------------------------------------- Rules

/// How many rules one call may add (aws-controllers-k8s/community#2186). A direction has more where `rulesPerGroup` is at its highest
/// and both families are used.
const RULES_PER_CALL: usize = 1_000;

impl Aws {
    async fn authorize(
        &self,
        number: GroupNumber,
        direction: Direction,
        rules: &BTreeMap<Rule, String>,
    ) -> Result<(), ProviderError> {
        let id = self.group_id(number)?;
        if rules.keys().any(|rule| rule.direction != direction) {
            return Err(ProviderError::Invalid { message: "a rule of the other direction".into() });
        }
        let own = GroupKey::Ours(number);
        let peers = rules.keys().filter_map(|rule| match &rule.peer {
            Peer::Group(key) => Some(key),
            Peer::Prefix(_) => None,
        });
        let named: Vec<&GroupKey> = peers.chain([&own]).collect();
        let rules: Vec<(&Rule, &String)> = rules.iter().collect();
        for part in rules.chunks(RULES_PER_CALL) {
            let permissions = wire::permissions(part.iter().copied(), |key| self.id_of(key));
            let permissions = permissions.map_err(ProviderError::not_found)?;
            let added = self.add(Run::Real, &id, direction, permissions).await;
            added.map_err(|failure| {
                self.about_groups(failure, &number.to_string(), named.iter().copied())
            })?;
        }
        Ok(())
    }

    async fn revoke(
        &self,
        number: GroupNumber,
        direction: Direction,
        rules: &BTreeSet<Rule>,
    ) -> Result<(), ProviderError> {
        let id = self.group_id(number)?;
        let mut ids = BTreeSet::new();
        for rule in rules {
            let Some(known) = self.memory.rules.get(&(number, rule.clone())) else {
                return Err(ProviderError::not_found(format!("{rule} of {number}")));
            };
            ids.extend(known.iter().cloned());
        }
        let removed = self.remove(Run::Real, &id, direction, ids).await;
        let key = GroupKey::Ours(number);
        removed.map_err(|failure| self.about_groups(failure, &number.to_string(), [&key]))
    }
}

// -------------------------------------------------------------------------------------------- Interfaces

impl Aws {
    /// Reads, compares with the last picture, and writes: the record before the groups change, and its removal after.
    async fn set_groups(
        &self,
        interface: &InterfaceId,
        groups: &BTreeSet<GroupKey>,
        record: &BTreeSet<ForeignGroupId>,
        learned: &mut Vec<Learned>,
    ) -> Result<(), ProviderError> {
        let subject = &*interface.0;
        let gone = || ProviderError::not_found(subject);
        let read = self.read_interface(subject).await;
        let read = read.map_err(|failure| self.told(failure, subject))?;
        let read = read.as_ref().ok_or_else(gone)?;
        match attachment(read) {
            Attachment::Exclusive => {}
            Attachment::Shared | Attachment::Fixed | Attachment::Released => {
                let advice = "only a pod's own branch interface is Moat's to change: plan again, and what becomes of its pods is \
                              reported";
                let (subject, advice) = (subject.to_owned(), advice.to_owned());
                return Err(ProviderError::NotOurs { subject, advice });
            }
        }
        let known = self.memory.interfaces.get(interface).ok_or_else(gone)?;
        let before: BTreeSet<GroupKey> = worn(read).map(|id| self.key(id)).collect();
        if *known != before {
            return Err(ProviderError::Changed { subject: subject.to_owned() });
        }
        let missing = |key: &GroupKey| ProviderError::not_found(key);
        let ids = groups.iter().map(|key| self.id_of(key).ok_or_else(|| missing(key)));
        let ids = ids.collect::<Result<BTreeSet<String>, ProviderError>>()?;

        let there = tags::record_tags(read.tag_set());
        let wanted = tags::record(&self.config.cluster, record);
        let told = |failure| self.told(failure, subject);
        if wanted.iter().any(|(key, value)| there.get(key) != Some(value)) {
            self.tag(Run::Real, subject, &wanted).await.map_err(told)?;
        }
        if *groups != before {
            let dressed = self.dress(Run::Real, subject, ids).await;
            dressed.map_err(|failure| self.about_groups(failure, subject, groups))?;
            learned.push(Learned::Worn(interface.clone(), groups.clone()));
        }
        let stale: Vec<&String> = there.keys().filter(|key| !wanted.contains_key(*key)).collect();
        if !stale.is_empty() {
            let told = |failure| self.told(failure, subject);
            self.untag(Run::Real, subject, stale).await.map_err(told)?;
        }
        Ok(())
    }
}
