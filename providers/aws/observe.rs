//! One consistent picture, in few calls.
//!
//! Interfaces first, then every group of the VPC, then the rules that bear our tag: in pages, ⌈n/1000⌉ calls each. The groups
//! tell their rules too, but without ids; where the two accounts of a group differ, because someone added a rule, a tag is
//! missing or one answer is older, the group's rules are read by its id. After steps, only what they touched is read, by its
//! ids, and takes its place among the answers of the last picture.

pub(crate) mod acl;
mod interfaces;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::{NetworkInterface, SecurityGroup, SecurityGroupRule};
use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::Interface;
use moat_core::net::Prefix;
use moat_core::policy::{Direction, Word};
use moat_core::provider::{Observed, ProviderError, RuleId, Scope, Touched, is_kept, prior};

use crate::wire::{self, Reading};
use crate::{Aws, errors::Failure, tags};
use acl::Acls;
pub(crate) use interfaces::{attachment, worn};
use interfaces::{borne, is_of};

/// The answers of EC2 that one picture is made of.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    interfaces: Vec<NetworkInterface>,
    /// The groups that the picture may need, by id.
    groups: BTreeMap<String, SecurityGroup>,
    /// The numbers of ours, by id.
    numbers: BTreeMap<String, GroupNumber>,
    /// The rules of ours, by the group's id.
    rules: BTreeMap<String, Vec<SecurityGroupRule>>,
    /// The prefix lists that could be read.
    lists: BTreeMap<Word, BTreeSet<Prefix>>,
    acls: Acls,
}

/// So many ids at most are asked for by themselves: more cost as many calls as everything, a thousand in each page.
const FEW: usize = 200;

/// How often an interface that wears an unknown group is looked at again: the group may be new.
const LOOKS: usize = 3;

impl Aws {
    pub(crate) async fn picture(
        &mut self,
        scope: &Scope,
        touched: Option<&Touched>,
    ) -> Result<Observed, ProviderError> {
        let mut looks = 1;
        // Without an answer nothing is known any more.
        let last = self.memory.answers.take();
        let answers = loop {
            let answers = match (&last, touched) {
                (Some(last), Some(touched)) if few(touched) => {
                    self.ask_again(last, scope, touched).await
                }
                (Some(_) | None, Some(_) | None) => self.ask(scope, last.is_none()).await,
            };
            let answers = match answers {
                Ok(answers) => self.complete(answers, scope).await,
                Err(failure) => Err(failure),
            };
            let answers = answers.map_err(|failure| self.told(failure, "the VPC"))?;
            if looks >= LOOKS || answers.worn().all(|id| answers.groups.contains_key(id)) {
                break answers;
            }
            looks += 1;
            self.time.sleep(Duration::from_secs(1)).await;
        };
        let observed = self.develop(&answers, scope);
        self.memorise(&answers, &observed);
        self.memory.answers = Some(answers);
        Ok(observed)
    }

    async fn ask(&self, scope: &Scope, first: bool) -> Result<Answers, Failure> {
        let mut answers =
            Answers { interfaces: self.read_interfaces().await?, ..Answers::default() };
        // Only a first picture finds ACLs of ours that nobody asks for.
        if first || !scope.acls.is_empty() || !self.memory.acls.is_empty() {
            answers.acls = self.ask_acls(scope, Some(&answers.interfaces)).await?;
        }
        answers.add(self.read_groups().await?);
        answers.numbers = number(&self.config.cluster, &answers.groups);
        for rule in self.read_marked_rules().await? {
            answers.add_rule(rule);
        }
        Ok(answers)
    }

    async fn ask_again(
        &self,
        last: &Answers,
        scope: &Scope,
        touched: &Touched,
    ) -> Result<Answers, Failure> {
        let shown = last.numbers.iter().filter(|(_, number)| touched.groups.contains(*number));
        let made = touched.groups.iter().filter_map(|number| self.memory.groups.get(number));
        let known: BTreeSet<&str> = shown.map(|(id, _)| id).chain(made).map(|id| &**id).collect();
        // One whose creation was not answered has no other mark than its name.
        let unknown = touched.groups.iter().filter(|it| !self.memory.groups.contains_key(*it));
        let unknown = unknown.map(|number| number.name(&self.config.cluster)).collect();
        let interfaces: BTreeSet<&str> = touched.interfaces.iter().map(|id| &*id.0).collect();
        let mut answers = last.without(&known, &interfaces);
        answers.interfaces.extend(self.read_interfaces_by_id(&interfaces).await?);
        let mut found = self.read_groups_by_id(&known).await?;
        found.extend(self.read_groups_by_name(&unknown).await?);
        let ids = found.iter().filter_map(SecurityGroup::group_id).collect();
        let rules = self.read_rules_of(&ids).await?;
        answers.add(found);
        answers.numbers = number(&self.config.cluster, &answers.groups);
        rules.into_iter().for_each(|rule| answers.add_rule(rule));
        if touched.acls {
            answers.acls = self.ask_acls(scope, None).await?;
        }
        Ok(answers)
    }

