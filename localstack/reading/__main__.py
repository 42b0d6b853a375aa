"""The command line of `localstack/show`."""

import argparse
import json
import signal
import sys

import boto3

from . import vpc


def main():
    # Whoever reads only the first lines closes the pipe.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    parser = argparse.ArgumentParser(prog="localstack/show")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each VPC")
    parser.add_argument("vpcs", nargs="*", help="VPC, or ACCOUNT/VPC; `-`: a line each from standard input; none: all VPCs but the default")
    options = parser.parse_args()
    clients = {}
    for word in words(options.vpcs):
        account, _, name = word.rpartition("/")
        if account not in clients:
            clients[account] = boto3.client("ec2", aws_access_key_id=account or None, aws_secret_access_key="localstack" if account else None)
        found = vpc.read(clients[account], name)
        print(json.dumps(found) if options.json else text(found), flush=True)


def words(given):
    if not given:
        found = boto3.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["false"]}])["Vpcs"]
        yield from (each["VpcId"] for each in found)
    for word in given:
        yield from (line.strip() for line in sys.stdin) if word == "-" else [word]


def text(found):
    names = {group["id"]: group["name"] for group in found["groups"]}
    lines = [found["vpc"]]
    for group in found["groups"]:
        lines.append(f"  {group['name']}  {group['id']}")
        lines += sorted(f"    {line(rule, names)}" for rule in group["rules"])
    for interface in found["interfaces"]:
        worn = ", ".join(sorted(names[group] for group in interface["groups"]))
        lines.append(f"  {interface['id']}  {' '.join(interface['addresses'])}  wears {worn}")
    for acl in found["acls"]:
        guards = f"  guards {', '.join(acl['subnets'])}" if acl["subnets"] else ""
        lines.append(f"  {acl['id']}{guards}")
        lines += [f"    {entry(each)}" for each in sorted(acl["entries"], key=lambda each: (each["direction"], each["number"]))]
    return "\n".join(lines)


PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}


def entry(row):
    way = "from" if row["direction"] == "ingress" else "to"
    named = service({**row, "protocol": PROTOCOLS.get(row["protocol"], row["protocol"])})
    return f"{row['direction']} {row['number']} {row['action']} {named} {way} {row['block']}"


def line(rule, names):
    way = "from" if rule["direction"] == "ingress" else "to"
    described = f"  # {rule['description']}" if rule["description"] else ""
    return f"{rule['direction']} {service(rule)} {way} {names.get(rule['peer'], rule['peer'])}{described}"


def service(rule):
    protocol, start, end = rule["protocol"], rule["from"], rule["to"]
    if protocol == "-1":
        return "everything"
    if protocol in ("icmp", "icmpv6"):
        return protocol + (f" type {start}" if start >= 0 else "") + (f" code {end}" if end >= 0 else "")
    if protocol in ("tcp", "udp"):
        return f"{protocol} {start}" if start == end else f"{protocol} {start}-{end}"
    return f"protocol {protocol}"


main()
