//! Which pods are alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Carrier, Cohort, Families};
use crate::compile::HashMap;
use crate::compile::concession::{Concession, Concessions};
use crate::firewall::ForeignGroupId;
use crate::inventory::{Attachment, Interface, Inventory, NamedPort};
use crate::net::{AddressSet, Family};
use crate::policy::Labels;

/// What pods of one cohort have in common.
#[derive(PartialEq, Eq, Hash)]
struct Alike<'p> {
    namespace: &'p str,
    labels: &'p Labels,
    ports: &'p [NamedPort],
    probes: &'p [u16],
    families: Families,
    carrier: usize,
    /// Where their addresses lie: in which of the sets by which cohorts are split.
    lies: Vec<bool>,
    concession: Arc<Concession>,
}

/// The ways in which pods are carried, of which a VPC has few.
#[derive(Default)]
struct Carriers<'a> {
    list: Vec<Carrier>,
    places: BTreeMap<(Attachment, &'a BTreeSet<ForeignGroupId>), usize>,
}

/// The cohorts, in the order of their first pods; pods whose addresses lie differently in `splits` are never alike.
pub(super) fn group(
    inventory: &Inventory,
    splits: &BTreeSet<AddressSet>,
    concessions: &Concessions,
) -> Vec<Cohort> {
    let mut list: Vec<Cohort> = Vec::new();
    let mut known: HashMap<Alike<'_>, usize> = HashMap::default();
    let mut carriers = Carriers::default();
    let none = Arc::new(Concession::default());
    for (index, pod) in inventory.pods_of_policies() {
        let families = Family::BOTH.map(|family| pod.address(family).is_some());
        let lies = splits
            .iter()
            .flat_map(|set| Family::BOTH.map(|f| pod.address(f).is_some_and(|a| set.contains(a))))
            .collect();
        let carrier = carriers.place(inventory.interface(pod));
        let concession = concessions.get(&index).unwrap_or(&none).clone();
        let alike = Alike {
            namespace: &pod.namespace,
            labels: &pod.labels,
            ports: &pod.ports,
            probes: &pod.probes,
            families,
            carrier,
            lies,
            concession: concession.clone(),
        };
        let place = *known.entry(alike).or_insert_with(|| {
            list.push(Cohort {
                namespace: pod.namespace.clone(),
                labels: pod.labels.clone(),
                ports: pod.ports.clone(),
                probes: pod.probes.clone(),
                carrier: carriers.get(carrier),
                families,
                concession,
                pods: Vec::new(),
            });
            list.len() - 1
        });
        if let Some(cohort) = list.get_mut(place) {
            cohort.pods.push(index);
        }
    }
    list
}

impl<'a> Carriers<'a> {
    /// The place of the way in which an interface carries its pods; the places of equal ways are equal.
    fn place(&mut self, interface: Option<&'a Interface>) -> usize {
        let Some(Interface { attachment, prior }) = interface else { return usize::MAX };
        *self.places.entry((*attachment, prior)).or_insert_with(|| {
            let prior = Arc::new(prior.clone());
            self.list.push(match attachment {
                Attachment::Exclusive => Carrier::Programmable(prior),
                Attachment::Fixed | Attachment::Released | Attachment::Shared => {
                    Carrier::Untouchable(*attachment, prior)
                }
            });
            self.list.len() - 1
        })
    }

    fn get(&self, place: usize) -> Carrier {
        self.list.get(place).cloned().unwrap_or(Carrier::Unknown)
    }
}
