//! Traps 1 to 25: what policies mean.

use moat_core::finding::Reason;
use moat_core::policy::Direction;
use moat_core::settings::IcmpMode;
use moat_tests::scenario::{
    Scenario, cluster_network_policy, cluster_vpc_network_policy, network_policy,
    vpc_network_policy,
};

const SERVER: &str = "{matchLabels: {app: server}}";

/// A NetworkPolicy on `a/server` with these ingress rules.
fn ingress(rules: &str) -> Scenario {
    Scenario::of(&network_policy("p", SERVER, &format!("ingress: {rules}")))
}

/// A VpcNetworkPolicy on `a/server` with these ingress rules.
fn vpc_ingress(rules: &str) -> Scenario {
    Scenario::of(&vpc_network_policy("p", SERVER, &format!("ingress: {rules}")))
}

/// A NetworkPolicy on `a/client` with these egress rules.
fn egress(rules: &str) -> Scenario {
    let spec = format!("policyTypes: [Egress], egress: {rules}");
    Scenario::of(&network_policy("p", "{matchLabels: {app: client}}", &spec))
}

#[test]
fn trap_01_two_excepts_do_not_cancel_out() {
    for except in [
        "[172.16.1.0/24, 172.16.2.0/24]",
        "[172.16.2.0/24, 172.16.1.0/24, 172.16.1.0/24]",
        "[172.16.1.0/25, 172.16.1.0/24, 172.16.1.64/26, 172.16.2.0/24]",
    ] {
        let made = ingress(&format!(
            "[{{from: [{{ipBlock: {{cidr: 172.16.0.0/16, except: {except}}}}}]}}]"
        ));
        made.denies("172.16.1.1", "a/server", "tcp/80");
        made.denies("172.16.2.1", "a/server", "tcp/80");
        made.allows("172.16.0.1", "a/server", "tcp/80");
        made.allows("172.16.3.1", "a/server", "tcp/80");
    }
}

#[test]
fn trap_02_an_except_is_not_dropped() {
    let made = ingress("[{from: [{ipBlock: {cidr: 172.16.0.0/16, except: [172.16.9.0/24]}}]}]");
    made.denies("172.16.9.9", "a/server", "tcp/80");
    made.allows("172.16.8.9", "a/server", "tcp/80");
}

#[test]
fn trap_03_an_end_port_stays_a_range() {
    let made = ingress("[{ports: [{port: 8000, endPort: 8010}]}]");
    for (port, open) in [(7999, false), (8000, true), (8005, true), (8010, true), (8011, false)] {
        let service = format!("tcp/{port}");
        if open {
            made.allows("b/other", "a/server", &service);
        } else {
            made.denies("b/other", "a/server", &service);
        }
    }
}

#[test]
fn trap_04_a_named_port_nobody_has_gives_no_rule_and_a_finding() {
    let made = ingress("[{ports: [{port: nobody}]}]");
    assert_eq!(made.rules("a/server", Direction::Ingress), [].into());
    for service in ["tcp/0", "tcp/80", "tcp/8080"] {
        made.denies("b/other", "a/server", service);
    }
    assert!(made.reasons().contains(&Reason::UnresolvedPort));
}

#[test]
fn trap_05_a_named_port_towards_an_ip_block_matches_nothing_and_is_a_finding() {
    let made = egress("[{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}]");
    made.denies("a/client", "8.8.8.8", "tcp/8080");
    made.denies("a/client", "a/server", "tcp/8080");
    assert!(made.reasons().contains(&Reason::NamedPortOfAddress));
}

#[test]
fn trap_06_one_named_port_of_three_pods_is_each_pods_own_number() {
    let made = egress("[{to: [{namespaceSelector: {}}], ports: [{port: http}]}]");
    made.allows("a/client", "a/server", "tcp/8080");
    made.denies("a/client", "a/server", "tcp/9090");
    made.allows("a/client", "b/other", "tcp/9090");
    made.denies("a/client", "b/other", "tcp/8080");
}

