//! Falls seen in other translators (`facts/peers.md` §3), those that a reader can have. The number is the trap's.

use moat_core::net::{Message, Service, ServiceSet};
use moat_core::policy::{Action, Peer, Peers, Rule, ServiceMatch, Services};

use super::read;

/// The ingress rules of a policy of our own namespaced kind.
fn rules(kind: &str, api_version: &str, ingress: &str) -> Vec<Rule> {
    let text = format!(
        "{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: p}}, spec: {{ingress: {ingress}}}}}"
    );
    read(&text).policies.remove(0).ingress.expect("it isolates")
}

fn network_policy(ingress: &str) -> Vec<Rule> {
    rules("NetworkPolicy", "networking.k8s.io/v1", ingress)
}

fn vpc_network_policy(ingress: &str) -> Vec<Rule> {
    rules("VpcNetworkPolicy", "moat.dev/v1alpha1", ingress)
}

/// What a rule's services hold, named ones aside.
fn services(rule: &Rule) -> ServiceSet {
    match &rule.services {
        Services::Every => ServiceSet::all(),
        Services::AnyOf(services) => {
            services.iter().fold(ServiceSet::empty(), |set, one| match one {
                ServiceMatch::Set(more) => set.union(more),
                ServiceMatch::Named { .. } => set,
            })
        }
    }
}

fn addresses(rule: &Rule) -> String {
    match &rule.peers {
        Peers::AnyOf(peers) => match &**peers {
            [Peer::Addresses(set)] => set.to_string(),
            other => panic!("{other:?}"),
        },
        Peers::Anyone => panic!("anyone"),
    }
}

#[test]
fn trap_01_two_exceptions_do_not_cancel_out() {
    let rules = network_policy(
        "[{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.0/24, 10.0.2.0/24]}}]}]",
    );
    assert_eq!(addresses(&rules[0]), "10.0.0.0/24, 10.0.3.0-10.0.255.255");
}

#[test]
fn trap_02_an_exception_is_not_dropped() {
    let rules = network_policy("[{from: [{ipBlock: {cidr: 10.0.0.0/30, except: [10.0.0.2/31]}}]}]");
    assert_eq!(addresses(&rules[0]), "10.0.0.0/31");
}

#[test]
fn trap_03_a_range_of_ports_is_not_its_first_port() {
    assert_eq!(
        services(&network_policy("[{ports: [{port: 80, endPort: 90}]}]")[0]).to_string(),
        "tcp/80-90"
    );
}

#[test]
fn trap_04_a_named_port_is_neither_port_0_nor_every_port() {
    let rules = network_policy("[{ports: [{port: web}]}]");
    assert_eq!(services(&rules[0]), ServiceSet::empty());
    assert!(matches!(&rules[0].services, Services::AnyOf(list) if list.len() == 1));
}

#[test]
fn trap_08_type_0_and_code_0_are_values_and_every_pair_survives_in_both_families() {
    let rule = &vpc_network_policy("[{protocols: [{icmp: {type: 0, code: 0}}]}]")[0];
    assert_eq!(services(rule), ServiceSet::from(Service::Icmp(Message { kind: 0, code: 0 })));
    for kind in [0_u8, 3, 8, 128, 255] {
        let protocols: Vec<String> = (0..=255_u8)
            .flat_map(|code| [("icmp", code), ("icmpv6", code)])
            .map(|(word, code)| {
                format!("{{protocols: [{{{word}: {{type: {kind}, code: {code}}}}}]}}")
            })
            .collect();
        let rules = vpc_network_policy(&format!("[{}]", protocols.join(",")));
        let pairs = (0..=255_u8).flat_map(|code| {
            let message = Message { kind, code };
            [Service::Icmp(message), Service::Icmpv6(message)]
        });
        for (rule, service) in rules.iter().zip(pairs) {
            assert_eq!(services(rule), ServiceSet::from(service));
        }
        assert_eq!(rules.len(), 512);
    }
}

#[test]
fn trap_10_icmp_opens_no_icmpv6_and_the_other_way_round() {
    let rules = vpc_network_policy(
        "[{protocols: [{icmp: {type: 8}}]}, {protocols: [{icmpv6: {type: 128}}]}]",
    );
    assert_eq!(
        rules.iter().map(|rule| services(rule).to_string()).collect::<Vec<_>>(),
        ["icmp/8", "icmpv6/128"]
    );
}

