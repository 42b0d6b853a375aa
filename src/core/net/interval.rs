//! Closed intervals and canonical sets of them, over any line of integers.

use serde::Serialize;
use smallvec::{Array, SmallVec};

/// A point on a finite line of integers: ports, addresses, ICMP type and code pairs, protocol numbers.
pub trait Point: Copy + Ord + std::fmt::Debug + std::hash::Hash {
    /// The least point.
    const MIN: Self;
    /// The greatest point.
    const MAX: Self;
    /// Room for the intervals of a small set, within 16 bytes where a point is small.
    type Few: Array<Item = Interval<Self>> + Clone + std::fmt::Debug + Ord + std::hash::Hash;
    /// The point after this one, none after [`Point::MAX`].
    fn next(self) -> Option<Self>;
    /// The point before this one, none before [`Point::MIN`].
    fn previous(self) -> Option<Self>;
}

/// The points from `low` to `high`, both included. Never empty: `low <= high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Interval<T> {
    low: T,
    high: T,
}

/// A set of points as sorted intervals that neither overlap nor touch, so that equal sets are equal values.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(bound(serialize = "T: Serialize"))]
pub struct Intervals<T: Point>(SmallVec<T::Few>);

macro_rules! points {
    ($($integer:ty: $few:literal),*) => {$(
        impl Point for $integer {
            const MIN: Self = <$integer>::MIN;
            const MAX: Self = <$integer>::MAX;
            type Few = [Interval<Self>; $few];
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}
points!(u8: 8, u16: 4, u32: 2, u128: 1);

// ---------------------------------------------------------------------------------------------- Interval

impl<T: Point> Interval<T> {
    /// The whole line.
    pub const FULL: Self = Self { low: T::MIN, high: T::MAX };

    /// The points from `low` to `high`, or nothing when they are the wrong way round.
    #[must_use]
    pub fn new(low: T, high: T) -> Option<Self> {
        (low <= high).then_some(Self { low, high })
    }

    /// One point.
    #[must_use]
    pub const fn single(point: T) -> Self {
        Self { low: point, high: point }
    }

    /// The least point.
    #[must_use]
    pub const fn low(self) -> T {
        self.low
    }

    /// The greatest point.
    #[must_use]
    pub const fn high(self) -> T {
        self.high
    }

    /// Whether `point` lies within.
    #[must_use]
    pub fn contains(self, point: T) -> bool {
        self.low <= point && point <= self.high
    }
}

// --------------------------------------------------------------------------------------------- Intervals

impl<T: Point> Clone for Intervals<T> {
    /// Copies the intervals as one block; the derived one goes through them one by one.
    fn clone(&self) -> Self {
        Self(SmallVec::from_slice(&self.0))
    }
}

impl<T: Point> Default for Intervals<T> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<T: Point> From<Interval<T>> for Intervals<T> {
    fn from(interval: Interval<T>) -> Self {
        Self(SmallVec::from_slice(&[interval]))
    }
}

impl<T: Point> FromIterator<Interval<T>> for Intervals<T> {
    fn from_iter<I: IntoIterator<Item = Interval<T>>>(intervals: I) -> Self {
        let mut sorted: Vec<_> = intervals.into_iter().collect();
        sorted.sort_unstable();
        Self::joined(sorted.into_iter())
    }
}

impl<T: Point> Intervals<T> {
    /// The empty set.
    #[must_use]
    pub fn empty() -> Self {
        Self(SmallVec::new())
    }

    /// The whole line.
    #[must_use]
    pub fn full() -> Self {
        Interval::FULL.into()
    }

    /// One point.
    #[must_use]
    pub fn single(point: T) -> Self {
        Interval::single(point).into()
    }

    /// Whether no point is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every point of the line is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.as_slice() == [Interval::FULL]
    }

    /// The maximal intervals, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Interval<T>> + DoubleEndedIterator + '_ {
        self.0.iter().copied()
    }

    /// The least point.
    #[must_use]
    pub fn first(&self) -> Option<T> {
        self.0.first().map(|interval| interval.low)
    }

    /// The maximal interval that holds `point`.
    #[must_use]
    pub fn around(&self, point: T) -> Option<Interval<T>> {
        let after = self.0.partition_point(|interval| interval.high < point);
        self.0.get(after).copied().filter(|interval| interval.contains(point))
    }

    /// Whether `point` is in the set.
    #[must_use]
    pub fn contains(&self, point: T) -> bool {
        self.around(point).is_some()
    }

    /// The least point of an interval that is not in the set.
    #[must_use]
    pub fn first_missing(&self, interval: Interval<T>) -> Option<T> {
        match self.around(interval.low) {
            None => Some(interval.low),
            Some(run) => run.high.next().filter(|next| interval.contains(*next)),
        }
    }

    /// Whether every point of `other` is in the set.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        other.iter().all(|part| self.around(part.low).is_some_and(|whole| part.high <= whole.high))
    }

    /// Whether the sets share a point.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        let (few, many) = if self.0.len() < other.0.len() { (self, other) } else { (other, self) };
        few.iter().any(|part| {
            let after = many.0.partition_point(|interval| interval.high < part.low);
            many.0.get(after).is_some_and(|interval| interval.low <= part.high)
        })
    }

    /// The points of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() || self.is_full() || self == other {
            return self.clone();
        }
        if self.is_empty() || other.is_full() {
            return other.clone();
        }
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        Self::joined(std::iter::from_fn(|| match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if b < a => right.next(),
            (Some(_), _) => left.next(),
            (None, _) => right.next(),
        }))
    }

    /// The points of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_full() || self == other {
            return self.clone();
        }
        if other.is_empty() || self.is_full() {
            return other.clone();
        }
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = SmallVec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            common.extend(Interval::new(a.low.max(b.low), a.high.min(b.high)));
            if a.high < b.high {
                left.next();
            } else {
                right.next();
            }
        }
        Self(common)
    }

    /// The points of the line that are not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut gaps = SmallVec::with_capacity(self.0.len() + 1);
        let mut start = Some(T::MIN);
        for interval in self.iter() {
            if let (Some(low), Some(high)) = (start, interval.low.previous()) {
                gaps.extend(Interval::new(low, high));
            }
            start = interval.high.next();
        }
        gaps.extend(start.and_then(|low| Interval::new(low, T::MAX)));
        Self(gaps)
    }

    /// The points of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return self.clone();
        }
        if other.is_full() || self == other {
            return Self::empty();
        }
        self.intersection(&other.complement())
    }

    /// The points of sorted intervals.
    fn joined(sorted: impl Iterator<Item = Interval<T>>) -> Self {
        let mut joined: SmallVec<T::Few> = SmallVec::with_capacity(sorted.size_hint().0);
        for interval in sorted {
            match joined.last_mut() {
                Some(last) if last.high.next().is_none_or(|next| interval.low <= next) => {
                    last.high = last.high.max(interval.high);
                }
                Some(_) | None => joined.push(interval),
            }
        }
        Self(joined)
    }
}
