//! What an interface tells of itself: what it wears and bears, and whose it is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aws_sdk_ec2::types::{NetworkInterface, NetworkInterfaceType};
use moat_core::inventory::{Attachment, InterfaceId};
use moat_core::provider::Scope;

use crate::{tags, wire};

/// Its id.
pub(super) fn id(interface: &NetworkInterface) -> InterfaceId {
    InterfaceId(interface.network_interface_id().unwrap_or_default().into())
}

/// The ids of the groups that an interface wears.
pub(crate) fn worn(interface: &NetworkInterface) -> impl Iterator<Item = &str> + '_ {
    interface.groups().iter().filter_map(|group| group.group_id())
}

/// Those of some addresses that an interface bears: its own, and those in prefixes that are delegated to it, from which the
/// VPC CNI gives pods theirs (`NetworkInterface`, EC2 API reference).
pub(super) fn borne(
    interface: &NetworkInterface,
    addresses: &BTreeSet<IpAddr>,
) -> BTreeSet<IpAddr> {
    let v4 = interface.private_ip_addresses().iter().filter_map(|it| it.private_ip_address());
    let v6 = interface.ipv6_addresses().iter().filter_map(|it| it.ipv6_address());
    let delegated_v4 = interface.ipv4_prefixes().iter().filter_map(|it| it.ipv4_prefix());
    let delegated_v6 = interface.ipv6_prefixes().iter().filter_map(|it| it.ipv6_prefix());
    let blocks = v4.chain(v6).chain(delegated_v4).chain(delegated_v6).filter_map(wire::prefix);
    blocks.flat_map(|block| addresses.range(block.first()..=block.last()).copied()).collect()
}

/// Whose an interface is. Only what the VPC resource controller marks as a pod's branch interface is exclusive; what another
/// service of AWS requested, as Fargate does, is fixed.
pub(crate) fn attachment(interface: &NetworkInterface) -> Attachment {
    let branch = interface.interface_type() == Some(&NetworkInterfaceType::Branch);
    if branch || tags::value(interface.tag_set(), tags::BRANCH).is_some() {
        Attachment::Exclusive
    } else if interface.requester_managed() == Some(true) {
        Attachment::Fixed
    } else {
        Attachment::Shared
    }
}

/// Whether an interface can carry something that is neither a pod nor hidden from a subnet's border: it is neither a branch nor the
/// trunk of others, and none that the VPC CNI attached for pods, which are all but the first of an instance.
pub(super) fn may_be_others(interface: &NetworkInterface) -> bool {
    let trunk = interface.interface_type() == Some(&NetworkInterfaceType::Trunk);
    let for_pods = tags::value(interface.tag_set(), tags::NODE).is_some() && !is_first(interface);
    attachment(interface) != Attachment::Exclusive && !trunk && !for_pods
}

/// Whether an interface carries pods of the scope and nothing else. A node's first one carries the node, whatever pods it carries beside.
pub(super) fn is_pods_alone(interface: &NetworkInterface, scope: &Scope) -> bool {
    if attachment(interface) != Attachment::Shared || !is_first(interface) {
        return is_of(interface, scope);
    }
    let own = interface.private_ip_address().and_then(|address| address.parse().ok());
    own.is_some_and(|own: IpAddr| scope.addresses.contains(&own))
}

/// Whether it is the first of an instance.
fn is_first(interface: &NetworkInterface) -> bool {
    interface.attachment().and_then(|it| it.device_index()) == Some(0)
}

/// Whether an interface is a pod's of the scope, by its id or by an address.
pub(super) fn is_of(interface: &NetworkInterface, scope: &Scope) -> bool {
    scope.interfaces.contains(&id(interface)) || !borne(interface, &scope.addresses).is_empty()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::builders::NetworkInterfaceBuilder;
    use aws_sdk_ec2::types::{
        Ipv4PrefixSpecification, Ipv6PrefixSpecification, NetworkInterfaceAttachment,
        NetworkInterfaceIpv6Address, NetworkInterfacePrivateIpAddress,
    };

    use super::*;

    #[test]
    fn an_interface_bears_its_addresses_and_those_of_its_prefixes_and_no_others() {
        let secondary = |address: &str| {
            NetworkInterfacePrivateIpAddress::builder().private_ip_address(address).build()
        };
        let node = NetworkInterface::builder()
            .private_ip_addresses(secondary("10.0.0.7"))
            .private_ip_addresses(secondary("10.0.0.9"))
            .ipv4_prefixes(Ipv4PrefixSpecification::builder().ipv4_prefix("10.0.3.16/28").build())
            .ipv6_addresses(
                NetworkInterfaceIpv6Address::builder().ipv6_address("2001:db8::7").build(),
            )
            .ipv6_prefixes(
                Ipv6PrefixSpecification::builder().ipv6_prefix("2001:db8:0:0:a::/80").build(),
            )
            .build();
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let borne_ones =
            ["10.0.0.9", "10.0.3.16", "10.0.3.31", "2001:db8::7", "2001:db8::a:0:0:ffff"];
        let others =
            ["10.0.0.8", "10.0.3.15", "10.0.3.32", "2001:db8::8", "2001:db8::9:ffff:ffff:ffff"];
        let all = addresses(&[&borne_ones[..], &others].concat());
        assert_eq!(borne(&node, &all), addresses(&borne_ones));
    }

    #[test]
    fn a_nodes_first_interface_carries_the_node_beside_the_pods_that_it_bears() {
        let address = |address: &str| {
            NetworkInterfacePrivateIpAddress::builder().private_ip_address(address).build()
        };
        let interface = |index| {
            NetworkInterface::builder()
                .network_interface_id("eni-1")
                .private_ip_address("10.0.0.7")
                .private_ip_addresses(address("10.0.0.7"))
                .private_ip_addresses(address("10.0.0.9"))
                .attachment(NetworkInterfaceAttachment::builder().device_index(index).build())
        };
        let scope = |addresses: &[&str]| Scope {
            interfaces: [InterfaceId("eni-1".into())].into(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            ..Scope::default()
        };
        let is_pods_alone = |interface: NetworkInterfaceBuilder, addresses: &[&str]| {
            super::is_pods_alone(&interface.build(), &scope(addresses))
        };
        assert!(!is_pods_alone(interface(0), &["10.0.0.9"]), "the node's, with a pod");
        assert!(is_pods_alone(interface(0), &["10.0.0.7"]), "a pod is all that it carries");
        assert!(is_pods_alone(interface(1), &["10.0.0.9"]), "another one of the node's");
        let fargate = interface(0).requester_managed(true);
        assert!(is_pods_alone(fargate, &["10.0.0.9"]), "Fargate's");
    }
}
