//! Where policies and cloud differ: the findings that hold flows.
//!
//! Asked and outcome are compared as functions, for every cohort, direction and remote. What is left over becomes
//! boxes of flows, each with the reason that explains it; so no difference goes unreported, whatever caused it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::HashMap;
use super::acl::Priors;
use super::blame::{Blame, Remote, Told, advice, out_of_quota};
use super::class::Classes;
use super::cohort::{Cohort, CohortId, Families, has};
use super::concession::{Concession, Rung, Shortage};
use super::draw::{Drawn, Extent, Pen, Region, RegionId};
use super::effective::{ByAddress, Function};
use super::meaning::Meaning;
use super::outcome::{Outcome, Outcomes};
use super::shared::Shared;
use crate::finding::{Effect, Finding, Reason};
use crate::flow::EndpointSet;
use crate::inventory::PodIndex;
use crate::net::{Address, AddressSet, Family, Prefix, ServiceSet, StepFunction};
use crate::policy::Direction;

/// What makes comparisons one: the function, the outcome, and the families of the owner.
type Compared = (Option<*const Function>, *const Outcome, Families);

/// What makes findings one finding.
type Key = (Told, Reason, Effect);

/// Every difference, as findings.
pub(crate) fn findings(meaning: &Meaning<'_>, classes: &Classes) -> Vec<Finding> {
    let mut losses = Losses {
        meaning,
        outcomes: Outcomes::new(meaning, classes),
        blame: Blame::new(meaning),
        known: HashMap::default(),
        platform: HashMap::default(),
        regions: Vec::new(),
        places: HashMap::default(),
        found: BTreeMap::new(),
        conceded: HashMap::default(),
        declared: meaning.settings.pod_subnets.iter().copied().collect(),
    };
    for (id, cohort) in meaning.cohorts.iter() {
        for direction in Direction::BOTH {
            losses.compare(id, cohort, direction);
        }
    }
    losses.into_findings()
}

struct Losses<'m, 'a> {
    meaning: &'m Meaning<'a>,
    outcomes: Outcomes<'m, 'a>,
    blame: Blame<'m, 'a>,
    /// The differences of a function and an outcome, which many cohorts share.
    known: HashMap<Compared, Rc<Vec<Difference>>>,
    /// The differences at addresses that no group filters, by what is allowed at addresses.
    platform: HashMap<(Direction, Shared<ByAddress>, Families), Rc<Vec<Difference>>>,
    regions: Vec<Rc<Region>>,
    places: HashMap<Rc<Region>, RegionId>,
    found: BTreeMap<Key, Extent>,
    /// How far down the ladder the pods are of those who are told, and what was short for them.
    conceded: HashMap<Told, (Rung, Shortage)>,
    declared: AddressSet,
}

/// One region of remotes that a function and an outcome treat differently.
#[derive(Debug)]
struct Difference {
    effect: Effect,
    remote: Remote,
    region: Rc<Region>,
    place: RegionId,
}

impl Losses<'_, '_> {
    fn compare(&mut self, id: CohortId, cohort: &Cohort, direction: Direction) {
        let asked = self.meaning.asked(id, direction).cloned();
        let outcome = self.outcomes.of(id, cohort, direction);
        let conceded = *cohort.concession != Concession::default();
        let differences = match asked {
            None if outcome.exact => return,
            Some(asked) if outcome.exact && !conceded && cohort.programmable() => {
                self.platform_differences(&asked, cohort, direction)
            }
            asked => {
                let key = (asked.as_ref().map(Rc::as_ptr), Rc::as_ptr(&outcome), cohort.families);
                match self.known.get(&key) {
                    Some(known) => known.clone(),
                    None => {
                        let new = self.differences(asked.as_deref(), &outcome, cohort, direction);
                        self.known.entry(key).or_insert(Rc::new(new)).clone()
                    }
                }
            }
        };
        for difference in differences.iter() {
            let (effect, region) = (difference.effect, &difference.region);
            let short = [cohort.concession.shortage, difference.remote.shortage()];
            for (told, reason, services) in
                self.blame.of(id, cohort, direction, effect, &difference.remote)
            {
                let explained = region.services.intersection(&services);
                let place = if explained == region.services {
                    difference.place
                } else if explained.is_empty() {
                    continue;
                } else {
                    self.place(Region { services: explained, ..(**region).clone() })
                };
                let rung = cohort.concession.of(direction).rung;
                for shortage in short.iter().flatten().copied() {
                    let known = self.conceded.entry(told.clone()).or_default();
                    *known = (rung.max(known.0), shortage.max(known.1));
                }
                let extent = self.found.entry((told, reason, effect)).or_default();
                extent.entry(place).or_default().push(id);
            }
        }
    }

