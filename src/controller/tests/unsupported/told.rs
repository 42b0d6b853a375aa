//! What is told, wherever it is told, and what should be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use axum::http::Method;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use moat_core::finding::{Effect, Reason};
use moat_k8s::unsupported::{Told, row};
use serde_json::{Value, json};

use super::examples::Example;
use super::scene::{OPENED, OTHERS, SHARED};
use crate::world::World;
use crate::{admission, http, world};

/// The samples of a metric, by the values of its labels in their order.
pub(crate) type Series = BTreeMap<Vec<String>, usize>;

/// Status and reason of each condition.
type Conditions = BTreeMap<String, (String, String)>;

/// What is told of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    conditions: Conditions,
    /// The same, as the policy bears them itself, if its kind has a status.
    own: Option<Conditions>,
    /// Field, reason and effect of each finding.
    findings: Vec<[String; 3]>,
    /// The pods that nothing filters, by why.
    unfiltered: BTreeMap<String, u64>,
    /// Whether all of it is about the policy as it is.
    is_current: bool,
}

/// What is told on the MoatInstallation: its conditions; reason and effect of each finding.
pub(crate) type OfCloud = (Conditions, BTreeSet<[String; 2]>);

/// What an event is about (kind, namespace and name), its type and its reason.
type Seen = [String; 5];

// ------------------------------------------------------------------------------------------- What should be told

impl Said {
    /// While its reason is there.
    pub(crate) fn found(example: &Example) -> Self {
        let Example { reason, effect, path, .. } = example;
        let set = |conditions: &mut Conditions, kind: &str, status: &str| {
            let said = (status.to_owned(), reason.to_string());
            conditions.insert(kind.to_owned(), said);
        };
        let mut said = Self::clean(example);
        let conditions = &mut said.conditions;
        if *effect != Effect::Ignored {
            set(conditions, "Exact", "False");
            if is_misread(*reason) {
                set(conditions, "Accepted", "False");
            }
            if *reason == Reason::QuotaExceeded {
                set(conditions, "Programmed", "False");
                set(conditions, "Stalled", "True");
            }
        }
        said.own = said.own.map(|_| said.conditions.clone());
        said.findings = vec![[*path, reason.as_str(), effect.as_str()].map(str::to_owned)];
        if is_of_interface(*reason) {
            said.unfiltered.insert(reason.to_string(), 1);
        }
        said
    }

    /// Once it is mended.
    pub(crate) fn clean(example: &Example) -> Self {
        let good = ["Accepted", "Programmed", "Exact"];
        let good = good.map(|kind| (kind.to_owned(), ("True".to_owned(), kind.to_owned())));
        let conditions = Conditions::from(good);
        let own = (example.policy["kind"] != "NetworkPolicy").then(|| conditions.clone());
        Self { conditions, own, is_current: true, ..Self::default() }
    }
}

/// Whether a field was not understood, rather than not enforced.
fn is_misread(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::InvalidField
            | Reason::UnknownField
            | Reason::UnsupportedField
            | Reason::InvalidSelector
            | Reason::InvalidCidr
    )
}

/// Whether the one pod of the example is not filtered.
fn is_of_interface(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SharedInterface | Reason::FixedInterface | Reason::Released | Reason::NoInterface
    )
}

/// How many policies have each condition: there are so many more, and others open something beside so many of those.
pub(crate) fn counts(said: &BTreeMap<String, Said>, more: usize, opened: usize) -> Series {
    let mut counts = Series::new();
    let conditions = said.values().flat_map(|said| said.conditions.clone());
    for (kind, (status, reason)) in conditions {
        *counts.entry(vec![kind, status, reason]).or_default() += 1;
    }
    for kind in ["Accepted", "Programmed", "Exact"] {
        *counts.entry([kind, "True", kind].map(str::to_owned).into()).or_default() += more;
    }
    let exact = |said: [&str; 2]| ["Exact", said[0], said[1]].map(str::to_owned).to_vec();
    *counts.entry(exact(["True", "Exact"])).or_default() -= opened;
    *counts.entry(exact(["False", "ForeignRule"])).or_default() += opened;
    counts
}

