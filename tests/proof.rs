//! P1 and P3 as sets instead of samples.

use moat_core::compile::compile;
use moat_tests::differential::compare;
use moat_tests::generate::{QuotaChoice, cluster};
use moat_tests::proof::{Minimum, Proof, minimum, prove};
use moat_tests::run::{Amount, over_seeds};

#[test]
fn groups_equal_policies_as_sets_and_sampled_packets_agree() {
    let amount = Amount { first: 20_000, clusters: 300, packets: 60 };
    let proven = over_seeds(amount, |seed| {
        let made = cluster(seed, QuotaChoice::Any);
        let desired = compile(&made.policies, &made.inventory, &made.settings);
        let why = |found: moat_tests::differential::Disagreement| {
            format!("seed {seed}: {}", found.describe(&made.inventory))
        };
        compare(&made, &desired, seed, amount.packets).map_err(why)?;
        prove(&made, &desired).map_err(why)
    });
    let proven: Proof = proven.unwrap_or_else(|why| panic!("{why}"));
    println!("{proven}");
    assert!(proven.clusters == 300 && proven.pairs > 1_000, "{proven}");
}

#[test]
fn no_set_of_prefix_rules_has_fewer() {
    let mut total = 0;
    for seed in 21_000..21_100 {
        let made = cluster(seed, QuotaChoice::Unlimited);
        let desired = compile(&made.policies, &made.inventory, &made.settings);
        let found = minimum(&made, &desired);
        let rules = desired.counts.prefix_rules;
        assert_eq!(found, Minimum { rules, bound: rules }, "seed {seed}");
        total += found.bound;
    }
    assert!(total > 500, "{total} rules are too few to tell");
}
