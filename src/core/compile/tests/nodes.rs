//! What of their nodes' traffic reaches isolated pods.

use super::{assert_compiles, assert_found, plain};
use crate::finding::Reason;
use crate::settings::{NodeTraffic, Settings};
use crate::testing::{Cluster, accept, admin, baseline, deny, network_policy, pod, pods, set};

/// x/web, probed on tcp/8080, and x/db, not probed; both isolated. A node at 192.168.0.1 and another known by address only.
fn shop(node_traffic: NodeTraffic) -> Cluster {
    let nodes = vec!["192.168.0.9/32".parse().unwrap()];
    Cluster::default()
        .namespace("x", "")
        .pod(pod("x/db").label("app", "db").at("10.0.0.2"))
        .pod(pod("x/web").label("app", "web").at("10.0.0.1").probe(8080))
        .node("node", "", &["192.168.0.1"])
        .settings(Settings { node_traffic, nodes, ..plain() })
        .based()
        .policy(network_policy("x/all", "").ingress([]))
}

#[test]
fn probe_ports_of_isolated_pods_are_open_to_every_node() {
    let found = |reason| reason != Reason::NeverFiltered && reason != Reason::GroupReplaced;
    assert_found(
        &shop(NodeTraffic::Probes),
        found,
        "
        moat.1: x/db
          egress 0.0.0.0/0 all
        moat.2: x/web
          ingress 192.168.0.1/32 tcp/8080
          ingress 192.168.0.9/32 tcp/8080
          egress 0.0.0.0/0 all
        ignored ProbesFromAllNodes NetworkPolicy x/all spec
        ",
    );
}

#[test]
fn all_node_traffic_is_open_to_every_node() {
    assert_compiles(
        &shop(NodeTraffic::All),
        "
        moat.1: x/db, x/web
          ingress 192.168.0.1/32 all
          ingress 192.168.0.9/32 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn no_node_traffic_leaves_isolation_alone() {
    assert_compiles(
        &shop(NodeTraffic::None),
        "
        moat.1: x/db, x/web
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_deny_holds_against_probes() {
    let denied = admin("no-8080", 1, pods("", "")).ingress([deny().services([set("tcp/8080")])]);
    assert_compiles(
        &shop(NodeTraffic::Probes).policy(denied),
        "
        moat.1: x/db, x/web
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_baseline_deny_holds_against_node_traffic() {
    let denied = baseline("closed", 1, pods("", "")).ingress([deny()]);
    assert_compiles(
        &shop(NodeTraffic::All).without("all").policy(denied),
        "
        moat.1: x/db, x/web
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn isolation_of_egress_opens_nothing_to_nodes() {
    let out = network_policy("x/all", "").egress([accept().services([set("tcp/53, udp/53")])]);
    assert_compiles(
        &shop(NodeTraffic::All).without("all").policy(out),
        "
        moat.1: x/db, x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 tcp/53
          egress 0.0.0.0/0 udp/53
        ",
    );
}
