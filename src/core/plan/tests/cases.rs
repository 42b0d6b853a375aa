//! Named cases: the traps of comparison and order, the fewest calls, quotas, and plans as text.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{
    World, after, foreign, from_prefix, group, interface, number_of, open, pod, tcp,
};
use super::*;
use crate::firewall::{ForeignGroupId, GroupKey, Peer, Rule, State};
use crate::inventory::Attachment;
use crate::net::{Interval, Messages, Shape};
use crate::policy::Direction::{Egress, Ingress};

pub(super) fn state(groups: &[(GroupKey, &[Rule])], wears: &[(&str, &[GroupKey])]) -> State {
    State {
        groups: groups
            .iter()
            .map(|(key, rules)| (key.clone(), rules.iter().cloned().collect()))
            .collect(),
        interfaces: wears
            .iter()
            .map(|(name, worn)| (interface(name), worn.iter().cloned().collect()))
            .collect(),
        ..State::default()
    }
}

fn base() -> (GroupKey, BTreeSet<Rule>) {
    (foreign("sg-base"), open())
}

pub(super) fn world(now: State, wanted: State) -> World {
    let pods: Vec<_> = now
        .interfaces
        .keys()
        .enumerate()
        .map(|(place, id)| {
            let name = id.0.strip_prefix("eni-").unwrap();
            pod(name, &[&format!("10.0.0.{}", place + 1)])
        })
        .collect();
    let mut now = now;
    now.groups.extend([base()]);
    World::new(&pods, now, wanted, &["sg-base"])
}

pub(super) fn planned(world: &World, quotas: &Quotas) -> Plan {
    let plan = plan(&world.desired, &world.observed, &world.inventory, quotas);
    assert_eq!(lint(&plan, &world.observed.state, quotas), []);
    plan
}

pub(super) fn ingress(text: &str, shape: Shape) -> Rule {
    from_prefix(Ingress, text, shape)
}

fn to(direction: crate::policy::Direction, number: usize, shape: Shape) -> Rule {
    Rule { direction, peer: Peer::Group(group(number)), shape }
}

pub(super) fn purposes(plan: &Plan) -> Vec<(Purpose, usize)> {
    plan.stages.iter().map(|stage| (stage.purpose, stage.steps.len())).collect()
}

#[test]
fn an_edit_that_swaps_a_rule_authorizes_once_and_then_revokes_once() {
    let now = state(&[(group(1), &[ingress("10.0.0.0/8", tcp(80, 90))])], &[("a", &[group(1)])]);
    let wanted = state(&[(group(1), &[ingress("10.0.0.0/8", tcp(85, 95))])], &[("a", &[group(1)])]);
    let plan = planned(&world(now, wanted), &Quotas::default());
    assert_eq!(purposes(&plan), [(Purpose::Widen, 1), (Purpose::Tighten, 1)]);
    assert_eq!((plan.calls(), plan.minimum_calls()), (2, 2));
}

#[test]
fn twelve_changed_groups_cost_twenty_four_calls() {
    let names: Vec<String> = (1..=12).map(|number| format!("p{number:02}")).collect();
    let of = |port: u16| State {
        groups: (1..=12)
            .map(|number| {
                let ports = tcp(port, port + 10);
                (group(number), BTreeSet::from([ingress("192.168.0.0/16", ports)]))
            })
            .collect(),
        interfaces: names
            .iter()
            .enumerate()
            .map(|(place, name)| (interface(name), BTreeSet::from([group(place + 1)])))
            .collect(),
        ..State::default()
    };
    let plan = planned(&world(of(80), of(85)), &Quotas::default());
    assert_eq!((plan.calls(), plan.minimum_calls()), (24, 24));
}

