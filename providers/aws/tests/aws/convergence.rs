//! Converging many groups from nothing: how many calls it takes, as LocalStack counts them, and how long under EC2's token
//! buckets, on a simulated clock. A hundred by default, to be quick; a thousand by
//! `MOAT_GROUPS=1000 cargo test -p moat-aws convergence -- --nocapture`.
//!
//! The bound is that of the plan's stages: each takes as long as the API whose bucket lasts longest, and a stage begins when a
//! picture shows the one before it, since a group is worn only once its rules are read back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moat_aws::call::{Call, Effect};
use moat_core::compile::Desired;
use moat_core::drive::{Ending, drive, observe};
use moat_core::firewall::{GroupKey, GroupNumber, Peer, Rule, State};
use moat_core::inventory::{Attachment, InterfaceId, Inventory, Pod};
use moat_core::net::{Interval, Message, Messages, Prefix, Shape};
use moat_core::plan::{self, Plan};
use moat_core::policy::Direction;
use moat_core::provider::{Observed, Scope, Step};
use moat_core::settings::Quotas;
use moat_tests::contract::Fixture;
use serde_json::json;

use crate::calls::counted;
use crate::contract::Cloud;
use crate::localstack::{ask, run};

/// Interfaces that wear one group of others, and a group for each of them to come.
struct World {
    cloud: Cloud,
    groups: usize,
    scope: Scope,
    inventory: Inventory,
    desired: Desired,
}

fn rule(direction: Direction, peer: &str, shape: Shape) -> Rule {
    Rule { direction, peer: Peer::Prefix(peer.parse::<Prefix>().unwrap()), shape }
}

fn icmp(kind: u8, code: u8) -> Shape {
    Shape::Icmp(Messages::One(Message { kind, code }))
}

/// What others have the interfaces wear: everything passes.
fn open() -> BTreeSet<Rule> {
    let both = Direction::BOTH.into_iter();
    both.map(|direction| rule(direction, "0.0.0.0/0", Shape::All)).collect()
}

impl World {
    async fn new(mut cloud: Cloud, groups: usize, base: BTreeSet<Rule>) -> Self {
        let base = cloud.make_group(base).await;
        let mut interfaces = Vec::new();
        for _ in 0..groups {
            let worn = BTreeSet::from([base.clone()]);
            interfaces.push(cloud.make_interface(Attachment::Exclusive, worn).await);
        }
        let pods = (0_u32..).zip(&interfaces).map(|(index, interface)| pod(index, interface));
        let inventory = Inventory { pods: pods.collect(), ..Inventory::default() };
        let key = |index: usize| GroupKey::Ours(GroupNumber::nth(index % groups));
        let rules = |index: usize| {
            let port = Interval::single(8_000 + u16::try_from(index % 1_000).unwrap());
            let reference = |direction, of| {
                let peer = Peer::Group(key(of));
                Rule { direction, peer, shape: Shape::Tcp(port) }
            };
            BTreeSet::from([
                reference(Direction::Ingress, index + 1),
                reference(Direction::Egress, index + groups - 1),
                rule(Direction::Ingress, "0.0.0.0/0", icmp(3, 4)),
                rule(Direction::Ingress, "10.0.0.0/8", icmp(8, 0)),
                rule(Direction::Egress, "10.0.0.0/8", Shape::Udp(Interval::single(53))),
            ])
        };
        let state = State {
            groups: (0..groups).map(|index| (key(index), rules(index))).collect(),
            interfaces: interfaces.iter().cloned().zip((0..).map(|it| [key(it)].into())).collect(),
            ..State::default()
        };
        let scope = Scope { interfaces: interfaces.into_iter().collect(), ..Scope::default() };
        let desired = Desired { state, ..Desired::default() };
        Self { cloud, groups, scope, inventory, desired }
    }

    fn plan(&self, observed: &Observed) -> Plan {
        plan::plan(&self.desired, observed, &self.inventory, &Quotas::default())
    }

    /// Carries plans out until there is nothing left to do; gives what each stage was, and how long it took.
    async fn converge(&mut self) -> Vec<(Plan, Duration)> {
        let mut stages = Vec::new();
        let mut observed = observe(&mut self.cloud.aws, &self.scope).await.unwrap();
        for _ in 0..8 {
            let plan = self.plan(&observed);
            if plan.stages.is_empty() {
                assert_eq!(plan.held, plan::Held::default());
                return stages;
            }
            for stage in plan.stages {
                let before = self.cloud.time.elapsed();
                let one = Plan { stages: vec![stage], ..Plan::default() };
                let outcome = drive(&mut self.cloud.aws, &one, &self.scope).await;
                assert_eq!(outcome.ending, Ending::Done, "{:?}", outcome.failures().next());
                observed = outcome.observed.unwrap();
                stages.push((one, self.cloud.time.elapsed() - before));
            }
        }
        panic!("it does not converge");
    }
}

fn pod(index: u32, interface: &InterfaceId) -> Pod {
    Pod {
        namespace: "shop".into(),
        name: interface.0.clone(),
        uid: interface.0.clone(),
        labels: Arc::default(),
        addresses: vec![(0x0a00_1000 + index).to_be_bytes().into()],
        node: None,
        ports: [].into(),
        probes: [].into(),
        host_network: false,
        interface: Some(interface.clone()),
    }
}

