//! Traps 80 to 82: the minimal cover.

use moat_core::compile::{Desired, compile};
use moat_core::firewall::{GroupKey, Peer, Rule};
use moat_core::flow::Flow;
use moat_core::inventory::Inventory;
use moat_core::policy::Direction;
use moat_tests::differential::compare;
use moat_tests::generate::{QuotaChoice, cluster};
use moat_tests::scenario::{Scenario, network_policy};

/// Whether a rule for a prefix lets the remote end of a flow through.
fn carries(rule: &Rule, flow: &Flow, inventory: &Inventory) -> bool {
    let remote = match rule.direction {
        Direction::Ingress => flow.source,
        Direction::Egress => flow.destination,
    };
    let address = remote.address(inventory, flow.family).expect("an end has an address");
    match &rule.peer {
        Peer::Prefix(prefix) => {
            prefix.contains(address) && rule.shape.services().contains(flow.service)
        }
        Peer::Group(_) => false,
    }
}

/// Each witness of a prefix rule is let through by that rule alone: no rule can be left out. How many there are.
fn needed(desired: &Desired, inventory: &Inventory) -> usize {
    let mut count = 0;
    for ((group, rule), reason) in &desired.reasons {
        let (Peer::Prefix(_), Some(flow)) = (&rule.peer, &reason.witness) else { continue };
        let rules = desired.state.groups.get(&GroupKey::Ours(*group)).expect("the group is there");
        let of_direction = rules.iter().filter(|other| other.direction == rule.direction);
        let carriers: Vec<&Rule> =
            of_direction.filter(|other| carries(other, flow, inventory)).collect();
        assert_eq!(carriers, [rule], "{}", flow.display(inventory));
        count += 1;
    }
    count
}

#[test]
fn trap_80_optimised_rules_mean_the_same_and_are_never_more() {
    let mut rules = 0;
    for seed in 5_000..5_060 {
        let made = cluster(seed, QuotaChoice::Unlimited);
        let desired = compile(&made.policies, &made.inventory, &made.settings);
        rules += needed(&desired, &made.inventory);
        compare(&made, &desired, seed, 100)
            .unwrap_or_else(|why| panic!("seed {seed}: {}", why.describe(&made.inventory)));
    }
    assert!(rules > 200, "{rules} rules are too few to tell");
}

/// Read from the source, since a result that is dropped compiles.
#[test]
fn trap_81_the_results_of_set_operations_must_be_used() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/core/net");
    let mut found = 0;
    for file in ["interval.rs", "prefix.rs", "service.rs"] {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).expect("the core is there");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let operation = ["union", "intersection", "difference", "complement"]
                .iter()
                .any(|name| line.starts_with(&format!("pub fn {name}(")));
            if operation {
                found += 1;
                assert_eq!(lines.get(index - 1), Some(&"#[must_use]"), "{file}: {line}");
            }
        }
    }
    assert!(found >= 9, "{found} operations");
}

#[test]
fn trap_82_a_rule_spans_a_hole_only_where_the_hole_is_open_for_that_service() {
    let spec = "ingress: [\
        {from: [{ipBlock: {cidr: 172.16.0.0/25}}, {ipBlock: {cidr: 172.16.0.128/26}}], ports: [{port: 80}]}, \
        {from: [{ipBlock: {cidr: 172.16.0.192/26}}], ports: [{port: 443}]}]";
    let made = Scenario::of(&network_policy("p", "{}", spec));
    made.allows("172.16.0.1", "a/server", "tcp/80");
    made.allows("172.16.0.130", "a/server", "tcp/80");
    made.denies("172.16.0.200", "a/server", "tcp/80");
    let filled = spec.replace("{port: 443}", "{port: 80}, {port: 443}");
    let made = Scenario::of(&network_policy("p", "{}", &filled));
    let expected = ["172.16.0.0/24 tcp/80", "172.16.0.192/26 tcp/443"].map(str::to_owned);
    assert_eq!(made.rules("a/server", Direction::Ingress), expected.into());
}
