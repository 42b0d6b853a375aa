//! The account that deploy/ makes for the controller: what it is granted, and what is asked for in its name.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderValue, Method, Request};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use moat_test_cluster::{ControlPlane, Objects};
use serde_json::Value;
use tower::util::MapRequestLayer;

/// A verb on a resource of a group, and a name, if it is about one.
pub(crate) type Right = (String, String, String, Option<String>);

/// What was asked for.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<BTreeSet<Right>>>);

/// Where the manifests put the account.
const NAMESPACE: &str = "moat";

/// Where a test puts it: the namespace of its kubeconfig.
const HERE: &str = "default";

/// The objects of the manifests that make and limit the account.
pub(crate) fn manifests() -> Vec<Value> {
    of_kinds(["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"])
}

/// What a quarantine takes beside them.
pub(crate) fn of_quarantine() -> Vec<Value> {
    of_file("quarantine.yaml", ["ClusterRole", "ClusterRoleBinding"])
}

/// The manifests' objects of some kinds, one of each, in the namespace of a test.
pub(crate) fn of_kinds<const COUNT: usize>(kinds: [&str; COUNT]) -> Vec<Value> {
    of_file("moat.yaml", kinds)
}

fn of_file<const COUNT: usize>(name: &str, kinds: [&str; COUNT]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/manifests");
    let path = folder.join(name);
    let text = std::fs::read_to_string(path).expect("committed");
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    objects.retain(|object| object["kind"].as_str().is_some_and(|kind| kinds.contains(&kind)));
    assert_eq!(objects.len(), COUNT);
    for object in &mut objects {
        for pointer in ["/metadata/namespace", "/subjects/0/namespace"] {
            if let Some(namespace) = object.pointer_mut(pointer) {
                assert_eq!(namespace, NAMESPACE);
                *namespace = HERE.into();
            }
        }
    }
    objects
}

/// Everything that the manifests grant.
pub(crate) fn granted() -> BTreeSet<Right> {
    granted_by(&manifests())
}

/// Everything that roles grant.
pub(crate) fn granted_by(roles: &[Value]) -> BTreeSet<Right> {
    let list = |rule: &Value, field: &str| -> Vec<String> {
        let texts = rule[field].as_array().into_iter().flatten();
        texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let rules = roles.iter().flat_map(|object| object["rules"].as_array()).flatten();
    let mut granted = BTreeSet::new();
    for rule in rules {
        let names = list(rule, "resourceNames");
        let names: Vec<_> =
            if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                for verb in list(rule, "verbs") {
                    granted.extend(
                        names.iter().map(|name| {
                            (group.clone(), resource.clone(), verb.clone(), name.clone())
                        }),
                    );
                }
            }
        }
    }
    granted
}

impl Asked {
    /// What was asked for, with a name only where the grant has one.
    pub(crate) fn beside(&self, granted: &BTreeSet<Right>) -> BTreeSet<Right> {
        let asked = self.0.lock().expect("nobody panics with it").clone();
        let as_granted = |right: Right| {
            let (group, resource, verb, _) = &right;
            let anyone = (group.clone(), resource.clone(), verb.clone(), None);
            if granted.contains(&anyone) { anyone } else { right }
        };
        asked.into_iter().map(as_granted).collect()
    }

    /// A client that asks as the account.
    pub(crate) async fn client(&self, plane: &ControlPlane, objects: &Objects) -> Client {
        for object in manifests() {
            objects.apply(&object).await;
        }
        let file = Kubeconfig::read_from(&plane.kubeconfig).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let asked = self.clone();
        let name = format!("system:serviceaccount:{HERE}:moat");
        let name = HeaderValue::from_str(&name).expect("a header");
        let layer = MapRequestLayer::new(move |mut request: Request<Body>| {
            asked.0.lock().expect("nobody panics with it").extend(rights(&request));
            request.headers_mut().insert("impersonate-user", name.clone());
            request
        });
        let builder = ClientBuilder::try_from(config.expect("a configuration")).expect("a client");
        builder.with_layer(&layer).build()
    }
}

/// What a request takes (Kubernetes, "Authorization overview": request verbs).
fn rights(request: &Request<Body>) -> Vec<Right> {
    let mut words: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    let group = if words.remove(0) == "apis" { words.remove(0) } else { "" };
    words.remove(0);
    if words.len() > 2 && words[0] == "namespaces" {
        words.drain(..2);
    }
    let (resource, name) = (words[0], words.get(1).map(|name| (*name).to_owned()));
    let resource = match words.get(2) {
        Some(part) => format!("{resource}/{part}"),
        None => resource.to_owned(),
    };
    // Whoever lists by name needs the right for that name alone.
    let query = request.uri().query().unwrap_or_default();
    let by_name =
        |word: &str| Some(word.strip_prefix("fieldSelector=metadata.name%3D")?.to_owned());
    let selected = query.split('&').find_map(by_name);
    let watches = query.contains("watch=true");
    let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let applies = kind.is_some_and(|kind| kind.contains("apply-patch"));
    let verbs: &[&str] = match *request.method() {
        Method::GET if watches => &["watch"],
        Method::GET if name.is_some() => &["get"],
        Method::GET => &["list"],
        Method::POST => &["create"],
        Method::PUT => &["update"],
        // What is not there is made, which takes another right; not so the status of an object.
        Method::PATCH if applies && !resource.contains('/') => &["create", "patch"],
        Method::PATCH => &["patch"],
        Method::DELETE => &["delete"],
        _ => panic!("{request:?}"),
    };
    let about = name.clone().or(selected);
    let right =
        |verb: &&str| (group.to_owned(), resource.clone(), (*verb).to_owned(), about.clone());
    verbs.iter().map(right).collect()
}
