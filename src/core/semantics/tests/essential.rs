//! Essential ICMP: ICMPv4 3/4 and ICMPv6 2/0 for pods that have an accepted tcp or udp flow (DESIGN §5).

use crate::flow::{Endpoint, Flow};
use crate::inventory::PodIndex;
use crate::net::Transport;
use crate::net::{AddressSet, Family, Interval, Intervals, Service, ServiceSet};
use crate::policy::{Action, Direction, Peer, Peers, Policy, Rule, ServiceMatch, Services};
use crate::semantics::Decision;
use crate::settings::{NodeTraffic, Settings};
use crate::testing::{
    Cluster, accept, admin, block_except, blocks, deny, named_any, network_policy, pass, pod, pods,
    set,
};
use proptest::prelude::*;

/// x/a, closed in both directions but for what the policies say, and y/a.
fn cluster() -> Cluster {
    Cluster::default()
        .namespace("x", "ns=x")
        .namespace("y", "ns=y")
        .pod(pod("x/a").at("10.0.0.1").at("fd00::1").probe(8080))
        .pod(pod("y/a").at("10.0.1.1").port("web", Transport::Tcp, 8443))
        .settings(Settings { node_traffic: NodeTraffic::None, ..Settings::default() })
}

fn closed() -> Policy {
    network_policy("x/deny", "").ingress([]).egress([])
}

fn essential(cluster: &Cluster) -> [bool; 3] {
    [
        cluster.allows("192.0.2.1", "x/a", "icmp/3/4"),
        cluster.allows("y/a", "x/a", "icmp/3/4"),
        cluster.allows("2001:db8::1", "x/a", "icmpv6/2/0"),
    ]
}

const BOTH: [bool; 3] = [true, true, true];
const IPV4: [bool; 3] = [true, true, false];
const IPV6: [bool; 3] = [false, false, true];
const NONE: [bool; 3] = [false, false, false];

#[test]
fn a_pod_with_an_accepted_connection_of_the_family_gets_it_from_everyone() {
    let ingress = |rule: Rule| network_policy("x/in", "").ingress([rule]);
    let egress = |rule: Rule| network_policy("x/out", "").egress([rule]);
    let nobody = || accept().peers([Peer::Pods(pods("z", ""))]);
    #[rustfmt::skip]
    let cases = [
        ("any tcp port in", ingress(accept().services([set("tcp/443")])), BOTH),
        ("any udp port out", egress(accept().services([set("udp/53")])), BOTH),
        ("every protocol", ingress(accept()), BOTH),
        ("the last port from one pod", ingress(accept().peers([Peer::Pods(pods("y", ""))]).services([set("tcp/65535")])), IPV4),
        ("one address out", egress(accept().peers([blocks(&["203.0.113.7/32"])])), IPV4),
        ("one IPv6 block", egress(accept().peers([blocks(&["2001:db8::/32"])]).services([set("tcp/443")])), IPV6),
        ("a named port at a pod", egress(accept().services([named_any("web")])), IPV4),
        ("its own address, as if nobody bore it", ingress(accept().peers([blocks(&["10.0.0.1/32"])])), IPV4),
        ("sctp only", ingress(accept().services([set("sctp")])), NONE),
        ("icmp only", ingress(accept().services([set("icmp/8"), set("icmpv6/128")])), NONE),
        ("nobody at all", ingress(nobody()), NONE),
        ("a name that no pod has", egress(accept().services([named_any("metrics")])), NONE),
        ("a name towards addresses", egress(accept().peers([blocks(&["0.0.0.0/0"])]).services([named_any("web")])), NONE),
        ("only itself", ingress(accept().peers([Peer::Pods(pods("x", ""))])), NONE),
    ];
    for (name, policy, expected) in cases {
        let it = cluster().policy(closed()).policy(policy);
        assert_eq!(essential(&it), expected, "{name}");
    }
    assert_eq!(essential(&cluster().policy(closed())), NONE);
}

#[test]
fn accepted_by_default_in_the_other_direction_is_accepted() {
    let it = cluster().policy(network_policy("x/deny", "").ingress([]));
    assert_eq!(essential(&it), BOTH);
}

#[test]
fn only_ingress_and_only_those_two_messages() {
    let web = accept().services([set("tcp/443")]);
    let it = cluster().policy(closed()).policy(network_policy("x/in", "").ingress([web]));
    for service in ["icmp/3/3", "icmp/3/5", "icmp/2/0", "icmp/4/3", "icmp/8/0"] {
        assert!(!it.allows("192.0.2.1", "x/a", service), "{service}");
    }
    for service in ["icmpv6/3/4", "icmpv6/2/1", "icmpv6/1/0"] {
        assert!(!it.allows("2001:db8::1", "x/a", service), "{service}");
    }
    assert!(!it.allows("x/a", "192.0.2.1", "icmp/3/4"), "egress is not loosened");
    assert_eq!(it.ingress("192.0.2.1", "x/a", "icmp/3/4"), Decision::EssentialIcmp);
}

