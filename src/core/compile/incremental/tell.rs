//! Events, taken note of one by one; whole lists, by what of them is news.

use std::collections::{BTreeMap, BTreeSet};

use super::store::{PodName, name_of, put, set};
use super::{Compiler, Event};
use crate::inventory::{Interface, InterfaceId, Inventory, Pod};
use crate::policy::{Labels, Word};

impl Compiler {
    /// Takes note of an event. What follows from it is compiled by [`settle`](Self::settle), for any number of events at once.
    pub fn tell(&mut self, event: Event) {
        self.news |= match event {
            Event::Pod(pod) => self.pod(pod),
            Event::PodGone(namespace, name) => self.pod_gone(&(namespace, name)),
            Event::Policy(policy) => self.index.put(policy, &self.store),
            Event::PolicyGone(object) => self.index.remove(&object),
            Event::Namespace(name, labels) => {
                let news = put(&mut self.store.rest.namespaces, name.clone(), labels.clone());
                if news {
                    self.index.relabelled(&name, &labels);
                }
                news
            }
            Event::NamespaceGone(name) => {
                let news = self.store.rest.namespaces.remove(&name).is_some();
                if news {
                    self.index.relabelled(&name, &Labels::default());
                }
                news
            }
            Event::Node(node) => {
                let nodes = &mut self.store.rest.nodes;
                let news = match nodes.binary_search_by(|it| it.name.cmp(&node.name)) {
                    Ok(place) => nodes.get_mut(place).is_some_and(|known| set(known, node)),
                    Err(place) => {
                        nodes.insert(place, node);
                        true
                    }
                };
                self.nodes(news)
            }
            Event::NodeGone(name) => {
                let before = self.store.rest.nodes.len();
                self.store.rest.nodes.retain(|node| node.name != name);
                self.nodes(self.store.rest.nodes.len() != before)
            }
            Event::Interface(id, interface) => self.interface(id, Some(interface)),
            Event::InterfaceGone(id) => self.interface(id, None),
            Event::Foreign(foreign) => {
                let news = set(&mut self.store.rest.foreign, foreign);
                self.common(news)
            }
            Event::Vpc(vpc) => {
                let news = set(&mut self.store.rest.vpc, vpc);
                self.common(news)
            }
            Event::SourceNat(source_nat) => {
                let news = set(&mut self.store.rest.source_nat, source_nat);
                self.common(news)
            }
            Event::Subnets(subnets, acls) => {
                let rest = &mut self.store.rest;
                let news = [set(&mut rest.subnets, subnets), set(&mut rest.acls, acls)];
                self.common(news.contains(&true))
            }
            // Groups do not depend on them.
            Event::Services(services) => set(&mut self.store.rest.services, services),
            Event::Settings(settings) => {
                let news = set(&mut self.store.settings, settings);
                self.common(news)
            }
            Event::Policies(policies) => {
                let there: BTreeSet<_> = policies.iter().map(|policy| &policy.object).collect();
                let gone = self.index.objects().filter(|object| !there.contains(object));
                let gone: Vec<_> = gone.cloned().collect();
                gone.into_iter().for_each(|object| self.tell(Event::PolicyGone(object)));
                policies.into_iter().for_each(|policy| self.tell(Event::Policy(policy)));
                false
            }
            Event::Inventory(inventory) => {
                self.inventory(inventory);
                false
            }
        };
    }

    fn common(&mut self, news: bool) -> bool {
        self.common |= news;
        news
    }

    /// The nodes have changed: what opens to them, and what policies say of them.
    fn nodes(&mut self, news: bool) -> bool {
        if news {
            self.index.touch_nodes(self.store.settings.node_traffic);
        }
        news
    }

    fn pod(&mut self, pod: Pod) -> bool {
        let name = name_of(&pod);
        if self.store.pod(&name) == Some(&pod) {
            return false;
        }
        self.pod_gone(&name);
        self.index.join(&name, &pod, &self.store);
        self.store.pods.insert(name, pod);
        true
    }

