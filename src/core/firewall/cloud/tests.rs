use std::sync::Arc;

use super::*;
use crate::firewall::{ForeignGroupId, GroupNumber};
use crate::inventory::{Attachment, Interface, InterfaceId, Node, Pod};
use crate::net::{Family, Interval, Message, Messages, Protocol};

const WEB: Endpoint = Endpoint::Pod(PodIndex(0));
const DATABASE: Endpoint = Endpoint::Pod(PodIndex(1));
const ON_HOST: Endpoint = Endpoint::Pod(PodIndex(2));
const WITHOUT_INTERFACE: Endpoint = Endpoint::Pod(PodIndex(3));
const HTTPS: Service = Service::Tcp(443);

fn inventory() -> Inventory {
    let pod = |name: &str, addresses: &[&str], interface: bool, host_network| Pod {
        namespace: "shop".into(),
        name: name.into(),
        uid: name.into(),
        labels: Arc::default(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        node: Some("node".into()),
        ports: [].into(),
        probes: [].into(),
        host_network,
        interface: interface.then(|| InterfaceId(name.into())),
    };
    Inventory {
        pods: vec![
            pod("0-web", &["10.0.1.1", "2001:db8::1"], true, false),
            pod("1-database", &["10.0.1.2", "2001:db8::2"], true, false),
            pod("2-on-host", &["10.0.0.9"], true, true),
            pod("3-without-interface", &["10.0.1.3"], false, false),
        ],
        nodes: vec![Node {
            name: "node".into(),
            labels: Arc::default(),
            addresses: vec!["10.0.0.9".parse().unwrap()],
        }],
        vpc: vec!["10.0.0.0/16".parse().unwrap(), "2001:db8::/56".parse().unwrap()],
        ..Inventory::default()
    }
}

fn ours(index: usize) -> GroupKey {
    GroupKey::Ours(GroupNumber::nth(index))
}

fn rule(direction: Direction, peer: Peer, shape: Shape) -> Rule {
    Rule { direction, peer, shape }
}

fn prefix(text: &str) -> Peer {
    Peer::Prefix(text.parse().unwrap())
}

fn address(text: &str) -> Endpoint {
    Endpoint::Address(text.parse().unwrap())
}

fn tcp(low: u16, high: u16) -> Shape {
    Shape::Tcp(Interval::new(low, high).unwrap())
}

/// `web` wears groups 0 and 1, `database` group 2.
fn state(rules: [&[Rule]; 3]) -> State {
    let worn = |groups: &[usize]| groups.iter().map(|index| ours(*index)).collect();
    State {
        groups: (0..3).map(|index| (ours(index), rules[index].iter().cloned().collect())).collect(),
        interfaces: BTreeMap::from([
            (InterfaceId("0-web".into()), worn(&[0, 1])),
            (InterfaceId("1-database".into()), worn(&[2])),
            (InterfaceId("2-on-host".into()), worn(&[2])),
        ]),
        ..State::default()
    }
}

fn flow(source: Endpoint, destination: Endpoint, service: Service) -> Flow {
    let family = match (source, destination, service) {
        (_, _, Service::Icmpv6(_)) => Family::V6,
        (Endpoint::Address(address), ..) | (_, Endpoint::Address(address), _) => {
            Family::of(address)
        }
        _ => Family::V4,
    };
    Flow { source, destination, family, service }
}

/// Where no network ACL is asked.
fn unguarded<'a>(egress: End<'a>, ingress: End<'a>) -> Verdict<'a> {
    Verdict { egress, leaves: Border::Unknown, enters: Border::Unknown, ingress }
}

fn icmp(kind: u8, code: u8) -> Service {
    Service::Icmp(Message { kind, code })
}

fn icmpv6(kind: u8, code: u8) -> Service {
    Service::Icmpv6(Message { kind, code })
}

#[test]
fn a_shape_names_its_own_services_and_no_others() {
    let one = |kind, code| Messages::One(Message { kind, code });
    let proto = |number| Protocol::new(number).unwrap();
    let table: &[(Shape, &[Service], &[Service])] = &[
        (
            Shape::All,
            &[
                HTTPS,
                Service::Udp(0),
                Service::Sctp(1),
                icmp(8, 0),
                icmpv6(2, 0),
                Service::Other(proto(47)),
            ],
            &[],
        ),
        (
            tcp(80, 443),
            &[Service::Tcp(80), Service::Tcp(81), HTTPS],
            &[
                Service::Tcp(79),
                Service::Tcp(444),
                Service::Udp(80),
                Service::Sctp(80),
                icmp(0, 80),
            ],
        ),
        (
            Shape::Udp(Interval::single(53)),
            &[Service::Udp(53)],
            &[Service::Tcp(53), Service::Udp(54)],
        ),
        (Shape::Sctp, &[Service::Sctp(0), Service::Sctp(65_535)], &[Service::Tcp(0), icmp(0, 0)]),
        (
            Shape::Icmp(Messages::All),
            &[icmp(0, 0), icmp(255, 255)],
            &[icmpv6(0, 0), Service::Tcp(0)],
        ),
        (Shape::Icmp(Messages::Type(3)), &[icmp(3, 0), icmp(3, 255)], &[icmp(2, 255), icmp(4, 0)]),
        (
            Shape::Icmp(one(3, 4)),
            &[icmp(3, 4)],
            &[icmp(4, 3), icmp(3, 3), icmp(3, 5), icmpv6(3, 4)],
        ),
        (Shape::Icmpv6(one(2, 0)), &[icmpv6(2, 0)], &[icmp(2, 0), icmpv6(2, 1), icmpv6(0, 2)]),
        (Shape::Icmpv6(Messages::Type(128)), &[icmpv6(128, 7)], &[icmpv6(129, 7), icmp(128, 7)]),
        (
            Shape::Other(proto(47)),
            &[Service::Other(proto(47))],
            &[Service::Other(proto(50)), HTTPS],
        ),
    ];
    for (shape, named, others) in table {
        for service in *named {
            assert!(names(*shape, *service), "{shape:?} names {service:?}");
        }
        for service in *others {
            assert!(!names(*shape, *service), "{shape:?} does not name {service:?}");
        }
    }
}

#[test]
fn a_packet_needs_a_rule_at_both_ends() {
    let inventory = inventory();
    let out = rule(Direction::Egress, prefix("10.0.1.2/32"), tcp(443, 443));
    let into = rule(Direction::Ingress, prefix("10.0.1.0/24"), tcp(443, 443));
    for (has_out, has_in) in [(false, false), (true, false), (false, true), (true, true)] {
        let source: &[Rule] = if has_out { std::slice::from_ref(&out) } else { &[] };
        let destination: &[Rule] = if has_in { std::slice::from_ref(&into) } else { &[] };
        let state = state([source, &[], destination]);
        let cloud = Cloud::new(&state, &inventory);
        let verdict = cloud.verdict(&flow(WEB, DATABASE, HTTPS));
        assert_eq!(verdict.egress.allows(), has_out);
        assert_eq!(verdict.ingress.allows(), has_in);
        assert_eq!(verdict.allows(), has_out && has_in);
        assert!(
            !cloud.allows(&flow(DATABASE, WEB, HTTPS)),
            "a rule says nothing about connections the other way"
        );
    }
}

#[test]
fn an_interface_lets_through_what_any_of_its_groups_does() {
    let inventory = inventory();
    let first = rule(Direction::Egress, prefix("203.0.113.0/24"), tcp(80, 80));
    let second = rule(Direction::Egress, prefix("203.0.113.0/24"), tcp(443, 443));
    let state = state([std::slice::from_ref(&first), std::slice::from_ref(&second), &[]]);
    let cloud = Cloud::new(&state, &inventory);
    let verdict = |port| cloud.verdict(&flow(WEB, address("203.0.113.7"), Service::Tcp(port)));
    let outside = End::Unfiltered(Unfiltered::Address);
    let carried = |group, rule| unguarded(End::Carried { group, rule }, outside);
    let groups = [ours(0), ours(1)];
    assert_eq!(verdict(80), carried(&groups[0], &first));
    assert_eq!(verdict(443), carried(&groups[1], &second));
    assert_eq!(verdict(22), unguarded(End::Closed, outside));
}

#[test]
fn a_prefix_matches_by_address_and_pods_too() {
    let inventory = inventory();
    let state = state([
        &[],
        &[],
        &[
            rule(Direction::Ingress, prefix("10.0.1.0/31"), Shape::All),
            rule(Direction::Ingress, prefix("2001:db8::8/125"), Shape::All),
        ],
    ]);
    let cloud = Cloud::new(&state, &inventory);
    let from = |source, family| {
        cloud.allows(&Flow { source, destination: DATABASE, family, service: HTTPS })
    };
    assert!(cloud.verdict(&flow(WEB, DATABASE, HTTPS)).ingress.allows());
    assert!(from(address("10.0.1.0"), Family::V4));
    assert!(!from(address("10.0.1.2"), Family::V4));
    assert!(!from(address("2001:db8::7"), Family::V6));
    assert!(from(address("2001:db8::f"), Family::V6));
    assert!(
        !cloud
            .verdict(&Flow {
                source: WEB,
                destination: DATABASE,
                family: Family::V6,
                service: HTTPS
            })
            .ingress
            .allows(),
        "web's IPv6 address is 2001:db8::1"
    );
}

#[test]
fn a_reference_matches_the_wearers_in_both_families_and_imports_no_rules() {
    let inventory = inventory();
    let state = state([
        &[rule(Direction::Egress, prefix("0.0.0.0/0"), Shape::All)],
        &[rule(Direction::Ingress, prefix("203.0.113.0/24"), Shape::All)],
        &[rule(Direction::Ingress, Peer::Group(ours(1)), Shape::All)],
    ]);
    let cloud = Cloud::new(&state, &inventory);
    let ingress = |source, family| {
        let flow = Flow { source, destination: DATABASE, family, service: HTTPS };
        cloud.verdict(&flow).ingress.allows()
    };
    assert!(ingress(WEB, Family::V4));
    assert!(ingress(WEB, Family::V6));
    assert!(!ingress(address("203.0.113.7"), Family::V4), "rules of the group are not imported");
    assert!(!ingress(address("10.0.1.1"), Family::V4), "an address is no wearer");
    assert!(!ingress(WITHOUT_INTERFACE, Family::V4), "no interface, no groups");
}

#[test]
fn a_pod_on_its_nodes_network_is_an_address() {
    let inventory = inventory();
    let state = state([&[], &[rule(Direction::Ingress, Peer::Group(ours(2)), Shape::All)], &[]]);
    let cloud = Cloud::new(&state, &inventory);
    assert_eq!(
        cloud.verdict(&flow(ON_HOST, WEB, HTTPS)),
        unguarded(End::Unfiltered(Unfiltered::Address), End::Closed)
    );
}

#[test]
fn what_no_group_is_asked_about_passes() {
    let inventory = inventory();
    let state = state([&[], &[], &[]]);
    let cloud = Cloud::new(&state, &inventory);
    let unfiltered = |reason| End::Unfiltered(reason);
    let address_end = unfiltered(Unfiltered::Address);
    let table = [
        (WEB, WEB, unfiltered(Unfiltered::Itself), unfiltered(Unfiltered::Itself)),
        (WITHOUT_INTERFACE, DATABASE, unfiltered(Unfiltered::NoInterface), End::Closed),
        (DATABASE, WITHOUT_INTERFACE, End::Closed, unfiltered(Unfiltered::NoInterface)),
        (address("10.0.0.9"), address("10.0.0.8"), address_end, address_end),
        (WEB, address("10.0.0.2"), unfiltered(Unfiltered::Platform), address_end),
        (address("169.254.169.254"), WEB, address_end, unfiltered(Unfiltered::Platform)),
        (WEB, address("10.0.0.3"), End::Closed, address_end),
    ];
    for (source, destination, egress, ingress) in table {
        let verdict = cloud.verdict(&flow(source, destination, HTTPS));
        assert_eq!(verdict, unguarded(egress, ingress), "{source:?} to {destination:?}");
    }
}

#[test]
fn what_the_state_does_not_name_is_as_the_inventory_tells() {
    let mut inventory = inventory();
    let base = ForeignGroupId("sg-base".into());
    let opens = rule(Direction::Egress, prefix("0.0.0.0/0"), Shape::All);
    let interface =
        Interface { attachment: Attachment::Shared, prior: BTreeSet::from([base.clone()]) };
    inventory.interfaces.insert(InterfaceId("0-web".into()), interface);
    inventory.foreign.insert(base.clone(), BTreeSet::from([opens.clone()]));
    let state = State::default();
    let cloud = Cloud::new(&state, &inventory);
    let verdict = cloud.verdict(&flow(WEB, address("203.0.113.7"), HTTPS));
    assert_eq!(verdict.egress, End::Carried { group: &GroupKey::Foreign(base), rule: &opens });
    assert_eq!(cloud.verdict(&flow(address("203.0.113.7"), WEB, HTTPS)).ingress, End::Closed);
}

#[test]
fn the_platforms_addresses_are_those_of_the_user_guide() {
    let vpc = ["10.0.0.0/16", "100.64.0.0/20", "2001:db8::/56"].map(|text| text.parse().unwrap());
    let listed = [
        "10.0.0.2",
        "100.64.0.2",
        "169.254.169.123",
        "169.254.169.250",
        "169.254.169.251",
        "169.254.169.253",
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::123",
        "fd00:ec2::253",
        "fd00:ec2::254",
    ];
    let listed = listed.map(|text| Prefix::host(text.parse().unwrap()));
    assert_eq!(never_filtered(&vpc), listed.into_iter().collect());
}
