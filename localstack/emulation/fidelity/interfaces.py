"""Network interfaces: their groups, their addresses, describing them."""

import ipaddress
import itertools
import re

from moto.ec2.models import elastic_network_interfaces as models

from . import quotas, tags
from .action import answers, instead, refuse
from .describing import filtered, page
from .groups import known


@answers
def create_network_interface(ec2, request):
    """API, CreateNetworkInterface: groups that exist, in the subnet's VPC; addresses inside the subnet, not reserved and not taken. "If
    you don't specify an IPv4 address, Amazon EC2 selects one for you from the subnet's IPv4 CIDR range"; InterfaceType: "The only
    supported values are interface, efa, efa-only, and trunk"; the same ClientToken gives the same interface."""
    token = request.get("ClientToken")
    for interface in ec2.enis.values():
        if token and getattr(interface, "token", None) == token:
            return {"NetworkInterface": described(interface), "ClientToken": token}
    subnet = ec2.get_subnet(request.get("SubnetId"))
    kind = request.get("InterfaceType") or "interface"
    if kind not in ("interface", "efa", "efa-only", "trunk"):
        refuse("InvalidParameterValue", f"Invalid value '{kind}' for interfaceType")
    groups = request.get("Groups") or []
    of_network(ec2, groups, subnet.vpc_id)
    quotas.worn(ec2, len(groups), creating=True)
    listed = [each["PrivateIpAddress"] for each in request.get("PrivateIpAddresses") or []]
    primary = request.get("PrivateIpAddress")
    given = [each for each in [primary, *listed] if each] or [free(ec2, subnet, 4)]
    given += [free(ec2, subnet, 4, given) for _ in range(request.get("SecondaryPrivateIpAddressCount") or 0)]
    given6 = [each["Ipv6Address"] for each in request.get("Ipv6Addresses") or []]
    for _ in range(request.get("Ipv6AddressCount") or 0):
        given6.append(free(ec2, subnet, 6, given6))
    for address in given + given6:
        assignable(ec2, subnet, address)
    interface = ec2.create_network_interface(
        subnet, given[0], [{"Primary": address == given[0], "PrivateIpAddress": address} for address in given],
        groups, request.get("Description"), tags.requested(request, "network-interface"),
        ipv6_addresses=[str(ipaddress.ip_address(address)) for address in given6],
    )
    interface.interface_type, interface.token = kind, token
    return {"NetworkInterface": described(interface), "ClientToken": token}


@answers
def modify_network_interface_attribute(ec2, request):
    """API, ModifyNetworkInterfaceAttribute: "You can specify only one attribute at a time"; Groups: "The new set of groups you specify replaces the
    current set. You must specify at least one group"; "You must specify the ID of the security group, not the name"."""
    interface = at(ec2, request["NetworkInterfaceId"])
    given = [name for name in request if name not in ("NetworkInterfaceId", "DryRun")]
    if not given or given == ["Groups"] and not request["Groups"]:
        refuse("InvalidParameterCombination", "No attributes specified.")
    if len(given) > 1:
        refuse("InvalidParameterCombination", "Fields for multiple attribute types specified")
    if "Groups" in request:
        groups = list(dict.fromkeys(request["Groups"]))
        of_network(ec2, groups, interface.vpc_id)
        quotas.worn(ec2, len(groups), creating=False)
        interface._group_set = [known(ec2, group) for group in groups]
    elif "Description" in request:
        interface.description = (request["Description"] or {}).get("Value", "")
    elif "SourceDestCheck" in request:
        interface.source_dest_check = (request["SourceDestCheck"] or {}).get("Value", True)
    return {}


def at(ec2, identifier):
    """EC2, error codes: InvalidNetworkInterfaceId.Malformed, InvalidNetworkInterfaceID.NotFound."""
    if not re.fullmatch(r"eni-[0-9a-f]{8}(?:[0-9a-f]{9})?", identifier):
        refuse("InvalidNetworkInterfaceId.Malformed", f"The network interface ID '{identifier}' is malformed")
    return ec2.enis.get(identifier) or refuse("InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{identifier}' does not exist")


def of_network(ec2, groups, vpc):
    """Seen (philips-software/terraform-provider-hsdp#68): a group of another VPC is InvalidGroup.NotFound."""
    for group in groups:
        if known(ec2, group).vpc_id != vpc:
            refuse("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")


@answers
def delete_network_interface(ec2, request):
    """API, DeleteNetworkInterface: "You must detach the network interface before you can delete it"."""
    interface = at(ec2, request["NetworkInterfaceId"])
    if interface.attachment_id or getattr(interface, "trunk", None):
        refuse("InvalidParameterValue", f"Network interface '{interface.id}' is currently in use.")
    ec2.delete_network_interface(interface.id)
    tags.forget(ec2, interface.id)
    return {}


@instead(models.NetworkInterfaceBackend, "delete_network_interface")
def forgotten(former, self, eni_id):
    """A trunk's associations end with it, so that its branches can go."""
    former(self, eni_id)
    for interface in self.enis.values():
        if getattr(interface, "trunk", None) == eni_id:
            interface.trunk = None


@answers
def describe_network_interfaces(ec2, request):
    """API, DescribeNetworkInterfaces.MaxResults: "You cannot specify this parameter and the network interface IDs parameter in the same request"; an
    unknown id is InvalidNetworkInterfaceID.NotFound."""
    interfaces = list(ec2.enis.values())
    if request.get("NetworkInterfaceIds"):
        interfaces = [at(ec2, each) for each in dict.fromkeys(request["NetworkInterfaceIds"])]
    found = filtered(request, interfaces, FILTERS, tags.of)
    answer = page(request, "NetworkInterfaces", found, with_ids="NetworkInterfaceIds")
    answer["NetworkInterfaces"] = [described(each) for each in answer["NetworkInterfaces"]]
    return answer


