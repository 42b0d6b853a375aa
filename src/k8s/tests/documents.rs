//! How files become objects, and where objects and fields stand.

use moat_core::finding::Location;
use moat_core::policy::{Kind, ObjectRef};

use super::{read, show, source};
use crate::{Cluster, Options};

const POLICY: &str =
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: NAME}\nspec: {}\n";

fn policy(name: &str) -> String {
    POLICY.replace("NAME", name)
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.policies.iter().map(|policy| policy.object.name.to_string()).collect()
}

/// Reads a text, and gives the names of the policies and the findings as lines.
fn told(text: &str) -> (Vec<String>, Vec<String>) {
    let cluster = read(text);
    let findings =
        show::cluster(&Cluster { findings: cluster.findings.clone(), ..Cluster::default() });
    (names(&cluster), findings.lines().map(str::to_owned).collect())
}

fn names_of(text: &str) -> Vec<String> {
    let (names, findings) = told(text);
    assert_eq!(findings, Vec::<String>::new());
    names
}

#[test]
fn yaml_documents_json_values_and_lists_all_give_their_objects() {
    let (a, b) = (policy("a"), policy("b"));
    assert_eq!(names_of(&format!("{a}---\n{b}")), ["a", "b"]);
    assert_eq!(
        names_of(&format!("%YAML 1.2\n---\n# only a remark\n---\n{a}...\n---\n{b}---\n")),
        ["a", "b"]
    );
    assert_eq!(names_of(&format!("\u{feff}{a}").replace('\n', "\r\n")), ["a"]);
    assert_eq!(names_of(&format!("--- # remark\n{a}--- {{}}\n").replace("--- {}\n", "")), ["a"]);
    let json = |name: &str| {
        format!(
            "{{\"apiVersion\": \"networking.k8s.io/v1\",\n \"kind\": \"NetworkPolicy\", \"metadata\": {{\"name\": \"{name}\"}}}}"
        )
    };
    assert_eq!(names_of(&json("a")), ["a"]);
    assert_eq!(names_of(&format!("{}\n{}{}", json("a"), json("b"), json("c"))), ["a", "b", "c"]);
    assert_eq!(names_of(&format!("{}\n---\n{b}", json("a"))), ["a", "b"]);
    assert_eq!(
        names_of(&format!(
            "{{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{}, {}]}}",
            json("a"),
            json("b")
        )),
        ["a", "b"]
    );
    let flow = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}} # yaml, not json\n";
    assert_eq!(names_of(flow), ["a"]);
}

#[test]
fn items_of_a_typed_list_need_not_say_their_kind() {
    let items = "items:\n- metadata: {name: a}\n- metadata: {name: b}\n";
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\n";
    assert_eq!(names_of(&format!("{head}{items}")), ["a", "b"]);
    assert_eq!(names_of(&format!("{items}{head}")), ["a", "b"]);
    assert_eq!(names_of("apiVersion: v1\nkind: List\nitems:\n"), Vec::<String>::new());
}

#[test]
fn empty_files_say_nothing() {
    for text in ["", "\n\n", "---\n", "# remark\n---\n\n...\n", "%YAML 1.2\n---\n", "null\n", "~"] {
        assert_eq!(names_of(text), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn a_document_that_cannot_be_read_takes_no_other_with_it() {
    let (a, b) = (policy("a"), policy("b"));
    let (names, findings) = told(&format!("{a}---\nkind: [unclosed\nmore: x\n---\n{b}"));
    assert_eq!(names, ["a", "b"]);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].starts_with("7:5 File f: Malformed (ignored): "), "{findings:?}");
}

#[test]
fn what_stands_before_a_mistake_in_a_list_is_kept() {
    let item = |name: &str| format!("- {}", policy(name).trim_end().replace('\n', "\n  "));
    let (names, findings) = told(&format!(
        "apiVersion: v1\nkind: List\nitems:\n{}\n{}\n  spec: '\n",
        item("a"),
        item("b")
    ));
    assert_eq!(names, ["a"]);
    assert_eq!(findings.len(), 1);
    let json =
        r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}} {"apiVersion": "#;
    let cluster = read(json);
    assert_eq!((cluster.inventory.namespaces.len(), cluster.findings.len()), (1, 1));
}

#[test]
fn a_text_that_is_not_utf_8_is_said_where_it_stops_being_so() {
    let mut bytes = policy("a").into_bytes();
    bytes.extend(b"---\nkind: \xe9\xff\n---\n");
    bytes.extend(policy("b").into_bytes());
    let cluster = crate::read(&[source("f.yaml", &bytes)], &Options::default());
    assert_eq!(names(&cluster), ["a", "b"]);
    let [finding] = &*cluster.findings else { panic!("{:?}", cluster.findings) };
    assert_eq!(finding.location, Some(Location { file: "f.yaml".into(), line: 6, column: 7 }));
}

