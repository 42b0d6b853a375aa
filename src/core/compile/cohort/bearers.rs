//! Who bears which address.

use std::collections::BTreeSet;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use super::CohortId;
use crate::compile::HashMap;
use crate::inventory::{Inventory, PodIndex};
use crate::net::{Address, AddressSet};

/// The pods by their addresses, host network aside.
#[derive(Debug)]
pub(crate) struct Bearers {
    by_address: HashMap<IpAddr, PodIndex>,
    /// Addresses that several pods claim: only one of them can be right, and nobody knows which.
    disputed: HashMap<IpAddr, BTreeSet<CohortId>>,
}

impl Bearers {
    /// The bearers of an inventory; `of` has the cohort of each pod.
    pub(super) fn new(inventory: &Inventory, of: &[Option<CohortId>]) -> Self {
        let mut by_address = HashMap::with_capacity_and_hasher(of.len(), RandomState::default());
        let mut disputed: HashMap<IpAddr, BTreeSet<CohortId>> = HashMap::default();
        let cohort_of = |pod: PodIndex| of.get(pod.0).copied().flatten();
        for (index, pod) in inventory.pods_of_policies() {
            for address in pod.addresses.iter().copied() {
                if let Some(other) = by_address.insert(address, index) {
                    let claims = [other, index].into_iter().filter_map(cohort_of);
                    disputed.entry(address).or_default().extend(claims);
                }
            }
        }
        Self { by_address, disputed }
    }

    /// The pod that bears an address.
    pub(crate) fn bearer(&self, address: IpAddr) -> Option<PodIndex> {
        self.by_address.get(&address).copied()
    }

    /// The cohorts of the pods that claim an address, where there are several.
    pub(crate) fn claimants(&self, address: IpAddr) -> Option<&BTreeSet<CohortId>> {
        self.disputed.get(&address)
    }

    /// An address of a set that no pod bears.
    pub(crate) fn unborne(&self, set: &AddressSet) -> Option<IpAddr> {
        fn first<T: Address>(set: &AddressSet, borne: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
            T::of(set).iter().find_map(|interval| {
                let mut next = Some(interval.low());
                while let Some(point) = next.filter(|point| interval.contains(*point)) {
                    if !borne(point.to_ip()) {
                        return Some(point.to_ip());
                    }
                    next = point.next();
                }
                None
            })
        }
        let borne = |address| self.bearer(address).is_some();
        first::<u32>(set, borne).or_else(|| first::<u128>(set, borne))
    }
}