    /// Leaves out what a picture does not show, and reads what else it needs.
    async fn complete(&self, mut answers: Answers, scope: &Scope) -> Result<Answers, Failure> {
        let cluster = &self.config.cluster;
        let shown = |it: &NetworkInterface| {
            is_of(it, scope) || worn(it).any(|id| answers.numbers.contains_key(id))
        };
        let shown: Vec<bool> = answers.interfaces.iter().map(shown).collect();
        let mut shown = shown.into_iter();
        answers.interfaces.retain(|_| shown.next().unwrap_or(false));

        // A group of another VPC can be worn where it is associated with this one.
        let recorded: Vec<ForeignGroupId> = answers
            .interfaces
            .iter()
            .flat_map(|it| tags::recorded(cluster, it.tag_set()))
            .collect();
        let named = recorded.iter().chain(&scope.defaults).map(|id| &*id.0);
        let needed = answers.worn().chain(named);
        let missing: BTreeSet<&str> =
            needed.filter(|id| !answers.groups.contains_key(*id)).collect();
        let found = self.read_groups_by_id(&missing).await?;
        answers.add(found);

        let doubtful = answers.doubtful();
        for id in &doubtful {
            answers.rules.remove(id);
        }
        for rule in self.read_rules_of(&doubtful.iter().map(String::as_str).collect()).await? {
            answers.add_rule(rule);
        }
        for list in answers.lists_in_use(cluster, &scope.defaults) {
            // A list that may not be read stands for everything.
            if !answers.lists.contains_key(&list)
                && let Ok(blocks) = self.read_list(&list).await
            {
                answers.lists.insert(list, blocks);
            }
        }
        Ok(answers)
    }

    fn develop(&self, answers: &Answers, scope: &Scope) -> Observed {
        let (cluster, vpc) = (&self.config.cluster, &self.config.vpc);
        let mut observed = Observed { taken: answers.taken(cluster, vpc), ..Observed::default() };
        let defaults = scope.defaults.iter().filter(|id| answers.groups.contains_key(&*id.0));
        let defaults: BTreeSet<ForeignGroupId> = defaults.cloned().collect();
        for interface in &answers.interfaces {
            let id = interfaces::id(interface);
            let worn: BTreeSet<GroupKey> = worn(interface).map(|id| answers.key(id)).collect();
            let record = tags::recorded(cluster, interface.tag_set());
            let there = |id: &&ForeignGroupId| answers.groups.contains_key(&*id.0);
            let there = record.iter().filter(there).cloned().collect();
            let prior = prior(&worn, &there, &observed.taken, &defaults);
            let attachment = attachment(interface);
            observed.interfaces.insert(id.clone(), Interface { attachment, prior });
            let borne = borne(interface, &scope.addresses).into_iter();
            observed.bearers.extend(borne.map(|address| (address, id.clone())));
            observed.state.interfaces.insert(id.clone(), worn);
            if !record.is_empty() {
                observed.records.insert(id, record);
            }
        }
        let given_back = observed.interfaces.values().flat_map(|it| &it.prior);
        let worn = observed.state.interfaces.values().flatten().filter_map(GroupKey::foreign);
        let others: BTreeSet<ForeignGroupId> =
            given_back.chain(worn).chain(&defaults).cloned().collect();
        for id in others {
            let rules = answers.foreign_rules(&id);
            observed.state.groups.insert(GroupKey::Foreign(id), rules);
        }
        for (id, number) in &answers.numbers {
            self.develop_ours(answers, id, *number, &mut observed);
        }
        answers.acls.develop(scope, &mut observed);
        observed
    }

