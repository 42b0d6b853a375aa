"""What EKS gives a pod: a branch interface of its own, or addresses of its node's interface."""

import ipaddress
import json

from botocore.exceptions import ClientError

from .network import ipv6_of, tagged

POD_ENI = "vpc.amazonaws.com/pod-eni"  # the annotation that tells of a pod's branch interface


def branch(ec2, cluster, vpc, node, vlan, groups=None, token=None):
    """A branch interface with the description and the tags that the VPC resource controller gives it; its addresses, and the
    entry of the pod's annotation. After a failure the same token goes on with the same interface."""
    subnet = vpc.pod_subnets[node.zone]
    tags = {
        "vpcresources.k8s.aws/vlan-id": str(vlan),
        "vpcresources.k8s.aws/trunk-eni-id": node.trunk,
        "eks:eni:owner": "eks-vpc-resource-controller",
        f"kubernetes.io/cluster/{cluster}": "owned",
        "node.k8s.amazonaws.com/instance_id": node.instance,
    }
    made = ec2.create_network_interface(
        SubnetId=subnet["SubnetId"], Groups=groups or [vpc.group], Ipv6AddressCount=1, Description="aws-k8s-branch-eni",
        TagSpecifications=tagged("network-interface", tags), **({"ClientToken": token} if token else {}),
    )["NetworkInterface"]
    addresses = [made["PrivateIpAddress"], made["Ipv6Addresses"][0]["Ipv6Address"]]
    return addresses, {
        "eniId": made["NetworkInterfaceId"],
        "ifAddress": made["MacAddress"],
        "privateIp": addresses[0],
        "ipv6Addr": addresses[1],
        "vlanId": vlan,
        "subnetCidr": subnet["CidrBlock"],
        "subnetV6Cidr": ipv6_of(subnet),
        "associationID": associate(ec2, node, vlan, made["NetworkInterfaceId"]),
    }


def annotation(entry):
    return json.dumps([entry], separators=(",", ":"))


def associate(ec2, node, vlan, interface):
    """Unpatched LocalStack has no trunks; the interface then stays of type `interface`."""
    try:
        return ec2.associate_trunk_interface(BranchInterfaceId=interface, TrunkInterfaceId=node.trunk, VlanId=vlan)["InterfaceAssociation"]["AssociationId"]
    except ClientError as refusal:
        if refusal.response["Error"]["Code"] != "InternalFailure":
            raise
        return ""


def release(ec2, entry):
    """Deletes a branch interface."""
    if entry["associationID"]:
        ec2.disassociate_trunk_interface(AssociationId=entry["associationID"])
    ec2.delete_network_interface(NetworkInterfaceId=entry["eniId"])


def shared(ec2, node):
    """One more address of each family on the node's own interface. One caller at a time for a node."""
    ec2.assign_private_ip_addresses(NetworkInterfaceId=node.interface, SecondaryPrivateIpAddressCount=1)
    ec2.assign_ipv6_addresses(NetworkInterfaceId=node.interface, Ipv6AddressCount=1)
    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[node.interface])["NetworkInterfaces"][0]
    addresses = [interface["PrivateIpAddresses"][-1]["PrivateIpAddress"], interface["Ipv6Addresses"][-1]["Ipv6Address"]]
    return [str(ipaddress.ip_address(address)) for address in addresses]


def unshare(ec2, node, addresses):
    """Takes the addresses of a pod from the node's own interface."""
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=node.interface, PrivateIpAddresses=addresses[:1])
    ec2.unassign_ipv6_addresses(NetworkInterfaceId=node.interface, Ipv6Addresses=addresses[1:])
