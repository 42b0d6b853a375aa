//! Executing a plan, whatever befalls the calls: it converges, leaks nothing, and says what a person must mend.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod faults;
mod traps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moat_core::compile::Desired;
use moat_core::drive::{Ending, drive, observe};
use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule, State};
use moat_core::inventory::{Attachment, InterfaceId, Inventory, Pod};
use moat_core::net::{Interval, Prefix, Shape};
use moat_core::plan::{Plan, Purpose, Stage};
use moat_core::policy::Direction;
use moat_core::provider::{Observed, ProviderError, Scope, Step};
use moat_core::settings::Quotas;
use moat_sim::{
    Call, Config, Fault, Injection, Moment, NetworkInterface, Sim, base_group, block_on,
};

const LAG: Duration = Duration::from_secs(7);

fn interfaces() -> [InterfaceId; 3] {
    ["eni-a", "eni-b", "eni-c"].map(|id| InterfaceId(id.into()))
}

fn scope() -> Scope {
    Scope { interfaces: interfaces().into(), ..Scope::default() }
}

fn sim(config: Config) -> Sim {
    let mut sim = Sim::new(config);
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

fn ours(index: usize) -> GroupKey {
    GroupKey::Ours(GroupNumber::nth(index))
}

fn tcp(direction: Direction, peer: Peer, port: u16) -> Rule {
    Rule { direction, peer, shape: Shape::Tcp(Interval::single(port)) }
}

fn everywhere() -> Peer {
    Peer::Prefix("0.0.0.0/0".parse::<Prefix>().unwrap())
}

/// `a` and `b` wear a group each, `c` the base group.
fn before() -> State {
    let ingress = |port| tcp(Direction::Ingress, everywhere(), port);
    State {
        groups: BTreeMap::from([
            (ours(0), [ingress(80), tcp(Direction::Ingress, Peer::Group(ours(1)), 81)].into()),
            (ours(1), [tcp(Direction::Egress, everywhere(), 443)].into()),
        ]),
        interfaces: [Some(ours(0)), Some(ours(1)), None]
            .map(|key| key.unwrap_or(GroupKey::Foreign(base_group())))
            .into_iter()
            .zip(interfaces())
            .map(|(key, id)| (id, BTreeSet::from([key])))
            .collect(),
        ..State::default()
    }
}

/// Two groups more and one less; `b` is back in the base group.
fn after() -> State {
    let ingress = |port| tcp(Direction::Ingress, everywhere(), port);
    let [a, b, c] = interfaces();
    State {
        groups: BTreeMap::from([
            (ours(0), [ingress(80), tcp(Direction::Ingress, Peer::Group(ours(2)), 82)].into()),
            (ours(2), [ingress(8080), tcp(Direction::Egress, everywhere(), 53)].into()),
            (ours(3), BTreeSet::new()),
        ]),
        interfaces: BTreeMap::from([
            (a, [ours(0), ours(3)].into()),
            (b, [GroupKey::Foreign(base_group())].into()),
            (c, [ours(2)].into()),
        ]),
        ..State::default()
    }
}

/// A planner without any care for what passes in between: create, authorize, move, revoke, delete.
fn plan(observed: &Observed, wanted: &State) -> Plan {
    let ours = |key: &GroupKey| match key {
        GroupKey::Ours(number) => Some(*number),
        GroupKey::Foreign(_) => None,
    };
    let here = &observed.state;
    let missing = wanted.groups.keys().filter(|key| !here.groups.contains_key(key));
    let create = missing.filter_map(ours).map(Step::CreateGroup).collect();
    let extra = here.groups.keys().filter(|key| !wanted.groups.contains_key(key));
    let delete = extra.filter_map(ours).map(Step::DeleteGroup).collect();
    let difference = |from: &State, to: &State| -> Vec<(GroupNumber, Direction, BTreeSet<Rule>)> {
        let groups = from.groups.iter().filter_map(|(key, rules)| Some((ours(key)?, key, rules)));
        let parts = groups.flat_map(|(number, key, rules)| {
            let there = to.groups.get(key).cloned().unwrap_or_default();
            let rest: BTreeSet<Rule> = rules.difference(&there).cloned().collect();
            Direction::BOTH.map(|direction| {
                let rest = rest.iter().filter(|rule| rule.direction == direction);
                (number, direction, rest.cloned().collect())
            })
        });
        parts.filter(|(_, _, rules): &(_, _, BTreeSet<Rule>)| !rules.is_empty()).collect()
    };
    let authorize = difference(wanted, here).into_iter().map(|(group, direction, rules)| {
        let rules = rules.into_iter().map(|rule| (rule, "shop/web".to_owned())).collect();
        Step::Authorize { group, direction, rules }
    });
    let revoke = difference(here, wanted)
        .into_iter()
        .map(|(group, direction, rules)| Step::Revoke { group, direction, rules });
    let moved = wanted.interfaces.iter().map(|(interface, groups)| {
        let isolated = groups.iter().any(|key| ours(key).is_some());
        let record = isolated.then(base_group).into_iter().collect();
        Step::SetGroups { interface: interface.clone(), groups: groups.clone(), record }
    });
    let moved = moved.filter(|step| !observed.shows(step));
    let stages = [
        (Purpose::Create, create),
        (Purpose::Prepare, authorize.collect()),
        (Purpose::Move, moved.collect()),
        (Purpose::Clean, revoke.collect()),
        (Purpose::Delete, delete),
    ];
    let stages = stages.into_iter().filter(|(_, steps): &(_, Vec<Step>)| !steps.is_empty());
    let stages = stages.map(|(purpose, steps)| Stage { purpose, steps }).collect();
    Plan { stages, ..Plan::default() }
}

/// Observes, plans and executes until nothing is left to do, as a controller would; begins anew when killed.
fn converge(sim: &mut Sim, wanted: &State) {
    converge_by(sim, |observed| plan(observed, wanted));
}

fn converge_by(sim: &mut Sim, plan: impl Fn(&Observed) -> Plan) {
    for _ in 0..20 {
        if let Ok(observed) = block_on(observe(sim, &scope())) {
            let plan = plan(&observed);
            if plan.stages.is_empty() {
                return;
            }
            block_on(drive(sim, &plan, &scope()));
        }
        if sim.is_dead() {
            sim.restart();
        }
    }
    panic!("twenty rounds are not enough");
}

/// What the VPC holds, read past the provider; ids aside.
fn holds(sim: &Sim) -> (BTreeMap<String, BTreeSet<Rule>>, BTreeMap<InterfaceId, Worn>) {
    let name = |id: &ForeignGroupId| sim.vpc().group(id).unwrap().name.clone();
    let rules = |group: &moat_sim::Group| {
        let named = group.rules.keys().map(|rule| match &rule.peer {
            Peer::Group(GroupKey::Foreign(id)) => {
                let peer = Peer::Group(GroupKey::Foreign(ForeignGroupId(name(id).into())));
                Rule { peer, ..rule.clone() }
            }
            Peer::Group(GroupKey::Ours(_)) | Peer::Prefix(_) => rule.clone(),
        });
        named.collect()
    };
    let groups = sim.vpc().groups().map(|(_, group)| (group.name.clone(), rules(group)));
    let interfaces = sim.vpc().interfaces().map(|(id, interface)| {
        let worn = |ids: &BTreeSet<_>| ids.iter().map(name).collect();
        (id.clone(), (worn(&interface.groups), worn(&interface.record)))
    });
    (groups.collect(), interfaces.collect())
}

/// The names of the groups that an interface wears, and of those on its record.
type Worn = (BTreeSet<String>, BTreeSet<String>);

fn settled(config: &Config, wanted: &State) -> Sim {
    let mut sim = sim(config.clone());
    converge(&mut sim, wanted);
    sim
}

fn stages(stages: impl IntoIterator<Item = Vec<Step>>) -> Plan {
    let stage = |steps| Stage { purpose: Purpose::Prepare, steps };
    Plan { stages: stages.into_iter().map(stage).collect(), ..Plan::default() }
}

#[test]
fn a_plan_is_executed_stage_by_stage_and_read_back() {
    let mut sim = settled(&Config::default(), &before());
    let observed = block_on(observe(&mut sim, &scope())).unwrap();
    let plan = plan(&observed, &after());
    let outcome = block_on(drive(&mut sim, &plan, &scope()));
    assert_eq!(outcome.ending, Ending::Done);
    let tried: Vec<&Step> = outcome.attempts.iter().map(|attempt| attempt.step).collect();
    let planned: Vec<&Step> = plan.stages.iter().flat_map(|stage| &stage.steps).collect();
    assert_eq!(tried, planned);
    let state = outcome.observed.unwrap().state.clone();
    assert_eq!(state.interfaces, after().interfaces);
    let mut groups = state.groups;
    groups.retain(|key, _| matches!(key, GroupKey::Ours(_)));
    assert_eq!(groups, after().groups);
}

#[test]
fn nothing_to_do_is_done_without_a_call() {
    let mut sim = settled(&Config::default(), &after());
    let observed = block_on(observe(&mut sim, &scope())).unwrap();
    let plan = plan(&observed, &after());
    assert_eq!(plan, Plan::default());
    let calls = sim.calls().clone();
    assert_eq!(block_on(drive(&mut sim, &plan, &scope())).ending, Ending::Done);
    assert_eq!(sim.calls(), &calls);
}

#[test]
fn many_calls_are_paced_by_the_clouds_buckets() {
    let mut sim = sim(Config::default());
    let groups = (0..200).map(|index| (ours(index), BTreeSet::new())).collect();
    let wanted = State { groups, ..State::default() };
    converge(&mut sim, &wanted);
    assert_eq!(sim.vpc().groups().count(), 201);
    assert!(sim.now() >= Duration::from_secs((200 - 50) / 5), "{:?}", sim.now());
}

fn unauthorized(action: &str) -> ProviderError {
    let code = "UnauthorizedOperation".to_owned();
    ProviderError::Unauthorized { action: action.to_owned(), code }
}

#[test]
fn a_step_that_a_person_must_mend_is_named_and_keeps_no_other_of_its_stage_from_being_taken() {
    let mut sim = settled(&Config::default(), &before());
    let denied = unauthorized("AuthorizeSecurityGroupIngress");
    sim.inject(Injection {
        call: Some(Call::AuthorizeSecurityGroupIngress),
        after: 0,
        times: usize::MAX,
        fault: Fault::Refuse(denied.clone()),
    });
    let observed = block_on(observe(&mut sim, &scope())).unwrap();
    let plan = plan(&observed, &after());
    let outcome = block_on(drive(&mut sim, &plan, &scope()));
    assert_eq!(outcome.ending, Ending::Failed);
    let failed: Vec<String> =
        outcome.failures().map(|(step, error)| format!("{step}: {error}")).collect();
    let give = "not allowed to call `AuthorizeSecurityGroupIngress` (UnauthorizedOperation): give the role this permission";
    assert_eq!(
        failed,
        [
            format!("authorize 1 ingress rule in moat.1: {give}"),
            format!("authorize 1 ingress rule in moat.3: {give}"),
        ]
    );
    let last = outcome.attempts.iter().map(|attempt| attempt.purpose).max();
    assert_eq!(last, Some(Purpose::Prepare), "no later stage begins");
    let observed = outcome.observed.as_ref().unwrap();
    let egress = tcp(Direction::Egress, everywhere(), 53);
    assert_eq!(observed.state.groups.get(&ours(2)), Some(&BTreeSet::from([egress])));
    sim.heal();
    converge(&mut sim, &after());
    assert_eq!(holds(&sim), holds(&settled(&Config::default(), &after())));
}

#[test]
fn a_step_that_someone_undoes_is_planned_again() {
    let mut sim = settled(&Config { lag: LAG, ..Config::default() }, &before());
    let observed = block_on(observe(&mut sim, &scope())).unwrap();
    let [a, ..] = interfaces();
    let groups = BTreeSet::from([ours(1)]);
    let record = BTreeSet::from([base_group()]);
    let steps = vec![Step::SetGroups { interface: a.clone(), groups, record }];
    let plan = Plan { stages: vec![Stage { purpose: Purpose::Move, steps }], ..Plan::default() };
    // The provider sees the groups as they were, so it does not notice.
    let theirs = sim.as_someone_else(|vpc| vpc.create_group("theirs", None)).unwrap();
    assert_eq!(observed.state.interfaces.get(&a), Some(&BTreeSet::from([ours(0)])));
    let mut undone = sim.clone();
    assert_eq!(block_on(drive(&mut sim, &plan, &scope())).ending, Ending::Done);
    let dress = |sim: &mut Sim| {
        sim.as_someone_else(|vpc| vpc.set_groups(&a, BTreeSet::from([theirs.clone()])).unwrap());
    };
    dress(&mut undone);
    block_on(moat_core::provider::Provider::wait(&mut undone, LAG));
    assert_eq!(block_on(drive(&mut undone, &plan, &scope())).ending, Ending::PlanAgain);
}

#[test]
fn a_cloud_that_cannot_be_read_is_said_to_be_unread() {
    let mut sim = settled(&Config::default(), &before());
    let observed = block_on(observe(&mut sim, &scope())).unwrap();
    let denied = unauthorized("DescribeSecurityGroups");
    sim.inject(Injection {
        call: Some(Call::DescribeSecurityGroups),
        after: 0,
        times: usize::MAX,
        fault: Fault::Refuse(denied.clone()),
    });
    let plan = plan(&observed, &after());
    let outcome = block_on(drive(&mut sim, &plan, &scope()));
    assert_eq!(outcome.ending, Ending::Unread(denied));
    assert_eq!(outcome.observed, None);
}
