//! The cluster as the watches tell it: pure, so that any order of news can be tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use moat_core::finding::Finding;
use moat_core::inventory::Inventory;
use moat_core::policy::{ObjectRef, Policy, Word};
use moat_k8s::{Branches, Content, Parts, Read};
use tokio::sync::{mpsc, watch};

use crate::kinds::Watched;
use crate::telemetry::Telemetry;
use crate::watch::{News, Told};

/// Everything that was told, as far as it still holds.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    watches: BTreeMap<Watched, Standing>,
    parts: Parts,
    policies: Arc<Policies>,
    /// What was not understood of objects that are no policies.
    findings: BTreeMap<ObjectRef, Vec<Finding>>,
    /// The pods that Moat is to let go of.
    released: BTreeSet<(Word, Word)>,
    /// The objects of each kind that were told.
    objects: BTreeMap<Watched, BTreeSet<ObjectRef>>,
}

/// Policies as they were seen. Whoever holds them keeps them as they were, and can tell by their places in memory what changed.
pub(crate) type Policies = BTreeMap<ObjectRef, Arc<Known>>;

/// The index while it lives: one task takes what the watches tell, and everybody may look.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    index: Arc<RwLock<Index>>,
    changes: watch::Receiver<()>,
}

/// How a watch stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether it has told everything once.
    pub(crate) complete: bool,
    /// Why what it told may be old.
    pub(crate) broken: Option<String>,
}

/// A policy as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// What it says.
    pub(crate) policy: Policy,
    /// What was not understood.
    pub(crate) findings: Vec<Finding>,
    /// Its unique id.
    pub(crate) uid: String,
    /// The generation of its spec.
    pub(crate) generation: i64,
}

/// The cluster at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The policies.
    pub(crate) policies: Arc<Policies>,
    /// The inventory, before the cloud placed it.
    pub(crate) inventory: Inventory,
    /// What was not understood of objects that are no policies.
    pub(crate) findings: Vec<Finding>,
    /// The pods that Moat is to let go of, by namespace and name.
    pub(crate) released: BTreeSet<(Word, Word)>,
    /// What decides about pods' interfaces.
    pub(crate) branches: Branches,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            watches: Watched::ALL.map(|watched| (watched, Standing::default())).into(),
            parts: Parts::default(),
            policies: Arc::default(),
            findings: BTreeMap::new(),
            released: BTreeSet::new(),
            objects: BTreeMap::new(),
        }
    }
}

impl Index {
    /// Takes what a watch tells; whether anything is otherwise than before.
    pub(crate) fn take(&mut self, Told { watched, news }: Told) -> bool {
        let before = self.watches.get(&watched).cloned().unwrap_or_default();
        let (changed, complete, broken) = match news {
            News::Listed(all) => {
                let there = all.iter().map(|read| read.object.clone()).collect();
                let gone = self.keep(watched, &there);
                let put = all.into_iter().map(|read| self.put(watched, read));
                (put.fold(gone, |one, other| one | other), true, None)
            }
            News::Changed(read) => (self.put(watched, *read), before.complete, None),
            News::Gone(read) => (self.remove(watched, &read.object), before.complete, None),
            News::NotInstalled => (self.keep(watched, &BTreeSet::new()), true, None),
            News::Alive => (false, before.complete, None),
            News::Broken(message) => (false, before.complete, Some(message)),
        };
        let now = Standing { complete, broken };
        let stands = before == now;
        self.watches.insert(watched, now);
        changed || !stands
    }

    /// Whether every watch that policies need has told everything, and is alive.
    pub(crate) fn is_current(&self) -> bool {
        let mut needed = self.watches.iter().filter(|(watched, _)| watched.is_of_policies());
        needed.all(|(_, standing)| standing.complete && standing.broken.is_none())
    }

    /// Whether what decides about pods' interfaces is known as it is.
    pub(crate) fn sees_branches(&self) -> bool {
        [Watched::SecurityGroupPolicies, Watched::CniNodes].into_iter().all(|it| self.sees(it))
    }

    /// Whether the objects of a kind are known as they are.
    pub(crate) fn sees(&self, watched: Watched) -> bool {
        let standing = self.watches.get(&watched);
        standing.is_some_and(|standing| standing.complete && standing.broken.is_none())
    }

    /// How each watch stands.
    pub(crate) const fn watches(&self) -> &BTreeMap<Watched, Standing> {
        &self.watches
    }

