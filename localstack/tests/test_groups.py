"""Security groups."""

from .case import Case, permission, shape


class Created(Case):
    def test_the_answer_bears_arn_and_tags(self):
        tags = [{"Key": "cluster", "Value": "one"}]
        made = self.ec2.create_security_group(GroupName="a", Description="b", VpcId=self.vpc, TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}])
        self.assertEqual(made["Tags"], tags)
        self.assertTrue(made["SecurityGroupArn"].endswith(f"{self.account}:security-group/{made['GroupId']}"))

    def test_a_new_group_lets_everything_out_in_the_families_of_its_vpc(self):
        every = [("-1", -1, -1, "0.0.0.0/0"), ("-1", -1, -1, "::/0")]
        self.assertEqual([shape(row) for row in self.rules(self.group(), egress=True)], every)
        plain = self.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        self.assertEqual([shape(row) for row in self.rules(self.group(vpc=plain), egress=True)], every[:1])
        self.assertEqual(self.rules(self.group("two")), [])

    def test_names_are_unique_in_the_vpc_ignoring_case(self):
        self.group("moat.one.1")
        self.refused("InvalidGroup.Duplicate", self.group, "Moat.One.1")
        self.refused("InvalidGroup.Duplicate", self.group, " moat.one.1 ")
        self.group("moat.one.1", vpc=self.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"])

    def test_names_have_a_form(self):
        for name in ("sg-1", "a|b", "ö", "x" * 256):
            self.refused("InvalidParameterValue", self.group, name)
        self.refused("InvalidVpcID.NotFound", self.group, vpc="vpc-0123456789abcdef0")
        self.group("x" * 255)

    def test_there_is_a_quota(self):
        self.group()
        self.faults(quotas={"groups": len(self.ec2.describe_security_groups()["SecurityGroups"])})
        self.refused("SecurityGroupLimitExceeded", self.group, "two")

    def test_a_default_group_lets_its_wearers_reach_each_other(self):
        named = [{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "group-name", "Values": ["default"]}]
        group = self.ec2.describe_security_groups(Filters=named)["SecurityGroups"][0]["GroupId"]
        self.assertEqual([shape(row) for row in self.rules(group)], [("-1", -1, -1, group)])

    def test_a_dry_run_changes_nothing(self):
        refusal = self.refused("DryRunOperation", self.group, "dry", DryRun=True)
        self.assertEqual(refusal.response["ResponseMetadata"]["HTTPStatusCode"], 412)
        group = self.group()
        self.refused("DryRunOperation", self.authorize, group, permission(start=1, four=["10.0.0.0/8"]), DryRun=True)
        self.refused("DryRunOperation", self.ec2.delete_security_group, GroupId=group, DryRun=True)
        self.refused("DryRunOperation", self.ec2.describe_security_groups, DryRun=True)
        acl = self.ec2.create_network_acl(VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]
        self.refused("DryRunOperation", self.ec2.delete_network_acl, NetworkAclId=acl, DryRun=True)


class Deleted(Case):
    def test_a_worn_group_stays(self):
        group = self.group()
        interface = self.interface(self.subnet(), Groups=[group])
        self.refused("DependencyViolation", self.ec2.delete_security_group, GroupId=group)
        self.ec2.delete_network_interface(NetworkInterfaceId=interface)
        self.assertEqual(self.ec2.delete_security_group(GroupId=group)["GroupId"], group)
        self.refused("InvalidGroup.NotFound", self.ec2.delete_security_group, GroupId=group)

    def test_a_named_group_stays_but_its_own_rules_do_not_count(self):
        group, other = self.group(), self.group("other")
        self.authorize(group, permission(start=1, groups=[group]))
        [row] = self.authorize(other, permission(start=1, groups=[group]), egress=True)
        self.refused("DependencyViolation", self.ec2.delete_security_group, GroupId=group)
        self.revoke(other, SecurityGroupRuleIds=[row["SecurityGroupRuleId"]], egress=True)
        self.ec2.delete_security_group(GroupId=group)

    def test_a_default_group_stays(self):
        group = self.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["SecurityGroups"][0]["GroupId"]
        self.refused("CannotDelete", self.ec2.delete_security_group, GroupId=group)

    def test_tags_go_with_what_bore_them(self):
        group = self.group(TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "a", "Value": "b"}]}])
        self.ec2.delete_security_group(GroupId=group)
        self.assertEqual(self.ec2.describe_tags()["Tags"], [])


