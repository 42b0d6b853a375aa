//! Groups.

use super::*;

/// `CreateGroup`: "make the group of this number, without any rule".
pub async fn a_new_group_is_shown_without_rules<F: Fixture>(mut fixture: F) {
    let observed = take(&mut fixture, &Scope::default(), vec![create(0)]).await;
    let mut wanted = Observed::default();
    wanted.state.groups.insert(ours(0), BTreeSet::new());
    assert_eq!(*observed, wanted);
}

/// `Duplicate`: "it is there already".
pub async fn a_group_that_is_there_is_a_duplicate<F: Fixture>(mut fixture: F) {
    let nothing = Scope::default();
    take(&mut fixture, &nothing, vec![create(0)]).await;
    let error = refusal(&mut fixture, &nothing, create(0)).await;
    assert!(matches!(error, ProviderError::Duplicate { .. }), "{error}");
    fixture.restart();
    let error = refusal(&mut fixture, &nothing, create(0)).await;
    assert!(matches!(error, ProviderError::Duplicate { .. }), "{error}");
}

/// `InUse`: a group that an interface wears, or that a rule of another group names, cannot be deleted.
pub async fn a_group_in_use_is_not_deleted<F: Fixture>(mut fixture: F) {
    let base = fixture.make_group(BTreeSet::new()).await;
    let interface = fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await;
    let scope = scope([&interface]);
    let from = |index| rule(Direction::Ingress, Peer::Group(ours(index)), Shape::All);
    let steps = vec![
        create(0),
        create(1),
        wear(&interface, [ours(0)]),
        authorize(0, [from(0), from(1)]),
        authorize(1, [from(1)]),
    ];
    take(&mut fixture, &scope, steps).await;
    for index in [0, 1] {
        let error = refusal(&mut fixture, &scope, Step::DeleteGroup(number(index))).await;
        assert!(matches!(error, ProviderError::InUse { .. }), "{error}");
    }
    let steps = vec![
        revoke(0, [from(1)]),
        Step::DeleteGroup(number(1)),
        wear(&interface, [GroupKey::Foreign(base)]),
        Step::DeleteGroup(number(0)),
    ];
    let observed = take(&mut fixture, &scope, steps).await;
    assert_eq!(observed.state.groups.len(), 1, "a rule that names its own group is no use");
}

/// `DeleteGroup`, and `NotFound` for what is gone.
pub async fn a_deleted_group_is_gone_and_its_number_is_free<F: Fixture>(mut fixture: F) {
    let nothing = Scope::default();
    let steps = vec![create(0), authorize(0, [nth_rule(0)]), Step::DeleteGroup(number(0))];
    let observed = take(&mut fixture, &nothing, steps).await;
    assert_eq!(*observed, Observed::default());
    let error = refusal(&mut fixture, &nothing, Step::DeleteGroup(number(0))).await;
    assert!(matches!(error, ProviderError::NotFound { .. }), "{error}");
    let observed = take(&mut fixture, &nothing, vec![create(0)]).await;
    assert_eq!(rules(&observed, 0), BTreeSet::new());
}
