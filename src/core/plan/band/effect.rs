//! What steps open and close, as flows: both ends together.

use std::collections::{BTreeMap, BTreeSet};

use super::desk::{NOTHING, SetId};
use super::{AFTER, BEFORE, Kind, Proof, Side, changes};
use crate::firewall::State;
use crate::flow::{EndpointSet, FlowSet};
use crate::inventory::{Inventory, PodIndex};
use crate::net::{AddressSet, Family};
use crate::plan::state::apply;
use crate::plan::{Plan, Stage};
use crate::policy::Direction;
use crate::provider::{Observed, Step};

/// What steps open and close, as boxes of one family each. A pod's flows to itself, which always pass, count in no box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Flows that pass after the steps and did not before.
    pub opens: Vec<FlowSet>,
    /// Flows that passed before the steps and do not after.
    pub closes: Vec<FlowSet>,
}

/// The other ends, by family, whether the flows leave the pods, the pods, and the services.
type Boxes = BTreeMap<(Family, bool, BTreeSet<PodIndex>, SetId), EndpointSet>;

impl Plan {
    /// What each stage opens and closes, as a whole, as far as groups decide: network ACLs are not asked.
    #[must_use]
    pub fn effects(&self, observed: &Observed, inventory: &Inventory) -> Vec<Effect> {
        let mut state = observed.state.clone();
        let of = |stage: &Stage| {
            let effect = effect(&state, &stage.steps, observed, inventory);
            stage.steps.iter().for_each(|step| apply(&mut state, step));
            effect
        };
        self.stages.iter().map(of).collect()
    }
}

/// What steps open and close in a state, taken together.
#[must_use]
pub fn effect(state: &State, steps: &[Step], observed: &Observed, inventory: &Inventory) -> Effect {
    let mut proof = Proof::new(state, state, inventory, &observed.interfaces);
    let before = proof.now.clone();
    let mut then = state.clone();
    for step in steps {
        apply(&mut then, step);
        proof.follow(&then, step);
    }
    let kinds = proof.kinds(&before);
    let (mut opens, mut closes) = (Boxes::new(), Boxes::new());
    for kind in kinds.iter().filter(|kind| changes(&kind.sides)) {
        proof.with_addresses(kind, &mut opens, &mut closes);
    }
    for (place, source) in kinds.iter().enumerate() {
        for (other, destination) in kinds.iter().enumerate() {
            let alone = place == other && source.pods.len() < 2;
            if !alone && (changes(&source.sides) || changes(&destination.sides)) {
                proof.between(source, destination, &mut opens, &mut closes);
            }
        }
    }
    Effect { opens: proof.flows(opens), closes: proof.flows(closes) }
}

impl Proof<'_> {
    fn between(
        &mut self,
        source: &Kind<'_>,
        destination: &Kind<'_>,
        opens: &mut Boxes,
        closes: &mut Boxes,
    ) {
        let ends = source.addresses.into_iter().zip(destination.addresses);
        for (family, (from, to)) in Family::BOTH.into_iter().zip(ends) {
            let (Some(from), Some(to)) = (from, to) else { continue };
            let desk = &mut self.desk;
            let mut flows = |left: Side, right: Side| {
                let egress = desk.towards(left.end, Direction::Egress, family, to, right.worn);
                let ingress = desk.towards(right.end, Direction::Ingress, family, from, left.worn);
                desk.meet(egress, ingress)
            };
            let [_, _, left_before, left_after] = source.sides;
            let [_, _, right_before, right_after] = destination.sides;
            let before = flows(left_before, right_before);
            let after = flows(left_after, right_after);
            for (more, less, boxes) in [(after, before, &mut *opens), (before, after, &mut *closes)]
            {
                let services = self.desk.difference(more, less);
                if services != NOTHING {
                    let key = (family, true, source.pods.iter().copied().collect(), services);
                    let there: &mut EndpointSet = boxes.entry(key).or_default();
                    there.pods.extend(&destination.pods);
                }
            }
        }
    }

    fn with_addresses(&mut self, kind: &Kind<'_>, opens: &mut Boxes, closes: &mut Boxes) {
        for direction in Direction::BOTH {
            for (family, address) in Family::BOTH.into_iter().zip(kind.addresses) {
                if address.is_none() {
                    continue;
                }
                let functions = [BEFORE, AFTER].map(|side| {
                    let side = kind.sides.get(side).map_or(0, |side| side.end);
                    self.desk.function(side, direction, family)
                });
                for (addresses, [before, after]) in self.desk.pieces(functions) {
                    for (more, less, boxes) in
                        [(after, before, &mut *opens), (before, after, &mut *closes)]
                    {
                        let services = self.desk.difference(more, less);
                        if services != NOTHING {
                            let outwards = direction == Direction::Egress;
                            let pods = kind.pods.iter().copied().collect();
                            let there: &mut EndpointSet =
                                boxes.entry((family, outwards, pods, services)).or_default();
                            there.addresses = there.addresses.union(&addresses);
                        }
                    }
                }
            }
        }
    }

    fn flows(&self, boxes: Boxes) -> Vec<FlowSet> {
        let flows = boxes.into_iter().map(|((family, outwards, pods, services), there)| {
            let here = EndpointSet { pods, addresses: AddressSet::empty() };
            let (sources, destinations) = if outwards { (here, there) } else { (there, here) };
            let services = self.desk.services(services).clone();
            FlowSet { sources, destinations, services, family: Some(family) }
        });
        flows.collect()
    }
}
