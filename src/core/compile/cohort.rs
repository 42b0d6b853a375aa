//! Pods that are alike, and which of them a selector selects.
//!
//! A cohort is the finest thing the compiler looks at: pods of one namespace with the same labels, ports, probes and
//! interface. Selectors are resolved to sets of cohorts once each, however many policies repeat them.

mod alike;
mod bearers;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use self::bearers::Bearers;
use super::HashMap;
use super::concession::{Concession, Concessions};
use crate::finding::Reason;
use crate::firewall::ForeignGroupId;
use crate::inventory::{Attachment, Inventory, NamedPort, PodIndex};
use crate::net::{AddressSet, Family};
use crate::policy::{Labels, Namespaces, PodSelector, Requirement, Selector, Word};

/// A cohort's place in [`Cohorts::list`].
pub(crate) type CohortId = u32;

/// A set of cohorts by its place: equal sets have the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SetId(u32);

/// Pods that are alike.
#[derive(Debug)]
pub(crate) struct Cohort {
    /// The namespace of all of them.
    pub(crate) namespace: Word,
    /// The labels of all of them.
    pub(crate) labels: Arc<Labels>,
    /// The named ports of all of them.
    pub(crate) ports: Arc<[NamedPort]>,
    /// The probe ports of all of them.
    pub(crate) probes: Arc<[u16]>,
    /// How the cloud carries them.
    pub(crate) carrier: Carrier,
    /// The families that they have addresses of.
    pub(crate) families: Families,
    /// What they give up to fit the quotas.
    pub(crate) concession: Arc<Concession>,
    /// The pods, in order.
    pub(crate) pods: Vec<PodIndex>,
}

/// Which of the two families, IPv4 first.
pub(crate) type Families = [bool; 2];

/// Whether a family is among them.
pub(crate) const fn has(families: Families, family: Family) -> bool {
    let [v4, v6] = families;
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}

/// How the cloud carries a pod, and whose groups filter it besides ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Carrier {
    /// An interface that Moat may change, with the groups of others that it wears or wore.
    Programmable(Arc<BTreeSet<ForeignGroupId>>),
    /// An interface that Moat may not change, with the groups of others that it wears.
    Untouchable(Attachment, Arc<BTreeSet<ForeignGroupId>>),
    /// No interface is known: the cloud does not filter it.
    Unknown,
}

/// Every pod that policies see, by cohort, with the indexes that selectors need.
#[derive(Debug)]
pub(crate) struct Cohorts<'a> {
    /// The cohorts, in the order of their first pods.
    pub(crate) list: Vec<Cohort>,
    /// The cohorts of each namespace, in the order of their first pods.
    namespaces: Vec<(Word, Vec<CohortId>)>,
    /// The places of namespaces in this list.
    by_name: HashMap<Word, usize>,
    /// In a namespace of many cohorts: those with a label, by namespace, key and value.
    postings: HashMap<(Word, Word, Word), Vec<CohortId>>,
    /// Those that Moat cannot program.
    address_peers: Vec<CohortId>,
    /// The cohort of each pod.
    of: Vec<Option<CohortId>>,
    /// Who bears each address.
    pub(crate) bearers: Bearers,
    by_labels: HashMap<&'a Selector, Arc<[Word]>>,
    selected: HashMap<&'a PodSelector, SetId>,
    sets: Vec<Arc<[CohortId]>>,
    interned: HashMap<Arc<[CohortId]>, SetId>,
    inventory: &'a Inventory,
}

/// Namespaces with more cohorts than this get an index of their labels.
const INDEXED: usize = 16;

// ----------------------------------------------------------------------------------------------- Cohorts

impl<'a> Cohorts<'a> {
    /// Groups the pods; pods whose addresses lie differently in `splits` are never alike.
    pub(crate) fn new(
        inventory: &'a Inventory,
        splits: &BTreeSet<AddressSet>,
        concessions: &Concessions,
    ) -> Self {
        let list = alike::group(inventory, splits, concessions);
        let numbered =
            (0..).zip(&list).filter(|(_, cohort): &(CohortId, _)| !cohort.programmable());
        let address_peers = numbered.map(|(id, _)| id).collect();
        let mut of = vec![None; inventory.pods.len()];
        let mut namespaces: Vec<(Word, Vec<CohortId>)> = Vec::new();
        let mut by_name: HashMap<Word, usize> = HashMap::default();
        for (id, cohort) in (0..).zip(&list) {
            let place = *by_name.entry(cohort.namespace.clone()).or_insert_with(|| {
                namespaces.push((cohort.namespace.clone(), Vec::new()));
                namespaces.len() - 1
            });
            if let Some((_, cohorts)) = namespaces.get_mut(place) {
                cohorts.push(id);
            }
            for pod in &cohort.pods {
                if let Some(slot) = of.get_mut(pod.0) {
                    *slot = Some(id);
                }
            }
        }
        let bearers = Bearers::new(inventory, &of);
        let mut cohorts = Self {
            list,
            namespaces,
            by_name,
            postings: HashMap::default(),
            address_peers,
            of,
            bearers,
            by_labels: HashMap::default(),
            selected: HashMap::default(),
            sets: Vec::new(),
            interned: HashMap::default(),
            inventory,
        };
        cohorts.index_labels();
        cohorts
    }

    fn index_labels(&mut self) {
        for (name, crowd) in self.namespaces.iter().filter(|(_, crowd)| crowd.len() > INDEXED) {
            for id in crowd {
                let labels = self.list.get(*id as usize).into_iter().flat_map(|c| &c.labels.0);
                for (key, value) in labels {
                    let label = (name.clone(), key.clone(), value.clone());
                    self.postings.entry(label).or_default().push(*id);
                }
            }
        }
    }

