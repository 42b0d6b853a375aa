//! Classes: cohorts that no policy can tell apart (DESIGN §6.1), with the groups of others that stay on them.
//!
//! Two cohorts are one class if the same rules suit both and every rule of anyone else treats both alike. What their
//! labels or policies are called does not matter.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::HashMap;
use super::cohort::{Carrier, Cohort, CohortId, Families, has};
use super::grant::Grant;
use super::meaning::{ByDirection, GrantId, Meaning};
use super::shared::Shared;
use crate::firewall::{ForeignGroupId, Peer, Rule};
use crate::inventory::PodIndex;
use crate::net::{AddressSet, ServiceSet};
use crate::policy::Direction;

/// The place of a class in [`Classes::list`].
pub(crate) type ClassId = usize;

/// Programmable pods that no policy can tell apart.
#[derive(Debug)]
pub(crate) struct Class {
    /// The cohorts, sorted.
    pub(crate) cohorts: Vec<CohortId>,
    /// What its rules say; none in a direction that no policy governs.
    pub(crate) grants: ByDirection<Option<GrantId>>,
    /// The rules of prior groups that go, in directions that no policy governs.
    pub(crate) copied: Arc<BTreeSet<Rule>>,
    /// Whether rules of others name it.
    pub(crate) named: bool,
}

/// The groups of others on a cohort: which stay, and what is copied from those that go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// They stay.
    pub(crate) kept: BTreeSet<ForeignGroupId>,
    /// They go.
    pub(crate) gone: BTreeSet<ForeignGroupId>,
    /// The rules of those that go, in directions that no policy governs.
    pub(crate) copied: Arc<BTreeSet<Rule>>,
}

/// Every class.
#[derive(Debug)]
pub(crate) struct Classes {
    /// In the order of their first cohorts.
    pub(crate) list: Vec<Class>,
    /// The class of each cohort; none for cohorts that no policy touches, or that cannot be programmed.
    pub(crate) of: Vec<Option<ClassId>>,
    /// What becomes of each cohort's prior groups.
    pub(crate) standing: Vec<Standing>,
}

impl Classes {
    /// Finds the classes.
    pub(crate) fn new(meaning: &Meaning<'_>) -> Self {
        let roles = roles(meaning);
        let mut classes = Self { list: Vec::new(), of: Vec::new(), standing: Vec::new() };
        let mut known: HashMap<_, ClassId> = HashMap::default();
        let mut copies: BTreeSet<Arc<BTreeSet<Rule>>> = BTreeSet::new();
        for (((id, cohort), grants), role) in
            meaning.cohorts.iter().zip(&meaning.granted).zip(roles)
        {
            let mut standing = Standing::new(meaning, cohort, *grants);
            standing.copied = match copies.get(&standing.copied) {
                Some(copied) => copied.clone(),
                None => standing.copied,
            };
            copies.insert(standing.copied.clone());
            let touched = grants.iter().any(Option::is_some) || !role.is_empty();
            let class = (cohort.programmable() && touched).then(|| {
                let named = !role.is_empty();
                let copied = standing.copied.clone();
                *known.entry((*grants, role, copied.clone())).or_insert_with(|| {
                    classes.list.push(Class {
                        cohorts: Vec::new(),
                        grants: *grants,
                        copied,
                        named,
                    });
                    classes.list.len() - 1
                })
            });
            if let Some(class) = class.and_then(|class| classes.list.get_mut(class)) {
                class.cohorts.push(id);
            }
            classes.of.push(class);
            classes.standing.push(standing);
        }
        classes
    }

    /// The class of a cohort.
    pub(crate) fn of(&self, id: CohortId) -> Option<ClassId> {
        *self.of.get(id as usize)?
    }

    /// The cohorts of a class.
    pub(crate) fn cohorts(&self, id: ClassId) -> impl Iterator<Item = CohortId> + '_ {
        self.list.get(id).into_iter().flat_map(|class| class.cohorts.iter().copied())
    }

    /// What becomes of a cohort's prior groups.
    pub(crate) fn standing(&self, id: CohortId) -> Option<&Standing> {
        self.standing.get(id as usize)
    }
}

