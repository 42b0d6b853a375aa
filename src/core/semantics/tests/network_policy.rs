//! NetworkPolicy `networking.k8s.io/v1`: the numbered edge cases of its API text.

use crate::flow::{Endpoint, Flow};
use crate::net::Transport;
use crate::policy::{Direction, Peer, Peers, Rule, Services, Subject};
use crate::semantics::Decision;
use crate::testing::{
    Cluster, accept, block_except, blocks, deny, named, network_policy, pass, pod, pods, set,
};

fn from(namespaces: &str, labels: &str) -> Rule {
    accept().peers([Peer::Pods(pods(namespaces, labels))])
}

#[test]
fn a_rule_without_peers_or_ports_accepts_everyone_and_every_protocol() {
    let cluster = Cluster::xyz().policy(network_policy("x/all", "").ingress([accept()]));
    for service in ["tcp/1", "udp/65535", "sctp/7", "icmp/8/0", "proto/47"] {
        assert!(cluster.allows("y/a", "x/a", service), "{service}");
        assert!(cluster.allows("192.0.2.1", "x/a", service), "{service}");
    }
}

#[test]
fn a_rule_with_ports_matches_nothing_else() {
    let rule = accept().services([set("tcp/80-90"), set("udp/53"), set("icmp/3"), set("sctp")]);
    let cluster = Cluster::xyz().policy(network_policy("x/some", "").ingress([rule]));
    for service in ["tcp/80", "tcp/90", "udp/53", "icmp/3/0", "icmp/3/255", "sctp/1"] {
        assert!(cluster.allows("y/a", "x/a", service), "{service}");
    }
    for service in ["tcp/79", "tcp/91", "udp/80", "icmp/4/0", "icmp/2/255", "proto/47"] {
        assert!(!cluster.allows("y/a", "x/a", service), "{service}");
    }
}

#[test]
fn an_empty_list_of_peers_or_services_matches_nothing() {
    let nobody = Rule { peers: Peers::AnyOf(Vec::new()), ..accept() };
    let nothing = Rule { services: Services::AnyOf(Vec::new()), ..accept() };
    let policy = network_policy("x/none", "").ingress([nobody.clone(), nothing.clone()]);
    let cluster = Cluster::xyz().policy(policy.egress([nobody, nothing]));
    assert!(!cluster.allows("y/a", "x/a", "tcp/80"));
    assert!(!cluster.allows("x/a", "y/a", "tcp/80"));
}

// 1
#[test]
fn isolation_is_per_direction_policies_are_a_union_and_both_ends_must_allow() {
    let ingress = network_policy("x/in", "pod=a").ingress([from("y", "")]);
    let cluster = Cluster::xyz().policy(ingress);
    assert_eq!(cluster.table("y/a z/a", "x/a", "tcp/80"), ". x");
    assert_eq!(cluster.table("x/a", "y/a z/a", "tcp/80"), "..", "egress is not touched");

    let cluster = cluster.policy(network_policy("x/more", "").ingress([from("z", "pod=b")]));
    assert_eq!(cluster.table("y/a z/a z/b", "x/a", "tcp/80"), ". x .");
    assert_eq!(cluster.table("y/a z/a z/b", "x/b", "tcp/80"), "x x .");

    let cluster = cluster.policy(network_policy("y/out", "").egress([from("z", "")]));
    assert_eq!(cluster.table("y/a", "x/a z/a", "tcp/80"), "x.", "the source's end is closed");
}

// 2
#[test]
fn no_rules_deny_all_an_empty_rule_allows_all_an_absent_direction_is_not_touched() {
    let base = || Cluster::xyz();
    let denied = base().policy(network_policy("x/deny", "").ingress([]));
    assert_eq!(denied.table("y/a 192.0.2.1", "x/a", "tcp/80"), "x x");
    assert!(denied.allows("x/a", "y/a", "tcp/80"));

    let allowed = denied.policy(network_policy("x/allow", "").ingress([accept()]));
    assert_eq!(allowed.table("y/a 192.0.2.1", "x/a", "tcp/80"), ". .");

    let egress_only = base().policy(network_policy("x/deny", "").egress([]));
    assert!(!egress_only.allows("x/a", "y/a", "tcp/80"));
    assert!(egress_only.allows("y/a", "x/a", "tcp/80"));
}

