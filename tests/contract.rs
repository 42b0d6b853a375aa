//! The VPC in memory keeps the contract of a provider.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use moat_core::firewall::{ForeignAclId, ForeignGroupId, GroupNumber, Rule};
use moat_core::inventory::{Attachment, InterfaceId, SubnetId};
use moat_core::net::Prefix;
use moat_sim::{Config, GroupId, NetworkInterface, Sim, SubnetConfig, block_on, default_acl};
use moat_tests::contract::{Fixture, Subnets};

struct InMemory {
    sim: Sim,
    made: usize,
}

impl InMemory {
    fn new(config: Config) -> Self {
        Self { sim: Sim::new(config), made: 0 }
    }

    fn id(&self, number: GroupNumber) -> GroupId {
        let mut groups = self.sim.vpc().groups();
        let bears = |group: &moat_sim::Group| {
            group.owner.as_ref().is_some_and(|owner| owner.number == number)
        };
        groups.find(|(_, group)| bears(group)).map(|(id, _)| id.clone()).unwrap()
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}", self.made)
    }
}

impl Fixture for InMemory {
    type Provider = Sim;

    fn provider(&mut self) -> &mut Sim {
        &mut self.sim
    }

    fn restart(&mut self) {
        self.sim.restart();
    }

    async fn make_group(&mut self, rules: BTreeSet<Rule>) -> ForeignGroupId {
        let name = self.fresh("theirs");
        self.sim.as_someone_else(|vpc| {
            let id = vpc.create_group(&name, None).unwrap();
            let default = vpc.group(&id).unwrap().rules.values();
            let default = default.map(|entry| entry.id.clone()).collect();
            vpc.revoke(&id, moat_core::policy::Direction::Egress, &default).unwrap();
            for rule in rules {
                vpc.authorize(&id, &[(rule, String::new())].into(), None).unwrap();
            }
            id
        })
    }

    async fn rules_of(&mut self, group: ForeignGroupId) -> BTreeSet<Rule> {
        self.sim.vpc().group(&group).unwrap().rules.keys().cloned().collect()
    }

    async fn delete_group(&mut self, group: ForeignGroupId) {
        self.sim.as_someone_else(|vpc| vpc.delete_group(&group).unwrap());
    }

    async fn make_interface(
        &mut self,
        attachment: Attachment,
        groups: BTreeSet<ForeignGroupId>,
    ) -> InterfaceId {
        let id = InterfaceId(self.fresh("eni").into());
        let interface = NetworkInterface {
            attachment,
            description: String::new(),
            addresses: BTreeSet::new(),
            groups,
            record: BTreeSet::new(),
        };
        self.sim.as_someone_else(|vpc| vpc.put_interface(id.clone(), interface));
        id
    }

    async fn make_address(&mut self, interface: InterfaceId) -> IpAddr {
        let delegated: Prefix = "10.0.3.16/28".parse().unwrap();
        self.sim.as_someone_else(|vpc| {
            let (_, found) = vpc.interfaces().find(|(id, _)| **id == interface).unwrap();
            let mut found = found.clone();
            found.addresses.insert(delegated);
            vpc.put_interface(interface, found);
        });
        [10, 0, 3, 31].into()
    }

    async fn dress(&mut self, interface: InterfaceId, groups: BTreeSet<ForeignGroupId>) {
        self.sim.as_someone_else(|vpc| vpc.set_groups(&interface, groups).unwrap());
    }

    async fn add_rule(&mut self, group: GroupNumber, rule: Rule, description: &'static str) {
        let id = self.id(group);
        let rules = [(rule, description.to_owned())].into();
        self.sim.as_someone_else(|vpc| vpc.authorize(&id, &rules, None).unwrap());
    }

    async fn untag_group(&mut self, group: GroupNumber) {
        let id = self.id(group);
        self.sim.as_someone_else(|vpc| vpc.disown(&id).unwrap());
    }

    async fn remove_rule(&mut self, group: GroupNumber, rule: Rule) {
        let id = self.id(group);
        self.sim.as_someone_else(|vpc| {
            let entry = vpc.group(&id).unwrap().rules.get(&rule).unwrap();
            let ids = BTreeSet::from([entry.id.clone()]);
            vpc.revoke(&id, rule.direction, &ids).unwrap();
        });
    }
}

