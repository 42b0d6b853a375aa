"""Faults, buckets, lag, counters and the log; with and without the fidelity fixes."""

import time
import urllib.error

from botocore.exceptions import ConnectionClosedError

from .case import Case, credentials, permission

TEN = {"four": ["10.0.0.0/8"]}


class Refusals(Case):
    def names(self):
        groups = self.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["SecurityGroups"]
        return [each["GroupName"] for each in groups if each["GroupName"] != "default"]

    def test_before_it_takes_effect(self):
        self.faults(rules=[{"op": "CreateSecurityGroup", "code": "RequestLimitExceeded", "status": 503}])
        refusal = self.refused("RequestLimitExceeded", self.group)
        self.assertEqual(refusal.response["ResponseMetadata"]["HTTPStatusCode"], 503)
        self.assertEqual(self.names(), [])
        self.group()

    def test_after_it_took_effect(self):
        self.faults(rules=[{"op": "CreateSecurityGroup", "code": "InternalError", "status": 500, "after": True}])
        self.refused("InternalError", self.group)
        self.assertEqual(self.names(), ["one"])

    def test_a_dropped_connection_before_and_after(self):
        self.faults(rules=[{"op": "writes", "drop": True}, {"op": "writes", "drop": True, "after": True}])
        with self.assertRaises(ConnectionClosedError):
            self.group("before")
        with self.assertRaises(ConnectionClosedError):
            self.group("after")
        self.assertEqual(self.names(), ["after"])

    def test_the_nth_the_every_nth_and_how_often(self):
        self.faults(rules=[{"op": "reads", "code": "X", "skip": 2, "every": 3, "times": 2}])
        got = []
        for _ in range(12):
            try:
                self.names()
                got.append(".")
            except self.ec2.exceptions.ClientError:
                got.append("X")
        self.assertEqual("".join(got), "..X..X......")

    def test_only_calls_that_name_something(self):
        one, two = self.group(), self.group("two")
        self.faults(rules=[{"op": "AuthorizeSecurityGroupIngress", "match": two, "code": "UnauthorizedOperation", "status": 403, "times": -1}])
        self.authorize(one, permission(start=1, **TEN))
        self.refused("UnauthorizedOperation", self.authorize, two, permission(start=1, **TEN))

    def test_only_calls_of_one_caller(self):
        self.faults(rules=[{"op": "reads", "agent": "aws-sdk-rust", "code": "X", "times": -1}, {"op": "writes", "agent": "Botocore", "code": "Y", "times": -1}])
        self.names()
        self.refused("Y", self.group)

    def test_a_delay(self):
        self.faults(rules=[{"op": "*", "delay": 0.4}])
        before = time.monotonic()
        self.names()
        self.assertGreaterEqual(time.monotonic() - before, 0.4)

    def test_accounts_are_apart_and_clearing_clears(self):
        self.faults(rules=[{"code": "X", "times": -1}])
        self.refused("X", self.names)
        own, credentials.access_key = credentials.access_key, "999999999998"
        self.ec2.describe_vpcs()
        credentials.access_key = own
        self.http("DELETE", f"/_faults/{self.account}")
        self.names()
        self.assertEqual(self.counts()["calls"], {"DescribeSecurityGroups": 1})

    def test_a_table_that_makes_no_sense_is_refused(self):
        for wrong in ({"rules": [{"operation": "x"}]}, {"quotas": {"x": 1}}, {"lag": {"x": 1}}, {"typo": 1}):
            with self.assertRaises(urllib.error.HTTPError):
                self.faults(**wrong)


class Throttled(Case):
    def test_a_bucket_for_each_action(self):
        group = self.group()
        self.faults(throttle=1)
        got = []
        for port in range(60):
            try:
                self.authorize(group, permission(start=port % 60, **TEN), DryRun=True)
            except self.ec2.exceptions.ClientError as refusal:
                got.append(refusal.response["Error"]["Code"])
        self.assertEqual(got[:50], ["DryRunOperation"] * 50)
        self.assertIn("RequestLimitExceeded", got[50:])
        self.ec2.describe_security_groups(MaxResults=5)

    def test_refilled_faster(self):
        group = self.group()
        self.faults(throttle=1000)
        for _ in range(60):
            self.refused("DryRunOperation", self.authorize, group, permission(start=1, **TEN), DryRun=True)


class Lagging(Case):
    def test_a_new_id_is_not_found_so_many_times(self):
        self.faults(lag={"unseen": 2})
        group = self.group()
        self.assertNotIn(group, self.ids())
        self.refused("InvalidGroup.NotFound", self.ec2.describe_security_groups, GroupIds=[group])
        self.refused("InvalidGroup.NotFound", self.authorize, group, permission(start=1, **TEN))
        self.authorize(group, permission(start=1, **TEN))
        self.assertIn(group, self.ids())

    def test_a_read_repeats_its_answer_from_before_a_write(self):
        group = self.group()
        self.faults(lag={"stale": 2})
        before = self.rules(group)
        self.authorize(group, permission(start=1, **TEN))
        got = [len(self.rules(group)) for _ in range(3)]
        self.assertEqual(got, [len(before), len(before), len(before) + 1])

    def ids(self):
        return [each["GroupId"] for each in self.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["SecurityGroups"]]


class Counted(Case):
    def test_calls_writes_and_the_log(self):
        start = self.calls()["count"]
        group = self.group()
        self.refused("InvalidGroup.Duplicate", self.group)
        self.ec2.describe_security_groups(MaxResults=5)
        self.refused("DryRunOperation", self.ec2.delete_security_group, GroupId=group, DryRun=True)
        log = self.calls(start)
        got = [(each["op"], each["code"]) for each in log["calls"]]
        self.assertEqual(got, [("CreateSecurityGroup", None), ("CreateSecurityGroup", "InvalidGroup.Duplicate"), ("DescribeSecurityGroups", None), ("DeleteSecurityGroup", "DryRunOperation")])
        self.assertEqual(log["calls"][0]["request"]["GroupName"], "one")
        self.assertEqual((log["count"] - start, log["writes"], self.counts()["calls"]["CreateSecurityGroup"]), (4, 3, 2))
