"""Node objects: the machine behind each, its status, its heartbeat, its CNINode."""

import datetime
import time

from . import running
from .work import Work

PLAYED = "localstack.moat.dev/node"  # the label of the nodes that are played, whoever made them; its value is the cluster's name
TRUNK = "vpc.amazonaws.com/has-trunk-attached"
HEARTBEAT = 10  # seconds, as the kubelet's
ROOM = 10_000  # pods a node; more than anybody tries


class Nodes:
    def __init__(self, cluster, cloud, name, came_up):
        """Those of one name. `came_up(name)` is called for each node that can run pods."""
        self.cluster, self.cloud, self.name, self.came_up = cluster, cloud, name, came_up
        self.seen, self.built, self.hosts = {}, {}, {}  # Node objects, the hosts behind them, and those that are up, by uid
        self.names = {}  # uid by name
        self.work = Work(self.reconcile, 1, 1.0)  # one: `host` takes one caller at a time
        self.beats = Work(self.beat, 1, 1.0)

    def make(self, count):
        """Makes nodes, in place of those that an earlier run has left, and returns once they are ready."""
        ours = f"/api/v1/nodes?labelSelector={PLAYED}={self.name}"
        for node in self.cluster.call("GET", ours)["items"]:
            if node["status"].get("addresses"):
                self.cluster.call("DELETE", f"/api/v1/nodes/{node['metadata']['name']}")
        for number in range(count):
            self.cluster.call("POST", "/api/v1/nodes", {"metadata": {"name": f"{self.name}-{number}", "labels": {PLAYED: self.name}}})
        self.cluster.follow(ours, self.changed)
        while len(self.hosts) < len(self.seen):
            time.sleep(0.05)

    def changed(self, uid, node):
        if node is None:
            self.seen.pop(uid, None)
        else:
            self.seen[uid] = node
        self.work.add(uid)

    def get(self, name):
        """The host of a node, if it is played here and is up."""
        return self.hosts.get(self.names.get(name))

    def reconcile(self, uid):
        node, host = self.seen.get(uid), self.hosts.get(uid)
        if node is None:
            self.hosts.pop(uid, None)
            if uid in self.built:
                self.cloud.remove(self.built.pop(uid))
        elif host is None:
            self.bring_up(uid, node)

    def bring_up(self, uid, node):
        name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
        trunks = labels.get(TRUNK) != "false" and labels.get("kubernetes.io/os") != "windows"
        if uid not in self.built:
            self.built[uid] = self.cloud.host(name, trunks)
        host = self.built[uid]
        provider, zone = self.cloud.identity(host)
        own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": zone}
        path = f"/api/v1/nodes/{name}"
        self.cluster.merge(path, {"metadata": {"labels": {**own, TRUNK: str(host.trunks).lower(), **labels}}, "spec": {"providerID": provider}})
        self.cluster.merge(f"{path}/status", {"status": status(name, host)})
        if host.trunks:
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid, "controller": True, "blockOwnerDeletion": True}
            spec = {"features": [{"name": "SecurityGroupsForPods"}]}
            kind = {"apiVersion": "vpcresources.k8s.aws/v1alpha1", "kind": "CNINode"}
            self.cluster.apply(f"/apis/vpcresources.k8s.aws/v1alpha1/cninodes/{name}", {**kind, "metadata": {"name": name, "ownerReferences": [owner]}, "spec": spec})
        self.hosts[uid], self.names[name] = host, uid
        self.beats.add(uid)
        self.came_up(name)

    def beat(self, uid):
        """Renews a node's lease: where nobody does, the controllers take it for dead after 40 s."""
        if uid in self.hosts and uid in self.seen:
            name = self.seen[uid]["metadata"]["name"]
            at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
            spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": at}
            self.cluster.apply(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}", {**kind, "spec": spec})
            self.beats.add(uid, HEARTBEAT)


def status(name, host):
    at = running.now()
    capacity = {"cpu": "1000", "memory": "4Ti", "pods": str(ROOM), "ephemeral-storage": "4Ti"}
    if host.trunks:
        capacity["vpc.amazonaws.com/pod-eni"] = str(len(host.free))
    well = lambda kind, on, reason: {"type": kind, "status": str(on), "reason": reason, "lastHeartbeatTime": at, "lastTransitionTime": at}
    pressures = [well(kind, False, f"KubeletHasNo{kind}") for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")]
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [*({"type": "InternalIP", "address": address} for address in host.addresses), {"type": "Hostname", "address": name}],
        "conditions": [*pressures, well("Ready", True, "KubeletReady")],
        "nodeInfo": {
            **dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeProxyVersion"), ""),
            "kubeletVersion": "played", "operatingSystem": "linux", "architecture": "amd64",
        },
    }
