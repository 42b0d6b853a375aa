//! Network ACLs, and what one says of one packet.
//!
//! Written from the Amazon VPC user guide, "Control subnet traffic with network access control lists": an ACL is stateless, its
//! entries are asked in the order of their numbers, the first one that names a packet decides, and what none names is denied. It
//! is asked about packets that enter or leave its subnets, never about those within one.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::net::{Family, Message, ParseNetError, Prefix, Service, Shape};
use crate::policy::{Direction, Word};

/// Names a network ACL. Ours sort before those of others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AclKey {
    /// An ACL of this cluster's, by the name that the configuration gives it.
    Ours(AclName),
    /// An ACL of someone else.
    Foreign(ForeignAclId),
}

/// What the configuration calls an ACL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AclName(pub Word);

/// The cloud's id of an ACL that is not ours, such as `acl-0123456789abcdef0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ForeignAclId(pub Word);

/// The entries of a network ACL, each direction in the order in which it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl(pub BTreeMap<EntryKey, Entry>);

/// What tells an entry from the others of its ACL. Both families share the numbers of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// Seen from the subnet.
    pub direction: Direction,
    /// Its number.
    pub number: EntryNumber,
}

/// The number of an entry, 1 to 32766: the final denies bear higher ones, and are no entries here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct EntryNumber(NonZeroU16);

/// One entry: what becomes of the packets that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// What becomes of them.
    pub action: EntryAction,
    /// The address at the other end, outside of the subnet.
    pub prefix: Prefix,
    /// What they bear; ports are destination ports, whichever way a connection was opened.
    pub shape: Shape,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntryAction {
    /// It passes.
    Allow,
    /// It does not.
    Deny,
}

/// A number that no entry bears: not from 1 to 32766.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the number of a network ACL's entry: those run from 1 to 32766")]
pub struct NoEntryNumber(pub u16);

impl AclName {
    /// The name of an ACL that takes the place of this one for as long as a plan takes. No configuration gives such a name.
    #[must_use]
    pub(crate) fn passing(&self, number: usize) -> Self {
        Self(format!("{}+{number}", self.0).into())
    }

    /// The name that the configuration gives: that of the ACL whose place this one takes for a while, or its own.
    #[must_use]
    pub fn configured(&self) -> Self {
        self.0.split_once('+').map_or_else(|| self.clone(), |(name, _)| Self(name.into()))
    }
}

impl AclKey {
    /// The name of an ACL of ours.
    #[must_use]
    pub const fn ours(&self) -> Option<&AclName> {
        match self {
            Self::Ours(name) => Some(name),
            Self::Foreign(_) => None,
        }
    }

    /// The id of an ACL of someone else.
    #[must_use]
    pub const fn foreign(&self) -> Option<&ForeignAclId> {
        match self {
            Self::Foreign(id) => Some(id),
            Self::Ours(_) => None,
        }
    }
}

impl EntryNumber {
    /// The highest number of an entry.
    pub const MAX: u16 = 32_766;

    /// In an ACL of ours, entries from here on are copies of those of the ACL before it; ours bear lower numbers.
    pub const COPIED: u16 = 10_000;

    /// The number as the cloud spells it.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u16> for EntryNumber {
    type Error = NoEntryNumber;

    fn try_from(number: u16) -> Result<Self, NoEntryNumber> {
        let fits = NonZeroU16::new(number).filter(|_| number <= Self::MAX);
        fits.map(Self).ok_or(NoEntryNumber(number))
    }
}

impl From<EntryNumber> for u16 {
    fn from(number: EntryNumber) -> Self {
        number.get()
    }
}

impl Acl {
    /// The one that lets everything of these families pass, as a new VPC's default ACL does: entry 100 for IPv4, 101 for IPv6
    /// (Amazon VPC user guide, "Default network ACL").
    #[must_use]
    pub fn open(families: impl IntoIterator<Item = Family>) -> Self {
        let entries = families.into_iter().filter_map(|family| {
            let number = match family {
                Family::V4 => 100,
                Family::V6 => 101,
            };
            let number = EntryNumber::try_from(number).ok()?;
            let prefix = Prefix::everything(family);
            let entry = Entry { action: EntryAction::Allow, prefix, shape: Shape::All };
            Some(Direction::BOTH.map(|direction| (EntryKey { direction, number }, entry)))
        });
        Self(entries.flatten().collect())
    }

