//! Interfaces and their records.

use super::*;

/// `SetGroups`: "let an exclusive interface wear exactly these groups".
pub async fn an_interface_wears_exactly_what_it_is_given<F: Fixture>(mut fixture: F) {
    let base = fixture.make_group(BTreeSet::new()).await;
    let first = fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await;
    let second = fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await;
    let scope = scope([&first, &second]);
    let base = GroupKey::Foreign(base);
    let mixed: BTreeSet<GroupKey> = [ours(0), ours(1), base.clone()].into();
    let steps = vec![create(0), create(1), wear(&first, mixed.clone())];
    let observed = take(&mut fixture, &scope, steps).await;
    let worn = |first: BTreeSet<GroupKey>, other: &InterfaceId| {
        let second = BTreeSet::from([base.clone()]);
        BTreeMap::from([(other.clone(), first), (second_id(&scope, other), second)])
    };
    assert_eq!(observed.state.interfaces, worn(mixed, &first));
    let observed = take(&mut fixture, &scope, vec![wear(&first, [ours(1)])]).await;
    assert_eq!(observed.state.interfaces, worn([ours(1)].into(), &first));
}

fn second_id(scope: &Scope, first: &InterfaceId) -> InterfaceId {
    scope.interfaces.iter().find(|id| *id != first).cloned().expect("two interfaces")
}

/// `SetGroups`: the groups to record are shown as prior ones, "so that they can be put back; an empty set removes the record".
pub async fn a_record_stays_until_it_is_removed<F: Fixture>(mut fixture: F) {
    let opens = BTreeSet::from([nth_rule(1)]);
    let base = fixture.make_group(opens.clone()).await;
    let interface = fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await;
    let scope = scope([&interface]);
    let prior = |observed: &Observed| observed.interfaces[&interface].prior.clone();
    let steps = vec![create(0), create(1), record(&interface, [ours(0)], [base.clone()])];
    let observed = take(&mut fixture, &scope, steps).await;
    assert_eq!(observed.state.interfaces[&interface], [ours(0)].into());
    assert_eq!(prior(&observed), [base.clone()].into());
    assert_eq!(observed.records, [(interface.clone(), [base.clone()].into())].into());
    assert_eq!(observed.state.groups[&GroupKey::Foreign(base.clone())], opens);
    let steps = vec![record(&interface, [ours(1)], [base.clone()])];
    let observed = take(&mut fixture, &scope, steps).await;
    assert_eq!(prior(&observed), [base.clone()].into());
    let steps = vec![wear(&interface, [GroupKey::Foreign(base.clone())])];
    let observed = take(&mut fixture, &scope, steps).await;
    assert_eq!(prior(&observed), [base.clone()].into(), "it is worn again");
    let other = fixture.make_group(BTreeSet::new()).await;
    fixture.dress(interface.clone(), [other.clone()].into()).await;
    let observed = settled(&mut fixture, &scope).await;
    assert_eq!(prior(&observed), [other].into());
    assert_eq!(observed.records, BTreeMap::new(), "nothing is recorded any more");
}

/// `Observed::interfaces`: of the groups on a record, "those that still exist", so that nothing tries to put back the others.
pub async fn a_recorded_group_that_someone_deleted_is_no_prior_group<F: Fixture>(mut fixture: F) {
    let kept = fixture.make_group(BTreeSet::new()).await;
    let deleted = fixture.make_group(BTreeSet::new()).await;
    let groups = [kept.clone(), deleted.clone()];
    let interface = fixture.make_interface(Attachment::Exclusive, groups.clone().into()).await;
    let scope = scope([&interface]);
    let steps = vec![create(0), record(&interface, [ours(0)], groups)];
    take(&mut fixture, &scope, steps).await;
    fixture.delete_group(deleted.clone()).await;
    let observed = settled(&mut fixture, &scope).await;
    assert_eq!(observed.interfaces[&interface].prior, [kept].into());
    assert!(!observed.state.groups.contains_key(&GroupKey::Foreign(deleted)));
}

/// `Scope::defaults`: what "an interface gets back that wears groups of ours alone, where no record tells what it wore before";
/// "they are shown if they exist". `group_id`: "the cloud's own id of a group of ours".
pub async fn an_interface_of_which_nothing_is_recorded_gets_the_defaults_that_exist<F: Fixture>(
    mut fixture: F,
) {
    let opens = BTreeSet::from([nth_rule(1)]);
    let base = fixture.make_group(BTreeSet::new()).await;
    let default = fixture.make_group(opens.clone()).await;
    let gone = fixture.make_group(BTreeSet::new()).await;
    fixture.delete_group(gone.clone()).await;
    let [born, recorded, bare] = [
        fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await,
        fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await,
        fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await,
    ];
    let mut scope = scope([&born, &recorded, &bare]);
    scope.defaults = [default.clone(), gone].into();
    let observed = settled(&mut fixture, &scope).await;
    assert_eq!(observed.state.groups[&GroupKey::Foreign(default.clone())], opens);
    let steps =
        vec![create(0), wear(&born, [ours(0)]), record(&recorded, [ours(0)], [base.clone()])];
    let observed = take(&mut fixture, &scope, steps).await;
    let prior = |id: &InterfaceId| observed.interfaces[id].prior.clone();
    assert_eq!(prior(&born), [default.clone()].into());
    assert_eq!([prior(&recorded), prior(&bare)], [[base.clone()].into(), [base].into()]);
    let id = fixture.provider().group_id(number(0)).expect("it is there");
    assert_ne!(id, default.0);
    // Whoever makes interfaces names it so.
    let new = fixture.make_interface(Attachment::Exclusive, [ForeignGroupId(id)].into()).await;
    scope.interfaces.insert(new.clone());
    let observed = settled(&mut fixture, &scope).await;
    assert_eq!(observed.state.interfaces[&new], [ours(0)].into());
    assert_eq!(observed.interfaces[&new].prior, [default].into());
}

