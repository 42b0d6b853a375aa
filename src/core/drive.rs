//! Executes a plan: what the commands and the controller share. It makes no choices; all of them are in the plan.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Plan, Purpose, Stage};
use crate::provider::{Observed, Provider, ProviderError, Remedy, Scope, Step, Touched};

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'plan> {
    /// The steps that were tried, in order.
    pub attempts: Vec<Attempt<'plan>>,
    /// The last picture that was read back; none if there was nothing to do, or nothing could be read.
    pub observed: Option<Arc<Observed>>,
    /// How it ended.
    pub ending: Ending,
}

/// A step that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt<'plan> {
    /// What its stage is for.
    pub purpose: Purpose,
    /// The step.
    pub step: &'plan Step,
    /// What the cloud said at last.
    pub answer: Result<(), ProviderError>,
}

/// How a plan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The pictures showed every stage.
    Done,
    /// The cloud is not as the plan assumed, or does not show a step: observe, and plan anew. The band of P4 holds.
    PlanAgain,
    /// A step failed in a way that the same plan would meet again; see [`Outcome::failures`].
    Failed,
    /// No picture could be read.
    Unread(ProviderError),
}

impl<'plan> Outcome<'plan> {
    /// The steps that failed for a reason that a person must mend.
    pub fn failures(&self) -> impl Iterator<Item = (&'plan Step, &ProviderError)> + '_ {
        self.attempts.iter().filter_map(|attempt| match &attempt.answer {
            Err(error) if !matches!(error.remedy(), Remedy::Observe) => Some((attempt.step, error)),
            Ok(()) | Err(_) => None,
        })
    }
}

/// Runs the stages of a plan in order, and reads each back before the next.
///
/// The steps of a stage are handed over together, and each is tried: one that fails does not keep the others from it, but the
/// next stage begins only once a picture shows all of them. Whatever happens, the flows let through stay within the band, since any
/// subset of a stage's steps does; so does stopping anywhere, and planning again from there.
///
/// Assumes that the provider's last picture is the one that the plan was made from.
pub async fn drive<'plan, P: Provider>(
    provider: &mut P,
    plan: &'plan Plan,
    scope: &Scope,
) -> Outcome<'plan> {
    let mut whole = Outcome { attempts: Vec::new(), observed: None, ending: Ending::Done };
    for one in &plan.stages {
        let outcome = stage(provider, one, scope).await;
        whole.attempts.extend(outcome.attempts);
        whole.observed = outcome.observed.or(whole.observed);
        whole.ending = outcome.ending;
        if whole.ending != Ending::Done {
            break;
        }
    }
    whole
}

/// Runs one stage, and reads it back: who runs the stages of a plan one by one can stop, or plan anew, between any two.
pub async fn stage<'plan, P: Provider>(
    provider: &mut P,
    stage: &'plan Stage,
    scope: &Scope,
) -> Outcome<'plan> {
    let answers = execute(provider, &stage.steps).await;
    let attempts: Vec<_> = stage
        .steps
        .iter()
        .zip(answers)
        .map(|(step, answer)| Attempt { purpose: stage.purpose, step, answer })
        .collect();
    let (observed, ending) = match read_back(provider, scope, &attempts).await {
        Ok((observed, ending)) => (Some(observed), ending),
        Err(error) => (None, Ending::Unread(error)),
    };
    Outcome { attempts, observed, ending }
}

/// The same stages, none with more steps than `most`: who looks for news between two stages need not wait for long ones. The band
/// holds, as it does after any subset of a stage's steps.
#[must_use]
pub fn portions(stages: Vec<Stage>, most: usize) -> Vec<Stage> {
    let parts = |Stage { purpose, steps }: Stage| {
        let parts: Vec<_> = steps.chunks(most.max(1)).map(<[Step]>::to_vec).collect();
        parts.into_iter().map(move |steps| Stage { purpose, steps })
    };
    stages.into_iter().flat_map(parts).collect()
}

/// A picture, read with patience.
///
/// # Errors
/// The provider's last answer, when waiting did not help or would not.
pub async fn observe<P: Provider>(
    provider: &mut P,
    scope: &Scope,
) -> Result<Arc<Observed>, ProviderError> {
    patiently(provider, scope, None).await
}

/// The last picture, with this read anew.
///
/// # Errors
/// As for [`observe`].
pub async fn observe_again<P: Provider>(
    provider: &mut P,
    scope: &Scope,
    touched: &Touched,
) -> Result<Arc<Observed>, ProviderError> {
    patiently(provider, scope, Some(touched)).await
}

async fn patiently<P: Provider>(
    provider: &mut P,
    scope: &Scope,
    touched: Option<&Touched>,
) -> Result<Arc<Observed>, ProviderError> {
    let mut patience = Patience::LONG;
    loop {
        let picture = match touched {
            None => provider.observe(scope).await,
            Some(touched) => provider.observe_again(scope, touched).await,
        };
        let error = match picture {
            Ok(observed) => return Ok(observed),
            Err(error) => error,
        };
        match error.remedy() {
            Remedy::Wait | Remedy::Observe if !patience.is_over() => {
                patience.pass(provider, retry_after(&error)).await;
            }
            Remedy::Wait | Remedy::Observe | Remedy::Report => return Err(error),
        }
    }
}

