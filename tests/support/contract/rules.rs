//! Rules.

use super::*;

/// `observe`: "the rules are in canonical form"; every shape, peer and direction survives the way there and back.
pub async fn every_rule_comes_back_as_it_was_sent<F: Fixture>(mut fixture: F) {
    let other = fixture.make_group(BTreeSet::new()).await;
    let interface = fixture.make_interface(Attachment::Exclusive, [other.clone()].into()).await;
    let scope = scope([&interface]);
    let ports = |low, high| Interval::new(low, high).expect("a range");
    let one = |kind, code| Messages::One(Message { kind, code });
    let anywhere = [
        Shape::All,
        Shape::Tcp(ports(80, 443)),
        Shape::Tcp(ports(0, 65_535)),
        Shape::Udp(Interval::single(53)),
        Shape::Sctp,
        Shape::Other(Protocol::new(47).expect("gre has no word")),
    ];
    let v4 = [Messages::All, Messages::Type(0), one(0, 0), one(3, 4), one(8, 0)].map(Shape::Icmp);
    let v6 = [Messages::All, Messages::Type(128), one(2, 0), one(0, 0)].map(Shape::Icmpv6);
    let prefix = |text: &str| Peer::Prefix(text.parse().expect("a prefix"));
    let peers = [
        (prefix("0.0.0.0/0"), &v4[..], &[][..]),
        (prefix("10.1.2.3/32"), &v4[..], &[]),
        (prefix("::/0"), &[], &v6[..]),
        (prefix("2001:db8::/47"), &[], &v6[..]),
        (Peer::Group(ours(0)), &v4[..], &v6[..]),
        (Peer::Group(ours(1)), &v4[..], &v6[..]),
        (Peer::Group(GroupKey::Foreign(other)), &[Shape::All], &[]),
    ];
    take(&mut fixture, &scope, vec![create(0), create(1)]).await;
    let mut wanted = BTreeSet::new();
    for direction in Direction::BOTH {
        let mut sent = BTreeSet::new();
        for (peer, v4, v6) in &peers {
            let shapes = anywhere.iter().chain(*v4).chain(*v6);
            sent.extend(shapes.map(|shape| rule(direction, peer.clone(), *shape)));
        }
        let observed = take(&mut fixture, &scope, vec![authorize(0, sent.clone())]).await;
        wanted.extend(sent);
        assert_eq!(rules(&observed, 0), wanted);
        let with_ids = observed.rule_ids.keys().map(|(_, rule)| rule.clone());
        assert_eq!(with_ids.collect::<BTreeSet<Rule>>(), wanted);
    }
}

/// `execute`: "whole or not at all"; `Duplicate` for a rule that is there.
pub async fn authorize_adds_all_of_its_rules_or_none<F: Fixture>(mut fixture: F) {
    let nothing = Scope::default();
    take(&mut fixture, &nothing, vec![create(0), authorize(0, [nth_rule(1)])]).await;
    let step = authorize(0, (0..3).map(nth_rule));
    let error = refusal(&mut fixture, &nothing, step).await;
    assert!(matches!(error, ProviderError::Duplicate { .. }), "{error}");
}

/// `NotFound`: a rule cannot name a group that is not there.
pub async fn a_rule_that_names_no_group_is_refused<F: Fixture>(mut fixture: F) {
    let nothing = Scope::default();
    take(&mut fixture, &nothing, vec![create(0)]).await;
    let absent = GroupKey::Foreign(ForeignGroupId("sg-0123456789abcdef0".into()));
    for key in [ours(7), absent] {
        let from = rule(Direction::Ingress, Peer::Group(key), Shape::All);
        let error = refusal(&mut fixture, &nothing, authorize(0, [nth_rule(0), from])).await;
        assert!(matches!(error, ProviderError::NotFound { .. }), "{error}");
    }
}

