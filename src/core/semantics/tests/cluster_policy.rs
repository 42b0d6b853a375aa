//! ClusterNetworkPolicy `policy.networking.k8s.io/v1alpha2` and the order of the tiers.

use crate::net::Transport;
use crate::policy::{Kind, ObjectRef, Peer, Peers, PodSelector, Rule, Services};
use crate::semantics::Decision;
use crate::settings::{IcmpMode, Settings};
use crate::testing::{
    Cluster, accept, admin, baseline, blocks, deny, named, named_any, network_policy, pass, pod,
    pods, selector, set,
};

fn x() -> PodSelector {
    pods("ns=x", "")
}

fn strict(cluster: Cluster) -> Cluster {
    cluster.settings(Settings { icmp: IcmpMode::Strict, ..Settings::default() })
}

/// An Accept, Deny or Pass in each tier, or nothing: what becomes of a flow.
#[test]
fn the_tiers_decide_in_their_order() {
    let actions = [None, Some(accept()), Some(deny()), Some(pass())];
    let networks = [None, Some(true), Some(false)];
    for first in &actions {
        for network in networks {
            for last in &actions {
                let mut cluster = Cluster::xyz();
                if let Some(rule) = first {
                    cluster = cluster.policy(admin("admin", 1, x()).ingress([rule.clone()]));
                }
                if let Some(accepts) = network {
                    let policy = network_policy("x/np", "").ingress([]);
                    let open = network_policy("x/np", "").ingress([accept()]);
                    cluster = cluster.policy(if accepts { open } else { policy });
                }
                if let Some(rule) = last {
                    cluster = cluster.policy(baseline("base", 1, x()).ingress([rule.clone()]));
                }
                let action = |rule: &Option<Rule>| rule.as_ref().map(|rule| rule.action);
                let expected = match (action(first), network, action(last)) {
                    (Some(crate::policy::Action::Accept), _, _) => true,
                    (Some(crate::policy::Action::Deny), _, _) => false,
                    (_, Some(accepts), _) => accepts,
                    (_, None, Some(crate::policy::Action::Deny)) => false,
                    (_, None, _) => true,
                };
                let what = (action(first), network, action(last));
                assert_eq!(cluster.allows("y/a", "x/a", "tcp/80"), expected, "{what:?}");
                assert!(cluster.allows("x/a", "y/a", "tcp/80"), "the other direction {what:?}");
            }
        }
    }
}

#[test]
fn a_subject_without_a_matching_rule_falls_through() {
    let only_z = deny().peers([Peer::Pods(pods("ns=z", ""))]);
    let cluster = Cluster::xyz().policy(admin("some", 1, x()).ingress([only_z]));
    assert_eq!(cluster.table("y/a z/a 192.0.2.1", "x/a", "tcp/80"), ". x .");
    assert_eq!(cluster.ingress("y/a", "x/a", "tcp/80"), Decision::Default, "no isolation");
}

#[test]
fn an_empty_direction_is_not_touched() {
    let cluster = Cluster::xyz().policy(admin("none", 1, x()).ingress([]).egress([]));
    assert_eq!(cluster.ingress("y/a", "x/a", "tcp/80"), Decision::Default);
    assert_eq!(cluster.egress("x/a", "y/a", "tcp/80"), Decision::Default);
}

#[test]
fn isolation_in_one_direction_leaves_baseline_in_force_in_the_other() {
    let np = network_policy("x/in", "").ingress([accept()]);
    let base = baseline("base", 1, x()).ingress([deny()]).egress([deny()]);
    let cluster = Cluster::xyz().policy(np).policy(base);
    assert!(cluster.allows("y/a", "x/a", "tcp/80"), "ingress: the NetworkPolicy is final");
    assert!(!cluster.allows("x/a", "y/a", "tcp/80"), "egress: no NetworkPolicy, Baseline denies");
}

