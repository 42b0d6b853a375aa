//! A cluster for those who look at it once: what the commands need of Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use moat_k8s::crd::{MoatInstallation, PAUSED, RELEASE};
use moat_k8s::{Access, Installation, Published, Read, Said, There};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::connect::{self, chain};
use crate::kinds::Watched;
use crate::lease;
use crate::status;
use crate::watch::{GONE, NOT_FOUND, PAGE, read};

/// A cluster whose API server can be asked.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    /// Where the API server is.
    url: String,
}

/// Why something was not read or written.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The resource is not served.
    NotServed,
    /// The object is not there.
    NotFound,
    /// Who asks may not.
    Forbidden { verb: &'static str, resource: String },
    /// Anything else: what, and what to do.
    Failed(String),
}

/// Who leads an installation.
#[derive(Debug)]
pub(crate) enum Tenancy {
    /// The holder of a lease that is renewed.
    Led(String),
    /// Nobody. The leases that are there, by namespace, have not changed since then for as long as each is good, if somebody
    /// held them.
    Free { since: Instant, leases: BTreeMap<String, Lease> },
}

/// So long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time between two looks at a lease.
const AGAIN: Duration = Duration::from_secs(1);

/// 401 Unauthorized.
const UNAUTHORIZED: u16 = 401;
/// 403 Forbidden.
const FORBIDDEN: u16 = 403;

