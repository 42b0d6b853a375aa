//! `moat status` for machines.

use std::sync::Arc;

use moat_core::policy::ObjectRef;
use schemars::JsonSchema;
use serde::Serialize;

use super::Object;
use crate::status::{Cause, Row, State};

/// `moat status`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Status {
    /// The form and its version.
    #[schemars(extend("const" = "moat.dev/status/v1"))]
    pub(crate) api_version: &'static str,
    /// The installations that tell of themselves.
    pub(crate) installations: Vec<Installation>,
    /// The pods that have neither finished nor failed, by namespace and name.
    pub(crate) pods: Vec<PodStatus>,
}

/// An installation of Moat.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Installation {
    /// The name of its MoatInstallation.
    pub(crate) name: String,
    /// Who leads it at the moment; none: nobody, or it is not known.
    pub(crate) leader: Option<String>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leader_unknown: Option<String>,
    /// The version of who led it last.
    pub(crate) version: String,
    /// `Observe` or `Enforce`; none before the first word.
    pub(crate) mode: Option<String>,
    /// Whether somebody asks that it change nothing.
    pub(crate) paused: bool,
    /// The id of a change that waits for a word.
    pub(crate) held_change: Option<String>,
    /// Its conditions, `Configured` and `Programmed`.
    pub(crate) conditions: Vec<Condition>,
}

/// A condition.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    /// Why, in one word.
    pub(crate) reason: String,
    /// Why, in a sentence.
    pub(crate) message: String,
}

/// How a pod stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PodStatus {
    /// Its namespace.
    pub(crate) namespace: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The policies that say what may reach it.
    pub(crate) ingress: Vec<Object>,
    /// The policies that say what it may reach.
    pub(crate) egress: Vec<Object>,
    /// The groups that its interface wears; only with `--provider aws`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<Vec<String>>,
    /// How it stands; the worst that is said of its policies counts.
    pub(crate) state: State,
    /// Why.
    pub(crate) reasons: Vec<Because>,
}

/// Why a pod stands as it does.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Because {
    /// In one word.
    pub(crate) reason: String,
    /// In a sentence.
    pub(crate) message: String,
}

impl Installation {
    pub(crate) fn of(installation: &moat_k8s::Installation) -> Self {
        let moat_k8s::Installation { object, leader } = installation;
        let status = object.status.clone().unwrap_or_default();
        let condition = |it: moat_k8s::crd::Condition| Condition {
            kind: it.type_,
            status: it.status,
            reason: it.reason,
            message: it.message,
        };
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            leader: leader.clone().ok().flatten(),
            leader_unknown: leader.clone().err(),
            version: status.version,
            mode: status.settings.map(|settings| settings.mode),
            paused: object.is_paused(),
            held_change: status.held_change.map(|held| held.id),
            conditions: status.conditions.into_iter().map(condition).collect(),
        }
    }
}

impl PodStatus {
    pub(crate) fn of(Row { pod, ingress, egress, groups, state, because }: &Row<'_>) -> Self {
        let objects = |policies: &[&ObjectRef]| policies.iter().map(|it| Object::of(it)).collect();
        let reason = |Cause { reason, message }: &Cause| Because {
            reason: reason.clone(),
            message: message.clone(),
        };
        Self {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            ingress: objects(ingress),
            egress: objects(egress),
            groups: groups.clone(),
            state: *state,
            reasons: because.iter().map(reason).collect(),
        }
    }
}
