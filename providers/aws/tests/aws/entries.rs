//! Every entry of a network ACL survives the way to EC2's spelling and back, and none that EC2 answers is lost.

use aws_sdk_ec2::types::builders::NetworkAclEntryBuilder;
use aws_sdk_ec2::types::{IcmpTypeCode, NetworkAclEntry, PortRange, RuleAction};
use moat_aws::wire::{entry, spell_entry};
use moat_core::firewall::{Entry, EntryAction, EntryKey, EntryNumber};
use moat_core::net::{Family, Messages, Shape};
use moat_core::policy::Direction;
use proptest::prelude::*;
use proptest::sample::select;

use crate::wire::{block, shape};

fn key() -> impl Strategy<Value = EntryKey> {
    (select(&Direction::BOTH[..]), 1..=EntryNumber::MAX)
        .prop_map(|(direction, number)| EntryKey { direction, number: number.try_into().unwrap() })
}

fn one() -> impl Strategy<Value = Entry> {
    let action = select(&[EntryAction::Allow, EntryAction::Deny][..]);
    (action, block(), shape()).prop_map(|(action, prefix, shape)| Entry { action, prefix, shape })
}

/// EC2 takes ICMPv6 on an IPv4 block for all of it.
fn can_be_said(entry: &Entry) -> bool {
    entry.prefix.family() == Family::V6
        || !matches!(entry.shape, Shape::Icmpv6(Messages::Type(_) | Messages::One(_)))
}

proptest! {
    #[test]
    fn an_entry_comes_back_as_it_was_sent(key in key(), one in one()) {
        let read = entry(&spell_entry(key, one));
        prop_assert_eq!(read == Some((key, one)), can_be_said(&one), "{:?}", read);
    }

    #[test]
    fn whatever_has_the_number_of_an_entry_is_one_and_allows_no_more_than_it_says(
        number in -2..40_000_i32,
        protocol in prop_oneof!["[a-z0-9-]{0,6}", (-2..300).prop_map(|it: i32| it.to_string())],
        told in (any::<Option<i32>>(), -2..300_i32, -2..300_i32, 0..70_000_i32),
        place in (any::<bool>(), "[0-9]{1,3}\\.0\\.0\\.0/[0-9]{1,2}", any::<bool>()),
    ) {
        let (ports, kind, code, port) = told;
        let (allows, block, v6) = place;
        let row = row(number, &protocol, allows)
            .port_range(PortRange::builder().set_from(ports).to(port).build())
            .icmp_type_code(IcmpTypeCode::builder().r#type(kind).code(code).build());
        let row = if v6 { row.ipv6_cidr_block(&block) } else { row.cidr_block(&block) };
        let read = entry(&row.build());
        prop_assert_eq!(read.is_some(), (1..=i32::from(EntryNumber::MAX)).contains(&number));
        if let Some((key, read)) = read {
            let again = entry(&spell_entry(key, read));
            prop_assert_eq!(again, Some((key, read)), "it is said as it was read");
            prop_assert!(allows || read.action == EntryAction::Deny);
        }
    }
}

fn row(number: i32, protocol: &str, allows: bool) -> NetworkAclEntryBuilder {
    let action = if allows { RuleAction::Allow } else { RuleAction::Deny };
    let row = NetworkAclEntry::builder().rule_number(number).rule_action(action);
    row.protocol(protocol).egress(false)
}

fn ports(from: i32, to: i32) -> PortRange {
    PortRange::builder().from(from).to(to).build()
}

fn messages(kind: i32, code: i32) -> IcmpTypeCode {
    IcmpTypeCode::builder().r#type(kind).code(code).build()
}

fn read(row: NetworkAclEntryBuilder) -> String {
    let (key, entry) = entry(&row.build()).unwrap();
    format!("{key} {entry}")
}

/// The examples of the EC2 API reference, and what it says of protocols that have no ports.
#[test]
fn entries_mean_what_ec2_documents() {
    let v4 = |protocol| row(100, protocol, true).cidr_block("10.0.0.0/8");
    let v6 = |protocol| row(100, protocol, true).ipv6_cidr_block("2001:db8::/32");
    for (row, wanted) in [
        (v4("-1"), "allow 10.0.0.0/8 all"),
        (v6("-1"), "allow 2001:db8::/32 all"),
        (v4("-1").port_range(ports(1, 2)), "allow 10.0.0.0/8 all"),
        (v4("6").port_range(ports(443, 443)), "allow 10.0.0.0/8 tcp/443"),
        (v4("17").port_range(ports(1_024, 65_535)), "allow 10.0.0.0/8 udp/1024-65535"),
        (v4("6"), "allow 10.0.0.0/8 tcp"),
        (v4("1").icmp_type_code(messages(-1, -1)), "allow 10.0.0.0/8 icmp"),
        (v4("1").icmp_type_code(messages(3, -1)), "allow 10.0.0.0/8 icmp/3"),
        (v4("1").icmp_type_code(messages(0, 0)), "allow 10.0.0.0/8 icmp/0/0"),
        (v6("58").icmp_type_code(messages(2, 0)), "allow 2001:db8::/32 icmpv6/2/0"),
        (v4("58").icmp_type_code(messages(2, 0)), "allow 10.0.0.0/8 icmpv6"),
        (v4("132").port_range(ports(1, 2)), "allow 10.0.0.0/8 sctp"),
        (v4("47"), "allow 10.0.0.0/8 proto/47"),
        (row(7, "6", false).cidr_block("10.1.2.3/8"), "deny 10.0.0.0/8 tcp"),
    ] {
        let number = if wanted.starts_with("deny") { 7 } else { 100 };
        assert_eq!(read(row), format!("ingress entry {number} {wanted}"));
    }
    let egress = row(1, "-1", true).cidr_block("0.0.0.0/0").egress(true);
    assert_eq!(read(egress), "egress entry 1 allow 0.0.0.0/0 all");
}

#[test]
fn the_final_denies_are_no_entries() {
    for number in [32_767, 32_768, 65_535, 0, -1] {
        let row = row(number, "-1", false).cidr_block("0.0.0.0/0").build();
        assert_eq!(entry(&row), None, "{number}");
    }
    assert_eq!(entry(&NetworkAclEntry::builder().build()), None);
}

/// Whoever follows it opens nothing.
#[test]
fn an_entry_without_a_documented_meaning_denies_no_less_than_it_names() {
    for (row, wanted) in [
        (row(1, "esp", true).cidr_block("10.0.0.0/8"), "deny 10.0.0.0/8 all"),
        (
            row(1, "6", true).cidr_block("10.0.0.0/40").port_range(ports(1, 2)),
            "deny 0.0.0.0/0 tcp/1-2",
        ),
        (row(1, "6", true).ipv6_cidr_block("x"), "deny ::/0 tcp"),
        (row(1, "6", true).cidr_block("10.0.0.0/8").port_range(ports(9, 8)), "deny 10.0.0.0/8 all"),
        (
            row(1, "1", true).cidr_block("10.0.0.0/8").icmp_type_code(messages(300, 0)),
            "deny 10.0.0.0/8 all",
        ),
        (row(1, "-1", true), "deny 0.0.0.0/0 all"),
        (
            row(1, "-1", true).cidr_block("10.0.0.0/8").rule_action("log".into()),
            "deny 10.0.0.0/8 all",
        ),
    ] {
        assert_eq!(read(row), format!("ingress entry 1 {wanted}"));
    }
}