#[test]
fn trap_07_any_source_for_icmp_stays_in_its_family() {
    let made = vpc_ingress("[{protocols: [{icmp: {type: 8}}, {icmpv6: {type: 128}}]}]");
    made.allows("8.8.8.8", "a/server", "icmp/8/0");
    made.allows("2600::8", "a/server", "icmpv6/128/0");
    let rules = made.rules("a/server", Direction::Ingress);
    let expected = ["0.0.0.0/0 icmp/8", "::/0 icmpv6/128"].map(str::to_owned);
    assert_eq!(rules, expected.into());
}

#[test]
fn trap_08_type_0_and_code_0_are_values() {
    let made = vpc_ingress("[{protocols: [{icmp: {type: 0, code: 0}}]}]");
    made.allows("8.8.8.8", "a/server", "icmp/0/0");
    for other in ["icmp/0/1", "icmp/1/0", "icmp/8/0", "icmp/255/255"] {
        made.denies("8.8.8.8", "a/server", other);
    }
}

#[test]
fn trap_09_type_and_code_are_not_swapped() {
    let made = vpc_ingress("[{protocols: [{icmp: {type: 3, code: 4}}]}]");
    made.allows("8.8.8.8", "a/server", "icmp/3/4");
    made.denies("8.8.8.8", "a/server", "icmp/4/3");
}

#[test]
fn trap_10_icmp_8_opens_no_icmpv6_8_and_icmpv6_no_ipv4() {
    let made = vpc_ingress("[{protocols: [{icmp: {type: 8}}]}]");
    made.denies("2600::8", "a/server", "icmpv6/8/0");
    made.denies("2600::8", "a/server", "icmpv6/128/0");
    let made = vpc_ingress("[{protocols: [{icmpv6: {type: 128}}]}]");
    made.denies("8.8.8.8", "a/server", "icmp/8/0");
    made.denies("8.8.8.8", "a/server", "icmp/128/0");
}

#[test]
fn trap_11_icmpv6_is_closed_but_for_what_policy_or_essential_opens() {
    let policy = network_policy("p", SERVER, "ingress: [{ports: [{port: 80}]}]");
    let strict = Scenario::of(&policy);
    let essential = Scenario::with(&policy, |settings| settings.icmp = IcmpMode::Essential);
    for service in ["icmpv6/128/0", "icmpv6/135/0", "icmpv6/1/0"] {
        strict.denies("2600::8", "a/server", service);
        essential.denies("2600::8", "a/server", service);
    }
    strict.denies("2600::8", "a/server", "icmpv6/2/0");
    essential.allows("2600::8", "a/server", "icmpv6/2/0");
    essential.allows("8.8.8.8", "a/server", "icmp/3/4");
}

#[test]
fn trap_12_an_unknown_protocol_fails_closed() {
    for protocol in ["ICMP", "tcpp", "47", "'-1'"] {
        let made = ingress(&format!("[{{ports: [{{protocol: {protocol}, port: 80}}]}}]"));
        for service in ["tcp/80", "udp/80", "icmp/8/0", "proto/47"] {
            made.denies("b/other", "a/server", service);
        }
        assert!(!made.reading.is_empty(), "`{protocol}` is reported");
    }
}

#[test]
fn trap_13_an_sctp_port_opens_nothing_closes_all_and_isolates() {
    let accept = ingress("[{ports: [{protocol: SCTP, port: 9003}]}]");
    accept.narrows("b/other", "a/server", "sctp/9003", Reason::SctpPort);
    accept.denies("b/other", "a/server", "sctp/9004");
    accept.denies("b/other", "a/server", "tcp/9003");

    let deny = Scenario::of(&cluster_vpc_network_policy(
        "p",
        "tier: Admin, priority: 1, ingress: [{action: Deny, from: [{namespaces: {}}], \
         protocols: [{sctp: {destinationPort: {number: 9003}}}]}]",
    ));
    deny.denies("b/other", "a/server", "sctp/9003");
    deny.narrows("b/other", "a/server", "sctp/9004", Reason::SctpPort);
    deny.allows("b/other", "a/server", "tcp/9003");
}

