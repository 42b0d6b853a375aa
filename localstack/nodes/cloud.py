"""Where addresses come from: EC2's interfaces, or plain blocks."""

import ipaddress
import threading
from dataclasses import dataclass

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from seeding import interfaces, network


@dataclass
class Attachment:
    """What a pod has of the network."""

    addresses: list
    branch: dict | None = None  # the entry of the annotation, if it has an interface of its own


class Full(Exception):
    """A node has no room for one more branch interface."""


class Host:
    """A node: its instance, and the VLANs of its trunk."""

    def __init__(self, addresses, node=None, room=0):
        self.addresses, self.node, self.trunks = addresses, node, room > 0
        self.lock = threading.Lock()
        self.free = list(range(room, 0, -1))


class Ec2:
    """A VPC of its own in LocalStack, dual-stack, as EKS leaves it."""

    def __init__(self, endpoint, cluster, cidr, workers, branches):
        self.cluster, self.branches = cluster, branches
        self.ec2 = boto3.client("ec2", endpoint_url=endpoint, config=Config(max_pool_connections=workers + 4, retries={"max_attempts": 3, "mode": "standard"}))
        self.vpc = network.make(self.ec2, cluster, cidr)
        self.made = 0

    def variables(self):
        return {"VPC_ID": self.vpc.id, "POD_SUBNETS": ",".join(self.configuration()["podSubnets"])}

    def configuration(self):
        return self.vpc.configuration(self.cluster)

    def host(self, name, trunk):
        """One caller at a time."""
        node = network.node(self.ec2, self.cluster, self.vpc, name, self.made % 2)
        self.made += 1
        return Host(node.addresses, node, self.branches if trunk else 0)

    def identity(self, host):
        zone = self.ec2.meta.region_name + network.ZONES[host.node.zone]
        return f"aws:///{zone}/{host.node.instance}", zone

    def remove(self, host):
        self.ec2.terminate_instances(InstanceIds=[host.node.instance])

    def attach(self, host, uid, alone, groups):
        """An interface of its own, or addresses of the node's."""
        if not alone:
            with host.lock:
                return Attachment(interfaces.shared(self.ec2, host.node))
        with host.lock:
            if not host.free:
                raise Full(f"{host.node.name} has no room for one more branch interface")
            vlan = host.free.pop()
        try:
            return Attachment(*interfaces.branch(self.ec2, self.cluster, self.vpc, host.node, vlan, groups, f"{uid}-{host.node.instance}"))
        except ClientError:
            host.free.append(vlan)
            raise

    def detach(self, host, attachment):
        try:
            if attachment.branch:
                interfaces.release(self.ec2, attachment.branch)
                host.free.append(attachment.branch["vlanId"])
            else:
                with host.lock:
                    interfaces.unshare(self.ec2, host.node, attachment.addresses)
        except ClientError as refusal:
            if "NotFound" not in refusal.response["Error"]["Code"]:
                raise


class Blocks:
    """No cloud: the lower half of each block is for nodes, the upper for pods."""

    def __init__(self, blocks):
        halves = [list(ipaddress.ip_network(block).subnets()) for block in blocks]
        self.pods = [upper for _, upper in halves]
        self.lock = threading.Lock()
        self.hosts_left = [lower.hosts() for lower, _ in halves]
        self.left = [upper.hosts() for upper in self.pods]
        self.returned = []

    def variables(self):
        return {"POD_SUBNETS": ",".join(map(str, self.pods))}

    def configuration(self):
        return {"apiVersion": "moat.dev/v1alpha1", "kind": "Configuration", "podSubnets": sorted(map(str, self.pods))}

    def host(self, name, trunk):
        return Host([str(next(left)) for left in self.hosts_left])

    def identity(self, host):
        return f"localstack:///{host.addresses[0]}", "a"

    def remove(self, host):
        pass

    def attach(self, host, uid, alone, groups):
        with self.lock:
            return Attachment(self.returned.pop(0) if self.returned else [str(next(left)) for left in self.left])

    def detach(self, host, attachment):
        with self.lock:
            self.returned.append(attachment.addresses)
