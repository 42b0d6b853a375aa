//! The fewest deny entries that close what is wanted, and nothing that may pass.
//!
//! Entries only deny, each by itself something that may be denied. So their order means nothing, any part of them is as safe as all,
//! and none opens what an entry of someone else closes. An entry is a [box](largest_boxes) of addresses and services; covering by
//! boxes that may overlap and may hold more than is wanted is NP-hard, but lists that fit the quota of an ACL are short enough to be
//! searched: deeper and deeper, from a lower bound on.

use super::super::cover::largest_boxes;
use crate::net::{Address, Interval, Prefix, Service, ServiceSet, Shape, StepFunction};

/// What an entry names: addresses at the other end, and services.
pub(crate) type Named = (Prefix, Shape);

/// Services by address of one family.
type Function<T> = StepFunction<T, ServiceSet>;

/// Entries that close something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entries {
    /// What they name.
    pub(crate) named: Vec<Named>,
    /// No list of entries that closes it all is shorter.
    pub(crate) at_least: usize,
}

/// What an ACL may deny, and the largest boxes of it.
pub(crate) struct Deniable<T: Address> {
    /// What it may deny.
    pub(crate) function: Function<T>,
    /// The widest prefixes first.
    boxes: Vec<Box<T>>,
}

/// What one entry may deny.
struct Box<T: Address> {
    named: Named,
    addresses: Interval<T>,
    services: ServiceSet,
}

struct Search<'d, T: Address> {
    /// Those that close something of what is wanted.
    boxes: Vec<&'d Box<T>>,
    /// How many more states may be looked at.
    budget: usize,
}

/// Lists for which this many states were looked at may have an entry too many; [`Entries::at_least`] tells.
const BUDGET: usize = 500;

/// So many packets at most are compared for a lower bound.
const PACKETS: usize = 48;

impl<T: Address> Deniable<T> {
    /// With its boxes.
    pub(crate) fn new(function: Function<T>) -> Self {
        let boxes = largest_boxes(&function).into_iter().filter_map(|named| Box::new(named));
        let mut boxes: Vec<Box<T>> = boxes.collect();
        boxes.sort_by_key(|it| (it.named.0.length(), it.named));
        Self { function, boxes }
    }

    /// Few entries that close all of `wanted`, at most `room`; none if none were found.
    pub(crate) fn few(&self, wanted: &Function<T>, room: usize) -> Option<Entries> {
        let search = Search::new(self, wanted);
        let at_least = search.lower_bound(wanted, room);
        let named = if at_least > room { None } else { search.greedy(wanted) };
        named.filter(|named| named.len() <= room).map(|named| Entries { named, at_least })
    }

    /// As few entries as possible that close what these do.
    pub(crate) fn fewest(&self, wanted: &Function<T>, few: Entries) -> Entries {
        let mut search = Search::new(self, wanted);
        let Entries { named, at_least } = few;
        let shorter = (at_least..named.len()).find_map(|depth| search.within(wanted, depth));
        let named = shorter.unwrap_or(named).into_iter();
        let mut named: Vec<Named> = named.map(|named| tightened(named, wanted)).collect();
        named.sort_unstable();
        let at_least = if search.budget == 0 { at_least } else { named.len() };
        Entries { named, at_least }
    }
}

impl<'d, T: Address> Search<'d, T> {
    fn new(deniable: &'d Deniable<T>, wanted: &Function<T>) -> Self {
        let pieces: Vec<_> = wanted.pieces().filter(|(_, set)| !set.is_empty()).collect();
        let boxes = deniable.boxes.iter().filter(|it| it.meets(&pieces)).collect();
        Self { boxes, budget: BUDGET }
    }

    /// A list of at most `depth` entries. Some entry has to close the first packet that is left, so only those are tried.
    fn within(&mut self, left: &Function<T>, depth: usize) -> Option<Vec<Named>> {
        let Some((address, service)) = first(left) else { return Some(Vec::new()) };
        if depth == 0 || self.budget == 0 || self.lower_bound(left, depth) > depth {
            return None;
        }
        self.budget -= 1;
        for place in self.closing(address, service) {
            let (named, rest) = self.boxes.get(place).map(|it| (it.named, it.rest(left)))?;
            if let Some(mut list) = self.within(&rest, depth - 1) {
                list.push(named);
                return Some(list);
            }
        }
        None
    }

