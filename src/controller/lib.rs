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

mod index;
mod kinds;
mod status;
mod watch;
mod worker;

use kube::Client;
use moat_core::provider::Provider;
use moat_k8s::configuration::Configuration;
use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinSet;

use kinds::Watched;
use worker::Worker;

/// News that wait to be taken: what a watch tells beyond waits.
const NEWS: usize = 1_024;

/// Follows the cluster of a client and keeps a cloud, until the future is dropped.
pub async fn run<P: Provider + Send>(client: Client, cloud: P, configuration: Configuration) {
    let (tell, told) = mpsc::channel(NEWS);
    let (rounds, latest) = latest::channel(None);
    let mut watches = JoinSet::new();
    watches.spawn(status::Writer::new(client.clone()).run(latest));
    for watched in Watched::ALL {
        watches.spawn(watch::follow(client.clone(), watched, tell.clone()));
    }
    drop(tell);
    Worker::new(cloud, configuration, told, rounds).run().await;
}
