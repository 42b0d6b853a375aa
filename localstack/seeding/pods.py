"""The pods of the manifests, and where each is placed."""

import copy
import uuid

from . import interfaces

WORKLOADS = {"Deployment": "replicas", "ReplicaSet": "replicas", "StatefulSet": "replicas", "ReplicationController": "replicas", "Job": "parallelism", "DaemonSet": None}
INTERFACE = "localstack.moat.dev/interface"


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
        addresses = interfaces.shared(ec2, node)
    else:
        node.branches += 1
        addresses, entry = interfaces.branch(ec2, cluster, vpc, node, node.branches)
        annotations[interfaces.POD_ENI] = interfaces.annotation(entry)
    pod["status"] = {"phase": "Running", "hostIP": node.addresses[0], "podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]}
    return pod
