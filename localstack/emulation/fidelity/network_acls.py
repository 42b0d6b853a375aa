"""Network ACLs and their entries."""

import ipaddress

from moto.ec2.models import network_acls as models
from moto.ec2.models import vpcs
from moto.ec2.utils import random_network_acl_subnet_association_id

from .. import limits
from . import tags
from .action import answers, instead, refuse
from .describing import filtered, page

FINAL = {4: 32767, 6: 32768}
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


# ------------------------------------------------------------------------------------------- ACLs


@answers
def create_network_acl(ec2, request):
    """VPC, "Create a network ACL": "By default, a network ACL that you create blocks all inbound and outbound traffic until you add
    rules"; the answer lists the final denies. API, CreateNetworkAcl.ClientToken: the same token gives the same ACL."""
    token = request.get("ClientToken")
    for acl in ec2.network_acls.values():
        if token and getattr(acl, "token", None) == token:
            return {"NetworkAcl": described(acl), "ClientToken": token}
    acl = ec2.create_network_acl(ec2.get_vpc(request.get("VpcId")).id)
    acl.token = token
    acl.add_tags(tags.requested(request, "network-acl"))
    return {"NetworkAcl": described(acl), "ClientToken": token}


@instead(models.NetworkAclBackend, "create_network_acl")
def with_final_entries(former, self, *arguments, **named):
    """VPC, "Default network ACL": "Each network ACL also includes a rule whose rule number is an asterisk (*)"; "Amazon VPC quotas": "the
    default deny rules (rule number 32767 for IPv4 and 32768 for IPv6, or an asterisk * in the Amazon VPC console)"."""
    acl = former(self, *arguments, **named)
    acl.network_acl_entries.clear()
    complete(self, acl, 4)
    if self.get_vpc(acl.vpc_id).get_cidr_block_association_set(ipv6=True):
        complete(self, acl, 6)
    return acl


@instead(vpcs.VPCBackend, "associate_vpc_cidr_block")
def with_ipv6(former, self, vpc_id, *arguments, **named):
    """VPC, "Default network ACL": "If you create a VPC with an IPv6 CIDR block or if you associate an IPv6 CIDR block with your existing
    VPC, we automatically add rules that allow all IPv6 traffic to flow in and out of your subnet" (number 101). "We also add rules
    whose rule numbers are an asterisk"; "If you've modified the inbound rules of your default network ACL, we do not automatically
    add an ALLOW rule for inbound IPv6 traffic"; likewise outbound."""
    before = self.get_vpc(vpc_id).get_cidr_block_association_set(ipv6=True)
    answer = former(self, vpc_id, *arguments, **named)
    if not before and self.get_vpc(vpc_id).get_cidr_block_association_set(ipv6=True):
        for acl in self.network_acls.values():
            if acl.vpc_id == vpc_id:
                complete(self, acl, 6)
    return answer


def complete(ec2, acl, family):
    for egress in (True, False):
        if acl.default and (family == 4 or [each.rule_number for each in acl.network_acl_entries if each.egress == egress] == [100, FINAL[4]]):
            keep(acl, entry(ec2, acl, {4: 100, 6: 101}[family], "-1", "allow", egress, family, EVERYWHERE[family]))
        keep(acl, entry(ec2, acl, FINAL[family], "-1", "deny", egress, family, EVERYWHERE[family]))


@answers
def delete_network_acl(ec2, request):
    """API, DeleteNetworkAcl: "You can't delete the ACL if it's associated with any subnets. You can't delete the default network ACL"."""
    acl = known(ec2, request["NetworkAclId"])
    if acl.default:
        refuse("InvalidParameterValue", f"cannot delete default network ACL {acl.id}")
    if acl.associations:
        refuse("DependencyViolation", f"The networkAcl '{acl.id}' has dependencies and cannot be deleted.")
    del ec2.network_acls[acl.id]
    tags.forget(ec2, acl.id)
    return {}


@answers
def describe_network_acls(ec2, request):
    """API, DescribeNetworkAcls: filters, pages, ICMP type and code, entries by number; an unknown id is InvalidNetworkAclID.NotFound."""
    acls = list(ec2.network_acls.values())
    if request.get("NetworkAclIds"):
        acls = [known(ec2, each) for each in dict.fromkeys(request["NetworkAclIds"])]
    answer = page(request, "NetworkAcls", filtered(request, acls, FILTERS, tags.of))
    answer["NetworkAcls"] = [described(acl) for acl in answer["NetworkAcls"]]
    return answer


