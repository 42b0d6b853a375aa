//! What is given up, rung by rung, when the exact rules do not fit (DESIGN §6.6): never wider, always told, always ending.

mod property;
mod rungs;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use super::{assert_compiles, flows, limited, plain};
use crate::finding::Reason;
use crate::policy::{Peer, Policy};
use crate::settings::{OnQuota, Quotas, Settings};
use crate::testing::{Cluster, accept, admin, blocks, deny, network_policy, pod, pods, set};

/// Pods a, b and c in the namespaces x and y, each labelled with its name.
fn cluster(settings: Settings) -> Cluster {
    let mut cluster = Cluster::default();
    for (third, namespace) in ["x", "y"].into_iter().enumerate() {
        cluster = cluster.namespace(namespace, &format!("ns={namespace}"));
        for (last, name) in ["a", "b", "c"].into_iter().enumerate() {
            let it = pod(&format!("{namespace}/{name}")).label("pod", name);
            cluster = cluster.pod(it.at(&format!("10.0.{third}.{}", last + 1)));
        }
    }
    cluster.based().settings(settings)
}

fn hosts(count: usize) -> Peer {
    let hosts: Vec<String> = (0..count).map(|host| format!("192.168.0.{}/32", 2 * host)).collect();
    blocks(&hosts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Everything but tcp/81.
fn all_but_one_port() -> Policy {
    admin("no-81", 1, pods("ns=x", "pod=a")).ingress([deny().services([set("tcp/81")])])
}

#[test]
fn everything_but_one_port_is_256_rules_if_the_quota_lets_it() {
    let cluster = cluster(plain()).policy(all_but_one_port());
    let desired = cluster.compile();
    assert_eq!((desired.counts.prefix_rules, desired.counts.minimum_prefix_rules), (256, 256));
    flows::assert_honest(&cluster, &desired);
}

#[test]
fn the_first_rung_closes_protocols_other_than_tcp_udp_and_icmp() {
    assert_compiles(
        &cluster(limited(5, 1, 20)).policy(all_but_one_port()),
        "
        moat.1: x/a
          ingress 0.0.0.0/0 tcp/0-80
          ingress 0.0.0.0/0 tcp/82-65535
          ingress 0.0.0.0/0 udp
          ingress 0.0.0.0/0 icmp
          egress 0.0.0.0/0 all
        narrower QuotaExceeded ClusterNetworkPolicy no-81
          anywhere → x/a sctp, proto IPv4
          x/b, x/c, y/a, y/b, y/c → x/a sctp, proto IPv4
          such as 0.0.0.0 → x/a 10.0.0.1 sctp/0
        ",
    );
}

#[test]
fn whole_policies_are_left_out_costliest_first() {
    let cluster = cluster(limited(3, 1, 20))
        .policy(network_policy("x/cheap", "pod=a").ingress([accept().peers([hosts(1)])]))
        .policy(
            network_policy("x/dear", "pod=a")
                .ingress([accept().peers([hosts(4)]).services([set("tcp/80")])]),
        );
    assert_compiles(
        &cluster,
        "
        moat.1: x/a
          ingress 192.168.0.0/32 all
          egress 0.0.0.0/0 all
        narrower QuotaExceeded NetworkPolicy x/dear
          192.168.0.2, 192.168.0.4, 192.168.0.6 → x/a tcp/80 IPv4
          such as 192.168.0.2 → x/a 10.0.0.1 tcp/80
        ",
    );
}

#[test]
fn leaving_out_policies_keeps_their_denies() {
    let cluster = cluster(limited(2, 1, 20))
        .policy(admin("mixed", 1, pods("ns=x", "pod=a")).ingress([
            deny().peers([blocks(&["10.0.0.128/25"])]),
            accept().peers([hosts(3)]).services([set("tcp/80")]),
        ]))
        .policy(
            network_policy("x/lan", "pod=a").ingress([accept().peers([blocks(&["10.0.0.0/24"])])]),
        );
    assert_compiles(
        &cluster,
        "
        moat.1: x/a
          ingress 10.0.0.0/25 all
          egress 0.0.0.0/0 all
        narrower QuotaExceeded ClusterNetworkPolicy mixed
          192.168.0.0, 192.168.0.2, 192.168.0.4 → x/a tcp/80 IPv4
          such as 192.168.0.0 → x/a 10.0.0.1 tcp/80
        ",
    );
}

#[test]
fn the_last_rung_closes_the_directions_that_policies_govern() {
    let denied = admin("holes", 1, pods("ns=x", "pod=a"))
        .ingress([deny().peers([blocks(&["10.0.0.0/24", "10.0.2.0/24"])])]);
    assert_compiles(&cluster(limited(2, 1, 20)).policy(denied), "
        moat.1: x/a
          egress 0.0.0.0/0 all
        narrower QuotaExceeded ClusterNetworkPolicy holes
          0.0.0.0-9.255.255.255, 10.0.1.0/24, 10.0.3.0-169.254.169.122, 169.254.169.124-169.254.169.249, 169.254.169.252, 169.254.169.255-169.254.170.1, 169.254.170.3-255.255.255.255 → x/a tcp, udp, sctp, icmp, proto IPv4
          y/a, y/b, y/c → x/a tcp, udp, sctp, icmp, proto IPv4
          such as 0.0.0.0 → x/a 10.0.0.1 tcp/0
        ");
}

#[test]
fn a_pod_gives_up_only_what_does_not_fit_and_others_give_up_nothing() {
    let big = network_policy("x/big", "pod=a").ingress([accept().peers([hosts(4)])]);
    let all = network_policy("x/all", "").ingress([accept().peers([hosts(1)])]);
    assert_compiles(
        &cluster(limited(3, 1, 20)).policy(big).policy(all),
        "
        moat.1: x/a, x/b, x/c
          ingress 192.168.0.0/32 all
          egress 0.0.0.0/0 all
        narrower QuotaExceeded NetworkPolicy x/big
          192.168.0.2, 192.168.0.4, 192.168.0.6 → x/a tcp, udp, sctp, icmp, proto IPv4
          such as 192.168.0.2 → x/a 10.0.0.1 tcp/0
        ",
    );
}

#[test]
fn when_groups_run_out_namespaces_are_served_in_turn_and_the_rest_are_closed_and_nameless() {
    let mut served = cluster(limited(60, 5, 4));
    for (namespace, name, port) in
        [("x", "a", 80), ("x", "b", 81), ("x", "c", 79), ("y", "a", 443), ("y", "b", 53)]
    {
        let policy = network_policy(&format!("{namespace}/{name}"), &format!("pod={name}"));
        let services = set(&format!("tcp/{port}"));
        served = served.policy(policy.ingress([accept().services([services])]));
    }
    assert_compiles(
        &served,
        "
        moat.1: x/a
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/b
          ingress 0.0.0.0/0 tcp/81
          egress 0.0.0.0/0 all
        moat.3: x/c, y/b
          egress 0.0.0.0/0 all
        moat.4: y/a
          ingress 0.0.0.0/0 tcp/443
          egress 0.0.0.0/0 all
        narrower QuotaExceeded NetworkPolicy x/c
          anywhere → x/c tcp/79 IPv4
          x/a, x/b, y/a, y/c → x/c tcp/79 IPv4
          y/b → x/c tcp/79 IPv4
          such as 0.0.0.0 → x/c 10.0.0.3 tcp/79
        narrower QuotaExceeded NetworkPolicy y/b
          anywhere → y/b tcp/53 IPv4
          x/a, x/b, y/a, y/c → y/b tcp/53 IPv4
          x/c → y/b tcp/53 IPv4
          such as 0.0.0.0 → y/b 10.0.1.2 tcp/53
        ",
    );
}

/// Each pod of x accepts from everywhere at a port of its own, and y/a from the pods of x.
fn tenants(settings: Settings) -> Cluster {
    let mut tenants = cluster(settings);
    for (name, port) in [("a", 80), ("b", 81), ("c", 79)] {
        let policy = network_policy(&format!("x/{name}"), &format!("pod={name}"));
        let services = set(&format!("tcp/{port}"));
        tenants = tenants.policy(policy.ingress([accept().services([services])]));
    }
    let from_x = accept().peers([Peer::Pods(pods("ns=x", ""))]).services([set("tcp/443")]);
    tenants.policy(network_policy("y/a", "pod=a").ingress([from_x]))
}

#[test]
fn a_namespace_beyond_its_budget_is_served_as_far_as_it_goes_and_others_lose_its_pods_alone() {
    let settings = Settings { groups_per_namespace: NonZeroUsize::new(2), ..plain() };
    assert_compiles(
        &tenants(settings),
        "
        moat.1: x/a
          ingress 0.0.0.0/0 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/b, x/c
          egress 0.0.0.0/0 all
        moat.3: y/a
          ingress moat.1 tcp/443
          egress 0.0.0.0/0 all
        narrower QuotaExceeded NetworkPolicy x/b
          anywhere → x/b tcp/81 IPv4
          x/a, y/a, y/b, y/c → x/b tcp/81 IPv4
          x/c → x/b tcp/81 IPv4
          such as 0.0.0.0 → x/b 10.0.0.2 tcp/81
        narrower QuotaExceeded NetworkPolicy x/c
          anywhere → x/c tcp/79 IPv4
          x/a, y/a, y/b, y/c → x/c tcp/79 IPv4
          x/b → x/c tcp/79 IPv4
          such as 0.0.0.0 → x/c 10.0.0.3 tcp/79
        narrower QuotaExceeded NetworkPolicy y/a
          x/b, x/c → y/a tcp/443 IPv4
          such as x/b 10.0.0.2 → y/a 10.0.1.1 tcp/443
        ",
    );
}

#[test]
fn a_policy_that_loses_to_a_budget_is_told_so_with_the_number_and_the_setting() {
    let settings = Settings { groups_per_namespace: NonZeroUsize::new(2), ..plain() };
    let desired = tenants(settings).compile();
    let exceeded = desired.findings.iter().filter(|it| it.reason == Reason::QuotaExceeded);
    let told: Vec<(String, &str)> =
        exceeded.map(|it| (it.object.to_string(), &*it.message)).collect();
    let message = "a namespace needs more groups than the 2 of `quotas.groupsPerNamespace`, so these flows stay closed; \
        raise it or tell fewer pods apart";
    let objects = ["NetworkPolicy x/b", "NetworkPolicy x/c", "NetworkPolicy y/a"];
    assert_eq!(told, objects.map(|object| (object.to_owned(), message)));
}

#[test]
fn what_a_namespace_lost_to_its_budget_is_not_held_as_it_was() {
    let settings = Settings { groups_per_namespace: NonZeroUsize::new(2), ..plain() };
    assert_eq!(settings.on_quota, OnQuota::Hold);
    assert_eq!(tenants(settings.clone()).compile().over_quota, BTreeSet::new());
    let quotas = Quotas { groups: 2, ..Quotas::UNLIMITED };
    let account = Settings { quotas, groups_per_namespace: None, ..settings };
    assert_ne!(tenants(account).compile().over_quota, BTreeSet::new());
}

#[test]
fn nobody_names_a_pod_that_is_not_served() {
    let from = |pod: &str, port: &str| {
        let peer = Peer::Pods(pods("ns=y", &format!("pod={pod}")));
        accept().peers([peer]).services([set(port)])
    };
    let rules = [from("a", "tcp/80"), from("b", "tcp/443")];
    let cluster = cluster(limited(60, 5, 3))
        .policy(network_policy("x/a", "pod=a").ingress(rules))
        .policy(network_policy("x/b", "pod=b").ingress([from("c", "tcp/53")]));
    assert_compiles(
        &cluster,
        "
        moat.1: x/a
          ingress moat.3 tcp/80
          egress 0.0.0.0/0 all
        moat.2: x/b
          egress 0.0.0.0/0 all
        moat.3: y/a
        sg-base: y/a
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        narrower QuotaExceeded NetworkPolicy x/a
          y/b → x/a tcp/443 IPv4
          such as y/b 10.0.1.2 → x/a 10.0.0.1 tcp/443
        narrower QuotaExceeded NetworkPolicy x/b
          y/c → x/b tcp/53 IPv4
          such as y/c 10.0.1.3 → x/b 10.0.0.2 tcp/53
        ",
    );
}
