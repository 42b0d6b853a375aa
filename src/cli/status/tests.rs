use moat_k8s::crd::{FindingRow, Summary, Unfiltered};
use moat_k8s::{Read, There};
use serde_json::{Value, json};

use super::*;

fn read(object: &Value) -> Read {
    moat_k8s::read_object(object).expect("it is read")
}

fn pod(name: &str, spec: &Value, annotations: &Value) -> Read {
    read(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": name}, "annotations": annotations},
        "spec": spec,
        "status": {"podIP": "10.0.0.9"},
    }))
}

fn policy() -> Read {
    read(&json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "all", "uid": "u", "generation": 2},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }))
}

fn condition(kind: &str, status: &str, reason: &str) -> Condition {
    serde_json::from_value(json!({
        "type": kind, "status": status, "reason": reason, "message": "it is so",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }))
    .expect("a condition")
}

fn enforced(pods: i32) -> EnforcementStatus {
    EnforcementStatus {
        observed_generation: Some(2),
        conditions: vec![
            condition("Programmed", "True", "Programmed"),
            condition("Exact", "True", "Exact"),
        ],
        summary: Some(Summary { pods, groups: 1, rules: 1, ..Summary::default() }),
        ..EnforcementStatus::default()
    }
}

/// The state and the reasons of each of some pods that one policy selects, of which this is said.
fn told(pods: &[Read], of: &str, status: EnforcementStatus) -> Vec<String> {
    let policy = policy();
    let statuses = [(policy.object.clone(), Said { of: of.to_owned(), status })].into();
    let objects = [pods, &[policy]].concat();
    let there = There { objects, ..There::default() };
    let view = View::of(Published { there, statuses, ..Published::default() }, true);
    let row = |row: &Row<'_>| {
        let reasons: Vec<&str> = row.because.iter().map(|cause| &*cause.reason).collect();
        format!("{} {:?} {}", row.pod.name, row.state, reasons.join(",")).trim_end().to_owned()
    };
    view.rows().iter().map(row).collect()
}

#[test]
fn the_worst_that_is_said_of_a_pod_counts() {
    let web = [pod("web", &json!({}), &json!({}))];
    assert_eq!(told(&web, "u", enforced(1)), ["web Enforced"]);
    assert_eq!(told(&web, "another", enforced(1)), ["web Unknown Unreported"]);
    assert_eq!(told(&web, "u", enforced(2)), ["web Pending Pending"], "a pod is gone or new");
    let old = EnforcementStatus { observed_generation: Some(1), ..enforced(1) };
    assert_eq!(told(&web, "u", old), ["web Pending Pending"]);
    let said = |conditions| told(&web, "u", EnforcementStatus { conditions, ..enforced(1) });
    let (not, held) = (
        condition("Programmed", "False", "ChangeHeld"),
        condition("Stalled", "True", "ChangeHeld"),
    );
    assert_eq!(said(vec![not.clone(), held]), ["web Stalled ChangeHeld"]);
    assert_eq!(
        said(vec![not, condition("Reconciling", "True", "Pending")]),
        ["web Pending Pending"]
    );
    assert_eq!(
        said(vec![condition("Programmed", "Unknown", "Observing")]),
        ["web Unknown Observing"]
    );
    assert_eq!(said(Vec::new()), ["web Unknown"]);
}

#[test]
fn what_is_not_filtered_is_told_of_those_pods_alone() {
    let row = |reason: &str, effect: Effect| FindingRow {
        path: String::new(),
        reason: reason.to_owned(),
        effect: effect.as_str().to_owned(),
        message: "it is so".to_owned(),
        witness: None,
    };
    let shared = Unfiltered {
        reason: "SharedInterface".to_owned(),
        pods: 1,
        names: vec!["shop/db".to_owned()],
    };
    let fixed =
        Unfiltered { reason: "Released".to_owned(), pods: 1, names: vec!["shop/free".to_owned()] };
    let mut status = EnforcementStatus {
        conditions: vec![
            condition("Programmed", "True", "Programmed"),
            condition("Exact", "False", "SharedInterface"),
        ],
        findings: vec![
            row("SharedInterface", Effect::NotEnforced),
            row("SloppyCidr", Effect::Ignored),
        ],
        findings_total: 2,
        unfiltered: vec![shared, fixed],
        ..enforced(4)
    };
    let released = json!({"moat.dev/release": "true"});
    let pods = [
        pod("db", &json!({}), &json!({})),
        pod("free", &json!({}), &released),
        pod("host", &json!({"hostNetwork": true}), &json!({})),
        pod("late", &json!({}), &released),
        pod("web", &json!({}), &json!({})),
    ];
    let of_host = "host Unselected HostNetwork";
    let expected = [
        "db NotEnforced SharedInterface",
        "free NotEnforced Released",
        of_host,
        "late Pending Released",
        "web Enforced",
    ];
    assert_eq!(told(&pods, "u", status.clone()), expected);
    // Another difference holds of all, and so does one that is not shown.
    status.findings.push(row("SctpPort", Effect::Narrower));
    let sctp = told(&pods, "u", status.clone());
    assert_eq!(sctp.last().map(String::as_str), Some("web Inexact SctpPort"));
    status.findings.pop();
    status.findings_total = 3;
    let more = told(&pods, "u", status.clone());
    assert_eq!(more.last().map(String::as_str), Some("web Inexact SharedInterface"));
    // Where all are concerned, not all need to be named.
    if let Some(all) = status.unfiltered.first_mut() {
        all.pods = 4;
    }
    let all = told(&pods, "u", status);
    assert_eq!(all.last().map(String::as_str), Some("web NotEnforced SharedInterface"));
}
