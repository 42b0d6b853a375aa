"""A kept rule: made from a permission, and written in the forms of the two describe calls."""

from moto.ec2.models import security_groups as models

from . import tags
from .permission import Permission, Wanted

FIELDS = {"CidrIpv4": "CidrIp", "CidrIpv6": "CidrIpv6"}


def make(group, egress, wanted, rule_tags):
    permission, description = wanted
    text = {"Description": description} if description else {}
    address = {FIELDS[permission.kind]: permission.peer, **text} if permission.kind in FIELDS else None
    named = {"GroupId": permission.peer, "UserId": group.owner_id, **text} if permission.kind == "ReferencedGroupId" else None
    listed = {"PrefixListId": permission.peer} if permission.kind == "PrefixListId" else None
    rule = models.SecurityGroupRule(
        group.ec2_backend, permission.protocol, group.id, permission.start, permission.end,
        address, named, listed, is_egress=egress, tags=rule_tags,
    )
    rule.listed_description = description if listed else None
    return rule


def identity(rule):
    for kind, peer in (
        ("CidrIpv4", rule.ip_range.get("CidrIp")),
        ("CidrIpv6", rule.ip_range.get("CidrIpv6")),
        ("PrefixListId", rule.prefix_list_id),
        ("ReferencedGroupId", rule.source_group.get("GroupId")),
    ):
        if peer:
            start, end = (-1 if port is None else port for port in (rule.from_port, rule.to_port))
            return Permission(rule.ip_protocol, start, end, kind, peer)
    raise AssertionError(f"{rule.id} has no peer")


def wanted(rule):
    return Wanted(identity(rule), rule.ip_range.get("Description") or rule.source_group.get("Description") or getattr(rule, "listed_description", None))


def row(rule):
    """API, type SecurityGroupRule: the fields of DescribeSecurityGroupRules, with GroupOwnerId, SecurityGroupRuleArn and the
    VpcId of ReferencedGroupInfo; without a port range the ports are -1."""
    (protocol, start, end, kind, peer), description = wanted(rule)
    backend = rule.ec2_backend
    answer = {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "GroupOwnerId": backend.account_id,
        "IsEgress": rule.is_egress,
        "IpProtocol": protocol,
        "FromPort": start,
        "ToPort": end,
        "Tags": tags.rows(rule),
        "SecurityGroupRuleArn": f"arn:aws:ec2:{backend.region_name}:{backend.account_id}:security-group-rule/{rule.id}",
    }
    if kind == "ReferencedGroupId":
        named = find(backend, peer)
        answer["ReferencedGroupInfo"] = {"GroupId": peer, "UserId": backend.account_id, "VpcId": named.vpc_id if named else None}
    else:
        answer[kind] = peer
    if description:
        answer["Description"] = description
    return answer


def revoked(rule):
    """API, type RevokedSecurityGroupRule: as SecurityGroupRule, but with ReferencedGroupId."""
    answer = row(rule)
    named = answer.pop("ReferencedGroupInfo", None)
    for field in ("GroupOwnerId", "Tags", "SecurityGroupRuleArn"):
        del answer[field]
    return {**answer, "ReferencedGroupId": named["GroupId"]} if named else answer


def merged(rules):
    """API, type IpPermission: DescribeSecurityGroups joins the peers of one protocol and port range; for -1 the ports are
    absent."""
    found = {}
    for rule in rules:
        (protocol, start, end, kind, peer), description = wanted(rule)
        item = found.setdefault(
            (protocol, start, end),
            {"IpProtocol": protocol, "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": []},
        )
        if protocol != "-1":
            item.update(FromPort=start, ToPort=end)
        text = {"Description": description} if description else {}
        if kind == "ReferencedGroupId":
            item["UserIdGroupPairs"].append({"GroupId": peer, "UserId": rule.ec2_backend.account_id, **text})
        elif kind == "PrefixListId":
            item["PrefixListIds"].append({"PrefixListId": peer, **text})
        else:
            item["IpRanges" if kind == "CidrIpv4" else "Ipv6Ranges"].append({FIELDS[kind]: peer, **text})
    return list(found.values())


def find(backend, group_id):
    return next((groups[group_id] for groups in list(backend.groups.values()) if group_id in groups), None)
