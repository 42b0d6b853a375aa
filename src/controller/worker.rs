//! The one who changes the cloud: compile, plan, carry out stage by stage, read back, tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moat_core::compile::{Compiler, Event, Inputs};
use moat_core::drift;
use moat_core::drive::{self, Ending};
use moat_core::finding::Finding;
use moat_core::firewall::{GroupKey, Naming};
use moat_core::inventory::InterfaceId;
use moat_core::placement;
use moat_core::plan::{self, Held, Plan};
use moat_core::policy::ObjectRef;
use moat_core::provider::{Capabilities, Observed, Provider, ProviderError, Scope};
use moat_k8s::configuration::{Configuration, Mode};
use tokio::sync::{mpsc, watch};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::index::{Index, Known, Standing};
use crate::kinds::Watched;
use crate::lease::Tenure;
use crate::watch::Told;

/// What came of a round, for those who report it.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// The policies as they were seen.
    pub(crate) policies: BTreeMap<ObjectRef, Arc<Known>>,
    /// What was compiled: its findings are left to who reports them.
    pub(crate) inputs: Inputs,
    /// The groups that interfaces should wear, as long as something remains to be done.
    pub(crate) worn: BTreeMap<InterfaceId, BTreeSet<GroupKey>>,
    /// What was not understood of other objects, and what someone else did in groups of ours.
    pub(crate) findings: Vec<Finding>,
    /// What the last picture lacks.
    pub(crate) remaining: Plan,
    /// Why the rest is not done, if it is not.
    pub(crate) holdup: Option<Holdup>,
}

/// Why a plan is not carried out to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holdup {
    /// It is under way: the next round goes on.
    Pending,
    /// The configuration says `mode: Observe`.
    Observing,
    /// The cloud was not read, or refused a step.
    Refused(String),
    /// What is known of the cluster may be old.
    Stale(String),
}

/// The worker, with all that it knows.
#[derive(Debug)]
pub(crate) struct Worker<P> {
    cloud: P,
    configuration: Configuration,
    told: mpsc::Receiver<Told>,
    rounds: watch::Sender<Option<Arc<Round>>>,
    tenure: Tenure,
    stop: watch::Receiver<bool>,
    index: Index,
    compiler: Compiler,
    capabilities: Option<Capabilities>,
    picture: Option<Picture>,
    /// Rounds in a row that did not come to their end.
    failures: u32,
}

/// A picture of the cloud, and what it shows.
#[derive(Debug)]
struct Picture {
    observed: Observed,
    scope: Scope,
    taken: Instant,
}

/// How long a picture counts while nothing changes: what others do to the cloud shows no later.
const FRESH: Duration = Duration::from_secs(60);

/// The longest wait after a round that did not come to its end.
const LONGEST: Duration = Duration::from_secs(60);

