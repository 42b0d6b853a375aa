//! A desired state that is changed in place, and what became different.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::{Desired, RuleReason};
use crate::firewall::{GroupKey, Rule};
use crate::inventory::InterfaceId;

/// The rules of a group with their reasons, those of others without any.
pub(super) type Reasoned = BTreeMap<Rule, RuleReason>;

/// A desired state, and how what has changed of it was before.
#[derive(Debug, Default)]
pub(super) struct Patched {
    pub(super) desired: Desired,
    before: Before,
}

/// How groups and interfaces were before they were changed; none if they were not there.
#[derive(Debug, Default)]
pub(super) struct Before {
    groups: BTreeMap<GroupKey, Option<Reasoned>>,
    interfaces: BTreeMap<InterfaceId, Option<BTreeSet<GroupKey>>>,
}

/// What is different: groups and interfaces.
pub(super) type Different = (BTreeSet<GroupKey>, BTreeSet<InterfaceId>);

impl Patched {
    /// Gives a group these rules, or takes it away.
    pub(super) fn set_group(&mut self, key: GroupKey, rules: Option<Reasoned>) {
        let before = reasoned(&self.desired, &key);
        if before == rules {
            return;
        }
        if let GroupKey::Ours(number) = &key {
            for rule in before.iter().flatten() {
                self.desired.reasons.remove(&(*number, rule.0.clone()));
            }
            let reasons = rules.iter().flatten();
            let reasons = reasons.map(|(rule, reason)| ((*number, rule.clone()), reason.clone()));
            self.desired.reasons.extend(reasons);
        }
        let groups = &mut self.desired.state.groups;
        match rules {
            Some(rules) => drop(groups.insert(key.clone(), rules.into_keys().collect())),
            None => drop(groups.remove(&key)),
        }
        self.before.groups.entry(key).or_insert(before);
    }

    /// Lets an interface wear these groups, or says nothing of it.
    pub(super) fn set_interface(&mut self, id: &InterfaceId, worn: Option<BTreeSet<GroupKey>>) {
        let interfaces = &mut self.desired.state.interfaces;
        if interfaces.get(id) == worn.as_ref() {
            return;
        }
        let before = match worn {
            Some(worn) => interfaces.insert(id.clone(), worn),
            None => interfaces.remove(id),
        };
        self.before.interfaces.entry(id.clone()).or_insert(before);
    }

    /// What has changed since the last time that this was asked, as it was before.
    pub(super) fn take_before(&mut self) -> Before {
        std::mem::take(&mut self.before)
    }

    /// What is different from before.
    pub(super) fn differences(&self, before: &Before) -> Different {
        let groups = before.groups.iter();
        let groups = groups.filter(|(key, old)| reasoned(&self.desired, key) != **old);
        let worn = &self.desired.state.interfaces;
        let interfaces = before.interfaces.iter();
        let interfaces = interfaces.filter(|(id, old)| worn.get(*id) != old.as_ref());
        (
            groups.map(|(key, _)| key.clone()).collect(),
            interfaces.map(|(id, _)| id.clone()).collect(),
        )
    }
}

/// What is different in `new` from `old`, where `before` tells of what has changed in it meanwhile.
pub(super) fn differences(old: &Desired, before: &Before, new: &Desired) -> Different {
    let differs = |key: &&GroupKey| {
        let old_rules = before.groups.get(*key).cloned();
        old_rules.unwrap_or_else(|| reasoned(old, key)) != reasoned(new, key)
    };
    let groups = old.state.groups.keys().chain(new.state.groups.keys()).chain(before.groups.keys());
    let wears_other = |id: &&InterfaceId| {
        let old_worn = before.interfaces.get(*id).map(Option::as_ref);
        old_worn.unwrap_or_else(|| old.state.interfaces.get(*id)) != new.state.interfaces.get(*id)
    };
    let interfaces = old.state.interfaces.keys().chain(new.state.interfaces.keys());
    let interfaces = interfaces.chain(before.interfaces.keys());
    (groups.filter(differs).cloned().collect(), interfaces.filter(wears_other).cloned().collect())
}

fn reasoned(desired: &Desired, key: &GroupKey) -> Option<Reasoned> {
    let rules = desired.state.groups.get(key)?.iter();
    let reason = |rule: &Rule| match key {
        GroupKey::Ours(number) => desired.reasons.get(&(*number, rule.clone())).cloned(),
        GroupKey::Foreign(_) => None,
    };
    Some(rules.map(|rule| (rule.clone(), reason(rule).unwrap_or_default())).collect())
}