    fn place(&mut self, region: Region) -> RegionId {
        if let Some(known) = self.places.get(&region) {
            return *known;
        }
        let region = Rc::new(region);
        self.regions.push(region.clone());
        self.places.insert(region, self.regions.len() - 1);
        self.regions.len() - 1
    }

    fn differences(
        &mut self,
        asked: Option<&Function>,
        outcome: &Outcome,
        cohort: &Cohort,
        direction: Direction,
    ) -> Vec<Difference> {
        let mut found = Vec::new();
        let everything = ByAddress::on(&AddressSet::full(), &ServiceSet::all());
        let by_policy = asked.map_or(&everything, |function| &function.addresses);
        let by_cloud = self.outcomes.by_address(outcome);
        for effect in [Effect::Narrower, Effect::NotEnforced] {
            let (more, less) = match effect {
                Effect::Narrower => (by_policy, &by_cloud),
                Effect::NotEnforced | Effect::Ignored => (&by_cloud, by_policy),
            };
            let difference = more.join(less, ServiceSet::difference).of_families(cohort.families);
            let mut push = |family, services: &ServiceSet, addresses: AddressSet| {
                self.push(effect, direction, family, services, &addresses, &mut found);
            };
            by_value(&difference.v4, |services, here| push(Family::V4, services, here));
            by_value(&difference.v6, |services, here| push(Family::V6, services, here));
        }
        self.pod_differences(asked, outcome, cohort, direction, &mut found);
        found
    }

    /// The addresses that no group filters: all that differs where the rules are exact.
    fn platform_differences(
        &mut self,
        asked: &Function,
        cohort: &Cohort,
        direction: Direction,
    ) -> Rc<Vec<Difference>> {
        let key = (direction, asked.addresses.clone(), cohort.families);
        if let Some(known) = self.platform.get(&key) {
            return known.clone();
        }
        let mut grouped: BTreeMap<(Family, &ServiceSet), Vec<Prefix>> = BTreeMap::new();
        for prefix in self.outcomes.platform_prefixes().iter().copied() {
            let (address, family) = (prefix.first(), prefix.family());
            if has(cohort.families, family) {
                grouped.entry((family, asked.addresses.at(address))).or_default().push(prefix);
            }
        }
        let mut found = Vec::new();
        for ((family, allowed), prefixes) in grouped {
            let closed = ServiceSet::line(family).difference(allowed);
            if !closed.is_empty() {
                let addresses = prefixes.into_iter().collect();
                let effect = Effect::NotEnforced;
                self.push(effect, direction, family, &closed, &addresses, &mut found);
            }
        }
        self.platform.entry(key).or_insert(Rc::new(found)).clone()
    }

    fn push(
        &mut self,
        effect: Effect,
        direction: Direction,
        family: Family,
        services: &ServiceSet,
        addresses: &AddressSet,
        found: &mut Vec<Difference>,
    ) {
        let platform = self.outcomes.platform();
        let parts = [
            (true, addresses.intersection(platform).difference(&self.declared)),
            (false, addresses.difference(platform).difference(&self.declared)),
        ];
        for (platform, part) in parts {
            if self.meaning.cohorts.bearers.unborne(&part).is_none() {
                continue;
            }
            let remote = EndpointSet { pods: BTreeSet::new(), addresses: part.clone() };
            let place =
                self.place(Region { direction, remote, services: services.clone(), family });
            let remote = Remote::Addresses { platform, addresses: part };
            found.extend(self.difference(effect, remote, place));
        }
    }

    fn difference(&self, effect: Effect, remote: Remote, place: RegionId) -> Option<Difference> {
        let region = self.regions.get(place)?.clone();
        Some(Difference { effect, remote, region, place })
    }

