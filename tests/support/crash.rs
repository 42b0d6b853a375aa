//! P5 and P7: whatever befalls any call, a cluster's VPC comes to the same end, leaks nothing, and nothing of others is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moat_core::firewall::{Cloud, Rule};
use moat_core::provider::ProviderError;
use moat_core::settings::OnQuota;
use moat_sim::{Fault, GroupId, Injection, Moment, Sim};

use crate::driven::{Driven, FEW_RULES};
use crate::generate::{Cluster, QuotaChoice, cluster, edit, edit_guarded, guarded_cluster};
use crate::packets::Corners;
use crate::random::Random;
use crate::transitions::ours;

/// Kills at every call of the way from one cluster of a seed to the next, and counts the deaths.
///
/// # Errors
///
/// The death after which something is not as it would be without.
pub fn check(seed: u64) -> Result<usize, String> {
    let faults = [Moment::Before, Moment::After].map(|moment| (1, Fault::Kill(moment)));
    befall(seed, cluster(seed, QuotaChoice::Unlimited), edit, &faults)
}

/// Lets every kind of fault befall every call, where network ACLs are handed over, and counts them.
///
/// # Errors
///
/// The fault after which something is not as it would be without.
pub fn check_guarded(seed: u64) -> Result<usize, String> {
    let mut cluster = guarded_cluster(seed, QuotaChoice::Unlimited);
    cluster.settings.quotas = FEW_RULES;
    // What is held depends on what was there.
    cluster.settings.on_quota = OnQuota::Narrow;
    befall(seed, cluster, edit_guarded, &faults())
}

/// Deaths and losses once, refusals three times in a row.
fn faults() -> [(usize, Fault); 7] {
    let action = || "any".to_owned();
    let (code, retry_after) = (action(), Some(Duration::from_secs(7)));
    let kill = |moment| (1, Fault::Kill(moment));
    let lose = |moment| (1, Fault::Lose(moment));
    let refuse = |error| (3, Fault::Refuse(error));
    [
        kill(Moment::Before),
        kill(Moment::After),
        lose(Moment::Before),
        lose(Moment::After),
        refuse(ProviderError::Transient { action: action(), code: None, message: action() }),
        refuse(ProviderError::NotYetVisible { subject: action(), code: None }),
        refuse(ProviderError::Throttled { action: action(), code, retry_after }),
    ]
}

fn befall(
    seed: u64,
    mut before: Cluster,
    edit: impl Fn(&mut Random, &Cluster) -> Cluster,
    faults: &[(usize, Fault)],
) -> Result<usize, String> {
    let mut random = Random::new(seed ^ 0x0064_6561_7468);
    let mut start = Driven::new(&before);
    start.place(&mut before)?;
    start.converge(&before)?;
    let mut after = edit(&mut random, &before);
    start.place(&mut after)?;
    let mut well = start.clone();
    let end = well.converge(&after)?;
    start.share(&well);
    let calls = well.calls() - start.calls();
    let packets = Corners::of(&[&before, &after]).packets(&mut random, 200);
    for call in 0..calls {
        for (times, fault) in faults {
            let mut struck = start.clone();
            let (times, fault) = (*times, fault.clone());
            let told = format!("seed {seed}, {fault:?} at call {call}");
            struck.sim.inject(Injection { call: None, after: call, times, fault });
            let there = struck.converge(&after).map_err(|why| format!("{told}: {why}"))?;
            let (one, other) = (
                Cloud::new(&there.state, &after.inventory),
                Cloud::new(&end.state, &after.inventory),
            );
            if let Some(flow) = packets.iter().find(|flow| one.allows(flow) != other.allows(flow)) {
                let flow = flow.display(&after.inventory);
                return Err(format!("{told}: {flow} differs\n{after}"));
            }
            if ours(&there.state) != ours(&end.state) || foreign(&struck.sim) != foreign(&well.sim)
            {
                return Err(format!("{told}: groups differ\n{after}"));
            }
            let (guards, expected) = (struck.guards(), well.guards());
            if guards != expected {
                return Err(format!("{told}: {guards:#?} is not {expected:#?}\n{after}"));
            }
        }
    }
    Ok(faults.len() * calls)
}

/// The groups of others with their rules.
fn foreign(sim: &Sim) -> BTreeMap<GroupId, BTreeSet<Rule>> {
    let others = sim.vpc().groups().filter(|(_, group)| group.owner.is_none());
    others.map(|(id, group)| (id.clone(), group.rules.keys().cloned().collect())).collect()
}