#[test]
fn rules_of_one_policy_keep_their_written_order() {
    let accept_80 = || accept().services([set("tcp/80")]);
    let first_accept = admin("order", 1, x()).ingress([accept_80(), deny()]);
    let first_deny = admin("order", 1, x()).ingress([deny(), accept_80()]);
    let cluster = Cluster::xyz().policy(first_accept);
    assert_eq!(cluster.table("y/a", "x/a", "tcp/80"), ".");
    assert_eq!(cluster.table("y/a", "x/a", "tcp/81"), "x");
    assert!(!Cluster::xyz().policy(first_deny).allows("y/a", "x/a", "tcp/80"));
}

#[test]
fn equal_priorities_go_by_name_then_kind_whatever_the_order_of_the_input() {
    let denies = admin("a-denies", 5, x()).ingress([deny()]);
    let accepts = admin("b-accepts", 5, x()).ingress([accept()]);
    let moat = |name: &str, rule| {
        let it = admin(name, 5, x()).ingress([rule]);
        let object = ObjectRef { kind: Kind::ClusterVpcNetworkPolicy, ..it.object.clone() };
        crate::policy::Policy { object, ..it }
    };
    for reverse in [false, true] {
        for (pair, allowed) in [
            ([denies.clone(), accepts.clone()], false),
            ([denies.clone(), moat("a-denies", accept())], false),
            ([denies.clone(), moat("a", accept())], true),
        ] {
            let mut cluster = Cluster::xyz();
            cluster.policies = pair.into();
            if reverse {
                cluster.policies.reverse();
            }
            assert_eq!(cluster.allows("y/a", "x/a", "tcp/80"), allowed);
        }
    }
}

#[test]
fn a_lower_number_beats_a_name_and_a_tier_beats_every_number() {
    let cluster = Cluster::xyz()
        .policy(admin("z", 9, x()).ingress([accept()]))
        .policy(admin("a", 10, x()).ingress([deny()]))
        .policy(baseline("a", 0, x()).ingress([deny()]));
    assert!(cluster.allows("y/a", "x/a", "tcp/80"));
    let cluster = Cluster::xyz()
        .policy(baseline("a", 0, x()).ingress([accept()]))
        .policy(admin("z", 1000, x()).ingress([deny()]));
    assert!(!cluster.allows("y/a", "x/a", "tcp/80"));
}

#[test]
fn pass_skips_the_rest_of_its_tier_and_is_final_in_baseline() {
    let cluster = Cluster::xyz()
        .policy(admin("first", 1, x()).ingress([pass()]))
        .policy(admin("second", 2, x()).ingress([deny()]));
    assert_eq!(cluster.ingress("y/a", "x/a", "tcp/80"), Decision::Default);

    let cluster = Cluster::xyz()
        .policy(baseline("first", 1, x()).ingress([pass()]))
        .policy(baseline("second", 2, x()).ingress([deny()]));
    let policy = &cluster.policies[0];
    let rule = &policy.ingress.as_ref().unwrap()[0];
    let decision = cluster.ingress("y/a", "x/a", "tcp/80");
    assert_eq!(decision, Decision::Rule { policy, rule });
    assert!(decision.allowed());
}

#[test]
fn both_ends_must_allow_and_an_accept_at_one_says_nothing_of_the_other() {
    let cluster = Cluster::xyz()
        .policy(admin("out", 1, x()).egress([accept()]))
        .policy(admin("in", 2, pods("ns=y", "")).ingress([deny()]));
    let flow = cluster.flow("x/a", "y/a", "tcp/80");
    let semantics = cluster.semantics();
    let verdict = semantics.verdict(&flow);
    assert!(verdict.egress.allowed() && !verdict.ingress.allowed() && !verdict.allowed());
    assert!(!semantics.allows(&flow));
}

