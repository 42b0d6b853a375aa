"""The pods of the manifests, and where each is placed."""

import copy
import ipaddress
import json
import uuid

from botocore.exceptions import ClientError

from .network import ipv6_of, tagged

WORKLOADS = {"Deployment": "replicas", "ReplicaSet": "replicas", "StatefulSet": "replicas", "ReplicationController": "replicas", "Job": "parallelism", "DaemonSet": None}
INTERFACE = "localstack.moat.dev/interface"
POD_ENI = "vpc.amazonaws.com/pod-eni"


def wanted(objects):
    """Every Pod, and the pods of every workload, each owned by its workload."""
    found = []
    for item in objects:
        kind, metadata = item.get("kind"), item.get("metadata") or {}
        if kind == "Pod":
            found.append(copy.deepcopy(item))
        elif kind in WORKLOADS:
            spec = item.get("spec") or {}
            count = spec.get(WORKLOADS[kind], 1) if WORKLOADS[kind] else 1
            found += [of_workload(kind, metadata, spec.get("template") or {}, number) for number in range(count)]
    return found


def of_workload(kind, metadata, template, number):
    inner = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{metadata['name']}-{number}",
            "namespace": metadata.get("namespace", "default"),
            "labels": copy.deepcopy(inner.get("labels") or {}),
            "annotations": copy.deepcopy(inner.get("annotations") or {}),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": metadata["name"], "uid": f"{kind}-{metadata['name']}", "controller": True}],
        },
        "spec": copy.deepcopy(template.get("spec") or {}),
    }


def place(ec2, cluster, vpc, node, number, pod):
    """Gives the pod its interface, and says so in the object as the VPC resource controller and the kubelet do."""
    metadata = pod["metadata"]
    metadata.setdefault("namespace", "default")
    metadata.setdefault("uid", str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{metadata['namespace']}/{metadata['name']}")))
    spec = pod.setdefault("spec", {})
    spec["nodeName"] = node.name
    annotations = metadata.setdefault("annotations", {})
    if spec.get("hostNetwork"):
        addresses = node.addresses
    elif annotations.get(INTERFACE) == "shared":
        addresses = shared(ec2, node)
    else:
        addresses, annotations[POD_ENI] = branch(ec2, cluster, vpc, node)
    pod["status"] = {"phase": "Running", "hostIP": node.addresses[0], "podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]}
    return pod


def branch(ec2, cluster, vpc, node):
    """A branch interface with the description and the tags that the VPC resource controller gives it."""
    node.branches += 1
    subnet = vpc.pod_subnets[node.zone]
    tags = {
        "vpcresources.k8s.aws/vlan-id": str(node.branches),
        "vpcresources.k8s.aws/trunk-eni-id": node.trunk,
        "eks:eni:owner": "eks-vpc-resource-controller",
        f"kubernetes.io/cluster/{cluster}": "owned",
        "node.k8s.amazonaws.com/instance_id": node.instance,
    }
    made = ec2.create_network_interface(
        SubnetId=subnet["SubnetId"], Groups=[vpc.group], Ipv6AddressCount=1, Description="aws-k8s-branch-eni", TagSpecifications=tagged("network-interface", tags)
    )["NetworkInterface"]
    addresses = [made["PrivateIpAddress"], made["Ipv6Addresses"][0]["Ipv6Address"]]
    annotation = {
        "eniId": made["NetworkInterfaceId"],
        "ifAddress": made["MacAddress"],
        "privateIp": addresses[0],
        "ipv6Addr": addresses[1],
        "vlanId": node.branches,
        "subnetCidr": subnet["CidrBlock"],
        "subnetV6Cidr": ipv6_of(subnet),
        "associationID": associate(ec2, node, made["NetworkInterfaceId"]),
    }
    return addresses, json.dumps([annotation], separators=(",", ":"))


def associate(ec2, node, interface):
    """Unpatched LocalStack has no trunks; the interface then stays of type `interface`."""
    try:
        return ec2.associate_trunk_interface(BranchInterfaceId=interface, TrunkInterfaceId=node.trunk, VlanId=node.branches)["InterfaceAssociation"]["AssociationId"]
    except ClientError as refusal:
        if refusal.response["Error"]["Code"] != "InternalFailure":
            raise
        return ""


def shared(ec2, node):
    """One more address of each family on the node's own interface."""
    ec2.assign_private_ip_addresses(NetworkInterfaceId=node.interface, SecondaryPrivateIpAddressCount=1)
    ec2.assign_ipv6_addresses(NetworkInterfaceId=node.interface, Ipv6AddressCount=1)
    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[node.interface])["NetworkInterfaces"][0]
    addresses = [interface["PrivateIpAddresses"][-1]["PrivateIpAddress"], interface["Ipv6Addresses"][-1]["Ipv6Address"]]
    return [str(ipaddress.ip_address(address)) for address in addresses]
