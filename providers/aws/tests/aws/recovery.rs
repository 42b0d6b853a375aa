//! P4, P5: a fault at each call of a plan in turn, before and after it took effect; then `moat` observes and plans again.
//!
//! Whatever befalls a call: the same end but for numbers, nothing opened or closed on the way that neither end opens or
//! closes, and nothing left behind. The state is read after every step by a reader that shares no code with the writer.
//! A few calls by default, each kind among them; every call by `MOAT_FAULTS=all cargo test -p moat-aws recovery -- --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moat_aws::Aws;
use moat_core::compile::Desired;
use moat_core::drive::{drive, observe};
use moat_core::firewall::{Cloud as Judge, ForeignGroupId, GroupKey, Peer, Rule, State};
use moat_core::flow::{Endpoint, Flow};
use moat_core::inventory::{Attachment, InterfaceId, Inventory, Pod, PodIndex};
use moat_core::net::{Family, Message, Service};
use moat_core::plan::{Held, plan};
use moat_core::provider::{Capabilities, Observed, Provider, ProviderError, Scope, Step};
use moat_core::settings::Quotas;
use moat_tests::contract::Fixture;
use serde_json::{Value, json};

use crate::contract::Cloud;
use crate::localstack::{ask, run};
use crate::reader;

// ------------------------------------------------------------------------------------------------- World

/// Four pods, each with an interface that wears one group of others.
pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) base: ForeignGroupId,
    pub(crate) interfaces: Vec<InterfaceId>,
    inventory: Inventory,
}

impl World {
    pub(crate) async fn new() -> Self {
        let mut cloud = Cloud::make(1_000).await;
        let open = ["ingress 10.0.0.0/8 all", "egress 0.0.0.0/0 all", "egress ::/0 all"];
        let open: BTreeSet<Rule> = open.map(|text| text.parse().unwrap()).into();
        let base = cloud.make_group(open.clone()).await;
        let mut interfaces = Vec::new();
        for _ in 0..4 {
            let worn = BTreeSet::from([base.clone()]);
            interfaces.push(cloud.make_interface(Attachment::Exclusive, worn).await);
        }
        let pods = (1_u8..).zip(&interfaces).map(|(index, interface)| pod(index, interface));
        let foreign = [(base.clone(), open)].into();
        let inventory = Inventory { pods: pods.collect(), foreign, ..Inventory::default() };
        Self { cloud, base, interfaces, inventory }
    }

    fn scope(&self) -> Scope {
        let interfaces = self.interfaces.iter().cloned().collect();
        Scope { interfaces, ..Scope::default() }
    }

    /// What is desired, from the rules of each group and the groups that each interface wears; none is what others gave it.
    fn desired(&self, groups: &[&[&str]], worn: [&[usize]; 4]) -> Desired {
        let rules = |rules: &&[&str]| rules.iter().map(|text| text.parse().unwrap()).collect();
        let base = GroupKey::Foreign(self.base.clone());
        let keys = |worn: &[usize]| match worn {
            [] => [base.clone()].into(),
            _ => worn.iter().map(|group| ours(*group)).collect(),
        };
        let groups = (1..).map(ours).zip(groups.iter().map(rules));
        let interfaces = self.interfaces.iter().cloned().zip(worn.map(keys));
        let theirs = self.inventory.foreign.iter();
        let theirs = theirs.map(|(id, rules)| (GroupKey::Foreign(id.clone()), rules.clone()));
        let groups = groups.chain(theirs).collect();
        let state = State { groups, interfaces: interfaces.collect() };
        Desired { state, ..Desired::default() }
    }

    /// A cycle of references, ICMP by type and code, both families; one interface is left alone.
    pub(crate) fn before(&self) -> Desired {
        let groups: [&[&str]; 3] = [
            &[
                "ingress moat.2 tcp/80",
                "ingress 10.0.0.0/8 icmp/8/0",
                "ingress 10.0.0.0/8 tcp/443",
                "egress moat.2 tcp/81",
            ],
            &["ingress moat.1 tcp/81", "egress moat.1 tcp/80", "ingress ::/0 icmpv6/128/0"],
            &["ingress 0.0.0.0/0 tcp/443", "egress 0.0.0.0/0 udp/53"],
        ];
        self.desired(&groups, [&[1], &[2], &[3], &[]])
    }

