//! From what is there to what should be: stages of independent steps that never leave the band.
//!
//! ```text
//! bind    desired numbers to the groups that are there
//! part    what changes, and whomever that can concern: whatever follows looks at nothing else
//! draft   stages, as few calls as the care asks for
//! prove   every stage, whatever subset of its steps is taken; what leaves the band takes more care, and a new draft follows
//! ```

mod band;
mod bind;
mod care;
mod cost;
mod draft;
mod goal;
mod guard;
mod lint;
mod middle;
mod part;
mod path;
mod state;
mod table;
mod text;

use std::collections::{BTreeMap, BTreeSet};

pub use band::{Effect, effect};
pub use lint::{Fault, lint};
pub use middle::is_passing;
pub(crate) use state::contains;
pub use text::Text;

use crate::budget::Breach;
use crate::compile::Desired;
use crate::firewall::{GroupNumber, State};
use crate::inventory::{InterfaceId, Inventory};
use crate::provider::{Observed, Step};
use crate::settings::Quotas;

/// How to get from what is there to what should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The stages, in order. A stage begins when a picture shows the stage before it.
    pub stages: Vec<Stage>,
    /// The state at the end: the desired one with the numbers that our groups bear in the cloud, but for what is held.
    pub target: State,
    /// The numbers of the cloud for those of the desired groups.
    pub numbers: BTreeMap<GroupNumber, GroupNumber>,
    /// What stays as it is although something else is desired: it no longer fits the quotas, or no way there keeps to the band
    /// and the quotas.
    pub held: Held,
}

/// What a plan leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Groups of ours that keep their rules.
    pub groups: BTreeSet<GroupNumber>,
    /// Interfaces that keep their groups.
    pub interfaces: BTreeSet<InterfaceId>,
    /// The limits that are in the way, with the numbers.
    pub breaches: Vec<Breach>,
}

/// Steps that may be taken in any order, or side by side: the band of P4 holds after any subset of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What the stage is for.
    pub purpose: Purpose,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// What a stage is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Purpose {
    /// Make groups that nobody wears yet.
    Create,
    /// Add rules that open nothing: nobody wears their group, or what they allow is allowed already.
    Prepare,
    /// Close what is no longer allowed.
    Tighten,
    /// Let interfaces wear groups beside those that they wear.
    Wear,
    /// Leave interfaces just the groups that they are to wear.
    Move,
    /// Copy what the network ACL before ours says by now.
    Follow,
    /// Open what becomes allowed.
    Widen,
    /// Remove rules that allow nothing by themselves.
    Clean,
    /// Delete groups that nobody wears.
    Delete,
}

/// Plans the way from what is observed to what is desired.
///
/// A plan that was killed anywhere is followed by one that comes to the same end. A process that is killed again and again, each
/// time a few calls into its plan, can go round: the care that a passage takes depends on what is there, and nothing falls with each
/// call. It happens in 3 of 10,000 small random worlds, always inside the band, and ends with the first plan that is carried out.
///
/// Only exclusive interfaces change, and groups of ours. An exclusive interface that `desired` does not name but that wears a
/// group of ours gets back what it wore before; that of no pod only once nothing is desired, as its cloud is about to delete it. What cannot be reached within the band and the quotas stays as it is and
/// is named in [`Plan::held`]; the rest proceeds. Planning again from the target finds nothing to do.
///
/// What is held may find a way once the rest is done. So while something is held, another leg follows. That ends, since a leg
/// depends on the picture at its start alone, and the pictures that legs lead to are finitely many: either a leg has
/// nothing to do, or a picture comes back, and the plan stops where it was first seen.
///
/// The whole keeps to the band because each leg does. Each is proved between the picture at its start and what is desired,
/// which is the same flows for all of them, whatever numbers groups bear. So a flow that is as desired stays as it is from then on,
/// and the others change only to what is desired, or back to what they were. Beside what is held, a flow may do both within a leg.
#[must_use]
pub fn plan(
    desired: &Desired,
    observed: &Observed,
    inventory: &Inventory,
    quotas: &Quotas,
) -> Plan {
    match guard::Guards::new(desired, observed, inventory, quotas) {
        None => of_groups(desired, observed, inventory, quotas, &BTreeSet::new()),
        Some(mut guards) => {
            let stuck = guards.before();
            guards.around(of_groups(desired, observed, inventory, quotas, &stuck))
        }
    }
}

