//! How fast calls are made, and which are made again. Every call passes through [`Pace::send`].
//!
//! * Each call has a token bucket, as EC2 has one for it: [`Call::rate`], or what the configuration says. Who comes first is
//!   served first, and who waits for one call keeps nobody from another.
//! * Few calls are on their way at a time.
//! * A call that EC2 throttles had no effect. It empties the bucket, and is made again after a wait that grows, with jitter. Those
//!   that were on their way with it say nothing new. One that is throttled although the bucket was empty lately shows that others
//!   use the account, or that its limits are lower: the bucket fills more slowly from then on, and recovers with each call that
//!   goes well.
//! * A read whose answer is lost is made again likewise. A change whose answer is lost is not: only a look can tell.
//! * A call that found no connection had no effect, and is made again if the cloud has ever answered: else the region or the
//!   endpoint is wrong, and a person learns of it at once. Of one that only ever fails, a person learns soon.
//! * A meter, if there is one, hears of each attempt and of each token.
//! * Repetitions have a budget, which calls that go well pay into: a tenth more calls than without, and some to begin with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moat_core::provider::{ANSWERED, Meter, Metered, Tokens};
use tokio::sync::Semaphore;

use crate::call::{Call, Effect, Rate};
use crate::errors::{Failure, Meaning};
use crate::time::Time;

/// Paces the calls of one process.
#[derive(Debug)]
pub struct Pace {
    time: Time,
    rates: BTreeMap<Call, Rate>,
    state: Mutex<State>,
    /// A permit for each call that may still set out.
    ways: Semaphore,
    metered: Metered,
}

#[derive(Debug)]
struct State {
    buckets: BTreeMap<Call, Bucket>,
    /// Tenths of repetitions that may still be made.
    budget: u32,
    /// Whether the cloud has ever answered.
    answered: bool,
}

/// Tenths of repetitions: those to begin with, which are also the most that can be saved up.
const BUDGET: u32 = 500;
/// What a repetition costs.
const REPETITION: u32 = 10;
/// How many calls are on their way at a time: enough for a burst of 50 in four round trips, and for four APIs at 5 calls a
/// second that take most of a second each; few enough for one machine's connections, and for little to be in doubt when a
/// process dies.
const ON_THE_WAY: usize = 16;
/// How long one call is tried, counted from its first attempt.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for a call whose outcome is unknown where the cloud has never answered: a person waits, and nothing is under way.
const FIRST: Duration = Duration::from_secs(10);

impl Pace {
    /// With the account's rates, where they differ from [`Call::rate`].
    #[must_use]
    pub fn new(time: Time, rates: BTreeMap<Call, Rate>) -> Self {
        let state = State { buckets: BTreeMap::new(), budget: BUDGET, answered: false };
        let (state, ways) = (Mutex::new(state), Semaphore::const_new(ON_THE_WAY));
        Self { time, rates, state, ways, metered: Metered::default() }
    }

    /// Tells a meter of every attempt from here on.
    pub fn meter(&mut self, meter: Arc<dyn Meter>) {
        self.metered.by(meter);
    }

    /// Makes one call, in its turn, and again as far as that is safe and the budget lasts.
    ///
    /// # Errors
    /// What the last attempt met.
    pub async fn send<T, F>(&self, call: Call, attempt: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut start = None;
        let mut waits = waits();
        loop {
            let epoch = self.turn(call).await;
            let start = *start.get_or_insert_with(|| self.time.elapsed());
            let answer = self.make(attempt()).await;
            let code = answer.as_ref().map_or_else(Failure::label, |_| ANSWERED);
            self.metered.answered(call.as_str(), code);
            let failure = match answer {
                Ok(answer) => {
                    self.went_well(call);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let again = match (failure.meaning, call.effect()) {
                (Meaning::Throttled, Effect::Reads | Effect::Changes | Effect::Inquires) => {
                    self.with(call, |bucket| bucket.learn(epoch));
                    true
                }
                (Meaning::Unknown, Effect::Reads) => true,
                (Meaning::Unreached, Effect::Reads | Effect::Changes) => self.has_answered(),
                (Meaning::Unknown, Effect::Changes | Effect::Inquires)
                | (Meaning::Unreached, Effect::Inquires)
                | (
                    Meaning::NotFound
                    | Meaning::Duplicate
                    | Meaning::Quota(_)
                    | Meaning::InUse
                    | Meaning::NotOurs
                    | Meaning::Unauthorized
                    | Meaning::Credentials
                    | Meaning::Invalid,
                    Effect::Reads | Effect::Changes | Effect::Inquires,
                ) => false,
            };
            let patient = failure.meaning == Meaning::Throttled || self.has_answered();
            let end = start + if patient { PATIENCE } else { FIRST };
            let wait = waits.next_backoff().unwrap_or_default();
            let wait = failure.retry_after.map_or(wait, |asked| asked.max(wait));
            if !again || self.time.elapsed() + wait > end || !self.spend() {
                return Err(failure);
            }
            self.time.sleep(wait).await;
        }
    }

    /// Waits for a token behind those who came before; gives the epoch of the bucket that it came from.
    async fn turn(&self, call: Call) -> u64 {
        let queue = self.with(call, |bucket| Arc::clone(&bucket.queue));
        let _turn = queue.lock().await;
        loop {
            match self.with(call, |bucket| bucket.take()) {
                Ok((epoch, tokens)) => {
                    self.metered.took(call.as_str(), tokens);
                    return epoch;
                }
                Err(wait) => self.time.sleep(wait).await,
            }
        }
    }

    /// Makes an attempt once the ways are free. What it takes is no part of a simulated time.
    async fn make<T>(&self, attempt: impl Future<Output = T>) -> T {
        let _way = self.ways.acquire().await;
        self.time.stand_still(attempt).await
    }

    fn went_well(&self, call: Call) {
        self.with(call, Bucket::recover);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.budget = state.budget.saturating_add(1).min(BUDGET);
        state.answered = true;
    }

    fn has_answered(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answered
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
    tokens: Limiter,
    /// When the bucket was emptied last.
    emptied: Option<Duration>,
    /// How often it was emptied.
    epoch: u64,
    /// Where those stand who wait for a token.
    queue: Arc<tokio::sync::Mutex<()>>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Time, StateInformationMiddleware>;

impl Bucket {
    fn new(time: Time, rate: Rate) -> Self {
        let period = Duration::from_secs(1) / rate.per_second.get();
        let tokens = Self::full(&time, rate, period);
        let queue = Arc::default();
        Self { time, rate, period, tokens, emptied: None, epoch: 0, queue }
    }

    fn full(time: &Time, rate: Rate, period: Duration) -> Limiter {
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(rate.per_second));
        RateLimiter::direct_with_clock(quota.allow_burst(rate.burst), time.clone())
            .with_middleware()
    }

    /// Takes a token, and tells the epoch and what is left; or says how long to wait for one.
    fn take(&self) -> Result<(u64, Tokens), Duration> {
        let taken = self.tokens.check();
        let taken = taken.map_err(|missing| missing.wait_time_from(self.time.elapsed()))?;
        let (left, size) = (taken.remaining_burst_capacity(), self.rate.burst.get());
        Ok((self.epoch, Tokens { left, size, period: self.period }))
    }

    fn empty(&self) {
        while self.tokens.check().is_ok() {}
    }

    /// The cloud's bucket is empty, so ours is. If ours cannot have been full again since the last time, it fills too fast. What
    /// became of a call that set out before ours was emptied is known.
    fn learn(&mut self, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        self.epoch += 1;
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
