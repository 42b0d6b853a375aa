//! Small random clouds: few pods, groups, prefixes and services, so that everything can be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::compile::Desired;
use crate::firewall::{Cloud, ForeignGroupId, GroupKey, GroupNumber, Peer, Rule, State};
use crate::flow::{Endpoint, Flow};
use crate::inventory::{Attachment, Interface, InterfaceId, Inventory, Pod, PodIndex};
use crate::net::{Family, Interval, Message, Messages, Prefix, Service, Shape};
use crate::policy::Direction;
use crate::provider::{Observed, Step};

/// A generator of choices (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Choices(pub(super) u64);

impl Choices {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from(z % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    pub(super) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// What is there and what is wanted.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) inventory: Inventory,
    pub(super) observed: Observed,
    pub(super) desired: Desired,
}

pub(super) fn group(number: usize) -> GroupKey {
    GroupKey::Ours(number_of(number))
}

pub(super) fn number_of(number: usize) -> GroupNumber {
    GroupNumber::nth(number - 1)
}

pub(super) fn foreign(name: &str) -> GroupKey {
    GroupKey::Foreign(ForeignGroupId(name.into()))
}

pub(super) fn interface(name: &str) -> InterfaceId {
    InterfaceId(format!("eni-{name}").as_str().into())
}

pub(super) fn pod(name: &str, addresses: &[&str]) -> Pod {
    Pod {
        namespace: "shop".into(),
        name: name.into(),
        uid: name.into(),
        labels: Arc::default(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        node: None,
        ports: [].into(),
        probes: [].into(),
        host_network: false,
        interface: Some(interface(name)),
    }
}

pub(super) fn from_prefix(direction: Direction, text: &str, shape: Shape) -> Rule {
    Rule { direction, peer: Peer::Prefix(text.parse().unwrap()), shape }
}

pub(super) fn tcp(low: u16, high: u16) -> Shape {
    Shape::Tcp(Interval::new(low, high).unwrap())
}

/// Everything in and out.
pub(super) fn open() -> BTreeSet<Rule> {
    let all = Direction::BOTH.into_iter().flat_map(|direction| {
        ["0.0.0.0/0", "::/0"].map(|text| from_prefix(direction, text, Shape::All))
    });
    all.collect()
}

impl World {
    /// Pods that wear these groups, with these rules.
    pub(super) fn new(pods: &[Pod], now: State, wanted: State, prior: &[&str]) -> Self {
        let prior: BTreeSet<ForeignGroupId> =
            prior.iter().map(|name| ForeignGroupId((*name).into())).collect();
        let interfaces: BTreeMap<InterfaceId, Interface> = pods
            .iter()
            .filter_map(|pod| pod.interface.clone())
            .map(|id| {
                let prior = prior.clone();
                (id, Interface { attachment: Attachment::Exclusive, prior })
            })
            .collect();
        let foreign = now.groups.iter().filter_map(|(key, rules)| match key {
            GroupKey::Foreign(id) => Some((id.clone(), rules.clone())),
            GroupKey::Ours(_) => None,
        });
        Self {
            inventory: Inventory {
                pods: pods.to_vec(),
                interfaces: interfaces.clone(),
                foreign: foreign.collect(),
                ..Inventory::default()
            },
            observed: Observed { state: now, interfaces, ..Observed::default() },
            desired: Desired { state: wanted, ..Desired::default() },
        }
    }

    /// A random world; `tight` ones change everything at once, others differ in few places.
    pub(super) fn random(choices: &mut Choices) -> Self {
        let all_pods = [
            pod("a", &["10.0.0.1"]),
            pod("b", &["10.0.0.2", "2001:db8::2"]),
            pod("c", &["10.0.1.1", "2001:db8::3"]),
            pod("d", &["10.0.1.2"]),
            pod("e", &["10.0.1.3"]),
        ];
        let mut pods = all_pods[..2 + choices.below(4)].to_vec();
        if choices.chance(2) {
            pods.iter_mut().for_each(|pod| pod.addresses.truncate(1));
        }
        let pods = &pods[..];
        let mut now = State::default();
        now.groups.insert(foreign("sg-base"), open());
        now.groups.insert(foreign("sg-none"), BTreeSet::new());
        let wanted_count = 1 + choices.below(4);
        let mut wanted = random_state(choices, pods, wanted_count);
        let mut there = match choices.below(4) {
            0 => random_state(choices, pods, 0),
            1 => {
                let count = 1 + choices.below(4);
                random_state(choices, pods, count)
            }
            _ => {
                let mut near = wanted.clone();
                for _ in 0..=choices.below(3) {
                    disturb(choices, &mut near, wanted_count);
                }
                near
            }
        };
        // Provisional numbers have nothing to do with those in the cloud.
        let shift = choices.below(3);
        there = shifted(&there, shift);
        now.groups.extend(there.groups);
        now.interfaces.extend(there.interfaces);
        for (key, rules) in &now.groups {
            if matches!(key, GroupKey::Foreign(_)) {
                wanted.groups.insert(key.clone(), rules.clone());
            }
        }
        Self::new(pods, now, wanted, &["sg-base"])
    }

    /// The wanted state as a cloud would hold it, in provisional numbers.
    pub(super) fn goal(&self) -> State {
        self.desired.state.clone()
    }
}

const PREFIXES: [&str; 9] = [
    "0.0.0.0/0",
    "10.0.0.0/16",
    "10.0.0.0/24",
    "10.0.1.0/24",
    "10.0.0.1/32",
    "192.168.0.0/17",
    "192.168.0.0/16",
    "::/0",
    "2001:db8::/64",
];

fn shape(choices: &mut Choices) -> Shape {
    let icmp = Message { kind: 8, code: 0 };
    *choices.of(&[
        Shape::All,
        tcp(80, 89),
        tcp(80, 80),
        tcp(75, 85),
        tcp(0, 65535),
        Shape::Udp(Interval::single(53)),
        Shape::Icmp(Messages::Type(8)),
        Shape::Icmp(Messages::One(icmp)),
        Shape::Icmpv6(Messages::All),
    ])
}

fn rule(choices: &mut Choices, groups: usize) -> Rule {
    let direction = *choices.of(&Direction::BOTH);
    let peer = if groups > 0 && choices.chance(2) {
        Peer::Group(group(1 + choices.below(groups)))
    } else {
        Peer::Prefix(choices.of(&PREFIXES).parse().unwrap())
    };
    Rule { direction, peer, shape: shape(choices) }
}

fn wears(choices: &mut Choices, groups: usize) -> BTreeSet<GroupKey> {
    if groups == 0 || choices.chance(5) {
        return BTreeSet::from([foreign("sg-base")]);
    }
    let mut worn = BTreeSet::from([group(1 + choices.below(groups))]);
    if choices.chance(3) {
        worn.insert(group(1 + choices.below(groups)));
    }
    if choices.chance(8) {
        worn.insert(foreign(if choices.chance(2) { "sg-base" } else { "sg-none" }));
    }
    worn
}

pub(super) fn random_state(choices: &mut Choices, pods: &[Pod], groups: usize) -> State {
    let mut state = State::default();
    for number in 1..=groups {
        let rules = (0..choices.below(5)).map(|_| rule(choices, groups)).collect();
        state.groups.insert(group(number), rules);
    }
    for pod in pods {
        state.interfaces.insert(pod.interface.clone().unwrap(), wears(choices, groups));
    }
    state
}

pub(super) fn disturb(choices: &mut Choices, state: &mut State, groups: usize) {
    let target = group(1 + choices.below(groups));
    match choices.below(3) {
        0 => {
            let rule = rule(choices, groups);
            state.groups.entry(target).or_default().insert(rule);
        }
        1 => {
            let rules = state.groups.entry(target).or_default();
            if let Some(rule) = rules.iter().next().cloned() {
                rules.remove(&rule);
            }
        }
        _ => {
            let all: Vec<InterfaceId> = state.interfaces.keys().cloned().collect();
            let moved = choices.of(&all).clone();
            state.interfaces.insert(moved, wears(choices, groups));
        }
    }
}

pub(super) fn shifted(state: &State, by: usize) -> State {
    let key = |key: &GroupKey| match key {
        GroupKey::Ours(number) => {
            GroupKey::Ours(GroupNumber::nth(usize::try_from(number.0.get()).unwrap() - 1 + by))
        }
        GroupKey::Foreign(_) => key.clone(),
    };
    let rule = |rule: &Rule| Rule {
        peer: match &rule.peer {
            Peer::Group(named) => Peer::Group(key(named)),
            Peer::Prefix(_) => rule.peer.clone(),
        },
        ..rule.clone()
    };
    State {
        groups: state.groups.iter().map(|(k, r)| (key(k), r.iter().map(rule).collect())).collect(),
        interfaces: state
            .interfaces
            .iter()
            .map(|(id, worn)| (id.clone(), worn.iter().map(key).collect()))
            .collect(),
        ..State::default()
    }
}

// ------------------------------------------------------------------------------------------------ Packets

/// Packets that tell any two states of small worlds apart.
pub(super) fn packets(inventory: &Inventory, states: &[&State]) -> Vec<Flow> {
    let mut services = BTreeSet::from([
        Service::Tcp(1),
        Service::Udp(1),
        Service::Sctp(1),
        Service::Icmp(Message { kind: 8, code: 0 }),
        Service::Icmp(Message { kind: 8, code: 1 }),
        Service::Icmp(Message { kind: 3, code: 4 }),
        Service::Icmpv6(Message { kind: 2, code: 0 }),
    ]);
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    for rule in states.iter().flat_map(|state| state.groups.values()).flatten() {
        if let Peer::Prefix(prefix) = &rule.peer {
            addresses.extend([prefix.first(), prefix.last()]);
            addresses.extend(outside(*prefix));
        }
        match rule.shape {
            Shape::Tcp(ports) => {
                services.extend([ports.low(), ports.high()].map(Service::Tcp));
                services.extend(ports.low().checked_sub(1).map(Service::Tcp));
                services.extend(ports.high().checked_add(1).map(Service::Tcp));
            }
            Shape::Udp(ports) => {
                services.insert(Service::Udp(ports.low()));
            }
            Shape::All | Shape::Sctp | Shape::Icmp(_) | Shape::Icmpv6(_) | Shape::Other(_) => {}
        }
    }
    let bears = |address: &IpAddr| inventory.pods.iter().any(|pod| pod.addresses.contains(address));
    let pods = (0..inventory.pods.len()).map(|place| Endpoint::Pod(PodIndex(place)));
    let pods: Vec<Endpoint> = pods.collect();
    let others: Vec<Endpoint> =
        addresses.into_iter().filter(|it| !bears(it)).map(Endpoint::Address).collect();
    let pairs = pods.iter().flat_map(|pod| {
        let near = pods.iter().map(move |other| (*pod, *other));
        near.chain(others.iter().flat_map(move |other| [(*pod, *other), (*other, *pod)]))
    });
    let mut flows = Vec::new();
    for (source, destination) in pairs {
        for family in Family::BOTH {
            let ends = [source, destination].map(|end| end.address(inventory, family));
            if ends.iter().all(Option::is_some) {
                let there = services.iter().filter(|service| service.exists_in(family));
                flows.extend(there.map(|service| Flow {
                    source,
                    destination,
                    family,
                    service: *service,
                }));
            }
        }
    }
    flows
}

fn outside(prefix: Prefix) -> Option<IpAddr> {
    match prefix.last() {
        IpAddr::V4(last) => u32::from(last).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(last) => u128::from(last).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

/// Which packets arrive.
pub(super) fn arrivals(state: &State, inventory: &Inventory, packets: &[Flow]) -> Vec<bool> {
    let cloud = Cloud::new(state, inventory);
    packets.iter().map(|packet| cloud.allows(packet)).collect()
}

/// A state after some steps.
pub(super) fn after<'a>(state: &State, steps: impl IntoIterator<Item = &'a Step>) -> State {
    let mut state = state.clone();
    for step in steps {
        match step {
            Step::CreateGroup(number) => {
                let before = state.groups.insert(GroupKey::Ours(*number), BTreeSet::new());
                assert_eq!(before, None, "created twice");
            }
            Step::Authorize { group, rules, .. } => {
                let there = state.groups.get_mut(&GroupKey::Ours(*group)).expect("it is there");
                for rule in rules.keys() {
                    assert!(there.insert(rule.clone()), "a duplicate rule");
                }
            }
            Step::Revoke { group, rules, .. } => {
                let there = state.groups.get_mut(&GroupKey::Ours(*group)).expect("it is there");
                for rule in rules {
                    assert!(there.remove(rule), "no such rule");
                }
            }
            Step::SetGroups { interface, groups, .. } => {
                assert!(!groups.is_empty());
                state.interfaces.insert(interface.clone(), groups.clone());
            }
            Step::DeleteGroup(number) => {
                let key = GroupKey::Ours(*number);
                assert!(state.interfaces.values().all(|worn| !worn.contains(&key)), "worn");
                state.groups.remove(&key).expect("it is there");
                let names = |rule: &Rule| rule.peer == Peer::Group(key.clone());
                assert!(!state.groups.values().flatten().any(names), "named");
            }
            Step::Acl(step) => panic!("no ACL is handed over: {step}"),
        }
    }
    state
}
