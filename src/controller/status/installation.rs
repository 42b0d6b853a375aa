//! What the MoatInstallation says of the installation as a whole.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use moat_core::budget;
use moat_core::compile::Desired;
use moat_core::finding::{Effect, Finding};
use moat_core::plan::Held;
use moat_core::policy::Kind;
use moat_k8s::configuration::Configuration;
use moat_k8s::crd::{
    CloudFinding, HeldChange, InstallationStatus, NamespaceUse, ProviderInUse, QuotaInUse,
    QuotasInUse, SettingsInForce, SupportedFeatures,
};
use serde::Serialize;

use super::report::{self, Said, Undone};
use crate::reason::Reason;
use crate::round::{Holdup, Round};

/// Namespaces that are named at most.
const MOST: usize = 20;

/// The status, after a round. The condition keeps the time of its last transition as long as its status is the same.
pub(crate) fn status(
    round: &Round,
    desired: &Desired,
    (leader, provider): (&str, &ProviderInUse),
    before: &[Condition],
    now: &Time,
) -> InstallationStatus {
    let held_change = match &round.holdup {
        Some(Holdup::ChangeHeld(held)) => {
            Some(HeldChange { id: held.id.clone(), groups: count(held.groups), of: count(held.of) })
        }
        Some(
            Holdup::Pending
            | Holdup::Observing
            | Holdup::Paused
            | Holdup::Refused(_)
            | Holdup::Unread(_)
            | Holdup::Stale(_),
        )
        | None => None,
    };
    let found = found(round, desired);
    InstallationStatus {
        conditions: conditions(round, &found, before, now).into(),
        leader: leader.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        provider: Some(provider.clone()),
        settings: Some(settings(&round.decision.configuration)),
        quotas: Some(quotas(round, desired)),
        namespaces: namespaces(round, desired),
        held_change,
        findings: found.into_iter().take(report::ROWS).map(row).collect(),
        supported_features: SupportedFeatures::all(),
    }
}

/// What is found of the cloud, and of what ties the cluster to it: what changes flows first.
fn found<'a>(round: &'a Round, desired: &'a Desired) -> Vec<&'a Finding> {
    let found = round.findings.iter().chain(&desired.findings);
    let of_cloud = |it: &&Finding| match it.object.kind {
        Kind::SecurityGroup
        | Kind::Vpc
        | Kind::SecurityGroupPolicy
        | Kind::Node
        | Kind::Namespace => true,
        Kind::NetworkPolicy
        | Kind::ClusterNetworkPolicy
        | Kind::VpcNetworkPolicy
        | Kind::ClusterVpcNetworkPolicy
        | Kind::Pod
        | Kind::Workload
        | Kind::Service
        | Kind::File
        | Kind::Other => false,
    };
    let mut found: Vec<&Finding> = found.filter(of_cloud).collect();
    found.sort_by_key(|finding| (finding.effect == Effect::Ignored, &finding.object));
    found
}

fn row(finding: &Finding) -> CloudFinding {
    CloudFinding {
        object: finding.object.to_string(),
        reason: finding.reason.to_string(),
        effect: finding.effect.as_str().to_owned(),
        message: finding.message.to_string(),
    }
}

/// `Configured`, `Programmed` and `Exact`.
fn conditions(
    round: &Round,
    found: &[&Finding],
    before: &[Condition],
    now: &Time,
) -> [Condition; 3] {
    let configured = match &round.decision.refused {
        None => {
            let message = "the configuration is in force as it is written".to_owned();
            ("True", Said { reason: Reason::Configured, message })
        }
        Some(why) => {
            let message = format!("the last configuration stays in force: {why}");
            ("False", Said { reason: Reason::InvalidConfiguration, message })
        }
    };
    let programmed = programmed(round);
    let exact = exact(found, &programmed);
    let all = [("Configured", configured), ("Programmed", programmed), ("Exact", exact)];
    all.map(|(kind, (status, said))| {
        let same = before.iter().find(|one| one.type_ == kind && one.status == status);
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: said.reason.to_string(),
            message: said.message,
            observed_generation: None,
            last_transition_time: same.map_or(now, |one| &one.last_transition_time).clone(),
        }
    })
}

fn programmed(round: &Round) -> (&'static str, Said) {
    let is_done = round.remaining.stages.is_empty() && round.remaining.held == Held::default();
    let (status, said) = match (&round.holdup, is_done) {
        (None, true) => {
            let message = "the cloud was read back, and holds what the policies say".to_owned();
            ("True", Said { reason: Reason::Programmed, message })
        }
        (None, false) => {
            let breaches = round.remaining.held.breaches.iter().map(ToString::to_string);
            let message = breaches.collect::<Vec<_>>().join("; ");
            ("False", Said { reason: Reason::SHORT, message })
        }
        (Some(holdup), _) => match report::undone(Some(holdup)) {
            Undone::Underway(said) | Undone::Stalled(said) => ("False", said),
            Undone::Unknown(said) => ("Unknown", said),
        },
    };
    (status, said)
}

/// Whether others leave alone what policies say.
fn exact(found: &[&Finding], programmed: &(&'static str, Said)) -> (&'static str, Said) {
    let mut changing = found
        .iter()
        .filter(|finding| finding.effect != Effect::Ignored && !finding.reason.is_standing());
    match (changing.next(), programmed) {
        (Some(finding), _) => {
            let message = format!("{}: {}", finding.object, finding.message);
            ("False", Said { reason: Reason::Found(finding.reason), message })
        }
        (None, ("True", _)) => {
            let message = "nobody else opens or closes anything in the groups of Moat".to_owned();
            ("True", Said { reason: Reason::Exact, message })
        }
        (None, (_, why)) => ("Unknown", why.clone()),
    }
}

fn settings(configuration: &Configuration) -> SettingsInForce {
    let Configuration { mode, icmp, node_traffic, on_quota, max_change, .. } = configuration;
    SettingsInForce {
        mode: word(mode),
        icmp: word(icmp),
        node_traffic: word(node_traffic),
        on_quota: word(on_quota),
        max_change: max_change.to_string(),
    }
}

/// A choice as the configuration spells it.
fn word(choice: &impl Serialize) -> String {
    let spelt = serde_json::to_value(choice).unwrap_or_default();
    spelt.as_str().unwrap_or_default().to_owned()
}

fn quotas(round: &Round, desired: &Desired) -> QuotasInUse {
    let limits = round.inputs.settings.quotas;
    let most = desired.state.interfaces.values().map(BTreeSet::len).max().unwrap_or_default();
    let of = |used: usize, limit: usize| QuotaInUse { used: count(used), limit: count(limit) };
    QuotasInUse {
        groups: of(desired.counts.groups, limits.groups),
        rules_per_group: of(desired.counts.largest_group, limits.rules_per_group),
        groups_per_interface: of(most, limits.groups_per_interface),
    }
}

/// The namespaces whose pods wear most groups.
fn namespaces(round: &Round, desired: &Desired) -> Vec<NamespaceUse> {
    let worn = budget::groups_by_namespace(&desired.state, &round.inputs.inventory);
    let mut worn: Vec<_> = worn.into_iter().collect();
    worn.sort_by_key(|(_, groups)| Reverse(groups.len()));
    let limit = round.inputs.settings.groups_per_namespace.map(|budget| count(budget.get()));
    let most = worn.into_iter().take(MOST);
    most.map(|(namespace, groups)| NamespaceUse {
        namespace: namespace.to_string(),
        groups: count(groups.len()),
        limit,
    })
    .collect()
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
