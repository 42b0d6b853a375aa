//! A wide prefix rule would let in a pod that must stay out: pod subnets are taken out, references put the others back
//! (DESIGN §6.4).

use super::{assert_compiles, plain, with_pod_subnets};
use crate::net::Transport;
use crate::policy::{Peer, Policy};
use crate::testing::{
    Cluster, accept, admin, baseline, block_except, blocks, deny, named, network_policy, pod, pods,
    set,
};

/// x/db is open on tcp/80 to 10.0.0.0/20, but not to y/tool, which lives there next to x/web.
fn shop() -> Cluster {
    let lan = accept().peers([blocks(&["10.0.0.0/20"])]).services([set("tcp/80")]);
    Cluster::default()
        .namespace("x", "ns=x")
        .namespace("y", "ns=y")
        .pod(pod("x/db").label("app", "db").at("10.0.0.2"))
        .pod(pod("x/web").label("app", "web").at("10.0.0.1"))
        .pod(pod("y/tool").label("app", "tool").at("10.0.1.1"))
        .settings(plain())
        .vpc(&["10.0.0.0/21"])
        .based()
        .policy(no_tool())
        .policy(network_policy("x/db", "app=db").ingress([lan]))
}

fn app(name: &str) -> Peer {
    Peer::Pods(pods("", &format!("app={name}")))
}

fn no_tool() -> Policy {
    admin("no-tool", 1, pods("ns=x", "app=db")).ingress([deny().peers([app("tool")])])
}

#[test]
fn declared_pod_subnets_are_taken_out_and_nothing_is_lost() {
    let cluster = shop().settings(with_pod_subnets(&["10.0.0.0/22"]));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.4.0/22 tcp/80
          ingress 10.0.8.0/21 tcp/80
          ingress moat.1 tcp/80
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
fn without_declared_subnets_the_vpc_is_taken_out_and_its_other_addresses_are_reported() {
    assert_compiles(
        &shop(),
        "
        moat.1: x/db
          ingress 10.0.8.0/21 tcp/80
          ingress moat.1 tcp/80
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        narrower UndeclaredPodSubnets NetworkPolicy x/db
          10.0.0.0/31, 10.0.0.3-10.0.7.255 → x/db tcp/80 IPv4
          such as 10.0.0.0 → x/db 10.0.0.2 tcp/80
        narrower UndeclaredPodSubnets ClusterNetworkPolicy no-tool
          10.0.0.0/31, 10.0.0.3-10.0.7.255 → x/db tcp/80 IPv4
          such as 10.0.0.0 → x/db 10.0.0.2 tcp/80
        ",
    );
}

#[test]
fn addresses_of_nodes_stay_when_the_vpc_is_taken_out() {
    let cluster = shop().node("node", "", &["10.0.4.9"]);
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.4.9/32 tcp/80
          ingress 10.0.8.0/21 tcp/80
          ingress moat.1 tcp/80
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        narrower UndeclaredPodSubnets NetworkPolicy x/db
          10.0.0.0/31, 10.0.0.3-10.0.4.8, 10.0.4.10-10.0.7.255 → x/db tcp/80 IPv4
          such as 10.0.0.0 → x/db 10.0.0.2 tcp/80
        narrower UndeclaredPodSubnets ClusterNetworkPolicy no-tool
          10.0.0.0/31, 10.0.0.3-10.0.4.8, 10.0.4.10-10.0.7.255 → x/db tcp/80 IPv4
          such as 10.0.0.0 → x/db 10.0.0.2 tcp/80
        ",
    );
}

#[test]
fn declared_subnets_that_do_not_hold_the_pod_do_not_help() {
    let cluster = shop().settings(with_pod_subnets(&["10.0.0.0/24"]));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.8.0/21 tcp/80
          ingress moat.1 tcp/80
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        narrower UndeclaredPodSubnets NetworkPolicy x/db
          10.0.1.0-10.0.7.255 → x/db tcp/80 IPv4
          such as 10.0.1.0 → x/db 10.0.0.2 tcp/80
        narrower UndeclaredPodSubnets ClusterNetworkPolicy no-tool
          10.0.1.0-10.0.7.255 → x/db tcp/80 IPv4
          such as 10.0.1.0 → x/db 10.0.0.2 tcp/80
        ",
    );
}

