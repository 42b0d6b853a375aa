//! The tiers of a program folded into one exact function from the other end to the services that pass.
//!
//! Deny and Pass are set operations; no rule list is ever expanded. Addresses are folded once for each way in which they
//! lie in the address sets of the program, pods once for each set of selectors that selects them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::HashMap;
use super::cohort::{CohortId, Cohorts, Families, SetId};
use super::fold::{Loosen, Remote, fold};
use super::program::{AddressesId, Matcher, Program, Programs};
use super::shared::{Pool, Shared};
use crate::inventory::NamedPort;
use crate::net::{Address, AddressSet, Family, ServiceSet, StepFunction};
use crate::policy::Direction;

/// What passes between a cohort and everyone else in one direction, as far as this end decides.
///
/// Pods that no selector of the program singles out are like their addresses (invariant `BaseIsAddress`): only
/// selectors and named ports of peers tell a pod from its address.
#[derive(Debug)]
pub(crate) struct Function {
    /// For every address, as if no pod bore it.
    pub(crate) addresses: Shared<ByAddress>,
    /// For pods that a selector singles out.
    roles: Vec<Reach>,
    /// The cohorts that are singled out, sorted, with their places in `roles`.
    singled_out: Vec<(CohortId, usize)>,
}

/// Services by address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ByAddress {
    /// For IPv4.
    pub(crate) v4: StepFunction<u32, ServiceSet>,
    /// For IPv6.
    pub(crate) v6: StepFunction<u128, ServiceSet>,
}

/// What passes between a cohort and pods that its selectors cannot tell apart.
#[derive(Debug)]
pub(crate) struct Reach {
    /// What they get by being selected, wherever their addresses lie; without what settings open.
    pub(crate) selected: Shared<ServiceSet>,
    /// What passes in all, by their address. None: what their address gets and what they get by being selected.
    pub(crate) exact: Option<ByAddress>,
}

/// The sets of a program that select a pod, sorted, and its named ports if the program names ports of its peers.
type Role<'a> = (Vec<SetId>, &'a [NamedPort]);

// ----------------------------------------------------------------------------------------------- Function

impl Function {
    /// Folds a program whose `addresses` are [known](Self::by_address).
    pub(crate) fn new(
        programs: &Programs,
        program: &Program,
        addresses: Shared<ByAddress>,
        cohorts: &Cohorts<'_>,
        pool: &mut Pool<ServiceSet>,
    ) -> Self {
        let atoms = (!program.only_accepts()).then(|| Atoms::new(programs, program));
        let mut known: HashMap<Role<'_>, usize> = HashMap::default();
        let mut roles = Vec::new();
        let singled_out = program.singled_out(programs, cohorts);
        let place = |(id, (sets, ports))| {
            let role = *known.entry((sets, ports)).or_insert_with_key(|(sets, ports)| {
                let remote = Remote { pod: Some((sets, ports)), within: &[] };
                let selected = pool.share(fold(programs, program, &remote, Loosen::Never));
                let atoms = atoms.as_ref();
                let exact = atoms.map(|atoms| atoms.fold(programs, program, Some((sets, ports))));
                roles.push(Reach { selected, exact });
                roles.len() - 1
            });
            (id, role)
        };
        let singled_out = singled_out.into_iter().map(place).collect();
        Self { addresses, roles, singled_out }
    }

    /// What passes for every address, as if no pod bore it: selectors have no say in it.
    pub(crate) fn by_address(programs: &Programs, program: &Program) -> ByAddress {
        Atoms::new(programs, program).fold(programs, program, None)
    }

    /// The same with more at addresses: what passes there for everyone, since something else closes it.
    pub(crate) fn widened(&self, addresses: Shared<ByAddress>) -> Self {
        let more = addresses.join(&self.addresses, ServiceSet::difference);
        let widened = |reach: &Reach| Reach {
            selected: reach.selected.clone(),
            exact: reach.exact.as_ref().map(|exact| exact.join(&more, ServiceSet::union)),
        };
        let roles = self.roles.iter().map(widened).collect();
        Self { addresses, roles, singled_out: self.singled_out.clone() }
    }

    /// The cohorts that are singled out, in order.
    pub(crate) fn singled_out(&self) -> impl Iterator<Item = (CohortId, &Reach)> + '_ {
        self.singled_out.iter().filter_map(|(id, role)| Some((*id, self.roles.get(*role)?)))
    }

    /// How a cohort is singled out, if it is.
    pub(crate) fn reach(&self, id: CohortId) -> Option<&Reach> {
        let place = self.singled_out.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.roles.get(self.singled_out.get(place)?.1)
    }

    /// What passes between the owner and a pod at an address.
    pub(crate) fn at(&self, reach: Option<&Reach>, address: IpAddr) -> ServiceSet {
        let by_address = self.addresses.at(address);
        match reach {
            None => by_address.clone(),
            Some(Reach { exact: Some(exact), .. }) => exact.at(address).clone(),
            Some(Reach { exact: None, selected }) => {
                by_address.union(&(**selected).clone().within(Family::of(address)))
            }
        }
    }

    /// Whether the owner has an accepted tcp or udp flow in a family: with any address, or with a pod other than itself.
    pub(crate) fn accepts_flows(
        &self,
        cohorts: &Cohorts<'_>,
        owner: CohortId,
        family: Family,
    ) -> bool {
        let flows = |services: &ServiceSet| !services.tcp.is_empty() || !services.udp.is_empty();
        let by_address = self.addresses.addresses_where(flows);
        let by_address = match family {
            Family::V4 => !by_address.v4.is_empty(),
            Family::V6 => !by_address.v6.is_empty(),
        };
        by_address
            || self.singled_out().any(|(id, reach)| {
                let mut others = cohorts.addresses(id, family);
                if id == owner && others.next().is_none() {
                    return false;
                }
                match &reach.exact {
                    None => flows(&reach.selected) && others.next().is_some(),
                    Some(exact) => others.any(|address| flows(exact.at(address))),
                }
            })
    }
}