#[test]
fn a_deny_without_protocols_yields_and_one_with_protocols_or_that_failed_closed_holds() {
    let from_everyone = || deny();
    let from_some = || deny().peers([blocks(&["0.0.0.0/0", "::/0"])]);
    let named = || deny().services([set("icmp"), set("icmpv6"), set("tcp"), set("udp")]);
    let everything = || deny().services([set("tcp"), set("icmp/3/4"), set("icmpv6/2/0")]);
    let failed = || Rule { failed_closed: true, ..deny() };
    for (name, rule, expected) in [
        ("everyone", from_everyone(), BOTH),
        ("some", from_some(), BOTH),
        ("named", named(), NONE),
        ("everything", everything(), NONE),
        ("failed", failed(), NONE),
    ] {
        let it = cluster().policy(admin("no", 1, pods("ns=x", "")).ingress([rule]));
        assert_eq!(essential(&it), expected, "{name}; egress is open by default");
    }
}

#[test]
fn a_deny_yields_only_for_pods_that_connect() {
    let all = admin("no", 1, pods("ns=x", "")).ingress([deny()]).egress([deny()]);
    assert_eq!(essential(&cluster().policy(all)), NONE);
    let but_dns = admin("no", 1, pods("ns=x", ""))
        .ingress([deny()])
        .egress([accept().services([set("udp/53")]), deny()]);
    assert_eq!(essential(&cluster().policy(but_dns)), BOTH);
}

/// The address at which a pod connects may begin where another range has just ended.
#[test]
fn a_gap_after_a_denied_range_is_found() {
    let closed_below = |range: &[&str]| {
        let rules = [deny().peers([blocks(range)]), pass().services([set("tcp/443")]), deny()];
        admin("most", 1, pods("ns=x", "")).egress(rules).ingress([deny()])
    };
    assert_eq!(essential(&cluster().policy(closed_below(&["0.0.0.0/1", "::/1"]))), BOTH);
    assert_eq!(essential(&cluster().policy(closed_below(&["0.0.0.0/0", "::/1"]))), IPV6);
    assert_eq!(essential(&cluster().policy(closed_below(&["0.0.0.0/0", "::/0"]))), NONE);

    let hole = admin("hole", 1, pods("ns=x", ""))
        .egress([deny().peers([block_except("0.0.0.0/0", &["10.9.8.7/32"]), blocks(&["::/0"])])])
        .ingress([deny()]);
    assert_eq!(essential(&cluster().policy(hole)), IPV4);
}

/// Nothing mentions a port: the corners are those of the pod's names, and 0.
#[test]
fn a_pod_without_probes_connects_by_its_names_and_by_the_least_port() {
    let passes = |it: crate::inventory::Pod, rule: Rule| {
        let it = cluster().pod(it.at("10.0.0.7")).policy(closed());
        let it = it.policy(network_policy("x/in", "").ingress([rule]));
        it.allows("192.0.2.1", "x/bare", "icmp/3/4")
    };
    let bare = || pod("x/bare");
    let named = || bare().port("dns", Transport::Udp, 5353);
    assert!(passes(bare(), accept().peers([blocks(&["203.0.113.7/32"])])));
    assert!(passes(named(), accept().services([named_any("dns")])));
    assert!(!passes(named(), accept().services([named_any("web")])));
    assert!(!passes(bare(), accept().services([named_any("dns")])));
}

/// The same for ports, and for the port right after a named one.
#[test]
fn a_gap_after_denied_ports_is_found() {
    let rules = |ports: &str| {
        [deny().services([set(&format!("tcp/{ports}"))]), accept().services([set("tcp")]), deny()]
    };
    let policy =
        |ports: &str| admin("p", 1, pods("ns=x", "")).ingress(rules(ports)).egress([deny()]);
    assert_eq!(essential(&cluster().policy(policy("0-65534"))), BOTH);
    assert_eq!(essential(&cluster().policy(policy("0-65535"))), NONE);

    let named = admin("named", 1, pods("ns=x", "")).ingress([deny()]).egress([
        deny().services([named_any("web"), set("udp"), set("tcp/0-8442")]),
        deny().peers([blocks(&["0.0.0.0/0", "::/0"])]).services([set("tcp/8445-65535")]),
        accept().peers([Peer::Pods(pods("y", ""))]),
        deny(),
    ]);
    assert_eq!(essential(&cluster().policy(named)), IPV4, "y/a at tcp/8444");
}

