//! What a custom resource's schema allows, the reader knows: samples of every alternative have no unknown field.

use moat_core::finding::Reason;
use serde_json::{Map, Value, json};

use super::corpora::corpus;

/// Objects that together have every field of a schema, in every alternative of its one-ofs.
fn samples(name: &str, schema: &Value) -> Vec<Value> {
    if schema["x-kubernetes-int-or-string"] == true {
        return vec![json!(8)];
    }
    match schema["type"].as_str().unwrap_or_default() {
        "object" => object_samples(schema),
        "array" => vec![Value::Array(samples(name, &schema["items"]))],
        "integer" => vec![
            schema["minimum"].as_i64().map_or(1, |least| least + i64::from(name == "end")).into(),
        ],
        "boolean" => vec![true.into()],
        "string" => match (name, &schema["enum"]) {
            (_, Value::Array(words)) => words.clone(),
            ("networks" | "cidr", _) => vec!["10.0.0.0/8".into()],
            ("except", _) => vec!["10.1.0.0/16".into()],
            ("operator", _) => vec!["In".into()],
            _ => vec!["a".into()],
        },
        other => panic!("a field of type `{other}`"),
    }
}

fn object_samples(schema: &Value) -> Vec<Value> {
    let Some(properties) = schema["properties"].as_object() else { return vec![json!({"a": "b"})] };
    let each: Vec<(&String, Vec<Value>)> =
        properties.iter().map(|(name, schema)| (name, samples(name, schema))).collect();
    if schema["maxProperties"] == 1 {
        return each
            .iter()
            .flat_map(|(name, values)| values.iter().map(|value| json!({*name: value})))
            .collect();
    }
    let most = each.iter().map(|(_, values)| values.len()).max().unwrap_or(1);
    (0..most)
        .map(|index| {
            let entry = |(name, values): &(&String, Vec<Value>)| {
                ((*name).clone(), values[index.min(values.len() - 1)].clone())
            };
            each.iter().map(entry).collect::<Map<_, _>>().into()
        })
        .collect()
}

fn check(crd: &Value) {
    let version = &crd["spec"]["versions"][0];
    let kind = &crd["spec"]["names"]["kind"];
    let api_version = format!(
        "{}/{}",
        crd["spec"]["group"].as_str().expect("a group"),
        version["name"].as_str().expect("a version")
    );
    let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    for spec in samples("spec", schema) {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        let (_, findings) = crate::tests::read_policy(&object).expect("a policy");
        let unknown: Vec<_> =
            findings.iter().filter(|finding| finding.reason == Reason::UnknownField).collect();
        assert!(unknown.is_empty(), "{unknown:#?}");
    }
}

#[test]
fn the_reader_knows_every_field_of_our_own_kinds() {
    for crd in crate::crd::policies() {
        check(&serde_json::to_value(crd).expect("it serialises"));
    }
}

#[test]
fn the_reader_knows_every_field_of_both_upstream_channels() {
    let sources = corpus("cnp-conformance");
    let crds: Vec<_> = sources.iter().filter(|source| source.name.starts_with("crd-")).collect();
    assert_eq!(crds.len(), 2);
    for source in crds {
        check(&serde_saphyr::from_slice(&source.bytes).expect("YAML"));
    }
}
