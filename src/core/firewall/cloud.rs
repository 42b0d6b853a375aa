//! What groups, interfaces and network ACLs mean for one first packet, and for its replies.
//!
//! Written from the Amazon VPC user guide, "Control traffic to your AWS resources using security groups" and "Security group
//! rules". Security groups are stateful: a reply is never asked about, so only first packets are. A group only allows; an
//! interface that wears several lets through what any of them does, in any order; without a rule nothing passes. Network ACLs are
//! stateless: they are asked about replies, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Acl, AclKey, EntryAction, EntryNumber, GroupKey, Peer, Rule, State, replies};
use crate::flow::{Endpoint, Flow};
use crate::inventory::{Attachment, Inventory, Pod, PodIndex, Subnet, SubnetId};
use crate::net::{Address, AddressSet, Prefix, Service, Shape};
use crate::policy::Direction;

/// Groups, the interfaces that wear them, and the pods behind these, indexed for many packets.
#[derive(Clone, Debug)]
pub struct Cloud<'a> {
    inventory: &'a Inventory,
    never_filtered: AddressSet,
    /// The groups that each pod's interface wears, by the pod's place; none for a pod that no group filters.
    worn: Vec<Option<BTreeSet<GroupKey>>>,
    groups: BTreeMap<GroupKey, Rules<'a>>,
    /// The subnets that are known, and the ACLs that guard them, as far as these are.
    subnets: Vec<(&'a SubnetId, &'a Subnet, Option<Guard<'a>>)>,
}

/// An ACL by its name.
type Guard<'a> = (AclKey, &'a Acl);

#[derive(Clone, Debug)]
struct Rules<'a> {
    egress: Vec<&'a Rule>,
    ingress: Vec<&'a Rule>,
}

/// What happens to a packet at both of its ends and on its way. It arrives if nothing closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Where it leaves its source.
    pub egress: End<'a>,
    /// Where it leaves the subnet of its source.
    pub leaves: Border<'a>,
    /// Where it enters the subnet of its destination.
    pub enters: Border<'a>,
    /// Where it reaches its destination.
    pub ingress: End<'a>,
}

/// What happens to a packet where it enters or leaves a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border<'a> {
    /// The subnet of this end, or its ACL, is not known: none is asked.
    Unknown,
    /// Both ends lie in one subnet, whose ACL is not asked.
    Within(&'a SubnetId),
    /// The other end is an address of the platform, of which no ACL is asked: see [`never_filtered`].
    Platform,
    /// The pod at this end sends it by its node's interface ([`Inventory::source_nat`]): the ACL of its subnet is not asked.
    ByNode(&'a SubnetId),
    /// An entry lets it through.
    Passed {
        /// The subnet.
        subnet: &'a SubnetId,
        /// Its ACL.
        acl: &'a AclKey,
        /// The entry.
        number: EntryNumber,
    },
    /// An entry, or the final deny, stops it.
    Denied {
        /// The subnet.
        subnet: &'a SubnetId,
        /// Its ACL.
        acl: &'a AclKey,
        /// The entry; none for the final deny.
        number: Option<EntryNumber>,
    },
}

/// What happens to a reply on its way. Groups let it through by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What it bears.
    pub service: Service,
    /// Where it leaves the subnet of whoever was asked.
    pub leaves: Border<'a>,
    /// Where it enters the subnet of whoever asked.
    pub enters: Border<'a>,
}

/// What happens to a packet at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// A rule lets it through.
    Carried {
        /// The first group, in their order, that has such a rule.
        group: &'a GroupKey,
        /// The first such rule of that group.
        rule: &'a Rule,
    },
    /// Groups filter it, and no rule lets it through.
    Closed,
    /// No group is asked.
    Unfiltered(Unfiltered),
}

/// Why no group is asked about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Unfiltered {
    /// The end is an address that no pod bears, or a pod on its node's network: what filters there is not ours to know.
    Address,
    /// The pod has no interface in the cloud.
    NoInterface,
    /// A pod talks to itself; the packet never leaves it.
    Itself,
    /// The other end is an address of the platform: see [`never_filtered`].
    Platform,
}

/// The addresses whose traffic no security group filters, to and from (Amazon VPC user guide, "Control traffic to your AWS
/// resources using security groups"): the resolver of the VPC at base + 2 of each IPv4 block and at its link-local
/// addresses, instance and task metadata, time synchronisation, and Windows licence activation.
#[must_use]
pub fn never_filtered(vpc: &[Prefix]) -> AddressSet {
    const LINK_LOCAL: [[u8; 4]; 6] = [
        [169, 254, 169, 123],
        [169, 254, 169, 250],
        [169, 254, 169, 251],
        [169, 254, 169, 253],
        [169, 254, 169, 254],
        [169, 254, 170, 2],
    ];
    const UNIQUE_LOCAL: [u16; 3] = [0x123, 0x253, 0x254];
    let link_local = LINK_LOCAL.map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let unique_local =
        UNIQUE_LOCAL.map(|last| IpAddr::from(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, last)));
    let resolvers = vpc
        .iter()
        .filter_map(|block| u32::from_ip(block.first())?.checked_add(2))
        .map(Address::to_ip);
    link_local.into_iter().chain(unique_local).chain(resolvers).map(Prefix::host).collect()
}

