"""As much of a client of Kubernetes as the nodes need: one call, and following a collection."""

import base64
import json
import os
import ssl
import tempfile
import threading
import time

import urllib3
import yaml
from bringup import cache

PAUSE = 0.2  # seconds between two tries to reach the API server
PATIENCE = 10  # how often a call is made that the API server asks to make later: so it does where it has just started
SILENCE = 90  # seconds: a watch that is silent for longer has lost its server, which sends a bookmark every minute
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


class Refused(Exception):
    """What the API server answers other than with success."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text[:300]}")
        self.status = status


class Cluster:
    """A connection to the API server that a kubeconfig names, by its current context."""

    def __init__(self, kubeconfig):
        with open(kubeconfig) as file:
            config = yaml.safe_load(file)
        named = lambda kind, name: next(each[kind.removesuffix("s")] for each in config[kind] if each["name"] == name)
        context = named("contexts", config["current-context"])
        cluster, user = named("clusters", context["cluster"]), named("users", context["user"])
        self.server = cluster["server"].rstrip("/")
        if not cache.on_loopback(self.server):
            raise cache.Failure(f"`{self.server}` is not on loopback: nodes are played in no other cluster")
        self.headers = {"User-Agent": "localstack-nodes", "Accept": "application/json"}
        if "token" in user:
            self.headers["Authorization"] = f"Bearer {user['token']}"
        self.pool = urllib3.PoolManager(maxsize=64, retries=False, timeout=urllib3.Timeout(connect=5, read=30), ssl_context=context_of(cluster, user))

    def call(self, method, path, body=None, kind="application/json"):
        """One request; the answer's object."""
        data = None if body is None else json.dumps(body)
        for _ in range(PATIENCE):
            answer = self.pool.request(method, self.server + path, body=data, headers={**self.headers, "Content-Type": kind})
            if answer.status != 429:
                break
            time.sleep(float(answer.headers.get("Retry-After", "1")))
        if answer.status >= 300:
            raise Refused(answer.status, answer.data.decode(errors="replace"))
        return json.loads(answer.data)

    def apply(self, path, body):
        """Server-side apply."""
        return self.call("PATCH", f"{path}?fieldManager=localstack-nodes&force=true", body, APPLY)

    def merge(self, path, body):
        return self.call("PATCH", path, body, MERGE)

    def follow(self, path, changed):
        """Calls `changed(uid, object)` for all that is there and for each change, with None for what is gone, for ever, from a
        thread of its own. Returns once all that is there has been told."""
        told = threading.Event()
        threading.Thread(target=self.keep_following, args=(path, changed, told), daemon=True).start()
        told.wait()

    def keep_following(self, path, changed, told):
        known = set()
        while True:
            try:
                listed = self.call("GET", path)
                there = {each["metadata"]["uid"]: each for each in listed.get("items") or []}
                for uid in known - there.keys():
                    changed(uid, None)
                for uid, each in there.items():
                    changed(uid, each)
                known = set(there)
                told.set()
                self.watch(path, listed["metadata"]["resourceVersion"], changed, known)
            except (Refused, urllib3.exceptions.HTTPError, ValueError):
                time.sleep(PAUSE)

    def watch(self, path, version, changed, known):
        """Follows from a version until the server says that it is too old."""
        while True:
            url = f"{self.server}{path}{'&' if '?' in path else '?'}watch=true&allowWatchBookmarks=true&resourceVersion={version}"
            answer = self.pool.request("GET", url, headers=self.headers, preload_content=False, timeout=urllib3.Timeout(connect=5, read=SILENCE))
            try:
                if answer.status >= 300:
                    raise Refused(answer.status, "the watch is refused")
                for line in lines(answer):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    metadata = event["object"]["metadata"]
                    version = metadata["resourceVersion"]
                    if event["type"] == "DELETED":
                        known.discard(metadata["uid"])
                        changed(metadata["uid"], None)
                    elif event["type"] != "BOOKMARK":
                        known.add(metadata["uid"])
                        changed(metadata["uid"], event["object"])
            finally:
                answer.close()


def lines(answer):
    rest = b""
    while chunk := answer.read1():
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def context_of(cluster, user):
    """TLS as the kubeconfig wants it. Python takes a client's key from a file only."""
    authority = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(cafile=cluster.get("certificate-authority"), cadata=base64.b64decode(authority).decode() if authority else None)
    if "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    if "client-certificate-data" in user:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "client.pem")
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                file.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
            context.load_cert_chain(path)
    return context