    fn develop_ours(
        &self,
        answers: &Answers,
        id: &str,
        number: GroupNumber,
        observed: &mut Observed,
    ) {
        let (mut rules, mut marked) = (BTreeSet::new(), BTreeSet::new());
        let rows = answers.rules.get(id).into_iter().flatten();
        let mut read: Vec<_> =
            rows.map(|row| (wire::rule(row, &|id| answers.key(id)), row)).collect();
        // Where a rule is also part of a list, its own id tells it.
        read.sort_by_key(|(reading, _)| !matches!(reading, Reading::Rule(_)));
        for (reading, row) in read {
            let rule_id = RuleId(row.security_group_rule_id().unwrap_or_default().into());
            let text = match &reading {
                Reading::Rule(_) => None,
                Reading::List { list, direction, shape } => {
                    Some(format!("{direction} {list} {shape}"))
                }
                Reading::Unreadable { text, .. } => Some(text.clone()),
            };
            observed.unreadable.extend(text.map(|text| ((number, rule_id.clone()), text)));
            let is_marked = tags::value(row.tags(), tags::CLUSTER) == Some(&self.config.cluster);
            for rule in answers.expand(reading) {
                if is_marked {
                    marked.insert(rule.clone());
                }
                if is_kept(row.description().unwrap_or_default()) {
                    observed.foreign_rules.insert((number, rule.clone()));
                }
                let entry = observed.rule_ids.entry((number, rule.clone()));
                entry.or_insert_with(|| rule_id.clone());
                rules.insert(rule);
            }
        }
        let unmarked = rules.difference(&marked).map(|rule| (number, rule.clone()));
        observed.unmarked.extend(unmarked);
        observed.state.groups.insert(GroupKey::Ours(number), rules);
    }

    fn memorise(&mut self, answers: &Answers, observed: &Observed) {
        let memory = &mut self.memory;
        memory.groups.retain(|number, _| memory.made.contains(number));
        for (id, number) in &answers.numbers {
            memory.groups.insert(*number, id.clone());
            memory.made.remove(number);
            memory.unfinished.remove(number);
        }
        memory.rules.clear();
        for (id, number) in &answers.numbers {
            for row in answers.rules.get(id).into_iter().flatten() {
                let rule_id = RuleId(row.security_group_rule_id().unwrap_or_default().into());
                for rule in answers.expand(wire::rule(row, &|id| answers.key(id))) {
                    memory.rules.entry((*number, rule)).or_default().insert(rule_id.clone());
                }
            }
        }
        memory.interfaces.clone_from(&observed.state.interfaces);
        memory.acls.see(&answers.acls, &observed.state.subnets);
        memory.patience = self.time.elapsed() + self.config.cooldown;
    }
}

// ----------------------------------------------------------------------------------------------- Answers

impl Answers {
    /// The answers but for those about some groups and interfaces.
    fn without(&self, groups: &BTreeSet<&str>, interfaces: &BTreeSet<&str>) -> Self {
        let is_left = |it: &&NetworkInterface| {
            it.network_interface_id().is_some_and(|id| !interfaces.contains(id))
        };
        let groups_left = self.groups.iter().filter(|(id, _)| !groups.contains(&***id));
        let rules_left = self.rules.iter().filter(|(id, _)| !groups.contains(&***id));
        Self {
            interfaces: self.interfaces.iter().filter(is_left).cloned().collect(),
            groups: groups_left.map(|(id, group)| (id.clone(), group.clone())).collect(),
            numbers: BTreeMap::new(),
            rules: rules_left.map(|(id, rules)| (id.clone(), rules.clone())).collect(),
            lists: self.lists.clone(),
            acls: self.acls.known(),
        }
    }

    fn add(&mut self, groups: Vec<SecurityGroup>) {
        let named = groups.into_iter().filter_map(|group| Some((group.group_id.clone()?, group)));
        self.groups.extend(named);
    }

    /// Keeps a rule, if its group is one of ours: other VPCs may have a cluster of the same name.
    fn add_rule(&mut self, rule: SecurityGroupRule) {
        if let Some(group) = rule.group_id().filter(|id| self.numbers.contains_key(*id)) {
            self.rules.entry(group.to_owned()).or_default().push(rule);
        }
    }

    fn key(&self, id: &str) -> GroupKey {
        self.numbers.get(id).map_or_else(|| foreign(id), |number| GroupKey::Ours(*number))
    }

    /// The names of the cluster's groups that other groups bear: a name is one group's in a VPC ("Security group names",
    /// `CreateSecurityGroup`, EC2 API reference).
    fn taken(&self, cluster: &str, vpc: &str) -> BTreeMap<GroupNumber, GroupKey> {
        let ours: BTreeSet<&GroupNumber> = self.numbers.values().collect();
        let here = self.groups.iter().filter(|(_, group)| group.vpc_id() == Some(vpc));
        let named = here.filter_map(|(id, group)| {
            let number = GroupNumber::of_name(group.group_name()?, cluster)?;
            Some((number, self.key(id)))
        });
        named.filter(|(number, _)| !ours.contains(number)).collect()
    }

