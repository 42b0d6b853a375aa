//! P1: policies equal groups, but for exactly what findings say. A tenth of the bar; the whole is
//! `cargo run --release -p moat-tests --bin differential`.

use moat_tests::generate::{QuotaChoice, cluster, guarded_cluster};
use moat_tests::run::{Amount, differential};

#[test]
fn groups_let_through_what_policies_say_but_for_exactly_the_findings() {
    let amount = Amount { first: 0, clusters: 1_000, packets: 150 };
    let make = |seed| cluster(seed, QuotaChoice::Any);
    let tally = differential(amount, make).unwrap_or_else(|why| panic!("{why}"));
    println!("{tally}");
    assert!(tally.clusters == 1_000 && tally.packets >= 100_000, "{tally}");
}

#[test]
fn groups_and_network_acls_let_through_what_policies_say_and_every_reply() {
    let amount = Amount { first: 0, clusters: 60, packets: 150 };
    let make = |seed| guarded_cluster(seed, QuotaChoice::Any);
    let tally = differential(amount, make).unwrap_or_else(|why| panic!("{why}"));
    println!("{tally}");
    assert!(tally.clusters == 60 && tally.packets >= 5_000, "{tally}");
    assert!(tally.acls >= 10 && tally.replies >= 10_000, "{tally}");
}
