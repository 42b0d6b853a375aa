//! Everything but something: the rungs before any policy loses all that it asks for.

use std::collections::BTreeSet;

use super::super::{assert_compiles, assert_text, flows, limited, plain};
use super::{cluster, hosts};
use crate::finding::{Effect, Reason};
use crate::policy::{Peer, Policy};
use crate::settings::{Quotas, Settings};
use crate::testing::{Cluster, accept, admin, blocks, deny, network_policy, pod, pods, set};

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
    let instead = "raise the quotas or accept what is needed instead of denying what is not";
    let fine =
        |needs, rules, closed: &str| short(needs, rules, &format!("where {closed}; {instead}"));
    let protocols =
        "everything but something is asked, protocols other than tcp, udp and ICMP stay closed";
    assert_eq!(told(763), (513, fine(2, 763, protocols)));
    let unnamed = "everything but some ICMP is asked, ICMP types without a name stay closed, and protocols other than tcp \
        and udp";
    assert_eq!(told(511), (275, fine(2, 511, unnamed)));
    let cut = "everything but some ICMP is asked, ICMP types of which a code is denied stay closed whole, as do types \
        without a name and protocols other than tcp and udp";
    assert_eq!(told(273), (20, fine(3, 273, cut)));
    let icmp = "everything but some ICMP is asked, all of ICMP stays closed, and protocols other than tcp and udp";
    assert_eq!(told(18), (3, fine(43, 18, icmp)));
    let closed = "these flows stay closed; raise the quotas or ask for less";
    assert_eq!(told(1), (0, short(764, 1, closed)));
}

#[test]
fn the_groups_of_an_account_last_longer_than_the_rules_of_a_class() {
    let quotas = Quotas { groups: 1, ..Quotas::default() };
    let desired = dual(Settings { quotas, ..plain() }).policy(all_but("icmp/8/0")).compile();
    assert_eq!((desired.counts.groups, desired.counts.prefix_rules), (1, 20));
}
