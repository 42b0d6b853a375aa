//! Workloads: each stands for its pods, unless the pods are there themselves.

use std::collections::BTreeSet;

use moat_core::finding::{Effect, Reason};
use moat_core::inventory::Pod;
use moat_core::policy::{Kind, ObjectRef, Word};
use serde_json::Value;

use super::{Builder, WorkloadKind, WorkloadRef, Workloads};
use crate::places::{Place, Places};
use crate::reader::{Node, Reader};

/// The most pods that one workload of a file may stand for.
const MOST_PODS: u64 = 10_000;

/// A workload's pod without a name, and how many there are.
#[derive(Debug)]
pub(super) struct Workload {
    template: Pod,
    place: Place,
    count: Count,
}

/// How many pods a workload stands for.
#[derive(Clone, Copy, Debug)]
enum Count {
    Pods(u64),
    /// One for each node, at least one.
    Nodes,
}

impl WorkloadKind {
    /// The kind in lower case.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::ReplicaSet => "replicaset",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::Job => "job",
            Self::CronJob => "cronjob",
            Self::ReplicationController => "replicationcontroller",
        }
    }

    /// The field that says how many pods there are; one pod without it.
    const fn count_field(self) -> Option<&'static str> {
        match self {
            Self::Deployment
            | Self::ReplicaSet
            | Self::StatefulSet
            | Self::ReplicationController => Some("replicas"),
            Self::Job | Self::CronJob => Some("parallelism"),
            Self::DaemonSet => None,
        }
    }
}

/// The label by which a Deployment tells its ReplicaSets apart: each bears its name, and the label's value after a hyphen
/// (`k8s.io/kubernetes/pkg/controller/deployment`).
const TEMPLATE_HASH: &str = "pod-template-hash";

/// The workloads that a pod belongs to, the nearest first, as far as the pod itself tells.
pub(crate) fn owners(pod: &Node<'_>, namespace: &Word) -> Vec<WorkloadRef> {
    let Some(owner) = owner(pod, namespace) else { return Vec::new() };
    let hash = pod.at(["metadata", "labels", TEMPLATE_HASH]).and_then(Value::as_str);
    let stem = hash.and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
    let above = stem.filter(|_| *owner.kind == *WorkloadKind::ReplicaSet.word());
    let above = above.map(|name| WorkloadRef {
        namespace: Word::clone(namespace),
        kind: WorkloadKind::Deployment.word().into(),
        name: name.into(),
    });
    [owner].into_iter().chain(above).collect()
}

/// The workload that controls an object, by its owner references.
pub(super) fn owner(root: &Node<'_>, namespace: &Word) -> Option<WorkloadRef> {
    let owners = root.at(["metadata", "ownerReferences"])?.as_array()?;
    let owner = owners
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    let text = |field: &str| owner.get(field).and_then(Value::as_str);
    let kind = text("kind")?.to_lowercase().into();
    Some(WorkloadRef { namespace: Word::clone(namespace), kind, name: text("name")?.into() })
}

impl Reader {
    /// A workload; none if it is a Job that has completed.
    pub(super) fn workload(
        &mut self,
        kind: WorkloadKind,
        workload: &WorkloadRef,
        place: &Place,
        root: &Node<'_>,
    ) -> Option<Workload> {
        if root.at(["status", "completionTime"]).is_some() {
            let message = format!("the {} has completed, so it has no pods", workload.kind);
            self.note(root, Reason::NotRunning, message);
            return None;
        }
        let spec = root.get("spec");
        let job = spec.as_ref().and_then(|spec| spec.get("jobTemplate"));
        let (spec, path) = match &job {
            Some(job) if kind == WorkloadKind::CronJob => {
                (job.get("spec"), "spec.jobTemplate.spec.template")
            }
            _ => (spec, "spec.template"),
        };
        let template = spec.as_ref().and_then(|spec| spec.get("template"));
        let Some(template) = template else {
            self.problem(
                root,
                Reason::InvalidField,
                format!("`{path}` is missing, so no pod is known"),
            );
            return None;
        };
        let template = self.template(&template);
        let count = match kind.count_field() {
            None => Count::Nodes,
            Some(field) => {
                let count = spec.as_ref().and_then(|spec| spec.get(field));
                Count::Pods(count.map_or(1, |count| self.count(&count)))
            }
        };
        Some(Workload { template, place: place.within(path), count })
    }

    fn count(&mut self, at: &Node<'_>) -> u64 {
        let Some(count) = at.value.as_u64() else {
            let start = self.mark();
            self.wrong_type(at, "a number of pods");
            self.conclude(start, Effect::Ignored, "it counts as one pod");
            return 1;
        };
        if count > MOST_PODS {
            let message =
                format!("{count} pods; one workload of a file stands for at most {MOST_PODS}");
            self.note(at, Reason::InvalidField, message);
        }
        count.min(MOST_PODS)
    }
}

impl Builder {
    /// Gives each workload its pods, and says which pods are whose.
    pub(super) fn expand(&mut self, places: &mut Places) -> Workloads {
        let mut pods: Workloads =
            self.workloads.keys().map(|workload| (workload.clone(), BTreeSet::new())).collect();
        let owners: BTreeSet<WorkloadRef> =
            self.pod_owners.values().chain(self.workload_owners.values()).cloned().collect();
        // One that has ended belongs to its workload, and is none of its pods any more.
        for (key, owner) in
            self.pod_owners.iter().filter(|(key, _)| self.parts.pods.contains_key(*key))
        {
            self.claim(&mut pods, owner, &key.1);
        }
        let workloads = std::mem::take(&mut self.workloads);
        let nodes: Vec<Word> = self.parts.nodes.keys().cloned().collect();
        for (name, workload) in workloads.iter().filter(|(name, _)| !owners.contains(*name)) {
            let count = match workload.count {
                Count::Pods(count) => count,
                Count::Nodes => u64::try_from(nodes.len()).unwrap_or(MOST_PODS).max(1),
            };
            for index in 0..count {
                let mut pod = workload.template.clone();
                if matches!(workload.count, Count::Nodes) {
                    pod.node =
                        usize::try_from(index).ok().and_then(|index| nodes.get(index).cloned());
                }
                pod.name = self.free_name(name, index);
                pod.uid = format!("{}/{}", pod.namespace, pod.name).into();
                let (namespace, kind) = (Some(Word::clone(&pod.namespace)), Kind::Pod);
                let object = ObjectRef { kind, namespace, name: Word::clone(&pod.name) };
                places.add_object(object, workload.place.clone());
                self.claim(&mut pods, name, &pod.name);
                self.parts.pods.insert((Word::clone(&pod.namespace), Word::clone(&pod.name)), pod);
            }
        }
        pods
    }

    /// `<name>-<i>`, or with the kind in between where that is taken.
    fn free_name(&self, workload: &WorkloadRef, index: u64) -> Word {
        let plain: Word = format!("{}-{index}", workload.name).into();
        if self.parts.pods.contains_key(&(Word::clone(&workload.namespace), Word::clone(&plain))) {
            return format!("{}-{}-{index}", workload.name, workload.kind).into();
        }
        plain
    }

    /// Counts a pod to its workload and to those above.
    fn claim(&self, pods: &mut Workloads, owner: &WorkloadRef, pod: &Word) {
        let mut owner = Some(owner);
        // A Deployment has ReplicaSets and a CronJob has Jobs: no chain is longer.
        for _ in 0..3 {
            let Some(workload) = owner else { return };
            pods.entry(workload.clone()).or_default().insert(Word::clone(pod));
            owner = self.workload_owners.get(workload);
        }
    }
}
