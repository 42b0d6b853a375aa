//! ICMP and ICMPv6 messages: type and code, and the names of types.

use std::sync::LazyLock;

use super::{Family, Interval, Intervals};

/// Type and code of an ICMP or ICMPv6 message. Both are values from 0 to 255; "unset" is another shape, not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// The type, as in the IANA registries for ICMP and ICMPv6.
    pub kind: u8,
    /// The code within the type.
    pub code: u8,
}

/// The ICMP or ICMPv6 messages that one rule can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Messages {
    /// Every type.
    All,
    /// Every code of one type.
    Type(u8),
    /// One type and code.
    One(Message),
}

/// ICMP types by name: netfilter's spelling, and the IANA registry's words for types that netfilter has no name for.
const ICMP: &[(u8, &str)] = &[
    (0, "echo-reply"),
    (3, "destination-unreachable"),
    (4, "source-quench"),
    (5, "redirect"),
    (8, "echo-request"),
    (9, "router-advertisement"),
    (10, "router-solicitation"),
    (11, "time-exceeded"),
    (12, "parameter-problem"),
    (13, "timestamp-request"),
    (14, "timestamp-reply"),
    (15, "info-request"),
    (16, "info-reply"),
    (17, "address-mask-request"),
    (18, "address-mask-reply"),
    (40, "photuris"),
    (42, "extended-echo-request"),
    (43, "extended-echo-reply"),
];

/// ICMPv6 types by name, as for ICMP. Where a type has two names, the first is printed.
const ICMPV6: &[(u8, &str)] = &[
    (1, "destination-unreachable"),
    (2, "packet-too-big"),
    (3, "time-exceeded"),
    (4, "parameter-problem"),
    (128, "echo-request"),
    (129, "echo-reply"),
    (130, "mld-listener-query"),
    (131, "mld-listener-report"),
    (132, "mld-listener-done"),
    (132, "mld-listener-reduction"),
    (133, "nd-router-solicit"),
    (134, "nd-router-advert"),
    (135, "nd-neighbor-solicit"),
    (136, "nd-neighbor-advert"),
    (137, "nd-redirect"),
    (138, "router-renumbering"),
    (139, "node-information-query"),
    (140, "node-information-response"),
    (141, "ind-neighbor-solicit"),
    (142, "ind-neighbor-advert"),
    (143, "mld2-listener-report"),
    (144, "home-agent-address-discovery-request"),
    (145, "home-agent-address-discovery-reply"),
    (146, "mobile-prefix-solicitation"),
    (147, "mobile-prefix-advertisement"),
    (157, "duplicate-address-request"),
    (158, "duplicate-address-confirmation"),
    (160, "extended-echo-request"),
    (161, "extended-echo-reply"),
];

// ---------------------------------------------------------------------------------------------- Messages

impl Message {
    /// The message as a point on the line `type * 256 + code`.
    #[must_use]
    pub fn point(self) -> u16 {
        u16::from_be_bytes([self.kind, self.code])
    }

    /// The message at a point of the line `type * 256 + code`.
    #[must_use]
    pub fn at(point: u16) -> Self {
        let [kind, code] = point.to_be_bytes();
        Self { kind, code }
    }

    /// The name of a type: of ICMP in [`Family::V4`], of ICMPv6 in [`Family::V6`].
    #[must_use]
    pub fn type_name(family: Family, kind: u8) -> Option<&'static str> {
        types(family).iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
    }

    /// The type of a name such as `echo-request`. The same name has another number in the other family.
    #[must_use]
    pub fn type_named(family: Family, name: &str) -> Option<u8> {
        types(family).iter().find(|(_, word)| *word == name).map(|(number, _)| *number)
    }

    /// The messages of every type that has no name, as `type * 256 + code`.
    #[must_use]
    pub fn unnamed(family: Family) -> Intervals<u16> {
        static UNNAMED: LazyLock<[Intervals<u16>; 2]> = LazyLock::new(|| {
            Family::BOTH.map(|family| {
                let types = 0..=u8::MAX;
                let unnamed = types.filter(|kind| Message::type_name(family, *kind).is_none());
                unnamed.map(|kind| Messages::Type(kind).points()).collect()
            })
        });
        let [v4, v6] = &*UNNAMED;
        match family {
            Family::V4 => v4.clone(),
            Family::V6 => v6.clone(),
        }
    }
}

impl Messages {
    /// The messages as an interval of the line `type * 256 + code`.
    #[must_use]
    pub fn points(self) -> Interval<u16> {
        let (low, high) = match self {
            Self::All => (u16::MIN, u16::MAX),
            Self::Type(kind) => {
                (Message { kind, code: 0 }.point(), Message { kind, code: u8::MAX }.point())
            }
            Self::One(message) => (message.point(), message.point()),
        };
        Interval::new(low, high).unwrap_or(Interval::single(low))
    }
}

const fn types(family: Family) -> &'static [(u8, &'static str)] {
    match family {
        Family::V4 => ICMP,
        Family::V6 => ICMPV6,
    }
}
