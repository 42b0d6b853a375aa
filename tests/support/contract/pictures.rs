//! Pictures, processes, neighbours.

use super::*;

/// `capabilities`: "what the cloud can express and how much of it".
pub async fn capabilities_tell_limits_and_blocks<F: Fixture>(mut fixture: F) {
    let capabilities = fixture.provider().capabilities().await.expect("the cloud can be read");
    assert!(capabilities.quotas.rules_per_group > 0);
    assert!(capabilities.quotas.groups_per_interface > 0);
    assert!(!capabilities.vpc.is_empty());
    assert_eq!(fixture.provider().capabilities().await, Ok(capabilities), "they are read once");
}

/// `observe`: "every group of ours, every interface of `scope`, and every group that one of these wears or is recorded to have worn";
/// "interfaces of the scope that are not there are left out".
pub async fn a_picture_shows_what_is_ours_and_what_the_scope_wears<F: Fixture>(mut fixture: F) {
    let rules = BTreeSet::from([nth_rule(1)]);
    let worn = fixture.make_group(rules.clone()).await;
    let other = fixture.make_group(BTreeSet::new()).await;
    let inside = fixture.make_interface(Attachment::Exclusive, [worn.clone()].into()).await;
    let outside = fixture.make_interface(Attachment::Exclusive, [other.clone()].into()).await;
    let gone = InterfaceId("eni-0123456789abcdef0".into());
    let observed = settled(&mut fixture, &scope([&inside, &gone])).await;
    let mut wanted = Observed::default();
    let key = GroupKey::Foreign(worn.clone());
    wanted.state.groups.insert(key.clone(), rules);
    wanted.state.interfaces.insert(inside.clone(), [key].into());
    let interface = Interface { attachment: Attachment::Exclusive, prior: [worn].into() };
    wanted.interfaces.insert(inside.clone(), interface);
    assert_eq!(*observed, wanted);

    let observed = settled(&mut fixture, &scope([&inside, &outside])).await;
    assert!(observed.interfaces.contains_key(&outside));
    assert!(observed.state.groups.contains_key(&GroupKey::Foreign(other)));
}

/// `observe`: "every one that bears an address of it"; an address that nobody bears has no bearer.
pub async fn an_address_tells_the_interface_that_bears_it<F: Fixture>(mut fixture: F) {
    let rules = BTreeSet::from([nth_rule(1)]);
    let worn = fixture.make_group(rules.clone()).await;
    let node = fixture.make_interface(Attachment::Shared, [worn.clone()].into()).await;
    fixture.make_interface(Attachment::Shared, [worn.clone()].into()).await;
    let address = fixture.make_address(node.clone()).await;
    let nobodys = IpAddr::from([192, 0, 2, 1]);
    let scope = Scope { addresses: [address, nobodys].into(), ..Scope::default() };
    let observed = settled(&mut fixture, &scope).await;
    let mut wanted = Observed { bearers: [(address, node.clone())].into(), ..Observed::default() };
    let key = GroupKey::Foreign(worn.clone());
    wanted.state.groups.insert(key.clone(), rules);
    wanted.state.interfaces.insert(node.clone(), [key].into());
    let interface = Interface { attachment: Attachment::Shared, prior: [worn].into() };
    wanted.interfaces.insert(node, interface);
    assert_eq!(*observed, wanted);
}

/// `observe_again`: "if nobody else changed anything, it is the picture that `observe` gives".
pub async fn what_steps_touched_is_read_again_as_a_whole_picture_shows_it<F: Fixture>(
    mut fixture: F,
) {
    let rare = fixture.make_group([nth_rule(2)].into()).await;
    let base = fixture.make_group([nth_rule(1)].into()).await;
    let both = BTreeSet::from([base.clone(), rare.clone()]);
    let first = fixture.make_interface(Attachment::Exclusive, both).await;
    let second = fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await;
    let (base, rare) = (GroupKey::Foreign(base), GroupKey::Foreign(rare));
    let prior = base.foreign().cloned();
    let mut scope = scope([&first]);
    settled(&mut fixture, &scope).await;
    scope.interfaces.insert(second.clone());
    let steps = [
        create(0),
        create(1),
        authorize(0, [nth_rule(0), nth_rule(1)]),
        wear(&first, [ours(0), base.clone(), rare]),
        record(&second, [ours(0)], prior),
        revoke(0, [nth_rule(1)]),
        // The last that named a group of others does not any more.
        wear(&first, [ours(0)]),
        wear(&second, [base]),
        Step::DeleteGroup(number(1)),
    ];
    let named = Touched { interfaces: [second].into(), ..Touched::default() };
    let mut touched = vec![(None, named)];
    touched.extend(steps.iter().map(|step| (Some(step), Touched::by([step]))));
    let mut held = (Arc::default(), Observed::default());
    for (step, touched) in touched {
        if let Some(step) = step {
            let plan = stage(vec![step.clone()]);
            let outcome = drive(fixture.provider(), &plan, &scope).await;
            assert_eq!(outcome.ending, Ending::Done, "{:?}", outcome.attempts);
        }
        assert_eq!(*held.0, held.1, "whoever holds a picture keeps it as it was");
        fixture.provider().wait(Duration::from_secs(60)).await;
        let again = observe_again(fixture.provider(), &scope, &touched).await;
        let whole = look(&mut fixture, &scope).await;
        assert_eq!(again.as_ref(), Ok(&whole), "after {step:?}");
        held = (Arc::clone(&whole), Observed::clone(&whole));
    }
}

