//! Service sets from a small pool.

use moat_core::net::{Protocol, ServiceSet, Transport};
use moat_core::policy::{ServiceMatch, Services};

use crate::build::{icmp, icmpv6, ports, word};
use crate::random::Random;

/// What a kind of policy can say about services.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Vocabulary {
    /// Ports of tcp, udp and sctp.
    Ports,
    /// Besides, ICMP and other protocols.
    Protocols,
}

pub(super) fn services(random: &mut Random, vocabulary: Vocabulary) -> Services {
    match random.below(20) {
        0..6 => Services::Every,
        6 => Services::AnyOf(Vec::new()),
        _ => {
            let count = random.between(1, 3);
            Services::AnyOf(random.many(count, |random, _| service_match(random, vocabulary)))
        }
    }
}

fn service_match(random: &mut Random, vocabulary: Vocabulary) -> ServiceMatch {
    if random.chance(20) {
        let any = [None, Some(Transport::Tcp), Some(Transport::Udp), Some(Transport::Sctp)];
        let transport = match vocabulary {
            Vocabulary::Ports => random.pick(&any[1..]),
            Vocabulary::Protocols => random.pick(&any),
        };
        let name = word(random.pick(&["http", "dns", "signal", "nobody"]));
        return ServiceMatch::Named { transport, name };
    }
    ServiceMatch::Set(set(random, vocabulary))
}

fn set(random: &mut Random, vocabulary: Vocabulary) -> ServiceSet {
    let kind = match vocabulary {
        Vocabulary::Ports => random.weighted(&[(60, 0), (25, 1), (15, 2)]),
        Vocabulary::Protocols => {
            random.weighted(&[(40, 0), (15, 1), (10, 2), (15, 3), (12, 4), (8, 5)])
        }
    };
    match kind {
        0 => transport(random, Transport::Tcp),
        1 => transport(random, Transport::Udp),
        2 => transport(random, Transport::Sctp),
        3 => message(random, &[(0, 0), (3, 4), (3, 3), (8, 0), (11, 1)], icmp),
        4 => message(random, &[(1, 0), (2, 0), (128, 0), (129, 0), (255, 255)], icmpv6),
        _ => {
            let number = random.pick(&[2, 47, 50, 255]);
            Protocol::new(number).map_or(ServiceSet::empty(), ServiceSet::protocol)
        }
    }
}

/// A port, a range, every port that a policy can name, or the whole transport.
fn transport(random: &mut Random, transport: Transport) -> ServiceSet {
    let range = match random.below(10) {
        0..6 => {
            let port = random.pick(&[53, 80, 81, 82, 443, 8080, 9000, 9003]);
            (port, port)
        }
        6..8 => random.pick(&[(80, 82), (81, 443), (8000, 8999), (1, 1023), (1024, 65535)]),
        8 => (1, 65535),
        _ => (0, 65535),
    };
    ports(transport, range.0, range.1)
}

/// Every type, one type, or one type and code.
fn message(
    random: &mut Random,
    pool: &[(u8, u8)],
    make: fn(u8, Option<u8>) -> ServiceSet,
) -> ServiceSet {
    let (kind, code) = random.pick(pool);
    match random.below(10) {
        0..2 => (0..=u8::MAX).fold(ServiceSet::empty(), |all, kind| all.union(&make(kind, None))),
        2..6 => make(kind, None),
        _ => make(kind, Some(code)),
    }
}