    /// One group less, one more, one edited both ways; one interface moves to another's group.
    pub(crate) fn after(&self) -> Desired {
        let groups: [&[&str]; 3] = [
            &[
                "ingress moat.2 tcp/80",
                "ingress 10.0.0.0/8 icmp/3/4",
                "ingress 10.0.0.0/8 tcp/443",
                "egress 0.0.0.0/0 tcp/443",
            ],
            &["ingress 10.0.0.0/8 tcp/22", "egress moat.1 tcp/80", "ingress ::/0 icmpv6/2/0"],
            &["ingress 0.0.0.0/0 tcp/443", "egress moat.1 all"],
        ];
        self.desired(&groups, [&[1], &[3], &[3], &[2]])
    }

    /// Sets faults for the calls of the provider; others never meet them.
    fn set(&self, rules: &[Value]) {
        let path = format!("/_faults/{}", self.cloud.account);
        ask("PUT", &path, &json!({"rules": rules}).to_string());
    }

    /// The names of the calls made so far.
    fn calls(&self) -> Vec<String> {
        let answer = ask("GET", &format!("/_calls/{}", self.cloud.account), "");
        let calls = answer["calls"].as_array().unwrap().iter();
        calls.map(|call| call["op"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn read(&self) -> State {
        reader::state(&reader::read(&self.cloud.account, &self.cloud.aws.config().vpc))
    }

    /// One pass of `moat apply`; whether there was nothing to do. `look` sees the state after each step.
    pub(crate) async fn pass(
        &mut self,
        desired: &Desired,
        look: Option<&Look<'_>>,
    ) -> Option<bool> {
        let (scope, quotas) = (self.scope(), Quotas::default());
        let observed = observe(&mut self.cloud.aws, &scope).await.ok()?;
        let plan = plan(desired, &observed, &self.inventory, &quotas);
        assert_eq!(plan.held, Held::default());
        let nothing = plan.stages.is_empty();
        match look {
            None => drop(drive(&mut self.cloud.aws, &plan, &scope).await),
            Some(look) => {
                let mut watched = Watched { aws: &mut self.cloud.aws, look };
                drive(&mut watched, &plan, &scope).await;
            }
        }
        Some(nothing)
    }
}

fn ours(number: usize) -> GroupKey {
    GroupKey::Ours(moat_core::firewall::GroupNumber::nth(number - 1))
}

fn pod(index: u8, interface: &InterfaceId) -> Pod {
    Pod {
        namespace: "shop".into(),
        name: interface.0.clone(),
        uid: interface.0.clone(),
        labels: Arc::default(),
        addresses: vec![
            [10, 0, 1, index].into(),
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, index.into()].into(),
        ],
        node: None,
        ports: [].into(),
        probes: [].into(),
        host_network: false,
        interface: Some(interface.clone()),
    }
}

// -------------------------------------------------------------------------------------------------- Band

/// What packets may meet between two states.
struct Band<'a> {
    inventory: &'a Inventory,
    packets: Vec<(Flow, bool, bool)>,
}

impl<'a> Band<'a> {
    fn new(before: &State, after: &State, inventory: &'a Inventory) -> Self {
        let (before, after) = (Judge::new(before, inventory), Judge::new(after, inventory));
        let judged = |flow: Flow| (flow, before.allows(&flow), after.allows(&flow));
        Self { inventory, packets: packets().into_iter().map(judged).collect() }
    }

