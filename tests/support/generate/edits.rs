//! What people do to a cluster: a policy comes, goes or changes, a pod comes, goes or is relabelled, a setting changes.

use moat_core::inventory::Inventory;
use moat_core::settings::{IcmpMode, NodeTraffic};

use super::{Cluster, inventory, pod_subnets, policies};
use crate::random::Random;

/// The cluster after one to three random edits.
#[must_use]
pub fn edit(random: &mut Random, cluster: &Cluster) -> Cluster {
    let mut edited = cluster.clone();
    for _ in 0..random.between(1, 3) {
        let kind = random.below(KINDS);
        edit_once(random, &mut edited, kind);
    }
    edited
}

/// How many kinds of edits there are, those that happen more often counted that often; settings change last.
const KINDS: usize = 20;

/// The kinds of edits that change policies and pods.
pub(super) const OBJECTS: usize = 17;

/// Makes an edit of a kind below [`KINDS`].
pub(super) fn edit_once(random: &mut Random, cluster: &mut Cluster, kind: usize) {
    match kind {
        0..4 => add_policy(random, cluster),
        4..7 => drop(remove(random, &mut cluster.policies)),
        7..12 => change_policy(random, cluster),
        12..14 => relabel(random, cluster),
        14..16 => add_pod(random, cluster),
        16 => remove_pod(random, &mut cluster.inventory),
        17 => cluster.settings.pod_subnets = pod_subnets(random),
        18 => cluster.settings.icmp = random.pick(&[IcmpMode::Strict, IcmpMode::Open]),
        _ => cluster.settings.node_traffic = random.pick(&[NodeTraffic::All, NodeTraffic::None]),
    }
}

fn remove<T>(random: &mut Random, items: &mut Vec<T>) -> Option<T> {
    (!items.is_empty()).then(|| items.remove(random.below(items.len())))
}

fn add_policy(random: &mut Random, cluster: &mut Cluster) {
    let taken = cluster.policies.iter().filter_map(|policy| policy.object.name.split_once('-'));
    let next = taken.filter_map(|(_, index)| index.parse::<usize>().ok()).max();
    let index = next.map_or(0, |last| last + 1);
    cluster.policies.push(policies::policy(random, &cluster.inventory, index));
}

/// Gives one direction of a policy other rules, or takes one of them away, or turns the order round.
fn change_policy(random: &mut Random, cluster: &mut Cluster) {
    let other = policies::policy(random, &cluster.inventory, 0);
    let index = random.below(cluster.policies.len());
    let Some(policy) = cluster.policies.get_mut(index) else { return };
    let same_kind = other.object.kind == policy.object.kind;
    let rules = if random.chance(50) { &mut policy.ingress } else { &mut policy.egress };
    match random.below(4) {
        0 if same_kind => *rules = other.egress,
        1 => drop(remove(random, rules.get_or_insert_default())),
        2 => rules.get_or_insert_default().reverse(),
        _ => policy.subject = other.subject,
    }
}

pub(super) fn relabel(random: &mut Random, cluster: &mut Cluster) {
    let index = random.below(cluster.inventory.pods.len());
    if let Some(pod) = cluster.inventory.pods.get_mut(index) {
        pod.labels = inventory::pod_labels(random);
    }
    if random.chance(20) {
        for (name, labels) in &mut cluster.inventory.namespaces {
            *labels = inventory::namespace_labels(random, name);
        }
    }
}

fn add_pod(random: &mut Random, cluster: &mut Cluster) {
    let known = cluster.inventory.pods.iter().filter_map(|pod| pod.name.strip_prefix('p'));
    let next =
        known.filter_map(|index| index.parse::<usize>().ok()).max().map_or(0, |last| last + 1);
    inventory::add_pod(random, &mut cluster.inventory, next);
}

pub(super) fn remove_pod(random: &mut Random, inventory: &mut Inventory) {
    let Some(pod) = remove(random, &mut inventory.pods) else { return };
    let Some(id) = pod.interface else { return };
    if inventory.pods.iter().all(|other| other.interface.as_ref() != Some(&id)) {
        inventory.interfaces.remove(&id);
    }
}
