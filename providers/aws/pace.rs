//! How fast calls are made, and which are made again. Every call passes through [`Pace::send`].
//!
//! * Each call has a token bucket, as EC2 has one for it: [`Call::rate`], or what the configuration says.
//! * A call that EC2 throttles had no effect. It empties the bucket, and is made again after a wait that grows, with jitter. One
//!   that is throttled although the bucket was empty lately shows that others use the account, or that its limits are lower:
//!   the bucket fills more slowly from then on, and recovers with each call that goes well.
//! * A read whose answer is lost is made again likewise. A change whose answer is lost is not: only a look can tell.
//! * Repetitions have a budget, which calls that go well pay into: a tenth more calls than without, and some to begin with.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::call::{Call, Effect, Rate};
use crate::errors::{Failure, Meaning};
use crate::time::Time;

/// Paces the calls of one process.
#[derive(Debug)]
pub struct Pace {
    time: Time,
    rates: BTreeMap<Call, Rate>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buckets: BTreeMap<Call, Bucket>,
    /// Tenths of repetitions that may still be made.
    budget: u32,
}

/// Tenths of repetitions: those to begin with, which are also the most that can be saved up.
const BUDGET: u32 = 500;
/// What a repetition costs.
const REPETITION: u32 = 10;
/// How long one call is tried.
const PATIENCE: Duration = Duration::from_secs(60);

impl Pace {
    /// With the account's rates, where they differ from [`Call::rate`].
    #[must_use]
    pub const fn new(time: Time, rates: BTreeMap<Call, Rate>) -> Self {
        let state = State { buckets: BTreeMap::new(), budget: BUDGET };
        Self { time, rates, state: Mutex::new(state) }
    }

    /// Makes one call, in its turn, and again as far as that is safe and the budget lasts.
    ///
    /// # Errors
    /// What the last attempt met.
    pub async fn send<T, F>(&self, call: Call, attempt: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let end = self.time.elapsed() + PATIENCE;
        let mut waits = waits();
        loop {
            while let Some(wait) = self.take(call) {
                self.time.sleep(wait).await;
            }
            let failure = match attempt().await {
                Ok(answer) => {
                    self.went_well(call);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let again = match (failure.meaning, call.effect()) {
                (Meaning::Throttled, Effect::Reads | Effect::Changes) => {
                    self.was_throttled(call);
                    true
                }
                (Meaning::Unknown, Effect::Reads) => true,
                (Meaning::Unknown, Effect::Changes)
                | (
                    Meaning::NotFound
                    | Meaning::Duplicate
                    | Meaning::Quota(_)
                    | Meaning::InUse
                    | Meaning::Unauthorized
                    | Meaning::Credentials
                    | Meaning::Invalid,
                    Effect::Reads | Effect::Changes,
                ) => false,
            };
            let wait = waits.next_backoff().unwrap_or_default();
            let wait = failure.retry_after.map_or(wait, |asked| asked.max(wait));
            if !again || self.time.elapsed() + wait > end || !self.spend() {
                return Err(failure);
            }
            self.time.sleep(wait).await;
        }
    }

    /// Takes a token, or says how long to wait for one.
    fn take(&self, call: Call) -> Option<Duration> {
        self.with(call, |bucket| bucket.take())
    }

    fn went_well(&self, call: Call) {
        self.with(call, Bucket::recover);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.budget = state.budget.saturating_add(1).min(BUDGET);
    }

    fn was_throttled(&self, call: Call) {
        self.with(call, Bucket::learn);
    }

    /// Pays for a repetition.
    fn spend(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = state.budget.checked_sub(REPETITION);
        state.budget = left.unwrap_or(state.budget);
        left.is_some()
    }

    fn with<T>(&self, call: Call, change: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = self.rates.get(&call).copied().unwrap_or(call.rate());
        change(state.buckets.entry(call).or_insert_with(|| Bucket::new(self.time.clone(), rate)))
    }
}

/// Waits between attempts: half a second at first, doubling up to 20 s, each half as much longer or shorter by chance.
fn waits() -> ExponentialBackoff {
    ExponentialBackoff {
        max_interval: Duration::from_secs(20),
        max_elapsed_time: None,
        multiplier: 2.0,
        ..ExponentialBackoff::default()
    }
}

// ----------------------------------------------------------------------------------------------- Buckets

/// The bucket of one call.
#[derive(Debug)]
struct Bucket {
    time: Time,
    rate: Rate,
    /// How long a token takes to flow back; never less than the rate's.
    period: Duration,
    tokens: Tokens,
    /// When the bucket was emptied last.
    emptied: Option<Duration>,
}

type Tokens = RateLimiter<NotKeyed, InMemoryState, Time, NoOpMiddleware<Duration>>;

impl Bucket {
    fn new(time: Time, rate: Rate) -> Self {
        let period = Duration::from_secs(1) / rate.per_second.get();
        let tokens = Self::full(&time, rate, period);
        Self { time, rate, period, tokens, emptied: None }
    }

    fn full(time: &Time, rate: Rate, period: Duration) -> Tokens {
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(rate.per_second));
        RateLimiter::direct_with_clock(quota.allow_burst(rate.burst), time.clone())
    }

    fn take(&self) -> Option<Duration> {
        let missing = self.tokens.check().err()?;
        Some(missing.wait_time_from(self.time.elapsed()))
    }

    fn empty(&self) {
        while self.tokens.check().is_ok() {}
    }

    /// The cloud's bucket is empty, so ours is. If ours cannot have been full again since the last time, it fills too fast.
    fn learn(&mut self) {
        let to_fill = self.period * self.rate.burst.get();
        let lately = self.emptied.is_some_and(|emptied| self.time.elapsed() < emptied + to_fill);
        if lately {
            let slowest = Duration::from_secs(10) / self.rate.per_second.get();
            self.set_period((self.period * 3 / 2).min(slowest));
        }
        self.empty();
        self.emptied = Some(self.time.elapsed());
    }

    /// Comes a twentieth closer to the rate that was configured.
    fn recover(&mut self) {
        let fastest = Duration::from_secs(1) / self.rate.per_second.get();
        if self.period > fastest {
            self.set_period((self.period * 20 / 21).max(fastest));
        }
    }

    fn set_period(&mut self, period: Duration) {
        if period != self.period {
            self.period = period;
            self.tokens = Self::full(&self.time, self.rate, period);
            self.empty();
        }
    }
}
