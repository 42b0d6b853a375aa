//! An explanation as a value: what decides at each end, by policies and by the cloud.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Crossing;
use crate::finding::{Effect, Finding, Reason};
use crate::firewall::Unfiltered;
use crate::policy::{Action, ObjectRef, Tier};
use crate::semantics::Decision;

/// Why one flow passes or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `namespace/pod`, or an address.
    pub from: String,
    /// `namespace/pod`, or an address.
    pub to: String,
    /// Such as `tcp/443`.
    pub service: String,
    /// 4 or 6.
    pub family: u8,
    /// What the policies say.
    pub policies: Answer,
    /// What the cloud does.
    pub cloud: Answer,
    /// The source's end.
    pub egress: End,
    /// The destination's end.
    pub ingress: End,
    /// What network ACLs say on the way: of the first packet, then of the first reply that one stops.
    pub crossings: Vec<Crossing>,
    /// Why policies and cloud differ; empty where they do not.
    #[serde(serialize_with = "serialize_findings")]
    pub findings: Vec<Finding>,
}

/// Whether a flow passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It passes.
    Allow,
    /// It does not.
    Deny,
}

/// What happens at one end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// What the policies say at this end.
    pub policies: Answer,
    /// What decides it.
    pub decided: Decided,
    /// What the cloud does at this end.
    pub cloud: Answer,
    /// How.
    pub filtered: Filtered,
}

/// What decides at one end of a flow, by the policies and settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all_fields = "camelCase")]
pub enum Decided {
    /// A rule.
    Rule {
        /// Its policy.
        policy: ObjectRef,
        /// The policy's tier: `Admin`, `NetworkPolicy` or `Baseline`.
        tier: &'static str,
        /// The policy's priority within its tier, if the tier has any.
        priority: Option<u16>,
        /// Where the rule stands in the policy.
        path: Arc<str>,
        /// Its name, if it has one.
        name: Option<Arc<str>>,
        /// What it does.
        action: Action,
        /// It was not understood, and so denies everything.
        failed_closed: bool,
    },
    /// Policies isolate the pod, and none of their rules matches.
    Isolation {
        /// They.
        policies: Vec<ObjectRef>,
    },
    /// The setting `nodeTraffic`.
    NodeTraffic,
    /// The setting `icmp: Essential`.
    EssentialIcmp,
    /// The setting `icmp: Open`.
    OpenIcmp,
    /// A pod reaches itself.
    Itself,
    /// No policy is about this end.
    NotAPod,
    /// Nothing decides.
    Default,
}

/// What the cloud does with a flow at one end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all_fields = "camelCase")]
pub enum Filtered {
    /// A rule of a group carries it.
    Rule {
        /// The group.
        group: String,
        /// The rule.
        rule: String,
        /// Who asks for the rule.
        asker: Asker,
        /// The policies that it serves; empty unless policies ask for it.
        serves: Vec<ObjectRef>,
    },
    /// No rule carries it.
    Nothing {
        /// The groups that the pod's interface wears.
        groups: Vec<String>,
    },
    /// No group is asked.
    Unfiltered {
        /// Why.
        why: Unfiltered,
    },
}

/// Who asks for a rule that carries a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Asker {
    /// Policies.
    Policies,
    /// No policy: what is open by default, or by a setting.
    Defaults,
    /// Someone else: it is a rule of a group that is not ours.
    Others,
    /// The AWS load balancer controller, in a group of ours: it stays.
    LoadBalancer,
    /// Someone who added it to a group of ours: it is about to go.
    Someone,
    /// Nobody: it is about to go.
    Nobody,
}

impl Answer {
    /// The answer of a verdict.
    #[must_use]
    pub const fn of(allowed: bool) -> Self {
        if allowed { Self::Allow } else { Self::Deny }
    }
}

impl Decided {
    pub(super) fn of(decision: &Decision<'_>) -> Self {
        match decision {
            Decision::Rule { policy, rule } => Self::Rule {
                policy: policy.object.clone(),
                tier: match policy.tier {
                    Tier::Admin { .. } => "Admin",
                    Tier::NetworkPolicy => "NetworkPolicy",
                    Tier::Baseline { .. } => "Baseline",
                },
                priority: match policy.tier {
                    Tier::Admin { priority } | Tier::Baseline { priority } => Some(priority),
                    Tier::NetworkPolicy => None,
                },
                path: rule.path.clone(),
                name: rule.name.clone(),
                action: rule.action,
                failed_closed: rule.failed_closed,
            },
            Decision::Isolated { policies } => {
                let objects = policies.iter().map(|policy| policy.object.clone());
                Self::Isolation { policies: objects.collect() }
            }
            Decision::NodeTraffic => Self::NodeTraffic,
            Decision::EssentialIcmp => Self::EssentialIcmp,
            Decision::OpenIcmp => Self::OpenIcmp,
            Decision::Itself => Self::Itself,
            Decision::NotAPod => Self::NotAPod,
            Decision::Default => Self::Default,
        }
    }
}

/// Findings as rows: what a person needs, without the boxes.
fn serialize_findings<S: Serializer>(findings: &[Finding], out: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Row<'a> {
        object: &'a ObjectRef,
        path: &'a str,
        reason: Reason,
        effect: Effect,
        message: &'a str,
        location: Option<&'a crate::finding::Location>,
    }
    out.collect_seq(findings.iter().map(|finding| Row {
        object: &finding.object,
        path: &finding.path,
        reason: finding.reason,
        effect: finding.effect,
        message: &finding.message,
        location: finding.location.as_ref(),
    }))
}
