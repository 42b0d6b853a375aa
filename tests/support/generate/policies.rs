//! Policies of all kinds and tiers, with rules of every form.

use std::collections::BTreeSet;
use std::net::IpAddr;

use moat_core::inventory::Inventory;
use moat_core::net::{Address, AddressSet, Family, Prefix};
use moat_core::policy::{
    Action, Direction, Kind, Namespaces, ObjectRef, Peer, Peers, PodSelector, Policy, Requirement,
    Rule, Selector, Services, Subject, Tier, Word,
};

use super::inventory::far_away;
use super::services::{Vocabulary, services};
use crate::build::{prefix, word};
use crate::random::Random;

pub(super) fn policies(random: &mut Random, inventory: &Inventory) -> Vec<Policy> {
    let count = random.between(0, 6);
    random.many(count, |random, index| policy(random, inventory, index))
}

/// A policy named after `index`.
pub(super) fn policy(random: &mut Random, inventory: &Inventory, index: usize) -> Policy {
    let kind = random.weighted(&[
        (35, Kind::NetworkPolicy),
        (20, Kind::VpcNetworkPolicy),
        (25, Kind::ClusterNetworkPolicy),
        (20, Kind::ClusterVpcNetworkPolicy),
    ]);
    let namespaced = matches!(kind, Kind::NetworkPolicy | Kind::VpcNetworkPolicy);
    let namespace = namespaced.then(|| {
        let namespaces: Vec<Word> = inventory.namespaces.keys().cloned().collect();
        random.pick(&namespaces)
    });
    let priority = random.pick(&[0, 1, 5, 5, 1000]);
    let tier = match (namespaced, random.chance(60)) {
        (true, _) => Tier::NetworkPolicy,
        (false, true) => Tier::Admin { priority },
        (false, false) => Tier::Baseline { priority },
    };
    let subject = match &namespace {
        Some(name) => {
            PodSelector { namespaces: Namespaces::Named(name.clone()), pods: pod_selector(random) }
        }
        None => pods(random, None),
    };
    let subject = if random.chance(3) { Subject::Nobody } else { Subject::Pods(subject) };
    let maker = Maker { inventory, kind, namespace: namespace.clone() };
    Policy {
        object: ObjectRef { kind, namespace, name: word(format!("policy-{index}")) },
        tier,
        subject,
        ingress: maker.rules(random, Direction::Ingress),
        egress: maker.rules(random, Direction::Egress),
    }
}

/// Makes the rules of one policy.
struct Maker<'a> {
    inventory: &'a Inventory,
    kind: Kind,
    namespace: Option<Word>,
}

impl Maker<'_> {
    fn rules(&self, random: &mut Random, direction: Direction) -> Option<Vec<Rule>> {
        if random.chance(35) {
            return None;
        }
        let count = random.between(0, 3);
        Some(random.many(count, |random, index| self.rule(random, direction, index)))
    }

    fn rule(&self, random: &mut Random, direction: Direction, index: usize) -> Rule {
        let action = match self.namespace {
            Some(_) => Action::Accept,
            None => random.pick(&[Action::Accept, Action::Deny, Action::Pass]),
        };
        let path = format!("spec.{direction}[{index}]").into();
        // What is not understood denies everything; an Accept that is not understood matches nothing.
        if action != Action::Accept && random.chance(4) {
            let action = Action::Deny;
            let (peers, services) = (Peers::Anyone, Services::Every);
            return Rule { path, name: None, action, peers, services, failed_closed: true };
        }
        let vocabulary = match self.kind {
            Kind::VpcNetworkPolicy | Kind::ClusterVpcNetworkPolicy => Vocabulary::Protocols,
            Kind::NetworkPolicy
            | Kind::ClusterNetworkPolicy
            | Kind::Pod
            | Kind::Namespace
            | Kind::Node
            | Kind::Workload
            | Kind::Service
            | Kind::SecurityGroupPolicy
            | Kind::Vpc
            | Kind::SecurityGroup
            | Kind::File
            | Kind::Other => Vocabulary::Ports,
        };
        let name = random.chance(10).then(|| format!("rule {index}").into());
        let peers = self.peers(random);
        let services = services(random, vocabulary);
        Rule { path, name, action, peers, services, failed_closed: false }
    }

    fn peers(&self, random: &mut Random) -> Peers {
        match random.below(20) {
            0..4 => Peers::Anyone,
            4 => Peers::AnyOf(Vec::new()),
            _ => {
                let count = random.between(1, 3);
                Peers::AnyOf(random.many(count, |random, _| self.peer(random)))
            }
        }
    }

    fn peer(&self, random: &mut Random) -> Peer {
        match random.below(10) {
            0..5 => Peer::Pods(pods(random, self.namespace.as_ref())),
            5 if self.namespace.is_none() => Peer::Nodes(selector(random, &NODE_WORDS)),
            _ => Peer::Addresses(block(random, self.inventory)),
        }
    }
}

// -------------------------------------------------------------------------------------------- Selectors