    /// The packets judged; each is let through or dropped as before or as after.
    fn holds(&self, state: &State, when: &str) -> usize {
        let judge = Judge::new(state, self.inventory);
        for (flow, before, after) in &self.packets {
            let through = judge.allows(flow);
            let flow = flow.display(self.inventory);
            assert!(through == *before || through == *after, "{when}: {flow}: {through}");
        }
        self.packets.len()
    }
}

/// Every pair of ends with a service on either side of every rule's edge.
fn packets() -> Vec<Flow> {
    let message = |kind, code| Message { kind, code };
    let mut flows = Vec::new();
    for family in Family::BOTH {
        let tcp = [22, 23, 79, 80, 81, 82, 443, 444].map(Service::Tcp);
        let messages = match family {
            Family::V4 => {
                [(8, 0), (8, 1), (3, 4), (3, 3), (0, 0)].map(|(a, b)| Service::Icmp(message(a, b)))
            }
            Family::V6 => [(128, 0), (128, 1), (2, 0), (2, 1), (129, 0)]
                .map(|(a, b)| Service::Icmpv6(message(a, b))),
        };
        let services = tcp.into_iter().chain([53, 54].map(Service::Udp)).chain(messages);
        let services: Vec<Service> = services.collect();
        let outside = match family {
            Family::V4 => ["10.9.9.9", "192.0.2.1"],
            Family::V6 => ["2001:db8::9999", "2600::1"],
        };
        let outside = outside.map(|text| Endpoint::Address(text.parse().unwrap()));
        let pods = (0..4).map(|index| Endpoint::Pod(PodIndex(index)));
        let ends: Vec<Endpoint> = pods.chain(outside).collect();
        for (source, destination) in ends.iter().flat_map(|a| ends.iter().map(move |b| (*a, *b))) {
            let flow = |service: &Service| Flow { source, destination, family, service: *service };
            flows.extend(services.iter().map(flow));
        }
    }
    flows
}

/// Looks at the state after each step.
pub(crate) type Look<'a> = dyn Fn(&Step) + Sync + 'a;

/// The provider, with a look after each step.
struct Watched<'a> {
    aws: &'a mut Aws,
    look: &'a Look<'a>,
}

impl Provider for Watched<'_> {
    async fn capabilities(&mut self) -> Result<Capabilities, ProviderError> {
        self.aws.capabilities().await
    }

    async fn observe(&mut self, scope: &Scope) -> Result<Observed, ProviderError> {
        self.aws.observe(scope).await
    }

    async fn execute(&mut self, steps: &[&Step]) -> Vec<Result<(), ProviderError>> {
        let mut answers = Vec::new();
        for step in steps {
            answers.extend(self.aws.execute(&[step]).await);
            (self.look)(step);
        }
        answers
    }

    async fn wait(&mut self, duration: Duration) {
        self.aws.wait(duration).await;
    }
}

// ------------------------------------------------------------------------------------------------ Faults

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Kill,
    Lost,
    Throttle,
    NotFound,
    Duplicate,
    Quota,
    Dependency,
    Unauthorized,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Kill,
        Self::Lost,
        Self::Throttle,
        Self::NotFound,
        Self::Duplicate,
        Self::Quota,
        Self::Dependency,
        Self::Unauthorized,
    ];

    /// The rules of the fault table; none where EC2 never answers so.
    fn rules(self, calls: &[String], index: usize, after: bool) -> Option<Vec<Value>> {
        let op = calls[index].as_str();
        let skip = calls[..index].iter().filter(|earlier| *earlier == op).count();
        let reads = op.starts_with("Describe");
        if reads && after {
            // It has no effect that could come before its answer.
            return None;
        }
        let fault = |code: &str, status: u16, times: i8| {
            Some(vec![
                json!({"op": op, "agent": MOAT, "skip": skip, "after": after, "code": code, "status": status, "times": times}),
            ])
        };
        match self {
            // Nothing that a dead process would have called takes effect: every later call is lost before it does.
            Self::Kill => {
                let last = json!({"agent": MOAT, "drop": true, "after": true, "skip": index});
                let dead = json!({"agent": MOAT, "drop": true, "times": -1, "skip": index + usize::from(after)});
                Some(if after { vec![last, dead] } else { vec![dead] })
            }
            Self::Lost => Some(vec![
                json!({"op": op, "agent": MOAT, "skip": skip, "after": after, "drop": true}),
            ]),
            Self::Throttle => fault("RequestLimitExceeded", 503, 1),
            Self::NotFound => match op {
                "ModifyNetworkInterfaceAttribute" => fault("InvalidGroup.NotFound", 400, 3),
                "CreateTags" | "DeleteTags" => fault("InvalidNetworkInterfaceID.NotFound", 400, 3),
                _ if reads || op == "CreateSecurityGroup" => None,
                _ => fault("InvalidGroup.NotFound", 400, 3),
            },
            Self::Duplicate => match op {
                "CreateSecurityGroup" => fault("InvalidGroup.Duplicate", 400, 1),
                _ if op.starts_with("Authorize") => fault("InvalidPermission.Duplicate", 400, 1),
                _ => None,
            },
            Self::Quota => match op {
                "CreateSecurityGroup" => fault("SecurityGroupLimitExceeded", 400, 1),
                "ModifyNetworkInterfaceAttribute" => {
                    fault("SecurityGroupsPerInterfaceLimitExceeded", 400, 1)
                }
                _ if op.starts_with("Authorize") => {
                    fault("RulesPerSecurityGroupLimitExceeded", 400, 1)
                }
                _ => None,
            },
            Self::Dependency => match op {
                "DeleteSecurityGroup" => fault("DependencyViolation", 400, -1),
                _ => None,
            },
            Self::Unauthorized => fault("UnauthorizedOperation", 403, 1),
        }
    }
}

