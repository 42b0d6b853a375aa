//! The findings that a flow is in, found without reading all of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Effect, Finding};
use crate::flow::{Endpoint, Flow, FlowSet};
use crate::inventory::PodIndex;

/// Findings by the pods of their boxes.
#[derive(Debug)]
pub(super) struct Causes<'a> {
    findings: &'a [Finding],
    /// Places in `findings`: those of a box whose sources are just these pods.
    by_source: BTreeMap<PodIndex, BTreeSet<usize>>,
    /// Those of a box whose destinations are just these pods.
    by_destination: BTreeMap<PodIndex, BTreeSet<usize>>,
    /// Those of a box with addresses at both ends.
    others: BTreeSet<usize>,
}

impl<'a> Causes<'a> {
    pub(super) fn new(findings: &'a [Finding]) -> Self {
        let mut causes = Self {
            findings,
            by_source: BTreeMap::new(),
            by_destination: BTreeMap::new(),
            others: BTreeSet::new(),
        };
        for (place, finding) in findings.iter().enumerate() {
            for flows in finding.flows.iter() {
                causes.add(place, flows);
            }
        }
        causes
    }

    /// Puts a box under its pods, at the end that has only pods, and the fewer of them.
    fn add(&mut self, place: usize, FlowSet { sources, destinations, .. }: &FlowSet) {
        let few =
            |this: usize, other: usize, other_has_addresses| this <= other || other_has_addresses;
        let (from, to) = (sources.pods.len(), destinations.pods.len());
        if sources.addresses.is_empty() && few(from, to, !destinations.addresses.is_empty()) {
            for pod in &sources.pods {
                self.by_source.entry(*pod).or_default().insert(place);
            }
        } else if destinations.addresses.is_empty() {
            for pod in &destinations.pods {
                self.by_destination.entry(*pod).or_default().insert(place);
            }
        } else {
            self.others.insert(place);
        }
    }

    /// The findings of an effect whose boxes hold the flow, in their order.
    pub(super) fn of(&self, flow: &Flow, effect: Effect) -> impl Iterator<Item = &'a Finding> {
        let under = |end, map: &BTreeMap<PodIndex, BTreeSet<usize>>| match end {
            Endpoint::Pod(pod) => map.get(&pod).cloned().unwrap_or_default(),
            Endpoint::Address(_) => BTreeSet::new(),
        };
        let mut places = self.others.clone();
        places.append(&mut under(flow.source, &self.by_source));
        places.append(&mut under(flow.destination, &self.by_destination));
        let findings = places.into_iter().filter_map(|place| self.findings.get(place));
        findings.filter(move |finding| {
            finding.effect == effect && finding.flows.iter().any(|flows| flows.contains(flow))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Reason;
    use crate::flow::EndpointSet;
    use crate::net::{AddressSet, Family, ServiceSet};
    use crate::policy::ObjectRef;
    use crate::testing::{address, service};

    /// Every box over two pods and the addresses, one finding for each.
    fn every_box() -> Vec<Finding> {
        let mut ends = Vec::new();
        for pods in [vec![], vec![0], vec![1], vec![0, 1]] {
            for addresses in [AddressSet::empty(), AddressSet::full()] {
                let pods = pods.iter().copied().map(PodIndex).collect();
                ends.push(EndpointSet { pods, addresses });
            }
        }
        let finding = |sources: &EndpointSet, destinations: &EndpointSet| Finding {
            object: ObjectRef::vpc(),
            path: "".into(),
            reason: Reason::SharedInterface,
            effect: Effect::Narrower,
            message: "".into(),
            flows: std::sync::Arc::new([FlowSet {
                sources: sources.clone(),
                destinations: destinations.clone(),
                services: ServiceSet::all(),
                family: None,
            }]),
            witness: None,
            location: None,
        };
        ends.iter().flat_map(|from| ends.iter().map(move |to| finding(from, to))).collect()
    }

    #[test]
    fn the_findings_of_a_flow_are_those_that_reading_all_of_them_gives() {
        let findings = every_box();
        let causes = Causes::new(&findings);
        let outside = Endpoint::Address(address("192.0.2.1"));
        let ends = [Endpoint::Pod(PodIndex(0)), Endpoint::Pod(PodIndex(1)), outside];
        for source in ends {
            for destination in ends {
                let service = service("tcp/80");
                let flow = Flow { source, destination, family: Family::V4, service };
                let all = findings.iter().filter(|finding| finding.flows[0].contains(&flow));
                let expected: Vec<_> = all.collect();
                assert_eq!(causes.of(&flow, Effect::Narrower).collect::<Vec<_>>(), expected);
                assert_eq!(causes.of(&flow, Effect::NotEnforced).count(), 0);
                assert!(!expected.is_empty());
            }
        }
    }
}
