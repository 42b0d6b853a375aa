//! What of each pod is enforced and what is not, from what a controller tells of its policies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use moat_core::finding::{Effect, Reason};
use moat_core::firewall::GroupKey;
use moat_core::inventory::{Inventory, Pod, PodIndex};
use moat_core::placement;
use moat_core::policy::{ObjectRef, Policy, Subject, Word};
use moat_core::provider::Observed;
use moat_k8s::crd::{Condition, EnforcementStatus};
use moat_k8s::{Options, Published, Said};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cloud::Cloud;
use crate::failure::Failure;
use crate::{Io, args, session};

/// What is told of a cluster, understood.
pub(crate) struct View {
    pub(crate) inventory: Inventory,
    policies: Vec<Policy>,
    released: BTreeSet<(Word, Word)>,
    /// The unique id and the generation of each policy.
    versions: BTreeMap<ObjectRef, (String, i64)>,
    statuses: BTreeMap<ObjectRef, Said>,
    /// Whether all namespaces were looked at.
    is_whole: bool,
    /// What interfaces wear, where the cloud was looked at, and what the cloud calls its groups for: the owner tag.
    worn: Option<(Arc<Observed>, String)>,
}

/// How a pod stands.
pub(crate) struct Row<'a> {
    pub(crate) pod: &'a Pod,
    /// The policies that say what may reach it.
    pub(crate) ingress: Vec<&'a ObjectRef>,
    /// The policies that say what it may reach.
    pub(crate) egress: Vec<&'a ObjectRef>,
    /// The groups that its interface wears, where the cloud was looked at.
    pub(crate) groups: Option<Vec<String>>,
    pub(crate) state: State,
    /// Why, where it is neither enforced nor unselected, and of pods that no policy can select.
    pub(crate) because: Vec<Cause>,
}

/// How a pod stands: the worst that is said of its policies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub(crate) enum State {
    /// No policy selects it.
    Unselected,
    /// The cloud was read back, and does to it what its policies say.
    Enforced,
    /// The cloud was read back, and does what it can: something of its policies it does otherwise.
    Inexact,
    /// The cloud is being changed.
    Pending,
    /// Nobody can tell.
    Unknown,
    /// The cloud is not changed until somebody does something.
    Stalled,
    /// The cloud does not filter it.
    NotEnforced,
}

/// Why a pod stands as it does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cause {
    /// In one word.
    pub(crate) reason: String,
    /// In a sentence.
    pub(crate) message: String,
}

/// What is said of a policy, as far as it counts for all of its pods.
struct Standing<'a> {
    policy: &'a Policy,
    state: State,
    because: Vec<Cause>,
    status: Option<&'a EnforcementStatus>,
}

impl State {
    /// Every state, the best first.
    pub(crate) const ALL: [Self; 7] = [
        Self::Unselected,
        Self::Enforced,
        Self::Inexact,
        Self::Pending,
        Self::Unknown,
        Self::Stalled,
        Self::NotEnforced,
    ];

    /// Whether there is nothing to look at.
    pub(crate) const fn is_fine(self) -> bool {
        matches!(self, Self::Unselected | Self::Enforced)
    }

    /// In a sentence after a number of pods.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Unselected => "selected by no policy",
            Self::Enforced => "enforced",
            Self::Inexact => "inexact",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Stalled => "stalled",
            Self::NotEnforced => "not enforced",
        }
    }
}

impl Cause {
    fn new(reason: impl ToString, message: impl Into<String>) -> Self {
        Self { reason: reason.to_string(), message: message.into() }
    }
}

impl View {
    /// `is_whole`: all namespaces were looked at.
    pub(crate) fn of(published: Published, is_whole: bool) -> Self {
        let Published { there, statuses, .. } = published;
        let versions = there
            .objects
            .iter()
            .map(|read| (read.object.clone(), (read.uid.clone(), read.generation)));
        let versions = versions.collect();
        let read = moat_k8s::read_onto(there.objects, &[], &Options::default());
        let moat_k8s::Cluster { policies, inventory, released, .. } = read;
        Self { inventory, policies, released, versions, statuses, is_whole, worn: None }
    }