impl Cluster {
    /// The cluster of a context of the kubeconfig, or without one, of the pod's service account. Nothing is asked yet.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    pub async fn reach(access: Access) -> Result<Self, String> {
        let config = connect::config(access).await?;
        let url = config.cluster_url.to_string();
        Ok(Self { client: connect::client(config)?, url })
    }

    /// Everything that policies are about: each kind that the cluster serves, listed once.
    ///
    /// # Errors
    /// Why something was not listed, and what to do. Nothing is half told.
    pub async fn there(&self) -> Result<There, String> {
        let kinds: Vec<Watched> = Watched::of_policies().collect();
        let (mut there, refusals) = self.objects(&kinds, None).await?;
        // Whoever may not list them may have no use for them.
        there.objects.extend(self.objects(&[Watched::EniConfigs], None).await?.0.objects);
        if refusals.is_empty() { Ok(there) } else { Err(forbidden(&refusals)) }
    }

    /// What Moat tells of the policies of a namespace, or of all, and of itself.
    ///
    /// # Errors
    /// Why the API server does not answer, or the pods were not listed.
    pub async fn published(&self, namespace: Option<&str>) -> Result<Published, String> {
        let kinds = Watched::of_policies();
        let kinds: Vec<Watched> =
            kinds.filter(|it| !matches!(it, Watched::Nodes | Watched::Services)).collect();
        let (there, mut refusals) = self.objects(&kinds, namespace).await?;
        let pods = |refusal: &Refusal| matches!(refusal, Refusal::Forbidden { resource, .. } if resource == "pods");
        if refusals.iter().any(pods) {
            return Err(forbidden(&refusals));
        }
        let mut published = Published { there, ..Published::default() };
        for is_namespaced in [true, false] {
            let resource = status::resource(is_namespaced);
            match self.list(&resource, namespace.filter(|_| is_namespaced), status::learn).await {
                Ok(said) => published.statuses.extend(said.into_iter().map(|(policy, written)| {
                    (policy, Said { of: written.owner, status: written.status })
                })),
                Err(Refusal::NotServed) => {}
                Err(refusal) => refusals.push(refusal),
            }
        }
        match self.installations().await {
            Ok(installations) => published.installations = installations,
            Err(Refusal::NotServed) => {}
            Err(refusal) => refusals.push(refusal),
        }
        for refusal in refusals {
            if let Refusal::Failed(why) = refusal {
                return Err(why);
            }
            published.unread.push(refusal.into_text());
        }
        Ok(published)
    }

    async fn installations(&self) -> Result<Vec<Installation>, Refusal> {
        let resource = ApiResource::erase::<MoatInstallation>(&());
        let parse = |object: DynamicObject| object.try_parse::<MoatInstallation>().ok();
        let with_leader = async |object: MoatInstallation| {
            let name = object.metadata.name.clone().unwrap_or_default();
            Installation { leader: self.leader(&name).await, object }
        };
        Ok(join_all(self.list(&resource, None, parse).await?.into_iter().map(with_leader)).await)
    }

    /// Who leads an installation at the moment, by its lease: the holder of one that is renewed.
    ///
    /// # Errors
    /// Why that is not known, and what to do.
    pub async fn leader(&self, installation: &str) -> Result<Option<String>, String> {
        Ok(match self.tenancy(installation).await? {
            Tenancy::Led(holder) => Some(holder),
            Tenancy::Free { .. } => None,
        })
    }

    /// Who leads an installation at the moment: the holder of a lease that is renewed. One that seems to be older than its duration
    /// by this machine's clock is watched for as long, since clocks differ.
    pub(crate) async fn tenancy(&self, installation: &str) -> Result<Tenancy, String> {
        let since = Instant::now();
        let first = self.leases(installation).await?;
        let is_fresh = |(_, spec): &(&str, &LeaseSpec)| {
            let renewed = spec.renew_time.as_ref().map(|time| time.0);
            let age = renewed.map(|time| Timestamp::now().duration_since(time).unsigned_abs());
            age.is_some_and(|age| age < lease::duration(spec))
        };
        if let Some((_, spec)) = held(&first).find(is_fresh) {
            return Ok(Tenancy::Led(spec.holder_identity.clone().unwrap_or_default()));
        }
        let mut leases = first.clone();
        while held(&leases).any(|(_, spec)| since.elapsed() <= lease::duration(spec)) {
            sleep(AGAIN).await;
            leases = self.leases(installation).await?;
            let is_renewed = |(namespace, spec): &(&str, &LeaseSpec)| {
                first.get(*namespace).and_then(|lease| lease.spec.as_ref()) != Some(*spec)
            };
            if let Some((_, spec)) = held(&leases).find(is_renewed) {
                return Ok(Tenancy::Led(spec.holder_identity.clone().unwrap_or_default()));
            }
        }
        Ok(Tenancy::Free { since, leases })
    }

    /// The leases of an installation, by namespace: a controller keeps its own where it runs.
    async fn leases(&self, installation: &str) -> Result<BTreeMap<String, Lease>, String> {
        let api: Api<Lease> = Api::all(self.client.clone());
        let parameters =
            ListParams::default().fields(&format!("metadata.name={}", lease::name(installation)));
        match self.patiently(api.list(&parameters)).await {
            Ok(listed) => {
                let named =
                    |lease: Lease| (lease.metadata.namespace.clone().unwrap_or_default(), lease);
                Ok(listed.items.into_iter().map(named).collect())
            }
            Err(error) => {
                let resource = ApiResource::erase::<Lease>(&());
                Err(self.why("list", &resource, error).await.into_text())
            }
        }
    }

    /// Asks that Moat let go of a pod, or take it back.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub async fn release(
        &self,
        namespace: &str,
        pod: &str,
        is_released: bool,
    ) -> Result<(), String> {
        let resource = Watched::Pods.resource();
        let api = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let named = format!("pod `{namespace}/{pod}`");
        self.annotate(&api, &resource, (pod, &named), (RELEASE, is_released)).await
    }

    /// Asks an installation to pause, or to go on.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub async fn pause(&self, installation: &str, is_paused: bool) -> Result<(), String> {
        let resource = ApiResource::erase::<MoatInstallation>(&());
        let api = Api::all_with(self.client.clone(), &resource);
        let named = format!("MoatInstallation `{installation}`");
        self.annotate(&api, &resource, (installation, &named), (PAUSED, is_paused)).await
    }

    /// Sets an annotation of an object that is there to `true`, or takes it away.
    async fn annotate(
        &self,
        api: &Api<DynamicObject>,
        resource: &ApiResource,
        (name, named): (&str, &str),
        (key, is_set): (&str, bool),
    ) -> Result<(), String> {
        let value = is_set.then_some("true");
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        let parameters = PatchParams::default();
        match self.patiently(api.patch_metadata(name, &parameters, &Patch::Merge(&patch))).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match self.why("patch", resource, error).await {
                Refusal::NotServed | Refusal::NotFound => {
                    format!("there is no {named} in the cluster at {}", self.url)
                }
                refusal @ (Refusal::Forbidden { .. } | Refusal::Failed(_)) => refusal.into_text(),
            }),
        }
    }

    // ---- lists

    /// The objects of some kinds, of one namespace or of all; and what may not be listed.
    async fn objects(
        &self,
        kinds: &[Watched],
        namespace: Option<&str>,
    ) -> Result<(There, Vec<Refusal>), String> {
        let listed = join_all(kinds.iter().map(|watched| self.of_kind(*watched, namespace))).await;
        let (mut there, mut refusals) = (There::default(), Vec::new());
        for (watched, listed) in kinds.iter().zip(listed) {
            match listed {
                Ok(objects) => there.objects.extend(objects),
                Err(Refusal::NotServed) => there.absent.extend(watched.definition().policy),
                Err(Refusal::Failed(why)) => return Err(why),
                // A namespace that is not there has nothing in it.
                Err(Refusal::NotFound) => {}
                Err(refusal @ Refusal::Forbidden { .. }) => refusals.push(refusal),
            }
        }
        Ok((there, refusals))
    }

    async fn of_kind(
        &self,
        watched: Watched,
        namespace: Option<&str>,
    ) -> Result<Vec<Read>, Refusal> {
        let resource = watched.resource();
        match namespace {
            // Whoever may look into a namespace may see it, and no other.
            Some(name) if watched == Watched::Namespaces => {
                let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
                match self.patiently(api.get_opt(name)).await {
                    Ok(found) => {
                        Ok(found.and_then(|object| read(watched, object)).into_iter().collect())
                    }
                    Err(error) => Err(self.why("get", &resource, error).await),
                }
            }
            one => {
                let namespace = one.filter(|_| watched.is_namespaced());
                self.list(&resource, namespace, |object| read(watched, object)).await
            }
        }
    }

    /// The objects of a resource, page by page; what is not taken of them is dropped.
    async fn list<T>(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
        take: impl Fn(DynamicObject) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        };
        let (mut all, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let list = match self.patiently(api.list(&page)).await {
                Ok(list) => list,
                // The pages took so long that what they are of is forgotten.
                Err(kube::Error::Api(status)) if status.code == GONE && !all.is_empty() => {
                    all.clear();
                    page.continue_token = None;
                    continue;
                }
                Err(error) => return Err(self.why("list", resource, error).await),
            };
            all.extend(list.items.into_iter().filter_map(&take));
            page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
            if page.continue_token.is_none() {
                return Ok(all);
            }
        }
    }

    // ---- answers

    /// An answer, unless it takes too long.
    pub(crate) async fn patiently<T>(
        &self,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> kube::Result<T> {
        timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|late| Err(kube::Error::Service(late.into())))
    }

    /// Why something was not answered as asked for.
    pub(crate) async fn why(
        &self,
        verb: &'static str,
        resource: &ApiResource,
        error: kube::Error,
    ) -> Refusal {
        let code = if let kube::Error::Api(status) = &error { Some(status.code) } else { None };
        let named = match &*resource.group {
            "" => resource.plural.clone(),
            group => format!("{}.{group}", resource.plural),
        };
        match code {
            Some(NOT_FOUND | FORBIDDEN) if !self.serves(resource).await => Refusal::NotServed,
            Some(NOT_FOUND) => Refusal::NotFound,
            Some(FORBIDDEN) => Refusal::Forbidden { verb, resource: named },
            Some(UNAUTHORIZED) => Refusal::Failed(format!(
                "the API server at {} does not know who asks: log in to the cluster again, and see whether `kubectl get \
                 {named}` answers",
                self.url
            )),
            Some(_) => Refusal::Failed(format!(
                "the API server at {} refuses `{verb}` of `{named}`: {error}",
                self.url
            )),
            None => Refusal::Failed(format!(
                "the API server at {} does not answer: {}: see whether `kubectl version` reaches it",
                self.url,
                chain(&error)
            )),
        }
    }

    /// Whether a resource is served. Everybody who is known may ask that.
    async fn serves(&self, resource: &ApiResource) -> bool {
        if resource.group.is_empty() {
            return true;
        }
        match self.patiently(self.client.list_api_group_resources(&resource.api_version)).await {
            Ok(served) => served.resources.iter().any(|it| it.name == resource.plural),
            Err(kube::Error::Api(status)) => status.code != NOT_FOUND,
            Err(_) => true,
        }
    }
}

