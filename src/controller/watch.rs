//! One watch for each kind: lists, follows, and says how it stands.
//!
//! A list is told whole, so that what vanished unseen is gone with it. A resource version that the API server no longer knows (410) is
//! followed by a new list. A kind that is not installed counts as empty, once its definition is seen to be missing: while an API
//! server starts, it can answer 404 for what is there.

use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::DynamicObject;
use kube::runtime::watcher::DefaultBackoff;
use kube::{Api, Client};
use moat_k8s::Read;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::kinds::Watched;

/// What a watch tells.
#[derive(Debug)]
pub(crate) struct Told {
    /// The kind.
    pub(crate) watched: Watched,
    /// The news.
    pub(crate) news: News,
}

/// News of one kind.
#[derive(Debug)]
pub(crate) enum News {
    /// All objects there are.
    Listed(Vec<Read>),
    /// One that is new or changed.
    Changed(Box<Read>),
    /// One that is gone.
    Gone(Box<Read>),
    /// The kind is not installed.
    NotInstalled,
    /// The watch goes on after a silence.
    Alive,
    /// Nothing can be said about the kind until it is alive again.
    Broken(String),
}

/// Objects in one page of a list.
pub(crate) const PAGE: u32 = 500;

/// An API server sends a bookmark about every minute. Who hears nothing for longer may hear nobody, and watches anew: a watch that
/// was just taken up can stay silent for longer than that by itself.
const SILENCE: Duration = Duration::from_secs(100);

/// How long an API server that is there takes to begin a watch.
const BEGINS: Duration = Duration::from_secs(10);

/// How long the API server keeps a watch open, in seconds.
const OPEN: u32 = 290;

/// How often it is looked whether a kind is installed by now.
const INSTALLED: Duration = Duration::from_secs(5);

/// Why a watch does not go on.
#[derive(Debug)]
enum End {
    /// The API server closed it, as it does now and then, or said nothing for long.
    Closed,
    /// The version is too old: list again.
    Expired,
    /// The kind is not installed.
    NotInstalled,
    /// Something failed.
    Failed(String),
    /// Nobody listens any more.
    Unheard,
}

