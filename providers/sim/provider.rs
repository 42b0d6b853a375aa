//! The port, in terms of the VPC's calls.

mod acl;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::{Attachment, InterfaceId, Inventory};
use moat_core::policy::{Direction, Word};
use moat_core::provider::{
    Capabilities, Meter, Observed, Provider, ProviderError, RuleId, Scope, Step, Touched,
};

use self::acl::AclMemory;
use crate::picture::View;
use crate::vpc::{Owner, RULES_PER_CALL, Vpc};
use crate::{Call, GroupId, Sim};

/// What a process knows: from its last picture, and what it made since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) picture: Option<Arc<Observed>>,
    /// Whether something was asked since and not answered: what the picture lacks is not known.
    pub(crate) is_behind: bool,
    pub(crate) groups: BTreeMap<GroupNumber, GroupId>,
    /// The groups that interfaces were given and that no picture has shown yet.
    pub(crate) worn: BTreeMap<InterfaceId, BTreeSet<GroupKey>>,
    /// Groups that were made and that no picture has shown yet.
    pub(crate) made: BTreeSet<GroupNumber>,
    /// Those of them whose default rules are still there.
    pub(crate) unfinished: BTreeSet<GroupNumber>,
    pub(crate) acls: AclMemory,
}

impl Provider for Sim {
    async fn capabilities(&mut self) -> Result<Capabilities, ProviderError> {
        let quotas = self.call(Call::GetServiceQuota, |sim| Ok(sim.config.quotas))?;
        Ok(Capabilities { quotas, assumed: BTreeMap::new(), vpc: self.config.vpc.clone() })
    }

    async fn observe(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError> {
        self.picture(scope)
    }

    async fn observe_again(
        &mut self,
        scope: &Scope,
        touched: &Touched,
    ) -> Result<Arc<Observed>, ProviderError> {
        self.picture_again(scope, touched)
    }

    /// One step after the other. Time stands still meanwhile, so that what throttles one throttles those after it.
    async fn execute(&mut self, steps: &[&Step]) -> Vec<Result<(), ProviderError>> {
        let mut throttled = None;
        let answers = steps.iter().map(|step| {
            let answer = throttled.clone().map_or_else(|| self.take(step), Err);
            if let Err(error @ ProviderError::Throttled { .. }) = &answer {
                throttled = Some(error.clone());
            }
            answer
        });
        answers.collect()
    }

    fn place(&mut self, inventory: &mut Inventory) -> Result<(), String> {
        Self::place(self, inventory).map_err(|error| error.to_string())
    }

    fn group_id(&self, number: GroupNumber) -> Option<Word> {
        self.memory.groups.get(&number).map(|id| id.0.clone())
    }

    async fn wait(&mut self, duration: Duration) {
        self.now = self.now.saturating_add(duration);
    }

    fn meter(&mut self, meter: Arc<dyn Meter>) {
        self.metered.by(meter);
    }
}

// ---------------------------------------------------------------------------------------------- Changing

impl Sim {
    fn take(&mut self, step: &Step) -> Result<(), ProviderError> {
        let done = match step {
            Step::CreateGroup(number) => self.create_group(*number),
            Step::Authorize { group, direction, rules } => {
                self.authorize(*group, *direction, rules)
            }
            Step::Revoke { group, direction, rules } => self.revoke(*group, *direction, rules),
            Step::SetGroups { interface, groups, record } => {
                self.set_groups(interface, groups, record)
            }
            Step::DeleteGroup(number) => self.delete_group(*number),
            Step::Acl(step) => self.take_acl(step),
        };
        done.map_err(|error| self.in_our_words(error))
    }

    fn create_group(&mut self, number: GroupNumber) -> Result<(), ProviderError> {
        if !self.memory.unfinished.contains(&number) {
            let name = number.name(&self.config.cluster);
            if self.memory.groups.contains_key(&number) {
                return Err(ProviderError::Duplicate { subject: name, code: None });
            }
            let owner = Owner { cluster: self.config.cluster.clone(), number };
            let create = |vpc: &mut Vpc| vpc.create_group(&name, Some(owner));
            let id = self.change(Call::CreateSecurityGroup, &[], create)?;
            self.memory.groups.insert(number, id);
            self.memory.made.insert(number);
            self.memory.unfinished.insert(number);
        }
        let id = self.group_id(number)?;
        let rules = self.call(Call::DescribeSecurityGroupRules, |sim| {
            let rules = sim.vpc.group(&id).map(|group| group.rules.values());
            Ok(rules.into_iter().flatten().map(|entry| entry.id.clone()).collect::<BTreeSet<_>>())
        })?;
        if !rules.is_empty() {
            self.change(Call::RevokeSecurityGroupEgress, &[&id.0], |vpc| {
                vpc.revoke(&id, Direction::Egress, &rules)
            })?;
        }
        self.memory.unfinished.remove(&number);
        Ok(())
    }

