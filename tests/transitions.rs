//! P2, P4 to P7: nothing is ever wider than before and after together, nor narrower than both, at any moment of any plan; whatever
//! befalls, the end is the same; and nothing is left behind.
#![expect(clippy::panic, reason = "a test fails by panicking")]

use moat_tests::generate::QuotaChoice;
use moat_tests::run::{
    Amount, crashes, guarded_faults, guarded_transitions, transitions, uninstalls,
};

fn all_inside(clusters: u64, quotas: QuotaChoice) {
    let amount = Amount { first: 0, clusters, packets: 0 };
    let tally = transitions(amount, quotas).unwrap_or_else(|why| panic!("{why}"));
    println!("{tally}");
    assert!(tally.busy > 0 && tally.states > tally.stages, "{tally}");
}

#[test]
fn every_subset_of_every_stage_stays_inside_the_band() {
    all_inside(60, QuotaChoice::Unlimited);
}

#[test]
fn every_subset_of_every_stage_stays_inside_the_band_under_tight_quotas() {
    all_inside(60, QuotaChoice::Tight);
}

#[test]
fn groups_and_network_acls_move_together_inside_the_band() {
    for quotas in [QuotaChoice::Unlimited, QuotaChoice::Tight] {
        let amount = Amount { first: 0, clusters: 15, packets: 0 };
        let tally = guarded_transitions(amount, quotas).unwrap_or_else(|why| panic!("{why}"));
        println!("{tally}");
        assert!(tally.acl_steps > 40 && tally.states > tally.stages, "{tally}");
    }
}

#[test]
fn killed_at_any_call_a_cluster_comes_to_the_same_end_and_leaks_nothing() {
    let amount = Amount { first: 3, clusters: 2, packets: 0 };
    let deaths = crashes(amount).unwrap_or_else(|why| panic!("{why}"));
    assert!(deaths > 20, "{deaths} deaths are too few to tell");
}

#[test]
fn whatever_befalls_any_call_network_acls_come_to_the_same_end_and_none_is_leaked() {
    let amount = Amount { first: 3, clusters: 2, packets: 0 };
    let faults = guarded_faults(amount).unwrap_or_else(|why| panic!("{why}"));
    assert!(faults > 200, "{faults} faults are too few to tell");
}

/// `MOAT_RUNS` tells how many; six by default.
#[test]
fn uninstalled_a_vpc_has_its_network_acls_and_all_else_as_others_made_it() {
    let runs = std::env::var("MOAT_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(6);
    let amount = Amount { first: 0, clusters: runs, packets: 0 };
    let tally = uninstalls(amount).unwrap_or_else(|why| panic!("{why}"));
    println!("{tally}");
    assert!(tally.acls > 3 && tally.subnets > 3, "{tally}");
}
