//! A compiler that is kept alive, is told what changes, and compiles what that touches.

mod event;
mod store;

use std::collections::{BTreeMap, BTreeSet};

pub use event::{Cause, Change, Event, Extent};

use super::{Desired, compile};
use crate::inventory::Inventory;
use crate::policy::Policy;
use crate::settings::Settings;
use store::Store;

/// Keeps what it was told and what came of it.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    store: Store,
    changed: bool,
    desired: Desired,
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
        Self { store: Store::new(settings), changed: false, desired: Desired::default() }
    }

    /// Takes note of an event. What follows from it is compiled by [`settle`](Self::settle), for any number of events at once.
    pub fn tell(&mut self, event: Event) {
        self.changed |= self.store.take(event);
    }

    /// Compiles what was touched since the last time, and says what became different.
    pub fn settle(&mut self) -> Change {
        if !std::mem::take(&mut self.changed) {
            return Change::default();
        }
        let before = std::mem::replace(&mut self.desired, self.store.inputs().compile());
        // What [`Self::inputs`] is for.
        self.desired.findings = Vec::new();
        difference(&before, &self.desired)
    }

    /// What the cloud should hold, as of the last [`settle`](Self::settle): all but the findings, the counts and the witnesses of
    /// rules, which [`inputs`](Self::inputs) compile to. The groups are those that [`compile`] makes of the inputs up
    /// to their numbers, which last as long as the pods that wear them, and to which rules of one class are in which of
    /// its groups, where it needs several.
    #[must_use]
    pub const fn desired(&self) -> &Desired {
        &self.desired
    }

    /// What it was told. Compiling it from scratch is how findings, counts and witnesses come about: they are for people, who
    /// can wait, and it can be done elsewhere meanwhile.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        self.store.inputs()
    }
}

impl Inputs {
    /// Compiles all of it.
    #[must_use]
    pub fn compile(&self) -> Desired {
        compile(&self.policies, &self.inventory, &self.settings)
    }
}

fn difference(before: &Desired, after: &Desired) -> Change {
    let mut groups = differing(&before.state.groups, &after.state.groups);
    let reasons = differing(&before.reasons, &after.reasons);
    groups.extend(reasons.into_iter().map(|(number, _)| crate::firewall::GroupKey::Ours(number)));
    let interfaces = differing(&before.state.interfaces, &after.state.interfaces);
    Change { groups, interfaces, extent: Extent::Everything(Cause::Common) }
}

/// The keys at which two maps differ.
fn differing<K: Ord + Clone, V: PartialEq>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> BTreeSet<K> {
    let new = after.iter().filter(|(key, value)| before.get(key) != Some(value));
    let gone = before.keys().filter(|key| !after.contains_key(key));
    new.map(|(key, _)| key).chain(gone).cloned().collect()
}
