//! What is given up, rung by rung, when the exact rules do not fit (DESIGN §6.6): never wider, always told, always ending.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{assert_compiles, assert_text, flows, limited, plain};
use crate::budget;
use crate::finding::{Effect, Reason};
use crate::inventory::Attachment;
use crate::policy::{Peer, Policy, ServiceMatch};
use crate::settings::{IcmpMode, NodeTraffic, Quotas, Settings};
use crate::testing::{
    Cluster, accept, admin, block_except, blocks, deny, network_policy, pod, pods, set,
};

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

/// Everything but these services, into every pod.
fn all_but(services: &str) -> Policy {
    admin("no-ping", 1, pods("", "")).ingress([deny().services([set(services)])])
}

/// x/a in both families, behind a group that lets everything through.
fn dual(settings: Settings) -> Cluster {
    Cluster::default()
        .namespace("x", "ns=x")
        .pod(pod("x/a").label("pod", "a").at("10.0.0.1").at("fd00::1"))
        .foreign(
            "sg-base",
            &[
                "ingress 0.0.0.0/0 all",
                "ingress ::/0 all",
                "egress 0.0.0.0/0 all",
                "egress ::/0 all",
            ],
        )
        .wired(&["sg-base"])
        .settings(settings)
}

#[test]
fn everything_but_ping_is_764_rules_if_the_quotas_let_it() {
    let cluster = dual(limited(300, 5, 20)).policy(all_but("icmp/8/0"));
    let desired = cluster.compile();
    assert_eq!((desired.counts.groups, desired.counts.rules), (3, 767));
    assert!(!desired.findings.iter().any(|finding| finding.reason == Reason::QuotaExceeded));
    flows::assert_honest(&cluster, &desired);
}

#[test]
fn everything_but_ping_gives_up_icmp_types_without_a_name_under_the_default_quotas() {
    let cluster =
        dual(Settings { quotas: Quotas::default(), ..plain() }).policy(all_but("icmp/8/0"));
    let desired = cluster.compile();
    let rules = desired.state.groups.values().flatten().map(ToString::to_string);
    let types = "0 3 4 5 9 10 11 12 13 14 15 16 17 18 40 42 43".split(' ').map(str::to_owned);
    let messages = types.chain((1..=255).map(|code| format!("8/{code}")));
    let messages = messages.map(|message| format!("ingress 0.0.0.0/0 icmp/{message}"));
    let whole = ["ingress 0.0.0.0/0 tcp", "ingress 0.0.0.0/0 udp", "ingress ::/0 all"];
    let egress = ["egress 0.0.0.0/0 all", "egress ::/0 all"];
    let expected = messages.chain(whole.into_iter().chain(egress).map(str::to_owned));
    assert_eq!(rules.collect::<BTreeSet<_>>(), expected.collect());
    let narrower = desired.findings.iter().filter(|finding| finding.effect == Effect::Narrower);
    assert_text(
        &narrower.map(|finding| cluster.finding(finding)).collect::<String>(),
        "
        narrower QuotaExceeded ClusterNetworkPolicy no-ping
          anywhere → x/a sctp, icmp/1-2, icmp/6-7, icmp/19-39, icmp/41, icmp/44-255, proto IPv4
          such as 0.0.0.0 → x/a 10.0.0.1 sctp/0
        ",
    );
    flows::assert_honest(&cluster, &desired);
}

