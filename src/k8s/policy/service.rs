//! `ports` of NetworkPolicy and `protocols` of the other kinds.

use moat_core::finding::Reason;
use moat_core::net::{Family, Interval, Intervals, Message, ServiceSet, Transport};
use moat_core::policy::{ServiceMatch, Services};
use serde_json::Value;

use super::Dialect;
use crate::reader::{Node, Reader};

/// What the CRDs take of a named port.
const LONGEST_NAME: usize = 63;

impl Reader {
    /// What a rule matches. Absent means every protocol; so does an empty list of `ports`, but not of `protocols`.
    pub(super) fn services(&mut self, rule: &Node<'_>, dialect: &Dialect) -> Services {
        let Some(list) = rule.get(dialect.services) else { return Services::Every };
        if dialect.services == "ports" {
            let ports: Vec<Node<'_>> = self.list(&list).collect();
            if ports.is_empty() {
                return Services::Every;
            }
            return Services::AnyOf(ports.iter().filter_map(|port| self.port(port)).collect());
        }
        let protocols: Vec<Node<'_>> = self.bounded_list(&list, dialect.most).collect();
        Services::AnyOf(protocols.iter().filter_map(|one| self.protocol(one, dialect)).collect())
    }

    /// One of `ports`: `{protocol, port, endPort}`. The API server's default for `protocol` is TCP.
    fn port(&mut self, at: &Node<'_>) -> Option<ServiceMatch> {
        self.fields(at, &["protocol", "port", "endPort"]);
        let transport = match at.get("protocol") {
            None => Some(Transport::Tcp),
            Some(protocol) => self.transport(&protocol),
        };
        let (port, end) = (at.get("port"), at.get("endPort"));
        let numeric = port.is_some_and(|port| port.value.is_number());
        if let Some(end) = end.filter(|_| !numeric) {
            let message = "`endPort` needs a `port` that is a number, where the range begins";
            self.problem(&end, Reason::InvalidField, message);
        }
        let ports = match port {
            None => Intervals::full(),
            Some(port) if port.value.is_string() => {
                let name = self.port_name(&port)?;
                return Some(ServiceMatch::Named { transport: Some(transport?), name });
            }
            Some(port) => {
                let low = self.number(&port, 1..=u16::MAX)?;
                let high = match end {
                    Some(end) => self.number(&end, low..=u16::MAX)?,
                    None => low,
                };
                Interval::new(low, high)?.into()
            }
        };
        Some(ServiceMatch::Set(ServiceSet::ports(transport?, ports)))
    }

    /// A transport as the API spells it.
    pub(crate) fn transport(&mut self, at: &Node<'_>) -> Option<Transport> {
        match self.text(at)? {
            "TCP" => Some(Transport::Tcp),
            "UDP" => Some(Transport::Udp),
            "SCTP" => Some(Transport::Sctp),
            other => {
                let message = format!(
                    "`{other}` is none of `TCP`, `UDP` and `SCTP`; ICMP belongs into `protocols` of a VpcNetworkPolicy"
                );
                self.problem(at, Reason::InvalidField, message);
                None
            }
        }
    }

    /// A port's name as the API server takes it: `IsValidPortName` of apimachinery.
    fn port_name(&mut self, at: &Node<'_>) -> Option<moat_core::policy::Word> {
        let name = self.text(at)?;
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = name.len() <= 15
            && name.bytes().all(inner)
            && name.bytes().any(|byte| byte.is_ascii_lowercase())
            && !name.contains("--")
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !valid {
            let message = format!(
                "`{name}` is not a port's name: at most 15 lower-case letters, digits and `-`, one letter at least; a number stands without quotes"
            );
            self.problem(at, Reason::InvalidField, message);
        }
        Some(self.word(name))
    }

    /// One of `protocols`.
    fn protocol(&mut self, at: &Node<'_>, dialect: &Dialect) -> Option<ServiceMatch> {
        let (member, value) = self.one_of(at, dialect.protocols)?;
        let mut set = ServiceSet::empty();
        match member {
            "tcp" => set.tcp = self.destination_ports(&value)?,
            "udp" => set.udp = self.destination_ports(&value)?,
            "sctp" => set.sctp = self.destination_ports(&value)?,
            "icmp" => set.icmp = self.messages(&value, Family::V4)?,
            "icmpv6" => set.icmpv6 = self.messages(&value, Family::V6)?,
            _ => {
                let name = self.text(&value)?;
                if name.is_empty() {
                    self.problem(
                        &value,
                        Reason::InvalidField,
                        "the name is empty: name a container port",
                    );
                }
                if name.chars().count() > LONGEST_NAME {
                    let message = format!(
                        "the API server takes names of {LONGEST_NAME} letters, and no container port has one of more than 15"
                    );
                    self.note(&value, Reason::InvalidField, message);
                }
                return Some(ServiceMatch::Named { transport: None, name: self.word(name) });
            }
        }
        Some(ServiceMatch::Set(set))
    }

    /// `destinationPort` of a transport: `{number}` or `{range: {start, end}}`; absent means every port, as the
    /// upstream text says although its CRD refuses it.
    fn destination_ports(&mut self, transport: &Node<'_>) -> Option<Intervals<u16>> {
        self.fields(transport, &["destinationPort"]);
        let Some(at) = transport.get("destinationPort") else { return Some(Intervals::full()) };
        let (member, value) = self.one_of(&at, &["number", "range"])?;
        if member == "number" {
            return Some(Intervals::single(self.number(&value, 1..=u16::MAX)?));
        }
        self.fields(&value, &["start", "end"]);
        let (Some(start), Some(end)) = (value.get("start"), value.get("end")) else {
            let message = "a range needs both `start` and `end`";
            self.problem(&value, Reason::InvalidField, message);
            return None;
        };
        let (low, high) = (self.number(&start, 1..=u16::MAX)?, self.number(&end, 1..=u16::MAX)?);
        if low >= high {
            let message = format!(
                "`start` {low} must be less than `end` {high}; for one port write `number`"
            );
            self.problem(&value, Reason::InvalidField, message);
        }
        Interval::new(low, high).map(Into::into)
    }

    /// `{type, code}` of ICMP; neither means every message, a type alone every code of it.
    fn messages(&mut self, at: &Node<'_>, family: Family) -> Option<Intervals<u16>> {
        self.fields(at, &["type", "code"]);
        let (kind, code) = (at.get("type"), at.get("code"));
        let Some(kind) = kind else {
            if let Some(code) = code {
                let message = "`code` needs a `type`: a code means something else for each type";
                self.problem(&code, Reason::InvalidField, message);
            }
            return Some(Intervals::full());
        };
        let kind = self.message_type(&kind, family)?;
        let point = |code: u16| u8::try_from(code).ok().map(|code| Message { kind, code }.point());
        let (low, high) = match code {
            Some(code) => self.number(&code, 0..=255).map(|code| (code, code))?,
            None => (0, 255),
        };
        Interval::new(point(low)?, point(high)?).map(Into::into)
    }

    /// A type by number or by its netfilter name. The same name has another number in the other family.
    fn message_type(&mut self, at: &Node<'_>, family: Family) -> Option<u8> {
        let Value::String(name) = at.value else {
            return self.number(at, 0..=255).and_then(|number| u8::try_from(number).ok());
        };
        let kind = Message::type_named(family, name);
        if kind.is_none() {
            let message = format!(
                "`{name}` is no type of {family} ICMP: write its number, or a name such as `echo-request`"
            );
            self.problem(at, Reason::InvalidField, message);
        }
        kind
    }
}
