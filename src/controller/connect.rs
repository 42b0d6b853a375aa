//! The way to a cluster.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use moat_k8s::Access;

/// What the controller calls itself.
const USER_AGENT: &str = concat!("moat/", env!("CARGO_PKG_VERSION"));

/// Contexts that a message names at most.
const MOST: usize = 5;

/// Reaches the cluster of a context of the kubeconfig, or without one, of the pod's service account.
///
/// # Errors
/// Why there is none, and what to do.
pub async fn connect(access: Access) -> Result<Client, String> {
    client(config(access).await?)
}

/// Where the API server of a cluster is, and who asks it.
pub(crate) async fn config(Access { kubeconfig, context }: Access) -> Result<Config, String> {
    if kubeconfig.is_none() && context.is_none() {
        return Config::infer().await.map_err(|error| unreached(&error));
    }
    let file = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let file = file.map_err(|error| unreached(&error))?;
    if let Some(context) = context.as_ref().filter(|it| !knows(&file, it)) {
        let there: Vec<String> =
            file.contexts.iter().take(MOST).map(|it| format!("`{}`", it.name)).collect();
        return Err(format!(
            "the kubeconfig has no context `{context}`; it has {}: `kubectl config get-contexts` lists all",
            if there.is_empty() { "none".to_owned() } else { there.join(", ") }
        ));
    }
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file, &options).await;
    config.map_err(|error| unreached(&error))
}

fn knows(file: &Kubeconfig, context: &str) -> bool {
    file.contexts.iter().any(|one| one.name == context)
}

/// A client of an API server.
pub(crate) fn client(mut config: Config) -> Result<Client, String> {
    // Audit logs name their writers by it.
    if let (Ok(name), Ok(value)) = ("user-agent".parse(), USER_AGENT.parse()) {
        config.headers.push((name, value));
    }
    Client::try_from(config).map_err(|error| unreached(&error))
}

fn unreached(error: &dyn std::error::Error) -> String {
    format!(
        "no cluster to look at: {}: give `--context` (`kubectl config get-contexts` lists them), `--kubeconfig` or a \
         KUBECONFIG, or run in a pod with a service account",
        chain(error)
    )
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = Vec::new();
    for text in causes.map(ToString::to_string) {
        // Many say their cause themselves.
        if !texts.iter().any(|before| before.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}