/// Part of the User-Agent of Moat's calls.
const MOAT: &str = "aws-sdk-rust";

// ------------------------------------------------------------------------------------------------- Shape

/// A state without names: a group is what it lets through, and who wears it by the interface's place, and the groups that it
/// refers to in the same way. Two rounds tell the groups of these tests apart.
pub(crate) fn shape(state: &State, interfaces: &[InterfaceId]) -> Vec<String> {
    let wearers = |key: &GroupKey| -> Vec<usize> {
        let places = interfaces.iter().enumerate();
        places
            .filter(|(_, id)| state.interfaces[*id].contains(key))
            .map(|(place, _)| place)
            .collect()
    };
    let mut names: BTreeMap<&GroupKey, String> =
        state.groups.keys().map(|key| (key, format!("{:?}", wearers(key)))).collect();
    for _ in 0..2 {
        let text = |rule: &Rule| match &rule.peer {
            Peer::Group(key) => format!("{:?} {:?} {:?}", rule.direction, names[key], rule.shape),
            Peer::Prefix(prefix) => format!("{:?} {prefix} {:?}", rule.direction, rule.shape),
        };
        let renamed = state.groups.iter().map(|(key, rules)| {
            let rules: BTreeSet<String> = rules.iter().map(text).collect();
            let owner = matches!(key, GroupKey::Ours(_));
            (key, format!("{owner} {:?} {rules:?}", wearers(key)))
        });
        names = renamed.collect();
    }
    let mut shape: Vec<String> = names.into_values().collect();
    shape.sort();
    shape
}

// ------------------------------------------------------------------------------------------------- Tests

/// The calls of both plans without a fault, and the shapes they lead to.
struct Well {
    calls: [Vec<String>; 2],
    shapes: [Vec<String>; 2],
}

async fn well() -> Well {
    let mut world = World::new().await;
    let mut well = Well { calls: [vec![], vec![]], shapes: [vec![], vec![]] };
    for (place, desired) in [world.before(), world.after()].iter().enumerate() {
        let start = world.calls().len();
        // One step at a time, as they are taken when a fault is injected.
        assert_eq!(world.pass(desired, Some(&|_| ())).await, Some(false));
        well.calls[place] = world.calls().split_off(start);
        assert_eq!(world.pass(desired, None).await, Some(true));
        well.shapes[place] = shape(&world.read(), &world.interfaces);
    }
    well
}

/// What was seen.
#[derive(Default)]
struct Tally {
    faults: BTreeMap<(Kind, bool), usize>,
    boundaries: usize,
    packets: usize,
    leaks: usize,
    passes: usize,
}

