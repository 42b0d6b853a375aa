//! The way to a cluster.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// What the controller calls itself.
const USER_AGENT: &str = concat!("moat/", env!("CARGO_PKG_VERSION"));

/// Reaches the cluster of a context of the kubeconfig, else of the current one, else of the pod's service account.
///
/// # Errors
/// Why there is none, and what to do.
pub async fn connect(context: Option<String>) -> Result<Client, String> {
    let unreached = |error: &dyn std::error::Error| {
        format!(
            "no cluster to follow: {error}: give `--context` or a KUBECONFIG, or run in a pod with a service account"
        )
    };
    let mut config = match context {
        None => Config::infer().await.map_err(|error| unreached(&error))?,
        Some(context) => {
            let options =
                KubeConfigOptions { context: Some(context), ..KubeConfigOptions::default() };
            let file = Kubeconfig::read().map_err(|error| unreached(&error))?;
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| unreached(&error))?
        }
    };
    // Audit logs name their writers by it.
    if let (Ok(name), Ok(value)) = ("user-agent".parse(), USER_AGENT.parse()) {
        config.headers.push((name, value));
    }
    Client::try_from(config).map_err(|error| unreached(&error))
}