#[test]
fn provisional_numbers_and_the_order_of_groups_change_nothing() {
    let now = state(
        &[(group(7), &[to(Ingress, 9, tcp(80, 80))]), (group(9), &[])],
        &[("a", &[group(7)]), ("b", &[group(9)])],
    );
    let wanted = state(
        &[(group(1), &[]), (group(2), &[to(Ingress, 1, tcp(80, 80))])],
        &[("a", &[group(2)]), ("b", &[group(1)])],
    );
    let plan = planned(&world(now, wanted), &Quotas::default());
    assert_eq!(plan.stages, []);
}

#[test]
fn a_changed_description_alone_changes_nothing() {
    let rule = ingress("10.0.0.0/8", tcp(80, 80));
    let now = state(&[(group(1), std::slice::from_ref(&rule))], &[("a", &[group(1)])]);
    let mut world = world(now.clone(), now);
    let reason = crate::compile::RuleReason::default();
    world.desired.reasons = BTreeMap::from([((number_of(1), rule), reason)]);
    assert_eq!(planned(&world, &Quotas::default()).stages, []);
}

/// Its tags are gone: it is no longer ours, and no other group can have its name.
#[test]
fn a_number_whose_name_another_group_bears_is_passed_over() {
    let rules = [ingress("10.0.0.0/8", tcp(80, 80))];
    let bereft = foreign("sg-bereft");
    let worn = [bereft.clone()];
    let now = state(&[(bereft.clone(), &rules)], &[("a", &worn), ("b", &worn)]);
    let wanted = state(&[(group(1), &rules)], &[("a", &[group(1)])]);
    let mut world = world(now, wanted);
    world.observed.taken = BTreeMap::from([(number_of(1), bereft.clone()), (number_of(2), bereft)]);
    let plan = planned(&world, &Quotas::default());
    assert_eq!(plan.numbers, [(number_of(1), number_of(3))].into());
    let wears = |id| plan.target.interfaces[&interface(id)].clone();
    assert_eq!((wears("a"), wears("b")), ([group(3)].into(), [foreign("sg-base")].into()));
}

#[test]
fn the_interface_of_a_pod_that_is_gone_is_left_alone_until_nothing_is_wanted() {
    let rules = [ingress("10.0.0.0/8", tcp(80, 80))];
    let groups = [(group(1), &rules[..]), (group(2), &[][..])];
    let now = state(&groups, &[("a", &[group(1)]), ("b", &[group(1)]), ("c", &[group(2)])]);
    let wanted = state(&[(group(1), &rules)], &[("a", &[group(1)])]);
    let mut world = world(now, wanted);
    world.inventory.pods.truncate(1);
    assert_eq!(planned(&world, &Quotas::default()).stages, []);

    let plan = uninstall(&world.observed, &world.inventory, &Quotas::default());
    assert_eq!(purposes(&plan), [(Purpose::Move, 3), (Purpose::Delete, 2)]);
}

#[test]
fn a_number_of_passage_whose_name_another_group_bears_is_passed_over() {
    let mut observed = Observed::default();
    let first = middle::free(&observed).next().unwrap();
    observed.taken.insert(first, foreign("sg-theirs"));
    assert_eq!(middle::free(&observed).next(), Some(number_of(first.0.get() as usize + 1)));
}

#[test]
fn what_others_add_to_our_groups_is_revoked_but_for_what_may_stay() {
    let ours = ingress("10.0.0.0/8", tcp(80, 80));
    let (alien, kept) =
        (ingress("0.0.0.0/0", tcp(22, 22)), ingress("0.0.0.0/0", tcp(30_000, 30_000)));
    let now =
        state(&[(group(1), &[ours.clone(), alien.clone(), kept.clone()])], &[("a", &[group(1)])]);
    let wanted = state(&[(group(1), &[ours])], &[("a", &[group(1)])]);
    let mut world = world(now, wanted);
    world.observed.foreign_rules = BTreeSet::from([(number_of(1), kept)]);
    let plan = planned(&world, &Quotas::default());
    let steps: Vec<&Step> = plan.steps().collect();
    let revoke =
        Step::Revoke { group: number_of(1), direction: Ingress, rules: BTreeSet::from([alien]) };
    assert_eq!(steps, [&revoke]);
}