impl<'a> Cloud<'a> {
    /// Indexes a state. An interface, or a group of others, that the state does not name is as the inventory tells.
    #[must_use]
    pub fn new(state: &'a State, inventory: &'a Inventory) -> Self {
        let worn = inventory.pods.iter().map(|pod| {
            let interface = pod.interface.as_ref().filter(|_| !pod.host_network)?;
            let prior = || {
                let prior = &inventory.interfaces.get(interface)?.prior;
                Some(prior.iter().cloned().map(GroupKey::Foreign).collect())
            };
            state.interfaces.get(interface).cloned().or_else(prior)
        });
        let foreign = inventory.foreign.iter().map(|(id, it)| (GroupKey::Foreign(id.clone()), it));
        let stated = state.groups.iter().map(|(key, rules)| (key.clone(), rules));
        let groups = foreign.chain(stated).map(|(key, rules)| (key, Rules::of(rules)));
        let subnets = inventory.subnets.iter().map(|(id, subnet)| {
            let prior = || AclKey::Foreign(subnet.prior.clone());
            let key = state.subnets.get(id).cloned().unwrap_or_else(prior);
            let told = || inventory.acls.get(key.foreign()?);
            let acl = state.acls.get(&key).or_else(told);
            (id, subnet, acl.map(|acl| (key.clone(), acl)))
        });
        Self {
            inventory,
            never_filtered: never_filtered(&inventory.vpc),
            worn: worn.collect(),
            groups: groups.collect(),
            subnets: subnets.collect(),
        }
    }

    /// Whether a packet arrives.
    #[must_use]
    pub fn allows(&self, flow: &Flow) -> bool {
        self.verdict(flow).allows()
    }

    /// What happens to a packet at both ends.
    #[must_use]
    pub fn verdict(&self, flow: &Flow) -> Verdict<'_> {
        let (from, to) = self.addresses(flow);
        let mut leaves = self.border(Direction::Egress, from, to, flow.service);
        if let Border::Passed { subnet, .. } | Border::Denied { subnet, .. } = leaves
            && self.is_sent_by_node(flow.source, to)
        {
            leaves = Border::ByNode(subnet);
        }
        Verdict {
            egress: self.end(flow, Direction::Egress),
            leaves,
            enters: self.border(Direction::Ingress, to, from, flow.service),
            ingress: self.end(flow, Direction::Ingress),
        }
    }

    /// Whether a packet passes the network ACLs on its way.
    #[must_use]
    pub fn crosses(&self, flow: &Flow) -> bool {
        let verdict = self.verdict(flow);
        verdict.leaves.allows() && verdict.enters.allows()
    }

    /// Whether every reply arrives that a flow may get if it was asked from `port`.
    #[must_use]
    pub fn answers(&self, flow: &Flow, port: u16) -> bool {
        self.replies(flow, port).all(|reply| reply.allows())
    }

    /// What happens to each reply that a flow may get if it was asked from `port`.
    pub fn replies(&self, flow: &Flow, port: u16) -> impl Iterator<Item = Reply<'_>> {
        let (from, to) = self.addresses(flow);
        replies(flow.service, port).into_iter().map(move |service| Reply {
            service,
            leaves: self.border(Direction::Egress, to, from, service),
            enters: self.border(Direction::Ingress, from, to, service),
        })
    }

    fn addresses(&self, flow: &Flow) -> (Option<IpAddr>, Option<IpAddr>) {
        let address = |end: Endpoint| end.address(self.inventory, flow.family);
        (address(flow.source), address(flow.destination))
    }

    /// What the ACL of the subnet of `here` says of a packet that goes `there`, or comes from it.
    fn border(
        &self,
        direction: Direction,
        here: Option<IpAddr>,
        there: Option<IpAddr>,
        service: Service,
    ) -> Border<'_> {
        let (Some(here), Some(there)) = (here, there) else { return Border::Unknown };
        let holds =
            |subnet: &Subnet, address| subnet.blocks.iter().any(|block| block.contains(address));
        let mut around = self.subnets.iter().filter(|(_, subnet, _)| holds(subnet, here));
        let Some((id, subnet, Some((acl, entries)))) = around.next() else {
            return Border::Unknown;
        };
        if holds(subnet, there) {
            return Border::Within(id);
        }
        if self.never_filtered.contains(there) {
            return Border::Platform;
        }
        match entries.decides(direction, there, service) {
            Some((number, EntryAction::Allow)) => Border::Passed { subnet: id, acl, number },
            Some((number, EntryAction::Deny)) => {
                Border::Denied { subnet: id, acl, number: Some(number) }
            }
            None => Border::Denied { subnet: id, acl, number: None },
        }
    }

    /// Whether the VPC CNI translates the source of a first packet, so that it leaves by the node's interface (amazon-vpc-cni-k8s,
    /// `AWS_VPC_K8S_CNI_EXTERNALSNAT`). Replies bear the address that was asked.
    fn is_sent_by_node(&self, source: Endpoint, to: Option<IpAddr>) -> bool {
        let Endpoint::Pod(index) = source else { return false };
        let Inventory { vpc, source_nat, .. } = self.inventory;
        let shares = |pod: &Pod| {
            let interface = self.inventory.interface(pod);
            !pod.host_network && interface.is_none_or(|it| it.attachment == Attachment::Shared)
        };
        let leaves_vpc = |to: IpAddr| to.is_ipv4() && !vpc.iter().any(|block| block.contains(to));
        *source_nat && self.inventory.pod(index).is_some_and(shares) && to.is_some_and(leaves_vpc)
    }

    fn end(&self, flow: &Flow, direction: Direction) -> End<'_> {
        let (here, there) = match direction {
            Direction::Egress => (flow.source, flow.destination),
            Direction::Ingress => (flow.destination, flow.source),
        };
        let pod = match here {
            Endpoint::Pod(index) => self.inventory.pod(index).filter(|pod| !pod.host_network),
            Endpoint::Address(_) => None,
        };
        if pod.is_none() {
            return End::Unfiltered(Unfiltered::Address);
        }
        if here == there {
            return End::Unfiltered(Unfiltered::Itself);
        }
        if matches!(there, Endpoint::Address(address) if self.never_filtered.contains(address)) {
            return End::Unfiltered(Unfiltered::Platform);
        }
        let Some(worn) = self.worn(here) else {
            return End::Unfiltered(Unfiltered::NoInterface);
        };
        let address = there.address(self.inventory, flow.family);
        let groups = worn.iter().filter_map(|key| self.groups.get_key_value(key));
        for (group, rules) in groups {
            let carries = |rule: &Rule| {
                names(rule.shape, flow.service)
                    && match &rule.peer {
                        Peer::Prefix(prefix) => address.is_some_and(|it| prefix.contains(it)),
                        Peer::Group(key) => self.worn(there).is_some_and(|it| it.contains(key)),
                    }
            };
            if let Some(rule) = rules.towards(direction).iter().copied().find(|rule| carries(rule))
            {
                return End::Carried { group, rule };
            }
        }
        End::Closed
    }

    /// The groups that filter an end, in their order; none where nothing does.
    pub fn worn_by(&self, end: Endpoint) -> impl Iterator<Item = &GroupKey> {
        self.worn(end).into_iter().flatten()
    }

    /// The groups worn by the interface behind an end: what a reference matches, in either family.
    fn worn(&self, end: Endpoint) -> Option<&BTreeSet<GroupKey>> {
        match end {
            Endpoint::Pod(PodIndex(place)) => self.worn.get(place)?.as_ref(),
            Endpoint::Address(_) => None,
        }
    }
}

