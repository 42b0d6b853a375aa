"""The command line of `localstack/nodes/up`."""

import argparse
import os
import subprocess
import sys
import time

import yaml
from bringup import cache

from .cloud import Blocks, Ec2
from .kube import Cluster, Refused
from .nodes import Nodes
from .pods import Pods

WORKERS = 16


def arguments():
    parser = argparse.ArgumentParser(prog="localstack/nodes/up")
    parser.add_argument("--nodes", type=int, default=2, help="how many nodes to make (default: %(default)s)")
    parser.add_argument("--branches", type=int, default=1000, help="branch interfaces a node can have (default: %(default)s)")
    parser.add_argument("--cluster", default="default", help="the cluster's name; its nodes are called after it (default: %(default)s)")
    parser.add_argument("--cidr", default="10.0.0.0/16", help="the VPC's IPv4 block (default: %(default)s)")
    parser.add_argument("--cooldown", type=float, default=60, help="seconds that an interface stays after its pod (default: %(default)s)")
    parser.add_argument("--selected", action="store_true", help="only pods that a SecurityGroupPolicy selects have interfaces of their own")
    parser.add_argument("--no-ec2", action="store_true", help="no cloud: addresses of --blocks, no interfaces")
    parser.add_argument("--blocks", default="10.0.0.0/16,fd00:10::/64", help="what --no-ec2 takes addresses from (default: %(default)s)")
    parser.add_argument("--out", help="a folder for configuration.yaml, Moat's configuration")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND ARG…")
    options = parser.parse_args()
    options.command = options.command[1:] if options.command[:1] == ["--"] else options.command
    return options


def main():
    options = arguments()
    kubeconfig, endpoint = os.environ.get("KUBECONFIG"), os.environ.get("AWS_ENDPOINT_URL", "")
    if not kubeconfig:
        raise cache.Failure("KUBECONFIG is not set; run it under `localstack/cluster/up --`")
    if not options.no_ec2 and not cache.on_loopback(endpoint):
        raise cache.Failure(f"AWS_ENDPOINT_URL is `{endpoint}`: only a LocalStack on loopback is taken; run it under `localstack/up --`, or with --no-ec2")
    cluster = Cluster(kubeconfig)
    install(cluster)
    cloud = Blocks(options.blocks.split(",")) if options.no_ec2 else Ec2(endpoint, options.cluster, options.cidr, WORKERS, options.branches)
    nodes = Nodes(cluster, cloud, options.cluster, lambda name: pods.on(name))
    pods = Pods(cluster, cloud, nodes, WORKERS, options.cooldown, not options.selected)
    pods.follow()
    nodes.make(options.nodes)
    variables = cloud.variables()
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        variables["CONFIGURATION"] = os.path.join(options.out, "configuration.yaml")
        with open(variables["CONFIGURATION"], "w") as file:
            yaml.safe_dump(cloud.configuration(), file, sort_keys=False)
    if options.command:
        return subprocess.call(options.command, env={**os.environ, **variables})
    print(*(f"{name}={value}" for name, value in variables.items()), "READY=1", sep="\n", flush=True)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    return 0


def install(cluster):
    """The custom resources, and the wait until they are served."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "crds.yaml")) as file:
        for crd in yaml.safe_load_all(file):
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
            cluster.apply(path, crd)
            while not served(cluster, crd["spec"]):
                time.sleep(0.05)


def served(cluster, spec):
    try:
        return cluster.call("GET", f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}?limit=1")
    except Refused:
        return None


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
    except cache.Failure as failure:
        print(f"localstack/nodes/up: {failure}", file=sys.stderr)
        status = 1
    sys.stdout.flush()
    os._exit(status)  # the threads have nothing to put away