#[test]
fn new_groups_are_filled_before_anybody_wears_them_and_references_wait_for_their_wearers() {
    let wanted = state(
        &[
            (group(1), &[to(Ingress, 2, tcp(5432, 5432))]),
            (group(2), &[to(Egress, 1, tcp(5432, 5432))]),
        ],
        &[("a", &[group(1)]), ("b", &[group(2)])],
    );
    let now = state(&[], &[("a", &[foreign("sg-base")]), ("b", &[foreign("sg-base")])]);
    let plan = planned(&world(now, wanted), &Quotas::default());
    assert_eq!(
        purposes(&plan),
        [(Purpose::Create, 2), (Purpose::Prepare, 2), (Purpose::Wear, 2), (Purpose::Move, 2)]
    );
    let record = BTreeSet::from([ForeignGroupId("sg-base".into())]);
    let both = BTreeSet::from([foreign("sg-base"), group(1)]);
    let first = Step::SetGroups { interface: interface("a"), groups: both, record };
    assert_eq!(plan.stages[2].steps[0], first);
}

#[test]
fn ends_that_must_not_be_open_together_are_closed_before_they_are_opened() {
    // Old opens egress only, new opens ingress only.
    let all = [from_prefix(Egress, "10.0.0.0/8", Shape::All)];
    let now =
        state(&[(group(1), &all), (group(2), &[])], &[("a", &[group(1)]), ("b", &[group(2)])]);
    let wanted = state(
        &[(group(1), &[]), (group(2), &[to(Ingress, 1, tcp(80, 80))])],
        &[("a", &[group(1)]), ("b", &[group(2)])],
    );
    let plan = planned(&world(now, wanted), &Quotas::default());
    assert_eq!(plan.held, Held::default());
    assert_eq!(purposes(&plan), [(Purpose::Tighten, 1), (Purpose::Widen, 1)]);
    // Both change both ends, so that neither order of whole groups is safe.
    let now = state(
        &[
            (
                group(1),
                &[
                    from_prefix(Egress, "10.0.0.0/8", tcp(1, 10)),
                    from_prefix(Egress, "192.168.0.0/16", tcp(1, 1)),
                ],
            ),
            (group(2), &[ingress("10.0.0.0/8", tcp(20, 30))]),
        ],
        &[("a", &[group(1)]), ("b", &[group(2)])],
    );
    let wanted = state(
        &[
            (group(1), &[from_prefix(Egress, "10.0.0.0/8", tcp(5, 25))]),
            (group(2), &[ingress("10.0.0.0/8", tcp(8, 22))]),
        ],
        &[("a", &[group(1)]), ("b", &[group(2)])],
    );
    let plan = planned(&world(now, wanted), &Quotas::default());
    assert_eq!(plan.held, Held::default());
    assert_eq!(
        purposes(&plan),
        [(Purpose::Prepare, 2), (Purpose::Tighten, 2), (Purpose::Widen, 2), (Purpose::Clean, 2)]
    );
}

#[test]
fn the_stuck_vector_goes_by_a_spare_group_and_never_leaves_the_band() {
    let old = [ingress("192.168.0.0/16", tcp(80, 89))];
    let new = [ingress("192.168.0.0/17", tcp(75, 89)), ingress("192.168.128.0/17", tcp(80, 95))];
    let now = state(&[(group(1), &old)], &[("a", &[group(1)])]);
    let wanted = state(&[(group(1), &new)], &[("a", &[group(1)])]);
    let world = world(now, wanted);
    let two = Quotas { rules_per_group: 2, ..Quotas::default() };
    let plan = planned(&world, &two);
    assert_eq!(plan.held, Held::default());
    assert_eq!(
        purposes(&plan),
        [(Purpose::Create, 1), (Purpose::Prepare, 1), (Purpose::Move, 1), (Purpose::Delete, 1)]
    );
    // Without a number for a spare group it stays as it is, and says why.
    let plan = planned(&world, &Quotas { groups: 1, ..two });
    assert_eq!(plan.stages, []);
    assert_eq!(plan.held.interfaces, BTreeSet::from([interface("a")]));
    assert_eq!(plan.held.breaches, [budget::Breach::Groups { needs: 2, limit: 1 }]);
}