    fn pod_gone(&mut self, name: &PodName) -> bool {
        let Some(pod) = self.store.pods.remove(name) else { return false };
        self.index.leave(name, &pod, &self.store);
        true
    }

    fn interface(&mut self, id: InterfaceId, interface: Option<Interface>) -> bool {
        if self.store.rest.interfaces.get(&id) == interface.as_ref() {
            return false;
        }
        let carried: Vec<PodName> = self.index.carried(&id).cloned().collect();
        for name in &carried {
            if let Some(pod) = self.store.pods.get(name) {
                self.index.leave(name, pod, &self.store);
            }
        }
        match interface {
            Some(interface) => drop(self.store.rest.interfaces.insert(id, interface)),
            None => drop(self.store.rest.interfaces.remove(&id)),
        }
        for name in &carried {
            if let Some(pod) = self.store.pods.get(name) {
                self.index.join(name, pod, &self.store);
            }
        }
        true
    }

    /// Tells what an inventory says that is news.
    fn inventory(&mut self, inventory: Inventory) {
        let Inventory {
            namespaces,
            pods,
            nodes,
            interfaces,
            foreign,
            vpc,
            subnets,
            acls,
            // The subnets that they name are told as such.
            eni_configs: _,
            source_nat,
            services,
        } = inventory;
        let mut pods: Vec<(PodName, Pod)> =
            pods.into_iter().map(|pod| (name_of(&pod), pod)).collect();
        pods.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (gone, pods) = differences(&self.store.pods, pods);
        gone.into_iter().for_each(|(space, name)| self.tell(Event::PodGone(space, name)));
        let (gone, namespaces) = differences(&self.store.rest.namespaces, namespaces);
        gone.into_iter().for_each(|name| self.tell(Event::NamespaceGone(name)));
        namespaces.into_iter().for_each(|(name, labels)| self.tell(Event::Namespace(name, labels)));
        let (gone, interfaces) = differences(&self.store.rest.interfaces, interfaces);
        gone.into_iter().for_each(|id| self.tell(Event::InterfaceGone(id)));
        for (id, interface) in interfaces {
            self.tell(Event::Interface(id, interface));
        }
        let left: BTreeSet<&Word> = nodes.iter().map(|node| &node.name).collect();
        let lost = self.store.rest.nodes.iter().filter(|node| !left.contains(&node.name));
        let lost: Vec<Word> = lost.map(|node| node.name.clone()).collect();
        lost.into_iter().for_each(|name| self.tell(Event::NodeGone(name)));
        nodes.into_iter().for_each(|node| self.tell(Event::Node(node)));
        self.tell(Event::Foreign(foreign));
        self.tell(Event::Vpc(vpc));
        self.tell(Event::SourceNat(source_nat));
        self.tell(Event::Subnets(subnets, acls));
        self.tell(Event::Services(services));
        pods.into_iter().for_each(|(_, pod)| self.tell(Event::Pod(pod)));
    }
}

/// What is not there any more of what was known, and what is there now and was not, or not like this. Both are sorted: each is
/// gone through once.
fn differences<K: Ord + Clone, V: PartialEq>(
    known: &BTreeMap<K, V>,
    now: impl IntoIterator<Item = (K, V)>,
) -> (Vec<K>, Vec<(K, V)>) {
    let (mut gone, mut news) = (Vec::new(), Vec::new());
    let mut known = known.iter().peekable();
    for (key, value) in now {
        while let Some((left, _)) = known.next_if(|(left, _)| **left < key) {
            gone.push(left.clone());
        }
        let before = known.next_if(|(same, _)| **same == key);
        if before.is_none_or(|(_, before)| *before != value) {
            news.push((key, value));
        }
    }
    gone.extend(known.map(|(left, _)| left.clone()));
    (gone, news)
}
