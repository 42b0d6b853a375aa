"""The token buckets of the EC2 API.

EC2 Developer Guide, "Request throttling for the Amazon EC2 API": a bucket of tokens for each action of an
account in a Region; the sizes and refill rates are its tables.
"""

import time

RESOURCE_INTENSIVE = ("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress")
SIZES = {  # tokens, refill in a second
    **dict.fromkeys(RESOURCE_INTENSIVE, (50, 5)),
    "CreateNetworkInterface": (100, 5),
    "DeleteNetworkInterface": (100, 5),
    "ModifyNetworkInterfaceAttribute": (100, 5),
    "AssignPrivateIpAddresses": (100, 5),
    "UnassignPrivateIpAddresses": (100, 5),
    "AssignIpv6Addresses": (100, 5),
    "CreateTags": (100, 10),
    "DeleteTags": (100, 10),
    "DescribeSecurityGroupReferences": (20, 5),
    "DescribeStaleSecurityGroups": (20, 5),
}
READING, MUTATING, UNPAGED = (100, 20), (50, 5), (50, 10)
PAGED_OR_FILTERED = ("DescribeSecurityGroups", "DescribeNetworkInterfaces", "DescribeInstances")


class Buckets:
    """`speed` refills them so many times as fast as AWS; 0 means no throttling."""

    def __init__(self, speed):
        self.speed, self.levels = speed, {}

    def take(self, action, request):
        """Whether there was a token. Unproven: a refused call takes none."""
        if not self.speed:
            return True
        name, (size, refill) = kind(action, request)
        now = time.monotonic()
        tokens, since = self.levels.get(name, (size, now))
        tokens = min(size, tokens + (now - since) * refill * self.speed)
        self.levels[name] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1


def kind(action, request):
    if action in PAGED_OR_FILTERED and not request.get("Filters") and not request.get("MaxResults"):
        return action + " neither filtered nor paged", UNPAGED
    reading = action.startswith(("Describe", "Get", "List", "Search"))
    return action, SIZES.get(action, READING if reading else MUTATING)
