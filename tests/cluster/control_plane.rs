//! A Kubernetes control plane: etcd, the API server, the controller manager and the scheduler, the real ones.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use crate::Server;

/// A control plane. It has no nodes but those that a test makes, or that are played: [`Self::nodes`].
#[derive(Debug)]
pub struct ControlPlane {
    /// How to reach it, as somebody who may do everything.
    pub kubeconfig: PathBuf,
    /// What was changed and by whom, an `audit.k8s.io/v1` Event in a line each, written as the change is answered; reads are
    /// not in it. None for the cluster of `KUBECONFIG`.
    pub audit: Option<PathBuf>,
    server: Server,
}

/// A process of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The store.
    Etcd,
    /// What everybody talks to.
    ApiServer,
    /// Workloads, namespaces, garbage collection.
    ControllerManager,
    /// What gives pods their nodes.
    Scheduler,
}

impl ControlPlane {
    /// One for the whole test binary: a test keeps to a namespace of its own, [`crate::unique`]. If `KUBECONFIG` is set, it is
    /// that cluster, which has to be on loopback, and nothing is started.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<ControlPlane> = LazyLock::new(|| ControlPlane::new(&[]));
        &SHARED
    }

    /// One of its own, for a test that breaks it or needs to know every object. It takes about three seconds and 400 MB. The
    /// first on a machine is built before, for minutes.
    #[must_use]
    pub fn start() -> Self {
        Self::new(&["--own"])
    }

    fn new(arguments: &[&str]) -> Self {
        let server = Server::start("cluster/up", arguments, &BTreeMap::new());
        let kubeconfig = server.variables.get("KUBECONFIG").expect("the script tells").into();
        let audit = server.variables.get("MOAT_CLUSTER_AUDIT").map(PathBuf::from);
        Self { kubeconfig, audit, server }
    }

    /// Plays nodes, so that pods get addresses and run, until the server is dropped: `localstack/nodes/up` with these arguments.
    /// `cloud` is the environment that [`crate::cloud`] gives; with `--no-ec2` an empty one will do. Several that
    /// differ in `--cluster` can play on one control plane: each plays the nodes that bear that name in the label
    /// `localstack.moat.dev/node`.
    #[must_use]
    pub fn nodes(&self, arguments: &[&str], cloud: &BTreeMap<String, String>) -> Server {
        let mut variables = cloud.clone();
        variables.insert("KUBECONFIG".to_owned(), self.kubeconfig.display().to_string());
        Server::start("nodes/up", arguments, &variables)
    }

    /// What Moat wrote to the API server, but for its lease, in order: Events of the audit log. Only for [`Self::start`]'s.
    ///
    /// # Panics
    /// There is no audit log.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn written(&self) -> Vec<serde_json::Value> {
        let audit = self.audit.as_ref().expect("a control plane of its own");
        let audit = std::fs::read_to_string(audit).expect("the audit log");
        let events = audit.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let ours = |event: &serde_json::Value| {
            let text = |pointer| event.pointer(pointer).and_then(serde_json::Value::as_str);
            text("/userAgent").is_some_and(|agent| agent.starts_with("moat"))
                && text("/objectRef/resource") != Some("leases")
        };
        events.filter(ours).collect()
    }

    /// Kills a part with SIGKILL; it stays down until [`Self::begin`]. Returns when it is gone. Only for [`Self::start`]'s.
    pub fn kill(&self, part: Part) {
        self.server.order(&format!("kill {}", part.name()));
    }

    /// Starts a part that was killed, on the same port. Returns when the API server is ready. An API
    /// server that was killed answers 410 to each watch that goes on from before the last change.
    pub fn begin(&self, part: Part) {
        self.server.order(&format!("start {}", part.name()));
    }

    /// Makes a part hang with its connections open, until [`Self::resume`].
    pub fn stall(&self, part: Part) {
        self.server.order(&format!("stall {}", part.name()));
    }

    /// Lets a part go on.
    pub fn resume(&self, part: Part) {
        self.server.order(&format!("resume {}", part.name()));
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "apiserver",
            Self::ControllerManager => "controller-manager",
            Self::Scheduler => "scheduler",
        }
    }
}
