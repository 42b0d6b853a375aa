//! `--assume-pods`: one pod where a policy's selector finds none, since a repository of policies holds no pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use moat_core::inventory::{Inventory, Pod};
use moat_core::policy::{
    Labels, Namespaces, Peer, Peers, PodSelector, Policy, Requirement, Selector, Subject, Word,
};

use crate::inventory::{NAMESPACE_NAME, named};

/// The pods of an inventory by namespace, for selectors to look at.
type PodsOf = BTreeMap<Word, Vec<Arc<Labels>>>;

/// Adds a pod for each selector of a subject or a pod peer that selects nobody in the inventory as it is given, and
/// a namespace where none matches. Selectors that ask for the same labels in the same namespace share a pod.
pub(crate) fn pods(policies: &[Policy], inventory: &mut Inventory) {
    let mut present = PodsOf::new();
    for pod in inventory.pods.iter().filter(|pod| !pod.host_network) {
        present.entry(Word::clone(&pod.namespace)).or_default().push(Arc::clone(&pod.labels));
    }
    let mut wanted: BTreeSet<(Word, Labels)> = BTreeSet::new();
    for selector in selectors(policies) {
        let namespaces = namespaces_of(&selector.namespaces, inventory);
        let is_selected = |namespace: &Word| {
            let pods = present.get(namespace).into_iter().flatten();
            pods.into_iter().any(|labels| selector.pods.matches(labels))
        };
        if namespaces.iter().any(is_selected) {
            continue;
        }
        let Some(labels) = satisfying(&selector.pods) else { continue };
        let first = namespaces.into_iter().next();
        if let Some(namespace) = first.or_else(|| add_namespace(&selector.namespaces, inventory)) {
            wanted.insert((namespace, labels));
        }
    }
    let mut taken: BTreeSet<(Word, Word)> = inventory
        .pods
        .iter()
        .map(|pod| (Word::clone(&pod.namespace), Word::clone(&pod.name)))
        .collect();
    for (namespace, labels) in wanted {
        let name =
            free(&labels, |name| !taken.contains(&(Word::clone(&namespace), Word::clone(name))));
        taken.insert((Word::clone(&namespace), Word::clone(&name)));
        inventory.pods.push(Pod {
            uid: format!("{namespace}/{name}").into(),
            namespace,
            name,
            labels: Arc::new(labels),
            addresses: Vec::new(),
            node: None,
            ports: Arc::new([]),
            probes: Arc::new([]),
            host_network: false,
            interface: None,
        });
    }
    inventory
        .pods
        .sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
}

/// Every pod selector of the policies, once.
fn selectors(policies: &[Policy]) -> BTreeSet<&PodSelector> {
    let mut selectors = BTreeSet::new();
    for policy in policies {
        if let Subject::Pods(selector) = &policy.subject {
            selectors.insert(selector);
        }
        for rule in [&policy.ingress, &policy.egress].into_iter().flatten().flatten() {
            if let Peers::AnyOf(peers) = &rule.peers {
                selectors.extend(peers.iter().filter_map(|peer| match peer {
                    Peer::Pods(selector) => Some(selector),
                    Peer::Addresses(_) | Peer::Nodes(_) => None,
                }));
            }
        }
    }
    selectors
}

fn namespaces_of(namespaces: &Namespaces, inventory: &Inventory) -> Vec<Word> {
    match namespaces {
        Namespaces::Named(name) => vec![Word::clone(name)],
        Namespaces::Matching(selector) => {
            let matching =
                inventory.namespaces.iter().filter(|(_, labels)| selector.matches(labels));
            matching.map(|(name, _)| Word::clone(name)).collect()
        }
    }
}

/// Adds a namespace that satisfies a selector, if one can.
fn add_namespace(namespaces: &Namespaces, inventory: &mut Inventory) -> Option<Word> {
    let Namespaces::Matching(selector) = namespaces else { return None };
    let mut labels = satisfying(selector)?;
    let name = match labels.0.remove(NAMESPACE_NAME) {
        Some(name) => name,
        None => free(&labels, |name| !inventory.namespaces.contains_key(name)),
    };
    let labels = named(labels, &name);
    if !selector.matches(&labels) || inventory.namespaces.contains_key(&name) {
        return None;
    }
    inventory.namespaces.insert(Word::clone(&name), labels);
    Some(name)
}

/// The fewest labels that satisfy a selector; none if no labels can.
fn satisfying(selector: &Selector) -> Option<Labels> {
    let mut labels = Labels::default();
    let is_wanted =
        |one: &&Requirement| matches!(one, Requirement::In(..) | Requirement::Exists(_));
    for key in selector.requirements().filter(is_wanted).map(Requirement::key) {
        let of_key = || selector.requirements().filter(|one| one.key() == key);
        let listed = of_key().flat_map(|one| match one {
            Requirement::In(_, values) => values.iter().cloned().collect(),
            Requirement::NotIn(..) | Requirement::Exists(_) | Requirement::DoesNotExist(_) => {
                Vec::new()
            }
        });
        // As many fresh values as the other requirements of the key can refuse, and one more.
        let refused = of_key().map(|one| match one {
            Requirement::NotIn(_, values) => values.len(),
            Requirement::In(..) | Requirement::Exists(_) | Requirement::DoesNotExist(_) => 0,
        });
        let fresh = (0..=refused.sum::<usize>()).map(|index| format!("any-{index}").into());
        let holds = |value: &Word| {
            let labels = Labels::from_iter([(Word::clone(key), Word::clone(value))]);
            of_key().all(|one| one.holds(&labels))
        };
        labels.0.insert(Word::clone(key), listed.chain(fresh).find(holds)?);
    }
    selector.matches(&labels).then_some(labels)
}

/// A free name made of label values, such as `assumed-web-frontend`.
fn free(labels: &Labels, is_free: impl Fn(&Word) -> bool) -> Word {
    let mut base = "assumed".to_owned();
    for value in labels.0.values() {
        base.push('-');
        base.extend(
            value
                .to_lowercase()
                .chars()
                .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }),
        );
    }
    base.truncate(50);
    let base = base.trim_end_matches('-');
    let numbered = (2_u64..).map(|number| format!("{base}-{number}").into());
    std::iter::once(Word::from(base)).chain(numbered).find(is_free).unwrap_or_else(|| base.into())
}
