//! The fewest rules with prefixes that let through exactly a function from addresses to services.
//!
//! One group, one direction, one family. A rule is a prefix and a [`Shape`]; it is valid if every address of the prefix may use
//! every service of the shape. In any set of services each service has one largest shape around it, which general covering by
//! rectangles lacks, so the minimum has a closed form: climb from each address to the highest prefix that still allows each of
//! its maximal shapes. Each rule keeps a witness: an address and a service that no rule covers together with another rule's
//! witness, so every cover needs as many rules as there are witnesses. [`certificate`] checks just that, by other means.
//!
//! sctp counts only as a whole, since no rule can name its ports: a part of it is left out.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use super::HashMap;
use crate::net::{
    Address, Interval, Message, Messages, Prefix, Service, ServiceSet, Shape, StepFunction,
};

/// A rule of a minimal cover, with the reason why no cover can do without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoverRule {
    /// The addresses at the other end.
    pub prefix: Prefix,
    /// The services.
    pub shape: Shape,
    /// What this rule covers and no other rule of the cover does; no valid rule covers two rules' witnesses.
    pub witness: (IpAddr, Service),
}

/// A prefix of the trie, split until the function is constant on it.
struct Node<'a> {
    /// What every address of the prefix may use.
    full: Rc<Services<'a>>,
    /// None where the function is constant.
    halves: Option<Box<[Node<'a>; 2]>>,
}

/// A set of services that some prefix allows.
struct Services<'a> {
    id: usize,
    set: Cow<'a, ServiceSet>,
    shapes: Vec<Shape>,
}

/// The sets of one cover, each held once: big functions take few values over and over.
#[derive(Default)]
struct Sets<'a> {
    known: HashMap<Cow<'a, ServiceSet>, Rc<Services<'a>>>,
    intersections: HashMap<(usize, usize), Rc<Services<'a>>>,
}

/// The minimal cover of `allowed`, sorted by prefix and shape: its rules together let through exactly `allowed`, a part of sctp
/// aside, and no other set of rules that does has fewer. Services that do not exist in the family do not count.
///
/// Time and memory grow with the pieces of `allowed` times the length of an address, and with the rules.
#[must_use]
pub fn cover<T: Address>(allowed: &StepFunction<T, ServiceSet>) -> Vec<CoverRule> {
    over_trie(allowed, |root, rules| root.walk((T::MIN, 0), &ServiceSet::empty(), rules))
}

/// The largest boxes of addresses and services that `allowed` allows: none of them can be enlarged, neither by a shorter prefix
/// nor by a wider shape. Sorted.
#[must_use]
pub(crate) fn largest_boxes<T: Address>(
    allowed: &StepFunction<T, ServiceSet>,
) -> Vec<(Prefix, Shape)> {
    over_trie(allowed, |root, boxes| root.boxes((T::MIN, 0), &ServiceSet::empty(), boxes))
}