#[test]
fn node_traffic_counts_as_accepted() {
    let probes = Settings { nodes: vec!["172.16.0.9/32".parse().unwrap()], ..Settings::default() };
    let it = cluster().settings(probes.clone()).policy(closed());
    assert_eq!(essential(&it), IPV4, "probed at 8080 from an IPv4 node");
    let without = Settings { node_traffic: NodeTraffic::None, ..probes };
    assert_eq!(essential(&it.settings(without)), NONE);
    let by_object = cluster().settings(Settings::default()).policy(closed());
    assert_eq!(essential(&by_object.node("n", "", &["192.168.0.1", "fd00::9"])), BOTH);
}

/// Two nodes side by side with different labels are one range of addresses, yet two corners.
#[test]
fn neighbouring_nodes_are_told_apart() {
    let to_b = accept().peers([Peer::Nodes(crate::testing::selector("zone=b"))]);
    let it = cluster()
        .node("a", "zone=a", &["192.168.0.1"])
        .node("b", "zone=b", &["192.168.0.2"])
        .policy(closed())
        .policy(network_policy("x/out", "").egress([to_b]));
    assert_eq!(essential(&it), IPV4);
}

/// Rules over the addresses 0 to 15 and the tcp ports 0 to 9, where every packet can be tried.
fn small_rule() -> impl Strategy<Value = Rule> {
    let peers = prop_oneof![
        Just(Peers::Anyone),
        (0..16u32, 0..16u32).prop_map(|(a, b)| {
            let addresses = Interval::new(a.min(b), a.max(b)).unwrap().into();
            let v6 = Intervals::empty();
            Peers::AnyOf(vec![Peer::Addresses(AddressSet { v4: addresses, v6 })])
        }),
        Just(Peers::AnyOf(vec![Peer::Pods(pods("y", ""))])),
    ];
    let services = prop_oneof![
        Just(Services::Every),
        (0..10u16, 0..10u16).prop_map(|(a, b)| {
            let ports = Interval::new(a.min(b), a.max(b)).unwrap().into();
            let set = ServiceSet::ports(Transport::Tcp, ports);
            Services::AnyOf(vec![ServiceMatch::Set(set)])
        }),
        Just(Services::AnyOf(vec![set("udp")])),
        Just(Services::AnyOf(vec![named_any("web")])),
    ];
    let action =
        prop_oneof![1 => Just(Action::Accept), 4 => Just(Action::Deny), 1 => Just(Action::Pass)];
    (action, peers, services).prop_map(|(action, peers, services)| Rule {
        action,
        peers,
        services,
        ..accept()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn corners_find_an_accepted_connection_exactly_where_trying_every_packet_does(
        ingress in prop::collection::vec(small_rule(), 0..5),
        egress in prop::collection::vec(small_rule(), 0..5),
        isolated in any::<bool>(),
    ) {
        let mut policy = admin("any", 1, pods("x", ""));
        (policy.ingress, policy.egress) = (Some(ingress), Some(egress));
        let bottom = if isolated { closed() } else { baseline_deny() };
        let mut cluster = cluster().policy(policy).policy(bottom);
        cluster.pod_mut("y/a").ports =
            [crate::inventory::NamedPort { name: "web".into(), transport: Transport::Tcp, number: 5 }].into();
        let semantics = cluster.semantics();
        let this = cluster.index("x/a").unwrap();

        let addresses = (0..18u32).map(|it| Endpoint::Address(std::net::Ipv4Addr::from(it).into()));
        let remotes = addresses.chain([Endpoint::Pod(cluster.index("y/a").unwrap())]);
        let services = (0..12u16).flat_map(|port| [Service::Tcp(port), Service::Udp(port)]);
        let services: Vec<_> = services.collect();
        let accepted = remotes.into_iter().any(|remote| {
            services.iter().any(|service| {
                Direction::BOTH.into_iter().any(|direction| {
                    let flow = flow_at(this, remote, direction, *service);
                    semantics.end(&flow, direction).allowed()
                })
            })
        });
        let subject = (this, cluster.inventory.pod(this).unwrap());
        prop_assert_eq!(semantics.connects(subject, Family::V4), accepted);
    }
}

fn baseline_deny() -> Policy {
    crate::testing::baseline("no", 1, pods("x", "")).ingress([deny()]).egress([deny()])
}

fn flow_at(this: PodIndex, remote: Endpoint, direction: Direction, service: Service) -> Flow {
    let (source, destination) = match direction {
        Direction::Ingress => (remote, Endpoint::Pod(this)),
        Direction::Egress => (Endpoint::Pod(this), remote),
    };
    Flow { source, destination, family: Family::V4, service }
}
