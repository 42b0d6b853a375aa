//! P3: the rules for prefixes are the fewest, proven from the groups alone.
//!
//! A rule has one prefix and one shape. Two points, each an address and a service that have to pass, are apart if the
//! least rule that holds both would let through something that must not pass. So of points that are pairwise apart, every
//! set of rules needs one rule each. The witnesses of the emitted rules are such points; whether they are apart is found out here.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

use moat_core::compile::Desired;
use moat_core::firewall::{GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::Inventory;
use moat_core::net::{AddressSet, Family, Interval, Message, Messages, Service, Shape};
use moat_core::policy::Direction;

use super::classes::point;
use super::sets::{Line, SetId, Sets, of_family, sweep};

/// Rules for prefixes, and how many there must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minimum {
    /// Those that are there, but for copied ones.
    pub rules: usize,
    /// No translation has fewer.
    pub bound: usize,
}

/// An address and a service that have to pass.
type Witness = (u128, Service);

/// Counts the rules for prefixes, and points that are pairwise apart.
#[must_use]
pub fn minimum(desired: &Desired, inventory: &Inventory) -> Minimum {
    let mut total = Minimum::default();
    let mut seen: BTreeSet<BTreeSet<GroupNumber>> = BTreeSet::new();
    for worn in desired.state.interfaces.values() {
        let ours = worn.iter().filter_map(|key| match key {
            GroupKey::Ours(number) => Some(*number),
            GroupKey::Foreign(_) => None,
        });
        // Membership groups have no rules, and are worn by many.
        let has_rules = |number: &GroupNumber| {
            let rules = desired.state.groups.get(&GroupKey::Ours(*number));
            rules.is_some_and(|rules| !rules.is_empty())
        };
        let ours: BTreeSet<GroupNumber> = ours.filter(has_rules).collect();
        if ours.is_empty() || !seen.insert(ours.clone()) {
            continue;
        }
        for direction in Direction::BOTH {
            for family in Family::BOTH {
                total += of_groups(&ours, direction, family, desired, inventory);
            }
        }
    }
    total
}

fn of_groups(
    groups: &BTreeSet<GroupNumber>,
    direction: Direction,
    family: Family,
    desired: &Desired,
    inventory: &Inventory,
) -> Minimum {
    let mut sets = Sets::default();
    let (mut parts, mut services) = (Vec::new(), Vec::new());
    let mut witnesses: Vec<Witness> = Vec::new();
    for number in groups {
        let Some(rules) = desired.state.groups.get(&GroupKey::Ours(*number)) else { continue };
        for rule in rules.iter().filter(|rule| rule.direction == direction) {
            let Peer::Prefix(prefix) = rule.peer else { continue };
            if prefix.family() != family {
                continue;
            }
            parts.push(of_family(&AddressSet::from(prefix), family));
            services.push(sets.keep(rule.shape.services().within(family)));
            witnesses.extend(witness(*number, rule, desired, inventory));
        }
    }
    let nothing = sets.empty();
    let line = sweep(family, &parts, |active| {
        active.iter().fold(nothing, |all, rule| sets.union(all, services[*rule]))
    });
    let rules = witnesses.len();
    witnesses.retain(|(point, service)| sets.get(line.at(*point)).contains(*service));
    witnesses.sort_unstable();
    let mut apart: Vec<Witness> = Vec::new();
    for candidate in witnesses {
        if apart.iter().all(|other| are_apart(*other, candidate, family, &line, &sets)) {
            apart.push(candidate);
        }
    }
    Minimum { rules, bound: apart.len() }
}

fn witness(
    number: GroupNumber,
    rule: &Rule,
    desired: &Desired,
    inventory: &Inventory,
) -> Option<Witness> {
    let flow = desired.reasons.get(&(number, rule.clone()))?.witness?;
    let remote = match rule.direction {
        Direction::Ingress => flow.source,
        Direction::Egress => flow.destination,
    };
    Some((point(remote.address(inventory, flow.family)?), flow.service))
}

/// Whether every rule that holds both points lets through what must not pass.
fn are_apart(a: Witness, b: Witness, family: Family, line: &Line, sets: &Sets) -> bool {
    let bits = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    // The lowest bits in which the addresses can differ inside their least common prefix.
    let free = (a.0 ^ b.0).checked_ilog2().map_or(0, |highest| highest + 1).min(bits);
    let ones = u128::MAX.checked_shr(128 - free).unwrap_or(0);
    let (low, high) = (a.0 & !ones, a.0 | ones);
    let least = least_shape(a.1, b.1).services().within(family);
    let lacks = |set: SetId| !sets.get(set).contains_all(&least);
    let first = line.0.partition_point(|(start, _)| *start <= low) - 1;
    line.0[first..].iter().take_while(|(start, _)| *start <= high).any(|(_, set)| lacks(*set))
}

/// The least services that one rule can name and that hold both.
fn least_shape(a: Service, b: Service) -> Shape {
    let range = |a: u16, b: u16| Interval::new(a.min(b), a.max(b)).unwrap_or(Interval::single(a));
    let messages = |a: Message, b: Message| {
        if a == b {
            Messages::One(a)
        } else if a.kind == b.kind {
            Messages::Type(a.kind)
        } else {
            Messages::All
        }
    };
    match (a, b) {
        (Service::Tcp(a), Service::Tcp(b)) => Shape::Tcp(range(a, b)),
        (Service::Udp(a), Service::Udp(b)) => Shape::Udp(range(a, b)),
        (Service::Sctp(_), Service::Sctp(_)) => Shape::Sctp,
        (Service::Icmp(a), Service::Icmp(b)) => Shape::Icmp(messages(a, b)),
        (Service::Icmpv6(a), Service::Icmpv6(b)) => Shape::Icmpv6(messages(a, b)),
        (Service::Other(a), Service::Other(b)) if a == b => Shape::Other(a),
        _ => Shape::All,
    }
}

impl AddAssign for Minimum {
    fn add_assign(&mut self, other: Self) {
        self.rules += other.rules;
        self.bound += other.bound;
    }
}

impl fmt::Display for Minimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rules, bound } = self;
        write!(f, "{rules} rules for prefixes, and none can have fewer than {bound}")
    }
}
