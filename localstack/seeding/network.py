"""The VPC, its subnets, the group that everything starts in, and the nodes."""

import ipaddress
from dataclasses import dataclass, field

ZONES = ("a", "b")
IMAGE = "ami-12c6146b"  # one of those that the emulation knows


@dataclass
class Vpc:
    id: str
    group: str
    node_subnets: list
    pod_subnets: list

    def configuration(self, cluster):
        blocks = [block for subnet in self.pod_subnets for block in (subnet["CidrBlock"], ipv6_of(subnet))]
        return {"apiVersion": "moat.dev/v1alpha1", "kind": "Configuration", "cluster": cluster, "vpc": self.id, "podSubnets": sorted(blocks)}


@dataclass
class Node:
    name: str
    zone: int
    instance: str
    interface: str
    trunk: str
    addresses: list
    branches: int = field(default=0)

    def manifest(self):
        addresses = [{"type": "InternalIP", "address": address} for address in self.addresses]
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": {"vpc.amazonaws.com/has-trunk-attached": "true"}}, "status": {"addresses": addresses}}


def make(ec2, cluster, cidr):
    """Dual-stack, the lower half of the block for nodes, the upper for pods, both over two zones."""
    made = ec2.create_vpc(CidrBlock=cidr, AmazonProvidedIpv6CidrBlock=True, TagSpecifications=tagged("vpc", {"Name": cluster}))["Vpc"]
    lower, upper = (list(half.subnets()) for half in ipaddress.ip_network(cidr).subnets())
    sixes = list(ipaddress.ip_network(made["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]).subnets(new_prefix=64))
    region = ec2.meta.region_name

    def subnet(zone, block, six, tags=()):
        named = {"TagSpecifications": tagged("subnet", dict(tags))} if tags else {}
        return ec2.create_subnet(VpcId=made["VpcId"], CidrBlock=str(block), Ipv6CidrBlock=str(six), AvailabilityZone=region + ZONES[zone], **named)["Subnet"]

    return Vpc(
        made["VpcId"],
        starting_group(ec2, cluster, made["VpcId"]),
        [subnet(zone, lower[zone], sixes[zone]) for zone in range(2)],
        [subnet(zone, upper[zone], sixes[0x80 + zone], {"pods": "yes"}) for zone in range(2)],
    )


def starting_group(ec2, cluster, vpc):
    """What EKS calls the cluster security group, open both ways as the embedded VPC's base group is."""
    tags = {f"kubernetes.io/cluster/{cluster}": "owned"}
    group = ec2.create_security_group(
        GroupName=f"eks-cluster-sg-{cluster}", Description="Nodes and pods of the cluster", VpcId=vpc, TagSpecifications=tagged("security-group", tags)
    )["GroupId"]
    everyone = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=everyone)
    return group


def nodes(ec2, cluster, vpc, count):
    return [node(ec2, cluster, vpc, f"node-{number}", number % 2) for number in range(count)]


def node(ec2, cluster, vpc, name, zone):
    """An instance with its own interface and a trunk for the branches of its pods."""
    subnet = vpc.node_subnets[zone]["SubnetId"]
    tags = {f"kubernetes.io/cluster/{cluster}": "owned", "eks:cluster-name": cluster}
    interface = ec2.create_network_interface(SubnetId=subnet, Groups=[vpc.group], Ipv6AddressCount=1)["NetworkInterface"]
    instance = ec2.run_instances(
        ImageId=IMAGE, InstanceType="m5.large", MinCount=1, MaxCount=1, TagSpecifications=tagged("instance", tags),
        NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": interface["NetworkInterfaceId"]}],
    )["Instances"][0]["InstanceId"]
    owner = {"eks:eni:owner": "eks-vpc-resource-controller", "node.k8s.amazonaws.com/instance_id": instance, f"kubernetes.io/cluster/{cluster}": "owned"}
    trunk = ec2.create_network_interface(
        SubnetId=subnet, Groups=[vpc.group], InterfaceType="trunk", Description="trunk-eni", TagSpecifications=tagged("network-interface", owner)
    )["NetworkInterface"]["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=trunk, InstanceId=instance, DeviceIndex=1)
    addresses = [interface["PrivateIpAddress"], interface["Ipv6Addresses"][0]["Ipv6Address"]]
    return Node(name, zone, instance, interface["NetworkInterfaceId"], trunk, addresses)


def tagged(kind, tags):
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def ipv6_of(subnet):
    return subnet["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
