//! The part of a cluster that is compiled for one policy tells of it what the whole tells.

use moat_core::compile::{Inputs, compile};
use moat_core::finding::{Finding, Reason};
use moat_core::policy::ObjectRef;
use moat_core::settings::Settings;
use moat_k8s::{Options, Source};
use moat_tests::generate::{Cluster, QuotaChoice, cluster};
use serde_json::json;

/// The findings of a policy, but for the pods in their flows.
fn told(findings: &[Finding], object: &ObjectRef) -> Vec<String> {
    let of = findings.iter().filter(|finding| finding.object == *object);
    of.map(|it| format!("{} {} {}: {}", it.path, it.reason, it.effect, it.message)).collect()
}

#[test]
fn the_part_on_which_a_policy_depends_tells_of_it_what_the_whole_tells() {
    let (mut compared, mut smaller, mut found) = (0, 0, 0);
    // The last two: what passes by groups of others that name each other depends on the other end's policies, too.
    for seed in (30_600..30_750).chain([32_757, 33_660]) {
        let Cluster { policies, inventory, mut settings } = cluster(seed, QuotaChoice::Any);
        // What is given up for a budget depends on the other pods of the namespace.
        settings.groups_per_namespace = None;
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

#[test]
fn who_claims_the_address_of_a_pod_that_a_policy_selects_is_in_its_part_and_nobody_else() {
    let pod = |namespace: &str, address: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": namespace, "name": "web"},
            "status": {"podIP": address},
        })
    };
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "a", "name": "closed"},
        "spec": {"podSelector": {}},
    });
    let items = [pod("a", "10.0.0.1"), pod("b", "10.0.0.2"), pod("c", "10.0.0.1"), policy];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let source = Source { name: "-".into(), bytes: list.to_string().into_bytes().into() };
    let read = moat_k8s::read(&[source], &Options::default());
    let object = read.policies[0].object.clone();
    let inputs = Inputs {
        policies: read.policies,
        inventory: read.inventory,
        settings: Settings::default(),
    };
    let part = inputs.narrowed(&object).inventory;
    let namespaces: Vec<&str> = part.pods.iter().map(|pod| &*pod.namespace).collect();
    assert_eq!(namespaces, ["a", "c"]);
}
