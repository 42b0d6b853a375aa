//! The port: TLS with the certificate that holds, and HTTP over it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tracing::debug;

/// Connections at a time: an API server keeps a few open.
const CONNECTIONS: usize = 100;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a connection may be idle, and a head be under way; an API server closes idle ones after 90 s.
const IDLE: Duration = Duration::from_secs(120);

/// Answers whoever connects.
pub(super) async fn answer(
    port: TcpListener,
    served: watch::Receiver<Option<Arc<ServerConfig>>>,
    router: Router,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let stream = match port.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "no connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let (config, router) = (served.borrow().clone(), router.clone());
        connections.spawn(async move {
            if let Some(config) = config {
                serve(stream, config, router).await;
            }
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, config: Arc<ServerConfig>, router: Router) {
    let Ok(Ok(stream)) = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await else {
        return;
    };
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
    let service = TowerToHyperService::new(router);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        debug!(%error, "a connection ended");
    }
}
