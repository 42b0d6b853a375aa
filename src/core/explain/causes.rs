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
            for flows in &finding.flows {
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
