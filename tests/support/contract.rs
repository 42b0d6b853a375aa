//! The contract of [`Provider`], as checks that every provider must pass: one for each sentence that can be put to the test.
//!
//! A provider's tests write `moat_tests::contract! { fixture, block_on }` and get one test for each check.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a check fails by panicking")]

mod acls;
mod groups;
mod interfaces;
mod pictures;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use moat_core::drive::{Ending, drive, observe, observe_again};
use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::{Attachment, Interface, InterfaceId};
use moat_core::net::{Family, Interval, Message, Messages, Prefix, Protocol, Shape};
use moat_core::plan::{Plan, Purpose, Stage};
use moat_core::policy::Direction;
use moat_core::provider::{
    Observed, Provider, ProviderError, QuotaKind, RuleId, Scope, Step, Touched,
};

pub use acls::*;
pub use groups::*;
pub use interfaces::*;
pub use pictures::*;
pub use rules::*;

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

    /// The cloud gives an interface one more address.
    fn make_address(&mut self, interface: InterfaceId) -> impl Future<Output = IpAddr> + Send;

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

    /// Someone takes the tags off a group of ours that the last picture showed.
    fn untag_group(&mut self, group: GroupNumber) -> impl Future<Output = ()> + Send;

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
            an_address_tells_the_interface_that_bears_it
            what_steps_touched_is_read_again_as_a_whole_picture_shows_it
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
            an_interface_of_which_nothing_is_recorded_gets_the_defaults_that_exist
            a_group_of_ours_without_its_tags_is_left_alone_and_passed_over
            an_interface_that_is_not_exclusive_is_never_changed
            an_interface_that_someone_changed_is_not_overwritten
            what_is_not_there_is_not_found
            a_group_in_use_is_not_deleted
            steps_are_answered_each_by_itself_in_their_order
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
    Scope { interfaces: interfaces.into_iter().cloned().collect(), ..Scope::default() }
}

fn stage(steps: Vec<Step>) -> Plan {
    Plan { stages: vec![Stage { purpose: Purpose::Prepare, steps }], ..Plan::default() }
}

/// Executes one step.
pub async fn execute<P: Provider>(provider: &mut P, step: &Step) -> Result<(), ProviderError> {
    let mut answers = provider.execute(&[step]).await;
    assert_eq!(answers.len(), 1, "one answer for each step");
    answers.remove(0)
}

/// The picture.
async fn look<F: Fixture>(fixture: &mut F, scope: &Scope) -> Arc<Observed> {
    observe(fixture.provider(), scope).await.expect("the cloud can be read")
}

/// Executes steps that depend on each other, each until a picture shows it; gives the last picture.
async fn take<F: Fixture>(fixture: &mut F, scope: &Scope, steps: Vec<Step>) -> Arc<Observed> {
    // What was just made is to be in the picture that the steps begin with.
    settled(fixture, scope).await;
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
async fn settled<F: Fixture>(fixture: &mut F, scope: &Scope) -> Arc<Observed> {
    fixture.provider().wait(Duration::from_secs(60)).await;
    look(fixture, scope).await
}

fn rules(observed: &Observed, index: usize) -> BTreeSet<Rule> {
    observed.state.groups.get(&ours(index)).cloned().expect("the group is there")
}
