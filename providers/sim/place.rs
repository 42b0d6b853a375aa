//! Gives pods and nodes their addresses and interfaces.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use moat_core::firewall::{Peer, Rule, never_filtered};
use moat_core::inventory::{Attachment, InterfaceId, Inventory, Pod};
use moat_core::net::{Address, AddressSet, Family, Prefix, Shape};
use moat_core::policy::Direction;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::picture::View;
use crate::{NetworkInterface, Sim, Vpc, base_group};

/// The addresses that the VPC gave, by `namespace/name` of a pod or the name of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Placements(BTreeMap<String, Vec<IpAddr>>);

/// Why a pod or a node has no place in the VPC.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlaceError {
    /// Every address is taken.
    #[error("no address is free for `{owner}` in {subnets}: give wider `podSubnets`")]
    Full {
        /// The pod or node.
        owner: String,
        /// The subnets, one after the other.
        subnets: String,
    },
}

impl Sim {
    /// Gives every pod and node of an inventory its place in the VPC, and writes into the inventory what the VPC tells:
    /// addresses, interfaces, the rules of other people's groups, and the VPC's blocks.
    ///
    /// A pod with addresses keeps them. One without gets one of each family of the pod subnets, chosen by a hash of its namespace
    /// and name: one more pod renumbers nobody, unless both want the same address. What was given stays given as long as the
    /// pod is there. Nodes likewise; a hostNetwork pod bears its node's addresses, and has no interface. An interface that the
    /// inventory names is made as the inventory tells, with its groups; every other begins with the [base group](base_group).
    /// Pods that vanished give up their addresses and interfaces.
    ///
    /// # Errors
    /// [`PlaceError::Full`]; the inventory is then half filled.
    pub fn place(&mut self, inventory: &mut Inventory) -> Result<(), PlaceError> {
        self.remember();
        self.give_addresses(inventory)?;
        self.make_foreign_groups(inventory);
        self.make_interfaces(inventory);
        self.tell(inventory);
        Ok(())
    }

    fn give_addresses(&mut self, inventory: &mut Inventory) -> Result<(), PlaceError> {
        let given = std::mem::take(&mut self.placements.0);
        let pods = inventory.pods.iter().flat_map(|pod| &pod.addresses);
        let nodes = inventory.nodes.iter().flat_map(|node| &node.addresses);
        let mut space = Space {
            taken: pods.chain(nodes).copied().collect(),
            never: never_filtered(&self.config.vpc),
        };
        // Those who had addresses keep them, before anyone else chooses.
        let owners: BTreeSet<String> = inventory
            .nodes
            .iter()
            .filter(|node| node.addresses.is_empty())
            .map(|node| node.name.to_string())
            .chain(inventory.pods.iter().filter(|pod| pod.addresses.is_empty()).map(name_of))
            .collect();
        for (owner, addresses) in given {
            let free = addresses.iter().all(|address| !space.taken.contains(address));
            if free && owners.contains(&owner) {
                space.taken.extend(&addresses);
                self.placements.0.insert(owner, addresses);
            }
        }
        for node in &mut inventory.nodes {
            if node.addresses.is_empty() {
                let owner = node.name.to_string();
                node.addresses = self.addresses_of(owner, &mut space, true)?;
            }
        }
        let nodes: BTreeMap<_, _> = inventory
            .nodes
            .iter()
            .map(|node| (node.name.clone(), node.addresses.clone()))
            .collect();
        for pod in inventory.pods.iter_mut().filter(|pod| pod.addresses.is_empty()) {
            let node = pod.node.as_ref().and_then(|node| nodes.get(node));
            pod.addresses = match node {
                Some(addresses) if pod.host_network => one_of_each_family(addresses),
                Some(_) | None => self.addresses_of(name_of(pod), &mut space, pod.host_network)?,
            };
        }
        Ok(())
    }

