//! The shapes that one cloud rule can say, and how they lie in a set of services.

use super::{Family, Interval, Intervals, Message, Messages, Point, Protocol, Service, ServiceSet};

/// The services that one security-group rule can name (EC2 `IpPermission`): the columns of the minimal cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// Every service.
    All,
    /// A range of tcp ports.
    Tcp(Interval<u16>),
    /// A range of udp ports.
    Udp(Interval<u16>),
    /// All of sctp: EC2 has ports for tcp and udp only.
    Sctp,
    /// Messages of ICMP.
    Icmp(Messages),
    /// Messages of ICMPv6.
    Icmpv6(Messages),
    /// All of another protocol.
    Other(Protocol),
}

impl Shape {
    /// The services that a rule of this shape lets through, over both families.
    #[must_use]
    pub fn services(self) -> ServiceSet {
        let mut set = ServiceSet::empty();
        match self {
            Self::All => set = ServiceSet::all(),
            Self::Tcp(ports) => set.tcp = ports.into(),
            Self::Udp(ports) => set.udp = ports.into(),
            Self::Sctp => set.sctp = Intervals::full(),
            Self::Icmp(messages) => set.icmp = messages.points().into(),
            Self::Icmpv6(messages) => set.icmpv6 = messages.points().into(),
            Self::Other(protocol) => set.other = Intervals::single(protocol.0),
        }
        set
    }

    /// The services of both shapes, which one rule can say; none if they share none.
    #[must_use]
    pub fn common(self, other: Self) -> Option<Self> {
        let ports = |a: Interval<u16>, b: Interval<u16>| {
            Interval::new(a.low().max(b.low()), a.high().min(b.high()))
        };
        let messages = |a: Messages, b: Messages| match (a, b) {
            (Messages::All, other) | (other, Messages::All) => Some(other),
            (Messages::Type(x), Messages::Type(y)) => (x == y).then_some(a),
            (Messages::Type(kind), Messages::One(one))
            | (Messages::One(one), Messages::Type(kind)) => {
                (one.kind == kind).then_some(Messages::One(one))
            }
            (Messages::One(x), Messages::One(y)) => (x == y).then_some(a),
        };
        match (self, other) {
            (Self::All, other) | (other, Self::All) => Some(other),
            (Self::Tcp(a), Self::Tcp(b)) => ports(a, b).map(Self::Tcp),
            (Self::Udp(a), Self::Udp(b)) => ports(a, b).map(Self::Udp),
            (Self::Sctp, Self::Sctp) => Some(Self::Sctp),
            (Self::Icmp(a), Self::Icmp(b)) => messages(a, b).map(Self::Icmp),
            (Self::Icmpv6(a), Self::Icmpv6(b)) => messages(a, b).map(Self::Icmpv6),
            (Self::Other(a), Self::Other(b)) => (a == b).then_some(Self::Other(a)),
            (
                Self::Tcp(_)
                | Self::Udp(_)
                | Self::Sctp
                | Self::Icmp(_)
                | Self::Icmpv6(_)
                | Self::Other(_),
                _,
            ) => None,
        }
    }

    /// Whether a rule of this shape lets through all that one of another shape does.
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        self.common(other) == Some(other)
    }
}

impl ServiceSet {
    /// The largest shapes within this set on the service line of `family`, sorted: each service of the set that
    /// a rule can say lies in exactly one of them. sctp counts only whole, since no rule can name its ports.
    #[must_use]
    pub fn maximal_shapes(&self, family: Family) -> Vec<Shape> {
        if self.first_missing(Shape::All, family).is_none() {
            return vec![Shape::All];
        }
        self.parts(&[family])
    }

    /// The largest shapes within this set on the service lines of both families: what a rule that names a group can
    /// say, since it holds in both.
    #[must_use]
    pub fn maximal_shapes_of_both(&self) -> Vec<Shape> {
        if Family::BOTH.iter().all(|family| self.first_missing(Shape::All, *family).is_none()) {
            return vec![Shape::All];
        }
        self.parts(&Family::BOTH)
    }