#[test]
fn at_the_quota_redundant_rules_go_first_and_what_frees_an_old_rule_comes_first() {
    let old = [ingress("10.0.0.0/24", tcp(80, 80)), ingress("10.0.0.0/25", tcp(80, 80))];
    let new = [ingress("10.0.0.0/24", tcp(80, 80)), ingress("10.0.2.0/24", tcp(80, 80))];
    let now = state(&[(group(1), &old)], &[("a", &[group(1)])]);
    let wanted = state(&[(group(1), &new)], &[("a", &[group(1)])]);
    let quotas = Quotas { rules_per_group: 2, ..Quotas::default() };
    let plan = planned(&world(now, wanted), &quotas);
    assert_eq!(purposes(&plan), [(Purpose::Tighten, 1), (Purpose::Widen, 1)]);
}

#[test]
fn one_stuck_group_does_not_hold_up_the_others() {
    let many: Vec<Rule> =
        (1..=3).map(|it| ingress(&format!("192.168.{it}.0/24"), tcp(80, 80))).collect();
    let now = state(&[(group(1), &[]), (group(2), &[])], &[("a", &[group(1)]), ("b", &[group(2)])]);
    let wanted = state(
        &[(group(1), &many), (group(2), &[ingress("192.168.9.0/24", tcp(443, 443))])],
        &[("a", &[group(1)]), ("b", &[group(2)])],
    );
    let quotas = Quotas { rules_per_group: 2, ..Quotas::default() };
    let plan = planned(&world(now, wanted), &quotas);
    assert_eq!(purposes(&plan), [(Purpose::Widen, 1)]);
    assert_eq!(plan.held.groups, BTreeSet::from([number_of(1)]));
    assert_eq!(
        plan.held.breaches,
        [budget::Breach::RulesPerGroup {
            group: number_of(1),
            direction: Ingress,
            family: crate::net::Family::V4,
            needs: 3,
            limit: 2
        }]
    );
}

#[test]
fn the_sixth_group_of_an_interface_is_refused_with_the_numbers() {
    let six: Vec<GroupKey> = (1..=6).map(group).collect();
    let groups: Vec<(GroupKey, &[Rule])> = six.iter().map(|key| (key.clone(), &[][..])).collect();
    let now = state(&[], &[("a", &[foreign("sg-base")])]);
    let wanted = state(&groups, &[("a", &six)]);
    let plan = planned(&world(now.clone(), wanted.clone()), &Quotas::default());
    assert_eq!(plan.stages, []);
    let breach =
        budget::Breach::GroupsPerInterface { interface: interface("a"), needs: 6, limit: 5 };
    assert_eq!(plan.held.breaches, [breach]);
    let sixteen = Quotas { groups_per_interface: 16, ..Quotas::default() };
    assert_eq!(planned(&world(now, wanted), &sixteen).held, Held::default());
}

#[test]
fn a_reference_counts_in_both_families_and_a_prefix_in_its_own() {
    let rules = BTreeSet::from([
        to(Ingress, 1, tcp(1, 1)),
        ingress("10.0.0.0/8", tcp(1, 1)),
        ingress("2001:db8::/32", Shape::Icmpv6(Messages::All)),
        ingress("2001:db8::/48", Shape::Udp(Interval::single(53))),
        from_prefix(Egress, "0.0.0.0/0", Shape::All),
    ]);
    let count = |direction, family| budget::rules(&rules, direction, family);
    use crate::net::Family::{V4, V6};
    let counts = [count(Ingress, V4), count(Ingress, V6), count(Egress, V4), count(Egress, V6)];
    assert_eq!(counts, [2, 3, 1, 0]);
    assert_eq!(budget::of_account(&Quotas::default()), None);
    let raised =
        Quotas { rules_per_group: 100, groups_per_interface: 16, groups: 1, ..Quotas::default() };
    let breach = budget::Breach::RulesPerInterface { needs: 1_600, limit: 1_000 };
    assert_eq!(budget::of_account(&raised), Some(breach));
}

