//! Pods that nothing here can tell apart: neither policies, nor groups, nor findings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use moat_core::finding::{Effect, Finding};
use moat_core::firewall::{GroupKey, Peer as RulePeer, State};
use moat_core::flow::FlowSet;
use moat_core::inventory::{NamedPort, Pod, PodIndex};
use moat_core::net::{AddressSet, Family};
use moat_core::policy::{
    Direction, Namespaces, Peer, Peers, PodSelector, Requirement, Selector, Word,
};

use super::sets::{Addresses, of_family};
use crate::generate::Cluster;

/// A class by its place.
pub(super) type ClassId = usize;

/// Pods of one namespace with the same labels, ports and probes, which wear the same groups, are in the same boxes of
/// findings, and whose addresses lie on the same side of every boundary that policies or groups mention.
#[derive(Debug)]
pub(super) struct Class<'a> {
    pub(super) pods: Vec<PodIndex>,
    /// The first of them.
    pub(super) pod: &'a Pod,
    /// The groups that filter them; none if nothing does.
    pub(super) worn: Option<usize>,
    /// The boxes that they are sources of.
    pub(super) sources: Rc<[usize]>,
    /// The boxes that they are destinations of.
    pub(super) destinations: Rc<[usize]>,
}

/// All classes, with indexes.
#[derive(Debug)]
pub(super) struct Classes<'a> {
    pub(super) list: Vec<Class<'a>>,
    /// Every set of groups that pods wear.
    pub(super) worn: Vec<BTreeSet<GroupKey>>,
    /// The classes that wear each group.
    pub(super) wearers: HashMap<GroupKey, Vec<ClassId>>,
    by_namespace: BTreeMap<Word, Vec<ClassId>>,
    /// By namespace, key and value of a label.
    by_label: HashMap<[Word; 3], Vec<ClassId>>,
    by_address: [BTreeSet<(u128, ClassId)>; 2],
    selected: HashMap<PodSelector, Rc<[ClassId]>>,
}

/// A box of flows of some findings.
#[derive(Debug)]
pub(super) struct FlowBox<'a> {
    pub(super) finding: &'a Finding,
    pub(super) effect: Effect,
    pub(super) flows: &'a FlowSet,
}

/// Every box of findings, once: many findings share theirs.
pub(super) fn boxes(findings: &[Finding]) -> Vec<FlowBox<'_>> {
    let mut seen = BTreeSet::new();
    let mut boxes = Vec::new();
    for finding in findings {
        if seen.insert((finding.flows.as_ptr().addr(), finding.effect)) {
            let effect = finding.effect;
            boxes.extend(finding.flows.iter().map(|flows| FlowBox { finding, effect, flows }));
        }
    }
    boxes
}

/// What tells pods apart.
type Key<'a> = (
    &'a str,
    &'a moat_core::policy::Labels,
    &'a Arc<[NamedPort]>,
    &'a Arc<[u16]>,
    [Option<usize>; 2],
    Option<usize>,
    [Vec<usize>; 2],
);

