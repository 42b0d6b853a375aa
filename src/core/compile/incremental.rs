//! A compiler that is kept alive, is told what changes, and compiles what that touches.
//!
//! ```text
//! events ─▶ store  what was told, by its lasting names
//!           index  pods ─ selectors ─ policies: whose rules an event touches
//!             │
//!             ▼    touched cohorts
//!           world  the policies about them and the pods that those name, translated as if they were all there is: the
//!             │    same code as from scratch, over a small cluster
//!             ▼    grants
//!         classes  who is named by whom, and who is one class with whom; a class lasts as long as pods are in it
//!             ▼    moved classes
//!          groups  numbers that last, rules made anew for what moved
//!             ▼
//!           patch  the desired state, changed in place, and what became different
//! ```
//!
//! **What a cohort's grants depend on.** The policies about it; the cohorts that those name; of these the pods' addresses, where
//! rules deny or pass, where Moat cannot program the pods, and where several pods claim one address; whether a cohort has
//! a second pod, since no pod is a peer of its own. That is all, unless addresses have to be taken out of prefixes: then every
//! pod must be put back by name. So a pod that joins pods like it changes what its own interface wears and nothing else.
//!
//! **What a class depends on.** Grants are equal by what they say, so a grant that is found again is the same one, and nobody
//! notices. If it changes, those who have it and those it names or named look for their class anew. The rules of a class
//! are made anew if its grants did change, or if a class that they name did, or its cohorts (then other policies may be
//! served).
//!
//! **What falls back.** To all cohorts, on the same path: settings, the VPC's blocks, the rules of others' groups. To a
//! compile from scratch, as long as it lasts: addresses taken out of prefixes, quotas that are short (the ladder, and membership
//! groups that compete for the slots of an interface), pods that claim one interface, and network ACLs that are handed over.
//! [`Change::extent`] tells.
//!
//! **What waits.** Findings, counts and witnesses are for people, and depend on much: a finding of one policy holds the places of
//! all pods that it is about. They come from a compile of [`Compiler::inputs`], which can be done elsewhere.

mod classes;
mod event;
mod foreign;
mod groups;
mod index;
mod patch;
mod slab;
mod store;
mod tell;
mod view;
mod world;

use std::collections::BTreeSet;

pub use event::{Cause, Change, Event, Extent};

use super::cohort::CohortId;
use super::served::Served;
use super::shared::Pools;
use super::{Counts, Desired, RuleReason, compile};
use crate::firewall::{GroupKey, GroupNumber};
use crate::inventory::Inventory;
use crate::policy::{Direction, Policy};
use crate::settings::Settings;
use classes::{Classes, Moved};
use foreign::Foreign;
use groups::Groups;
use index::Index;
use patch::{Before, Patched, Reasoned, differences};
use store::Store;
use view::View;

/// Keeps what it was told and what came of it.
#[derive(Debug, Default)]
pub struct Compiler {
    store: Store,
    index: Index,
    pools: Pools,
    classes: Classes,
    groups: Groups,
    foreign: Foreign,
    patched: Patched,
    /// Something changed that concerns every cohort.
    common: bool,
    /// Something was told that is not settled.
    news: bool,
    /// How many sets the pools had when those were last thrown out that nobody has.
    pooled: usize,
    /// What a compile from scratch made, while what one class gets depends on all others.
    entangled: Option<Desired>,
}

/// What a compiler was told, as [`compile`] takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The policies, sorted by their objects.
    pub policies: Vec<Policy>,
    /// Pods, nodes and interfaces.
    pub inventory: Inventory,
    /// What the operator decides.
    pub settings: Settings,
}