impl Program {
    /// Whether it is a union of accepts: pods get what their addresses get, and what they get by being selected.
    fn only_accepts(&self) -> bool {
        self.admin.is_empty() && self.accepts.is_some()
    }

    /// Whether the owner of a union of accepts has an accepted tcp or udp flow in a family, by a look at its rules; none
    /// if folding has to tell.
    pub(crate) fn accepts_flows(
        &self,
        programs: &Programs,
        cohorts: &Cohorts<'_>,
        owner: CohortId,
        family: Family,
    ) -> Option<bool> {
        let flows = |services: &ServiceSet| !services.tcp.is_empty() || !services.udp.is_empty();
        let has = |id: AddressesId| match family {
            Family::V4 => !programs.addresses(id).v4.is_empty(),
            Family::V6 => !programs.addresses(id).v6.is_empty(),
        };
        let others =
            |id: CohortId| cohorts.addresses(id, family).nth(usize::from(id == owner)).is_some();
        if !self.only_accepts() || self.matchers(programs).any(|matcher| !matcher.names.is_empty())
        {
            return None;
        }
        let from_nodes = has(programs.nodes) && flows(&programs.opens_to_nodes(self));
        let by_rule = |matcher: &Matcher| {
            let mut members = matcher.pods.iter().flat_map(|set| cohorts.members(*set)).copied();
            flows(&matcher.services)
                && (matcher.anyone || matcher.addresses.is_some_and(has) || members.any(others))
        };
        Some(from_nodes || self.matchers(programs).any(by_rule))
    }

    /// The address sets that it looks at.
    pub(crate) fn address_sets<'a>(
        &'a self,
        programs: &'a Programs,
    ) -> impl Iterator<Item = AddressSet> + 'a {
        let sets = self.matchers(programs).filter_map(|matcher| matcher.addresses);
        sets.chain([programs.nodes]).map(|id| programs.addresses(id).clone())
    }

    fn matchers<'a>(&'a self, programs: &'a Programs) -> impl Iterator<Item = &'a Matcher> + 'a {
        let tiers = self.admin.iter().chain(self.accepts.iter().flatten()).chain(&self.baseline);
        tiers.flat_map(|list| programs.list(*list))
    }

    /// The cohorts that some selector of the program selects, with the sets that hold them and, where the program
    /// names ports of its peers, their ports. Sorted.
    fn singled_out<'c>(
        &self,
        programs: &Programs,
        cohorts: &'c Cohorts<'_>,
    ) -> Vec<(CohortId, Role<'c>)> {
        let sets: BTreeSet<SetId> =
            self.matchers(programs).flat_map(|matcher| &matcher.pods).copied().collect();
        let mut pairs: Vec<(CohortId, SetId)> = Vec::new();
        for set in sets {
            pairs.extend(cohorts.members(set).iter().map(|id| (*id, set)));
        }
        pairs.sort_unstable();
        let names = self.matchers(programs).any(|matcher| !matcher.names.is_empty());
        let mut found: Vec<(CohortId, Role<'_>)> = Vec::new();
        for (id, set) in pairs {
            match found.last_mut() {
                Some((last, (sets, _))) if *last == id => sets.push(set),
                Some(_) | None => {
                    let ports = cohorts.get(id).filter(|_| names).map_or(&[][..], |c| &c.ports);
                    found.push((id, (vec![set], ports)));
                }
            }
        }
        if names && self.matchers(programs).any(|matcher| matcher.anyone) {
            let known: BTreeSet<CohortId> = found.iter().map(|(id, _)| *id).collect();
            let others = cohorts
                .iter()
                .filter(|(id, cohort)| !cohort.ports.is_empty() && !known.contains(id));
            found.extend(others.map(|(id, cohort)| (id, (Vec::new(), &*cohort.ports))));
            found.sort_unstable_by_key(|(id, _)| *id);
        }
        found
    }
}

// ---------------------------------------------------------------------------------------------- ByAddress

impl ByAddress {
    /// The services at an address.
    pub(crate) fn at(&self, address: IpAddr) -> &ServiceSet {
        match address {
            IpAddr::V4(address) => self.v4.at(address.into()),
            IpAddr::V6(address) => self.v6.at(address.into()),
        }
    }

