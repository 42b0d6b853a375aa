//! What was told, by its lasting names.

use std::collections::BTreeMap;

use super::{Event, Inputs};
use crate::inventory::{Inventory, Node, Pod};
use crate::policy::{ObjectRef, Policy, Word};
use crate::settings::Settings;

/// The namespace and name of a pod.
pub(super) type PodName = (Word, Word);

/// What was told, as far as it still holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    policies: BTreeMap<ObjectRef, Policy>,
    pods: BTreeMap<PodName, Pod>,
    nodes: BTreeMap<Word, Node>,
    /// All the rest: its pods and nodes are not filled in.
    rest: Inventory,
    settings: Settings,
}

impl Store {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Takes note of an event; whether it is news.
    pub(super) fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Pod(pod) => put(&mut self.pods, name_of(&pod), pod),
            Event::PodGone(namespace, name) => self.pods.remove(&(namespace, name)).is_some(),
            Event::Policy(policy) => put(&mut self.policies, policy.object.clone(), policy),
            Event::PolicyGone(object) => self.policies.remove(&object).is_some(),
            Event::Namespace(name, labels) => put(&mut self.rest.namespaces, name, labels),
            Event::NamespaceGone(name) => self.rest.namespaces.remove(&name).is_some(),
            Event::Node(node) => put(&mut self.nodes, node.name.clone(), node),
            Event::NodeGone(name) => self.nodes.remove(&name).is_some(),
            Event::Interface(id, interface) => put(&mut self.rest.interfaces, id, interface),
            Event::InterfaceGone(id) => self.rest.interfaces.remove(&id).is_some(),
            Event::Foreign(foreign) => set(&mut self.rest.foreign, foreign),
            Event::Vpc(vpc) => set(&mut self.rest.vpc, vpc),
            Event::Services(services) => set(&mut self.rest.services, services),
            Event::Settings(settings) => set(&mut self.settings, settings),
            Event::Policies(policies) => {
                let named = policies.into_iter().map(|policy| (policy.object.clone(), policy));
                set(&mut self.policies, named.collect())
            }
            Event::Inventory(mut inventory) => {
                let pods = std::mem::take(&mut inventory.pods).into_iter();
                let nodes = std::mem::take(&mut inventory.nodes).into_iter();
                let pods = set(&mut self.pods, pods.map(|pod| (name_of(&pod), pod)).collect());
                let nodes = nodes.map(|node| (node.name.clone(), node)).collect();
                let nodes = set(&mut self.nodes, nodes);
                set(&mut self.rest, inventory) || pods || nodes
            }
        }
    }

    pub(super) fn inputs(&self) -> Inputs {
        Inputs {
            policies: self.policies.values().cloned().collect(),
            inventory: Inventory {
                pods: self.pods.values().cloned().collect(),
                nodes: self.nodes.values().cloned().collect(),
                ..self.rest.clone()
            },
            settings: self.settings.clone(),
        }
    }
}

fn name_of(pod: &Pod) -> PodName {
    (pod.namespace.clone(), pod.name.clone())
}

/// Whether that changes a map.
fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: V) -> bool {
    if map.get(&key) == Some(&value) {
        return false;
    }
    map.insert(key, value);
    true
}

/// Whether that changes a value.
fn set<T: PartialEq>(slot: &mut T, value: T) -> bool {
    let changed = *slot != value;
    *slot = value;
    changed
}
