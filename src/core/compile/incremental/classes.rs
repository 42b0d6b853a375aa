//! Grants and classes as they come and go: what rules say for each cohort, what rules of others give it, and with whom it is one
//! class. A class lasts while the pods in it do, whatever its rules become.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::index::Index;
use super::slab::Slab;
use super::world::Found;
use crate::compile::HashMap;
use crate::compile::class::ClassId;
use crate::compile::cohort::CohortId;
use crate::compile::grant::Grant;
use crate::compile::meaning::ByDirection;
use crate::compile::shared::Shared;
use crate::firewall::{ForeignGroupId, Rule};
use crate::net::ServiceSet;

/// The place of a grant; equal grants have the same place.
pub(super) type GrantId = usize;

/// What makes cohorts one class: their grants, what others give them by name, and the rules that are copied.
type Key = (ByDirection<Option<GrantId>>, Vec<(GrantId, Shared<ServiceSet>)>, Arc<BTreeSet<Rule>>);

/// A cohort with what was found for it.
#[derive(Debug, Default)]
pub(super) struct Member {
    grants: ByDirection<Option<GrantId>>,
    /// The groups of others that stay on it.
    pub(super) kept: BTreeSet<ForeignGroupId>,
    copied: Arc<BTreeSet<Rule>>,
    programmable: bool,
    /// What the rules of each grant give it by naming it.
    role: BTreeMap<GrantId, Shared<ServiceSet>>,
    pub(super) class: Option<ClassId>,
}

/// A grant, and who has it.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) grant: Arc<Grant>,
    users: usize,
    pub(super) classes: BTreeSet<ClassId>,
}

/// A class.
#[derive(Debug)]
pub(super) struct Class {
    key: Arc<Key>,
    pub(super) cohorts: BTreeSet<CohortId>,
}

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Classes {
    members: HashMap<CohortId, Member>,
    grants: Slab<Given>,
    by_grant: HashMap<Arc<Grant>, GrantId>,
    classes: Slab<Class>,
    by_key: HashMap<Arc<Key>, ClassId>,
    /// Grants from which addresses were taken out: what references must say depends on all pods.
    carved: usize,
}

/// What an update leaves to do.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Grants of which some reference is to be made anew.
    pub(super) grants: BTreeSet<GrantId>,
    /// Grants that nobody has any more.
    pub(super) fallen: Vec<GrantId>,
    /// Classes whose rules, or their reasons, are to be made anew.
    pub(super) classes: BTreeSet<ClassId>,
    /// Classes that are not there any more.
    pub(super) emptied: Vec<ClassId>,
    /// Cohorts that may wear other groups.
    pub(super) cohorts: BTreeSet<CohortId>,
}

impl Class {
    pub(super) fn grants(&self) -> ByDirection<Option<GrantId>> {
        self.key.0
    }

    pub(super) fn copied(&self) -> &BTreeSet<Rule> {
        &self.key.2
    }
}

impl Member {
    /// What makes it one class with others; none if no policy touches it, or it cannot be programmed.
    fn key(&self) -> Option<Key> {
        let touched = self.grants.iter().any(Option::is_some) || !self.role.is_empty();
        let role = || self.role.iter().map(|(id, services)| (*id, services.clone())).collect();
        (self.programmable && touched).then(|| (self.grants, role(), self.copied.clone()))
    }
}

impl Classes {
    pub(super) fn member(&self, id: CohortId) -> Option<&Member> {
        self.members.get(&id)
    }

    pub(super) fn class(&self, id: ClassId) -> Option<&Class> {
        self.classes.get(id)
    }

    pub(super) fn given(&self, id: GrantId) -> Option<&Given> {
        self.grants.get(id)
    }

