"""Security group rules: authorizing, revoking, modifying, describing. Every call is whole or not at all."""

from . import permission, quotas, rule, tags
from .action import answers, refuse
from .describing import filtered, page
from .groups import asked, known

# Seen: an Authorize that fails for any reason leaves the group as it was; nowhere promised by AWS.


@answers
def authorize_security_group_ingress(ec2, request):
    return authorize(ec2, request, egress=False)


@answers
def authorize_security_group_egress(ec2, request):
    return authorize(ec2, request, egress=True)


def authorize(ec2, request, egress):
    """API, AuthorizeSecurityGroupIngress.SecurityGroupRules: "Information about the inbound (ingress) security group rules that
    were added": of all permissions of the request."""
    group = asked(ec2, request)
    wanted = permission.of_request(request, egress)
    rule_tags = tags.requested(request, "security-group-rule")
    once(wanted)
    there = {rule.identity(each) for each in kept(group, egress)}
    for each, _ in wanted:
        exists(ec2, group, each)
        absent(each, there)
    added = [rule.make(group, egress, each, rule_tags) for each in wanted]
    attempt(ec2, group, egress, kept(group, egress) + added)
    return {"Return": True, "SecurityGroupRules": [rule.row(each) for each in added]}


def once(wanted):
    """Seen (aws/aws-sdk-go#1340, hashicorp/terraform-provider-aws#29492): one rule twice in a request, also with different
    descriptions, is InvalidParameterValue."""
    if len({each for each, _ in wanted}) < len(wanted):
        refuse("InvalidParameterValue", "The same permission must not appear multiple times")


def absent(wanted, there):
    """API, IpRange.CidrIp: "if you attempt to add another rule with the non-canonical form of the CIDR (such as 100.68.0.18/18)
    and there is already a rule for the canonicalized form of the CIDR block (such as 100.68.0.0/18), the API throws an
    duplicate rule error"; EC2, error codes, InvalidPermission.Duplicate."""
    if wanted in there:
        refuse("InvalidPermission.Duplicate", f'the specified rule "{wanted}" already exists')


