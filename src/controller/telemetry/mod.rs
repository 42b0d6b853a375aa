//! What the controller lets be seen of itself: whether it lives, and its metrics.
//!
//! The worker and those who report say what happened; a scrape makes metrics of it. Every label comes from a closed set, but for the
//! name of a group, of which quotas allow a few thousand. No series is about a pod.

mod cloud;
mod gauges;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moat_core::budget;
use moat_core::compile::Counts;
use moat_core::finding::{Effect, Finding, Reason};
use moat_core::firewall::{AclName, GroupKey, GroupNumber, Rule};
use moat_core::net::Family;
use moat_core::plan::{Held, Plan, Purpose, Stage};
use moat_core::policy::Direction;
use moat_core::provider::{Observed, Step};
use moat_core::settings::Quotas;
use moat_k8s::configuration::{Configuration, Mode};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Series;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::index::Standing;
use crate::kinds::Watched;
use crate::lease::Tenure;
use cloud::Cloud;

/// What the controller lets be seen of itself.
#[derive(Debug)]
pub(crate) struct Telemetry {
    born: Instant,
    /// Milliseconds from `born` to the last sign of life.
    beat: AtomicU64,
    seen: Mutex<Seen>,
    cloud: Arc<Cloud>,
    latency: Phases,
    change: Histogram,
    minimum_calls: Counter,
    drift_repairs: Counter,
    rejections: Counter,
}

/// The times of each phase.
type Phases = Series<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

/// A part of a round that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Reading the cloud.
    Observe,
    /// Translating what changed.
    Compile,
    /// Finding the way.
    Plan,
    /// Changing the cloud, and reading it back.
    Apply,
}

/// What is seen of the moment.
#[derive(Debug)]
struct Seen {
    cluster: String,
    mode: Mode,
    tenure: Tenure,
    /// Whether what each watch told is complete, and whether it is current.
    watches: BTreeMap<Watched, Standing>,
    /// The change that is being enforced, and the one that was told since.
    change: Option<Change>,
    next: Option<Change>,
    /// Revocations that close something, since when each is due.
    revokes: BTreeMap<(GroupNumber, Rule), Instant>,
    held: Held,
    /// Whether the cloud was read back and is as desired; none before anybody tried.
    equal: Option<bool>,
    /// What the last round left; none before the first.
    left: Option<Left>,
    findings: BTreeMap<(Reason, Effect), usize>,
    /// How many policies say each: a condition, its status, its reason.
    policies: BTreeMap<(String, String, String), usize>,
}

/// Changes of the cluster that are enforced together.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// When the first of them was told.
    since: Instant,
    /// Whether the cloud had to be changed for them.
    stepped: bool,
}

/// What a round left.
#[derive(Debug)]
struct Left {
    rules: BTreeMap<(GroupNumber, Direction, Family), usize>,
    entries: BTreeMap<(AclName, Direction, Family), usize>,
    groups: usize,
    counts: Counts,
    quotas: Quotas,
}

/// What a round did.
#[derive(Debug)]
pub(crate) struct Done<'a> {
    /// The last picture, if there is one.
    pub(crate) observed: Option<&'a Observed>,
    /// What was done of the plan.
    pub(crate) stages: &'a [Stage],
    /// What was not.
    pub(crate) remaining: &'a Plan,
    /// Whether the round came to its end.
    pub(crate) ended: bool,
    /// How many things of ours that others changed were put right.
    pub(crate) repaired: usize,
    /// What is desired.
    pub(crate) counts: Counts,
    /// The limits.
    pub(crate) quotas: Quotas,
}

/// A worker that gave no sign of life for so long hangs. The longest that a cloud is waited for without one is a tenth of it.
const HANGS: Duration = Duration::from_secs(300);

/// Upper bounds of durations, in seconds: from an edit in a small cluster to the buckets of EC2 running empty.
const BOUNDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

impl Telemetry {
    pub(crate) fn new(configuration: &Configuration, tenure: Tenure) -> Self {
        let seen = Seen {
            cluster: configuration.cluster.to_string(),
            mode: configuration.mode,
            tenure,
            watches: BTreeMap::new(),
            change: None,
            next: None,
            revokes: BTreeMap::new(),
            held: Held::default(),
            equal: None,
            left: None,
            findings: BTreeMap::new(),
            policies: BTreeMap::new(),
        };
        Self {
            born: Instant::now(),
            beat: AtomicU64::default(),
            seen: Mutex::new(seen),
            cloud: Arc::default(),
            latency: Series::new_with_constructor(histogram),
            change: histogram(),
            minimum_calls: Counter::default(),
            drift_repairs: Counter::default(),
            rejections: Counter::default(),
        }
    }