    /// The smallest shape around this set, which is not empty and lies in the shape `within`.
    #[must_use]
    pub fn smallest_shape(&self, within: Shape) -> Shape {
        let hull = |set: &Intervals<u16>| {
            let (first, last) = (set.iter().next()?, set.iter().next_back()?);
            Interval::new(first.low(), last.high())
        };
        let around = |points: Interval<u16>| {
            let (first, last) = (Message::at(points.low()), Message::at(points.high()));
            match (first == last, first.kind == last.kind) {
                (true, _) => Messages::One(first),
                (false, true) => Messages::Type(first.kind),
                (false, false) => Messages::All,
            }
        };
        let numbers = self.other.iter().next().zip(self.other.iter().next_back());
        let number = numbers.filter(|(first, last)| first.low() == last.high());
        let shapes = [
            hull(&self.tcp).map(Shape::Tcp),
            hull(&self.udp).map(Shape::Udp),
            hull(&self.sctp).map(|_| Shape::Sctp),
            hull(&self.icmp).map(around).map(Shape::Icmp),
            hull(&self.icmpv6).map(around).map(Shape::Icmpv6),
            number.and_then(|(first, _)| Protocol::new(first.low())).map(Shape::Other),
        ];
        let mut shapes = shapes.into_iter().flatten();
        match (shapes.next(), shapes.next()) {
            (Some(only), None) if self.other.is_empty() || number.is_some() => only,
            (Some(_) | None, _) => within,
        }
    }

    /// The largest shapes that are not the whole line.
    fn parts(&self, families: &[Family]) -> Vec<Shape> {
        let mut shapes: Vec<Shape> = self.tcp.iter().map(Shape::Tcp).collect();
        shapes.extend(self.udp.iter().map(Shape::Udp));
        shapes.extend(self.sctp.is_full().then_some(Shape::Sctp));
        if families.contains(&Family::V4) {
            shapes.extend(maximal_messages(&self.icmp).into_iter().map(Shape::Icmp));
        }
        if families.contains(&Family::V6) {
            shapes.extend(maximal_messages(&self.icmpv6).into_iter().map(Shape::Icmpv6));
        }
        let numbers = self.other.iter().flat_map(|range| range.low()..=range.high());
        shapes.extend(numbers.filter_map(Protocol::new).map(Shape::Other));
        shapes
    }

    /// The least service of `shape` on the service line of `family` that is not in the set; none if all are.
    #[must_use]
    pub fn first_missing(&self, shape: Shape, family: Family) -> Option<Service> {
        let missing = match shape {
            Shape::All => {
                let [tcp, udp] = [Shape::Tcp(Interval::FULL), Shape::Udp(Interval::FULL)];
                let [icmp, icmpv6] = [Shape::Icmp(Messages::All), Shape::Icmpv6(Messages::All)];
                let numbers = (0..=u8::MAX).filter_map(Protocol::new).map(Shape::Other);
                let mut line = [tcp, udp, Shape::Sctp, icmp, icmpv6].into_iter().chain(numbers);
                line.find_map(|shape| self.first_missing(shape, family))
            }
            Shape::Tcp(ports) => self.tcp.first_missing(ports).map(Service::Tcp),
            Shape::Udp(ports) => self.udp.first_missing(ports).map(Service::Udp),
            Shape::Sctp => self.sctp.first_missing(Interval::FULL).map(Service::Sctp),
            Shape::Icmp(messages) => {
                let point = self.icmp.first_missing(messages.points());
                point.map(|point| Service::Icmp(Message::at(point)))
            }
            Shape::Icmpv6(messages) => {
                let point = self.icmpv6.first_missing(messages.points());
                point.map(|point| Service::Icmpv6(Message::at(point)))
            }
            Shape::Other(protocol) => {
                (!self.other.contains(protocol.0)).then_some(Service::Other(protocol))
            }
        };
        missing.filter(|service| service.exists_in(family))
    }
}

fn maximal_messages(set: &Intervals<u16>) -> Vec<Messages> {
    if set.is_full() {
        return vec![Messages::All];
    }
    let mut messages = Vec::new();
    for run in set.iter() {
        let mut next = Some(run.low());
        while let Some(point) = next.filter(|point| run.contains(*point)) {
            let message = Message::at(point);
            let end_of_type = Message { code: u8::MAX, ..message }.point();
            if message.code == 0 && run.contains(end_of_type) {
                messages.push(Messages::Type(message.kind));
                next = end_of_type.next();
            } else {
                messages.push(Messages::One(message));
                next = point.next();
            }
        }
    }
    messages.sort_unstable();
    messages
}
