use std::fmt::{Debug, Display};

use proptest::prelude::*;

use super::*;
use crate::net::arbitrary::{
    address_set, interval, intervals, prefix, protocol, service, service_set, shape,
};
use crate::net::{
    AddressSet, Family, Message, Messages, Prefix, Protocol, Service, ServiceSet, Shape, Transport,
};

fn assert_round_trip<T: Display + FromStr<Err = ParseNetError> + PartialEq + Debug>(value: &T) {
    assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(value), "`{value}`");
}

proptest! {
    #[test]
    fn every_set_is_read_back_as_it_was_written(
        prefix in prefix(),
        addresses in address_set(),
        service in service(),
        shape in shape(),
        services in service_set(),
        protocol in protocol(),
        interval in interval::<u8>(),
        ports in intervals::<u16>(),
        numbers in intervals::<u128>(),
    ) {
        assert_round_trip(&prefix);
        assert_round_trip(&addresses);
        assert_round_trip(&service);
        assert_round_trip(&shape);
        assert_round_trip(&services);
        assert_round_trip(&protocol);
        assert_round_trip(&interval);
        assert_round_trip(&ports);
        assert_round_trip(&numbers);
        prop_assert_eq!(shape.to_string().parse(), Ok(shape.services()));
    }

    #[test]
    fn reading_any_text_fails_kindly_or_gives_what_prints_the_same_again(
        text in "(tcp|udp|sctp|icmp|icmpv6|proto|all|none|[0-9a-f.:]{0,9})?[-/, ]{0,2}[0-9]{0,5}[-/,]?([0-9]{0,3}|echo-reply)",
    ) {
        if let Ok(set) = text.parse::<ServiceSet>() { assert_round_trip(&set); }
        if let Ok(shape) = text.parse::<Shape>() { assert_round_trip(&shape); }
        if let Ok(service) = text.parse::<Service>() { assert_round_trip(&service); }
        if let Ok(addresses) = text.parse::<AddressSet>() { assert_round_trip(&addresses); }
        if let Ok(ports) = text.parse::<Intervals<u16>>() { assert_round_trip(&ports); }
    }
}

#[test]
fn every_type_and_code_of_both_families_is_read_back_in_its_own_family() {
    for point in 0..=u16::MAX {
        let message = Message::at(point);
        assert_eq!(message.point(), point);
        let text = format!("{}/{}", point / 256, point % 256);
        for (word, service) in
            [("icmp", Service::Icmp(message)), ("icmpv6", Service::Icmpv6(message))]
        {
            assert_eq!(service.to_string(), format!("{word}/{text}"));
            assert_eq!(service.to_string().parse(), Ok(service));
        }
        let shape = Shape::Icmpv6(Messages::One(message));
        assert_eq!(
            (shape.to_string(), shape.to_string().parse()),
            (format!("icmpv6/{text}"), Ok(shape))
        );
    }
}

#[test]
fn families_and_transports_are_read_back() {
    Family::BOTH.iter().for_each(assert_round_trip);
    [Transport::Tcp, Transport::Udp, Transport::Sctp].iter().for_each(assert_round_trip);
}

#[test]
fn a_name_means_the_type_of_its_own_family() {
    for (family, kind) in
        Family::BOTH.into_iter().flat_map(|family| (0..=255).map(move |kind| (family, kind)))
    {
        if let Some(name) = Message::type_name(family, kind) {
            assert_eq!(Message::type_named(family, name), Some(kind), "{family} {name}");
        }
    }
    let message = |kind| Message { kind, code: 0 };
    assert_eq!("icmp/echo-request".parse(), Ok(Service::Icmp(message(8))));
    assert_eq!("icmpv6/echo-request".parse(), Ok(Service::Icmpv6(message(128))));
    assert_eq!("icmp/8".parse(), Ok(Service::Icmp(message(8))));
    assert_eq!("icmp/8".parse(), Ok(Shape::Icmp(Messages::Type(8))));
    assert_eq!("icmpv6/packet-too-big".parse(), Ok(Shape::Icmpv6(Messages::Type(2))));
    assert_eq!("icmpv6/packet-too-big/0".parse(), Ok(Service::Icmpv6(message(2))));
    assert_eq!(Message::type_named(Family::V6, "mld-listener-reduction"), Some(132));
    assert_eq!(Message::type_named(Family::V4, "packet-too-big"), None);
}

