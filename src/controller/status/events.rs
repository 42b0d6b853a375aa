//! Events: for what is newly found of a policy, a pod or the cloud, and for what newly stalls.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use moat_core::finding::{self, Effect, Finding};
use moat_core::policy::ObjectRef;
use moat_k8s::crd::{EnforcementStatus, FindingRow};

use crate::kinds::Watched;
use crate::reason::Reason;

/// Publishes events, each repeated one as a series.
pub(crate) struct Events {
    recorder: Recorder,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    type_: EventType,
    reason: String,
    note: String,
}

/// Who reports.
const CONTROLLER: &str = "moat.dev/controller";

/// What was tried.
const ACTION: &str = "Enforce";

/// New findings that become events at once, of one policy or of all else: the status and the log have the others.
pub(crate) const MOST: usize = 10;

/// The longest note that the API server takes, in bytes.
const LONGEST: usize = 1_024;

impl Events {
    /// `instance` names this process.
    pub(crate) fn new(client: Client, instance: String) -> Self {
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(instance) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Says on a policy what its status says now and did not say before.
    pub(crate) async fn publish(
        &self,
        watched: Watched,
        policy: &ObjectRef,
        uid: &str,
        before: &EnforcementStatus,
        now: &EnforcementStatus,
    ) -> Result<(), kube::Error> {
        let regarding = reference(watched, policy, Some(uid));
        for said in words(before, now) {
            self.say(&regarding, said).await?;
        }
        Ok(())
    }

    /// Says something about an object that is no policy.
    pub(crate) async fn warn(
        &self,
        regarding: &ObjectReference,
        reason: Reason,
        note: &str,
    ) -> Result<(), kube::Error> {
        self.say(regarding, word(EventType::Warning, reason.as_str(), "", note)).await
    }

    /// Says what was found of an object that is no policy.
    pub(crate) async fn found(
        &self,
        regarding: &ObjectReference,
        finding: &Finding,
    ) -> Result<(), kube::Error> {
        let Finding { reason, effect, path, message, .. } = finding;
        self.say(regarding, word(type_of(effect.as_str()), reason.as_str(), path, message)).await
    }

    async fn say(&self, regarding: &ObjectReference, said: Word) -> Result<(), kube::Error> {
        let event = Event {
            type_: said.type_,
            reason: said.reason,
            note: Some(said.note),
            action: ACTION.to_owned(),
            secondary: None,
        };
        self.recorder.publish(&event, regarding).await
    }
}

/// An object as events name it. Who describes an object is shown the events that bear its unique id.
pub(crate) fn reference(
    watched: Watched,
    object: &ObjectRef,
    uid: Option<&str>,
) -> ObjectReference {
    let resource = watched.resource();
    ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(object.name.to_string()),
        namespace: object.namespace.as_ref().map(ToString::to_string),
        uid: uid.map(str::to_owned),
        ..ObjectReference::default()
    }
}

/// Whether people are told of a finding by an event. Standing facts are no news, and that a pod does not run yet, or no longer,
/// its own status tells.
pub(crate) fn is_news(reason: finding::Reason) -> bool {
    !reason.is_standing() && reason != finding::Reason::NotRunning
}

fn words(before: &EnforcementStatus, now: &EnforcementStatus) -> Vec<Word> {
    let is_told = |row: &&FindingRow| {
        let mut known = finding::Reason::ALL.iter();
        known.any(|reason| reason.as_str() == row.reason && is_news(*reason))
    };
    let new = now.findings.iter().filter(is_told).filter(|row| !before.findings.contains(row));
    let stalled = |status: &EnforcementStatus| {
        let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled");
        stalled.map(|condition| word(EventType::Warning, &condition.reason, "", &condition.message))
    };
    let stalls = stalled(now).filter(|word| stalled(before).as_ref() != Some(word));
    let found =
        new.take(MOST).map(|row| word(type_of(&row.effect), &row.reason, &row.path, &row.message));
    found.chain(stalls).collect()
}

/// What changes no flow is no warning.
fn type_of(effect: &str) -> EventType {
    if effect == Effect::Ignored.as_str() { EventType::Normal } else { EventType::Warning }
}

fn word(type_: EventType, reason: &str, path: &str, message: &str) -> Word {
    let mut note = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
    note.truncate(note.floor_char_boundary(LONGEST));
    Word { type_, reason: reason.to_owned(), note }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(reasons: &[(&str, &str)]) -> EnforcementStatus {
        let row = |(reason, effect): &(&str, &str)| FindingRow {
            path: "spec.egress[0]".to_owned(),
            reason: (*reason).to_owned(),
            effect: (*effect).to_owned(),
            message: "é".repeat(600),
            witness: None,
        };
        EnforcementStatus {
            findings: reasons.iter().map(row).collect(),
            ..EnforcementStatus::default()
        }
    }

    #[test]
    fn what_is_new_and_no_standing_fact_is_said_once_and_fits() {
        let none = status(&[]);
        let now = status(&[
            ("SctpPort", "Narrower"),
            ("ServiceAddress", "Ignored"),
            ("ProbesFromAllNodes", "Ignored"),
        ]);
        let said = words(&none, &now);
        let told: Vec<_> = said.iter().map(|word| (word.type_, &*word.reason)).collect();
        let expected = [(EventType::Warning, "SctpPort"), (EventType::Normal, "ServiceAddress")];
        assert_eq!(told, expected);
        assert!(said.iter().all(|word| word.note.len() <= LONGEST));
        assert_eq!(words(&now, &now), []);
        let again = status(&[("QuotaExceeded", "NotEnforced"), ("SctpPort", "Narrower")]);
        let new: Vec<_> = words(&now, &again).into_iter().map(|word| word.reason).collect();
        assert_eq!(new, ["QuotaExceeded"]);
    }
}
