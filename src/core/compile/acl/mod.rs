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
mod split;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::HashMap;
use super::cohort::{Carrier, Cohort, CohortId, Cohorts, Families, has};
use super::effective::{ByAddress, Function};
use super::meaning::{ByDirection, place};
use super::shared::{Pools, Shared};
use crate::firewall::{Acl, AclName, Entry, EntryAction, EntryKey, EntryNumber};
use crate::inventory::{Inventory, SubnetId};
use crate::net::{Address, AddressSet, Family, ServiceSet, StepFunction};
use crate::policy::Direction;
use crate::settings::Settings;
pub(crate) use entries::Named;
use entries::{Deniable, Entries};
use passing::Passing;
use split::{Asked, Ground, Split, split};

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

/// An ACL's place in the list, and a subnet's place among those that it guards.
type Inside = (usize, usize);

/// The addresses of each subnet: pods inside and outside of one are never alike.
pub(crate) fn addresses(inventory: &Inventory) -> BTreeSet<AddressSet> {
    plots(inventory).into_values().flatten().map(|(_, addresses)| addresses).collect()
}

/// The subnets of each ACL of ours that it can guard, with their addresses. A subnet that holds others than pods is left alone, and
/// so is one whose own ACL is another one than that of the first: one list cannot follow two.
fn plots(inventory: &Inventory) -> BTreeMap<&AclName, Vec<(SubnetId, AddressSet)>> {
    let mut plots: BTreeMap<&AclName, Vec<(SubnetId, AddressSet)>> = BTreeMap::new();
    let mut priors: BTreeMap<&AclName, Option<&Acl>> = BTreeMap::new();
    for (id, subnet) in inventory.subnets.iter().filter(|(_, subnet)| !subnet.has_others) {
        let prior = inventory.acls.get(&subnet.prior);
        if prior.is_none() || *priors.entry(&subnet.acl).or_insert(prior) != prior {
            continue;
        }
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
            let deny = |(prefix, shape): &Named| Entry {
                action: EntryAction::Deny,
                prefix: *prefix,
                shape: *shape,
            };
            let theirs = prior.0.iter().filter(|(key, _)| key.direction == direction);
            let theirs = (THEIRS..).step_by(STEP).zip(theirs.map(|(_, entry)| *entry));
            for (number, entry) in (1..).zip(denied.iter().map(deny)).chain(theirs) {
                let number = EntryNumber::try_from(number).ok()?;
                acl.0.insert(EntryKey { direction, number }, entry);
            }
        }
        (!self.denied.iter().all(Vec::is_empty)).then_some(acl)
    }
}

/// Where the entries of the ACL before ours begin, and how far they are apart.
const THEIRS: u16 = 10_000;
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
            let inside = |id: CohortId| {
                let mut addresses = cohorts.placed(id).map(|(_, address)| address);
                addresses.find_map(|at| subnets.iter().position(|(_, set)| set.contains(at)))
            };
            let ids = cohorts.iter().map(|(id, _)| id);
            let members: Vec<(CohortId, usize)> =
                ids.filter_map(|id| Some((id, inside(id)?))).collect();
            if members.is_empty() {
                continue;
            }
            let mut parts = subnets.iter().map(|(_, part)| part);
            let addresses = parts.by_ref().fold(AddressSet::empty(), |all, it| all.union(it));
            let prior = subnets.first().and_then(|(id, _)| inventory.subnets.get(id));
            let prior = prior.and_then(|subnet| inventory.acls.get(&subnet.prior));
            let place = guards.list.len();
            guards.of.resize(cohorts.list.len(), None);
            for (id, subnet) in &members {
                if let Some(slot) = guards.of.get_mut(*id as usize) {
                    *slot = Some((place, *subnet));
                }
            }
            let members = members.into_iter().map(|(id, _)| id).collect();
            let plot = Plot { cohorts, asked, conceded, inventory, settings, members, addresses };
            guards.list.push(plot.decide(name.clone(), subnets, prior, pools));
            for id in plot.members {
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
        let Some(inside) = self.of.get(id as usize).copied().flatten() else { return };
        let (by_acl, own) = match self.list.get(inside.0) {
            Some(guarded) => (guarded.closed.get(place(direction)), guarded.subnets.get(inside.1)),
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
        let guarded = inside.filter(|_| cohort.programmable());
        let said = guarded
            .and_then(|(place, _)| Some((place, self.list.get(place)?.said.get(&query)?.clone())));
        let Some((place, said)) = said else { return function };
        self.close(id, direction, Some(said.by_ends), pools);
        let key = (place, direction, Rc::as_ptr(&function), families);
        let widened = || Rc::new(function.widened(said.addresses));
        self.widened.entry(key).or_insert_with(widened).clone()
    }
}

