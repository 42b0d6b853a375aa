//! The proof that a plan never leaves the band of P4: at every boundary, after any subset of a stage's steps,
//! O ∩ N ⊆ A ⊆ O ∪ N as flows, both ends together.
//!
//! Exact without looking at every subset: where a stage only adds (rules, or groups to interfaces), A grows with the subset, so
//! that its largest one is enough for the upper bound, and the stage before has proved the lower; where it only removes,
//! the other way round. Where it replaces the groups of interfaces while no rule changes, each flow depends on its two
//! interfaces alone: their four combinations are looked at.
//!
//! Interfaces that go the same way with addresses that no rule tells apart are one *kind*; only pairs of kinds in which one
//! end changes are compared, and those without a reference between them only once for each pair of address functions.
//! Shares no evaluation code with [`crate::firewall::Cloud`], which the tests hold against it.

mod compare;
mod desk;
mod effect;
mod function;
mod intern;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use desk::{Desk, EndId, Picture, WornId};

pub use effect::{Effect, effect};

use super::Stage;
use super::state::{apply, worn};
use crate::firewall::{GroupKey, State};
use crate::inventory::{Interface, InterfaceId, Inventory, PodIndex};
use crate::net::{Address, Family};
use crate::policy::Direction;
use crate::provider::Step;

/// Where a proof fails: the stage, and ends of flows that leave the band in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Escape {
    /// The place of the stage.
    pub(super) stage: usize,
    /// An interface of each kind concerned, with the direction in which it is. Empty only for a stage that mixes what
    /// adds and what removes.
    pub(super) ends: Ends,
}

/// Ends of flows that leave the band, and whose turn it is to take more care.
pub(super) type Ends = BTreeMap<(InterfaceId, Direction), Turn>;

/// Whose turn it is to take more care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// This end's.
    First,
    /// The other end's, as long as that one can.
    Second,
}

/// How A depends on the subset of a stage's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Grows,
    Shrinks,
    Moves,
}

/// A pod of the inventory behind an interface.
#[derive(Debug)]
struct Place<'a> {
    pod: PodIndex,
    interface: &'a InterfaceId,
    addresses: [Option<u128>; 2],
}

/// One end in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Side {
    end: EndId,
    worn: WornId,
}

/// The sides of an interface: in O, in N, before the stage, and after it.
type Sides = [Side; 4];
const OLD: usize = 0;
const NEW: usize = 1;
const BEFORE: usize = 2;
const AFTER: usize = 3;

/// Interfaces that go the same way.
#[derive(Debug)]
struct Kind<'a> {
    sides: Sides,
    addresses: [Option<u128>; 2],
    example: &'a InterfaceId,
    pods: Vec<PodIndex>,
}

/// Kinds whose address functions are equal.
type Alike<'k, 'a> = Vec<&'k Kind<'a>>;

/// Proves that `stages` lead from `old` inside the band of `old` and `new`.
pub(super) fn prove(
    old: &State,
    new: &State,
    stages: &[Stage],
    inventory: &Inventory,
    interfaces: &BTreeMap<InterfaceId, Interface>,
) -> Result<(), Escape> {
    if stages.is_empty() {
        return Ok(());
    }
    let mut proof = Proof::new(old, new, inventory, interfaces);
    let mut state = old.clone();
    for (place, stage) in stages.iter().enumerate() {
        let course = course(&state, &stage.steps);
        let before = proof.now.clone();
        for step in &stage.steps {
            apply(&mut state, step);
            proof.follow(&state, step);
        }
        let ends = match course {
            Some(course) => proof.stage(&before, course),
            None => return Err(Escape { stage: place, ends: Ends::new() }),
        };
        if !ends.is_empty() {
            return Err(Escape { stage: place, ends });
        }
    }
    Ok(())
}

/// What the steps do to A, if it is one thing.
fn course(state: &State, steps: &[Step]) -> Option<Course> {
    let (mut grows, mut shrinks, mut rules) = (true, true, false);
    for step in steps {
        match step {
            // What ACLs do is kept apart from what groups do.
            Step::CreateGroup(_) | Step::DeleteGroup(_) | Step::Acl(_) => {}
            Step::Authorize { .. } => (shrinks, rules) = (false, true),
            Step::Revoke { .. } => (grows, rules) = (false, true),
            Step::SetGroups { interface, groups, .. } => {
                let before = worn(state, interface);
                grows &= before.is_subset(groups);
                shrinks &= groups.is_subset(before);
            }
        }
    }
    match (grows, shrinks, rules) {
        (true, _, _) => Some(Course::Grows),
        (false, true, _) => Some(Course::Shrinks),
        (false, false, false) => Some(Course::Moves),
        (false, false, true) => None,
    }
}

