//! The quotient: pods are one class exactly when no policy can tell them apart (DESIGN §6.1).

use super::{assert_compiles, plain};
use crate::policy::Peer;
use crate::testing::{Cluster, accept, network_policy, pod, pods, set};

/// `apps` apps of two pods each, behind the base group.
fn apps(apps: usize) -> Cluster {
    let mut cluster = Cluster::default().namespace("x", "").settings(plain());
    for app in 0..apps {
        for replica in 0..2 {
            let name = format!("x/app{app}-{replica}");
            let address = format!("10.0.{app}.{}", replica + 1);
            cluster = cluster.pod(pod(&name).label("app", &app.to_string()).at(&address));
        }
    }
    cluster.based()
}

fn app(number: usize) -> Peer {
    Peer::Pods(pods("x", &format!("app={number}")))
}

#[test]
fn n_apps_that_each_have_their_own_client_make_two_n_groups() {
    let mut cluster = apps(4);
    for server in [0, 2] {
        let name = format!("x/server{server}");
        let from_client = accept().peers([app(server + 1)]).services([set("tcp/80")]);
        let policy = network_policy(&name, &format!("app={server}")).ingress([from_client]);
        cluster = cluster.policy(policy);
    }
    assert_compiles(
        &cluster,
        "
        moat.1: x/app0-0, x/app0-1
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/app1-0, x/app1-1
        moat.3: x/app2-0, x/app2-1
          ingress moat.4 tcp/80
          egress 0.0.0.0/0 all
        moat.4: x/app3-0, x/app3-1
        sg-base: x/app1-0, x/app1-1, x/app3-0, x/app3-1
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn pods_that_talk_to_all_of_each_other_make_one_group_however_many_policies_say_it() {
    let mut cluster = apps(3);
    for number in 0..3 {
        let from_all = accept().peers([app(0), app(1), app(2)]);
        let policy = network_policy(&format!("x/p{number}"), &format!("app={number}"));
        cluster = cluster.policy(policy.ingress([from_all]));
    }
    assert_compiles(
        &cluster,
        "
        moat.1: x/app0-0, x/app0-1, x/app1-0, x/app1-1, x/app2-0, x/app2-1
          ingress moat.1 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn apps_make_one_group_for_each_effect_whatever_their_policies_are_called() {
    let mut cluster = apps(4);
    for number in 0..4 {
        let port = if number % 2 == 0 { "tcp/80" } else { "tcp/443" };
        let from_anyone = accept().services([set(port)]);
        let policy = network_policy(&format!("x/p{number}"), &format!("app={number}"));
        cluster = cluster.policy(policy.ingress([from_anyone]));
    }
    assert_compiles(
        &cluster,
        "
        moat.1: x/app0-0, x/app0-1, x/app2-0, x/app2-1
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/app1-0, x/app1-1, x/app3-0, x/app3-1
          ingress 0.0.0.0/0 tcp/443
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn peers_that_every_rule_treats_alike_are_one_class() {
    let from_clients = accept().peers([app(1), app(2)]).services([set("tcp/80")]);
    let policy = network_policy("x/p", "app=0").ingress([from_clients]);
    assert_compiles(
        &apps(3).policy(policy),
        "
        moat.1: x/app0-0, x/app0-1
          ingress moat.2 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/app1-0, x/app1-1, x/app2-0, x/app2-1
        sg-base: x/app1-0, x/app1-1, x/app2-0, x/app2-1
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn peers_that_one_rule_treats_differently_are_two_classes() {
    let from_clients = accept().peers([app(1), app(2)]).services([set("tcp/80")]);
    let more_from_one = accept().peers([app(1)]).services([set("tcp/443")]);
    let policy = network_policy("x/p", "app=0").ingress([from_clients, more_from_one]);
    assert_compiles(
        &apps(3).policy(policy),
        "
        moat.1: x/app0-0, x/app0-1
          ingress moat.2 tcp/80
          ingress moat.2 tcp/443
          ingress moat.3 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/app1-0, x/app1-1
        moat.3: x/app2-0, x/app2-1
        sg-base: x/app1-0, x/app1-1, x/app2-0, x/app2-1
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_pod_that_nothing_touches_keeps_its_groups_and_gets_none_of_ours() {
    let policy = network_policy("x/p", "app=0").ingress([]);
    assert_compiles(
        &apps(2).policy(policy),
        "
        moat.1: x/app0-0, x/app0-1
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_pod_that_is_only_a_peer_keeps_its_groups_and_gains_an_identity() {
    let policy = network_policy("x/p", "app=0").ingress([accept().peers([app(1)])]);
    assert_compiles(
        &apps(2).policy(policy),
        "
        moat.1: x/app0-0, x/app0-1
          ingress moat.2 all
          egress 0.0.0.0/0 all
        moat.2: x/app1-0, x/app1-1
        sg-base: x/app1-0, x/app1-1
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_selector_that_selects_nobody_makes_no_group_and_no_rule() {
    let policy = network_policy("x/p", "app=0").ingress([accept().peers([app(7)])]);
    assert_compiles(
        &apps(1).policy(policy),
        "
        moat.1: x/app0-0, x/app0-1
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn a_policy_without_subjects_makes_nothing() {
    let policy = network_policy("x/p", "app=7").ingress([accept().peers([app(0)])]);
    assert_compiles(&apps(1).policy(policy), "");
}
