//! A cluster with played nodes, a VPC in memory, and a controller between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, TypeMeta};
use kube::{Api, Client, Config};
use moat_controller::Options;
use moat_core::inventory::Inventory;
use moat_core::provider::{Capabilities, Observed, Provider, ProviderError, Scope, Step};
use moat_k8s::configuration::Configuration;
use moat_sim::Sim;
use moat_test_cluster::{ControlPlane, Server};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// A VPC in memory that a test looks at while a controller keeps it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Sim>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Provider for Shared {
    async fn capabilities(&mut self) -> Result<Capabilities, ProviderError> {
        moat_sim::block_on(self.lock().capabilities())
    }

    async fn observe(&mut self, scope: &Scope) -> Result<Observed, ProviderError> {
        moat_sim::block_on(self.lock().observe(scope))
    }

    async fn execute(&mut self, steps: &[&Step]) -> Vec<Result<(), ProviderError>> {
        moat_sim::block_on(self.lock().execute(steps))
    }

    fn place(&mut self, inventory: &mut Inventory) -> Result<(), String> {
        Provider::place(&mut *self.lock(), inventory)
    }

    async fn wait(&mut self, duration: Duration) {
        moat_sim::block_on(self.lock().wait(duration));
    }
}

/// Everything that a test needs.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) cloud: Shared,
    pub(crate) plane: ControlPlane,
    _nodes: Server,
}

/// A controller that runs.
pub(crate) struct Controller {
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    /// A control plane of its own, with Moat's kinds, and nodes.
    pub(crate) async fn new() -> Self {
        let plane = ControlPlane::start();
        let nodes = plane.nodes(&["--no-ec2"], &BTreeMap::new());
        let client = client(&plane).await;
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for crd in moat_k8s::crd::crds() {
            let name = crd.metadata.name.clone().expect("a name");
            let patch = Patch::Apply(&crd);
            definitions.patch(&name, &PatchParams::apply("test"), &patch).await.expect("installed");
        }
        let cloud = Shared(Arc::new(Mutex::new(Sim::new(moat_sim::Config::default()))));
        Self { client, cloud, _nodes: nodes, plane }
    }

    /// A controller, as long as its value lives: dropped, it ends as by SIGKILL.
    pub(crate) fn controller(&self, identity: &str) -> Controller {
        let (stop, stopped) = oneshot::channel();
        let identity = identity.to_owned();
        let options = Options { configuration: Configuration::default(), identity };
        let stopped = async { drop(stopped.await) };
        let run = moat_controller::run(self.client.clone(), self.cloud.clone(), options, stopped);
        Controller { task: tokio::spawn(run), stop: Some(stop) }
    }

    /// Applies an object, by its own name and namespace.
    pub(crate) async fn apply(&self, object: Value) {
        let (api, name) = self.api(&object);
        let parameters = PatchParams::apply("test").force();
        let applied = api.patch(&name, &parameters, &Patch::Apply(&object)).await;
        applied.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub(crate) async fn delete(&self, object: &Value) {
        let (api, name) = self.api(object);
        api.delete(&name, &DeleteParams::default()).await.expect("deleted");
    }

    /// An object as it is; none if it is not there.
    pub(crate) async fn get(&self, object: &Value) -> Option<Value> {
        let (api, name) = self.api(object);
        let found = api.get_opt(&name).await.expect("an answer");
        found.map(|found| serde_json::to_value(found).expect("JSON"))
    }

    fn api(&self, object: &Value) -> (Api<DynamicObject>, String) {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let types =
            TypeMeta { api_version: text("/apiVersion").into(), kind: text("/kind").into() };
        let kind = types.try_into().expect("a group, version and kind");
        let resource = ApiResource::from_gvk(&kind);
        let api = match text("/metadata/namespace") {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        };
        (api, text("/metadata/name").to_owned())
    }

    /// A namespace with a running pod of each of these names, labelled `app: NAME`.
    pub(crate) async fn pods(&self, namespace: &str, names: &[&str]) {
        self.apply(
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        )
        .await;
        for name in names {
            self.apply(json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            }))
            .await;
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        until("the pods run", async || {
            let pods = pods.list(&Default::default()).await.ok()?;
            let runs =
                |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
            (pods.items.len() >= names.len() && pods.items.iter().all(runs)).then_some(())
        })
        .await;
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

/// Looks again and again until there is something to see.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

async fn client(plane: &ControlPlane) -> Client {
    let file = Kubeconfig::read_from(&plane.kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}
