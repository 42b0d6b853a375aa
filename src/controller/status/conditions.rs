//! Conditions as tools read them: `metav1.Condition`, and kstatus for `Stalled` and `Reconciling`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use moat_k8s::crd::EnforcementStatus;

use super::report::{Said, Undone, Verdict};
use crate::reason::Reason;

/// The characters of a condition's message that the API server takes.
const LONGEST: usize = 32_768;

/// The status of an enforcement. A condition keeps the time of its last transition as long as its status is the same.
pub(crate) fn status(
    verdict: &Verdict,
    generation: i64,
    before: &EnforcementStatus,
    now: &Time,
) -> EnforcementStatus {
    EnforcementStatus {
        observed_generation: Some(generation),
        conditions: conditions(verdict, generation, &before.conditions, now),
        findings: verdict.findings.clone(),
        findings_total: i32::try_from(verdict.total).unwrap_or(i32::MAX),
        summary: Some(verdict.summary),
        unfiltered: verdict.unfiltered.clone(),
    }
}

/// `Accepted`, `Programmed` and `Exact`, and those that are there only while they are true.
pub(crate) fn conditions(
    verdict: &Verdict,
    generation: i64,
    before: &[Condition],
    now: &Time,
) -> Vec<Condition> {
    let condition = |kind: &str, status: &str, reason: Reason, message: &str| {
        let same = before.iter().find(|one| one.type_ == kind && one.status == status);
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_string(),
            message: message.chars().take(LONGEST).collect(),
            observed_generation: Some(generation),
            last_transition_time: same.map_or(now, |one| &one.last_transition_time).clone(),
        }
    };
    let said = |kind: &str, status: &str, Said { reason, message }: &Said| {
        condition(kind, status, *reason, message)
    };
    let accepted = match &verdict.accepted {
        Ok(()) => condition("Accepted", "True", Reason::Accepted, "every field was understood"),
        Err(why) => said("Accepted", "False", why),
    };
    let programmed = match &verdict.programmed {
        Ok(()) => condition("Programmed", "True", Reason::Programmed, "read back from the cloud"),
        Err(Undone::Underway(why) | Undone::Stalled(why)) => said("Programmed", "False", why),
        Err(Undone::Unknown(why)) => said("Programmed", "Unknown", why),
    };
    let exact = match (&verdict.inexact, &verdict.programmed) {
        (Some(why), _) => said("Exact", "False", why),
        (None, Ok(())) => {
            let message = "the cloud lets through what the policy says, and nothing else";
            condition("Exact", "True", Reason::Exact, message)
        }
        (None, Err(Undone::Underway(why) | Undone::Stalled(why) | Undone::Unknown(why))) => {
            said("Exact", "Unknown", why)
        }
    };
    let passing = match &verdict.programmed {
        Err(Undone::Underway(why)) => Some(said("Reconciling", "True", why)),
        Err(Undone::Stalled(why)) => Some(said("Stalled", "True", why)),
        Ok(()) | Err(Undone::Unknown(_)) => None,
    };
    [accepted, programmed, exact].into_iter().chain(passing).collect()
}
