//! Who says no: the cheapest split between groups, which only allow, and an ACL, which denies for a whole subnet.
//!
//! Where addresses or services are left out of something, groups need rules for all the rest; an ACL needs entries for what is left
//! out. A *fill* is a box that a group may allow although policies do not, because something else closes what it adds: outside of
//! the subnets the ACL does, inside of them, where no ACL is asked, the ends at the other side do. Fills are taken as long as they
//! save more rules than they cost entries.

use std::collections::{BTreeMap, BTreeSet};

use super::super::cover::{CoverRule, cover};
use super::entries::{Deniable, Entries, Named};
use crate::net::{Address, Interval, Intervals, Messages, Prefix, ServiceSet, Shape, StepFunction};

/// Services by address of one family.
type Function<T> = StepFunction<T, ServiceSet>;

/// What one direction and family of an ACL has to work with.
pub(super) struct Ground<T: Address> {
    /// What the ACL may deny.
    pub(super) deniable: Deniable<T>,
    /// The addresses of its subnets, about whose packets among each other it is not asked.
    pub(super) inside: Intervals<T>,
    /// What the ends inside close themselves.
    pub(super) closed_inside: ServiceSet,
    /// How many entries there is room for.
    pub(super) room: usize,
}

/// What groups ask for, and how many of them do.
pub(super) struct Asked<T> {
    pub(super) function: Function<T>,
    pub(super) users: usize,
}

/// How rules and entries share the work.
pub(super) struct Split<T> {
    /// The entries.
    pub(super) entries: Entries,
    /// What rules say instead, for each function that was asked, in their order.
    pub(super) said: Vec<Function<T>>,
}

/// A box that a group may allow beyond what is asked.
struct Fill<T: Address> {
    addresses: Intervals<T>,
    services: ServiceSet,
}

/// Where a box may be filled.
struct Fillable<'f, T: Address> {
    outside: Pieces<'f, T>,
    inside: Pieces<'f, T>,
}

/// The pieces of a function, in their order, to be looked at near an address.
struct Pieces<'f, T: Address>(Vec<(Interval<T>, &'f ServiceSet)>);

impl<'f, T: Address> Pieces<'f, T> {
    fn of(function: &'f Function<T>) -> Self {
        Self(function.pieces().collect())
    }

    /// Whether all of these addresses have all of these services.
    fn holds(&self, addresses: Interval<T>, services: &ServiceSet) -> bool {
        let start = self.0.partition_point(|(piece, _)| piece.high() < addresses.low());
        let mut near =
            self.0.iter().skip(start).take_while(|(piece, _)| piece.low() <= addresses.high());
        near.all(|(_, there)| services.difference(there).is_empty())
    }
}

/// So many boxes at most are tried for one function, those that hold most rules first.
const BOXES: usize = 64;

/// Splits. What is `wanted` closed is closed by entries in any case, as far as there is room.
pub(super) fn split<T: Address>(
    ground: &Ground<T>,
    asked: &[Asked<T>],
    wanted: Option<Function<T>>,
) -> Split<T> {
    let nothing = StepFunction::constant(ServiceSet::empty());
    let none = Entries { named: Vec::new(), at_least: 0 };
    let mut closing = Closing { ground, holes: nothing.clone(), entries: none };
    if let Some(wanted) = wanted {
        closing.take(wanted);
    }
    let mut said: Vec<Function<T>> = asked.iter().map(|asked| asked.function.clone()).collect();
    // What one function paid for, those that were looked at before may use.
    let mut paid = None;
    while paid.replace(closing.entries.named.len()) != Some(closing.entries.named.len()) {
        for (asked, said) in asked.iter().zip(&mut said) {
            while let Some((better, holes)) = closing.best(asked, said) {
                closing.take(holes);
                *said = better;
            }
        }
    }
    let Closing { holes, entries, .. } = closing;
    Split { entries: ground.deniable.fewest(&holes, entries), said }
}

/// Entries, and what they have to close.
struct Closing<'g, T: Address> {
    ground: &'g Ground<T>,
    holes: Function<T>,
    entries: Entries,
}