/// Tries steps until the cloud takes them, or says something that waiting does not mend; patient as long as some get on. One
/// answer for each.
async fn execute<P: Provider>(provider: &mut P, steps: &[Step]) -> Vec<Result<(), ProviderError>> {
    let mut answers = provider.execute(&steps.iter().collect::<Vec<_>>()).await;
    let mut patience = Patience::LONG;
    let mut before = steps.len();
    loop {
        let told_to_wait = |answer: &Result<(), ProviderError>| match answer {
            Err(error) => matches!(error.remedy(), Remedy::Wait),
            Ok(()) => false,
        };
        let pending = answers.iter_mut().zip(steps).filter(|(answer, _)| told_to_wait(answer));
        let (pending, again): (Vec<_>, Vec<&Step>) = pending.unzip();
        if pending.len() < before {
            patience = Patience::LONG;
        }
        if pending.is_empty() || patience.is_over() {
            return answers;
        }
        before = pending.len();
        let asked = pending.iter().filter_map(|it| it.as_ref().err().and_then(retry_after)).max();
        patience.pass(provider, asked).await;
        for (answer, new) in pending.into_iter().zip(provider.execute(&again).await) {
            *answer = new;
        }
    }
}

/// Observes until a picture shows every step of a stage, or it is clear that none will.
async fn read_back<P: Provider>(
    provider: &mut P,
    scope: &Scope,
    attempts: &[Attempt<'_>],
) -> Result<(Arc<Observed>, Ending), ProviderError> {
    let failed = attempts.iter().any(|attempt| match &attempt.answer {
        Ok(()) => false,
        Err(error) => !matches!(error.remedy(), Remedy::Observe),
    });
    // What the cloud took shows sooner or later; of the rest a few looks tell as much as many.
    let mut patience = Patience::LONG;
    let mut doubt = Patience::SHORT;
    let touched = Touched::by(attempts.iter().map(|attempt| attempt.step));
    loop {
        let observed = observe_again(provider, scope, &touched).await?;
        let shows = |attempt: &&Attempt<'_>| observed.shows(attempt.step);
        let (taken, doubtful): (Vec<_>, Vec<_>) =
            attempts.iter().partition(|attempt| attempt.answer.is_ok());
        if !taken.iter().all(shows) && !patience.is_over() {
            patience.pass(provider, None).await;
        } else if failed {
            return Ok((observed, Ending::Failed));
        } else if !taken.iter().all(shows) {
            return Ok((observed, Ending::PlanAgain));
        } else if doubtful.iter().all(shows) {
            return Ok((observed, Ending::Done));
        } else if doubt.is_over() {
            return Ok((observed, Ending::PlanAgain));
        } else {
            doubt.pass(provider, None).await;
        }
    }
}

/// How long the cloud says to wait.
fn retry_after(error: &ProviderError) -> Option<Duration> {
    match error {
        ProviderError::Throttled { retry_after, .. } => *retry_after,
        ProviderError::NotYetVisible { .. }
        | ProviderError::Duplicate { .. }
        | ProviderError::NotFound { .. }
        | ProviderError::Changed { .. }
        | ProviderError::Quota { .. }
        | ProviderError::InUse { .. }
        | ProviderError::NotOurs { .. }
        | ProviderError::Unauthorized { .. }
        | ProviderError::Credentials { .. }
        | ProviderError::Invalid { .. }
        | ProviderError::Transient { .. } => None,
    }
}

/// Waits that grow, up to an end.
#[derive(Clone, Copy, Debug)]
struct Patience {
    next: Duration,
    left: Duration,
}

impl Patience {
    /// For what comes in time: EC2 shows a new resource within about five minutes ("Eventual consistency", EC2 Developer Guide).
    const LONG: Self = Self { next: Duration::from_secs(1), left: Duration::from_secs(300) };
    /// For what may never come.
    const SHORT: Self = Self { next: Duration::from_secs(1), left: Duration::from_secs(7) };
    /// No single wait is longer than this unless the cloud asks for it.
    const LONGEST: Duration = Duration::from_secs(20);

    fn is_over(self) -> bool {
        self.left.is_zero()
    }

    async fn pass<P: Provider>(&mut self, provider: &mut P, asked: Option<Duration>) {
        let wait = asked.map_or(self.next, |asked| asked.max(self.next));
        provider.wait(wait).await;
        self.left = self.left.saturating_sub(wait);
        self.next = self.next.saturating_mul(2).min(Self::LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::GroupNumber;

    #[test]
    fn long_stages_are_parted_and_every_step_keeps_its_place() {
        let stage = |purpose, steps: std::ops::Range<usize>| Stage {
            purpose,
            steps: steps.map(|it| Step::CreateGroup(GroupNumber::nth(it))).collect(),
        };
        let parted = portions(vec![stage(Purpose::Create, 0..5), stage(Purpose::Wear, 5..7)], 2);
        let expected = [
            stage(Purpose::Create, 0..2),
            stage(Purpose::Create, 2..4),
            stage(Purpose::Create, 4..5),
            stage(Purpose::Wear, 5..7),
        ];
        assert_eq!(parted, expected);
    }
}
