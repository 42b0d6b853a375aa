//! The desired state from classes and groups, with the reason for every rule.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::class::{Class, Classes, worn_foreign};
use super::cohort::{CohortId, Concession};
use super::layout::{Layout, Line, LinePeer};
use super::meaning::{Meaning, place};
use super::program::node_addresses;
use super::{Counts, Desired, RuleReason, loss, notes};
use crate::firewall::{GroupKey, GroupNumber, Peer, Rule};
use crate::flow::{Endpoint, Flow};
use crate::inventory::PodIndex;
use crate::net::{AddressSet, Family};
use crate::policy::{self, Action, Direction, ObjectRef, Peers};
use crate::settings::OnQuota;

/// Puts the desired state together.
pub(crate) fn desired(meaning: &Meaning<'_>, classes: &Classes, layout: &Layout) -> Desired {
    let mut desired = Desired::default();
    wear(meaning, classes, layout, &mut desired);
    let mut served = Served::new(meaning);
    for (id, class) in classes.list.iter().enumerate() {
        let members: Vec<PodIndex> = class.pods(meaning).collect();
        for (number, lines) in layout.groups.get(id).into_iter().flatten() {
            let rules = desired.state.groups.entry(GroupKey::Ours(*number)).or_default();
            for (direction, line) in lines {
                let Some(rule) = layout.rule(*direction, line) else { continue };
                let reason = RuleReason {
                    serves: served.by(classes, class, *direction, line),
                    witness: witness(meaning, &members, *direction, line),
                };
                rules.insert(rule.clone());
                desired.reasons.insert((*number, rule), reason);
            }
        }
    }
    desired.counts = counts(meaning, classes, layout, &desired);
    desired.findings = loss::findings(meaning, classes);
    desired.findings.extend(notes::findings(meaning, classes));
    desired.findings.sort_by(|a, b| {
        let key =
            |f: &crate::finding::Finding| (f.object.clone(), f.path.clone(), f.reason, f.effect);
        key(a).cmp(&key(b))
    });
    desired
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
        let groups: BTreeSet<GroupKey> = ours.clone().map(GroupKey::Ours).chain(foreign).collect();
        for key in &groups {
            if let GroupKey::Foreign(group) = key {
                let rules = meaning.inventory.foreign.get(group).cloned().unwrap_or_default();
                desired.state.groups.insert(key.clone(), rules);
            }
        }
        for pod in &cohort.pods {
            let interface = meaning.inventory.pod(*pod).and_then(|pod| pod.interface.clone());
            let holds = meaning.settings.on_quota == OnQuota::Hold;
            if holds && *cohort.concession != Concession::default() {
                desired.over_quota.extend(interface.clone());
            }
            if let Some(interface) = interface {
                desired.state.interfaces.insert(interface, groups.clone());
            }
            for number in ours.clone() {
                desired.wearers.entry(number).or_default().push(*pod);
            }
        }
    }
    for pods in desired.wearers.values_mut() {
        pods.sort_unstable();
    }
}

/// A flow that no other prefix rule of the group and direction lets through.
fn witness(
    meaning: &Meaning<'_>,
    members: &[PodIndex],
    direction: Direction,
    line: &Line,
) -> Option<Flow> {
    let (address, service) = line.witness?;
    let family = Family::of(address);
    let has = |pod: &&PodIndex| {
        meaning.inventory.pod(**pod).is_some_and(|pod| pod.address(family).is_some())
    };
    let here = Endpoint::Pod(*members.iter().find(has)?);
    let there = meaning.cohorts.bearer(address).map_or(Endpoint::Address(address), Endpoint::Pod);
    let (source, destination) = match direction {
        Direction::Ingress => (there, here),
        Direction::Egress => (here, there),
    };
    (here != there).then_some(Flow { source, destination, family, service })
}

fn counts(meaning: &Meaning<'_>, classes: &Classes, layout: &Layout, desired: &Desired) -> Counts {
    let ours = |key: &GroupKey| matches!(key, GroupKey::Ours(_));
    let groups = || desired.state.groups.iter().filter(|(key, _)| ours(key));
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
        largest_group: groups().map(|(_, rules)| cost(rules)).max().unwrap_or(0),
    }
}

// ------------------------------------------------------------------------------------------------ Served

/// Finds the policies that a rule serves: those with an Accept rule that lets through some of what it does.
struct Served<'m, 'a> {
    meaning: &'m Meaning<'a>,
    objects: HashMap<Vec<u32>, Arc<[ObjectRef]>>,
}

