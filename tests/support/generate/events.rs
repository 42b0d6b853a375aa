//! What happens to a cluster, told one by one: in any order, now and then twice, now and then forgotten and told as a whole later.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use moat_core::compile::Event;
use moat_core::firewall::{ForeignGroupId, Rule};
use moat_core::inventory::{Attachment, Interface, InterfaceId, Inventory, Pod};
use moat_core::net::Family;
use moat_core::settings::Quotas;

use super::{Cluster, TIGHT, edits, inventory};
use crate::build::word;
use crate::random::Random;

/// Some events that follow from one to three changes of a cluster.
#[must_use]
pub fn events(random: &mut Random, cluster: &Cluster) -> Vec<Event> {
    let mut next = cluster.clone();
    for _ in 0..random.between(1, 3) {
        happen(random, &mut next);
    }
    let mut events = differences(cluster, &next);
    if random.chance(10) {
        events.retain(|event| {
            !matches!(event, Event::PodGone(..) | Event::PolicyGone(_) | Event::InterfaceGone(_))
        });
        events.push(Event::Inventory(next.inventory.clone()));
        events.push(Event::Policies(next.policies.clone()));
    }
    for index in 0..events.len() {
        let other = random.below(events.len());
        events.swap(index, other);
        if random.chance(10) {
            events.push(events[index].clone());
        }
    }
    events
}

fn happen(random: &mut Random, cluster: &mut Cluster) {
    let inventory = &mut cluster.inventory;
    match random.below(40) {
        0..18 => {
            let kind = random.below(edits::OBJECTS);
            edits::edit_once(random, cluster, kind);
        }
        18..24 => twin(random, inventory),
        24..28 => edits::remove_pod(random, inventory),
        28..31 => edits::relabel(random, cluster),
        31 => renew(random, inventory),
        32 => interface(random, inventory),
        33 => inventory::dispute(random, inventory),
        34 => {
            let kind = edits::OBJECTS + random.below(3);
            edits::edit_once(random, cluster, kind);
        }
        35 if random.chance(50) => {
            let budget = random.pick(&[None, NonZeroUsize::new(1), NonZeroUsize::new(2)]);
            cluster.settings.groups_per_namespace = budget;
        }
        35 => cluster.settings.quotas = random.pick(&[Quotas::UNLIMITED, Quotas::UNLIMITED, TIGHT]),
        36 => namespace(random, inventory),
        37 => node(random, inventory),
        38 => foreign(random, &mut inventory.foreign),
        _ => reported_again(random, inventory),
    }
}

/// One more pod like another one.
fn twin(random: &mut Random, inventory: &mut Inventory) {
    let exclusive = |pod: &&Pod| {
        inventory.interface(pod).is_some_and(|it| it.attachment == Attachment::Exclusive)
    };
    let pods: Vec<Pod> = inventory.pods.iter().filter(exclusive).cloned().collect();
    if pods.is_empty() {
        return;
    }
    let model = random.pick(&pods);
    let name = format!("twin{}", random.below(1_000));
    let id = InterfaceId(word(format!("eni-{name}")));
    let Some(interface) = inventory.interface(&model).cloned() else { return };
    let families: Vec<Family> = model.families().collect();
    let host = 20 + u32::try_from(random.below(200)).unwrap_or(0);
    let addresses = families.iter().map(|family| match family {
        Family::V4 => std::net::Ipv4Addr::from(0x0a00_0100 + host).into(),
        Family::V6 => {
            std::net::Ipv6Addr::from(0x2001_0db8_0000_0001_u128 << 64 | u128::from(host)).into()
        }
    });
    let addresses = addresses.collect();
    if inventory.pods.iter().any(|pod| *pod.name == *name && pod.namespace == model.namespace) {
        return;
    }
    inventory.interfaces.insert(id.clone(), interface);
    let uid = word(format!("uid-{name}"));
    let pod = Pod { name: word(name), uid, addresses, interface: Some(id), ..model };
    inventory::insert(inventory, pod);
}