/// `Quota`, of rules: each direction and family has its own, and a reference counts in both families.
pub async fn one_rule_too_many_is_refused_and_references_count_in_both_families<F: Fixture>(
    mut fixture: F,
) {
    let nothing = Scope::default();
    let capabilities = fixture.provider().capabilities().await.expect("the cloud can be read");
    let limit = capabilities.quotas.rules_per_group;
    let from = rule(Direction::Ingress, Peer::Group(ours(0)), Shape::All);
    let v6 = |index: u16| {
        let address = [0x2001, 0xdb8, 0, 0, 0, 0, 0, index].into();
        let peer = Peer::Prefix(Prefix::host(std::net::IpAddr::V6(address)));
        rule(Direction::Ingress, peer, Shape::All)
    };
    let out = rule(Direction::Egress, Peer::Prefix(Prefix::everything(Family::V4)), Shape::All);
    let steps = vec![
        create(0),
        authorize(0, (1..limit).map(nth_rule).chain([from])),
        authorize(0, [v6(1)]),
        authorize(0, [out]),
    ];
    take(&mut fixture, &nothing, steps).await;
    let rest = (2..=u16::try_from(limit).expect("a limit of rules")).map(v6);
    for step in [authorize(0, [nth_rule(0)]), authorize(0, rest)] {
        let error = refusal(&mut fixture, &nothing, step).await;
        let quota = QuotaKind::RulesPerGroup;
        assert!(
            matches!(&error, ProviderError::Quota { quota: which, .. } if *which == quota),
            "{error}"
        );
    }
}

/// `Revoke`: "remove rules of one direction from a group of ours".
pub async fn revoke_removes_its_rules_and_no_others<F: Fixture>(mut fixture: F) {
    let nothing = Scope::default();
    let out = Rule { direction: Direction::Egress, ..nth_rule(1) };
    let steps = vec![
        create(0),
        authorize(0, (0..4).map(nth_rule)),
        authorize(0, [out.clone()]),
        revoke(0, [nth_rule(1), nth_rule(2)]),
    ];
    let observed = take(&mut fixture, &nothing, steps).await;
    assert_eq!(rules(&observed, 0), [nth_rule(0), nth_rule(3), out].into());
}

/// `execute`: "whole or not at all"; `NotFound` for a rule that is gone.
pub async fn revoke_removes_all_of_its_rules_or_none<F: Fixture>(mut fixture: F) {
    let nothing = Scope::default();
    take(&mut fixture, &nothing, vec![create(0), authorize(0, (0..3).map(nth_rule))]).await;
    fixture.remove_rule(number(0), nth_rule(1)).await;
    let plan = stage(vec![revoke(0, (0..3).map(nth_rule))]);
    let outcome = drive(fixture.provider(), &plan, &nothing).await;
    assert_eq!(outcome.ending, Ending::PlanAgain);
    let answers: Vec<_> = outcome.attempts.into_iter().map(|attempt| attempt.answer).collect();
    assert!(matches!(answers[..], [Err(ProviderError::NotFound { .. })]), "{answers:?}");
    let observed = settled(&mut fixture, &nothing).await;
    assert_eq!(rules(&observed, 0), [nth_rule(0), nth_rule(2)].into());
}

/// DESIGN §6.10: what others add is shown, and does not bear our tag; what the load balancer controller describes as its own stands apart.
pub async fn rules_that_others_add_are_shown_and_the_load_balancer_controllers_stand_apart<
    F: Fixture,
>(
    mut fixture: F,
) {
    let nothing = Scope::default();
    take(&mut fixture, &nothing, vec![create(0), authorize(0, [nth_rule(0)])]).await;
    fixture.add_rule(number(0), nth_rule(1), "by hand").await;
    fixture.add_rule(number(0), nth_rule(2), "elbv2.k8s.aws/targetGroupBinding=shared").await;
    let observed = settled(&mut fixture, &nothing).await;
    assert_eq!(rules(&observed, 0), (0..3).map(nth_rule).collect());
    assert_eq!(observed.foreign_rules, [(number(0), nth_rule(2))].into());
    assert_eq!(observed.unmarked, [1, 2].map(|nth| (number(0), nth_rule(nth))).into());
    let observed = take(&mut fixture, &nothing, vec![revoke(0, [nth_rule(1)])]).await;
    assert_eq!(rules(&observed, 0), [nth_rule(0), nth_rule(2)].into());
}
