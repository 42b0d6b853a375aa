"""Network ACLs."""

from .case import Case

FOUR, SIX = {"CidrBlock": "10.0.0.0/8"}, {"Ipv6CidrBlock": "2001:db8::/32"}


class Acls(Case):
    def setUp(self):
        super().setUp()
        self.acl = self.ec2.create_network_acl(VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]

    def entry(self, number=100, protocol="-1", acl=None, replace=False, **named):
        call = self.ec2.replace_network_acl_entry if replace else self.ec2.create_network_acl_entry
        peer = {} if "CidrBlock" in named or "Ipv6CidrBlock" in named else FOUR
        given = {"RuleAction": "deny", "Egress": False, **peer, **named}
        return call(NetworkAclId=acl or self.acl, RuleNumber=number, Protocol=protocol, **given)

    def entries(self, acl=None, egress=False):
        found = self.ec2.describe_network_acls(NetworkAclIds=[acl or self.acl])["NetworkAcls"][0]["Entries"]
        return [each for each in found if each["Egress"] == egress]

    def numbers(self, **named):
        return [each["RuleNumber"] for each in self.entries(**named)]


class Kept(Acls):
    def test_a_custom_acl_starts_with_the_final_denies(self):
        for egress in (False, True):
            self.assertEqual([(each["RuleNumber"], each["RuleAction"]) for each in self.entries(egress=egress)], [(32767, "deny"), (32768, "deny")])

    def test_the_default_acl_allows_both_families(self):
        [acl] = self.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "default", "Values": ["true"]}])["NetworkAcls"]
        self.assertEqual(self.numbers(acl=acl["NetworkAclId"]), [100, 101, 32767, 32768])
        self.assertEqual(self.entries(acl=acl["NetworkAclId"])[1]["Ipv6CidrBlock"], "::/0")
        self.refused("InvalidParameterValue", self.ec2.delete_network_acl, NetworkAclId=acl["NetworkAclId"])

    def test_it_gains_the_ipv6_entries_with_the_vpcs_block(self):
        vpc = self.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        [acl] = self.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]
        self.assertEqual(self.numbers(acl=acl["NetworkAclId"]), [100, 32767])
        self.ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
        self.assertEqual(self.numbers(acl=acl["NetworkAclId"]), [100, 101, 32767, 32768])

    def test_a_changed_default_acl_gains_no_ipv6_allow(self):
        vpc = self.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        acl = self.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"][0]["NetworkAclId"]
        self.entry(5, acl=acl)
        self.ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
        self.assertEqual((self.numbers(acl=acl), self.numbers(acl=acl, egress=True)), ([5, 100, 32767, 32768], [100, 101, 32767, 32768]))

    def test_icmp_type_and_code_read_back_zero_included(self):
        pairs = [(0, 0), (3, 4), (8, -1), (255, 255), (-1, -1)]
        for number, (kind, code) in enumerate(pairs, 1):
            self.entry(number, "1", IcmpTypeCode={"Type": kind, "Code": code})
            self.entry(number + 10, "58", IcmpTypeCode={"Type": kind, "Code": code}, **SIX)
        got = [(each["IcmpTypeCode"]["Type"], each["IcmpTypeCode"]["Code"]) for each in self.entries() if each["RuleNumber"] < 32767]
        self.assertEqual(got, pairs * 2)
        self.entry(1, "1", replace=True, IcmpTypeCode={"Type": 11, "Code": 0})
        self.assertEqual(self.entries()[0]["IcmpTypeCode"], {"Type": 11, "Code": 0})

    def test_entries_come_by_number_and_blocks_are_masked(self):
        self.entry(200)
        self.entry(50, CidrBlock="100.68.0.18/18")
        self.assertEqual(self.numbers(), [50, 200, 32767, 32768])
        self.assertEqual(self.entries()[0]["CidrBlock"], "100.68.0.0/18")

    def test_what_a_protocol_ignores_is_not_kept(self):
        self.entry(1, "132", PortRange={"From": 1, "To": 2})
        self.entry(2, "58", IcmpTypeCode={"Type": 1, "Code": 1})
        self.assertTrue(all("PortRange" not in each and "IcmpTypeCode" not in each for each in self.entries()))


