//! What the API server asks, and the answer: always yes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use moat_core::policy::Kind;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::{lines, opinion};
use crate::index::Live;
use crate::kinds::Watched;
use crate::reload::Decision;
use crate::round::Round;

/// Where the API server asks.
const PATH: &str = "/admission";

/// Bytes of a question: two objects, of which etcd takes 1.5 MiB each.
const LARGEST: usize = 4 * 1_024 * 1_024;

/// How long a question may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(2);

/// How long an opinion may take; the API server waits for 5 s in all (`timeoutSeconds`, deploy/chart/templates/admission.yaml).
const BUDGET: Duration = Duration::from_secs(3);

/// Opinions at a time: each takes a processor.
const OPINIONS: usize = 2;

/// Whom to ask.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    decision: watch::Receiver<Decision>,
    index: Live,
    rounds: watch::Receiver<Option<Round>>,
    room: Arc<Semaphore>,
}

/// `AdmissionReview` of `admission.k8s.io/v1`, as far as it matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

#[derive(Debug, Deserialize)]
struct Request {
    uid: String,
    operation: String,
    #[serde(default)]
    object: Value,
}

/// Answers questions at [`PATH`].
pub(super) fn router(desk: Desk) -> Router {
    Router::new().route(PATH, post(answer)).with_state(desk)
}

async fn answer(State(desk): State<Desk>, body: Body) -> Response {
    let refused = |status, text: &str| (status, format!("{text}\n")).into_response();
    let body = match timeout(ARRIVAL, to_bytes(body, LARGEST)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let text = format!("the question is broken off, or has more than {LARGEST} bytes");
            return refused(StatusCode::PAYLOAD_TOO_LARGE, &text);
        }
        Err(_) => return refused(StatusCode::REQUEST_TIMEOUT, "the question takes too long"),
    };
    let review: Review = match serde_json::from_slice(&body) {
        Ok(review) => review,
        Err(error) => {
            let text = format!("no AdmissionReview: {error}");
            return refused(StatusCode::BAD_REQUEST, &text);
        }
    };
    let Review { api_version, kind, request } = review;
    let (true, Some(Request { uid, operation, object })) =
        (api_version == "admission.k8s.io/v1" && kind == "AdmissionReview", request)
    else {
        let text = "no AdmissionReview of admission.k8s.io/v1 with a request";
        return refused(StatusCode::BAD_REQUEST, text);
    };
    let warnings = match operation.as_str() {
        "CREATE" | "UPDATE" => desk.warnings(object).await,
        _ => Vec::new(),
    };
    let answer = json!({
        "apiVersion": api_version,
        "kind": kind,
        "response": {"uid": uid, "allowed": true, "warnings": warnings},
    });
    ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

impl Desk {
    pub(super) fn new(
        decision: watch::Receiver<Decision>,
        index: Live,
        rounds: watch::Receiver<Option<Round>>,
    ) -> Self {
        Self { decision, index, rounds, room: Arc::new(Semaphore::new(OPINIONS)) }
    }

    async fn warnings(&self, mut object: Value) -> Vec<String> {
        let metadata = object.get("metadata");
        if metadata.is_some_and(|metadata| metadata.get("deletionTimestamp").is_some()) {
            return Vec::new();
        }
        name(&mut object);
        let policy_kind = |kind: Kind| Watched::of_policy(kind).is_some();
        let read = moat_k8s::read_object(&object);
        let Some(candidate) = read.filter(|read| policy_kind(read.object.kind)) else {
            let text = "this is no policy that Moat reads; take its kind out of the rules of the ValidatingWebhookConfiguration";
            return lines::fitting([text.to_owned()]);
        };
        let missing = self.missing();
        if !missing.is_empty() {
            let text = format!(
                "not checked: Moat does not know the {} of the cluster yet, or no longer; apply again with `--dry-run=server` in a moment",
                missing.join(", ")
            );
            return lines::fitting([text]);
        }
        let unchecked = || {
            let text = format!(
                "not checked: it would have taken more than {} s; once applied, the policy's status tells",
                BUDGET.as_secs()
            );
            lines::fitting([text])
        };
        let end = Instant::now() + BUDGET;
        let Ok(Ok(permit)) = timeout_at(end, self.room.clone().acquire_owned()).await else {
            return unchecked();
        };
        let desk = self.clone();
        let opinion = spawn_blocking(move || {
            let cluster = desk.index.look().snapshot();
            let round = desk.rounds.borrow().clone();
            let placed = round.as_ref().map(|round| &*round.inputs);
            let configuration = desk.decision.borrow().configuration.clone();
            let warnings = opinion::warnings(candidate, cluster, placed, &configuration);
            // Held to the end, also where nobody waits any longer.
            drop(permit);
            warnings
        });
        match timeout_at(end, opinion).await {
            Ok(Ok(warnings)) => warnings,
            Ok(Err(_)) | Err(_) => unchecked(),
        }
    }

    /// The kinds that policies need and that were not told, or whose watch is broken.
    fn missing(&self) -> Vec<&'static str> {
        let index = self.index.look();
        let watches = index.watches().iter().filter(|(watched, _)| watched.is_of_policies());
        let missing = watches.filter(|(_, it)| !it.complete || it.broken.is_some());
        missing.map(|(watched, _)| watched.plural()).collect()
    }
}

/// Names an object that the API server is yet to name.
fn name(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("name").is_empty() {
        let name = format!("{}…", text("generateName"));
        metadata.insert("name".to_owned(), name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Index;
    use crate::watch::{News, Told};

    fn desk(index: Index) -> Desk {
        let decision = Decision { configuration: Arc::default(), refused: None };
        Desk::new(watch::channel(decision).1, Live::of(index), watch::channel(None).1)
    }

    #[tokio::test]
    async fn who_does_not_know_the_whole_cluster_says_so_and_nothing_else() {
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"podSelector": {}},
        });
        let mut index = Index::default();
        let mut said = Vec::new();
        let tell = |index: &mut Index, watched, news| index.take(Told { watched, news });
        for watched in Watched::of_policies() {
            tell(&mut index, watched, News::NotInstalled);
            said.push(desk(index.clone()).warnings(policy.clone()).await.join(" "));
        }
        let last = said.pop().unwrap();
        assert!(last.starts_with("moat: spec.podSelector: it selects no pod"), "{last}");
        for (place, said) in said.iter().enumerate() {
            let missing: Vec<_> =
                Watched::of_policies().skip(place + 1).map(Watched::plural).collect();
            assert!(said.starts_with("moat: not checked: "), "{said}");
            let said = said.replace("… ", "").replace("moat: ", "");
            assert!(said.contains(&missing.join(", ")), "{said}");
        }
        tell(&mut index, Watched::Pods, News::Broken("refused".to_owned()));
        let said = desk(index).warnings(policy).await.join(" ");
        assert!(said.starts_with("moat: not checked: Moat does not know the pods of"), "{said}");
    }

    #[tokio::test]
    async fn who_has_no_time_says_so() {
        let mut index = Index::default();
        for watched in Watched::of_policies() {
            index.take(Told { watched, news: News::NotInstalled });
        }
        let desk = desk(index);
        let all = desk.room.clone().acquire_many_owned(2).await;
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": "shop", "name": "web"},
        });
        tokio::time::pause();
        let said = desk.warnings(policy).await;
        assert_eq!(said.len(), 1);
        assert!(said.join("").starts_with("moat: not checked: it would have taken more than 3 s"));
        drop(all);
    }
}
