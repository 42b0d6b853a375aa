//! Policies, inventory and settings in; the desired groups out, and what they cannot say.
//!
//! ```text
//! pods ─▶ cohorts ─┐
//!                  ├─▶ programs ─▶ functions ─▶ grants ─▶ classes ─▶ layout ─▶ Desired
//! policies ────────┘   who decides  what passes  what rules  whom rules  which
//!                                   by remote    can say     tell apart  groups
//! ```
//!
//! Network ACLs (DESIGN §7) take their place beside the grants: what a deny entry says, no rule has to.

pub(crate) mod acl;
mod assemble;
mod blame;
mod class;
mod cohort;
mod concession;
pub mod cover;
mod draw;
mod effective;
mod fold;
mod grant;
mod incremental;
mod ladder;
mod layout;
mod loss;
mod meaning;
mod narrow;
mod notes;
mod outcome;
mod program;
mod served;
mod shared;
#[cfg(test)]
mod tests;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::finding::Finding;
use crate::firewall::{AclName, Entry, EntryKey, EntryNumber, GroupNumber, Rule, State};
use crate::flow::Flow;
use crate::inventory::{InterfaceId, Inventory};
use crate::policy::{Direction, ObjectRef, Policy};
use crate::settings::Settings;
use class::Classes;
use concession::Concessions;
pub use incremental::{Cause, Change, Compiler, Event, Extent, Inputs};
use layout::Layout;
use meaning::Meaning;
use shared::Pools;

/// For looking up, never for going through: the order is not the same twice.
type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// What the cloud should hold, with the reasons.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Groups and who wears them. The numbers of our groups run from 1 and are provisional: the plan binds them to the groups
    /// that are there. Groups of others that stay on an interface appear in `interfaces` and, with their rules, in `groups`.
    pub state: State,
    /// Why each rule of ours is there.
    pub reasons: BTreeMap<(GroupNumber, Rule), RuleReason>,
    /// Whom each entry of our network ACLs serves: the policies that close some of what it denies for some pod behind it, sorted.
    /// An entry goes by what it says, as its order means nothing.
    pub denies: BTreeMap<(AclName, Direction, Entry), Arc<[ObjectRef]>>,
    /// The interfaces of pods whose exact rules do not fit the quotas, where settings ask to hold what was programmed last
    /// ([`crate::settings::OnQuota::Hold`]): the plan leaves those of them alone that wear groups of ours already.
    pub over_quota: BTreeSet<InterfaceId>,
    /// What the cloud cannot say, sorted; without the findings of parsing.
    pub findings: Vec<Finding>,
    /// Sizes and lower bounds.
    pub counts: Counts,
}

impl Desired {
    /// The policies that an entry of an ACL of ours serves; none if it is copied from the ACL before ours, or is not asked for.
    #[must_use]
    pub fn asks_for(&self, acl: &AclName, key: EntryKey, entry: Entry) -> &[ObjectRef] {
        let ours = key.number.get() < EntryNumber::COPIED;
        let asked = || self.denies.get(&(acl.configured(), key.direction, entry));
        ours.then(asked).flatten().map_or(&[], |serves| serves)
    }
}

/// Why a rule is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleReason {
    /// The policies that it serves, sorted; empty if settings alone ask for it.
    pub serves: Arc<[ObjectRef]>,
    /// A flow that no other rule of its group and direction lets through. None for a copied rule, and where there is no such
    /// flow: only the wearer itself is named, or prefix rules let the same services through.
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
    /// Those that name a prefix, but for copied ones.
    pub prefix_rules: usize,
    /// Those copied from groups of others that gave way, in directions that no policy governs (DESIGN §6.8).
    pub copied_rules: usize,
    /// Those that name a group.
    pub reference_rules: usize,
    /// The fewest prefix rules that any translation has: the number of witnesses (`prefix_rules` equals it unless a quota cut it).
    pub minimum_prefix_rules: usize,
    /// Rules of the largest group in one direction and family.
    pub largest_group: usize,
    /// Entries of network ACLs that deny what groups leave to them; those of the ACLs before ours do not count.
    pub entries: usize,
    /// The fewest entries that can deny as much.
    pub minimum_entries: usize,
}

/// Translates policies into groups.
///
/// Never fails: what does not fit, or cannot be said, becomes a finding, and is never wider than the policies (P2).
/// Pods that concede something to a quota (DESIGN §6.6) are translated again with what they conceded, until all fits.
#[must_use]
pub fn compile(policies: &[Policy], inventory: &Inventory, settings: &Settings) -> Desired {
    let policies: Vec<&Policy> = policies.iter().collect();
    let mut concessions = Concessions::new();
    loop {
        let pools = &mut Pools::default();
        let meaning = Meaning::new(&policies, inventory, settings, &concessions, pools);
        let classes = Classes::new(&meaning);
        let layout = Layout::new(&meaning, &classes);
        match ladder::climb(&meaning, &classes, &layout) {
            Some(more) => concessions = more,
            None => return assemble::desired(&meaning, &classes, &layout),
        }
    }
}