#[test]
fn everything_but_three_messages_gives_up_their_types_under_the_default_quotas() {
    let cluster = dual(Settings { quotas: Quotas::default(), ..plain() })
        .policy(all_but("icmp/8/0, icmp/3/4, icmpv6/2/0"));
    assert_compiles(
        &cluster,
        "
        moat.1: x/a
          ingress 0.0.0.0/0 tcp
          ingress 0.0.0.0/0 udp
          ingress 0.0.0.0/0 icmp/0
          ingress 0.0.0.0/0 icmp/4
          ingress 0.0.0.0/0 icmp/5
          ingress 0.0.0.0/0 icmp/9
          ingress 0.0.0.0/0 icmp/10
          ingress 0.0.0.0/0 icmp/11
          ingress 0.0.0.0/0 icmp/12
          ingress 0.0.0.0/0 icmp/13
          ingress 0.0.0.0/0 icmp/14
          ingress 0.0.0.0/0 icmp/15
          ingress 0.0.0.0/0 icmp/16
          ingress 0.0.0.0/0 icmp/17
          ingress 0.0.0.0/0 icmp/18
          ingress 0.0.0.0/0 icmp/40
          ingress 0.0.0.0/0 icmp/42
          ingress 0.0.0.0/0 icmp/43
          ingress ::/0 tcp
          ingress ::/0 udp
          ingress ::/0 icmpv6/1
          ingress ::/0 icmpv6/3
          ingress ::/0 icmpv6/4
          ingress ::/0 icmpv6/128
          ingress ::/0 icmpv6/129
          ingress ::/0 icmpv6/130
          ingress ::/0 icmpv6/131
          ingress ::/0 icmpv6/132
          ingress ::/0 icmpv6/133
          ingress ::/0 icmpv6/134
          ingress ::/0 icmpv6/135
          ingress ::/0 icmpv6/136
          ingress ::/0 icmpv6/137
          ingress ::/0 icmpv6/138
          ingress ::/0 icmpv6/139
          ingress ::/0 icmpv6/140
          ingress ::/0 icmpv6/141
          ingress ::/0 icmpv6/142
          ingress ::/0 icmpv6/143
          ingress ::/0 icmpv6/144
          ingress ::/0 icmpv6/145
          ingress ::/0 icmpv6/146
          ingress ::/0 icmpv6/147
          ingress ::/0 icmpv6/157
          ingress ::/0 icmpv6/158
          ingress ::/0 icmpv6/160
          ingress ::/0 icmpv6/161
          egress 0.0.0.0/0 all
          egress ::/0 all
        narrower QuotaExceeded ClusterNetworkPolicy no-ping
          anywhere → x/a sctp, icmp/1-2, icmp/3/0-3, icmp/3/5-255, icmp/6-7, icmp/8/1-255, icmp/19-39, icmp/41, icmp/44-255, proto IPv4
          ::-fd00:ec2::122, fd00:ec2::124-fd00:ec2::252, fd00:ec2::255-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff → x/a sctp, icmpv6/0, icmpv6/2/1-255, icmpv6/5-127, icmpv6/148-156, icmpv6/159, icmpv6/162-255, proto IPv6
          such as 0.0.0.0 → x/a 10.0.0.1 sctp/0
        ",
    );
}

#[test]
fn everything_but_ping_gives_up_the_icmp_of_one_family_where_there_is_room_for_nothing_else() {
    assert_compiles(
        &dual(limited(4, 1, 20)).policy(all_but("icmp/8/0")),
        "
        moat.1: x/a
          ingress 0.0.0.0/0 tcp
          ingress 0.0.0.0/0 udp
          ingress ::/0 all
          egress 0.0.0.0/0 all
          egress ::/0 all
        narrower QuotaExceeded ClusterNetworkPolicy no-ping
          anywhere → x/a sctp, icmp/0-7, icmp/8/1-255, icmp/9-255, proto IPv4
          such as 0.0.0.0 → x/a 10.0.0.1 sctp/0
        ",
    );
}

#[test]
fn a_direction_that_does_not_fit_costs_nothing_in_the_other() {
    let both = all_but("icmp/8/0").egress([deny().peers([blocks(&["192.0.0.0/2"])])]);
    assert_compiles(
        &dual(limited(3, 1, 20)).policy(both),
        "
        moat.1: x/a
          ingress 0.0.0.0/0 tcp
          ingress 0.0.0.0/0 udp
          ingress ::/0 all
          egress 0.0.0.0/1 all
          egress 128.0.0.0/2 all
          egress ::/0 all
        narrower QuotaExceeded ClusterNetworkPolicy no-ping
          anywhere → x/a sctp, icmp/0-7, icmp/8/1-255, icmp/9-255, proto IPv4
          such as 0.0.0.0 → x/a 10.0.0.1 sctp/0
        ",
    );
}

#[test]
fn references_give_up_what_addresses_do() {
    let from = accept().peers([Peer::Pods(pods("ns=y", "pod=b"))]);
    let no_ping =
        admin("no-ping", 1, pods("ns=x", "pod=a")).ingress([deny().services([set("icmp/8/0")])]);
    assert_compiles(
        &cluster(limited(3, 2, 20))
            .policy(no_ping)
            .policy(network_policy("x/from", "pod=a").ingress([from])),
        "
        moat.1: x/a
          ingress moat.2 tcp
          ingress moat.2 udp
          egress 0.0.0.0/0 all
        moat.2: y/b
        sg-base: y/b
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        narrower QuotaExceeded NetworkPolicy x/from
          y/b → x/a sctp, icmp/0-7, icmp/8/1-255, icmp/9-255, proto IPv4
          such as y/b 10.0.1.2 → x/a 10.0.0.1 sctp/0
        narrower QuotaExceeded ClusterNetworkPolicy no-ping
          y/b → x/a sctp, icmp/0-7, icmp/8/1-255, icmp/9-255, proto IPv4
          such as y/b 10.0.1.2 → x/a 10.0.0.1 sctp/0
        ",
    );
}