impl Subnets for InMemory {
    async fn make_subnet(&mut self) -> (SubnetId, Vec<Prefix>, ForeignAclId) {
        let id = SubnetId(self.fresh("subnet").into());
        let blocks: Vec<Prefix> = vec![format!("10.0.{}.0/24", self.made).parse().unwrap()];
        let subnet = SubnetConfig { blocks: blocks.clone(), tags: BTreeMap::new() };
        self.sim.as_someone_else(|vpc| vpc.put_subnet(id.clone(), subnet));
        (id, blocks, default_acl())
    }
}

mod at_once {
    use super::*;
    moat_tests::contract! { InMemory::new(Config::default()), block_on }
    moat_tests::acl_contract! { InMemory::new(Config::default()), block_on }
}

/// Changes show after 7 s, and pages are short.
mod late_and_in_pages {
    use super::*;
    moat_tests::contract! {
        InMemory::new(Config { lag: Duration::from_secs(7), page: 5, ..Config::dual_stack() }),
        block_on
    }
    moat_tests::acl_contract! {
        InMemory::new(Config { lag: Duration::from_secs(7), page: 5, ..Config::dual_stack() }),
        block_on
    }
}

/// Any step, sensible or not, does to the VPC what it does to a model of a few lines: all of it or nothing.
mod against_a_model {
    use std::collections::{BTreeMap, BTreeSet};

