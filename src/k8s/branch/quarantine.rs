//! Which namespaces may be quarantined: new pods there start with a group that lets nothing through, until they wear their own.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::inventory::{Attachment, Inventory, Node, Pod};
use moat_core::policy::Word;
use serde_json::{Value, json};

use super::{Branches, is_fargate};

/// The label that names the installation whose quarantine a SecurityGroupPolicy is.
pub const INSTALLATION: &str = "moat.dev/cluster";

/// What is to be done about the SecurityGroupPolicies of a quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Those to apply, whole.
    pub apply: Vec<Value>,
    /// The namespaces whose own is to be deleted.
    pub delete: Vec<Word>,
}

/// The name of the SecurityGroupPolicies of an installation's quarantine.
#[must_use]
pub fn quarantine_name(installation: &str) -> String {
    format!("moat-{installation}")
}

impl Branches {
    /// Whether there is a SecurityGroupPolicy of an installation's quarantine anywhere.
    #[must_use]
    pub fn is_quarantined(&self, installation: &str) -> bool {
        self.own(installation).next().is_some()
    }

    /// What is to be done, so that these namespaces are quarantined with a group of this id, and no others.
    #[must_use]
    pub fn orders(&self, installation: &str, group: &str, namespaces: &BTreeSet<Word>) -> Orders {
        let there: BTreeMap<&Word, &BTreeSet<Word>> = self.own(installation).collect();
        let is_right = |namespace: &Word| {
            let groups = there.get(namespace);
            groups.is_some_and(|groups| groups.iter().map(|it| &**it).eq([group]))
        };
        let wanted = namespaces.iter().filter(|namespace| !is_right(namespace));
        let gone = there.keys().filter(|namespace| !namespaces.contains(**namespace));
        Orders {
            apply: wanted.map(|namespace| policy(installation, namespace, group)).collect(),
            delete: gone.map(|namespace| Word::clone(namespace)).collect(),
        }
    }

    /// For each of these namespaces, why it cannot be quarantined, if anything stands in the way: a pod that asks for an interface of
    /// its own and cannot have one does not start, and that of Fargate could never wear anything else.
    #[must_use]
    pub fn obstacles(
        &self,
        inventory: &Inventory,
        installation: &str,
        namespaces: &BTreeSet<Word>,
    ) -> BTreeMap<Word, Option<String>> {
        let name = Word::from(quarantine_name(installation));
        let mut left = self.room_left(inventory);
        let any_trunk = inventory.nodes.iter().any(|node| self.has_trunk(node));
        let mut pods: BTreeMap<&Word, Vec<&Pod>> = BTreeMap::new();
        for (_, pod) in inventory.pods_of_policies() {
            pods.entry(&pod.namespace).or_default().push(pod);
        }
        let told = namespaces.iter().map(|namespace| {
            let here = pods.get(namespace).map_or(&[][..], Vec::as_slice);
            let known = self.policies.get(&(Word::clone(namespace), Word::clone(&name)));
            let is_own = known.map(|it| it.installation.as_deref() == Some(installation));
            let obstacle = match is_own {
                Some(false) => Some(format!("its SecurityGroupPolicy `{name}` is not Moat's")),
                _ if !any_trunk => Some("no node has a trunk for branch interfaces".to_owned()),
                Some(true) | None => self.misplaced(here, inventory),
            };
            let obstacle = obstacle.or_else(|| match is_own {
                Some(_) => None,
                None => lacks_room(here, inventory, &mut left),
            });
            (Word::clone(namespace), obstacle)
        });
        told.collect()
    }

    /// The SecurityGroupPolicies of an installation's quarantine: namespaces, and groups.
    fn own(&self, installation: &str) -> impl Iterator<Item = (&Word, &BTreeSet<Word>)> {
        let (name, installation) = (quarantine_name(installation), installation.to_owned());
        let own = self.policies.iter().filter(move |((_, own), policy)| {
            **own == *name && policy.installation.as_deref() == Some(&*installation)
        });
        own.map(|((namespace, _), policy)| (namespace, &policy.groups))
    }

    /// Whether a node is known to have a trunk.
    fn has_trunk(&self, node: &Node) -> bool {
        let told = self.nodes.get(&node.name).is_some_and(|told| told.branches);
        let labelled = node.labels.get(super::TRUNK).is_some_and(|label| &**label == "true");
        (told || labelled) && self.lack(node).is_none()
    }

    /// A pod that runs where pods cannot have interfaces that change their groups.
    fn misplaced(&self, pods: &[&Pod], inventory: &Inventory) -> Option<String> {
        let on = |pod: &Pod| {
            let node = inventory.nodes.iter().find(|node| Some(&node.name) == pod.node.as_ref())?;
            let lack = if is_fargate(node) { "is Fargate's" } else { self.lack(node)? };
            Some(format!("its pod `{}` runs on `{}`, which {lack}", pod.name, node.name))
        };
        pods.iter().find_map(|pod| on(pod))
    }

    /// How many branch interfaces more there can be, if nodes tell.
    fn room_left(&self, inventory: &Inventory) -> Option<usize> {
        let room: usize = self.rooms.values().sum();
        let used = inventory.pods_of_policies().filter(|(_, pod)| has_own(pod, inventory)).count();
        (!self.rooms.is_empty()).then(|| room.saturating_sub(used))
    }
}

fn has_own(pod: &Pod, inventory: &Inventory) -> bool {
    inventory.interface(pod).is_some_and(|it| it.attachment == Attachment::Exclusive)
}

/// Whether the pods that have no interface of their own yet could not all get one; if they can, they are counted.
fn lacks_room(pods: &[&Pod], inventory: &Inventory, left: &mut Option<usize>) -> Option<String> {
    let needed = pods.iter().filter(|pod| !has_own(pod, inventory)).count();
    let room = left.as_mut()?;
    match room.checked_sub(needed) {
        Some(rest) => {
            *room = rest;
            None
        }
        None => Some(format!(
            "{needed} of its pods have no interface of their own yet, and the nodes have room for {room} more"
        )),
    }
}

/// The SecurityGroupPolicy that lets every new pod of a namespace start with a group.
fn policy(installation: &str, namespace: &Word, group: &str) -> Value {
    json!({
        "apiVersion": "vpcresources.k8s.aws/v1beta1",
        "kind": "SecurityGroupPolicy",
        "metadata": {
            "namespace": &**namespace,
            "name": quarantine_name(installation),
            "labels": {"app.kubernetes.io/managed-by": "moat", INSTALLATION: installation},
        },
        "spec": {"podSelector": {}, "securityGroups": {"groupIds": [group]}},
    })
}
