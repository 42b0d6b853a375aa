//! Every rule survives the way to EC2's spelling and back, and every spelling of it means the same.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    IpPermission, PrefixListId, ReferencedSecurityGroup, SecurityGroupRule, UserIdGroupPair,
};
use moat_aws::wire::{Reading, Spelling, anyone, merged, permissions, rule, spell};
use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use moat_core::net::{Address, Interval, Message, Messages, Prefix, Protocol, Shape};
use moat_core::policy::Direction;
use proptest::collection::btree_set;
use proptest::prelude::*;
use proptest::sample::select;

// -------------------------------------------------------------------------------------------- Generators

fn ports() -> impl Strategy<Value = Interval<u16>> {
    let any = any::<(u16, u16)>().prop_map(|(a, b)| Interval::new(a.min(b), a.max(b)).unwrap());
    prop_oneof![any, Just(Interval::FULL), (0..3_u16).prop_map(Interval::single)]
}

fn messages() -> impl Strategy<Value = Messages> {
    prop_oneof![
        Just(Messages::All),
        any::<u8>().prop_map(Messages::Type),
        any::<(u8, u8)>().prop_map(|(kind, code)| Messages::One(Message { kind, code })),
    ]
}

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    let other = any::<u8>().prop_filter_map("it has a word", Protocol::new);
    prop_oneof![
        Just(Shape::All),
        ports().prop_map(Shape::Tcp),
        ports().prop_map(Shape::Udp),
        Just(Shape::Sctp),
        messages().prop_map(Shape::Icmp),
        messages().prop_map(Shape::Icmpv6),
        other.prop_map(Shape::Other),
    ]
}

pub(crate) fn block() -> impl Strategy<Value = Prefix> {
    let v4 = (any::<u32>(), 0..=32_u8).prop_map(|(address, length)| address.prefix(length));
    let v6 = (any::<u128>(), 0..=128_u8).prop_map(|(address, length)| address.prefix(length));
    prop_oneof![v4, v6]
}

fn peer() -> impl Strategy<Value = Peer> {
    let ours = (0..9_usize).prop_map(|index| GroupKey::Ours(GroupNumber::nth(index)));
    let foreign = "sg-[0-9a-f]{17}".prop_map(|id| GroupKey::Foreign(ForeignGroupId(id.into())));
    prop_oneof![
        2 => block().prop_map(Peer::Prefix),
        1 => ours.prop_map(Peer::Group),
        1 => foreign.prop_map(Peer::Group),
    ]
}

fn rules() -> impl Strategy<Value = BTreeSet<Rule>> {
    let direction = select(&Direction::BOTH[..]);
    (direction, btree_set((peer(), shape()), 1..20)).prop_map(|(direction, rules)| {
        rules.into_iter().map(|(peer, shape)| Rule { direction, peer, shape }).collect()
    })
}

/// The ids of the groups: `ours-1` and so on, and others' as they are.
fn id(key: &GroupKey) -> Option<String> {
    Some(match key {
        GroupKey::Ours(number) => format!("ours-{}", number.0),
        GroupKey::Foreign(id) => id.0.to_string(),
    })
}

fn key(id: &str) -> GroupKey {
    id.strip_prefix("ours-").map_or_else(
        || GroupKey::Foreign(ForeignGroupId(id.into())),
        |number| GroupKey::Ours(GroupNumber(number.parse().unwrap())),
    )
}

fn sent(rules: &BTreeSet<Rule>) -> Vec<IpPermission> {
    let described: BTreeMap<Rule, String> =
        rules.iter().map(|rule| (rule.clone(), "shop/web".to_owned())).collect();
    permissions(&described, id).unwrap()
}

/// The rows that DescribeSecurityGroupRules answers for permissions.
fn rows(direction: Direction, permissions: &[IpPermission]) -> Vec<SecurityGroupRule> {
    let mut rows = Vec::new();
    for permission in permissions {
        let row = || {
            SecurityGroupRule::builder()
                .is_egress(direction == Direction::Egress)
                .set_ip_protocol(permission.ip_protocol.clone())
                .set_from_port(permission.from_port)
                .set_to_port(permission.to_port)
        };
        let v4 = permission.ip_ranges().iter();
        rows.extend(v4.map(|it| row().set_cidr_ipv4(it.cidr_ip.clone()).build()));
        let v6 = permission.ipv6_ranges().iter();
        rows.extend(v6.map(|it| row().set_cidr_ipv6(it.cidr_ipv6.clone()).build()));
        rows.extend(permission.user_id_group_pairs().iter().map(|it| {
            let group = ReferencedSecurityGroup::builder().set_group_id(it.group_id.clone());
            row().referenced_group_info(group.user_id("123456789012").build()).build()
        }));
    }
    rows
}

