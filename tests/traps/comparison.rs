//! Traps 37 to 41: desired and observed are compared in one canonical form.

use moat_core::plan::plan;
use moat_tests::scenario::{Scenario, network_policy};
use moat_tests::state::{observed, take, untouched};

const ALL: &str = "{}";

/// The steps that bring a cloud on which `before` is applied to `after`.
fn steps(before: &Scenario, after: &Scenario) -> Vec<String> {
    let (inventory, quotas) = (&before.cluster.inventory, before.cluster.settings.quotas);
    let mut state = untouched(inventory);
    let first = plan(&before.desired, &observed(&state, inventory), inventory, &quotas);
    for step in first.steps() {
        take(&mut state, step).unwrap_or_else(|why| panic!("{why}"));
    }
    let second = plan(&after.desired, &observed(&state, inventory), inventory, &quotas);
    second.steps().map(ToString::to_string).collect()
}

fn assert_equal(one: &Scenario, other: &Scenario) {
    for (before, after) in [(one, other), (other, one), (one, one), (other, other)] {
        assert_eq!(steps(before, after), Vec::<String>::new());
    }
}

fn policy(name: &str, ingress: &str) -> Scenario {
    Scenario::of(&network_policy(name, ALL, &format!("ingress: {ingress}")))
}

#[test]
fn trap_37_every_pair_of_spellings_gives_an_empty_plan_both_ways_round() {
    let pairs = [
        (
            "[{from: [{ipBlock: {cidr: 172.16.0.0/12}}]}]",
            "[{from: [{ipBlock: {cidr: 172.16.99.7/12}}]}]",
        ),
        (
            "[{from: [{ipBlock: {cidr: '2001:DB8:0:0::/32'}}]}]",
            "[{from: [{ipBlock: {cidr: '2001:db8::/32'}}]}]",
        ),
        (
            "[{from: [{ipBlock: {cidr: 172.16.0.0/17}}, {ipBlock: {cidr: 172.16.128.0/17}}]}]",
            "[{from: [{ipBlock: {cidr: 172.16.0.0/16}}]}]",
        ),
        ("[{ports: [{port: 80}, {port: 81}]}]", "[{ports: [{port: 80, endPort: 81}]}]"),
        ("[{ports: [{protocol: TCP, port: 80}]}]", "[{ports: [{port: 80}, {port: 80}]}]"),
        ("[{}]", "[{from: [], ports: []}]"),
        (
            "[{from: [{podSelector: {}}]}]",
            "[{from: [{podSelector: {}, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: a}}}]}]",
        ),
    ];
    for (one, other) in pairs {
        assert_equal(&policy("p", one), &policy("p", other));
    }
}

#[test]
fn trap_38_a_changed_description_alone_changes_nothing() {
    let ingress = "[{from: [{ipBlock: {cidr: 172.16.0.0/16}}]}]";
    assert_equal(&policy("one", ingress), &policy("another", ingress));
}

#[test]
fn trap_39_the_order_of_rules_and_peers_changes_nothing() {
    let peers = ["{ipBlock: {cidr: 172.16.0.0/16}}", "{ipBlock: {cidr: 192.168.0.0/24}}"];
    let [one, two] = peers;
    let forth =
        format!("[{{from: [{one}, {two}], ports: [{{port: 1}}, {{port: 9}}]}}, {{from: [{two}]}}]");
    let back =
        format!("[{{from: [{two}]}}, {{from: [{two}, {one}], ports: [{{port: 9}}, {{port: 1}}]}}]");
    assert_equal(&policy("p", &forth), &policy("p", &back));
}

#[test]
fn trap_40_ids_that_are_not_visible_yet_are_waited_for_and_no_rule_names_a_group_by_its_name() {
    use moat_core::drive::{Ending, drive, observe};
    use moat_core::provider::{Provider, Scope};
    use moat_sim::{Config, Sim, block_on};

    let made = policy("p", "[{from: [{podSelector: {}}]}]");
    let lag = std::time::Duration::from_secs(7);
    let mut sim = Sim::new(Config { lag, ..Config::dual_stack() });
    let mut inventory = made.cluster.inventory.clone();
    sim.place(&mut inventory).unwrap_or_else(|error| panic!("{error}"));
    let scope =
        Scope { interfaces: inventory.interfaces.keys().cloned().collect(), ..Scope::default() };
    let quotas = made.cluster.settings.quotas;
    block_on(sim.wait(lag));
    let seen = block_on(observe(&mut sim, &scope)).expect("a picture");
    let way = plan(&made.desired, &seen, &inventory, &quotas);
    let outcome = block_on(drive(&mut sim, &way, &scope));
    assert_eq!(outcome.ending, Ending::Done);
    let calls = sim.mutating_calls();
    let seen = outcome.observed.expect("a picture");
    assert!(plan(&made.desired, &seen, &inventory, &quotas).stages.is_empty());
    assert_eq!(sim.mutating_calls(), calls);
}

#[test]
fn trap_41_what_is_sent_is_what_was_planned() {
    let made = policy("p", "[{from: [{ipBlock: {cidr: 172.16.99.7/12}}], ports: [{port: 80}]}]");
    let inventory = &made.cluster.inventory;
    let mut state = untouched(inventory);
    let way =
        plan(&made.desired, &observed(&state, inventory), inventory, &made.cluster.settings.quotas);
    for step in way.steps() {
        take(&mut state, step).unwrap_or_else(|why| panic!("{why}"));
    }
    assert_eq!(state, way.target);
}
