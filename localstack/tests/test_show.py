"""What `localstack/show` reads."""

import json
import os
import subprocess

from .case import Case, permission

SHOW = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "show")


class Show(Case):
    def show(self, *arguments, **named):
        return subprocess.run([SHOW, *arguments], check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "AWS_ACCESS_KEY_ID": self.account}, **named).stdout

    def test_icmp_by_type_and_code_and_groups_by_name(self):
        group = self.group("web")
        self.revoke(group, permission("-1", four=["0.0.0.0/0"], six=["::/0"]), egress=True)
        interface = self.interface(self.subnet(), Groups=[group])
        self.authorize(group, permission("icmp", 8, 0, four=["10.0.0.0/8"], text="ping"), permission(start=80, end=90, groups=[group]), permission("132", six=["::/0"]))
        lines = self.show(self.vpc).splitlines()
        start = lines.index(f"  web  {group}")
        end = next(place for place, line in enumerate(lines) if line.startswith("  acl-"))
        self.assertEqual(lines[start + 1 : end], [
            "    ingress icmp type 8 code 0 from 10.0.0.0/8  # ping",
            "    ingress protocol 132 from ::/0",
            "    ingress tcp 80-90 from web",
            f"  {interface}  10.0.1.4  wears web",
        ])

    def test_network_acls_with_what_they_guard(self):
        subnet = self.subnet()
        acl = self.ec2.create_network_acl(VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]
        named = {"NetworkAclId": acl, "RuleAction": "deny"}
        self.ec2.create_network_acl_entry(**named, RuleNumber=2, Egress=True, Protocol="1", IcmpTypeCode={"Type": 8, "Code": 0}, CidrBlock="10.0.0.0/8")
        self.ec2.create_network_acl_entry(**named, RuleNumber=1, Egress=False, Protocol="6", PortRange={"From": 80, "To": 90}, Ipv6CidrBlock="::/0")
        [default] = [each for each in self.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["NetworkAcls"] if each["IsDefault"]]
        association = next(each["NetworkAclAssociationId"] for each in default["Associations"] if each["SubnetId"] == subnet)
        self.ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=acl)
        lines = self.show(self.vpc).splitlines()
        start = lines.index(f"  {acl}  guards {subnet}")
        self.assertEqual(lines[start + 1 : start + 3], [
            "    egress 2 deny icmp type 8 code 0 to 10.0.0.0/8",
            "    ingress 1 deny tcp 80-90 from ::/0",
        ])

    def test_json_of_several_vpcs(self):
        other = self.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        got = [json.loads(line) for line in self.show("--json", "-", input=f"{self.account}/{self.vpc}\n{other}\n").splitlines()]
        self.assertEqual([each["vpc"] for each in got], [self.vpc, other])
        self.assertEqual([(each["direction"], each["protocol"], each["from"], each["peer"]) for each in got[1]["groups"][0]["rules"]], [
            ("egress", "-1", -1, "0.0.0.0/0"), ("ingress", "-1", -1, got[1]["groups"][0]["id"]),
        ])
