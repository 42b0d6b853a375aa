//! Time, real or simulated.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use governor::clock::Clock;
use tokio::time::{Instant, sleep};

/// A clock, and a way to wait for it. Clones of one tell the same time.
#[derive(Clone, Debug)]
pub struct Time(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Real { start: Instant },
    Simulated(Simulation),
}

impl Time {
    /// The runtime's time.
    #[must_use]
    pub fn real() -> Self {
        Self(Kind::Real { start: Instant::now() })
    }

    /// A time that passes only in [`Time::sleep`], and there at once: for measuring how long something would take.
    #[must_use]
    pub fn simulated() -> Self {
        Self(Kind::Simulated(Simulation::default()))
    }

    /// A simulated time in which whatever [it stands still for](Time::stand_still) takes so long.
    #[must_use]
    pub fn simulated_with_round_trips(round_trip: Duration) -> Self {
        Self(Kind::Simulated(Simulation { round_trip, ..Simulation::default() }))
    }

    /// The time since it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Kind::Real { start } => start.elapsed(),
            Kind::Simulated(simulation) => simulation.course().now,
        }
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::Real { .. } => sleep(duration).await,
            Kind::Simulated(simulation) => simulation.sleep(duration).await,
        }
    }

    /// Runs futures side by side; gives what they give, in their order.
    ///
    /// Simulated time stands still as long as one of them can get on or [is in it](Time::stand_still); then it moves on to
    /// where the first of those that sleep wakes up. Those that do not use this clock are not heeded.
    pub async fn side_by_side<F: Future>(
        &self,
        futures: impl IntoIterator<Item = F>,
    ) -> Vec<F::Output> {
        let all = join_all(futures);
        match &self.0 {
            Kind::Real { .. } => all.await,
            Kind::Simulated(simulation) => simulation.run(all).await,
        }
    }

    /// Runs a future that waits for something besides this time: an answer, say. Simulated time does not pass in it, but for one
    /// round trip.
    pub async fn stand_still<F: Future>(&self, future: F) -> F::Output {
        match &self.0 {
            Kind::Real { .. } => future.await,
            Kind::Simulated(simulation) => {
                let answer = simulation.stand_still(future).await;
                if !simulation.round_trip.is_zero() {
                    simulation.sleep(simulation.round_trip).await;
                }
                answer
            }
        }
    }
}

impl Clock for Time {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.elapsed()
    }
}

// -------------------------------------------------------------------------------------------- Simulation

#[derive(Clone, Debug, Default)]
struct Simulation {
    course: Arc<Mutex<Course>>,
    round_trip: Duration,
}

#[derive(Debug, Default)]
struct Course {
    now: Duration,
    /// Whether futures run side by side: else whoever sleeps is alone, and moves time on.
    crowd: bool,
    /// How many futures time stands still for.
    still: usize,
    /// Those who sleep, by when they wake up and who came first.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    /// How many have slept.
    slept: u64,
}

impl Simulation {
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep(&self, duration: Duration) {
        let end = self.course().end(duration);
        poll_fn(|context| self.course().arrive(end, context)).await;
    }

    async fn stand_still<F: Future>(&self, future: F) -> F::Output {
        self.course().still += 1;
        let _still = Finally(|| self.course().still -= 1);
        future.await
    }

    async fn run<F: Future>(&self, all: F) -> F::Output {
        self.course().crowd = true;
        let _crowd = Finally(|| self.course().crowd = false);
        let mut all = pin!(all);
        poll_fn(|context| {
            let bell =
                Arc::new(Bell { rung: AtomicBool::new(false), outer: context.waker().clone() });
            let waker = Waker::from(Arc::clone(&bell));
            let answer = all.as_mut().poll(&mut Context::from_waker(&waker));
            if answer.is_pending() && !bell.rung.load(Ordering::Relaxed) {
                let woken = self.course().pass();
                woken.into_iter().for_each(Waker::wake);
            }
            answer
        })
        .await
    }
}

impl Course {
    fn end(&mut self, duration: Duration) -> (Duration, u64) {
        self.slept += 1;
        (self.now.saturating_add(duration), self.slept)
    }

    fn arrive(&mut self, end: (Duration, u64), context: &Context<'_>) -> Poll<()> {
        if !self.crowd {
            self.now = self.now.max(end.0);
        }
        if self.now < end.0 {
            self.sleepers.insert(end, context.waker().clone());
            return Poll::Pending;
        }
        self.sleepers.remove(&end);
        Poll::Ready(())
    }

    /// Moves on to where the first sleeper wakes up; gives those who do.
    fn pass(&mut self) -> Vec<Waker> {
        let next = self.sleepers.first_key_value().filter(|_| self.still == 0);
        let Some(((end, _), _)) = next else { return Vec::new() };
        self.now = self.now.max(*end);
        let later = self.sleepers.split_off(&(self.now, u64::MAX));
        std::mem::replace(&mut self.sleepers, later).into_values().collect()
    }
}

/// Tells whether a future can get on although it has just said that it waits.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    outer: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Relaxed);
        self.outer.wake_by_ref();
    }
}

/// Does something in the end, also if a future is dropped on the way.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
