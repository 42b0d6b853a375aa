//! P1 and P3 proven as sets, where `differential.rs` samples packets.

use moat_core::compile::{Desired, compile};
use moat_core::finding::Effect;
use moat_core::firewall::{GroupKey, Peer, Rule};
use moat_core::flow::{Endpoint, Flow};
use moat_core::policy::Direction;
use moat_tests::differential::{Disagreement, compare};
use moat_tests::generate::{Cluster, QuotaChoice, cluster};
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

/// Whether a rule lets a flow through at its end.
fn carries(rule: &Rule, flow: &Flow, made: &Cluster, desired: &Desired) -> bool {
    let remote = match rule.direction {
        Direction::Ingress => flow.source,
        Direction::Egress => flow.destination,
    };
    let named = match (&rule.peer, remote) {
        (Peer::Prefix(prefix), _) => {
            let address = remote.address(&made.inventory, flow.family);
            address.is_some_and(|address| prefix.contains(address))
        }
        (Peer::Group(group @ GroupKey::Ours(_)), Endpoint::Pod(pod)) => {
            let interface = made.inventory.pod(pod).and_then(|pod| pod.interface.as_ref());
            let worn = interface.and_then(|id| desired.state.interfaces.get(id));
            worn.is_some_and(|worn| worn.contains(group))
        }
        (Peer::Group(_), _) => false,
    };
    named && rule.shape.services().contains(flow.service)
}

#[test]
fn the_witness_of_a_reference_passes_by_that_reference_alone() {
    let (mut proven, mut without) = (0, 0);
    for seed in 23_000..23_150 {
        let made = cluster(seed, QuotaChoice::Unlimited);
        let desired = compile(&made.policies, &made.inventory, &made.settings);
        for ((group, rule), reason) in &desired.reasons {
            let Peer::Group(GroupKey::Ours(_)) = rule.peer else { continue };
            let Some(flow) = &reason.witness else {
                without += 1;
                continue;
            };
            let rules = &desired.state.groups[&GroupKey::Ours(*group)];
            let alike = rules.iter().filter(|other| other.direction == rule.direction);
            let carriers: Vec<&Rule> =
                alike.filter(|other| carries(other, flow, &made, &desired)).collect();
            assert_eq!(carriers, [rule], "seed {seed}: {}", flow.display(&made.inventory));
            proven += 1;
        }
    }
    println!("{proven} references with a witness, {without} without");
    assert!(proven > 300, "{proven} are too few to tell");
}
