//! Strategies that generate every type of [`crate::net`], with ends of lines and neighbouring points well represented.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

pub(crate) fn point<T: Point + Arbitrary>() -> impl Strategy<Value = T> {
    let near = |end: T, step: fn(T) -> Option<T>| {
        (0..3usize).prop_map(move |steps| {
            std::iter::successors(Some(end), |point| step(*point)).nth(steps).unwrap()
        })
    };
    prop_oneof![near(T::MIN, T::next), near(T::MAX, T::previous), any::<T>()]
}

pub(crate) fn interval<T: Point + Arbitrary>() -> impl Strategy<Value = Interval<T>> {
    (point::<T>(), point::<T>()).prop_map(|(a, b)| Interval::new(a.min(b), a.max(b)).unwrap())
}

pub(crate) fn intervals<T: Point + Arbitrary>() -> impl Strategy<Value = Intervals<T>> {
    let some = vec(interval::<T>(), 0..4).prop_map(Intervals::from_iter);
    prop_oneof![8 => some, 1 => Just(Intervals::empty()), 1 => Just(Intervals::full())]
}

pub(crate) fn prefix() -> impl Strategy<Value = Prefix> {
    let v4 = (any::<u32>(), 0..=32u8).prop_map(|(address, length)| address.prefix(length));
    let v6 = (any::<u128>(), 0..=128u8).prop_map(|(address, length)| address.prefix(length));
    prop_oneof![v4, v6]
}

pub(crate) fn address_set() -> impl Strategy<Value = AddressSet> {
    let runs = (intervals(), intervals()).prop_map(|(v4, v6)| AddressSet { v4, v6 });
    let prefixes = vec(prefix(), 0..4).prop_map(AddressSet::from_iter);
    prop_oneof![runs, prefixes]
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    any::<u16>().prop_map(Message::at)
}

pub(crate) fn messages() -> impl Strategy<Value = Messages> {
    let kind = any::<u8>().prop_map(Messages::Type);
    prop_oneof![Just(Messages::All), kind, message().prop_map(Messages::One)]
}

pub(crate) fn protocol() -> impl Strategy<Value = Protocol> {
    any::<u8>().prop_filter_map("has its own word", Protocol::new)
}

pub(crate) fn service() -> impl Strategy<Value = Service> {
    prop_oneof![
        point().prop_map(Service::Tcp),
        point().prop_map(Service::Udp),
        point().prop_map(Service::Sctp),
        message().prop_map(Service::Icmp),
        message().prop_map(Service::Icmpv6),
        protocol().prop_map(Service::Other),
    ]
}

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::All),
        Just(Shape::Sctp),
        Just(Shape::Tcp(Interval::FULL)),
        interval().prop_map(Shape::Tcp),
        interval().prop_map(Shape::Udp),
        messages().prop_map(Shape::Icmp),
        messages().prop_map(Shape::Icmpv6),
        protocol().prop_map(Shape::Other),
    ]
}

pub(crate) fn service_set() -> impl Strategy<Value = ServiceSet> {
    let lines = (intervals(), intervals(), intervals(), intervals(), intervals(), intervals());
    let sets = lines.prop_map(|(tcp, udp, sctp, icmp, icmpv6, other)| {
        let other = ServiceSet::all().with_other_within(&other).other().clone();
        ServiceSet { tcp, udp, sctp, icmp, icmpv6, other }
    });
    let shapes = vec(shape(), 0..4).prop_map(|shapes| {
        let services = shapes.into_iter().map(Shape::services);
        services.fold(ServiceSet::empty(), |set, services| set.union(&services))
    });
    prop_oneof![sets, shapes]
}
