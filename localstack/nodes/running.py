"""Running a pod. Nothing runs: its containers are said to. Whatever gives pods processes and packets goes here."""

import datetime


def start(pod, attachment):
    """Starts the pod, and returns the part of its status that tells of its containers."""
    at = now()
    told = lambda container, state, ready: {
        "name": container["name"], "image": container.get("image", ""), "imageID": "", "restartCount": 0, "ready": ready, "started": ready, "state": state
    }
    sidecar = lambda container: container.get("restartPolicy") == "Always"
    up, done = {"running": {"startedAt": at}}, {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": at, "finishedAt": at}}
    return {
        "initContainerStatuses": [told(each, up if sidecar(each) else done, True) for each in pod["spec"].get("initContainers") or []],
        "containerStatuses": [told(each, up, True) for each in pod["spec"]["containers"]],
    }


def finish(pod, failed):
    """Ends the pod's containers, and returns what to say of them."""
    ended = {"terminated": {"exitCode": int(failed), "reason": "Error" if failed else "Completed", "finishedAt": now()}}
    return {"containerStatuses": [{**each, "ready": False, "started": False, "state": ended} for each in pod["status"].get("containerStatuses") or []]}


def stop(pod):
    """Ends a pod that is to go."""


def now():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