/// What is found on the trie of a function, sorted.
fn over_trie<T: Address, R: Ord>(
    allowed: &StepFunction<T, ServiceSet>,
    find: impl FnOnce(&Node<'_>, &mut Vec<R>),
) -> Vec<R> {
    let mut sets = Sets::default();
    let pieces = allowed.pieces();
    let pieces: Vec<_> =
        pieces.map(|(piece, set)| (piece.low(), sets.intern::<T>(Cow::Borrowed(set)))).collect();
    let mut found = Vec::new();
    if let Some(root) = Node::build(&pieces, T::MIN, 0, &mut sets) {
        find(&root, &mut found);
    }
    found.sort_unstable();
    found
}

impl<'a> Node<'a> {
    /// The trie below the prefix of `length` bits at `first`. The first of `pieces` begins at `first` or before it, the others
    /// within the prefix.
    fn build<T: Address>(
        pieces: &[(T, Rc<Services<'a>>)],
        first: T,
        length: u8,
        sets: &mut Sets<'a>,
    ) -> Option<Self> {
        let (_, value) = pieces.first()?;
        let Some(middle) = first.upper_half(length).filter(|_| pieces.len() > 1) else {
            return Some(Self { full: Rc::clone(value), halves: None });
        };
        let below = pieces.partition_point(|(start, _)| *start < middle);
        let across = pieces.partition_point(|(start, _)| *start <= middle).saturating_sub(1);
        let lower = Self::build(pieces.get(..below)?, first, length + 1, sets)?;
        let upper = Self::build(pieces.get(across..)?, middle, length + 1, sets)?;
        let full = sets.intersection::<T>(&lower.full, &upper.full);
        Some(Self { full, halves: Some(Box::new([lower, upper])) })
    }

    /// Adds the boxes of the prefix of `length` bits at `first`, and of those below, that the prefix `above` does not allow all of.
    fn boxes<T: Address>(
        &self,
        (first, length): (T, u8),
        above: &ServiceSet,
        boxes: &mut Vec<(Prefix, Shape)>,
    ) {
        let missing = |shape: &&Shape| above.first_missing(**shape, T::FAMILY).is_some();
        let own = self.full.shapes.iter().filter(missing);
        boxes.extend(own.map(|shape| (first.prefix(length), *shape)));
        if let (Some(halves), Some(middle)) = (&self.halves, first.upper_half(length)) {
            for (half, first) in halves.iter().zip([first, middle]) {
                half.boxes((first, length + 1), &self.full.set, boxes);
            }
        }
    }

    /// Adds the rules of the prefix of `length` bits at `first`, and of those below. A shape is a rule here if the prefix `above`
    /// does not allow all of it and it is still maximal for some address.
    fn walk<T: Address>(
        &self,
        (first, length): (T, u8),
        above: &ServiceSet,
        rules: &mut Vec<CoverRule>,
    ) {
        for shape in &self.full.shapes {
            if let Some(service) = above.first_missing(*shape, T::FAMILY)
                && let Some(address) = self.least_where_maximal(*shape, first, length)
            {
                let witness = (address.to_ip(), service);
                rules.push(CoverRule { prefix: first.prefix(length), shape: *shape, witness });
            }
        }
        if let (Some(halves), Some(middle)) = (&self.halves, first.upper_half(length)) {
            for (half, first) in halves.iter().zip([first, middle]) {
                half.walk((first, length + 1), &self.full.set, rules);
            }
        }
    }

    /// The least address below that has `shape` among its maximal shapes. Further down sets only grow, so a shape that is not
    /// maximal here, though allowed, is part of a larger one from here on.
    fn least_where_maximal<T: Address>(&self, shape: Shape, first: T, length: u8) -> Option<T> {
        self.full.shapes.binary_search(&shape).ok()?;
        let Some(halves) = &self.halves else { return Some(first) };
        let [lower, upper] = &**halves;
        let in_lower = lower.least_where_maximal(shape, first, length + 1);
        in_lower.or_else(|| upper.least_where_maximal(shape, first.upper_half(length)?, length + 1))
    }
}

impl<'a> Sets<'a> {
    fn intern<T: Address>(&mut self, set: Cow<'a, ServiceSet>) -> Rc<Services<'a>> {
        if let Some(known) = self.known.get(&*set) {
            return Rc::clone(known);
        }
        let (id, shapes) = (self.known.len(), set.maximal_shapes(T::FAMILY));
        let services = Rc::new(Services { id, set: set.clone(), shapes });
        self.known.insert(set, Rc::clone(&services));
        services
    }

    fn intersection<T: Address>(
        &mut self,
        a: &Rc<Services<'a>>,
        b: &Rc<Services<'a>>,
    ) -> Rc<Services<'a>> {
        if a.id == b.id {
            return Rc::clone(a);
        }
        let key = (a.id.min(b.id), a.id.max(b.id));
        if let Some(known) = self.intersections.get(&key) {
            return Rc::clone(known);
        }
        let services = self.intern::<T>(Cow::Owned(a.set.intersection(&b.set)));
        self.intersections.insert(key, Rc::clone(&services));
        services
    }
}

// ------------------------------------------------------------------------------------------- Certificate

/// Checks that no valid rule covers the witnesses of two rules, so that every cover of `allowed` has at least as many rules:
/// the first pair of rules that fails, if one does. A rule whose own witness is not allowed fails with itself.
///
/// Independent of [`cover`]: for each pair, the smallest rule that covers both witnesses has to let through something that
/// `allowed` does not. Quadratic in the number of rules.
#[must_use]
pub fn certificate<T: Address>(
    allowed: &StepFunction<T, ServiceSet>,
    rules: &[CoverRule],
) -> Option<(CoverRule, CoverRule)> {
    for (index, one) in rules.iter().enumerate() {
        let Some(a) = T::from_ip(one.witness.0) else { return Some((*one, *one)) };
        if !allowed.at(a).contains(one.witness.1) {
            return Some((*one, *one));
        }
        for other in rules.iter().skip(index + 1) {
            let Some(b) = T::from_ip(other.witness.0) else { return Some((*other, *other)) };
            let prefix = a.prefix(a.shared_bits(b));
            let services = smallest_shape(one.witness.1, other.witness.1).services();
            let services = services.within(T::FAMILY);
            let inside = |at: T| prefix.contains(at.to_ip());
            let mut pieces = allowed.pieces().filter(|(piece, _)| {
                piece.contains(a) || inside(piece.low()) || inside(piece.high())
            });
            if pieces.all(|(_, set)| set.contains_all(&services)) {
                return Some((*one, *other));
            }
        }
    }
    None
}

/// The smallest shape that holds two services.
fn smallest_shape(a: Service, b: Service) -> Shape {
    let hull = |a: u16, b: u16| Interval::new(a.min(b), a.max(b));
    let messages = |a: Message, b: Message| match (a.kind == b.kind, a == b) {
        (_, true) => Messages::One(a),
        (true, false) => Messages::Type(a.kind),
        (false, false) => Messages::All,
    };
    match (a, b) {
        (Service::Tcp(a), Service::Tcp(b)) => hull(a, b).map_or(Shape::All, Shape::Tcp),
        (Service::Udp(a), Service::Udp(b)) => hull(a, b).map_or(Shape::All, Shape::Udp),
        (Service::Sctp(_), Service::Sctp(_)) => Shape::Sctp,
        (Service::Icmp(a), Service::Icmp(b)) => Shape::Icmp(messages(a, b)),
        (Service::Icmpv6(a), Service::Icmpv6(b)) => Shape::Icmpv6(messages(a, b)),
        (Service::Other(a), Service::Other(b)) if a == b => Shape::Other(a),
        (
            Service::Tcp(_)
            | Service::Udp(_)
            | Service::Sctp(_)
            | Service::Icmp(_)
            | Service::Icmpv6(_)
            | Service::Other(_),
            _,
        ) => Shape::All,
    }
}

#[cfg(test)]
mod tests;
