//! P3: the rules for prefixes are the fewest, proven from the groups alone.
//!
//! A rule has one prefix and one shape. Two points, each an address and a service that have to pass, are apart if the
//! least rule that holds both would let through something that must not pass. So of points that are pairwise apart, every
//! set of rules needs one rule each. One point is looked for in every emitted rule, and whether they are apart is found out pair
//! by pair.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::AddAssign;

use moat_core::compile::Desired;
use moat_core::firewall::{GroupKey, GroupNumber, Peer};
use moat_core::inventory::Pod;
use moat_core::net::{AddressSet, Family, Interval, Message, Messages, Prefix, Service, Shape};
use moat_core::policy::{Direction, Namespaces, Policy, Subject, Word};

use super::classes::point;
use super::sets::{Line, SetId, Sets, of_family, sweep};
use crate::generate::Cluster;

/// Rules for prefixes, and how many there must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minimum {
    /// Those that are there, but for copied ones.
    pub rules: usize,
    /// No translation has fewer.
    pub bound: usize,
}

/// An address and a service that have to pass.
type Witness = (u128, Service);

/// Counts the rules for prefixes, and points that are pairwise apart.
///
/// Rules that were copied from groups of others, in directions that no policy governs, are not for Moat to choose.
#[must_use]
pub fn minimum(cluster: &Cluster, desired: &Desired) -> Minimum {
    let mut total = Minimum::default();
    let governed = Governed::new(cluster);
    let mut seen: BTreeSet<(BTreeSet<GroupNumber>, Direction)> = BTreeSet::new();
    for (_, pod) in cluster.inventory.pods_of_policies() {
        let worn = pod.interface.as_ref().and_then(|it| desired.state.interfaces.get(it));
        let ours = worn.into_iter().flatten().filter_map(|key| match key {
            GroupKey::Ours(number) => Some(*number),
            GroupKey::Foreign(_) => None,
        });
        // Membership groups have no rules, and are worn by many.
        let has_rules = |number: &GroupNumber| {
            let rules = desired.state.groups.get(&GroupKey::Ours(*number));
            rules.is_some_and(|rules| !rules.is_empty())
        };
        let ours: BTreeSet<GroupNumber> = ours.filter(has_rules).collect();
        for direction in Direction::BOTH {
            if !seen.insert((ours.clone(), direction)) {
                continue;
            }
            let found = Family::BOTH.map(|family| of_groups(&ours, direction, family, desired));
            if found.iter().any(|found| found.rules > 0) && governed.is(pod, direction) {
                found.into_iter().for_each(|found| total += found);
            }
        }
    }
    total
}

/// The policies of each namespace, and those of all.
struct Governed<'a> {
    cluster: &'a Cluster,
    named: HashMap<&'a Word, Vec<&'a Policy>>,
    matching: Vec<&'a Policy>,
}

impl<'a> Governed<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let mut made = Self { cluster, named: HashMap::new(), matching: Vec::new() };
        for policy in &cluster.policies {
            if let Subject::Pods(selector) = &policy.subject {
                match &selector.namespaces {
                    Namespaces::Named(name) => made.named.entry(name).or_default().push(policy),
                    Namespaces::Matching(_) => made.matching.push(policy),
                }
            }
        }
        made
    }

    /// Whether some policy is about a pod in a direction.
    fn is(&self, pod: &Pod, direction: Direction) -> bool {
        let labels = self.cluster.inventory.namespace_labels(&pod.namespace);
        let here = self.named.get(&pod.namespace).into_iter().flatten();
        here.chain(&self.matching).any(|policy| match &policy.subject {
            Subject::Pods(selector) => {
                policy.rules(direction).is_some()
                    && selector.matches(&pod.namespace, &labels, &pod.labels)
            }
            Subject::Nobody => false,
        })
    }
}

fn of_groups(
    groups: &BTreeSet<GroupNumber>,
    direction: Direction,
    family: Family,
    desired: &Desired,
) -> Minimum {
    let mut sets = Sets::default();
    let (mut parts, mut services) = (Vec::new(), Vec::new());
    let mut rules: Vec<(Prefix, Shape)> = Vec::new();
    for number in groups {
        let all = desired.state.groups.get(&GroupKey::Ours(*number)).into_iter().flatten();
        for rule in all.filter(|rule| rule.direction == direction) {
            if let Peer::Prefix(prefix) = rule.peer
                && prefix.family() == family
            {
                parts.push(of_family(&AddressSet::from(prefix), family));
                services.push(sets.keep(rule.shape.services().within(family)));
                rules.push((prefix, rule.shape));
            }
        }
    }
    let nothing = sets.empty();
    let line = sweep(family, &parts, |active| {
        active.iter().fold(nothing, |all, rule| sets.union(all, services[*rule]))
    });
    let mut maximal = HashMap::new();
    let mut witness =
        |rule: &(Prefix, Shape)| witness(rule.0, rule.1, &line, &mut maximal, &mut sets);
    let mut witnesses: Vec<Witness> = rules.iter().filter_map(&mut witness).collect();
    witnesses.retain(|(point, service)| sets.get(line.at(*point)).contains(*service));
    witnesses.sort_unstable();
    let mut apart = Apart::default();
    for candidate in witnesses {
        apart.add(candidate, family, &line, &sets);
    }
    Minimum { rules: rules.len(), bound: apart.all.len() }
}

/// Points that are pairwise apart.
#[derive(Default)]
struct Apart {
    all: BTreeSet<Witness>,
    /// By protocol.
    alike: BTreeMap<u8, BTreeSet<Witness>>,
}

