//! Time, real or simulated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use tokio::time::{Instant, sleep};

/// A clock, and a way to wait for it. Clones of one tell the same time.
#[derive(Clone, Debug)]
pub struct Time(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Real { start: Instant },
    Simulated { nanoseconds: Arc<AtomicU64> },
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
        Self(Kind::Simulated { nanoseconds: Arc::default() })
    }

    /// The time since it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Kind::Real { start } => start.elapsed(),
            Kind::Simulated { nanoseconds } => {
                Duration::from_nanos(nanoseconds.load(Ordering::Relaxed))
            }
        }
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::Real { .. } => sleep(duration).await,
            Kind::Simulated { nanoseconds } => {
                let passed = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
                nanoseconds.fetch_add(passed, Ordering::Relaxed);
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