impl<'m, 'a> Served<'m, 'a> {
    fn new(meaning: &'m Meaning<'a>) -> Self {
        Self { meaning, objects: HashMap::new() }
    }

    fn by(
        &mut self,
        classes: &Classes,
        class: &Class,
        direction: Direction,
        line: &Line,
    ) -> Arc<[ObjectRef]> {
        let cohorts = class.cohorts.iter();
        let mut served: BTreeSet<u32> = cohorts
            .flat_map(|cohort| self.meaning.programs.governing(*cohort, direction))
            .copied()
            .collect();
        let grant = class.grants.get(place(direction)).copied().flatten();
        let grant = grant.and_then(|grant| self.meaning.grants.get(grant));
        let carved = grant.is_some_and(|grant| !grant.carved.is_empty());
        served.retain(|index| self.serves(classes, carved, *index, direction, line));
        let served: Vec<u32> = served.into_iter().collect();
        if let Some(known) = self.objects.get(&served) {
            return known.clone();
        }
        let policies = served.iter().filter_map(|index| self.meaning.policies.get(*index as usize));
        let mut objects: Vec<ObjectRef> = policies.map(|policy| policy.object.clone()).collect();
        objects.sort();
        let objects: Arc<[ObjectRef]> = objects.into();
        self.objects.insert(served, objects.clone());
        objects
    }

    fn serves(
        &self,
        classes: &Classes,
        carved: bool,
        index: u32,
        direction: Direction,
        line: &Line,
    ) -> bool {
        let Some(policy) = self.meaning.policies.get(index as usize) else { return false };
        let rules = policy.rules(direction).unwrap_or_default();
        let shape = line.shape.services();
        rules.iter().filter(|rule| rule.action == Action::Accept).any(|rule| {
            let services = match &rule.services {
                policy::Services::Every => true,
                policy::Services::AnyOf(list) => list.iter().any(|one| match one {
                    policy::ServiceMatch::Set(set) => !set.intersection(&shape).is_empty(),
                    policy::ServiceMatch::Named { .. } => {
                        shape.tcp.first().or(shape.udp.first()).or(shape.sctp.first()).is_some()
                    }
                }),
            };
            services && self.names(classes, carved, &rule.peers, line)
        })
    }

    /// Whether a line names some of a rule's peers. Where addresses were taken out, a reference stands for pods by their
    /// addresses, too; a prefix may stand for pods that have no group.
    fn names(&self, classes: &Classes, carved: bool, peers: &Peers, line: &Line) -> bool {
        let Peers::AnyOf(peers) = peers else { return true };
        let meaning = self.meaning;
        let cohorts = &meaning.cohorts;
        let prefix = match &line.peer {
            LinePeer::Prefix(prefix) => Some(AddressSet::from(*prefix)),
            LinePeer::Class(_) | LinePeer::Members(_) => None,
            LinePeer::Copied(_) => return false,
        };
        let any_named = |is_meant: &dyn Fn(CohortId) -> bool| match &line.peer {
            LinePeer::Class(id) => classes.cohorts(*id).any(is_meant),
            LinePeer::Members(ids) => ids.iter().flat_map(|id| classes.cohorts(*id)).any(is_meant),
            LinePeer::Prefix(_) => cohorts.address_peers().iter().copied().any(is_meant),
            LinePeer::Copied(_) => false,
        };
        let lies_in = |id, set: &AddressSet| cohorts.placed(id).any(|(_, at)| set.contains(at));
        peers.iter().any(|peer| match peer {
            policy::Peer::Pods(selector) => {
                let set = cohorts.selected(selector).map_or(&[][..], |set| cohorts.members(set));
                any_named(&|id| {
                    set.binary_search(&id).is_ok()
                        && prefix.as_ref().is_none_or(|prefix| lies_in(id, prefix))
                })
            }
            policy::Peer::Addresses(set) => match &prefix {
                Some(prefix) => !set.intersection(prefix).is_empty(),
                None => carved && any_named(&|id| lies_in(id, set)),
            },
            policy::Peer::Nodes(selector) => prefix.as_ref().is_some_and(|prefix| {
                let nodes = node_addresses(selector, meaning.inventory, meaning.settings);
                !nodes.intersection(prefix).is_empty()
            }),
        })
    }
}