impl Apart {
    /// Adds a point if it is apart from all others.
    ///
    /// A rule that holds it and another one lies within the widest prefix around it that lets its service through
    /// everywhere; for another protocol, within the widest one that lets everything through. Nobody else needs a look.
    fn add(&mut self, new: Witness, family: Family, line: &Line, sets: &Sets) {
        let protocol = protocol(new.1);
        let everything = Shape::All.services().within(family);
        let near = widest(new.0, family, line, |set| sets.get(set).contains(new.1));
        let open = widest(new.0, family, line, |set| *sets.get(set) == everything);
        let among = |points: &BTreeSet<Witness>, range: Option<(u128, u128)>| {
            let Some((low, high)) = range else { return false };
            let from = points.range((low, Service::Tcp(0))..).take_while(|(at, _)| *at <= high);
            from.into_iter().any(|other| !are_apart(*other, new, family, line, sets))
        };
        let alike = self.alike.entry(protocol).or_default();
        if !among(alike, near) && !among(&self.all, open) {
            alike.insert(new);
            self.all.insert(new);
        }
    }
}

/// The IANA number of a service's protocol.
const fn protocol(service: Service) -> u8 {
    match service {
        Service::Tcp(_) => 6,
        Service::Udp(_) => 17,
        Service::Sctp(_) => 132,
        Service::Icmp(_) => 1,
        Service::Icmpv6(_) => 58,
        Service::Other(protocol) => protocol.number(),
    }
}

/// The first and last address of the widest prefix around a point of whose addresses all satisfy a condition.
fn widest(
    point: u128,
    family: Family,
    line: &Line,
    mut condition: impl FnMut(SetId) -> bool,
) -> Option<(u128, u128)> {
    let ranges = (0..=bits(family)).map(|free| around(point, free));
    let mut good = ranges
        .take_while(|(low, high)| line.within(*low, *high).iter().all(|(_, set)| condition(*set)));
    let mut last = good.next();
    for range in good {
        last = Some(range);
    }
    last
}

/// The bits of an address.
const fn bits(family: Family) -> u32 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// The first and last address of the prefix around a point in which so many low bits are free.
fn around(point: u128, free: u32) -> (u128, u128) {
    let ones = u128::MAX.checked_shr(128 - free).unwrap_or(0);
    (point & !ones, point | ones)
}

/// A point of a rule that is likely apart from those of all others: where its shape cannot be enlarged, a service that
/// its prefix cannot be widened for.
fn witness(
    prefix: Prefix,
    shape: Shape,
    line: &Line,
    maximal: &mut HashMap<SetId, Vec<Shape>>,
    sets: &mut Sets,
) -> Option<Witness> {
    let family = prefix.family();
    let mut services = sets.keep(shape.services().within(family));
    let shorter = prefix.length().checked_sub(1);
    if let Some(wider) = shorter.and_then(|length| Prefix::new(prefix.first(), length)) {
        let (low, high) = (point(wider.first()), point(wider.last()));
        let all = sets.all(family);
        let within = line.within(low, high).iter();
        let everywhere = within.fold(all, |full, (_, set)| sets.intersection(full, *set));
        services = sets.difference(services, everywhere);
    }
    let service = sets.get(services).first()?;
    let (low, high) = (point(prefix.first()), point(prefix.last()));
    let (start, _) = line.within(low, high).iter().find(|(_, set)| {
        let shapes = maximal.entry(*set);
        shapes.or_insert_with(|| sets.get(*set).maximal_shapes(family)).contains(&shape)
    })?;
    Some((low.max(*start), service))
}

/// Whether every rule that holds both points lets through what must not pass.
fn are_apart(a: Witness, b: Witness, family: Family, line: &Line, sets: &Sets) -> bool {
    // The low bits in which the addresses differ, up to the highest one, are free in their least common prefix.
    let free = (a.0 ^ b.0).checked_ilog2().map_or(0, |highest| highest + 1);
    let (low, high) = around(a.0, free);
    let least = least_shape(a.1, b.1).services().within(family);
    let lacks = |set: SetId| !sets.get(set).contains_all(&least);
    line.within(low, high).iter().any(|(_, set)| lacks(*set))
}

/// The least services that one rule can name and that hold both.
fn least_shape(a: Service, b: Service) -> Shape {
    let range = |a: u16, b: u16| Interval::new(a.min(b), a.max(b)).unwrap_or(Interval::single(a));
    let messages = |a: Message, b: Message| {
        if a == b {
            Messages::One(a)
        } else if a.kind == b.kind {
            Messages::Type(a.kind)
        } else {
            Messages::All
        }
    };
    match (a, b) {
        (Service::Tcp(a), Service::Tcp(b)) => Shape::Tcp(range(a, b)),
        (Service::Udp(a), Service::Udp(b)) => Shape::Udp(range(a, b)),
        (Service::Sctp(_), Service::Sctp(_)) => Shape::Sctp,
        (Service::Icmp(a), Service::Icmp(b)) => Shape::Icmp(messages(a, b)),
        (Service::Icmpv6(a), Service::Icmpv6(b)) => Shape::Icmpv6(messages(a, b)),
        (Service::Other(a), Service::Other(b)) if a == b => Shape::Other(a),
        _ => Shape::All,
    }
}

impl AddAssign for Minimum {
    fn add_assign(&mut self, other: Self) {
        self.rules += other.rules;
        self.bound += other.bound;
    }
}

impl fmt::Display for Minimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rules, bound } = self;
        write!(f, "{rules} rules for prefixes, and none can have fewer than {bound}")
    }
}