/// `observe` and `wait`: "reads only"; "reads and changes nothing".
pub async fn reading_and_waiting_change_nothing<F: Fixture>(mut fixture: F) {
    let nothing = Scope::default();
    take(&mut fixture, &nothing, vec![create(0), authorize(0, [nth_rule(0), nth_rule(1)])]).await;
    let first = settled(&mut fixture, &nothing).await;
    let second = settled(&mut fixture, &nothing).await;
    assert_eq!(first, second);
}

/// `observe`: "all pages of all answers".
pub async fn a_picture_is_whole_however_many_pages_it_has<F: Fixture>(mut fixture: F) {
    let base = fixture.make_group(BTreeSet::new()).await;
    let mut interfaces = Vec::new();
    for _ in 0..7 {
        let groups = BTreeSet::from([base.clone()]);
        interfaces.push(fixture.make_interface(Attachment::Exclusive, groups).await);
    }
    let scope = scope(&interfaces);
    let many = |index| authorize(index, (0..17).map(nth_rule));
    let steps = (0..7).flat_map(|index| [create(index), many(index)]).collect();
    let observed = take(&mut fixture, &scope, steps).await;
    assert_eq!(observed.interfaces.len(), 7);
    assert_eq!(observed.state.groups.len(), 8);
    assert_eq!(observed.rule_ids.len(), 7 * 17);
    let ids: BTreeSet<&RuleId> = observed.rule_ids.values().collect();
    assert_eq!(ids.len(), 7 * 17, "each rule has an id of its own");
}

/// The trait: "nothing without our tags is ever changed".
pub async fn groups_of_others_are_left_alone<F: Fixture>(mut fixture: F) {
    let theirs = BTreeSet::from([nth_rule(1), nth_rule(2)]);
    let group = fixture.make_group(theirs.clone()).await;
    let interface = fixture.make_interface(Attachment::Exclusive, [group.clone()].into()).await;
    let scope = scope([&interface]);
    let from = rule(Direction::Ingress, Peer::Group(GroupKey::Foreign(group.clone())), Shape::All);
    let steps = vec![
        create(0),
        authorize(0, [from.clone()]),
        record(&interface, [ours(0)], [group.clone()]),
        wear(&interface, [GroupKey::Foreign(group.clone())]),
        Step::DeleteGroup(number(0)),
    ];
    take(&mut fixture, &scope, steps).await;
    assert_eq!(fixture.rules_of(group).await, theirs);
}

/// The trait: "a later process that observes and plans again comes to the same end".
pub async fn a_new_process_goes_on_from_its_picture<F: Fixture>(mut fixture: F) {
    let base = fixture.make_group(BTreeSet::new()).await;
    let interface = fixture.make_interface(Attachment::Exclusive, [base.clone()].into()).await;
    let scope = scope([&interface]);
    let steps = vec![
        create(0),
        authorize(0, (0..2).map(nth_rule)),
        record(&interface, [ours(0)], [base.clone()]),
    ];
    let before = take(&mut fixture, &scope, steps).await;
    fixture.restart();
    assert_eq!(look(&mut fixture, &scope).await, before);
    let steps = vec![
        revoke(0, [nth_rule(0)]),
        authorize(0, [nth_rule(2)]),
        wear(&interface, [GroupKey::Foreign(base)]),
    ];
    let after = take(&mut fixture, &scope, steps).await;
    assert_eq!(rules(&after, 0), [nth_rule(1), nth_rule(2)].into());
}

/// `execute`: "one answer for each, in their order; each is taken whole or not at all, whatever becomes of the others".
pub async fn steps_are_answered_each_by_itself_in_their_order<F: Fixture>(mut fixture: F) {
    let base = fixture.make_group(BTreeSet::new()).await;
    let mut scope = Scope::default();
    for _ in 0..8 {
        let groups = BTreeSet::from([base.clone()]);
        scope.interfaces.insert(fixture.make_interface(Attachment::Exclusive, groups).await);
    }
    let (_, answers) = together(&mut fixture, &scope, (0..8).map(create)).await;
    assert_eq!(answers, vec![true; 8]);
    let absent = nth_rule(99);
    let mixed = (0..8)
        .flat_map(|index| [authorize(index, [nth_rule(index)]), revoke(index, [absent.clone()])]);
    let (observed, answers) = together(&mut fixture, &scope, mixed).await;
    assert_eq!(answers, [true, false].repeat(8));
    for index in 0..8 {
        assert_eq!(rules(&observed, index), [nth_rule(index)].into());
    }
    let interfaces: Vec<InterfaceId> = scope.interfaces.iter().cloned().collect();
    let dress = interfaces.iter().zip(1..).map(|(interface, index)| wear(interface, [ours(index)]));
    let (observed, answers) = together(&mut fixture, &scope, dress).await;
    assert_eq!(answers, (1..=8).map(|index| index < 8).collect::<Vec<_>>());
    let worn = (1..8).map(ours).chain([GroupKey::Foreign(base)]).map(|key| [key].into());
    let worn: BTreeMap<InterfaceId, BTreeSet<GroupKey>> =
        interfaces.into_iter().zip(worn).collect();
    assert_eq!(observed.state.interfaces, worn);
    assert_eq!(fixture.provider().execute(&[]).await, []);
}

/// The picture after steps were executed together, and which of them were taken.
async fn together<F: Fixture>(
    fixture: &mut F,
    scope: &Scope,
    steps: impl IntoIterator<Item = Step>,
) -> (Arc<Observed>, Vec<bool>) {
    settled(fixture, scope).await;
    let plan = stage(steps.into_iter().collect());
    let outcome = drive(fixture.provider(), &plan, scope).await;
    let taken = outcome.attempts.iter().map(|attempt| attempt.answer.is_ok()).collect();
    (settled(fixture, scope).await, taken)
}
