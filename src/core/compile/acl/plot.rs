//! The pods behind one ACL: what it denies for all of them, and what their groups say beside it.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::super::HashMap;
use super::super::cohort::{Carrier, Cohort, CohortId, Cohorts, Families, has};
use super::super::concession::Concession;
use super::super::effective::{ByAddress, Function};
use super::super::meaning::place;
use super::super::shared::Pools;
use super::entries::{Deniable, Entries};
use super::passing::Passing;
use super::split::{Asked, Ground, Split, split};
use super::{Functions, Guarded, Query, Said, opposite};
use crate::firewall::{Acl, AclName};
use crate::inventory::{Inventory, SubnetId};
use crate::net::{Address, AddressSet, Family, Intervals, ServiceSet, StepFunction};
use crate::policy::Direction;
use crate::settings::Settings;

/// The pods behind one ACL, and what is asked for them.
pub(super) struct Plot<'x, 'a> {
    pub(super) cohorts: &'x Cohorts<'a>,
    pub(super) asked: &'x Functions,
    pub(super) conceded: &'x Functions,
    pub(super) inventory: &'x Inventory,
    pub(super) settings: &'x Settings,
    /// With the families of their addresses there.
    pub(super) members: Vec<(CohortId, Families)>,
    pub(super) addresses: AddressSet,
}

impl Plot<'_, '_> {
    /// What the ACL denies, and what groups say beside it.
    pub(super) fn decide(
        &self,
        name: AclName,
        subnets: Vec<(SubnetId, AddressSet)>,
        prior: Option<&Acl>,
        pools: &mut Pools,
    ) -> Guarded {
        let members = self
            .members
            .iter()
            .filter_map(|(id, families)| Some((*families, self.asked.get(*id as usize)?)));
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
        let v4 = self.family(&queries, direction, &deniable.v4, &admitted, room(Family::V4));
        let v6 = self.family(&queries, direction, &deniable.v6, &admitted, room(Family::V6));
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
        let certain = self.cohorts().all(|(cohort, _)| {
            let Carrier::Programmable(prior) = &cohort.carrier else { return false };
            // What does not fit may hold what it had before.
            let is_held = *cohort.concession != Concession::default();
            !is_held && prior.iter().all(|group| !self.settings.keep_groups.contains(group))
        });
        if !certain {
            return ServiceSet::all();
        }
        let inside = ByAddress::on(&self.addresses, &ServiceSet::all());
        every(&passing.towards(direction).join(&inside, ServiceSet::intersection))
    }

    /// The members, with the families of their addresses there.
    fn cohorts(&self) -> impl Iterator<Item = (&Cohort, Families)> {
        self.members.iter().filter_map(|(id, of)| Some((self.cohorts.get(*id)?, *of)))
    }

    /// What groups are asked to say in a direction, with how many kinds of pods ask.
    fn queries(&self, direction: Direction) -> Vec<(Query, usize)> {
        let mut places: HashMap<Query, usize> = HashMap::default();
        let mut queries: Vec<(Query, BTreeSet<*const Function>)> = Vec::new();
        for (id, families) in &self.members {
            if !self.cohorts.get(*id).is_some_and(Cohort::programmable) {
                continue;
            }
            let functions = self.conceded.get(*id as usize);
            let function = functions.and_then(|both| both.get(place(direction))?.as_ref());
            let Some(function) = function else { continue };
            let query = (direction, function.addresses.clone(), *families);
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

    /// How many entries of ours there is room for beside those that the ACL before ours has, and the final deny. Half of it is left
    /// free, so that what is denied and what is to be denied can always stand side by side while groups change.
    fn room(&self, prior: Option<&Acl>, direction: Direction, family: Family) -> usize {
        let taken = prior
            .iter()
            .flat_map(|acl| &acl.0)
            .filter(|(key, entry)| key.direction == direction && entry.prefix.family() == family);
        self.settings.quotas.entries_per_acl.saturating_sub(taken.count() + 1) / 2
    }

    /// Where nothing but the ACL closes anything for some pods whose groups are not ours to say: none if there are none.
    fn bare<T: Address>(&self, direction: Direction) -> Option<Intervals<T>> {
        let outside = T::of(&self.addresses).complement();
        let by_nodes = self.inventory.sent_by_nodes();
        let bare = self
            .cohorts()
            .filter(|(cohort, families)| !cohort.programmable() && has(*families, T::FAMILY));
        let kinds: BTreeSet<bool> = bare.map(|(cohort, _)| cohort.shares_node()).collect();
        let there = kinds.into_iter().map(|shares_node| match direction {
            Direction::Egress if shares_node => outside.difference(T::of(&by_nodes)),
            Direction::Egress | Direction::Ingress => outside.clone(),
        });
        there.reduce(|all, some| all.union(&some))
    }

    fn family<T: OfFamily>(
        &self,
        queries: &[(Query, usize)],
        direction: Direction,
        deniable: &StepFunction<T, ServiceSet>,
        admitted: &ServiceSet,
        room: usize,
    ) -> Split<T> {
        let line = ServiceSet::line(T::FAMILY);
        let wanted = self.bare(direction).map(|bare| {
            let bare = StepFunction::indicator(&bare, line.clone(), ServiceSet::empty());
            deniable.map2(&bare, ServiceSet::intersection)
        });
        let asked = queries.iter().map(|((_, addresses, families), users)| {
            let nothing = StepFunction::constant(ServiceSet::empty());
            let owned = has(*families, T::FAMILY);
            let function = if owned { T::of_function(addresses).clone() } else { nothing };
            Asked { function, users: *users }
        });
        let asked: Vec<Asked<T>> = asked.collect();
        let ground = Ground {
            deniable: Deniable::new(deniable.clone()),
            inside: T::of(&self.addresses).clone(),
            // Who starts open tomorrow closes nothing then.
            closed_inside: match self.settings.quarantine {
                true => line.difference(admitted),
                false => ServiceSet::empty(),
            },
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
pub(super) fn closing<T: Address>(entries: &Entries) -> StepFunction<T, ServiceSet> {
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