#[test]
fn trap_14_no_peers_are_everyone_and_peers_that_select_nobody_are_nobody() {
    let everyone = egress("[{ports: [{port: 443}]}]");
    everyone.allows("a/client", "8.8.8.8", "tcp/443");
    everyone.allows("a/client", "a/server", "tcp/443");
    let nobody =
        egress("[{to: [{podSelector: {matchLabels: {app: nobody}}}], ports: [{port: 443}]}]");
    nobody.denies("a/client", "8.8.8.8", "tcp/443");
    nobody.denies("a/client", "a/server", "tcp/443");
}

#[test]
fn trap_15_ports_80_and_8080_do_not_become_80_to_8080() {
    let made = ingress("[{ports: [{port: 80}, {port: 8080}]}]");
    made.allows("b/other", "a/server", "tcp/80");
    made.allows("b/other", "a/server", "tcp/8080");
    for between in ["tcp/81", "tcp/443", "tcp/8079"] {
        made.denies("b/other", "a/server", between);
    }
}

#[test]
fn trap_16_all_tcp_and_udp_and_icmp_are_not_everything() {
    let made = vpc_ingress("[{protocols: [{tcp: {}}, {udp: {}}, {icmp: {}}, {icmpv6: {}}]}]");
    made.allows("8.8.8.8", "a/server", "udp/1");
    made.allows("8.8.8.8", "a/server", "icmp/13/0");
    for other in ["sctp/1", "proto/50", "proto/47"] {
        made.denies("8.8.8.8", "a/server", other);
    }
}

#[test]
fn trap_17_pods_are_not_replaced_by_their_subnet() {
    let made = ingress("[{from: [{podSelector: {matchLabels: {app: client}}}]}]");
    made.allows("a/client", "a/server", "tcp/80");
    made.denies("b/other", "a/server", "tcp/80");
    let wide = ingress("[{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.129.0/24]}}]}]");
    wide.allows("a/client", "a/server", "tcp/80");
    wide.denies("b/other", "a/server", "tcp/80");
}

#[test]
fn trap_18_rule_order_decides_and_equal_priorities_give_one_answer() {
    let rule = |action: &str| format!("{{action: {action}, from: [{{namespaces: {{}}}}]}}");
    let (accept, deny) = (rule("Accept"), rule("Deny"));
    let policy = |name: &str, rules: &str| {
        cluster_network_policy(name, &format!("tier: Admin, priority: 7, ingress: [{rules}]"))
    };
    Scenario::of(&policy("p", &format!("{accept}, {deny}")))
        .allows("b/other", "a/server", "tcp/80");
    Scenario::of(&policy("p", &format!("{deny}, {accept}")))
        .denies("b/other", "a/server", "tcp/80");
    let (first, second) = (policy("first", &accept), policy("second", &deny));
    for text in [format!("{first}{second}"), format!("{second}{first}")] {
        let made = Scenario::of(&text);
        made.allows("b/other", "a/server", "tcp/80");
        assert!(made.reasons().contains(&Reason::EqualPriority));
    }
}

#[test]
fn trap_19_two_policies_share_one_rule_and_deleting_one_leaves_it() {
    let rules = "ingress: [{from: [{ipBlock: {cidr: 172.16.0.0/16}}], ports: [{port: 80}]}]";
    let (one, two) = (network_policy("one", SERVER, rules), network_policy("two", SERVER, rules));
    let both = Scenario::of(&format!("{one}{two}"));
    let alone = Scenario::of(&one);
    assert_eq!(
        both.rules("a/server", Direction::Ingress),
        ["172.16.0.0/16 tcp/80".to_owned()].into()
    );
    assert_eq!(both.desired.state, alone.desired.state);
    let owners = both.desired.reasons.values().map(|reason| reason.serves.len());
    assert!(owners.into_iter().any(|count| count == 2), "{:#?}", both.desired.reasons);
}