    /// Looks at the interfaces of the pods, where a cloud is named that is there.
    pub(crate) fn look(&mut self, named: &args::Cloud, io: &mut Io<'_>) -> Result<(), Failure> {
        if matches!(named.provider, args::Provider::Sim) {
            return Ok(());
        }
        let configuration = session::configuration(named.config.as_deref(), io.stdin)?;
        let cluster = named.cluster.as_ref().unwrap_or(&configuration.cluster).to_string();
        let mut cloud = Cloud::open(&configuration, &cluster, named, io.connect)?;
        let observed = cloud.observe(&self.inventory, &configuration)?;
        placement::place(&mut self.inventory, &observed);
        self.worn = Some((observed, cluster));
        Ok(())
    }

    /// The groups that the interface of a pod wears, where the cloud was looked at; of an interface of several pods, too.
    fn groups(&self, pod: &Pod) -> Option<Vec<String>> {
        let (observed, cluster) = self.worn.as_ref()?;
        let worn = pod.interface.as_ref().and_then(|it| observed.state.interfaces.get(it));
        let name = |key: &GroupKey| match key {
            GroupKey::Ours(number) => number.name(cluster),
            GroupKey::Foreign(id) => id.0.to_string(),
        };
        Some(worn.into_iter().flatten().map(name).collect())
    }

    /// The pods, by namespace and name.
    pub(crate) fn rows(&self) -> Vec<Row<'_>> {
        let pods = self.inventory.by_namespace();
        let mut of_pod: BTreeMap<PodIndex, Vec<usize>> = BTreeMap::new();
        let mut standings = Vec::new();
        for policy in &self.policies {
            let selected: Vec<(PodIndex, &Pod)> = match &policy.subject {
                Subject::Nobody => Vec::new(),
                Subject::Pods(selector) => pods.selected(selector).collect(),
            };
            let here = selected.iter().filter(|(_, pod)| !pod.addresses.is_empty()).count();
            for (index, _) in selected {
                of_pod.entry(index).or_default().push(standings.len());
            }
            standings.push(self.standing(policy, here));
        }
        let rows = self.inventory.pods.iter().enumerate().map(|(index, pod)| {
            let selecting = of_pod.get(&PodIndex(index)).into_iter().flatten();
            let selecting: Vec<&Standing<'_>> =
                selecting.filter_map(|place| standings.get(*place)).collect();
            self.row(pod, &selecting)
        });
        rows.collect()
    }

    /// What is said of a policy that selects so many pods with an address.
    fn standing<'a>(&'a self, policy: &'a Policy, pods: usize) -> Standing<'a> {
        let (id, generation) = self.versions.get(&policy.object).cloned().unwrap_or_default();
        let said = self.statuses.get(&policy.object).filter(|said| said.of == id);
        let Some(Said { status, .. }) = said else {
            let because =
                vec![Cause::new("Unreported", "no controller has told what becomes of a policy")];
            return Standing { policy, state: State::Unknown, because, status: None };
        };
        let told = status.summary.map(|summary| summary.pods);
        let counts = self.is_whole || policy.object.namespace.is_some();
        let is_old = status.observed_generation != Some(generation);
        if is_old || (counts && told != i32::try_from(pods).ok()) {
            let because = vec![Cause::new(
                "Pending",
                "a policy or its pods changed since the last word on it",
            )];
            return Standing { policy, state: State::Pending, because, status: Some(status) };
        }
        let is = |kind: &str, value: &str| {
            status.conditions.iter().find(|it| it.type_ == kind && it.status == value)
        };
        let cause = |it: &Condition| Cause::new(&it.reason, &*it.message);
        let (state, because) = if is("Programmed", "True").is_some() {
            let inexact = inexact(status);
            let state = if inexact.is_empty() { State::Enforced } else { State::Inexact };
            (state, inexact)
        } else if let Some(why) = is("Reconciling", "True") {
            (State::Pending, vec![cause(why)])
        } else if let Some(why) = is("Programmed", "False") {
            (State::Stalled, vec![cause(why)])
        } else {
            (State::Unknown, is("Programmed", "Unknown").into_iter().map(cause).collect())
        };
        Standing { policy, state, because, status: Some(status) }
    }

    fn row<'a>(&'a self, pod: &'a Pod, selecting: &[&Standing<'a>]) -> Row<'a> {
        let of = |governs: fn(&Policy) -> bool| {
            let governing = selecting.iter().filter(move |standing| governs(standing.policy));
            governing.map(|standing| &standing.policy.object).collect()
        };
        let (ingress, egress) = (of(|it| it.ingress.is_some()), of(|it| it.egress.is_some()));
        let (state, because) = self.state(pod, selecting);
        Row { pod, ingress, egress, groups: self.groups(pod), state, because }
    }

    fn state(&self, pod: &Pod, selecting: &[&Standing<'_>]) -> (State, Vec<Cause>) {
        if pod.host_network {
            let message = "policies select no pod on its node's network";
            return (State::Unselected, vec![Cause::new("HostNetwork", message)]);
        }
        if selecting.is_empty() {
            return (State::Unselected, Vec::new());
        }
        if pod.addresses.is_empty() {
            let message = "the pod has no address yet, so policies do not see it";
            return (State::Pending, vec![Cause::new(Reason::NotRunning, message)]);
        }
        let mut statuses = selecting.iter().filter_map(|standing| standing.status);
        let unfiltered = statuses.find_map(|status| unfiltered(status, pod));
        let is_released = self.released.contains(&(pod.namespace.clone(), pod.name.clone()));
        match unfiltered {
            Some(_) if is_released => {
                let message = "the annotation `moat.dev/release` asks that Moat let go of the pod";
                return (State::NotEnforced, vec![Cause::new("Released", message)]);
            }
            Some(reason) => {
                let message = describe(&reason).unwrap_or_default();
                return (State::NotEnforced, vec![Cause { reason, message }]);
            }
            None if is_released => {
                let message = "no controller has told that it let go of the pod, as the annotation `moat.dev/release` asks";
                return (State::Pending, vec![Cause::new("Released", message)]);
            }
            None => {}
        }
        let worst =
            selecting.iter().map(|standing| standing.state).max().unwrap_or(State::Unselected);
        let counting = selecting.iter().filter(|standing| standing.state == worst);
        let because: BTreeSet<Cause> =
            counting.flat_map(|standing| standing.because.clone()).collect();
        (worst, because.into_iter().collect())
    }
}

