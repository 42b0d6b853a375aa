//! Compiles a cluster and prints what it took and what came of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use moat_core::compile::{Desired, compile};
use moat_core::finding::{Effect, Reason};
use moat_core::net::Transport;
use moat_core::plan::plan;
use moat_core::policy::{Action, Peer, Peers, Rule, ServiceMatch, Services};

use crate::build::{block, ports};
use crate::differential::{Disagreement, compare};
use crate::generate::{Cluster, hand_over};
use crate::proof::{self, Minimum};
use crate::shapes::POD_BLOCK;
use crate::state::observed;

/// What one compile took.
#[derive(Debug)]
pub struct Run {
    /// What came of it.
    pub desired: Desired,
    /// From parsed objects to desired groups.
    pub wall: Duration,
    /// The peak of resident memory above what there was before, in bytes; where the system tells.
    pub peak: Option<u64>,
}

/// Compiles a cluster once, cold.
#[must_use]
pub fn measure(cluster: &Cluster) -> Run {
    // The kernel resets its high-water mark at this; where it may not, the mark is that of the whole process.
    let reset = std::fs::write("/proc/self/clear_refs", "5");
    let before = reset.ok().and_then(|()| memory("VmRSS:"));
    let start = Instant::now();
    let desired = compile(&cluster.policies, &cluster.inventory, &cluster.settings);
    let wall = start.elapsed();
    let peak = memory("VmHWM:").zip(before).map(|(peak, before)| peak.saturating_sub(before));
    Run { desired, wall, peak }
}

/// What it costs and saves to hand over the network ACL of one subnet with all pods.
#[must_use]
pub fn guarding(cluster: &Cluster) -> String {
    let mut guarded = cluster.clone();
    hand_over(&mut guarded, &[POD_BLOCK]);
    let [without, with] = [cluster, &guarded].map(measure);
    let [before, after] = [&without, &with].map(|run| run.wall.as_secs_f64());
    let counts = with.desired.counts;
    format!(
        "{before:.3} s, with an ACL {after:.3} s, {:.2} times; {} rules, with an ACL {} and {} entries of at least {}",
        after / before,
        without.desired.counts.rules,
        counts.rules,
        counts.entries,
        counts.minimum_entries,
    )
}

/// What planning a small edit takes, once everything else is in place: one policy accepts one more rule.
///
/// # Errors
///
/// There is nothing to edit.
pub fn small_edit(cluster: &Cluster, desired: &Desired) -> Result<String, String> {
    let Cluster { mut policies, inventory, settings } = cluster.clone();
    let middle = policies.len() / 2;
    let editable = policies.iter_mut().skip(middle).find_map(|policy| policy.ingress.as_mut());
    editable.ok_or("no policy has ingress rules")?.push(Rule {
        path: "spec.ingress".into(),
        name: None,
        action: Action::Accept,
        peers: Peers::AnyOf(vec![Peer::Addresses(block("192.0.2.0/24", &[]))]),
        services: Services::AnyOf(vec![ServiceMatch::Set(ports(Transport::Tcp, 443, 443))]),
        failed_closed: false,
    });
    let edited = compile(&policies, &inventory, &settings);
    let there = observed(&desired.state, &inventory);
    let start = Instant::now();
    let way = plan(&edited, &there, &inventory, &settings.quotas);
    let wall = start.elapsed().as_secs_f64();
    let groups = desired.counts.groups;
    Ok(format!("a small edit among {groups} groups: {} calls planned in {wall:.4} s", way.calls()))
}

/// Proves what came of a cluster, apart from the compile: equal to the policies as sets, equal on packets, and the fewest rules.
///
/// # Errors
///
/// The flow on which policies and groups disagree beyond the findings, or the rules that are too many.
pub fn prove(cluster: &Cluster, desired: &Desired, packets: usize) -> Result<String, String> {
    let describe = |found: Disagreement| found.describe(&cluster.inventory);
    let (proof, as_sets) = timed(|| proof::prove(cluster, desired));
    let (tally, sampled) = timed(|| compare(cluster, desired, 1, packets));
    let (found, counted) = timed(|| proof::minimum(cluster, desired));
    let (proof, tally) = (proof.map_err(describe)?, tally.map_err(describe)?);
    let counts = desired.counts;
    if found != (Minimum { rules: counts.prefix_rules, bound: counts.minimum_prefix_rules }) {
        return Err(format!("{found}, but the compiler counts {counts:?}"));
    }
    Ok(format!(
        "policies and groups proven equal, but for exactly the findings, in {as_sets:.3} s: {proof}\n\
         {} packets judged equal by both references in {sampled:.3} s\n\
         proven in {counted:.3} s: {found}",
        tally.packets,
    ))
}

/// What comes of something, and the seconds that it takes.
fn timed<T>(make: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let made = make();
    (made, start.elapsed().as_secs_f64())
}

/// Groups, rules, the exact minimum, the largest group, and findings by reason.
#[must_use]
pub fn counts(desired: &Desired) -> String {
    let counts = desired.counts;
    let mut reasons: BTreeMap<(Effect, Reason), usize> = BTreeMap::new();
    for finding in &desired.findings {
        *reasons.entry((finding.effect, finding.reason)).or_default() += 1;
    }
    let reasons: Vec<String> = reasons
        .iter()
        .map(|((effect, reason), count)| format!("{count} {reason} ({effect})"))
        .collect();
    format!(
        "{} pods, {} policies, {} classes, {} groups, {} rules ({} for prefixes, minimum {}; {} references), largest group {}; \
         findings: {}",
        counts.pods,
        counts.policies,
        counts.classes,
        counts.groups,
        counts.rules,
        counts.prefix_rules,
        counts.minimum_prefix_rules,
        counts.reference_rules,
        counts.largest_group,
        if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") },
    )
}

pub(crate) fn memory(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
