"""One VPC's groups, rules, interfaces and network ACLs, page by page, as plain values."""

from ipaddress import ip_address


# The numbers of the final denies begin here.
FINAL = 32767


def read(ec2, vpc):
    own = [{"Name": "vpc-id", "Values": [vpc]}]
    groups = pages(ec2, "describe_security_groups", "SecurityGroups", Filters=own)
    interfaces = pages(ec2, "describe_network_interfaces", "NetworkInterfaces", Filters=own)
    rules = {group["GroupId"]: [] for group in groups}
    for row in pages(ec2, "describe_security_group_rules", "SecurityGroupRules"):
        if row["GroupId"] in rules:
            rules[row["GroupId"]].append(rule(row))
    acls = pages(ec2, "describe_network_acls", "NetworkAcls", Filters=own)
    return {
        "vpc": vpc,
        "groups": [
            {"id": each["GroupId"], "name": each["GroupName"], "description": each["Description"], "tags": tags(each.get("Tags")), "rules": rules[each["GroupId"]]}
            for each in sorted(groups, key=lambda each: (each["GroupName"], each["GroupId"]))
        ],
        "interfaces": [
            {
                "id": each["NetworkInterfaceId"],
                "type": each["InterfaceType"],
                "addresses": [address["PrivateIpAddress"] for address in each["PrivateIpAddresses"]] + [address["Ipv6Address"] for address in each["Ipv6Addresses"]],
                "groups": sorted(group["GroupId"] for group in each["Groups"]),
                "tags": tags(each.get("TagSet")),
            }
            for each in sorted(interfaces, key=lambda each: ip_address(each["PrivateIpAddress"]))
        ],
        "acls": [
            {
                "id": each["NetworkAclId"],
                "tags": tags(each.get("Tags")),
                "subnets": sorted(association["SubnetId"] for association in each["Associations"]),
                "entries": [entry(row) for row in each["Entries"] if row["RuleNumber"] < FINAL],
            }
            for each in sorted(acls, key=lambda each: each["NetworkAclId"])
        ],
    }


def entry(row):
    """`from` and `to` as in rules."""
    icmp = row.get("IcmpTypeCode")
    ports = (icmp["Type"], icmp["Code"]) if icmp else (row["PortRange"]["From"], row["PortRange"]["To"]) if "PortRange" in row else (-1, -1)
    return {
        "direction": "egress" if row["Egress"] else "ingress",
        "number": row["RuleNumber"],
        "action": row["RuleAction"],
        "protocol": row["Protocol"],
        "from": ports[0],
        "to": ports[1],
        "block": row.get("CidrBlock") or row["Ipv6CidrBlock"],
    }


def rule(row):
    """`from` and `to` are ports, or ICMP type and code; -1 is all of them. The peer is a block, or the id of a group or list."""
    peer = row.get("CidrIpv4") or row.get("CidrIpv6") or row.get("PrefixListId") or row["ReferencedGroupInfo"]["GroupId"]
    return {
        "id": row["SecurityGroupRuleId"],
        "direction": "egress" if row["IsEgress"] else "ingress",
        "protocol": row["IpProtocol"],
        "from": row.get("FromPort", -1),
        "to": row.get("ToPort", -1),
        "peer": peer,
        "description": row.get("Description", ""),
        "tags": tags(row.get("Tags")),
    }


def tags(listed):
    return {each["Key"]: each["Value"] for each in listed or []}


def pages(ec2, call, key, **request):
    return [each for page in ec2.get_paginator(call).paginate(PaginationConfig={"PageSize": 1000}, **request) for each in page[key]]
