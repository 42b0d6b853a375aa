//! The program of `moat controller`: a runtime, a cluster, a cloud, a log, and a way to stop.

use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use moat_cli::{Kept, Start};
use moat_controller::Options;
use moat_core::provider::Provider;
use moat_k8s::configuration::Configuration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Follows a cluster until SIGTERM or SIGINT.
pub(crate) fn follow(start: Start) -> Result<(), String> {
    let runtime = Runtime::new().map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(serve(start))
}

async fn serve(Start { configuration, context, cloud }: Start) -> Result<(), String> {
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
    let client = connect(context).await?;
    match cloud {
        Kept::Embedded(sim) => until_stopped(client, *sim, configuration).await,
        #[cfg(feature = "aws")]
        Kept::Account(target) => {
            let aws = crate::account::reach(&target).await?;
            until_stopped(client, aws, configuration).await
        }
        #[cfg(not(feature = "aws"))]
        Kept::Account(target) => moat_cli::unreachable(&target).map(drop),
    }
}

/// The cluster of a context, else of the current one, else of the pod's service account.
async fn connect(context: Option<String>) -> Result<Client, String> {
    let unreached = |error: &dyn std::error::Error| {
        format!(
            "no cluster to follow: {error}: give `--context` or a KUBECONFIG, or run in a pod with a service account"
        )
    };
    let config = match context {
        None => Config::infer().await.map_err(|error| unreached(&error))?,
        Some(context) => {
            let options =
                KubeConfigOptions { context: Some(context), ..KubeConfigOptions::default() };
            let file = Kubeconfig::read().map_err(|error| unreached(&error))?;
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| unreached(&error))?
        }
    };
    Client::try_from(config).map_err(|error| unreached(&error))
}

async fn until_stopped<P: Provider + Send>(
    client: Client,
    cloud: P,
    configuration: Configuration,
) -> Result<(), String> {
    let stop = stopped().map_err(|error| format!("no signals: {error}"))?;
    let options = Options { configuration, identity: identity() };
    moat_controller::run(client, cloud, options, stop).await;
    Ok(())
}

/// The name of the pod or the machine, with what tells this process from others there.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "moat".to_owned());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{host}_{}_{}", std::process::id(), since.as_nanos())
}

/// Ends with SIGTERM or SIGINT.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
