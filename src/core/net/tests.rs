use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::arbitrary::{
    address_set, interval, intervals, message, point, prefix, service, service_set, shape,
};
use super::*;

type Bits = BTreeSet<u8>;

fn bits(set: &Intervals<u8>) -> Bits {
    (0..=u8::MAX).filter(|point| set.contains(*point)).collect()
}

fn assert_canonical(set: &Intervals<u8>) {
    let runs: Vec<_> = set.iter().collect();
    for pair in runs.windows(2) {
        assert!(pair[0].high().next().unwrap() < pair[1].low(), "{set} overlaps or touches");
    }
}

proptest! {
    #[test]
    fn sets_of_numbers_agree_with_bit_vectors(
        a in intervals::<u8>(),
        b in intervals::<u8>(),
        part in interval::<u8>(),
    ) {
        let (x, y) = (bits(&a), bits(&b));
        for (set, bit_vector) in [
            (a.union(&b), &x | &y),
            (a.intersection(&b), &x & &y),
            (a.difference(&b), &x - &y),
            (a.complement(), &(0..=u8::MAX).collect::<Bits>() - &x),
            (x.iter().copied().map(Interval::single).collect(), x.clone()),
        ] {
            assert_canonical(&set);
            prop_assert_eq!(bits(&set), bit_vector);
        }
        prop_assert_eq!(a == b, x == y);
        prop_assert_eq!(a.is_empty(), x.is_empty());
        prop_assert_eq!(a.is_full(), x.len() == 256);
        prop_assert_eq!(a.first(), x.first().copied());
        prop_assert_eq!(a.contains_all(&b), x.is_superset(&y));
        prop_assert_eq!(a.intersects(&b), !x.is_disjoint(&y));
        let missing = (part.low()..=part.high()).find(|point| !x.contains(point));
        prop_assert_eq!(a.first_missing(part), missing);
    }

    #[test]
    fn sets_of_services_agree_with_their_members(
        a in service_set(),
        b in service_set(),
        services in proptest::collection::vec(service(), 40),
    ) {
        let (union, both, rest) = (a.union(&b), a.intersection(&b), a.difference(&b));
        for service in services {
            let (in_a, in_b) = (a.contains(service), b.contains(service));
            prop_assert_eq!(union.contains(service), in_a || in_b);
            prop_assert_eq!(both.contains(service), in_a && in_b);
            prop_assert_eq!(rest.contains(service), in_a && !in_b);
            prop_assert_eq!(ServiceSet::from(service).first(), Some(service));
            for family in Family::BOTH {
                let within = a.clone().within(family).contains(service);
                prop_assert_eq!(within, in_a && service.exists_in(family));
            }
        }
        prop_assert_eq!(&both.union(&rest), &a);
        prop_assert_eq!(union.is_empty(), a.first().is_none() && b.first().is_none());
        prop_assert_eq!(a.contains_all(&b), b.difference(&a).is_empty());
        prop_assert!(a.first().is_none_or(|service| a.contains(service)));
        prop_assert_eq!(a.is_all(), a == ServiceSet::all());
    }

    #[test]
    fn maximal_shapes_are_disjoint_and_make_up_what_rules_can_say(a in service_set()) {
        for family in Family::BOTH {
            let shapes = a.maximal_shapes(family);
            prop_assert!(shapes.is_sorted());
            let mut covered = ServiceSet::empty();
            for shape in &shapes {
                let services = shape.services().within(family);
                prop_assert!(!services.is_empty() && a.contains_all(&services));
                prop_assert!(covered.intersection(&services).is_empty());
                covered = covered.union(&services);
            }
            let mut sayable = a.clone().within(family);
            if !sayable.sctp.is_full() {
                sayable.sctp = Intervals::empty();
            }
            prop_assert_eq!(covered, sayable);
        }
    }

    #[test]
    fn every_shape_is_maximal_around_each_of_its_services(
        a in service_set(),
        b in shape(),
        service in service(),
    ) {
        for family in Family::BOTH {
            let missing = b.services().within(family).difference(&a).first();
            prop_assert_eq!(a.first_missing(b, family), missing);
            if !b.services().within(family).is_empty() && a.contains_all(&b.services().within(family)) {
                let around = a.maximal_shapes(family).into_iter().find(|shape| {
                    shape.services().contains_all(&b.services().within(family))
                });
                prop_assert!(around.is_some(), "{b} lies in no maximal shape");
            }
            let around = a.maximal_shapes(family).into_iter();
            let around = around.filter(|shape| shape.services().contains(service));
            prop_assert!(around.count() <= 1);
        }
    }

    #[test]
    fn sets_of_addresses_agree_with_their_members(
        a in address_set(),
        b in address_set(),
        v4 in point::<u32>(),
        v6 in point::<u128>(),
    ) {
        let ends = |set: &AddressSet| {
            let v4: Vec<IpAddr> = set.v4.iter().flat_map(|run| [run.low().to_ip(), run.high().to_ip()]).collect();
            let v6: Vec<IpAddr> = set.v6.iter().flat_map(|run| [run.low().to_ip(), run.high().to_ip()]).collect();
            [v4, v6].concat()
        };
        for address in [ends(&a), ends(&b), vec![v4.to_ip(), v6.to_ip()]].concat() {
            let (in_a, in_b) = (a.contains(address), b.contains(address));
            prop_assert_eq!(a.union(&b).contains(address), in_a || in_b);
            prop_assert_eq!(a.intersection(&b).contains(address), in_a && in_b);
            prop_assert_eq!(a.difference(&b).contains(address), in_a && !in_b);
        }
        prop_assert_eq!(a.contains_all(&b), b.difference(&a).is_empty());
        prop_assert_eq!(a.first(), ends(&a).first().copied());
    }

    #[test]
    fn prefixes_make_up_the_set_and_no_two_of_them_could_be_one(a in address_set()) {
        let prefixes = a.prefixes();
        prop_assert_eq!(&prefixes.iter().copied().collect::<AddressSet>(), &a);
        prop_assert!(prefixes.is_sorted_by(|a, b| a.last() < b.first()));
        for pair in prefixes.windows(2) {
            let parent = Prefix::new(pair[0].first(), pair[0].length().saturating_sub(1)).unwrap();
            let siblings = pair[0].length() == pair[1].length() && parent.contains_prefix(pair[1]);
            prop_assert!(!siblings, "{} and {} are halves of {parent}", pair[0], pair[1]);
        }
    }

    #[test]
    fn a_prefix_is_canonical_and_holds_just_its_addresses(a in prefix(), v4 in point::<u32>(), v6 in point::<u128>()) {
        prop_assert_eq!(Prefix::new(a.last(), a.length()), Some(a));
        prop_assert_eq!(a.first() == a.last(), matches!((a.family(), a.length()), (Family::V4, 32) | (Family::V6, 128)));
        for address in [v4.to_ip(), v6.to_ip(), a.first(), a.last()] {
            prop_assert_eq!(a.contains(address), AddressSet::from(a).contains(address));
        }
        prop_assert_eq!(AddressSet::from(a).prefixes(), [a]);
    }

    #[test]
    fn shared_bits_and_halves_describe_the_trie(a in any::<u32>(), b in any::<u32>(), length in 0..32u8) {
        let shared = a.shared_bits(b);
        prop_assert!(a.prefix(shared).contains(b.to_ip()));
        prop_assert!(a == b || !a.prefix(shared + 1).contains(b.to_ip()));
        let whole = a.prefix(length);
        let first = u32::from_ip(whole.first()).unwrap();
        let middle = first.upper_half(length).unwrap();
        prop_assert_eq!(middle.prefix(length + 1).last(), whole.last());
        prop_assert_eq!(first.prefix(length + 1).last(), middle.previous().unwrap().to_ip());
        prop_assert_eq!(a.upper_half(32), None);
    }

    #[test]
    fn joining_functions_joins_their_values_at_every_point(
        f in intervals::<u8>(),
        g in intervals::<u8>(),
        h in intervals::<u8>(),
    ) {
        let number = |set: &Intervals<u8>, value| StepFunction::indicator(set, value, 0);
        let sum = |a: &u8, b: &u8| a + b;
        let joined = number(&f, 1).map2(&number(&g, 1), sum).map2(&number(&h, 2), sum);
        for at in 0..=u8::MAX {
            let expected = [(&f, 1), (&g, 1), (&h, 2)];
            let expected: u8 = expected.iter().map(|(set, value)| u8::from(set.contains(at)) * value).sum();
            prop_assert_eq!(*joined.at(at), expected);
        }
        let pieces: Vec<_> = joined.pieces().collect();
        prop_assert_eq!(pieces[0].0.low(), 0);
        prop_assert_eq!(pieces[pieces.len() - 1].0.high(), u8::MAX);
        for pair in pieces.windows(2) {
            prop_assert_eq!(pair[0].0.high() + 1, pair[1].0.low());
            prop_assert_ne!(pair[0].1, pair[1].1);
        }
        let even = joined.map(|value| value % 2);
        prop_assert_eq!(even.points_where(|value| *value == 1), bits(&f).symmetric_difference(&bits(&g)).copied().map(Interval::single).collect());
    }

    #[test]
    fn messages_of_one_rule_are_one_interval_of_types_and_codes(message in message(), other in message()) {
        let point = other.point();
        prop_assert!(Messages::All.points().contains(point));
        prop_assert_eq!(Messages::Type(message.kind).points().contains(point), other.kind == message.kind);
        prop_assert_eq!(Messages::One(message).points().contains(point), other == message);
    }
}

#[test]
fn every_prefix_of_eight_neighbours_is_found_by_its_members() {
    for members in 0..=u8::MAX {
        let set = AddressSet {
            v4: (0..8).filter(|bit| members >> bit & 1 == 1).map(Interval::single).collect(),
            v6: Intervals::empty(),
        };
        let fewest = |from: u32, size: u32| fewest_prefixes(members, from, size);
        assert_eq!(set.prefixes().len(), fewest(0, 8), "{set}");
    }
}

fn fewest_prefixes(members: u8, from: u32, size: u32) -> usize {
    match (from..from + size).filter(|bit| members >> bit & 1 == 1).count() {
        0 => 0,
        count if count == size as usize => 1,
        _ => [from, from + size / 2]
            .map(|from| fewest_prefixes(members, from, size / 2))
            .iter()
            .sum(),
    }
}
