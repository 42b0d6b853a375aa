//! Namespaces, pods, nodes, interfaces and the groups that others keep on them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use moat_core::firewall::{ForeignGroupId, GroupKey, Peer, Rule};
use moat_core::inventory::{Attachment, Interface, InterfaceId, Inventory, NamedPort, Node, Pod};
use moat_core::net::{AddressSet, Family, Interval, Messages, Prefix, Shape, Transport};
use moat_core::policy::{Direction, Labels, Word};

use super::{NODE_SUBNETS, POD_SUBNETS};
use crate::build::{address, addresses, prefix, word};
use crate::random::Random;

/// Which families a cluster's pods have.
#[derive(Clone, Copy)]
enum Stack {
    V4,
    V6,
    Dual,
    Mixed,
}

pub(super) fn inventory(random: &mut Random) -> Inventory {
    let stack =
        random.weighted(&[(4, Stack::V4), (1, Stack::V6), (3, Stack::Dual), (2, Stack::Mixed)]);
    let namespaces = namespaces(random);
    let nodes = nodes(random, stack);
    let mut inventory = Inventory {
        namespaces,
        foreign: foreign(),
        vpc: vec![prefix("10.0.0.0/16"), prefix("2001:db8::/56")],
        services: services(random),
        nodes,
        ..Inventory::default()
    };
    let attachments =
        if random.chance(60) { &[(1, Some(Attachment::Exclusive))][..] } else { &MIXED };
    let open_priors = random.chance(60);
    let count = random.between(2, 10);
    for index in 0..count {
        let attachment = random.weighted(attachments);
        let mut pod = pod(random, &inventory, stack, index);
        attach(random, &mut inventory, &mut pod, attachment, open_priors);
        insert(&mut inventory, pod);
    }
    inventory
}

/// One more pod, the `index`th, as the other pods are.
pub(super) fn add_pod(random: &mut Random, inventory: &mut Inventory, index: usize) {
    let of = |family| inventory.pods.iter().any(|pod| pod.address(family).is_some());
    let stack = match (of(Family::V4), of(Family::V6)) {
        (true, true) => Stack::Mixed,
        (false, true) => Stack::V6,
        (true | false, false) => Stack::V4,
    };
    let mut pod = pod(random, inventory, stack, index);
    attach(random, inventory, &mut pod, Some(Attachment::Exclusive), true);
    insert(inventory, pod);
}

/// Lets a pod claim an address of another one, as a pod does that is gone and not reported yet.
pub(super) fn dispute(random: &mut Random, inventory: &mut Inventory) {
    let pods = inventory.pods.iter().filter(|pod| !pod.host_network);
    let claimed: Vec<IpAddr> = pods.flat_map(|pod| pod.addresses.iter().copied()).collect();
    if claimed.is_empty() {
        return;
    }
    let claimed = random.pick(&claimed);
    let index = random.below(inventory.pods.len());
    let claimant = &mut inventory.pods[index];
    if let Some(own) =
        claimant.addresses.iter_mut().find(|own| Family::of(**own) == Family::of(claimed))
    {
        *own = claimed;
    }
}

pub(super) fn insert(inventory: &mut Inventory, pod: Pod) {
    inventory.pods.push(pod);
    inventory.pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
}

// ---------------------------------------------------------------------------------- Namespaces and nodes

pub(super) fn namespace_labels(random: &mut Random, name: &str) -> Arc<Labels> {
    let mut labels = vec![("kubernetes.io/metadata.name", name)];
    if random.chance(80) {
        labels.push(("team", random.pick(&["red", "blue"])));
    }
    Arc::new(labels.into_iter().collect())
}

fn namespaces(random: &mut Random) -> BTreeMap<Word, Arc<Labels>> {
    let count = random.between(1, 4);
    let names = ["a", "b", "c", "d"].into_iter().take(count);
    names.map(|name| (word(name), namespace_labels(random, name))).collect()
}

fn nodes(random: &mut Random, stack: Stack) -> Vec<Node> {
    let count = random.between(1, 3);
    random.many(count, |random, index| Node {
        name: word(format!("n{index}")),
        labels: Arc::new([("zone", random.pick(&["east", "west"]))].into_iter().collect()),
        addresses: addresses_in(random, stack, NODE_SUBNETS, index),
    })
}

/// The `index`th address of the subnets, one for each family of the stack.
fn addresses_in(
    random: &mut Random,
    stack: Stack,
    subnets: [&str; 2],
    index: usize,
) -> Vec<IpAddr> {
    let offset = 4 + 3 * index + random.below(3);
    let families: &[usize] = match stack {
        Stack::V4 => &[0],
        Stack::V6 => &[1],
        Stack::Dual => &[0, 1],
        Stack::Mixed => random.pick(&[&[0_usize][..], &[1], &[0, 1]]),
    };
    families.iter().map(|family| host(subnets[*family], offset)).collect()
}

/// The address `offset` places into a subnet.
fn host(subnet: &str, offset: usize) -> IpAddr {
    let next = |address: IpAddr| match address {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) + 1).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) + 1).into()),
    };
    (0..offset).fold(prefix(subnet).first(), |address, _| next(address))
}

fn services(random: &mut Random) -> AddressSet {
    if random.chance(30) { addresses(&["172.20.0.10/32"]) } else { AddressSet::empty() }
}

// ------------------------------------------------------------------------------------------------- Pods

pub(super) fn pod_labels(random: &mut Random) -> Arc<Labels> {
    let mut labels = vec![("app", random.pick(&["web", "db", "api"]))];
    if random.chance(50) {
        labels.push(("tier", random.pick(&["front", "back"])));
    }
    if random.chance(20) {
        labels.push(("canary", ""));
    }
    Arc::new(labels.into_iter().collect())
}