    use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule, State};
    use moat_core::inventory::{Attachment, InterfaceId};
    use moat_core::net::{Family, Interval, Prefix, Shape};
    use moat_core::policy::Direction;
    use moat_core::provider::{Provider, Scope, Step};
    use moat_core::settings::Quotas;
    use moat_sim::{Config, NetworkInterface, Sim, base_group, block_on};
    use moat_tests::contract::execute;
    use proptest::collection::btree_set;
    use proptest::prelude::*;
    use proptest::sample::select;

    const QUOTAS: Quotas =
        Quotas { rules_per_group: 2, groups_per_interface: 2, groups: 3, entries_per_acl: 20 };

    fn interfaces() -> BTreeSet<InterfaceId> {
        ["eni-a", "eni-b"].map(|id| InterfaceId(id.into())).into()
    }

    fn sim() -> Sim {
        let mut sim = Sim::new(Config { quotas: QUOTAS, paced: false, ..Config::default() });
        for id in interfaces() {
            let interface = NetworkInterface {
                attachment: Attachment::Exclusive,
                description: String::new(),
                addresses: BTreeSet::new(),
                groups: [base_group()].into(),
                record: BTreeSet::new(),
            };
            sim.as_someone_else(|vpc| vpc.put_interface(id, interface));
        }
        sim
    }

    fn number() -> impl Strategy<Value = GroupNumber> {
        (0..4_usize).prop_map(GroupNumber::nth)
    }

    fn direction() -> impl Strategy<Value = Direction> {
        select(&Direction::BOTH[..])
    }

    fn rules() -> impl Strategy<Value = (Direction, BTreeSet<Rule>)> {
        let prefixes = &["10.0.0.0/8", "10.0.0.0/9", "2001:db8::/32"][..];
        let prefix = select(prefixes).prop_map(|it| Peer::Prefix(it.parse::<Prefix>().unwrap()));
        let group = number().prop_map(|number| Peer::Group(GroupKey::Ours(number)));
        let peer = prop_oneof![3 => prefix, 1 => group];
        let port = (80..82_u16).prop_map(|port| Shape::Tcp(Interval::single(port)));
        (direction(), btree_set((peer, port), 1..3)).prop_map(|(direction, rules)| {
            let rule = |(peer, shape)| Rule { direction, peer, shape };
            (direction, rules.into_iter().map(rule).collect())
        })
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = prop_oneof![
            4 => number().prop_map(GroupKey::Ours),
            1 => Just(GroupKey::Foreign(base_group())),
            1 => Just(GroupKey::Foreign(ForeignGroupId("sg-absent".into()))),
        ];
        let described = |rules: BTreeSet<Rule>| {
            rules.into_iter().map(|rule| (rule, "shop/web".to_owned())).collect()
        };
        prop_oneof![
            2 => number().prop_map(Step::CreateGroup),
            1 => number().prop_map(Step::DeleteGroup),
            4 => (number(), rules()).prop_map(move |(group, (direction, rules))| {
                Step::Authorize { group, direction, rules: described(rules) }
            }),
            2 => (number(), rules()).prop_map(|(group, (direction, rules))| {
                Step::Revoke { group, direction, rules }
            }),
            3 => (select(interfaces().into_iter().collect::<Vec<_>>()), btree_set(key, 0..4))
                .prop_map(|(interface, groups)| {
                    Step::SetGroups { interface, groups, record: BTreeSet::new() }
                }),
        ]
    }

    /// The state after a step; none if it is refused.
    fn after(mut state: State, step: &Step) -> Option<State> {
        let there = |state: &State, key: &GroupKey| state.groups.contains_key(key);
        match step {
            Step::CreateGroup(number) => {
                let ours = state.groups.keys().filter(|it| matches!(it, GroupKey::Ours(_)));
                let fits = ours.count() < QUOTAS.groups;
                let before = state.groups.insert(GroupKey::Ours(*number), BTreeSet::new());
                (fits && before.is_none()).then_some(state)
            }
            Step::Authorize { group, direction, rules } => {
                let named = rules.keys().all(|rule| match &rule.peer {
                    Peer::Prefix(_) => true,
                    Peer::Group(key) => there(&state, key),
                });
                let group = state.groups.get_mut(&GroupKey::Ours(*group))?;
                let absent = rules.keys().all(|rule| group.insert(rule.clone()));
                let fits = Family::BOTH.into_iter().all(|family| {
                    let of_family = |rule: &&Rule| match &rule.peer {
                        Peer::Prefix(prefix) => prefix.family() == family,
                        Peer::Group(_) => true,
                    };
                    let budget = group.iter().filter(|rule| rule.direction == *direction);
                    budget.filter(of_family).count() <= QUOTAS.rules_per_group
                });
                (named && absent && fits).then_some(state)
            }
            Step::Revoke { group, rules, .. } => {
                let group = state.groups.get_mut(&GroupKey::Ours(*group))?;
                rules.iter().all(|rule| group.remove(rule)).then_some(state)
            }
            Step::SetGroups { interface, groups, .. } => {
                let fits = (1..=QUOTAS.groups_per_interface).contains(&groups.len());
                let named = groups.iter().all(|key| there(&state, key));
                state.interfaces.insert(interface.clone(), groups.clone());
                (fits && named).then_some(state)
            }
            Step::DeleteGroup(number) => {
                let key = GroupKey::Ours(*number);
                state.groups.remove(&key)?;
                let mut rules = state.groups.values().flatten();
                let named = rules.any(|rule| rule.peer == Peer::Group(key.clone()));
                let worn = state.interfaces.values().any(|worn| worn.contains(&key));
                (!named && !worn).then_some(state)
            }
            Step::Acl(_) => None,
        }
    }

    proptest! {
        #[test]
        fn every_step_is_taken_whole_or_refused_whole(steps in proptest::collection::vec(step(), 1..80)) {
            let scope = Scope { interfaces: interfaces(), ..Scope::default() };
            let mut sim = sim();
            let mut model = State {
                groups: BTreeMap::from([(GroupKey::Foreign(base_group()), BTreeSet::new())]),
                interfaces: block_on(sim.observe(&scope)).unwrap().state.interfaces.clone(),
                ..State::default()
            };
            for step in &steps {
                let answer = block_on(execute(&mut sim, step));
                let wanted = after(model.clone(), step);
                prop_assert_eq!(answer.is_ok(), wanted.is_some(), "{}: {:?}", step, answer);
                model = wanted.unwrap_or(model);
                let observed = block_on(sim.observe(&scope)).unwrap();
                let ours = |key: &GroupKey| matches!(key, GroupKey::Ours(_));
                let groups = |state: &State| {
                    let groups = state.groups.iter().filter(|(key, _)| ours(key));
                    groups.map(|(key, rules)| (key.clone(), rules.clone())).collect::<BTreeMap<_, _>>()
                };
                prop_assert_eq!(groups(&observed.state), groups(&model));
                prop_assert_eq!(&observed.state.interfaces, &model.interfaces);
                let rules = groups(&model).values().map(BTreeSet::len).sum::<usize>();
                prop_assert_eq!(observed.rule_ids.len(), rules);
            }
        }
    }
}
