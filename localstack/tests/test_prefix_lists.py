"""Prefix lists."""

from .case import Case, permission

NOBODY = "pl-0123456789abcdef0"


class PrefixLists(Case):
    def setUp(self):
        super().setUp()
        made = self.ec2.create_managed_prefix_list(PrefixListName="list", MaxEntries=9, AddressFamily="IPv4", Entries=[{"Cidr": "10.0.0.0/8"}])
        self.list = made["PrefixList"]["PrefixListId"]

    def entries(self, **named):
        return self.ec2.get_managed_prefix_list_entries(PrefixListId=self.list, **named)

    def test_unknown_ones_are_refused(self):
        for call, named in (
            (self.ec2.describe_managed_prefix_lists, {"PrefixListIds": [self.list, NOBODY]}),
            (self.ec2.get_managed_prefix_list_entries, {"PrefixListId": NOBODY}),
            (self.ec2.modify_managed_prefix_list, {"PrefixListId": NOBODY, "CurrentVersion": 1}),
            (self.ec2.delete_managed_prefix_list, {"PrefixListId": NOBODY}),
        ):
            self.refused("InvalidPrefixListID.NotFound", call, **named)

    def test_a_change_names_the_version_that_it_is_of(self):
        change = {"PrefixListId": self.list, "AddEntries": [{"Cidr": f"10.{number}.0.0/16"} for number in range(1, 4)]}
        self.refused("PrefixListVersionMismatch", self.ec2.modify_managed_prefix_list, CurrentVersion=2, **change)
        self.ec2.modify_managed_prefix_list(CurrentVersion=1, **change)
        [found] = self.ec2.describe_managed_prefix_lists(PrefixListIds=[self.list])["PrefixLists"]
        self.assertEqual((found["Version"], found["PrefixListName"]), (2, "list"))
        first = self.entries(MaxResults=3)
        self.assertEqual([len(first["Entries"]), len(self.entries(MaxResults=3, NextToken=first["NextToken"])["Entries"])], [3, 1])

    def test_a_used_one_stays(self):
        group = self.group()
        self.authorize(group, permission(start=1, lists=[self.list]))
        self.refused("DependencyViolation", self.ec2.delete_managed_prefix_list, PrefixListId=self.list)
        self.revoke(group, permission(start=1, lists=[self.list]))
        self.ec2.delete_managed_prefix_list(PrefixListId=self.list)
        self.refused("InvalidPrefixListID.NotFound", self.ec2.describe_managed_prefix_lists, PrefixListIds=[self.list])
