//! The cluster of `--context`: each answer is waited for.

use moat_cli::Cluster;
use moat_controller::{Hold, Taking};
use moat_k8s::{Access, Published, There};
use tokio::runtime::{Builder, Runtime};

use crate::follow::identity;

/// A cluster, and what waits for its answers.
struct Waiting {
    runtime: Runtime,
    cluster: moat_controller::Cluster,
    /// The lease, once it is ours.
    hold: Option<Hold>,
}

/// Reaches a cluster, as the environment says where nobody else does.
pub(crate) fn reach(access: &Access) -> Result<Box<dyn Cluster>, String> {
    // A thread of its own renews what is held while somebody waits for something else.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let cluster = runtime.block_on(moat_controller::Cluster::reach(access.clone()))?;
    Ok(Box::new(Waiting { runtime, cluster, hold: None }))
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.runtime.block_on(hold.give_back());
        }
    }
}

impl Cluster for Waiting {
    fn there(&mut self) -> Result<There, String> {
        self.runtime.block_on(self.cluster.there())
    }

    fn published(&mut self, namespace: Option<&str>) -> Result<Published, String> {
        self.runtime.block_on(self.cluster.published(namespace))
    }

    fn leader(&mut self, installation: &str) -> Result<Option<String>, String> {
        self.runtime.block_on(self.cluster.leader(installation))
    }

    fn take(&mut self, installation: &str) -> Result<Option<String>, String> {
        let me = format!("command_{}", identity());
        Ok(match self.runtime.block_on(self.cluster.take(installation, &me))? {
            Taking::Ours(hold) => {
                self.hold = Some(hold);
                None
            }
            Taking::Of(holder) => Some(holder),
        })
    }

    fn is_held(&self) -> bool {
        self.hold.as_ref().is_some_and(Hold::is_held)
    }

    fn release(&mut self, namespace: &str, pod: &str, is_released: bool) -> Result<(), String> {
        self.runtime.block_on(self.cluster.release(namespace, pod, is_released))
    }

    fn pause(&mut self, installation: &str, is_paused: bool) -> Result<(), String> {
        self.runtime.block_on(self.cluster.pause(installation, is_paused))
    }
}