    fn addresses_of(
        &mut self,
        owner: String,
        space: &mut Space,
        of_node: bool,
    ) -> Result<Vec<IpAddr>, PlaceError> {
        if let Some(addresses) = self.placements.0.get(&owner) {
            return Ok(addresses.clone());
        }
        let subnets = if of_node { &self.config.node_subnets } else { &self.config.pod_subnets };
        let mut addresses = Vec::new();
        for family in Family::BOTH {
            let subnets: Vec<Prefix> =
                subnets.iter().copied().filter(|subnet| subnet.family() == family).collect();
            if !subnets.is_empty() {
                let Some(address) = space.take(&owner, &subnets) else {
                    let subnets: Vec<String> = subnets.iter().map(ToString::to_string).collect();
                    return Err(PlaceError::Full { owner, subnets: subnets.join(", ") });
                };
                addresses.push(address);
            }
        }
        self.placements.0.insert(owner, addresses.clone());
        Ok(addresses)
    }

    fn make_foreign_groups(&mut self, inventory: &Inventory) {
        for (id, rules) in &inventory.foreign {
            if self.vpc.group(id).is_none() {
                self.vpc.put_group(id.clone(), &format!("group {}", id.0), rules.iter().cloned());
            }
        }
    }

    fn make_interfaces(&mut self, inventory: &mut Inventory) {
        let mut by_description: HashMap<String, InterfaceId> = self
            .vpc
            .interfaces()
            .filter(|(_, interface)| !interface.description.is_empty())
            .map(|(id, interface)| (interface.description.clone(), id.clone()))
            .collect();
        let mut kept = HashSet::new();
        for pod in &mut inventory.pods {
            if pod.host_network {
                pod.interface = None;
                continue;
            }
            let told = pod.interface.as_ref().and_then(|id| inventory.interfaces.get(id));
            let attachment = told.map_or_else(|| self.attachment_of(pod), |told| told.attachment);
            let description = match attachment {
                Attachment::Shared => format!("node {}", pod.node.as_deref().unwrap_or_default()),
                Attachment::Exclusive | Attachment::Fixed | Attachment::Released => {
                    format!("pod {} {}", name_of(pod), pod.uid)
                }
            };
            let id = match (&pod.interface, by_description.get(&description)) {
                (Some(id), _) | (None, Some(id)) => id.clone(),
                (None, None) => fresh_id(&self.vpc, &description),
            };
            let there = self.vpc.interfaces.get(&id);
            let shared = there.filter(|_| kept.contains(&id));
            let mut addresses: BTreeSet<Prefix> =
                pod.addresses.iter().copied().map(Prefix::host).collect();
            addresses.extend(shared.into_iter().flat_map(|it| &it.addresses));
            let is_so = there.is_some_and(|it| {
                (it.attachment, &it.description, &it.addresses)
                    == (attachment, &description, &addresses)
            });
            if !is_so {
                let first = || told.map_or_else(|| [base_group()].into(), |it| it.prior.clone());
                let groups = there.map_or_else(first, |it| it.groups.clone());
                let record = there.map(|it| it.record.clone()).unwrap_or_default();
                by_description.insert(description.clone(), id.clone());
                let interface =
                    NetworkInterface { attachment, description, addresses, groups, record };
                self.vpc.put_interface(id.clone(), interface);
            }
            kept.insert(id.clone());
            pod.interface = Some(id);
        }
        self.vpc.interfaces.retain(|id, it| it.description.is_empty() || kept.contains(id));
    }

    fn attachment_of(&self, pod: &Pod) -> Attachment {
        let chosen = &self.config.attachments;
        let of_node = || chosen.get(pod.node.as_deref()?);
        chosen.get(&name_of(pod)).or_else(of_node).copied().unwrap_or(self.config.attachment)
    }