/// Follows a kind as long as somebody listens.
pub(crate) async fn follow(client: Client, watched: Watched, tell: Sender<Told>) {
    let (resource, only) = (watched.resource(), watched.definition().only);
    let watch = Watch {
        api: match only {
            Some((namespace, _)) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        },
        only: only.map(|(_, name)| format!("metadata.name={name}")),
        definitions: Api::all(client),
        watched,
        tell,
    };
    let mut backoff = DefaultBackoff::default();
    let mut version = None;
    loop {
        let end = match version.take() {
            None => watch.list().await,
            Some(from) => watch.go_on(from).await,
        };
        let (from, end) = match end {
            Ok(from) => (Some(from), None),
            Err((from, end)) => (from, Some(end)),
        };
        version = from;
        let (news, pause) = match end {
            None | Some(End::Closed) => continue,
            Some(End::Expired) => {
                info!(
                    kind = watched.plural(),
                    "what was seen is too old to go on from: it is listed again"
                );
                continue;
            }
            Some(End::Unheard) => return,
            Some(End::NotInstalled) => (News::NotInstalled, INSTALLED),
            Some(End::Failed(message)) => {
                warn!(kind = watched.plural(), %message, "not followed");
                let pause = backoff.next().unwrap_or(INSTALLED);
                (News::Broken(message), pause)
            }
        };
        if watch.say(news).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

struct Watch {
    api: Api<DynamicObject>,
    /// The field selector of the only object that is followed.
    only: Option<String>,
    definitions: Api<CustomResourceDefinition>,
    watched: Watched,
    tell: Sender<Told>,
}

impl Watch {
    async fn say(&self, news: News) -> Result<(), End> {
        let told = Told { watched: self.watched, news };
        self.tell.send(told).await.map_err(|_| End::Unheard)
    }

    /// Lists everything; the version from which to watch.
    async fn list(&self) -> Result<String, (Option<String>, End)> {
        let mut all = Vec::new();
        let field_selector = self.only.clone();
        let mut page = ListParams { field_selector, ..ListParams::default() }.limit(PAGE);
        loop {
            let list = match timeout(SILENCE, self.api.list(&page)).await {
                Ok(Ok(list)) => list,
                Ok(Err(error)) => return Err((None, self.refused(error).await)),
                Err(_) => return Err((None, End::Failed("listing takes too long".to_owned()))),
            };
            all.extend(list.items.into_iter().filter_map(|object| read(self.watched, object)));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => {
                    let version = list.metadata.resource_version.unwrap_or_default();
                    self.say(News::Listed(all)).await.map_err(|end| (None, end))?;
                    return Ok(version);
                }
            }
        }
    }

    /// Watches from a version on, until the watch ends; with the version from which it can be taken up.
    async fn go_on(&self, mut version: String) -> Result<String, (Option<String>, End)> {
        let field_selector = self.only.clone();
        let parameters = WatchParams { field_selector, ..WatchParams::default() }.timeout(OPEN);
        let events = match timeout(BEGINS, self.api.watch(&parameters, &version)).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => {
                let end = self.refused(error).await;
                let from = matches!(end, End::Failed(_)).then_some(version);
                return Err((from, end));
            }
            Err(_) => return Err((Some(version), End::Failed("no watch begins".to_owned()))),
        };
        if let Err(end) = self.say(News::Alive).await {
            return Err((None, end));
        }
        pin_mut!(events);
        loop {
            let event = match timeout(SILENCE, events.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => {
                    return Err((Some(version), End::Failed(error.to_string())));
                }
                Ok(None) | Err(_) => return Err((Some(version), End::Closed)),
            };
            let news: fn(Box<Read>) -> News = match &event {
                WatchEvent::Deleted(_) => News::Gone,
                WatchEvent::Added(_)
                | WatchEvent::Modified(_)
                | WatchEvent::Bookmark(_)
                | WatchEvent::Error(_) => News::Changed,
            };
            match event {
                WatchEvent::Added(object)
                | WatchEvent::Modified(object)
                | WatchEvent::Deleted(object) => {
                    version = object.metadata.resource_version.clone().unwrap_or(version);
                    if let Some(seen) = read(self.watched, object) {
                        self.say(news(Box::new(seen))).await.map_err(|end| (None, end))?;
                    }
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) if status.code == GONE => {
                    return Err((None, End::Expired));
                }
                WatchEvent::Error(status) => {
                    return Err((Some(version), End::Failed(status.message)));
                }
            }
        }
    }

    /// What an error answer means.
    async fn refused(&self, error: kube::Error) -> End {
        let code = if let kube::Error::Api(status) = &error { Some(status.code) } else { None };
        match (code, self.watched.crd()) {
            (Some(GONE), _) => End::Expired,
            (Some(NOT_FOUND), Some(definition)) => {
                match self.definitions.get_opt(&definition).await {
                    Ok(None) => End::NotInstalled,
                    Ok(Some(_)) => End::Failed(format!("`{definition}` is not served yet")),
                    Err(error) => End::Failed(error.to_string()),
                }
            }
            _ => End::Failed(error.to_string()),
        }
    }
}

/// An object of a kind, read; what is not needed of it is dropped.
pub(crate) fn read(watched: Watched, mut object: DynamicObject) -> Option<Read> {
    object.metadata.managed_fields = None;
    // Items of a list do not say their kind.
    let resource = watched.resource();
    object.types =
        Some(kube::core::TypeMeta { api_version: resource.api_version, kind: resource.kind });
    moat_k8s::read_object(&serde_json::to_value(object).ok()?)
}

/// 404 Not Found.
pub(crate) const NOT_FOUND: u16 = 404;
/// 410 Gone: the resource version is too old.
pub(crate) const GONE: u16 = 410;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use axum::http::{Request, Response};
    use serde_json::json;
    use tokio::sync::mpsc;
    use tower::service_fn;

    use super::*;

    /// An API server with one namespace, on which the first `silent` watches begin and say nothing, and later ones never begin.
    fn server(mut silent: usize) -> Client {
        let list = json!({
            "apiVersion": "v1",
            "kind": "NamespaceList",
            "metadata": {"resourceVersion": "7"},
            "items": [{"metadata": {"name": "shop"}}],
        });
        let answers = service_fn(move |request: Request<kube::client::Body>| {
            let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let begins = !watches || silent > 0;
            silent -= usize::from(watches && begins);
            let body = if watches {
                Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, Infallible>>())
            } else {
                Body::from(list.to_string())
            };
            async move {
                if !begins {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        Client::new(answers, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_watch_is_taken_up_again_and_is_broken_only_if_that_fails() {
        let (tell, mut told) = mpsc::channel(10);
        let following = tokio::spawn(follow(server(2), Watched::Namespaces, tell));
        let mut heard = Vec::new();
        for _ in 0..4 {
            heard.push(told.recv().await.expect("it goes on").news);
        }
        following.abort();
        let [News::Listed(all), News::Alive, News::Alive, News::Broken(why)] = heard.as_slice()
        else {
            panic!("{heard:?}");
        };
        assert_eq!((all.len(), why.as_str()), (1, "no watch begins"));
    }
}
