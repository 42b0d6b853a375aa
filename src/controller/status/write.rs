//! Writes statuses: what changed, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, Patch};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use moat_core::compile::{Desired, Inputs};
use moat_core::finding::{Effect, Finding};
use moat_core::inventory::Inventory;
use moat_core::policy::{Kind, ObjectRef, Word};
use moat_k8s::crd::{EnforcementStatus, InstallationStatus, MoatInstallation, ProviderInUse};
use serde_json::json;
use tokio::sync::watch::Receiver;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::conditions;
use super::events::{self, Events};
use super::installation;
use super::objects::{Written, enforcement, learn, name, parameters, put_status, resource};
use super::report::{self, Verdict};
use crate::index::Known;
use crate::kinds::Watched;
use crate::reason::Reason;
use crate::round::Round;
use crate::telemetry::Telemetry;

/// Writes the status of each policy.
pub(crate) struct Writer {
    client: Client,
    events: Events,
    telemetry: Arc<Telemetry>,
    leader: String,
    provider: ProviderInUse,
    /// What the MoatInstallation says, if it is there.
    installation: Option<(String, InstallationStatus)>,
    /// What is there, by policy.
    written: BTreeMap<ObjectRef, Written>,
    /// What was said in the log of other objects.
    said: BTreeSet<String>,
}

/// What is to be written of a policy.
struct News<'a> {
    watched: Watched,
    object: &'a ObjectRef,
    known: &'a Known,
    before: Option<&'a EnforcementStatus>,
    status: EnforcementStatus,
}

/// Findings are compiled from scratch: they take one part of the time of a processor, and leave this many.
const SHARE: u32 = 9;

/// Policies that are written of at a time. An API server has seats for so many requests beside those of others (flow control,
/// "API Priority and Fairness"); what it has none for, the client repeats when it is told to.
const AT_ONCE: usize = 16;

impl Writer {
    /// `instance` names this process.
    pub(crate) fn new(
        client: Client,
        instance: String,
        provider: ProviderInUse,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let events = Events::new(client.clone(), instance.clone());
        Self {
            client,
            events,
            telemetry,
            leader: instance,
            provider,
            installation: None,
            written: BTreeMap::new(),
            said: BTreeSet::new(),
        }
    }

    /// Writes after each round, until there are no more.
    pub(crate) async fn run(mut self, mut rounds: Receiver<Option<Round>>) {
        if let Err(error) = self.read().await {
            warn!(%error, "the statuses that are there were not read: all are written anew");
        }
        let mut last = None;
        while rounds.changed().await.is_ok() {
            let round = rounds.borrow_and_update().clone();
            if let Some(round) = round {
                let began = Instant::now();
                let same = |(inputs, _): &(Arc<Inputs>, _)| Arc::ptr_eq(inputs, &round.inputs);
                let (inputs, desired) = last.take().filter(same).unwrap_or_else(|| {
                    let desired = block_in_place(|| round.inputs.compile());
                    (Arc::clone(&round.inputs), desired)
                });
                let took = began.elapsed();
                self.forget(&round).await;
                self.write(&round, &desired).await;
                if let Err(error) = self.publish(&round, &desired).await {
                    warn!(%error, "the MoatInstallation was not written");
                }
                self.say(&round, &desired).await;
                self.count(&round, &desired);
                // What is told in the meantime is told at once, by the latest word.
                last = Some((inputs, desired));
                sleep(took.saturating_mul(SHARE)).await;
            }
        }
    }

    /// Learns what is there, so that a restart writes nothing anew.
    async fn read(&mut self) -> Result<(), kube::Error> {
        for resource in [resource(true), resource(false)] {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            let list = api.list(&ListParams::default()).await?;
            self.written.extend(list.into_iter().filter_map(learn));
        }
        Ok(())
    }

    /// Says once what is found of objects that are no policies: in the log, and by events.
    async fn say(&mut self, round: &Round, desired: &Desired) {
        let told_here = |finding: &&Finding| {
            let is_told = finding.effect != Effect::Ignored || events::is_news(finding.reason);
            is_told && !round.policies.contains_key(&finding.object)
        };
        let found = round.findings.iter().chain(&desired.findings).filter(told_here);
        let found: BTreeMap<String, &Finding> =
            found.map(|it| (said_of(&it.reason, &it.object, &it.message), it)).collect();
        let new: Vec<_> = found.iter().filter(|(text, _)| !self.said.contains(*text)).collect();
        for (text, finding) in &new {
            if finding.effect == Effect::Ignored {
                info!("{text}");
            } else {
                warn!("{text}");
            }
        }
        let news = new.iter().filter(|(_, finding)| events::is_news(finding.reason));
        for (_, finding) in news.take(events::MOST) {
            let Some(regarding) = self.regarding(round, &finding.object) else { continue };
            if let Err(error) = self.events.found(&regarding, finding).await {
                warn!(object = %finding.object, %error, "there is no event of it");
            }
        }
        self.said = found.into_keys().collect();
    }