/// `Observed::taken`: "someone took the tags off one of ours"; "with a record, a group that bears a name of ours counts as ours".
pub async fn a_group_of_ours_without_its_tags_is_left_alone_and_passed_over<F: Fixture>(
    mut fixture: F,
) {
    let base = fixture.make_group(BTreeSet::new()).await;
    let interface = fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await;
    let scope = scope([&interface]);
    let both = record(&interface, [ours(0), ours(1)], [base.clone()]);
    let steps = vec![create(0), authorize(0, [nth_rule(0)]), create(1), both];
    let before = take(&mut fixture, &scope, steps).await;
    assert_eq!(before.taken, BTreeMap::new());
    fixture.untag_group(number(0)).await;
    let observed = settled(&mut fixture, &scope).await;
    let bereft = observed.taken[&number(0)].clone();
    assert!(matches!(bereft, GroupKey::Foreign(_)), "{bereft}");
    let mut wanted = Observed::clone(&before);
    let rules = wanted.state.groups.remove(&ours(0)).expect("it was there");
    wanted.state.groups.insert(bereft.clone(), rules);
    wanted.state.interfaces = [(interface.clone(), [ours(1), bereft.clone()].into())].into();
    wanted.taken = [(number(0), bereft.clone())].into();
    wanted.rule_ids.clear();
    assert_eq!(*observed, wanted, "its prior groups are those before Moat");
    let error = refusal(&mut fixture, &scope, create(0)).await;
    assert!(matches!(error, ProviderError::Duplicate { .. }), "{error}");
    let steps = vec![create(2), record(&interface, [ours(1), ours(2)], [base.clone()])];
    let observed = take(&mut fixture, &scope, steps).await;
    assert_eq!(observed.taken, wanted.taken);
    assert_eq!(observed.interfaces[&interface].prior, [base].into());
    let GroupKey::Foreign(bereft) = bereft else { return };
    assert_eq!(fixture.rules_of(bereft).await, [nth_rule(0)].into());
}

/// The trait: nothing is changed "except which groups an exclusive interface of the scope wears".
pub async fn an_interface_that_is_not_exclusive_is_never_changed<F: Fixture>(mut fixture: F) {
    let base = fixture.make_group(BTreeSet::new()).await;
    for attachment in [Attachment::Shared, Attachment::Fixed] {
        let interface = fixture.make_interface(attachment, [base.clone()].into()).await;
        let other = fixture.make_group(BTreeSet::new()).await;
        let step = wear(&interface, [GroupKey::Foreign(other)]);
        let error = refusal(&mut fixture, &scope([&interface]), step).await;
        assert!(matches!(error, ProviderError::NotOurs { .. }), "{error}");
    }
}

/// `Changed`: "someone else changed it since the last picture".
pub async fn an_interface_that_someone_changed_is_not_overwritten<F: Fixture>(mut fixture: F) {
    let base = fixture.make_group(BTreeSet::new()).await;
    let theirs = fixture.make_group(BTreeSet::new()).await;
    let interface = fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await;
    let scope = scope([&interface]);
    take(&mut fixture, &scope, vec![create(0)]).await;
    settled(&mut fixture, &scope).await;
    fixture.dress(interface.clone(), [base, theirs.clone()].into()).await;
    // The change has become readable, but no picture has shown it.
    fixture.provider().wait(Duration::from_secs(60)).await;
    let answer = execute(fixture.provider(), &wear(&interface, [ours(0)])).await;
    assert!(matches!(answer, Err(ProviderError::Changed { .. })), "{answer:?}");
    let observed = settled(&mut fixture, &scope).await;
    assert!(observed.state.interfaces[&interface].contains(&GroupKey::Foreign(theirs)));
}

/// `Quota`, of groups for an interface.
pub async fn one_group_too_many_for_an_interface_is_refused<F: Fixture>(mut fixture: F) {
    let capabilities = fixture.provider().capabilities().await.expect("the cloud can be read");
    let limit = capabilities.quotas.groups_per_interface;
    let base = fixture.make_group(BTreeSet::new()).await;
    let interface = fixture.make_interface(Attachment::Exclusive, [base].into()).await;
    let scope = scope([&interface]);
    let mut steps: Vec<Step> = (0..=limit).map(create).collect();
    steps.push(wear(&interface, (0..limit).map(ours)));
    take(&mut fixture, &scope, steps).await;
    let error = refusal(&mut fixture, &scope, wear(&interface, (0..=limit).map(ours))).await;
    let quota = QuotaKind::GroupsPerInterface;
    assert!(
        matches!(&error, ProviderError::Quota { quota: which, .. } if *which == quota),
        "{error}"
    );
}

/// `NotFound`: a group, rule or interface that is not there.
pub async fn what_is_not_there_is_not_found<F: Fixture>(mut fixture: F) {
    let base = fixture.make_group(BTreeSet::new()).await;
    let interface = fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await;
    let absent = InterfaceId("eni-0123456789abcdef0".into());
    let scope = scope([&interface, &absent]);
    take(&mut fixture, &scope, vec![create(0)]).await;
    let steps = [
        authorize(3, [nth_rule(0)]),
        revoke(3, [nth_rule(0)]),
        revoke(0, [nth_rule(0)]),
        wear(&interface, [ours(3)]),
        wear(&absent, [ours(0)]),
        Step::DeleteGroup(number(3)),
    ];
    for step in steps {
        let error = refusal(&mut fixture, &scope, step).await;
        assert!(matches!(error, ProviderError::NotFound { .. }), "{error}");
    }
}