impl Refusal {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::NotServed => "the cluster does not serve this kind".to_owned(),
            Self::NotFound => "there is no such object in the cluster".to_owned(),
            Self::Forbidden { .. } => forbidden(&[self]),
            Self::Failed(why) => why,
        }
    }
}

/// The leases that somebody holds.
fn held(leases: &BTreeMap<String, Lease>) -> impl Iterator<Item = (&str, &LeaseSpec)> {
    leases.iter().filter_map(|(namespace, lease)| {
        let spec = lease.spec.as_ref()?;
        let is_held = spec.holder_identity.as_ref().is_some_and(|holder| !holder.is_empty());
        is_held.then_some((namespace.as_str(), spec))
    })
}

/// What to do about what is forbidden.
fn forbidden(refusals: &[Refusal]) -> String {
    let (mut verbs, mut resources) = (BTreeSet::new(), BTreeSet::new());
    for refusal in refusals {
        if let Refusal::Forbidden { verb, resource } = refusal {
            verbs.insert(*verb);
            resources.insert(resource.as_str());
        }
    }
    let join = |words: BTreeSet<&str>, by: &str| words.into_iter().collect::<Vec<_>>().join(by);
    let (said, verbs) = (join(verbs.clone(), " and "), join(verbs, ","));
    let (named, resources) = (join(resources.clone(), "`, `"), join(resources, ","));
    format!(
        "the cluster does not let you {said} `{named}`: ask for a role that does, such as `kubectl create clusterrole moat-look \
         --verb={verbs} --resource={resources}` makes, bound to you"
    )
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("url", &self.url).finish_non_exhaustive()
    }
}
