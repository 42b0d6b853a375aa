"""Rules of security groups."""

from concurrent.futures import ThreadPoolExecutor

from .case import Case, permission, shape

TEN, EIGHT = "10.0.0.0/8", "2001:db8::/32"


class Canonical(Case):
    def forms(self, *permissions):
        return [shape(row) for row in self.authorize(self.group(), *permissions)]

    def test_host_bits_are_masked_and_ipv6_is_spelled_one_way(self):
        got = self.forms(permission(start=1, four=["100.68.0.18/18"], six=["2001:DB8:0:0::1/64"]))
        self.assertEqual(got, [("tcp", 1, 1, "100.68.0.0/18"), ("tcp", 1, 1, "2001:db8::/64")])

    def test_protocol_numbers_become_names(self):
        got = self.forms(*(permission(number, 8, 0, four=[TEN]) for number in ("1", "6", "17") if number == "1"), permission("6", 1, four=[TEN]), permission("17", 1, four=[TEN]), permission("58", 128, 0, six=[EIGHT]))
        self.assertEqual([each[0] for each in got], ["icmp", "tcp", "udp", "icmpv6"])

    def test_another_number_and_all_protocols_have_no_ports(self):
        got = self.forms(permission("132", 1, 9, four=[TEN]), permission("-1", 1, 9, four=[TEN]), permission("50", four=[TEN]))
        self.assertEqual([each[:3] for each in got], [("132", -1, -1), ("-1", -1, -1), ("50", -1, -1)])

    def test_icmpv6_without_type_is_every_type_but_icmp_needs_one(self):
        self.assertEqual(self.forms(permission("icmpv6", six=[EIGHT])), [("icmpv6", -1, -1, EIGHT)])
        self.refused("InvalidParameterValue", self.authorize, self.group("two"), permission("icmp", four=[TEN]))

    def test_every_icmp_type_with_every_kind_of_code_reads_back_as_written(self):
        self.faults(quotas={"rules_per_group": 2000})
        for protocol, peers in (("icmp", {"four": ["0.0.0.0/0"]}), ("icmpv6", {"six": ["::/0"]})):
            for egress in (False, True):
                group = self.group(f"{protocol} {egress}")
                self.revoke(group, permission("-1", four=["0.0.0.0/0"], six=["::/0"]), egress=True)
                pairs = [(number, code) for number in range(256) for code in (-1, 0, 1, 255)]
                for batch in (pairs[:512], pairs[512:]):
                    self.authorize(group, *(permission(protocol, number, code, **peers) for number, code in batch), egress=egress)
                self.assertEqual([(row["FromPort"], row["ToPort"]) for row in self.rules(group, egress)], pairs)


