"""Pods from bound to gone: the kubelet's part, and the VPC resource controller's."""

import threading

from seeding import interfaces
from seeding.pods import INTERFACE

from . import groups, running
from .cloud import Attachment, Full
from .kube import Refused
from .work import Work

FINISH = "localstack.moat.dev/finish"  # Succeeded, Failed or Never; without it a pod that is not restarted succeeds
FINISHED = ("Succeeded", "Failed")
RESOURCE = "vpc.amazonaws.com/pod-eni"  # what the resource controller's webhook adds to a pod that a SecurityGroupPolicy selects
CONDITIONS = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
RETRY = 1.0  # seconds


class Pods:
    def __init__(self, cluster, cloud, nodes, workers, cooldown, alone):
        """`alone`: pods have interfaces of their own, whether or not a SecurityGroupPolicy selects them."""
        self.cluster, self.cloud, self.nodes, self.cooldown, self.alone = cluster, cloud, nodes, cooldown, alone
        self.seen = {}  # the pods there are, by uid
        self.attached = {}  # what they have of the network, (host, attachment) by uid
        self.up = set()  # the uids of those that run, or ran
        self.lock = threading.Lock()
        self.work = Work(self.reconcile, workers, RETRY)
        self.cooling = Work(lambda released: cloud.detach(*released.what), 2, RETRY)

    def follow(self):
        self.cluster.follow("/api/v1/pods", self.changed)

    def changed(self, uid, pod):
        with self.lock:
            if pod is None:
                self.seen.pop(uid, None)
            else:
                pod["metadata"].pop("managedFields", None)  # half of it, and of no use
                self.seen[uid] = pod
        if pod is None or pod["spec"].get("nodeName"):
            self.work.add(uid)

    def on(self, node):
        """A node has come up: its pods go on."""
        with self.lock:
            waiting = [uid for uid, pod in self.seen.items() if pod["spec"].get("nodeName") == node]
        for uid in waiting:
            self.work.add(uid)

    def reconcile(self, uid):
        """Whatever has happened, what is to be done follows from what is there."""
        with self.lock:
            pod = self.seen.get(uid)
        host = pod and self.nodes.get(pod["spec"]["nodeName"])
        if pod is None or host is None:
            self.release(uid)
            return
        try:
            if "deletionTimestamp" in pod["metadata"]:
                running.stop(pod)
                self.cluster.call("DELETE", path(pod), {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
            elif pod["status"].get("phase") in FINISHED:
                self.release(uid)
            elif uid not in self.up:
                self.start(uid, pod, host)
            elif pod["status"].get("phase") == "Running" and (outcome := finishes(pod)):
                self.finish(pod, outcome)
        except Refused as refusal:
            if refusal.status not in (404, 409):  # gone, or changed: its next event comes
                raise
        except Full:
            self.work.add(uid, RETRY)

    def start(self, uid, pod, host):
        if uid not in self.attached:
            self.attached[uid] = host, self.attach(uid, pod, host)
        _, attachment = self.attached[uid]
        if attachment.branch:
            annotations = {interfaces.POD_ENI: interfaces.annotation(attachment.branch)}
            pod = self.cluster.merge(path(pod), {"metadata": {"uid": uid, "annotations": annotations}})
        status = {
            "phase": "Running", "startTime": running.now(),
            "hostIP": host.addresses[0], "hostIPs": listed(host.addresses),
            "podIP": attachment.addresses[0], "podIPs": listed(attachment.addresses),
            "conditions": [*kept(pod), *conditions(True)], **running.start(pod, attachment),
        }
        self.cluster.merge(f"{path(pod)}/status", {"metadata": {"uid": uid}, "status": status})
        self.up.add(uid)

    def attach(self, uid, pod, host):
        if pod["spec"].get("hostNetwork"):
            return Attachment(host.addresses)
        if not host.node:
            return self.cloud.attach(host, uid, False, [])
        selected = groups.of(self.cluster, pod)
        asked = any(RESOURCE in ((each.get("resources") or {}).get("limits") or {}) for each in pod["spec"]["containers"])
        shared = (pod["metadata"].get("annotations") or {}).get(INTERFACE) == "shared"
        return self.cloud.attach(host, uid, host.trunks and not shared and bool(self.alone or asked or selected), selected)

    def finish(self, pod, outcome):
        status = {"phase": outcome, "conditions": [*kept(pod), *conditions(False)], **running.finish(pod, outcome == "Failed")}
        self.cluster.merge(f"{path(pod)}/status", {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status})

    def release(self, uid):
        """What the pod had is given back after the cooldown, as the resource controller does, also when it has finished."""
        self.up.discard(uid)
        host, attachment = self.attached.pop(uid, (None, None))
        if attachment and attachment.addresses != host.addresses:
            self.cooling.add(Released(host, attachment), self.cooldown)


class Released:
    """A key that no other equals."""

    def __init__(self, *what):
        self.what = what


def path(pod):
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def listed(addresses):
    return [{"ip": address} for address in addresses]


def finishes(pod):
    """How a running pod ends by itself; None if it does not."""
    wanted = (pod["metadata"].get("annotations") or {}).get(FINISH)
    if wanted is None and pod["spec"].get("restartPolicy", "Always") != "Always":
        return "Succeeded"
    return wanted if wanted in FINISHED else None


def kept(pod):
    """The conditions that are somebody else's."""
    return [each for each in pod["status"].get("conditions") or [] if each["type"] not in CONDITIONS]


def conditions(ready):
    at = running.now()
    each = lambda kind, on: {"type": kind, "status": str(on), "lastTransitionTime": at, **({} if on else {"reason": "PodCompleted"})}
    return [each(kind, ready or kind == "Initialized") for kind in CONDITIONS]