// 3
#[test]
fn both_selectors_of_one_peer_must_match_and_any_of_two_peers_may() {
    let both = network_policy("x/and", "").ingress([from("ns=y", "pod=b")]);
    let cluster = Cluster::xyz().policy(both);
    assert_eq!(cluster.table("y/b y/a z/b x/b", "x/a", "tcp/80"), ". x x x");

    let of_two = [Peer::Pods(pods("ns=y", "")), Peer::Pods(pods("x", "pod=b"))];
    let either = network_policy("x/or", "").ingress([accept().peers(of_two)]);
    let cluster = Cluster::xyz().policy(either);
    assert_eq!(cluster.table("y/b y/a z/b x/b x/c", "x/a", "tcp/80"), ". . x . x");

    let own = network_policy("x/own", "").ingress([from("x", "")]);
    let cluster = Cluster::xyz().policy(own);
    assert_eq!(cluster.table("x/b y/b 192.0.2.1", "x/a", "tcp/80"), ". x x");

    let all = network_policy("x/all", "").ingress([from("", "")]);
    let cluster = Cluster::xyz().policy(all);
    assert_eq!(cluster.table("x/b y/b 192.0.2.1", "x/a", "tcp/80"), ". . x", "pods only");
}

// 6
#[test]
fn a_pod_cannot_block_itself() {
    let closed = network_policy("x/deny", "").ingress([]).egress([]);
    let cluster = Cluster::xyz().policy(closed);
    assert!(cluster.allows("x/a", "x/a", "tcp/80"));
    assert_eq!(cluster.egress("x/a", "x/a", "icmp/8/0"), Decision::Itself);
    assert_eq!(cluster.ingress("x/a", "10.0.0.1", "icmp/8/0"), Decision::Itself);
    assert!(!cluster.allows("x/a", "x/b", "tcp/80"));
}

// 7
#[test]
fn address_blocks_match_pods_by_their_addresses() {
    let one = network_policy("x/one", "").egress([accept().peers([blocks(&["10.0.1.2/32"])])]);
    let cluster = Cluster::xyz().policy(one);
    assert_eq!(cluster.table("x/a", "y/a y/b y/c 10.0.1.9", "tcp/80"), "x.xx");

    let rule = accept().peers([block_except("10.0.0.0/8", &["10.0.1.2/32", "10.0.2.0/24"])]);
    let cluster = Cluster::xyz().policy(network_policy("x/but", "").egress([rule]));
    assert_eq!(cluster.table("x/a", "y/a y/b z/a 10.0.1.9 11.0.0.1", "tcp/80"), ".xx.x");
}

// 8
#[test]
fn a_named_port_fans_out_over_the_destination_pods_and_has_a_transport() {
    let web = || named(Transport::Tcp, "web");
    let mut cluster = Cluster::default().namespace("x", "").namespace("y", "");
    for it in [
        pod("x/client").at("10.0.0.9"),
        pod("y/one").at("10.0.1.1").port("web", Transport::Tcp, 80),
        pod("y/two").at("10.0.1.2").port("web", Transport::Tcp, 8080),
        pod("y/twice").at("10.0.1.3").port("web", Transport::Tcp, 1).port("web", Transport::Tcp, 2),
        pod("y/udp").at("10.0.1.4").port("web", Transport::Udp, 80),
        pod("y/none").at("10.0.1.5"),
    ] {
        cluster = cluster.pod(it);
    }
    let expected = [
        ("tcp/80", ".xxxx"),
        ("tcp/8080", "x.xxx"),
        ("tcp/1", "xx.xx"),
        ("tcp/2", "xx.xx"),
        ("udp/80", "xxxxx"),
    ];
    let servers = "y/one y/two y/twice y/udp y/none";

    let ingress =
        cluster.clone().policy(network_policy("y/in", "").ingress([accept().services([web()])]));
    let egress =
        cluster.clone().policy(network_policy("x/out", "").egress([accept().services([web()])]));
    let to_pods = from("y", "").services([web()]);
    let by_peer = cluster.clone().policy(network_policy("x/out", "").egress([to_pods]));
    for (service, table) in expected {
        for it in [&ingress, &egress, &by_peer] {
            assert_eq!(it.table("x/client", servers, service), table, "{service}");
        }
    }

    let from_block = accept().peers([blocks(&["0.0.0.0/0"])]).services([web()]);
    let outside = cluster.clone().policy(network_policy("y/in", "").ingress([from_block.clone()]));
    assert_eq!(outside.table("192.0.2.1", servers, "tcp/80"), ".xxxx", "the subject's own ports");

    let out = cluster.policy(network_policy("x/out", "").egress([from_block]));
    assert_eq!(out.table("x/client", servers, "tcp/80"), "xxxxx", "a block resolves no name");
    assert!(!out.allows("x/client", "192.0.2.1", "tcp/80"));
}

