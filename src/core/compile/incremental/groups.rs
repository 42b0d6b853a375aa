//! The groups of classes: numbers that last, and rules that are made anew where a class moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::classes::{Classes, GrantId, Moved};
use super::index::Index;
use crate::compile::HashMap;
use crate::compile::class::ClassId;
use crate::compile::effective::ByAddress;
use crate::compile::layout::{
    Line, LinePeer, Lines, References, compress, copied_line, prefix_lines, spread,
};
use crate::compile::shared::Shared;
use crate::firewall::{GroupKey, GroupNumber, Peer, Rule};
use crate::net::{ServiceSet, Shape};
use crate::policy::{Direction, Word};
use crate::settings::{Quotas, Settings};

/// A set of classes that a membership group names.
type Members = BTreeSet<ClassId>;

/// A membership group.
#[derive(Clone, Copy, Debug, Default)]
struct Membership {
    number: Option<GroupNumber>,
    /// How often it is named.
    uses: usize,
}

/// Groups and who wears them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The groups of each class; the first one is its identity.
    own: HashMap<ClassId, Vec<GroupNumber>>,
    references: HashMap<GrantId, References>,
    memberships: BTreeMap<Members, Membership>,
    /// The membership groups that each class wears.
    joined: HashMap<ClassId, BTreeSet<GroupNumber>>,
    /// Classes that may not fit their interfaces.
    short: BTreeSet<ClassId>,
    /// The namespaces of each class, and how many groups it wears.
    charged: HashMap<ClassId, (BTreeSet<Word>, usize)>,
    /// How many groups the classes of each namespace wear, one that several classes wear counted for each: no less than what
    /// its pods wear.
    by_namespace: HashMap<Word, usize>,
    free: BTreeSet<GroupNumber>,
    /// How many numbers were ever given.
    given: usize,
    covers: HashMap<Shared<ByAddress>, Arc<[Line]>>,
    shapes: HashMap<Shared<ServiceSet>, Vec<Shape>>,
}

/// The groups of a class with the lines of each.
pub(super) type Made = Vec<(ClassId, Vec<(GroupNumber, Lines)>)>;

impl Groups {
    /// Lays out what moved: the groups that are there with their lines, and those that are not there any more.
    pub(super) fn lay_out(
        &mut self,
        index: &Index,
        classes: &Classes,
        quotas: Quotas,
        moved: &mut Moved,
    ) -> (Made, BTreeSet<GroupNumber>) {
        let mut gone = BTreeSet::new();
        self.refer(classes, quotas, moved, &mut gone);
        for class in &moved.emptied {
            gone.extend(self.own.remove(class).into_iter().flatten());
            self.joined.remove(class);
            self.short.remove(class);
            self.discharge(*class);
        }
        self.free.extend(&gone);
        let mut made = Made::new();
        for id in &moved.classes {
            let Some(class) = classes.class(*id) else { continue };
            let mut lines = Lines::new();
            for (direction, grant) in Direction::BOTH.into_iter().zip(class.grants()) {
                let Some((id, given)) = grant.and_then(|id| Some((id, classes.given(id)?))) else {
                    continue;
                };
                let named = self.references.get(&id).into_iter().flat_map(References::lines);
                lines.extend(named.map(|line| (direction, line)));
                let prefixes = self.prefixes(&given.grant.addresses);
                lines.extend(prefixes.iter().map(|line| (direction, line.clone())));
            }
            lines.extend(class.copied().iter().map(copied_line));
            let mut shards = spread(lines, quotas);
            shards.resize_with(shards.len().max(1), Lines::new);
            let cohorts = class.cohorts.iter().filter_map(|id| classes.member(*id));
            let kept = cohorts.map(|member| member.kept.len()).max().unwrap_or(0);
            let joined = self.joined.get(id).map_or(0, BTreeSet::len);
            let free = quotas.groups_per_interface.saturating_sub(kept + joined);
            if shards.len() > free {
                self.short.insert(*id);
            } else {
                self.short.remove(id);
            }
            let namespaces = class.cohorts.iter().filter_map(|id| index.cohort(*id));
            let namespaces = namespaces.map(|cohort| cohort.alike.namespace.clone()).collect();
            self.charge(*id, namespaces, shards.len() + joined);
            let mut numbers = self.own.remove(id).unwrap_or_default();
            if numbers.len() != shards.len() {
                moved.cohorts.extend(&class.cohorts);
            }
            while numbers.len() > shards.len() {
                let number = numbers.pop();
                self.free.extend(number);
                gone.extend(number);
            }
            while numbers.len() < shards.len() {
                numbers.push(self.number(&mut gone));
            }
            made.push((*id, numbers.iter().copied().zip(shards).collect()));
            self.own.insert(*id, numbers);
        }
        (made, gone)
    }

    /// Lets the namespaces of a class wear so many groups, in place of those that they wore for it.
    fn charge(&mut self, class: ClassId, namespaces: BTreeSet<Word>, groups: usize) {
        self.discharge(class);
        for namespace in &namespaces {
            *self.by_namespace.entry(namespace.clone()).or_default() += groups;
        }
        self.charged.insert(class, (namespaces, groups));
    }

    fn discharge(&mut self, class: ClassId) {
        let (namespaces, groups) = self.charged.remove(&class).unwrap_or_default();
        for namespace in namespaces {
            if let Some(worn) = self.by_namespace.get_mut(&namespace) {
                *worn -= groups;
            }
        }
    }