@answers
def replace_network_acl_association(ec2, request):
    """API, ReplaceNetworkAclAssociation: "Changes which network ACL a subnet is associated with"; the answer has NewAssociationId, the former id is
    gone; EC2, error codes, InvalidAssociationID.NotFound."""
    to = known(ec2, request["NetworkAclId"])
    for acl in ec2.network_acls.values():
        former = acl.associations.get(request["AssociationId"])
        if former:
            identifier = random_network_acl_subnet_association_id()
            to.associations[identifier] = models.NetworkAclAssociation(ec2, identifier, former.subnet_id, to.id)
            del acl.associations[request["AssociationId"]]
            return {"NewAssociationId": identifier}
    return refuse("InvalidAssociationID.NotFound", f"The association ID '{request['AssociationId']}' does not exist")


def known(ec2, identifier):
    return ec2.network_acls.get(identifier) or refuse("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{identifier}' does not exist")


# ---------------------------------------------------------------------------------------- entries


@answers
def create_network_acl_entry(ec2, request):
    """API, CreateNetworkAclEntry; EC2, error codes: NetworkAclEntryAlreadyExists. One space of numbers for both families."""
    acl = known(ec2, request["NetworkAclId"])
    numbered(request)
    if find(acl, request):
        refuse("NetworkAclEntryAlreadyExists", f"The network acl entry identified by {request['RuleNumber']} already exists.")
    made = wanted(ec2, acl, request)
    within_quota(ec2, acl, made)
    keep(acl, made)
    return {}


@answers
def replace_network_acl_entry(ec2, request):
    """API, ReplaceNetworkAclEntry: "Replaces an entry (rule) in a network ACL", one that is there, in one step."""
    acl = known(ec2, request["NetworkAclId"])
    numbered(request)
    former = existing(acl, request)
    made = wanted(ec2, acl, request)
    acl.network_acl_entries.remove(former)
    try:
        within_quota(ec2, acl, made)
    except Exception:
        keep(acl, former)
        raise
    keep(acl, made)
    return {}


@answers
def delete_network_acl_entry(ec2, request):
    """API, DeleteNetworkAclEntry; EC2, error codes: InvalidNetworkAclEntry.NotFound. The final denies cannot be removed (VPC)."""
    acl = known(ec2, request["NetworkAclId"])
    numbered(request)
    acl.network_acl_entries.remove(existing(acl, request))
    return {}


def wanted(ec2, acl, request):
    family, block = addressed(request)
    if request.get("RuleAction") not in ("allow", "deny"):
        refuse("InvalidParameterValue", f"Invalid value '{request.get('RuleAction')}' for ruleAction")
    protocol = numeric(request.get("Protocol"))
    type_code, ports = detail(protocol, family, request)
    return entry(ec2, acl, request["RuleNumber"], protocol, request["RuleAction"], bool(request.get("Egress")), family, block, type_code, ports)


def numbered(request):
    """API, CreateNetworkAclEntry.RuleNumber: "Positive integer from 1 to 32766. The range 32767 to 65535 is reserved for internal use"."""
    if not 1 <= request["RuleNumber"] <= 32766:
        refuse("InvalidParameterValue", f"Invalid rule number {request['RuleNumber']}")


def addressed(request):
    """API, CreateNetworkAclEntry.CidrBlock: "We modify the specified CIDR block to its canonical form; for example, if you specify
    100.68.0.18/18, we modify it to 100.68.0.0/18"; exactly one of CidrBlock and Ipv6CidrBlock."""
    given = [(family, request[name]) for family, name in ((4, "CidrBlock"), (6, "Ipv6CidrBlock")) if request.get(name)]
    if len(given) != 1:
        refuse("InvalidParameterCombination" if given else "MissingParameter", "Exactly one of cidrBlock and ipv6CidrBlock must be given")
    family, block = given[0]
    try:
        network = ipaddress.ip_network(block, strict=False)
        if network.version == family:
            return family, str(network)
    except ValueError:
        pass
    return refuse("InvalidParameterValue", f"CIDR block {block} is malformed")


def numeric(protocol):
    """API, CreateNetworkAclEntry.Protocol: "The protocol number. A value of "-1" means all protocols"."""
    if protocol is None:
        refuse("MissingParameter", "The request must contain the parameter protocol")
    if protocol != "-1" and not (protocol.isdigit() and int(protocol) <= 255):
        refuse("InvalidParameterValue", f"Invalid value '{protocol}' for protocol")
    return protocol


