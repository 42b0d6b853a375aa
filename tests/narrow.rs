//! The part of a cluster that is compiled for one policy tells of it what the whole tells.

use moat_core::compile::{Inputs, compile};
use moat_core::finding::{Finding, Reason};
use moat_core::policy::ObjectRef;
use moat_tests::generate::{Cluster, QuotaChoice, cluster};

/// The findings of a policy, but for the pods in their flows.
fn told(findings: &[Finding], object: &ObjectRef) -> Vec<String> {
    let of = findings.iter().filter(|finding| finding.object == *object);
    of.map(|it| format!("{} {} {}: {}", it.path, it.reason, it.effect, it.message)).collect()
}

#[test]
fn the_part_on_which_a_policy_depends_tells_of_it_what_the_whole_tells() {
    let (mut compared, mut smaller, mut found) = (0, 0, 0);
    for seed in 30_000..30_150 {
        let Cluster { policies, inventory, settings } = cluster(seed, QuotaChoice::Any);
        let whole = compile(&policies, &inventory, &settings);
        // What is given up for a quota depends on everybody's groups.
        if whole.findings.iter().any(|finding| finding.reason == Reason::QuotaExceeded) {
            continue;
        }
        let inputs = Inputs { policies, inventory, settings };
        for object in inputs.policies.iter().map(|policy| &policy.object) {
            let part = inputs.narrowed(object);
            let (expected, got) =
                (told(&whole.findings, object), told(&part.compile().findings, object));
            assert_eq!(got, expected, "seed {seed}, {object}, from {inputs:#?}");
            compared += 1;
            found += expected.len();
            smaller += usize::from(part.inventory.pods.len() < inputs.inventory.pods.len());
        }
    }
    println!("{compared} policies, {found} findings, {smaller} from fewer pods");
    assert!(compared > 300 && found > 400 && smaller > 60, "{compared} {found} {smaller}");
}
