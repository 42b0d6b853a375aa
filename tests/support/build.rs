//! Short ways to write values down in tests. They panic on text that is wrong.

use std::net::IpAddr;
use std::sync::Arc;

use moat_core::firewall::{Entry, EntryNumber};
use moat_core::net::{AddressSet, Interval, Intervals, Message, Prefix, ServiceSet, Transport};
use moat_core::policy::{Labels, Word};

/// A prefix such as `10.0.0.0/8`.
#[must_use]
pub fn prefix(text: &str) -> Prefix {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// An address such as `10.0.0.1`.
#[must_use]
pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

/// The addresses of some prefixes.
#[must_use]
pub fn addresses(prefixes: &[&str]) -> AddressSet {
    prefixes.iter().map(|text| prefix(text)).collect()
}

/// The addresses of a block without those of its exceptions.
#[must_use]
pub fn block(cidr: &str, except: &[&str]) -> AddressSet {
    addresses(&[cidr]).difference(&addresses(except))
}

/// An entry of a network ACL such as `deny 10.0.0.0/8 tcp/443`.
#[must_use]
pub fn entry(text: &str) -> Entry {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The number of an entry.
#[must_use]
pub fn entry_number(number: u16) -> EntryNumber {
    EntryNumber::try_from(number).unwrap_or_else(|error| panic!("{error}"))
}

/// Services such as `tcp/443,icmp/8`.
#[must_use]
pub fn services(text: &str) -> ServiceSet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The ports from `low` to `high` of a transport.
#[must_use]
pub fn ports(transport: Transport, low: u16, high: u16) -> ServiceSet {
    ServiceSet::ports(transport, Interval::new(low, high).into_iter().collect())
}

/// Messages of ICMP: all codes of `kind`, or just one.
#[must_use]
pub fn icmp(kind: u8, code: Option<u8>) -> ServiceSet {
    let mut set = ServiceSet::empty();
    set.icmp = messages(kind, code);
    set
}

/// Messages of ICMPv6: all codes of `kind`, or just one.
#[must_use]
pub fn icmpv6(kind: u8, code: Option<u8>) -> ServiceSet {
    let mut set = ServiceSet::empty();
    set.icmpv6 = messages(kind, code);
    set
}

fn messages(kind: u8, code: Option<u8>) -> Intervals<u16> {
    let point = |code| Message { kind, code }.point();
    let (low, high) = code.map_or((0, u8::MAX), |code| (code, code));
    Interval::new(point(low), point(high)).into_iter().collect()
}

/// Labels such as `app=web`.
#[must_use]
pub fn labels(pairs: &[(&str, &str)]) -> Arc<Labels> {
    Arc::new(pairs.iter().copied().collect())
}

/// A word.
#[must_use]
pub fn word(text: impl AsRef<str>) -> Word {
    text.as_ref().into()
}