impl<P: Provider + Send> Worker<P> {
    pub(crate) fn new(
        cloud: P,
        configuration: Configuration,
        told: mpsc::Receiver<Told>,
        rounds: watch::Sender<Option<Arc<Round>>>,
        tenure: Tenure,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            cloud,
            configuration,
            told,
            rounds,
            tenure,
            stop,
            index: Index::default(),
            compiler: Compiler::default(),
            capabilities: None,
            picture: None,
            failures: 0,
        }
    }

    /// Works, while the lease is ours, until it is told to stop. Cut off anywhere, the next one comes to the same end.
    pub(crate) async fn run(mut self) {
        let mut due = Instant::now();
        loop {
            let works = self.index.is_current() && self.tenure.is_held();
            tokio::select! {
                biased;
                () = told_to(&mut self.stop) => return,
                () = self.tenure.changed() => {
                    // Another one may have changed the cloud meanwhile.
                    self.picture = None;
                    due = Instant::now();
                    continue;
                }
                told = self.told.recv() => match told {
                    Some(told) => {
                        if self.absorb(told) {
                            due = Instant::now();
                        }
                        self.tell_stale();
                        continue;
                    }
                    None => return,
                },
                () = sleep_until(due), if works => {}
            }
            due = self.round().await;
        }
    }

    /// Takes all that was told by now; whether it changed anything.
    fn absorb(&mut self, first: Told) -> bool {
        let mut changed = self.index.take(first);
        while let Ok(told) = self.told.try_recv() {
            changed |= self.index.take(told);
        }
        changed
    }

    /// Brings the cloud to what the policies say, as far as it comes; when to look again.
    async fn round(&mut self) -> Instant {
        let (round, again) = match self.attempt().await {
            Ok(round) => round,
            Err(error) => {
                warn!(%error, "the cloud was not read");
                self.failures = self.failures.saturating_add(1);
                self.tell_holdup(&Holdup::Refused(error));
                return Instant::now() + self.pause();
            }
        };
        let refused = matches!(round.holdup, Some(Holdup::Refused(_)));
        self.failures = if refused { self.failures.saturating_add(1) } else { 0 };
        if self.tenure.is_held() {
            self.rounds.send_replace(Some(Arc::new(round)));
        }
        match again {
            _ if refused => Instant::now() + self.pause(),
            Again::AtOnce => Instant::now(),
            Again::Later => Instant::now() + FRESH,
        }
    }

    async fn attempt(&mut self) -> Result<(Round, Again), String> {
        let text = |error: ProviderError| error.to_string();
        let snapshot = self.index.snapshot();
        let (mut inventory, mut findings) = (snapshot.inventory, snapshot.findings);
        let capabilities = match &self.capabilities {
            Some(capabilities) => capabilities.clone(),
            None => {
                let read = self.cloud.capabilities().await.map_err(text)?;
                self.capabilities.insert(read).clone()
            }
        };
        findings.extend(placement::take_absent(&mut inventory));
        findings.extend(placement::disputed(&inventory));
        inventory.vpc = capabilities.vpc;
        self.cloud.place(&mut inventory)?;
        let scope = placement::scope(&inventory);
        let observed = self.picture(&scope).await.map_err(text)?;
        placement::place(&mut inventory, &observed);
        findings.extend(placement::unplaced(&inventory));
        let settings = self.configuration.settings(capabilities.quotas);
        let policies = self.configuration.in_force(snapshot.policies, &inventory);
        let compiler = &mut self.compiler;
        let (inputs, plan) = block_in_place(|| {
            let quotas = settings.quotas;
            compiler.tell(Event::Settings(settings));
            compiler.tell(Event::Policies(policies));
            compiler.tell(Event::Inventory(inventory));
            compiler.settle();
            let inputs = compiler.inputs();
            let plan = plan::plan(compiler.desired(), &observed, &inputs.inventory, &quotas);
            (inputs, plan)
        });
        let cluster = &*self.configuration.cluster.to_string();
        findings.extend(drift::kept(&observed, cluster));
        findings.extend(drift::taken(&observed, cluster));
        findings.extend(drift::repaired(&observed, &plan.stages, &inputs.inventory, cluster));
        let (remaining, holdup, again) = self.carry_out(plan, &scope).await;
        let policies = self.index.policies().clone();
        let all_done = remaining.stages.is_empty() && remaining.held == Held::default();
        let worn = if all_done {
            BTreeMap::new()
        } else {
            self.compiler.desired().state.interfaces.clone()
        };
        let round = Round { policies, inputs, worn, findings, remaining, holdup };
        Ok((round, again))
    }

    /// The picture, read anew if it is old or does not show what is asked for.
    async fn picture(&mut self, scope: &Scope) -> Result<Observed, ProviderError> {
        if let Some(picture) = &self.picture
            && picture.taken.elapsed() < FRESH
            && picture.scope.interfaces.is_superset(&scope.interfaces)
            && picture.scope.addresses.is_superset(&scope.addresses)
        {
            return Ok(picture.observed.clone());
        }
        let observed = drive::observe(&mut self.cloud, scope).await?;
        self.keep(observed.clone(), scope);
        Ok(observed)
    }

    fn keep(&mut self, observed: Observed, scope: &Scope) {
        self.picture = Some(Picture { observed, scope: scope.clone(), taken: Instant::now() });
    }

    /// Carries out a plan stage by stage; news of the cluster lead to another plan between two stages.
    async fn carry_out(&mut self, mut plan: Plan, scope: &Scope) -> (Plan, Option<Holdup>, Again) {
        if plan.stages.is_empty() {
            return (plan, None, Again::Later);
        }
        if self.configuration.mode == Mode::Observe {
            return (plan, Some(Holdup::Observing), Again::Later);
        }
        let cluster = self.configuration.cluster.to_string();
        let mut stages = std::mem::take(&mut plan.stages).into_iter();
        while let Some(stage) = stages.next() {
            let work = drive::stage(&mut self.cloud, &stage, scope);
            let Some(outcome) = self.tenure.keep(work).await else {
                self.picture = None;
                plan.stages = vec![];
                return (plan, Some(Holdup::Pending), Again::AtOnce);
            };
            for attempt in &outcome.attempts {
                let step = attempt.step.named(&cluster).to_string();
                match &attempt.answer {
                    Ok(()) => info!(purpose = ?attempt.purpose, %step, "done"),
                    Err(error) => warn!(purpose = ?attempt.purpose, %step, %error, "refused"),
                }
            }
            let failures = outcome
                .failures()
                .map(|(step, error)| format!("{}: {error}", step.named(&cluster)));
            let failures = failures.collect::<Vec<_>>().join("; ");
            let ending = outcome.ending;
            match outcome.observed {
                Some(observed) => self.keep(observed, scope),
                None => self.picture = None,
            }
            let (undone, holdup) = match ending {
                Ending::Done if self.told.is_empty() && !*self.stop.borrow() => continue,
                Ending::Done => (None, Holdup::Pending),
                Ending::PlanAgain => (Some(stage), Holdup::Pending),
                Ending::Failed => (Some(stage), Holdup::Refused(failures)),
                Ending::Unread(error) => (Some(stage), Holdup::Refused(error.to_string())),
            };
            plan.stages = undone.into_iter().chain(stages).collect();
            return (plan, Some(holdup), Again::AtOnce);
        }
        (plan, None, Again::Later)
    }

    /// Says that what is known of the cluster may be old, once something was said at all.
    fn tell_stale(&self) {
        if self.index.is_current() || !self.tenure.is_held() {
            return;
        }
        let broken = |(watched, standing): (&Watched, &Standing)| {
            let message = standing.broken.as_ref()?;
            Some(format!("{}: {message}", watched.plural()))
        };
        let broken: Vec<String> = self.index.watches().iter().filter_map(broken).collect();
        if !broken.is_empty() {
            self.tell_holdup(&Holdup::Stale(broken.join("; ")));
        }
    }

    fn tell_holdup(&self, holdup: &Holdup) {
        self.rounds.send_if_modified(|last| match last {
            Some(round) if round.holdup.as_ref() != Some(holdup) => {
                *last = Some(Arc::new(Round { holdup: Some(holdup.clone()), ..(**round).clone() }));
                true
            }
            Some(_) | None => false,
        });
    }

    /// The wait after so many failures.
    fn pause(&self) -> Duration {
        let doubled = 1_u64.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u64::MAX);
        Duration::from_secs(doubled).min(LONGEST)
    }
}

/// Ends when a word is given, or nobody is left to give it.
async fn told_to(word: &mut watch::Receiver<bool>) {
    drop(word.wait_for(|given| *given).await);
}

/// When the next round is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// Work is left.
    AtOnce,
    /// Everything is done, as far as it goes.
    Later,
}