class Described(Case):
    def names(self, **named):
        return [each["GroupName"] for each in self.ec2.describe_security_groups(**named)["SecurityGroups"]]

    def test_filters_join_and_their_values_are_alternatives(self):
        for name, tag in (("a", "x"), ("b", "x"), ("c", "y")):
            self.group(name, TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "cluster", "Value": tag}]}])
        own = {"Name": "vpc-id", "Values": [self.vpc]}
        self.assertEqual(self.names(Filters=[own, {"Name": "tag:cluster", "Values": ["x"]}]), ["a", "b"])
        self.assertEqual(self.names(Filters=[{"Name": "group-name", "Values": ["a", "c"]}, {"Name": "tag-key", "Values": ["cluster"]}]), ["a", "c"])
        self.assertEqual(self.names(Filters=[own, {"Name": "tag:cluster", "Values": ["z"]}]), [])
        self.assertEqual(self.names(Filters=[own, {"Name": "tag:cluster", "Values": ["?"]}, {"Name": "group-name", "Values": ["b*"]}]), ["b"])

    def test_rule_filters_look_at_the_rules(self):
        group, other = self.group(), self.group("other")
        self.authorize(group, permission("udp", 53, six=["2001:db8::/32"]), permission(start=80, groups=[other]))
        for name, value in (("ip-permission.ipv6-cidr", "2001:db8::/32"), ("ip-permission.group-id", other), ("ip-permission.from-port", "53"), ("ip-permission.protocol", "udp")):
            self.assertEqual(self.names(Filters=[{"Name": name, "Values": [value]}]), ["one"])

    def test_unknown_filters_and_ids_are_refused(self):
        self.refused("InvalidParameterValue", self.names, Filters=[{"Name": "colour", "Values": ["red"]}])
        self.refused("InvalidParameterValue", self.ec2.describe_security_group_rules, Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])
        self.refused("InvalidGroup.NotFound", self.names, GroupIds=["sg-0123456789abcdef0"])
        self.refused("InvalidGroupId.Malformed", self.names, GroupIds=["sg-1"])

    def test_pages_hold_5_to_1000_and_the_last_has_no_token(self):
        for number in range(12):
            self.group(f"g{number}")
        named, seen, token = {"Filters": [{"Name": "group-name", "Values": ["g*"]}], "MaxResults": 5}, [], None
        while token is not None or not seen:
            answer = self.ec2.describe_security_groups(**named, **({"NextToken": token} if token else {}))
            seen.append(len(answer["SecurityGroups"]))
            token = answer.get("NextToken")
        self.assertEqual(seen, [5, 5, 2])
        rows = self.ec2.describe_security_group_rules(MaxResults=7)
        self.assertEqual((len(rows["SecurityGroupRules"]), bool(rows["NextToken"])), (7, True))
        for wrong in (4, 1001):
            self.refused("InvalidParameterValue", self.ec2.describe_security_groups, MaxResults=wrong)
        self.refused("InvalidPaginationToken", self.ec2.describe_security_groups, MaxResults=5, NextToken="x")


class Tagged(Case):
    def test_keys_and_values_have_lengths_and_the_prefix_of_aws_is_refused(self):
        group = self.group()
        for key, value in (("k" * 129, "v"), ("k", "v" * 257), ("aws:k", "v"), ("AWS:k", "v")):
            self.refused("InvalidParameterValue", self.ec2.create_tags, Resources=[group], Tags=[{"Key": key, "Value": value}])
        self.ec2.create_tags(Resources=[group], Tags=[{"Key": "k" * 128, "Value": "v" * 256}])

    def test_what_is_not_there_is_not_tagged(self):
        group = self.group()
        for resource, code in (("sg", "InvalidGroup"), ("eni", "InvalidNetworkInterfaceID"), ("sgr", "InvalidSecurityGroupRuleId"), ("acl", "InvalidNetworkAclID")):
            both = [group, f"{resource}-0123456789abcdef0"]
            self.refused(f"{code}.NotFound", self.ec2.create_tags, Resources=both, Tags=[{"Key": "k", "Value": "v"}])
        self.assertEqual(self.ec2.describe_tags()["Tags"], [])

    def test_there_are_at_most_50(self):
        group = self.group()
        self.ec2.create_tags(Resources=[group], Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])
        self.refused("TagLimitExceeded", self.ec2.create_tags, Resources=[group], Tags=[{"Key": "more", "Value": ""}])
        self.ec2.create_tags(Resources=[group], Tags=[{"Key": "k1", "Value": "other"}])
