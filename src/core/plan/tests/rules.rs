//! What two rules share, held against the packets that they let through.

use std::net::IpAddr;

use super::world::{group, tcp};
use crate::firewall::{GroupKey, Peer, Rule};
use crate::net::{Interval, Message, Messages, Prefix, Protocol, ServiceSet, Shape};
use crate::plan::path::{covered, largest};
use crate::plan::state::{contains, meet};
use crate::policy::Direction;

fn shapes() -> Vec<Shape> {
    let messages = [
        Messages::All,
        Messages::Type(3),
        Messages::Type(8),
        Messages::One(Message { kind: 3, code: 0 }),
        Messages::One(Message { kind: 3, code: 4 }),
        Messages::One(Message { kind: 8, code: 0 }),
    ];
    let ports = [(0, 65_535), (80, 89), (85, 95), (80, 80), (89, 89), (90, 90), (65_535, 65_535)];
    let ranges = ports.into_iter().filter_map(|(low, high)| Interval::new(low, high));
    let mut shapes = vec![Shape::All, Shape::Sctp];
    shapes.extend([47, 50].map(|number| Shape::Other(Protocol::new(number).unwrap())));
    shapes.extend(messages.into_iter().flat_map(|it| [Shape::Icmp(it), Shape::Icmpv6(it)]));
    shapes.extend(ranges.flat_map(|it| [Shape::Tcp(it), Shape::Udp(it)]));
    shapes
}

fn peers() -> Vec<Peer> {
    let prefixes = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.0.0.7/32"];
    let prefixes = prefixes.into_iter().chain(["::/0", "2001:db8::/32", "2001:db8::7/128"]);
    let prefixes = prefixes.map(|text| Peer::Prefix(text.parse().unwrap()));
    prefixes.chain([1, 2].map(|number| Peer::Group(group(number)))).collect()
}

/// The other end of a packet, as rules see it.
#[derive(Clone, Debug)]
enum Remote {
    Address(IpAddr),
    Wearer(GroupKey),
}

fn remotes() -> Vec<Remote> {
    let addresses = ["9.0.0.0", "10.0.0.6", "10.0.0.7", "10.0.0.8", "10.127.0.0", "10.128.0.0"];
    let addresses = addresses.into_iter().chain(["2001:db7::", "2001:db8::6", "2001:db8::7"]);
    let addresses = addresses.map(|text| Remote::Address(text.parse().unwrap()));
    addresses.chain([1, 2].map(|number| Remote::Wearer(group(number)))).collect()
}

fn concerns(peer: &Peer, remote: &Remote) -> bool {
    match (peer, remote) {
        (Peer::Prefix(prefix), Remote::Address(address)) => prefix.contains(*address),
        (Peer::Group(group), Remote::Wearer(worn)) => group == worn,
        (Peer::Prefix(_) | Peer::Group(_), _) => false,
    }
}

#[test]
fn the_shape_that_two_shapes_share_has_the_services_that_both_have() {
    for a in shapes() {
        for b in shapes() {
            let shared = a.services().intersection(&b.services());
            match a.common(b) {
                Some(shape) => assert_eq!(shape.services(), shared, "{a:?} {b:?}"),
                None => assert!(shared.is_empty(), "{a:?} {b:?}"),
            }
        }
    }
}

#[test]
fn two_rules_meet_where_the_remotes_of_both_are() {
    for direction in Direction::BOTH {
        for (a, b) in
            peers().into_iter().flat_map(|a| peers().into_iter().map(move |b| (a.clone(), b)))
        {
            let rule = |peer: &Peer, shape| Rule {
                direction: Direction::Ingress,
                peer: peer.clone(),
                shape,
            };
            let (x, y) = (rule(&a, tcp(80, 89)), Rule { direction, ..rule(&b, tcp(85, 95)) });
            let met = meet(&x, &y);
            for remote in remotes() {
                let both = direction == Direction::Ingress
                    && concerns(&a, &remote)
                    && concerns(&b, &remote);
                let told = met.as_ref().is_some_and(|it| concerns(&it.peer, &remote));
                assert_eq!(told, both, "{x} {y} {remote:?}");
            }
            if let Some(met) = met {
                assert_eq!((met.direction, met.shape), (direction, tcp(85, 89)), "{x} {y}");
                assert!(contains(&x, &met) && contains(&y, &met), "{x} {y}");
            }
            assert_eq!(contains(&x, &y) && contains(&y, &x), x == y, "{x} {y}");
        }
    }
}

#[test]
fn a_rule_is_covered_when_others_together_let_its_packets_through() {
    let halves = ["10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/8", "2001:db8::/32"];
    let kinds = [tcp(80, 89), tcp(80, 84), tcp(85, 89), Shape::Icmp(Messages::Type(3)), Shape::All];
    let rules: Vec<Rule> = halves
        .iter()
        .map(|text| Peer::Prefix(text.parse().unwrap()))
        .chain([Peer::Group(group(1))])
        .flat_map(|peer| {
            kinds.map(|shape| Rule { direction: Direction::Egress, peer: peer.clone(), shape })
        })
        .collect();
    let lets = |rule: &Rule, remote: &Remote| {
        let services = rule.shape.services();
        let there = match remote {
            Remote::Address(address) => services.within(Prefix::host(*address).family()),
            Remote::Wearer(_) => services,
        };
        concerns(&rule.peer, remote).then_some(there)
    };
    for rule in &rules {
        for (place, one) in rules.iter().enumerate() {
            for other in &rules[place..] {
                let by = [one.clone(), other.clone()].into();
                let inside = remotes().iter().all(|remote| {
                    let sum = [one, other].into_iter().filter_map(|it| lets(it, remote));
                    let sum = sum.fold(ServiceSet::empty(), |a, b| a.union(&b));
                    lets(rule, remote).is_none_or(|wanted| sum.contains_all(&wanted))
                });
                assert_eq!(covered(rule, &by), inside, "{rule} by {one}, {other}");
            }
        }
    }
}

#[test]
fn the_largest_rules_are_those_that_no_other_one_contains() {
    let direction = Direction::Ingress;
    let rules = |shapes: &[Shape]| -> Vec<Rule> {
        let all = peers().into_iter().flat_map(|peer| {
            shapes.iter().map(move |shape| Rule { direction, peer: peer.clone(), shape: *shape })
        });
        all.collect()
    };
    let mut sets = vec![rules(&shapes())];
    // Without what contains everything else.
    sets.extend(shapes().windows(2).map(rules));
    for set in sets {
        let inside = |rule: &&Rule| !set.iter().any(|it| it != *rule && contains(it, rule));
        let wanted = set.iter().filter(inside).cloned().collect();
        assert_eq!(largest(&set.iter().cloned().collect()), wanted);
    }
}
