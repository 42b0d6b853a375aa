//! What an API server has to take and to refuse: the table `admission.yaml` against the definitions. Every CEL rule and
//! every bound of the schemas has a case on each side, at each of its places.

use std::collections::BTreeSet;
use std::path::Path;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::{Map, Value, json};

/// The keywords by which a schema bounds a value, apart from its type.
const BOUNDS: [&str; 11] = [
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "required",
];

/// A field of a spec, such as `spec.ingress[].from`, and what holds there: a bound's keyword or a CEL rule's message.
type Constraint = (String, String);

/// The constraints of a schema, in the order of their fields.
fn constraints(at: &str, schema: &Value, found: &mut BTreeSet<Constraint>) {
    let bounds = BOUNDS.iter().filter(|bound| schema.get(bound).is_some()).map(ToString::to_string);
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let messages = rules.map(|rule| rule["message"].as_str().expect("a message").to_owned());
    found.extend(bounds.chain(messages).map(|what| (at.to_owned(), what)));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        constraints(&format!("{at}.{name}"), property, found);
    }
    if schema.get("items").is_some() {
        constraints(&format!("{at}[]"), &schema["items"], found);
    }
}

/// The fields that a value has.
fn fields(at: &str, value: &Value, found: &mut BTreeSet<String>) {
    found.insert(at.to_owned());
    for (name, value) in value.as_object().into_iter().flatten() {
        fields(&format!("{at}.{name}"), value, found);
    }
    for value in value.as_array().into_iter().flatten() {
        fields(&format!("{at}[]"), value, found);
    }
}

// ── The server's judgement ──────────────────────────────────────────────────────────────────────────────────────────

/// One kind's definition, ready to judge.
struct Definition {
    kind: String,
    api_version: String,
    schema: Value,
    schemas: Schemas,
    bounds: SchemaIndex,
    rules: CompiledSchema,
}

impl Definition {
    fn new(crd: CustomResourceDefinition) -> Self {
        let crd = serde_json::to_value(crd).expect("it serialises");
        let version = &crd["spec"]["versions"][0];
        let schema = version["schema"]["openAPIV3Schema"].clone();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.set_default_draft(Draft::V4);
        compiler.add_resource("memory:crd", schema.clone()).expect("a schema");
        let bounds = compiler.compile("memory:crd", &mut schemas).expect("a schema");
        let rules = compile_schema(&schema);
        assert!(!rules.has_errors(), "{:?}", rules.compilation_errors());
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Self {
            kind: text(&crd["spec"]["names"]["kind"]),
            api_version: format!("{}/{}", text(&crd["spec"]["group"]), text(&version["name"])),
            schema,
            schemas,
            bounds,
            rules,
        }
    }

    fn object(&self, spec: &Value) -> Value {
        json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": "a"}, "spec": spec})
    }

    /// What a spec breaks. As on the server, CEL rules see only what is within its bounds.
    fn broken(&self, spec: &Value) -> BTreeSet<Constraint> {
        let object = self.object(spec);
        if let Err(error) = self.schemas.validate(&object, self.bounds) {
            let leaves = error.causes.iter().filter_map(|cause| {
                let path: String = cause.instance_location.to_string();
                Some((
                    field(path.split('/').skip(1)),
                    cause.kind.keyword_path()?.keyword.to_owned(),
                ))
            });
            return leaves.collect();
        }
        let Err(errors) = Validator::new().validate_compiled(&self.rules, &object, None) else {
            return BTreeSet::new();
        };
        let path =
            |error: &kube_cel::ValidationError| error.field_path.replace('[', ".").replace(']', "");
        errors.iter().map(|error| (field(path(error).split('.')), error.message.clone())).collect()
    }
}

/// A path without indices: `spec.ingress[].from`.
fn field<'a>(steps: impl Iterator<Item = &'a str>) -> String {
    let mut field = String::new();
    for step in steps {
        match step.parse::<usize>() {
            Ok(_) => field.push_str("[]"),
            Err(_) if field.is_empty() => field.push_str(step),
            Err(_) => field.extend([".", step]),
        }
    }
    field
}

// ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────────

/// The specs that a part's value makes, each with its kind: one for each place, and their places in turn.
fn specs(table: &[Value], part: &Value, value: &Value) -> Vec<(String, Value)> {
    let Some(places) = part["places"].as_array() else {
        return vec![(part["part"].as_str().expect("a name").to_owned(), value.clone())];
    };
    let entries = places.iter().flat_map(|place| place.as_object().expect("a place"));
    let outer = |name: &str| table.iter().find(|part| part["part"] == name).expect("a part");
    entries.flat_map(|(name, around)| specs(table, outer(name), &put(around, value))).collect()
}

