//! What a finding shows: its flows as boxes, and one real flow out of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::acl::Priors;
use super::cohort::{Cohort, CohortId};
use super::effective::ByAddress;
use super::meaning::Meaning;
use super::outcome::Outcomes;
use crate::finding::Effect;
use crate::flow::{Endpoint, EndpointSet, Flow, FlowSet};
use crate::inventory::PodIndex;
use crate::net::{AddressSet, Family, Service, ServiceSet};
use crate::policy::Direction;

/// The other ends and services of a box; its own end are the pods that it is kept under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Region {
    pub(crate) direction: Direction,
    pub(crate) remote: EndpointSet,
    pub(crate) services: ServiceSet,
    pub(crate) family: Family,
}

/// The place of a region in a list of them.
pub(crate) type RegionId = usize;

/// The pods of cohorts in regions: what one finding is made of.
pub(crate) type Extent = BTreeMap<RegionId, Vec<CohortId>>;

/// The boxes of a finding and its witness.
pub(crate) type Drawn = (Arc<[FlowSet]>, Option<Flow>);

/// Draws extents.
pub(crate) struct Pen<'x, 'm, 'a> {
    pub(crate) meaning: &'m Meaning<'a>,
    pub(crate) outcomes: &'x mut Outcomes<'m, 'a>,
    pub(crate) regions: &'x [Rc<Region>],
    pub(crate) priors: Priors,
}

impl Pen<'_, '_, '_> {
    /// The boxes and the witness of an extent.
    pub(crate) fn draw(&mut self, extent: &Extent, effect: Effect) -> Drawn {
        let mut flows = Vec::new();
        let mut witness = None;
        for (place, cohorts) in extent {
            let Some(region) = self.regions.get(*place).cloned() else { continue };
            let cohorts = cohorts.iter().filter_map(|id| self.meaning.cohorts.get(*id));
            let pods: BTreeSet<PodIndex> =
                cohorts.flat_map(|cohort| cohort.pods.iter().copied()).collect();
            witness = witness.or_else(|| self.witness(effect, &region, &pods));
            flows.extend(boxes(&region, &pods));
        }
        (flows.into(), witness)
    }

    /// One real flow of a region: for `Narrower` one that the other end's policies allow, for `NotEnforced` one that the
    /// cloud lets through at the other end. The network ACLs before ours let it pass.
    fn witness(
        &mut self,
        effect: Effect,
        region: &Region,
        pods: &BTreeSet<PodIndex>,
    ) -> Option<Flow> {
        let family = region.family;
        let flow = |here: PodIndex, there, service| {
            let here = Endpoint::Pod(here);
            let (source, destination) = match region.direction {
                Direction::Ingress => (there, here),
                Direction::Egress => (here, there),
            };
            Flow { source, destination, family, service }
        };
        if let Some((here, address, service)) = self.with_address(region, pods) {
            return Some(flow(here, Endpoint::Address(address), service));
        }
        for there in &region.remote.pods {
            for here in pods.iter().filter(|here| *here != there) {
                let passes = self.other_end(effect, region, *here, *there)?;
                let closed = self.closed_before(region, *here, *there)?;
                let real = region.services.intersection(&passes).difference(&closed);
                if let Some(service) = real.first() {
                    return Some(flow(*here, Endpoint::Pod(*there), service));
                }
            }
        }
        None
    }

    /// A flow with an address that no pod bears.
    fn with_address(
        &self,
        region: &Region,
        pods: &BTreeSet<PodIndex>,
    ) -> Option<(PodIndex, IpAddr, Service)> {
        let Region { direction, remote, services, family } = region;
        let cohorts = &self.meaning.cohorts;
        cohorts.bearers.unborne(&remote.addresses)?;
        let by_nodes = self.meaning.inventory.sent_by_nodes().intersection(&remote.addresses);
        let mut seen = BTreeSet::new();
        pods.iter().find_map(|here| {
            let address = self.meaning.inventory.pod(*here)?.address(*family)?;
            let prior = self.priors.around(address);
            let cohort = cohorts.of(*here).and_then(|id| cohorts.get(id));
            let by_node =
                *direction == Direction::Egress && cohort.is_some_and(Cohort::shares_node);
            if !seen.insert((prior.map(|(place, _)| place), by_node)) {
                return None;
            }
            let mut left = match prior {
                None => ByAddress::on(&remote.addresses, services),
                Some((_, prior)) => prior.left(*direction, &remote.addresses, services),
            };
            if by_node {
                left = left.join(&ByAddress::on(&by_nodes, services), ServiceSet::union);
            }
            let there =
                cohorts.bearers.unborne(&left.addresses_where(|services| !services.is_empty()))?;
            Some((*here, there, left.at(there).first()?))
        })
    }

    /// What the network ACLs before ours close between two pods.
    fn closed_before(
        &self,
        region: &Region,
        here: PodIndex,
        there: PodIndex,
    ) -> Option<ServiceSet> {
        let address = |pod| self.meaning.inventory.pod(pod)?.address(region.family);
        let (here, there) = (address(here)?, address(there)?);
        let mine = self.priors.closed(here, region.direction, there);
        Some(mine.union(&self.priors.closed(there, region.direction.opposite(), here)))
    }

    fn other_end(
        &mut self,
        effect: Effect,
        region: &Region,
        here: PodIndex,
        there: PodIndex,
    ) -> Option<ServiceSet> {
        let other = region.direction.opposite();
        let cohorts = &self.meaning.cohorts;
        let (mine, theirs) = (cohorts.of(here)?, cohorts.of(there)?);
        let address = self.meaning.inventory.pod(here)?.address(region.family)?;
        match effect {
            Effect::Narrower | Effect::Ignored => Some(match self.meaning.asked(theirs, other) {
                Some(function) => function.at(function.reach(mine), address),
                None => ServiceSet::all(),
            }),
            Effect::NotEnforced => {
                let outcome = self.outcomes.of(theirs, cohorts.get(theirs)?, other);
                Some(self.outcomes.at(&outcome, mine, cohorts.get(mine)?, address))
            }
        }
    }
}

/// Boxes of a region. A pod reaches itself whatever anyone says, so a pod that is among its own remotes gets a box of
/// its own without itself.
fn boxes(region: &Region, pods: &BTreeSet<PodIndex>) -> Vec<FlowSet> {
    let (among, apart): (BTreeSet<PodIndex>, BTreeSet<PodIndex>) =
        pods.iter().copied().partition(|pod| region.remote.pods.contains(pod));
    let flows = |here: BTreeSet<PodIndex>, there: EndpointSet| {
        let here = EndpointSet { pods: here, addresses: AddressSet::empty() };
        let (sources, destinations) = match region.direction {
            Direction::Ingress => (there, here),
            Direction::Egress => (here, there),
        };
        let (services, family) = (region.services.clone(), Some(region.family));
        FlowSet { sources, destinations, services, family }
    };
    let mut boxes = Vec::new();
    if !apart.is_empty() {
        boxes.push(flows(apart, region.remote.clone()));
    }
    for pod in among {
        let mut others = region.remote.clone();
        others.pods.remove(&pod);
        if !others.is_empty() {
            boxes.push(flows(BTreeSet::from([pod]), others));
        }
    }
    boxes
}
