//! What pods give up to fit the quotas (DESIGN §6.6); never anything that would open more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::meaning::{ByDirection, place};
use crate::inventory::PodIndex;
use crate::net::{Family, Intervals, Message, Messages, ServiceSet};
use crate::policy::Direction;

/// What some pods give up.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Concession {
    /// What they give up in each direction.
    pub(crate) given_up: ByDirection<GivenUp>,
    /// Whether they give up being named by the rules of others.
    pub(crate) nameless: bool,
    /// What was short when they could not have all.
    pub(crate) shortage: Option<Shortage>,
}

/// What pods give up in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GivenUp {
    /// How far down the ladder.
    pub(crate) rung: Rung,
    /// The policies whose Accept rules are left out, by their places.
    pub(crate) without: BTreeSet<u32>,
}

/// The rungs of the ladder. Each gives up what those before it do; those before [`Rung::Accepts`] only where everything but
/// something is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rung {
    /// Nothing.
    #[default]
    Exact,
    /// Protocols other than tcp, udp and ICMP: 251 rules where not all passes.
    OtherProtocols,
    /// The ICMP types that no registry names: some 230 rules where not all of ICMP passes.
    UnnamedTypes,
    /// The ICMP types of which some codes are cut out: up to 255 rules each.
    CutTypes,
    /// ICMP of which something is cut out.
    CutIcmp,
    /// The Accept rules of whole policies.
    Accepts,
    /// Everything; where no policy governs the direction, what the groups of others allowed there is not copied.
    Everything,
}

/// What is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Shortage {
    /// The account's groups have run out.
    #[default]
    Account,
    /// The groups have run out that the pods' namespace may have.
    Namespace,
    /// The exact rules need so many groups on one interface, and there is room for so many.
    Interface { needs: usize, room: usize },
}

/// Concessions by pod; most pods make none.
pub(crate) type Concessions = BTreeMap<PodIndex, Arc<Concession>>;

impl Concession {
    /// What is given up in a direction.
    pub(crate) fn of(&self, direction: Direction) -> &GivenUp {
        let [ingress, egress] = &self.given_up;
        match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        }
    }

    /// The same with something else given up in a direction.
    pub(crate) fn with(mut self, direction: Direction, given_up: GivenUp) -> Self {
        if let Some(slot) = self.given_up.get_mut(place(direction)) {
            *slot = given_up;
        }
        self
    }
}

impl Rung {
    /// The rungs between having all and losing whole policies.
    pub(crate) const FINE: [Self; 4] =
        [Self::OtherProtocols, Self::UnnamedTypes, Self::CutTypes, Self::CutIcmp];

    /// The part of a service set that rules of these families say on this rung. sctp has no ports in EC2, so it is said only
    /// as a whole.
    pub(crate) fn sayable(self, services: &ServiceSet, families: &[Family]) -> ServiceSet {
        let mut said = services.clone();
        if !said.sctp.is_full() {
            said.sctp = Intervals::empty();
        }
        if families.iter().all(|family| said.contains_all(&ServiceSet::line(*family))) {
            return said;
        }
        let given_up = self.parts(services).filter(|part| all_but_something(services, part));
        given_up.fold(said, |said, part| said.difference(&part))
    }

    /// The parts of a set that is not everything which this rung gives up, if everything but something of them is asked.
    fn parts(self, services: &ServiceSet) -> impl Iterator<Item = ServiceSet> {
        let mut parts = Vec::new();
        if self >= Self::OtherProtocols {
            let mut part = ServiceSet::all();
            for line in [&mut part.tcp, &mut part.udp, &mut part.icmp, &mut part.icmpv6] {
                *line = Intervals::empty();
            }
            parts.push(part);
        }
        for family in Family::BOTH {
            let messages = services.messages(family);
            let part = |messages| ServiceSet::of_messages(family, messages);
            if messages.is_empty() || messages.is_full() {
                continue;
            }
            if self >= Self::UnnamedTypes {
                parts.push(part(Message::unnamed(family)));
            }
            if self >= Self::CutTypes {
                let ends = messages.iter().flat_map(|run| [run.low(), run.high()]);
                let types: BTreeSet<u8> = ends.map(|point| Message::at(point).kind).collect();
                parts.extend(
                    types.into_iter().map(|kind| part(Messages::Type(kind).points().into())),
                );
            }
            if self >= Self::CutIcmp {
                parts.push(part(Intervals::full()));
            }
        }
        parts.into_iter()
    }
}

/// Whether everything but something of a part is asked: what is missing there takes fewer rules than what is not.
fn all_but_something(services: &ServiceSet, part: &ServiceSet) -> bool {
    let rules = |set: ServiceSet| set.maximal_shapes_of_both().len();
    rules(services.intersection(part)) > rules(part.difference(services)).max(1)
}