    /// Writes what the VPC tells of the pods' interfaces into the inventory.
    fn tell(&self, inventory: &mut Inventory) {
        let view = View::new(&self.vpc, &self.config.cluster);
        let taken = view.taken();
        let ids: BTreeSet<InterfaceId> =
            inventory.pods.iter().filter_map(|pod| pod.interface.clone()).collect();
        let interfaces = self.vpc.interfaces().filter(|(id, _)| ids.contains(id));
        inventory.interfaces = interfaces
            .map(|(id, it)| (id.clone(), view.interface(it, &taken, &BTreeSet::new())))
            .collect();
        let prior = inventory.interfaces.values().flat_map(|interface| &interface.prior);
        inventory.foreign = prior
            .filter_map(|id| Some((id, self.vpc.group(id)?)))
            .map(|(id, group)| {
                (id.clone(), group.rules.keys().map(|rule| view.rule(rule)).collect())
            })
            .collect();
        inventory.vpc.clone_from(&self.config.vpc);
    }
}

/// The addresses that are not free.
struct Space {
    taken: BTreeSet<IpAddr>,
    never: AddressSet,
}

impl Space {
    /// The tries by hash before the first free address is taken instead.
    const TRIES: u64 = 64;

    /// Takes a free address of these subnets, which are of one family.
    fn take(&mut self, owner: &str, subnets: &[Prefix]) -> Option<IpAddr> {
        let by_hash = (0..Self::TRIES).find_map(|attempt| {
            let hash = hash(owner, attempt);
            let place = usize::try_from(hash).unwrap_or_default() % subnets.len();
            let subnet = *subnets.get(place)?;
            let offset = u128::from(hash) << 64 | u128::from(self::hash(owner, !attempt));
            let address = nth(subnet, offset % size(subnet))?;
            self.is_free(subnet, address).then_some(address)
        });
        let in_order = || {
            subnets.iter().find_map(|subnet| {
                let last = size(*subnet).min(u128::try_from(self.taken.len()).ok()? + 8);
                (0..last).find_map(|offset| {
                    let address = nth(*subnet, offset)?;
                    self.is_free(*subnet, address).then_some(address)
                })
            })
        };
        let address = by_hash.or_else(in_order)?;
        self.taken.insert(address);
        Some(address)
    }

    /// The first four addresses of a subnet and its last are AWS's own ("Subnet CIDR blocks", Amazon VPC user guide).
    fn is_free(&self, subnet: Prefix, address: IpAddr) -> bool {
        let reserved = (0..4).any(|offset| nth(subnet, offset) == Some(address));
        let reserved = reserved || address == subnet.last() || self.never.contains(address);
        !reserved && !self.taken.contains(&address)
    }
}

/// A group's rules that let everything through, both ways and in both families.
pub(crate) fn open() -> impl Iterator<Item = Rule> {
    Direction::BOTH.into_iter().flat_map(|direction| {
        Family::BOTH.into_iter().map(move |family| Rule {
            direction,
            peer: Peer::Prefix(Prefix::everything(family)),
            shape: Shape::All,
        })
    })
}

fn name_of(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

fn one_of_each_family(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first = |family| addresses.iter().copied().find(|it| Family::of(*it) == family);
    Family::BOTH.into_iter().filter_map(first).collect()
}

fn fresh_id(vpc: &Vpc, description: &str) -> InterfaceId {
    let mut attempt = 0;
    loop {
        let id = InterfaceId(format!("eni-{:017x}", hash(description, attempt)).into());
        if !vpc.interfaces.contains_key(&id) {
            return id;
        }
        attempt += 1;
    }
}

/// How many addresses a subnet has.
fn size(subnet: Prefix) -> u128 {
    let length = match subnet.family() {
        Family::V4 => u32::LENGTH,
        Family::V6 => u128::LENGTH,
    };
    1_u128.checked_shl((length - subnet.length()).into()).unwrap_or(u128::MAX)
}

/// An address of a subnet by its place.
fn nth(subnet: Prefix, offset: u128) -> Option<IpAddr> {
    match subnet.first() {
        IpAddr::V4(first) => {
            u32::from(first).checked_add(u32::try_from(offset).ok()?).map(Address::to_ip)
        }
        IpAddr::V6(first) => u128::from(first).checked_add(offset).map(Address::to_ip),
    }
}

/// FNV-1a, finished by the mixer of SplitMix64: the same everywhere and always, so that addresses are.
fn hash(text: &str, attempt: u64) -> u64 {
    let bytes = text.bytes().chain(attempt.to_le_bytes());
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
