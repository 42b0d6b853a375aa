//! Quarantine: where new pods start with a group that lets nothing through, by SecurityGroupPolicies of Moat's (DESIGN §6.8).
//!
//! What to do is decided by each round, from what was seen; the keeper does it and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use moat_core::finding::{Effect, Finding, Reason};
use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber};
use moat_core::inventory::{Attachment, Inventory};
use moat_core::policy::{Kind, ObjectRef, Word};
use moat_core::provider::Observed;
use moat_k8s::configuration::{Configuration, Mode};
use moat_k8s::{Branches, Orders, quarantine_name};
use serde_json::Value;
use tokio::sync::watch::Receiver;
use tracing::{info, warn};

use crate::kinds::Watched;
use crate::lease::Tenure;
use crate::round::{Holdup, Round};

/// What a quarantine is decided by.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// What the operator decided.
    pub(crate) configuration: &'a Configuration,
    /// What decides about pods' interfaces; none while that is not known for sure.
    pub(crate) branches: Option<&'a Branches>,
    /// Whether any policy is in force.
    pub(crate) has_policies: bool,
    /// The pods with the interfaces that carry them.
    pub(crate) inventory: &'a Inventory,
    /// The last picture.
    pub(crate) observed: &'a Observed,
    /// The cloud's id of the closed group.
    pub(crate) group: Option<Word>,
    /// Why the plan is not carried out to its end, if it is not.
    pub(crate) holdup: Option<&'a Holdup>,
    /// The namespace that Moat runs in.
    pub(crate) home: &'a str,
}

/// Who writes, as server-side apply calls it.
const MANAGER: &str = "moat-quarantine";

/// The namespace of what Moat's own pods need in order to start.
const SYSTEM: &str = "kube-system";

/// What is to be done, if it may be, and what somebody should know.
pub(crate) fn decide(facts: &Facts<'_>) -> (Orders, Vec<Finding>) {
    let Facts { configuration, inventory, .. } = facts;
    let (wanted, found) = if configuration.quarantine {
        let obstacles = facts.obstacles();
        let free = obstacles.iter().filter(|(_, obstacle)| obstacle.is_none());
        let wanted = free.map(|(namespace, _)| Word::clone(namespace)).collect();
        (wanted, of_namespaces(obstacles, inventory))
    } else {
        let found = if facts.has_policies { of_cluster(inventory) } else { Vec::new() };
        (BTreeSet::new(), found)
    };
    let group = facts.closed();
    let orders = facts.branches.filter(|_| facts.may_write()).map(|branches| {
        let installation = configuration.cluster.as_str();
        match &group {
            Some(group) => branches.orders(installation, group, &wanted),
            // Its name is taken, or the cloud refuses it.
            None => branches.orders(installation, "", &BTreeSet::new()),
        }
    });
    (orders.unwrap_or_default(), found)
}

impl Facts<'_> {
    /// The closed group, if it is closed.
    fn closed(&self) -> Option<&Word> {
        let rules = self.observed.state.groups.get(&GroupKey::Ours(GroupNumber::CLOSED))?;
        self.group.as_ref().filter(|_| rules.is_empty())
    }

    /// Whether the cluster may be written to: what is under way in the cloud comes first.
    fn may_write(&self) -> bool {
        let is_enforced = self.configuration.mode == Mode::Enforce;
        let is_settled = match self.holdup {
            None | Some(Holdup::Refused(_) | Holdup::ChangeHeld(_)) => true,
            // A new pod's interface is not waited for, as long as its group is there.
            Some(Holdup::Pending) => self.closed().is_some(),
            Some(Holdup::Observing | Holdup::Paused | Holdup::Unread(_) | Holdup::Stale(_)) => {
                false
            }
        };
        is_enforced && is_settled
    }

    /// For each namespace in scope, what stands in the way.
    fn obstacles(&self) -> BTreeMap<Word, Option<String>> {
        let Self { configuration, inventory, observed, .. } = self;
        let left_out = configuration.left_out(inventory);
        let scope = inventory.namespaces.keys().filter(|name| !left_out.contains(name));
        let scope: BTreeSet<Word> = scope.cloned().collect();
        let is_shown = |id: &ForeignGroupId| {
            observed.state.groups.contains_key(&GroupKey::Foreign(id.clone()))
        };
        let missing = configuration.default_groups().into_iter().find(|id| !is_shown(id));
        let common = if let Some(id) = missing {
            Some(format!("`{}` of `defaultGroups` is not in the VPC", id.0))
        } else if self.closed().is_none() {
            Some("the cloud has no group without rules for it yet".to_owned())
        } else if self.branches.is_none() {
            Some("SecurityGroupPolicies and CNINodes are not seen as they are".to_owned())
        } else {
            None
        };
        let branches = self.branches.filter(|_| common.is_none());
        let Some(branches) = branches else {
            return scope.into_iter().map(|namespace| (namespace, common.clone())).collect();
        };
        let mut all = branches.obstacles(inventory, configuration.cluster.as_str(), &scope);
        for own in [SYSTEM, self.home] {
            if let Some(obstacle) = all.get_mut(own) {
                *obstacle = Some("Moat needs pods here in order to start".to_owned());
            }
        }
        all
    }
}

