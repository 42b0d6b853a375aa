//! What others did to groups of ours, as a picture tells (DESIGN §6.10).

mod acl;

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Effect, Finding, Reason};
use crate::firewall::{GroupKey, GroupNumber, Naming, Rule};
use crate::inventory::{InterfaceId, Inventory};
use crate::plan::{self, Stage};
use crate::policy::{Kind, ObjectRef, Policy, Subject};
use crate::provider::{CLUSTER_TAG, NUMBER_TAG, Observed, Step};

pub use acl::of_acls;

/// The rules that someone else keeps in groups of ours, and that stay.
///
/// They hold no flows: which ones a rule lets through says the rule, and [`crate::explain`] names it where policies deny one.
#[must_use]
pub fn kept(observed: &Observed, cluster: &str) -> Vec<Finding> {
    let rules = observed.foreign_rules.iter();
    // What a rule cannot say is shown as several, and told once.
    let spelled: BTreeSet<(GroupNumber, String)> =
        rules.map(|key| (key.0, spelled(observed, key, cluster))).collect();
    spelled.into_iter().map(|(group, rule)| foreign_rule(group, &rule, cluster)).collect()
}

/// The policies whose pods such a rule opens to more than any rule of ours does alone: more passes than they may say.
#[must_use]
pub fn opened(
    policies: &[Policy],
    inventory: &Inventory,
    observed: &Observed,
    cluster: &str,
) -> Vec<Finding> {
    if observed.foreign_rules.is_empty() {
        return Vec::new();
    }
    let groups: BTreeSet<GroupKey> =
        observed.foreign_rules.iter().map(|(group, _)| GroupKey::Ours(*group)).collect();
    let interfaces = observed.state.interfaces.iter();
    let interfaces = interfaces.filter(|(_, worn)| !worn.is_disjoint(&groups));
    let open: BTreeMap<_, _> =
        interfaces.map(|(id, worn)| (id, uncovered(observed, worn))).collect();
    if open.is_empty() {
        return Vec::new();
    }
    let pods = inventory.by_namespace();
    let found = policies.iter().filter_map(|policy| {
        let Subject::Pods(selector) = &policy.subject else { return None };
        let rules = pods.selected(selector).filter_map(|(_, pod)| open.get(pod.interface.as_ref()?));
        let key = rules.flatten().copied().find(|(_, rule)| policy.rules(rule.direction).is_some())?;
        let message = format!(
            "the AWS load balancer controller keeps `{}` in `{}`, which pods of this policy wear: it lets them be reached whatever \
             the policy says; allow what the load balancer needs, or end the Ingress or Service behind it",
            spelled(observed, key, cluster),
            key.0.named(cluster),
        );
        Some(Finding::without_flows(policy.object.clone(), Reason::ForeignRule, Effect::NotEnforced, message))
    });
    found.collect()
}

/// The rules of others in those of these groups that are ours, but for such that another rule of the groups contains.
fn uncovered<'a>(
    observed: &'a Observed,
    worn: &BTreeSet<GroupKey>,
) -> Vec<&'a (GroupNumber, Rule)> {
    let foreign = observed.foreign_rules.iter();
    let foreign = foreign.filter(|(group, _)| worn.contains(&GroupKey::Ours(*group)));
    let rules = |group| observed.state.groups.get(group).into_iter().flatten();
    let is_foreign = |group: &GroupKey, rule: &Rule| match group {
        GroupKey::Ours(number) => observed.foreign_rules.contains(&(*number, rule.clone())),
        GroupKey::Foreign(_) => false,
    };
    let own: Vec<&Rule> = worn
        .iter()
        .flat_map(|group| rules(group).filter(move |rule| !is_foreign(group, rule)))
        .collect();
    foreign.filter(|(_, rule)| !own.iter().any(|own| plan::contains(own, rule))).collect()
}

/// A rule of a group of ours: as the cloud spells it, where it is one that a [`Rule`] cannot say.
pub(crate) fn spelled(observed: &Observed, key: &(GroupNumber, Rule), cluster: &str) -> String {
    unreadable(observed, key).map_or_else(|| key.1.named(cluster), str::to_owned)
}

/// How the cloud spells a rule, if it is shown in place of one that a [`Rule`] cannot say.
fn unreadable<'a>(observed: &'a Observed, key: &(GroupNumber, Rule)) -> Option<&'a str> {
    let id = observed.rule_ids.get(key)?;
    observed.unreadable.get(&(key.0, id.clone())).map(String::as_str)
}

/// A rule that someone else keeps in a group of ours, as it is spelled.
pub(crate) fn foreign_rule(group: GroupNumber, rule: &str, cluster: &str) -> Finding {
    finding(
        group,
        cluster,
        (Reason::ForeignRule, Effect::NotEnforced),
        format!(
            "the AWS load balancer controller keeps `{rule}` in `{}`, and Moat leaves it there: let a policy allow what the \
             load balancer needs, and end the Ingress or Service behind it to be rid of the rule",
            group.named(cluster),
        ),
    )
}

