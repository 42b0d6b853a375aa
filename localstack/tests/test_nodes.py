"""The nodes that are played: pods get what EKS gives them, run, finish and go."""

import json
import os
import subprocess
import tempfile
import time
import unittest
import urllib.request

from nodes.kube import Cluster

from .case import URL, credentials, ec2
from .test_bringup import HERE, gone

UP = {name: os.path.join(HERE, name, "up") for name in ("cluster", "nodes")}
SERVICE_ACCOUNTS, PODS = "/api/v1/namespaces/default/serviceaccounts", "/api/v1/namespaces/default/pods"
POLICIES = "/apis/vpcresources.k8s.aws/v1beta1/namespaces/default/securitygrouppolicies"


class Played:
    """A script that serves, and what it has printed."""

    def __init__(self, script, *arguments, **environment):
        command = [UP[script], *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        self.said = {}
        while "READY" not in self.said:
            name, self.said[name] = self.process.stdout.readline().rstrip("\n").split("=", 1)

    def order(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "OK=1\n", text

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def setUpModule():
    global control, cluster
    control = Played("cluster", "--own")
    cluster = Cluster(control.said["KUBECONFIG"])


def tearDownModule():
    control.end()


def until(look, seconds=60):
    """What `look` returns, once it is something."""
    for _ in range(seconds * 20):
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


class Case(unittest.TestCase):
    account = 400000000000
    options = ()

    def setUp(self):
        Case.account += 1
        credentials.access_key = str(Case.account)
        self.name = f"c{Case.account}"
        environment = {"KUBECONFIG": control.said["KUBECONFIG"], "AWS_ACCESS_KEY_ID": credentials.access_key}
        self.played = Played("nodes", "--cluster", self.name, *self.options, **environment)
        self.vpc = self.played.said.get("VPC_ID")

    def tearDown(self):
        for path in (PODS, POLICIES):
            cluster.call("DELETE", path, {"gracePeriodSeconds": 0})
        self.played.end()
        for node in cluster.call("GET", f"/api/v1/nodes?labelSelector=localstack.moat.dev/node={self.name}")["items"]:
            cluster.call("DELETE", f"/api/v1/nodes/{node['metadata']['name']}")

    def make(self, name, labels=(), annotations=(), node=None, **spec):
        metadata = {"name": name, "labels": dict(labels), "annotations": dict(annotations)}
        place = {"nodeName": node} if node else {"nodeSelector": {"localstack.moat.dev/node": self.name}}
        cluster.call("POST", PODS, {"metadata": metadata, "spec": {"containers": [{"name": "main", "image": "main"}], **place, **spec}})

    def run_pod(self, name, **details):
        self.make(name, **details)
        return self.reaches(name, "Running")

    def reaches(self, name, phase):
        return until(lambda: (pod := cluster.call("GET", f"{PODS}/{name}"))["status"].get("phase") == phase and pod)

    def branch(self, pod):
        [entry] = json.loads(pod["metadata"]["annotations"]["vpc.amazonaws.com/pod-eni"])
        [row] = ec2.describe_network_interfaces(NetworkInterfaceIds=[entry["eniId"]])["NetworkInterfaces"]
        return entry, row

    def branches(self):
        filters = [{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "description", "Values": ["aws-k8s-branch-eni"]}]
        return ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]

    def group(self, name):
        return ec2.create_security_group(GroupName=name, Description="A group", VpcId=self.vpc)["GroupId"]

    def policy(self, name, groups, **selectors):
        kind = {"apiVersion": "vpcresources.k8s.aws/v1beta1", "kind": "SecurityGroupPolicy", "metadata": {"name": name}}
        cluster.call("POST", POLICIES, {**kind, "spec": {"securityGroups": {"groupIds": groups}, **selectors}})


def addresses(pod):
    return [each["ip"] for each in pod["status"]["podIPs"]]


def ready(thing):
    return [each["status"] for each in thing["status"]["conditions"] if each["type"] == "Ready"]


class Running(Case):
    options = ("--cooldown", "0")

    def test_nodes_are_ready_and_say_what_they_are(self):
        for number in range(2):
            node = cluster.call("GET", f"/api/v1/nodes/{self.name}-{number}")
            instance = node["spec"]["providerID"].rsplit("/", 1)[1]
            [row] = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
            internal = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
            self.assertEqual((row["VpcId"], row["PrivateIpAddress"], len(internal)), (self.vpc, internal[0], 2))
            self.assertEqual((ready(node), node["metadata"]["labels"]["vpc.amazonaws.com/has-trunk-attached"]), (["True"], "true"))
            lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases?fieldSelector=metadata.name={self.name}-{number}"
            until(lambda: cluster.call("GET", lease)["items"])
            cninode = cluster.call("GET", f"/apis/vpcresources.k8s.aws/v1alpha1/cninodes/{self.name}-{number}")
            self.assertEqual(cninode["spec"], {"features": [{"name": "SecurityGroupsForPods"}]})

    def test_a_pod_has_a_branch_interface_and_runs(self):
        pod = self.run_pod("web")
        entry, row = self.branch(pod)
        self.assertEqual(addresses(pod), [row["PrivateIpAddress"], row["Ipv6Addresses"][0]["Ipv6Address"]])
        self.assertEqual((row["InterfaceType"], row["MacAddress"], row["VpcId"]), ("branch", entry["ifAddress"], self.vpc))
        tags = {each["Key"]: each["Value"] for each in row["TagSet"]}
        self.assertEqual((tags["eks:eni:owner"], tags[f"kubernetes.io/cluster/{self.name}"]), ("eks-vpc-resource-controller", "owned"))
        self.assertEqual((ready(pod), pod["status"]["containerStatuses"][0]["ready"]), (["True"], True))

    def test_pods_share_their_nodes_interface_or_network(self):
        node = cluster.call("GET", f"/api/v1/nodes/{self.name}-0")
        internal = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
        agent = self.run_pod("agent", node=f"{self.name}-0", hostNetwork=True)
        self.assertEqual(addresses(agent), internal)
        pods = [self.run_pod(name, node=f"{self.name}-0", annotations={"localstack.moat.dev/interface": "shared"}) for name in ("one", "two")]
        held = lambda: self.held(internal[0])
        self.assertEqual(held(), sorted(internal + addresses(pods[0]) + addresses(pods[1])))
        self.assertEqual(self.branches(), [])
        cluster.call("DELETE", f"{PODS}/one")
        until(lambda: held() == sorted(internal + addresses(pods[1])))

    def held(self, address):
        filters = [{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "private-ip-address", "Values": [address]}]
        [row] = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return sorted([each["PrivateIpAddress"] for each in row["PrivateIpAddresses"]] + [each["Ipv6Address"] for each in row["Ipv6Addresses"]])

    def test_policies_decide_what_an_interface_starts_with(self):
        first, second, third = (self.group(name) for name in ("first", "second", "third"))
        cluster.call("POST", SERVICE_ACCOUNTS, {"metadata": {"name": self.name, "labels": {"team": "shop"}}})
        self.policy("a", [first, second], podSelector={"matchLabels": {"app": "web"}})
        self.policy("b", [second, third], podSelector={}, serviceAccountSelector={"matchExpressions": [{"key": "team", "operator": "In", "values": ["shop"]}]})
        self.policy("c", [third])
        worn = lambda pod: [each["GroupId"] for each in self.branch(pod)[1]["Groups"]]
        both = self.run_pod("both", labels={"app": "web"}, serviceAccountName=self.name)
        self.assertEqual(worn(both), [first, second, third])
        self.assertEqual(worn(self.run_pod("one", labels={"app": "web"})), [first, second])
        neither = self.run_pod("neither", labels={"app": "db"})
        [base] = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "group-name", "Values": [f"eks-cluster-sg-{self.name}"]}])["SecurityGroups"]
        self.assertEqual(worn(neither), [base["GroupId"]])
        cluster.merge(f"{PODS}/neither", {"metadata": {"labels": {"app": "web"}}})
        self.run_pod("later")
        self.assertEqual(worn(neither), [base["GroupId"]])

    def test_pods_finish_as_they_are_told_and_give_their_interface_back(self):
        self.make("job", restartPolicy="Never")
        self.reaches("job", "Succeeded")
        self.make("broken", restartPolicy="Never", annotations={"localstack.moat.dev/finish": "Failed"})
        self.assertEqual(self.reaches("broken", "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 1)
        self.run_pod("long", restartPolicy="Never", annotations={"localstack.moat.dev/finish": "Never"})
        until(lambda: len(self.branches()) == 1)
        cluster.merge(f"{PODS}/long", {"metadata": {"annotations": {"localstack.moat.dev/finish": "Succeeded"}}})
        finished = self.reaches("long", "Succeeded")
        until(lambda: self.branches() == [])
        self.assertIn("vpc.amazonaws.com/pod-eni", finished["metadata"]["annotations"])

    def test_a_deleted_pod_goes_and_so_does_its_interface(self):
        self.run_pod("web")
        cluster.call("DELETE", f"{PODS}/web")
        until(lambda: not cluster.call("GET", PODS)["items"])
        until(lambda: self.branches() == [])
        self.run_pod("web")

    def test_an_api_server_that_comes_back_is_followed_again(self):
        self.run_pod("before")
        control.order("kill apiserver")
        control.order("start apiserver")
        self.run_pod("after")
        cluster.call("DELETE", f"{PODS}/before")
        until(lambda: len(self.branches()) == 1)

    def test_a_cloud_that_fails_costs_no_interface(self):
        table = {"rules": [{"op": "AssociateTrunkInterface", "code": "RequestLimitExceeded", "status": 503, "times": 4}]}
        urllib.request.urlopen(urllib.request.Request(f"{URL}/_faults/{self.account}", data=json.dumps(table).encode(), method="PUT"), timeout=30).close()
        _, row = self.branch(self.run_pod("web"))
        self.assertEqual([each["NetworkInterfaceId"] for each in self.branches()], [row["NetworkInterfaceId"]])

    def test_a_node_of_the_test_is_played_too(self):
        labels = {"localstack.moat.dev/node": self.name, "kubernetes.io/os": "windows"}
        cluster.call("POST", "/api/v1/nodes", {"metadata": {"name": f"{self.name}-windows", "labels": labels}})
        pod = self.run_pod("iis", node=f"{self.name}-windows")
        self.assertEqual((len(addresses(pod)), self.branches()), (2, []))
        self.assertNotIn("annotations", pod["metadata"])


class Scarce(Case):
    options = ("--branches", "1", "--nodes", "1", "--selected")

    def test_a_released_interface_stays_for_the_cooldown_and_a_full_node_lets_pods_wait(self):
        self.assertNotIn("annotations", self.run_pod("plain")["metadata"])
        self.policy("all", [self.group("all")], podSelector={})
        entry, _ = self.branch(self.run_pod("first"))
        self.make("second")
        until(lambda: cluster.call("GET", f"{PODS}/second")["spec"].get("nodeName"))
        cluster.call("DELETE", f"{PODS}/first")
        until(lambda: len(cluster.call("GET", PODS)["items"]) == 2)
        self.assertEqual(cluster.call("GET", f"{PODS}/second")["status"]["phase"], "Pending")
        self.assertEqual([each["NetworkInterfaceId"] for each in self.branches()], [entry["eniId"]])


class WithoutCloud(Case):
    options = ("--no-ec2", "--cooldown", "0", "--blocks", "192.168.0.0/24,fd00:7::/64")

    def test_addresses_come_from_the_blocks(self):
        self.assertEqual(self.played.said["POD_SUBNETS"], "192.168.0.128/25,fd00:7:0:0:8000::/65")
        pod = self.run_pod("web")
        self.assertEqual(addresses(pod), ["192.168.0.129", "fd00:7::8000:0:0:1"])
        self.assertNotIn("annotations", pod["metadata"])


class Ending(unittest.TestCase):
    def test_it_ends_with_its_parent_or_its_command(self):
        environment = {"KUBECONFIG": control.said["KUBECONFIG"]}
        played = Played("nodes", "--no-ec2", "--nodes", "0", "--cluster", "ending", **environment)
        pid = played.process.pid
        played.process.stdin.close()
        self.assertTrue(gone(pid))
        played.process.wait()
        played.process.stdout.close()
        with tempfile.TemporaryDirectory() as folder:
            command = [UP["nodes"], "--no-ec2", "--nodes", "0", "--cluster", "ending", "--out", folder, "--", "sh", "-c", "cat $CONFIGURATION; exit 7"]
            done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stdout.split("\n")[1]), (7, "kind: Configuration"))

    def test_only_clusters_and_clouds_on_loopback_are_played_in(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            with open(control.said["KUBECONFIG"]) as own:
                file.write(own.read().replace("127.0.0.1", "10.0.0.1"))
            file.flush()
            told = subprocess.run([UP["nodes"], "--no-ec2"], env={**os.environ, "KUBECONFIG": file.name}, capture_output=True, text=True)
        self.assertEqual(told.returncode, 1)
        self.assertIn("is not on loopback", told.stderr)
        elsewhere = {**os.environ, "KUBECONFIG": control.said["KUBECONFIG"], "AWS_ENDPOINT_URL": "https://ec2.eu-central-1.amazonaws.com"}
        told = subprocess.run([UP["nodes"]], env=elsewhere, capture_output=True, text=True)
        self.assertEqual(told.returncode, 1)
        self.assertIn("only a LocalStack on loopback", told.stderr)
