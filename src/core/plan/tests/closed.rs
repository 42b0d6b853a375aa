//! The group that new pods start with where quarantine is on: nobody's, and never in the way.

use super::cases::{ingress, planned, purposes, state, world};
use super::world::{foreign, group, interface, tcp};
use super::*;
use crate::firewall::GroupKey;

#[test]
fn the_closed_group_is_made_and_kept_though_nobody_wears_it_and_is_no_class_of_pods() {
    let closed = || GroupKey::Ours(GroupNumber::CLOSED);
    let rule = ingress("10.0.0.0/8", tcp(80, 80));
    let of_web = (group(1), std::slice::from_ref(&rule));
    let wanted = || state(&[of_web.clone(), (closed(), &[])], &[("a", &[group(1)])]);
    let quotas = Quotas::default();
    let made = planned(&world(state(&[], &[("a", &[foreign("sg-base")])]), wanted()), &quotas);
    assert!(made.steps().any(|step| *step == Step::CreateGroup(GroupNumber::CLOSED)));
    assert!(made.target.groups.contains_key(&closed()));

    // New pods wear it: their class gets another group, and it loses what others put into it.
    let born = state(&[(closed(), std::slice::from_ref(&rule))], &[("a", &[closed()])]);
    let plan = planned(&world(born, wanted()), &quotas);
    assert_eq!(plan.target.interfaces[&interface("a")], [group(1)].into());
    assert_eq!(plan.target.groups[&closed()], [].into());
    assert_eq!(plan.target.groups[&group(1)], [rule.clone()].into());
    let there = world(plan.target.clone(), wanted());
    assert_eq!(planned(&there, &quotas).stages, []);

    // Also where quarantine has been switched off meanwhile.
    let born = state(&[(closed(), &[])], &[("a", &[closed()])]);
    let plan =
        planned(&world(born, state(std::slice::from_ref(&of_web), &[("a", &[group(1)])])), &quotas);
    assert_eq!(plan.target.interfaces[&interface("a")], [group(1)].into());
    assert!(!plan.target.groups.contains_key(&closed()));

    // A pod that no policy concerns gets back what is known of it, and the group stays.
    let idle = state(&[(closed(), &[])], &[("a", &[closed()])]);
    let plan = planned(&world(idle.clone(), state(&[(closed(), &[])], &[])), &quotas);
    assert_eq!(purposes(&plan), [(Purpose::Move, 1)]);
    assert_eq!(plan.target.interfaces[&interface("a")], [foreign("sg-base")].into());
    assert!(plan.target.groups.contains_key(&closed()));
    // Where it is not wanted any more, it goes.
    let plan = planned(&world(idle, state(&[], &[])), &quotas);
    assert_eq!(purposes(&plan), [(Purpose::Move, 1), (Purpose::Delete, 1)]);
}

#[test]
fn where_its_name_is_taken_there_is_no_closed_group() {
    let closed = GroupKey::Ours(GroupNumber::CLOSED);
    let base = [("a", &[foreign("sg-base")][..])];
    let mut world = world(state(&[], &base), state(&[(closed, &[])], &[]));
    world.observed.taken.insert(GroupNumber::CLOSED, foreign("sg-other"));
    assert_eq!(planned(&world, &Quotas::default()).stages, []);
}