/// The namespaces with pods that are not quarantined although they are to be.
fn of_namespaces(obstacles: BTreeMap<Word, Option<String>>, inventory: &Inventory) -> Vec<Finding> {
    let pods = inventory.pods_of_policies();
    let peopled: BTreeSet<&Word> = pods.map(|(_, pod)| &pod.namespace).collect();
    let told = obstacles.iter().filter(|(namespace, _)| peopled.contains(namespace));
    let told = told.filter_map(|(namespace, obstacle)| {
        let object = ObjectRef {
            kind: Kind::Namespace,
            namespace: None,
            name: Word::clone(namespace),
        };
        let message = format!(
            "not quarantined, so that new pods start with other groups until theirs are read back: {}",
            obstacle.as_ref()?
        );
        Some(starts_open(object, message))
    });
    told.collect()
}

/// That nothing is quarantined, where it matters to any pod.
fn of_cluster(inventory: &Inventory) -> Vec<Finding> {
    let mut interfaces = inventory.interfaces.values();
    let matters = interfaces.any(|interface| interface.attachment == Attachment::Exclusive);
    let message = "new pods start with the groups that SecurityGroupPolicies or their nodes give them, and wear their own moments \
                   later: `quarantine: true` in the configuration lets them start closed";
    let told = matters.then(|| starts_open(ObjectRef::vpc(), message.to_owned()));
    told.into_iter().collect()
}

fn starts_open(object: ObjectRef, message: String) -> Finding {
    Finding::without_flows(object, Reason::StartsOpen, Effect::NotEnforced, message)
}

/// Does what rounds order, as long as there are any, and the lease is ours.
pub(crate) async fn keep(client: Client, mut rounds: Receiver<Option<Round>>, tenure: Tenure) {
    while rounds.changed().await.is_ok() {
        let round = rounds.borrow_and_update().clone();
        let Some(Round { quarantine, decision, .. }) = round else { continue };
        if *quarantine == Orders::default() || !tenure.is_held() {
            continue;
        }
        let name = quarantine_name(decision.configuration.cluster.as_str());
        let applied = quarantine.apply.iter().map(|policy| apply(&client, &name, policy));
        let deleted = quarantine.delete.iter().map(|namespace| delete(&client, &name, namespace));
        tokio::join!(join_all(applied), join_all(deleted));
    }
}

async fn apply(client: &Client, name: &str, policy: &Value) {
    let namespace = policy.pointer("/metadata/namespace").and_then(Value::as_str);
    let namespace = namespace.unwrap_or_default();
    let parameters = PatchParams::apply(MANAGER);
    match api(client, namespace).patch(name, &parameters, &Patch::Apply(policy)).await {
        Ok(_) => info!(namespace, "new pods start closed"),
        Err(error) => {
            warn!(namespace, %error, "the SecurityGroupPolicy of the quarantine was not written")
        }
    }
}

async fn delete(client: &Client, name: &str, namespace: &str) {
    match api(client, namespace).delete(name, &DeleteParams::default()).await {
        Ok(_) => info!(namespace, "new pods do not start closed any more"),
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(error) => {
            warn!(namespace, %error, "the SecurityGroupPolicy of the quarantine was not deleted");
        }
    }
}

fn api(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = Watched::SecurityGroupPolicies.resource();
    Api::namespaced_with(client.clone(), namespace, &resource)
}