/// A pod is born again under its name, somewhere else.
fn renew(random: &mut Random, inventory: &mut Inventory) {
    let count = inventory.pods.len();
    let index = random.below(count);
    let other = random.below(count);
    let addresses = inventory.pods.get(other).map(|pod| pod.addresses.clone()).unwrap_or_default();
    let Some(pod) = inventory.pods.get_mut(index) else { return };
    pod.uid = word(format!("uid-again-{}", random.below(1_000)));
    if random.chance(30) {
        pod.addresses = addresses;
    } else if random.chance(30) {
        pod.addresses.truncate(1);
    }
    pod.probes = random.some(&[80, 8080], 30).into();
}

/// An interface appears, goes, or wears another group.
fn interface(random: &mut Random, inventory: &mut Inventory) {
    let ids: Vec<InterfaceId> =
        inventory.pods.iter().filter_map(|pod| pod.interface.clone()).collect();
    if ids.is_empty() {
        return;
    }
    let id = random.pick(&ids);
    if random.chance(30) {
        inventory.interfaces.remove(&id);
        return;
    }
    let groups: Vec<ForeignGroupId> = inventory.foreign.keys().cloned().collect();
    let prior: BTreeSet<ForeignGroupId> = random.some(&groups, 40).into_iter().collect();
    let attachment =
        random.pick(&[Attachment::Exclusive, Attachment::Exclusive, Attachment::Fixed]);
    inventory.interfaces.insert(id, Interface { attachment, prior });
}

fn namespace(random: &mut Random, inventory: &mut Inventory) {
    let names: Vec<_> = inventory.namespaces.keys().cloned().collect();
    if names.len() > 1 && random.chance(20) {
        inventory.namespaces.remove(&random.pick(&names));
    } else {
        let name = random.pick(&["a", "b", "c", "d"]);
        let labels = inventory::namespace_labels(random, name);
        inventory.namespaces.insert(word(name), labels);
    }
}

fn node(random: &mut Random, inventory: &mut Inventory) {
    let index = random.below(inventory.nodes.len());
    if inventory.nodes.len() > 1 && random.chance(30) {
        inventory.nodes.remove(index);
    } else if let Some(node) = inventory.nodes.get_mut(index) {
        let zone = random.pick(&["east", "west", "north"]);
        node.labels = std::sync::Arc::new([("zone", zone)].into_iter().collect());
    }
}

/// Two groups of others change their rules for each other's.
fn foreign(random: &mut Random, foreign: &mut BTreeMap<ForeignGroupId, BTreeSet<Rule>>) {
    let groups: Vec<ForeignGroupId> = foreign.keys().cloned().collect();
    let (one, other) = (random.pick(&groups), random.pick(&groups));
    let rules = [&one, &other].map(|group| foreign.get(group).cloned().unwrap_or_default());
    let [of_one, of_other] = rules;
    foreign.extend([(one, of_other), (other, of_one)]);
}

/// A pod goes and another takes its address.
fn reported_again(random: &mut Random, inventory: &mut Inventory) {
    let index = random.below(inventory.pods.len());
    if inventory.pods.len() < 2 {
        return;
    }
    let gone = inventory.pods.remove(index);
    let index = random.below(inventory.pods.len());
    if let Some(pod) = inventory.pods.get_mut(index) {
        pod.addresses = gone.addresses;
    }
}

// ------------------------------------------------------------------------------------------- Differences

