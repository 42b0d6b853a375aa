//! What the network ACLs before ours close: ours close it too, and no finding shows a flow that they drop anyway.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::cover::cover;
use super::super::effective::ByAddress;
use super::super::meaning::ByDirection;
use super::entries::Named;
use crate::firewall::{Acl, EntryAction, ForeignAclId, never_filtered};
use crate::inventory::{Inventory, Subnet, SubnetId};
use crate::net::{Address, AddressSet, ServiceSet, StepFunction};
use crate::policy::Direction;

/// A subnet that is handed over, and what closes there whatever Moat does.
#[derive(Debug)]
pub(crate) struct Prior {
    addresses: AddressSet,
    closed: ByDirection<ByAddress>,
}

/// Every subnet whose ACL is known.
#[derive(Debug, Default)]
pub(crate) struct Priors(Vec<Prior>);

impl Priors {
    /// Those of an inventory.
    pub(crate) fn new(inventory: &Inventory) -> Self {
        let never = never_filtered(&inventory.vpc);
        let known = inventory.subnets.values();
        let known = known.filter_map(|it| Some((it, inventory.acls.get(&it.prior)?)));
        Self(known.map(|(subnet, acl)| Prior::new(subnet, acl, &never)).collect())
    }

    /// The place and what is known of the subnet that holds an address.
    pub(crate) fn around(&self, address: IpAddr) -> Option<(usize, &Prior)> {
        self.0.iter().enumerate().find(|(_, prior)| prior.addresses.contains(address))
    }

    /// What never passes from one address to another one, which `here` sends or receives.
    pub(crate) fn closed(&self, here: IpAddr, direction: Direction, there: IpAddr) -> ServiceSet {
        let prior = self.around(here);
        prior.map_or_else(ServiceSet::empty, |(_, it)| it.closed(direction).at(there).clone())
    }
}

/// The network ACLs of subnets that are handed over which drop something whatever policies say, with those subnets and what it is.
pub(crate) fn dropping(
    inventory: &Inventory,
) -> BTreeMap<&ForeignAclId, (Vec<&SubnetId>, Direction, Named)> {
    let never = never_filtered(&inventory.vpc);
    let mut dropping = BTreeMap::new();
    for (id, subnet) in &inventory.subnets {
        let Some(acl) = inventory.acls.get(&subnet.prior) else { continue };
        if let Some((direction, named)) = Prior::new(subnet, acl, &never).first() {
            let of = dropping.entry(&subnet.prior).or_insert((Vec::new(), direction, named));
            of.0.push(id);
        }
    }
    dropping
}

impl Prior {
    /// An entry decides what those before it leave, so the last one is asked first; what none names is closed. Neither the addresses
    /// of the subnet itself nor those of the platform pass by the ACL.
    fn new(subnet: &Subnet, acl: &Acl, never: &AddressSet) -> Self {
        let addresses: AddressSet = subnet.blocks.iter().copied().collect();
        let past = ByAddress::on(&addresses.union(never), &ServiceSet::all());
        let closed = Direction::BOTH.map(|direction| {
            let everything = ByAddress::on(&AddressSet::full(), &ServiceSet::all());
            let entries = acl.0.iter().rev().filter(|(key, _)| key.direction == direction);
            let closed = entries.fold(everything, |closed, (_, entry)| {
                let here = ByAddress::on(&entry.prefix.into(), &entry.shape.services());
                match entry.action {
                    EntryAction::Deny => closed.join(&here, ServiceSet::union),
                    EntryAction::Allow => closed.join(&here, ServiceSet::difference),
                }
            });
            closed.join(&past, ServiceSet::difference)
        });
        Self { addresses, closed }
    }

    /// What it drops, in the words of a rule: the first of it in a family that the subnet has.
    fn first(&self) -> Option<(Direction, Named)> {
        fn first<T: Address>(function: &StepFunction<T, ServiceSet>) -> Option<Named> {
            cover(function).first().map(|rule| (rule.prefix, rule.shape))
        }
        let Self { addresses, closed } = self;
        Direction::BOTH.into_iter().zip(closed).find_map(|(direction, closed)| {
            let v4 = || (!addresses.v4.is_empty()).then(|| first(&closed.v4)).flatten();
            let v6 = || (!addresses.v6.is_empty()).then(|| first(&closed.v6)).flatten();
            Some((direction, v4().or_else(v6)?))
        })
    }

    /// What never passes in a direction.
    fn closed(&self, direction: Direction) -> &ByAddress {
        let [ingress, egress] = &self.closed;
        match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        }
    }

    /// What may pass of these services, to or from these addresses.
    pub(crate) fn left(
        &self,
        direction: Direction,
        addresses: &AddressSet,
        services: &ServiceSet,
    ) -> ByAddress {
        ByAddress::on(addresses, services).join(self.closed(direction), ServiceSet::difference)
    }
}