#[test]
fn scalars_and_lists_are_no_objects() {
    for (text, place) in
        [("just text\n", "1:1"), ("- a\n- b\n", "1:1"), ("\n\n5\n", "3:1"), ("[{}]\n", "1:1")]
    {
        let (_, findings) = told(text);
        assert_eq!(findings.len(), 1, "{text:?}");
        assert!(findings[0].starts_with(&format!("{place} File f: Malformed")), "{findings:?}");
    }
    let (_, findings) = told("apiVersion: v1\nkind: List\nitems: [5, null, {a: b}]\n");
    assert_eq!(findings.len(), 3, "{findings:?}");
}

#[test]
fn a_list_that_is_given_twice_loses_nothing_silently() {
    let item = "- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}}\n";
    let (names, findings) =
        told(&format!("apiVersion: v1\nkind: List\nitems:\n{item}items:\n{item}"));
    assert_eq!((names, findings.len()), (vec!["a".to_owned()], 1), "{findings:?}");
}

#[test]
fn aliases_work_and_those_that_explode_are_stopped() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {ingress: [{from: &x [{podSelector: {}}]}, {from: *x}]}\n";
    assert_eq!(names_of(text), ["a"]);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(9);
        bomb.push_str(&format!("a{level}: &a{level} [{before}*a{}]\n", level - 1));
    }
    let (_, findings) = told(&format!("{bomb}---\n{}", policy("b")));
    assert_eq!(findings.len(), 1);
    assert!(findings[0].contains("Malformed"), "{findings:?}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(told(&deep).1.len(), 1);
    assert_eq!(told(&format!("{{\"a\": {deep}}}")).1.len(), 1);
    assert_eq!(told(&"- ".repeat(50_000)).1.len(), 1);
}

#[test]
fn fields_are_located_at_their_keys_and_absent_ones_at_their_parents() {
    let text = "\
# a remark
apiVersion: v1
kind: List
items:
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: a, namespace: shop}
  spec:
    podSelector:
      matchLabels:
        app.kubernetes.io/name: web
    ingress:
    - from:
      - podSelector: {}
      - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {a: b}}, spec: {}}}
";
    let cluster = read(text);
    let object =
        |kind, name: &str| ObjectRef { kind, namespace: Some("shop".into()), name: name.into() };
    let policy = object(Kind::NetworkPolicy, "a");
    let at = |object: &ObjectRef, path: &str| {
        cluster.places.locate(object, path).map(|place| (place.line, place.column))
    };
    assert_eq!(at(&policy, ""), Some((5, 3)));
    assert_eq!(at(&policy, "spec"), Some((8, 3)));
    assert_eq!(at(&policy, "spec.podSelector.matchLabels[app.kubernetes.io/name]"), Some((11, 9)));
    assert_eq!(at(&policy, "spec.ingress[0].from[1].ipBlock.except[0]"), Some((15, 46)));
    assert_eq!(at(&policy, "spec.ingress[0].from[1].ipBlock"), Some((15, 9)));
    assert_eq!(at(&policy, "spec.ingress[0].from[7].ipBlock"), Some((13, 7)));
    assert_eq!(at(&policy, "spec.egress[0].to"), Some((8, 3)));
    assert_eq!(at(&object(Kind::Pod, "web-0"), "metadata.labels.a"), Some((20, 39)));
    assert_eq!(at(&object(Kind::Workload, "web"), "spec"), Some((20, 1)));
    assert_eq!(at(&object(Kind::Pod, "other"), ""), None);
}

#[test]
fn reading_is_deterministic_and_the_first_of_two_files_wins() {
    let files = [source("a", policy("x").as_bytes()), source("b", policy("x").as_bytes())];
    let once = crate::read(&files, &Options::default());
    let again = crate::read(&files, &Options::default());
    assert_eq!((&once.policies, &once.findings), (&again.policies, &again.findings));
    let [finding] = &*once.findings else { panic!("{:?}", once.findings) };
    assert_eq!(finding.location, Some(Location { file: "b".into(), line: 1, column: 1 }));
    let first = once.places.locate(&once.policies[0].object, "").map(|place| place.file);
    assert_eq!(first, Some("a".into()));
}

#[test]
fn one_parsed_object_reads_like_a_file() {
    let object = serde_json::json!({
        "apiVersion": "moat.dev/v1alpha1", "kind": "VpcNetworkPolicy", "metadata": {"name": "a"},
        "spec": {"ingress": [{"protocols": [{"icmp": {"type": 8}}]}, {"protocols": [{"gre": {}}]}]},
    });
    let (policy, findings) = crate::tests::read_policy(&object).expect("a policy");
    let file = read(&object.to_string());
    assert_eq!(vec![policy], file.policies);
    let unplaced = |findings: Vec<moat_core::finding::Finding>| {
        findings
            .into_iter()
            .map(|finding| (finding.path, finding.reason, finding.message))
            .collect::<Vec<_>>()
    };
    assert_eq!(unplaced(findings), unplaced(file.findings));
    assert_eq!(
        crate::tests::read_policy(
            &serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})
        ),
        None
    );
}
