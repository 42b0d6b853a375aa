//! A cluster as text that fits a screen, for failures.

use std::fmt;

use moat_core::inventory::{Inventory, Pod};
use moat_core::policy::{
    Direction, Labels, Namespaces, Peer, Peers, PodSelector, Policy, Requirement, Rule, Selector,
    ServiceMatch, Services, Subject, Word,
};

use crate::generate::Cluster;

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        let blocks = |prefixes: &[_]| join(prefixes.iter().map(ToString::to_string));
        writeln!(
            f,
            "settings: icmp {:?}, nodeTraffic {:?}, onQuota {:?}, podSubnets [{}], nodes [{}], keepGroups {}",
            settings.icmp,
            settings.node_traffic,
            settings.on_quota,
            blocks(&settings.pod_subnets),
            blocks(&settings.nodes),
            settings.keep_groups.len(),
        )?;
        let budget = settings.groups_per_namespace;
        writeln!(f, "  {:?}, groups of a namespace {budget:?}", settings.quotas)?;
        inventory(f, &self.inventory)?;
        self.policies.iter().try_for_each(|one| policy(f, one))
    }
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn inventory(f: &mut fmt::Formatter<'_>, inventory: &Inventory) -> fmt::Result {
    for (name, of) in &inventory.namespaces {
        writeln!(f, "namespace {name} {{{}}}", labels(of))?;
    }
    for node in &inventory.nodes {
        writeln!(f, "node {} {{{}}} {:?}", node.name, labels(&node.labels), node.addresses)?;
    }
    for (index, one) in inventory.pods.iter().enumerate() {
        writeln!(f, "[{index}] {}", pod(inventory, one))?;
    }
    Ok(())
}

fn pod(inventory: &Inventory, pod: &Pod) -> String {
    let ports = pod.ports.iter().map(|p| format!("{}={}/{}", p.name, p.transport, p.number));
    let interface = match inventory.interface(pod) {
        Some(interface) => {
            let prior = interface.prior.iter().map(|id| id.0.to_string());
            format!("{:?} [{}]", interface.attachment, join(prior))
        }
        None => "no interface".to_owned(),
    };
    format!(
        "pod {}/{} {{{}}} {:?} ports [{}] probes {:?}{} {interface}",
        pod.namespace,
        pod.name,
        labels(&pod.labels),
        pod.addresses,
        join(ports),
        pod.probes,
        if pod.host_network { " hostNetwork" } else { "" },
    )
}

fn policy(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let subject = match &policy.subject {
        Subject::Nobody => "nobody".to_owned(),
        Subject::Pods(pods) => pod_selector(pods),
    };
    writeln!(f, "{} {:?} on {subject}", policy.object, policy.tier)?;
    for direction in Direction::BOTH {
        let Some(rules) = policy.rules(direction) else { continue };
        writeln!(f, "  {direction}:{}", if rules.is_empty() { " no rules" } else { "" })?;
        rules.iter().try_for_each(|one| writeln!(f, "    {}", rule(one)))?;
    }
    Ok(())
}

fn rule(rule: &Rule) -> String {
    let peers = match &rule.peers {
        Peers::Anyone => "anyone".to_owned(),
        Peers::AnyOf(peers) => format!("[{}]", join(peers.iter().map(peer))),
    };
    let services = match &rule.services {
        Services::Every => "everything".to_owned(),
        Services::AnyOf(matches) => format!("[{}]", join(matches.iter().map(service))),
    };
    let closed = if rule.failed_closed { " (failed closed)" } else { "" };
    format!("{:?} {peers} {services}{closed}", rule.action)
}

fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Pods(pods) => pod_selector(pods),
        Peer::Addresses(set) => set.to_string(),
        Peer::Nodes(nodes) => format!("nodes {{{}}}", selector(nodes)),
    }
}

fn service(service: &ServiceMatch) -> String {
    match service {
        ServiceMatch::Set(set) => set.to_string(),
        ServiceMatch::Named { transport, name } => {
            format!("{}:{name}", transport.map_or("any".to_owned(), |one| one.to_string()))
        }
    }
}

fn pod_selector(pods: &PodSelector) -> String {
    let namespaces = match &pods.namespaces {
        Namespaces::Named(name) => name.to_string(),
        Namespaces::Matching(of) => format!("{{{}}}", selector(of)),
    };
    format!("pods {namespaces}/{{{}}}", selector(&pods.pods))
}

fn selector(selector: &Selector) -> String {
    let one_of = |values: &std::collections::BTreeSet<Word>| {
        values.iter().map(ToString::to_string).collect::<Vec<_>>().join("|")
    };
    join(selector.requirements().map(|requirement| match requirement {
        Requirement::In(key, values) => format!("{key}={}", one_of(values)),
        Requirement::NotIn(key, values) => format!("{key}!={}", one_of(values)),
        Requirement::Exists(key) => key.to_string(),
        Requirement::DoesNotExist(key) => format!("!{key}"),
    }))
}

fn labels(labels: &Labels) -> String {
    join(labels.0.iter().map(|(key, value)| format!("{key}={value}")))
}
