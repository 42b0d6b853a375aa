//! The contract of [`Provider`], as checks that every provider must pass: one for each sentence that can be put to the test.
//!
//! A provider's tests write `moat_tests::contract! { fixture, block_on }` and get one test for each check.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a check fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moat_core::drive::{Ending, drive, observe};
use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::{Attachment, Interface, InterfaceId};
use moat_core::net::{Family, Interval, Message, Messages, Prefix, Protocol, Shape};
use moat_core::plan::{Plan, Purpose, Stage};
use moat_core::policy::Direction;
use moat_core::provider::{Observed, Provider, ProviderError, QuotaKind, RuleId, Scope, Step};

/// A cloud to check, and what Moat itself never does there. Each check gets one of its own that holds nothing of ours.
pub trait Fixture: Send {
    /// The provider.
    type Provider: Provider + Send;

    /// The provider, in one process.
    fn provider(&mut self) -> &mut Self::Provider;

    /// The process ends, and another begins.
    fn restart(&mut self);

    /// Someone makes a group with these rules.
    fn make_group(&mut self, rules: BTreeSet<Rule>) -> impl Future<Output = ForeignGroupId> + Send;

    /// The rules of a group, read past the provider.
    fn rules_of(&mut self, group: ForeignGroupId) -> impl Future<Output = BTreeSet<Rule>> + Send;

    /// Someone deletes a group of others that is not in use.
    fn delete_group(&mut self, group: ForeignGroupId) -> impl Future<Output = ()> + Send;

    /// The cloud makes an interface that wears these groups of others.
    fn make_interface(
        &mut self,
        attachment: Attachment,
        groups: BTreeSet<ForeignGroupId>,
    ) -> impl Future<Output = InterfaceId> + Send;

    /// Someone lets an interface wear just these groups of others.
    fn dress(
        &mut self,
        interface: InterfaceId,
        groups: BTreeSet<ForeignGroupId>,
    ) -> impl Future<Output = ()> + Send;

    /// Someone adds a rule, without references, to a group of ours that the last picture showed.
    fn add_rule(
        &mut self,
        group: GroupNumber,
        rule: Rule,
        description: &'static str,
    ) -> impl Future<Output = ()> + Send;

    /// Someone removes a rule, without references, from a group of ours that the last picture showed.
    fn remove_rule(&mut self, group: GroupNumber, rule: Rule) -> impl Future<Output = ()> + Send;
}

/// One test for each check of the contract: `contract! { a fixture, a function that runs a future }`.
#[macro_export]
macro_rules! contract {
    ($fixture:expr, $run:expr) => {
        $crate::contract! { @ $fixture, $run,
            capabilities_tell_limits_and_blocks
            a_picture_shows_what_is_ours_and_what_the_scope_wears
            a_new_group_is_shown_without_rules
            a_group_that_is_there_is_a_duplicate
            one_group_too_many_for_an_interface_is_refused
            every_rule_comes_back_as_it_was_sent
            authorize_adds_all_of_its_rules_or_none
            a_rule_that_names_no_group_is_refused
            one_rule_too_many_is_refused_and_references_count_in_both_families
            revoke_removes_its_rules_and_no_others
            revoke_removes_all_of_its_rules_or_none
            an_interface_wears_exactly_what_it_is_given
            a_record_stays_until_it_is_removed
            a_recorded_group_that_someone_deleted_is_no_prior_group
            an_interface_that_is_not_exclusive_is_never_changed
            an_interface_that_someone_changed_is_not_overwritten
            what_is_not_there_is_not_found
            a_group_in_use_is_not_deleted
            a_deleted_group_is_gone_and_its_number_is_free
            rules_that_others_add_are_shown_and_the_load_balancer_controllers_stand_apart
            groups_of_others_are_left_alone
            a_new_process_goes_on_from_its_picture
            a_picture_is_whole_however_many_pages_it_has
            reading_and_waiting_change_nothing
        }
    };
    (@ $fixture:expr, $run:expr, $($check:ident)*) => {
        $(#[test]
        fn $check() {
            $run($crate::contract::$check($fixture));
        })*
    };
}

// ---------------------------------------------------------------------------------------------- Vocabulary

fn ours(index: usize) -> GroupKey {
    GroupKey::Ours(GroupNumber::nth(index))
}

fn number(index: usize) -> GroupNumber {
    GroupNumber::nth(index)
}

fn rule(direction: Direction, peer: Peer, shape: Shape) -> Rule {
    Rule { direction, peer, shape }
}

/// An ingress rule for tcp from one /32 of many.
fn nth_rule(index: usize) -> Rule {
    let [high, low] = u16::try_from(index).unwrap_or(u16::MAX).to_be_bytes();
    let address = [10, 200, high, low].into();
    let shape = Shape::Tcp(Interval::single(443));
    rule(Direction::Ingress, Peer::Prefix(Prefix::host(address)), shape)
}

fn create(index: usize) -> Step {
    Step::CreateGroup(number(index))
}

fn authorize(index: usize, rules: impl IntoIterator<Item = Rule>) -> Step {
    let rules: BTreeMap<Rule, String> =
        rules.into_iter().map(|rule| (rule, "moat".to_owned())).collect();
    let direction = rules.keys().next().map_or(Direction::Ingress, |rule| rule.direction);
    Step::Authorize { group: number(index), direction, rules }
}

fn revoke(index: usize, rules: impl IntoIterator<Item = Rule>) -> Step {
    let rules: BTreeSet<Rule> = rules.into_iter().collect();
    let direction = rules.first().map_or(Direction::Ingress, |rule| rule.direction);
    Step::Revoke { group: number(index), direction, rules }
}

