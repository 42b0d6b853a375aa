"""The command line of `localstack/seed`."""

import argparse
import os
import sys

import boto3
import yaml

from bringup import cache

from . import network, objects, pods


def main():
    parser = argparse.ArgumentParser(prog="localstack/seed")
    parser.add_argument("--out", required=True, help="the folder for cluster.yaml and configuration.yaml")
    parser.add_argument("--cluster", default="default", help="the cluster's name (default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=2, help="how many nodes (default: %(default)s)")
    parser.add_argument("--cidr", default="10.0.0.0/16", help="the VPC's IPv4 block (default: %(default)s)")
    parser.add_argument("manifests", nargs="*", help="files or folders of Kubernetes objects")
    options = parser.parse_args()
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if not cache.on_loopback(endpoint):
        sys.exit(f"localstack/seed: AWS_ENDPOINT_URL is `{endpoint}`: only a LocalStack on loopback is ever seeded; run it under `localstack/up --`")
    ec2 = boto3.client("ec2", endpoint_url=endpoint)
    wanted = pods.wanted(objects.read(options.manifests))
    vpc = network.make(ec2, options.cluster, options.cidr)
    nodes = network.nodes(ec2, options.cluster, vpc, options.nodes)
    placed = [pods.place(ec2, options.cluster, vpc, nodes[i % len(nodes)], i, pod) for i, pod in enumerate(wanted)]
    os.makedirs(options.out, exist_ok=True)
    write(options.out, "cluster.yaml", [node.manifest() for node in nodes] + placed)
    write(options.out, "configuration.yaml", [vpc.configuration(options.cluster)])
    print(f"VPC_ID={vpc.id}")
    print(f"CLUSTER={os.path.join(options.out, 'cluster.yaml')}")
    print(f"CONFIGURATION={os.path.join(options.out, 'configuration.yaml')}")


def write(folder, name, documents):
    with open(os.path.join(folder, name), "w") as file:
        yaml.safe_dump_all(documents, file, sort_keys=False)


main()
