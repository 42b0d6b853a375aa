//! Pods, nodes and interfaces as they were told, by their lasting names.

use std::collections::BTreeMap;

use crate::inventory::{Inventory, Pod};
use crate::policy::{Labels, Word};
use crate::settings::Settings;

/// The namespace and name of a pod.
pub(super) type PodName = (Word, Word);

/// What was told of everything but policies, as far as it still holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub(super) pods: BTreeMap<PodName, Pod>,
    /// All the rest, without pods; nodes are sorted by name.
    pub(super) rest: Inventory,
    pub(super) settings: Settings,
}

impl Store {
    pub(super) fn pod(&self, name: &PodName) -> Option<&Pod> {
        self.pods.get(name)
    }

    /// The labels of a namespace; an unknown one has none.
    pub(super) fn labels(&self, namespace: &Word) -> &Labels {
        static NONE: Labels = Labels(BTreeMap::new());
        self.rest.namespaces.get(namespace).map_or(&NONE, |labels| labels)
    }

    /// Looks at some of the pods as if they were all.
    pub(super) fn with_pods<T>(
        &mut self,
        pods: Vec<Pod>,
        look: impl FnOnce(&Inventory, &Settings) -> T,
    ) -> T {
        self.rest.pods = pods;
        let seen = look(&self.rest, &self.settings);
        self.rest.pods = Vec::new();
        seen
    }

    /// The whole inventory.
    pub(super) fn inventory(&self) -> Inventory {
        Inventory { pods: self.pods.values().cloned().collect(), ..self.rest.clone() }
    }
}

pub(super) fn name_of(pod: &Pod) -> PodName {
    (pod.namespace.clone(), pod.name.clone())
}

/// Puts a value into a map; whether that changes it.
pub(super) fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: V) -> bool {
    if map.get(&key) == Some(&value) {
        return false;
    }
    map.insert(key, value);
    true
}

/// Puts a value into its place; whether that changes it.
pub(super) fn set<T: PartialEq>(slot: &mut T, value: T) -> bool {
    let changed = *slot != value;
    *slot = value;
    changed
}