    fn authorize(
        &mut self,
        number: GroupNumber,
        direction: Direction,
        rules: &BTreeMap<Rule, String>,
    ) -> Result<(), ProviderError> {
        let id = self.group_id(number)?;
        if rules.keys().any(|rule| rule.direction != direction) {
            return Err(ProviderError::Invalid { message: "a rule of the other direction".into() });
        }
        let mut named = BTreeMap::new();
        for (rule, description) in rules {
            let mut rule = rule.clone();
            if let Peer::Group(key) = &rule.peer {
                rule.peer = Peer::Group(GroupKey::Foreign(self.id_of(key)?));
            }
            named.insert(rule, description.clone());
        }
        let peers = named.keys().filter_map(|rule| match &rule.peer {
            Peer::Group(GroupKey::Foreign(id)) => Some(&id.0),
            Peer::Group(GroupKey::Ours(_)) | Peer::Prefix(_) => None,
        });
        let touched: Vec<&Word> = peers.chain([&id.0]).collect();
        let cluster = self.config.cluster.clone();
        let rules: Vec<_> = named.iter().collect();
        for part in rules.chunks(RULES_PER_CALL) {
            let part = part.iter().map(|(rule, text)| ((*rule).clone(), (*text).clone())).collect();
            self.change(Call::authorize(direction), &touched, |vpc| {
                vpc.authorize(&id, &part, Some(&cluster))
            })?;
        }
        Ok(())
    }

    fn revoke(
        &mut self,
        number: GroupNumber,
        direction: Direction,
        rules: &BTreeSet<Rule>,
    ) -> Result<(), ProviderError> {
        let id = self.group_id(number)?;
        let picture = self.memory.picture.as_ref();
        let known = |rule: &Rule| picture?.rule_ids.get(&(number, rule.clone())).cloned();
        let Some(ids) = rules.iter().map(known).collect::<Option<BTreeSet<RuleId>>>() else {
            return Err(ProviderError::not_found(format!("a rule of {number}")));
        };
        self.change(Call::revoke(direction), &[&id.0], |vpc| vpc.revoke(&id, direction, &ids))
    }

    fn set_groups(
        &mut self,
        interface: &InterfaceId,
        groups: &BTreeSet<GroupKey>,
        record: &BTreeSet<ForeignGroupId>,
    ) -> Result<(), ProviderError> {
        let subject = || interface.0.to_string();
        let read = self.call(Call::DescribeNetworkInterfaces, |sim| {
            let there = sim.visible().interfaces.get(interface).cloned();
            there.ok_or_else(|| ProviderError::not_found(subject()))
        })?;
        match read.attachment {
            Attachment::Exclusive => {}
            Attachment::Shared | Attachment::Fixed | Attachment::Released => {
                let advice =
                    "only a pod's own interface is Moat's to change: plan again".to_owned();
                return Err(ProviderError::NotOurs { subject: subject(), advice });
            }
        }
        let view = View::new(self.visible(), &self.config.cluster);
        let worn: BTreeSet<_> = read.groups.iter().map(|group| view.key(group)).collect();
        let Memory { worn: given, picture, .. } = &self.memory;
        let shown = || picture.as_ref()?.state.interfaces.get(interface);
        match given.get(interface).or_else(shown) {
            None => return Err(ProviderError::not_found(subject())),
            Some(known) if *known != worn => {
                return Err(ProviderError::Changed { subject: subject() });
            }
            Some(_) => {}
        }
        let ids = groups.iter().map(|key| self.id_of(key));
        let ids = ids.collect::<Result<BTreeSet<GroupId>, ProviderError>>()?;
        if !record.is_empty() && *record != read.record {
            self.change(Call::CreateTags, &[], |vpc| vpc.record(interface, record.clone()))?;
        }
        if ids != read.groups {
            let touched: Vec<&Word> = ids.iter().map(|id| &id.0).collect();
            self.change(Call::ModifyNetworkInterfaceAttribute, &touched, |vpc| {
                vpc.set_groups(interface, ids.clone())
            })?;
            self.memory.worn.insert(interface.clone(), groups.clone());
        }
        if record.is_empty() && !read.record.is_empty() {
            self.change(Call::DeleteTags, &[], |vpc| vpc.record(interface, BTreeSet::new()))?;
        }
        Ok(())
    }

