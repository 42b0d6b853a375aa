//! Everything that still says all that policies ask when a quota is near: membership groups, and rules spread over groups
//! (DESIGN §6.5, §6.6).

use super::{assert_compiles, limited};
use crate::policy::Peer;
use crate::settings::{Quotas, Settings};
use crate::testing::{Cluster, accept, blocks, network_policy, pod, pods, set};

/// x/db, and `clients` clients that some port of it tells apart, each behind no group that matters.
fn clients(clients: usize) -> Cluster {
    let mut cluster =
        Cluster::default().namespace("x", "").pod(pod("x/db").label("app", "db").at("10.0.0.200"));
    let mut own = Vec::new();
    for number in 0..clients {
        let name = format!("x/client-{number}");
        let it = pod(&name).label("app", "client").label("n", &number.to_string());
        cluster = cluster.pod(it.at(&format!("10.0.0.{number}")));
        own.push(Peer::Pods(pods("x", &format!("n={number}"))));
    }
    // Each client also accepts from the next, so that no two are alike.
    for number in 0..clients {
        let next = own[(number + 1) % clients].clone();
        let port = format!("tcp/{}", 8000 + number);
        let rule = accept().peers([next]).services([set(&port)]);
        let policy = network_policy(&format!("x/c{number}"), &format!("n={number}"));
        cluster = cluster.policy(policy.ingress([rule]));
    }
    cluster.based()
}

fn from_clients(services: &str) -> crate::policy::Policy {
    let rule = accept().peers([Peer::Pods(pods("x", "app=client"))]).services([set(services)]);
    network_policy("x/db", "app=db").ingress([rule])
}

#[test]
fn references_that_outgrow_a_group_are_one_membership_group() {
    let cluster = clients(3).policy(from_clients("tcp/80")).settings(limited(2, 5, 20));
    assert_compiles(
        &cluster,
        "
        moat.1: x/client-0
          ingress moat.2 tcp/8000
          egress 0.0.0.0/0 all
        moat.2: x/client-1
          ingress moat.3 tcp/8001
          egress 0.0.0.0/0 all
        moat.3: x/client-2
          ingress moat.1 tcp/8002
          egress 0.0.0.0/0 all
        moat.4: x/db
          ingress moat.5 tcp/80
          egress 0.0.0.0/0 all
        moat.5: x/client-0, x/client-1, x/client-2
        ",
    );
}

#[test]
fn references_that_fit_are_spelled_out() {
    let cluster = clients(3).policy(from_clients("tcp/80")).settings(limited(3, 5, 20));
    assert_compiles(
        &cluster,
        "
        moat.1: x/client-0
          ingress moat.2 tcp/8000
          egress 0.0.0.0/0 all
        moat.2: x/client-1
          ingress moat.3 tcp/8001
          egress 0.0.0.0/0 all
        moat.3: x/client-2
          ingress moat.1 tcp/8002
          egress 0.0.0.0/0 all
        moat.4: x/db
          ingress moat.1 tcp/80
          ingress moat.2 tcp/80
          ingress moat.3 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn without_a_slot_for_a_membership_the_references_are_spread_over_groups() {
    let mut cluster = clients(3).policy(from_clients("tcp/80")).settings(limited(2, 2, 20));
    for number in 0..3 {
        let id = cluster.pod_mut(&format!("x/client-{number}")).interface.clone().unwrap();
        cluster.inventory.interfaces.get_mut(&id).unwrap().prior =
            [crate::firewall::ForeignGroupId("sg-empty".into())].into();
    }
    let cluster = cluster.foreign("sg-empty", &[]);
    assert_compiles(
        &cluster,
        "
        moat.1: x/client-0
          ingress moat.2 tcp/8000
        moat.2: x/client-1
          ingress moat.3 tcp/8001
        moat.3: x/client-2
          ingress moat.1 tcp/8002
        moat.4: x/db
          ingress moat.1 tcp/80
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.5: x/db
          ingress moat.3 tcp/80
        sg-empty: x/client-0, x/client-1, x/client-2
        ",
    );
}

#[test]
fn prefix_rules_are_spread_over_groups_for_each_direction_and_family() {
    let v4 = || {
        accept()
            .peers([blocks(&["10.0.0.1/32", "10.0.0.3/32", "10.0.0.5/32"])])
            .services([set("tcp/80")])
    };
    let v6 = accept().peers([blocks(&["fd00::1/128", "fd00::3/128"])]).services([set("tcp/80")]);
    let policy = network_policy("x/db", "").ingress([v4(), v6]).egress([v4()]);
    let cluster = Cluster::default()
        .namespace("x", "")
        .pod(pod("x/db").at("10.0.0.200").at("fd00::200"))
        .based()
        .policy(policy)
        .settings(limited(2, 5, 20));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.0.1/32 tcp/80
          ingress 10.0.0.3/32 tcp/80
          ingress fd00::1/128 tcp/80
          ingress fd00::3/128 tcp/80
          egress 10.0.0.1/32 tcp/80
          egress 10.0.0.3/32 tcp/80
        moat.2: x/db
          ingress 10.0.0.5/32 tcp/80
          egress 10.0.0.5/32 tcp/80
        ignored DnsClosed NetworkPolicy x/db spec
        ",
    );
}

#[test]
fn a_reference_counts_in_both_families() {
    let from_peer = accept().peers([Peer::Pods(pods("x", "app=peer"))]).services([set("tcp/80")]);
    let v4 = accept().peers([blocks(&["10.0.0.1/32"])]).services([set("tcp/80")]);
    let v6 = accept().peers([blocks(&["fd00::1/128", "fd00::3/128"])]).services([set("tcp/80")]);
    let policy = network_policy("x/db", "app=db").ingress([from_peer, v4, v6]);
    let cluster = Cluster::default()
        .namespace("x", "")
        .pod(pod("x/db").label("app", "db").at("10.0.0.200").at("fd00::200"))
        .pod(pod("x/peer").label("app", "peer").at("10.0.0.201").at("fd00::201"))
        .based()
        .policy(policy)
        .settings(limited(2, 5, 20));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.0.1/32 tcp/80
          ingress fd00::1/128 tcp/80
          ingress moat.3 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/db
          ingress fd00::3/128 tcp/80
        moat.3: x/peer
        sg-base: x/peer
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn copied_rules_take_room_too() {
    let v4 = accept().peers([blocks(&["10.0.0.1/32"])]).services([set("tcp/80")]);
    let cluster = Cluster::default()
        .namespace("x", "")
        .pod(pod("x/db").at("10.0.0.200"))
        .policy(network_policy("x/db", "").ingress([v4]))
        .foreign(
            "sg-two",
            &["ingress 0.0.0.0/0 all", "egress 10.0.0.0/8 all", "egress 192.168.0.0/16 all"],
        )
        .wired(&["sg-two"])
        .settings(limited(1, 5, 20));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.0.1/32 tcp/80
          egress 10.0.0.0/8 all
        moat.2: x/db
          egress 192.168.0.0/16 all
        ",
    );
}

#[test]
fn the_default_quotas_are_those_of_an_account() {
    let default =
        Quotas { rules_per_group: 60, groups_per_interface: 5, groups: 2_500, ..Quotas::default() };
    assert_eq!(Settings::default().quotas, default);
}