impl Compiler {
    /// A compiler that knows of no pod and no policy.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { store: Store { settings, ..Store::default() }, ..Self::default() }
    }

    /// What the cloud should hold, as of the last [`settle`](Self::settle): all but the findings, the counts and the witnesses of
    /// rules, which [`inputs`](Self::inputs) compile to. The groups are those that [`compile`] makes of the inputs up
    /// to their numbers, which last as long as the pods that wear them, and to which rules of one class are in which of
    /// its groups, where it needs several.
    #[must_use]
    pub fn desired(&self) -> &Desired {
        self.entangled.as_ref().unwrap_or(&self.patched.desired)
    }

    /// What it was told. Compiling it from scratch is how findings, counts and witnesses come about: they are for people, who
    /// can wait, and it can be done elsewhere meanwhile.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        Inputs {
            policies: self.index.policies().map(|policy| (**policy).clone()).collect(),
            inventory: self.store.inventory(),
            settings: self.store.settings.clone(),
        }
    }

    /// Whether anything that was told since the last [`settle`](Self::settle) is otherwise than before.
    #[must_use]
    pub const fn has_news(&self) -> bool {
        self.news
    }

    /// Compiles what was touched since the last time, and says what became different.
    pub fn settle(&mut self) -> Change {
        if !std::mem::take(&mut self.news) {
            return Change::default();
        }
        let common = std::mem::take(&mut self.common);
        if common {
            self.index.touch_all();
        }
        let dead = self.index.dead();
        let touched = self.index.touched();
        let found = world::find(&self.index, &mut self.store, &touched, &mut self.pools);
        let mut moved = self.classes.update(&self.index, &dead, found);
        if common {
            moved.grants.extend(self.classes.grants());
        }
        self.make(&mut moved);
        self.dress(moved.cohorts.into_iter().chain(dead.iter().copied()), common);
        self.index.bury(dead);
        let closed = self.store.settings.quarantine.then(Reasoned::new);
        self.patched.set_group(GroupKey::Ours(GroupNumber::CLOSED), closed);
        self.sweep();
        let before = self.patched.take_before();
        let scratch = self.is_entangled().then(|| self.scratch());
        let different = match (&self.entangled, &scratch) {
            (None, None) => self.patched.differences(&before),
            (None, Some(new)) => differences(&self.patched.desired, &before, new),
            (Some(old), new) => {
                let new = new.as_ref().unwrap_or(&self.patched.desired);
                differences(old, &Before::default(), new)
            }
        };
        let extent = match (&scratch, &self.entangled, common) {
            (Some(_), _, _) | (None, Some(_), _) => Extent::Everything(Cause::Entangled),
            (None, None, true) => Extent::Everything(Cause::Common),
            (None, None, false) => Extent::Touched(touched.len()),
        };
        self.entangled = scratch;
        let (groups, interfaces) = different;
        Change { groups, interfaces, extent }
    }

    /// Throws out what nobody has any more, once that may be most of what there is.
    fn sweep(&mut self) {
        const FEW: usize = 250;
        if self.pools.len() > 2 * self.pooled + FEW {
            self.groups.forget();
            self.pools.sweep();
            self.pooled = self.pools.len();
        }
    }

    /// Whether what one class gets depends on all others.
    fn is_entangled(&self) -> bool {
        self.index.shares_interfaces()
            || self.classes.are_carved()
            || self.groups.are_short(&self.store.settings)
            || !self.store.rest.subnets.is_empty()
    }

    fn scratch(&self) -> Desired {
        let mut scratch = self.inputs().compile();
        scratch.findings = Vec::new();
        scratch.counts = Counts::default();
        scratch.reasons.values_mut().for_each(|reason| reason.witness = None);
        scratch
    }

    /// Makes the groups of what moved.
    fn make(&mut self, moved: &mut Moved) {
        let quotas = self.store.settings.quotas;
        let (made, gone) = self.groups.lay_out(&self.index, &self.classes, quotas, moved);
        let view = View { store: &self.store, index: &self.index, classes: &self.classes };
        let mut served = Served::new(&view);
        for (id, groups) in made {
            let ruled = groups.iter().any(|(_, lines)| !lines.is_empty());
            let accepting = Direction::BOTH
                .map(|direction| if ruled { served.accepting(id, direction) } else { Vec::new() });
            let [ingress, egress] = &accepting;
            for (number, lines) in groups {
                let mut rules = Reasoned::new();
                for (direction, line) in &lines {
                    let Some(rule) = self.groups.rule(*direction, line) else { continue };
                    let accepting = match direction {
                        Direction::Ingress => ingress,
                        Direction::Egress => egress,
                    };
                    let serves = served.by(accepting, false, line);
                    rules.insert(rule, RuleReason { serves, witness: None });
                }
                self.patched.set_group(GroupKey::Ours(number), Some(rules));
            }
        }
        for number in self.groups.memberships() {
            self.patched.set_group(GroupKey::Ours(number), Some(Reasoned::new()));
        }
        for number in gone {
            self.patched.set_group(GroupKey::Ours(number), None);
        }
    }

    /// Lets the interfaces of these cohorts wear their groups, and those that pods came to or went from.
    fn dress(&mut self, cohorts: impl Iterator<Item = CohortId>, common: bool) {
        let mut loose = self.index.loose();
        let mut foreign = BTreeSet::new();
        for id in cohorts {
            let pods = self.index.cohort(id).into_iter().flat_map(|cohort| &cohort.pods);
            let pods = pods.filter_map(|name| self.store.pod(name));
            loose.extend(pods.filter_map(|pod| pod.interface.clone()));
            let member = self.classes.member(id);
            let kept = member.filter(|member| member.class.is_some()).map(|member| &member.kept);
            foreign.extend(self.foreign.wear(id, kept));
        }
        for interface in loose {
            let mut pods = self.index.carried(&interface);
            let member = pods.next().and_then(|name| self.classes.member(self.index.of(name)?));
            let worn = member.and_then(|member| {
                let ours = self.groups.worn(member.class?).map(GroupKey::Ours);
                Some(ours.chain(member.kept.iter().cloned().map(GroupKey::Foreign)).collect())
            });
            self.patched.set_interface(&interface, worn);
        }
        if common {
            foreign.extend(self.foreign.worn().cloned());
        }
        for group in foreign {
            let rules = || self.store.rest.foreign.get(&group).into_iter().flatten().cloned();
            let rules = self
                .foreign
                .is_worn(&group)
                .then(|| rules().map(|rule| (rule, RuleReason::default())).collect());
            self.patched.set_group(GroupKey::Foreign(group), rules);
        }
    }
}

impl Inputs {
    /// Compiles all of it.
    #[must_use]
    pub fn compile(&self) -> Desired {
        compile(&self.policies, &self.inventory, &self.settings)
    }
}

#[cfg(test)]
mod tests;
