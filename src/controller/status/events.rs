//! Events on a policy: for what is newly found, and for what newly stalls.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use moat_core::finding::Effect;
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
    reason: String,
    note: String,
}

/// Who reports.
const CONTROLLER: &str = "moat.dev/controller";

/// What was tried.
const ACTION: &str = "Enforce";

/// New findings of one policy that become events at once; its status has the others.
const MOST: usize = 10;

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
        let resource = watched.resource();
        let regarding = ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            name: Some(policy.name.to_string()),
            namespace: policy.namespace.as_ref().map(ToString::to_string),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
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
        self.say(regarding, word(reason.as_str(), "", note)).await
    }

    async fn say(&self, regarding: &ObjectReference, said: Word) -> Result<(), kube::Error> {
        let event = Event {
            type_: EventType::Warning,
            reason: said.reason,
            note: Some(said.note),
            action: ACTION.to_owned(),
            secondary: None,
        };
        self.recorder.publish(&event, regarding).await
    }
}

fn words(before: &EnforcementStatus, now: &EnforcementStatus) -> Vec<Word> {
    let changes = |row: &&FindingRow| row.effect != Effect::Ignored.as_str();
    let new: Vec<&FindingRow> =
        now.findings.iter().filter(changes).filter(|row| !before.findings.contains(row)).collect();
    let stalled = |status: &EnforcementStatus| {
        let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled");
        stalled.map(|condition| word(&condition.reason, "", &condition.message))
    };
    let stalls = stalled(now).filter(|word| stalled(before).as_ref() != Some(word));
    let found = new.iter().take(MOST).map(|row| word(&row.reason, &row.path, &row.message));
    found.chain(stalls).collect()
}

fn word(reason: &str, path: &str, message: &str) -> Word {
    let mut note = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
    note.truncate(note.floor_char_boundary(LONGEST));
    Word { reason: reason.to_owned(), note }
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
    fn what_is_new_and_changes_a_flow_is_said_once_and_fits() {
        let none = status(&[]);
        let now = status(&[("SctpPort", "Narrower"), ("ServiceAddress", "Ignored")]);
        let said = words(&none, &now);
        assert_eq!(said.iter().map(|word| &*word.reason).collect::<Vec<_>>(), ["SctpPort"]);
        assert!(said.iter().all(|word| word.note.len() <= LONGEST));
        assert_eq!(words(&now, &now), []);
        let again = status(&[("QuotaExceeded", "NotEnforced"), ("SctpPort", "Narrower")]);
        let new: Vec<_> = words(&now, &again).into_iter().map(|word| word.reason).collect();
        assert_eq!(new, ["QuotaExceeded"]);
    }
}
