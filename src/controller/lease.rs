//! One controller at a time changes the cloud: a Lease of the coordination API, by client-go's clock rule
//! (`k8s.io/client-go/tools/leaderelection`).
//!
//! Clocks of different machines are never compared. A candidate takes a lease that has not changed for its duration, as measured
//! from when the candidate itself first saw it so; a holder gives up earlier, a while after it last began to renew. EC2 has no
//! conditional writes: what a deposed holder has on the way can still arrive (DESIGN §8).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

/// A candidate for the lease.
pub(crate) struct Candidate {
    api: Api<Lease>,
    name: String,
    me: String,
    seen: Option<Seen>,
    held: watch::Sender<Option<Instant>>,
}

/// Whether this process holds the lease, and until when at least.
#[derive(Clone, Debug)]
pub(crate) struct Tenure(watch::Receiver<Option<Instant>>);

/// The lease as it was last seen to change.
#[derive(Clone, Debug)]
struct Seen {
    spec: LeaseSpec,
    version: Option<String>,
    since: Instant,
}

/// How long others leave our lease alone after its last change.
const DURATION: Duration = Duration::from_secs(15);

/// How long a holder counts on a lease after it last began to renew it with success.
const DEADLINE: Duration = Duration::from_secs(10);

/// The time between two tries.
const RETRY: Duration = Duration::from_secs(2);

/// The lease of an installation.
pub(crate) fn name(installation: &str) -> String {
    format!("moat-{installation}")
}

/// How long others leave a lease alone after its last change.
pub(crate) fn duration(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.and_then(|it| u64::try_from(it).ok());
    seconds.map_or(DURATION, Duration::from_secs)
}

impl Candidate {
    /// A candidate for the lease of this name in a namespace, or else in the client's; `me` is unlike any other process's.
    pub(crate) fn new(client: Client, namespace: Option<&str>, name: String, me: String) -> Self {
        let api = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        };
        Self { api, name, me, seen: None, held: watch::channel(None).0 }
    }

    /// The same after somebody watched the lease, which did not change since then.
    pub(crate) fn having_watched(self, lease: Lease, since: Instant) -> Self {
        Self { seen: Some(Seen::again(None, lease, since)), ..self }
    }

    /// Whether this process holds the lease, as it comes and goes.
    pub(crate) fn tenure(&self) -> Tenure {
        Tenure(self.held.subscribe())
    }

    /// Takes the lease whenever it is free, and keeps it, until the future is dropped.
    pub(crate) async fn run(&mut self) {
        loop {
            match timeout(DEADLINE, self.attempt()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => warn!(lease = self.name, %error, "the lease was not renewed"),
                Err(_) => warn!(lease = self.name, "the lease was not renewed in time"),
            }
            sleep(RETRY).await;
        }
    }

    /// Gives the lease up, so that nobody has to wait for it.
    pub(crate) async fn release(&mut self) {
        let mine = self.held.send_replace(None).is_some();
        let Some(seen) = self.seen.take().filter(|seen| mine && seen.is_held_by(&self.me)) else {
            return;
        };
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..seen.spec
        };
        if let Err(error) = self.put(spec, seen.version).await {
            warn!(lease = self.name, %error, "the lease was not given up: others wait for its end");
        }
    }

    /// Takes or renews the lease if it may; whether it is ours.
    pub(crate) async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let began = Instant::now();
        let is_ours = self.look().await?;
        let before = self.held.send_replace(is_ours.then(|| began + DEADLINE));
        match (before, is_ours) {
            (None, true) => info!(lease = self.name, "leading"),
            (Some(_), false) => warn!(lease = self.name, "another one leads"),
            (Some(_), true) | (None, false) => {}
        }
        Ok(is_ours)
    }

    /// Looks at the lease, and writes it if it may; whether it is ours.
    async fn look(&mut self) -> Result<bool, kube::Error> {
        let there = self.api.get_opt(&self.name).await?;
        let now = Instant::now();
        self.seen = there.map(|lease| Seen::again(self.seen.take(), lease, now));
        let seen = self.seen.as_ref();
        if seen.is_some_and(|seen| !seen.may_be_taken(&self.me, now)) {
            return Ok(false);
        }
        let time = Timestamp::now();
        let spec = renewed(seen, &self.me, time);
        let version = seen.and_then(|seen| seen.version.clone());
        match self.put(spec, version).await {
            Ok(lease) => {
                self.seen = Some(Seen::again(None, lease, now));
                Ok(true)
            }
            // Somebody else was faster.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the lease, unless it is not as it was seen.
    async fn put(&self, spec: LeaseSpec, version: Option<String>) -> Result<Lease, kube::Error> {
        let is_new = version.is_none();
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            resource_version: version,
            ..ObjectMeta::default()
        };
        let lease = Lease { metadata, spec: Some(spec) };
        if is_new {
            self.api.create(&PostParams::default(), &lease).await
        } else {
            self.api.replace(&self.name, &PostParams::default(), &lease).await
        }
    }
}