class Refused(Case):
    def test_what_is_no_protocol_port_or_type_is_refused(self):
        group = self.group()
        for wrong in (
            permission("sctp", 1, four=[TEN]), permission("all4", 1, four=[TEN]), permission("256", four=[TEN]),
            permission(four=[TEN]), permission(start=90, end=80, four=[TEN]), permission(start=70000, four=[TEN]), permission(start=-1, four=[TEN]),
            permission("icmp", -1, 0, four=[TEN]), permission("icmp", 300, 0, four=[TEN]), permission("icmp", 8, 256, four=[TEN]),
            permission("icmp", 8, 0, six=[EIGHT]), permission("icmpv6", 128, 0, four=[TEN]),
        ):
            self.refused("InvalidParameterValue", self.authorize, group, wrong)
        self.assertEqual(self.rules(group), [])

    def test_what_is_no_block_is_refused(self):
        group = self.group()
        for wrong in ({"four": ["10.0.0.0"]}, {"four": ["10.0.0.0/33"]}, {"four": [EIGHT]}, {"six": ["2001:db8::1"]}, {"six": [TEN]}):
            self.refused("InvalidParameterValue", self.authorize, group, permission(start=1, **wrong))

    def test_a_rule_needs_a_peer(self):
        self.refused("InvalidParameterValue", self.authorize, self.group(), permission(start=1))
        self.refused("MissingParameter", self.ec2.authorize_security_group_egress, GroupId=self.group("two"))

    def test_unknown_groups_and_lists_are_refused(self):
        group, other = self.group(), self.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        foreign = self.group("foreign", vpc=other)
        self.refused("InvalidGroup.NotFound", self.authorize, group, permission(start=1, groups=["sg-0123456789abcdef0"]))
        self.refused("InvalidGroupId.Malformed", self.authorize, group, permission(start=1, groups=["sg-xyz"]))
        self.refused("InvalidGroup.NotFound", self.authorize, group, permission(start=1, groups=[foreign]))
        self.refused("InvalidPrefixListID.NotFound", self.authorize, group, permission(start=1, lists=["pl-0123456789abcdef0"]))
        self.refused("InvalidGroup.NotFound", self.authorize, "sg-0123456789abcdef0", permission(start=1, four=[TEN]))
        self.refused("InvalidGroupId.Malformed", self.authorize, "one", permission(start=1, four=[TEN]))

    def test_descriptions_have_a_length_and_characters(self):
        group = self.group()
        for text in ("x" * 256, "a|b", "snö"):
            self.refused("InvalidParameterValue", self.authorize, group, permission(start=1, four=[TEN], text=text))
        self.refused("InvalidParameterValue", self.authorize, group, permission(start=1, groups=[group], text="a&b"))
        self.authorize(group, permission(start=1, four=[TEN], text="shop/web: a&b {x} [1] = $2 * ! ; # @ ,"))


