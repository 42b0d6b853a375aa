//! P2, P4 and P6: every state that a plan can pass through is inside the band, and planning again is empty.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

use moat_core::budget::breaches;
use moat_core::compile::compile;
use moat_core::firewall::{AclKey, GroupKey, State};
use moat_core::inventory::{Attachment, Inventory};
use moat_core::plan::{Held, Plan, plan};
use moat_core::provider::Step;
use moat_core::settings::Quotas;

use crate::band::Band;
use crate::generate::{Cluster, QuotaChoice, cluster, edit, edit_guarded, guarded_cluster};
use crate::packets::Corners;
use crate::random::Random;
use crate::state::{by_others, observed, take, untouched};

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Plans.
    pub plans: usize,
    /// Those with something to do.
    pub busy: usize,
    /// Those that leave something as it is, for want of a way within band and quotas.
    pub held: usize,
    /// Stages.
    pub stages: usize,
    /// States between two calls.
    pub states: usize,
    /// Packets judged in those states.
    pub packets: usize,
    /// Steps that concern network ACLs.
    pub acl_steps: usize,
}

/// Brings up the cluster of a seed, edits it `edits` times, and checks every plan on the way.
///
/// # Errors
///
/// The cluster, the step and the packet that leave the band.
pub fn check(seed: u64, quotas: QuotaChoice, edits: usize) -> Result<Tally, String> {
    walk_edits(seed, cluster(seed, quotas), edits, edit)
}

/// The same where network ACLs are handed over.
///
/// # Errors
///
/// As for [`check`]; a packet that passes all the time without its replies leaves the band, too.
pub fn check_guarded(seed: u64, quotas: QuotaChoice, edits: usize) -> Result<Tally, String> {
    walk_edits(seed, guarded_cluster(seed, quotas), edits, edit_guarded)
}

fn walk_edits(
    seed: u64,
    mut before: Cluster,
    edits: usize,
    edit: impl Fn(&mut Random, &Cluster) -> Cluster,
) -> Result<Tally, String> {
    let mut random = Random::new(seed ^ 0x6d6f_6174);
    let mut now = untouched(&before.inventory);
    let mut tally = Tally::default();
    now = transition(&before, &before, now, &mut random, &mut tally)
        .map_err(|why| format!("seed {seed}, from nothing: {why}\n{before}"))?;
    for round in 1..=edits {
        let after = edit(&mut random, &before);
        now = by_others(now, &after.inventory);
        now = transition(&before, &after, now, &mut random, &mut tally).map_err(|why| {
            format!("seed {seed}, edit {round}: {why}\nbefore:\n{before}\nafter:\n{after}")
        })?;
        before = after;
    }
    Ok(tally)
}

/// Brings up one cluster, and then another in its place, and checks both plans.
///
/// # Errors
///
/// The step and the packet that leave the band.
pub fn between(before: &Cluster, after: &Cluster) -> Result<Tally, String> {
    let mut random = Random::new(0);
    let mut first = Tally::default();
    let now = untouched(&before.inventory);
    let now = transition(before, before, now, &mut random, &mut first)?;
    let mut tally = Tally::default();
    let now = by_others(now, &after.inventory);
    transition(before, after, now, &mut random, &mut tally)?;
    Ok(tally)
}