// ------------------------------------------------------------------------------------------------- Tests

proptest! {
    #[test]
    fn rules_come_back_from_both_forms_as_they_were_sent(rules in rules()) {
        let direction = rules.first().unwrap().direction;
        let sent = sent(&rules);
        let wanted: BTreeSet<Reading> = rules.iter().cloned().map(Reading::Rule).collect();
        prop_assert_eq!(&merged(direction, &sent, &key), &wanted);
        let rows = rows(direction, &sent);
        prop_assert_eq!(rows.len(), rules.len(), "no rule is sent twice");
        let read: BTreeSet<Reading> = rows.iter().map(|row| rule(row, &key)).collect();
        prop_assert_eq!(read, wanted);
    }

    #[test]
    fn every_spelling_of_a_shape_means_the_shape(shape in shape(), port in any::<Option<i32>>()) {
        for (protocol, from, to) in spellings(shape, port) {
            let spelling = Spelling { protocol: &protocol, from, to };
            prop_assert_eq!(spelling.shape(), Some(shape), "{:?}", spelling);
        }
    }

    #[test]
    fn whatever_can_be_read_is_spelled_so_that_it_reads_the_same(
        protocol in prop_oneof!["[a-z0-9-]{0,6}", (-2..300).prop_map(|number: i32| number.to_string())],
        from in port(),
        to in port(),
    ) {
        if let Some(shape) = (Spelling { protocol: &protocol, from, to }).shape() {
            let (protocol, from, to) = spell(shape);
            let again = Spelling { protocol: &protocol, from: Some(from), to: Some(to) };
            prop_assert_eq!(again.shape(), Some(shape));
        }
    }

    #[test]
    fn every_spelling_of_a_block_means_the_block(prefix in peer(), noise in any::<u128>()) {
        let Peer::Prefix(prefix) = prefix else { return Ok(()) };
        for text in blocks(prefix, noise) {
            let row = SecurityGroupRule::builder().is_egress(true).ip_protocol("-1");
            let row = if text.contains(':') { row.cidr_ipv6(&text) } else { row.cidr_ipv4(&text) };
            let (direction, peer) = (Direction::Egress, Peer::Prefix(prefix));
            let wanted = Rule { direction, peer, shape: Shape::All };
            prop_assert_eq!(rule(&row.build(), &key), Reading::Rule(wanted), "{}", text);
        }
    }
}

fn port() -> impl Strategy<Value = Option<i32>> {
    prop_oneof![
        any::<Option<i32>>(),
        (-2..300).prop_map(Some),
        (0..70_000).prop_map(Some),
        Just(None)
    ]
}

/// Every way in which EC2 takes or answers a shape; `port` is some value where it does not matter.
fn spellings(shape: Shape, port: Option<i32>) -> Vec<(String, Option<i32>, Option<i32>)> {
    let every = [(None, None), (Some(-1), Some(-1)), (Some(0), Some(65_535)), (port, port)];
    let ports = |interval: Interval<u16>| {
        let mut ports = vec![(Some(interval.low().into()), Some(interval.high().into()))];
        if interval == Interval::FULL {
            ports.extend([(None, None), (Some(-1), Some(-1)), (Some(-1), None)]);
        }
        ports
    };
    let messages = |messages| match messages {
        Messages::All => vec![(None, None), (Some(-1), Some(-1)), (Some(-1), None)],
        Messages::Type(kind) => vec![(Some(kind.into()), Some(-1)), (Some(kind.into()), None)],
        Messages::One(Message { kind, code }) => vec![(Some(kind.into()), Some(code.into()))],
    };
    let (names, ports): (Vec<String>, Vec<_>) = match shape {
        Shape::All => (vec!["-1".into(), "all".into()], every.into()),
        Shape::Tcp(interval) => (vec!["tcp".into(), "TCP".into(), "6".into()], ports(interval)),
        Shape::Udp(interval) => (vec!["udp".into(), "17".into()], ports(interval)),
        Shape::Sctp => (vec!["132".into(), "sctp".into()], every.into()),
        Shape::Icmp(kinds) => (vec!["icmp".into(), "1".into()], messages(kinds)),
        Shape::Icmpv6(kinds) => (vec!["icmpv6".into(), "58".into()], messages(kinds)),
        Shape::Other(protocol) => (vec![protocol.number().to_string()], every.into()),
    };
    let all = names.iter().flat_map(|name| ports.iter().map(move |port| (name, port)));
    all.map(|(name, (from, to))| (name.clone(), *from, *to)).collect()
}