    fn pod_differences(
        &mut self,
        asked: Option<&Function>,
        outcome: &Outcome,
        owner: &Cohort,
        direction: Direction,
        found: &mut Vec<Difference>,
    ) {
        type Alike = (Effect, Family, (Option<Shortage>, bool), ServiceSet);
        let mut grouped: BTreeMap<Alike, BTreeSet<PodIndex>> = BTreeMap::new();
        for (id, cohort) in self.meaning.cohorts.iter() {
            let nameless = cohort.concession.nameless;
            let nameless = nameless.then(|| cohort.concession.shortage.unwrap_or_default());
            let reach = asked.and_then(|function| function.reach(id));
            for (pod, address) in self.meaning.cohorts.placed(id) {
                let family = Family::of(address);
                if !has(owner.families, family) {
                    continue;
                }
                let wanted = match asked {
                    Some(function) => function.at(reach, address),
                    None => ServiceSet::line(family),
                };
                let given = self.outcomes.at(outcome, id, cohort, address);
                if wanted == given {
                    continue;
                }
                let disputed = self.meaning.cohorts.bearers.claimants(address).is_some();
                for (effect, services) in [
                    (Effect::Narrower, wanted.difference(&given)),
                    (Effect::NotEnforced, given.difference(&wanted)),
                ] {
                    if !services.is_empty() {
                        let key = (effect, family, (nameless, disputed), services);
                        grouped.entry(key).or_default().insert(pod);
                    }
                }
            }
        }
        for ((effect, family, (nameless, disputed), services), pods) in grouped {
            let remote = EndpointSet { pods, addresses: AddressSet::empty() };
            let place = self.place(Region { direction, remote, services, family });
            found.extend(self.difference(effect, Remote::Pods { nameless, disputed }, place));
        }
    }

    fn into_findings(mut self) -> Vec<Finding> {
        let found = std::mem::take(&mut self.found);
        let mut findings = Vec::with_capacity(found.len());
        let mut known: HashMap<(Extent, Effect), Drawn> = HashMap::default();
        let (meaning, outcomes, regions) = (self.meaning, &mut self.outcomes, &self.regions[..]);
        let mut pen = Pen { meaning, outcomes, regions, priors: Priors::new(meaning.inventory) };
        for ((told, reason, effect), extent) in found {
            let untouchable = matches!(
                reason,
                Reason::SharedInterface | Reason::FixedInterface | Reason::Released
            );
            let carriers = untouchable.then(|| carriers(meaning, &extent));
            let key = (extent, effect);
            let (flows, witness) = match known.get(&key) {
                Some(known) => known.clone(),
                None => {
                    let drawn = pen.draw(&key.0, effect);
                    known.insert(key, drawn.clone());
                    drawn
                }
            };
            let message = if reason == Reason::QuotaExceeded {
                let (rung, shortage) = self.conceded.get(&told).copied().unwrap_or_default();
                out_of_quota(rung, shortage, meaning.settings).into()
            } else if let Some(carriers) = carriers {
                format!("{}; they are on {carriers}", advice(reason)).into()
            } else {
                advice(reason).into()
            };
            let Some((object, path)) = self.blame.object(told) else { continue };
            let location = None;
            findings.push(Finding {
                object,
                path,
                reason,
                effect,
                message,
                flows,
                witness,
                location,
            });
        }
        findings
    }
}

/// The interfaces of the pods of a finding; of many, the first three.
fn carriers(meaning: &Meaning<'_>, extent: &Extent) -> String {
    let ids: BTreeSet<CohortId> = extent.values().flatten().copied().collect();
    let pods = ids.iter().filter_map(|id| meaning.cohorts.get(*id)).flat_map(|it| &it.pods);
    let pods = pods.filter_map(|pod| meaning.inventory.pod(*pod)?.interface.as_ref());
    let interfaces: BTreeSet<&str> = pods.map(|interface| &*interface.0).collect();
    let shown: Vec<&str> = interfaces.iter().copied().take(3).collect();
    let more = match interfaces.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("`{}`{more}", shown.join("`, `"))
}

/// The addresses of each value that is not empty.
fn by_value<T: Address>(
    function: &StepFunction<T, ServiceSet>,
    mut each: impl FnMut(&ServiceSet, AddressSet),
) {
    let mut grouped: BTreeMap<&ServiceSet, Vec<crate::net::Interval<T>>> = BTreeMap::new();
    for (interval, services) in function.pieces().filter(|(_, services)| !services.is_empty()) {
        grouped.entry(services).or_default().push(interval);
    }
    for (services, intervals) in grouped {
        each(services, T::set(intervals.into_iter().collect()));
    }
}