/// Both plans, each with a fault at one call.
async fn strike(kind: Kind, index: usize, after: bool, well: &Well, tally: &mut Tally) {
    let mut world = World::new().await;
    let desired = [world.before(), world.after()];
    let mut now = world.read();
    for (place, desired) in desired.iter().enumerate() {
        let Some(rules) = (index < well.calls[place].len())
            .then(|| kind.rules(&well.calls[place], index, after))
            .flatten()
        else {
            while world.pass(desired, None).await != Some(true) {}
            now = world.read();
            continue;
        };
        *tally.faults.entry((kind, after)).or_default() += 1;
        let op = &well.calls[place][index];
        let when = format!(
            "{kind:?} {} {op}, call {index} of plan {place}",
            if after { "after" } else { "before" }
        );
        let inventory = world.inventory.clone();
        let band = Band::new(&now, &desired.state, &inventory);
        let seen = std::sync::Mutex::new((0, 0));
        let (account, vpc) = (world.cloud.account.clone(), world.cloud.aws.config().vpc.clone());
        let look = |step: &Step| {
            let state = reader::state(&reader::read(&account, &vpc));
            let judged = band.holds(&state, &format!("{when}, at `{step}`"));
            let mut seen = seen.lock().unwrap();
            *seen = (seen.0 + 1, seen.1 + judged);
        };
        world.set(&rules);
        if kind == Kind::Kill {
            world.pass(desired, None).await;
            world.cloud.restart();
        } else {
            // Up to the fault, all is as it is without.
            let look_from_there = |step: &Step| {
                if is_hit(&account) {
                    look(step);
                }
            };
            world.pass(desired, Some(&look_from_there)).await;
        }
        assert!(is_hit(&account), "{when}: nothing was hit");
        ask("DELETE", &format!("/_faults/{account}"), "");
        tally.packets += band.holds(&world.read(), &when);
        tally.boundaries += 1;

        for pass in 1.. {
            let extra = world.read();
            let done = world.pass(desired, Some(&look)).await.unwrap();
            let state = world.read();
            let leaked = number_of_ours(&state).saturating_sub(number_of_ours(&desired.state));
            assert!(leaked <= usize::from(pass == 1), "{when}: {leaked} leaked after pass {pass}");
            tally.leaks += leaked;
            if done {
                assert_eq!(extra, state);
                break;
            }
            tally.passes = tally.passes.max(pass);
            assert!(pass < 4, "{when}: it does not converge");
        }
        now = world.read();
        assert_eq!(shape(&now, &world.interfaces), well.shapes[place], "{when}");
        let (boundaries, packets) = *seen.lock().unwrap();
        tally.boundaries += boundaries;
        tally.packets += packets;
    }
}

/// Whether a call of the account met a fault.
fn is_hit(account: &str) -> bool {
    let answer = ask("GET", &format!("/_faults/{account}"), "");
    answer["faulted"].as_object().is_some_and(|hit| !hit.is_empty())
}

fn number_of_ours(state: &State) -> usize {
    state.groups.keys().filter(|key| matches!(key, GroupKey::Ours(_))).count()
}

#[test]
fn a_fault_at_any_call_leads_to_the_same_end_within_the_band() {
    run(async {
        let well = well().await;
        let longest = well.calls.iter().map(Vec::len).max().unwrap();
        let all = std::env::var("MOAT_FAULTS").is_ok_and(|text| text == "all");
        let mut tally = Tally::default();
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            for after in [false, true] {
                // Those calls that can meet such a fault, in either plan.
                let meets = |index: &usize| {
                    let mut calls = well.calls.iter().filter(|calls| *index < calls.len());
                    calls.any(|calls| kind.rules(calls, *index, after).is_some())
                };
                let mut indices: Vec<usize> = (0..longest).filter(meets).collect();
                if !all {
                    let one = place * indices.len() / Kind::ALL.len();
                    let turn = place % 2 == usize::from(after);
                    indices = if turn { vec![indices[one]] } else { vec![] };
                }
                for index in indices {
                    strike(kind, index, after, &well, &mut tally).await;
                }
            }
        }
        let [build, edit] = &well.calls;
        println!("calls: {} from nothing, {} of an edit", build.len(), edit.len());
        println!("{:<14} {:>7} {:>7}", "fault", "before", "after");
        for kind in Kind::ALL {
            let count = |after| tally.faults.get(&(kind, after)).copied().unwrap_or_default();
            println!("{:<14} {:>7} {:>7}", format!("{kind:?}"), count(false), count(true));
            assert!(count(false) + count(true) > 0, "{kind:?} is not tried");
        }
        let Tally { boundaries, packets, leaks, passes, .. } = tally;
        println!("{boundaries} states between calls, {packets} packets, all within the band");
        println!(
            "the same end after at most {passes} passes more; leaked after the first: {leaks}"
        );
    });
}
