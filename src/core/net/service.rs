//! Services and canonical sets of them.

use std::sync::LazyLock;

use serde::Serialize;

use super::{Family, Interval, Intervals, Message};

/// What the first packet of a connection asks for: one port, one ICMP type and code, or one other protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A tcp destination port.
    Tcp(u16),
    /// A udp destination port.
    Udp(u16),
    /// An sctp destination port.
    Sctp(u16),
    /// An ICMP message; IPv4 only.
    Icmp(Message),
    /// An ICMPv6 message; IPv6 only.
    Icmpv6(Message),
    /// A protocol without ports.
    Other(Protocol),
}

/// The number of an IP protocol that has no word of its own here: neither tcp, udp, sctp, icmp nor icmpv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub(super) u8);

/// The transports that have ports and may carry a named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Transport {
    /// tcp, protocol 6.
    Tcp,
    /// udp, protocol 17.
    Udp,
    /// sctp, protocol 132.
    Sctp,
}

/// A set of services, equal exactly when it holds the same ones.
///
/// ICMP messages are points of one line, `type * 256 + code`. A flow has a family, so the part of the other
/// family's ICMP means nothing there; [`ServiceSet::within`] drops it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceSet {
    /// tcp ports.
    pub tcp: Intervals<u16>,
    /// udp ports.
    pub udp: Intervals<u16>,
    /// sctp ports.
    pub sctp: Intervals<u16>,
    /// ICMP messages as `type * 256 + code`.
    pub icmp: Intervals<u16>,
    /// ICMPv6 messages as `type * 256 + code`.
    pub icmpv6: Intervals<u16>,
    /// Numbers of other protocols; not public, so that a protocol with a word never gets in.
    pub(super) other: Intervals<u8>,
}

// ------------------------------------------------------------------------------------ Protocol, Service

impl Protocol {
    /// The numbers with a word of their own: icmp, tcp, udp, icmpv6, sctp (IANA protocol numbers).
    pub const WITH_A_WORD: [u8; 5] = [1, 6, 17, 58, 132];

    /// The protocol of a number, unless it has a word of its own.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (!Self::WITH_A_WORD.contains(&number)).then_some(Self(number))
    }

    /// The IANA number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Service {
    /// Whether a packet of this service can exist in `family`.
    #[must_use]
    pub const fn exists_in(self, family: Family) -> bool {
        match self {
            Self::Tcp(_) | Self::Udp(_) | Self::Sctp(_) | Self::Other(_) => true,
            Self::Icmp(_) => matches!(family, Family::V4),
            Self::Icmpv6(_) => matches!(family, Family::V6),
        }
    }
}

// -------------------------------------------------------------------------------------------- ServiceSet

