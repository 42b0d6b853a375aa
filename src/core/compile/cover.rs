//! The fewest rules with prefixes that let through exactly a function from addresses to services.
//!
//! One group, one direction, one family. A rule is a prefix and a [`Shape`]; it is valid if every address of the prefix may use
//! every service of the shape. In any set of services each service has one largest shape around it, which general covering by
//! rectangles lacks, so the minimum has a closed form: climb from each address to the highest prefix that still allows each of
//! its maximal shapes. Each rule keeps a witness: an address and a service that no rule covers together with another rule's
//! witness, so every cover needs as many rules as there are witnesses. [`certificate`] checks just that, by other means.
//!
//! sctp counts only as a whole, since no rule can name its ports: a part of it is left out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

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
struct Node {
    /// The services that every address below may use.
    full: Rc<Interned>,
    halves: Option<Box<[Node; 2]>>,
}

/// A prefix between the root and the current one, with the shapes that are allowed from here on and not above.
struct Step<T> {
    prefix: (T, u8),
    full: Rc<Interned>,
    emitted: BTreeMap<Shape, (T, Service)>,
}

/// A set of services, held once.
struct Interned {
    id: usize,
    set: ServiceSet,
    shapes: Vec<Shape>,
}

/// The sets of one cover. Big functions take few values over and over.
#[derive(Default)]
struct Sets {
    known: HashMap<ServiceSet, Rc<Interned>>,
    intersections: HashMap<(usize, usize), Rc<Interned>>,
}

/// The minimal cover of `allowed`, sorted by prefix and shape: its rules together let through exactly `allowed`, a part of sctp
/// aside, and no other set of rules that does has fewer. Services that do not exist in the family do not count.
#[must_use]
pub fn cover<T: Address>(allowed: &StepFunction<T, ServiceSet>) -> Vec<CoverRule> {
    let mut pieces = allowed.pieces();
    let mut rules = Vec::new();
    if let (Some((_, everywhere)), None) = (pieces.next(), pieces.next()) {
        rules.extend(everywhere.maximal_shapes(T::FAMILY).into_iter().filter_map(|shape| {
            let service = ServiceSet::empty().first_missing(shape, T::FAMILY)?;
            Some(CoverRule::new((T::MIN, 0), shape, (T::MIN, service)))
        }));
    } else {
        let mut sets = Sets::default();
        let pieces: Vec<_> =
            allowed.pieces().map(|(at, set)| (at.low(), sets.intern::<T>(set))).collect();
        if let Some(root) = Node::build(&pieces, T::MIN, 0, &mut sets) {
            root.walk((T::MIN, 0), &mut Vec::new(), &mut rules);
        }
    }
    rules.sort_unstable();
    rules
}

impl CoverRule {
    fn new<T: Address>((first, length): (T, u8), shape: Shape, witness: (T, Service)) -> Self {
        Self { prefix: first.prefix(length), shape, witness: (witness.0.to_ip(), witness.1) }
    }
}

impl Node {
    /// The trie below the prefix of `length` bits at `first`. The first of `pieces` begins at `first` or before it, the others
    /// within the prefix.
    fn build<T: Address>(
        pieces: &[(T, Rc<Interned>)],
        first: T,
        length: u8,
        sets: &mut Sets,
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

    /// Adds the rules of this prefix and those below; `above` holds the prefixes that it lies in.
    fn walk<T: Address>(
        &self,
        (first, length): (T, u8),
        above: &mut Vec<Step<T>>,
        rules: &mut Vec<CoverRule>,
    ) {
        let full = Rc::clone(&self.full);
        above.push(Step { prefix: (first, length), full, emitted: BTreeMap::new() });
        match &self.halves {
            Some(halves) => {
                let firsts = [Some(first), first.upper_half(length)];
                for (half, first) in halves.iter().zip(firsts.into_iter().flatten()) {
                    half.walk((first, length + 1), above, rules);
                }
            }
            None => {
                for shape in &self.full.shapes {
                    climb(*shape, first, above);
                }
            }
        }
        if let Some(step) = above.pop() {
            let emitted = step.emitted.into_iter();
            rules.extend(emitted.map(|(shape, why)| CoverRule::new(step.prefix, shape, why)));
        }
    }
}

/// Emits `shape`, maximal at `address`, at the highest prefix of the path that allows all of it.
fn climb<T: Address>(shape: Shape, address: T, path: &mut [Step<T>]) {
    let missing = |step: &Step<T>| step.full.set.first_missing(shape, T::FAMILY);
    let above = path.partition_point(|step| missing(step).is_some());
    let reason = match above.checked_sub(1).and_then(|parent| path.get(parent)) {
        Some(parent) => missing(parent),
        None => ServiceSet::empty().first_missing(shape, T::FAMILY),
    };
    if let (Some(step), Some(service)) = (path.get_mut(above), reason) {
        step.emitted.entry(shape).or_insert((address, service));
    }
}

impl Sets {
    fn intern<T: Address>(&mut self, set: &ServiceSet) -> Rc<Interned> {
        if let Some(interned) = self.known.get(set) {
            return Rc::clone(interned);
        }
        let (id, shapes) = (self.known.len(), set.maximal_shapes(T::FAMILY));
        let interned = Rc::new(Interned { id, set: set.clone(), shapes });
        self.known.insert(set.clone(), Rc::clone(&interned));
        interned
    }

    fn intersection<T: Address>(&mut self, a: &Rc<Interned>, b: &Rc<Interned>) -> Rc<Interned> {
        if a.id == b.id {
            return Rc::clone(a);
        }
        let key = (a.id.min(b.id), a.id.max(b.id));
        if let Some(interned) = self.intersections.get(&key) {
            return Rc::clone(interned);
        }
        let interned = self.intern::<T>(&a.set.intersection(&b.set));
        self.intersections.insert(key, Rc::clone(&interned));
        interned
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
                inside(piece.low()) || inside(piece.high()) || piece.contains(a)
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