#[test]
fn groups_that_name_each_other_lose_those_rules_before_they_go() {
    let now = state(
        &[(group(1), &[to(Ingress, 2, tcp(1, 1))]), (group(2), &[to(Ingress, 1, tcp(1, 1))])],
        &[("a", &[foreign("sg-base")])],
    );
    let wanted = state(&[], &[("a", &[foreign("sg-base")])]);
    let plan = planned(&world(now, wanted), &Quotas::default());
    assert_eq!(purposes(&plan), [(Purpose::Clean, 2), (Purpose::Delete, 2)]);
}

#[test]
fn uninstalling_gives_back_what_was_worn_and_leaves_nothing_of_ours() {
    let now = state(
        &[(group(1), &[to(Ingress, 2, tcp(1, 1))]), (group(2), &[])],
        &[("a", &[group(1)]), ("b", &[group(2)])],
    );
    let world = world(now, State::default());
    let plan = uninstall(&world.observed, &world.inventory, &Quotas::default());
    let mut left = world.observed.state.clone();
    for stage in &plan.stages {
        left = after(&left, &stage.steps);
    }
    let mut before = state(&[], &[("a", &[foreign("sg-base")]), ("b", &[foreign("sg-base")])]);
    before.groups.extend([base()]);
    assert_eq!((left, &plan.held), (before, &Held::default()));
    let last = plan.steps().filter_map(|step| match step {
        Step::SetGroups { record, groups, .. } => {
            groups.iter().all(|key| matches!(key, GroupKey::Foreign(_))).then_some(record)
        }
        Step::CreateGroup(_)
        | Step::Authorize { .. }
        | Step::Revoke { .. }
        | Step::DeleteGroup(_)
        | Step::Acl(_) => None,
    });
    assert_eq!(last.collect::<Vec<_>>(), [&BTreeSet::new(); 2]);
}

#[test]
fn interfaces_that_are_shared_or_fixed_are_never_touched() {
    for attachment in [Attachment::Shared, Attachment::Fixed] {
        let now = state(&[], &[("a", &[foreign("sg-base")])]);
        let wanted = state(&[(group(1), &[])], &[("a", &[group(1)])]);
        let mut world = world(now, wanted);
        world.observed.interfaces.get_mut(&interface("a")).unwrap().attachment = attachment;
        assert_eq!(planned(&world, &Quotas::default()).stages, []);
    }
}

#[test]
fn a_plan_reads_well() {
    let now = state(
        &[(group(1), &[ingress("10.0.0.0/8", tcp(80, 80)), ingress("10.0.0.0/8", tcp(22, 22))])],
        &[("a", &[group(1)]), ("b", &[foreign("sg-base")])],
    );
    let wanted = state(
        &[
            (group(1), &[ingress("10.0.0.0/8", tcp(80, 80)), to(Ingress, 2, tcp(443, 443))]),
            (group(2), &[to(Egress, 1, Shape::All)]),
        ],
        &[("a", &[group(1)]), ("b", &[group(2)])],
    );
    let world = world(now, wanted);
    let plan = planned(&world, &Quotas::default());
    assert_eq!(plan.text(&world.observed.state).to_string(), GOLDEN);
}

const GOLDEN: &str = "\
1. create: make groups that nobody wears yet
   + moat.2
2. prepare: add rules that open nothing
   moat.2
     + egress moat.1 all  (settings)
3. tighten: close what is no longer allowed
   moat.1
     - ingress 10.0.0.0/8 tcp/22
4. widen: open what becomes allowed
   moat.1
     + ingress moat.2 tcp/443  (settings)
5. move: leave interfaces just their groups
   1 interface: sg-base → moat.2  (eni-b)
6 calls, the fewest possible
";
