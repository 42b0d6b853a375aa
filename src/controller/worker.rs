//! The one who changes the cloud: compile, plan, carry out stage by stage, read back, tell.

mod attempt;
mod carry;
mod links;
mod picture;

use std::sync::Arc;
use std::time::Duration;

use moat_core::compile::{Compiler, Inputs};
use moat_core::finding::Finding;
use moat_core::provider::{Capabilities, Provider};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::consent::Gate;
use crate::index::{Policies, Standing};
use crate::kinds::Watched;
use crate::records::Records;
use crate::reload::Decision;
use crate::round::Holdup;
pub(crate) use links::Links;
use picture::{FRESH, Picture};

/// The worker, with all that it knows.
#[derive(Debug)]
pub(crate) struct Worker<P> {
    cloud: P,
    links: Links,
    decision: Decision,
    records: Records,
    compiler: Compiler,
    /// The policies that the compiler was told of; none where it was told only some of them.
    told: Option<Arc<Policies>>,
    /// What the compiler was told, shared with those who report; none before the first round.
    inputs: Option<Arc<Inputs>>,
    capabilities: Option<Capabilities>,
    picture: Option<Picture>,
    /// What others did and is put right, for as long as the picture: one round may be over before anybody looked.
    repaired: Vec<Finding>,
    /// What others did to network ACLs between the last two whole pictures, until it is told.
    meanwhile: Vec<Finding>,
    gate: Gate,
    /// Rounds in a row that did not come to their end.
    failures: u32,
}

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
            told: None,
            inputs: None,
            capabilities: None,
            picture: None,
            repaired: Vec::new(),
            meanwhile: Vec::new(),
            gate: Gate::default(),
            failures: 0,
        }
    }

    /// Works, while the lease is ours, until it is told to stop; gives the cloud back. Cut off anywhere, the next one comes to the
    /// same end.
    pub(crate) async fn run(mut self) -> P {
        let mut due = Instant::now();
        loop {
            let heard = self.links.word.borrow().is_some();
            let works =
                heard && self.links.index.look().is_current() && self.links.tenure.is_held();
            tokio::select! {
                biased;
                () = told_to(&mut self.links.stop) => return self.cloud,
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
                        return self.cloud;
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

/// Ends when a word is given, or nobody is left to give it.
async fn told_to(word: &mut watch::Receiver<bool>) {
    drop(word.wait_for(|given| *given).await);
}

#[cfg(test)]
mod tests;