    /// Whom an event about an object is about: the MoatInstallation for what is not in the cluster.
    fn regarding(&self, round: &Round, object: &ObjectRef) -> Option<ObjectReference> {
        let watched = match object.kind {
            Kind::SecurityGroup | Kind::Vpc => return Some(self.own_reference(round)),
            Kind::Pod => Watched::Pods,
            Kind::Namespace => Watched::Namespaces,
            Kind::Node => Watched::Nodes,
            Kind::Service => Watched::Services,
            Kind::SecurityGroupPolicy => Watched::SecurityGroupPolicies,
            Kind::NetworkPolicy
            | Kind::ClusterNetworkPolicy
            | Kind::VpcNetworkPolicy
            | Kind::ClusterVpcNetworkPolicy
            | Kind::Workload
            | Kind::File
            | Kind::Other => return None,
        };
        let uid = uid(object, &round.inputs.inventory);
        Some(events::reference(watched, object, uid.as_deref()))
    }

    /// Who leads, and keeps which cloud.
    fn who(&self) -> (&str, &ProviderInUse) {
        (&self.leader, &self.provider)
    }

    /// The MoatInstallation.
    fn own_reference(&self, round: &Round) -> ObjectReference {
        let resource = ApiResource::erase::<MoatInstallation>(&());
        ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            name: Some(round.decision.configuration.cluster.to_string()),
            uid: self.installation.as_ref().map(|(uid, _)| uid.clone()),
            ..ObjectReference::default()
        }
    }

    /// Lets be counted what is found and said.
    fn count(&self, round: &Round, desired: &Desired) {
        let unread = round.policies.values().flat_map(|known| &known.findings);
        let findings = round.findings.iter().chain(&desired.findings).chain(unread);
        let conditions = self.written.values().flat_map(|written| &written.status.conditions);
        let said =
            conditions.map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone()));
        self.telemetry.reported(findings, said);
    }

    /// Deletes what was said of policies that are gone; the garbage collector would, after a while.
    async fn forget(&mut self, round: &Round) {
        let gone = self.written.iter().filter(|(object, _)| !round.policies.contains_key(*object));
        let gone: Vec<_> = gone.map(|(object, written)| self.delete(object, written)).collect();
        for object in side_by_side(gone).await {
            self.written.remove(&object);
        }
    }

    /// Deletes what was said of a policy, which it gives back once that is gone.
    async fn delete(&self, object: &ObjectRef, written: &Written) -> Option<ObjectRef> {
        let api = self.enforcements(object);
        match api.delete(&written.name, &DeleteParams::default()).await {
            Ok(_) => Some(object.clone()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Some(object.clone()),
            Err(error) => {
                warn!(policy = %object, %error, "its status was not deleted");
                None
            }
        }
    }

    async fn write(&mut self, round: &Round, desired: &Desired) {
        let now = Time(Timestamp::now());
        let verdicts = block_in_place(|| report::verdicts(round, desired));
        let news = verdicts.iter().filter_map(|(object, verdict)| {
            self.news(object, round.policies.get(object)?, verdict, &now)
        });
        let told: Vec<_> = news.map(|news| self.told(news)).collect();
        for (object, written) in side_by_side(told).await {
            self.written.insert(object, written);
        }
    }

    /// Writes what is news of a policy; none if that failed.
    async fn told(&self, news: News<'_>) -> Option<(ObjectRef, Written)> {
        match self.tell(&news).await {
            Ok(written) => Some((news.object.clone(), written)),
            Err(error) => {
                warn!(policy = %news.object, %error, "its status was not written");
                None
            }
        }
    }

    /// Writes what holds of the installation as a whole, if it is not there already.
    async fn publish(&mut self, round: &Round, desired: &Desired) -> Result<(), kube::Error> {
        let resource = ApiResource::erase::<MoatInstallation>(&());
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let name = round.decision.configuration.cluster.to_string();
        let (uid, before) = match self.installation.take() {
            Some(before) => before,
            None => {
                let object = match api.get_opt(&name).await? {
                    Some(object) => object,
                    None => {
                        let object = json!({
                            "apiVersion": resource.api_version,
                            "kind": resource.kind,
                            "metadata": { "name": name },
                            "spec": {},
                        });
                        api.patch(&name, &parameters(), &Patch::Apply(&object)).await?
                    }
                };
                let status = object.data.get("status").cloned().unwrap_or_default();
                let status: InstallationStatus = serde_json::from_value(status).unwrap_or_default();
                let said = status.findings.iter();
                self.said.extend(said.map(|it| said_of(&it.reason, &it.object, &it.message)));
                (object.metadata.uid.unwrap_or_default(), status)
            }
        };
        let now = Time(Timestamp::now());
        let status = installation::status(round, desired, self.who(), &before.conditions, &now);
        if status != before {
            put_status(&api, &resource, &name, json!(status)).await?;
        }
        let known = before.conditions;
        self.installation = Some((uid, status));
        if let Some(why) = &round.decision.refused {
            let is_known = |one: &Condition| {
                one.reason == Reason::InvalidConfiguration.as_str() && one.message.ends_with(why)
            };
            if !known.iter().any(is_known) {
                let regarding = self.own_reference(round);
                self.events.warn(&regarding, Reason::InvalidConfiguration, why).await?;
            }
        }
        Ok(())
    }

    /// What is to be written of a policy; none if all of it is there.
    fn news<'a>(
        &'a self,
        object: &'a ObjectRef,
        known: &'a Known,
        verdict: &Verdict,
        now: &Time,
    ) -> Option<News<'a>> {
        let watched = Watched::of_policy(object.kind)?;
        let before = self.written.get(object).filter(|written| written.owner == known.uid);
        let before = before.map(|written| &written.status);
        let nothing = EnforcementStatus::default();
        let status = conditions::status(verdict, known.generation, before.unwrap_or(&nothing), now);
        (before != Some(&status)).then_some(News { watched, object, known, before, status })
    }

    /// Writes what becomes of one policy.
    async fn tell(&self, news: &News<'_>) -> Result<Written, kube::Error> {
        let News { watched, object, known, before, status } = news;
        let name = name(known);
        let api = self.enforcements(object);
        if before.is_none() {
            let enforcement = enforcement(*watched, object, &name, &known.uid);
            api.patch(&name, &parameters(), &Patch::Apply(&enforcement)).await?;
        }
        put_status(&api, &resource(object.namespace.is_some()), &name, json!(status)).await?;
        if let Some(prefix) = watched.definition().condition_prefix {
            let mut conditions = status.conditions.clone();
            conditions.iter_mut().for_each(|condition| condition.type_.insert_str(0, prefix));
            let api = self.api(object, &watched.resource());
            let conditions = json!({ "conditions": conditions });
            put_status(&api, &watched.resource(), &object.name, conditions).await?;
        }
        let nothing = EnforcementStatus::default();
        let before = before.unwrap_or(&nothing);
        self.events.publish(*watched, object, &known.uid, before, status).await?;
        Ok(Written { owner: known.uid.clone(), name, status: status.clone() })
    }

    /// The objects that say what becomes of policies where this one is.
    fn enforcements(&self, policy: &ObjectRef) -> Api<DynamicObject> {
        self.api(policy, &resource(policy.namespace.is_some()))
    }

    fn api(&self, beside: &ObjectRef, resource: &ApiResource) -> Api<DynamicObject> {
        match &beside.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }
}

/// What comes of work on many objects, a few of which are worked on at a time.
async fn side_by_side<T>(work: Vec<impl Future<Output = Option<T>>>) -> Vec<T> {
    stream::iter(work).buffer_unordered(AT_ONCE).filter_map(ready).collect().await
}

/// What the log says of a finding.
fn said_of(reason: &impl Display, object: &impl Display, message: &str) -> String {
    format!("{reason} {object}: {message}")
}

/// The unique id of a pod; others are known without.
fn uid(object: &ObjectRef, inventory: &Inventory) -> Option<Word> {
    let (namespace, name) = (object.namespace.as_ref()?, &object.name);
    let mut pods = inventory.pods.iter().filter(|_| object.kind == Kind::Pod);
    let pod = pods.find(|pod| pod.namespace == *namespace && pod.name == *name)?;
    Some(pod.uid.clone())
}