#[test]
fn sets_read_as_documented() {
    let services = |text: &str| text.parse::<ServiceSet>().map(|set| set.to_string());
    for (text, printed) in [
        ("none", "none"),
        ("all", "all"),
        ("tcp, udp, sctp, icmp, icmpv6, proto", "all"),
        ("tcp/81, tcp/80,udp/53", "tcp/80-81, udp/53"),
        ("tcp/0-65535", "tcp"),
        ("sctp/9003, proto/47, icmpv6/128", "sctp/9003, icmpv6/128, proto/47"),
        ("icmp/0-7, icmp/8/1-255, icmp/9-255", "icmp/0-7, icmp/8/1-255, icmp/9-255"),
        ("icmp/3/4-255, icmp/4, icmp/5/0-1", "icmp/3/4-255, icmp/4, icmp/5/0-1"),
        ("icmp/0-254, icmp/255/0-254", "icmp/0-254, icmp/255/0-254"),
        ("icmp/0-255", "icmp"),
        ("proto/2-5, proto/47", "proto/2-5, proto/47"),
    ] {
        assert_eq!(services(text), Ok(printed.to_owned()));
    }
    let addresses = |text: &str| text.parse::<AddressSet>().map(|set| set.to_string());
    for (text, printed) in [
        ("none", "none"),
        ("0.0.0.0/0, ::/0", "0.0.0.0/0, ::/0"),
        ("10.0.0.1/32,10.0.0.3-10.0.0.4", "10.0.0.1, 10.0.0.3-10.0.0.4"),
        ("10.0.0.0/9, 10.128.0.0/9, ::1", "10.0.0.0/8, ::1"),
        ("10.0.0.7/8", "10.0.0.0/8"),
    ] {
        assert_eq!(addresses(text), Ok(printed.to_owned()));
    }
    assert_eq!("80, 443-445".parse::<Intervals<u16>>().unwrap().to_string(), "80, 443-445");
}

#[test]
fn every_refusal_says_what_to_write() {
    fn refusal<T: FromStr<Err = ParseNetError> + Debug>(text: &str) -> String {
        text.parse::<T>().unwrap_err().to_string()
    }
    for (refusal, message) in [
        (refusal::<Family>("v4"), "`v4` is not an address family: write `IPv4` or `IPv6`"),
        (
            refusal::<Prefix>("10.0.0.0/33"),
            "`10.0.0.0/33` is not an address block such as `10.0.0.0/8` or `2001:db8::/32`",
        ),
        (
            refusal::<AddressSet>("10.0.0.0/8, web"),
            "`web` is neither an address, nor a block such as `10.0.0.0/8`, nor a range such as `10.0.0.1-10.0.0.9`",
        ),
        (
            refusal::<AddressSet>("10.0.0.9-10.0.0.1"),
            "`10.0.0.9-10.0.0.1` ends before it begins: write the lower end first",
        ),
        (refusal::<Service>("tcp/65536"), "`65536` is not a number from 0 to 65535"),
        (refusal::<Service>("tcp/+80"), "`+80` is not a number from 0 to 65535"),
        (refusal::<Service>("icmp/3/256"), "`256` is not a number from 0 to 255"),
        (
            refusal::<Shape>("tcp/443-80"),
            "`443-80` ends before it begins: write the lower end first",
        ),
        (refusal::<Transport>("icmp"), "`icmp` is not a transport: write `tcp`, `udp` or `sctp`"),
        (
            refusal::<Service>("http"),
            "`http` is not a service such as `tcp/443`, `udp/53`, `sctp/9003`, `icmp/echo-request`, `icmpv6/2/0` or `proto/47`",
        ),
        (
            refusal::<Shape>("sctp/9003"),
            "`sctp/9003` is not what one rule can name: all, a range of tcp or udp ports, sctp as a whole, icmp or icmpv6 as a \
             whole or one type or one type and code, or one protocol number",
        ),
        (
            refusal::<Service>("icmp/packet-too-big"),
            "`packet-too-big` is not a type of icmp: write a number from 0 to 255 or a name such as `echo-request`",
        ),
        (
            refusal::<Service>("proto/6"),
            "protocol 6 has its own word: write `tcp` in place of `proto/6`",
        ),
        (
            refusal::<Protocol>("132"),
            "protocol 132 has its own word: write `sctp` in place of `proto/132`",
        ),
        (
            refusal::<ServiceSet>("proto/2-6"),
            "protocol 6 has its own word: write `tcp` in place of `proto/6`",
        ),
    ] {
        assert_eq!(refusal, message);
    }
    for (number, word) in [(1, "icmp"), (6, "tcp"), (17, "udp"), (58, "icmpv6"), (132, "sctp")] {
        assert_eq!(Protocol::try_from(number), Err(ParseNetError::HasWord { number, word }));
    }
}
