//! P1 without sampling: what groups let through equals what policies ask for, but for exactly the findings, as sets.
//!
//! Pods that nothing tells apart are one class. For each class, direction and family, two functions from the other end
//! to the services that pass are worked out: `asked` from the policies, `given` from the groups. Where they are equal at
//! both ends of a pair, so is what passes. The pairs where they are not, and those inside a finding's boxes, are looked
//! at one by one. It shares the algebra of `net` with the compiler, and nothing else.

mod asked;
mod classes;
mod given;
mod minimum;
mod sets;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::AddAssign;
use std::rc::Rc;

use moat_core::compile::Desired;
use moat_core::finding::Effect;
use moat_core::firewall::never_filtered;
use moat_core::flow::{Endpoint, Flow};
use moat_core::net::{AddressSet, Family, Prefix, Service};
use moat_core::policy::Direction;

use self::asked::Asked;
use self::classes::{ClassId, Classes, FlowBox, boxes};
use self::given::Given;
use self::sets::{Addresses, ByClass, End, Line, SetId, Sets, address_at, everywhere, of_family};
use crate::differential::{Disagreement, Judgement};
use crate::generate::Cluster;

pub use self::minimum::{Minimum, minimum};

/// What was found equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Clusters.
    pub clusters: usize,
    /// Classes of pods.
    pub classes: usize,
    /// Ends of flows: a class, a direction, a family.
    pub ends: usize,
    /// Different pairs of functions from addresses, asked and given, that were compared.
    pub functions: usize,
    /// Pairs of classes that were looked at because an end differs or a finding is about them.
    pub pairs: usize,
}

/// Proves that groups mean what policies ask for, but for exactly what the findings say.
///
/// # Errors
///
/// The first sentence that does not hold, with a flow.
pub fn prove(cluster: &Cluster, desired: &Desired) -> Result<Proof, Disagreement> {
    let boxes = boxes(&desired.findings);
    let mut classes = Classes::new(cluster, &desired.state, &boxes);
    let mut sets = Sets::default();
    let mut asked = Asked::new(cluster, &mut classes);
    let mut given = Given::new(cluster, &desired.state);
    let mut proof = Proof { clusters: 1, classes: classes.list.len(), ..Proof::default() };
    for family in Family::BOTH {
        let mut ends = Vec::with_capacity(classes.list.len());
        for class in 0..classes.list.len() {
            let has_family = classes.list[class].pod.address(family).is_some();
            ends.push(has_family.then(|| {
                Direction::BOTH.map(|direction| Both {
                    asked: asked.end(class, direction, family, &mut classes, &mut sets),
                    given: given.end(class, direction, family, &classes, &mut sets),
                })
            }));
        }
        let mut comparison = Comparison {
            family,
            classes: &classes,
            boxes: &boxes,
            ends,
            sets: &mut sets,
            platform: of_family(&never_filtered(&cluster.inventory.vpc), family),
            universe: universe(cluster, family),
        };
        let (ends, functions) = comparison.addresses()?;
        proof.ends += ends;
        proof.functions += functions;
        proof.pairs += comparison.pairs()?;
    }
    Ok(proof)
}

/// What is asked and what is given at one end.
struct Both {
    asked: Rc<End>,
    given: Rc<End>,
}

/// The comparison of one family.
struct Comparison<'c, 'a> {
    family: Family,
    classes: &'c Classes<'a>,
    boxes: &'c [FlowBox<'a>],
    /// By class; none for one without an address of the family. Ingress first.
    ends: Vec<Option<[Both; 2]>>,
    sets: &'c mut Sets,
    /// The addresses that no group filters.
    platform: Addresses,
    /// The addresses that a flow can bear without being a pod's.
    universe: Addresses,
}

/// All addresses but those of pods, and those that a subnet of nothing but pods has free.
fn universe(cluster: &Cluster, family: Family) -> Addresses {
    let pods = cluster.inventory.pods_of_policies();
    let borne = pods.flat_map(|(_, pod)| pod.addresses.iter().copied().map(Prefix::host));
    let declared = cluster.settings.pod_subnets.iter().copied();
    let taken: AddressSet = borne.chain(declared).collect();
    everywhere(family).difference(&of_family(&taken, family))
}

/// A sentence that does not hold for a service: what both references say, or the box that should not hold it.
enum Wrong {
    Unreported(Service, Judgement),
    NotALoss(Service, usize),
}

