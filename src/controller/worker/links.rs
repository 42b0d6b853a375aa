//! What ties a worker to the others, and what it tells them while the cloud is silent.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::consent::Word;
use crate::index::Live;
use crate::lease::Tenure;
use crate::reload::Decision;
use crate::round::{Holdup, Round};
use crate::telemetry::Telemetry;

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

/// So long the cloud is waited for before that is said.
const SILENCE: Duration = Duration::from_secs(15);

impl Links {
    /// Waits for work on the cloud; if that takes long, says meanwhile that nobody knows how the cloud is.
    pub(super) async fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
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
    pub(super) fn tell_holdup(&self, holdup: &Holdup) {
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
