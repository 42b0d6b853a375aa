//! Faults that a test or a curious person lets calls run into.

use moat_core::provider::ProviderError;

use crate::Call;

/// What befalls a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this error, and has no effect.
    Refuse(ProviderError),
    /// It, or its answer, is lost: the caller sees `Transient`.
    Lose(Moment),
    /// The process dies: until [`Sim::restart`](crate::Sim::restart) every call is `Transient` and has no effect.
    Kill(Moment),
}

/// When a call is lost or its process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before it has its effect.
    Before,
    /// After it has its effect.
    After,
}

/// A fault, and the calls that it befalls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Only this call; none: any call.
    pub call: Option<Call>,
    /// How many such calls go well first.
    pub after: usize,
    /// How many it befalls then.
    pub times: usize,
    /// What befalls them.
    pub fault: Fault,
}

/// The faults to come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<Injection>);

impl Faults {
    pub(crate) fn add(&mut self, injection: Injection) {
        self.0.push(injection);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What befalls the next call: each injection counts it, the first that is due has it.
    pub(crate) fn next(&mut self, call: Call) -> Option<Fault> {
        let mut fault = None;
        for injection in &mut self.0 {
            if injection.call.is_some_and(|only| only != call) {
            } else if let Some(after) = injection.after.checked_sub(1) {
                injection.after = after;
            } else if let Some(times) = injection.times.checked_sub(1).filter(|_| fault.is_none()) {
                injection.times = times;
                fault = Some(injection.fault.clone());
            }
        }
        fault
    }
}