#[test]
fn a_named_port_that_a_block_cannot_resolve_is_resolved_by_the_pod_peer_beside_it() {
    let beside = [blocks(&["0.0.0.0/0"]), Peer::Pods(pods("y", "pod=b"))];
    let rule = accept().peers(beside).services([named(Transport::Tcp, "serve-80-tcp")]);
    let cluster = Cluster::xyz().policy(network_policy("x/out", "").egress([rule]));
    assert_eq!(cluster.table("x/a", "y/a y/b z/b", "tcp/80"), "x.x");
}

// 9
#[test]
fn pods_on_the_host_network_are_neither_subjects_nor_pod_peers_but_addresses() {
    let host = |name: &str| pod(name).label("pod", "a").at("192.168.0.1").on_host_network();
    let cluster = Cluster::xyz().pod(host("x/host")).pod(host("y/host"));
    let closed = cluster.clone().policy(network_policy("x/deny", "").ingress([]).egress([]));
    assert_eq!(closed.ingress("y/a", "x/host", "tcp/80"), Decision::NotAPod);
    assert_eq!(closed.egress("x/host", "y/a", "tcp/80"), Decision::NotAPod);

    let by_place = Flow {
        source: Endpoint::Pod(closed.index("x/a").unwrap()),
        destination: Endpoint::Pod(closed.index("x/host").unwrap()),
        ..closed.flow("x/a", "x/host", "tcp/80")
    };
    assert_eq!(closed.semantics().end(&by_place, Direction::Ingress), Decision::NotAPod);

    let by_pod = cluster.clone().policy(network_policy("x/in", "").ingress([from("", "")]));
    assert_eq!(by_pod.table("y/host y/a", "x/a", "tcp/80"), "x .");
    let by_address = accept().peers([blocks(&["192.168.0.1/32"])]);
    let by_address = cluster.policy(network_policy("x/in", "").ingress([by_address]));
    assert_eq!(by_address.table("y/host y/a", "x/a", "tcp/80"), ". x");
}

// 10
#[test]
fn an_sctp_rule_isolates_and_opens_no_tcp() {
    let policy = network_policy("x/sctp", "").ingress([accept().services([set("sctp/80")])]);
    let cluster = Cluster::xyz().policy(policy);
    assert!(cluster.allows("y/a", "x/a", "sctp/80"));
    for service in ["tcp/80", "udp/80", "sctp/81", "icmp/8/0", "proto/47"] {
        assert!(!cluster.allows("y/a", "x/a", service), "{service}");
    }
}

// 11
#[test]
fn deny_all_closes_every_protocol() {
    let cluster = Cluster::xyz().policy(network_policy("x/deny", "").ingress([]));
    for service in ["tcp/0", "udp/65535", "sctp/1", "icmp/8/0", "proto/0", "proto/255"] {
        assert!(!cluster.allows("y/a", "x/a", service), "{service}");
    }
}

