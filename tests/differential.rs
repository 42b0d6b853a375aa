//! P1: policies equal groups, but for exactly what findings say. A tenth of the bar; the whole is
//! `cargo run --release -p moat-tests --bin differential`.

use moat_tests::generate::QuotaChoice;
use moat_tests::run::{Amount, differential};

#[test]
fn groups_let_through_what_policies_say_but_for_exactly_the_findings() {
    let amount = Amount { first: 0, clusters: 1_000, packets: 150 };
    let tally = differential(amount, QuotaChoice::Any).unwrap_or_else(|why| panic!("{why}"));
    println!("{tally}");
    assert!(tally.clusters == 1_000 && tally.packets >= 100_000, "{tally}");
}
