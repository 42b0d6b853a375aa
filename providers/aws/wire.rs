//! Rules and entries as EC2 spells them: the one place that knows of -1, and of a type and a code in two ports.
//!
//! EC2 answers one rule in many spellings, and takes as many. Both ways are total here: every [`Rule`] has one spelling, and
//! every spelling is a [`Reading`]. Sources: `IpPermission`, `SecurityGroupRule` and `NetworkAclEntry` of the EC2 API reference.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aws_sdk_ec2::types::builders::IpPermissionBuilder;
use aws_sdk_ec2::types::{
    IcmpTypeCode, IpPermission, IpRange, Ipv6Range, NetworkAclEntry, PortRange, PrefixListId,
    RuleAction, SecurityGroupRule, UserIdGroupPair,
};
use moat_core::firewall::{Entry, EntryAction, EntryKey, EntryNumber, GroupKey, Peer, Rule};
use moat_core::net::{Family, Interval, Message, Messages, Prefix, Protocol, Shape};
use moat_core::policy::{Direction, Word};

/// What a rule of EC2 says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// A rule.
    Rule(Rule),
    /// A rule for the addresses of a prefix list.
    List {
        /// The list's id, such as `pl-0123456789abcdef0`.
        list: Word,
        /// The direction.
        direction: Direction,
        /// What it lets through.
        shape: Shape,
    },
    /// A rule that has no documented meaning.
    Unreadable {
        /// How EC2 spells it.
        text: String,
        /// Rules that let through no less.
        within: BTreeSet<Rule>,
    },
}

/// A protocol with its two ports, which are a type and a code for ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling<'a> {
    /// The protocol's name or number; `-1` for all.
    pub protocol: &'a str,
    /// The first port, or the ICMP type; -1 for all.
    pub from: Option<i32>,
    /// The last port, or the ICMP code; -1 for all.
    pub to: Option<i32>,
}

/// Every port, type, code or protocol.
const ALL: i32 = -1;

// ----------------------------------------------------------------------------------------------- Writing

/// The spelling in which a shape is sent: names for the four protocols that have one, and always both ports, since `icmpv6`
/// without them means all types, and `icmp` without them is refused.
#[must_use]
pub fn spell(shape: Shape) -> (String, i32, i32) {
    let ports = |name: &str, ports: Interval<u16>| {
        (name.to_owned(), i32::from(ports.low()), i32::from(ports.high()))
    };
    let messages = |name: &str, messages| match messages {
        Messages::All => (name.to_owned(), ALL, ALL),
        Messages::Type(kind) => (name.to_owned(), i32::from(kind), ALL),
        Messages::One(Message { kind, code }) => (name.to_owned(), kind.into(), code.into()),
    };
    let number = |number: u8| (number.to_string(), ALL, ALL);
    match shape {
        Shape::All => (ALL.to_string(), ALL, ALL),
        Shape::Tcp(interval) => ports("tcp", interval),
        Shape::Udp(interval) => ports("udp", interval),
        Shape::Sctp => number(SCTP),
        Shape::Icmp(kinds) => messages("icmp", kinds),
        Shape::Icmpv6(kinds) => messages("icmpv6", kinds),
        Shape::Other(protocol) => number(protocol.number()),
    }
}

