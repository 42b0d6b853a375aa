"""What every case starts from: an account of its own with a dual-stack VPC, on the LocalStack of `AWS_ENDPOINT_URL`."""

import itertools
import json
import os
import unittest
import urllib.request

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

URL = os.environ.get("AWS_ENDPOINT_URL", "")
accounts = itertools.count(100000000001)


class Case(unittest.TestCase):
    def setUp(self):
        self.account = credentials.access_key = str(next(accounts))
        self.ec2 = ec2
        made = self.ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
        self.vpc, self.block6 = made["VpcId"], made["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]

    def refused(self, code, call, *arguments, **named):
        with self.assertRaises(ClientError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
        return caught.exception

    def group(self, name="one", vpc=None, **named):
        return self.ec2.create_security_group(GroupName=name, Description="A group", VpcId=vpc or self.vpc, **named)["GroupId"]

    def subnet(self, vpc=None, block="10.0.1.0/24"):
        six = self.block6.replace("::/56", "::/64")
        both = {"CidrBlock": block, **({} if vpc else {"Ipv6CidrBlock": six})}
        return self.ec2.create_subnet(VpcId=vpc or self.vpc, AvailabilityZone="eu-central-1a", **both)["Subnet"]["SubnetId"]

    def interface(self, subnet, **named):
        return self.ec2.create_network_interface(SubnetId=subnet, **named)["NetworkInterface"]["NetworkInterfaceId"]

    def authorize(self, group, *permissions, egress=False, **named):
        call = self.ec2.authorize_security_group_egress if egress else self.ec2.authorize_security_group_ingress
        return call(GroupId=group, IpPermissions=list(permissions), **named)["SecurityGroupRules"]

    def revoke(self, group, *permissions, egress=False, **named):
        call = self.ec2.revoke_security_group_egress if egress else self.ec2.revoke_security_group_ingress
        return call(GroupId=group, **({"IpPermissions": list(permissions)} if permissions else {}), **named)

    def rules(self, group, egress=False):
        filters = [{"Name": "group-id", "Values": [group]}]
        return [each for each in self.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"] if each["IsEgress"] == egress]

    def worn(self, interface):
        found = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
        return [each["GroupId"] for each in found["Groups"]]

    def faults(self, **table):
        return self.http("PUT", f"/_faults/{self.account}", table)

    def counts(self):
        return self.http("GET", f"/_faults/{self.account}")

    def calls(self, start=0):
        return self.http("GET", f"/_calls/{self.account}?from={start}")

    def http(self, method, path, content=None):
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(urllib.request.Request(URL + path, data=data, method=method), timeout=30) as answer:
            return json.load(answer)


session = Session()
session.set_credentials("none", "none")
credentials = session.get_credentials()  # one client for all accounts: making one takes longer than most cases
ec2 = session.create_client("ec2", config=Config(retries={"max_attempts": 0}, read_timeout=30, parameter_validation=False))


def permission(protocol="tcp", start=None, end=None, four=(), six=(), groups=(), lists=(), text=None):
    described = {"Description": text} if text else {}
    item = {"IpProtocol": protocol}
    if start is not None:
        item.update(FromPort=start, ToPort=start if end is None else end)
    for key, field, peers in (("IpRanges", "CidrIp", four), ("Ipv6Ranges", "CidrIpv6", six), ("UserIdGroupPairs", "GroupId", groups), ("PrefixListIds", "PrefixListId", lists)):
        if peers:
            item[key] = [{field: peer, **described} for peer in peers]
    return item


def shape(row):
    """What a rule's row says, without ids."""
    peer = row.get("CidrIpv4") or row.get("CidrIpv6") or row.get("PrefixListId") or row["ReferencedGroupInfo"]["GroupId"]
    return (row["IpProtocol"], row["FromPort"], row["ToPort"], peer)