/// Why the cloud does not filter a pod, as a status tells: it names the first of many.
fn unfiltered(status: &EnforcementStatus, pod: &Pod) -> Option<String> {
    let name = format!("{}/{}", pod.namespace, pod.name);
    let all = status.summary.map(|summary| summary.pods);
    let found =
        status.unfiltered.iter().find(|it| Some(it.pods) == all || it.names.contains(&name));
    found.map(|it| it.reason.clone())
}

/// What the cloud does otherwise to the pods that it filters.
fn inexact(status: &EnforcementStatus) -> Vec<Cause> {
    let exact = status.conditions.iter().find(|it| it.type_ == "Exact" && it.status == "False");
    let Some(exact) = exact else { return Vec::new() };
    let is_of_unfiltered = |reason: &str| status.unfiltered.iter().any(|it| it.reason == reason);
    let rows = status.findings.iter().filter(|row| row.effect != Effect::Ignored.as_str());
    let rows = rows.filter(|row| !is_of_unfiltered(&row.reason));
    let mut causes: Vec<Cause> = rows.map(|row| Cause::new(&row.reason, &*row.message)).collect();
    let told = i32::try_from(status.findings.len()).unwrap_or(i32::MAX);
    if causes.is_empty() && (status.findings_total > told || !is_of_unfiltered(&exact.reason)) {
        causes.push(Cause::new(&exact.reason, &*exact.message));
    }
    causes
}

/// What a reason means.
fn describe(reason: &str) -> Option<String> {
    if reason == "NotSelected" {
        return Some("the configuration's `namespaceSelector` leaves the namespace out".to_owned());
    }
    let reason = Reason::ALL.iter().find(|it| it.as_str() == reason)?;
    Some(reason.describe().trim().trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests;
