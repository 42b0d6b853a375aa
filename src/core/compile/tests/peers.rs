//! Pods that Moat cannot give a group: peers by their addresses, and subjects that nothing enforces (DESIGN §6.7, §6.9).

use super::{assert_compiles, assert_found, plain};
use crate::inventory::Attachment;
use crate::policy::Peer;
use crate::testing::{Cluster, accept, admin, blocks, deny, network_policy, pod, pods, set};

/// x/db accepts tcp/80 of x/web, whose two pods are behind the base group.
fn shop() -> Cluster {
    let from_web = accept().peers([Peer::Pods(pods("x", "app=web"))]).services([set("tcp/80")]);
    Cluster::default()
        .namespace("x", "")
        .pod(pod("x/db").label("app", "db").at("10.0.0.2"))
        .pod(pod("x/web-0").label("app", "web").at("10.0.0.8"))
        .pod(pod("x/web-1").label("app", "web").at("10.0.0.9"))
        .settings(plain())
        .based()
        .policy(network_policy("x/db", "app=db").ingress([from_web]))
}

#[test]
fn peers_on_shared_and_fixed_interfaces_are_named_by_their_addresses() {
    for attachment in [Attachment::Shared, Attachment::Fixed] {
        let cluster = shop().attached("x/web-0", attachment, &["sg-base"]);
        assert_compiles(
            &cluster,
            "
        moat.1: x/db
          ingress 10.0.0.8/32 tcp/80
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web-1
        sg-base: x/web-1
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
        );
    }
}

#[test]
fn a_peer_without_an_interface_is_named_by_its_address() {
    let mut cluster = shop();
    cluster.pod_mut("x/web-1").interface = None;
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.0.9/32 tcp/80
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web-0
        sg-base: x/web-0
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn neighbouring_address_peers_share_a_prefix() {
    let cluster = shop().attached("x/web-0", Attachment::Shared, &["sg-base"]).attached(
        "x/web-1",
        Attachment::Shared,
        &["sg-base"],
    );
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.0.8/31 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn an_address_peer_that_is_denied_is_cut_out_of_a_wide_prefix() {
    let deny_web = admin("no-web", 1, pods("x", "app=db"))
        .ingress([deny().peers([Peer::Pods(pods("x", "app=web"))])]);
    let lan = accept().peers([blocks(&["10.0.0.8/30"])]).services([set("tcp/80")]);
    let cluster = shop()
        .without("db")
        .policy(deny_web)
        .policy(network_policy("x/db", "app=db").ingress([lan]))
        .attached("x/web-0", Attachment::Shared, &["sg-base"])
        .attached("x/web-1", Attachment::Shared, &["sg-base"]);
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.0.10/31 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn what_a_subject_on_a_shared_interface_denies_passes_and_is_reported() {
    assert_compiles(
        &shop().attached("x/db", Attachment::Shared, &["sg-base"]),
        "
        not enforced SharedInterface NetworkPolicy x/db
          anywhere → x/db tcp, udp, sctp, icmp, proto IPv4
          x/web-0, x/web-1 → x/db tcp/0-79, tcp/81-65535, udp, sctp, icmp, proto IPv4
          such as 0.0.0.0 → x/db 10.0.0.2 tcp/0
        ",
    );
}

#[test]
fn what_a_subject_on_a_fixed_interface_denies_passes_as_far_as_its_groups_let_it() {
    let cluster = shop()
        .foreign("sg-narrow", &["ingress 10.0.0.0/24 tcp/443", "egress 0.0.0.0/0 all"])
        .attached("x/db", Attachment::Fixed, &["sg-narrow"]);
    assert_found(&cluster, |_| true, "
        not enforced FixedInterface NetworkPolicy x/db
          10.0.0.0/24 → x/db tcp/443 IPv4
          x/web-0, x/web-1 → x/db tcp/443 IPv4
          such as 10.0.0.0 → x/db 10.0.0.2 tcp/443
        narrower PriorGroups SecurityGroup sg-narrow
          x/web-0, x/web-1 → x/db tcp/80 IPv4
          such as x/web-0 10.0.0.8 → x/db 10.0.0.2 tcp/80
        not enforced NeverFiltered VPC
          169.254.169.123, 169.254.169.250/31, 169.254.169.253-169.254.169.254, 169.254.170.2 → x/db tcp, udp, sctp, icmp, proto IPv4
          such as 169.254.169.123 → x/db 10.0.0.2 tcp/0
        ");
}

#[test]
fn what_a_subject_without_an_interface_denies_passes() {
    let mut cluster = shop();
    cluster.pod_mut("x/db").interface = None;
    assert_compiles(
        &cluster,
        "
        not enforced NoInterface NetworkPolicy x/db
          anywhere → x/db tcp, udp, sctp, icmp, proto IPv4
          x/web-0, x/web-1 → x/db tcp/0-79, tcp/81-65535, udp, sctp, icmp, proto IPv4
          such as 0.0.0.0 → x/db 10.0.0.2 tcp/0
        ",
    );
}

#[test]
fn an_interface_that_the_cloud_does_not_know_is_none() {
    let mut cluster = shop();
    cluster.inventory.interfaces.retain(|id, _| &*id.0 != "eni-x-db");
    assert_compiles(
        &cluster,
        "
        not enforced NoInterface NetworkPolicy x/db
          anywhere → x/db tcp, udp, sctp, icmp, proto IPv4
          x/web-0, x/web-1 → x/db tcp/0-79, tcp/81-65535, udp, sctp, icmp, proto IPv4
          such as 0.0.0.0 → x/db 10.0.0.2 tcp/0
        ",
    );
}

#[test]
fn pods_on_their_nodes_network_are_neither_subjects_nor_peers() {
    let on_host = pod("x/agent").label("app", "web").at("192.168.0.1").on_host_network();
    let subject = pod("x/proxy").label("app", "db").at("192.168.0.1").on_host_network();
    assert_compiles(
        &shop().pod(on_host).pod(subject),
        "
        moat.1: x/db
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web-0, x/web-1
        sg-base: x/web-0, x/web-1
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn an_address_that_two_pods_claim_lets_through_only_what_both_may() {
    let claimed_by = |app: &str| {
        let cluster = shop().attached("x/web-0", Attachment::Shared, &["sg-base"]);
        cluster.pod(pod("x/ghost").label("app", app).at("10.0.0.8")).attached(
            "x/ghost",
            Attachment::Exclusive,
            &["sg-base"],
        )
    };
    assert_compiles(
        &claimed_by("other"),
        "
        moat.1: x/db
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web-1
        sg-base: x/web-1
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        narrower DuplicateAddress NetworkPolicy x/db
          x/web-0 → x/db tcp/80 IPv4
          such as x/web-0 10.0.0.8 → x/db 10.0.0.2 tcp/80
        ",
    );
    assert_compiles(
        &claimed_by("web"),
        "
        moat.1: x/db
          ingress 10.0.0.8/32 tcp/80
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/ghost, x/web-1
        sg-base: x/ghost, x/web-1
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}