#[test]
fn a_subject_is_every_pod_of_its_namespaces_or_those_of_both_selectors() {
    for (subject, table) in [
        (pods("ns=y", ""), "... xxx ..."),
        (pods("", "pod=b"), ".x. .x. .x."),
        (pods("", ""), "xxx xxx xxx"),
        (pods("ns!=z", "pod in a|c"), "x.x x.x ..."),
    ] {
        let cluster = Cluster::xyz().policy(admin("subject", 1, subject).ingress([deny()]));
        let tables = ["x/a x/b x/c", "y/a y/b y/c", "z/a z/b z/c"]
            .map(|to| cluster.table("192.0.2.1", to, "tcp/80"));
        assert_eq!(tables.join(" "), table);
    }
}

#[test]
fn without_protocols_a_rule_takes_every_protocol_and_with_them_no_other() {
    let every = ["tcp/80", "udp/53", "sctp/9", "icmp/8/0", "icmp/3/4", "proto/47", "proto/50"];
    let cluster = strict(Cluster::xyz().policy(admin("all", 1, x()).ingress([deny()])));
    assert!(every.iter().all(|service| !cluster.allows("y/a", "x/a", service)));

    let tcp = deny().services([set("tcp")]);
    let cluster = strict(Cluster::xyz().policy(admin("tcp", 1, x()).ingress([tcp])));
    let closed: Vec<_> =
        every.into_iter().filter(|service| !cluster.allows("y/a", "x/a", service)).collect();
    assert_eq!(closed, ["tcp/80"], "`tcp: {{}}` is every tcp port");
}

#[test]
fn networks_match_every_protocol_of_their_family() {
    let v4 = deny().peers([blocks(&["0.0.0.0/0"])]);
    let mut cluster = Cluster::xyz().policy(admin("v4", 1, x()).egress([v4]));
    cluster.pod_mut("x/a").addresses.push("fd00::1".parse().unwrap());
    for service in ["tcp/80", "icmp/8/0", "proto/47"] {
        assert!(!cluster.allows("x/a", "192.0.2.1", service), "{service}");
        assert!(!cluster.allows("x/a", "y/a", service), "pods too: {service}");
    }
    assert!(cluster.allows("x/a", "2001:db8::1", "tcp/80"));
    assert!(cluster.allows("x/a", "2001:db8::1", "icmpv6/128/0"));
}

#[test]
fn a_pass_for_pods_above_spares_them_from_a_network_deny() {
    let to_pods = pass().peers([Peer::Pods(pods("", ""))]);
    let policy = admin("outside", 1, x()).egress([to_pods, deny().peers([blocks(&["0.0.0.0/0"])])]);
    let cluster = Cluster::xyz().policy(policy);
    assert_eq!(cluster.table("x/a", "y/a 192.0.2.1", "tcp/80"), ".x");
}

#[test]
fn a_pod_to_its_own_address_is_outside_of_cluster_policies() {
    let cluster =
        Cluster::xyz().policy(admin("all", 1, pods("", "")).ingress([deny()]).egress([deny()]));
    assert!(cluster.allows("x/a", "x/a", "tcp/80"));
    assert!(!cluster.allows("x/a", "x/b", "tcp/80"));
}

#[test]
fn pods_on_the_host_network_are_reached_as_nodes_only() {
    let host = pod("y/host").label("pod", "a").at("192.168.0.1").on_host_network();
    let cluster = Cluster::xyz().pod(host).node("one", "zone=a", &["192.168.0.1"]).node(
        "two",
        "zone=b",
        &["192.168.0.2"],
    );
    let deny_pods = deny().peers([Peer::Pods(pods("", ""))]);
    let by_pods = cluster.clone().policy(admin("pods", 1, pods("", "")).egress([deny_pods]));
    assert_eq!(by_pods.table("x/a", "y/host y/a", "tcp/80"), ".x");
    assert!(by_pods.allows("y/host", "192.0.2.1", "tcp/80"), "no subject either");

    let of_zone = |zone: &str| deny().peers([Peer::Nodes(selector(zone))]);
    for (zone, table) in [("zone=a", "x."), ("zone=b", ".x"), ("", "xx"), ("!zone", "..")] {
        let it = cluster.clone().policy(admin("nodes", 1, x()).egress([of_zone(zone)]));
        assert_eq!(it.table("x/a", "y/host 192.168.0.2", "tcp/80"), table, "{zone}");
    }
}