def described(interface):
    attachment = interface.attachment
    answer = {
        "NetworkInterfaceId": interface.id,
        "InterfaceType": interface.interface_type,
        "Description": interface.description,
        "SubnetId": interface.subnet_id,
        "VpcId": interface.vpc_id,
        "AvailabilityZone": interface.availability_zone,
        "OwnerId": interface.owner_id,
        "RequesterManaged": interface.requester_managed,
        "Status": status(interface),
        "MacAddress": interface.mac_address,
        "SourceDestCheck": interface.source_dest_check,
        "PrivateIpAddress": interface.private_ip_address,
        "PrivateIpAddresses": [
            {"PrivateIpAddress": each["PrivateIpAddress"], "Primary": each["PrivateIpAddress"] == interface.private_ip_address}
            for each in interface.private_ip_addresses
        ],
        "Ipv6Addresses": [{"Ipv6Address": each} for each in interface.ipv6_addresses],
        "Groups": [{"GroupId": group.id, "GroupName": group.name} for group in interface.group_set],
        "TagSet": tags.rows(interface),
    }
    if interface.ipv6_addresses:
        answer["Ipv6Address"] = interface.ipv6_addresses[0]
    if attachment:
        answer["Attachment"] = {
            "AttachmentId": attachment.attachment_id,
            "AttachTime": attachment.attach_time,
            "DeleteOnTermination": bool(attachment.delete_on_termination),
            "DeviceIndex": attachment.device_index,
            "NetworkCardIndex": attachment.network_card_index,
            "InstanceId": attachment.instance_id,
            "InstanceOwnerId": attachment.instance_owner_id,
            "Status": attachment.status,
        }
    return answer


def status(interface):
    return "in-use" if interface.attachment_id or getattr(interface, "trunk", None) else "available"


def its_own(interface):
    """API, NetworkInterface.Groups: "Any security groups for the network interface"; the emulation adds those of the instance."""
    return interface._group_set


models.NetworkInterface.group_set = property(its_own)


def assignable(ec2, subnet, address):
    """VPC, "Subnet sizing": "The first four IP addresses and the last IP address in each subnet CIDR block are not available for your
    use"; EC2, error codes, InvalidIPAddress.InUse."""
    try:
        wanted = ipaddress.ip_address(address)
    except ValueError:
        return refuse("InvalidParameterValue", f"The address {address} is malformed")
    block = block_of(subnet, wanted.version)
    if block is None or wanted not in block:
        return refuse("InvalidParameterValue", "Address does not fall within the subnet's address range")
    if reserved(block, wanted):
        return refuse("InvalidParameterValue", "Address is in subnet's reserved address range")
    if str(wanted) in taken(ec2, subnet):
        return refuse("InvalidIPAddress.InUse", "Address is in use.")
    return None


def block_of(subnet, version):
    if version == 4:
        return ipaddress.ip_network(subnet.cidr_block)
    blocks = [each["ipv6CidrBlock"] for each in subnet.ipv6_cidr_block_associations.values()]
    return ipaddress.ip_network(blocks[0], strict=False) if blocks else None


def reserved(block, address):
    offset = int(address) - int(block.network_address)
    return offset < 4 or offset == block.num_addresses - 1


def taken(ec2, subnet):
    interfaces = [each for each in ec2.enis.values() if each.subnet_id == subnet.id]
    return {each["PrivateIpAddress"] for interface in interfaces for each in interface.private_ip_addresses} | {
        address for interface in interfaces for address in interface.ipv6_addresses
    }


def free(ec2, subnet, version, besides=()):
    block = block_of(subnet, version)
    if block is None:
        refuse("InvalidParameterValue", "The subnet has no IPv6 CIDR block")
    gone = taken(ec2, subnet) | set(besides)
    for offset in itertools.islice(itertools.count(4), min(block.num_addresses - 5, 1 << 20)):
        if str(block[offset]) not in gone:
            return str(block[offset])
    return refuse("InsufficientFreeAddressesInSubnet", "The specified subnet does not have enough free addresses")


FILTERS = {
    "addresses.primary": lambda each: True,
    "addresses.private-ip-address": lambda each: [address["PrivateIpAddress"] for address in each.private_ip_addresses],
    "attachment.attachment-id": lambda each: each.attachment_id,
    "attachment.device-index": lambda each: each.device_index if each.attachment_id else None,
    "attachment.instance-id": lambda each: each.instance.id if each.instance else None,
    "attachment.instance-owner-id": lambda each: each.owner_id if each.instance else None,
    "attachment.status": lambda each: "attached" if each.attachment_id else None,
    "availability-zone": lambda each: each.availability_zone,
    "description": lambda each: each.description,
    "group-id": lambda each: [group.id for group in each.group_set],
    "interface-type": lambda each: each.interface_type,
    "ipv6-addresses.ipv6-address": lambda each: each.ipv6_addresses,
    "mac-address": lambda each: each.mac_address,
    "network-interface-id": lambda each: each.id,
    "owner-id": lambda each: each.owner_id,
    "private-ip-address": lambda each: [address["PrivateIpAddress"] for address in each.private_ip_addresses],
    "requester-managed": lambda each: each.requester_managed,
    "source-dest-check": lambda each: each.source_dest_check,
    "status": status,
    "subnet-id": lambda each: each.subnet_id,
    "vpc-id": lambda each: each.vpc_id,
}
