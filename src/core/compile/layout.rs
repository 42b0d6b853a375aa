//! From classes to groups: which rules, in how many groups, who wears what, within the quotas.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::HashMap;
use super::class::{Class, ClassId, Classes};
use super::concession::Shortage;
use super::cover::{CoverRule, cover};
use super::effective::ByAddress;
use super::grant::Grant;
use super::meaning::{ByDirection, Meaning};
use super::shared::Shared;
use crate::firewall::{GroupKey, GroupNumber, Peer, Rule};
use crate::net::{Family, Prefix, Service, ServiceSet, Shape};
use crate::policy::{Direction, Word};
use crate::settings::Quotas;

/// One rule before groups have numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// Whom it names.
    pub(crate) peer: LinePeer,
    /// What it lets through.
    pub(crate) shape: Shape,
    /// For a prefix: a packet that no other prefix rule lets through.
    pub(crate) witness: Option<(IpAddr, Service)>,
}

/// The other end of a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LinePeer {
    /// The wearers of a class's group.
    Class(ClassId),
    /// The wearers of a membership group.
    Members(BTreeSet<ClassId>),
    /// What a copied rule names: addresses, or a group of others.
    Copied(Peer),
    /// Addresses.
    Prefix(Prefix),
}

/// The lines of a group, each with its direction.
pub(crate) type Lines = Vec<(Direction, Line)>;

/// Groups and who wears them.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The groups of each class, in the order of [`Classes::list`]; the first one is its identity. Empty for a class
    /// that needs none.
    pub(crate) groups: Vec<Vec<(GroupNumber, Lines)>>,
    /// The membership groups.
    pub(crate) memberships: BTreeMap<BTreeSet<ClassId>, GroupNumber>,
    /// The classes whose rules do not fit, with what is short, and how many rules there are too many in each direction.
    pub(crate) too_large: BTreeMap<ClassId, (Shortage, ByDirection<usize>)>,
    /// How many groups there are.
    pub(crate) count: usize,
}

impl Layout {
    /// Lays out the groups. Classes that do not fit an interface's quotas get their groups all the same, and are named.
    pub(crate) fn new(meaning: &Meaning<'_>, classes: &Classes) -> Self {
        let quotas = meaning.settings.quotas;
        let mut covers: HashMap<&Shared<ByAddress>, Arc<[Line]>> = HashMap::default();
        let prefixes = meaning.grants.iter().map(|grant| {
            let cover = covers.entry(&grant.addresses);
            cover.or_insert_with(|| prefix_lines(&grant.addresses)).clone()
        });
        let prefixes: Vec<Arc<[Line]>> = prefixes.collect();
        let mut references = reference_lines(meaning, classes);
        let mut slots = Slots::new(meaning, classes);
        for (prefixes, references) in prefixes.iter().zip(&mut references) {
            compress(prefixes.len(), references, quotas, |members| slots.take(members));
        }
        let mut layout = Self::default();
        for (id, class) in classes.list.iter().enumerate() {
            let lines = class.lines(&prefixes, &references);
            let shards = spread(lines, quotas);
            let free = quotas.groups_per_interface.saturating_sub(slots.used(id));
            if shards.len().max(1) > free {
                let excess = by_direction(shards.iter().skip(free));
                let shortage = Shortage::Interface { needs: shards.len().max(1), room: free };
                layout.too_large.insert(id, (shortage, excess));
            }
            let needs_group = class.named || class.grants.iter().any(Option::is_some);
            let shards = if shards.is_empty() && needs_group { vec![Vec::new()] } else { shards };
            let numbered = shards.into_iter().map(|lines| (layout.next(), lines)).collect();
            layout.groups.push(numbered);
        }
        for members in slots.memberships {
            let number = layout.next();
            layout.memberships.insert(members, number);
        }
        layout
    }

    fn next(&mut self) -> GroupNumber {
        self.count += 1;
        GroupNumber::nth(self.count - 1)
    }

