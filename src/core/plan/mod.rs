//! From what is there to what should be: stages of independent steps that never leave the band.

use crate::firewall::State;
use crate::provider::Step;

/// How to get from what is there to what should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The stages, in order. A stage begins when a picture shows the stage before it.
    pub stages: Vec<Stage>,
    /// The state at the end: the desired one with the numbers that our groups bear in the cloud.
    pub target: State,
}

/// Steps that may be taken in any order, or side by side: the band of P4 holds after any subset of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What the stage is for.
    pub purpose: Purpose,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// What a stage is for, in the order of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Purpose {
    /// Make groups that nobody wears yet.
    Create,
    /// Add rules that open nothing: nobody wears their group, or what they allow is allowed already.
    Prepare,
    /// Close what is no longer allowed.
    Tighten,
    /// Give interfaces their groups.
    Move,
    /// Open what becomes allowed.
    Widen,
    /// Remove rules that allow nothing by themselves.
    Clean,
    /// Delete groups that nobody wears.
    Delete,
}
