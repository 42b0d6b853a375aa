//! The VPC in memory keeps the contract of a provider.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use moat_core::firewall::{ForeignGroupId, GroupNumber, Rule};
use moat_core::inventory::{Attachment, InterfaceId};
use moat_sim::{Config, GroupId, NetworkInterface, Sim, block_on};
use moat_tests::contract::Fixture;

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
                vpc.authorize(&id, &[(rule, String::new())].into()).unwrap();
            }
            id
        })
    }

    async fn rules_of(&mut self, group: ForeignGroupId) -> BTreeSet<Rule> {
        self.sim.vpc().group(&group).unwrap().rules.keys().cloned().collect()
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
            groups,
            record: BTreeSet::new(),
        };
        self.sim.as_someone_else(|vpc| vpc.put_interface(id.clone(), interface));
        id
    }

    async fn dress(&mut self, interface: InterfaceId, groups: BTreeSet<ForeignGroupId>) {
        self.sim.as_someone_else(|vpc| vpc.set_groups(&interface, groups).unwrap());
    }

    async fn add_rule(&mut self, group: GroupNumber, rule: Rule, description: &'static str) {
        let id = self.id(group);
        let rules = [(rule, description.to_owned())].into();
        self.sim.as_someone_else(|vpc| vpc.authorize(&id, &rules).unwrap());
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

mod at_once {
    use super::*;
    moat_tests::contract! { InMemory::new(Config::default()), block_on }
}

/// Changes show after 7 s, and pages are short.
mod late_and_in_pages {
    use super::*;
    moat_tests::contract! {
        InMemory::new(Config { lag: Duration::from_secs(7), page: 5, ..Config::dual_stack() }),
        block_on
    }
}