    /// Some list: for each packet that is left the box that closes most.
    fn greedy(&self, wanted: &Function<T>) -> Option<Vec<Named>> {
        let (mut left, mut list) = (wanted.clone(), Vec::new());
        while let Some((address, service)) = first(&left) {
            let closing = self.closing(address, service);
            let closing = closing.into_iter().filter_map(|place| self.boxes.get(place));
            let rests = closing.map(|it| (it.named, it.rest(&left)));
            let size = |(_, rest): &(Named, Function<T>)| pieces(rest);
            let (named, rest) = rests.min_by_key(size)?;
            list.push(named);
            left = rest;
        }
        Some(list)
    }

    fn closing(&self, address: T, service: Service) -> Vec<usize> {
        let numbered = self.boxes.iter().enumerate();
        numbered.filter(|(_, it)| it.holds(address, service)).map(|(place, _)| place).collect()
    }

    /// How many entries any list has at least: as many as there are packets of which no box holds two. More than `enough` are
    /// not counted.
    fn lower_bound(&self, left: &Function<T>, enough: usize) -> usize {
        let packets = left.pieces().flat_map(|(piece, set)| {
            let shapes = set.maximal_shapes(T::FAMILY).into_iter();
            let services = shapes.filter_map(|shape| shape.services().within(T::FAMILY).first());
            services.map(move |service| (piece.low(), service))
        });
        let mut apart: Vec<(T, Service)> = Vec::new();
        for (address, service) in packets.take(PACKETS) {
            if apart.len() > enough {
                break;
            }
            let together = |(other, its): &(T, Service)| {
                self.boxes.iter().any(|it| it.holds(address, service) && it.holds(*other, *its))
            };
            if !apart.iter().any(together) {
                apart.push((address, service));
            }
        }
        apart.len()
    }
}

impl<T: Address> Box<T> {
    fn new(named: Named) -> Option<Self> {
        let (prefix, shape) = named;
        let (first, last) = (T::from_ip(prefix.first())?, T::from_ip(prefix.last())?);
        let addresses = Interval::new(first, last)?;
        let services = shape.services().within(T::FAMILY);
        Some(Self { named, addresses, services })
    }

    fn meets(&self, pieces: &[(Interval<T>, &ServiceSet)]) -> bool {
        let (first, last) = (self.addresses.low(), self.addresses.high());
        let start = pieces.partition_point(|(piece, _)| piece.high() < first);
        let mut near = pieces.iter().skip(start).take_while(|(piece, _)| piece.low() <= last);
        near.any(|(_, set)| !set.intersection(&self.services).is_empty())
    }

    fn holds(&self, address: T, service: Service) -> bool {
        self.addresses.contains(address) && self.services.contains(service)
    }

    fn rest(&self, left: &Function<T>) -> Function<T> {
        left.map2(&self.function(), ServiceSet::difference)
    }

    fn function(&self) -> Function<T> {
        let nothing = ServiceSet::empty();
        StepFunction::indicator(&self.addresses.into(), self.services.clone(), nothing)
    }
}

/// The smallest box that closes as much of what is wanted: the less an entry denies, the fewer edits of policies touch it.
fn tightened<T: Address>((prefix, shape): Named, wanted: &Function<T>) -> Named {
    let Some(around) = Box::<T>::new((prefix, shape)) else { return (prefix, shape) };
    let held = wanted.map2(&around.function(), ServiceSet::intersection);
    let mut pieces = held.pieces().filter(|(_, services)| !services.is_empty());
    let Some((first, services)) = pieces.next() else { return (prefix, shape) };
    let (last, services) = pieces.fold((first, services.clone()), |(_, all), (piece, services)| {
        (piece, all.union(services))
    });
    let length = first.low().shared_bits(last.high()).max(prefix.length());
    (first.low().prefix(length), services.smallest_shape(shape))
}

/// The first packet that is left.
fn first<T: Address>(left: &Function<T>) -> Option<(T, Service)> {
    left.pieces().find_map(|(piece, set)| Some((piece.low(), set.first()?)))
}

/// How much is left, about.
fn pieces<T: Address>(left: &Function<T>) -> usize {
    left.pieces().map(|(_, set)| set.maximal_shapes(T::FAMILY).len()).sum()
}
