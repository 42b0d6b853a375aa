"""Network interfaces and trunks."""

from .case import Case

NOBODY = "sg-0123456789abcdef0"


class Groups(Case):
    def setUp(self):
        super().setUp()
        self.net = self.subnet()

    def wear(self, interface, *groups):
        return self.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=list(groups))

    def test_the_new_set_replaces_the_current_one(self):
        a, b, c = (self.group(name) for name in "abc")
        interface = self.interface(self.net, Groups=[a])
        self.wear(interface, b, c)
        self.assertEqual(self.worn(interface), [b, c])

    def test_one_to_five_groups_that_exist_in_the_same_vpc(self):
        groups = [self.group(f"g{number}") for number in range(6)]
        interface = self.interface(self.net, Groups=groups[:1])
        foreign = self.group("foreign", vpc=self.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"])
        self.refused("InvalidParameterCombination", self.wear, interface)
        self.refused("SecurityGroupsPerInterfaceLimitExceeded", self.wear, interface, *groups)
        self.refused("InvalidGroup.NotFound", self.wear, interface, NOBODY)
        self.refused("InvalidGroup.NotFound", self.wear, interface, foreign)
        self.refused("InvalidGroupId.Malformed", self.wear, interface, "g1")
        self.refused("InvalidNetworkInterfaceID.NotFound", self.wear, "eni-0123456789abcdef0", groups[0])
        self.refused("InvalidNetworkInterfaceId.Malformed", self.wear, "eni-1", groups[0])
        self.assertEqual(self.worn(interface), groups[:1])
        self.wear(interface, *groups[:5])

    def test_creation_checks_them_too(self):
        groups = [self.group(f"g{number}") for number in range(6)]
        self.refused("InvalidParameterValue", self.interface, self.net, Groups=groups)
        self.refused("InvalidGroup.NotFound", self.interface, self.net, Groups=[NOBODY])
        self.assertEqual(self.ec2.describe_network_interfaces()["NetworkInterfaces"], [])

    def test_one_token_makes_one_interface(self):
        self.assertEqual(*(self.interface(self.net, ClientToken="t") for _ in range(2)))

    def test_one_attribute_in_a_call(self):
        interface, group = self.interface(self.net), self.group()
        call = {"NetworkInterfaceId": interface, "Groups": [group], "Description": {"Value": "x"}}
        self.refused("InvalidParameterCombination", self.ec2.modify_network_interface_attribute, **call)
        self.refused("DryRunOperation", self.ec2.modify_network_interface_attribute, NetworkInterfaceId=interface, Groups=[group], DryRun=True)

    def test_an_attached_interface_wears_its_own_groups_only(self):
        a, b = self.group("a"), self.group("b")
        instance = self.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=self.net, SecurityGroupIds=[a])["Instances"][0]["InstanceId"]
        interface = self.interface(self.net, Groups=[b])
        self.ec2.attach_network_interface(NetworkInterfaceId=interface, InstanceId=instance, DeviceIndex=1)
        self.assertEqual(self.worn(interface), [b])
        self.refused("InvalidParameterValue", self.ec2.delete_network_interface, NetworkInterfaceId=interface)
        self.refused("DependencyViolation", self.ec2.delete_security_group, GroupId=a)


class Addresses(Case):
    def test_they_are_in_the_subnet_not_reserved_and_nobody_elses(self):
        net = self.subnet()
        self.interface(net, PrivateIpAddress="10.0.1.9")
        self.refused("InvalidIPAddress.InUse", self.interface, net, PrivateIpAddress="10.0.1.9")
        for wrong in ("10.0.1.0", "10.0.1.3", "10.0.1.255", "10.0.2.9", "10.0.1"):
            self.refused("InvalidParameterValue", self.interface, net, PrivateIpAddress=wrong)

    def test_chosen_ones_never_meet(self):
        net = self.subnet()
        for _ in range(3):
            self.interface(net, Ipv6AddressCount=1)
            self.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=net)
        found = self.ec2.describe_network_interfaces()["NetworkInterfaces"]
        self.assertEqual(len({each["PrivateIpAddress"] for each in found}), 6)
        self.assertTrue(all(len(each["MacAddress"]) == 17 for each in found))

    def test_a_subnets_ipv6_block_is_associated(self):
        self.subnet()
        [found] = self.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["Subnets"]
        self.assertEqual(found["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlockState"]["State"], "associated")


