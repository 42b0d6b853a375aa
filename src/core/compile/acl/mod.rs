//! Network ACLs (DESIGN §7): what holds for every pod of some subnets, against addresses, may be denied where packets leave or
//! enter them, instead of being left out of what groups allow.
//!
//! ```text
//! what policies ask of all pods inside ─▶ passing ─▶ deniable ─┐
//!                                                              ├─▶ split ─▶ entries   what the ACL denies
//! what groups would say for each pod ──────────────────────────┘        └▶ said      what groups say instead
//! ```

mod entries;
mod passing;
mod plot;
mod prior;
mod served;
mod split;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::HashMap;
use super::cohort::{Cohort, CohortId, Cohorts, Families};
use super::effective::{ByAddress, Function};
use super::meaning::{ByDirection, place};
use super::shared::{Pools, Shared};
use crate::firewall::{Acl, AclName, Entry, EntryAction, EntryKey, EntryNumber};
use crate::inventory::{Inventory, SubnetId};
use crate::net::{AddressSet, ServiceSet};
use crate::policy::Direction;
use crate::settings::Settings;
pub(crate) use entries::Named;
use plot::Plot;
pub(crate) use prior::{Priors, dropping};
pub(crate) use served::Closers;

/// The subnets that are guarded by one ACL of ours, and what that can do.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// What the configuration calls the ACL.
    pub(crate) name: AclName,
    /// The subnets, with their addresses.
    pub(crate) subnets: Vec<(SubnetId, AddressSet)>,
    /// What its entries deny, in no order.
    pub(crate) denied: ByDirection<Vec<Named>>,
    /// The fewest entries that can do that, in each direction.
    pub(crate) at_least: ByDirection<usize>,
    /// What the entries close.
    closed: ByDirection<ByAddress>,
    /// What groups say instead of what is asked.
    said: HashMap<Query, Said>,
}

/// What groups say instead of what is asked.
#[derive(Clone, Debug)]
struct Said {
    addresses: Shared<ByAddress>,
    /// What of it the ends at the other side close, inside.
    by_ends: Shared<ByAddress>,
}

/// What groups are asked to say for the pods of some subnets, where that makes a difference.
type Query = (Direction, Shared<ByAddress>, Families);

/// What policies ask for each cohort, or what is left of it after concessions.
type Functions = [ByDirection<Option<Rc<Function>>>];

/// Every subnet that an ACL of ours guards.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    /// By ACL.
    pub(crate) list: Vec<Guarded>,
    /// Where each cohort is inside; empty if there is nobody.
    of: Vec<Option<Inside>>,
    /// What never passes at the ends of each cohort inside, whatever its groups say.
    closed: BTreeMap<(CohortId, Direction), Shared<ByAddress>>,
    /// What functions become, once for each.
    widened: HashMap<(usize, Direction, *const Function, Families), Rc<Function>>,
    /// What is closed for the pods of a subnet, once for each.
    known: HashMap<Closed, Shared<ByAddress>>,
}

/// What is closed for the pods of a subnet in a direction: by its ACL, and what ends at the other side close.
type Closed = (Inside, Direction, Option<Shared<ByAddress>>);

/// An ACL's place in the list, and a subnet's place among those that it guards, if that one holds all addresses of the pods.
type Inside = (usize, Option<usize>);

/// The addresses of each subnet: pods inside and outside of one are never alike.
pub(crate) fn addresses(inventory: &Inventory) -> BTreeSet<AddressSet> {
    plots(inventory).into_values().flatten().map(|(_, addresses)| addresses).collect()
}

/// The subnets of each ACL of ours that it can guard, with their addresses. A subnet that holds others than pods is left alone, and
/// so is one whose own ACL is another one than that of the first: one list cannot follow two.
fn plots(inventory: &Inventory) -> BTreeMap<&AclName, Vec<(SubnetId, AddressSet)>> {
    let mut plots: BTreeMap<&AclName, Vec<(SubnetId, AddressSet)>> = BTreeMap::new();
    for (id, subnet, _) in inventory.handed_over().filter(|(.., left_alone)| left_alone.is_none()) {
        let blocks = subnet.blocks.iter().copied().collect();
        plots.entry(&subnet.acl).or_default().push((id.clone(), blocks));
    }
    plots
}

impl Guarded {
    /// The ACL: denies first, then the entries of the one before it, in their order; none if there is nothing to deny.
    pub(crate) fn acl(&self, prior: &Acl) -> Option<Acl> {
        let mut acl = Acl::default();
        for (direction, denied) in Direction::BOTH.into_iter().zip(&self.denied) {
            let theirs = prior.0.iter().filter(|(key, _)| key.direction == direction);
            let theirs = (COPIES..).step_by(STEP).zip(theirs.map(|(_, entry)| *entry));
            for (number, entry) in (1..).zip(denied.iter().copied().map(deny)).chain(theirs) {
                let number = EntryNumber::try_from(number).ok()?;
                acl.0.insert(EntryKey { direction, number }, entry);
            }
        }
        (!self.denied.iter().all(Vec::is_empty)).then_some(acl)
    }
}