/// The fewest calls that take a stage's steps, a look at each interface among them: it is compared before it is changed.
/// `recorded` are the interfaces whose prior groups have been written down already.
fn fewest(plan: &Plan, recorded: &mut BTreeSet<InterfaceId>) -> BTreeMap<Call, u32> {
    let mut calls = BTreeMap::new();
    let mut add = |call| *calls.entry(call).or_default() += 1;
    for step in plan.steps() {
        match step {
            Step::CreateGroup(_) => {
                add(Call::CreateSecurityGroup);
                add(Call::RevokeSecurityGroupEgress);
            }
            Step::Authorize { direction: Direction::Ingress, .. } => {
                add(Call::AuthorizeSecurityGroupIngress);
            }
            Step::Authorize { direction: Direction::Egress, .. } => {
                add(Call::AuthorizeSecurityGroupEgress);
            }
            Step::SetGroups { interface, .. } => {
                add(Call::DescribeNetworkInterfaces);
                if recorded.insert(interface.clone()) {
                    add(Call::CreateTags);
                }
                add(Call::ModifyNetworkInterfaceAttribute);
            }
            Step::Revoke { .. } | Step::DeleteGroup(_) | Step::Acl(_) => {
                panic!("nothing is taken away: {step}")
            }
        }
    }
    calls
}

/// What buckets set for stages one after the other, each API's calls spread over nothing but its bucket.
#[derive(Default)]
struct Bound(BTreeMap<Call, f64>);

impl Bound {
    fn stage(&mut self, calls: &BTreeMap<Call, u32>) -> f64 {
        let mut longest: f64 = 0.0;
        for (call, count) in calls {
            let (burst, rate) = bucket(*call);
            let level = self.0.entry(*call).or_insert(burst);
            longest = longest.max((f64::from(*count) - *level) / rate);
        }
        for (call, level) in &mut self.0 {
            let (burst, rate) = bucket(*call);
            let taken = calls.get(call).copied().map_or(0.0, f64::from);
            *level = (*level + longest * rate - taken).min(burst);
        }
        longest
    }
}

fn bucket(call: Call) -> (f64, f64) {
    (call.rate().burst.get().into(), call.rate().per_second.get().into())
}

fn how_many() -> usize {
    std::env::var("MOAT_GROUPS").map_or(100, |text| text.parse().unwrap())
}

/// Converges, and prints calls and times. Gives the calls that change something by the fewest, and the time by the bound.
async fn measure(title: &str, mut world: World, fault: serde_json::Value) -> (f64, f64) {
    observe(&mut world.cloud.aws, &world.scope).await.unwrap();
    counted(&world.cloud);
    ask("PUT", &format!("/_faults/{}", world.cloud.account), &fault.to_string());
    let stages = world.converge().await;
    let made = counted(&world.cloud);

    let (mut bound, mut recorded) = (Bound::default(), BTreeSet::new());
    let mut minimum: BTreeMap<Call, u32> = BTreeMap::new();
    let (mut bounds, mut modelled) = (0.0, 0.0);
    println!("{title}: {} groups from nothing", world.groups);
    println!("{:<32} {:>10} {:>10} {:>6}", "stage", "bound s", "modelled s", "ratio");
    for (plan, time) in &stages {
        let calls = fewest(plan, &mut recorded);
        let (least, time) = (bound.stage(&calls), time.as_secs_f64());
        let purpose = format!("{:?}", plan.stages[0].purpose);
        let ratio = if least > 0.0 { format!("{:.2}", time / least) } else { "-".to_owned() };
        println!("{purpose:<32} {least:>10.1} {time:>10.1} {ratio:>6}");
        (bounds, modelled) = (bounds + least, modelled + time);
        for (call, count) in calls {
            *minimum.entry(call).or_default() += count;
        }
    }
    println!("{:<32} {bounds:>10.1} {modelled:>10.1} {:>6.2}", "all", modelled / bounds);

    let (mut all, mut least) = (0, 0);
    println!(
        "{:<32} {:>6} {:>6} {:>6}  {:>7} {:>7}",
        "API", "calls", "C*", "ratio", "bucket", "bound s"
    );
    for call in Call::ALL.iter().filter(|call| call.effect() == Effect::Changes) {
        let count = made.get(call.as_str()).copied().unwrap_or_default();
        let count = u32::try_from(count).unwrap();
        let fewest = minimum.get(call).copied().unwrap_or_default();
        let (burst, rate) = bucket(*call);
        let alone = ((f64::from(fewest) - burst) / rate).max(0.0);
        if count > 0 {
            let ratio = f64::from(count) / f64::from(fewest);
            let name = call.as_str();
            println!(
                "{name:<32} {count:>6} {fewest:>6} {ratio:>6.2}  {burst:>4}/{rate:<2} {alone:>7.1}"
            );
        }
        (all, least) = (all + count, least + fewest);
    }
    let ratio = f64::from(all) / f64::from(least);
    println!("{:<32} {all:>6} {least:>6} {ratio:>6.2}", "all that change something");
    (ratio, modelled / bounds)
}

#[test]
fn many_groups_converge_as_fast_as_the_buckets_let_them() {
    let cloud = Cloud::new(1_000);
    run(async {
        let world = World::new(cloud, how_many(), open()).await;
        let (calls, time) = measure("without faults", world, json!({})).await;
        assert!((calls - 1.0).abs() < 1e-9, "{calls}");
        assert!((1.0..=1.05).contains(&time), "{time}");
    });
}

#[test]
fn many_groups_converge_with_few_calls_more_when_a_tenth_is_throttled() {
    let cloud = Cloud::new(1_000);
    run(async {
        let world = World::new(cloud, how_many(), open()).await;
        let throttle =
            json!({"code": "RequestLimitExceeded", "status": 503, "every": 10, "times": -1});
        let fault = json!({"rules": [throttle]});
        let (calls, _) = measure("a tenth throttled", world, fault).await;
        assert!((1.0..=1.15).contains(&calls), "{calls}");
    });
}
