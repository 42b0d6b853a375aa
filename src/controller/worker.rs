//! The one who changes the cloud: compile, plan, carry out stage by stage, read back, tell.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use moat_core::compile::{Compiler, Event};
use moat_core::drift;
use moat_core::drive::{self, Ending, Outcome};
use moat_core::finding::Finding;
use moat_core::firewall::{GroupNumber, Naming};
use moat_core::placement;
use moat_core::plan::{self, Plan};
use moat_core::provider::{Capabilities, Observed, Provider, ProviderError, Scope, Touched};
use moat_k8s::configuration::{Configuration, Mode};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use crate::consent::{Gate, Word};
use crate::index::{Live, Standing};
use crate::kinds::Watched;
use crate::lease::Tenure;
use crate::quarantine::{self, Facts};
use crate::records::Records;
use crate::reload::Decision;
use crate::round::{Holdup, Round};
use crate::telemetry::{Done, Phase, Telemetry};

/// What ties a worker to the others.
#[derive(Debug)]
pub(crate) struct Links {
    /// What the operator decided.
    pub(crate) decision: watch::Receiver<Decision>,
    /// The cluster as the watches tell it.
    pub(crate) index: Live,
    /// Where each round is told.
    pub(crate) rounds: watch::Sender<Option<Round>>,
    /// Whether it may change the cloud.
    pub(crate) tenure: Tenure,
    /// What people say to it; none before it was heard.
    pub(crate) word: watch::Receiver<Option<Word>>,
    /// Becomes true once it is to stop.
    pub(crate) stop: watch::Receiver<bool>,
    /// What is seen of the worker.
    pub(crate) telemetry: Arc<Telemetry>,
    /// The namespace that Moat runs in.
    pub(crate) home: String,
}

/// The worker, with all that it knows.
#[derive(Debug)]
pub(crate) struct Worker<P> {
    cloud: P,
    links: Links,
    decision: Decision,
    records: Records,
    compiler: Compiler,
    capabilities: Option<Capabilities>,
    picture: Option<Picture>,
    /// What others did and is put right, for as long as the picture: one round may be over before anybody looked.
    repaired: Vec<Finding>,
    gate: Gate,
    /// Rounds in a row that did not come to their end.
    failures: u32,
}

/// A picture of the cloud, and what it shows.
#[derive(Debug)]
struct Picture {
    observed: Arc<Observed>,
    scope: Scope,
    /// When it was taken as a whole. Parts of it may be newer.
    taken: Instant,
}

/// How long a picture counts while nothing changes: what others do to the cloud shows no later.
const FRESH: Duration = Duration::from_secs(60);

/// So long news wait for the end of a plan that was begun. While the cluster keeps changing, its later stages would never
/// come otherwise.
const PERSISTENCE: Duration = Duration::from_secs(5);

/// So many steps at most are taken before it is looked for news: EC2 allows five a second.
const PORTION: usize = 25;

/// So long the cloud is waited for before that is said.
const SILENCE: Duration = Duration::from_secs(15);

/// The longest that a worker is idle without a turn.
const TURN: Duration = Duration::from_secs(10);

/// The longest wait after a round that did not come to its end.
const LONGEST: Duration = Duration::from_secs(60);

impl<P: Provider + Send> Worker<P> {
    pub(crate) fn new(cloud: P, links: Links) -> Self {
        let decision = links.decision.borrow().clone();
        Self {
            cloud,
            links,
            decision,
            records: Records::default(),
            compiler: Compiler::default(),
            capabilities: None,
            picture: None,
            repaired: Vec::new(),
            gate: Gate::default(),
            failures: 0,
        }
    }