/// The state of a proof.
#[derive(Debug)]
struct Proof<'a> {
    desk: Desk,
    places: Vec<Place<'a>>,
    old: Picture,
    new: Picture,
    now: Picture,
}

impl<'a> Proof<'a> {
    fn new(
        old: &State,
        new: &State,
        inventory: &'a Inventory,
        interfaces: &BTreeMap<InterfaceId, Interface>,
    ) -> Self {
        let mut desk = Desk::new();
        let (mut old, mut new) = (desk.picture(old), desk.picture(new));
        let mut places = Vec::new();
        for (index, pod) in inventory.pods_of_policies() {
            let Some(interface) = &pod.interface else { continue };
            let addresses = Family::BOTH.map(|family| pod.address(family).map(point));
            places.push(Place { pod: index, interface, addresses });
        }
        // What no state names wears what the cloud tells.
        for place in &places {
            let told = interfaces.get(place.interface);
            if let Some(told) = told.or_else(|| inventory.interfaces.get(place.interface)) {
                let prior = told.prior.iter().cloned().map(GroupKey::Foreign).collect();
                let prior = desk.worn_id(&prior);
                old.worn.entry(place.interface.clone()).or_insert(prior);
                new.worn.entry(place.interface.clone()).or_insert(prior);
            }
        }
        for (id, rules) in &inventory.foreign {
            let rules = desk.rules_id(rules);
            old.rules.entry(GroupKey::Foreign(id.clone())).or_insert(rules);
            new.rules.entry(GroupKey::Foreign(id.clone())).or_insert(rules);
        }
        let now = old.clone();
        Self { desk, places, old, new, now }
    }

    /// Takes over what a step changed.
    fn follow(&mut self, state: &State, step: &Step) {
        match step {
            Step::CreateGroup(group)
            | Step::DeleteGroup(group)
            | Step::Authorize { group, .. }
            | Step::Revoke { group, .. } => {
                let key = GroupKey::Ours(*group);
                match state.groups.get(&key) {
                    Some(rules) => {
                        let rules = self.desk.rules_id(rules);
                        self.now.rules.insert(key, rules);
                    }
                    None => {
                        self.now.rules.remove(&key);
                    }
                }
            }
            Step::SetGroups { interface, groups, .. } => {
                let worn = self.desk.worn_id(groups);
                self.now.worn.insert(interface.clone(), worn);
            }
            Step::Acl(_) => {}
        }
    }

    /// The ends whose flows can leave the band in a stage.
    fn stage(&mut self, before: &Picture, course: Course) -> Ends {
        let kinds = self.kinds(before);
        let mut escapes = Ends::new();
        self.addresses(&kinds, course, &mut escapes);
        let referring = self.referring(&kinds);
        for (source, destination) in &referring {
            if let (Some(source), Some(destination)) = (kinds.get(*source), kinds.get(*destination))
            {
                let blamed = self.pair(source, destination, true, course);
                blamed.report([source], [destination], &mut escapes);
            }
        }
        for (sources, destinations) in self.without_reference(&kinds, &referring) {
            if let (Some(source), Some(destination)) = (sources.first(), destinations.first()) {
                let blamed = self.pair(source, destination, false, course);
                blamed.report(sources, destinations, &mut escapes);
            }
        }
        escapes
    }

