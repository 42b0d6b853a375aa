//! How services, shapes and sets of services read.

use std::fmt;
use std::str::FromStr;

use super::{ParseNetError, list, members, number};
use crate::net::{
    Family, Interval, Intervals, Message, Point, Protocol, Service, ServiceSet, Shape, Transport,
};

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Transport {
    type Err = ParseNetError;

    /// Reads `tcp`, `udp` or `sctp`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(ParseNetError::Transport { text: text.to_owned() }),
        }
    }
}

// ------------------------------------------------------------------------------------- Message, Protocol

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.code)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl TryFrom<u8> for Protocol {
    type Error = ParseNetError;

    /// Refuses the number of a protocol with its own word, and names the word.
    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Self::new(number).ok_or(ParseNetError::HasWord {
            number,
            word: match number {
                1 => "icmp",
                6 => "tcp",
                17 => "udp",
                58 => "icmpv6",
                _ => "sctp",
            },
        })
    }
}

impl FromStr for Protocol {
    type Err = ParseNetError;

    /// Reads a number, but not that of a protocol with its own word.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        number::<u8>(text)?.try_into()
    }
}

/// Reads a type of ICMP or ICMPv6: a number or a name.
fn message_type(family: Family, text: &str) -> Result<u8, ParseNetError> {
    let kind = Message::type_named(family, text).or_else(|| number(text).ok());
    kind.ok_or_else(|| ParseNetError::MessageType { text: text.to_owned(), word: icmp(family) })
}

/// The word for the ICMP of a family.
const fn icmp(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp",
        Family::V6 => "icmpv6",
    }
}

// ----------------------------------------------------------------------------------------------- Service

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
            Self::Sctp(port) => write!(f, "sctp/{port}"),
            Self::Icmp(message) => write!(f, "icmp/{message}"),
            Self::Icmpv6(message) => write!(f, "icmpv6/{message}"),
            Self::Other(protocol) => write!(f, "proto/{protocol}"),
        }
    }
}

impl FromStr for Service {
    type Err = ParseNetError;

    /// Reads `tcp/443`, `icmp/3/4`, `icmp/echo-request` (code 0) or `proto/47`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let message = |family, rest: &str| {
            let (kind, code) = rest.split_once('/').unwrap_or((rest, "0"));
            Ok(Message { kind: message_type(family, kind)?, code: number(code)? })
        };
        match text.split_once('/') {
            Some(("tcp", port)) => number(port).map(Self::Tcp),
            Some(("udp", port)) => number(port).map(Self::Udp),
            Some(("sctp", port)) => number(port).map(Self::Sctp),
            Some(("icmp", rest)) => message(Family::V4, rest).map(Self::Icmp),
            Some(("icmpv6", rest)) => message(Family::V6, rest).map(Self::Icmpv6),
            Some(("proto", number)) => number.parse().map(Self::Other),
            Some(_) | None => Err(ParseNetError::Service { text: text.to_owned() }),
        }
    }
}

// ------------------------------------------------------------------------------------------------- Shape

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Tcp(ports) => write!(f, "{}", Term("tcp", *ports)),
            Self::Udp(ports) => write!(f, "{}", Term("udp", *ports)),
            Self::Sctp => f.write_str("sctp"),
            Self::Icmp(messages) => list(f, message_terms("icmp", messages.points())),
            Self::Icmpv6(messages) => list(f, message_terms("icmpv6", messages.points())),
            Self::Other(protocol) => write!(f, "proto/{protocol}"),
        }
    }
}

impl FromStr for Shape {
    type Err = ParseNetError;

    /// Reads `all`, `tcp`, `tcp/80-443`, `sctp`, `icmp`, `icmp/3`, `icmp/3/4`, `proto/47`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let services = services_of_term(text)?;
        let shapes = Family::BOTH.into_iter().flat_map(|family| services.maximal_shapes(family));
        let mut whole = shapes.filter(|shape| shape.services() == services);
        whole.next().ok_or_else(|| ParseNetError::Shape { text: text.to_owned() })
    }
}

// -------------------------------------------------------------------------------------------- ServiceSet

/// An interval of one protocol's line: the word alone if it is the whole line.
struct Term<T>(&'static str, Interval<T>);

impl<T: Point + fmt::Display> fmt::Display for Term<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        if self.1 == Interval::FULL { Ok(()) } else { write!(f, "/{}", self.1) }
    }
}

