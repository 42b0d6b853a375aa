//! The program of `moat controller`: a runtime, a cluster, a cloud, a log, and a way to stop.

use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use moat_cli::{Kept, Left, Start};
use moat_controller::{Client, Log, Options, Ports, Reread};
use moat_core::provider::Provider;
use moat_k8s::crd::ProviderInUse;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Follows a cluster until SIGTERM or SIGINT.
pub(crate) fn follow(start: Start) -> Result<Left, String> {
    let runtime = Runtime::new().map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(serve(start))
}

async fn serve(Start { configuration, reread, access, cloud }: Start) -> Result<Left, String> {
    let log =
        Log::start(&configuration.log.level.0).map_err(|why| format!("`log.level`: {why}"))?;
    let ports = Ports::open(&configuration).await.map_err(|error| error.to_string())?;
    let client = moat_controller::connect(access).await?;
    let reread = reread.map(Reread);
    let provider = ProviderInUse { name: "sim".to_owned(), vpc: None, region: None };
    let log = Some(log);
    let options = Options { configuration, reread, identity: identity(), provider, ports, log };
    match cloud {
        Kept::Embedded(sim) => Ok(until_stopped(client, *sim, options).await?.map(Box::new)),
        #[cfg(feature = "aws")]
        Kept::Account(target) => {
            let aws = crate::account::reach(&target).await?;
            let region = aws.region().map(str::to_owned);
            let provider = ProviderInUse { name: "aws".to_owned(), vpc: Some(target.vpc), region };
            until_stopped(client, aws, Options { provider, ..options }).await.map(|_| None)
        }
        #[cfg(not(feature = "aws"))]
        Kept::Account(target) => moat_cli::unreachable(&target).map(|_| None),
    }
}

async fn until_stopped<P: Provider + Send + 'static>(
    client: Client,
    cloud: P,
    options: Options,
) -> Result<Option<P>, String> {
    let stop = stopped().map_err(|error| format!("no signals: {error}"))?;
    Ok(moat_controller::run(client, cloud, options, stop).await)
}

/// The name of the pod or the machine, with what tells this process from others there.
pub(crate) fn identity() -> String {
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
