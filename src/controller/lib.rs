//! The controller: follows a cluster, keeps the cloud as its policies say, and tells everybody concerned what holds.
//!
//! ```text
//! API server ─▶ watches ─▶ index ─▶ worker: compile, plan, execute stage by stage, read back
//!                                     │
//!                                     └─▶ round ─▶ status, events, metrics
//! ```
//!
//! One watch for each kind tells its objects to one worker, which alone changes the cloud. Nothing is changed before every list
//! was told, or while a watch is broken.

mod admission;
mod connect;
mod consent;
mod hold;
mod index;
mod kinds;
mod lease;
mod log;
mod look;
mod quarantine;
mod reason;
mod records;
mod reload;
mod round;
mod serve;
mod status;
mod telemetry;
mod watch;
mod worker;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use admission::{Terms, Webhook};
pub use connect::connect;
pub use hold::{Hold, Taking};
pub use kube::Client;
pub use log::Log;
pub use look::Cluster;
use moat_core::provider::Provider;
use moat_k8s::configuration::Configuration;
use moat_k8s::crd::ProviderInUse;
pub use reload::Reread;
pub use serve::{PortError, Ports};
use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use index::Live;
use kinds::Watched;
use lease::Candidate;
use reload::Decision;
use telemetry::Telemetry;
use worker::{Links, Worker};

/// What a controller is started with.
#[derive(Debug)]
pub struct Options {
    /// What the operator decided.
    pub configuration: Configuration,
    /// Reads it again while the controller runs, if it can be.
    pub reread: Option<Reread>,
    /// Names this process, and no other: the holder of the lease.
    pub identity: String,
    /// Names the cloud.
    pub provider: ProviderInUse,
    /// Where it answers.
    pub ports: Ports,
    /// The log whose level can be set there.
    pub log: Option<Log>,
}

/// News that wait to be taken: what a watch tells beyond waits.
const NEWS: usize = 1_024;

/// How long a stage that is under way may take to end, once the controller is told to stop. Kubernetes gives a pod 30 s.
const GRACE: Duration = Duration::from_secs(20);

/// How long giving the lease up may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// Follows the cluster of a client and keeps a cloud, until `stop` ends; then the stage under way is brought to its end, and
/// the lease given up. Gives the cloud back, unless the stage did not come to its end.
pub async fn run<P: Provider + Send + 'static>(
    client: Client,
    mut cloud: P,
    options: Options,
    stop: impl Future<Output = ()>,
) -> Option<P> {
    let Options { configuration, reread, identity, provider, mut ports, log } = options;
    let configuration = Arc::new(configuration);
    let (tell, told) = mpsc::channel(NEWS);
    let (rounds, reported) = latest::channel(None);
    let (stopping, stopped) = latest::channel(false);
    let lease = lease::name(&configuration.cluster.to_string());
    let mut candidate = Candidate::new(client.clone(), None, lease, identity.clone());
    let tenure = candidate.tenure();
    let telemetry = Arc::new(Telemetry::new(&configuration, tenure.clone()));
    cloud.meter(telemetry.meter());
    let mut tasks = JoinSet::new();
    let webhook = ports.admission.take();
    tasks.spawn(ports.answer(telemetry.clone(), log));
    let writer = status::Writer::new(client.clone(), identity, provider, telemetry.clone());
    tasks.spawn(writer.run(reported));
    for watched in Watched::ALL {
        tasks.spawn(watch::follow(client.clone(), watched, tell.clone()));
    }
    drop(tell);
    let (index, taking) = Live::new(told, telemetry.clone());
    tasks.spawn(taking);
    let decision = Decision { configuration: configuration.clone(), refused: None };
    let (decide, decision) = latest::channel(decision);
    if let Some(reread) = reread {
        tasks.spawn(reload::follow(reread, decide));
    }
    if let Some(webhook) = webhook {
        let (client, rounds) = (client.clone(), rounds.subscribe());
        tasks.spawn(webhook.answer(client, decision.clone(), index.clone(), rounds));
    }
    let (say, word) = latest::channel(None);
    tasks.spawn(consent::listen(client.clone(), configuration.cluster.to_string(), say));
    tasks.spawn(quarantine::keep(client.clone(), rounds.subscribe(), tenure.clone()));
    let (watched, home) = (telemetry.clone(), client.default_namespace().to_owned());
    let links =
        Links { decision, index, rounds, tenure, word, stop: stopped, telemetry: watched, home };
    let worker = Worker::new(cloud, links);
    let mut working = JoinSet::new();
    working.spawn(telemetry::with_signs_of_life(telemetry, worker.run()));
    let stop = async {
        stop.await;
        stopping.send_replace(true);
        sleep(GRACE).await;
    };
    let cloud = tokio::select! {
        () = candidate.run() => None,
        worked = working.join_next() => worked.and_then(Result::ok),
        () = stop => None,
    };
    working.shutdown().await;
    // Whoever cannot be reached waits for the end of the lease.
    let _ = timeout(FAREWELL, candidate.release()).await;
    cloud
}