impl fmt::Display for ServiceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        let ports = [("tcp", &self.tcp), ("udp", &self.udp), ("sctp", &self.sctp)];
        let ports = ports
            .into_iter()
            .flat_map(|(word, ports)| ports.iter().map(move |run| Term(word, run).to_string()));
        let messages = [("icmp", &self.icmp), ("icmpv6", &self.icmpv6)];
        let messages = messages.into_iter().flat_map(|(word, messages)| {
            messages.iter().flat_map(move |run| message_terms(word, run))
        });
        let numbers = if self.other == Self::all_other() {
            vec!["proto".to_owned()]
        } else {
            self.other.iter().map(|run| Term("proto", run).to_string()).collect()
        };
        list(f, ports.chain(messages).chain(numbers))
    }
}

impl FromStr for ServiceSet {
    type Err = ParseNetError;

    /// Reads a list such as `tcp/80-443, icmp/3/4`, `all` or `none`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        members(text).try_fold(Self::empty(), |set, term| Ok(set.union(&services_of_term(term)?)))
    }
}

/// A run of ICMP messages: a part of a type, as many whole types as follow, and a part of the next type.
fn message_terms(word: &'static str, run: Interval<u16>) -> Vec<String> {
    let mut terms = Vec::new();
    let mut rest = (run != Interval::FULL).then_some(run);
    if rest.is_none() {
        terms.push(word.to_owned());
    }
    while let Some(run) = rest {
        let (first, last) = (Message::at(run.low()), Message::at(run.high()));
        let whole = if last.code == u8::MAX { Some(last.kind) } else { last.kind.checked_sub(1) };
        let types = whole.and_then(|whole| Interval::new(first.kind, whole));
        let end = match types.filter(|_| first.code == 0) {
            Some(types) => {
                terms.push(format!("{word}/{types}"));
                Message { kind: types.high(), code: u8::MAX }
            }
            None => {
                let end = last.min(Message { kind: first.kind, code: u8::MAX });
                let codes = Interval::new(first.code, end.code);
                let codes = codes.unwrap_or(Interval::single(first.code));
                terms.push(format!("{word}/{}/{codes}", first.kind));
                end
            }
        };
        rest = end.point().next().and_then(|next| Interval::new(next, run.high()));
    }
    terms
}

/// Reads one member of a list of services.
fn services_of_term(text: &str) -> Result<ServiceSet, ParseNetError> {
    let (word, rest) = match text.split_once('/') {
        Some((word, rest)) => (word, Some(rest)),
        None => (text, None),
    };
    let ports = || rest.map_or(Ok(Interval::FULL), str::parse).map(Intervals::from);
    let messages = |family| match rest {
        Some(rest) => messages(family, rest).map(Intervals::from),
        None => Ok(Intervals::full()),
    };
    let mut set = ServiceSet::empty();
    match word {
        "all" if rest.is_none() => set = ServiceSet::all(),
        "tcp" => set.tcp = ports()?,
        "udp" => set.udp = ports()?,
        "sctp" => set.sctp = ports()?,
        "icmp" => set.icmp = messages(Family::V4)?,
        "icmpv6" => set.icmpv6 = messages(Family::V6)?,
        "proto" => set.other = rest.map_or(Ok(ServiceSet::all_other()), protocols)?,
        _ => return Err(ParseNetError::Service { text: text.to_owned() }),
    }
    Ok(set)
}

/// Reads `3`, `destination-unreachable`, `3-5`, `3/4` or `3/4-9`.
fn messages(family: Family, text: &str) -> Result<Interval<u16>, ParseNetError> {
    let (types, codes) = match text.split_once('/') {
        Some((kind, codes)) => (Interval::single(message_type(family, kind)?), codes.parse()?),
        None => match message_type(family, text) {
            Ok(kind) => (Interval::single(kind), Interval::FULL),
            Err(unknown) => (text.parse().map_err(|_| unknown)?, Interval::FULL),
        },
    };
    let low = Message { kind: types.low(), code: codes.low() };
    let high = Message { kind: types.high(), code: codes.high() };
    Interval::new(low.point(), high.point())
        .ok_or_else(|| ParseNetError::Inverted { text: text.to_owned() })
}

/// Reads `47` or `33-57`, without the protocols that have their own word.
fn protocols(text: &str) -> Result<Intervals<u8>, ParseNetError> {
    let numbers: Interval<u8> = text.parse()?;
    (numbers.low()..=numbers.high())
        .try_for_each(|number| Protocol::try_from(number).map(|_| ()))?;
    Ok(numbers.into())
}
