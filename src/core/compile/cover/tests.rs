mod exhaustive;
mod vectors;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::net::arbitrary::{interval, service_set};
use crate::net::{AddressSet, Family, Intervals};

/// What rules let through together.
fn union<T: Address>(rules: &[CoverRule]) -> StepFunction<T, ServiceSet> {
    match rules {
        [] => StepFunction::constant(ServiceSet::empty()),
        [rule] => {
            let services = rule.shape.services().within(T::FAMILY);
            let addresses = AddressSet::from(rule.prefix);
            StepFunction::indicator(T::of(&addresses), services, ServiceSet::empty())
        }
        _ => {
            let (left, right) = rules.split_at(rules.len() / 2);
            union(left).map2(&union(right), ServiceSet::union)
        }
    }
}

/// What rules can say of a function.
fn sayable<T: Address>(allowed: &StepFunction<T, ServiceSet>) -> StepFunction<T, ServiceSet> {
    allowed.map(|services| {
        let mut services = services.clone().within(T::FAMILY);
        if !services.sctp.is_full() {
            services.sctp = Intervals::empty();
        }
        services
    })
}

/// The cover of a function, once it has passed every check that needs no search.
fn checked_cover<T: Address>(allowed: &StepFunction<T, ServiceSet>) -> Vec<CoverRule> {
    let rules = cover(allowed);
    assert!(rules.is_sorted());
    assert_eq!(union(&rules), sayable(allowed), "the rules let through what is allowed");
    assert_eq!(certificate(allowed, &rules), None, "no cover has fewer rules");
    for rule in &rules {
        let (address, service) = rule.witness;
        let covers = |rule: &&CoverRule| {
            rule.prefix.contains(address) && rule.shape.services().contains(service)
        };
        assert_eq!(rules.iter().filter(covers).collect::<Vec<_>>(), [rule]);
    }
    assert_eq!(cover(&union::<T>(&rules)).len(), rules.len());
    rules
}

/// Boxes of addresses and services, added and taken away in turn.
fn boxes<T: Address + Arbitrary>() -> impl Strategy<Value = StepFunction<T, ServiceSet>> {
    let prefix = (any::<T>(), 0..=T::LENGTH)
        .prop_map(|(address, length)| T::of(&AddressSet::from(address.prefix(length))).clone());
    let addresses = prop_oneof![prefix, interval().prop_map(Intervals::from)];
    vec((addresses, service_set(), any::<bool>()), 0..6).prop_map(|boxes| {
        let none = StepFunction::constant(ServiceSet::empty());
        boxes.into_iter().fold(none, |allowed, (addresses, services, add)| {
            let part = StepFunction::indicator(&addresses, services, ServiceSet::empty());
            let join = if add { ServiceSet::union } else { ServiceSet::difference };
            allowed.map2(&part, join)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cover_is_exact_and_certified_in_ipv4(allowed in boxes::<u32>()) {
        few(&allowed);
    }

    #[test]
    fn a_cover_is_exact_and_certified_in_ipv6(allowed in boxes::<u128>()) {
        few(&allowed);
    }
}

/// Checks a cover unless it is so big that the pairwise certificate takes long.
fn few<T: Address>(allowed: &StepFunction<T, ServiceSet>) {
    if cover(allowed).len() <= 150 {
        checked_cover(allowed);
    }
}

#[test]
fn a_constant_function_is_one_rule_for_each_maximal_shape() {
    let everything = StepFunction::<u32, _>::constant(ServiceSet::line(Family::V4));
    assert_eq!(
        checked_cover(&everything),
        [CoverRule {
            prefix: "0.0.0.0/0".parse().unwrap(),
            shape: Shape::All,
            witness: ("0.0.0.0".parse().unwrap(), Service::Tcp(0)),
        }]
    );
    assert_eq!(checked_cover(&StepFunction::<u128, _>::constant(ServiceSet::empty())), []);
}

#[test]
fn a_witness_is_the_least_service_that_the_prefix_above_lacks() {
    let lower = AddressSet::from("0.0.0.0/1".parse::<Prefix>().unwrap());
    let services = |text: &str| text.parse::<ServiceSet>().unwrap();
    let allowed = StepFunction::indicator(
        &lower.v4,
        services("tcp/80-90, sctp"),
        services("tcp/80-84, sctp/7"),
    );
    let rule = |prefix: &str, shape: &str, address: &str, service: &str| CoverRule {
        prefix: prefix.parse().unwrap(),
        shape: shape.parse().unwrap(),
        witness: (address.parse().unwrap(), service.parse().unwrap()),
    };
    assert_eq!(
        checked_cover(&allowed),
        [
            rule("0.0.0.0/0", "tcp/80-84", "128.0.0.0", "tcp/80"),
            rule("0.0.0.0/1", "tcp/80-90", "0.0.0.0", "tcp/85"),
            rule("0.0.0.0/1", "sctp", "0.0.0.0", "sctp/0"),
        ]
    );
}

#[test]
fn the_certificate_refuses_a_cover_with_a_rule_too_many() {
    let allowed = StepFunction::<u32, _>::constant("tcp/80-81".parse().unwrap());
    let half = |prefix: &str, address: &str, service| CoverRule {
        prefix: prefix.parse().unwrap(),
        shape: "tcp/80-81".parse().unwrap(),
        witness: (address.parse().unwrap(), Service::Tcp(service)),
    };
    let (lower, upper) = (half("0.0.0.0/1", "0.0.0.0", 80), half("128.0.0.0/1", "128.0.0.0", 81));
    assert_eq!(certificate(&allowed, &[lower, upper]), Some((lower, upper)));
    let outside = half("0.0.0.0/1", "0.0.0.0", 82);
    assert_eq!(certificate(&allowed, &[outside]), Some((outside, outside)));
}
