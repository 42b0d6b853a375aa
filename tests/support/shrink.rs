//! Makes a failing cluster smaller while it still fails.

use std::sync::Arc;

use moat_core::policy::{Peers, Policy, Rule, Services};
use moat_core::settings::{IcmpMode, NodeTraffic, Quotas};

use crate::generate::Cluster;

/// A cluster that still fails and from which nothing more can be left out.
#[must_use]
pub fn shrink(cluster: Cluster, fails: impl Fn(&Cluster) -> bool) -> Cluster {
    let mut smallest = cluster;
    while let Some(smaller) = candidates(&smallest).into_iter().find(|candidate| fails(candidate)) {
        smallest = smaller;
    }
    smallest
}

/// Clusters that are a little smaller, the boldest cuts first.
fn candidates(cluster: &Cluster) -> Vec<Cluster> {
    let mut smaller = Vec::new();
    let mut keep = |changed: Cluster| {
        if changed != *cluster {
            smaller.push(changed);
        }
    };
    for policies in without_each(&cluster.policies) {
        keep(Cluster { policies, ..cluster.clone() });
    }
    for pods in without_each(&cluster.inventory.pods) {
        let mut changed = cluster.clone();
        changed
            .inventory
            .interfaces
            .retain(|id, _| pods.iter().any(|pod| pod.interface.as_ref() == Some(id)));
        changed.inventory.pods = pods;
        keep(changed);
    }
    for nodes in without_each(&cluster.inventory.nodes) {
        let mut changed = cluster.clone();
        changed.inventory.nodes = nodes;
        keep(changed);
    }
    for (index, policy) in cluster.policies.iter().enumerate() {
        for changed in smaller_policies(policy) {
            let mut policies = cluster.policies.clone();
            policies[index] = changed;
            keep(Cluster { policies, ..cluster.clone() });
        }
    }
    simpler_settings(cluster).into_iter().for_each(&mut keep);
    simpler_pods(cluster).into_iter().for_each(&mut keep);
    smaller
}

fn without_each<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let without = |left_out: usize| {
        let rest = items.iter().enumerate().filter(|(index, _)| *index != left_out);
        rest.map(|(_, item)| item.clone()).collect()
    };
    (0..items.len()).map(without).collect()
}

fn smaller_policies(policy: &Policy) -> Vec<Policy> {
    let mut smaller =
        vec![Policy { ingress: None, ..policy.clone() }, Policy { egress: None, ..policy.clone() }];
    for rules in smaller_rules(policy.ingress.as_deref().unwrap_or_default()) {
        smaller.push(Policy { ingress: Some(rules), ..policy.clone() });
    }
    for rules in smaller_rules(policy.egress.as_deref().unwrap_or_default()) {
        smaller.push(Policy { egress: Some(rules), ..policy.clone() });
    }
    smaller.retain(|one| one != policy);
    smaller
}

fn smaller_rules(rules: &[Rule]) -> Vec<Vec<Rule>> {
    let mut smaller = without_each(rules);
    for (index, rule) in rules.iter().enumerate() {
        for changed in simpler_rules(rule) {
            let mut rules = rules.to_vec();
            rules[index] = changed;
            smaller.push(rules);
        }
    }
    smaller
}

fn simpler_rules(rule: &Rule) -> Vec<Rule> {
    let mut simpler = Vec::new();
    if let Peers::AnyOf(peers) = &rule.peers {
        let fewer = without_each(peers).into_iter().map(Peers::AnyOf);
        simpler.extend(fewer.map(|peers| Rule { peers, ..rule.clone() }));
        simpler.push(Rule { peers: Peers::Anyone, ..rule.clone() });
    }
    if let Services::AnyOf(matches) = &rule.services {
        let fewer = without_each(matches).into_iter().map(Services::AnyOf);
        simpler.extend(fewer.map(|services| Rule { services, ..rule.clone() }));
        simpler.push(Rule { services: Services::Every, ..rule.clone() });
    }
    simpler
}

fn simpler_settings(cluster: &Cluster) -> Vec<Cluster> {
    let with = |change: &dyn Fn(&mut Cluster)| {
        let mut changed = cluster.clone();
        change(&mut changed);
        changed
    };
    vec![
        with(&|one| one.settings.icmp = IcmpMode::Strict),
        with(&|one| one.settings.node_traffic = NodeTraffic::None),
        with(&|one| one.settings.quotas = Quotas::UNLIMITED),
        with(&|one| one.settings.pod_subnets.clear()),
        with(&|one| one.settings.nodes.clear()),
        with(&|one| one.settings.keep_groups.clear()),
        with(&|one| one.settings.on_quota = Default::default()),
    ]
}

fn simpler_pods(cluster: &Cluster) -> Vec<Cluster> {
    let mut simpler = Vec::new();
    for (index, pod) in cluster.inventory.pods.iter().enumerate() {
        let mut push = |changed| {
            let mut smaller = cluster.clone();
            smaller.inventory.pods[index] = changed;
            simpler.push(smaller);
        };
        if pod.addresses.len() > 1 {
            for addresses in without_each(&pod.addresses) {
                push(moat_core::inventory::Pod { addresses, ..pod.clone() });
            }
        }
        if !pod.ports.is_empty() {
            push(moat_core::inventory::Pod { ports: Arc::new([]), ..pod.clone() });
        }
        if !pod.probes.is_empty() {
            push(moat_core::inventory::Pod { probes: Arc::new([]), ..pod.clone() });
        }
    }
    simpler
}