#[test]
fn messages_that_a_policy_asks_for_one_by_one_are_given_up_with_its_accept_rules_only() {
    let some = accept().services([set("icmp/3/4, icmp/8, icmp/11/0")]);
    let dear = accept().peers([hosts(3)]).services([set("tcp/80, udp/53")]);
    assert_compiles(
        &cluster(limited(3, 1, 20))
            .policy(network_policy("x/dear", "pod=a").ingress([dear]))
            .policy(network_policy("x/some", "pod=a").ingress([some])),
        "
        moat.1: x/a
          ingress 0.0.0.0/0 icmp/8
          ingress 0.0.0.0/0 icmp/3/4
          ingress 0.0.0.0/0 icmp/11/0
          egress 0.0.0.0/0 all
        narrower QuotaExceeded NetworkPolicy x/dear
          192.168.0.0, 192.168.0.2, 192.168.0.4 → x/a tcp/80, udp/53 IPv4
          such as 192.168.0.0 → x/a 10.0.0.1 tcp/80
        ",
    );
}

#[test]
fn the_message_says_how_far_down_the_ladder_a_quota_leads() {
    let told = |rules: usize| {
        let desired = dual(limited(rules, 1, 20)).policy(all_but("icmp/8/0")).compile();
        let quota = desired.findings.iter().find(|it| it.reason == Reason::QuotaExceeded);
        let message = quota.map(|finding| finding.message.to_string());
        (desired.counts.prefix_rules, message.unwrap_or_default())
    };
    let short = |needs: usize, rules: usize, rest: &str| {
        format!(
            "the exact rules need {needs} groups of {rules} rules on an interface that has room for 1, so {rest}"
        )
    };
    assert_eq!(told(764), (765, String::new()));
    let protocols = "where everything but something is asked, protocols other than tcp, udp and ICMP stay closed; \
        raise the quotas or accept what is needed instead of denying what is not";
    assert_eq!(told(763), (513, short(2, 763, protocols)));
    let unnamed = "where everything but some ICMP is asked, ICMP types without a name stay closed, and protocols other \
        than tcp and udp; raise the quotas or deny all of ICMP or none of it";
    assert_eq!(told(511), (275, short(2, 511, unnamed)));
    let cut = "where everything but some ICMP is asked, ICMP types of which a code is denied stay closed whole, as do \
        types without a name and protocols other than tcp and udp; raise the quotas or deny whole ICMP types";
    assert_eq!(told(273), (20, short(3, 273, cut)));
    let icmp = "where everything but some ICMP is asked, all of ICMP stays closed, and protocols other than tcp and udp; \
        raise the quotas or deny none of ICMP";
    assert_eq!(told(18), (3, short(43, 18, icmp)));
    let closed = "these flows stay closed; raise the quotas or ask for less";
    assert_eq!(told(1), (0, short(764, 1, closed)));
}