// 13
#[test]
fn the_families_of_a_dual_stack_pod_are_judged_apart() {
    let cluster = Cluster::default()
        .namespace("x", "")
        .pod(pod("x/a").at("10.0.0.1").at("fd00::1"))
        .pod(pod("x/b").at("10.0.0.2").at("fd00::2"))
        .policy(network_policy("x/v4", "").ingress([accept().peers([blocks(&["0.0.0.0/0"])])]));
    assert!(cluster.allows("x/a", "x/b", "tcp/80"));
    assert!(cluster.allows("x/a", "x/b", "icmp/8/0"));
    assert!(!cluster.allows("x/a", "x/b", "icmpv6/128/0"), "the pair exists in IPv6 only");
    assert!(!cluster.allows("2001:db8::1", "x/b", "tcp/80"));
    let both = [accept().peers([blocks(&["0.0.0.0/0", "::/0"])])];
    let cluster = cluster.policy(network_policy("x/v6", "").ingress(both));
    assert!(cluster.allows("x/a", "x/b", "icmpv6/128/0"));
}

// 14
#[test]
fn namespace_labels_change_membership_and_the_name_is_a_label() {
    let by_label = network_policy("x/in", "").ingress([from("team=red", "")]);
    let cluster = Cluster::xyz().policy(by_label);
    assert!(!cluster.allows("y/a", "x/a", "tcp/80"));
    assert!(cluster.namespace("y", "team=red").allows("y/a", "x/a", "tcp/80"));

    let by_name = network_policy("x/in", "").ingress([from("kubernetes.io/metadata.name=y", "")]);
    let cluster = Cluster::xyz().policy(by_name);
    assert_eq!(cluster.table("y/a z/a", "x/a", "tcp/80"), ". x");
}

// 15
#[test]
fn a_selector_that_matches_nobody_is_valid_and_a_label_makes_it_match() {
    let policy = network_policy("x/later", "stage=live").ingress([]);
    let mut cluster = Cluster::xyz().policy(policy);
    assert!(cluster.allows("y/a", "x/a", "tcp/80"));
    let relabelled = cluster.pod_mut("x/a").clone().label("stage", "live");
    *cluster.pod_mut("x/a") = relabelled;
    assert!(!cluster.allows("y/a", "x/a", "tcp/80"));
}

#[test]
fn an_unknown_subject_selects_nobody() {
    let policy = network_policy("x/broken", "").ingress([]);
    let cluster =
        Cluster::xyz().policy(crate::policy::Policy { subject: Subject::Nobody, ..policy });
    assert_eq!(cluster.ingress("y/a", "x/a", "tcp/80"), Decision::Default);
}

#[test]
fn selectors_read_their_operators_as_kubernetes_does() {
    for (selector, table) in [
        ("pod=a", ". x x"),
        ("pod!=a", "x . ."),
        ("pod in a|b", ". . x"),
        ("pod notin a|b", "x x ."),
        ("pod", ". . ."),
        ("!pod", "x x x"),
        ("tier!=web", ". . ."),
        ("tier notin web", ". . ."),
        ("tier in web", "x x x"),
        ("!tier", ". . ."),
        ("pod,pod!=b", ". x ."),
    ] {
        let policy = network_policy("x/in", "").ingress([from("y", selector)]);
        let cluster = Cluster::xyz().policy(policy);
        assert_eq!(cluster.table("y/a y/b y/c", "x/a", "tcp/80"), table, "{selector}");
    }
}

#[test]
fn an_isolated_end_names_its_policies_and_an_open_one_its_rule() {
    let first = network_policy("x/first", "").ingress([from("z", "")]);
    let second = network_policy("x/second", "pod=a").ingress([]);
    let outward = network_policy("x/third", "").egress([]);
    let cluster = Cluster::xyz().policy(second).policy(outward).policy(first);
    let [second, _, first] = &cluster.policies[..] else { panic!() };
    assert_eq!(
        cluster.ingress("y/a", "x/a", "tcp/80"),
        Decision::Isolated { policies: vec![first, second] }
    );
    let rule = &first.ingress.as_ref().unwrap()[0];
    assert_eq!(cluster.ingress("z/a", "x/a", "tcp/80"), Decision::Rule { policy: first, rule });
}

#[test]
fn the_network_policy_tier_is_a_union_of_accepts_so_any_other_action_opens_nothing() {
    for rule in [deny(), pass()] {
        let policy = network_policy("x/odd", "").ingress([rule]);
        assert!(!Cluster::xyz().policy(policy).allows("y/a", "x/a", "tcp/80"));
    }
}