/// The entry that denies this.
pub(crate) const fn deny((prefix, shape): Named) -> Entry {
    Entry { action: EntryAction::Deny, prefix, shape }
}

/// Where the entries of the ACL before ours begin, and how far they are apart: with room in front of them, where others take their
/// place.
const COPIES: u16 = 30_000;
const STEP: usize = 10;

impl Guards {
    /// Decides what ACLs deny, and what groups may say instead of what is `asked`; they say `conceded` where some gave something
    /// up.
    pub(crate) fn new(
        cohorts: &Cohorts<'_>,
        asked: &Functions,
        conceded: &Functions,
        inventory: &Inventory,
        settings: &Settings,
        pools: &mut Pools,
    ) -> Self {
        let mut guards = Self::default();
        for (name, subnets) in plots(inventory) {
            let around = |at| subnets.iter().position(|(_, addresses)| addresses.contains(at));
            let inside = |id: CohortId| {
                let placed = cohorts.placed(id);
                let places: BTreeSet<Option<usize>> = placed.map(|(_, at)| around(at)).collect();
                let one = places.iter().copied().find(Option::is_some)?;
                Some(one.filter(|_| places.len() == 1))
            };
            let ids = cohorts.iter().map(|(id, _)| id);
            let members: Vec<(CohortId, Option<usize>)> =
                ids.filter_map(|id| Some((id, inside(id)?))).collect();
            if members.is_empty() {
                continue;
            }
            let parts = subnets.iter().map(|(_, part)| part);
            let addresses = parts.fold(AddressSet::empty(), |all, part| all.union(part));
            let prior = subnets.first().and_then(|(id, _)| inventory.subnets.get(id));
            let prior = prior.and_then(|subnet| inventory.acls.get(&subnet.prior));
            let place = guards.list.len();
            guards.of.resize(cohorts.list.len(), None);
            for (id, subnet) in &members {
                if let Some(slot) = guards.of.get_mut(*id as usize) {
                    *slot = Some((place, *subnet));
                }
            }
            let whole = members.iter().filter(|(_, subnet)| subnet.is_some());
            let whole = whole.map(|(id, _)| *id).collect();
            let members = members.into_iter().map(|(id, _)| id).collect();
            let plot =
                Plot { cohorts, asked, conceded, inventory, settings, members, whole, addresses };
            guards.list.push(plot.decide(name.clone(), subnets, prior, pools));
            for id in plot.whole {
                Direction::BOTH.into_iter().for_each(|it| guards.close(id, it, None, pools));
            }
        }
        guards
    }

    /// Notes what is closed for a cohort: by the ACL for all but those in its own subnet, and what the ends there close.
    fn close(
        &mut self,
        id: CohortId,
        direction: Direction,
        by_ends: Option<Shared<ByAddress>>,
        pools: &mut Pools,
    ) {
        let inside = self.of.get(id as usize).copied().flatten();
        let Some(inside @ (acl, Some(subnet))) = inside else { return };
        let (by_acl, own) = match self.list.get(acl) {
            Some(guarded) => (guarded.closed.get(place(direction)), guarded.subnets.get(subnet)),
            None => (None, None),
        };
        let (Some(by_acl), Some((_, own))) = (by_acl, own) else { return };
        let closed = self.known.entry((inside, direction, by_ends)).or_insert_with_key(|key| {
            let own = ByAddress::on(own, &ServiceSet::all());
            let closed = by_acl.join(&own, ServiceSet::difference);
            pools.addresses.share(match &key.2 {
                Some(by_ends) => closed.join(by_ends, ServiceSet::union),
                None => closed,
            })
        });
        self.closed.insert((id, direction), closed.clone());
    }

    /// The cohorts behind an ACL, by its place in the list.
    fn behind(&self, acl: usize) -> impl Iterator<Item = CohortId> {
        let ids = (0..).zip(&self.of);
        ids.filter(move |(_, inside)| inside.is_some_and(|(at, _)| at == acl)).map(|(id, _)| id)
    }

    /// What never passes at a cohort's end, whatever its groups say; none outside.
    pub(crate) fn closed(&self, id: CohortId, direction: Direction) -> Option<&Shared<ByAddress>> {
        self.closed.get(&(id, direction))
    }

    /// What groups are told for a cohort in a direction.
    pub(crate) fn said(
        &mut self,
        (id, cohort): (CohortId, &Cohort),
        direction: Direction,
        function: Rc<Function>,
        pools: &mut Pools,
    ) -> Rc<Function> {
        let families = cohort.families;
        let query = (direction, function.addresses.clone(), families);
        let inside = self.of.get(id as usize).copied().flatten();
        let guarded = inside.filter(|(_, subnet)| subnet.is_some() && cohort.programmable());
        let said = guarded
            .and_then(|(place, _)| Some((place, self.list.get(place)?.said.get(&query)?.clone())));
        let Some((place, said)) = said else { return function };
        self.close(id, direction, Some(said.by_ends), pools);
        let key = (place, direction, Rc::as_ptr(&function), families);
        let widened = || Rc::new(function.widened(said.addresses));
        self.widened.entry(key).or_insert_with(widened).clone()
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}
