"""Security groups: creating, describing, deleting."""

import re

from moto.ec2.models import security_groups as models

from . import permission, quotas, rule, tags
from .action import answers, instead, refuse
from .describing import filtered, page

CHARACTERS = r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}"


@answers
def create_security_group(ec2, request):
    """API, CreateSecurityGroup.GroupName: "Names are case-insensitive and must be unique within the VPC"; "Up to 255 characters in
    length. Can't start with sg-. Valid characters: a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*". The answer bears the
    tags and the ARN."""
    name, description = (request.get("GroupName") or "").strip(), request.get("Description")
    vpc = ec2.get_vpc(request["VpcId"]) if request.get("VpcId") else ec2.default_vpc
    if not name or not description:
        refuse("MissingParameter", f"The request must contain the parameter {'Description' if name else 'GroupName'}")
    if name.startswith("sg-"):
        refuse("InvalidParameterValue", "Group names may not be in the format sg-*")
    if not re.fullmatch(CHARACTERS, name) or not re.fullmatch(CHARACTERS, description):
        refuse("InvalidParameterValue", "Names and descriptions are limited to 255 characters of a set")
    if any(group.name.lower() == name.lower() for group in ec2.groups[vpc.id].values()):
        refuse("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc.id}'")
    quotas.groups(ec2)
    group = ec2.create_security_group(name, description, vpc_id=vpc.id, tags=tags.requested(request, "security-group"), force=True)
    return {"GroupId": group.id, "SecurityGroupArn": group.arn, "Tags": tags.rows(group)}


@instead(models.SecurityGroupBackend, "create_security_group")
def default_group(former, self, name, *arguments, **named):
    """VPC, "Default security groups for your VPCs": "Allows inbound traffic from all resources that are assigned to this security
    group. The source is the ID of this security group"; the emulation leaves the rule out."""
    group = former(self, name, *arguments, **named)
    if group.is_default and not group.ingress_rules:
        itself = permission.Permission("-1", -1, -1, "ReferencedGroupId", group.id)
        group.ingress_rules.append(rule.make(group, False, permission.Wanted(itself, None), {}))
    return group


@answers
def delete_security_group(ec2, request):
    """API, DeleteSecurityGroup: "If you attempt to delete a security group that is associated with an instance or network interface,
    is referenced by another security group in the same VPC, or has a VPC association, the operation fails with
    DependencyViolation"; VPC, "Default security groups for your VPCs": "You can't delete a default security group. If you try to
    delete it, we return the following error: Client.CannotDelete". The answer bears the GroupId."""
    group = asked(ec2, request)
    if group.is_default:
        refuse("CannotDelete", f'the specified group: "{group.id}" name: "{group.name}" cannot be deleted by a user')
    others = (other for other in ec2.groups[group.vpc_id].values() if other.id != group.id)
    named = any(each.source_group.get("GroupId") == group.id for other in others for each in other.ingress_rules + other.egress_rules)
    if named or any(worn.id == group.id for interface in ec2.enis.values() for worn in interface.group_set):
        refuse("DependencyViolation", f"resource {group.id} has a dependent object")
    for each in [group, *group.ingress_rules, *group.egress_rules]:
        tags.forget(ec2, each.id)
    del ec2.groups[group.vpc_id][group.id]
    return {"Return": True, "GroupId": group.id}


@answers
def describe_security_groups(ec2, request):
    """API, DescribeSecurityGroups: filters, pages; an unknown id among GroupIds is InvalidGroup.NotFound."""
    groups = [group for groups in ec2.groups.values() for group in groups.values()]
    if request.get("GroupIds"):
        groups = list({identifier: known(ec2, identifier) for identifier in request["GroupIds"]}.values())
    if request.get("GroupNames"):
        groups = [group for group in groups if group.name in request["GroupNames"]]
        if len(groups) < len(request["GroupNames"]):
            refuse("InvalidGroup.NotFound", f"The security groups {request['GroupNames']} do not exist")
    answer = page(request, "SecurityGroups", filtered(request, groups, FILTERS, tags.of))
    answer["SecurityGroups"] = [described(group) for group in answer["SecurityGroups"]]
    return answer


def described(group):
    return {
        "GroupId": group.id,
        "GroupName": group.name,
        "Description": group.description,
        "VpcId": group.vpc_id,
        "OwnerId": group.owner_id,
        "SecurityGroupArn": group.arn,
        "Tags": tags.rows(group),
        "IpPermissions": rule.merged(group.ingress_rules),
        "IpPermissionsEgress": rule.merged(group.egress_rules),
    }


def asked(ec2, request):
    """The group that a request names by GroupId, or by GroupName in the default VPC."""
    if request.get("GroupId"):
        return known(ec2, request["GroupId"])
    if not request.get("GroupName"):
        refuse("MissingParameter", "The request must contain the parameter groupId")
    for group in ec2.groups[ec2.default_vpc.id].values():
        if group.name == request["GroupName"]:
            return group
    return refuse("InvalidGroup.NotFound", f"The security group '{request['GroupName']}' does not exist in default VPC")


def known(ec2, identifier):
    """EC2, error codes: InvalidGroupId.Malformed, InvalidGroup.NotFound."""
    if not re.fullmatch(r"sg-[0-9a-f]{8}(?:[0-9a-f]{9})?", identifier):
        refuse("InvalidGroupId.Malformed", f"The security group ID '{identifier}' is malformed")
    return rule.find(ec2, identifier) or refuse("InvalidGroup.NotFound", f"The security group '{identifier}' does not exist")


def of_rules(egress, pick):
    return lambda group: [pick(rule.identity(each)) for each in (group.egress_rules if egress else group.ingress_rules)]


def peers(kind):
    return lambda permission: permission.peer if permission.kind == kind else None


FILTERS = {
    "description": lambda group: group.description,
    "group-id": lambda group: group.id,
    "group-name": lambda group: group.name,
    "owner-id": lambda group: group.owner_id,
    "vpc-id": lambda group: group.vpc_id,
}
for _prefix, _egress in (("ip-permission.", False), ("egress.ip-permission.", True)):
    for _name, _pick in {
        "cidr": peers("CidrIpv4"),
        "ipv6-cidr": peers("CidrIpv6"),
        "group-id": peers("ReferencedGroupId"),
        "prefix-list-id": peers("PrefixListId"),
        "protocol": lambda permission: permission.protocol,
        "from-port": lambda permission: permission.start,
        "to-port": lambda permission: permission.end,
    }.items():
        FILTERS[_prefix + _name] = of_rules(_egress, _pick)
