"""Seeding; with and without the fidelity fixes."""

import json
import os
import subprocess
import tempfile
import unittest

import yaml

from .case import credentials, ec2

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: slow, annotations: {localstack.moat.dev/interface: shared}}
---
apiVersion: v1
kind: Pod
metadata: {name: agent}
spec: {hostNetwork: true}
"""


class Seed(unittest.TestCase):
    def test_pods_have_interfaces_as_on_eks(self):
        credentials.access_key = "300000000001"
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "in.yaml"), "w") as file:
                file.write(MANIFEST)
            own = {**os.environ, "AWS_ACCESS_KEY_ID": credentials.access_key}
            subprocess.run([os.path.join(HERE, "seed"), "--out", folder, os.path.join(folder, "in.yaml")], check=True, env=own, stdout=subprocess.DEVNULL)
            with open(os.path.join(folder, "cluster.yaml")) as file:
                found = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(file)}
            with open(os.path.join(folder, "configuration.yaml")) as file:
                configuration = yaml.safe_load(file)
        self.assertEqual(sorted(found), [("Node", "node-0"), ("Node", "node-1"), *(("Pod", name) for name in ("agent", "slow", "web-0", "web-1"))])
        for name in ("web-0", "web-1"):
            pod = found["Pod", name]
            [eni] = json.loads(pod["metadata"]["annotations"]["vpc.amazonaws.com/pod-eni"])
            [row] = ec2.describe_network_interfaces(NetworkInterfaceIds=[eni["eniId"]])["NetworkInterfaces"]
            addresses = [row["PrivateIpAddress"], row["Ipv6Addresses"][0]["Ipv6Address"]]
            self.assertEqual([each["ip"] for each in pod["status"]["podIPs"]], addresses)
            self.assertEqual((row["VpcId"], row["MacAddress"]), (configuration["vpc"], eni["ifAddress"]))
            tags = {each["Key"]: each["Value"] for each in row["TagSet"]}
            self.assertEqual((tags["eks:eni:owner"], tags["vpcresources.k8s.aws/vlan-id"]), ("eks-vpc-resource-controller", str(eni["vlanId"])))
        self.assertNotIn("vpc.amazonaws.com/pod-eni", found["Pod", "slow"]["metadata"]["annotations"])
        self.assertEqual(len(found["Pod", "slow"]["status"]["podIPs"]), 2)
        nodes = [each["address"] for each in found["Node", "node-1"]["status"]["addresses"]]
        self.assertEqual([each["ip"] for each in found["Pod", "agent"]["status"]["podIPs"]], nodes)

    def test_only_loopback_is_seeded(self):
        elsewhere = {**os.environ, "AWS_ENDPOINT_URL": "https://ec2.eu-central-1.amazonaws.com"}
        done = subprocess.run([os.path.join(HERE, "seed"), "--out", "/nonexistent"], env=elsewhere, capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("only a LocalStack on loopback", done.stderr)
