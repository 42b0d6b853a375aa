//! What of a function the cloud can be told: services for prefixes, and services for the pods that references name.
//!
//! A prefix rule lets in every pod whose address it holds. Where that would let in a pod that must stay out, the pod
//! subnets are taken out of the address function, and references put the allowed pods back (DESIGN §6.4).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::HashMap;
use super::cohort::{CohortId, Cohorts, Families, has};
use super::concession::Rung;
use super::effective::{ByAddress, Function, Reach};
use super::shared::{Pools, Shared};
use crate::inventory::Inventory;
use crate::net::{AddressSet, Family, Prefix, ServiceSet, Shape};
use crate::settings::Settings;

/// What the rules of one direction say for pods of one program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grant {
    /// What prefix rules let through.
    pub(crate) addresses: Shared<ByAddress>,
    /// What references let through, for each cohort that needs one; sorted, never empty sets.
    pub(crate) references: Vec<(CohortId, Shared<ServiceSet>)>,
    /// The addresses that were taken out, none if nothing was.
    pub(crate) carved: AddressSet,
    /// Whether it says exactly what is asked, of pods that may be named.
    pub(crate) exact: bool,
}

/// Translates functions into grants, doing once what many of them have in common.
#[derive(Debug)]
pub(crate) struct Granting<'x, 'a> {
    cohorts: &'x Cohorts<'a>,
    inventory: &'a Inventory,
    settings: &'a Settings,
    pools: &'x mut Pools,
    said: HashMap<(Shared<ByAddress>, Families, Rung), Said<ByAddress>>,
    named: HashMap<(Shared<ServiceSet>, Rung), Said<ServiceSet>>,
    missing: HashMap<(Shared<ServiceSet>, Shared<ByAddress>, Families), Shared<ServiceSet>>,
}

/// What of something rules can say, and whether that is all of it.
type Said<T> = (Shared<T>, bool);

impl<'x, 'a> Granting<'x, 'a> {
    /// For these pods.
    pub(crate) fn new(
        cohorts: &'x Cohorts<'a>,
        inventory: &'a Inventory,
        settings: &'a Settings,
        pools: &'x mut Pools,
    ) -> Self {
        let (said, named, missing) = Default::default();
        Self { cohorts, inventory, settings, pools, said, named, missing }
    }

    /// Rules that say nothing.
    pub(crate) fn nothing(&mut self) -> Grant {
        let nothing = ByAddress::nothing();
        Grant {
            addresses: self.pools.addresses.share(nothing),
            references: Vec::new(),
            carved: AddressSet::empty(),
            exact: false,
        }
    }

    /// Translates a function for an owner with addresses of these families who is on this rung of the ladder.
    pub(crate) fn grant(&mut self, function: &Function, families: Families, rung: Rung) -> Grant {
        let cohorts = self.cohorts;
        let conflicts = conflicts(function, cohorts);
        let carved =
            if conflicts.is_empty() { AddressSet::empty() } else { self.carve(&conflicts) };
        let mut addresses = function.addresses.clone();
        if !carved.is_empty() {
            let nothing = ByAddress::on(&carved, &ServiceSet::all());
            let rest = addresses.join(&nothing, ServiceSet::difference);
            addresses = self.pools.addresses.share(rest);
        }
        let (more, all_put_back) = put_back_address_peers(&addresses, function, cohorts);
        if let Some(more) = more {
            addresses = self.pools.addresses.share(more);
        }
        let (addresses, all_said) = self.say(addresses, families, rung);
        let mut exact = carved.is_empty() && all_put_back && all_said;
        let mut references = Vec::new();
        let mut name = |id, reach: Option<&Reach>| {
            let services = match reach {
                Some(reach) if carved.is_empty() => reach.selected.clone(),
                reach => {
                    let services = exact_reference(function, cohorts, id, reach, families);
                    self.pools.services.share(services)
                }
            };
            let (services, all_said) = self.name(services, rung);
            exact &= all_said;
            let services = self.missing(services, &addresses, families);
            if !services.is_empty() {
                references.push((id, services));
            }
        };
        let programmable = |id: &CohortId| {
            cohorts.get(*id).is_some_and(|c| c.programmable() && !c.concession.nameless)
        };
        if carved.is_empty() {
            let singled_out = function.singled_out().filter(|(id, _)| programmable(id));
            singled_out.for_each(|(id, reach)| name(id, Some(reach)));
        } else {
            let all = cohorts.iter().map(|(id, _)| id).filter(programmable);
            all.for_each(|id| name(id, function.reach(id)));
        }
        Grant { addresses, references, carved, exact }
    }

