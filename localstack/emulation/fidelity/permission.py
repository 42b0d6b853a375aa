"""One rule of a security group as AWS keeps it: its identity in canonical form, its checks, its text."""

import ipaddress
import re
from typing import NamedTuple, Optional

from .action import refuse

NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "all": "-1"}
PEERS = ("CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId")


class Permission(NamedTuple):
    """What makes two rules of a group and direction the same rule; descriptions and tags do not."""

    protocol: str
    start: int
    end: int
    kind: str
    peer: str


class Wanted(NamedTuple):
    """A permission of a request, with its description."""

    permission: Permission
    description: Optional[str]


def of_request(request, egress, strict=True):
    """API, AuthorizeSecurityGroupIngress: "You must specify exactly one of the following sources: an IPv4 or IPv6 address
    range, a prefix list, or a security group", in each item of IpPermissions or, on ingress, in the flat parameters."""
    permissions = request.get("IpPermissions") or []
    if not permissions and "IpProtocol" in request and not egress:
        permissions = [{**request, "IpRanges": [{"CidrIp": request["CidrIp"]}] if "CidrIp" in request else []}]
    wanted = [each for permission in permissions for each in expand(permission, strict)]
    if not wanted:
        refuse("MissingParameter", "The request must contain the parameter ipPermissions")
    return wanted


def expand(item, strict):
    protocol, start, end = service(item.get("IpProtocol"), item.get("FromPort"), item.get("ToPort"))
    found = []
    for key, field, kind in (
        ("IpRanges", "CidrIp", "CidrIpv4"),
        ("Ipv6Ranges", "CidrIpv6", "CidrIpv6"),
        ("PrefixListIds", "PrefixListId", "PrefixListId"),
        ("UserIdGroupPairs", "GroupId", "ReferencedGroupId"),
    ):
        for peer in item.get(key) or []:
            if not peer.get(field):
                refuse("MissingParameter", f"The request must contain the parameter {field}")
            found.append(wanted(protocol, start, end, kind, peer[field], peer.get("Description"), strict))
    if not found:
        refuse("InvalidParameterValue", "A source or destination must be specified")
    return found


def of_rule(item):
    """API, ModifySecurityGroupRules, type SecurityGroupRuleRequest: a whole rule with exactly one of its four peers."""
    given = [kind for kind in PEERS if item.get(kind)]
    if len(given) > 1:
        refuse("InvalidParameterCombination", "Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified")
    if not given:
        refuse("MissingParameter", "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId")
    protocol, start, end = service(item.get("IpProtocol"), item.get("FromPort"), item.get("ToPort"))
    return wanted(protocol, start, end, given[0], item[given[0]], item.get("Description"), True)


def wanted(protocol, start, end, kind, peer, description, strict):
    if kind in ("CidrIpv4", "CidrIpv6"):
        peer = block(peer, kind)
    if strict:
        same_family(protocol, kind)
        described(description, kind)
    return Wanted(Permission(protocol, start, end, kind, peer), description)


def service(protocol, start, end):
    """API, IpPermission.IpProtocol: "The IP protocol name (tcp, udp, icmp, icmpv6) or number [...]. Use -1 to specify
    all protocols"; seen (hashicorp/terraform-provider-aws#1793): another name is an "Unknown protocol"."""
    name = str(protocol).lower() if protocol is not None else None
    if name is None:
        refuse("InvalidParameterValue", "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.")
    name = NAMES.get(name, name)
    if name in ("tcp", "udp"):
        return name, *ports(start, end)
    if name in ("icmp", "icmpv6"):
        return name, *icmp(name, start, end)
    if name != "-1" and not (name.isdigit() and int(name) <= 255):
        refuse("InvalidParameterValue", f"Invalid value '{protocol}' for IP protocol. Unknown protocol.")
    return every_port(name)


def ports(start, end):
    """API, IpPermission.IpProtocol: "For tcp, udp, and icmp, you must specify a port range"."""
    if start is None or end is None:
        refuse("InvalidParameterValue", "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
    if not 0 <= start <= end <= 65535:
        refuse("InvalidParameterValue", f"Invalid TCP/UDP port range ({start}:{end})")
    return start, end


def icmp(name, start, end):
    """API, IpPermission.ToPort: "this is the ICMP code or -1 (all ICMP codes). If the start port is -1 (all ICMP types), then
    the end port must be -1 (all ICMP codes)"; IpProtocol: "For icmpv6, the port range is optional; if you omit the port
    range, traffic for all types and codes is allowed", but for icmp "you must specify a port range"."""
    if name == "icmpv6":
        start, end = -1 if start is None else start, -1 if end is None else end
    if start is None or end is None:
        refuse("InvalidParameterValue", "Invalid value for portRange. Must specify both type and code with ICMP.")
    if not (-1 <= start <= 255 and -1 <= end <= 255) or (start == -1 and end != -1):
        refuse("InvalidParameterValue", f"ICMP code ({end}) and type ({start}) are not a valid combination")
    return start, end


def every_port(name):
    """API, IpPermission.IpProtocol: "specifying -1 or a protocol number other than tcp, udp, icmp, or icmpv6 allows traffic on
    all ports, regardless of any port range you specify". So a rule of a protocol number is revoked without ports, too."""
    return name, -1, -1


def block(peer, kind):
    """API, IpRange.CidrIp: "Amazon Web Services canonicalizes IPv4 and IPv6 CIDRs. For example, if you specify
    100.68.0.18/18 for the CIDR block, Amazon Web Services canonicalizes the CIDR block to 100.68.0.0/18"; "To specify a
    single IPv4 address, use the /32 prefix length"; seen (aws/aws-cli#2846): otherwise it "is malformed"."""
    try:
        network = ipaddress.ip_network(peer, strict=False)
        if "/" in peer and network.version == (6 if kind == "CidrIpv6" else 4):
            return str(network)
    except ValueError:
        pass
    return refuse("InvalidParameterValue", f"CIDR block {peer} is malformed")


def same_family(protocol, kind):
    """Unproven: icmp belongs to IPv4 and icmpv6 to IPv6. If AWS takes such a rule, no packet can ever match it."""
    if (protocol, kind) in (("icmp", "CidrIpv6"), ("icmpv6", "CidrIpv4")):
        refuse("InvalidParameterValue", f"The protocol {protocol} does not go with {kind}")


def described(description, kind):
    """API, IpRange.Description: "Up to 255 characters in length. Allowed characters are a-z, A-Z, 0-9, spaces, and
    ._-:/()#,@[]+=&;{}!$*"; UserIdGroupPair.Description and PrefixListId.Description: the same without the ampersand."""
    ampersand = "&" if kind.startswith("Cidr") else ""
    if not re.fullmatch(rf"[a-zA-Z0-9 ._\-:/()#,@\[\]+={ampersand};{{}}!$*]{{0,255}}", description or ""):
        refuse("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