    /// A cohort by its place.
    pub(crate) fn get(&self, id: CohortId) -> Option<&Cohort> {
        self.list.get(id as usize)
    }

    /// The addresses of a family that the pods of a cohort bear.
    pub(crate) fn addresses(
        &self,
        id: CohortId,
        family: Family,
    ) -> impl Iterator<Item = IpAddr> + '_ {
        let pods = self.get(id).into_iter().flat_map(|cohort| &cohort.pods);
        pods.filter_map(move |pod| self.inventory.pod(*pod)?.address(family))
    }

    /// The cohorts that Moat cannot program: address peers for everyone else (DESIGN §6.7).
    pub(crate) fn address_peers(&self) -> &[CohortId] {
        &self.address_peers
    }

    /// The pods of a cohort with each of their addresses.
    pub(crate) fn placed(&self, id: CohortId) -> impl Iterator<Item = (PodIndex, IpAddr)> + '_ {
        let pods = self.get(id).into_iter().flat_map(|cohort| &cohort.pods);
        pods.flat_map(|index| {
            let pod = self.inventory.pod(*index);
            let addresses = Family::BOTH.map(|family| pod.and_then(|pod| pod.address(family)));
            addresses.into_iter().flatten().map(move |address| (*index, address))
        })
    }

    /// The cohort of a pod.
    pub(crate) fn of(&self, pod: PodIndex) -> Option<CohortId> {
        *self.of.get(pod.0)?
    }

    /// Every cohort with its place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CohortId, &Cohort)> + '_ {
        (0..).zip(&self.list)
    }

    /// The cohorts that a selector selects.
    pub(crate) fn select(&mut self, selector: &'a PodSelector) -> SetId {
        if let Some(known) = self.selected.get(selector) {
            return *known;
        }
        let mut found = Vec::new();
        match &selector.namespaces {
            Namespaces::Named(name) => self.select_in(name, &selector.pods, &mut found),
            Namespaces::Matching(labels) => {
                for name in self.namespaces(labels).iter() {
                    self.select_in(name, &selector.pods, &mut found);
                }
                found.sort_unstable();
            }
        }
        let set = self.intern(found.into());
        self.selected.insert(selector, set);
        set
    }

    /// The set of a selector that some policy uses.
    pub(crate) fn selected(&self, selector: &PodSelector) -> Option<SetId> {
        self.selected.get(selector).copied()
    }

    fn intern(&mut self, members: Arc<[CohortId]>) -> SetId {
        if let Some(known) = self.interned.get(&members) {
            return *known;
        }
        let id = SetId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        self.sets.push(members.clone());
        self.interned.insert(members, id);
        id
    }

    /// The members of a set, sorted.
    pub(crate) fn members(&self, set: SetId) -> &[CohortId] {
        self.sets.get(set.0 as usize).map_or(&[], |members| members)
    }

    fn select_in(&self, namespace: &Word, selector: &Selector, found: &mut Vec<CohortId>) {
        let Some(place) = self.by_name.get(namespace) else { return };
        let Some((_, all)) = self.namespaces.get(*place) else { return };
        if selector.is_everything() {
            found.extend(all);
            return;
        }
        let matches =
            |id: &CohortId| self.get(*id).is_some_and(|cohort| selector.matches(&cohort.labels));
        if all.len() > INDEXED
            && let Some((key, values)) = selector.requirements().find_map(one_of)
        {
            let mut candidates: Vec<CohortId> = Vec::new();
            for value in values {
                let label = (namespace.clone(), key.clone(), value.clone());
                candidates.extend(self.postings.get(&label).into_iter().flatten());
            }
            candidates.sort_unstable();
            found.extend(candidates.into_iter().filter(matches));
        } else {
            found.extend(all.iter().copied().filter(matches));
        }
    }

    /// The namespaces whose labels match; a namespace that only pods name has no labels.
    fn namespaces(&mut self, selector: &'a Selector) -> Arc<[Word]> {
        if let Some(known) = self.by_labels.get(selector) {
            return known.clone();
        }
        let none = Labels::default();
        let names = self.namespaces.iter().map(|(name, _)| name);
        let matching = names.filter(|name| {
            selector.matches(self.inventory.namespaces.get(*name).map_or(&none, |labels| labels))
        });
        let matching: Arc<[Word]> = matching.cloned().collect();
        self.by_labels.insert(selector, matching.clone());
        matching
    }
}

impl Cohort {
    /// Whether Moat may change the groups of these pods' interfaces.
    pub(crate) fn programmable(&self) -> bool {
        matches!(self.carrier, Carrier::Programmable(_))
    }

    /// Whether these pods send by interfaces of their nodes, as far as is known.
    pub(crate) const fn shares_node(&self) -> bool {
        matches!(self.carrier, Carrier::Untouchable(Attachment::Shared, _) | Carrier::Unknown)
    }

    /// Why Moat's groups do not filter these pods, if they do not.
    pub(crate) fn untouchable(&self) -> Option<Reason> {
        match &self.carrier {
            Carrier::Programmable(_) => None,
            Carrier::Untouchable(Attachment::Fixed, _) => Some(Reason::FixedInterface),
            Carrier::Untouchable(Attachment::Released, _) => Some(Reason::Released),
            Carrier::Untouchable(Attachment::Shared | Attachment::Exclusive, _) => {
                Some(Reason::SharedInterface)
            }
            Carrier::Unknown => Some(Reason::NoInterface),
        }
    }
}

/// The values of a requirement that an index can answer.
fn one_of(requirement: &Requirement) -> Option<(&Word, &BTreeSet<Word>)> {
    match requirement {
        Requirement::In(key, values) => Some((key, values)),
        Requirement::NotIn(..) | Requirement::Exists(_) | Requirement::DoesNotExist(_) => None,
    }
}
