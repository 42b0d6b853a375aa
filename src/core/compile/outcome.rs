//! What the cloud lets through at one end, once the groups are there: ours and those of others that stay.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::HashMap;
use super::class::{Classes, worn_foreign};
use super::cohort::{Carrier, Cohort, CohortId};
use super::effective::ByAddress;
use super::grant::Grant;
use super::meaning::{GrantId, Meaning};
use super::shared::Shared;
use crate::firewall::{ForeignGroupId, GroupKey, Peer};
use crate::net::{AddressSet, Family, Prefix, ServiceSet};
use crate::policy::Direction;

/// What passes at one end.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// By prefix rules alone.
    by_prefix: Arc<ByAddress>,
    /// Our references.
    grant: Option<Rc<Grant>>,
    /// References to groups of others.
    foreign: Vec<(ForeignGroupId, ServiceSet)>,
    /// What never passes, whatever groups say: a network ACL, or the other end, closes it.
    closed: Option<Shared<ByAddress>>,
    /// Whether pods get exactly what the owner's policies ask for them.
    pub(crate) exact: bool,
}

/// What outcomes depend on; the last is what never passes.
type Key = (Option<GrantId>, BTreeSet<ForeignGroupId>, Direction, Option<Shared<ByAddress>>);

/// Outcomes, each computed once.
#[derive(Debug)]
pub(crate) struct Outcomes<'m, 'a> {
    meaning: &'m Meaning<'a>,
    classes: &'m Classes,
    platform: AddressSet,
    platform_prefixes: Vec<Prefix>,
    known: HashMap<Key, Rc<Outcome>>,
    open: Rc<Outcome>,
    /// What passes at the ends of pods that no group filters, behind network ACLs of ours.
    unknown: HashMap<Shared<ByAddress>, Rc<Outcome>>,
    /// Whether no pod gave up being named.
    all_named: bool,
}

impl<'m, 'a> Outcomes<'m, 'a> {
    /// The outcomes of these classes.
    pub(crate) fn new(meaning: &'m Meaning<'a>, classes: &'m Classes) -> Self {
        let everything = ByAddress::on(&AddressSet::full(), &ServiceSet::all());
        let open = Rc::new(Outcome {
            by_prefix: Arc::new(everything),
            grant: None,
            foreign: Vec::new(),
            closed: None,
            exact: true,
        });
        let platform = crate::firewall::never_filtered(&meaning.inventory.vpc);
        let all_named = meaning.cohorts.iter().all(|(_, cohort)| !cohort.concession.nameless);
        let platform_prefixes = platform.prefixes();
        Self {
            meaning,
            classes,
            platform,
            platform_prefixes,
            known: HashMap::default(),
            open,
            unknown: HashMap::default(),
            all_named,
        }
    }

    /// The addresses that no group filters.
    pub(crate) const fn platform(&self) -> &AddressSet {
        &self.platform
    }

    /// The same addresses, one by one.
    pub(crate) fn platform_prefixes(&self) -> &[Prefix] {
        &self.platform_prefixes
    }

    /// What passes at the end of a cohort's pods.
    pub(crate) fn of(
        &mut self,
        id: CohortId,
        cohort: &Cohort,
        direction: Direction,
    ) -> Rc<Outcome> {
        let grant = self.meaning.granted(id, direction).map(|(grant, _)| grant);
        let closed = self.meaning.guards.closed(id, direction).cloned();
        let foreign = match (&cohort.carrier, grant) {
            (Carrier::Unknown, _) => {
                let Some(closed) = closed else { return self.open.clone() };
                let open = || Outcome {
                    closed: Some(closed.clone()),
                    exact: false,
                    ..(*self.open).clone()
                };
                return self.unknown.entry(closed.clone()).or_insert_with(|| open().into()).clone();
            }
            (Carrier::Programmable(_), Some(_)) => worn_foreign(self.classes, cohort, id),
            (Carrier::Programmable(prior), None) | (Carrier::Untouchable(_, prior), _) => prior,
        };
        let key = (grant, foreign.clone(), direction, closed.clone());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let outcome = Rc::new(Outcome { closed, ..self.compute(grant, foreign, direction) });
        self.known.insert(key, outcome.clone());
        outcome
    }

    fn compute(
        &self,
        grant: Option<GrantId>,
        groups: &BTreeSet<ForeignGroupId>,
        direction: Direction,
    ) -> Outcome {
        let grant = grant.and_then(|grant| self.meaning.grants.get(grant)).cloned();
        let mut by_prefix = match &grant {
            Some(grant) => grant.addresses.clone().into(),
            None => Arc::new(ByAddress::nothing()),
        };
        let mut foreign = Vec::new();
        let rules = groups.iter().filter_map(|group| self.meaning.inventory.foreign.get(group));
        for rule in rules.flatten().filter(|rule| rule.direction == direction) {
            let services = rule.shape.services();
            match &rule.peer {
                Peer::Prefix(prefix) => {
                    let here = ByAddress::on(&AddressSet::from(*prefix), &services);
                    by_prefix = Arc::new(by_prefix.join(&here, ServiceSet::union));
                }
                Peer::Group(GroupKey::Foreign(group)) => foreign.push((group.clone(), services)),
                Peer::Group(GroupKey::Ours(_)) => {}
            }
        }
        let exact = self.all_named
            && match &grant {
                Some(grant) => grant.exact && groups.is_empty(),
                None => by_prefix == self.open.by_prefix,
            };
        Outcome { by_prefix, grant, foreign, closed: None, exact }
    }

    /// What passes between the owner of an outcome and addresses that no pod bears.
    pub(crate) fn by_address(&self, outcome: &Outcome) -> ByAddress {
        let platform = ByAddress::on(&self.platform, &ServiceSet::all());
        match &outcome.closed {
            None => outcome.by_prefix.join(&platform, ServiceSet::union),
            Some(closed) => {
                let left = outcome.by_prefix.join(closed, ServiceSet::difference);
                left.join(&platform, ServiceSet::union)
            }
        }
    }

    /// What passes between the owner of an outcome and a pod of a cohort at an address.
    pub(crate) fn at(
        &self,
        outcome: &Outcome,
        id: CohortId,
        cohort: &Cohort,
        address: std::net::IpAddr,
    ) -> ServiceSet {
        let mut services = outcome.by_prefix.at(address).clone();
        let worn = worn_foreign(self.classes, cohort, id);
        let ours = outcome.grant.as_ref().and_then(|grant| grant.reference(id));
        let foreign = outcome.foreign.iter().filter(|(group, _)| worn.contains(group));
        for more in ours.into_iter().chain(foreign.map(|(_, services)| services)) {
            services = services.union(&more.clone().within(Family::of(address)));
        }
        match &outcome.closed {
            None => services,
            Some(closed) => services.difference(closed.at(address)),
        }
    }
}
