//! The flow that proves a rule is needed (P3).

use super::class::{Class, ClassId, Classes};
use super::layout::{Line, LinePeer};
use super::meaning::Meaning;
use crate::flow::{Endpoint, Flow};
use crate::net::{Family, Service};
use crate::policy::Direction;

/// A flow of a class's pods that no other rule of the class and direction lets through. None for a copied rule, and where
/// there is no such flow: only the wearer itself is named, or prefix rules let the same services through.
pub(crate) fn witness(
    meaning: &Meaning<'_>,
    classes: &Classes,
    class: &Class,
    direction: Direction,
    line: &Line,
) -> Option<Flow> {
    let ends = Ends { meaning, class, direction };
    match &line.peer {
        LinePeer::Prefix(_) => {
            let (address, service) = line.witness?;
            let bearer = meaning.cohorts.bearers.bearer(address);
            let there = bearer.map_or(Endpoint::Address(address), Endpoint::Pod);
            ends.flow(there, Family::of(address), service)
        }
        LinePeer::Class(id) => ends.by_reference(classes, line, [*id]),
        LinePeer::Members(ids) => ends.by_reference(classes, line, ids.iter().copied()),
        LinePeer::Copied(_) => None,
    }
}

/// One end of a flow: the pods of a class, and which way the flow goes.
struct Ends<'m, 'a> {
    meaning: &'m Meaning<'a>,
    class: &'m Class,
    direction: Direction,
}

impl Ends<'_, '_> {
    /// A flow with a pod that the line names, which no prefix rule lets through.
    fn by_reference(
        &self,
        classes: &Classes,
        line: &Line,
        named: impl IntoIterator<Item = ClassId>,
    ) -> Option<Flow> {
        let addresses = &self.class.grant(self.meaning, self.direction)?.addresses;
        let services = line.shape.services();
        let named = named.into_iter().filter_map(|id| classes.list.get(id));
        named.flat_map(|class| class.pods(self.meaning)).find_map(|there| {
            let pod = self.meaning.inventory.pod(there)?;
            pod.addresses.iter().find_map(|address| {
                let family = Family::of(*address);
                let asked = services.clone().within(family);
                let service = asked.difference(addresses.at(*address)).first()?;
                self.flow(Endpoint::Pod(there), family, service)
            })
        })
    }

    /// The flow between some pod of the class and another end.
    fn flow(&self, there: Endpoint, family: Family, service: Service) -> Option<Flow> {
        let mut pods = self.class.pods(self.meaning);
        let here = pods.find(|here| {
            let pod = self.meaning.inventory.pod(*here);
            Endpoint::Pod(*here) != there && pod.is_some_and(|pod| pod.address(family).is_some())
        });
        let here = Endpoint::Pod(here?);
        let (source, destination) = match self.direction {
            Direction::Ingress => (there, here),
            Direction::Egress => (here, there),
        };
        Some(Flow { source, destination, family, service })
    }
}