// -------------------------------------------------------------------------------------------------- Plot

/// The pods behind one ACL, and what is asked for them.
struct Plot<'x, 'a> {
    cohorts: &'x Cohorts<'a>,
    asked: &'x Functions,
    conceded: &'x Functions,
    inventory: &'x Inventory,
    settings: &'x Settings,
    members: Vec<CohortId>,
    addresses: AddressSet,
}

impl Plot<'_, '_> {
    fn decide(
        &self,
        name: AclName,
        subnets: Vec<(SubnetId, AddressSet)>,
        prior: Option<&Acl>,
        pools: &mut Pools,
    ) -> Guarded {
        let members = self.members.iter().filter_map(|id| {
            Some((self.cohorts.get(*id)?.families, self.asked.get(*id as usize)?))
        });
        let passing = Passing::new(members, self.cohorts, self.inventory);
        let mut said = HashMap::default();
        // What ends at one side say beyond what is asked, those at the other must close: first come, first served.
        let egress = self.towards(Direction::Egress, prior, &passing, &ServiceSet::empty());
        let fills = self.collect(&egress, &mut said, pools);
        let ingress = self.towards(Direction::Ingress, prior, &passing, &fills);
        self.collect(&ingress, &mut said, pools);
        let both = [ingress, egress];
        let at_least = both.each_ref().map(|one| one.v4.entries.at_least + one.v6.entries.at_least);
        let closed = both.each_ref().map(|one| one.closed.clone());
        let denied =
            both.map(|one| one.v4.entries.named.into_iter().chain(one.v6.entries.named).collect());
        Guarded { name, subnets, denied, at_least, closed, said }
    }

    /// Splits one direction; the other one `fills` more inside than is asked of it.
    fn towards(
        &self,
        direction: Direction,
        prior: Option<&Acl>,
        passing: &Passing,
        fills: &ServiceSet,
    ) -> Towards {
        let admitted = self.admitted(passing, opposite(direction)).union(fills);
        let deniable = passing.deniable(direction, self.settings.client_ports);
        let queries = self.queries(direction);
        let room = |family| self.room(prior, direction, family);
        let inside = &self.addresses;
        let v4 = self.family(&queries, &deniable.v4, &inside.v4, &admitted, room(Family::V4));
        let v6 = self.family(&queries, &deniable.v6, &inside.v6, &admitted, room(Family::V6));
        let closed = ByAddress { v4: closing(&v4.entries), v6: closing(&v6.entries) };
        Towards { queries, v4, v6, closed }
    }

    /// Notes what groups say instead of what is asked. What they say more inside.
    fn collect(
        &self,
        towards: &Towards,
        said: &mut HashMap<Query, Said>,
        pools: &mut Pools,
    ) -> ServiceSet {
        let here = ByAddress::on(&self.addresses, &ServiceSet::all());
        let mut fills = ServiceSet::empty();
        let functions = towards.v4.said.iter().zip(&towards.v6.said);
        for ((query, _), (v4, v6)) in towards.queries.iter().zip(functions) {
            let addresses = ByAddress { v4: v4.clone(), v6: v6.clone() };
            let more = addresses.join(&query.1, ServiceSet::difference);
            if every(&more).is_empty() {
                continue;
            }
            let more = more.join(&here, ServiceSet::intersection);
            fills = fills.union(&every(&more));
            let addresses = pools.addresses.share(addresses);
            said.insert(query.clone(), Said { addresses, by_ends: pools.addresses.share(more) });
        }
        fills
    }

    /// What passes at the ends of pods inside, from or to addresses inside. Of pods whose groups are not ours to say, everything.
    fn admitted(&self, passing: &Passing, direction: Direction) -> ServiceSet {
        let certain = self.members.iter().filter_map(|id| self.cohorts.get(*id)).all(|cohort| {
            let Carrier::Programmable(prior) = &cohort.carrier else { return false };
            prior.iter().all(|group| !self.settings.keep_groups.contains(group))
        });
        if !certain {
            return ServiceSet::all();
        }
        let inside = ByAddress::on(&self.addresses, &ServiceSet::all());
        every(&passing.towards(direction).join(&inside, ServiceSet::intersection))
    }