    /// Whom the provider tells of its requests.
    pub(crate) fn meter(&self) -> Arc<Cloud> {
        Arc::clone(&self.cloud)
    }

    /// What the operator decides changes.
    pub(crate) fn decided(&self, configuration: &Configuration) {
        self.seen().mode = configuration.mode;
    }

    /// A sign of life: whoever works was not stuck a moment ago.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(now, Ordering::Relaxed);
    }

    /// Whether there was a sign of life lately.
    pub(crate) fn lives(&self) -> bool {
        let last = Duration::from_millis(self.beat.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last) < HANGS
    }

    /// The watches that policies need and that have not told everything yet; none if all have.
    pub(crate) fn missing(&self) -> Option<Vec<Watched>> {
        let seen = self.seen();
        let missing = |watched: &Watched| {
            !seen.watches.get(watched).is_some_and(|standing| standing.complete)
        };
        let missing: Vec<Watched> = Watched::of_policies().filter(missing).collect();
        (!missing.is_empty()).then_some(missing)
    }

    /// How the watches stand, and whether they told of a change.
    pub(crate) fn told(&self, watches: &BTreeMap<Watched, Standing>, changed: bool) {
        let mut seen = self.seen();
        seen.watches.clone_from(watches);
        if changed {
            seen.next.get_or_insert_with(Change::at_once);
        }
    }

    /// The lease came or went: what waited, waited for someone else.
    pub(crate) fn lease_changed(&self) {
        let mut seen = self.seen();
        let waits = seen.change.take().or(seen.next.take());
        seen.next = waits.map(|_| Change::at_once());
        seen.revokes.clear();
        seen.held = Held::default();
        seen.equal = None;
        seen.left = None;
    }

    /// A part of a round took a time.
    pub(crate) fn took(&self, phase: Phase, time: Duration) {
        self.latency.get_or_create(&[("phase", phase.word())]).observe(time.as_secs_f64());
    }

    /// A round begins with what was told by now: what is told from here on is another change.
    pub(crate) fn begin(&self) {
        let mut seen = self.seen();
        let next = seen.next.take();
        seen.change = seen.change.or(next);
    }

    /// A plan was made: what it revokes is due.
    pub(crate) fn planned(&self, plan: &Plan) {
        let due: BTreeSet<(GroupNumber, Rule)> = plan.stages.iter().flat_map(closing).collect();
        let now = Instant::now();
        let mut seen = self.seen();
        seen.revokes.retain(|revoke, _| due.contains(revoke));
        for revoke in due {
            seen.revokes.entry(revoke).or_insert(now);
        }
        let Held { groups, interfaces, .. } = &plan.held;
        let more = groups.difference(&seen.held.groups).count()
            + interfaces.difference(&seen.held.interfaces).count();
        self.rejections.inc_by(u64::try_from(more).unwrap_or(u64::MAX));
        seen.held = plan.held.clone();
    }

    /// A round is over.
    pub(crate) fn round(&self, done: &Done<'_>) {
        let plan = Plan { stages: done.stages.to_vec(), ..Plan::default() };
        self.minimum_calls.inc_by(u64::try_from(plan.minimum_calls()).unwrap_or(u64::MAX));
        if done.ended {
            self.drift_repairs.inc_by(u64::try_from(done.repaired).unwrap_or(u64::MAX));
        }
        let mut seen = self.seen();
        let due: BTreeSet<_> = done.remaining.stages.iter().flat_map(closing).collect();
        seen.revokes.retain(|revoke, _| due.contains(revoke));
        let equal = done.ended
            && done.remaining.stages.is_empty()
            && done.remaining.held == Held::default();
        if let Some(change) = &mut seen.change {
            change.stepped |= !done.stages.is_empty();
        }
        if equal
            && let Some(change) = seen.change.take()
            && change.stepped
        {
            self.change.observe(change.since.elapsed().as_secs_f64());
        }
        let (rules, entries) = match (done.observed, seen.left.take()) {
            (Some(observed), _) => (rules(observed), entries(observed)),
            (None, Some(before)) => (before.rules, before.entries),
            (None, None) => Default::default(),
        };
        let groups = rules.keys().map(|(group, ..)| *group).collect::<BTreeSet<_>>().len();
        seen.equal = Some(equal);
        let (counts, quotas) = (done.counts, done.quotas);
        seen.left = Some(Left { rules, entries, groups, counts, quotas });
    }

    /// Nobody can tell whether the cloud is as desired.
    pub(crate) fn unknown(&self) {
        self.seen().equal = Some(false);
    }

    /// What is found, and what policies say of themselves.
    pub(crate) fn reported<'a>(
        &self,
        findings: impl Iterator<Item = &'a Finding>,
        policies: impl Iterator<Item = (String, String, String)>,
    ) {
        let mut seen = self.seen();
        seen.findings = count(findings.map(|finding| (finding.reason, finding.effect)));
        seen.policies = count(policies);
    }

    /// Everything, in the text format of Prometheus.
    pub(crate) fn text(self: &Arc<Self>) -> String {
        let mut registry = Registry::with_prefix("moat");
        registry.register(
            "enforcement_latency_seconds",
            "Time that a part of enforcing took",
            self.latency.clone(),
        );
        registry.register(
            "change_latency_seconds",
            "Time from a change of the cluster that the cloud had to follow until all of it was read back",
            self.change.clone(),
        );
        registry.register(
            "ec2_minimum_calls",
            "The fewest changing calls that what was done takes",
            self.minimum_calls.clone(),
        );
        registry.register(
            "drift_repairs",
            "What others changed of Moat's and was put right",
            self.drift_repairs.clone(),
        );
        registry.register(
            "unsafe_plan_rejections",
            "Groups and interfaces that came to be left as they are, since no way to what is desired keeps to the old and new policies and the quotas",
            self.rejections.clone(),
        );
        self.cloud.register(&mut registry);
        registry.register_collector(Box::new(gauges::Gauges(Arc::clone(self))));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes each turn of some work for a sign of life. It is a task of its own, so that nothing but what it waits for gives it one.
pub(crate) async fn with_signs_of_life<T>(
    telemetry: Arc<Telemetry>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        telemetry.beat();
        work.as_mut().poll(context)
    })
    .await
}

