"""The quotas of each account: what AWS grants at first, and what a test sets instead."""

# VPC, "Amazon VPC quotas": VPC security groups per Region, inbound or outbound rules per security group, security groups per
# network interface, rules per network ACL.
DEFAULTS = {"groups": 2500, "rules_per_group": 60, "groups_per_interface": 5, "entries_per_acl": 20}
raised = {}  # account → what differs from the defaults


def quota(backend, name):
    return raised.get(backend.account_id, {}).get(name, DEFAULTS[name])
