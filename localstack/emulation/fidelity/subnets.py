"""Subnets and blocks, as far as interfaces need them."""

import itertools
import random

from moto.ec2.models import elastic_network_interfaces, subnets, vpcs

from .action import instead
from .interfaces import taken

blocks = itertools.count()


def block():
    """An IPv6 block for a VPC, out of the prefix for documentation (RFC 3849): one after the other, so that examples repeat."""
    number = next(blocks)
    return f"2001:db8:{number >> 8:x}:{(number & 0xFF) << 8:x}::/56"


def address():
    """A MAC address; the emulation's are malformed."""
    return "02:" + ":".join(f"{random.randrange(256):02x}" for _ in range(5))


@instead(subnets.Subnet, "get_available_subnet_ip")
def unused(former, self, instance):
    """EC2, error codes, InvalidIPAddress.InUse: one address is never on two interfaces; the emulation gives an instance
    addresses that interfaces have."""
    while True:
        found = former(self, instance)
        if found not in taken(self.ec2_backend, self):
            return found


def associated(self):
    """API, SubnetCidrBlockState.State: "The state of a CIDR block", a word; the emulation answers a dictionary's text."""
    return [
        {"ipv6CidrBlock": each["ipv6CidrBlock"], "associationId": each["associationId"], "ipv6CidrBlockState": each["ipv6CidrBlockState"]}
        for each in self.ipv6_cidr_block_associations.values()
        if each["ipv6CidrBlockState"]["State"] == "associated"
    ]


vpcs.random_ipv6_cidr = block
elastic_network_interfaces.random_mac_address = address
subnets.Subnet.ipv6_cidr_block_association_set = property(associated)