class Whole(Case):
    def test_the_answer_lists_the_rules_of_every_permission(self):
        group = self.group()
        got = self.authorize(group, permission(start=1, four=[TEN]), permission("udp", 2, six=[EIGHT]), permission("-1", groups=[group]))
        self.assertEqual(got, self.rules(group))
        self.assertEqual(got[2]["ReferencedGroupInfo"], {"GroupId": group, "UserId": self.account, "VpcId": self.vpc})
        self.assertEqual({row["GroupOwnerId"] for row in got}, {self.account})
        self.assertTrue(all(row["SecurityGroupRuleArn"].endswith(row["SecurityGroupRuleId"]) for row in got))

    def test_an_existing_rule_refuses_the_whole_call(self):
        group = self.group()
        self.authorize(group, permission(start=1, four=["100.68.0.0/18"], text="first"))
        call = (permission(start=2, four=[TEN]), permission("6", 1, four=["100.68.0.18/18"], text="second"))
        self.refused("InvalidPermission.Duplicate", self.authorize, group, *call)
        self.assertEqual([shape(row) for row in self.rules(group)], [("tcp", 1, 1, "100.68.0.0/18")])

    def test_one_rule_twice_in_a_call_is_invalid(self):
        group = self.group()
        twice = (permission(start=1, four=[TEN], text="a"), permission(start=1, four=["10.1.2.3/8"], text="b"))
        self.refused("InvalidParameterValue", self.authorize, group, *twice)
        self.assertEqual(self.rules(group), [])

    def test_descriptions_of_every_kind_of_peer_are_kept(self):
        group, prefixes = self.group(), self.prefixes("IPv4", 3)
        self.authorize(group, permission(start=1, four=[TEN], six=[EIGHT], groups=[group], lists=[prefixes], text="why"))
        self.assertEqual([row["Description"] for row in self.rules(group)], ["why"] * 4)
        merged = self.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
        self.assertEqual(len(merged), 1)
        peers = [merged[0][key][0] for key in ("IpRanges", "Ipv6Ranges", "UserIdGroupPairs", "PrefixListIds")]
        self.assertEqual([each["Description"] for each in peers], ["why"] * 4)

    def test_rules_bear_the_tags_of_their_call(self):
        group = self.group()
        specification = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}]
        self.authorize(group, permission(start=1, four=[TEN]), TagSpecifications=specification)
        self.assertEqual(self.rules(group)[0]["Tags"], [{"Key": "a", "Value": "b"}])
        found = self.ec2.describe_security_group_rules(Filters=[{"Name": "tag:a", "Values": ["b"]}])["SecurityGroupRules"]
        self.assertEqual([row["GroupId"] for row in found], [group])
        wrong = [{**specification[0], "ResourceType": "security-group"}]
        self.refused("InvalidParameterValue", self.authorize, group, permission(start=2, four=[TEN]), TagSpecifications=wrong)

    def prefixes(self, family, size):
        return self.ec2.create_managed_prefix_list(PrefixListName="list", MaxEntries=size, AddressFamily=family)["PrefixList"]["PrefixListId"]

    def test_the_quota_counts_each_family_and_direction_apart(self):
        group, other = self.group(), self.group("other")
        fill = [permission(start=port, four=[TEN], six=[EIGHT]) for port in range(60)]
        self.authorize(group, *fill)
        self.authorize(group, *fill[:59], egress=True)
        for one in ({"four": [TEN]}, {"six": [EIGHT]}, {"groups": [other]}):
            self.refused("RulesPerSecurityGroupLimitExceeded", self.authorize, group, permission(start=99, **one))
        self.assertEqual(len(self.rules(group)), 120)
        self.authorize(other, *(permission(start=port, groups=[group]) for port in range(60)))
        self.refused("RulesPerSecurityGroupLimitExceeded", self.authorize, other, permission(start=99, six=[EIGHT]))

    def test_a_list_costs_its_size(self):
        group = self.group()
        self.authorize(group, permission(start=1, lists=[self.prefixes("IPv4", 60)]), permission(start=1, six=[EIGHT]))
        self.refused("RulesPerSecurityGroupLimitExceeded", self.authorize, group, permission(start=2, four=[TEN]))

    def test_calls_side_by_side_lose_nothing_and_keep_the_quota(self):
        group = self.group()
        self.faults(quotas={"rules_per_group": 10})

        def one(port):
            try:
                return self.authorize(group, permission(start=port, four=[TEN])) and "done"
            except self.ec2.exceptions.ClientError as refusal:
                return refusal.response["Error"]["Code"]

        with ThreadPoolExecutor(8) as pool:
            got = sorted(pool.map(one, range(16)))
        self.assertEqual(got, ["RulesPerSecurityGroupLimitExceeded"] * 6 + ["done"] * 10)
        self.assertEqual(len(self.rules(group)), 10)

    def test_a_quota_can_be_another(self):
        group = self.group()
        self.faults(quotas={"rules_per_group": 2})
        self.authorize(group, *(permission(start=port, four=[TEN]) for port in (1, 2)))
        self.refused("RulesPerSecurityGroupLimitExceeded", self.authorize, group, permission(start=3, four=[TEN]))