/// What the MoatInstallation says if so much is found.
pub(crate) fn of_cloud(found: &Series) -> OfCloud {
    let mut rows = BTreeSet::new();
    for reason in Reason::ALL {
        if row(*reason).told == Told::Installation {
            let keys = found.keys().filter(|labels| labels[0] == reason.as_str());
            rows.extend(keys.map(|labels| [labels[0].clone(), labels[1].clone()]));
        }
    }
    let foreign = rows.iter().any(|[reason, _]| reason == Reason::ForeignRule.as_str());
    let exact = if foreign { ["False", "ForeignRule"] } else { ["True", "Exact"] };
    let conditions = [
        ("Configured", ["True", "Configured"]),
        ("Programmed", ["True", "Programmed"]),
        ("Exact", exact),
    ];
    let text = |[status, reason]: [&str; 2]| (status.to_owned(), reason.to_owned());
    (conditions.map(|(kind, said)| (kind.to_owned(), text(said))).into(), rows)
}

/// What is found while policies isolate pods that others clothed: in the end of three groups.
pub(crate) fn standing() -> Series {
    let labels = |reason: Reason, effect: Effect| {
        [reason.as_str(), effect.as_str()].map(str::to_owned).to_vec()
    };
    Series::from([
        (labels(Reason::GroupReplaced, Effect::Ignored), 3),
        (labels(Reason::NeverFiltered, Effect::NotEnforced), 1),
        (labels(Reason::StartsOpen, Effect::NotEnforced), 1),
    ])
}

/// Every event, how often each was made.
pub(crate) fn expected_events(examples: &[Example]) -> BTreeSet<Seen> {
    let told = examples.iter().filter(|example| !example.reason.is_standing()).map(|example| {
        let text = |pointer: &str| {
            let text = example.policy.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let type_ = if example.effect == Effect::Ignored { "Normal" } else { "Warning" };
        let reason = example.reason.to_string();
        [text("/kind"), text("/metadata/namespace"), text("/metadata/name"), type_.into(), reason]
    });
    let others = [
        ["Pod", OTHERS, "annotated", "Normal", "InvalidField"],
        ["Pod", OTHERS, "drift", "Normal", "Drift"],
        ["Pod", "duplicateaddress-narrower", "ghost", "Normal", "DuplicateAddress"],
        ["Pod", "duplicateaddress-narrower", "peer", "Normal", "DuplicateAddress"],
        ["Pod", "nointerface-notenforced", "web", "Normal", "NoInterface"],
        ["Pod", SHARED, "web", "Normal", "SharedInterface"],
        ["SecurityGroupPolicy", OTHERS, "two", "Normal", "GroupsJoined"],
        ["MoatInstallation", "", "default", "Normal", "Drift"],
        ["MoatInstallation", "", "default", "Normal", "NameTaken"],
        ["MoatInstallation", "", "default", "Warning", "ForeignRule"],
        ["MoatInstallation", "", "default", "Warning", "StandardMode"],
    ];
    let opened = OPENED.map(|name| ["NetworkPolicy", OTHERS, name, "Warning", "ForeignRule"]);
    let others = others.into_iter().chain(opened).map(|seen| seen.map(str::to_owned));
    told.chain(others).collect()
}

/// What whoever applies an example is told: reason and effect.
pub(crate) fn expected_warnings(examples: &[Example]) -> BTreeMap<String, Vec<String>> {
    let told = examples.iter().filter(|example| !example.reason.is_standing());
    let told = told.map(|example| (example.name(), vec![warning(example.reason, example.effect)]));
    told.collect()
}

fn warning(reason: Reason, effect: Effect) -> String {
    match effect {
        Effect::Ignored => format!("{reason}: "),
        Effect::Narrower | Effect::NotEnforced => format!("{reason}, {effect}: "),
    }
}

// ------------------------------------------------------------------------------------------- What is told

/// What is told of each example.
pub(crate) async fn of(world: &World, examples: &[Example]) -> BTreeMap<String, Said> {
    let mut told = BTreeMap::new();
    for example in examples {
        told.insert(example.name(), said(world, example).await.unwrap_or_default());
    }
    told
}

async fn said(world: &World, example: &Example) -> Option<Said> {
    let policy = world.get(&example.policy).await?;
    let kind = policy["kind"].as_str()?;
    let (short, prefix) = match kind {
        "NetworkPolicy" => ("netpol", ""),
        "VpcNetworkPolicy" => ("vnp", ""),
        "ClusterNetworkPolicy" => ("cnp", "moat.dev/"),
        _ => ("cvnp", ""),
    };
    let about =
        if kind.starts_with("Cluster") { "ClusterPolicyEnforcement" } else { "PolicyEnforcement" };
    let mut enforcement = json!({"apiVersion": "moat.dev/v1alpha1", "kind": about});
    enforcement["metadata"] = policy["metadata"].clone();
    enforcement["metadata"]["name"] = json!(format!("{short}-{}", example.name()));
    let status = world.get(&enforcement).await?["status"].clone();
    let own = (kind != "NetworkPolicy").then(|| conditions(&policy["status"], prefix));
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let rows = status["findings"].as_array().into_iter().flatten();
    let findings: Vec<[String; 3]> =
        rows.map(|row| ["path", "reason", "effect"].map(|field| text(row, field))).collect();
    let pods = status["unfiltered"].as_array().into_iter().flatten();
    let unfiltered =
        pods.map(|it| (text(it, "reason"), it["pods"].as_u64().unwrap_or_default())).collect();
    let generation = policy["metadata"]["generation"].as_i64()?;
    let mut generations = world::conditions(&status).into_values().map(|(.., it)| it);
    let is_current = generations.all(|it| it == generation)
        && status["observedGeneration"] == generation
        && status["findingsTotal"] == findings.len();
    Some(Said { conditions: conditions(&status, ""), own, findings, unfiltered, is_current })
}

/// Each condition that bears a prefix, without it.
fn conditions(status: &Value, prefix: &str) -> Conditions {
    let conditions = world::conditions(status).into_iter();
    let of_ours = conditions.filter_map(|(kind, (status, reason, _))| {
        Some((kind.strip_prefix(prefix)?.to_owned(), (status, reason)))
    });
    of_ours.collect()
}

/// What a controller counts by a metric.
pub(crate) async fn series(address: SocketAddr, name: &str) -> Series {
    let Some((200, text)) = http::ask(address, "GET", "/metrics", "").await else {
        return Series::new();
    };
    let samples = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?;
        let values = labels.split(',').map(|label| label.split('"').nth(1).expect("a value"));
        Some((values.map(str::to_owned).collect(), value.parse().expect("a number")))
    });
    samples.collect()
}

