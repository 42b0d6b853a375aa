//! P1 and P3 proven as sets, where `differential.rs` samples packets.

use moat_core::compile::compile;
use moat_core::finding::Effect;
use moat_tests::differential::{Disagreement, compare};
use moat_tests::generate::{QuotaChoice, cluster};
use moat_tests::proof::{Minimum, Proof, minimum, prove};
use moat_tests::run::{Amount, over_seeds};

#[test]
fn groups_equal_policies_as_sets_and_sampled_packets_find_nothing_else() {
    let amount = Amount { first: 20_000, clusters: 300, packets: 60 };
    let proven = over_seeds(amount, |seed| {
        let made = cluster(seed, QuotaChoice::Any);
        let desired = compile(&made.policies, &made.inventory, &made.settings);
        let why = |how: &str, found: Disagreement| {
            format!("seed {seed}, {how}: {}", found.describe(&made.inventory))
        };
        let proof = prove(&made, &desired).map_err(|found| why("as sets", found))?;
        compare(&made, &desired, seed, amount.packets).map_err(|found| why("sampled", found))?;
        Ok(proof)
    });
    let proven: Proof = proven.unwrap_or_else(|why| panic!("{why}"));
    println!("{proven}");
    assert!(proven.clusters == 300 && proven.pairs > 1_000, "{proven}");
}

#[test]
fn a_finding_that_is_kept_silent_is_missed() {
    let mut missed = 0;
    for seed in 22_000..22_060 {
        let made = cluster(seed, QuotaChoice::Any);
        let mut desired = compile(&made.policies, &made.inventory, &made.settings);
        // Several findings may tell of one flow: all of an effect are left out.
        for effect in [Effect::Narrower, Effect::NotEnforced] {
            let all = desired.findings.clone();
            desired.findings.retain(|finding| finding.effect != effect);
            let real = all.iter().any(|one| one.effect == effect && one.witness.is_some());
            let found = prove(&made, &desired);
            assert_eq!(found.is_err(), real, "seed {seed}, {effect}: {found:?}");
            missed += usize::from(real);
            desired.findings = all;
        }
    }
    assert!(missed > 50, "{missed} are too few to tell");
}

#[test]
fn no_set_of_prefix_rules_has_fewer() {
    let mut total = 0;
    for seed in 21_000..21_080 {
        let made = cluster(seed, QuotaChoice::Unlimited);
        let desired = compile(&made.policies, &made.inventory, &made.settings);
        let rules = desired.counts.prefix_rules;
        assert_eq!(minimum(&made, &desired), Minimum { rules, bound: rules }, "seed {seed}");
        total += rules;
    }
    assert!(total > 500, "{total} rules are too few to tell");
}