impl Seen {
    /// The lease, seen again: it counts from when it was first seen as it is.
    fn again(before: Option<Self>, lease: Lease, now: Instant) -> Self {
        let spec = lease.spec.unwrap_or_default();
        let since = before.filter(|before| before.spec == spec).map_or(now, |before| before.since);
        Self { spec, version: lease.metadata.resource_version, since }
    }

    fn is_held_by(&self, who: &str) -> bool {
        self.spec.holder_identity.as_deref() == Some(who)
    }

    /// Whether it is ours, nobody's, or too long unchanged.
    fn may_be_taken(&self, me: &str, now: Instant) -> bool {
        self.is_held_by(me)
            || self.spec.holder_identity.as_deref().unwrap_or_default().is_empty()
            || self.since + duration(&self.spec) <= now
    }
}

/// The lease as we hold it.
fn renewed(seen: Option<&Seen>, me: &str, now: Timestamp) -> LeaseSpec {
    let ours = seen.filter(|seen| seen.is_held_by(me));
    let transitions = seen.and_then(|seen| seen.spec.lease_transitions).unwrap_or_default();
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: ours.and_then(|seen| seen.spec.acquire_time.clone()).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(match (seen, ours) {
            (Some(_), None) => transitions.saturating_add(1),
            (Some(_) | None, _) => transitions,
        }),
        ..LeaseSpec::default()
    }
}

impl Tenure {
    /// Whether the lease is ours at this moment.
    pub(crate) fn is_held(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// One that never ends, or never begins.
    #[cfg(test)]
    pub(crate) fn fixed(held: bool) -> Self {
        let year = Duration::from_secs(365 * 24 * 3_600);
        Self(watch::channel(held.then(|| Instant::now() + year)).1)
    }

    /// Ends when it begins or ends to be ours, or at once if that happened unseen.
    pub(crate) async fn changed(&mut self) {
        let was = self.is_held();
        while self.is_held() == was {
            self.until_told().await;
        }
    }

    /// Goes on with some work as long as the lease is ours, looking each time before anything more of it is done; none if
    /// that ended before.
    pub(crate) async fn keep<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut other = self.clone();
        let mut work = pin!(work);
        let mut changed = pin!(other.changed());
        poll_fn(|context| {
            if !self.is_held() || changed.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    async fn until_told(&mut self) {
        let until = *self.0.borrow_and_update();
        let end = async {
            match until.filter(|until| Instant::now() < *until) {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = self.0.changed() => if told.is_err() { end_of_time().await },
            () = end => {}
        }
    }
}

/// Never comes.
async fn end_of_time() {
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, transitions: i32) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        Lease { metadata: ObjectMeta::default(), spec: Some(spec) }
    }

    #[test]
    fn a_lease_of_another_is_left_alone_until_it_has_not_changed_for_its_duration() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut seen = Seen::again(None, lease("other", 0), at(0));
        seen = Seen::again(Some(seen), lease("other", 0), at(14));
        assert!(!seen.may_be_taken("me", at(14)));
        assert!(seen.may_be_taken("me", at(15)));
        // A change of any kind is a sign of life.
        seen = Seen::again(Some(seen), lease("other", 1), at(14));
        assert!(!seen.may_be_taken("me", at(28)));
        assert!(seen.may_be_taken("me", at(29)));
        assert!(Seen::again(None, lease("me", 0), at(0)).may_be_taken("me", at(1)));
        assert!(Seen::again(None, lease("", 0), at(0)).may_be_taken("me", at(0)));
    }

    #[test]
    fn a_lease_counts_how_often_it_changed_hands() {
        let now = Timestamp::UNIX_EPOCH;
        let seen = |holder| Seen::again(None, lease(holder, 4), Instant::now());
        let transitions = |seen: Option<&Seen>| renewed(seen, "me", now).lease_transitions;
        assert_eq!(transitions(None), Some(0));
        assert_eq!(transitions(Some(&seen("me"))), Some(4));
        assert_eq!(transitions(Some(&seen("other"))), Some(5));
    }

    #[tokio::test]
    async fn work_ends_with_the_tenure_and_is_not_begun_without() {
        let (held, tenure) = watch::channel(None);
        let tenure = Tenure(tenure);
        assert_eq!(tenure.keep(async { 1 }).await, None);
        held.send_replace(Some(Instant::now() + Duration::from_secs(3_600)));
        assert_eq!(tenure.keep(async { 1 }).await, Some(1));
        let deposed = async {
            held.send_replace(None);
            std::future::pending::<()>().await;
        };
        assert_eq!(tenure.keep(deposed).await, None);
        held.send_replace(Some(Instant::now() + Duration::from_millis(20)));
        assert_eq!(tenure.keep(std::future::pending::<()>()).await, None, "its time is over");
    }
}