    /// Two functions joined address by address.
    pub(crate) fn join(
        &self,
        other: &Self,
        join: impl Fn(&ServiceSet, &ServiceSet) -> ServiceSet,
    ) -> Self {
        Self { v4: self.v4.map2(&other.v4, &join), v6: self.v6.map2(&other.v6, &join) }
    }

    /// The function of the services, by family.
    pub(crate) fn map(&self, change: impl Fn(Family, &ServiceSet) -> ServiceSet) -> Self {
        Self {
            v4: self.v4.map(|services| change(Family::V4, services)),
            v6: self.v6.map(|services| change(Family::V6, services)),
        }
    }

    /// Nothing in the families that the owner has no address of.
    pub(crate) fn of_families(self, families: Families) -> Self {
        let nothing = ServiceSet::empty();
        let [v4, v6] = families;
        Self {
            v4: if v4 { self.v4 } else { StepFunction::constant(nothing.clone()) },
            v6: if v6 { self.v6 } else { StepFunction::constant(nothing) },
        }
    }

    /// Whether services pass at every address of these families.
    pub(crate) fn everywhere(&self, services: &ServiceSet, families: Families) -> bool {
        let [v4, v6] = families;
        let wanted = Family::BOTH.map(|family| services.clone().within(family));
        (!v4 || self.v4.pieces().all(|(_, here)| here.contains_all(&wanted[0])))
            && (!v6 || self.v6.pieces().all(|(_, here)| here.contains_all(&wanted[1])))
    }

    /// No services anywhere.
    pub(crate) fn nothing() -> Self {
        Self::on(&AddressSet::empty(), &ServiceSet::empty())
    }

    /// These services at the addresses of a set, none elsewhere.
    pub(crate) fn on(set: &AddressSet, services: &ServiceSet) -> Self {
        let inside = |family| services.clone().within(family);
        Self {
            v4: StepFunction::indicator(&set.v4, inside(Family::V4), ServiceSet::empty()),
            v6: StepFunction::indicator(&set.v6, inside(Family::V6), ServiceSet::empty()),
        }
    }

    /// The addresses at which a condition holds.
    pub(crate) fn addresses_where(&self, condition: impl Fn(&ServiceSet) -> bool) -> AddressSet {
        AddressSet { v4: self.v4.points_where(&condition), v6: self.v6.points_where(&condition) }
    }
}

/// The ways in which addresses lie in the address sets of a program: pieces, each with the sets that hold it.
struct Atoms {
    v4: Vec<(u32, Vec<AddressesId>)>,
    v6: Vec<(u128, Vec<AddressesId>)>,
}

impl Atoms {
    fn new(programs: &Programs, program: &Program) -> Self {
        let mut sets: BTreeSet<AddressesId> =
            program.matchers(programs).filter_map(|matcher| matcher.addresses).collect();
        let isolates = program.direction == Direction::Ingress && program.accepts.is_some();
        if isolates && !programs.opens_to_nodes(program).is_empty() {
            sets.insert(programs.nodes);
        }
        let of = |id: &AddressesId| (*id, programs.addresses(*id));
        Self { v4: sweep(sets.iter().map(of)), v6: sweep(sets.iter().map(of)) }
    }

    fn fold(
        &self,
        programs: &Programs,
        program: &Program,
        pod: Option<(&[SetId], &[NamedPort])>,
    ) -> ByAddress {
        let mut known: BTreeMap<&[AddressesId], ServiceSet> = BTreeMap::new();
        let mut services = |within| -> ServiceSet {
            let fold = || fold(programs, program, &Remote { pod, within }, Loosen::BySettings);
            known.entry(within).or_insert_with(fold).clone()
        };
        let v4 = self.v4.iter().map(|(at, sets)| (*at, services(sets).within(Family::V4)));
        let v4 = StepFunction::from_pieces(v4.collect());
        let v6 = self.v6.iter().map(|(at, sets)| (*at, services(sets).within(Family::V6)));
        ByAddress { v4, v6: StepFunction::from_pieces(v6.collect()) }
    }
}

/// Cuts the line where any set begins or ends.
fn sweep<'a, T: Address>(
    sets: impl Iterator<Item = (AddressesId, &'a AddressSet)>,
) -> Vec<(T, Vec<AddressesId>)> {
    let mut events: BTreeMap<T, Vec<(AddressesId, bool)>> = BTreeMap::from([(T::MIN, Vec::new())]);
    for (id, set) in sets {
        for interval in T::of(set).iter() {
            events.entry(interval.low()).or_default().push((id, true));
            if let Some(after) = interval.high().next() {
                events.entry(after).or_default().push((id, false));
            }
        }
    }
    let mut inside = BTreeSet::new();
    let mut pieces = Vec::with_capacity(events.len());
    for (at, changes) in events {
        for (id, enters) in changes {
            if enters {
                inside.insert(id);
            } else {
                inside.remove(&id);
            }
        }
        pieces.push((at, inside.iter().copied().collect()));
    }
    pieces
}