    /// The cluster as it is known.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let policies = Arc::clone(&self.policies);
        let named = policies.keys().filter_map(|object| object.namespace.clone());
        let inventory = self.parts.clone().inventory(named.collect());
        let findings = self.findings.values().flatten().cloned().collect();
        let (released, branches) = (self.released.clone(), self.parts.branches.clone());
        Snapshot { policies, inventory, findings, released, branches }
    }

    fn put(&mut self, watched: Watched, read: Read) -> bool {
        let Read { object, uid, generation, is_released, .. } = read;
        self.objects.entry(watched).or_default().insert(object.clone());
        match read.content {
            Content::Policy(policy) => {
                let known = Known { policy: *policy, findings: read.findings, uid, generation };
                let changed = self.policies.get(&object).is_none_or(|before| **before != known);
                if changed {
                    Arc::make_mut(&mut self.policies).insert(object, Arc::new(known));
                }
                changed
            }
            Content::Part(part) => {
                // Only a pod is released; a Service can bear its name.
                let of_release = watched == Watched::Pods
                    && if is_released {
                        self.released.insert(key(&object))
                    } else {
                        self.released.remove(&key(&object))
                    };
                let changed = self.parts.put(key(&object), part) || of_release;
                if read.findings.is_empty() {
                    self.findings.remove(&object).is_some() || changed
                } else {
                    let before = self.findings.insert(object, read.findings.clone());
                    before != Some(read.findings) || changed
                }
            }
        }
    }

    /// Forgets all objects of a kind but these; whether there were others.
    fn keep(&mut self, watched: Watched, there: &BTreeSet<ObjectRef>) -> bool {
        let known = self.objects.get(&watched).cloned().unwrap_or_default();
        let gone = known.difference(there).map(|object| self.remove(watched, object));
        gone.fold(false, |one, other| one | other)
    }

    fn remove(&mut self, watched: Watched, object: &ObjectRef) -> bool {
        if self.policies.contains_key(object) {
            Arc::make_mut(&mut self.policies).remove(object);
        }
        self.findings.remove(object);
        let (namespace, name) = key(object);
        match watched {
            Watched::Namespaces => drop(self.parts.namespaces.remove(&name)),
            Watched::Nodes => {
                self.parts.branches.rooms.remove(&name);
                self.parts.nodes.remove(&name);
            }
            Watched::Pods => {
                let pod = (namespace, name);
                self.released.remove(&pod);
                self.parts.pods.remove(&pod);
            }
            Watched::Services => drop(self.parts.services.remove(&(namespace, name))),
            Watched::SecurityGroupPolicies => {
                self.parts.branches.policies.remove(&(namespace, name));
            }
            Watched::CniNodes => drop(self.parts.branches.nodes.remove(&name)),
            Watched::EniConfigs => drop(self.parts.eni_configs.remove(&name)),
            Watched::CniDaemonSet => self.parts.branches.cni = None,
            Watched::NetworkPolicies
            | Watched::ClusterNetworkPolicies
            | Watched::VpcNetworkPolicies
            | Watched::ClusterVpcNetworkPolicies => {}
        }
        self.objects.get_mut(&watched).is_some_and(|objects| objects.remove(object))
    }
}

// ---------------------------------------------------------------------------------------------------- Live

impl Live {
    /// An index that takes what is told for as long as the returned task runs; who tells of it is told, too.
    pub(crate) fn new(
        mut told: mpsc::Receiver<Told>,
        telemetry: Arc<Telemetry>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let index = Arc::new(RwLock::new(Index::default()));
        let (change, changes) = watch::channel(());
        let live = Self { index: index.clone(), changes };
        let take = async move {
            while let Some(first) = told.recv().await {
                let changed = {
                    let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
                    let mut changed = index.take(first);
                    while let Ok(more) = told.try_recv() {
                        changed |= index.take(more);
                    }
                    telemetry.told(index.watches(), changed);
                    changed
                };
                if changed {
                    change.send_replace(());
                }
            }
        };
        (live, take)
    }

    /// One that nothing is told.
    #[cfg(test)]
    pub(crate) fn of(index: Index) -> Self {
        Self { index: Arc::new(RwLock::new(index)), changes: watch::channel(()).1 }
    }

    /// The index as it is. Nothing is taken meanwhile: look briefly.
    pub(crate) fn look(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until anything is otherwise than when this was last asked; false once nothing is told any more.
    pub(crate) async fn changed(&mut self) -> bool {
        self.changes.changed().await.is_ok()
    }

    /// Whether [`Self::changed`] would not wait.
    pub(crate) fn has_news(&self) -> bool {
        self.changes.has_changed().unwrap_or(true)
    }
}

/// The key of an object among the parts of an inventory.
fn key(object: &ObjectRef) -> (Word, Word) {
    (object.namespace.clone().unwrap_or_else(|| "".into()), object.name.clone())
}

#[cfg(test)]
pub(crate) mod tests;
