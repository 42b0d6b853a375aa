//! A compiler that is kept alive equals one that starts from scratch. A tenth of the bar; the whole is
//! `cargo run --release -p moat-tests --bin events`.

use moat_tests::generate::QuotaChoice;
use moat_tests::incremental::check;
use moat_tests::run::{Amount, over_seeds};

#[test]
fn told_of_events_in_any_order_it_makes_what_a_compile_from_scratch_makes() {
    let amount = Amount { first: 0, clusters: 40, packets: 0 };
    let tally = over_seeds(amount, |seed| check(seed, QuotaChoice::Any, 25));
    let tally = tally.unwrap_or_else(|why| panic!("{why}"));
    println!("{tally}");
    assert!(tally.events == 1_000 && tally.settled >= 700, "{tally}");
}
