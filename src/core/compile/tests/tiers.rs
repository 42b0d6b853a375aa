//! Admin, NetworkPolicy and Baseline tiers folded into one set of rules.

use super::{assert_compiles, plain};
use crate::policy::{Peer, Policy};
use crate::testing::{
    Cluster, accept, admin, baseline, blocks, deny, network_policy, pass, pod, pods, selector, set,
};

/// x/web, x/db and y/tool, which nothing but policies filters.
fn shop() -> Cluster {
    Cluster::default()
        .namespace("x", "ns=x")
        .namespace("y", "ns=y")
        .pod(pod("x/web").label("app", "web").at("10.0.0.1"))
        .pod(pod("x/db").label("app", "db").at("10.0.0.2"))
        .pod(pod("y/tool").label("app", "tool").at("10.0.1.1"))
        .node("node", "zone=a", &["192.168.0.1"])
        .settings(plain())
        .based()
}

fn app(name: &str) -> Peer {
    Peer::Pods(pods("", &format!("app={name}")))
}

/// A policy of the Admin tier about x/db.
fn about_db(priority: u16) -> Policy {
    admin("about-db", priority, pods("ns=x", "app=db"))
}

#[test]
fn an_admin_deny_of_networks_is_cut_out_of_what_a_network_policy_accepts() {
    let denied = about_db(10).ingress([deny().peers([blocks(&["10.128.0.0/9"])])]);
    let accepted = network_policy("x/db", "app=db")
        .ingress([accept().peers([blocks(&["10.0.0.0/8"])]).services([set("tcp/80")])]);
    assert_compiles(
        &shop().policy(denied).policy(accepted),
        "
        moat.1: x/db
          ingress 10.0.0.0/9 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn an_admin_accept_beats_the_isolation_of_a_network_policy() {
    let accepted = about_db(10).ingress([accept().peers([app("tool")]).services([set("tcp/443")])]);
    let isolated = network_policy("x/db", "app=db").ingress([]);
    assert_compiles(
        &shop().policy(accepted).policy(isolated),
        "
        moat.1: x/db
          ingress moat.2 tcp/443
          egress 0.0.0.0/0 all
        moat.2: y/tool
        sg-base: y/tool
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn an_admin_pass_accepts_nothing_and_shields_from_a_later_deny() {
    let passed = about_db(10).ingress([pass().services([set("tcp/80")]), deny()]);
    let accepted = network_policy("x/db", "app=db").ingress([accept().peers([app("web")])]);
    assert_compiles(
        &shop().policy(passed).policy(accepted),
        "
        moat.1: x/db
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn an_admin_deny_of_pods_wins_over_a_network_policy_that_names_them() {
    let denied = about_db(10).ingress([deny().peers([app("tool")]).services([set("tcp/443")])]);
    let accepted = network_policy("x/db", "app=db")
        .ingress([accept().peers([app("tool"), app("web")]).services([set("tcp/80, tcp/443")])]);
    assert_compiles(
        &shop().policy(denied).policy(accepted),
        "
        moat.1: x/db
          ingress moat.2 tcp/80
          ingress moat.2 tcp/443
          ingress moat.3 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web
        moat.3: y/tool
        sg-base: x/web, y/tool
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn an_admin_accept_of_nodes_names_their_addresses() {
    let nodes = Peer::Nodes(selector("zone=a"));
    let accepted = about_db(10).ingress([accept().peers([nodes]).services([set("tcp/80")])]);
    let isolated = network_policy("x/db", "app=db").ingress([]);
    assert_compiles(
        &shop().policy(accepted).policy(isolated),
        "
        moat.1: x/db
          ingress 192.168.0.1/32 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn an_admin_accept_of_nodes_of_another_label_names_nobody() {
    let nodes = Peer::Nodes(selector("zone=b"));
    let accepted = about_db(10).ingress([accept().peers([nodes]).services([set("tcp/80")])]);
    let isolated = network_policy("x/db", "app=db").ingress([]);
    assert_compiles(
        &shop().policy(accepted).policy(isolated),
        "
        moat.1: x/db
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn rules_of_one_policy_are_asked_in_their_order() {
    let lan = || blocks(&["10.0.0.0/8"]);
    let accept_first = [accept().services([set("tcp/80")]), deny().peers([lan()]), deny()];
    assert_compiles(
        &shop().policy(about_db(10).ingress(accept_first)),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
    let deny_first = [deny().peers([lan()]), accept().services([set("tcp/80")]), deny()];
    assert_compiles(
        &shop().policy(about_db(10).ingress(deny_first)),
        "
        moat.1: x/db
          ingress 0.0.0.0/5 tcp/80
          ingress 8.0.0.0/7 tcp/80
          ingress 11.0.0.0/8 tcp/80
          ingress 12.0.0.0/6 tcp/80
          ingress 16.0.0.0/4 tcp/80
          ingress 32.0.0.0/3 tcp/80
          ingress 64.0.0.0/2 tcp/80
          ingress 128.0.0.0/1 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn policies_are_asked_by_priority_and_not_by_name() {
    let closes = admin("a", 20, pods("ns=x", "app=db")).ingress([deny()]);
    let opens =
        admin("b", 10, pods("ns=x", "app=db")).ingress([accept().services([set("tcp/80")])]);
    assert_compiles(
        &shop().policy(closes).policy(opens),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn equal_priorities_that_meet_go_by_name_and_are_reported() {
    let closes = admin("b", 10, pods("ns=x", "app=db")).ingress([deny()]);
    let opens = admin("a", 10, pods("", "")).ingress([accept().services([set("tcp/80")])]);
    let apart = admin("c", 10, pods("ns=y", "")).egress([deny()]);
    assert_compiles(
        &shop().policy(closes).policy(opens).policy(apart),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web
          ingress 0.0.0.0/0 all
        moat.3: y/tool
          ingress 0.0.0.0/0 all
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ignored EqualPriority ClusterNetworkPolicy b spec.priority
        ",
    );
}

#[test]
fn a_baseline_decides_only_where_no_network_policy_isolates() {
    let closed = baseline("closed", 1, pods("", ""))
        .ingress([accept().peers([app("web")]).services([set("tcp/80")]), deny()]);
    let own = network_policy("x/db", "app=db").ingress([accept().services([set("tcp/443")])]);
    assert_compiles(
        &shop().policy(closed).policy(own),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/443
          egress 0.0.0.0/0 all
        moat.2: x/web
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.3: y/tool
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_baseline_pass_allows() {
    let closed = baseline("closed", 1, pods("ns=x", "app=db"))
        .ingress([pass().services([set("tcp/80")]), deny()]);
    assert_compiles(
        &shop().policy(closed),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn an_admin_policy_that_says_nothing_about_the_rest_leaves_it_open() {
    let denied = about_db(10).ingress([deny().peers([blocks(&["128.0.0.0/1"])])]);
    assert_compiles(
        &shop().policy(denied),
        "
        moat.1: x/db
          ingress 0.0.0.0/1 all
          egress 0.0.0.0/0 all
        ",
    );
}
