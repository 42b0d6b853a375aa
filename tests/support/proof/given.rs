//! What groups let through at one end, as functions. Written from the Amazon VPC user guide, as `firewall` is.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use moat_core::firewall::{GroupKey, Peer, Rule, State};
use moat_core::net::{AddressSet, Family, Prefix};
use moat_core::policy::Direction;

use super::classes::{ClassId, Classes};
use super::sets::{Addresses, ByClass, End, SetId, Sets, of_family, sweep};
use crate::generate::Cluster;

/// What the groups of a state give.
#[derive(Debug)]
pub(super) struct Given<'a> {
    cluster: &'a Cluster,
    state: &'a State,
    known: HashMap<(Option<usize>, Direction, Family), Rc<End>>,
}

impl<'a> Given<'a> {
    pub(super) fn new(cluster: &'a Cluster, state: &'a State) -> Self {
        Self { cluster, state, known: HashMap::new() }
    }

    /// What the end of a class's pods lets through.
    pub(super) fn end(
        &mut self,
        class: ClassId,
        direction: Direction,
        family: Family,
        classes: &Classes<'_>,
        sets: &mut Sets,
    ) -> Rc<End> {
        let key = (classes.list[class].worn, direction, family);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let end = match key.0 {
            None => End::constant(sets.all(family)),
            Some(worn) => {
                let rules = classes.worn[worn].iter().flat_map(|group| self.rules(group));
                let rules: Vec<&Rule> = rules.filter(|rule| rule.direction == direction).collect();
                function(&rules, family, classes, sets)
            }
        };
        let end = Rc::new(end);
        self.known.insert(key, end.clone());
        end
    }

    fn rules(&self, group: &GroupKey) -> impl Iterator<Item = &'a Rule> + use<'a> {
        let foreign = match group {
            GroupKey::Ours(_) => None,
            GroupKey::Foreign(id) => self.cluster.inventory.foreign.get(id),
        };
        self.state.groups.get(group).or(foreign).into_iter().flatten()
    }
}

fn function(rules: &[&Rule], family: Family, classes: &Classes<'_>, sets: &mut Sets) -> End {
    let mut default = sets.empty();
    let mut listed: BTreeMap<ClassId, Vec<SetId>> = BTreeMap::new();
    let (mut parts, mut services) = (Vec::new(), Vec::new());
    for rule in rules {
        let set = sets.keep(rule.shape.services().within(family));
        match &rule.peer {
            Peer::Prefix(prefix) if prefix.family() != family => {}
            Peer::Prefix(prefix) => {
                let addresses: Addresses = of_family(&AddressSet::from(*prefix), family);
                if *prefix == Prefix::everything(family) {
                    default = sets.union(default, set);
                } else {
                    for class in classes.at(&addresses, family) {
                        listed.entry(class).or_default().push(set);
                    }
                }
                parts.push(addresses);
                services.push(set);
            }
            Peer::Group(group) => {
                for class in classes.wearers.get(group).into_iter().flatten() {
                    if classes.list[*class].pod.address(family).is_some() {
                        listed.entry(*class).or_default().push(set);
                    }
                }
            }
        }
    }
    let nothing = sets.empty();
    let addresses = sweep(family, &parts, |active| {
        active.iter().fold(nothing, |all, rule| sets.union(all, services[*rule]))
    });
    let listed = listed.into_iter().map(|(class, list)| {
        (class, list.into_iter().fold(default, |all, set| sets.union(all, set)))
    });
    let listed = listed.collect();
    End { addresses, classes: ByClass { default, listed } }
}