    /// Works, while the lease is ours, until it is told to stop. Cut off anywhere, the next one comes to the same end.
    pub(crate) async fn run(mut self) {
        let mut due = Instant::now();
        loop {
            let heard = self.links.word.borrow().is_some();
            let works =
                heard && self.links.index.look().is_current() && self.links.tenure.is_held();
            tokio::select! {
                biased;
                () = told_to(&mut self.links.stop) => return,
                () = self.links.tenure.changed() => {
                    // Another one may have changed the cloud meanwhile.
                    self.picture = None;
                    self.links.telemetry.lease_changed();
                    due = Instant::now();
                    continue;
                }
                Ok(()) = self.links.decision.changed() => {
                    self.decision = self.links.decision.borrow_and_update().clone();
                    self.links.telemetry.decided(&self.decision.configuration);
                    due = Instant::now();
                    continue;
                }
                Ok(()) = self.links.word.changed() => {
                    due = Instant::now();
                    continue;
                }
                changed = self.links.index.changed() => {
                    if !changed {
                        return;
                    }
                    due = Instant::now();
                    self.tell_stale();
                    continue;
                }
                () = sleep_until(due), if works => {}
                // Whoever has nothing to do lives, too.
                () = sleep(TURN) => continue,
            }
            due = self.round().await;
        }
    }

    /// Brings the cloud to what the policies say, as far as it comes; when to look again.
    async fn round(&mut self) -> Instant {
        let attempt = self.attempt().await;
        let holdup = match &attempt {
            Ok(round) => round.holdup.clone(),
            Err(error) => {
                warn!(%error, "the cloud was not read");
                Some(Holdup::Unread(error.clone()))
            }
        };
        if holdup.is_none() {
            self.gate.done();
        }
        let failed = matches!(holdup, Some(Holdup::Refused(_) | Holdup::Unread(_)));
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        match (attempt, &holdup) {
            (Ok(round), _) if self.links.tenure.is_held() => {
                drop(self.links.rounds.send_replace(Some(round)));
            }
            (Ok(_), _) | (Err(_), None) => {}
            (Err(_), Some(holdup)) => self.links.tell_holdup(holdup),
        }
        Instant::now()
            + match holdup {
                Some(Holdup::Pending) => Duration::ZERO,
                Some(Holdup::Refused(_) | Holdup::Unread(_)) => self.pause(),
                Some(
                    Holdup::Observing | Holdup::Paused | Holdup::ChangeHeld(_) | Holdup::Stale(_),
                )
                | None => FRESH,
            }
    }

    async fn attempt(&mut self) -> Result<Round, String> {
        let text = |error: ProviderError| error.to_string();
        let telemetry = Arc::clone(&self.links.telemetry);
        telemetry.begin();
        let (snapshot, seen, sees_branches) = {
            let index = self.links.index.look();
            (index.snapshot(), index.policies().clone(), index.sees_branches())
        };
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
        let scope = placement::scope(&inventory, &self.decision.configuration.default_groups());
        let observed = self.picture(&scope).await.map_err(text)?;
        placement::place(&mut inventory, &observed);
        placement::release(&mut inventory, &snapshot.released);
        findings.extend(placement::unplaced(&inventory));
        findings.extend(snapshot.branches.findings(&inventory));
        let mut settings = self.decision.configuration.settings(capabilities.quotas);
        // The group stays as long as somebody lets pods start with it.
        let installation = self.decision.configuration.cluster.as_str();
        settings.quarantine |= snapshot.branches.is_quarantined(installation);
        let policies = self.decision.configuration.in_force(snapshot.policies, &inventory);
        let compiler = &mut self.compiler;
        let quotas = settings.quotas;
        let (inputs, plan) = block_in_place(|| {
            let began = Instant::now();
            compiler.tell(Event::Settings(settings));
            compiler.tell(Event::Policies(policies));
            compiler.tell(Event::Inventory(inventory));
            compiler.settle();
            let inputs = compiler.inputs();
            let compiled = Instant::now();
            telemetry.took(Phase::Compile, compiled - began);
            let plan = plan::plan(compiler.desired(), &observed, &inputs.inventory, &quotas);
            telemetry.took(Phase::Plan, compiled.elapsed());
            (inputs, plan)
        });
        telemetry.planned(&plan);
        let cluster = &*self.decision.configuration.cluster.to_string();
        findings.extend(drift::kept(&observed, cluster));
        findings.extend(drift::taken(&observed, cluster));
        let repaired = drift::repaired(&observed, &plan.stages, &inputs.inventory, cluster);
        let repairs = repaired.len();
        self.repaired.retain(|known| !repaired.contains(known));
        self.repaired.extend(repaired);
        findings.extend(self.repaired.iter().cloned());
        let hindrance = self.hindrance(&plan, &observed);
        let (done, remaining, holdup) = match hindrance {
            Some(holdup) => (Vec::new(), plan, Some(holdup)),
            None => {
                let plan = Plan { stages: drive::portions(plan.stages, PORTION), ..plan };
                let (began, mut stages) = (Instant::now(), plan.stages.clone());
                let (remaining, holdup) = self.carry_out(plan, &scope).await;
                if !stages.is_empty() {
                    telemetry.took(Phase::Apply, began.elapsed());
                }
                stages.truncate(stages.len().saturating_sub(remaining.stages.len()));
                (stages, remaining, holdup)
            }
        };
        let shown = self.picture.as_ref().map_or(&observed, |picture| &picture.observed);
        findings.extend(drift::opened(&inputs.policies, &inputs.inventory, shown, cluster));
        let (quarantine, told) = quarantine::decide(&Facts {
            configuration: &self.decision.configuration,
            branches: sees_branches.then_some(&snapshot.branches),
            has_policies: !inputs.policies.is_empty(),
            inventory: &inputs.inventory,
            observed: shown,
            group: self.cloud.group_id(GroupNumber::CLOSED),
            holdup: holdup.as_ref(),
            home: &self.links.home,
        });
        findings.extend(told);
        telemetry.round(&Done {
            observed: self.picture.as_ref().map(|picture| &*picture.observed),
            stages: &done,
            remaining: &remaining,
            ended: holdup.is_none(),
            repaired: repairs,
            counts: self.compiler.desired().counts,
            quotas,
        });
        Ok(Round {
            decision: self.decision.clone(),
            policies: Arc::new(seen),
            inputs: Arc::new(inputs),
            findings: findings.into(),
            remaining: Arc::new(remaining),
            quarantine: Arc::new(quarantine),
            holdup,
        })
    }

