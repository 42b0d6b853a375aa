//! Ends compared: whether the flows between two of them, and between one and addresses, stay inside the band; if not, whose turn it
//! is to take more care.

use std::collections::HashMap;

use super::desk::{Desk, NO_GROUPS, SetId};
use super::{AFTER, BEFORE, Course, Ends, Kind, NEW, OLD, Proof, Side, Turn, changes};
use crate::net::Family;
use crate::policy::Direction;

/// The ends of a pair whose flows leave the band.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Blame {
    source: Option<Turn>,
    destination: Option<Turn>,
}

impl Proof<'_> {
    /// Compares the ends that change with addresses that no pod bears.
    pub(super) fn addresses(&mut self, kinds: &[Kind<'_>], course: Course, escapes: &mut Ends) {
        let mut seen = HashMap::new();
        for kind in kinds.iter().filter(|kind| changes(&kind.sides)) {
            for direction in Direction::BOTH {
                for (family, address) in Family::BOTH.into_iter().zip(kind.addresses) {
                    if address.is_none() {
                        continue;
                    }
                    let of = |side: Side| self.desk.function(side.end, direction, family);
                    let [old, new, _, is] = kind.sides.map(of);
                    let inside = *seen.entry([old, new, is]).or_insert_with(|| {
                        let triples = self.desk.triples([old, new, is]);
                        let mut triples = triples.into_iter();
                        triples.all(|[old, new, now]| self.desk.inside(old, new, now, course))
                    });
                    if !inside {
                        escapes.insert((kind.example.clone(), direction), Turn::First);
                    }
                }
            }
        }
    }

    /// Compares the flows of one pair of kinds.
    pub(super) fn pair(
        &mut self,
        source: &Kind<'_>,
        destination: &Kind<'_>,
        with_references: bool,
        course: Course,
    ) -> Blame {
        let mut blame = Blame::default();
        let combinations: &[(usize, usize)] = match course {
            Course::Grows | Course::Shrinks => &[(AFTER, AFTER)],
            Course::Moves => &[(AFTER, AFTER), (BEFORE, AFTER), (AFTER, BEFORE)],
        };
        let ends = source.addresses.into_iter().zip(destination.addresses);
        for (family, (from, to)) in Family::BOTH.into_iter().zip(ends) {
            let (Some(from), Some(to)) = (from, to) else { continue };
            let desk = &mut self.desk;
            let flows = |desk: &mut Desk, left: usize, right: usize| -> Option<SetId> {
                let (left, right) = (source.sides.get(left)?, destination.sides.get(right)?);
                let seen = |side: &Side| if with_references { side.worn } else { NO_GROUPS };
                let egress = desk.towards(left.end, Direction::Egress, family, to, seen(right));
                let ingress = desk.towards(right.end, Direction::Ingress, family, from, seen(left));
                Some(desk.meet(egress, ingress))
            };
            let (Some(old), Some(new)) = (flows(desk, OLD, OLD), flows(desk, NEW, NEW)) else {
                continue;
            };
            for (left, right) in combinations {
                let Some(now) = flows(desk, *left, *right) else { continue };
                if now == old || now == new {
                    continue;
                }
                let narrow = course != Course::Grows && !desk.reaches(old, new, now);
                let wide = course != Course::Shrinks && !desk.covers(old, new, now);
                if !narrow && !wide {
                    continue;
                }
                // Where one end has moved and the other is still to move, a flow is missed because that other one lacks its
                // identity: it is the one to move with more care.
                let moves = |kind: &Kind<'_>| kind.sides.get(BEFORE) != kind.sides.get(AFTER);
                let late = |here: usize, there: usize, kind: &Kind<'_>| {
                    narrow && !wide && here == BEFORE && there == AFTER && moves(kind)
                };
                let source_late = late(*left, *right, source);
                let destination_late = late(*right, *left, destination);
                blame.add(if destination_late { Turn::Second } else { Turn::First }, |it| {
                    &mut it.source
                });
                blame.add(if source_late { Turn::Second } else { Turn::First }, |it| {
                    &mut it.destination
                });
            }
        }
        blame
    }
}

impl Blame {
    fn add(&mut self, turn: Turn, of: impl Fn(&mut Self) -> &mut Option<Turn>) {
        let known = of(self);
        *known = Some(known.map_or(turn, |known| known.min(turn)));
    }

    pub(super) fn report<'k, 'a: 'k>(
        self,
        sources: impl IntoIterator<Item = &'k Kind<'a>>,
        destinations: impl IntoIterator<Item = &'k Kind<'a>>,
        escapes: &mut Ends,
    ) {
        let mut note = |kind: &Kind<'_>, direction, turn: Turn| {
            let known = escapes.entry((kind.example.clone(), direction)).or_insert(turn);
            *known = turn.min(*known);
        };
        if let Some(turn) = self.source {
            sources.into_iter().for_each(|kind| note(kind, Direction::Egress, turn));
        }
        if let Some(turn) = self.destination {
            destinations.into_iter().for_each(|kind| note(kind, Direction::Ingress, turn));
        }
    }
}

impl Desk {
    /// Whether `now` is inside the band, as far as the course of a stage asks.
    fn inside(&mut self, old: SetId, new: SetId, now: SetId, course: Course) -> bool {
        (course == Course::Grows || self.reaches(old, new, now))
            && (course == Course::Shrinks || self.covers(old, new, now))
    }

    /// O ∩ N ⊆ A.
    fn reaches(&mut self, old: SetId, new: SetId, now: SetId) -> bool {
        let both = self.meet(old, new);
        self.within(both, now)
    }

    /// A ⊆ O ∪ N.
    fn covers(&mut self, old: SetId, new: SetId, now: SetId) -> bool {
        let either = self.union(old, new);
        self.within(now, either)
    }
}
