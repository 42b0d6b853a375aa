//! Pods, and the pod templates of workloads.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use moat_core::finding::Reason;
use moat_core::inventory::{InterfaceId, NamedPort, Pod};
use moat_core::net::Transport;
use moat_core::policy::Word;
use serde_json::{Map, Value};

use super::one_of_each_family;
use crate::configuration::cloud_id;
use crate::reader::{Node, Reader};

/// The annotation that names a pod's branch interface on EKS.
const POD_ENI: &str = "vpc.amazonaws.com/pod-eni";

impl Reader {
    /// A Pod object; none if it has finished or failed.
    pub(super) fn pod(&mut self, root: &Node<'_>) -> Option<Pod> {
        if let Some(phase @ ("Succeeded" | "Failed")) =
            root.at(["status", "phase"]).and_then(Value::as_str)
        {
            let message = format!(
                "the pod is `{phase}`, so policies do not see it: its address may be another's soon"
            );
            self.note(root, Reason::NotRunning, message);
            return None;
        }
        let mut pod = self.template(root);
        pod.name = Word::clone(&self.object.name);
        pod.uid = match root.at(["metadata", "uid"]).and_then(Value::as_str) {
            Some(uid) => uid.into(),
            None => format!("{}/{}", pod.namespace, pod.name).into(),
        };
        pod.addresses = self.pod_addresses(root);
        pod.interface = self.branch_interface(root);
        Some(pod)
    }

    /// The branch interface that the VPC resource controller gave a pod: the annotation is a JSON list of interfaces, of which
    /// the first carries the pod (amazon-vpc-resource-controller-k8s, `pkg/provider/branch/trunk`).
    fn branch_interface(&mut self, root: &Node<'_>) -> Option<InterfaceId> {
        let metadata = root.get("metadata")?;
        let annotations = metadata.get("annotations")?;
        let annotation = annotations.get(POD_ENI)?;
        let text = self.text(&annotation)?;
        let list: Option<Vec<Value>> = serde_json::from_str(text).ok();
        let first = list.as_ref().map(|list| list.first());
        if matches!(first, Some(None)) {
            return None;
        }
        let id = first.flatten().and_then(|first| {
            let id = first.get("eniId")?.as_str()?;
            cloud_id(id.to_owned(), "eni-", "an interface").ok().map(InterfaceId)
        });
        if id.is_none() {
            let message = format!(
                "`{}` is not a list of interfaces such as [{{\"eniId\": \"eni-0123456789abcdef0\"}}]: the pod counts as one \
                 without an interface of its own; the VPC resource controller writes this annotation, leave it to it",
                text.chars().take(60).collect::<String>()
            );
            self.note(&annotation, Reason::InvalidField, message);
        }
        id
    }

    /// `status.podIPs`, or `status.podIP` where it is missing.
    fn pod_addresses(&mut self, root: &Node<'_>) -> Vec<IpAddr> {
        let Some(status) = root.get("status") else { return Vec::new() };
        let mut addresses = Vec::new();
        if let Some(list) = status.get("podIPs") {
            for item in self.list(&list) {
                if let Some(ip) = item.get("ip") {
                    addresses.extend(self.text(&ip).and_then(|text| self.address(&ip, text)));
                }
            }
        } else if let Some(ip) = status.get("podIP") {
            addresses.extend(self.text(&ip).and_then(|text| self.address(&ip, text)));
        }
        one_of_each_family(&addresses)
    }

    /// What a pod's metadata and spec say, or those of a template. It has no name yet.
    pub(super) fn template(&mut self, at: &Node<'_>) -> Pod {
        let labels = Arc::new(self.labels_of(at));
        let absent = Value::Object(Map::new());
        let spec = &at.get_or("spec", &absent);
        if !spec.is_object() {
            self.wrong_type(spec, "an object");
        }
        let namespace = self.object.namespace.clone().unwrap_or_else(|| self.word("default"));
        let mut ports = BTreeSet::new();
        let mut probes = BTreeSet::new();
        let none = Value::Array(Vec::new());
        let [containers, init] =
            ["containers", "initContainers"].map(|field| spec.get_or(field, &none));
        // An init container that never ends, a sidecar, serves like any other; the others are gone when a pod serves.
        let sidecars = self
            .list(&init)
            .filter(|one| one.value.get("restartPolicy").and_then(Value::as_str) == Some("Always"));
        for container in self.list(&containers).chain(sidecars) {
            let named = self.named_ports(&container);
            probes.extend(probe_ports(container.value, &named));
            ports.extend(named);
        }
        let node = spec.get("nodeName").and_then(|node| self.text(&node));
        Pod {
            namespace,
            name: Word::from(""),
            uid: Word::from(""),
            labels,
            addresses: Vec::new(),
            node: node.map(|node| self.word(node)),
            ports: ports.into_iter().collect(),
            probes: probes.into_iter().collect(),
            host_network: spec.get("hostNetwork").is_some_and(|it| self.is_on(&it)),
            interface: None,
        }
    }

    /// A boolean; anything else counts as `false`.
    fn is_on(&mut self, at: &Node<'_>) -> bool {
        let value = at.value.as_bool();
        if value.is_none() {
            self.wrong_type(at, "a boolean");
        }
        value.unwrap_or(false)
    }

    fn named_ports(&mut self, container: &Node<'_>) -> Vec<NamedPort> {
        let Some(ports) = container.get("ports") else { return Vec::new() };
        self.list(&ports).filter_map(|port| self.named_port(&port)).collect()
    }

    /// One of a container's `ports`, if it has a name; others say nothing to a policy.
    fn named_port(&mut self, at: &Node<'_>) -> Option<NamedPort> {
        let transport = match at.get("protocol") {
            None => Some(Transport::Tcp),
            Some(protocol) => self.transport(&protocol),
        };
        let number = at.get("containerPort");
        if number.is_none() {
            self.missing(at, "containerPort", "give the number of the port");
        }
        let number = number.and_then(|number| self.number(&number, 1..=u16::MAX));
        let name = at.get("name").and_then(|name| self.text(&name)).map(|name| self.word(name));
        Some(NamedPort { name: name?, transport: transport?, number: number? })
    }
}

/// The ports at which the kubelet calls a container: its probes and its lifecycle hooks, by http, tcp and gRPC.
fn probe_ports(container: &Value, named: &[NamedPort]) -> BTreeSet<u16> {
    let probes =
        ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| container.get(probe));
    let hooks = ["postStart", "preStop"].map(|hook| container.get("lifecycle")?.get(hook));
    let ports = probes.into_iter().chain(hooks).flatten().flat_map(|handler| {
        ["httpGet", "tcpSocket", "grpc"].map(|way| {
            let call = handler.get(way)?;
            // A call to another host is not this pod's business.
            let elsewhere =
                call.get("host").and_then(Value::as_str).is_some_and(|host| !host.is_empty());
            let port = call.get("port").filter(|_| !elsewhere)?;
            let by_name = || {
                let name = port.as_str()?;
                let tcp = |one: &&NamedPort| one.transport == Transport::Tcp && *one.name == *name;
                named.iter().find(tcp).map(|one| one.number).or_else(|| name.parse().ok())
            };
            port_number(port).or_else(by_name)
        })
    });
    ports.flatten().collect()
}

fn port_number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0)
}