impl Comparison<'_, '_> {
    /// Compares what passes with addresses at every end. How many ends there are, and how many different comparisons.
    fn addresses(&mut self) -> Result<(usize, usize), Disagreement> {
        let mut lines: HashMap<&Line, usize> = HashMap::new();
        let mut contents: HashMap<(Addresses, SetId, Effect), usize> = HashMap::new();
        let mut compared: BTreeSet<(usize, usize, Vec<usize>)> = BTreeSet::new();
        let mut count = 0;
        let ends = std::mem::take(&mut self.ends);
        for (class, both) in ends.iter().enumerate() {
            for (direction, both) in Direction::BOTH.into_iter().zip(both.iter().flatten()) {
                count += 1;
                let held = self.boxes_with_addresses(class, direction);
                let mut place = |line| {
                    let next = lines.len();
                    *lines.entry(line).or_insert(next)
                };
                let (asked, given) = (&both.asked.addresses, &both.given.addresses);
                let content = held.iter().map(|(index, addresses, services)| {
                    let next = contents.len();
                    let content = (addresses.clone(), *services, self.boxes[*index].effect);
                    *contents.entry(content).or_insert(next)
                });
                let key = (place(asked), place(given), content.collect());
                if compared.insert(key) {
                    self.compare_lines(class, direction, asked, given, &held)?;
                }
            }
        }
        self.ends = ends;
        Ok((count, compared.len()))
    }

    /// The boxes that hold a class at one end and addresses at the other, with these and the services.
    fn boxes_with_addresses(
        &mut self,
        class: ClassId,
        direction: Direction,
    ) -> Vec<(usize, Addresses, SetId)> {
        let class = &self.classes.list[class];
        let places = match direction {
            Direction::Ingress => &class.destinations,
            Direction::Egress => &class.sources,
        };
        let mut held = Vec::new();
        for index in places.iter() {
            let flows = self.boxes[*index].flows;
            let there = match direction {
                Direction::Ingress => &flows.sources,
                Direction::Egress => &flows.destinations,
            };
            let addresses = of_family(&there.addresses, self.family);
            if !addresses.is_empty() && flows.family.is_none_or(|family| family == self.family) {
                let services = self.sets.keep(flows.services.clone().within(self.family));
                held.push((*index, addresses, services));
            }
        }
        held
    }

    fn compare_lines(
        &mut self,
        class: ClassId,
        direction: Direction,
        asked: &Line,
        given: &Line,
        held: &[(usize, Addresses, SetId)],
    ) -> Result<(), Disagreement> {
        let sets = [&self.universe, &self.platform].into_iter();
        let sets = sets.chain(held.iter().map(|(_, addresses, _)| addresses));
        let mut cuts: BTreeSet<u128> =
            asked.0.iter().chain(&given.0).map(|piece| piece.0).collect();
        for run in sets.flat_map(Addresses::iter) {
            cuts.insert(run.low());
            cuts.extend(run.high().checked_add(1));
        }
        let all = self.sets.all(self.family);
        for point in cuts {
            if !self.universe.contains(point) {
                continue;
            }
            let by_cloud = if self.platform.contains(point) { all } else { given.at(point) };
            let here = held.iter().filter(|(_, addresses, _)| addresses.contains(point));
            let here: Vec<(usize, SetId)> = here.map(|(index, _, set)| (*index, *set)).collect();
            if let Some(wrong) = self.judge(asked.at(point), by_cloud, &here) {
                let here = Endpoint::Pod(self.classes.list[class].pods[0]);
                let there = Endpoint::Address(address_at(point, self.family));
                return Err(match direction {
                    Direction::Ingress => self.disagreement(there, here, wrong),
                    Direction::Egress => self.disagreement(here, there, wrong),
                });
            }
        }
        Ok(())
    }

