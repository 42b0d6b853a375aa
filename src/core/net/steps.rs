//! Functions of an address that are constant on intervals.

use super::{Interval, Intervals, Point};

/// A function over a whole line, constant on each of finitely many intervals. Equal functions are equal values:
/// neighbouring pieces have different values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepFunction<T, V> {
    /// The first point of each piece and its value; the first piece begins at [`Point::MIN`].
    pieces: Vec<(T, V)>,
}

impl<T: Point, V: Clone + Eq> StepFunction<T, V> {
    /// The same value everywhere.
    #[must_use]
    pub fn constant(value: V) -> Self {
        Self { pieces: vec![(T::MIN, value)] }
    }

    /// `inside` on the points of a set, `outside` elsewhere.
    #[must_use]
    pub fn indicator(set: &Intervals<T>, inside: V, outside: V) -> Self {
        let mut pieces = vec![(T::MIN, outside.clone())];
        for interval in set.iter() {
            pieces.push((interval.low(), inside.clone()));
            pieces.extend(interval.high().next().map(|after| (after, outside.clone())));
        }
        Self::canonical(pieces)
    }

    /// The value at a point.
    #[must_use]
    pub fn at(&self, point: T) -> &V {
        let after = self.pieces.partition_point(|(start, _)| *start <= point);
        #[expect(
            clippy::indexing_slicing,
            reason = "the first piece begins at MIN, so there is one"
        )]
        let (_, value) = &self.pieces[after.saturating_sub(1)];
        value
    }

    /// The pieces in order, each with its interval.
    pub fn pieces(&self) -> impl Iterator<Item = (Interval<T>, &V)> + '_ {
        self.pieces.iter().enumerate().map(|(index, (start, value))| {
            let next = self.pieces.get(index + 1).and_then(|(next, _)| next.previous());
            let end = next.unwrap_or(T::MAX);
            (Interval::new(*start, end).unwrap_or(Interval::single(*start)), value)
        })
    }

    /// The function of the values.
    #[must_use]
    pub fn map<W: Clone + Eq>(&self, mut change: impl FnMut(&V) -> W) -> StepFunction<T, W> {
        StepFunction::canonical(self.pieces.iter().map(|(start, v)| (*start, change(v))).collect())
    }

    /// Two functions joined point by point.
    #[must_use]
    pub fn map2<U: Clone + Eq, W: Clone + Eq>(
        &self,
        other: &StepFunction<T, U>,
        mut join: impl FnMut(&V, &U) -> W,
    ) -> StepFunction<T, W> {
        let (mut left, mut right) = (self.pieces.iter(), other.pieces.iter());
        let (mut a, mut b) = (left.next(), right.next());
        let (mut next_a, mut next_b) = (left.next(), right.next());
        let mut pieces = Vec::with_capacity(self.pieces.len() + other.pieces.len());
        while let (Some((start_a, value_a)), Some((start_b, value_b))) = (a, b) {
            pieces.push(((*start_a).max(*start_b), join(value_a, value_b)));
            let step_a = match (next_a, next_b) {
                (None, None) => break,
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some((x, _)), Some((y, _))) => (x <= y, y <= x),
            };
            if step_a.0 {
                (a, next_a) = (next_a, left.next());
            }
            if step_a.1 {
                (b, next_b) = (next_b, right.next());
            }
        }
        StepFunction::canonical(pieces)
    }

    /// The points whose value satisfies a condition.
    #[must_use]
    pub fn points_where(&self, mut condition: impl FnMut(&V) -> bool) -> Intervals<T> {
        self.pieces().filter(|(_, value)| condition(value)).map(|(interval, _)| interval).collect()
    }

    /// The function of these pieces, each from its point to the next one. The first begins at [`Point::MIN`], and
    /// the points ascend; of two pieces at one point the later counts.
    #[must_use]
    pub(crate) fn from_pieces(pieces: Vec<(T, V)>) -> Self {
        Self::canonical(pieces)
    }

    fn canonical(mut pieces: Vec<(T, V)>) -> Self {
        pieces.dedup_by(|later, earlier| {
            later.0 == earlier.0 && {
                std::mem::swap(&mut earlier.1, &mut later.1);
                true
            }
        });
        pieces.dedup_by(|later, earlier| later.1 == earlier.1);
        Self { pieces }
    }
}
