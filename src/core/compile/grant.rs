//! What of a function the cloud can be told: services for prefixes, and services for the pods that references name.
//!
//! A prefix rule lets in every pod whose address it holds. Where that would let in a pod that must stay out, the pod
//! subnets are taken out of the address function, and references put the allowed pods back (DESIGN §6.4).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::cohort::{CohortId, Cohorts, Families, has};
use super::effective::{ByAddress, Function, Reach};
use crate::inventory::Inventory;
use crate::net::{AddressSet, Family, Intervals, Prefix, ServiceSet};
use crate::settings::Settings;

/// What the rules of one direction say for pods of one program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grant {
    /// What prefix rules let through.
    pub(crate) addresses: ByAddress,
    /// What references let through, for each cohort that needs one; sorted, never empty sets.
    pub(crate) references: Vec<(CohortId, ServiceSet)>,
    /// The addresses that were taken out, none if nothing was.
    pub(crate) carved: AddressSet,
    /// Whether it says exactly what is asked, of pods that may be named.
    pub(crate) exact: bool,
}

/// What can be taken out, and what may be given up to fit a quota.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// Where pods are.
    pub(crate) inventory: &'a Inventory,
    /// The declared pod subnets.
    pub(crate) settings: &'a Settings,
    /// Give up protocols other than tcp, udp and ICMP where everything but something is asked.
    pub(crate) only_ports: bool,
}

impl Grant {
    /// Rules that say nothing.
    pub(crate) fn nothing() -> Self {
        let nothing = ByAddress::on(&AddressSet::empty(), &ServiceSet::empty());
        Self {
            addresses: nothing,
            references: Vec::new(),
            carved: AddressSet::empty(),
            exact: false,
        }
    }

    /// Translates a function for an owner with addresses of these families.
    pub(crate) fn new(
        function: &Function,
        cohorts: &Cohorts<'_>,
        families: Families,
        terms: Terms<'_>,
    ) -> Self {
        let conflicts = conflicts(function, cohorts);
        let carved =
            if conflicts.is_empty() { AddressSet::empty() } else { terms.carve(&conflicts) };
        let mut addresses = function.addresses.clone();
        if !carved.is_empty() {
            let nothing = ByAddress::on(&carved, &ServiceSet::all());
            addresses = addresses.join(&nothing, ServiceSet::difference);
        }
        addresses = put_back_address_peers(addresses, function, cohorts);
        let said = addresses.map(|services| terms.sayable(services));
        let mut exact = carved.is_empty() && said == addresses;
        let addresses = said.of_families(families);
        let needed = |(id, reach): (CohortId, Option<&Reach>)| {
            let services = if carved.is_empty() {
                reach.map(|reach| reach.selected.clone()).unwrap_or_default()
            } else {
                exact_reference(function, cohorts, id, reach, families)
            };
            let said = terms.sayable(&services);
            exact &= said == services;
            let services = said;
            let covered = addresses.everywhere(&services, families);
            (!covered && !services.is_empty()).then_some((id, services))
        };
        let programmable = |id: &CohortId| {
            cohorts.get(*id).is_some_and(|c| c.programmable() && !c.concession.nameless)
        };
        let references: Vec<_> = if carved.is_empty() {
            let singled_out = function.singled_out().filter(|(id, _)| programmable(id));
            singled_out.map(|(id, reach)| (id, Some(reach))).filter_map(needed).collect()
        } else {
            let all = cohorts.iter().map(|(id, _)| id).filter(programmable);
            all.map(|id| (id, function.reach(id))).filter_map(needed).collect()
        };
        Self { addresses, references, carved, exact }
    }

    /// The services that a reference gives a cohort.
    pub(crate) fn reference(&self, id: CohortId) -> Option<&ServiceSet> {
        let place = self.references.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.references.get(place).map(|(_, services)| services)
    }
}

