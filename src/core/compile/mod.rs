//! Policies, inventory and settings in; the desired groups out, and what they cannot say.
//!
//! Network ACLs (DESIGN §7) take their place beside `groups` here.

pub mod cover;

use std::collections::BTreeMap;
use std::sync::Arc;

mod cohort;
mod effective;
mod program;

use crate::finding::Finding;
use crate::firewall::{GroupNumber, Rule, State};
use crate::flow::Flow;
use crate::inventory::PodIndex;
use crate::policy::ObjectRef;

/// What the cloud should hold, with the reasons.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Groups and who wears them. The numbers of our groups run from 1 and are provisional: the plan binds them to the groups
    /// that are there. Groups of others that stay on an interface appear in `interfaces` and, with their rules, in `groups`.
    pub state: State,
    /// Why each rule of ours is there.
    pub reasons: BTreeMap<(GroupNumber, Rule), RuleReason>,
    /// The pods that wear each group of ours.
    pub wearers: BTreeMap<GroupNumber, Vec<PodIndex>>,
    /// What the cloud cannot say, sorted; without the findings of parsing.
    pub findings: Vec<Finding>,
    /// Sizes and lower bounds.
    pub counts: Counts,
}

/// Why a rule is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleReason {
    /// The policies that it serves, sorted; empty if settings alone ask for it.
    pub serves: Arc<[ObjectRef]>,
    /// A flow that no other rule of its group and direction lets through.
    pub witness: Option<Flow>,
}

/// Sizes of a compile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Pods that policies see.
    pub pods: usize,
    /// Policies.
    pub policies: usize,
    /// Classes of pods that no policy can tell apart.
    pub classes: usize,
    /// Groups of ours.
    pub groups: usize,
    /// Rules of our groups.
    pub rules: usize,
    /// Those that name a prefix.
    pub prefix_rules: usize,
    /// Those that name a group.
    pub reference_rules: usize,
    /// The fewest prefix rules that any translation has: the number of witnesses (`prefix_rules` equals it unless a quota cut it).
    pub minimum_prefix_rules: usize,
    /// Rules of the largest group in one direction and family.
    pub largest_group: usize,
}
