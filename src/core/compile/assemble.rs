//! The desired state from classes and groups, with the reason for every rule.

use std::collections::BTreeSet;

use super::acl::{Closers, deny};
use super::class::{Classes, worn_foreign};
use super::concession::{Concession, Shortage};
use super::layout::{Layout, LinePeer};
use super::meaning::Meaning;
use super::served::Served;
use super::witness::witness;
use super::{Counts, Desired, RuleReason, loss, notes};
use crate::finding::Finding;
use crate::firewall::{AclKey, GroupKey, GroupNumber, Peer, Rule};
use crate::net::Family;
use crate::policy::Direction;
use crate::settings::OnQuota;

/// Puts the desired state together.
pub(crate) fn desired(meaning: &Meaning<'_>, classes: &Classes, layout: &Layout) -> Desired {
    let mut desired = Desired::default();
    if meaning.settings.quarantine {
        desired.state.groups.insert(GroupKey::Ours(GroupNumber::CLOSED), BTreeSet::new());
    }
    wear(meaning, classes, layout, &mut desired);
    let ground = (meaning, classes);
    let mut served = Served::new(&ground);
    for (id, class) in classes.list.iter().enumerate() {
        let accepting = Direction::BOTH.map(|direction| served.accepting(id, direction));
        let carved = class.grants.map(|grant| {
            let grant = grant.and_then(|grant| meaning.grants.get(grant));
            grant.is_some_and(|grant| !grant.carved.is_empty())
        });
        for (number, lines) in layout.groups.get(id).into_iter().flatten() {
            let rules = desired.state.groups.entry(GroupKey::Ours(*number)).or_default();
            for (direction, line) in lines {
                let Some(rule) = layout.rule(*direction, line) else { continue };
                let (accepting, carved) = match direction {
                    Direction::Ingress => (&accepting[0], carved[0]),
                    Direction::Egress => (&accepting[1], carved[1]),
                };
                let reason = RuleReason {
                    serves: served.by(accepting, carved, line),
                    witness: witness(meaning, classes, class, *direction, line),
                };
                rules.insert(rule.clone());
                desired.reasons.insert((*number, rule), reason);
            }
        }
    }
    guard(meaning, &mut desired);
    desired.counts = counts(meaning, classes, layout, &desired);
    desired.findings = loss::findings(meaning, classes);
    desired.findings.extend(notes::findings(meaning, classes));
    let order = |a: &Finding, b: &Finding| {
        (&a.object, &a.path, a.reason, a.effect).cmp(&(&b.object, &b.path, b.reason, b.effect))
    };
    desired.findings.sort_by(order);
    desired
}

/// Which network ACLs guard which subnets: what ours denies, then what the ACL before it says. An ACL that denies nothing is none.
fn guard(meaning: &Meaning<'_>, desired: &mut Desired) {
    for (place, guarded) in meaning.guards.list.iter().enumerate() {
        let subnets = guarded
            .subnets
            .iter()
            .filter_map(|(id, _)| meaning.inventory.subnets.get_key_value(id));
        let prior = subnets.clone().find_map(|(_, it)| meaning.inventory.acls.get(&it.prior));
        let Some(acl) = prior.and_then(|prior| guarded.acl(prior)) else { continue };
        let key = AclKey::Ours(guarded.name.clone());
        desired.state.subnets.extend(subnets.map(|(id, _)| (id.clone(), key.clone())));
        desired.state.acls.insert(key, acl);
        let denied = Direction::BOTH.into_iter().zip(&guarded.denied);
        for (direction, denied) in denied.filter(|(_, denied)| !denied.is_empty()) {
            let closers = Closers::new(meaning, place, direction);
            let denied = denied.iter().map(|denied| {
                ((guarded.name.clone(), direction, deny(*denied)), closers.of(denied))
            });
            desired.denies.extend(denied);
        }
    }
}

/// Who wears which groups.
fn wear(meaning: &Meaning<'_>, classes: &Classes, layout: &Layout, desired: &mut Desired) {
    let worn: Vec<BTreeSet<GroupNumber>> =
        (0..classes.list.len()).map(|id| layout.worn(id).collect()).collect();
    for numbers in worn.iter().flatten() {
        desired.state.groups.entry(GroupKey::Ours(*numbers)).or_default();
    }
    for (id, cohort) in meaning.cohorts.iter() {
        let Some(class) = classes.of(id) else { continue };
        let ours = worn.get(class).into_iter().flatten().copied();
        let foreign = worn_foreign(classes, cohort, id).iter().cloned().map(GroupKey::Foreign);
        let groups: BTreeSet<GroupKey> = ours.map(GroupKey::Ours).chain(foreign).collect();
        for key in &groups {
            if let GroupKey::Foreign(group) = key {
                let rules = meaning.inventory.foreign.get(group).cloned().unwrap_or_default();
                desired.state.groups.insert(key.clone(), rules);
            }
        }
        for pod in &cohort.pods {
            let interface = meaning.inventory.pod(*pod).and_then(|pod| pod.interface.clone());
            // What a namespace held beyond its budget would be missing elsewhere.
            let holds = meaning.settings.on_quota == OnQuota::Hold
                && cohort.concession.shortage != Some(Shortage::Namespace);
            if holds && *cohort.concession != Concession::default() {
                desired.over_quota.extend(interface.clone());
            }
            if let Some(interface) = interface {
                desired.state.interfaces.insert(interface, groups.clone());
            }
        }
    }
}

fn counts(meaning: &Meaning<'_>, classes: &Classes, layout: &Layout, desired: &Desired) -> Counts {
    let ours = |key: &GroupKey| matches!(key, GroupKey::Ours(_));
    let groups = || desired.state.groups.iter().filter(|(key, _)| ours(key));
    let guards = || meaning.guards.list.iter();
    let lines = || layout.groups.iter().flatten().flat_map(|(_, lines)| lines);
    let lines_to = |of: fn(&LinePeer) -> bool| lines().filter(|(_, line)| of(&line.peer)).count();
    let cost = |rules: &BTreeSet<Rule>| {
        let of = |direction, family| {
            let here = rules.iter().filter(|rule| rule.direction == direction);
            here.filter(|rule| match rule.peer {
                Peer::Prefix(prefix) => prefix.family() == family,
                Peer::Group(_) => true,
            })
            .count()
        };
        let both = Direction::BOTH.into_iter().flat_map(|d| Family::BOTH.map(|f| of(d, f)));
        both.max().unwrap_or(0)
    };
    Counts {
        pods: meaning.inventory.pods_of_policies().count(),
        policies: meaning.policies.len(),
        classes: classes.list.len(),
        groups: groups().count(),
        rules: groups().map(|(_, rules)| rules.len()).sum(),
        prefix_rules: lines_to(|peer| matches!(peer, LinePeer::Prefix(_))),
        copied_rules: lines_to(|peer| matches!(peer, LinePeer::Copied(_))),
        reference_rules: lines_to(|peer| matches!(peer, LinePeer::Class(_) | LinePeer::Members(_))),
        minimum_prefix_rules: lines().filter(|(_, line)| line.witness.is_some()).count(),
        entries: guards().flat_map(|it| &it.denied).map(Vec::len).sum(),
        minimum_entries: guards().flat_map(|it| it.at_least).sum(),
        largest_group: groups().map(|(_, rules)| cost(rules)).max().unwrap_or(0),
    }
}
