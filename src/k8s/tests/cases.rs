//! Tables of texts and what they mean: `cases/*.txt`. A case is a sentence after `##`, a text, and after `=>` everything
//! that it says: policies, namespaces with labels, nodes, pods, findings. `MOAT_UPDATE=1` writes what is there.

use std::fmt::Write;
use std::path::Path;

use super::{read, show};

fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(file);
    let table = std::fs::read_to_string(&path).expect("the table is there");
    let (head, cases) = table.split_once("\n## ").expect("cases");
    let mut told = head.to_owned();
    for case in cases.split("\n## ") {
        let (sentence, rest) = case.split_once('\n').expect("a sentence");
        let (text, _) = rest.split_once("=>\n").unwrap_or((rest, ""));
        let means = show::cluster(&read(text));
        let _ = write!(told, "\n## {sentence}\n{text}=>\n{means}");
    }
    if std::env::var_os("MOAT_UPDATE").is_some() {
        return std::fs::write(&path, &told).expect("writable");
    }
    for (line, (expected, actual)) in table.lines().zip(told.lines()).enumerate() {
        assert_eq!(expected, actual, "{file}:{}", line + 1);
    }
    assert_eq!(table.len(), told.len(), "{file} ends differently");
}

#[test]
fn network_policies_mean_what_the_api_says() {
    check("network-policy.txt");
}

#[test]
fn cluster_network_policies_mean_what_the_api_says() {
    check("cluster-network-policy.txt");
}

#[test]
fn our_own_kinds_add_icmp_and_ingress_networks() {
    check("vpc-network-policy.txt");
}

#[test]
fn what_is_not_understood_fails_closed_in_its_place() {
    check("fail-closed.txt");
}

#[test]
fn selectors_are_checked_as_the_api_server_checks_them() {
    check("selectors.txt");
}

#[test]
fn pods_and_workloads_become_an_inventory() {
    check("inventory.txt");
}

#[test]
fn other_kinds_are_skipped_or_reported() {
    check("kinds.txt");
}