/// A block with other host bits, in capitals, written out, and without its length if it is one address.
fn blocks(prefix: Prefix, noise: u128) -> Vec<String> {
    let length = prefix.length();
    match prefix.first() {
        std::net::IpAddr::V4(first) => {
            let mask = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            let [_, _, _, _, _, _, _, _, _, _, _, _, a, b, c, d] = noise.to_be_bytes();
            let noisy = u32::from(first) | (u32::from_be_bytes([a, b, c, d]) & mask);
            let mut all = vec![format!("{first}/{length}"), format!("{}/{length}", noisy.to_ip())];
            all.extend((length == 32).then(|| first.to_string()));
            all
        }
        std::net::IpAddr::V6(first) => {
            let mask = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            let noisy = (u128::from(first) | (noise & mask)).to_ip();
            let whole: Vec<String> =
                first.segments().iter().map(|segment| format!("{segment:04X}")).collect();
            let mut all = vec![
                format!("{first}/{length}"),
                format!("{noisy}/{length}").to_uppercase(),
                format!("{}/{length}", whole.join(":")),
            ];
            all.extend((length == 128).then(|| first.to_string()));
            all
        }
    }
}

/// Other accounts, peered VPCs and the states of a peering are no part of a rule's identity: the group's id is enough.
#[test]
fn what_else_a_reference_tells_changes_nothing() {
    let plain = UserIdGroupPair::builder().group_id("sg-1").build();
    let wordy = UserIdGroupPair::builder()
        .group_id("sg-1")
        .user_id("123456789012")
        .vpc_id("vpc-1")
        .vpc_peering_connection_id("pcx-1")
        .peering_status("active")
        .description("other")
        .build();
    let read = |pair| {
        let permission = IpPermission::builder().ip_protocol("tcp").from_port(1).to_port(2);
        merged(Direction::Ingress, &[permission.user_id_group_pairs(pair).build()], &key)
    };
    assert_eq!(read(plain), read(wordy));
}

#[test]
fn a_prefix_list_is_read_as_one() {
    let permission = IpPermission::builder().ip_protocol("17").from_port(53).to_port(53);
    let list = PrefixListId::builder().prefix_list_id("pl-1").build();
    let direction = Direction::Ingress;
    let shape = Shape::Udp(Interval::single(53));
    let wanted = Reading::List { list: "pl-1".into(), direction, shape };
    let read = merged(direction, &[permission.prefix_list_ids(list).build()], &key);
    assert_eq!(read, [wanted].into());
}

/// What cannot be read is shown as rules that let through no less, and as it is spelled.
#[test]
fn nothing_is_lost() {
    let row = || SecurityGroupRule::builder().is_egress(false).from_port(7).to_port(300);
    let v4: Peer = "10.0.0.0/8".parse().unwrap();
    let direction = Direction::Ingress;
    let all_of =
        |peer: &Peer| BTreeSet::from([Rule { direction, peer: peer.clone(), shape: Shape::All }]);
    let cases = [
        (row().ip_protocol("icmp").cidr_ipv4("10.0.0.0/8"), all_of(&v4), "10.0.0.0/8 icmp 7..300"),
        (row().ip_protocol("esp").cidr_ipv4("10.0.0.0/8"), all_of(&v4), "10.0.0.0/8 esp 7..300"),
        (
            row().ip_protocol("tcp").cidr_ipv4("10.0.0.0/40"),
            anyone(direction, Shape::Tcp(Interval::new(7, 300).unwrap())),
            "10.0.0.0/40 tcp 7..300",
        ),
        (row().ip_protocol("-1"), anyone(direction, Shape::All), "nobody -1 7..300"),
        (
            row().ip_protocol("300").prefix_list_id("pl-1"),
            anyone(direction, Shape::All),
            "pl-1 300 7..300",
        ),
    ];
    for (row, within, text) in cases {
        let text = format!("ingress {text}");
        assert_eq!(rule(&row.build(), &key), Reading::Unreadable { text, within });
    }
}
