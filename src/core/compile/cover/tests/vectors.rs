//! Exact minima of everyday policies. Each row is the function, the fewest rules, and, where they are few, the rules.
//!
//! A function is a sum of boxes `addresses: services`, added (`+`) and taken away (`-`) from left to right.

use super::*;

fn function<T: Address>(text: &str) -> StepFunction<T, ServiceSet> {
    let mut allowed = StepFunction::constant(ServiceSet::empty());
    for added in text.split(" + ") {
        for (position, part) in added.split(" - ").enumerate() {
            let (addresses, services) = part.split_once(": ").unwrap();
            let addresses: AddressSet = addresses.parse().unwrap();
            let services: ServiceSet = services.parse().unwrap();
            let services = services.within(T::FAMILY);
            let part = StepFunction::indicator(T::of(&addresses), services, ServiceSet::empty());
            let add = position == 0;
            let join = if add { ServiceSet::union } else { ServiceSet::difference };
            allowed = allowed.map2(&part, join);
        }
    }
    allowed
}

fn assert_minimum<T: Address>(allowed: &str, minimum: usize, expected: &str) {
    let rules = checked_cover(&function::<T>(allowed));
    assert_eq!(rules.len(), minimum, "{allowed}");
    if !expected.is_empty() {
        let print = |rule: &CoverRule| format!("{} {}", rule.prefix, rule.shape);
        assert_eq!(rules.iter().map(print).collect::<Vec<_>>().join(", "), expected, "{allowed}");
    }
}

#[test]
fn one_service_from_everyday_blocks_with_exceptions() {
    let odd =
        (1..=253).step_by(2).map(|host| format!("10.0.0.{host}")).collect::<Vec<_>>().join(", ");
    let odd = format!("{odd}: tcp/443");
    let rows = [
        (
            "0.0.0.0/0: tcp/443 - 10.0.0.0/8: all",
            8,
            "0.0.0.0/5 tcp/443, 8.0.0.0/7 tcp/443, 11.0.0.0/8 tcp/443, 12.0.0.0/6 tcp/443, \
             16.0.0.0/4 tcp/443, 32.0.0.0/3 tcp/443, 64.0.0.0/2 tcp/443, 128.0.0.0/1 tcp/443",
        ),
        ("0.0.0.0/0: tcp/443 - 172.16.0.0/12: all", 12, ""),
        ("0.0.0.0/0: tcp/443 - 192.168.0.0/16: all", 16, ""),
        ("0.0.0.0/0: tcp/443 - 169.254.0.0/16: all", 16, ""),
        ("0.0.0.0/0: tcp/443 - 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16: all", 31, ""),
        (
            "0.0.0.0/0: tcp/443 - 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.169.254: all",
            56,
            "",
        ),
        (
            "0.0.0.0/0: tcp/443 - 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16: all",
            40,
            "",
        ),
        (
            "0.0.0.0/0: tcp/443 - 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10: all",
            38,
            "",
        ),
        (
            "0.0.0.0/0: tcp/443 - 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 169.254.0.0/16: all",
            47,
            "",
        ),
        ("0.0.0.0/0: tcp/443 - 203.0.113.7: all", 32, ""),
        ("10.0.0.0/8: tcp/443 - 10.0.0.0/16: all", 8, ""),
        ("10.0.0.0/8: tcp/443 - 10.0.0.0/24: all", 16, ""),
        ("10.0.0.0/8: tcp/443 - 10.0.0.1: all", 24, ""),
        ("10.0.0.0/16: tcp/443 - 10.0.0.0/24: all", 8, ""),
        ("10.0.0.0/16: tcp/443 - 10.0.0.0/24, 10.0.1.0/24: all", 7, ""),
        ("10.0.0.0/16: tcp/443 - 10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24: all", 7, ""),
        ("10.0.0.0/16: tcp/443 - 10.0.0.0/24, 10.0.128.0/24: all", 14, ""),
        ("10.0.0.0-10.0.0.255: tcp/443", 1, "10.0.0.0/24 tcp/443"),
        ("10.0.0.1-10.0.0.254: tcp/443", 14, ""),
        (
            "10.0.0.1-10.0.0.10: tcp/443",
            5,
            "10.0.0.1/32 tcp/443, 10.0.0.2/31 tcp/443, 10.0.0.4/30 tcp/443, 10.0.0.8/31 tcp/443, 10.0.0.10/32 tcp/443",
        ),
        (odd.as_str(), 127, ""),
    ];
    for (allowed, minimum, rules) in rows {
        assert_minimum::<u32>(allowed, minimum, rules);
    }
    for (allowed, minimum) in [
        ("::/0: tcp/443 - fc00::/7: all", 7),
        ("::/0: tcp/443 - fc00::/7, fe80::/10: all", 9),
        ("::/0: tcp/443 - 2001:db8::1: all", 128),
        ("2000::/3: tcp/443 - 2001:db8::/32: all", 29),
    ] {
        assert_minimum::<u128>(allowed, minimum, "");
    }
}

