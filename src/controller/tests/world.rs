//! A cluster with played nodes, a VPC in memory, and a controller between them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kube::Client;
use moat_controller::{Log, Options, Ports, Reread};
use moat_core::firewall::GroupNumber;
use moat_core::inventory::Inventory;
use moat_core::policy::Word;
use moat_core::provider::{
    Capabilities, Meter, Observed, Provider, ProviderError, Scope, Step, Touched,
};
use moat_k8s::configuration::Configuration;
use moat_k8s::crd::ProviderInUse;
use moat_sim::Sim;
use moat_test_cluster::{ControlPlane, Objects, PATIENCE, Server, until};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::account::Asked;

/// A VPC in memory that a test looks at while a controller keeps it.
#[derive(Clone)]
pub(crate) struct Shared {
    sim: Arc<Mutex<Sim>>,
    /// The pods, by `namespace/name`, whose interfaces someone deletes as soon as they are there.
    pub(crate) bereft: Arc<Mutex<BTreeSet<String>>>,
}

impl Shared {
    fn new() -> Self {
        let sim = Arc::new(Mutex::new(Sim::new(moat_sim::Config::default())));
        Self { sim, bereft: Arc::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Sim> {
        self.sim.lock().expect("nobody panics with it")
    }
}

impl Provider for Shared {
    async fn capabilities(&mut self) -> Result<Capabilities, ProviderError> {
        moat_sim::block_on(self.lock().capabilities())
    }

    async fn observe(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError> {
        moat_sim::block_on(self.lock().observe(scope))
    }

    async fn observe_again(
        &mut self,
        scope: &Scope,
        touched: &Touched,
    ) -> Result<Arc<Observed>, ProviderError> {
        moat_sim::block_on(self.lock().observe_again(scope, touched))
    }

    async fn execute(&mut self, steps: &[&Step]) -> Vec<Result<(), ProviderError>> {
        moat_sim::block_on(self.lock().execute(steps))
    }

    fn place(&mut self, inventory: &mut Inventory) -> Result<(), String> {
        let mut sim = self.lock();
        Provider::place(&mut *sim, inventory)?;
        let bereft = self.bereft.lock().expect("nobody panics with it");
        for pod in &inventory.pods {
            if let Some(id) = &pod.interface
                && bereft.contains(&format!("{}/{}", pod.namespace, pod.name))
            {
                sim.as_someone_else(|vpc| vpc.remove_interface(id));
            }
        }
        Ok(())
    }

    fn group_id(&self, number: GroupNumber) -> Option<Word> {
        self.lock().group_id(number)
    }

    async fn wait(&mut self, duration: Duration) {
        moat_sim::block_on(self.lock().wait(duration));
    }

    fn meter(&mut self, meter: Arc<dyn Meter>) {
        self.lock().meter(meter);
    }
}

/// Everything that a test needs.
pub(crate) struct World {
    objects: Objects,
    /// The client of controllers, which may do what deploy/ grants.
    account: Client,
    /// What they ask for.
    pub(crate) asked: Asked,
    pub(crate) cloud: Shared,
    pub(crate) plane: ControlPlane,
    /// What is written in the configuration, or what is wrong with it.
    pub(crate) configuration: Arc<Mutex<Result<Configuration, String>>>,
    _nodes: Server,
}

/// A controller that runs.
pub(crate) struct Controller {
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Deref for World {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

impl World {
    /// A control plane of its own, with Moat's kinds, and nodes.
    pub(crate) async fn new() -> Self {
        let world = Self::bare().await;
        world.install().await;
        world
    }

    /// The same without Moat's kinds.
    pub(crate) async fn bare() -> Self {
        let plane = ControlPlane::start();
        let nodes = plane.nodes(&["--no-ec2"], &BTreeMap::new());
        let objects = Objects::of(&plane).await;
        let asked = Asked::default();
        let account = asked.client(&plane, &objects).await;
        let cloud = Shared::new();
        let configuration = Arc::new(Mutex::new(Ok(Configuration::default())));
        Self { objects, account, asked, cloud, _nodes: nodes, plane, configuration }
    }

    /// Installs Moat's kinds.
    pub(crate) async fn install(&self) {
        for crd in moat_k8s::crd::crds() {
            self.apply(&serde_json::to_value(crd).expect("JSON")).await;
        }
    }

    /// A controller, as long as its value lives: dropped, it ends as by SIGKILL.
    pub(crate) fn controller(&self, identity: &str) -> Controller {
        self.controller_with(identity, Ports::default(), None)
    }

    /// The same, answering on ports.
    pub(crate) fn controller_with(
        &self,
        identity: &str,
        ports: Ports,
        log: Option<Log>,
    ) -> Controller {
        let (stop, stopped) = oneshot::channel();
        let identity = identity.to_owned();
        let configuration = self.configuration.lock().expect("nobody panics with it").clone();
        let configuration = configuration.expect("a configuration to start with");
        let written = Arc::clone(&self.configuration);
        let reread = move || written.lock().expect("nobody panics with it").clone();
        let reread = Some(Reread(Box::new(reread)));
        let vpc = Some("vpc-0a".to_owned());
        let provider = ProviderInUse { name: "sim".to_owned(), vpc, region: None };
        let options = Options { configuration, reread, identity, provider, ports, log };
        let stopped = async { drop(stopped.await) };
        let run = moat_controller::run(self.account.clone(), self.cloud.clone(), options, stopped);
        Controller { task: tokio::spawn(async move { drop(run.await) }), stop: Some(stop) }
    }

    /// What is said of a NetworkPolicy, once a condition of it holds.
    pub(crate) async fn said(
        &self,
        namespace: &str,
        name: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let about = json!({
            "apiVersion": "moat.dev/v1alpha1",
            "kind": "PolicyEnforcement",
            "metadata": {"namespace": namespace, "name": name},
        });
        until("the status says so", async || {
            let status = self.get(&about).await?.get("status")?.clone();
            holds(&status).then_some(status)
        })
        .await
    }
}

impl Controller {
    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        let ended = timeout(PATIENCE, &mut self.task).await;
        ended.expect("it stops in time").expect("it does not panic");
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The status, reason and generation of each condition, by its type.
pub(crate) fn conditions(status: &Value) -> BTreeMap<String, (String, String, i64)> {
    let text =
        |condition: &Value, key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions
        .map(|one| {
            let generation = one["observedGeneration"].as_i64().unwrap_or_default();
            (text(one, "type"), (text(one, "status"), text(one, "reason"), generation))
        })
        .collect()
}

/// The reason of a condition; none if it is not there.
pub(crate) fn reason(status: &Value, condition: &str) -> String {
    conditions(status).remove(condition).map(|(_, reason, _)| reason).unwrap_or_default()
}

/// The rules of Moat's groups, as the cloud holds them.
pub(crate) fn rules(world: &World) -> Vec<String> {
    let sim = world.cloud.lock();
    let ours = sim.vpc().groups().filter(|(_, group)| group.owner.is_some());
    ours.flat_map(|(_, group)| group.rules.keys().map(ToString::to_string)).collect()
}