    /// Every grant that somebody has.
    pub(super) fn grants(&self) -> impl Iterator<Item = GrantId> + '_ {
        self.grants.iter().map(|(id, _)| id)
    }

    /// Whether what is found for a cohort depends on all others.
    pub(super) const fn are_carved(&self) -> bool {
        self.carved > 0
    }

    /// Takes note of what was found, and of cohorts that are not there any more.
    pub(super) fn update(&mut self, index: &Index, dead: &[CohortId], found: Found) -> Moved {
        let mut moved = Moved::default();
        let (mut fresh, mut left, mut changed) = (Vec::new(), Vec::new(), BTreeSet::new());
        let ids: Vec<GrantId> =
            found.grants.into_iter().map(|grant| self.intern(grant, &mut fresh)).collect();
        for (id, grants, standing) in found.owners {
            let grants = grants.map(|grant| ids.get(grant?).copied());
            for grant in grants.iter().flatten() {
                if let Some(given) = self.grants.get_mut(*grant) {
                    given.users += 1;
                }
            }
            let member = self.members.entry(id).or_default();
            left.extend(std::mem::replace(&mut member.grants, grants).into_iter().flatten());
            member.programmable = index.cohort(id).is_some_and(|it| it.alike.programmable());
            if std::mem::replace(&mut member.kept, standing.kept) != member.kept {
                moved.cohorts.insert(id);
            }
            member.copied = standing.copied;
            changed.insert(id);
        }
        let owners = changed.clone();
        for id in dead {
            let Some(member) = self.members.get_mut(id) else { continue };
            left.extend(std::mem::take(&mut member.grants).into_iter().flatten());
            member.programmable = false;
            changed.insert(*id);
        }
        for grant in &left {
            if let Some(given) = self.grants.get_mut(*grant) {
                given.users -= 1;
            }
        }
        left.sort_unstable();
        left.dedup();
        left.retain(|id| self.grants.get(*id).is_some_and(|given| given.users == 0));
        self.rename(&fresh, &left, &mut changed);
        moved.grants.extend(fresh);
        self.regroup(&changed, &mut moved);
        for id in dead {
            self.members.remove(id);
        }
        moved.classes.extend(owners.iter().filter_map(|id| self.members.get(id)?.class));
        for grant in &left {
            if let Some(given) = self.grants.remove(*grant) {
                self.carved -= usize::from(!given.grant.carved.is_empty());
                self.by_grant.remove(&given.grant);
            }
            moved.grants.remove(grant);
        }
        moved.fallen = left;
        moved.classes.retain(|id| self.classes.get(*id).is_some());
        moved
    }

    fn intern(&mut self, grant: Grant, fresh: &mut Vec<GrantId>) -> GrantId {
        if let Some(known) = self.by_grant.get(&grant) {
            return *known;
        }
        let grant = Arc::new(grant);
        self.carved += usize::from(!grant.carved.is_empty());
        let given = Given { grant: grant.clone(), users: 0, classes: BTreeSet::new() };
        let id = self.grants.insert(given);
        self.by_grant.insert(grant, id);
        fresh.push(id);
        id
    }

    /// Tells cohorts that a grant names them, or does no longer.
    fn rename(&mut self, fresh: &[GrantId], left: &[GrantId], changed: &mut BTreeSet<CohortId>) {
        for (ids, comes) in [(fresh, true), (left, false)] {
            for id in ids {
                let Some(given) = self.grants.get(*id) else { continue };
                for (cohort, services) in &given.grant.references {
                    let Some(member) = self.members.get_mut(cohort) else { continue };
                    if comes {
                        member.role.insert(*id, services.clone());
                    } else {
                        member.role.remove(id);
                    }
                    changed.insert(*cohort);
                }
            }
        }
    }

    /// Finds the classes of cohorts anew. A class that all have left is taken over by the first of them that founds one.
    fn regroup(&mut self, changed: &BTreeSet<CohortId>, moved: &mut Moved) {
        let mut homeless = Vec::new();
        let mut emptied = BTreeSet::new();
        for id in changed {
            let Some(member) = self.members.get_mut(id) else { continue };
            let key = member.key();
            let old = member.class.and_then(|class| self.classes.get(class));
            if key.as_ref() == old.map(|class| &*class.key) {
                continue;
            }
            let old = member.class.take();
            if let Some((place, class)) = old.and_then(|it| Some((it, self.classes.get_mut(it)?))) {
                class.cohorts.remove(id);
                if class.cohorts.is_empty() {
                    emptied.insert(place);
                }
            }
            homeless.push((*id, old, key));
        }
        for (id, old, key) in homeless {
            let class = key.map(|key| {
                let key = Arc::new(key);
                match self.by_key.get(&key) {
                    Some(known) => *known,
                    None => self.found(key, old.filter(|old| emptied.contains(old))),
                }
            });
            if let Some(class) = class {
                emptied.remove(&class);
                if let Some(class) = self.classes.get_mut(class) {
                    class.cohorts.insert(id);
                }
            }
            // Those who stay in the old class are named by others, whose reasons may change.
            for class in [class, old].into_iter().flatten() {
                moved.classes.insert(class);
                let members = self.classes.get(class).and_then(|it| it.cohorts.first());
                let member = members.and_then(|id| self.members.get(id));
                moved.grants.extend(member.iter().flat_map(|member| member.role.keys()));
            }
            moved.cohorts.insert(id);
            if let Some(member) = self.members.get_mut(&id) {
                member.class = class;
            }
        }
        for id in &emptied {
            if let Some(class) = self.classes.remove(*id) {
                self.disown(*id, &class.key);
            }
        }
        moved.emptied = emptied.into_iter().collect();
    }

    /// Founds a class, in the place of one that all have left.
    fn found(&mut self, key: Arc<Key>, old: Option<ClassId>) -> ClassId {
        let class = Class { key: key.clone(), cohorts: BTreeSet::new() };
        let id = match old.and_then(|old| Some((old, self.classes.get_mut(old)?))) {
            Some((id, slot)) => {
                let before = std::mem::replace(slot, class);
                self.disown(id, &before.key);
                id
            }
            None => self.classes.insert(class),
        };
        for grant in key.0.iter().flatten() {
            if let Some(given) = self.grants.get_mut(*grant) {
                given.classes.insert(id);
            }
        }
        self.by_key.insert(key, id);
        id
    }

    fn disown(&mut self, id: ClassId, key: &Arc<Key>) {
        self.by_key.remove(key);
        for grant in key.0.iter().flatten() {
            if let Some(given) = self.grants.get_mut(*grant) {
                given.classes.remove(&id);
            }
        }
    }
}
