//! What may pass between the pods of some subnets and everyone else: what no network ACL of theirs may deny.
//!
//! An ACL knows addresses only, holds for every pod of its subnets, and sees replies. So what may pass is joined over all of those
//! pods, over all pods that may bear an address, and over both directions: a packet that leaves may be the first one of a flow, or
//! the reply to one that came in. What is not in that set is denied or closed by somebody's policy for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use super::super::HashMap;
use super::super::cohort::{CohortId, Cohorts, Families};
use super::super::effective::{ByAddress, Function};
use super::super::meaning::{ByDirection, place};
use super::opposite;
use crate::inventory::Inventory;
use crate::net::{AddressSet, Family, Interval, Intervals, Message, Prefix, ServiceSet};
use crate::policy::Direction;
use crate::settings::ClientPorts;

/// What passes at the ends of some pods, as their policies say, for each address that the other end may have.
pub(crate) struct Passing {
    by_direction: ByDirection<ByAddress>,
}

/// The blocks in which a pod may find another address tomorrow.
struct Places {
    /// Those of subnets that are handed over, and those of the VPC.
    subnets: Vec<Prefix>,
    vpc: Vec<Prefix>,
    known: BTreeMap<CohortId, AddressSet>,
}

impl Passing {
    /// Joins what policies ask for these cohorts; none of them is governed where nothing is asked.
    pub(crate) fn new<'f>(
        members: impl Iterator<Item = (Families, &'f ByDirection<Option<Rc<Function>>>)> + Clone,
        cohorts: &Cohorts<'_>,
        inventory: &Inventory,
    ) -> Self {
        let mut places = Places::new(inventory);
        let by_direction = Direction::BOTH.map(|direction| {
            let functions = members.clone().map(|(families, asked)| {
                let function = asked.get(place(direction)).and_then(Option::as_ref);
                (families, function.map(Rc::as_ref))
            });
            joined(functions, cohorts, &mut places)
        });
        Self { by_direction }
    }

    /// What passes in a direction.
    pub(crate) fn towards(&self, direction: Direction) -> &ByAddress {
        let [ingress, egress] = &self.by_direction;
        match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        }
    }

    /// What an ACL may deny in a direction: neither the first packet of a flow that may pass nor a reply to one of the other
    /// direction.
    pub(crate) fn deniable(&self, direction: Direction, ports: ClientPorts) -> ByAddress {
        let answered =
            self.towards(opposite(direction)).map(|family, asked| replies(asked, family, ports));
        let passing = self.towards(direction).join(&answered, ServiceSet::union);
        passing.map(|family, passing| ServiceSet::line(family).difference(passing))
    }
}

/// What replies to services bear.
fn replies(asked: &ServiceSet, family: Family, ports: ClientPorts) -> ServiceSet {
    let to_clients = |asked: &Intervals<u16>| match asked.is_empty() {
        true => Intervals::empty(),
        false => ports.0.into(),
    };
    let mut replies = asked.clone().within(family);
    replies.tcp = to_clients(&asked.tcp);
    replies.udp = to_clients(&asked.udp);
    // Rules and entries name sctp as a whole.
    replies.sctp = if asked.sctp.is_empty() { Intervals::empty() } else { Intervals::full() };
    let messages = answers(family).iter().filter(|(request, _)| {
        let all_codes = |kind| Intervals::from(of_type(kind));
        asked.messages(family).intersects(&all_codes(*request))
    });
    let messages: Intervals<u16> = messages.map(|(_, reply)| of_type(*reply)).collect();
    (replies.icmp, replies.icmpv6) = match family {
        Family::V4 => (messages, Intervals::empty()),
        Family::V6 => (Intervals::empty(), messages),
    };
    replies
}

/// The ICMP types that ask, and those that answer them (the IANA registries for ICMP and ICMPv6).
const fn answers(family: Family) -> &'static [(u8, u8)] {
    match family {
        Family::V4 => &[(8, 0), (13, 14), (15, 16), (17, 18), (42, 43)],
        Family::V6 => &[(128, 129), (139, 140), (144, 145), (146, 147), (160, 161)],
    }
}

fn of_type(kind: u8) -> Interval<u16> {
    let (first, last) = (Message { kind, code: 0 }, Message { kind, code: u8::MAX });
    Interval::new(first.point(), last.point()).unwrap_or(Interval::single(first.point()))
}

/// The union over functions, each with the families of its owner; none means everything.
fn joined<'f>(
    functions: impl Iterator<Item = (Families, Option<&'f Function>)>,
    cohorts: &Cohorts<'_>,
    places: &mut Places,
) -> ByAddress {
    let mut all = ByAddress::nothing();
    let mut open: Families = [false, false];
    let mut known = BTreeSet::new();
    let mut named: HashMap<(Families, &AddressSet), ServiceSet> = HashMap::default();
    let mut seen: BTreeSet<(Families, *const Function)> = BTreeSet::new();
    let functions: Vec<_> = functions.collect();
    let mut roles = Vec::new();
    for (families, function) in functions {
        let Some(function) = function else {
            open = [open[0] | families[0], open[1] | families[1]];
            continue;
        };
        if !seen.insert((families, function)) {
            continue;
        }
        if known.insert((families, std::ptr::from_ref(&*function.addresses))) {
            let here = (*function.addresses).clone().of_families(families);
            all = all.join(&here, ServiceSet::union);
        }
        roles.extend(function.singled_out().map(|(id, reach)| (families, id, reach)));
    }
    for (_, id, _) in &roles {
        places.find(*id, cohorts);
    }
    for (families, id, reach) in roles {
        let Some(here) = places.known.get(&id) else { continue };
        match &reach.exact {
            None => {
                let services = named.entry((families, here)).or_insert_with(ServiceSet::empty);
                *services = services.union(&reach.selected);
            }
            Some(exact) => {
                let inside = ByAddress::on(here, &ServiceSet::all()).of_families(families);
                let exact = exact.join(&inside, ServiceSet::intersection);
                all = all.join(&exact, ServiceSet::union);
            }
        }
    }
    let mut named: Vec<_> = named.into_iter().collect();
    named.sort_unstable();
    for ((families, here), services) in named {
        let here = ByAddress::on(here, &services).of_families(families);
        all = all.join(&here, ServiceSet::union);
    }
    let everything = ByAddress::on(&AddressSet::full(), &ServiceSet::all()).of_families(open);
    all.join(&everything, ServiceSet::union)
}

impl Places {
    fn new(inventory: &Inventory) -> Self {
        let subnets = inventory.subnets.values().flat_map(|subnet| &subnet.blocks);
        let (subnets, vpc) = (subnets.copied().collect(), inventory.vpc.clone());
        Self { subnets, vpc, known: BTreeMap::new() }
    }

    /// Where the pods of a cohort may be: in any of the subnets that are handed over if they are in one, or else in the VPC.
    fn find(&mut self, id: CohortId, cohorts: &Cohorts<'_>) {
        let Self { subnets, vpc, known } = self;
        known.entry(id).or_insert_with(|| {
            let around = |address: IpAddr| -> Vec<Prefix> {
                let holds = |block: &&Prefix| block.contains(address);
                if subnets.iter().any(|block| holds(&block)) {
                    let alike = |block: &&Prefix| block.family() == Family::of(address);
                    return subnets.iter().filter(alike).copied().collect();
                }
                vec![vpc.iter().find(holds).copied().unwrap_or(Prefix::host(address))]
            };
            let around: BTreeSet<Prefix> =
                cohorts.placed(id).flat_map(|(_, address)| around(address)).collect();
            around.into_iter().collect()
        });
    }
}
