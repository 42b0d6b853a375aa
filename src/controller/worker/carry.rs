//! Carries a plan out, portion by portion, and looks for news in between.

use std::time::Duration;

use moat_core::drive::{self, Ending, Outcome};
use moat_core::firewall::Naming;
use moat_core::plan::{Plan, Stage};
use moat_core::provider::{Observed, Provider, Scope};
use moat_k8s::configuration::{Configuration, Mode};
use tokio::time::Instant;

use super::{Links, Picture, Worker};
use crate::round::Holdup;
use crate::telemetry::Phase;

/// What came of a plan.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// The portions that were carried out and read back.
    pub(super) done: Vec<Stage>,
    /// What is left of the plan.
    pub(super) remaining: Plan,
    /// Why anything is left, if it is.
    pub(super) holdup: Option<Holdup>,
}

/// So long news wait for the end of a plan that was begun. While the cluster keeps changing, its later stages would never
/// come otherwise.
const PERSISTENCE: Duration = Duration::from_secs(5);

/// So many steps at most are taken before it is looked for news: EC2 allows five a second.
const PORTION: usize = 25;

impl<P: Provider + Send> Worker<P> {
    /// What keeps a plan from being carried out at all.
    pub(super) fn hindrance(&mut self, plan: &Plan, observed: &Observed) -> Option<Holdup> {
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

    /// Carries out a plan; news of the cluster lead to another one between two portions, but not at once.
    ///
    /// Each portion costs what it is large: the picture is let go of meanwhile, so that the provider changes it in place.
    pub(super) async fn carry_out(&mut self, mut plan: Plan, scope: &Scope) -> Carried {
        let mut done = Vec::new();
        if plan.stages.is_empty() {
            return Carried { done, remaining: plan, holdup: None };
        }
        self.records.planned(self.compiler.desired(), &plan);
        let stages = drive::portions(std::mem::take(&mut plan.stages), PORTION);
        let (mut stages, mut holdup) = (stages.into_iter(), None);
        let began = Instant::now();
        for stage in stages.by_ref() {
            let ending = self.take(&stage, scope).await;
            let is_done = ending.is_ok();
            match ending {
                Ok(()) if self.is_called(began.elapsed()) => holdup = Some(Holdup::Pending),
                Ok(()) => {}
                Err(why) => holdup = Some(why),
            }
            if is_done {
                done.push(stage);
            } else {
                plan.stages.push(stage);
            }
            if holdup.is_some() {
                break;
            }
        }
        plan.stages.extend(stages);
        self.links.telemetry.took(Phase::Apply, began.elapsed());
        Carried { done, remaining: plan, holdup }
    }

    /// Carries out one portion and reads it back; else why the plan does not go on.
    async fn take(&mut self, stage: &Stage, scope: &Scope) -> Result<(), Holdup> {
        let known = self.picture.take().map(|Picture { observed, scope, taken }| {
            drop(observed);
            (scope, taken)
        });
        let work = drive::stage(&mut self.cloud, stage, scope);
        let outcome = self.links.tenure.keep(self.links.wait_for(work)).await;
        // Without an answer the lease is no longer ours.
        let Some(outcome) = outcome else { return Err(Holdup::Pending) };
        let cluster = self.decision.configuration.cluster.to_string();
        for attempt in &outcome.attempts {
            self.records.tell(attempt, &cluster);
        }
        let refused = refusals(&outcome, &cluster);
        self.picture = outcome.observed.zip(known).map(|(observed, (scope, taken))| Picture {
            observed,
            scope,
            taken,
        });
        match outcome.ending {
            Ending::Done => Ok(()),
            // The cloud is not as the plan assumes.
            Ending::PlanAgain => Err(Holdup::Pending),
            Ending::Failed => Err(Holdup::Refused(refused)),
            Ending::Unread(error) => Err(Holdup::Unread(error.to_string())),
        }
    }

    /// Whether something waits to be heard that a plan of this age is given up for.
    fn is_called(&self, age: Duration) -> bool {
        let Links { index, word, decision, stop, .. } = &self.links;
        let is_news = |changed: Result<bool, _>| changed.unwrap_or_default();
        let spoken = is_news(word.has_changed()) || is_news(decision.has_changed());
        (age >= PERSISTENCE && index.has_news()) || spoken || *stop.borrow()
    }
}

/// What the cloud refused, and why.
fn refusals(outcome: &Outcome<'_>, cluster: &str) -> String {
    let failures =
        outcome.failures().map(|(step, error)| format!("{}: {error}", step.named(cluster)));
    failures.collect::<Vec<_>>().join("; ")
}