impl<T: Address> Closing<'_, T> {
    /// Closes this, too, if there is room.
    fn take(&mut self, more: Function<T>) {
        let holes = self.holes.map2(&more, ServiceSet::union);
        if let Some(entries) = self.ground.deniable.few(&holes, self.ground.room) {
            *self = Self { ground: self.ground, holes, entries };
        }
    }

    /// The fill that saves most, if one saves more rules than it costs entries: the function with it, and what has to be closed.
    fn best(&self, asked: &Asked<T>, said: &Function<T>) -> Option<(Function<T>, Function<T>)> {
        let rules = cover(said);
        let (outside, inside) = self.fillable(said);
        let may = Fillable { outside: Pieces::of(&outside), inside: Pieces::of(&inside) };
        let mut best = None;
        let mut most = 0;
        for (held, named) in boxes::<T>(&rules).into_iter().take(BOXES) {
            if held * asked.users <= most {
                break;
            }
            for fill in self.fills(&may, named) {
                let holes = self.holes_of(&fill, said);
                let worth = (held * asked.users).saturating_sub(most);
                let Some(cost) = self.cost(&holes, worth) else { continue };
                let better = said.map2(&fill.function(), ServiceSet::union);
                let saved = rules.len().saturating_sub(cover(&better).len()) * asked.users;
                if saved.saturating_sub(cost) > most {
                    most = saved - cost;
                    best = Some((better, holes));
                }
            }
        }
        best
    }

    /// What may be said outside of the subnets, anything inside; and inside of them, anything outside.
    fn fillable(&self, said: &Function<T>) -> (Function<T>, Function<T>) {
        let Ground { deniable, inside, closed_inside, .. } = self.ground;
        let nothing = ServiceSet::empty();
        let anything = |addresses: &Intervals<T>| {
            StepFunction::indicator(addresses, ServiceSet::line(T::FAMILY), nothing.clone())
        };
        let outside = said.map2(&deniable.function, ServiceSet::union);
        let ends = said.map(|said| said.union(closed_inside));
        (
            outside.map2(&anything(inside), ServiceSet::union),
            ends.map2(&anything(&inside.complement()), ServiceSet::union),
        )
    }

    /// How many entries more this takes; none if there is no room, or if they are not fewer than the rules that they are `worth`.
    fn cost(&self, holes: &Function<T>, worth: usize) -> Option<usize> {
        let holes = self.holes.map2(holes, ServiceSet::union);
        let most = (self.entries.named.len() + worth).checked_sub(1)?;
        let entries = self.ground.deniable.few(&holes, self.ground.room.min(most))?;
        Some(entries.named.len().saturating_sub(self.entries.named.len()))
    }

    /// The fills of a box: with the addresses inside, if their own ends close it, or without them.
    fn fills(
        &self,
        may: &Fillable<'_, T>,
        (prefix, shape): Named,
    ) -> impl Iterator<Item = Fill<T>> {
        let services = shape.services().within(T::FAMILY);
        let first_and_last = T::from_ip(prefix.first()).zip(T::from_ip(prefix.last()));
        let all = first_and_last.and_then(|(first, last)| Interval::new(first, last));
        let outside_fits = all.is_some_and(|all| may.outside.holds(all, &services));
        let inside_fits = outside_fits && all.is_some_and(|all| may.inside.holds(all, &services));
        let all = all.filter(|_| outside_fits).map_or_else(Intervals::empty, Intervals::from);
        let inside = all.intersection(&self.ground.inside);
        let outside = all.difference(&inside);
        let some = !outside.is_empty();
        let without = (some && !inside.is_empty())
            .then(|| Fill { addresses: outside, services: services.clone() });
        let with = (some && inside_fits).then_some(Fill { addresses: all, services });
        with.into_iter().chain(without)
    }

    /// What the ACL has to close for a fill.
    fn holes_of(&self, fill: &Fill<T>, said: &Function<T>) -> Function<T> {
        let outside = Fill {
            addresses: fill.addresses.difference(&self.ground.inside),
            services: fill.services.clone(),
        };
        // What is said beyond what is asked is closed already.
        outside.function().map2(said, ServiceSet::difference)
    }
}

impl<T: Address> Fill<T> {
    fn function(&self) -> Function<T> {
        StepFunction::indicator(&self.addresses, self.services.clone(), ServiceSet::empty())
    }
}

/// The boxes that hold several rules, with how many rules they hold; those that hold most come first.
fn boxes<T: Address>(rules: &[CoverRule]) -> Vec<(usize, Named)> {
    let prefixes: BTreeSet<Prefix> = rules.iter().map(|rule| rule.prefix).collect();
    let pairs = prefixes.iter().zip(prefixes.iter().skip(1));
    let mut around: BTreeSet<Prefix> =
        pairs.filter_map(|(one, other)| span::<T>(*one, *other)).collect();
    around.extend(prefixes.iter().copied());
    let mut boxes = Vec::new();
    for prefix in around {
        let mut beneath: BTreeMap<Shape, usize> = BTreeMap::new();
        for rule in rules.iter().filter(|rule| prefix.contains_prefix(rule.prefix)) {
            *beneath.entry(rule.shape).or_default() += 1;
        }
        let shapes: BTreeSet<Shape> = beneath.keys().flat_map(|shape| wider(*shape)).collect();
        for shape in shapes {
            let held: usize = match shape {
                // They hold nothing but themselves, and there may be hundreds.
                Shape::Sctp | Shape::Other(_) => beneath.get(&shape).copied().unwrap_or(0),
                Shape::All | Shape::Tcp(_) | Shape::Udp(_) | Shape::Icmp(_) | Shape::Icmpv6(_) => {
                    let inner = beneath.iter().filter(|(inner, _)| shape.holds(**inner));
                    inner.map(|(_, count)| count).sum()
                }
            };
            if held > 1 {
                boxes.push((held, (prefix, shape)));
            }
        }
    }
    boxes.sort_by_key(|(held, named)| (std::cmp::Reverse(*held), *named));
    boxes
}

/// The longest prefix that holds two others.
fn span<T: Address>(one: Prefix, other: Prefix) -> Option<Prefix> {
    let (first, second) = (T::from_ip(one.first())?, T::from_ip(other.first())?);
    let shared = first.shared_bits(second).min(one.length()).min(other.length());
    Some(first.prefix(shared))
}

/// A shape and the shapes around it that an entry or a rule can name.
fn wider(shape: Shape) -> Vec<Shape> {
    let around = match shape {
        Shape::Tcp(_) => [Some(Shape::Tcp(Interval::FULL)), None],
        Shape::Udp(_) => [Some(Shape::Udp(Interval::FULL)), None],
        Shape::Icmp(it) => [of_type(it), Some(Messages::All)].map(|it| it.map(Shape::Icmp)),
        Shape::Icmpv6(it) => [of_type(it), Some(Messages::All)].map(|it| it.map(Shape::Icmpv6)),
        Shape::All | Shape::Sctp | Shape::Other(_) => [None, None],
    };
    around.into_iter().flatten().chain([shape, Shape::All]).collect()
}

/// All messages of the type of one.
fn of_type(messages: Messages) -> Option<Messages> {
    match messages {
        Messages::One(message) => Some(Messages::Type(message.kind)),
        Messages::All | Messages::Type(_) => None,
    }
}
