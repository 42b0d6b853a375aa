//! How many calls a plan costs, counted by LocalStack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moat_aws::time::Time;
use moat_core::drive::{Ending, drive};
use moat_core::firewall::{GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::{Attachment, InterfaceId};
use moat_core::net::{Interval, Prefix, Shape};
use moat_core::plan::{Plan, Purpose, Stage};
use moat_core::policy::Direction;
use moat_core::provider::{Observed, Provider, Scope, Step};
use moat_tests::contract::Fixture;
use serde_json::json;

use crate::contract::Cloud;
use crate::localstack::{ask, run};

/// The calls of a cloud's account, by name, since the last time.
pub(crate) fn counted(cloud: &Cloud) -> BTreeMap<String, u64> {
    let path = format!("/_faults/{}", cloud.account);
    let answer = ask("GET", &path, "");
    ask("DELETE", &path, "");
    let calls = answer["calls"].as_object().unwrap().iter();
    calls.map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect()
}

fn writes(calls: &BTreeMap<String, u64>) -> u64 {
    calls.iter().filter(|(name, _)| !name.starts_with("Describe")).map(|(_, count)| count).sum()
}

pub(crate) fn group(index: usize) -> GroupNumber {
    GroupNumber::nth(index)
}

pub(crate) fn authorize(index: usize, direction: Direction, ports: std::ops::Range<u16>) -> Step {
    let rules = rules(direction, ports).into_iter().map(|rule| (rule, "shop/web".to_owned()));
    Step::Authorize { group: group(index), direction, rules: rules.collect() }
}

pub(crate) fn revoke(index: usize, direction: Direction, ports: std::ops::Range<u16>) -> Step {
    Step::Revoke { group: group(index), direction, rules: rules(direction, ports) }
}

fn rules(direction: Direction, ports: std::ops::Range<u16>) -> BTreeSet<Rule> {
    let peer = Peer::Prefix("10.0.0.0/8".parse::<Prefix>().unwrap());
    let rule =
        |port| Rule { direction, peer: peer.clone(), shape: Shape::Tcp(Interval::single(port)) };
    ports.map(rule).collect()
}

pub(crate) fn plan(stages: Vec<Vec<Step>>) -> Plan {
    let stages = stages.into_iter().map(|steps| Stage { purpose: Purpose::Prepare, steps });
    Plan { stages: stages.collect(), ..Plan::default() }
}

/// Twelve groups with rules both ways, each worn by one interface.
pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) scope: Scope,
    pub(crate) base: moat_core::firewall::ForeignGroupId,
}

impl World {
    pub(crate) const GROUPS: usize = 12;

    pub(crate) async fn new(mut cloud: Cloud) -> Self {
        let base = cloud.make_group(BTreeSet::new()).await;
        let mut scope = Scope::default();
        for _ in 0..Self::GROUPS {
            let groups = BTreeSet::from([base.clone()]);
            scope.interfaces.insert(cloud.make_interface(Attachment::Exclusive, groups).await);
        }
        Self { cloud, scope, base }
    }

    /// From nothing to twelve worn groups.
    pub(crate) fn build(&self) -> Plan {
        let all = 0..Self::GROUPS;
        let create = all.clone().map(|index| Step::CreateGroup(group(index)));
        let both = all
            .clone()
            .flat_map(|index| Direction::BOTH.map(|direction| authorize(index, direction, 80..90)));
        plan(vec![create.collect(), both.collect(), self.wear()])
    }

    fn wear(&self) -> Vec<Step> {
        let wear = |(index, interface): (usize, &InterfaceId)| Step::SetGroups {
            interface: interface.clone(),
            groups: [GroupKey::Ours(group(index))].into(),
            record: [self.base.clone()].into(),
        };
        self.scope.interfaces.iter().enumerate().map(wear).collect()
    }

    pub(crate) async fn drive(&mut self, plan: &Plan) -> Arc<Observed> {
        self.cloud.aws.observe(&self.scope).await.unwrap();
        let outcome = drive(&mut self.cloud.aws, plan, &self.scope).await;
        assert_eq!(outcome.ending, Ending::Done, "{:?}", outcome.attempts);
        outcome.observed.unwrap()
    }
}