/// Plans the way to a cluster, checks each state on it, and returns the last.
fn transition(
    before: &Cluster,
    after: &Cluster,
    now: State,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<State, String> {
    let Cluster { policies, inventory, settings } = after;
    let desired = compile(policies, inventory, settings);
    let known = known_subnets(before, after);
    let picture = |state: &State| {
        let mut picture = observed(state, inventory);
        let former = known.subnets.iter().filter(|(id, _)| !inventory.subnets.contains_key(*id));
        picture.former = former.map(|(id, subnet)| (id.clone(), subnet.prior.clone())).collect();
        picture
    };
    let way = plan(&desired, &picture(&now), inventory, &settings.quotas);
    tally.plans += 1;
    tally.acl_steps += way.steps().filter(|step| matches!(step, Step::Acl(_))).count();
    tally.busy += usize::from(!way.stages.is_empty());
    tally.held += usize::from(way.held != Held::default());
    let packets = Corners::of(&[before, after]).packets(random, 120);
    let mut wanted = desired.state.clone();
    let given_back = known.subnets.iter();
    let prior = given_back.map(|(id, it)| (id.clone(), AclKey::Foreign(it.prior.clone())));
    wanted.subnets = prior.chain(wanted.subnets).collect();
    let band = Band::new(&now, &wanted, &known, packets);
    let end = walk(&way, &now, &band, &settings.quotas, random, tally)?;
    if end != way.target {
        return Err("the steps do not lead to the plan's target".to_owned());
    }
    let again = plan(&desired, &picture(&end), inventory, &settings.quotas);
    if !again.stages.is_empty() {
        let steps: Vec<String> = again.steps().map(ToString::to_string).collect();
        return Err(format!("planning again is not empty: {}", steps.join("; ")));
    }
    if way.held == Held::default()
        && let Some(flow) = band.differs_from(&way.target)
    {
        let flow = flow.display(inventory);
        return Err(format!("the target does not mean what is desired: {flow}"));
    }
    Ok(end)
}

/// The inventory, with the subnets that were handed over before.
fn known_subnets(before: &Cluster, after: &Cluster) -> Inventory {
    let mut known = after.inventory.clone();
    for (id, subnet) in &before.inventory.subnets {
        known.subnets.entry(id.clone()).or_insert_with(|| subnet.clone());
    }
    known
}

/// Takes every subset of each stage, and then the stage.
fn walk(
    way: &Plan,
    start: &State,
    band: &Band<'_>,
    quotas: &Quotas,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<State, String> {
    let mut state = start.clone();
    for stage in &way.stages {
        tally.stages += 1;
        if stage.steps.is_empty() {
            return Err("a stage without steps".to_owned());
        }
        for subset in subsets(random, stage.steps.len()) {
            let mut between = state.clone();
            for step in subset.iter().filter_map(|index| stage.steps.get(*index)) {
                step_is_ours(step, band.inventory)?;
                take(&mut between, step)?;
            }
            tally.states += 1;
            tally.packets += band.packets();
            let steps = || -> String {
                let steps = subset.iter().map(|index| stage.steps[*index].to_string());
                steps.collect::<Vec<_>>().join("; ")
            };
            if let Some(escape) = band.left_by(&between) {
                return Err(format!("stage {:?} after [{}]: {escape}", stage.purpose, steps()));
            }
            let known = breaches(start, quotas);
            if let Some(breach) =
                breaches(&between, quotas).into_iter().find(|breach| !known.contains(breach))
            {
                return Err(format!("stage {:?} after [{}]: {breach}", stage.purpose, steps()));
            }
        }
        for step in &stage.steps {
            take(&mut state, step)?;
        }
    }
    Ok(state)
}

/// Only exclusive interfaces are ever moved (P7).
fn step_is_ours(step: &Step, inventory: &Inventory) -> Result<(), String> {
    let Step::SetGroups { interface, .. } = step else { return Ok(()) };
    let attachment = inventory.interfaces.get(interface).map(|interface| interface.attachment);
    match attachment {
        Some(Attachment::Exclusive) => Ok(()),
        Some(Attachment::Fixed | Attachment::Released | Attachment::Shared) | None => {
            Err(format!("{step}: the interface is not an exclusive one"))
        }
    }
}

/// Every subset of up to five steps in random order; of more, each step alone, all but each, and twenty by chance.
fn subsets(random: &mut Random, steps: usize) -> BTreeSet<Vec<usize>> {
    if steps <= 5 {
        let all = 0_usize..1 << steps;
        return all
            .map(|mask| (0..steps).filter(|index| mask & (1 << index) != 0).collect())
            .collect();
    }
    let mut chosen: BTreeSet<Vec<usize>> = BTreeSet::from([(0..steps).collect()]);
    chosen.extend((0..steps.min(8)).map(|index| vec![index]));
    chosen.extend((0..steps.min(8)).map(|gap| (0..steps).filter(|index| *index != gap).collect()));
    for _ in 0..20 {
        chosen.insert((0..steps).filter(|_| random.chance(50)).collect());
    }
    chosen
}

/// The groups of ours in a state.
#[must_use]
pub fn ours(state: &State) -> usize {
    state.groups.keys().filter(|key| matches!(key, GroupKey::Ours(_))).count()
}

// ------------------------------------------------------------------------------------------------ Tally

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.plans += other.plans;
        self.busy += other.busy;
        self.held += other.held;
        self.stages += other.stages;
        self.states += other.states;
        self.packets += other.packets;
        self.acl_steps += other.acl_steps;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plans, busy, held, stages, states, packets, acl_steps } = self;
        write!(
            f,
            "{plans} plans ({busy} with something to do, {held} with something held), {stages} stages, {acl_steps} steps of network ACLs, \
             {states} states between calls, {packets} packets: all inside the band, and planning again is empty"
        )
    }
}
