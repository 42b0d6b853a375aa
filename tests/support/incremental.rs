//! A compiler that is kept alive equals one that starts from scratch, after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

use moat_core::compile::{Change, Compiler, Desired, Event, Extent, Inputs, compile};
use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::{InterfaceId, Inventory};
use moat_core::net::{Prefix, Shape};
use moat_core::policy::{Direction, ObjectRef};

use crate::generate::{Cluster, QuotaChoice, cluster, events, follow};
use crate::random::Random;

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Clusters.
    pub clusters: usize,
    /// Events.
    pub events: usize,
    /// Times that all was compiled, of as many as there are [`Self::settled`].
    pub whole: usize,
    /// Comparisons.
    pub settled: usize,
    /// Groups that were compared.
    pub groups: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.clusters += other.clusters;
        self.events += other.events;
        self.whole += other.whole;
        self.settled += other.settled;
        self.groups += other.groups;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clusters, events, whole, settled, groups } = self;
        writeln!(f, "{events} events in {clusters} clusters")?;
        writeln!(f, "{settled} times compiled, {whole} of them as a whole: equal each time")?;
        write!(f, "{groups} groups compared")
    }
}

/// Follows one cluster through so many events.
///
/// # Errors
///
/// The events from the last state that was right, and what differs.
pub fn check(seed: u64, quotas: QuotaChoice, count: usize) -> Result<Tally, String> {
    let Cluster { policies, inventory, settings } = cluster(seed, quotas);
    let mut model = Cluster { policies: Vec::new(), inventory: Inventory::default(), settings };
    let random = &mut Random::new(seed ^ 0x5eed);
    let mut compiler = Compiler::new(model.settings.clone());
    let mut tally = Tally { clusters: 1, ..Tally::default() };
    let mut queue = vec![Event::Policies(policies), Event::Inventory(inventory)];
    let mut told: Vec<Event> = Vec::new();
    let mut last = (model.clone(), Desired::default());
    while tally.events < count {
        let Some(event) = queue.pop() else {
            queue = events(random, &model);
            continue;
        };
        follow(&mut model, &event);
        compiler.tell(event.clone());
        told.push(event);
        tally.events += 1;
        if random.chance(20) {
            continue;
        }
        let change = compiler.settle();
        let fail = |why: String| {
            let before = &last.0;
            format!("seed {seed}, event {}: {why}\nfrom\n{before}\ntold {told:#?}", tally.events)
        };
        let scratch = compile(&model.policies, &model.inventory, &model.settings);
        compare(&compiler, &model, &scratch).map_err(fail)?;
        told_exactly(&change, &last.1, compiler.desired()).map_err(fail)?;
        tally.settled += 1;
        tally.whole += usize::from(matches!(change.extent, Extent::Everything(_)));
        tally.groups += scratch.counts.groups;
        told.clear();
        last = (model.clone(), compiler.desired().clone());
    }
    Ok(tally)
}

fn compare(compiler: &Compiler, model: &Cluster, scratch: &Desired) -> Result<(), String> {
    let Cluster { policies, inventory, settings } = model.clone();
    if compiler.inputs() != (Inputs { policies, inventory, settings }) {
        return Err(format!("it remembers something else: {:#?}", compiler.inputs()));
    }
    let (kept, scratch) = (Canonical::of(compiler.desired()), Canonical::of(scratch));
    if kept == scratch {
        return Ok(());
    }
    let only = |one: &Canonical, other: &Canonical| {
        let mut one = one.ours.clone();
        one.retain(|wearers, rules| other.ours.get(wearers) != Some(rules));
        one
    };
    let (more, less) = (only(&kept, &scratch), only(&scratch, &kept));
    Err(format!("kept alive, it makes {more:?}\nfrom scratch, {less:?}\n{kept:?}\n{scratch:?}"))
}

/// Whether a change names exactly what differs.
fn told_exactly(change: &Change, before: &Desired, after: &Desired) -> Result<(), String> {
    let mut groups = differing(&before.state.groups, &after.state.groups);
    let reasons = differing(&before.reasons, &after.reasons);
    groups.extend(reasons.into_iter().map(|(number, _)| GroupKey::Ours(number)));
    let interfaces = differing(&before.state.interfaces, &after.state.interfaces);
    if change.groups == groups && change.interfaces == interfaces {
        return Ok(());
    }
    Err(format!("{change:?} is told where {groups:?} and {interfaces:?} changed"))
}

fn differing<K: Ord + Clone, V: PartialEq>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> BTreeSet<K> {
    let keys: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|key| before.get(key) != after.get(key)).cloned().collect()
}

// --------------------------------------------------------------------------------------------- Canonical

/// A desired state without the numbers of our groups: groups that the same interfaces wear are one, named by them.
#[derive(Debug, PartialEq, Eq)]
struct Canonical {
    /// How many groups, and their rules with whom each serves.
    ours: BTreeMap<Wearers, (usize, Served)>,
    foreign: BTreeMap<ForeignGroupId, BTreeSet<Rule>>,
    interfaces: BTreeMap<InterfaceId, BTreeSet<ForeignGroupId>>,
    over_quota: BTreeSet<InterfaceId>,
}

/// The interfaces that wear a group.
type Wearers = BTreeSet<InterfaceId>;

/// Rules with the policies that they serve.
type Served = BTreeMap<Said, Arc<[ObjectRef]>>;

/// A rule without numbers.
type Said = (Direction, Whom, Shape);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Prefix(Prefix),
    Foreign(ForeignGroupId),
    Ours(Wearers),
}

impl Canonical {
    fn of(desired: &Desired) -> Self {
        let mut wearers: BTreeMap<GroupNumber, Wearers> = BTreeMap::new();
        let mut interfaces: BTreeMap<InterfaceId, BTreeSet<ForeignGroupId>> = BTreeMap::new();
        for (id, groups) in &desired.state.interfaces {
            let foreign = interfaces.entry(id.clone()).or_default();
            for group in groups {
                match group {
                    GroupKey::Ours(number) => {
                        wearers.entry(*number).or_default().insert(id.clone());
                    }
                    GroupKey::Foreign(group) => drop(foreign.insert(group.clone())),
                }
            }
        }
        let mut ours: BTreeMap<Wearers, (usize, Served)> = BTreeMap::new();
        let mut foreign = BTreeMap::new();
        let worn_by = |number| wearers.get(number).cloned().unwrap_or_default();
        for (key, rules) in &desired.state.groups {
            let number = match key {
                GroupKey::Ours(number) => number,
                GroupKey::Foreign(group) => {
                    foreign.insert(group.clone(), rules.clone());
                    continue;
                }
            };
            let (count, said) = ours.entry(worn_by(number)).or_default();
            *count += 1;
            for rule in rules {
                let whom = match &rule.peer {
                    Peer::Prefix(prefix) => Whom::Prefix(*prefix),
                    Peer::Group(GroupKey::Foreign(group)) => Whom::Foreign(group.clone()),
                    Peer::Group(GroupKey::Ours(number)) => Whom::Ours(worn_by(number)),
                };
                let reason = desired.reasons.get(&(*number, rule.clone()));
                let serves = reason.map(|reason| reason.serves.clone()).unwrap_or_default();
                said.insert((rule.direction, whom, rule.shape), serves);
            }
        }
        Self { ours, foreign, interfaces, over_quota: desired.over_quota.clone() }
    }
}
