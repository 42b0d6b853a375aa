//! Traps 69 to 72: quotas.

use moat_core::budget::{Breach, breaches, of_interface, rules};
use moat_core::finding::Reason;
use moat_core::firewall::{GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::InterfaceId;
use moat_core::net::{Family, Interval, Shape};
use moat_core::policy::Direction;
use moat_core::settings::Quotas;
use moat_tests::build::prefix;
use moat_tests::scenario::{Scenario, network_policy};

/// `a/server` is open to 40 blocks that do not add up to fewer.
fn forty_blocks(quotas: Quotas) -> Scenario {
    let block = |index: usize| format!("{{ipBlock: {{cidr: 172.16.{}.0/24}}}}", 2 * index);
    let peers: Vec<String> = (0..40).map(block).collect();
    let spec = format!("ingress: [{{from: [{}], ports: [{{port: 80}}]}}]", peers.join(", "));
    let policy = network_policy("p", "{matchLabels: {app: server}}", &spec);
    Scenario::with(&policy, |settings| settings.quotas = quotas)
}

#[test]
fn trap_69_over_a_limit_nothing_is_truncated() {
    let tight =
        Quotas { rules_per_group: 5, groups_per_interface: 3, groups: 20, ..Quotas::default() };
    let made = forty_blocks(tight);
    assert_eq!(breaches(&made.desired.state, &tight), Vec::<Breach>::new());
    assert!(made.reasons().contains(&Reason::QuotaExceeded));
    // Not the first fifteen: the whole policy, or none of it.
    made.narrows("172.16.0.1", "a/server", "tcp/80", Reason::QuotaExceeded);
    made.narrows("172.16.78.1", "a/server", "tcp/80", Reason::QuotaExceeded);
    made.denies("8.8.8.8", "a/server", "tcp/80");
}

#[test]
fn trap_70_families_count_apart_and_a_reference_counts_in_both() {
    let shape = Shape::Tcp(Interval::single(80));
    let rule = |peer| Rule { direction: Direction::Ingress, peer, shape };
    let held = [
        rule(Peer::Prefix(prefix("10.0.0.0/8"))),
        rule(Peer::Prefix(prefix("172.16.0.0/12"))),
        rule(Peer::Prefix(prefix("2001:db8::/32"))),
        rule(Peer::Group(GroupKey::Ours(GroupNumber::nth(0)))),
    ];
    assert_eq!(rules(&held, Direction::Ingress, Family::V4), 3);
    assert_eq!(rules(&held, Direction::Ingress, Family::V6), 2);
    assert_eq!(rules(&held, Direction::Egress, Family::V4), 0);
}

#[test]
fn trap_71_a_group_too_many_for_an_interface_is_spread_or_reported() {
    let fits =
        Quotas { rules_per_group: 10, groups_per_interface: 5, groups: 20, ..Quotas::default() };
    let spread = forty_blocks(fits);
    assert_eq!(breaches(&spread.desired.state, &fits), Vec::<Breach>::new());
    spread.allows("172.16.78.1", "a/server", "tcp/80");
    let one_less = Quotas { groups_per_interface: 3, ..fits };
    let reported = forty_blocks(one_less);
    assert_eq!(breaches(&reported.desired.state, &one_less), Vec::<Breach>::new());
    assert!(reported.reasons().contains(&Reason::QuotaExceeded));
}

#[test]
fn trap_72_no_limit_is_assumed_the_number_that_is_given_counts() {
    let eni = InterfaceId("eni-a".into());
    for limit in [1, 4, 5, 6, 16] {
        let quotas = Quotas { groups_per_interface: limit, ..Quotas::default() };
        assert_eq!(of_interface(&eni, limit, &quotas), None);
        let breach = Breach::GroupsPerInterface { interface: eni.clone(), needs: limit + 1, limit };
        assert_eq!(of_interface(&eni, limit + 1, &quotas), Some(breach));
    }
}