/// The groups that bear names of ours without our tags. They are left alone, and plans pass their numbers over.
#[must_use]
pub fn taken(observed: &Observed, cluster: &str) -> Vec<Finding> {
    let told = observed.taken.iter().map(|(number, group)| {
        let (name, tagged) = (number.name(cluster), group.named(cluster));
        let message = format!(
            "`{tagged}` bears the name `{name}` without the tags of it: it is left alone, and its number is passed over; if \
             someone took the tags off, put back `{CLUSTER_TAG}={cluster}` and `{NUMBER_TAG}={}` before applying, or delete the \
             group once nobody wears it",
            number.0
        );
        Finding::without_flows(group_object(tagged), Reason::NameTaken, Effect::Ignored, message)
    });
    told.collect()
}

/// What someone else changed, and what these stages, planned from the picture, put right.
#[must_use]
pub fn repaired(
    observed: &Observed,
    stages: &[Stage],
    inventory: &Inventory,
    cluster: &str,
) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for step in stages.iter().flat_map(|stage| &stage.steps) {
        match step {
            Step::Revoke { group, rules, .. } => {
                found.extend(revoked(observed, *group, rules, cluster));
            }
            Step::SetGroups { interface, groups, .. } if seen.insert(interface) => {
                found.extend(dressed(observed, interface, groups, inventory));
            }
            Step::SetGroups { .. }
            | Step::CreateGroup(_)
            | Step::Authorize { .. }
            | Step::DeleteGroup(_)
            | Step::Acl(_) => {}
        }
    }
    found
}

/// The rules of others among those that are revoked.
fn revoked(
    observed: &Observed,
    group: GroupNumber,
    rules: &BTreeSet<Rule>,
    cluster: &str,
) -> Vec<Finding> {
    let mut spelled = BTreeMap::new();
    for rule in rules {
        let key = (group, rule.clone());
        if let Some(text) = unreadable(observed, &key) {
            let message = "a rule that Moat cannot say, read as one that lets through no less";
            spelled.insert(format!("`{text}`"), message);
        } else if observed.unmarked.contains(&key) {
            spelled.insert(
                format!("`{}`", rule.named(cluster)),
                "which does not bear Moat's tag: someone added the rule, or took the tag off",
            );
        }
    }
    let name = group.named(cluster);
    let told = spelled.into_iter().map(|(rule, why)| {
        let message =
            format!("`{name}` holds {rule}, {why}; no policy asks for it, and it is revoked");
        finding(group, cluster, (Reason::Drift, Effect::Ignored), message)
    });
    told.collect()
}

/// What someone else let an interface of ours wear, or took off it: the record tells that Moat had it.
fn dressed(
    observed: &Observed,
    interface: &InterfaceId,
    groups: &BTreeSet<GroupKey>,
    inventory: &Inventory,
) -> Option<Finding> {
    let (record, worn) =
        (observed.records.get(interface)?, observed.state.interfaces.get(interface)?);
    let is_ours = |key: &GroupKey| matches!(key, GroupKey::Ours(_));
    let is_taken = |key: &GroupKey| observed.taken.values().any(|taken| taken == key);
    let id = &interface.0;
    let message = if worn.iter().any(is_ours) {
        let added = worn.difference(groups).filter_map(|key| match key {
            GroupKey::Foreign(id) if !record.contains(id) && !is_taken(key) => Some(&*id.0),
            GroupKey::Foreign(_) | GroupKey::Ours(_) => None,
        });
        let added: Vec<&str> = added.collect();
        if added.is_empty() {
            return None;
        }
        format!("someone let `{id}` wear `{}`: it is taken off", added.join("`, `"))
    } else if groups.iter().any(is_ours) {
        format!(
            "someone took Moat's groups off `{id}`, or a run was cut short: it wears them again"
        )
    } else {
        return None;
    };
    let mut pods = inventory.pods.iter().filter(|pod| pod.interface.as_ref() == Some(interface));
    let object = pods.next().map_or_else(ObjectRef::vpc, |pod| ObjectRef {
        kind: Kind::Pod,
        namespace: Some(pod.namespace.clone()),
        name: pod.name.clone(),
    });
    Some(Finding::without_flows(object, Reason::Drift, Effect::Ignored, message))
}

/// A finding about a group of ours.
fn finding(
    group: GroupNumber,
    cluster: &str,
    (reason, effect): (Reason, Effect),
    message: String,
) -> Finding {
    Finding::without_flows(group_object(group.named(cluster)), reason, effect, message)
}

fn group_object(name: String) -> ObjectRef {
    ObjectRef { kind: Kind::SecurityGroup, namespace: None, name: name.into() }
}

#[cfg(test)]
mod tests;