class Refused(Acls):
    def test_numbers_and_actions(self):
        for number in (0, 32767, 40000):
            self.refused("InvalidParameterValue", self.entry, number)
        self.refused("InvalidParameterValue", self.entry, RuleAction="drop")
        self.refused("InvalidParameterValue", self.ec2.delete_network_acl_entry, NetworkAclId=self.acl, RuleNumber=32767, Egress=False)

    def test_what_a_protocol_needs(self):
        for protocol, peer in (("1", FOUR), ("58", SIX), ("6", FOUR), ("17", SIX)):
            self.refused("MissingParameter", self.entry, 1, protocol, **peer)
        for wrong in ({"Type": 256, "Code": 0}, {"Type": -1, "Code": 0}):
            self.refused("InvalidParameterValue", self.entry, 1, "1", IcmpTypeCode=wrong)
        self.refused("InvalidParameterValue", self.entry, 1, "6", PortRange={"From": 9, "To": 8})
        self.refused("InvalidParameterValue", self.entry, 1, "tcp", PortRange={"From": 8, "To": 8})

    def test_exactly_one_block_that_is_one(self):
        self.refused("InvalidParameterCombination", self.entry, CidrBlock="10.0.0.0/8", Ipv6CidrBlock="::/0")
        self.refused("InvalidParameterValue", self.entry, CidrBlock="10.0.0.0/33")
        self.refused("InvalidParameterValue", self.entry, Ipv6CidrBlock="10.0.0.0/8")

    def test_what_is_there_and_what_is_not(self):
        self.entry(7)
        self.refused("NetworkAclEntryAlreadyExists", self.entry, 7, **SIX)
        self.entry(7, Egress=True)
        self.refused("InvalidNetworkAclEntry.NotFound", self.entry, 8, replace=True)
        self.refused("InvalidNetworkAclEntry.NotFound", self.ec2.delete_network_acl_entry, NetworkAclId=self.acl, RuleNumber=8, Egress=False)
        self.refused("InvalidNetworkAclID.NotFound", self.entry, acl="acl-0123456789abcdef0")
        self.refused("InvalidNetworkAclID.NotFound", self.ec2.describe_network_acls, NetworkAclIds=["acl-0123456789abcdef0"])

    def test_the_quota_counts_families_and_directions_apart(self):
        for number in range(1, 20):
            self.entry(number)
            self.entry(number + 100, **SIX)
        self.refused("NetworkAclEntryLimitExceeded", self.entry, 50)
        self.refused("NetworkAclEntryLimitExceeded", self.entry, 1, replace=True, **SIX)
        self.assertEqual(self.numbers()[0], 1)
        self.entry(1, replace=True)
        self.entry(1, Egress=True)


class Associated(Acls):
    def test_a_subnet_changes_its_acl_and_the_former_association_is_gone(self):
        subnet = self.subnet()
        of_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]
        [former] = self.ec2.describe_network_acls(Filters=of_subnet)["NetworkAcls"][0]["Associations"]
        replaced = self.ec2.replace_network_acl_association(AssociationId=former["NetworkAclAssociationId"], NetworkAclId=self.acl)
        found = self.ec2.describe_network_acls(Filters=of_subnet)["NetworkAcls"][0]
        self.assertEqual((found["NetworkAclId"], found["Associations"][0]["NetworkAclAssociationId"]), (self.acl, replaced["NewAssociationId"]))
        again = {"AssociationId": former["NetworkAclAssociationId"], "NetworkAclId": self.acl}
        self.refused("InvalidAssociationID.NotFound", self.ec2.replace_network_acl_association, **again)
        self.refused("DependencyViolation", self.ec2.delete_network_acl, NetworkAclId=self.acl)

    def test_one_token_makes_one_acl(self):
        made = [self.ec2.create_network_acl(VpcId=self.vpc, ClientToken="t")["NetworkAcl"]["NetworkAclId"] for _ in range(2)]
        self.assertEqual(made[0], made[1])

    def test_filters_and_pages(self):
        self.entry(1, "1", IcmpTypeCode={"Type": 8, "Code": 0})
        for name, value in (("entry.icmp.type", "8"), ("entry.protocol", "icmp"), ("network-acl-id", self.acl), ("entry.cidr", "10.0.0.0/8")):
            found = self.ec2.describe_network_acls(Filters=[{"Name": name, "Values": [value]}])["NetworkAcls"]
            self.assertEqual([each["NetworkAclId"] for each in found], [self.acl])
        for _ in range(4):
            self.ec2.create_network_acl(VpcId=self.vpc)
        self.assertEqual(len(self.ec2.describe_network_acls(MaxResults=5)["NetworkAcls"]), 5)