#[test]
fn trap_12_an_unknown_protocol_is_neither_tcp_nor_everything() {
    for protocol in ["ICMP", "icmp", "'6'", "tcp", "GRE", "-1"] {
        let rules = network_policy(&format!("[{{ports: [{{protocol: {protocol}}}]}}]"));
        assert_eq!(rules[0].services, Services::AnyOf(Vec::new()), "{protocol}");
    }
}

#[test]
fn trap_13_an_sctp_port_stays_an_sctp_port_and_isolates() {
    assert_eq!(
        services(&network_policy("[{ports: [{protocol: SCTP, port: 80}]}]")[0]).to_string(),
        "sctp/80"
    );
}

#[test]
fn trap_14_no_peers_are_everyone_and_peers_that_match_nobody_are_nobody() {
    let rules = network_policy("[{}, {from: [{ipBlock: {cidr: nonsense}}]}]");
    assert_eq!((&rules[0].peers, &rules[1].peers), (&Peers::Anyone, &Peers::AnyOf(Vec::new())));
}

#[test]
fn trap_15_ports_80_and_8080_are_not_80_to_8080() {
    assert_eq!(
        services(&network_policy("[{ports: [{port: 80}, {port: 8080}]}]")[0]).to_string(),
        "tcp/80, tcp/8080"
    );
}

#[test]
fn trap_16_all_tcp_and_udp_and_icmp_are_not_everything() {
    let rules =
        vpc_network_policy("[{protocols: [{tcp: {}}, {udp: {}}, {icmp: {}}, {icmpv6: {}}]}, {}]");
    assert_eq!(services(&rules[0]).to_string(), "tcp, udp, icmp, icmpv6");
    assert_eq!(rules[1].services, Services::Every);
}

#[test]
fn trap_18_rules_keep_their_order_and_equal_priorities_one_order() {
    let policy = |name: &str, actions: [&str; 2]| {
        let rules = actions
            .map(|action| format!("{{action: {action}, from: [{{namespaces: {{}}}}]}}"))
            .join(", ");
        format!(
            "---\n{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {{name: {name}}}, spec: {{tier: Admin, priority: 5, subject: {{namespaces: {{}}}}, ingress: [{rules}]}}}}\n"
        )
    };
    let (a, b) = (policy("a", ["Deny", "Accept"]), policy("b", ["Pass", "Deny"]));
    let one = read(&format!("{a}{b}")).policies;
    assert_eq!(one, read(&format!("{b}{a}")).policies);
    let actions: Vec<Action> = one
        .iter()
        .flat_map(|policy| policy.ingress.iter().flatten())
        .map(|rule| rule.action)
        .collect();
    assert_eq!(actions, [Action::Deny, Action::Accept, Action::Pass, Action::Deny]);
}

#[test]
fn trap_21_a_policy_with_an_invalid_selector_is_not_skipped() {
    let text = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {matchLabels: {a: '!'}}, ingress: [{}]}}";
    let policy = read(text).policies.remove(0);
    let nothing = Peers::AnyOf(Vec::new());
    assert_eq!(policy.ingress.expect("it isolates")[0].peers, nothing);
}

#[test]
fn trap_22_a_broken_rule_leaves_the_others_and_the_isolation() {
    let rules = network_policy("[{ports: [{port: 70000}]}, {ports: [{port: 80}]}]");
    assert_eq!(services(&rules[0]), ServiceSet::empty());
    assert_eq!(services(&rules[1]).to_string(), "tcp/80");
}

#[test]
fn trap_25_empty_protocols_unknown_peers_and_unknown_actions_fail_closed_for_every_action() {
    let everyone = "from: [{namespaces: {}}]";
    for action in ["Accept", "Deny", "Pass", "Log"] {
        for what in [
            format!("{everyone}, protocols: [{{}}]"),
            "from: [{}]".to_owned(),
            "from: [{users: {}}]".to_owned(),
        ] {
            let text = format!(
                "{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {{name: p}}, spec: {{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, ingress: [{{action: {action}, {what}}}]}}}}"
            );
            let rule = read(&text).policies.remove(0).ingress.expect("rules").remove(0);
            let accepts = action == "Accept";
            let (peers, services) = if accepts {
                (Peers::AnyOf(Vec::new()), Services::AnyOf(Vec::new()))
            } else {
                (Peers::Anyone, Services::Every)
            };
            let action = if accepts { Action::Accept } else { Action::Deny };
            let expected = Rule {
                path: "spec.ingress[0]".into(),
                name: None,
                action,
                peers,
                services,
                failed_closed: !accepts,
            };
            assert_eq!(rule, expected, "{text}");
        }
    }
}
