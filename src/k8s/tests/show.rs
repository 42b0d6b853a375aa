//! The whole of a cluster as lines of text, nothing left out.

use std::fmt::Write;

use moat_core::finding::{Effect, Finding};
use moat_core::inventory::Pod;
use moat_core::policy::{
    Labels, Namespaces, Peer, Peers, PodSelector, Policy, Requirement, Rule, Selector,
    ServiceMatch, Services, Subject, Tier, Word,
};

use crate::Cluster;

pub(super) fn cluster(cluster: &Cluster) -> String {
    let mut out = String::new();
    for policy in &cluster.policies {
        self::policy(&mut out, policy);
    }
    for (name, labels) in &cluster.inventory.namespaces {
        // Namespaces that say nothing are left out here: the tests of inventories name them.
        if labels.0.len() > 1 {
            let _ = writeln!(out, "namespace {name} {}", self::labels(labels));
        }
    }
    for node in &cluster.inventory.nodes {
        let _ = writeln!(out, "node {} {} {:?}", node.name, labels(&node.labels), node.addresses);
    }
    for pod in &cluster.inventory.pods {
        self::pod(&mut out, pod);
    }
    if !cluster.inventory.services.is_empty() {
        let _ = writeln!(out, "services {}", cluster.inventory.services);
    }
    for finding in &cluster.findings {
        self::finding(&mut out, finding);
    }
    out
}

fn policy(out: &mut String, policy: &Policy) {
    let tier = match policy.tier {
        Tier::Admin { priority } => format!("Admin {priority}"),
        Tier::NetworkPolicy => "NetworkPolicy tier".to_owned(),
        Tier::Baseline { priority } => format!("Baseline {priority}"),
    };
    let subject = match &policy.subject {
        Subject::Nobody => "nobody".to_owned(),
        Subject::Pods(selector) => pods(selector),
    };
    let _ = writeln!(out, "{}: {tier}, {subject}", policy.object);
    for (direction, rules) in [("ingress", &policy.ingress), ("egress", &policy.egress)] {
        match rules {
            None => {}
            Some(rules) if rules.is_empty() => {
                let _ = writeln!(out, "  {direction} closed");
            }
            Some(rules) => rules.iter().for_each(|rule| self::rule(out, rule)),
        }
    }
}

fn rule(out: &mut String, rule: &Rule) {
    let name = rule.name.as_ref().map_or_else(String::new, |name| format!(" `{name}`"));
    let failed = if rule.failed_closed { " (failed closed)" } else { "" };
    let peers = match &rule.peers {
        Peers::Anyone => "anyone".to_owned(),
        Peers::AnyOf(peers) => list(peers.iter().map(peer)),
    };
    let services = match &rule.services {
        Services::Every => "everything".to_owned(),
        Services::AnyOf(services) => list(services.iter().map(service)),
    };
    let _ = writeln!(out, "  {}{name}{failed} {:?}: {peers}: {services}", rule.path, rule.action);
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(" or ") }
}

fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Pods(selector) => pods(selector),
        Peer::Addresses(set) => set.to_string(),
        Peer::Nodes(selector) => format!("nodes {}", self::selector(selector)),
    }
}

fn service(service: &ServiceMatch) -> String {
    match service {
        ServiceMatch::Set(set) => set.to_string(),
        ServiceMatch::Named { transport: Some(transport), name } => {
            format!("{transport} named {name}")
        }
        ServiceMatch::Named { transport: None, name } => format!("named {name}"),
    }
}

fn pods(selector: &PodSelector) -> String {
    let namespaces = match &selector.namespaces {
        Namespaces::Named(name) => name.to_string(),
        Namespaces::Matching(selector) => self::selector(selector),
    };
    format!("{namespaces}/{}", self::selector(&selector.pods))
}

fn selector(selector: &Selector) -> String {
    let words = |values: &std::collections::BTreeSet<Word>| {
        values.iter().map(|value| &**value).collect::<Vec<_>>().join("|")
    };
    let requirements = selector.requirements().map(|requirement| match requirement {
        Requirement::In(key, values) => format!("{key}={}", words(values)),
        Requirement::NotIn(key, values) => format!("{key}!={}", words(values)),
        Requirement::Exists(key) => key.to_string(),
        Requirement::DoesNotExist(key) => format!("!{key}"),
    });
    format!("{{{}}}", requirements.collect::<Vec<_>>().join(" "))
}

fn labels(labels: &Labels) -> String {
    let labels = labels.0.iter().map(|(key, value)| format!("{key}={value}"));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(" "))
}

fn pod(out: &mut String, pod: &Pod) {
    let _ = write!(out, "pod {}/{} {}", pod.namespace, pod.name, labels(&pod.labels));
    if *pod.uid != *format!("{}/{}", pod.namespace, pod.name) {
        let _ = write!(out, " uid {}", pod.uid);
    }
    for address in &pod.addresses {
        let _ = write!(out, " at {address}");
    }
    if let Some(node) = &pod.node {
        let _ = write!(out, " on {node}");
    }
    if let Some(interface) = &pod.interface {
        let _ = write!(out, " by {}", interface.0);
    }
    for port in pod.ports.iter() {
        let _ = write!(out, " {}={}/{}", port.name, port.transport, port.number);
    }
    if !pod.probes.is_empty() {
        let _ = write!(out, " probed at {:?}", pod.probes);
    }
    if pod.host_network {
        let _ = write!(out, " hostNetwork");
    }
    let _ = writeln!(out);
}

fn finding(out: &mut String, finding: &Finding) {
    let effect = match finding.effect {
        Effect::Narrower => "narrower",
        Effect::NotEnforced => "not enforced",
        Effect::Ignored => "ignored",
    };
    let place = finding
        .location
        .as_ref()
        .map_or_else(|| "nowhere".to_owned(), |at| format!("{}:{}", at.line, at.column));
    let path = if finding.path.is_empty() { String::new() } else { format!(" {}", finding.path) };
    let _ = writeln!(
        out,
        "{place} {}{path}: {} ({effect}): {}",
        finding.object, finding.reason, finding.message
    );
}