/// The value with `HERE` replaced.
fn put(around: &Value, value: &Value) -> Value {
    replaced(around, &|at| (at == "HERE").then(|| value.clone()))
}

/// The value with each `{repeat, of}` written out.
fn spelled_out(value: &Value) -> Value {
    replaced(value, &|at| {
        let times = usize::try_from(at.get("repeat")?.as_u64()?).ok()?;
        let once = spelled_out(&at["of"]);
        let list = once.as_array().into_iter();
        Some(match once.as_str() {
            Some(text) => text.repeat(times).into(),
            None => {
                list.flat_map(|list| std::iter::repeat_n(list, times)).flatten().cloned().collect()
            }
        })
    })
}

/// The value with all that a function knows replaced.
fn replaced(value: &Value, by: &dyn Fn(&Value) -> Option<Value>) -> Value {
    if let Some(other) = by(value) {
        other
    } else if let Some(list) = value.as_array() {
        list.iter().map(|item| replaced(item, by)).collect()
    } else if let Some(map) = value.as_object() {
        map.iter()
            .map(|(name, item)| (name.clone(), replaced(item, by)))
            .collect::<Map<_, _>>()
            .into()
    } else {
        value.clone()
    }
}

/// The table, and the definitions that it is about.
fn table() -> (Vec<Value>, Vec<Definition>) {
    let table: Value = serde_saphyr::from_str(include_str!("admission.yaml")).expect("YAML");
    let parts = table.as_array().expect("parts").iter().map(spelled_out).collect();
    (parts, super::policies().map(Definition::new).collect())
}

/// What a part takes.
fn taken<'a>(table: &'a [Value], part: &'a Value) -> impl Iterator<Item = (String, Value)> + 'a {
    let values = part["takes"].as_array().into_iter().flatten();
    values.flat_map(|value| specs(table, part, value))
}

/// What a part refuses, each with what it breaks.
fn refused<'a>(
    table: &'a [Value],
    part: &'a Value,
) -> impl Iterator<Item = (&'a str, String, Value)> + 'a {
    part["refuses"].as_object().into_iter().flatten().flat_map(move |(what, values)| {
        let specs =
            values.as_array().into_iter().flatten().flat_map(|value| specs(table, part, value));
        specs.map(move |(kind, spec)| (what.as_str(), kind, spec))
    })
}

#[test]
fn every_rule_and_every_bound_takes_what_it_should_and_refuses_what_it_should() {
    let (table, definitions) = table();
    for definition in &definitions {
        let (mut all, mut broken, mut present) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        constraints("spec", &definition.schema["properties"]["spec"], &mut all);
        for part in &table {
            for (_, spec) in taken(&table, part).filter(|(kind, _)| *kind == definition.kind) {
                assert_eq!(definition.broken(&spec), BTreeSet::new(), "{spec}");
                fields("spec", &spec, &mut present);
            }
            for (what, _, spec) in
                refused(&table, part).filter(|(_, kind, _)| *kind == definition.kind)
            {
                let constraints = definition.broken(&spec);
                let whats: BTreeSet<&str> =
                    constraints.iter().map(|(_, what)| what.as_str()).collect();
                assert_eq!(whats, BTreeSet::from([what]), "{spec}");
                broken.extend(constraints);
            }
        }
        all.retain(|constraint| !broken.contains(constraint) || !present.contains(&constraint.0));
        assert_eq!(all, BTreeSet::new(), "{}: without a case on each side", definition.kind);
    }
}

#[test]
fn the_reader_reports_what_the_server_refuses_and_nothing_else() {
    let (table, definitions) = table();
    let findings = |kind: &str, spec: &Value| {
        let definition = definitions.iter().find(|one| one.kind == kind).expect("a kind");
        crate::tests::read_policy(&definition.object(spec)).expect("a policy").1
    };
    for part in &table {
        for (kind, spec) in taken(&table, part) {
            assert_eq!(findings(&kind, &spec), [], "{spec}");
        }
        for (_, kind, spec) in refused(&table, part) {
            assert_ne!(findings(&kind, &spec), [], "{spec}");
        }
    }
}

#[test]
fn the_server_takes_the_examples() {
    let (_, definitions) = table();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = BTreeSet::new();
    for example in ["shop", "icmp-health-checks", "tiers"] {
        let text = std::fs::read_to_string(examples.join(example).join("policies.yaml"))
            .expect("an example");
        for document in text.split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document).expect("YAML");
            for definition in definitions.iter().filter(|one| object["kind"] == one.kind) {
                assert_eq!(definition.broken(&object["spec"]), BTreeSet::new(), "{object}");
                seen.insert(&definition.kind);
            }
        }
    }
    assert!(seen.contains(&"VpcNetworkPolicy".to_owned()), "the examples use Moat's own kinds");
}