/// What has to be told for one cluster to become another.
fn differences(before: &Cluster, after: &Cluster) -> Vec<Event> {
    let mut events = Vec::new();
    let (old, new) = (&before.inventory, &after.inventory);
    let pods = |inventory: &Inventory| -> BTreeMap<_, Pod> {
        let pods = inventory.pods.iter();
        pods.map(|pod| ((pod.namespace.clone(), pod.name.clone()), pod.clone())).collect()
    };
    compare(&pods(old), &pods(new), &mut events, |(namespace, name), pod| match pod {
        Some(pod) => Event::Pod(pod),
        None => Event::PodGone(namespace, name),
    });
    let policies = |cluster: &Cluster| -> BTreeMap<_, _> {
        cluster.policies.iter().map(|policy| (policy.object.clone(), policy.clone())).collect()
    };
    compare(&policies(before), &policies(after), &mut events, |object, policy| match policy {
        Some(policy) => Event::Policy(policy),
        None => Event::PolicyGone(object),
    });
    compare(&old.namespaces, &new.namespaces, &mut events, |name, labels| match labels {
        Some(labels) => Event::Namespace(name, labels),
        None => Event::NamespaceGone(name),
    });
    let nodes = |inventory: &Inventory| -> BTreeMap<_, _> {
        inventory.nodes.iter().map(|node| (node.name.clone(), node.clone())).collect()
    };
    compare(&nodes(old), &nodes(new), &mut events, |name, node| match node {
        Some(node) => Event::Node(node),
        None => Event::NodeGone(name),
    });
    compare(&old.interfaces, &new.interfaces, &mut events, |id, interface| match interface {
        Some(interface) => Event::Interface(id, interface),
        None => Event::InterfaceGone(id),
    });
    if old.foreign != new.foreign {
        events.push(Event::Foreign(new.foreign.clone()));
    }
    if before.settings != after.settings {
        events.push(Event::Settings(after.settings.clone()));
    }
    events
}

fn compare<K: Ord + Clone, V: PartialEq + Clone>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    events: &mut Vec<Event>,
    event: impl Fn(K, Option<V>) -> Event,
) {
    let gone = before.keys().filter(|key| !after.contains_key(key));
    events.extend(gone.map(|key| event(key.clone(), None)));
    let new = after.iter().filter(|(key, value)| before.get(key) != Some(value));
    events.extend(new.map(|(key, value)| event(key.clone(), Some(value.clone()))));
}

/// The cluster after an event.
pub fn follow(cluster: &mut Cluster, event: &Event) {
    let Cluster { policies, inventory, settings } = cluster;
    match event {
        Event::Pod(pod) => {
            inventory.pods.retain(|it| (&it.namespace, &it.name) != (&pod.namespace, &pod.name));
            inventory::insert(inventory, pod.clone());
        }
        Event::PodGone(namespace, name) => {
            inventory.pods.retain(|it| (&it.namespace, &it.name) != (namespace, name));
        }
        Event::Policy(policy) => {
            policies.retain(|it| it.object != policy.object);
            policies.push(policy.clone());
        }
        Event::PolicyGone(object) => policies.retain(|it| it.object != *object),
        Event::Namespace(name, labels) => {
            inventory.namespaces.insert(name.clone(), labels.clone());
        }
        Event::NamespaceGone(name) => drop(inventory.namespaces.remove(name)),
        Event::Node(node) => {
            inventory.nodes.retain(|it| it.name != node.name);
            inventory.nodes.push(node.clone());
        }
        Event::NodeGone(name) => inventory.nodes.retain(|it| it.name != *name),
        Event::Interface(id, interface) => {
            inventory.interfaces.insert(id.clone(), interface.clone());
        }
        Event::InterfaceGone(id) => drop(inventory.interfaces.remove(id)),
        Event::Foreign(foreign) => inventory.foreign.clone_from(foreign),
        Event::Vpc(vpc) => inventory.vpc.clone_from(vpc),
        Event::SourceNat(source_nat) => inventory.source_nat = *source_nat,
        Event::Subnets(subnets, acls) => {
            inventory.subnets.clone_from(subnets);
            inventory.acls.clone_from(acls);
        }
        Event::Services(services) => inventory.services.clone_from(services),
        Event::Settings(new) => settings.clone_from(new),
        Event::Inventory(new) => inventory.clone_from(new),
        Event::Policies(new) => policies.clone_from(new),
    }
    policies.sort_by(|a, b| a.object.cmp(&b.object));
    inventory.nodes.sort_by(|a, b| a.name.cmp(&b.name));
}
