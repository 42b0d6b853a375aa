use super::*;
use crate::net::{AddressSet, Intervals};

fn https(allowed: &AddressSet) -> StepFunction<u32, ServiceSet> {
    let mut https = ServiceSet::empty();
    https.tcp = Intervals::single(443);
    StepFunction::indicator(&allowed.v4, https, ServiceSet::empty())
}

fn prefixes(text: &str) -> AddressSet {
    text.split(' ').map(|prefix| prefix.parse::<Prefix>().unwrap()).collect()
}

#[test]
fn everything_but_a_private_network_is_eight_rules() {
    let allowed = https(&AddressSet::full().difference(&prefixes("10.0.0.0/8")));
    let rules = cover(&allowed);
    let found: AddressSet = rules.iter().map(|rule| rule.prefix).collect();
    assert_eq!(
        found.prefixes(),
        prefixes(
            "0.0.0.0/5 8.0.0.0/7 11.0.0.0/8 12.0.0.0/6 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/1"
        )
        .prefixes()
    );
    assert_eq!(rules.len(), 8);
    assert_eq!(certificate(&allowed, &rules), None);
}

#[test]
fn a_constant_function_is_one_rule_for_each_maximal_shape() {
    let everything = StepFunction::<u32, _>::constant(ServiceSet::line(crate::net::Family::V4));
    assert_eq!(
        cover(&everything),
        [CoverRule {
            prefix: "0.0.0.0/0".parse().unwrap(),
            shape: Shape::All,
            witness: ("0.0.0.0".parse().unwrap(), Service::Tcp(0)),
        }]
    );
    assert_eq!(cover(&StepFunction::<u128, _>::constant(ServiceSet::empty())), []);
}