class Revoked(Case):
    def test_by_id_and_the_answer_describes_them(self):
        group = self.group()
        first, second = self.authorize(group, permission(start=1, four=[TEN], text="x"), permission(start=2, groups=[group]))
        answer = self.revoke(group, SecurityGroupRuleIds=[second["SecurityGroupRuleId"]])["RevokedSecurityGroupRules"]
        self.assertEqual([(row["SecurityGroupRuleId"], row["ReferencedGroupId"]) for row in answer], [(second["SecurityGroupRuleId"], group)])
        self.assertEqual(self.rules(group), [first])

    def test_an_unknown_id_revokes_nothing(self):
        group, other = self.group(), self.group("other")
        [kept], [foreign] = self.authorize(group, permission(start=1, four=[TEN])), self.authorize(other, permission(start=1, four=[TEN]))
        for wrong in (foreign["SecurityGroupRuleId"], "sgr-0123456789abcdef0", self.rules(group, egress=True)[0]["SecurityGroupRuleId"]):
            self.refused("InvalidSecurityGroupRuleId.NotFound", self.revoke, group, SecurityGroupRuleIds=[kept["SecurityGroupRuleId"], wrong])
        self.assertEqual(self.rules(group), [kept])

    def test_by_properties_without_the_description(self):
        group = self.group()
        self.authorize(group, permission(start=1, four=["10.0.0.0/8"], groups=[group], text="why"))
        self.revoke(group, permission("6", 1, four=["10.9.9.9/8"], groups=[group]))
        self.assertEqual(self.rules(group), [])

    def test_a_protocol_number_by_properties_without_ports(self):
        group = self.group()
        self.authorize(group, permission("132", four=[TEN]), permission("47", 5, 6, four=[TEN]))
        self.revoke(group, permission("132", four=[TEN]), permission("47", four=[TEN]))
        self.assertEqual(self.rules(group), [])

    def test_a_mismatch_revokes_nothing_in_a_vpc_of_ones_own(self):
        group = self.group()
        self.authorize(group, permission(start=1, four=[TEN]))
        self.refused("InvalidPermission.NotFound", self.revoke, group, permission(start=1, four=[TEN]), permission(start=2, four=[TEN]))
        self.assertEqual(len(self.rules(group)), 1)
        self.revoke(group, permission("-1", four=["0.0.0.0/0"], six=["::/0"]), egress=True)
        self.refused("InvalidPermission.NotFound", self.revoke, group, permission("-1", four=["0.0.0.0/0"]), egress=True)

    def test_a_mismatch_is_told_in_the_default_vpc(self):
        vpc = self.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        group = self.group(vpc=vpc)
        self.authorize(group, permission(start=1, four=[TEN]))
        answer = self.revoke(group, permission(start=1, four=[TEN]), permission(start=2, four=[TEN]))
        self.assertEqual([each["FromPort"] for each in answer["UnknownIpPermissions"]], [2])
        self.assertEqual(self.rules(group), [])


class Changed(Case):
    def test_a_rule_is_modified_in_place_and_nothing_becomes_double(self):
        group = self.group()
        first, second = self.authorize(group, permission(start=1, four=[TEN]), permission(start=2, four=[TEN]))

        def modify(row, **rule):
            update = {"SecurityGroupRuleId": row["SecurityGroupRuleId"], "SecurityGroupRule": {"IpProtocol": "tcp", **rule}}
            return self.ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[update])

        modify(first, FromPort=5, ToPort=6, CidrIpv4="10.1.2.3/16", Description="new")
        row = self.rules(group)[0]
        self.assertEqual((row["SecurityGroupRuleId"], shape(row), row["Description"]), (first["SecurityGroupRuleId"], ("tcp", 5, 6, "10.1.0.0/16"), "new"))
        self.refused("InvalidPermission.Duplicate", modify, first, FromPort=2, ToPort=2, CidrIpv4=TEN)
        self.refused("InvalidParameterValue", modify, first, FromPort=2, ToPort=2, CidrIpv6=EIGHT)
        self.refused("InvalidParameterCombination", modify, first, FromPort=2, ToPort=2, CidrIpv6=EIGHT, CidrIpv4=TEN)
        self.refused("MissingParameter", modify, first, FromPort=2, ToPort=2)
        self.refused("InvalidSecurityGroupRuleId.NotFound", modify, {"SecurityGroupRuleId": "sgr-0123456789abcdef0"}, FromPort=2, ToPort=2, CidrIpv4=TEN)

    def test_descriptions_change_by_id_and_by_properties(self):
        group = self.group()
        [row] = self.authorize(group, permission(start=1, groups=[group], text="a"))
        update = self.ec2.update_security_group_rule_descriptions_ingress
        update(GroupId=group, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": row["SecurityGroupRuleId"], "Description": "b"}])
        self.assertEqual(self.rules(group)[0]["Description"], "b")
        update(GroupId=group, IpPermissions=[permission(start=1, groups=[group])])
        self.assertNotIn("Description", self.rules(group)[0])
        self.refused("InvalidPermission.NotFound", update, GroupId=group, IpPermissions=[permission(start=2, groups=[group])])