    /// How many groups the pods of each namespace wear, and how many of these are membership groups.
    pub(crate) fn by_namespace<'m>(
        &self,
        meaning: &'m Meaning<'_>,
        classes: &Classes,
    ) -> BTreeMap<&'m Word, (usize, usize)> {
        let namespaces = |id: ClassId| {
            let cohorts = classes.cohorts(id).filter_map(|cohort| meaning.cohorts.get(cohort));
            cohorts.map(|cohort| &cohort.namespace)
        };
        let mut worn: BTreeMap<&Word, (usize, usize)> = BTreeMap::new();
        for (id, groups) in self.groups.iter().enumerate() {
            for namespace in namespaces(id).collect::<BTreeSet<_>>() {
                worn.entry(namespace).or_default().0 += groups.len();
            }
        }
        for members in self.memberships.keys() {
            let wearers: BTreeSet<_> = members.iter().flat_map(|id| namespaces(*id)).collect();
            for namespace in wearers {
                let (all, memberships) = worn.entry(namespace).or_default();
                *all += 1;
                *memberships += 1;
            }
        }
        worn
    }

    /// How many rules of a class do not fit its first group, in each direction.
    pub(crate) fn beyond_first(&self, id: ClassId) -> ByDirection<usize> {
        let groups = self.groups.get(id).into_iter().flatten();
        by_direction(groups.skip(1).map(|(_, lines)| lines))
    }

    /// The groups of ours that a class wears.
    pub(crate) fn worn(&self, id: ClassId) -> impl Iterator<Item = GroupNumber> + '_ {
        let own = self.groups.get(id).into_iter().flatten().map(|(number, _)| *number);
        let memberships = self.memberships.iter().filter(move |(members, _)| members.contains(&id));
        own.chain(memberships.map(|(_, number)| *number))
    }

    /// The rule that a line becomes.
    pub(crate) fn rule(&self, direction: Direction, line: &Line) -> Option<Rule> {
        let peer = match &line.peer {
            LinePeer::Prefix(prefix) => Peer::Prefix(*prefix),
            LinePeer::Copied(peer) => peer.clone(),
            LinePeer::Class(id) => Peer::Group(GroupKey::Ours(self.groups.get(*id)?.first()?.0)),
            LinePeer::Members(members) => {
                Peer::Group(GroupKey::Ours(*self.memberships.get(members)?))
            }
        };
        Some(Rule { direction, peer, shape: line.shape })
    }
}

// ------------------------------------------------------------------------------------------------- lines

impl Class {
    fn lines(&self, prefixes: &[Arc<[Line]>], references: &[References]) -> Lines {
        let mut lines = Vec::new();
        for (direction, grant) in Direction::BOTH.into_iter().zip(self.grants) {
            let Some(grant) = grant else { continue };
            let named = references.get(grant).into_iter().flat_map(References::lines);
            let prefixes = prefixes.get(grant).map_or(&[][..], |lines| lines);
            let all = named.chain(prefixes.iter().cloned());
            lines.extend(all.map(|line| (direction, line)));
        }
        lines.extend(self.copied.iter().map(copied_line));
        lines
    }
}

/// The line that a copied rule is.
pub(crate) fn copied_line(rule: &Rule) -> (Direction, Line) {
    let peer = LinePeer::Copied(rule.peer.clone());
    (rule.direction, Line { peer, shape: rule.shape, witness: None })
}

/// The lines that name prefixes.
pub(crate) fn prefix_lines(addresses: &ByAddress) -> Arc<[Line]> {
    let (v4, v6) = (cover(&addresses.v4), cover(&addresses.v6));
    let line = |rule: CoverRule| Line {
        peer: LinePeer::Prefix(rule.prefix),
        shape: rule.shape,
        witness: Some(rule.witness),
    };
    v4.into_iter().chain(v6).map(line).collect()
}

/// The references of a grant: for each shape, the classes that get it; and whether one membership group names them all.
#[derive(Clone, Debug, Default)]
pub(crate) struct References(BTreeMap<Shape, (BTreeSet<ClassId>, bool)>);

impl References {
    /// Lets these shapes through for one more class.
    pub(crate) fn name(&mut self, class: ClassId, shapes: &[Shape]) {
        for shape in shapes {
            self.0.entry(*shape).or_default().0.insert(class);
        }
    }

    /// The sets of classes that a membership group names.
    pub(crate) fn memberships(&self) -> impl Iterator<Item = &BTreeSet<ClassId>> + '_ {
        self.0.values().filter(|(_, by_membership)| *by_membership).map(|(classes, _)| classes)
    }

    /// One line for each rule.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        self.0.iter().flat_map(|(shape, (classes, by_membership))| {
            let peers: Vec<LinePeer> = if *by_membership {
                vec![LinePeer::Members(classes.clone())]
            } else {
                classes.iter().map(|id| LinePeer::Class(*id)).collect()
            };
            peers.into_iter().map(|peer| Line { peer, shape: *shape, witness: None })
        })
    }

    fn count(&self) -> usize {
        let each = |(classes, by_membership): &(BTreeSet<ClassId>, bool)| {
            if *by_membership { 1 } else { classes.len() }
        };
        self.0.values().map(each).sum()
    }
}