    /// Compares what passes between pods wherever an end differs or a box says something. How many pairs that are.
    fn pairs(&mut self) -> Result<usize, Disagreement> {
        let mut pairs = self.differing_pairs();
        let mut of_box = vec![[Vec::new(), Vec::new()]; self.boxes.len()];
        for (id, class) in self.classes.list.iter().enumerate() {
            class.sources.iter().for_each(|index| of_box[*index][0].push(id));
            class.destinations.iter().for_each(|index| of_box[*index][1].push(id));
        }
        for (index, [sources, destinations]) in of_box.iter().enumerate() {
            if self.boxes[index].flows.family.is_none_or(|family| family == self.family) {
                for source in sources {
                    pairs.extend(destinations.iter().map(|destination| (*source, *destination)));
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        for (source, destination) in &pairs {
            self.compare_pair(*source, *destination)?;
        }
        Ok(pairs.len())
    }

    /// The pairs of classes between which an end gives what is not asked, or does not give what is.
    fn differing_pairs(&self) -> Vec<(ClassId, ClassId)> {
        let mut places: HashMap<&ByClass, usize> = HashMap::new();
        let mut known: HashMap<(usize, usize), Rc<[ClassId]>> = HashMap::new();
        let mut pairs = Vec::new();
        for (here, both) in self.ends.iter().enumerate() {
            for (direction, both) in Direction::BOTH.into_iter().zip(both.iter().flatten()) {
                let (asked, given) = (&both.asked.classes, &both.given.classes);
                let mut place = |function| {
                    let next = places.len();
                    *places.entry(function).or_insert(next)
                };
                let key = (place(asked), place(given));
                let different = known.entry(key).or_insert_with(|| self.different(asked, given));
                pairs.extend(different.iter().map(|there| match direction {
                    Direction::Ingress => (*there, here),
                    Direction::Egress => (here, *there),
                }));
            }
        }
        pairs
    }

    fn different(&self, asked: &ByClass, given: &ByClass) -> Rc<[ClassId]> {
        let differs = |class: &ClassId| asked.at(*class) != given.at(*class);
        if asked.default != given.default {
            return self.classes.of_family(self.family).filter(differs).collect();
        }
        let listed = asked.listed.iter().chain(&given.listed).map(|(class, _)| *class);
        let listed: BTreeSet<ClassId> = listed.collect();
        listed.into_iter().filter(differs).collect()
    }

    fn compare_pair(&mut self, source: ClassId, destination: ClassId) -> Result<(), Disagreement> {
        let (Some(from), Some(to)) = (&self.ends[source], &self.ends[destination]) else {
            return Ok(());
        };
        let (egress, ingress) = (&from[1], &to[0]);
        let asked = (egress.asked.classes.at(destination), ingress.asked.classes.at(source));
        let given = (egress.given.classes.at(destination), ingress.given.classes.at(source));
        let (from, to) = (&self.classes.list[source], &self.classes.list[destination]);
        let mut held = Vec::new();
        for index in
            from.sources.iter().filter(|index| to.destinations.binary_search(index).is_ok())
        {
            let flows = self.boxes[*index].flows;
            if flows.family.is_none_or(|family| family == self.family) {
                let services = self.sets.keep(flows.services.clone().within(self.family));
                held.push((*index, services));
            }
        }
        let first = Endpoint::Pod(from.pods[0]);
        if source == destination {
            // A pod reaches itself, whatever anyone says.
            let all = self.sets.all(self.family);
            if let Some(wrong) = self.judge(all, all, &held) {
                return Err(self.disagreement(first, first, wrong));
            }
        }
        let others = to.pods.iter().copied().map(Endpoint::Pod);
        let Some(second) = others.into_iter().find(|pod| *pod != first) else { return Ok(()) };
        let asked = self.sets.intersection(asked.0, asked.1);
        let given = self.sets.intersection(given.0, given.1);
        match self.judge(asked, given, &held) {
            Some(wrong) => Err(self.disagreement(first, second, wrong)),
            None => Ok(()),
        }
    }

    /// Whether the boxes that hold these ends say exactly how what is asked differs from what is given.
    fn judge(&mut self, asked: SetId, given: SetId, held: &[(usize, SetId)]) -> Option<Wrong> {
        if asked == given && held.is_empty() {
            return None;
        }
        let (policies, cloud) = (true, true);
        for (effect, more, less, judgement) in [
            (Effect::Narrower, asked, given, Judgement { policies, cloud: false }),
            (Effect::NotEnforced, given, asked, Judgement { policies: false, cloud }),
        ] {
            let mut left = self.sets.difference(more, less);
            for (index, services) in held {
                if self.boxes[*index].effect == effect {
                    left = self.sets.difference(left, *services);
                }
            }
            if let Some(service) = self.sets.get(left).first() {
                return Some(Wrong::Unreported(service, judgement));
            }
        }
        let passes = self.sets.intersection(asked, given);
        held.iter().find_map(|(index, services)| {
            let both = self.sets.intersection(passes, *services);
            Some(Wrong::NotALoss(self.sets.get(both).first()?, *index))
        })
    }

    fn disagreement(&self, source: Endpoint, destination: Endpoint, wrong: Wrong) -> Disagreement {
        let flow = |service| Flow { source, destination, family: self.family, service };
        match wrong {
            Wrong::Unreported(service, judgement) => {
                Disagreement::Unreported(flow(service), judgement)
            }
            Wrong::NotALoss(service, index) => {
                let finding = Box::new(self.boxes[index].finding.clone());
                Disagreement::NotALoss(flow(service), finding)
            }
        }
    }
}

impl AddAssign for Proof {
    fn add_assign(&mut self, other: Self) {
        self.clusters += other.clusters;
        self.classes += other.classes;
        self.ends += other.ends;
        self.functions += other.functions;
        self.pairs += other.pairs;
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { classes, ends, functions, pairs, clusters: _ } = self;
        write!(
            f,
            "{classes} classes of pods, {ends} ends, {functions} different pairs of functions of an address, {pairs} pairs of classes \
             looked at one by one"
        )
    }
}