fn wear(interface: &InterfaceId, groups: impl IntoIterator<Item = GroupKey>) -> Step {
    record(interface, groups, [])
}

fn record(
    interface: &InterfaceId,
    groups: impl IntoIterator<Item = GroupKey>,
    record: impl IntoIterator<Item = ForeignGroupId>,
) -> Step {
    let groups = groups.into_iter().collect();
    Step::SetGroups { interface: interface.clone(), groups, record: record.into_iter().collect() }
}

fn scope<'a>(interfaces: impl IntoIterator<Item = &'a InterfaceId>) -> Scope {
    Scope { interfaces: interfaces.into_iter().cloned().collect() }
}

fn stage(steps: Vec<Step>) -> Plan {
    Plan { stages: vec![Stage { purpose: Purpose::Prepare, steps }], ..Plan::default() }
}

/// The picture.
async fn look<F: Fixture>(fixture: &mut F, scope: &Scope) -> Observed {
    observe(fixture.provider(), scope).await.expect("the cloud can be read")
}

/// Executes steps that depend on each other, each until a picture shows it; gives the last picture.
async fn take<F: Fixture>(fixture: &mut F, scope: &Scope, steps: Vec<Step>) -> Observed {
    look(fixture, scope).await;
    for step in steps {
        let plan = stage(vec![step]);
        let outcome = drive(fixture.provider(), &plan, scope).await;
        assert_eq!(outcome.ending, Ending::Done, "{:?}", outcome.attempts);
    }
    look(fixture, scope).await
}

/// Executes a step that the cloud refuses; gives the answer. The picture stays as it was.
async fn refusal<F: Fixture>(fixture: &mut F, scope: &Scope, step: Step) -> ProviderError {
    let before = settled(fixture, scope).await;
    let plan = stage(vec![step.clone()]);
    let outcome = drive(fixture.provider(), &plan, scope).await;
    let mut answers = outcome.attempts.into_iter().map(|attempt| attempt.answer);
    let error = answers.next().expect("one attempt").expect_err("the step is refused");
    let after = settled(fixture, scope).await;
    assert_eq!(after, before, "`{step}` was refused and changes nothing");
    error
}

/// The picture once nothing is on its way any more.
async fn settled<F: Fixture>(fixture: &mut F, scope: &Scope) -> Observed {
    fixture.provider().wait(Duration::from_secs(60)).await;
    look(fixture, scope).await
}

fn rules(observed: &Observed, index: usize) -> BTreeSet<Rule> {
    observed.state.groups.get(&ours(index)).cloned().expect("the group is there")
}

// ------------------------------------------------------------------------------------------------- Reading

/// `capabilities`: "what the cloud can express and how much of it".
pub async fn capabilities_tell_limits_and_blocks<F: Fixture>(mut fixture: F) {
    let capabilities = fixture.provider().capabilities().await.expect("the cloud can be read");
    assert!(capabilities.quotas.rules_per_group > 0);
    assert!(capabilities.quotas.groups_per_interface > 0);
    assert!(!capabilities.vpc.is_empty());
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
    assert_eq!(observed, wanted);

    let observed = settled(&mut fixture, &scope([&inside, &outside])).await;
    assert!(observed.interfaces.contains_key(&outside));
    assert!(observed.state.groups.contains_key(&GroupKey::Foreign(other)));
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

// -------------------------------------------------------------------------------------------------- Groups

/// `CreateGroup`: "make the group of this number, without any rule".
pub async fn a_new_group_is_shown_without_rules<F: Fixture>(mut fixture: F) {
    let observed = take(&mut fixture, &Scope::default(), vec![create(0)]).await;
    let mut wanted = Observed::default();
    wanted.state.groups.insert(ours(0), BTreeSet::new());
    assert_eq!(observed, wanted);
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
    assert_eq!(observed, Observed::default());
    let error = refusal(&mut fixture, &nothing, Step::DeleteGroup(number(0))).await;
    assert!(matches!(error, ProviderError::NotFound { .. }), "{error}");
    let observed = take(&mut fixture, &nothing, vec![create(0)]).await;
    assert_eq!(rules(&observed, 0), BTreeSet::new());
}

// --------------------------------------------------------------------------------------------------- Rules

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
        let with_ids = observed.rule_ids.into_keys().map(|(_, rule)| rule);
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

/// DESIGN §6.10: what others add is shown; what the load balancer controller describes as its own stands apart.
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
    let observed = take(&mut fixture, &nothing, vec![revoke(0, [nth_rule(1)])]).await;
    assert_eq!(rules(&observed, 0), [nth_rule(0), nth_rule(2)].into());
}

// ---------------------------------------------------------------------------------------------- Interfaces

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

/// The trait: nothing is changed "except which groups an exclusive interface of the scope wears".
pub async fn an_interface_that_is_not_exclusive_is_never_changed<F: Fixture>(mut fixture: F) {
    let base = fixture.make_group(BTreeSet::new()).await;
    for attachment in [Attachment::Shared, Attachment::Fixed] {
        let interface = fixture.make_interface(attachment, [base.clone()].into()).await;
        let other = fixture.make_group(BTreeSet::new()).await;
        let step = wear(&interface, [GroupKey::Foreign(other)]);
        let error = refusal(&mut fixture, &scope([&interface]), step).await;
        assert!(matches!(error, ProviderError::Invalid { .. }), "{error}");
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
    let answer = fixture.provider().execute(&wear(&interface, [ours(0)])).await;
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

// ------------------------------------------------------------------------------------------- Neighbours, time

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
