use moat_core::net::{Interval, Messages, Protocol};

use super::*;

fn vpc() -> (Vpc, GroupId) {
    let blocks = ["10.0.0.0/16", "2001:db8::/56"].map(|text| text.parse().unwrap());
    let mut vpc = Vpc::new(blocks.into(), Quotas::default());
    let id = vpc.create_group("web", None).unwrap();
    (vpc, id)
}

fn rule(peer: &str, shape: Shape) -> Rule {
    let peer = Peer::Prefix(peer.parse().unwrap());
    Rule { direction: Direction::Ingress, peer, shape }
}

#[test]
fn a_new_group_lets_everything_out_in_each_family_of_the_vpc() {
    let (vpc, id) = vpc();
    let rules: Vec<Rule> = vpc.group(&id).unwrap().rules.keys().cloned().collect();
    let everything = ["0.0.0.0/0", "::/0"]
        .map(|peer| Rule { direction: Direction::Egress, ..rule(peer, Shape::All) });
    assert_eq!(rules, everything);
}

#[test]
fn a_name_is_unique_ignoring_case_and_blanks_at_its_end() {
    let (mut vpc, _) = vpc();
    for taken in ["web", "WEB", "web  "] {
        let answer = vpc.create_group(taken, None);
        assert!(matches!(answer, Err(ProviderError::Duplicate { .. })), "{answer:?}");
    }
    for refused in ["", " ", "sg-web", "shöp", "a|b", &"x".repeat(256)] {
        let answer = vpc.create_group(refused, None);
        assert!(matches!(answer, Err(ProviderError::Invalid { .. })), "{refused}: {answer:?}");
    }
    assert_eq!(vpc.groups().count(), 1);
}

#[test]
fn what_a_rule_cannot_say_is_invalid_and_adds_nothing() {
    let (mut vpc, id) = vpc();
    let https = rule("10.0.0.0/8", Shape::Tcp(Interval::single(443)));
    let out = Rule { direction: Direction::Egress, ..https.clone() };
    let gre = rule("10.0.0.0/8", Shape::Other(Protocol::new(47).unwrap()));
    let with = |rules: &[&Rule], description: &str| -> BTreeMap<Rule, String> {
        rules.iter().map(|rule| ((*rule).clone(), description.to_owned())).collect()
    };
    let many = (0..1_001_u16).map(|port| rule("10.0.0.0/8", Shape::Udp(Interval::single(port))));
    let table = [
        with(&[], ""),
        with(&[&https, &out], ""),
        with(&[&https, &rule("::/0", Shape::Icmp(Messages::All))], ""),
        with(&[&https, &rule("0.0.0.0/0", Shape::Icmpv6(Messages::All))], ""),
        with(&[&https], "a & b"),
        with(&[&https], &"x".repeat(256)),
        many.map(|rule| (rule, String::new())).collect(),
    ];
    let before = vpc.clone();
    for rules in table {
        let answer = vpc.authorize(&id, &rules, None);
        assert!(matches!(answer, Err(ProviderError::Invalid { .. })), "{answer:?}");
        assert_eq!(vpc, before);
    }
    vpc.authorize(&id, &with(&[&https, &gre], "NetworkPolicy shop/web #1, 2"), None).unwrap();
    assert_eq!(vpc.group(&id).unwrap().rules.len(), 4);
}
