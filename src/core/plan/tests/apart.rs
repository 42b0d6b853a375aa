//! What a plan does not look at: the rest of the world, however large.

use proptest::prelude::*;

use super::world::{
    Choices, World, disturb, foreign, from_prefix, group, interface, open, pod, random_state,
    shifted,
};
use super::*;
use crate::firewall::{Peer, Rule};
use crate::net::Shape;
use crate::policy::Direction::{self, Egress, Ingress};

/// Pods of the rest, with addresses among those of the others.
fn rest_of_the_pods() -> Vec<crate::inventory::Pod> {
    let pods = (6..10).map(|host| {
        let name = format!("p{host}");
        pod(&name, &[&format!("10.0.0.{host}"), &format!("2001:db8::{host}")])
    });
    pods.collect()
}

/// A world beside a rest in which everything is as it should be. The groups of the rest bear numbers that no plan for the world
/// hands out.
fn beside(world: &World, choices: &mut Choices) -> World {
    const FIRST: usize = 100;
    let pods = rest_of_the_pods();
    let wanted = shifted(&random_state(choices, &pods, 4), FIRST);
    let now = shifted(&wanted, FIRST);
    let rest = World::new(&pods, now, wanted, &["sg-base"]);
    let settled = plan(&rest.desired, &rest.observed, &rest.inventory, &Quotas::default()).target;
    let mut both = world.clone();
    both.inventory.pods.extend(pods);
    both.inventory.interfaces.extend(rest.inventory.interfaces);
    both.observed.interfaces.extend(rest.observed.interfaces);
    both.observed.state.groups.extend(settled.groups);
    both.observed.state.interfaces.extend(settled.interfaces);
    both.desired.state.groups.extend(rest.desired.state.groups);
    both.desired.state.interfaces.extend(rest.desired.state.interfaces);
    both
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_rest_that_is_as_it_should_be_changes_nothing_about_a_plan(seed: u64) {
        let mut choices = Choices(seed);
        let world = World::random(&mut choices);
        let both = beside(&world, &mut choices);
        let quotas = Quotas { groups_per_interface: 3, ..Quotas::default() };
        let alone = plan(&world.desired, &world.observed, &world.inventory, &quotas);
        let beside = plan(&both.desired, &both.observed, &both.inventory, &quotas);
        let text = |state| super::text::state(state);
        let context = || format!(
            "there\n{}\nwanted\n{}\nalone\n{}\nbeside the rest\n{}",
            text(&both.observed.state),
            text(&both.desired.state),
            alone.text(&world.observed.state),
            beside.text(&both.observed.state),
        );
        prop_assert_eq!((&beside.stages, &beside.held), (&alone.stages, &alone.held), "{}", context());
    }

    /// A proof over the whole world finds nothing that the proof over its part has missed.
    #[test]
    fn the_part_that_a_plan_looks_at_holds_everyone_whom_it_concerns(seed: u64) {
        let mut choices = Choices(seed);
        let mut pods = rest_of_the_pods();
        pods.extend((1..4).map(|host| pod(&format!("q{host}"), &[&format!("10.0.1.{host}")])));
        let groups = 2 + choices.below(3);
        let wanted = random_state(&mut choices, &pods, groups);
        let mut now = wanted.clone();
        for _ in 0..2 + choices.below(4) {
            disturb(&mut choices, &mut now, groups);
        }
        now.groups.insert(foreign("sg-base"), open());
        let world = World::new(&pods, now, wanted, &["sg-base"]);
        let way = plan(&world.desired, &world.observed, &world.inventory, &Quotas::default());
        if way.held == Held::default() {
            let there = super::text::state(&world.observed.state);
            let text = way.text(&world.observed.state);
            prop_assert_eq!(proven_whole(&world, &way), Ok(()), "{}\n{}", there, text);
        }
    }
}

/// Proves a plan that holds nothing, looking at all of its world.
fn proven_whole(world: &World, way: &Plan) -> Result<(), band::Escape> {
    let World { observed, inventory, .. } = world;
    band::prove(&observed.state, &way.target, &way.stages, inventory, &observed.interfaces)
}

/// Two pods go from one group to another and need both on the way, so as to reach each other. With both, they could reach a third
/// one, which lets the new group in, and which only the old one may leave for: that one stays as it is, but must be looked at.
#[test]
fn those_whose_rules_name_a_movers_groups_are_looked_at() {
    let rule = |direction: Direction, number| Rule {
        direction,
        peer: Peer::Group(group(number)),
        shape: Shape::All,
    };
    let everywhere = from_prefix(Egress, "0.0.0.0/0", Shape::All);
    let groups = BTreeMap::from([
        (group(1), BTreeSet::from([rule(Ingress, 1), everywhere])),
        (group(2), BTreeSet::from([rule(Ingress, 2), rule(Egress, 2)])),
        (group(3), BTreeSet::from([rule(Ingress, 2)])),
        (foreign("sg-base"), open()),
    ]);
    // One wears each group throughout, so that none takes over the number of another.
    let names = ["a", "b", "c", "d", "e"];
    let wears = |worn: [usize; 5]| {
        let wears = names.iter().zip(worn);
        wears.map(|(name, it)| (interface(name), BTreeSet::from([group(it)]))).collect()
    };
    let now =
        State { groups: groups.clone(), interfaces: wears([1, 1, 1, 2, 3]), ..State::default() };
    let wanted = State { groups, interfaces: wears([2, 2, 1, 2, 3]), ..State::default() };
    let hosts = names.iter().zip(1..).map(|(name, host)| pod(name, &[&format!("10.0.0.{host}")]));
    let world = World::new(&hosts.collect::<Vec<_>>(), now, wanted, &["sg-base"]);
    let way = plan(&world.desired, &world.observed, &world.inventory, &Quotas::default());
    assert_eq!(way.held, Held::default());
    assert_eq!(proven_whole(&world, &way), Ok(()), "{}", way.text(&world.observed.state));
}