/// The permissions that say these rules, each with its description: one for each shape. A group that `id` does not know is the
/// error. The direction is the call's.
///
/// # Errors
/// The first group without an id.
pub fn permissions<'r>(
    rules: impl IntoIterator<Item = (&'r Rule, &'r String)>,
    id: impl Fn(&GroupKey) -> Option<String>,
) -> Result<Vec<IpPermission>, &'r GroupKey> {
    let mut permissions: BTreeMap<Shape, IpPermissionBuilder> = BTreeMap::new();
    for (rule, description) in rules {
        let builder = permissions.remove(&rule.shape).unwrap_or_else(|| {
            let (protocol, from, to) = spell(rule.shape);
            IpPermission::builder().ip_protocol(protocol).from_port(from).to_port(to)
        });
        let text = Some(description.clone()).filter(|text| !text.is_empty());
        let builder = match &rule.peer {
            Peer::Prefix(prefix) => match prefix.family() {
                Family::V4 => builder.ip_ranges(
                    IpRange::builder().cidr_ip(prefix.to_string()).set_description(text).build(),
                ),
                Family::V6 => builder.ipv6_ranges(
                    Ipv6Range::builder()
                        .cidr_ipv6(prefix.to_string())
                        .set_description(text)
                        .build(),
                ),
            },
            Peer::Group(key) => {
                let pair = UserIdGroupPair::builder().group_id(id(key).ok_or(key)?);
                builder.user_id_group_pairs(pair.set_description(text).build())
            }
        };
        permissions.insert(rule.shape, builder);
    }
    Ok(permissions.into_values().map(IpPermissionBuilder::build).collect())
}

/// The rule that every new group has: everything may leave, in the families of the VPC.
#[must_use]
pub fn default_egress(families: impl IntoIterator<Item = Family>) -> Vec<IpPermission> {
    let rule = |family| Rule {
        direction: Direction::Egress,
        peer: Peer::Prefix(Prefix::everything(family)),
        shape: Shape::All,
    };
    let rules: BTreeMap<Rule, String> =
        families.into_iter().map(|family| (rule(family), String::new())).collect();
    permissions(&rules, |_| None).unwrap_or_default()
}

// ----------------------------------------------------------------------------------------------- Reading

/// IANA's numbers of the protocols that have words; EC2 has no name for sctp.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

impl Spelling<'_> {
    /// What it lets through; none if EC2 documents no meaning for it.
    ///
    /// Protocols outside tcp, udp, icmp and icmpv6 have no ports, whatever stands there.
    #[must_use]
    pub fn shape(&self) -> Option<Shape> {
        let name = self.protocol.trim().to_ascii_lowercase();
        match name.as_str() {
            "-1" | "all" => Some(Shape::All),
            "tcp" => self.ports().map(Shape::Tcp),
            "udp" => self.ports().map(Shape::Udp),
            "sctp" => Some(Shape::Sctp),
            "icmp" => self.messages().map(Shape::Icmp),
            "icmpv6" => self.messages().map(Shape::Icmpv6),
            number => match number.parse().ok()? {
                ICMP => self.messages().map(Shape::Icmp),
                TCP => self.ports().map(Shape::Tcp),
                UDP => self.ports().map(Shape::Udp),
                ICMPV6 => self.messages().map(Shape::Icmpv6),
                SCTP => Some(Shape::Sctp),
                number => Protocol::new(number).map(Shape::Other),
            },
        }
    }

    fn ports(&self) -> Option<Interval<u16>> {
        match (self.from.unwrap_or(ALL), self.to.unwrap_or(ALL)) {
            (ALL, ALL) => Some(Interval::FULL),
            (from, to) => Interval::new(u16::try_from(from).ok()?, u16::try_from(to).ok()?),
        }
    }

    /// Every type forces every code.
    fn messages(&self) -> Option<Messages> {
        match (self.from.unwrap_or(ALL), self.to.unwrap_or(ALL)) {
            (ALL, _) => Some(Messages::All),
            (kind, ALL) => u8::try_from(kind).ok().map(Messages::Type),
            (kind, code) => {
                let (kind, code) = (u8::try_from(kind).ok()?, u8::try_from(code).ok()?);
                Some(Messages::One(Message { kind, code }))
            }
        }
    }
}

/// The block of a CIDR in any spelling: host bits are dropped, a missing length means one address.
pub(crate) fn prefix(text: &str) -> Option<Prefix> {
    let (address, length) = text.trim().split_once('/').unwrap_or((text.trim(), ""));
    let address: IpAddr = address.parse().ok()?;
    if length.is_empty() {
        return Some(Prefix::host(address));
    }
    Prefix::new(address, length.parse().ok()?)
}