fn reference_lines<'g>(meaning: &'g Meaning<'_>, classes: &Classes) -> Vec<References> {
    let mut known: HashMap<&Shared<ServiceSet>, Vec<Shape>> = HashMap::default();
    let mut of_grant = |grant: &'g Grant| {
        let mut references = References::default();
        for (cohort, services) in &grant.references {
            let Some(class) = classes.of(*cohort) else { continue };
            let shapes = known.entry(services);
            references.name(class, shapes.or_insert_with(|| services.maximal_shapes_of_both()));
        }
        references
    };
    meaning.grants.iter().map(|grant| of_grant(grant)).collect()
}

// ------------------------------------------------------------------------------------------------- slots

/// How many groups each class's interfaces wear besides the class's own.
struct Slots {
    kept: Vec<usize>,
    memberships: BTreeSet<BTreeSet<ClassId>>,
    quota: usize,
}

impl Slots {
    fn new(meaning: &Meaning<'_>, classes: &Classes) -> Self {
        let kept = |class: &Class| {
            let standing = class.cohorts.iter().filter_map(|id| classes.standing(*id));
            standing.map(|standing| standing.kept.len()).max().unwrap_or(0)
        };
        Self {
            kept: classes.list.iter().map(kept).collect(),
            memberships: BTreeSet::new(),
            quota: meaning.settings.quotas.groups_per_interface,
        }
    }

    fn used(&self, id: ClassId) -> usize {
        self.kept.get(id).copied().unwrap_or(0)
    }

    /// Takes a slot of every member, if each has one to spare next to a group of its own.
    fn take(&mut self, members: &BTreeSet<ClassId>) -> bool {
        if self.memberships.contains(members) {
            return true;
        }
        if members.iter().any(|id| self.used(*id) + 2 > self.quota) {
            return false;
        }
        for id in members {
            if let Some(used) = self.kept.get_mut(*id) {
                *used += 1;
            }
        }
        self.memberships.insert(members.clone())
    }
}

/// Lets membership groups name the largest peer sets until the rules fit one group, as far as those members can `take` one more.
pub(crate) fn compress(
    prefixes: usize,
    references: &mut References,
    quotas: Quotas,
    mut take: impl FnMut(&BTreeSet<ClassId>) -> bool,
) {
    while prefixes + references.count() > quotas.rules_per_group {
        let direct = references.0.values_mut().filter(|(set, by)| !by && set.len() > 1);
        let mut by_size: Vec<_> = direct.collect();
        by_size.sort_by_key(|(classes, _)| std::cmp::Reverse(classes.len()));
        let Some((_, by_membership)) = by_size.into_iter().find(|(classes, _)| take(classes))
        else {
            return;
        };
        *by_membership = true;
    }
}

/// How many lines there are in each direction.
fn by_direction<'l>(groups: impl Iterator<Item = &'l Lines>) -> ByDirection<usize> {
    let directions: Vec<Direction> = groups.flatten().map(|(direction, _)| *direction).collect();
    Direction::BOTH.map(|direction| directions.iter().filter(|it| **it == direction).count())
}

/// Spreads lines over as few groups as the quota allows: for each direction and family no more rules than it says, a
/// rule that names a group counting in both families. The directions do not mind each other.
pub(crate) fn spread(lines: Lines, quotas: Quotas) -> Vec<Lines> {
    let mut groups: Vec<Lines> = Vec::new();
    let mut room: Vec<BTreeMap<(Direction, Family), usize>> = Vec::new();
    let mut first: BTreeMap<(Direction, Option<Family>), usize> = BTreeMap::new();
    for (direction, line) in lines {
        let one = match &line.peer {
            LinePeer::Prefix(prefix) | LinePeer::Copied(Peer::Prefix(prefix)) => {
                Some(prefix.family())
            }
            LinePeer::Class(_) | LinePeer::Members(_) | LinePeer::Copied(Peer::Group(_)) => None,
        };
        let families =
            Family::BOTH.into_iter().filter(|family| one.is_none_or(|one| one == *family));
        let families: Vec<Family> = families.collect();
        let start = first.entry((direction, one)).or_default();
        let fits = |room: &BTreeMap<(Direction, Family), usize>| {
            families.iter().all(|family| {
                room.get(&(direction, *family)).copied().unwrap_or(0) < quotas.rules_per_group
            })
        };
        while room.get(*start).is_some_and(|room| !fits(room)) {
            *start += 1;
        }
        if *start >= groups.len() {
            groups.push(Vec::new());
            room.push(BTreeMap::new());
        }
        if let (Some(group), Some(room)) = (groups.get_mut(*start), room.get_mut(*start)) {
            group.push((direction, line));
            for family in families {
                *room.entry((direction, family)).or_default() += 1;
            }
        }
    }
    groups
}