#[test]
fn trap_20_a_block_with_ports_and_without_is_every_port() {
    let from = "from: [{ipBlock: {cidr: 172.16.0.0/16}}]";
    for rules in [
        format!("[{{{from}, ports: [{{port: 80}}]}}, {{{from}}}]"),
        format!("[{{{from}}}, {{{from}, ports: [{{port: 80}}]}}]"),
    ] {
        let made = ingress(&rules);
        made.allows("172.16.0.1", "a/server", "tcp/80");
        made.allows("172.16.0.1", "a/server", "udp/9");
    }
}

#[test]
fn trap_21_an_unparsable_selector_is_not_a_skipped_policy() {
    let broken = "{matchExpressions: [{key: app, operator: Sometimes, values: [server]}]}";
    let made = Scenario::of(&network_policy("p", broken, "ingress: [{}]"));
    made.denies("b/other", "a/server", "tcp/80");
    made.denies("b/other", "a/client", "tcp/80");
    assert!(made.reasons().contains(&Reason::InvalidSelector));
}

#[test]
fn trap_22_a_broken_rule_leaves_the_others_and_the_isolation() {
    let made = ingress(
        "[{ports: [{port: 80}]}, {ports: [{port: 90}], colour: red}, {ports: [{port: 70}]}]",
    );
    made.allows("b/other", "a/server", "tcp/80");
    made.allows("b/other", "a/server", "tcp/70");
    made.denies("b/other", "a/server", "tcp/90");
    made.denies("b/other", "a/server", "tcp/443");
}

#[test]
fn trap_23_editing_only_the_pod_selector_moves_the_enforcement() {
    let deny = |app: &str| {
        Scenario::of(&network_policy(
            "p",
            &format!("{{matchLabels: {{app: {app}}}}}"),
            "ingress: []",
        ))
    };
    let (before, after) = (deny("server"), deny("client"));
    before.denies("b/other", "a/server", "tcp/80");
    after.allows("b/other", "a/server", "tcp/80");
    after.denies("b/other", "a/client", "tcp/80");
    let tally = moat_tests::transitions::between(&before.cluster, &after.cluster)
        .unwrap_or_else(|why| panic!("{why}"));
    assert!(tally.busy > 0, "{tally}");
}

#[test]
fn trap_24_both_families_are_planned_and_the_second_plan_is_empty() {
    let made =
        ingress("[{from: [{ipBlock: {cidr: 172.16.0.0/16}}, {ipBlock: {cidr: '2600::/16'}}]}]");
    made.allows("172.16.0.1", "a/server", "tcp/80");
    made.allows("2600::8", "a/server", "tcp/80");
    made.denies("2601::8", "a/server", "tcp/80");
    moat_tests::transitions::between(&made.cluster, &made.cluster)
        .unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn trap_25_empty_protocols_unknown_peers_and_unknown_actions_fail_closed() {
    let peers = "[{namespaces: {}}]";
    let constructs = |action: &str| {
        [
            format!("{{action: {action}, from: {peers}, protocols: [{{}}]}}"),
            format!("{{action: {action}, from: [{{planets: {{}}}}]}}"),
            format!("{{action: {action}ish, from: {peers}}}"),
        ]
    };
    for action in ["Accept", "Deny", "Pass"] {
        for rule in constructs(action) {
            let accept_all = format!("{{action: Accept, from: {peers}}}");
            let spec = format!("tier: Admin, priority: 1, ingress: [{rule}, {accept_all}]");
            let made = Scenario::of(&cluster_network_policy("p", &spec));
            // An Accept that is not understood matches nothing, so the next rule decides; anything else denies all.
            if action == "Accept" && !rule.contains("Acceptish") {
                made.allows("b/other", "a/server", "tcp/80");
            } else {
                made.denies("b/other", "a/server", "tcp/80");
            }
            assert!(!made.reading.is_empty(), "{rule}");
        }
    }
}
