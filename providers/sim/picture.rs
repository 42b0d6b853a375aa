//! Pictures of the VPC: whole ones, and the last one with a part of it read anew.

mod acl;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use moat_core::firewall::{GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::{Interface, InterfaceId};
use moat_core::provider::{Observed, ProviderError, Scope, Touched, is_kept, prior};

use self::acl::Learned;
use crate::provider::Memory;
use crate::vpc::{Group, Vpc};
use crate::{Call, GroupId, NetworkInterface, Sim};

/// The VPC in the words of the port: groups with a cluster's tags are ours.
pub(crate) struct View<'a> {
    vpc: &'a Vpc,
    cluster: &'a str,
}

impl<'a> View<'a> {
    pub(crate) const fn new(vpc: &'a Vpc, cluster: &'a str) -> Self {
        Self { vpc, cluster }
    }

    fn ours(&self) -> impl Iterator<Item = (GroupNumber, &'a GroupId)> {
        self.vpc.groups().filter_map(|(id, _)| Some((self.number(id)?, id)))
    }

    fn number(&self, id: &GroupId) -> Option<GroupNumber> {
        let owner = self.vpc.group(id)?.owner.as_ref();
        owner.filter(|owner| owner.cluster == self.cluster).map(|owner| owner.number)
    }

    /// The numbers whose names other groups bear.
    pub(crate) fn taken(&self) -> BTreeMap<GroupNumber, GroupKey> {
        let ours: BTreeSet<GroupNumber> = self.ours().map(|(number, _)| number).collect();
        let number = |name: &str| GroupNumber::of_name(name, self.cluster);
        let named = self.vpc.groups();
        let named = named.filter_map(|(id, group)| Some((number(&group.name)?, self.key(id))));
        named.filter(|(number, _)| !ours.contains(number)).collect()
    }

    pub(crate) fn key(&self, id: &GroupId) -> GroupKey {
        self.number(id).map_or_else(|| GroupKey::Foreign(id.clone()), GroupKey::Ours)
    }

    pub(crate) fn rule(&self, rule: &Rule) -> Rule {
        let mut rule = rule.clone();
        if let Peer::Group(GroupKey::Foreign(id)) = &rule.peer {
            rule.peer = Peer::Group(self.key(id));
        }
        rule
    }

    /// An interface as the port tells of it; `taken` is [`View::taken`], and of the defaults are those that exist.
    pub(crate) fn interface(
        &self,
        interface: &NetworkInterface,
        taken: &BTreeMap<GroupNumber, GroupKey>,
        defaults: &BTreeSet<GroupId>,
    ) -> Interface {
        let worn = interface.groups.iter().map(|id| self.key(id)).collect();
        let there = interface.record.iter().filter(|id| self.vpc.group(id).is_some());
        let prior = prior(&worn, &there.cloned().collect(), taken, defaults);
        Interface { attachment: interface.attachment, prior }
    }
}

// ------------------------------------------------------------------------------------------------- Asking

/// What is asked of the VPC, by its ids.
struct Question {
    interfaces: BTreeSet<InterfaceId>,
    /// Groups of ours that are there.
    ours: Vec<(GroupNumber, GroupId)>,
    /// How many groups of ours are asked for, whether they are there or not.
    named: usize,
    /// What the answer says of numbers that cannot be had.
    taken: BTreeMap<GroupNumber, GroupKey>,
    /// Whether network ACLs and what they guard are asked for.
    acls: bool,
}

impl View<'_> {
    /// Everything that a picture of this scope shows.
    fn everything(&self, scope: &Scope, acls: bool) -> Question {
        let shown = self.vpc.interfaces().filter(|(id, it)| self.shows(scope, id, it));
        let ours: Vec<_> = self.ours().map(|(number, id)| (number, id.clone())).collect();
        Question {
            interfaces: shown.map(|(id, _)| id.clone()).collect(),
            named: ours.len(),
            ours,
            taken: self.taken(),
            acls,
        }
    }

    /// What steps touched. A group that this process does not know has no other mark than its name: its creation was not
    /// answered.
    fn again(&self, touched: &Touched, known: &BTreeMap<GroupNumber, GroupId>) -> Question {
        let (mut ours, mut taken) = (Vec::new(), BTreeMap::new());
        for number in &touched.groups {
            let named = self.vpc.named(&number.name(self.cluster));
            let of_number = |id: &&GroupId| self.number(id) == Some(*number);
            if let Some(id) = known.get(number).into_iter().chain(named).find(of_number) {
                ours.push((*number, id.clone()));
            } else if let Some(id) = named {
                taken.insert(*number, self.key(id));
            }
        }
        let interfaces = touched.interfaces.clone();
        Question { interfaces, ours, named: touched.groups.len(), taken, acls: touched.acls }
    }

    /// Whether a picture of a scope shows an interface.
    fn shows(&self, scope: &Scope, id: &InterfaceId, interface: &NetworkInterface) -> bool {
        scope.interfaces.contains(id)
            || !borne(interface, &scope.addresses).is_empty()
            || interface.groups.iter().any(|group| self.number(group).is_some())
    }

    /// The answer: a picture of just what is asked for, and of the groups of others that belong to it.
    fn answer(&self, question: &Question, scope: &Scope) -> (Observed, Option<Learned>) {
        let mut observed = Observed { taken: question.taken.clone(), ..Observed::default() };
        let defaults = scope.defaults.iter().filter(|id| self.vpc.group(id).is_some());
        let defaults: BTreeSet<GroupId> = defaults.cloned().collect();
        for id in &question.interfaces {
            let interface = self.vpc.interfaces.get(id).filter(|it| self.shows(scope, id, it));
            let Some(interface) = interface else { continue };
            let worn = interface.groups.iter().map(|group| self.key(group)).collect();
            observed.state.interfaces.insert(id.clone(), worn);
            let told = self.interface(interface, &observed.taken, &defaults);
            observed.interfaces.insert(id.clone(), told);
            let borne = borne(interface, &scope.addresses).into_iter();
            observed.bearers.extend(borne.map(|address| (address, id.clone())));
            if !interface.record.is_empty() {
                observed.records.insert(id.clone(), interface.record.clone());
            }
        }
        let prior = observed.interfaces.values().flat_map(|it| &it.prior);
        let worn = observed.state.interfaces.values().flatten().filter_map(GroupKey::foreign);
        let foreign: BTreeSet<GroupId> = prior.chain(worn).chain(&defaults).cloned().collect();
        let ours = question.ours.iter().map(|(number, id)| (GroupKey::Ours(*number), id));
        let foreign = foreign.iter().map(|id| (self.key(id), id));
        for (key, id) in foreign.chain(ours) {
            let Some(group) = self.vpc.group(id) else { continue };
            let rules = group.rules.keys().map(|rule| self.rule(rule)).collect();
            if let GroupKey::Ours(number) = key {
                self.answer_ours(number, group, &mut observed);
            }
            observed.state.groups.insert(key, rules);
        }
        let learned = question.acls.then(|| self.answer_acls(scope, &mut observed));
        (observed, learned)
    }

    /// What is told of a group of ours besides its rules.
    fn answer_ours(&self, number: GroupNumber, group: &Group, observed: &mut Observed) {
        for (rule, entry) in &group.rules {
            let rule = self.rule(rule);
            if entry.cluster.as_deref() != Some(self.cluster) {
                observed.unmarked.insert((number, rule.clone()));
            }
            if is_kept(&entry.description) {
                observed.foreign_rules.insert((number, rule.clone()));
            }
            observed.rule_ids.insert((number, rule), entry.id.clone());
        }
    }
}

