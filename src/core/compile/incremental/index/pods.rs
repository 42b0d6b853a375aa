//! Pods as they come and go, and whose rules that touches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Alike, Cohort, Index, PolicyId, insert, remove};
use crate::compile::HashMap;
use crate::compile::cohort::CohortId;
use crate::compile::incremental::store::{PodName, Store};
use crate::inventory::{Attachment, Pod};
use crate::net::{AddressSet, Family};
use crate::policy::{Labels, Word};

impl Index {
    /// A pod is there.
    pub(crate) fn join(&mut self, name: &PodName, pod: &Pod, store: &Store) {
        if pod.host_network {
            return;
        }
        let interface = store.rest.interface(pod);
        let alike = Alike::new(pod, interface);
        let id = match self.by_alike.get(&alike) {
            Some(id) => *id,
            None => self.born(alike, store.labels(&pod.namespace)),
        };
        let placed_alike = self.is_placed_alike(id, pod, store);
        let Some(cohort) = self.cohorts.get_mut(id as usize) else { return };
        let before = cohort.pods.len();
        cohort.pods.insert(name.clone());
        self.of.insert(name.clone(), id);
        self.empty.remove(&id);
        if let Some(id) = &pod.interface {
            let carried = self.carried.entry(id.clone()).or_default();
            carried.insert(name.clone());
            if carried.len() > 1
                && interface.is_some_and(|it| it.attachment == Attachment::Exclusive)
            {
                self.contested.insert(id.clone());
            }
            self.loose.insert(id.clone());
        }
        for address in &pod.addresses {
            self.claims.entry(*address).or_default().insert(name.clone());
            self.touch_claimants(*address);
        }
        self.resized(id, before, placed_alike);
    }

    /// A pod, as it was told last, is not there any more.
    pub(crate) fn leave(&mut self, name: &PodName, pod: &Pod, store: &Store) {
        let Some(id) = self.of.remove(name) else { return };
        for address in &pod.addresses {
            self.touch_claimants(*address);
            forget(&mut self.claims, address, name);
        }
        if let Some(interface) = &pod.interface {
            forget(&mut self.carried, interface, name);
            if self.carried(interface).count() < 2 {
                self.contested.remove(interface);
            }
            self.loose.insert(interface.clone());
        }
        let Some(cohort) = self.cohorts.get_mut(id as usize) else { return };
        cohort.pods.remove(name);
        let left = cohort.pods.len();
        if left == 0 {
            self.empty.insert(id);
        }
        let placed_alike = self.is_placed_alike(id, pod, store);
        self.resized(id, left, placed_alike);
    }

    fn born(&mut self, alike: Alike, labels: &Labels) -> CohortId {
        let alike = Arc::new(alike);
        let cohort = Cohort { alike: alike.clone(), pods: BTreeSet::new(), selectors: Vec::new() };
        let id = CohortId::try_from(self.cohorts.insert(cohort)).unwrap_or(CohortId::MAX);
        if !alike.programmable() {
            insert(&mut self.address_peers, id);
        }
        self.namespaces.entry(alike.namespace.clone()).or_default().insert(id);
        self.by_alike.insert(alike, id);
        self.select(id, labels);
        id
    }

    /// Removes the cohorts without pods; their places stay taken until [`Self::bury`].
    pub(crate) fn dead(&mut self) -> Vec<CohortId> {
        let dead: Vec<CohortId> = std::mem::take(&mut self.empty).into_iter().collect();
        for id in &dead {
            self.touched.remove(id);
            let Some(cohort) = self.cohorts.get_mut(*id as usize) else { continue };
            let (alike, selectors) = (cohort.alike.clone(), std::mem::take(&mut cohort.selectors));
            for selector in selectors {
                if let Some(used) = self.selectors.get_mut(selector) {
                    remove(&mut used.members, *id);
                }
            }
            forget_in(&mut self.namespaces, &alike.namespace, id);
            self.by_alike.remove(&alike);
            remove(&mut self.address_peers, *id);
        }
        dead
    }

    /// Gives the places of dead cohorts free.
    pub(crate) fn bury(&mut self, dead: Vec<CohortId>) {
        for id in dead {
            self.cohorts.remove(id as usize);
        }
    }

    /// A cohort has, or had, one pod more than this. Where it comes or goes, everyone who names it is touched. Else its
    /// size matters to itself, as a pod is no peer of its own, and its addresses matter where there are rules that deny,
    /// and it has no pod that is placed alike, or no rule names it but by its addresses.
    fn resized(&mut self, id: CohortId, fewer: usize, placed_alike: bool) {
        let Some(cohort) = self.cohorts.get(id as usize) else { return };
        let by_address = !cohort.alike.programmable() || !placed_alike;
        if fewer <= 1 {
            self.touched.insert(id);
        }
        if fewer == 0 || by_address {
            self.touch_namers(id);
        }
    }