#[test]
fn a_denied_pod_outside_of_the_wide_rule_costs_nothing() {
    let mut cluster = shop();
    cluster.pod_mut("y/tool").addresses = vec!["192.168.7.7".parse().unwrap()];
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.0.0/20 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_deny_of_another_service_costs_nothing_either() {
    let narrow = admin("no-tool", 1, pods("ns=x", "app=db"))
        .ingress([deny().peers([app("tool")]).services([set("tcp/443")])]);
    assert_compiles(
        &shop().without("no-tool").policy(narrow),
        "
        moat.1: x/db
          ingress 10.0.0.0/20 tcp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn the_same_holds_on_egress() {
    let lan = accept().peers([blocks(&["10.0.0.0/20"])]).services([set("tcp/80")]);
    let cluster = shop().without("db").without("no-tool");
    let no_tool = admin("no-tool", 1, pods("ns=x", "app=db")).egress([deny().peers([app("tool")])]);
    let out = network_policy("x/db", "app=db").egress([lan]);
    let cluster = cluster.policy(no_tool).policy(out);
    assert_compiles(
        &cluster.settings(with_pod_subnets(&["10.0.0.0/22"])),
        "
        moat.1: x/db
          ingress 0.0.0.0/0 all
          egress 10.0.4.0/22 tcp/80
          egress 10.0.8.0/21 tcp/80
          egress moat.1 tcp/80
          egress moat.2 tcp/80
        moat.2: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ignored DnsClosed NetworkPolicy x/db spec
        ",
    );
}

#[test]
fn classes_are_split_by_the_address_peers_that_hold_their_members() {
    let half =
        accept().peers([block_except("10.0.0.0/20", &["10.0.0.4/30"])]).services([set("tcp/80")]);
    let cluster = shop()
        .without("db")
        .pod(pod("x/web-2").label("app", "web").at("10.0.0.5"))
        .based()
        .policy(network_policy("x/db", "app=db").ingress([half]))
        .settings(with_pod_subnets(&["10.0.0.0/22"]));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.4.0/22 tcp/80
          ingress 10.0.8.0/21 tcp/80
          ingress moat.1 tcp/80
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
fn a_pod_whose_two_addresses_may_do_different_things_gets_what_both_may_do() {
    let both = accept().peers([blocks(&["10.0.0.0/20", "fd00::/63"])]).services([set("tcp/80")]);
    let more = accept().peers([blocks(&["fd00::/63"])]).services([set("tcp/443")]);
    let mut cluster =
        shop().without("db").settings(with_pod_subnets(&["10.0.0.0/22", "fd00::/64"]));
    for (pod, address) in [("x/db", "fd00::2"), ("x/web", "fd00::1"), ("y/tool", "fd00::3")] {
        let dual = cluster.pod_mut(pod).clone().at(address);
        *cluster.pod_mut(pod) = dual;
    }
    let cluster = cluster.policy(network_policy("x/db", "app=db").ingress([both, more]));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.4.0/22 tcp/80
          ingress 10.0.8.0/21 tcp/80
          ingress fd00:0:0:1::/64 tcp/80
          ingress fd00:0:0:1::/64 tcp/443
          ingress moat.1 tcp/80
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        narrower FamilyMismatch NetworkPolicy x/db
          x/web → x/db tcp/443 IPv6
          such as x/web fd00::1 → x/db fd00::2 tcp/443
        narrower FamilyMismatch ClusterNetworkPolicy no-tool
          x/web → x/db tcp/443 IPv6
          such as x/web fd00::1 → x/db fd00::2 tcp/443
        ",
    );
}

#[test]
fn two_address_functions_that_ask_for_all_are_one_reference_to_all() {
    let all = accept().peers([blocks(&["10.0.0.0/20"])]);
    let cluster = shop()
        .without("db")
        .policy(network_policy("x/db", "app=db").ingress([all]))
        .settings(with_pod_subnets(&["10.0.0.0/22"]));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.4.0/22 all
          ingress 10.0.8.0/21 all
          ingress moat.1 all
          ingress moat.2 all
          egress 0.0.0.0/0 all
        moat.2: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_deny_of_pods_in_a_baseline_carves_too() {
    let closed = baseline("closed", 1, pods("ns=x", "app=db")).ingress([
        deny().peers([app("tool")]),
        accept().peers([blocks(&["10.0.0.0/20"])]),
        deny(),
    ]);
    let cluster = shop().without("db").without("no-tool").policy(closed);
    assert_compiles(
        &cluster.settings(with_pod_subnets(&["10.0.0.0/22"])),
        "
        moat.1: x/db
          ingress 10.0.4.0/22 all
          ingress 10.0.8.0/21 all
          ingress moat.1 all
          ingress moat.2 all
          egress 0.0.0.0/0 all
        moat.2: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn named_ports_of_peers_under_a_deny_are_put_back_by_class() {
    let cluster = shop().without("db").without("no-tool");
    let cluster = cluster
        .pod(pod("y/api").label("app", "api").at("10.0.1.2").port("web", Transport::Tcp, 8080))
        .pod(pod("y/old").label("app", "old").at("10.0.1.3").port("web", Transport::Tcp, 80))
        .based();
    let close = admin("close", 1, pods("ns=x", "app=db")).egress([
        accept().services([named(Transport::Tcp, "web")]),
        deny().peers([Peer::Pods(pods("ns=y", ""))]),
        accept().peers([blocks(&["10.0.0.0/20"])]),
        deny(),
    ]);
    let cluster = cluster.policy(close).settings(with_pod_subnets(&["10.0.0.0/22"]));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 0.0.0.0/0 all
          egress 10.0.4.0/22 all
          egress 10.0.8.0/21 all
          egress moat.1 all
          egress moat.2 all
          egress moat.3 tcp/8080
          egress moat.4 tcp/80
        moat.2: x/web
        moat.3: y/api
        moat.4: y/old
        sg-base: x/web, y/api, y/old
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ignored NamedPortOfAddress ClusterNetworkPolicy close spec.egress[0]
        ",
    );
}
