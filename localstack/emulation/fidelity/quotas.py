"""How many rules, groups and groups on an interface there may be."""

from .. import limits
from .action import refuse
from .rule import identity


def rules(backend, group, egress):
    """VPC, "Amazon VPC quotas", inbound or outbound rules per security group: "This quota is enforced separately for IPv4 rules and
    IPv6 rules"; "Security group size": "A rule that references another security group counts as one rule, no matter the size of
    the referenced security group"; "A rule that references a customer-managed prefix list counts as the maximum size of the
    prefix list". Seen (jantman/awslimitchecker#431): a reference counts in both families. Unproven: a list counts in its own
    family only."""
    used = {4: 0, 6: 0}
    for rule in group.egress_rules if egress else group.ingress_rules:
        for family, cost in costs(backend, identity(rule)).items():
            used[family] += cost
    if max(used.values()) > limits.quota(backend, "rules_per_group"):
        refuse("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")


def costs(backend, permission):
    if permission.kind == "CidrIpv4":
        return {4: 1}
    if permission.kind == "CidrIpv6":
        return {6: 1}
    if permission.kind == "ReferencedGroupId":
        return {4: 1, 6: 1}
    prefixes = backend.managed_prefix_lists[permission.peer]
    return {6 if prefixes.address_family == "IPv6" else 4: int(prefixes.max_entries or 1)}


def groups(backend):
    """VPC, "Amazon VPC quotas", VPC security groups per Region; EC2, error codes: SecurityGroupLimitExceeded."""
    if sum(len(groups) for groups in backend.groups.values()) >= limits.quota(backend, "groups"):
        refuse("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")


def worn(backend, count, creating):
    """VPC, "Amazon VPC quotas", security groups per network interface. Seen: SecurityGroupsPerInterfaceLimitExceeded when an
    interface is modified (cloud-custodian/cloud-custodian#9787), InvalidParameterValue when one is created
    (aws/amazon-vpc-resource-controller-k8s#583)."""
    limit = limits.quota(backend, "groups_per_interface")
    if count > limit and creating:
        refuse("InvalidParameterValue", f"user {backend.account_id} exceeded limit {limit} on the number of interface security group memberships")
    if count > limit:
        refuse("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
