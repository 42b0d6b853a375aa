//! Named ports, and what of sctp and other protocols a rule can say.

use super::{assert_compiles, plain};
use crate::net::Transport::{Sctp, Tcp, Udp};
use crate::policy::Peer;
use crate::testing::{
    Cluster, accept, admin, blocks, deny, named, named_any, network_policy, pod, pods, selector,
    set,
};

/// Two versions of x/db that call different ports `sql`, and x/web.
fn shop() -> Cluster {
    let db = |name: &str, version: &str| pod(name).label("app", "db").label("v", version);
    Cluster::default()
        .namespace("x", "")
        .pod(db("x/db-1", "1").at("10.0.0.2").port("sql", Tcp, 80))
        .pod(db("x/db-2", "2").at("10.0.0.3").port("sql", Tcp, 81).port("sql", Udp, 80))
        .pod(pod("x/web").label("app", "web").at("10.0.0.1"))
        .settings(plain())
        .based()
}

fn app(name: &str) -> Peer {
    Peer::Pods(pods("x", &format!("app={name}")))
}

#[test]
fn a_named_port_of_subjects_is_a_number_for_each_class() {
    let by_name = accept().peers([app("web")]).services([named(Tcp, "sql")]);
    let policy = network_policy("x/db", "app=db").ingress([by_name]);
    assert_compiles(
        &shop().policy(policy),
        "
        moat.1: x/db-1
          ingress moat.3 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/db-2
          ingress moat.3 tcp/81
          egress 0.0.0.0/0 all
        moat.3: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_name_of_any_transport_is_every_port_of_that_name() {
    let policy = network_policy("x/db", "app=db").ingress([accept().services([named_any("sql")])]);
    assert_compiles(
        &shop().policy(policy),
        "
        moat.1: x/db-1
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/db-2
          ingress 0.0.0.0/0 tcp/81
          ingress 0.0.0.0/0 udp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_named_port_of_peers_is_a_reference_for_each_class() {
    let by_name = accept().peers([app("db")]).services([named(Tcp, "sql")]);
    let policy = network_policy("x/web", "app=web").egress([by_name]);
    assert_compiles(
        &shop().policy(policy),
        "
        moat.1: x/db-1
        moat.2: x/db-2
        moat.3: x/web
          ingress 0.0.0.0/0 all
          egress moat.1 tcp/80
          egress moat.2 tcp/81
        sg-base: x/db-1, x/db-2
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ignored DnsClosed NetworkPolicy x/web spec
        ",
    );
}

#[test]
fn a_named_port_of_anyone_names_the_pods_that_have_it() {
    let policy =
        network_policy("x/web", "app=web").egress([accept().services([named(Tcp, "sql")])]);
    assert_compiles(
        &shop().policy(policy),
        "
        moat.1: x/db-1
        moat.2: x/db-2
        moat.3: x/web
          ingress 0.0.0.0/0 all
          egress moat.1 tcp/80
          egress moat.2 tcp/81
        sg-base: x/db-1, x/db-2
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ignored DnsClosed NetworkPolicy x/web spec
        ignored NamedPortOfAddress NetworkPolicy x/web spec.egress[0]
        ",
    );
}

#[test]
fn a_named_port_of_addresses_or_nodes_matches_nothing_and_is_reported() {
    let lan = [blocks(&["10.0.0.0/24"]), Peer::Nodes(selector(""))];
    let policy = network_policy("x/web", "app=web")
        .egress([accept().peers(lan).services([named(Tcp, "sql"), set("tcp/53")])]);
    assert_compiles(
        &shop().node("node", "", &["192.168.0.1"]).policy(policy),
        "
        moat.1: x/web
          ingress 0.0.0.0/0 all
          egress 10.0.0.0/24 tcp/53
          egress 192.168.0.1/32 tcp/53
        ignored UnresolvedPort NetworkPolicy x/web spec.egress[0]
        ignored NamedPortOfAddress NetworkPolicy x/web spec.egress[0]
        ",
    );
}

#[test]
fn a_named_port_that_nobody_has_matches_nothing_and_is_reported() {
    let policy = network_policy("x/db", "app=db")
        .ingress([accept().services([named(Tcp, "http"), named(Sctp, "sql")])]);
    assert_compiles(
        &shop().policy(policy),
        "
        moat.1: x/db-1, x/db-2
          egress 0.0.0.0/0 all
        ignored UnresolvedPort NetworkPolicy x/db spec.ingress[0]
        ignored UnresolvedPort NetworkPolicy x/db spec.ingress[0]
        ",
    );
}

#[test]
fn ports_of_neighbours_and_of_both_transports_are_as_few_rules_as_can_be() {
    let ports = [set("tcp/80"), set("tcp/81"), set("tcp/8080"), set("udp/80"), set("tcp/79")];
    let policy = network_policy("x/web", "app=web").ingress([accept().services(ports)]);
    assert_compiles(
        &shop().policy(policy),
        "
        moat.1: x/web
          ingress 0.0.0.0/0 tcp/79-81
          ingress 0.0.0.0/0 tcp/8080
          ingress 0.0.0.0/0 udp/80
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_port_of_sctp_stays_closed_and_each_rule_that_asks_for_it_is_told() {
    let one = accept().peers([app("db")]).services([set("sctp/80, tcp/80")]);
    let other = accept().services([set("sctp/81")]);
    let policy = network_policy("x/web", "app=web").ingress([one, other]);
    assert_compiles(
        &shop().policy(policy),
        "
        moat.1: x/db-1, x/db-2
        moat.2: x/web
          ingress moat.1 tcp/80
          egress 0.0.0.0/0 all
        sg-base: x/db-1, x/db-2
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        narrower SctpPort NetworkPolicy x/web spec.ingress[0]
          x/db-1, x/db-2 → x/web sctp/80 IPv4
          such as x/db-1 10.0.0.2 → x/web 10.0.0.1 sctp/80
        narrower SctpPort NetworkPolicy x/web spec.ingress[1]
          anywhere → x/web sctp/81 IPv4
          x/db-1, x/db-2 → x/web sctp/81 IPv4
          such as 0.0.0.0 → x/web 10.0.0.1 sctp/81
        ",
    );
}

#[test]
fn sctp_as_a_whole_is_one_rule() {
    let policy = network_policy("x/web", "app=web").ingress([accept().services([set("sctp")])]);
    assert_compiles(
        &shop().policy(policy),
        "
        moat.1: x/web
          ingress 0.0.0.0/0 sctp
          egress 0.0.0.0/0 all
        ignored UntrackedProtocol NetworkPolicy x/web spec.ingress[0]
        ",
    );
}

#[test]
fn a_denied_port_of_sctp_closes_all_of_it() {
    let denied = admin("no-sctp", 1, pods("x", "app=web")).ingress([
        deny().services([set("sctp/81")]),
        accept().services([set("sctp, tcp/80")]),
        deny(),
    ]);
    assert_compiles(
        &shop().policy(denied),
        "
        moat.1: x/web
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
        narrower SctpPort ClusterNetworkPolicy no-sctp spec.ingress[0]
          anywhere → x/web sctp/0-80, sctp/82-65535 IPv4
          x/db-1, x/db-2 → x/web sctp/0-80, sctp/82-65535 IPv4
          such as 0.0.0.0 → x/web 10.0.0.1 sctp/0
        ignored UntrackedProtocol ClusterNetworkPolicy no-sctp spec.ingress[1]
        ",
    );
}

#[test]
fn a_protocol_by_number_is_one_rule_and_what_tracking_opens_is_reported() {
    let policy = network_policy("x/web", "app=web").ingress([accept().services([set("proto/47")])]);
    assert_compiles(
        &shop().policy(policy),
        "
        moat.1: x/web
          ingress 0.0.0.0/0 proto/47
          egress 0.0.0.0/0 all
        ignored UntrackedProtocol NetworkPolicy x/web spec.ingress[0]
        ",
    );
}

#[test]
fn an_address_peer_resolves_no_name_even_for_a_pod_that_a_selector_names() {
    let lan = accept().peers([blocks(&["10.0.0.0/30"])]).services([named(Tcp, "sql")]);
    let policy = admin("no-db", 1, pods("x", "app=web")).egress([
        lan,
        deny().peers([app("db")]),
        accept().peers([blocks(&["10.0.0.0/29"])]),
        deny(),
    ]);
    let cluster = shop().settings(super::with_pod_subnets(&["10.0.0.0/30"])).policy(policy);
    assert_compiles(
        &cluster,
        "
        moat.1: x/web
          ingress 0.0.0.0/0 all
          egress 10.0.0.4/30 all
          egress moat.1 all
        ignored UnresolvedPort ClusterNetworkPolicy no-db spec.egress[0]
        ignored NamedPortOfAddress ClusterNetworkPolicy no-db spec.egress[0]
        ",
    );
}

#[test]
fn a_reference_says_only_what_is_not_open_to_everyone() {
    let everyone = accept().peers([blocks(&["0.0.0.0/0"])]).services([set("tcp/443")]);
    let web = accept()
        .peers([Peer::Pods(pods("x", "app=web"))])
        .services([set("tcp/80"), set("tcp/443")]);
    let cluster = Cluster::default()
        .namespace("x", "")
        .pod(pod("x/db").label("app", "db").at("10.0.0.2"))
        .pod(pod("x/web").label("app", "web").at("10.0.0.1"))
        .settings(plain())
        .based()
        .policy(network_policy("x/db", "app=db").ingress([everyone, web]));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 0.0.0.0/0 tcp/443
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/web
        sg-base: x/web
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}