/// What is told on the MoatInstallation.
pub(crate) async fn of_installation(world: &World) -> OfCloud {
    let installation = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "MoatInstallation",
        "metadata": {"name": "default"},
    });
    let status = world.get(&installation).await.unwrap_or_default()["status"].clone();
    let rows = status["findings"].as_array().into_iter().flatten();
    let rows = rows.map(|row| {
        ["reason", "effect"].map(|field| row[field].as_str().unwrap_or_default().to_owned())
    });
    (conditions(&status, ""), rows.collect())
}

/// What events say; of policies and of the cloud each once, by whichever controller.
pub(crate) async fn events(world: &World) -> BTreeSet<Seen> {
    let events: Api<Event> = Api::all(world.client.clone());
    let events = events.list(&ListParams::default()).await.expect("events").items;
    let mut seen = BTreeSet::new();
    for event in events {
        if event.reporting_controller.as_deref() != Some("moat.dev/controller") {
            continue;
        }
        let about = event.regarding.unwrap_or_default();
        let text = |text: Option<String>| text.unwrap_or_default();
        let kind = text(about.kind);
        // What was said of a pod, another leader cannot know.
        let is_known = kind != "Pod";
        let said =
            [kind, text(about.namespace), text(about.name), text(event.type_), text(event.reason)];
        let is_new = seen.insert(said.clone());
        assert!(is_new || !is_known, "{said:?} was said twice");
    }
    seen
}

/// What whoever applies the examples is told, by those who are told anything.
pub(crate) async fn warnings(
    world: &World,
    examples: &[Example],
    policy: fn(&Example) -> &Value,
) -> BTreeMap<String, Vec<String>> {
    let mut told = BTreeMap::new();
    for example in examples {
        let mut object = policy(example).clone();
        let there = world.get(&object).await.unwrap_or_default();
        object["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
        let lines = admission::warnings(world, Method::PUT, &object).await;
        let first = lines.into_iter().filter(|line| !line.starts_with("moat: … "));
        let said: Vec<String> = first.map(|line| summary(&line).unwrap_or(line)).collect();
        if !said.is_empty() {
            told.insert(example.name(), said);
        }
    }
    told
}

/// The reason and the effect that a warning begins with.
fn summary(line: &str) -> Option<String> {
    let effects = [Effect::Ignored, Effect::Narrower, Effect::NotEnforced];
    let mut all =
        Reason::ALL.iter().flat_map(|reason| effects.map(|effect| warning(*reason, effect)));
    all.find(|start| line.contains(&format!(": {start}")))
}
