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
use crate::net::{AddressSet, Family, ServiceSet};
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
    /// Where each cohort is; empty if no subnet is handed over.
    of: Vec<Homes>,
    /// What never passes at the ends of each cohort inside, whatever its groups say.
    closed: BTreeMap<(CohortId, Direction), Shared<ByAddress>>,
    /// What functions become, once for each.
    widened: HashMap<(Acls, Direction, *const Function), Option<Widened>>,
    /// What is closed for pods of the same homes, once for each.
    known: HashMap<Closed, Shared<ByAddress>>,
    /// Where pods without interfaces of their own send by their node's.
    by_nodes: AddressSet,
}

/// What a function becomes, and what of it the ends at the other side close.
type Widened = (Rc<Function>, Shared<ByAddress>);

/// What is closed for pods in a direction: by the ACLs of their homes, unless they send by their node, and what ends at the other
/// side close.
type Closed = (Homes, Direction, bool, Option<Shared<ByAddress>>);

/// Where the addresses of some pods are: an ACL's place in the list, and a subnet's place among those that it guards. An interface is
/// in one subnet, but what is told late may say that it is in two.
type Homes = ByFamily<Option<(usize, usize)>>;

/// The ACLs of some homes, by their places in the list.
type Acls = ByFamily<Option<usize>>;

/// IPv4 first.
type ByFamily<T> = [T; 2];

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
        let mut guards = Self { by_nodes: inventory.sent_by_nodes(), ..Self::default() };
        for (name, subnets) in plots(inventory) {
            let place = guards.list.len();
            let home = |of: &Cohort, family| {
                let pod = of.pods.first().and_then(|index| inventory.pod(*index));
                let at = pod.and_then(|pod| pod.address(family))?;
                let subnet = subnets.iter().position(|(_, addresses)| addresses.contains(at))?;
                Some((place, subnet))
            };
            guards.of.resize(cohorts.list.len(), Homes::default());
            let mut members = Vec::new();
            for ((id, cohort), of) in cohorts.iter().zip(&mut guards.of) {
                let homes = Family::BOTH.map(|family| home(cohort, family));
                if homes != Homes::default() {
                    members.push((id, homes.map(|home| home.is_some())));
                    of.iter_mut().zip(homes).for_each(|(of, home)| *of = home.or(*of));
                }
            }
            if members.is_empty() {
                continue;
            }
            let parts = subnets.iter().map(|(_, part)| part);
            let addresses = parts.fold(AddressSet::empty(), |all, part| all.union(part));
            let prior = subnets.first().and_then(|(id, _)| inventory.subnets.get(id));
            let prior = prior.and_then(|subnet| inventory.acls.get(&subnet.prior));
            let plot = Plot { cohorts, asked, conceded, inventory, settings, members, addresses };
            guards.list.push(plot.decide(name.clone(), subnets, prior, pools));
        }
        for cohort in cohorts.iter() {
            Direction::BOTH.into_iter().for_each(|it| guards.close(cohort, it, None, pools));
        }
        guards
    }

    /// Notes what is closed for a cohort: by the ACLs for all but those in its own subnets, and what the ends there close.
    fn close(
        &mut self,
        (id, cohort): (CohortId, &Cohort),
        direction: Direction,
        by_ends: Option<Shared<ByAddress>>,
        pools: &mut Pools,
    ) {
        let homes = self.of.get(id as usize).copied().unwrap_or_default();
        if homes == Homes::default() {
            return;
        }
        let (list, by_nodes) = (&self.list, &self.by_nodes);
        let by_node = direction == Direction::Egress && cohort.shares_node();
        let key = (homes, direction, by_node, by_ends);
        let closed = self.known.entry(key).or_insert_with_key(|(.., by_ends)| {
            let by_ends = by_ends.as_deref().cloned().unwrap_or_else(ByAddress::nothing);
            let by_acls = Family::BOTH.into_iter().zip(homes).filter_map(|(family, home)| {
                let (acl, subnet) = home?;
                let guarded = list.get(acl)?;
                let mut past = guarded.subnets.get(subnet)?.1.clone();
                if by_node {
                    past = past.union(by_nodes);
                }
                let past = ByAddress::on(&past, &ServiceSet::all());
                let closed = guarded.closed.get(place(direction))?;
                let families = Family::BOTH.map(|it| it == family);
                Some(closed.join(&past, ServiceSet::difference).of_families(families))
            });
            let all = by_acls.fold(by_ends, |all, one| all.join(&one, ServiceSet::union));
            pools.addresses.share(all)
        });
        self.closed.insert((id, direction), closed.clone());
    }

    /// The cohorts behind an ACL, by its place in the list.
    fn behind(&self, acl: usize) -> impl Iterator<Item = CohortId> {
        let is_behind = move |homes: &Homes| homes.iter().flatten().any(|(at, _)| *at == acl);
        (0..).zip(&self.of).filter(move |(_, homes)| is_behind(homes)).map(|(id, _)| id)
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
        let homes = self.of.get(id as usize).copied().unwrap_or_default();
        let acls = homes.map(|home| home.map(|(acl, _)| acl));
        if !cohort.programmable() || homes == Homes::default() {
            return function;
        }
        let key = (acls, direction, Rc::as_ptr(&function));
        if !self.widened.contains_key(&key) {
            let widened = self.widen(acls, direction, &function, pools);
            self.widened.insert(key, widened);
        }
        let Some((widened, by_ends)) = self.widened.get(&key).cloned().flatten() else {
            return function;
        };
        self.close((id, cohort), direction, Some(by_ends), pools);
        widened
    }

    /// What a function becomes behind these ACLs, and what of it the ends at the other side close; none where it stays.
    fn widen(
        &self,
        acls: Acls,
        direction: Direction,
        function: &Function,
        pools: &mut Pools,
    ) -> Option<Widened> {
        let (mut addresses, mut by_ends) = (None, ByAddress::nothing());
        for acl in BTreeSet::from(acls).into_iter().flatten() {
            let families = acls.map(|it| it == Some(acl));
            let query = (direction, function.addresses.clone(), families);
            let Some(said) = self.list.get(acl).and_then(|it| it.said.get(&query)) else {
                continue;
            };
            let others = addresses.unwrap_or_else(|| (*function.addresses).clone());
            let others = others.of_families(families.map(|it| !it));
            addresses = Some(others.join(&said.addresses, ServiceSet::union));
            by_ends = by_ends.join(&said.by_ends, ServiceSet::union);
        }
        let addresses = pools.addresses.share(addresses?);
        Some((Rc::new(function.widened(addresses)), pools.addresses.share(by_ends)))
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}
