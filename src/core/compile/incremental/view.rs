//! Who is governed by what, as the reasons of rules need it.

use std::borrow::Cow;

use super::classes::Classes;
use super::index::Index;
use super::store::Store;
use crate::compile::class::ClassId;
use crate::compile::cohort::CohortId;
use crate::compile::program::node_addresses;
use crate::compile::served::Ground;
use crate::net::AddressSet;
use crate::policy::{Direction, PodSelector, Policy, Selector};

/// A look at what is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) store: &'a Store,
    pub(super) index: &'a Index,
    pub(super) classes: &'a Classes,
}

impl Ground for View<'_> {
    fn governing(&self, cohort: CohortId, direction: Direction) -> Cow<'_, [u32]> {
        let governs = |id: &u32| {
            let policy = self.index.policy_at(*id);
            policy.is_some_and(|policy| policy.rules(direction).is_some())
        };
        self.index.about(cohort).filter(governs).collect::<Vec<u32>>().into()
    }

    fn policy(&self, place: u32) -> Option<&Policy> {
        self.index.policy_at(place)
    }

    fn selected(&self, selector: &PodSelector) -> &[CohortId] {
        self.index.selected(selector)
    }

    fn cohorts(&self, class: ClassId) -> impl Iterator<Item = CohortId> {
        self.classes.class(class).into_iter().flat_map(|class| class.cohorts.iter().copied())
    }

    fn address_peers(&self) -> &[CohortId] {
        self.index.address_peers()
    }

    fn lies_in(&self, cohort: CohortId, set: &AddressSet) -> bool {
        let pods = self.index.cohort(cohort).into_iter().flat_map(|cohort| &cohort.pods);
        let mut addresses =
            pods.filter_map(|name| self.store.pod(name)).flat_map(|pod| &pod.addresses);
        addresses.any(|address| set.contains(*address))
    }

    fn nodes(&self, selector: &Selector) -> AddressSet {
        node_addresses(selector, &self.store.rest, &self.store.settings)
    }
}