/// Those of some addresses that an interface bears.
fn borne(interface: &NetworkInterface, addresses: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let blocks = interface.addresses.iter();
    blocks.flat_map(|block| addresses.range(block.first()..=block.last()).copied()).collect()
}

// ------------------------------------------------------------------------------------------------ Reading

impl Sim {
    /// A whole picture.
    pub(crate) fn picture(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError> {
        let question = self.view().everything(scope, self.looks_at_acls(scope));
        let (observed, acls) = self.ask(&question, scope)?;
        let observed = Arc::new(observed);
        let Memory { groups, made, worn, .. } = &mut self.memory;
        groups.retain(|number, _| made.contains(number));
        worn.clear();
        self.memory.learn(question.ours, acls, Arc::clone(&observed));
        Ok(observed)
    }

    /// The last picture, with what was touched read anew.
    pub(crate) fn picture_again(
        &mut self,
        scope: &Scope,
        touched: &Touched,
    ) -> Result<Arc<Observed>, ProviderError> {
        let Some(mut observed) = self.memory.picture.clone().filter(|_| !self.memory.is_behind)
        else {
            return self.picture(scope);
        };
        let question = self.view().again(touched, &self.memory.groups);
        let (part, acls) = self.ask(&question, scope)?;
        // Whoever let go of it spares a copy.
        self.memory.picture = None;
        Arc::make_mut(&mut observed).renew(touched, part);
        let Memory { groups, made, worn, .. } = &mut self.memory;
        let gone = touched.groups.iter().filter(|number| !made.contains(*number));
        gone.for_each(|number| drop(groups.remove(number)));
        worn.retain(|id, _| !touched.interfaces.contains(id));
        self.memory.learn(question.ours, acls, Arc::clone(&observed));
        Ok(observed)
    }

    fn view(&self) -> View<'_> {
        View::new(self.visible(), &self.config.cluster)
    }

    /// Asks, in as many calls as the answers have pages. Time stands still meanwhile.
    fn ask(
        &mut self,
        question: &Question,
        scope: &Scope,
    ) -> Result<(Observed, Option<Learned>), ProviderError> {
        self.memory.is_behind = true;
        let (answer, learned) = self.view().answer(question, scope);
        let others = answer.state.groups.len().saturating_sub(question.ours.len());
        let rules = answer.state.groups.values().map(BTreeSet::len).sum();
        self.read_pages(Call::DescribeNetworkInterfaces, question.interfaces.len())?;
        self.read_pages(Call::DescribeSecurityGroups, question.named.saturating_add(others))?;
        self.read_pages(Call::DescribeSecurityGroupRules, rules)?;
        if question.acls {
            self.read_acls(scope, &answer)?;
        }
        self.memory.is_behind = false;
        Ok((answer, learned))
    }

    /// Makes as many calls as an answer of so many things has pages.
    fn read_pages(&mut self, call: Call, things: usize) -> Result<(), ProviderError> {
        for _ in 0..things.div_ceil(self.config.page.max(1)) {
            self.call(call, |_| Ok(()))?;
        }
        Ok(())
    }
}

impl Memory {
    /// A picture shows these groups of ours.
    fn learn(
        &mut self,
        ours: Vec<(GroupNumber, GroupId)>,
        acls: Option<Learned>,
        picture: Arc<Observed>,
    ) {
        for (number, id) in ours {
            self.groups.insert(number, id);
            self.made.remove(&number);
            self.unfinished.remove(&number);
        }
        if let Some(learned) = acls {
            self.learn_acls(learned, &picture);
        }
        self.picture = Some(picture);
    }
}
