//! The objects of a cluster, as JSON.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, TypeMeta};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::ControlPlane;

/// The objects of a cluster, for somebody who may do everything.
#[derive(Clone)]
pub struct Objects {
    /// For what goes beyond.
    pub client: Client,
}

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Objects {
    /// Those of a control plane.
    ///
    /// # Panics
    /// Its kubeconfig cannot be read.
    pub async fn of(plane: &ControlPlane) -> Self {
        let file = Kubeconfig::read_from(&plane.kubeconfig).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let client = Client::try_from(config.expect("a configuration")).expect("a client");
        Self { client }
    }

    /// Applies an object, by its own name and namespace.
    ///
    /// # Panics
    /// The API server refuses it.
    pub async fn apply(&self, object: &Value) {
        self.try_apply(object).await.unwrap_or_else(|error| panic!("{object}: {error}"));
    }

    /// The same, where the API server may be gone.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn try_apply(&self, object: &Value) -> Result<(), kube::Error> {
        let (api, name) = self.api(object);
        let parameters = PatchParams::apply("test").force();
        api.patch(&name, &parameters, &Patch::Apply(object)).await.map(drop)
    }

    /// Applies the status of an object, as whoever runs it would.
    ///
    /// # Panics
    /// The API server refuses it.
    pub async fn apply_status(&self, object: &Value) {
        let (api, name) = self.api(object);
        let parameters = PatchParams::apply("test").force();
        let applied = api.patch_status(&name, &parameters, &Patch::Apply(object)).await;
        applied.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Deletes an object, by its name and namespace.
    ///
    /// # Panics
    /// It is not there.
    pub async fn delete(&self, object: &Value) {
        let (api, name) = self.api(object);
        api.delete(&name, &DeleteParams::default()).await.expect("deleted");
    }

    /// Who holds the lease of `default`; empty if nobody does.
    ///
    /// # Panics
    /// The API server does not answer.
    pub async fn holder(&self) -> String {
        let lease = self.get(&lease(&Value::Null)).await.unwrap_or_default();
        text(&lease, "/spec/holderIdentity").to_owned()
    }

    /// Lets nobody lead `default`: the lease of a controller that was killed does not stand in the next one's way.
    ///
    /// # Panics
    /// The API server does not answer.
    pub async fn free_lease(&self) {
        if self.get(&lease(&Value::Null)).await.is_some() {
            self.delete(&lease(&Value::Null)).await;
        }
    }

    /// Lets somebody else lead `default` for so many seconds: who leads afterwards looks at the whole cloud.
    ///
    /// # Panics
    /// The API server refuses it.
    pub async fn depose(&self, seconds: u32) {
        let spec = json!({"holderIdentity": "somebody", "leaseDurationSeconds": seconds});
        self.apply(&lease(&spec)).await;
    }

    /// An object as it is; none if it is not there.
    ///
    /// # Panics
    /// The API server does not answer.
    pub async fn get(&self, object: &Value) -> Option<Value> {
        let (api, name) = self.api(object);
        let found = api.get_opt(&name).await.expect("an answer");
        found.map(|found| serde_json::to_value(found).expect("JSON"))
    }

    /// All objects of the kind of one, in its namespace, or everywhere if it names none.
    ///
    /// # Panics
    /// The API server does not answer.
    pub async fn list(&self, like: &Value) -> Vec<Value> {
        let (api, _) = self.api(like);
        let found = api.list(&ListParams::default()).await.expect("an answer");
        // A list tells once what its objects are.
        let told = |mut found: DynamicObject| {
            found.types = Some(types(like));
            serde_json::to_value(found).expect("JSON")
        };
        found.items.into_iter().map(told).collect()
    }

    /// Tells of every object of the kind of one that is made or changes from now on, until the API server ends the watch.
    ///
    /// # Panics
    /// The API server does not answer.
    pub async fn follow(&self, like: &Value, mut each: impl FnMut(Value)) {
        let (api, _) = self.api(like);
        let listed = api.list_metadata(&ListParams::default().limit(1)).await.expect("an answer");
        let version = listed.metadata.resource_version.expect("a version");
        let told = api.watch(&WatchParams::default(), &version).await.expect("an answer");
        let mut told = std::pin::pin!(told);
        while let Ok(Some(event)) = told.try_next().await {
            if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                each(serde_json::to_value(object).expect("JSON"));
            }
        }
    }

    /// Makes a namespace with a pod of each of these names, labelled `app: NAME`, and waits until they run.
    ///
    /// # Panics
    /// The API server refuses one, or no played node runs it.
    pub async fn pods(&self, namespace: &str, names: &[&str]) {
        let namespaced =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        self.apply(&namespaced).await;
        let pod = |name: &str| {
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            })
        };
        for name in names {
            self.apply(&pod(name)).await;
        }
        until("the pods run", async || {
            let pods = self.list(&pod("any")).await;
            let run = pods.iter().all(|pod| pod.pointer("/status/podIP").is_some());
            (pods.len() >= names.len() && run).then_some(())
        })
        .await;
    }

    fn api(&self, object: &Value) -> (Api<DynamicObject>, String) {
        let kind = types(object).try_into().expect("a group, version and kind");
        let resource = ApiResource::from_gvk(&kind);
        let api = match text(object, "/metadata/namespace") {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        };
        (api, text(object, "/metadata/name").to_owned())
    }
}

/// The lease by which a controller leads `default`.
fn lease(spec: &Value) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": "default", "name": "moat-default"},
        "spec": spec,
    })
}

fn types(object: &Value) -> TypeMeta {
    TypeMeta { api_version: text(object, "/apiVersion").into(), kind: text(object, "/kind").into() }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Looks again and again until there is something to see.
///
/// # Panics
/// Nothing is seen within [`PATIENCE`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
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

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}