#[test]
fn addresses_and_services_together() {
    for (allowed, minimum, rules) in [
        ("10.0.0.0/8: all + 0.0.0.0/0: tcp/443", 2, "0.0.0.0/0 tcp/443, 10.0.0.0/8 all"),
        ("0.0.0.0/0: all - 10.0.0.0/8: all + 10.0.0.0/8: tcp/443", 9, ""),
        ("10.0.0.0/8: tcp/80 + 10.0.0.0/16: tcp/81", 2, "10.0.0.0/8 tcp/80, 10.0.0.0/16 tcp/80-81"),
        (
            "10.0.0.0/9: tcp/80, tcp/443 + 10.128.0.0/9: tcp/443, tcp/8443",
            3,
            "10.0.0.0/8 tcp/443, 10.0.0.0/9 tcp/80, 10.128.0.0/9 tcp/8443",
        ),
        ("10.0.0.0/9: tcp/1-100 + 10.128.0.0/9: tcp/1-100", 1, "10.0.0.0/8 tcp/1-100"),
        (
            "10.0.0.0/9: tcp/1-100 + 10.128.0.0/9: tcp/50-200",
            2,
            "10.0.0.0/9 tcp/1-100, 10.128.0.0/9 tcp/50-200",
        ),
        (
            "0.0.0.0/0: tcp/80 + 10.0.0.0/8: tcp/80-84 + 10.0.0.0/16: tcp/80-89",
            3,
            "0.0.0.0/0 tcp/80, 10.0.0.0/8 tcp/80-84, 10.0.0.0/16 tcp/80-89",
        ),
        ("10.0.0.0/8: tcp/80, tcp/81, tcp/82", 1, "10.0.0.0/8 tcp/80-82"),
        ("0.0.0.0/0: tcp, udp, icmp", 3, "0.0.0.0/0 tcp, 0.0.0.0/0 udp, 0.0.0.0/0 icmp"),
        ("0.0.0.0/0: tcp, udp, icmp, sctp, proto", 1, "0.0.0.0/0 all"),
        ("0.0.0.0/0: tcp/0-21, tcp/23-65535", 2, "0.0.0.0/0 tcp/0-21, 0.0.0.0/0 tcp/23-65535"),
        ("0.0.0.0/0: tcp - 10.0.0.0/8: tcp/22", 10, ""),
        ("0.0.0.0/0: icmp - 0.0.0.0/0: icmp/8", 255, ""),
        ("0.0.0.0/0: icmp/3 - 0.0.0.0/0: icmp/3/4", 255, ""),
        ("0.0.0.0/0: icmp - 0.0.0.0/0: icmp/8/0", 510, ""),
        ("10.0.0.0/8: icmp - 10.0.0.0/16: icmp/8", 263, ""),
        ("0.0.0.0/0: icmp/3/0-255", 1, "0.0.0.0/0 icmp/3"),
        ("0.0.0.0/0: icmp/0-255", 1, "0.0.0.0/0 icmp"),
        ("10.0.0.0/8: icmp/8/0 + 0.0.0.0/0: icmp/8", 1, "0.0.0.0/0 icmp/8"),
        ("0.0.0.0/0: icmp/3/4 + 10.0.0.0/8: icmp", 2, "0.0.0.0/0 icmp/3/4, 10.0.0.0/8 icmp"),
    ] {
        assert_minimum::<u32>(allowed, minimum, rules);
    }
}

/// IPv4 has 252 protocols besides tcp, udp and icmp: every number but theirs and that of icmpv6, which is of the other family.
#[test]
fn everything_but_a_little_costs_a_rule_for_each_protocol() {
    for (allowed, minimum) in [
        ("0.0.0.0/0: all - 0.0.0.0/0: tcp/22", 2 + 2 + 252),
        ("0.0.0.0/0: all - 10.0.0.0/8: tcp/22", 8 + 2 + 2 + 252),
        ("0.0.0.0/0: all - 0.0.0.0/0: icmp", 2 + 252),
        ("0.0.0.0/0: all - 0.0.0.0/0: tcp", 2 + 252),
    ] {
        assert_minimum::<u32>(allowed, minimum, "");
    }
}