/// The addresses of pods for which prefix rules and a reference together cannot say what passes, because the prefix
/// rules alone say too much, or what the reference must say depends on the address.
pub(crate) fn conflicts(function: &Function, cohorts: &Cohorts<'_>) -> AddressSet {
    let mut found: Vec<Prefix> = Vec::new();
    for (id, reach) in function.singled_out() {
        let Some(exact) = &reach.exact else { continue };
        let programmable = cohorts.get(id).is_some_and(|cohort| cohort.programmable());
        for address in Family::BOTH.into_iter().flat_map(|family| cohorts.addresses(id, family)) {
            let (all, by_prefix) = (exact.at(address), function.addresses.at(address));
            let selected = reach.selected.clone().within(Family::of(address));
            let fits = all.contains_all(by_prefix)
                && (!programmable
                    || all.contains_all(&selected) && by_prefix.union(&selected).contains_all(all));
            if !fits {
                found.push(Prefix::host(address));
            }
        }
    }
    found.into_iter().collect()
}

impl Terms<'_> {
    /// What to take out so that no prefix rule holds the address of a pod that must stay out: the declared pod subnets
    /// if they hold all of them, else the VPC's blocks, without the addresses that are known to be nodes'.
    fn carve(self, conflicts: &AddressSet) -> AddressSet {
        let declared: AddressSet = self.settings.pod_subnets.iter().copied().collect();
        if declared.contains_all(conflicts) {
            return declared;
        }
        let vpc: AddressSet = self.inventory.vpc.iter().copied().collect();
        let nodes = self.inventory.node_addresses(|_| true);
        vpc.union(&declared).difference(&nodes).union(conflicts)
    }

    /// The part of a service set that rules can say: sctp only as a whole (EC2 has ports for tcp and udp only).
    fn sayable(self, services: &ServiceSet) -> ServiceSet {
        let mut said = services.clone();
        if !said.sctp.is_full() {
            said.sctp = Intervals::empty();
        }
        let everything = said.contains_all(&ServiceSet::line(Family::V4))
            || said.contains_all(&ServiceSet::line(Family::V6));
        if self.only_ports && !everything && said.asks_for_every_other() {
            said = said.without_other();
            said.sctp = Intervals::empty();
        }
        said
    }
}

/// Address peers get what passes at their addresses.
fn put_back_address_peers(
    mut addresses: ByAddress,
    function: &Function,
    cohorts: &Cohorts<'_>,
) -> ByAddress {
    let mut wanted: BTreeMap<ServiceSet, Vec<Prefix>> = BTreeMap::new();
    for id in cohorts.address_peers().iter().copied() {
        let reach = function.reach(id);
        for address in Family::BOTH.into_iter().flat_map(|family| cohorts.addresses(id, family)) {
            let services = function.at(reach, address);
            if services != *addresses.at(address) {
                wanted.entry(services).or_default().push(Prefix::host(address));
            }
        }
    }
    for (services, prefixes) in wanted {
        let here: AddressSet = prefixes.into_iter().collect();
        let nothing = ByAddress::on(&here, &ServiceSet::all());
        let something = ByAddress::on(&here, &services);
        addresses = addresses.join(&nothing, ServiceSet::difference);
        addresses = addresses.join(&something, ServiceSet::union);
    }
    addresses
}

/// What a reference must say where prefix rules say nothing: one set for both families, though what passes may differ.
fn exact_reference(
    function: &Function,
    cohorts: &Cohorts<'_>,
    id: CohortId,
    reach: Option<&Reach>,
    families: Families,
) -> ServiceSet {
    let [v4, v6] = Family::BOTH.map(|family| {
        let owned = has(families, family);
        let addresses: Vec<IpAddr> = cohorts.addresses(id, family).filter(|_| owned).collect();
        let each = addresses.into_iter().map(|address| function.at(reach, address));
        each.reduce(|left, right| left.intersection(&right))
    });
    match (v4, v6) {
        (None, None) => ServiceSet::empty(),
        (Some(only), None) if only == ServiceSet::line(Family::V4) => ServiceSet::all(),
        (None, Some(only)) if only == ServiceSet::line(Family::V6) => ServiceSet::all(),
        (Some(only), None) | (None, Some(only)) => only,
        (Some(v4), Some(v6)) => {
            let mut both = v4.intersection(&v6);
            both.icmp = v4.icmp;
            both.icmpv6 = v6.icmpv6;
            both
        }
    }
}