/// The other end as EC2 tells it.
enum Other<'a> {
    Block(&'a str),
    List(&'a str),
    Group(&'a str),
    Unknown,
}

fn read(
    direction: Direction,
    spelling: Spelling<'_>,
    other: &Other<'_>,
    key: &impl Fn(&str) -> GroupKey,
) -> Reading {
    let peer = match other {
        Other::Block(text) => prefix(text).map(Peer::Prefix),
        Other::Group(id) => Some(Peer::Group(key(id))),
        Other::List(_) | Other::Unknown => None,
    };
    match (spelling.shape(), peer, other) {
        (Some(shape), Some(peer), _) => Reading::Rule(Rule { direction, peer, shape }),
        (Some(shape), None, Other::List(list)) => {
            Reading::List { list: (*list).into(), direction, shape }
        }
        (shape, peer, _) => {
            let name = match other {
                Other::Block(name) | Other::List(name) | Other::Group(name) => name,
                Other::Unknown => "nobody",
            };
            let Spelling { protocol, from, to } = spelling;
            let port = |port: Option<i32>| port.map_or("none".to_owned(), |port| port.to_string());
            let text = format!("{direction} {name} {protocol} {}..{}", port(from), port(to));
            let shape = shape.unwrap_or(Shape::All);
            let within = peer.map_or_else(
                || anyone(direction, shape),
                |peer| BTreeSet::from([Rule { direction, peer, shape }]),
            );
            Reading::Unreadable { text, within }
        }
    }
}

/// The rules that let a shape through for every address of both families.
#[must_use]
pub fn anyone(direction: Direction, shape: Shape) -> BTreeSet<Rule> {
    let peers = Family::BOTH.map(|family| Peer::Prefix(Prefix::everything(family)));
    peers.map(|peer| Rule { direction, peer, shape }).into()
}

/// What a row of DescribeSecurityGroupRules says. `key` names a group by its id, of whatever VPC or account it is.
#[must_use]
pub fn rule(rule: &SecurityGroupRule, key: &impl Fn(&str) -> GroupKey) -> Reading {
    let direction = match rule.is_egress() {
        Some(true) => Direction::Egress,
        Some(false) | None => Direction::Ingress,
    };
    let spelling = Spelling {
        protocol: rule.ip_protocol().unwrap_or_default(),
        from: rule.from_port(),
        to: rule.to_port(),
    };
    let group = rule.referenced_group_info().and_then(|group| group.group_id());
    let blocks = rule.cidr_ipv4().or(rule.cidr_ipv6()).map(Other::Block);
    let other = blocks
        .or(rule.prefix_list_id().map(Other::List))
        .or(group.map(Other::Group))
        .unwrap_or(Other::Unknown);
    read(direction, spelling, &other, key)
}

/// What the merged permissions of DescribeSecurityGroups say: one reading for each peer.
#[must_use]
pub fn merged(
    direction: Direction,
    permissions: &[IpPermission],
    key: &impl Fn(&str) -> GroupKey,
) -> BTreeSet<Reading> {
    let mut readings = BTreeSet::new();
    for permission in permissions {
        let spelling = Spelling {
            protocol: permission.ip_protocol().unwrap_or_default(),
            from: permission.from_port(),
            to: permission.to_port(),
        };
        let v4 = permission.ip_ranges().iter().map(IpRange::cidr_ip);
        let v6 = permission.ipv6_ranges().iter().map(Ipv6Range::cidr_ipv6);
        let blocks = v4.chain(v6).map(|text| text.map(Other::Block));
        let lists = permission.prefix_list_ids().iter().map(PrefixListId::prefix_list_id);
        let groups = permission.user_id_group_pairs().iter().map(UserIdGroupPair::group_id);
        let others = blocks
            .chain(lists.map(|id| id.map(Other::List)))
            .chain(groups.map(|id| id.map(Other::Group)));
        readings.extend(
            others.map(|other| read(direction, spelling, &other.unwrap_or(Other::Unknown), key)),
        );
    }
    readings
}

// ----------------------------------------------------------------------------------------------- Entries

/// An entry of a network ACL, as it is sent and as EC2 answers it: protocols by their numbers, ports for tcp and udp, a type and
/// a code for ICMP, and neither for others (`CreateNetworkAclEntry`).
///
/// One that reads otherwise than it was cannot be said: EC2 takes ICMPv6 on an IPv4 block for all of it.
#[must_use]
pub fn spell_entry(key: EntryKey, entry: Entry) -> NetworkAclEntry {
    let (name, from, to) = spell(entry.shape);
    let ports = || Some(PortRange::builder().from(from).to(to).build());
    let messages = || Some(IcmpTypeCode::builder().r#type(from).code(to).build());
    let number = |number: u8| number.to_string();
    let (protocol, ports, messages) = match entry.shape {
        Shape::Tcp(_) => (number(TCP), ports(), None),
        Shape::Udp(_) => (number(UDP), ports(), None),
        Shape::Icmp(_) => (number(ICMP), None, messages()),
        Shape::Icmpv6(_) => (number(ICMPV6), None, messages()),
        Shape::All | Shape::Sctp | Shape::Other(_) => (name, None, None),
    };
    let row = NetworkAclEntry::builder()
        .egress(key.direction == Direction::Egress)
        .rule_number(key.number.get().into())
        .rule_action(match entry.action {
            EntryAction::Allow => RuleAction::Allow,
            EntryAction::Deny => RuleAction::Deny,
        })
        .protocol(protocol)
        .set_port_range(ports)
        .set_icmp_type_code(messages);
    let block = entry.prefix.to_string();
    let row = match entry.prefix.family() {
        Family::V4 => row.cidr_block(block),
        Family::V6 => row.ipv6_cidr_block(block),
    };
    row.build()
}

/// What a row of DescribeNetworkAcls says; none for the final denies, whose numbers no entry bears.
///
/// One that has no documented meaning keeps its place, and denies no less than it names: whoever follows it opens nothing.
#[must_use]
pub fn entry(row: &NetworkAclEntry) -> Option<(EntryKey, Entry)> {
    let number = u16::try_from(row.rule_number()?).ok()?;
    let number = EntryNumber::try_from(number).ok()?;
    let direction = match row.egress() {
        Some(true) => Direction::Egress,
        Some(false) | None => Direction::Ingress,
    };
    let block = row.cidr_block().or(row.ipv6_cidr_block()).and_then(prefix);
    let field = if row.ipv6_cidr_block().is_some() { Family::V6 } else { Family::V4 };
    let family = block.map_or(field, Prefix::family);
    let shape = entry_shape(row, family);
    let action = match row.rule_action() {
        Some(RuleAction::Allow) if block.is_some() && shape.is_some() => EntryAction::Allow,
        Some(_) | None => EntryAction::Deny,
    };
    let prefix = block.unwrap_or(Prefix::everything(family));
    let entry = Entry { action, prefix, shape: shape.unwrap_or(Shape::All) };
    Some((EntryKey { direction, number }, entry))
}

/// Without ports or a type, all of a protocol is meant; so it is by ICMPv6 on an IPv4 block, whatever stands there.
fn entry_shape(row: &NetworkAclEntry, family: Family) -> Option<Shape> {
    let protocol = row.protocol().unwrap_or_default();
    let all = Spelling { protocol, from: None, to: None };
    let ports = row.port_range().map(|ports| (ports.from(), ports.to()));
    let messages = row.icmp_type_code().map(|messages| (messages.r#type(), messages.code()));
    let told = match (all.shape()?, family) {
        (Shape::Tcp(_) | Shape::Udp(_), _) => ports,
        (Shape::Icmp(_), _) | (Shape::Icmpv6(_), Family::V6) => messages,
        (Shape::Icmpv6(_), Family::V4) | (Shape::All | Shape::Sctp | Shape::Other(_), _) => None,
    };
    let (from, to) = told.unwrap_or_default();
    Spelling { from, to, ..all }.shape()
}