#[test]
fn the_groups_of_an_account_last_longer_than_the_rules_of_a_class() {
    let quotas = Quotas { groups: 1, ..Quotas::default() };
    let desired = dual(Settings { quotas, ..plain() }).policy(all_but("icmp/8/0")).compile();
    assert_eq!((desired.counts.groups, desired.counts.prefix_rules), (1, 20));
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

// ------------------------------------------------------------------------------------------------- property

/// The same pods, of which x/b has two families and a group without rules, x/c a shared interface, y/b none, and y/c a
/// group that is narrow.
fn mixed(settings: Settings) -> Cluster {
    let mut cluster = cluster(settings)
        .vpc(&["10.0.0.0/16"])
        .node("node", "", &["10.0.9.9"])
        .foreign("sg-empty", &[])
        .foreign("sg-narrow", &["ingress 10.0.0.0/8 tcp/80", "egress sg-base all"])
        .attached("x/b", Attachment::Exclusive, &["sg-base", "sg-empty"])
        .attached("x/c", Attachment::Shared, &["sg-base"])
        .attached("y/c", Attachment::Exclusive, &["sg-narrow"]);
    let dual = cluster.pod_mut("x/b").clone().at("fd00::2").probe(80);
    *cluster.pod_mut("x/b") = dual;
    cluster.pod_mut("y/b").interface = None;
    cluster
}

fn services() -> impl Strategy<Value = ServiceMatch> {
    const TEXTS: &[&str] =
        &["tcp/80", "tcp/80, tcp/443", "udp/53", "icmp/8", "icmp/8/0, icmpv6/128/0", "sctp", "tcp"];
    prop::sample::select(TEXTS).prop_map(set)
}

fn peer() -> impl Strategy<Value = Peer> {
    let pods_of = (
        prop::sample::select(&["", "ns=x", "ns=y"][..]),
        prop::sample::select(&["", "pod=a", "pod=b", "pod!=c"][..]),
    )
        .prop_map(|(namespace, labels)| Peer::Pods(pods(namespace, labels)));
    let wide = prop::sample::select(&["0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/24"][..])
        .prop_map(|block| blocks(&[block]));
    let holed = Just(block_except("10.0.0.0/8", &["10.0.0.2/32"]));
    prop_oneof![3 => pods_of, 1 => wide, 1 => holed, 1 => (1..6usize).prop_map(hosts)]
}

fn rule() -> BoxedStrategy<crate::policy::Rule> {
    let actions =
        prop_oneof![4 => Just(accept()), 2 => Just(deny()), 1 => Just(crate::testing::pass())];
    (actions, prop::option::of(peer()), prop::option::of(services()))
        .prop_map(|(mut rule, peer, services)| {
            if let Some(peer) = peer {
                rule = rule.peers([peer]);
            }
            match services {
                Some(services) => rule.services([services]),
                None => rule,
            }
        })
        .boxed()
}

/// A policy of any tier; in the NetworkPolicy tier every rule accepts.
fn policy(place: usize) -> impl Strategy<Value = Policy> {
    let direction = || prop::option::weighted(0.7, (rule(), prop::option::of(rule())));
    let subject =
        (prop::sample::select(&["x", "y"][..]), prop::sample::select(&["", "pod=a", "pod!=b"][..]));
    (0..4usize, subject, direction(), direction()).prop_map(
        move |(tier, (namespace, labels), ingress, egress)| {
            let name = format!("{namespace}/p{place}");
            let mut policy = match tier {
                0 => admin(&name, 1, pods(&format!("ns={namespace}"), labels)),
                1 => crate::testing::baseline(&name, 1, pods(&format!("ns={namespace}"), labels)),
                _ => network_policy(&name, labels),
            };
            let rules = |rules: Option<(crate::policy::Rule, Option<crate::policy::Rule>)>| {
                let rules =
                    rules.map(|(first, second)| [Some(first), second].into_iter().flatten());
                rules.map(|rules| {
                    let accepts = |rule: crate::policy::Rule| match tier {
                        0 | 1 => rule,
                        _ => crate::policy::Rule { action: crate::policy::Action::Accept, ..rule },
                    };
                    rules.map(accepts).collect::<Vec<_>>()
                })
            };
            policy.ingress = rules(ingress);
            policy.egress = rules(egress);
            policy
        },
    )
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    (0..4).map(|place| policy(place).boxed()).collect::<Vec<_>>()
}

/// Down to one rule, one group on an interface, and one group in all; sometimes with room for ICMP by type or by code.
fn quotas() -> impl Strategy<Value = Quotas> {
    let rules = prop_oneof![4 => 1..=6usize, 1 => prop::sample::select(&[20, 40, 280, 520][..])];
    (rules, 1..=4usize, 1..=8usize).prop_map(|(rules_per_group, groups_per_interface, groups)| {
        Quotas { rules_per_group, groups_per_interface, groups }
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let icmp = prop::sample::select(&[IcmpMode::Strict, IcmpMode::Essential, IcmpMode::Open][..]);
    let declared = any::<bool>();
    (quotas(), icmp, declared).prop_map(|(quotas, icmp, declared)| Settings {
        quotas,
        icmp,
        node_traffic: NodeTraffic::Probes,
        pod_subnets: if declared { vec!["10.0.0.0/23".parse().unwrap()] } else { Vec::new() },
        ..Settings::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_ladder_ends_within_every_quota_and_never_opens_more(settings in settings(), policies in policies()) {
        let mut cluster = mixed(settings);
        cluster.policies = policies;
        let desired = cluster.compile();
        prop_assert_eq!(budget::breaches(&desired.state, &cluster.settings.quotas), vec![]);
        flows::assert_honest(&cluster, &desired);
    }
}
