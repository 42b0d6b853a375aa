//! The cluster of `--context`: each answer is waited for.

use moat_cli::Cluster;
use moat_k8s::{Access, Published, There};
use tokio::runtime::{Builder, Runtime};

/// A cluster, and what waits for its answers.
struct Waiting {
    runtime: Runtime,
    cluster: moat_controller::Cluster,
}

/// Reaches a cluster, as the environment says where nobody else does.
pub(crate) fn reach(access: &Access) -> Result<Box<dyn Cluster>, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let cluster = runtime.block_on(moat_controller::Cluster::reach(access.clone()))?;
    Ok(Box::new(Waiting { runtime, cluster }))
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

    fn release(&mut self, namespace: &str, pod: &str, is_released: bool) -> Result<(), String> {
        self.runtime.block_on(self.cluster.release(namespace, pod, is_released))
    }

    fn pause(&mut self, installation: &str, is_paused: bool) -> Result<(), String> {
        self.runtime.block_on(self.cluster.pause(installation, is_paused))
    }
}
