//! What a provider asks of its cloud, for who watches over both.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Hears of every request that a provider makes. Its words label metrics, so each comes from a set that is closed.
pub trait Meter: fmt::Debug + Send + Sync {
    /// A request has its answer, or will have none. `operation` is the cloud's name of it. `code` is [`ANSWERED`], the cloud's code of
    /// an error, [`UNLISTED`], or [`UNANSWERED`].
    fn answered(&self, operation: &'static str, code: &'static str);

    /// A request took a token out of the bucket of its operation.
    fn took(&self, operation: &'static str, bucket: Tokens);
}

/// The code of a request that was granted.
pub const ANSWERED: &str = "OK";
/// The code of a request that was refused with an error that the provider does not list.
pub const UNLISTED: &str = "Other";
/// The code of a request that was not answered.
pub const UNANSWERED: &str = "None";

/// A bucket that requests of one operation take tokens from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// The tokens in it.
    pub left: u32,
    /// The most that it holds.
    pub size: u32,
    /// How long one takes to flow back.
    pub period: Duration,
}

/// The one who is told, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Metered(Option<Arc<dyn Meter>>);

impl Metered {
    /// Tells a meter from here on.
    pub fn by(&mut self, meter: Arc<dyn Meter>) {
        self.0 = Some(meter);
    }

    /// [`Meter::answered`].
    pub fn answered(&self, operation: &'static str, code: &'static str) {
        if let Some(meter) = &self.0 {
            meter.answered(operation, code);
        }
    }

    /// [`Meter::took`].
    pub fn took(&self, operation: &'static str, bucket: Tokens) {
        if let Some(meter) = &self.0 {
            meter.took(operation, bucket);
        }
    }
}

impl Tokens {
    /// The tokens in the bucket a while later, if none is taken.
    #[must_use]
    pub fn after(self, passed: Duration) -> u32 {
        let back = passed.as_nanos().checked_div(self.period.as_nanos()).unwrap_or(u128::MAX);
        self.left.saturating_add(u32::try_from(back).unwrap_or(u32::MAX)).min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_flow_back_one_by_one_up_to_the_size() {
        let tokens = Tokens { left: 1, size: 4, period: Duration::from_millis(200) };
        let after = |milliseconds| tokens.after(Duration::from_millis(milliseconds));
        assert_eq!([0, 199, 200, 599, 600, 60_000].map(after), [1, 1, 2, 3, 4, 4]);
        let instant = Tokens { period: Duration::ZERO, ..tokens };
        assert_eq!(instant.after(Duration::ZERO), 4);
    }
}
