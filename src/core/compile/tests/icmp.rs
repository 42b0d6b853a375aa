//! Which ICMP settings open on top of policies.

use super::{assert_compiles, plain};
use crate::settings::{IcmpMode, NodeTraffic, Settings};
use crate::testing::{
    Cluster, accept, admin, baseline, blocks, deny, network_policy, pod, pods, set,
};

/// x/web in both families and x/db in IPv4.
fn shop(icmp: IcmpMode) -> Cluster {
    let open = ["0.0.0.0/0", "::/0"]
        .map(|all| [format!("ingress {all} all"), format!("egress {all} all")]);
    let open: Vec<&str> = open.iter().flatten().map(String::as_str).collect();
    Cluster::default()
        .namespace("x", "")
        .pod(pod("x/db").label("app", "db").at("10.0.0.2"))
        .pod(pod("x/web").label("app", "web").at("10.0.0.1").at("fd00::1"))
        .settings(Settings { icmp, ..plain() })
        .foreign("sg-base", &open)
        .wired(&["sg-base"])
}

fn web(cluster: Cluster) -> Cluster {
    let lan = accept().peers([blocks(&["10.0.0.0/24"])]).services([set("tcp/80")]);
    cluster.policy(network_policy("x/web", "app=web").ingress([lan]).egress([]))
}

#[test]
fn essential_opens_path_mtu_in_the_families_that_accept_flows() {
    assert_compiles(
        &web(shop(IcmpMode::Essential)),
        "
        moat.1: x/web
          ingress 0.0.0.0/0 icmp/3/4
          ingress 10.0.0.0/24 tcp/80
        ignored DnsClosed NetworkPolicy x/web spec
        ",
    );
}

#[test]
fn essential_opens_ingress_for_flows_that_are_accepted_on_egress_and_never_egress() {
    let out = accept().peers([blocks(&["fd00::/64"])]).services([set("udp/53")]);
    let policy = network_policy("x/web", "app=web").ingress([]).egress([out]);
    assert_compiles(
        &shop(IcmpMode::Essential).policy(policy),
        "
        moat.1: x/web
          ingress ::/0 icmpv6/2/0
          egress fd00::/64 udp/53
        ",
    );
}

#[test]
fn essential_opens_nothing_for_a_pod_without_flows() {
    let policy =
        network_policy("x/web", "app=web").ingress([accept().services([set("icmp/8")])]).egress([]);
    assert_compiles(
        &shop(IcmpMode::Essential).policy(policy),
        "
        moat.1: x/web
          ingress 0.0.0.0/0 icmp/8
        ignored DnsClosed NetworkPolicy x/web spec
        ",
    );
}

#[test]
fn essential_passes_a_deny_of_every_service_and_not_one_that_names_icmp() {
    let every =
        admin("deny", 1, pods("", "app=db")).ingress([accept().services([set("tcp/80")]), deny()]);
    assert_compiles(
        &shop(IcmpMode::Essential).policy(every),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/80
          ingress 0.0.0.0/0 icmp/3/4
          egress 0.0.0.0/0 all
          egress ::/0 all
        ",
    );
    let icmp = admin("deny", 1, pods("", "app=db")).ingress([
        accept().services([set("tcp/80")]),
        deny().services([set("icmp")]),
        deny(),
    ]);
    assert_compiles(
        &shop(IcmpMode::Essential).policy(icmp),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
          egress ::/0 all
        ignored PathMtu ClusterNetworkPolicy deny spec.ingress[1]
        ",
    );
}

#[test]
fn essential_does_not_pass_a_deny_that_failed_closed() {
    let mut failed = deny();
    failed.failed_closed = true;
    let every =
        admin("deny", 1, pods("", "app=db")).ingress([accept().services([set("tcp/80")]), failed]);
    assert_compiles(
        &shop(IcmpMode::Essential).policy(every),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
          egress ::/0 all
        ignored PathMtu ClusterNetworkPolicy deny spec.ingress[1]
        ",
    );
}

#[test]
fn essential_passes_the_deny_of_a_baseline() {
    let every = baseline("deny", 1, pods("", "app=db"))
        .ingress([accept().services([set("tcp/80")]), deny()]);
    assert_compiles(
        &shop(IcmpMode::Essential).policy(every),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/80
          ingress 0.0.0.0/0 icmp/3/4
          egress 0.0.0.0/0 all
          egress ::/0 all
        ",
    );
}

#[test]
fn strict_opens_nothing() {
    assert_compiles(
        &web(shop(IcmpMode::Strict)),
        "
        moat.1: x/web
          ingress 10.0.0.0/24 tcp/80
        ignored DnsClosed NetworkPolicy x/web spec
        ",
    );
}

#[test]
fn open_opens_all_icmp_that_isolation_closes_both_ways() {
    assert_compiles(
        &web(shop(IcmpMode::Open)),
        "
        moat.1: x/web
          ingress 0.0.0.0/0 icmp
          ingress 10.0.0.0/24 tcp/80
          ingress ::/0 icmpv6
          egress 0.0.0.0/0 icmp
          egress ::/0 icmpv6
        ignored DnsClosed NetworkPolicy x/web spec
        ",
    );
}

#[test]
fn open_leaves_a_deny_alone() {
    let denied = admin("no-ping", 1, pods("", "app=web"))
        .ingress([deny().services([set("icmp/1-255, icmpv6/1-255")])]);
    assert_compiles(
        &web(shop(IcmpMode::Open)).policy(denied),
        "
        moat.1: x/web
          ingress 0.0.0.0/0 icmp/0
          ingress 10.0.0.0/24 tcp/80
          ingress ::/0 icmpv6/0
          egress 0.0.0.0/0 icmp
          egress ::/0 icmpv6
        ignored DnsClosed NetworkPolicy x/web spec
        ignored PathMtu ClusterNetworkPolicy no-ping spec.ingress[0]
        ",
    );
}

#[test]
fn type_and_code_reach_the_rules_as_they_are_written() {
    let policy = network_policy("x/db", "app=db")
        .ingress([accept().services([set("icmp/3/4, icmp/8, icmp/11/0")])]);
    assert_compiles(
        &shop(IcmpMode::Strict).policy(policy),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 icmp/8
          ingress 0.0.0.0/0 icmp/3/4
          ingress 0.0.0.0/0 icmp/11/0
          egress 0.0.0.0/0 all
          egress ::/0 all
        ",
    );
}

#[test]
fn nodes_that_may_reach_no_port_make_no_accepted_flow() {
    let settings =
        Settings { icmp: IcmpMode::Essential, node_traffic: NodeTraffic::Probes, ..plain() };
    let isolated = || network_policy("x/web", "app=web").ingress([]).egress([]);
    let cluster = shop(IcmpMode::Essential).settings(settings).node("node", "", &["192.168.0.1"]);
    assert_compiles(
        &cluster.clone().policy(isolated()),
        "
        moat.1: x/web
        ignored DnsClosed NetworkPolicy x/web spec
        ",
    );
    let mut cluster = cluster.policy(isolated());
    let probed = cluster.pod_mut("x/web").clone().probe(8080);
    *cluster.pod_mut("x/web") = probed;
    assert_compiles(
        &cluster,
        "
        moat.1: x/web
          ingress 0.0.0.0/0 icmp/3/4
          ingress 192.168.0.1/32 tcp/8080
        ignored DnsClosed NetworkPolicy x/web spec
        ",
    );
}