    fn delete_group(&mut self, number: GroupNumber) -> Result<(), ProviderError> {
        let id = self.group_id(number)?;
        self.change(Call::DeleteSecurityGroup, &[&id.0], |vpc| vpc.delete_group(&id))?;
        self.memory.groups.remove(&number);
        self.memory.made.remove(&number);
        self.memory.unfinished.remove(&number);
        Ok(())
    }

    /// Makes a call that changes something. A group or an ACL that readers do not see yet cannot be named yet either.
    fn change<T>(
        &mut self,
        call: Call,
        touched: &[&Word],
        effect: impl FnOnce(&mut Vpc) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        self.call(call, |sim| {
            let hidden = |id: &&&Word| sim.vpc.holds(id) && !sim.visible().holds(id);
            if let Some(id) = touched.iter().find(hidden) {
                return Err(ProviderError::NotYetVisible { subject: id.to_string(), code: None });
            }
            sim.remember();
            effect(&mut sim.vpc)
        })
    }

    fn group_id(&self, number: GroupNumber) -> Result<GroupId, ProviderError> {
        let id = self.memory.groups.get(&number).cloned();
        id.ok_or_else(|| ProviderError::not_found(number))
    }

    fn id_of(&self, key: &GroupKey) -> Result<GroupId, ProviderError> {
        match key {
            GroupKey::Ours(number) => self.group_id(*number),
            GroupKey::Foreign(id) => Ok(id.clone()),
        }
    }

    /// An error that speaks of our groups by their numbers, and of our ACLs by their names.
    fn in_our_words(&self, mut error: ProviderError) -> ProviderError {
        match &mut error {
            ProviderError::NotYetVisible { subject, .. }
            | ProviderError::Duplicate { subject, .. }
            | ProviderError::NotFound { subject, .. }
            | ProviderError::Changed { subject }
            | ProviderError::Quota { subject, .. }
            | ProviderError::InUse { subject, .. } => {
                let ours = self.memory.groups.iter().find(|(_, id)| *id.0 == **subject);
                if let Some((number, _)) = ours {
                    *subject = number.to_string();
                }
                let ours = self.memory.acls.ids.iter().find(|(_, id)| *id.0 == **subject);
                if let Some((name, _)) = ours {
                    *subject = name.to_string();
                }
            }
            ProviderError::Throttled { .. }
            | ProviderError::NotOurs { .. }
            | ProviderError::Unauthorized { .. }
            | ProviderError::Credentials { .. }
            | ProviderError::Invalid { .. }
            | ProviderError::Transient { .. } => {}
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use moat_core::net::{Interval, Shape};
    use moat_core::settings::Quotas;

    use super::*;
    use crate::{Config, block_on};

    /// A thousand go in one: both families may have as many.
    #[test]
    fn more_rules_than_one_call_adds_go_in_two() {
        let quotas = Quotas { rules_per_group: 2_000, ..Quotas::default() };
        let mut sim = Sim::new(Config { quotas, ..Config::default() });
        let (group, direction) = (GroupNumber::nth(0), Direction::Ingress);
        let rule = |port| {
            let peer = Peer::Prefix("10.0.0.0/8".parse().unwrap());
            (Rule { direction, peer, shape: Shape::Tcp(Interval::single(port)) }, String::new())
        };
        let rules: BTreeMap<Rule, String> = (1..1_201).map(rule).collect();
        let create = Step::CreateGroup(group);
        let authorize = Step::Authorize { group, direction, rules: rules.clone() };
        let scope = Scope::default();
        block_on(sim.observe(&scope)).unwrap();
        assert_eq!(block_on(sim.execute(&[&create, &authorize])), [Ok(()), Ok(())]);
        let seen = block_on(sim.observe(&scope)).unwrap();
        let there = &seen.state.groups[&GroupKey::Ours(group)];
        assert!(there.iter().eq(rules.keys()), "{}", there.len());
    }
}