def detail(protocol, family, request):
    """API, CreateNetworkAclEntry.Protocol: "If you specify "-1" or a protocol number other than "6" (TCP), "17" (UDP), or "1" (ICMP), traffic on
    all ports is allowed, regardless of any ports or ICMP types or codes that you specify. If you specify protocol "58" (ICMPv6) and
    specify an IPv4 CIDR block, traffic for all ICMP types and codes allowed, regardless of any that you specify. If you specify
    protocol "58" (ICMPv6) and specify an IPv6 CIDR block, you must specify an ICMP type and code"; PortRange: "Required if
    specifying protocol 6 (TCP) or 17 (UDP)"."""
    if protocol == "1" or (protocol == "58" and family == 6):
        given = request.get("IcmpTypeCode") or {}
        number, code = given.get("Type"), given.get("Code")
        if number is None or code is None:
            refuse("MissingParameter", "The request must contain the parameter icmpTypeCode")
        if not (-1 <= number <= 255 and -1 <= code <= 255) or (number == -1 and code != -1):
            refuse("InvalidParameterValue", f"ICMP code ({code}) and type ({number}) are not a valid combination")
        return (number, code), (None, None)
    if protocol in ("6", "17"):
        given = request.get("PortRange") or {}
        start, end = given.get("From"), given.get("To")
        if start is None or end is None:
            refuse("MissingParameter", "The request must contain the parameter portRange")
        if not 0 <= start <= end <= 65535:
            refuse("InvalidParameterValue", f"Invalid TCP/UDP port range ({start}:{end})")
        return (None, None), (start, end)
    return (None, None), (None, None)


def within_quota(ec2, acl, made):
    """VPC, "Amazon VPC quotas", rules per network ACL: "This is a one-way quota. This quota is enforced separately for IPv4 rules and IPv6
    rules"; "This quota includes the default deny rules". Seen: a published test counts without them."""
    used = sum(each.egress == made.egress and bool(each.cidr_block) == bool(made.cidr_block) for each in acl.network_acl_entries)
    if used >= limits.quota(ec2, "entries_per_acl"):
        refuse("NetworkAclEntryLimitExceeded", "The maximum number of network acl entries has been reached.")


def find(acl, request):
    return next((each for each in acl.network_acl_entries if (each.rule_number, each.egress) == (request["RuleNumber"], bool(request.get("Egress")))), None)


def existing(acl, request):
    return find(acl, request) or refuse("InvalidNetworkAclEntry.NotFound", f"The network acl entry identified by {request['RuleNumber']} does not exist")


def entry(ec2, acl, number, protocol, action, egress, family, block, type_code=(None, None), ports=(None, None)):
    return models.NetworkAclEntry(
        ec2, acl.id, number, protocol, action, egress,
        cidr_block=block if family == 4 else None, ipv6_cidr_block=block if family == 6 else None,
        icmp_type=type_code[0], icmp_code=type_code[1], port_range_from=ports[0], port_range_to=ports[1],
    )


def keep(acl, made):
    acl.network_acl_entries.append(made)
    acl.network_acl_entries.sort(key=lambda each: (not each.egress, each.rule_number))


# -------------------------------------------------------------------------------------- describing


def described(acl):
    return {
        "NetworkAclId": acl.id,
        "VpcId": acl.vpc_id,
        "IsDefault": acl.default,
        "OwnerId": acl.owner_id,
        "Tags": tags.rows(acl),
        "Associations": [
            {"NetworkAclAssociationId": each.id, "NetworkAclId": acl.id, "SubnetId": each.subnet_id} for each in acl.associations.values()
        ],
        "Entries": [entry_row(each) for each in acl.network_acl_entries],
    }


def entry_row(each):
    row = {"RuleNumber": each.rule_number, "Protocol": each.protocol, "RuleAction": each.rule_action, "Egress": each.egress}
    row["CidrBlock" if each.cidr_block else "Ipv6CidrBlock"] = each.cidr_block or each.ipv6_cidr_block
    if each.icmp_type is not None:
        row["IcmpTypeCode"] = {"Type": each.icmp_type, "Code": each.icmp_code}
    if each.port_range_from is not None:
        row["PortRange"] = {"From": each.port_range_from, "To": each.port_range_to}
    return row


def entries(pick):
    return lambda acl: [pick(each) for each in acl.network_acl_entries]


FILTERS = {
    "association.association-id": lambda acl: list(acl.associations),
    "association.network-acl-id": lambda acl: acl.id if acl.associations else None,
    "association.subnet-id": lambda acl: [each.subnet_id for each in acl.associations.values()],
    "default": lambda acl: acl.default,
    "entry.cidr": entries(lambda each: each.cidr_block),
    "entry.egress": entries(lambda each: each.egress),
    "entry.icmp.code": entries(lambda each: each.icmp_code),
    "entry.icmp.type": entries(lambda each: each.icmp_type),
    "entry.ipv6-cidr": entries(lambda each: each.ipv6_cidr_block),
    "entry.port-range.from": entries(lambda each: each.port_range_from),
    "entry.port-range.to": entries(lambda each: each.port_range_to),
    "entry.protocol": entries(lambda each: {"1": "icmp", "6": "tcp", "17": "udp"}.get(each.protocol, each.protocol)),
    "entry.rule-action": entries(lambda each: each.rule_action),
    "entry.rule-number": entries(lambda each: each.rule_number),
    "network-acl-id": lambda acl: acl.id,
    "owner-id": lambda acl: acl.owner_id,
    "vpc-id": lambda acl: acl.vpc_id,
}