#[test]
fn addresses_of_the_settings_are_nodes_without_labels() {
    let settings =
        Settings { nodes: vec!["172.16.0.0/24".parse().unwrap()], ..Settings::default() };
    for (labels, allowed) in [("", false), ("zone=a", true), ("!zone", false), ("zone!=a", false)] {
        let rule = deny().peers([Peer::Nodes(selector(labels))]);
        let cluster = Cluster::xyz().policy(admin("nodes", 1, x()).egress([rule]));
        let cluster = cluster.settings(settings.clone());
        assert_eq!(cluster.allows("x/a", "172.16.0.9", "tcp/80"), allowed, "{labels}");
        assert!(cluster.allows("x/a", "172.16.1.9", "tcp/80"), "{labels}");
    }
}

#[test]
fn a_named_port_is_resolved_at_pods_never_at_networks_or_nodes() {
    let web = || [named(Transport::Tcp, "serve-80-tcp")];
    let to = |peer: Peer| deny().peers([peer]).services(web());
    let cluster = Cluster::xyz().node("node", "", &["192.168.0.1"]);
    for (name, rule, closed) in [
        ("pods", to(Peer::Pods(pods("ns=y", ""))), true),
        ("anyone", deny().services(web()), true),
        ("networks", to(blocks(&["0.0.0.0/0"])), false),
        ("nodes", to(Peer::Nodes(selector(""))), false),
    ] {
        let cluster = cluster.clone().policy(admin("named", 1, x()).egress([rule]));
        assert_eq!(!cluster.allows("x/a", "y/a", "tcp/80"), closed, "{name}");
        assert!(cluster.allows("x/a", "192.0.2.1", "tcp/80"), "{name}");
        assert!(cluster.allows("x/a", "192.168.0.1", "tcp/80"), "{name}");
    }
}

#[test]
fn a_named_port_without_a_transport_is_that_name_on_any() {
    let dns = pod("y/dns").at("10.0.1.9").port("dns", Transport::Udp, 53);
    let dns = dns.port("dns", Transport::Tcp, 5353);
    let rule = || deny().services([named_any("dns")]);
    let cluster = Cluster::xyz().pod(dns);
    let ingress = cluster.clone().policy(admin("in", 1, pods("ns=y", "")).ingress([rule()]));
    let egress = cluster.policy(admin("out", 1, x()).egress([rule()]));
    for cluster in [ingress, egress] {
        for (service, closed) in
            [("udp/53", true), ("tcp/5353", true), ("tcp/53", false), ("udp/5353", false)]
        {
            assert_eq!(!cluster.allows("x/a", "y/dns", service), closed, "{service}");
        }
        assert!(cluster.allows("x/a", "y/a", "udp/53"), "a pod without the name");
    }
}

#[test]
fn what_failed_closed_denies_in_its_place_and_rules_above_still_decide_first() {
    let failed = Rule { failed_closed: true, ..deny() };
    let above = accept().services([set("tcp/80")]);
    let below = accept().services([set("tcp/81")]);
    let policy = admin("half-known", 1, x()).ingress([above, failed, below]);
    let cluster = Cluster::xyz().policy(policy);
    assert!(cluster.allows("y/a", "x/a", "tcp/80"));
    assert!(!cluster.allows("y/a", "x/a", "tcp/81"));
    assert!(!cluster.allows("y/a", "x/a", "icmp/3/4"));
}

#[test]
fn an_accept_that_failed_closed_matches_nothing_and_the_rest_of_the_policy_stands() {
    let unknown_peer = Rule { peers: Peers::AnyOf(Vec::new()), ..accept() };
    let unknown_port = Rule { services: Services::AnyOf(Vec::new()), ..accept() };
    let policy = admin("half-known", 1, x()).ingress([unknown_peer, unknown_port, deny()]);
    assert!(!Cluster::xyz().policy(policy).allows("y/a", "x/a", "tcp/80"));
}