class Described(Case):
    def find(self, name, *values, **named):
        found = self.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": list(values)}], **named)
        return [each["NetworkInterfaceId"] for each in found["NetworkInterfaces"]]

    def test_by_tag_group_address_and_type(self):
        net, group = self.subnet(), self.group()
        tagged = [{"ResourceType": "network-interface", "Tags": [{"Key": "eks:eni:owner", "Value": "eks-vpc-resource-controller"}]}]
        one = self.interface(net, Groups=[group], Ipv6AddressCount=1, TagSpecifications=tagged)
        self.interface(net)
        row = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[one])["NetworkInterfaces"][0]
        for name, value in (
            ("tag:eks:eni:owner", "eks-vpc-resource-controller"), ("tag-key", "eks:eni:owner"), ("group-id", group), ("network-interface-id", one),
            ("ipv6-addresses.ipv6-address", row["Ipv6Addresses"][0]["Ipv6Address"]), ("addresses.private-ip-address", row["PrivateIpAddress"]),
        ):
            self.assertEqual(self.find(name, value), [one], name)
        self.assertEqual(len(self.find("interface-type", "interface")), 2)
        self.refused("InvalidParameterValue", self.find, "colour", "red")

    def test_pages_exclude_ids(self):
        net = self.subnet()
        ids = [self.interface(net) for _ in range(7)]
        first = self.ec2.describe_network_interfaces(MaxResults=5)
        second = self.ec2.describe_network_interfaces(MaxResults=5, NextToken=first["NextToken"])
        self.assertEqual([each["NetworkInterfaceId"] for each in first["NetworkInterfaces"] + second["NetworkInterfaces"]], ids)
        self.refused("InvalidParameterCombination", self.ec2.describe_network_interfaces, MaxResults=5, NetworkInterfaceIds=ids)
        self.refused("InvalidNetworkInterfaceID.NotFound", self.ec2.describe_network_interfaces, NetworkInterfaceIds=[*ids, "eni-0123456789abcdef0"])

    def test_other_describes_have_pages_too(self):
        for number in range(6):
            self.subnet(block=f"10.0.{number}.0/24", vpc=self.vpc)
        named = {"Filters": [{"Name": "vpc-id", "Values": [self.vpc]}], "MaxResults": 5}
        first = self.ec2.describe_subnets(**named)
        second = self.ec2.describe_subnets(**named, NextToken=first["NextToken"])
        self.assertEqual((len(first["Subnets"]), len(second["Subnets"]), second.get("NextToken")), (5, 1, None))


class Trunks(Case):
    def test_an_associated_interface_is_a_branch_in_use(self):
        net = self.subnet()
        trunk, branch = self.interface(net, InterfaceType="trunk"), self.interface(net)
        made = self.ec2.associate_trunk_interface(BranchInterfaceId=branch, TrunkInterfaceId=trunk, VlanId=7)["InterfaceAssociation"]
        row = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[branch])["NetworkInterfaces"][0]
        self.assertEqual((row["InterfaceType"], row["Status"], made["VlanId"]), ("branch", "in-use", 7))
        self.assertEqual(self.ec2.describe_trunk_interface_associations()["InterfaceAssociations"], [made])
        self.refused("InvalidParameterValue", self.ec2.delete_network_interface, NetworkInterfaceId=branch)
        self.ec2.disassociate_trunk_interface(AssociationId=made["AssociationId"])
        self.ec2.delete_network_interface(NetworkInterfaceId=branch)

    def test_a_branch_is_not_created_as_one(self):
        self.refused("InvalidParameterValue", self.interface, self.subnet(), InterfaceType="branch")