impl<'a> Classes<'a> {
    pub(super) fn new(cluster: &'a Cluster, state: &State, boxes: &[FlowBox<'_>]) -> Self {
        let inventory = &cluster.inventory;
        let cuts = Family::BOTH.map(|family| cuts(cluster, state, family));
        let mut member = vec![[Vec::new(), Vec::new()]; inventory.pods.len()];
        for (index, one) in boxes.iter().enumerate() {
            for (side, set) in [&one.flows.sources, &one.flows.destinations].iter().enumerate() {
                for pod in &set.pods {
                    member[pod.0][side].push(index);
                }
            }
        }
        let mut known: HashMap<Key<'a>, ClassId> = HashMap::new();
        let mut worn: HashMap<BTreeSet<GroupKey>, usize> = HashMap::new();
        let mut list: Vec<Class<'a>> = Vec::new();
        for (index, pod) in inventory.pods_of_policies() {
            let groups = worn_by(cluster, state, pod);
            let count = worn.len();
            let worn = groups.map(|groups| *worn.entry(groups).or_insert(count));
            let places = [0, 1].map(|family: usize| {
                let point = point(pod.address(Family::BOTH[family])?);
                Some(cuts[family].partition_point(|cut| *cut <= point))
            });
            let member = std::mem::take(&mut member[index.0]);
            let key =
                (&*pod.namespace, &*pod.labels, &pod.ports, &pod.probes, places, worn, member);
            let [sources, destinations] = key.6.clone().map(Rc::from);
            let class = *known.entry(key).or_insert_with(|| {
                list.push(Class { pods: Vec::new(), pod, worn, sources, destinations });
                list.len() - 1
            });
            list[class].pods.push(index);
        }
        let mut groups = vec![BTreeSet::new(); worn.len()];
        for (set, place) in worn {
            groups[place] = set;
        }
        let mut made = Self {
            list,
            worn: groups,
            wearers: HashMap::new(),
            by_namespace: BTreeMap::new(),
            by_label: HashMap::new(),
            by_address: [BTreeSet::new(), BTreeSet::new()],
            selected: HashMap::new(),
        };
        made.index();
        made
    }

    fn index(&mut self) {
        for (id, class) in self.list.iter().enumerate() {
            self.by_namespace.entry(class.pod.namespace.clone()).or_default().push(id);
            for group in class.worn.iter().flat_map(|worn| &self.worn[*worn]) {
                self.wearers.entry(group.clone()).or_default().push(id);
            }
            for (key, value) in &class.pod.labels.0 {
                let label = [&class.pod.namespace, key, value].map(Word::clone);
                self.by_label.entry(label).or_default().push(id);
            }
            for address in &class.pod.addresses {
                self.by_address[side(Family::of(*address))].insert((point(*address), id));
            }
        }
    }

    /// The classes that have addresses of a family.
    pub(super) fn of_family(&self, family: Family) -> impl Iterator<Item = ClassId> + '_ {
        let all = self.list.iter().enumerate();
        all.filter(move |(_, class)| class.pod.address(family).is_some()).map(|(id, _)| id)
    }

    /// The classes whose addresses are among these.
    pub(super) fn at(&self, addresses: &Addresses, family: Family) -> Vec<ClassId> {
        let placed = &self.by_address[side(family)];
        let runs = addresses
            .iter()
            .flat_map(|run| placed.range((run.low(), 0)..=(run.high(), ClassId::MAX)));
        runs.map(|(_, class)| *class).collect()
    }

    /// The classes of a namespace that a selector can select, and maybe more.
    fn candidates(&self, namespace: &Word, selector: &Selector) -> Vec<ClassId> {
        let mut values = selector.requirements().filter_map(|requirement| match requirement {
            Requirement::In(key, values) => Some((key, values)),
            Requirement::NotIn(..) | Requirement::Exists(_) | Requirement::DoesNotExist(_) => None,
        });
        let Some((key, values)) = values.next() else {
            return self.by_namespace.get(namespace).cloned().unwrap_or_default();
        };
        let found = values
            .iter()
            .filter_map(|value| self.by_label.get(&[namespace, key, value].map(Word::clone)));
        let mut found: Vec<ClassId> = found.flatten().copied().collect();
        found.sort_unstable();
        found
    }

    /// The classes of a selector.
    pub(super) fn selected(&mut self, cluster: &Cluster, selector: &PodSelector) -> Rc<[ClassId]> {
        if let Some(known) = self.selected.get(selector) {
            return known.clone();
        }
        let mut found: Vec<ClassId> = match &selector.namespaces {
            Namespaces::Named(name) => self.candidates(name, &selector.pods),
            Namespaces::Matching(of) => {
                let all = self.by_namespace.iter();
                let chosen =
                    all.filter(|(name, _)| of.matches(&cluster.inventory.namespace_labels(name)));
                chosen.flat_map(|(_, classes)| classes.iter().copied()).collect()
            }
        };
        found.retain(|id| selector.pods.matches(&self.list[*id].pod.labels));
        let found: Rc<[ClassId]> = found.into();
        self.selected.insert(selector.clone(), found.clone());
        found
    }
}

pub(super) const fn side(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

/// An address as a point of its family's line.
pub(super) fn point(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The groups that a pod's interface wears; none if it has no interface.
fn worn_by(cluster: &Cluster, state: &State, pod: &Pod) -> Option<BTreeSet<GroupKey>> {
    let id = pod.interface.as_ref()?;
    if let Some(stated) = state.interfaces.get(id) {
        return Some(stated.clone());
    }
    let interface = cluster.inventory.interfaces.get(id)?;
    Some(interface.prior.iter().cloned().map(GroupKey::Foreign).collect())
}

/// Where the addresses of policies, nodes and rules begin and have just ended.
fn cuts(cluster: &Cluster, state: &State, family: Family) -> Vec<u128> {
    let mut cuts = BTreeSet::new();
    let mut add = |set: &AddressSet| {
        for run in of_family(set, family).iter() {
            cuts.insert(run.low());
            cuts.extend(run.high().checked_add(1));
        }
    };
    for policy in &cluster.policies {
        let rules = Direction::BOTH.into_iter().filter_map(|d| policy.rules(d)).flatten();
        for rule in rules {
            if let Peers::AnyOf(peers) = &rule.peers {
                for peer in peers {
                    if let Peer::Addresses(set) = peer {
                        add(set);
                    }
                }
            }
        }
    }
    for rule in state.groups.values().chain(cluster.inventory.foreign.values()).flatten() {
        if let RulePeer::Prefix(prefix) = rule.peer {
            add(&AddressSet::from(prefix));
        }
    }
    for address in cluster.inventory.nodes.iter().flat_map(|node| &node.addresses) {
        add(&AddressSet::from(*address));
    }
    add(&cluster.settings.nodes.iter().copied().collect());
    cuts.into_iter().collect()
}
