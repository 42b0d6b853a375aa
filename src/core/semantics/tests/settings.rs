//! What the cluster's settings loosen: node traffic and open ICMP. Essential ICMP has its own table.

use crate::policy::{Peer, Policy};
use crate::semantics::Decision;
use crate::settings::{IcmpMode, NodeTraffic, Settings};
use crate::testing::{Cluster, accept, admin, baseline, deny, network_policy, pods, set};

fn with(icmp: IcmpMode, node_traffic: NodeTraffic) -> Settings {
    let nodes = vec!["172.16.0.0/24".parse().unwrap()];
    Settings { icmp, node_traffic, nodes, ..Settings::default() }
}

/// x/a is probed at 8080 and 9090; two nodes are known by object, others by setting.
fn probed(node_traffic: NodeTraffic) -> Cluster {
    let mut cluster = Cluster::xyz()
        .node("own", "", &["192.168.0.1"])
        .node("other", "", &["192.168.0.2", "fd00::2"])
        .settings(with(IcmpMode::Strict, node_traffic));
    let it = cluster.pod_mut("x/a").clone().probe(8080).probe(9090).at("fd00::a");
    *cluster.pod_mut("x/a") = it;
    cluster
}

const NODES: [&str; 4] = ["192.168.0.1", "192.168.0.2", "172.16.0.7", "fd00::2"];

#[test]
fn probe_ports_of_an_isolated_pod_are_open_to_every_node_and_to_nobody_else() {
    let cluster = probed(NodeTraffic::Probes).policy(network_policy("x/deny", "").ingress([]));
    for node in NODES {
        for port in ["tcp/8080", "tcp/9090"] {
            assert_eq!(cluster.ingress(node, "x/a", port), Decision::NodeTraffic, "{node} {port}");
        }
        for other in ["tcp/80", "udp/8080", "sctp/8080", "proto/47"] {
            assert!(!cluster.allows(node, "x/a", other), "{node} {other}");
        }
    }
    assert!(!cluster.allows("172.16.1.7", "x/a", "tcp/8080"));
    assert!(!cluster.allows("y/a", "x/a", "tcp/8080"));
    assert!(!cluster.allows("192.168.0.1", "x/b", "tcp/8080"), "x/b is not probed");
}

#[test]
fn all_node_traffic_is_every_service_and_none_is_none() {
    let closed = || network_policy("x/deny", "").ingress([]);
    let all = probed(NodeTraffic::All).policy(closed());
    let none = probed(NodeTraffic::None).policy(closed());
    for node in NODES {
        for service in ["tcp/80", "tcp/8080", "udp/53", "sctp/1", "proto/47"] {
            assert_eq!(
                all.ingress(node, "x/a", service),
                Decision::NodeTraffic,
                "{node} {service}"
            );
            assert!(!none.allows(node, "x/a", service), "{node} {service}");
        }
    }
    assert_eq!(all.ingress("192.168.0.1", "x/a", "icmp/8/0"), Decision::NodeTraffic);
    assert!(!all.allows("192.0.2.1", "x/a", "tcp/80"));
}

#[test]
fn node_traffic_is_about_ingress_only() {
    let closed = network_policy("x/deny", "").egress([]);
    let cluster = probed(NodeTraffic::All).policy(closed);
    assert!(!cluster.allows("x/a", "192.168.0.1", "tcp/8080"));
}

#[test]
fn node_traffic_never_beats_a_deny_of_any_tier() {
    for policy in [
        admin("no", 1, pods("ns=x", "")).ingress([deny()]),
        admin("no", 1, pods("ns=x", "")).ingress([deny().services([set("tcp/8080")])]),
        baseline("no", 1, pods("ns=x", "")).ingress([deny()]),
    ] {
        let cluster = probed(NodeTraffic::All).policy(policy);
        assert!(!cluster.allows("192.168.0.1", "x/a", "tcp/8080"));
    }
}

#[test]
fn node_traffic_beats_isolation_reached_by_a_pass() {
    let cluster = probed(NodeTraffic::Probes)
        .policy(admin("on", 1, pods("ns=x", "")).ingress([crate::testing::pass()]))
        .policy(network_policy("x/deny", "").ingress([]))
        .policy(baseline("no", 1, pods("ns=x", "")).ingress([deny()]));
    assert!(cluster.allows("192.168.0.1", "x/a", "tcp/8080"), "Baseline is not asked");
}