impl Change {
    fn at_once() -> Self {
        Self { since: Instant::now(), stepped: false }
    }
}

impl Phase {
    const fn word(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Compile => "compile",
            Self::Plan => "plan",
            Self::Apply => "apply",
        }
    }
}

fn histogram() -> Histogram {
    Histogram::new(BOUNDS)
}

fn count<T: Ord>(things: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counted = BTreeMap::new();
    for thing in things {
        *counted.entry(thing).or_default() += 1;
    }
    counted
}

/// What a stage revokes in order to close it.
fn closing(stage: &Stage) -> impl Iterator<Item = (GroupNumber, Rule)> + '_ {
    let steps = stage.steps.iter().filter(|_| stage.purpose == Purpose::Tighten);
    steps.flat_map(|step| {
        let revoked = match step {
            Step::Revoke { group, rules, .. } => Some((*group, rules)),
            Step::CreateGroup(_)
            | Step::Authorize { .. }
            | Step::SetGroups { .. }
            | Step::DeleteGroup(_)
            | Step::Acl(_) => None,
        };
        revoked
            .into_iter()
            .flat_map(|(group, rules)| rules.iter().map(move |rule| (group, rule.clone())))
    })
}

/// What the rules of each group of ours cost, by direction and family.
fn rules(observed: &Observed) -> BTreeMap<(GroupNumber, Direction, Family), usize> {
    let ours = observed.state.groups.iter().filter_map(|(key, rules)| match key {
        GroupKey::Ours(number) => Some((*number, rules)),
        GroupKey::Foreign(_) => None,
    });
    let each = ours.flat_map(|(number, rules)| {
        Direction::BOTH.into_iter().flat_map(move |direction| {
            Family::BOTH.into_iter().map(move |family| {
                ((number, direction, family), budget::rules(rules, direction, family))
            })
        })
    });
    each.collect()
}

/// What the entries of each ACL of ours cost.
fn entries(observed: &Observed) -> BTreeMap<(AclName, Direction, Family), usize> {
    let ours = observed.state.acls.iter().filter_map(|(key, acl)| Some((key.ours()?, acl)));
    let each = ours.flat_map(|(name, acl)| {
        let costs = budget::entries(acl.0.iter().map(|(key, entry)| (key.direction, *entry)));
        let named = move |((direction, family), cost)| ((name.clone(), direction, family), cost);
        costs.into_iter().map(named)
    });
    each.collect()
}

#[cfg(test)]
mod tests;