impl ServiceSet {
    /// No service.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            tcp: Intervals::empty(),
            udp: Intervals::empty(),
            sctp: Intervals::empty(),
            icmp: Intervals::empty(),
            icmpv6: Intervals::empty(),
            other: Intervals::empty(),
        }
    }

    /// Every service of both families.
    #[must_use]
    pub fn all() -> Self {
        Self {
            tcp: Intervals::full(),
            udp: Intervals::full(),
            sctp: Intervals::full(),
            icmp: Intervals::full(),
            icmpv6: Intervals::full(),
            other: Self::all_other(),
        }
    }

    /// Every service that exists in `family`: the service line of the minimal cover.
    #[must_use]
    pub fn line(family: Family) -> Self {
        Self::all().within(family)
    }

    /// Every protocol number without a word of its own.
    #[must_use]
    pub fn all_other() -> Intervals<u8> {
        static ALL: LazyLock<Intervals<u8>> = LazyLock::new(|| {
            let with_a_word = Protocol::WITH_A_WORD.into_iter().map(Interval::single);
            with_a_word.collect::<Intervals<u8>>().complement()
        });
        ALL.clone()
    }

    /// Ports of one transport.
    #[must_use]
    pub fn ports(transport: Transport, ports: Intervals<u16>) -> Self {
        let mut set = Self::empty();
        match transport {
            Transport::Tcp => set.tcp = ports,
            Transport::Udp => set.udp = ports,
            Transport::Sctp => set.sctp = ports,
        }
        set
    }

    /// Messages of a family's ICMP, as `type * 256 + code`.
    #[must_use]
    pub fn of_messages(family: Family, messages: Intervals<u16>) -> Self {
        let mut set = Self::empty();
        match family {
            Family::V4 => set.icmp = messages,
            Family::V6 => set.icmpv6 = messages,
        }
        set
    }

    /// One other protocol.
    #[must_use]
    pub fn protocol(protocol: Protocol) -> Self {
        Self { other: Intervals::single(protocol.0), ..Self::empty() }
    }

    /// The messages of a family's ICMP, as `type * 256 + code`.
    #[must_use]
    pub const fn messages(&self, family: Family) -> &Intervals<u16> {
        match family {
            Family::V4 => &self.icmp,
            Family::V6 => &self.icmpv6,
        }
    }

    /// The numbers of other protocols.
    #[must_use]
    pub const fn other(&self) -> &Intervals<u8> {
        &self.other
    }

    /// This set with its other protocols kept only where `numbers` has them.
    #[must_use]
    pub fn with_other_within(mut self, numbers: &Intervals<u8>) -> Self {
        self.other = self.other.intersection(numbers);
        self
    }

    /// Whether the set holds no service.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty()
            && self.udp.is_empty()
            && self.sctp.is_empty()
            && self.icmp.is_empty()
            && self.icmpv6.is_empty()
            && self.other.is_empty()
    }

    /// Whether the set holds every service of both families.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.tcp.is_full()
            && self.udp.is_full()
            && self.sctp.is_full()
            && self.icmp.is_full()
            && self.icmpv6.is_full()
            && self.other == Self::all_other()
    }

    /// The services of the set that exist in `family`.
    #[must_use]
    pub fn within(mut self, family: Family) -> Self {
        match family {
            Family::V4 => self.icmpv6 = Intervals::empty(),
            Family::V6 => self.icmp = Intervals::empty(),
        }
        self
    }

    /// Whether the set holds `service`.
    #[must_use]
    pub fn contains(&self, service: Service) -> bool {
        match service {
            Service::Tcp(port) => self.tcp.contains(port),
            Service::Udp(port) => self.udp.contains(port),
            Service::Sctp(port) => self.sctp.contains(port),
            Service::Icmp(message) => self.icmp.contains(message.point()),
            Service::Icmpv6(message) => self.icmpv6.contains(message.point()),
            Service::Other(protocol) => self.other.contains(protocol.0),
        }
    }

    /// Whether the set holds every service of `other`.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        self.tcp.contains_all(&other.tcp)
            && self.udp.contains_all(&other.udp)
            && self.sctp.contains_all(&other.sctp)
            && self.icmp.contains_all(&other.icmp)
            && self.icmpv6.contains_all(&other.icmpv6)
            && self.other.contains_all(&other.other)
    }

    /// The services of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, Intervals::union, Intervals::union)
    }

    /// The services of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, Intervals::intersection, Intervals::intersection)
    }

    /// The services of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, Intervals::difference, Intervals::difference)
    }

    /// The least service, in the order of [`Service`].
    #[must_use]
    pub fn first(&self) -> Option<Service> {
        None.or_else(|| self.tcp.first().map(Service::Tcp))
            .or_else(|| self.udp.first().map(Service::Udp))
            .or_else(|| self.sctp.first().map(Service::Sctp))
            .or_else(|| self.icmp.first().map(|point| Service::Icmp(Message::at(point))))
            .or_else(|| self.icmpv6.first().map(|point| Service::Icmpv6(Message::at(point))))
            .or_else(|| self.other.first().and_then(Protocol::new).map(Service::Other))
    }

    fn combine(
        &self,
        other: &Self,
        wide: impl Fn(&Intervals<u16>, &Intervals<u16>) -> Intervals<u16>,
        narrow: impl Fn(&Intervals<u8>, &Intervals<u8>) -> Intervals<u8>,
    ) -> Self {
        Self {
            tcp: wide(&self.tcp, &other.tcp),
            udp: wide(&self.udp, &other.udp),
            sctp: wide(&self.sctp, &other.sctp),
            icmp: wide(&self.icmp, &other.icmp),
            icmpv6: wide(&self.icmpv6, &other.icmpv6),
            other: narrow(&self.other, &other.other),
        }
    }
}

impl From<Service> for ServiceSet {
    fn from(service: Service) -> Self {
        let mut set = Self::empty();
        match service {
            Service::Tcp(port) => set.tcp = Intervals::single(port),
            Service::Udp(port) => set.udp = Intervals::single(port),
            Service::Sctp(port) => set.sctp = Intervals::single(port),
            Service::Icmp(message) => set.icmp = Intervals::single(message.point()),
            Service::Icmpv6(message) => set.icmpv6 = Intervals::single(message.point()),
            Service::Other(protocol) => set.other = Intervals::single(protocol.0),
        }
        set
    }
}