#[test]
fn open_lets_through_every_icmp_that_no_rule_decides_at_both_ends() {
    let isolated = || network_policy("x/deny", "").ingress([]).egress([]);
    let settings = with(IcmpMode::Open, NodeTraffic::None);
    let mut cluster = Cluster::xyz().settings(settings).policy(isolated());
    for name in ["x/a", "y/a"] {
        let address = format!("fd00::{}", if name == "x/a" { 1 } else { 2 });
        let it = cluster.pod_mut(name).clone().at(&address);
        *cluster.pod_mut(name) = it;
    }
    for service in ["icmp/8/0", "icmp/3/4", "icmp/255/255", "icmpv6/128/0", "icmpv6/2/0"] {
        for (from, to) in [("y/a", "x/a"), ("x/a", "y/a")] {
            assert!(cluster.allows(from, to, service), "{from} {to} {service}");
        }
    }
    assert_eq!(cluster.ingress("y/a", "x/a", "icmp/8/0"), Decision::OpenIcmp);
    assert_eq!(cluster.egress("x/a", "y/a", "icmp/8/0"), Decision::OpenIcmp);
    assert!(!cluster.allows("y/a", "x/a", "proto/47"));
    assert!(!cluster.allows("y/a", "x/a", "tcp/80"));

    let denied = |policy: Policy| !cluster.clone().policy(policy).allows("y/a", "x/a", "icmp/8/0");
    assert!(denied(admin("no", 1, pods("ns=x", "")).ingress([deny()])));
    assert!(denied(admin("no", 1, pods("ns=x", "")).ingress([deny().services([set("icmp")])])));
}

#[test]
fn strict_and_essential_leave_other_icmp_closed() {
    for icmp in [IcmpMode::Strict, IcmpMode::Essential] {
        let cluster = Cluster::xyz()
            .settings(with(icmp, NodeTraffic::None))
            .policy(network_policy("x/deny", "").ingress([accept().services([set("tcp/80")])]));
        for service in ["icmp/8/0", "icmp/3/3", "icmp/3/1", "icmp/11/0", "icmp/4/3"] {
            assert!(!cluster.allows("y/a", "x/a", service), "{icmp:?} {service}");
        }
        assert_eq!(cluster.allows("y/a", "x/a", "icmp/3/4"), icmp == IcmpMode::Essential);
    }
}

#[test]
fn a_rule_names_icmp_by_type_and_code() {
    let from_monitoring = accept().peers([Peer::Pods(pods("ns=z", ""))]);
    let rule = from_monitoring.services([set("icmp/8/0"), set("icmp/3")]);
    let cluster = Cluster::xyz()
        .settings(with(IcmpMode::Strict, NodeTraffic::None))
        .policy(network_policy("x/ping", "").ingress([rule]));
    for (service, table) in [
        ("icmp/8/0", "x ."),
        ("icmp/8/1", "x x"),
        ("icmp/3/0", "x ."),
        ("icmp/3/255", "x ."),
        ("icmp/0/8", "x x"),
        ("icmp/4/0", "x x"),
        ("tcp/8", "x x"),
    ] {
        assert_eq!(cluster.table("y/a z/a", "x/a", service), table, "{service}");
    }
}

#[test]
fn icmp_of_one_family_says_nothing_of_the_other() {
    let rule = accept().services([set("icmp/8")]);
    let mut cluster = Cluster::xyz()
        .settings(with(IcmpMode::Strict, NodeTraffic::None))
        .policy(network_policy("x/ping", "").ingress([rule]));
    let it = cluster.pod_mut("x/a").clone().at("fd00::1");
    *cluster.pod_mut("x/a") = it;
    assert!(cluster.allows("192.0.2.1", "x/a", "icmp/8/0"));
    assert!(!cluster.allows("2001:db8::1", "x/a", "icmpv6/8/0"));
    assert!(!cluster.allows("2001:db8::1", "x/a", "icmpv6/128/0"));
}
