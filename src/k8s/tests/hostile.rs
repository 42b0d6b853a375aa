//! Texts that nobody meant: none of them stops the reader.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use moat_core::finding::Effect;
use moat_core::net::{AddressSet, Prefix, Service, ServiceSet};
use moat_core::policy::{Peers, Services};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::source;
use crate::Options;

/// Texts that hold everything the reader knows, for mutation; the fuzz targets start from them too.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let entries = std::fs::read_dir(folder).expect("the corpus is committed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

fn survives(bytes: &[u8]) {
    let cluster = crate::read(&[source("f", bytes)], &Options { assume_pods: true });
    for policy in &cluster.policies {
        let _ = cluster.places.locate(&policy.object, "spec.ingress[0].from[0]");
    }
    // A finding of a file always says where.
    assert!(
        cluster.findings.iter().all(|finding| finding.location.is_some()),
        "{:?}",
        cluster.findings
    );
}

#[test]
fn the_fuzz_corpora_are_read_without_panic() {
    for seed in seeds("documents") {
        survives(&seed);
    }
    for seed in seeds("policy") {
        if let Ok(object) = serde_json::from_slice(&seed) {
            let _ = crate::read_object(&object);
        }
    }
}

/// The notation of the core, which has a fuzz target too.
#[test]
fn what_is_read_in_the_notation_is_written_and_read_as_itself() {
    fn round_trip<T: FromStr + Display + PartialEq>(text: &str) -> bool {
        let Ok(value) = text.parse::<T>() else { return false };
        assert!(
            value.to_string().parse::<T>().is_ok_and(|again| again == value),
            "{text:?} became {value}"
        );
        true
    }
    for seed in seeds("net") {
        let text = str::from_utf8(&seed).expect("UTF-8");
        let read = [
            round_trip::<Prefix>(text),
            round_trip::<AddressSet>(text),
            round_trip::<Service>(text),
            round_trip::<ServiceSet>(text),
        ];
        assert!(read.contains(&true), "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes);
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "[-a-c:{}\\[\\],&*!|>'\"#%@ \n]{0,80}") {
        survives(text.as_bytes());
    }

    #[test]
    fn mutated_objects_never_panic(
        seed in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..8_usize, "[-a-z0-9:{}\\[\\], \n&*'\"]{0,4}"), 1..6),
    ) {
        let seeds = seeds("documents");
        let mut bytes = seed.get(&seeds).clone();
        for (at, length, text) in cuts {
            let start = if bytes.is_empty() { 0 } else { at.index(bytes.len()) };
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, text.bytes());
        }
        survives(&bytes);
    }

    /// Whatever the rules say, `policyTypes` isolates; and a rule of which anything was not understood matches nothing.
    #[test]
    fn a_rule_with_a_problem_matches_nothing_and_the_policy_isolates(ingress in rules()) {
        let spec = json!({"policyTypes": ["Ingress"], "ingress": ingress});
        let head = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}});
        let mut object = head;
        object["spec"] = spec;
        let (policy, findings) = crate::tests::read_policy(&object).expect("a policy");
        let rules = policy.ingress.expect("it isolates");
        let problems: Vec<&str> =
            findings.iter().filter(|one| one.effect != Effect::Ignored).map(|one| &*one.path).collect();
        for rule in &rules {
            let failed = problems.iter().any(|path| path.starts_with(&*rule.path));
            let nothing = (&rule.peers, &rule.services) == (&Peers::AnyOf(Vec::new()), &Services::AnyOf(Vec::new()));
            prop_assert_eq!(failed, nothing, "{} of {}: {:?}", rule.path, object, findings);
        }
    }
}

/// Lists of rules made of the right words in all the wrong places.
fn rules() -> impl Strategy<Value = Value> {
    let words = [
        "from",
        "ports",
        "podSelector",
        "namespaceSelector",
        "ipBlock",
        "cidr",
        "except",
        "matchLabels",
        "port",
        "endPort",
        "protocol",
        "TCP",
        "10.0.0.0/8",
        "x",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        prop::sample::select(&[0, 80, 90, 70_000][..]).prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    let any = leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(words.to_vec()), inner, 0..4)
                .prop_map(|map| map
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<Map<_, _>>()
                    .into()),
        ]
    });
    let rule =
        prop::collection::btree_map(prop::sample::select(vec!["from", "ports"]), any.clone(), 0..3)
            .prop_map(|map| {
                map.into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<Map<_, _>>()
                    .into()
            });
    prop::collection::vec(prop_oneof![rule, any], 0..4).prop_map(Value::from)
}