impl<'a> Rules<'a> {
    fn of(rules: &'a BTreeSet<Rule>) -> Self {
        let (egress, ingress) =
            rules.iter().partition(|rule| matches!(rule.direction, Direction::Egress));
        Self { egress, ingress }
    }

    fn towards(&self, direction: Direction) -> &[&'a Rule] {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }
}

impl Verdict<'_> {
    /// Whether the packet arrives.
    #[must_use]
    pub fn allows(&self) -> bool {
        let Self { egress, leaves, enters, ingress } = self;
        egress.allows() && leaves.allows() && enters.allows() && ingress.allows()
    }
}

impl Border<'_> {
    /// Whether the packet passes.
    #[must_use]
    pub const fn allows(&self) -> bool {
        match self {
            Self::Unknown
            | Self::Within(_)
            | Self::Platform
            | Self::ByNode(_)
            | Self::Passed { .. } => true,
            Self::Denied { .. } => false,
        }
    }
}

impl Reply<'_> {
    /// Whether it arrives.
    #[must_use]
    pub const fn allows(&self) -> bool {
        self.leaves.allows() && self.enters.allows()
    }
}

impl End<'_> {
    /// Whether the packet passes this end.
    #[must_use]
    pub const fn allows(&self) -> bool {
        match self {
            Self::Carried { .. } | Self::Unfiltered(_) => true,
            Self::Closed => false,
        }
    }
}

/// Whether the protocol and ports of a rule (EC2 `IpPermission`) or an entry (`NetworkAclEntry`) name a service.
pub(super) fn names(shape: Shape, service: Service) -> bool {
    match (shape, service) {
        (Shape::All, _) | (Shape::Sctp, Service::Sctp(_)) => true,
        (Shape::Tcp(ports), Service::Tcp(port)) | (Shape::Udp(ports), Service::Udp(port)) => {
            ports.contains(port)
        }
        (Shape::Icmp(messages), Service::Icmp(message))
        | (Shape::Icmpv6(messages), Service::Icmpv6(message)) => {
            messages.points().contains(message.point())
        }
        (Shape::Other(named), Service::Other(protocol)) => named == protocol,
        (
            Shape::Tcp(_)
            | Shape::Udp(_)
            | Shape::Sctp
            | Shape::Icmp(_)
            | Shape::Icmpv6(_)
            | Shape::Other(_),
            _,
        ) => false,
    }
}

#[cfg(test)]
mod tests;