    /// What groups are asked to say in a direction, with how many kinds of pods ask.
    fn queries(&self, direction: Direction) -> Vec<(Query, usize)> {
        let mut places: HashMap<Query, usize> = HashMap::default();
        let mut queries: Vec<(Query, BTreeSet<*const Function>)> = Vec::new();
        for id in &self.members {
            let Some(cohort) = self.cohorts.get(*id).filter(|cohort| cohort.programmable()) else {
                continue;
            };
            let functions = self.conceded.get(*id as usize);
            let function = functions.and_then(|both| both.get(place(direction))?.as_ref());
            let Some(function) = function else { continue };
            let query = (direction, function.addresses.clone(), cohort.families);
            let place = *places.entry(query.clone()).or_insert_with(|| {
                queries.push((query, BTreeSet::new()));
                queries.len() - 1
            });
            if let Some((_, users)) = queries.get_mut(place) {
                users.insert(Rc::as_ptr(function));
            }
        }
        queries.into_iter().map(|(query, users)| (query, users.len())).collect()
    }

    /// How many entries of ours there is room for beside those that the ACL before ours has, and the final deny.
    fn room(&self, prior: Option<&Acl>, direction: Direction, family: Family) -> usize {
        let taken = prior
            .iter()
            .flat_map(|acl| &acl.0)
            .filter(|(key, entry)| key.direction == direction && entry.prefix.family() == family);
        self.settings.quotas.entries_per_acl.saturating_sub(taken.count() + 1)
    }

    fn family<T: OfFamily>(
        &self,
        queries: &[(Query, usize)],
        deniable: &StepFunction<T, ServiceSet>,
        inside: &crate::net::Intervals<T>,
        admitted: &ServiceSet,
        room: usize,
    ) -> Split<T> {
        let line = ServiceSet::line(T::FAMILY);
        let untouchable = self.members.iter().filter_map(|id| self.cohorts.get(*id));
        let untouchable = untouchable
            .filter(|cohort| !cohort.programmable())
            .any(|cohort| has(cohort.families, T::FAMILY));
        let outside = StepFunction::indicator(inside, ServiceSet::empty(), line.clone());
        let wanted = untouchable.then(|| deniable.map2(&outside, ServiceSet::intersection));
        let asked = queries.iter().map(|((_, addresses, families), users)| {
            let nothing = StepFunction::constant(ServiceSet::empty());
            let owned = has(*families, T::FAMILY);
            let function = if owned { T::of_function(addresses).clone() } else { nothing };
            Asked { function, users: *users }
        });
        let asked: Vec<Asked<T>> = asked.collect();
        let ground = Ground {
            deniable: Deniable::new(deniable.clone()),
            inside: inside.clone(),
            closed_inside: line.difference(admitted),
            room,
        };
        split(&ground, &asked, wanted)
    }
}

/// One direction, split.
struct Towards {
    queries: Vec<(Query, usize)>,
    v4: Split<u32>,
    v6: Split<u128>,
    /// What the entries close.
    closed: ByAddress,
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

/// The part of a function that is about addresses of a family.
trait OfFamily: Address {
    fn of_function(function: &ByAddress) -> &StepFunction<Self, ServiceSet>;
}

impl OfFamily for u32 {
    fn of_function(function: &ByAddress) -> &StepFunction<Self, ServiceSet> {
        &function.v4
    }
}

impl OfFamily for u128 {
    fn of_function(function: &ByAddress) -> &StepFunction<Self, ServiceSet> {
        &function.v6
    }
}

/// What entries close.
fn closing<T: Address>(entries: &Entries) -> StepFunction<T, ServiceSet> {
    let mut closed = StepFunction::constant(ServiceSet::empty());
    for (prefix, shape) in &entries.named {
        let here = AddressSet::from(*prefix);
        let services = shape.services().within(T::FAMILY);
        let here = StepFunction::indicator(T::of(&here), services, ServiceSet::empty());
        closed = closed.map2(&here, ServiceSet::union);
    }
    closed
}

/// All services that some address has.
fn every(function: &ByAddress) -> ServiceSet {
    let v4 = function.v4.pieces().map(|(_, services)| services);
    let v6 = function.v6.pieces().map(|(_, services)| services);
    v4.chain(v6).fold(ServiceSet::empty(), |all, services| all.union(services))
}
