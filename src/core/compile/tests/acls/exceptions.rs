//! What exceptions cost: rules of groups alone, or rules and entries.

use super::*;

/// How an exception is said without an ACL and with one: prefix rules of the largest group and entries.
fn said(cluster: &Cluster) -> [(usize, usize); 2] {
    let guarded = cluster.clone().guarded("subnet-1", &["10.0.0.0/16"], OPEN);
    [cluster, &guarded].map(|cluster| {
        let desired = cluster.compile();
        flows::assert_honest(cluster, &desired);
        assert_eq!(desired.counts.entries, desired.counts.minimum_entries);
        (desired.counts.largest_group, desired.counts.entries)
    })
}

#[test]
#[expect(clippy::disallowed_macros, reason = "the table is for whoever runs the test by itself")]
fn exceptions_with_and_without_an_acl() {
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    let with = |more: &[&'static str]| -> Vec<&str> { [&private, more].concat() };
    let https = |except: &[&str]| {
        let rule = accept().peers([block_except("0.0.0.0/0", except)]).services([set("tcp/443")]);
        network_policy("x/web", "").egress([rule])
    };
    let but = |services: &str| {
        admin("but", 1, pods("ns=x", "")).egress([deny().services([set(services)])])
    };
    // In the manner of kube-burner's `network-policy`: blocks with holes, single ports and ranges.
    let burner = |blocks: usize| {
        let block = |index: usize| {
            let holes = [0, 128].map(|third| format!("192.{index}.{third}.0/24"));
            block_except(&format!("192.{index}.0.0/16"), &holes.each_ref().map(String::as_str))
        };
        let peers = Peers::AnyOf((1..=blocks).map(block).collect());
        let ports = set("tcp/1001,tcp/1003,tcp/5000-5005,tcp/5010-5015,tcp/8080");
        let rule = Rule { peers, ..accept().services([ports]) };
        network_policy("x/burner", "").egress([rule])
    };
    let table = [
        ("all but RFC 1918", https(&private), [(31, 0), (1, 3)]),
        ("and metadata", https(&with(&["169.254.169.254/32"])), [(56, 0), (1, 4)]),
        (
            "all but RFC 1918, shared and link-local",
            https(&with(&["100.64.0.0/10", "169.254.0.0/16"])),
            [(47, 0), (1, 5)],
        ),
        ("all but one port", but("tcp/23"), [(256, 0), (1, 1)]),
        ("all but ping", but("icmp/8"), [(509, 0), (1, 1)]),
        (
            "five blocks without two holes each, five ranges of ports",
            burner(5),
            [(350, 0), (1, 18)],
        ),
        ("eleven of them", burner(11), [(770, 0), (318, 19)]),
    ];
    for (name, policy, expected) in table {
        let quotas = Quotas { entries_per_acl: 40, ..Quotas::UNLIMITED };
        let said = said(&closed(Settings { quotas, ..plain() }).policy(policy));
        assert_eq!(
            said, expected,
            "rules of a group and entries, without an ACL and with one: {name}"
        );
        let [(alone, _), (rules, entries)] = said;
        println!("{name:<56} {alone:>3} rules, or {rules:>3} and {entries:>2} entries");
    }
}

#[test]
fn everything_but_one_port_is_one_rule_and_one_entry() {
    let policy = admin("no-telnet", 1, pods("ns=x", "")).egress([deny().services([set("tcp/23")])]);
    let cluster = closed(plain()).policy(policy);
    assert_eq!(cluster.compile().counts.prefix_rules, 256);
    assert_text(
        &text(&cluster.guarded("subnet-1", &["10.0.0.0/16"], OPEN)),
        "
        egress deny 0.0.0.0/0 tcp/23
        moat.1: x/a, x/b, x/c
          egress 0.0.0.0/0 all
        ",
    );
}