    /// What of it prefix rules can say.
    fn say(
        &mut self,
        addresses: Shared<ByAddress>,
        families: Families,
        rung: Rung,
    ) -> Said<ByAddress> {
        let key = (addresses, families, rung);
        if let Some(known) = self.said.get(&key) {
            return known.clone();
        }
        let said = key.0.map(|family, services| rung.sayable(services, &[family]));
        let all = said == *key.0;
        let said = (self.pools.addresses.share(said.of_families(families)), all);
        self.said.entry(key).or_insert(said).clone()
    }

    /// What of it a reference can say.
    fn name(&mut self, services: Shared<ServiceSet>, rung: Rung) -> Said<ServiceSet> {
        let key = (services, rung);
        if let Some(known) = self.named.get(&key) {
            return known.clone();
        }
        let said = self.pools.services.share(rung.sayable(&key.0, &Family::BOTH));
        let said = (said.clone(), said == key.0);
        self.named.entry(key).or_insert(said).clone()
    }

    /// The shapes that prefix rules do not let through from everywhere: a rule that names pods has to say them.
    fn missing(
        &mut self,
        services: Shared<ServiceSet>,
        addresses: &Shared<ByAddress>,
        families: Families,
    ) -> Shared<ServiceSet> {
        let key = (services, addresses.clone(), families);
        if let Some(known) = self.missing.get(&key) {
            return known.clone();
        }
        let shapes = key.0.maximal_shapes_of_both().into_iter().map(Shape::services);
        let missing = shapes.filter(|shape| !addresses.everywhere(shape, families));
        let missing = missing.fold(ServiceSet::empty(), |all, shape| all.union(&shape));
        let missing = self.pools.services.share(missing);
        self.missing.entry(key).or_insert(missing).clone()
    }

    /// What to take out so that no prefix rule holds the address of a pod that must stay out: the declared pod subnets
    /// if they hold all of them, else the VPC's blocks, without the addresses that are known to be nodes'.
    fn carve(&self, conflicts: &AddressSet) -> AddressSet {
        let declared: AddressSet = self.settings.pod_subnets.iter().copied().collect();
        if declared.contains_all(conflicts) {
            return declared;
        }
        let vpc: AddressSet = self.inventory.vpc.iter().copied().collect();
        let nodes = self.inventory.node_addresses(|_| true);
        vpc.union(&declared).difference(&nodes).union(conflicts)
    }
}

impl Grant {
    /// The services that a reference gives a cohort.
    pub(crate) fn reference(&self, id: CohortId) -> Option<&ServiceSet> {
        let place = self.references.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.references.get(place).map(|(_, services)| &**services)
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
            let selected = (*reach.selected).clone().within(Family::of(address));
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

/// What address peers get is what passes at their addresses; none if it is that already. An address that several pods
/// claim lets through what each of them may; the flag says whether that is all that each address peer may.
fn put_back_address_peers(
    addresses: &ByAddress,
    function: &Function,
    cohorts: &Cohorts<'_>,
) -> (Option<ByAddress>, bool) {
    let mut wanted: BTreeMap<ServiceSet, Vec<Prefix>> = BTreeMap::new();
    let mut all = true;
    for id in cohorts.address_peers().iter().copied() {
        let reach = function.reach(id);
        for address in Family::BOTH.into_iter().flat_map(|family| cohorts.addresses(id, family)) {
            let mut services = function.at(reach, address);
            if let Some(claimants) = cohorts.bearers.claimants(address) {
                let each = claimants.iter().map(|id| function.at(function.reach(*id), address));
                let common = each.fold(services.clone(), |common, one| common.intersection(&one));
                all &= common == services;
                services = common;
            }
            if services != *addresses.at(address) {
                wanted.entry(services).or_default().push(Prefix::host(address));
            }
        }
    }
    if wanted.is_empty() {
        return (None, all);
    }
    let mut addresses = addresses.clone();
    for (services, prefixes) in wanted {
        let here: AddressSet = prefixes.into_iter().collect();
        let nothing = ByAddress::on(&here, &ServiceSet::all());
        let something = ByAddress::on(&here, &services);
        addresses = addresses.join(&nothing, ServiceSet::difference);
        addresses = addresses.join(&something, ServiceSet::union);
    }
    (Some(addresses), all)
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