    /// Makes references anew, and the membership groups that they name.
    fn refer(
        &mut self,
        classes: &Classes,
        quotas: Quotas,
        moved: &mut Moved,
        gone: &mut BTreeSet<GroupNumber>,
    ) {
        let mut concerned: BTreeSet<Members> = BTreeSet::new();
        for id in moved.fallen.iter().chain(&moved.grants) {
            let old = self.references.remove(id).unwrap_or_default();
            for members in old.memberships() {
                self.memberships.entry(members.clone()).or_default().uses -= 1;
                concerned.insert(members.clone());
            }
        }
        for id in &moved.grants {
            let Some(given) = classes.given(*id) else { continue };
            let mut references = References::default();
            for (cohort, services) in &given.grant.references {
                let Some(class) = classes.member(*cohort).and_then(|it| it.class) else { continue };
                let shapes = self.shapes.entry(services.clone());
                references.name(class, shapes.or_insert_with(|| services.maximal_shapes_of_both()));
            }
            let prefixes = self.prefixes(&given.grant.addresses).len();
            compress(prefixes, &mut references, quotas, |_| true);
            for members in references.memberships() {
                self.memberships.entry(members.clone()).or_default().uses += 1;
                concerned.insert(members.clone());
            }
            self.references.insert(*id, references);
            moved.classes.extend(&given.classes);
        }
        self.join(concerned, classes, moved, gone);
    }

    /// Lets classes wear the membership groups that name them. A group that is not named any more serves the next set.
    fn join(
        &mut self,
        concerned: BTreeSet<Members>,
        classes: &Classes,
        moved: &mut Moved,
        gone: &mut BTreeSet<GroupNumber>,
    ) {
        let (mut left, mut new) = (Vec::new(), Vec::new());
        for members in concerned {
            match self.memberships.get(&members) {
                Some(Membership { uses: 0, .. }) => {
                    let old = self.memberships.remove(&members);
                    left.extend(old.and_then(|it| Some((it.number?, members))));
                }
                Some(Membership { number: None, .. }) => new.push(members),
                Some(Membership { number: Some(_), .. }) | None => {}
            }
        }
        for (number, members) in &left {
            for class in members {
                if let Some(joined) = self.joined.get_mut(class) {
                    joined.remove(number);
                }
                self.restyle(*class, classes, moved);
            }
        }
        let mut left: Vec<GroupNumber> = left.into_iter().map(|(number, _)| number).collect();
        for members in new {
            let number = left.pop().unwrap_or_else(|| self.number(gone));
            for class in &members {
                self.joined.entry(*class).or_default().insert(number);
                self.restyle(*class, classes, moved);
            }
            if let Some(membership) = self.memberships.get_mut(&members) {
                membership.number = Some(number);
            }
        }
        gone.extend(left);
    }

    fn restyle(&self, class: ClassId, classes: &Classes, moved: &mut Moved) {
        if let Some(of) = classes.class(class) {
            moved.cohorts.extend(&of.cohorts);
            moved.classes.insert(class);
        }
    }

    fn prefixes(&mut self, addresses: &Shared<ByAddress>) -> Arc<[Line]> {
        self.covers.entry(addresses.clone()).or_insert_with(|| prefix_lines(addresses)).clone()
    }

    fn number(&mut self, gone: &mut BTreeSet<GroupNumber>) -> GroupNumber {
        let number = self.free.pop_first().unwrap_or_else(|| {
            self.given += 1;
            GroupNumber::nth(self.given - 1)
        });
        gone.remove(&number);
        number
    }

    /// The groups of ours that a class wears.
    pub(super) fn worn(&self, class: ClassId) -> impl Iterator<Item = GroupNumber> + '_ {
        let own = self.own.get(&class).into_iter().flatten();
        own.chain(self.joined.get(&class).into_iter().flatten()).copied()
    }

    /// The membership groups.
    pub(super) fn memberships(&self) -> impl Iterator<Item = GroupNumber> + '_ {
        self.memberships.values().filter_map(|membership| membership.number)
    }

    /// The rule that a line becomes.
    pub(super) fn rule(&self, direction: Direction, line: &Line) -> Option<Rule> {
        let ours = |number: &GroupNumber| Peer::Group(GroupKey::Ours(*number));
        let peer = match &line.peer {
            LinePeer::Prefix(prefix) => Peer::Prefix(*prefix),
            LinePeer::Copied(peer) => peer.clone(),
            LinePeer::Class(id) => ours(self.own.get(id)?.first()?),
            LinePeer::Members(members) => ours(self.memberships.get(members)?.number.as_ref()?),
        };
        Some(Rule { direction, peer, shape: line.shape })
    }

    /// Forgets what can be computed anew.
    pub(super) fn forget(&mut self) {
        self.covers.clear();
        self.shapes.clear();
    }

    /// Whether the quotas are short, so that what one class gets depends on the others.
    pub(super) fn are_short(&self, settings: &Settings) -> bool {
        !self.short.is_empty()
            || self.given - self.free.len() > settings.quotas_of_classes().groups
            || settings
                .groups_per_namespace
                .is_some_and(|budget| self.by_namespace.values().any(|worn| *worn > budget.get()))
    }
}
