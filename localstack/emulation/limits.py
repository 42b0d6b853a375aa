"""The quotas of each account: what AWS grants at first, and what a test sets instead."""

# VPC, "Amazon VPC quotas": the defaults of "VPC security groups per Region", "Inbound or outbound rules per security
# group" ("enforced separately for IPv4 rules and IPv6 rules"), "Security groups per network interface", and "Rules per
# network ACL" (the text counts the final deny; a published test says that it does not count).
DEFAULTS = {"groups": 2500, "rules_per_group": 60, "groups_per_interface": 5, "entries_per_acl": 20}
raised = {}  # account → what differs from the defaults


def quota(backend, name):
    return raised.get(backend.account_id, {}).get(name, DEFAULTS[name])