/// The same for groups and interfaces, some of which stay as they are.
fn of_groups(
    desired: &Desired,
    observed: &Observed,
    inventory: &Inventory,
    quotas: &Quotas,
    stuck: &BTreeSet<InterfaceId>,
) -> Plan {
    let mut next = leg(desired, observed, inventory, quotas, stuck);
    if next.held == Held::default() || next.stages.is_empty() {
        return next;
    }
    let mut there = observed.clone();
    let (mut stages, mut starts) = (Vec::new(), Vec::new());
    loop {
        starts.push((there.clone(), stages.len()));
        next.steps().for_each(|step| state::follow(&mut there, step));
        stages.append(&mut next.stages);
        let seen = starts.iter().find(|(start, _)| *start == there);
        if let Some((_, until)) = seen {
            stages.truncate(*until);
        }
        if seen.is_some() || next.held == Held::default() {
            return Plan { stages, ..next };
        }
        next = leg(desired, &there, inventory, quotas, stuck);
    }
}

/// One way from what is observed towards what is desired, as far as it comes at once.
fn leg(
    desired: &Desired,
    observed: &Observed,
    inventory: &Inventory,
    quotas: &Quotas,
    stuck: &BTreeSet<InterfaceId>,
) -> Plan {
    let table = table::Table::new(desired, observed, inventory);
    let mut care = care::Care::holding(&desired.over_quota, stuck, &observed.state);
    loop {
        let banned = care.spare.iter().chain(observed.taken.keys()).copied();
        let banned = banned.chain([GroupNumber::CLOSED]).collect();
        let bound = bind::bind(&table, &banned);
        let part = part::Part::new(&table, &bound, observed, inventory);
        if let Some((stages, end, held)) = way(&part, desired, &mut care, quotas) {
            let target = part.within(&observed.state, end);
            return Plan { stages, target, numbers: bound.binding(&table), held };
        }
    }
}

/// The stages through a part of the world, its state at the end, and what is held; none if groups have become spare, or are no
/// longer, so that all are to be bound anew.
fn way(
    part: &part::Part,
    desired: &Desired,
    care: &mut care::Care,
    quotas: &Quotas,
) -> Option<(Vec<Stage>, State, Held)> {
    let (now, goal) = (&part.observed.state, goal::Goal::new(part, desired));
    let spare = care.spare.clone();
    while care.spare == spare {
        if care.exhausted {
            return Some((Vec::new(), now.clone(), care.held(&goal, now)));
        }
        let target = care.target(&goal, now);
        match draft::draft(&goal, &target, care, quotas) {
            Err(stuck) => care.fit(stuck, now, &target),
            Ok(stages) => {
                let (inventory, interfaces) = (&part.inventory, &part.observed.interfaces);
                match band::prove(now, goal.state, &stages, inventory, interfaces) {
                    Ok(()) if care.relax() => {}
                    Ok(()) => {
                        let held = care.held(&goal, &target);
                        return Some((stages, target, held));
                    }
                    Err(escape) => care.heed(&escape, &stages, now, &target),
                }
            }
        }
    }
    None
}

/// Plans the way back to what was there before: no group of ours, and on each interface the groups of others that it wore.
#[must_use]
pub fn uninstall(observed: &Observed, inventory: &Inventory, quotas: &Quotas) -> Plan {
    plan(&Desired::default(), observed, inventory, quotas)
}

#[cfg(test)]
mod tests;