impl Class {
    /// What its rules say in a direction; none where no policy governs it.
    pub(crate) fn grant<'m>(
        &self,
        meaning: &'m Meaning<'_>,
        direction: Direction,
    ) -> Option<&'m Grant> {
        let grant = meaning.grants.get(grant_of(&self.grants, direction)?)?;
        Some(grant)
    }

    /// The pods of a class.
    pub(crate) fn pods<'m>(
        &'m self,
        meaning: &'m Meaning<'_>,
    ) -> impl Iterator<Item = PodIndex> + 'm {
        let cohorts = self.cohorts.iter().filter_map(|id| meaning.cohorts.get(*id));
        cohorts.flat_map(|cohort| cohort.pods.iter().copied())
    }
}

/// For each cohort, what the rules of each grant give it by naming it.
fn roles(meaning: &Meaning<'_>) -> Vec<Vec<(GrantId, usize)>> {
    let mut services: HashMap<&Shared<ServiceSet>, usize> = HashMap::default();
    let mut roles = vec![Vec::new(); meaning.cohorts.list.len()];
    for (grant_id, grant) in meaning.grants.iter().enumerate() {
        for (cohort, given) in &grant.references {
            let next = services.len();
            let given = *services.entry(given).or_insert(next);
            if let Some(role) = roles.get_mut(*cohort as usize) {
                role.push((grant_id, given));
            }
        }
    }
    roles
}

// ---------------------------------------------------------------------------------------------- Standing

impl Standing {
    /// Decides which prior groups stay: those that `keepGroups` lists, and, as far as there is room, those that allow
    /// nothing that the pod is not allowed. Where no policy governs a direction, everything is allowed.
    pub(crate) fn new(
        meaning: &Meaning<'_>,
        cohort: &Cohort,
        grants: ByDirection<Option<GrantId>>,
    ) -> Self {
        let Carrier::Programmable(prior) = &cohort.carrier else { return Self::default() };
        if grants == [None, None] {
            return Self { kept: prior.iter().cloned().collect(), ..Self::default() };
        }
        let allowed = grants.map(|grant| meaning.grants.get(grant?));
        let settings = meaning.settings;
        let listed = |id: &&ForeignGroupId| settings.keep_groups.contains(id);
        let room = settings.quotas.groups_per_interface.saturating_sub(1);
        let mut kept: BTreeSet<_> = prior.iter().filter(listed).take(room).cloned().collect();
        for id in prior.iter() {
            let rules = meaning.inventory.foreign.get(id);
            let fits = rules.is_some_and(|rules| {
                rules.iter().all(|rule| lies_inside(rule, &allowed, cohort.families))
            });
            if fits && kept.len() < room {
                kept.insert(id.clone());
            }
        }
        let gone: BTreeSet<_> = prior.difference(&kept).cloned().collect();
        let rules = gone.iter().filter_map(|id| meaning.inventory.foreign.get(id)).flatten();
        let ungoverned = |rule: &&Rule| grant_of(&allowed, rule.direction).is_none();
        let copied = Arc::new(rules.filter(ungoverned).cloned().collect());
        Self { kept, gone, copied }
    }
}

fn grant_of<T: Copy>(both: &ByDirection<Option<T>>, direction: Direction) -> Option<T> {
    let [ingress, egress] = both;
    match direction {
        Direction::Ingress => *ingress,
        Direction::Egress => *egress,
    }
}

/// Whether the prefix rules of a pod let through everything that a rule does.
fn lies_inside(
    rule: &Rule,
    allowed: &ByDirection<Option<&std::rc::Rc<Grant>>>,
    families: Families,
) -> bool {
    let Some(grant) = grant_of(allowed, rule.direction) else { return true };
    let services = rule.shape.services();
    match &rule.peer {
        Peer::Group(_) => grant.addresses.everywhere(&services, families),
        Peer::Prefix(prefix) => {
            let family = prefix.family();
            let wanted = services.within(family);
            let here = |here: &ServiceSet| here.contains_all(&wanted);
            !has(families, family)
                || grant.addresses.addresses_where(here).contains_all(&AddressSet::from(*prefix))
        }
    }
}

/// The groups of others that each cohort's interfaces wear in the end.
pub(crate) fn worn_foreign<'c>(
    classes: &'c Classes,
    cohort: &'c Cohort,
    id: CohortId,
) -> &'c BTreeSet<ForeignGroupId> {
    static NONE: BTreeSet<ForeignGroupId> = BTreeSet::new();
    match &cohort.carrier {
        Carrier::Programmable(_) => classes.standing(id).map_or(&NONE, |standing| &standing.kept),
        Carrier::Untouchable(_, prior) => prior,
        Carrier::Unknown => &NONE,
    }
}
