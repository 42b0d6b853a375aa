//! What the controller answers over plain HTTP: probes and metrics to everybody, the level of its log to its own machine alone.
//!
//! ```text
//! GET /healthz   200 while the worker gives signs of life
//! GET /readyz    200 once every list was told, whoever leads
//! GET /metrics   the metrics, as OpenMetrics
//!
//! GET /log       what is logged, as directives of `tracing_subscriber::EnvFilter`
//! PUT /log       logs otherwise from here on
//! ```

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use moat_k8s::configuration::Configuration;
use thiserror::Error;
use tokio::net::TcpListener;
use tracing::error;

use crate::admission::{Terms, Webhook};
use crate::log::Log;
use crate::telemetry::Telemetry;

/// The open ports of a controller.
#[derive(Debug, Default)]
pub struct Ports {
    /// For probes and metrics.
    pub serve: Option<TcpListener>,
    /// For the level of the log, which anyone who reaches it may change.
    pub log: Option<TcpListener>,
    /// For what the API server asks at admission.
    pub admission: Option<Webhook>,
}

/// Why a port is not open.
#[derive(Debug, Error)]
#[error("`{field}`: {address} cannot be listened on: {error}: choose another address")]
pub struct PortError {
    field: &'static str,
    address: SocketAddr,
    error: io::Error,
}

/// The longest directives that are taken, in bytes.
const LONGEST: usize = 4_096;

impl Ports {
    /// Opens the ports of a configuration.
    ///
    /// # Errors
    /// An address is taken by someone else, or is not one of this machine's.
    pub async fn open(configuration: &Configuration) -> Result<Self, PortError> {
        let serve = open("serve.address", configuration.serve.address).await?;
        let log = configuration.log.address.map(|address| address.0);
        let log = open("log.address", log).await?;
        let admission = open("admission.address", configuration.admission.address).await?;
        let admission = admission.map(|port| Webhook { port, terms: Terms::default() });
        Ok(Self { serve, log, admission })
    }

    /// Answers on the first two until the future is dropped.
    pub(crate) async fn answer(self, telemetry: Arc<Telemetry>, log: Option<Log>) {
        let probes = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(telemetry);
        let level = log.map(|log| {
            let level = Router::new().route("/log", get(level).put(set_level));
            level.layer(DefaultBodyLimit::max(LONGEST)).with_state(log)
        });
        tokio::join!(answer(self.serve, Some(probes)), answer(self.log, level));
    }
}

async fn open(
    field: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, PortError> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|error| PortError { field, address, error })
}

async fn answer(port: Option<TcpListener>, router: Option<Router>) {
    let (Some(port), Some(router)) = (port, router) else { return pending().await };
    if let Err(error) = axum::serve(port, router).await {
        error!(%error, "a port is no longer answered");
    }
}

async fn healthz(State(telemetry): State<Arc<Telemetry>>) -> (StatusCode, &'static str) {
    if telemetry.lives() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the worker gave no sign of life for minutes\n")
    }
}

async fn readyz(State(telemetry): State<Arc<Telemetry>>) -> (StatusCode, String) {
    match telemetry.missing() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(missing) => {
            let missing: Vec<&str> = missing.into_iter().map(|watched| watched.plural()).collect();
            let text = format!("not listed yet: {}\n", missing.join(", "));
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], telemetry.text())
}

async fn level(State(log): State<Log>) -> (StatusCode, String) {
    match log.level() {
        Some(level) => (StatusCode::OK, format!("{level}\n")),
        None => (StatusCode::GONE, "nothing is logged any more\n".to_owned()),
    }
}

async fn set_level(State(log): State<Log>, directives: String) -> (StatusCode, String) {
    match log.set_level(directives.trim()) {
        Ok(()) => level(State(log)).await,
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