    /// The picture, read anew if it is old; new interfaces that it does not show are read by themselves.
    async fn picture(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError> {
        let began = Instant::now();
        let known = self.picture.as_ref().filter(|picture| {
            picture.taken.elapsed() < FRESH
                && picture.scope.addresses.is_superset(&scope.addresses)
                && picture.scope.defaults == scope.defaults
        });
        let (observed, taken) = match known {
            Some(Picture { observed, scope: shown, taken }) => {
                let interfaces = &scope.interfaces - &shown.interfaces;
                if interfaces.is_empty() {
                    return Ok(Arc::clone(observed));
                }
                let touched = Touched { interfaces, ..Touched::default() };
                let read = drive::observe_again(&mut self.cloud, scope, &touched);
                (self.links.wait_for(read).await?, *taken)
            }
            None => {
                self.repaired.clear();
                let read = drive::observe(&mut self.cloud, scope);
                (self.links.wait_for(read).await?, Instant::now())
            }
        };
        self.links.telemetry.took(Phase::Observe, began.elapsed());
        let observed = Arc::new(observed);
        let shown = Arc::clone(&observed);
        self.picture = Some(Picture { observed: shown, scope: scope.clone(), taken });
        Ok(observed)
    }

    /// What keeps a plan from being carried out at all.
    fn hindrance(&mut self, plan: &Plan, observed: &Observed) -> Option<Holdup> {
        let Configuration { mode, max_change, .. } = &*self.decision.configuration;
        let word = self.links.word.borrow_and_update().clone().unwrap_or_default();
        match mode {
            _ if plan.stages.is_empty() => None,
            Mode::Observe => Some(Holdup::Observing),
            Mode::Enforce if word.is_paused => Some(Holdup::Paused),
            Mode::Enforce => {
                let passes = self.gate.pass(plan, observed, *max_change, &word);
                passes.err().map(Holdup::ChangeHeld)
            }
        }
    }

    /// Carries out a plan stage by stage; news of the cluster lead to another plan between two stages, but not at once. What
    /// remains of it, and why.
    async fn carry_out(&mut self, mut plan: Plan, scope: &Scope) -> (Plan, Option<Holdup>) {
        if plan.stages.is_empty() {
            return (plan, None);
        }
        let cluster = self.decision.configuration.cluster.to_string();
        self.records.planned(self.compiler.desired(), &plan);
        let mut stages = std::mem::take(&mut plan.stages).into_iter();
        let began = Instant::now();
        while let Some(stage) = stages.next() {
            let work = drive::stage(&mut self.cloud, &stage, scope);
            let outcome = self.links.tenure.keep(self.links.wait_for(work)).await;
            for attempt in outcome.iter().flat_map(|outcome| &outcome.attempts) {
                self.records.tell(attempt, &cluster);
            }
            let ending = outcome.as_ref().map(|outcome| outcome.ending.clone());
            let (is_done, holdup) = match ending {
                Some(Ending::Done) => (true, Holdup::Pending),
                // The lease is no longer ours, or the cloud is not as the plan assumes.
                None | Some(Ending::PlanAgain) => (false, Holdup::Pending),
                Some(Ending::Failed) => (false, Holdup::Refused(refusals(&outcome, &cluster))),
                Some(Ending::Unread(error)) => (false, Holdup::Unread(error.to_string())),
            };
            let observed = outcome.and_then(|outcome| outcome.observed).map(Arc::new);
            self.picture = observed
                .zip(self.picture.take())
                .map(|(observed, before)| Picture { observed, ..before });
            if is_done && !self.is_called(began.elapsed()) {
                continue;
            }
            plan.stages = (!is_done).then_some(stage).into_iter().chain(stages).collect();
            return (plan, Some(holdup));
        }
        (plan, None)
    }

    /// Whether something waits to be heard that a plan of this age is given up for.
    fn is_called(&self, age: Duration) -> bool {
        let Links { index, word, decision, stop, .. } = &self.links;
        let is_news = |changed: Result<bool, _>| changed.unwrap_or_default();
        let spoken = is_news(word.has_changed()) || is_news(decision.has_changed());
        (age >= PERSISTENCE && index.has_news()) || spoken || *stop.borrow()
    }

    /// Says that what is known of the cluster may be old, once something was said at all.
    fn tell_stale(&self) {
        let index = self.links.index.look();
        if index.is_current() {
            return;
        }
        let broken = |(watched, standing): (&Watched, &Standing)| {
            watched.is_of_policies().then_some(())?;
            let message = standing.broken.as_ref()?;
            Some(format!("{}: {message}", watched.plural()))
        };
        let broken: Vec<String> = index.watches().iter().filter_map(broken).collect();
        if !broken.is_empty() {
            self.links.tell_holdup(&Holdup::Stale(broken.join("; ")));
        }
    }

    /// The wait after so many failures.
    fn pause(&self) -> Duration {
        let doubled = 1_u64.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u64::MAX);
        Duration::from_secs(doubled).min(LONGEST)
    }
}