    /// Whether no policy can tell a pod's addresses from those of a pod of this cohort.
    fn is_placed_alike(&self, id: CohortId, pod: &Pod, store: &Store) -> bool {
        /// How many pods are looked at: most have neighbours.
        const SOME: usize = 8;
        if self.ordered.is_empty() {
            return true;
        }
        let nodes = || store.rest.nodes.iter().flat_map(|node| node.addresses.iter().copied());
        let settled = &store.settings.nodes;
        let is_node =
            |at| nodes().any(|node| node == at) || settled.iter().any(|it| it.contains(at));
        let alike = |other: &Pod| {
            Family::BOTH.into_iter().all(|family| {
                match (pod.address(family), other.address(family)) {
                    (Some(one), Some(other)) => {
                        let inside = |set: &AddressSet| set.contains(one) == set.contains(other);
                        self.blocks.keys().all(inside) && !is_node(one) && !is_node(other)
                    }
                    (one, other) => one == other,
                }
            })
        };
        let others = self.cohort(id).into_iter().flat_map(|cohort| &cohort.pods).take(SOME);
        others.filter_map(|name| store.pod(name)).any(alike)
    }

    /// Where several pods claim an address, only what each of them may passes there.
    fn touch_claimants(&mut self, address: IpAddr) {
        let Some(claimants) = self.claims.get(&address).filter(|pods| pods.len() > 1) else {
            return;
        };
        let cohorts: BTreeSet<CohortId> =
            claimants.iter().filter_map(|pod| self.of.get(pod).copied()).collect();
        cohorts.into_iter().for_each(|id| self.touch_namers(id));
    }

    /// Touches the pods whose policies name a cohort.
    fn touch_namers(&mut self, id: CohortId) {
        let Some(cohort) = self.cohorts.get(id as usize) else { return };
        let selectors = cohort.selectors.iter().filter_map(|id| self.selectors.get(*id));
        let naming = selectors.flat_map(|used| &used.peer_of);
        let by_port = self.of_port_names.iter().filter(|_| !cohort.alike.ports.is_empty());
        let naming: BTreeSet<PolicyId> = naming.chain(by_port).copied().collect();
        naming.into_iter().for_each(|policy| self.touch_subjects(policy));
    }

    pub(super) fn touch_subjects(&mut self, policy: PolicyId) {
        let subject = self.policies.get(policy as usize).and_then(|known| known.subject);
        let subject = subject.and_then(|id| self.selectors.get(id));
        self.touched.extend(subject.iter().flat_map(|used| &used.members));
    }

    /// The labels of a namespace have changed.
    pub(crate) fn relabelled(&mut self, namespace: &Word, labels: &Labels) {
        let cohorts = self.namespaces.get(namespace).cloned().unwrap_or_default();
        cohorts.into_iter().for_each(|id| self.select(id, labels));
    }

    /// Finds the selectors that select a cohort.
    fn select(&mut self, id: CohortId, labels: &Labels) {
        let Some(cohort) = self.cohorts.get(id as usize) else { return };
        let (alike, before) = (cohort.alike.clone(), cohort.selectors.clone());
        let candidates = self.named.get(&alike.namespace).into_iter().flatten();
        let candidates = candidates.chain(&self.matching).copied();
        let selects = |it: &usize| {
            self.selectors
                .get(*it)
                .is_some_and(|used| used.selector.matches(&alike.namespace, labels, &alike.labels))
        };
        let mut after: Vec<usize> = candidates.filter(selects).collect();
        after.sort_unstable();
        for selector in before.iter().filter(|it| after.binary_search(it).is_err()) {
            self.touch_users(*selector, id);
            if let Some(used) = self.selectors.get_mut(*selector) {
                remove(&mut used.members, id);
            }
        }
        for selector in after.iter().filter(|it| before.binary_search(it).is_err()) {
            if let Some(used) = self.selectors.get_mut(*selector) {
                insert(&mut used.members, id);
            }
            self.touch_users(*selector, id);
        }
        if let Some(cohort) = self.cohorts.get_mut(id as usize) {
            cohort.selectors = after;
        }
    }

    /// A selector selects a cohort, or does no longer.
    fn touch_users(&mut self, selector: usize, id: CohortId) {
        self.touched.insert(id);
        let naming = self.selectors.get(selector).map(|used| used.peer_of.clone());
        naming.unwrap_or_default().into_iter().for_each(|policy| self.touch_subjects(policy));
    }
}

fn forget<K: std::hash::Hash + Eq>(
    map: &mut HashMap<K, BTreeSet<PodName>>,
    key: &K,
    name: &PodName,
) {
    if let Some(names) = map.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            map.remove(key);
        }
    }
}

fn forget_in(map: &mut BTreeMap<Word, BTreeSet<CohortId>>, key: &Word, id: &CohortId) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