    /// Of an ACL of ours, its own entries.
    pub fn own(&self) -> impl Iterator<Item = (&EntryKey, &Entry)> {
        self.0.iter().filter(|(key, _)| key.number.get() < EntryNumber::COPIED)
    }

    /// Of an ACL of ours, the entries that it copies, each direction in their order.
    pub fn copied(&self) -> impl Iterator<Item = (EntryKey, Entry)> {
        let copied = self.0.iter().filter(|(key, _)| key.number.get() >= EntryNumber::COPIED);
        copied.map(|(key, entry)| (*key, *entry))
    }

    /// The entry that decides about a packet to or from an address; none: the final deny does.
    #[must_use]
    pub fn decides(
        &self,
        direction: Direction,
        address: std::net::IpAddr,
        service: Service,
    ) -> Option<(EntryNumber, EntryAction)> {
        let here = self.0.iter().filter(|(key, _)| key.direction == direction);
        let mut named = here.filter(|(_, entry)| {
            entry.prefix.contains(address) && super::cloud::names(entry.shape, service)
        });
        named.next().map(|(key, entry)| (key.number, entry.action))
    }
}

impl fmt::Display for AclName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AclKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(name) => name.fmt(f),
            Self::Foreign(id) => id.0.fmt(f),
        }
    }
}

impl fmt::Display for EntryKey {
    /// `ingress entry 10`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entry {}", self.direction, self.number.get())
    }
}

impl fmt::Display for Entry {
    /// `deny 10.0.0.0/8 tcp/443`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            EntryAction::Allow => "allow",
            EntryAction::Deny => "deny",
        };
        write!(f, "{action} {} {}", self.prefix, self.shape)
    }
}

/// A text that is no entry of a network ACL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseEntryError {
    /// Not three words, or the first is no action.
    #[error(
        "`{text}` is not an entry such as `deny 10.0.0.0/8 tcp/443`: write `allow` or `deny`, the other end and what is meant"
    )]
    Entry {
        /// The text.
        text: String,
    },
    /// The other end, or what is meant, cannot be read.
    #[error(transparent)]
    Net(#[from] ParseNetError),
}

impl FromStr for Entry {
    type Err = ParseEntryError;

    fn from_str(text: &str) -> Result<Self, ParseEntryError> {
        let words: Vec<&str> = text.split(' ').collect();
        let (action, prefix, shape) = match words.as_slice() {
            ["allow", prefix, shape] => (EntryAction::Allow, prefix, shape),
            ["deny", prefix, shape] => (EntryAction::Deny, prefix, shape),
            _ => return Err(ParseEntryError::Entry { text: text.to_owned() }),
        };
        Ok(Self { action, prefix: prefix.parse()?, shape: shape.parse()? })
    }
}

/// What a reply to a service bears, if its asker sent from `port`; none where nothing answers.
///
/// tcp and udp answer to the port that was asked from, protocols without ports with themselves. Of ICMP, requests are answered by
/// type (RFC 792, 950, 4443, 4620, 6275, 8335), with a code of the reply's own: every one that those texts define is listed.
#[must_use]
pub fn replies(service: Service, port: u16) -> Vec<Service> {
    let with_codes = |make: fn(Message) -> Service, kind: u8, codes: u8| {
        (0..=codes).map(|code| make(Message { kind, code })).collect()
    };
    match service {
        Service::Tcp(_) => vec![Service::Tcp(port)],
        Service::Udp(_) => vec![Service::Udp(port)],
        Service::Sctp(_) => vec![Service::Sctp(port)],
        Service::Other(protocol) => vec![Service::Other(protocol)],
        Service::Icmp(Message { kind, .. }) => match kind {
            8 => with_codes(Service::Icmp, 0, 0),
            13 => with_codes(Service::Icmp, 14, 0),
            15 => with_codes(Service::Icmp, 16, 0),
            17 => with_codes(Service::Icmp, 18, 0),
            42 => with_codes(Service::Icmp, 43, 4),
            _ => Vec::new(),
        },
        Service::Icmpv6(Message { kind, .. }) => match kind {
            128 => with_codes(Service::Icmpv6, 129, 0),
            139 => with_codes(Service::Icmpv6, 140, 2),
            144 => with_codes(Service::Icmpv6, 145, 0),
            146 => with_codes(Service::Icmpv6, 147, 0),
            160 => with_codes(Service::Icmpv6, 161, 4),
            _ => Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests;