impl Links {
    /// Waits for work on the cloud; if that takes long, says meanwhile that nobody knows how the cloud is.
    async fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        match timeout(SILENCE, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                let message = "the cloud is out of reach, or throttles: it is tried again";
                self.tell_holdup(&Holdup::Unread(message.to_owned()));
                work.await
            }
        }
    }

    /// Says why the cloud is not known to be as desired, once something was said at all. Who leads says so.
    fn tell_holdup(&self, holdup: &Holdup) {
        if !self.tenure.is_held() {
            return;
        }
        self.telemetry.unknown();
        self.rounds.send_if_modified(|last| match last {
            Some(round) if round.holdup.as_ref() != Some(holdup) => {
                round.holdup = Some(holdup.clone());
                true
            }
            Some(_) | None => false,
        });
    }
}

/// Ends when a word is given, or nobody is left to give it.
async fn told_to(word: &mut watch::Receiver<bool>) {
    drop(word.wait_for(|given| *given).await);
}

/// What the cloud refused, and why.
fn refusals(outcome: &Option<Outcome<'_>>, cluster: &str) -> String {
    let failures = outcome.iter().flat_map(Outcome::failures);
    let failures = failures.map(|(step, error)| format!("{}: {error}", step.named(cluster)));
    failures.collect::<Vec<_>>().join("; ")
}
