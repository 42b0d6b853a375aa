//! Sets of services that are kept once each, and functions of addresses and of classes that have such sets as values.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use moat_core::net::{Address, AddressSet, Family, Interval, Intervals, ServiceSet};

use super::classes::ClassId;

/// A set of services by its place in [`Sets`]: equal sets have the same place.
pub(super) type SetId = usize;

/// The addresses of one family as points of one line. An IPv4 address is its number.
pub(super) type Addresses = Intervals<u128>;

/// Every set that occurs, once, and the results of operations on them.
#[derive(Debug, Default)]
pub(super) struct Sets {
    list: Vec<Rc<ServiceSet>>,
    places: HashMap<Rc<ServiceSet>, SetId>,
    known: HashMap<(Operation, SetId, SetId), SetId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What passes between a pod and each address of a family: from each point to the next one. Neighbours differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Line(pub(super) Vec<(u128, SetId)>);

/// What passes between a pod and the pods of each class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ByClass {
    /// For a class that is not listed.
    pub(super) default: SetId,
    /// Sorted by class.
    pub(super) listed: Vec<(ClassId, SetId)>,
}

/// What one end of a flow lets through in one direction and family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct End {
    pub(super) addresses: Line,
    pub(super) classes: ByClass,
}

// ------------------------------------------------------------------------------------------------- Sets

impl Sets {
    /// No service.
    pub(super) fn empty(&mut self) -> SetId {
        self.keep(ServiceSet::empty())
    }

    /// Every service of a family.
    pub(super) fn all(&mut self, family: Family) -> SetId {
        self.keep(ServiceSet::line(family))
    }

    pub(super) fn keep(&mut self, set: ServiceSet) -> SetId {
        if let Some(place) = self.places.get(&set) {
            return *place;
        }
        let set = Rc::new(set);
        self.list.push(set.clone());
        self.places.insert(set, self.list.len() - 1);
        self.list.len() - 1
    }

    pub(super) fn get(&self, id: SetId) -> &ServiceSet {
        &self.list[id]
    }

    pub(super) fn union(&mut self, a: SetId, b: SetId) -> SetId {
        self.combine(Operation::Union, a, b)
    }

    pub(super) fn intersection(&mut self, a: SetId, b: SetId) -> SetId {
        self.combine(Operation::Intersection, a, b)
    }

    pub(super) fn difference(&mut self, a: SetId, b: SetId) -> SetId {
        self.combine(Operation::Difference, a, b)
    }

    fn combine(&mut self, operation: Operation, a: SetId, b: SetId) -> SetId {
        if let Some(known) = self.known.get(&(operation, a, b)) {
            return *known;
        }
        let (left, right) = (&self.list[a], &self.list[b]);
        let made = match operation {
            Operation::Union => left.union(right),
            Operation::Intersection => left.intersection(right),
            Operation::Difference => left.difference(right),
        };
        let made = self.keep(made);
        self.known.insert((operation, a, b), made);
        made
    }

    /// Whether a set holds a service of tcp or udp.
    pub(super) fn connects(&self, id: SetId) -> bool {
        let set = self.get(id);
        !set.tcp.is_empty() || !set.udp.is_empty()
    }
}

// --------------------------------------------------------------------------------------------- Functions

/// The addresses of a family that are in a set.
pub(super) fn of_family(set: &AddressSet, family: Family) -> Addresses {
    match family {
        Family::V4 => {
            let wide = |part: Interval<u32>| Interval::new(part.low().into(), part.high().into());
            set.v4.iter().filter_map(wide).collect()
        }
        Family::V6 => set.v6.clone(),
    }
}

/// Every address of a family.
pub(super) fn everywhere(family: Family) -> Addresses {
    of_family(&AddressSet::full(), family)
}

/// The address at a point.
pub(super) fn address_at(point: u128, family: Family) -> std::net::IpAddr {
    match family {
        Family::V4 => u32::try_from(point).unwrap_or(u32::MAX).to_ip(),
        Family::V6 => point.to_ip(),
    }
}

/// Walks the addresses of a family in order and asks for the value wherever the parts that hold an address change.
pub(super) fn sweep(
    family: Family,
    parts: &[Addresses],
    mut value: impl FnMut(&BTreeSet<usize>) -> SetId,
) -> Line {
    let mut changes: BTreeMap<u128, Vec<(usize, bool)>> = BTreeMap::from([(0, Vec::new())]);
    for (index, part) in parts.iter().enumerate() {
        for run in part.iter() {
            changes.entry(run.low()).or_default().push((index, true));
            if let Some(after) = run.high().checked_add(1) {
                changes.entry(after).or_default().push((index, false));
            }
        }
    }
    let mut active = BTreeSet::new();
    let mut pieces: Vec<(u128, SetId)> = Vec::new();
    let line = everywhere(family);
    for (point, changes) in changes.into_iter().filter(|(point, _)| line.contains(*point)) {
        for (index, begins) in &changes {
            if *begins {
                active.insert(*index);
            } else {
                active.remove(index);
            }
        }
        let value = value(&active);
        if pieces.last().is_none_or(|(_, last)| *last != value) {
            pieces.push((point, value));
        }
    }
    Line(pieces)
}

impl Line {
    /// The value at a point.
    pub(super) fn at(&self, point: u128) -> SetId {
        let after = self.0.partition_point(|(start, _)| *start <= point);
        self.0[after - 1].1
    }
}

impl Line {
    /// The pieces that have points from `low` to `high`.
    pub(super) fn within(&self, low: u128, high: u128) -> &[(u128, SetId)] {
        let after = |point| self.0.partition_point(|(start, _)| *start <= point);
        &self.0[after(low) - 1..after(high)]
    }
}

impl ByClass {
    /// The value for a class.
    pub(super) fn at(&self, class: ClassId) -> SetId {
        match self.listed.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(place) => self.listed[place].1,
            Err(_) => self.default,
        }
    }
}

impl End {
    /// The same everywhere.
    pub(super) fn constant(value: SetId) -> Self {
        let classes = ByClass { default: value, listed: Vec::new() };
        Self { addresses: Line(vec![(0, value)]), classes }
    }
}