/// A label key with the values that a selector may ask for.
type Words = (&'static str, &'static [&'static str]);

const POD_WORDS: [Words; 4] = [
    ("app", &["web", "db", "api", "nobody"]),
    ("app", &["web", "db"]),
    ("tier", &["front", "back"]),
    ("canary", &[""]),
];
const NAMESPACE_WORDS: [Words; 2] =
    [("team", &["red", "blue"]), ("kubernetes.io/metadata.name", &["a", "b", "c"])];
const NODE_WORDS: [Words; 1] = [("zone", &["east", "west", "north"])];

fn pod_selector(random: &mut Random) -> Selector {
    selector(random, &POD_WORDS)
}

/// Pods of the policy's own namespace, of another one, or of any.
fn pods(random: &mut Random, own: Option<&Word>) -> PodSelector {
    let namespaces = match own {
        Some(own) if random.chance(50) => Namespaces::Named(own.clone()),
        _ if random.chance(15) => Namespaces::Named(word(random.pick(&["a", "b", "nowhere"]))),
        _ => Namespaces::Matching(selector(random, &NAMESPACE_WORDS)),
    };
    PodSelector { namespaces, pods: pod_selector(random) }
}

fn selector(random: &mut Random, words: &[Words]) -> Selector {
    let count = random.weighted(&[(35, 0), (50, 1), (15, 2)]);
    random.many(count, |random, _| requirement(random, words)).into_iter().collect()
}

fn requirement(random: &mut Random, words: &[Words]) -> Requirement {
    let (key, values) = random.pick(words);
    let key = word(key);
    let mut chosen: BTreeSet<Word> = random.some(values, 40).into_iter().map(word).collect();
    chosen.insert(word(random.pick(values)));
    match random.below(10) {
        0..6 => Requirement::In(key, chosen),
        6..8 => Requirement::NotIn(key, chosen),
        8 => Requirement::Exists(key),
        _ => Requirement::DoesNotExist(key),
    }
}

// -------------------------------------------------------------------------------------------- Addresses

const PREFIXES: [&str; 20] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.1.0/24",
    "10.0.1.0/28",
    "10.0.0.0/22",
    "10.0.9.0/24",
    "10.0.200.0/24",
    "172.16.0.0/12",
    "172.20.0.10/32",
    "169.254.169.254/32",
    "169.254.0.0/16",
    "10.0.0.2/32",
    "::/0",
    "2000::/3",
    "2001:db8::/32",
    "2001:db8:0:1::/64",
    "2001:db8:0:9::/64",
    "fd00:ec2::253/128",
    "fd00::/8",
];

/// A block with up to three exceptions inside it.
fn block(random: &mut Random, inventory: &Inventory) -> AddressSet {
    let whole = base(random, inventory);
    let count = random.weighted(&[(60, 0), (25, 1), (10, 2), (5, 3)]);
    let holes = random.many(count, |random, _| inside(random, inventory, whole));
    AddressSet::from(whole).difference(&holes.into_iter().flatten().collect())
}

/// A prefix of the pool, or one around the address of a pod or node.
fn base(random: &mut Random, inventory: &Inventory) -> Prefix {
    if random.chance(60) { prefix(random.pick(&PREFIXES)) } else { around(random, inventory) }
}

fn around(random: &mut Random, inventory: &Inventory) -> Prefix {
    let mut known: Vec<_> = Family::BOTH.map(far_away).to_vec();
    known.extend(inventory.pods.iter().flat_map(|pod| pod.addresses.iter().copied()));
    known.extend(inventory.nodes.iter().flat_map(|node| node.addresses.iter().copied()));
    let address = random.pick(&known);
    let host_bits = random.weighted(&[(5, 0), (2, 1), (2, 2), (2, 4), (1, 8), (1, 16)]);
    Prefix::new(address, Prefix::host(address).length() - host_bits)
        .unwrap_or(Prefix::host(address))
}

/// A prefix strictly inside another, if there is one.
fn inside(random: &mut Random, inventory: &Inventory, whole: Prefix) -> Option<Prefix> {
    let known = base(random, inventory);
    if known != whole && whole.contains_prefix(known) {
        return Some(known);
    }
    let room = Prefix::host(whole.first()).length() - whole.length();
    let deeper = u8::try_from(random.between(1, usize::from(room.clamp(1, 8)))).ok()?;
    let address = somewhere(random, whole, room);
    (room > 0).then(|| Prefix::new(address, whole.length() + deeper)).flatten()
}

/// An address of a prefix with `room` host bits.
fn somewhere(random: &mut Random, whole: Prefix, room: u8) -> IpAddr {
    let bits = u128::from(random.number()) << 64 | u128::from(random.number());
    let host = bits.checked_shr(128 - u32::from(room)).unwrap_or(0);
    match whole.first() {
        IpAddr::V4(first) => (u32::from(first) | u32::try_from(host).unwrap_or(0)).to_ip(),
        IpAddr::V6(first) => (u128::from(first) | host).to_ip(),
    }
}