    fn worn(&self) -> impl Iterator<Item = &str> + '_ {
        self.interfaces.iter().flat_map(worn)
    }

    /// What a group itself tells of its rules.
    fn told_by(&self, group: &SecurityGroup) -> BTreeSet<Reading> {
        let key = |id: &str| self.key(id);
        let ingress = wire::merged(Direction::Ingress, group.ip_permissions(), &key);
        let egress = wire::merged(Direction::Egress, group.ip_permissions_egress(), &key);
        ingress.into_iter().chain(egress).collect()
    }

    /// Our groups that tell other rules than bear our tag.
    fn doubtful(&self) -> BTreeSet<String> {
        let differs = |id: &&String| {
            let rows = self.rules.get(*id).into_iter().flatten();
            let marked: BTreeSet<Reading> =
                rows.map(|row| wire::rule(row, &|id| self.key(id))).collect();
            self.groups.get(*id).is_none_or(|group| self.told_by(group) != marked)
        };
        self.numbers.keys().filter(differs).cloned().collect()
    }

    /// The prefix lists that the picture's groups name.
    fn lists_in_use(&self, cluster: &str, defaults: &BTreeSet<ForeignGroupId>) -> BTreeSet<Word> {
        let recorded = self.interfaces.iter().flat_map(|it| tags::recorded(cluster, it.tag_set()));
        let recorded: BTreeSet<ForeignGroupId> = recorded.chain(defaults.iter().cloned()).collect();
        let ours = self.numbers.keys().map(String::as_str);
        let used: BTreeSet<&str> =
            ours.chain(self.worn()).chain(recorded.iter().map(|id| &*id.0)).collect();
        let groups = used.into_iter().filter_map(|id| self.groups.get(id));
        let told = groups.flat_map(|group| self.told_by(group));
        let rows = self.rules.values().flatten();
        let read = rows.map(|row| wire::rule(row, &|id| self.key(id)));
        let lists = told.chain(read).filter_map(|reading| match reading {
            Reading::List { list, .. } => Some(list),
            Reading::Rule(_) | Reading::Unreadable { .. } => None,
        });
        lists.collect()
    }

    /// The rules of a group of others. One that cannot be read lets everything through: nothing relies on less.
    fn foreign_rules(&self, id: &ForeignGroupId) -> BTreeSet<Rule> {
        let everything = || {
            let both = Direction::BOTH.into_iter();
            both.flat_map(|direction| wire::anyone(direction, moat_core::net::Shape::All)).collect()
        };
        self.groups.get(&*id.0).map_or_else(everything, |group| {
            self.told_by(group).into_iter().flat_map(|reading| self.expand(reading)).collect()
        })
    }

    /// The rules that let through what was read, or no less.
    fn expand(&self, reading: Reading) -> BTreeSet<Rule> {
        match reading {
            Reading::Rule(rule) => [rule].into(),
            Reading::Unreadable { within, .. } => within,
            Reading::List { list, direction, shape } => match self.lists.get(&list) {
                None => wire::anyone(direction, shape),
                Some(blocks) => {
                    let peers = blocks.iter().map(|block| Peer::Prefix(*block));
                    peers.map(|peer| Rule { direction, peer, shape }).collect()
                }
            },
        }
    }
}

/// Whether what was touched is worth asking for by itself.
fn few(touched: &Touched) -> bool {
    touched.groups.len() <= FEW && touched.interfaces.len() <= FEW
}

/// The numbers of the cluster's groups, by id. Of several groups with one number, one is ours: the one with its name, else
/// the first.
fn number(
    cluster: &str,
    groups: &BTreeMap<String, SecurityGroup>,
) -> BTreeMap<String, GroupNumber> {
    let mut ids: BTreeMap<GroupNumber, &String> = BTreeMap::new();
    for (id, group) in groups {
        let Some(number) = tags::number(cluster, group.tags()) else { continue };
        let named = group.group_name() == Some(&number.name(cluster));
        if named || !ids.contains_key(&number) {
            ids.insert(number, id);
        }
    }
    ids.into_iter().map(|(number, id)| (id.clone(), number)).collect()
}

pub(crate) fn foreign(id: &str) -> GroupKey {
    GroupKey::Foreign(ForeignGroupId(id.into()))
}
