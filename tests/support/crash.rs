//! P5 and P7: killed before or after any call, a cluster's VPC comes to the same end, leaks nothing, and nothing of others is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use moat_core::compile::{Desired, compile};
use moat_core::drive::{drive, observe};
use moat_core::firewall::{Cloud, Rule};
use moat_core::inventory::Inventory;
use moat_core::plan::plan;
use moat_core::provider::{Observed, Scope};
use moat_core::settings::Quotas;
use moat_sim::{Config, Fault, GroupId, Injection, Moment, Sim, block_on};

use crate::generate::{Cluster, QuotaChoice, cluster, edit};
use crate::packets::Corners;
use crate::random::Random;
use crate::transitions::ours;

/// Kills at every call of the way from one cluster of a seed to the next, and counts the deaths.
///
/// # Errors
///
/// The death after which something is not as it would be without.
pub fn check(seed: u64) -> Result<usize, String> {
    let mut random = Random::new(seed ^ 0x0064_6561_7468);
    let mut before = cluster(seed, QuotaChoice::Unlimited);
    let mut sim = Sim::new(Config {
        vpc: before.inventory.vpc.clone(),
        quotas: before.settings.quotas,
        paced: false,
        ..Config::default()
    });
    place(&mut sim, &mut before)?;
    converge(&mut sim, &before)?;
    let mut after = edit(&mut random, &before);
    place(&mut sim, &mut after)?;
    let mut well = sim.clone();
    let end = converge(&mut well, &after)?;
    let count = |sim: &Sim| sim.calls().values().sum::<usize>();
    let calls = count(&well) - count(&sim);
    let packets = Corners::of(&[&before, &after]).packets(&mut random, 200);
    for call in 0..calls {
        for moment in [Moment::Before, Moment::After] {
            let mut struck = sim.clone();
            let fault = Fault::Kill(moment);
            struck.inject(Injection { call: None, after: call, times: 1, fault });
            let there = converge(&mut struck, &after)?;
            let (one, other) = (
                Cloud::new(&there.state, &after.inventory),
                Cloud::new(&end.state, &after.inventory),
            );
            if let Some(flow) = packets.iter().find(|flow| one.allows(flow) != other.allows(flow)) {
                let flow = flow.display(&after.inventory);
                return Err(format!("seed {seed}, killed at call {call}: {flow} differs\n{after}"));
            }
            if ours(&there.state) != ours(&end.state) || foreign(&struck) != foreign(&well) {
                return Err(format!("seed {seed}, killed at call {call}: groups differ\n{after}"));
            }
        }
    }
    Ok(2 * calls)
}

fn place(sim: &mut Sim, cluster: &mut Cluster) -> Result<(), String> {
    sim.place(&mut cluster.inventory).map_err(|error| error.to_string())
}

/// Observes, plans and executes until nothing is left to do; begins anew when killed.
fn converge(sim: &mut Sim, cluster: &Cluster) -> Result<Arc<Observed>, String> {
    let Cluster { policies, inventory, settings } = cluster;
    let desired = compile(policies, inventory, settings);
    let mut rounds = 0..20;
    while rounds.next().is_some() {
        if let Some(observed) = round(sim, &desired, inventory, &settings.quotas) {
            return Ok(observed);
        }
        if sim.is_dead() {
            sim.restart();
        }
    }
    Err(format!("twenty rounds are not enough\n{cluster}"))
}

/// One round; the picture, if there was nothing to do.
fn round(
    sim: &mut Sim,
    desired: &Desired,
    inventory: &Inventory,
    quotas: &Quotas,
) -> Option<Arc<Observed>> {
    let scope =
        Scope { interfaces: inventory.interfaces.keys().cloned().collect(), ..Scope::default() };
    let observed = block_on(observe(sim, &scope)).ok()?;
    let way = plan(desired, &observed, inventory, quotas);
    if way.stages.is_empty() {
        return Some(observed);
    }
    block_on(drive(sim, &way, &scope));
    None
}

/// The groups of others with their rules.
fn foreign(sim: &Sim) -> BTreeMap<GroupId, BTreeSet<Rule>> {
    let others = sim.vpc().groups().filter(|(_, group)| group.owner.is_none());
    others.map(|(id, group)| (id.clone(), group.rules.keys().cloned().collect())).collect()
}