    fn kinds(&mut self, before: &Picture) -> Vec<Kind<'a>> {
        // The ends first: the boundaries of those that change decide which remote addresses are told apart.
        let mut known: HashMap<[WornId; 4], Sides> = HashMap::new();
        let mut sides = Vec::with_capacity(self.places.len());
        let (mut all, mut changing) = (BTreeSet::new(), BTreeSet::new());
        for place in &self.places {
            let pictures = [&self.old, &self.new, before, &self.now];
            let worn = pictures.map(|picture| picture.worn.get(place.interface).copied());
            let [Some(old), Some(new), Some(was), Some(is)] = worn else {
                sides.push(None);
                continue;
            };
            let worn = [old, new, was, is];
            let desk = &mut self.desk;
            let here = *known.entry(worn).or_insert_with(|| {
                let [old, new, was, is] = worn;
                let [in_old, in_new, in_was, in_is] = pictures;
                [(old, in_old), (new, in_new), (was, in_was), (is, in_is)]
                    .map(|(worn, picture)| Side { end: desk.end(worn, picture), worn })
            });
            all.extend(here.map(|side| side.end));
            if changes(&here) {
                changing.extend(here.map(|side| side.end));
            }
            sides.push(Some(here));
        }
        if changing.is_empty() {
            return Vec::new();
        }
        let boundaries = |ends: &BTreeSet<EndId>| {
            Family::BOTH.map(|family| {
                let mut points = BTreeSet::new();
                ends.iter().for_each(|end| self.desk.boundaries(*end, family, &mut points));
                points
            })
        };
        let (of_all, of_changing) = (boundaries(&all), boundaries(&changing));
        let mut kinds: BTreeMap<(Sides, [Option<u128>; 2]), Kind<'a>> = BTreeMap::new();
        for (place, sides) in self.places.iter().zip(sides) {
            let Some(sides) = sides else { continue };
            let [v4, v6] = if changes(&sides) { &of_all } else { &of_changing };
            let low =
                |points: &BTreeSet<u128>, address| points.range(..=address).next_back().copied();
            let [a4, a6] = place.addresses;
            let addresses =
                [a4.and_then(|address| low(v4, address)), a6.and_then(|address| low(v6, address))];
            kinds
                .entry((sides, addresses))
                .or_insert_with(|| Kind::new(sides, addresses, place.interface))
                .pods
                .push(place.pod);
        }
        kinds.into_values().collect()
    }

    /// The pairs of kinds, source and destination, between which some rule names a group: sorted.
    fn referring(&self, kinds: &[Kind<'_>]) -> Vec<(usize, usize)> {
        let mut wearers: HashMap<u32, BTreeSet<usize>> = HashMap::new();
        for (place, kind) in kinds.iter().enumerate() {
            for side in kind.sides {
                for group in self.desk.worn_groups(side.worn) {
                    wearers.entry(*group).or_default().insert(place);
                }
            }
        }
        let mut pairs = Vec::new();
        for (place, kind) in kinds.iter().enumerate() {
            let ends: BTreeSet<EndId> = kind.sides.iter().map(|side| side.end).collect();
            for direction in Direction::BOTH {
                let named: BTreeSet<u32> =
                    ends.iter().flat_map(|end| self.desk.named(*end, direction)).collect();
                for other in named.iter().filter_map(|group| wearers.get(group)).flatten() {
                    let alone = *other == place && !kind.several();
                    let still = !changes(&kind.sides)
                        && kinds.get(*other).is_none_or(|other| !changes(&other.sides));
                    if !alone && !still {
                        pairs.push(match direction {
                            Direction::Ingress => (*other, place),
                            Direction::Egress => (place, *other),
                        });
                    }
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// The kinds of equal address functions, pair by pair: those pairs that occur without a reference between the two.
    fn without_reference<'k>(
        &self,
        kinds: &'k [Kind<'a>],
        referring: &[(usize, usize)],
    ) -> Vec<(Alike<'k, 'a>, Alike<'k, 'a>)> {
        let mut alike: BTreeMap<_, (usize, Alike<'k, 'a>)> = BTreeMap::new();
        let mut numbers = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let functions = kind.sides.map(|side| {
                Direction::BOTH.map(|direction| {
                    Family::BOTH.map(|family| self.desk.function(side.end, direction, family))
                })
            });
            let next = alike.len();
            let (number, members) = alike
                .entry((functions, kind.addresses, changes(&kind.sides)))
                .or_insert_with(|| (next, Vec::new()));
            members.push(kind);
            numbers.push(*number);
        }
        let mut related: HashMap<(usize, usize), usize> = HashMap::new();
        for (source, destination) in referring {
            if let (Some(source), Some(destination)) =
                (numbers.get(*source), numbers.get(*destination))
            {
                *related.entry((*source, *destination)).or_default() += 1;
            }
        }
        let mut pairs = Vec::new();
        for ((_, _, left_changes), (left, sources)) in &alike {
            for ((_, _, right_changes), (right, destinations)) in &alike {
                let alone = sources.iter().filter(|kind| left == right && !kind.several()).count();
                let every = sources.len() * destinations.len() - alone;
                let related = related.get(&(*left, *right)).copied().unwrap_or(0);
                if (*left_changes || *right_changes) && every > related {
                    pairs.push((sources.clone(), destinations.clone()));
                }
            }
        }
        pairs
    }
}

impl<'a> Kind<'a> {
    const fn new(sides: Sides, addresses: [Option<u128>; 2], example: &'a InterfaceId) -> Self {
        Self { sides, addresses, example, pods: Vec::new() }
    }

    const fn several(&self) -> bool {
        self.pods.len() > 1
    }
}

/// Whether an end is not the same in all four states.
fn changes(sides: &Sides) -> bool {
    sides.windows(2).any(|pair| pair.first() != pair.last())
}

fn point(address: IpAddr) -> u128 {
    u32::from_ip(address).map_or_else(|| u128::from_ip(address).unwrap_or(0), u128::from)
}