#[test]
fn a_plan_costs_the_fewest_calls_and_a_steady_state_none_that_changes() {
    let cloud = Cloud::new(1_000);
    run(async {
        let mut world = World::new(cloud).await;
        counted(&world.cloud);
        let build = world.build();
        world.drive(&build).await;
        let calls = counted(&world.cloud);
        println!("twelve groups from nothing: {calls:?}");
        // For each group its creation, its default egress rules and two authorizes; for each interface its record and its groups.
        assert_eq!(writes(&calls), 12 * (2 + 2) + 12 * 2);

        let edit = |index| {
            let direction = Direction::Ingress;
            [vec![authorize(index, direction, 90..95)], vec![revoke(index, direction, 80..85)]]
        };
        let [add, remove] =
            (0..World::GROUPS).map(edit).fold([vec![], vec![]], |[mut a, mut b], [c, d]| {
                a.extend(c);
                b.extend(d);
                [a, b]
            });
        let before = world.cloud.time.elapsed();
        world.drive(&plan(vec![add, remove])).await;
        let calls = counted(&world.cloud);
        println!("twelve groups edited: {calls:?}");
        assert_eq!(writes(&calls), 24);
        assert_eq!(world.cloud.time.elapsed(), before, "nothing waits");

        world.cloud.aws.observe(&world.scope).await.unwrap();
        let calls = counted(&world.cloud);
        println!("steady state: {calls:?}");
        let once =
            ["DescribeNetworkInterfaces", "DescribeSecurityGroupRules", "DescribeSecurityGroups"];
        assert_eq!(calls, once.map(|name| (name.to_owned(), 1)).into());
    });
}

/// A thousand go in one: both families may have as many.
#[test]
fn more_rules_than_one_call_adds_go_in_two() {
    let mut cloud = Cloud::new(1_000);
    let quotas = json!({"quotas": {"rules_per_group": 2_000}});
    ask("PUT", &format!("/_faults/{}", cloud.account), &quotas.to_string());
    run(async {
        let scope = Scope::default();
        cloud.aws.observe(&scope).await.unwrap();
        let steps = plan(vec![
            vec![Step::CreateGroup(group(0))],
            vec![authorize(0, Direction::Ingress, 1..1_201)],
        ]);
        let outcome = drive(&mut cloud.aws, &steps, &scope).await;
        assert_eq!(outcome.ending, Ending::Done, "{:?}", outcome.attempts);
        assert_eq!(counted(&cloud)["AuthorizeSecurityGroupIngress"], 2);
        let groups = &outcome.observed.unwrap().state.groups;
        assert_eq!(groups[&GroupKey::Ours(group(0))], rules(Direction::Ingress, 1..1_201));
    });
}

/// Sixteen calls are on their way at a time: 32 take two round trips, 64 take four.
#[test]
fn the_steps_of_a_stage_run_side_by_side() {
    let mut cloud = Cloud::new(1_000);
    let round_trip = Duration::from_secs(1);
    cloud.time = Time::simulated_with_round_trips(round_trip);
    cloud.restart();
    run(async {
        cloud.aws.observe(&Scope::default()).await.unwrap();
        cloud.aws.capabilities().await.unwrap();
        let mut took = Vec::new();
        let create = (0..16).map(|index| Step::CreateGroup(group(index)));
        let many = (0..16).flat_map(|index| {
            let both = Direction::BOTH.map(|direction| authorize(index, direction, 80..90));
            both.into_iter().chain([Step::CreateGroup(group(16 + index))])
        });
        for steps in [create.collect::<Vec<_>>(), many.collect()] {
            let before = cloud.time.elapsed();
            let answers = cloud.aws.execute(&steps.iter().collect::<Vec<_>>()).await;
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            took.push(cloud.time.elapsed() - before);
        }
        assert_eq!(took, [2 * round_trip, 4 * round_trip]);
    });
}