fn pod(random: &mut Random, inventory: &Inventory, stack: Stack, index: usize) -> Pod {
    let namespaces: Vec<Word> = inventory.namespaces.keys().cloned().collect();
    let node = random.pick(&inventory.nodes);
    let subnet = random.below(2);
    let placed = addresses_in(random, stack, [POD_SUBNETS[subnet], POD_SUBNETS[2 + subnet]], index);
    let host_network = random.chance(6) && !node.addresses.is_empty();
    Pod {
        namespace: random.pick(&namespaces),
        name: word(format!("p{index}")),
        uid: word(format!("uid-{index}")),
        labels: pod_labels(random),
        addresses: if host_network { node.addresses } else { placed },
        node: Some(node.name),
        ports: named_ports(random).into(),
        probes: random.some(&[80, 8080, 9000], 20).into(),
        host_network,
        interface: None,
    }
}

fn named_ports(random: &mut Random) -> Vec<NamedPort> {
    let choices = [
        ("http", Transport::Tcp, 80),
        ("http", Transport::Tcp, 8080),
        ("http", Transport::Udp, 8080),
        ("dns", Transport::Udp, 53),
        ("dns", Transport::Tcp, 53),
        ("signal", Transport::Sctp, 9003),
    ];
    let mut ports = random.some(&choices, 25);
    ports.sort_unstable();
    let named = |(name, transport, number)| NamedPort { name: word(name), transport, number };
    ports.into_iter().map(named).collect()
}

// ------------------------------------------------------------------------------------------- Interfaces

/// How pods are attached where not all have an interface of their own.
const MIXED: [(usize, Option<Attachment>); 4] = [
    (60, Some(Attachment::Exclusive)),
    (18, Some(Attachment::Shared)),
    (12, Some(Attachment::Fixed)),
    (10, None),
];

fn attach(
    random: &mut Random,
    inventory: &mut Inventory,
    pod: &mut Pod,
    attachment: Option<Attachment>,
    open_priors: bool,
) {
    let Some(attachment) = attachment.filter(|_| !pod.host_network) else { return };
    let id = match attachment {
        Attachment::Exclusive | Attachment::Fixed | Attachment::Released => {
            format!("eni-{}", pod.uid)
        }
        Attachment::Shared => format!("eni-{}", pod.node.as_deref().unwrap_or("lost")),
    };
    let id = InterfaceId(word(id));
    let prior = if open_priors { BTreeSet::from([open_group()]) } else { prior(random) };
    inventory.interfaces.entry(id.clone()).or_insert(Interface { attachment, prior });
    pod.interface = Some(id);
}

fn prior(random: &mut Random) -> BTreeSet<ForeignGroupId> {
    let choices: [(usize, &[ForeignGroupId]); 6] = [
        (50, &[open_group()]),
        (15, &[narrow_group()]),
        (10, &[open_group(), narrow_group()]),
        (9, &[closed_group()]),
        (8, &[open_group(), closed_group()]),
        (8, &[referring_group()]),
    ];
    random
        .weighted(&choices.each_ref().map(|(weight, groups)| (*weight, *groups)))
        .iter()
        .cloned()
        .collect()
}

/// Everything, both ways, in both families.
pub(super) fn open_group() -> ForeignGroupId {
    ForeignGroupId(word("sg-open"))
}

/// A few services in, everything out.
pub(super) fn narrow_group() -> ForeignGroupId {
    ForeignGroupId(word("sg-narrow"))
}

/// No rules.
fn closed_group() -> ForeignGroupId {
    ForeignGroupId(word("sg-closed"))
}

/// What the wearers of the open group send, and to them.
fn referring_group() -> ForeignGroupId {
    ForeignGroupId(word("sg-referring"))
}

fn foreign() -> BTreeMap<ForeignGroupId, BTreeSet<Rule>> {
    let everywhere = |direction| {
        Family::BOTH.map(|family| from_prefix(direction, Prefix::everything(family), Shape::All))
    };
    let tcp = |port| Shape::Tcp(Interval::single(port));
    let open = Direction::BOTH.into_iter().flat_map(everywhere).collect();
    let mut narrow: BTreeSet<Rule> = everywhere(Direction::Egress).into_iter().collect();
    narrow.extend([
        from_prefix(Direction::Ingress, prefix("10.0.0.0/16"), tcp(80)),
        from_prefix(Direction::Ingress, prefix("0.0.0.0/0"), tcp(443)),
        from_prefix(Direction::Ingress, prefix("::/0"), tcp(443)),
        from_prefix(Direction::Ingress, prefix("0.0.0.0/0"), Shape::Icmp(Messages::Type(8))),
    ]);
    let of_open = |direction, shape| Rule {
        direction,
        peer: Peer::Group(GroupKey::Foreign(open_group())),
        shape,
    };
    let referring = [of_open(Direction::Ingress, Shape::All), of_open(Direction::Egress, tcp(80))];
    BTreeMap::from([
        (open_group(), open),
        (narrow_group(), narrow),
        (closed_group(), BTreeSet::new()),
        (referring_group(), referring.into_iter().collect()),
    ])
}

fn from_prefix(direction: Direction, prefix: Prefix, shape: Shape) -> Rule {
    Rule { direction, peer: Peer::Prefix(prefix), shape }
}

/// An address that an imaginary client far away has.
pub(super) fn far_away(family: Family) -> IpAddr {
    match family {
        Family::V4 => address("8.8.8.8"),
        Family::V6 => address("2600::8"),
    }
}