def exists(ec2, group, wanted):
    """API, UserIdGroupPair, PrefixListId: the named group or list is there; seen: a group of an unconnected VPC is
    InvalidGroup.NotFound, "You have specified two resources that belong to different networks."."""
    if wanted.kind == "ReferencedGroupId" and known(ec2, wanted.peer).vpc_id != group.vpc_id:
        refuse("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
    if wanted.kind == "PrefixListId" and wanted.peer not in ec2.managed_prefix_lists:
        refuse("InvalidPrefixListID.NotFound", f"The prefix list ID '{wanted.peer}' does not exist")


@answers
def revoke_security_group_ingress(ec2, request):
    return revoke(ec2, request, egress=False)


@answers
def revoke_security_group_egress(ec2, request):
    return revoke(ec2, request, egress=True)


def revoke(ec2, request, egress):
    """API, RevokeSecurityGroupIngress: "You can specify rules using either rule IDs or security group rule properties"; "If the security
    group rule has a description, you do not need to specify the description to revoke the rule"; "For a default VPC, if the
    values you specify do not match the existing rule's values, no error is returned, and the output describes the security
    group rules that were not revoked. For a non-default VPC, [...] an InvalidPermission.NotFound client error is returned,
    and no rules are revoked". Said for ingress; egress is the same here."""
    group = asked(ec2, request)
    unknown = []
    if request.get("SecurityGroupRuleIds"):
        gone = by_id(group, egress, request["SecurityGroupRuleIds"])
    else:
        there = {rule.identity(each): each for each in kept(group, egress)}
        wanted = permission.of_request(request, egress, strict=False)
        gone = [there[each] for each, _ in wanted if each in there]
        unknown = [each for each, _ in wanted if each not in there]
    if unknown and not ec2.get_vpc(group.vpc_id).is_default:
        refuse("InvalidPermission.NotFound", "There is no such rule in this security group.")
    keep(group, egress, [each for each in kept(group, egress) if each not in gone])
    answer = {"Return": True, "RevokedSecurityGroupRules": [rule.revoked(each) for each in gone]}
    for each in gone:
        tags.forget(ec2, each.id)
    if unknown:
        missing = [rule.make(group, egress, permission.Wanted(each, None), {}) for each in unknown]
        answer["UnknownIpPermissions"] = rule.merged(missing)
    return answer


def by_id(group, egress, identifiers):
    """Unproven: an id that is not one of this group and direction is InvalidSecurityGroupRuleId.NotFound, and nothing is revoked."""
    there = {each.id: each for each in kept(group, egress)}
    for identifier in identifiers:
        if identifier not in there:
            refuse("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{identifier}' does not exist")
    return [there[identifier] for identifier in dict.fromkeys(identifiers)]


@answers
def modify_security_group_rules(ec2, request):
    """API, ModifySecurityGroupRules: "Modifies the rules of a security group"; each rule keeps its id. Seen (in the emulation's own tests
    against AWS): a rule cannot change the kind of its peer. Unproven: whole or not at all over several rules."""
    group = known(ec2, request["GroupId"])
    changed = {}
    for update in request.get("SecurityGroupRules") or []:
        identifier = update["SecurityGroupRuleId"]
        former = group.get_rule(identifier)
        if former is None:
            refuse("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{identifier}' does not exist")
        wanted = permission.of_rule(update.get("SecurityGroupRule") or {})
        exists(ec2, group, wanted.permission)
        if wanted.permission.kind != rule.identity(former).kind:
            refuse("InvalidParameterValue", f"Invalid rule type for security group rule '{identifier}'. You may not specify {wanted.permission.kind} for it.")
        changed[identifier] = rule.make(group, former.is_egress, wanted, {})
        changed[identifier].id = identifier
    for egress in (False, True):
        after = [changed.get(each.id, each) for each in kept(group, egress)]
        identities = [rule.identity(each) for each in after]
        for identity in identities:
            if identities.count(identity) > 1 and any(rule.identity(each) == identity for each in changed.values()):
                absent(identity, {identity})
    for egress in (False, True):
        attempt(ec2, group, egress, [changed.get(each.id, each) for each in kept(group, egress)])
    return {"Return": True}


@answers
def update_security_group_rule_descriptions_ingress(ec2, request):
    return describe_anew(ec2, request, egress=False)


@answers
def update_security_group_rule_descriptions_egress(ec2, request):
    return describe_anew(ec2, request, egress=True)


def describe_anew(ec2, request, egress):
    """API, UpdateSecurityGroupRuleDescriptionsEgress: "You can replace an existing description, or add a description to a rule that did not
    have one previously. You can remove a description for a security group rule by omitting the description parameter"; "You must
    specify either the description or the IP permissions"."""
    group = asked(ec2, request)
    texts = {each["SecurityGroupRuleId"]: each.get("Description") for each in request.get("SecurityGroupRuleDescriptions") or []}
    if not texts:
        there = {rule.identity(each): each.id for each in kept(group, egress)}
        for each, description in permission.of_request(request, egress):
            if each not in there:
                refuse("InvalidPermission.NotFound", "There is no such rule in this security group.")
            texts[there[each]] = description
    by_id(group, egress, texts)
    for each in kept(group, egress):
        if each.id in texts:
            permission.described(texts[each.id], rule.identity(each).kind)
            anew = rule.make(group, egress, permission.Wanted(rule.identity(each), texts[each.id]), {})
            each.ip_range, each.source_group = anew.ip_range, anew.source_group
            each.listed_description = anew.listed_description
    return {"Return": True}


@answers
def describe_security_group_rules(ec2, request):
    """API, DescribeSecurityGroupRules.Filters: group-id, security-group-rule-id, tag:<key>, and no other."""
    groups = [group for groups in ec2.groups.values() for group in groups.values()]
    for each in request.get("Filters") or []:
        if each.get("Name") == "group-id":
            groups = [group for group in groups if any(group.id == value or set(value) & set("*?") for value in each.get("Values") or [])]
    rules = [each for group in groups for each in group.egress_rules + group.ingress_rules]
    if request.get("SecurityGroupRuleIds"):
        there = {each.id: each for each in rules}
        for identifier in request["SecurityGroupRuleIds"]:
            if identifier not in there:
                refuse("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{identifier}' does not exist")
        rules = [there[identifier] for identifier in dict.fromkeys(request["SecurityGroupRuleIds"])]
    answer = page(request, "SecurityGroupRules", filtered(request, rules, FILTERS, tags.of))
    answer["SecurityGroupRules"] = [rule.row(each) for each in answer["SecurityGroupRules"]]
    return answer


FILTERS = {"group-id": lambda each: each.group_id, "security-group-rule-id": lambda each: each.id}


def kept(group, egress):
    return group.egress_rules if egress else group.ingress_rules


def keep(group, egress, rules):
    if egress:
        group.egress_rules = rules
    else:
        group.ingress_rules = rules


def attempt(ec2, group, egress, rules):
    """Keeps these rules if they are within the quota, else the former ones."""
    former = kept(group, egress)
    keep(group, egress, rules)
    try:
        quotas.rules(ec2, group, egress)
    except Exception:
        keep(group, egress, former)
        raise
