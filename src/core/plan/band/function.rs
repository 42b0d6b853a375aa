//! From remote addresses of one family to sets of services.

use std::collections::BTreeSet;

use super::desk::{NOTHING, SetId};
use crate::net::{Address, AddressSet, StepFunction};

/// What an end lets through to or from each address of one family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Function {
    V4(StepFunction<u32, SetId>),
    V6(StepFunction<u128, SetId>),
}

impl Function {
    /// The set of an address.
    pub(super) fn at(&self, address: u128) -> SetId {
        match self {
            Self::V4(steps) => u32::try_from(address).map_or(NOTHING, |it| *steps.at(it)),
            Self::V6(steps) => *steps.at(address),
        }
    }

    /// Where the values change.
    pub(super) fn boundaries(&self, into: &mut BTreeSet<u128>) {
        match self {
            Self::V4(steps) => {
                into.extend(steps.pieces().map(|(piece, _)| u128::from(piece.low())));
            }
            Self::V6(steps) => into.extend(steps.pieces().map(|(piece, _)| piece.low())),
        }
    }

    /// What two functions of one family give together.
    pub(super) fn sum(self, other: &Self, mut union: impl FnMut(SetId, SetId) -> SetId) -> Self {
        match (self, other) {
            (Self::V4(a), Self::V4(b)) => Self::V4(a.map2(b, |a, b| union(*a, *b))),
            (Self::V6(a), Self::V6(b)) => Self::V6(a.map2(b, |a, b| union(*a, *b))),
            (this, Self::V4(_) | Self::V6(_)) => this,
        }
    }

    /// The addresses with each pair of values that two functions of one family have.
    pub(super) fn pieces(&self, other: &Self) -> Vec<(AddressSet, [SetId; 2])> {
        fn of<T: Address>(
            a: &StepFunction<T, SetId>,
            b: &StepFunction<T, SetId>,
        ) -> Vec<(AddressSet, [SetId; 2])> {
            let pairs = a.map2(b, |a, b| [*a, *b]);
            pairs.pieces().map(|(piece, pair)| (T::set(piece.into()), *pair)).collect()
        }
        match (self, other) {
            (Self::V4(a), Self::V4(b)) => of(a, b),
            (Self::V6(a), Self::V6(b)) => of(a, b),
            (Self::V4(_) | Self::V6(_), _) => Vec::new(),
        }
    }

    /// The triples of values that three functions of one family have anywhere.
    pub(super) fn triples(&self, second: &Self, third: &Self) -> BTreeSet<[SetId; 3]> {
        fn of<T: Address>(
            a: &StepFunction<T, SetId>,
            b: &StepFunction<T, SetId>,
            c: &StepFunction<T, SetId>,
        ) -> BTreeSet<[SetId; 3]> {
            let pairs = a.map2(b, |a, b| (*a, *b));
            let triples = pairs.map2(c, |(a, b), c| [*a, *b, *c]);
            triples.pieces().map(|(_, values)| *values).collect()
        }
        match (self, second, third) {
            (Self::V4(a), Self::V4(b), Self::V4(c)) => of(a, b, c),
            (Self::V6(a), Self::V6(b), Self::V6(c)) => of(a, b, c),
            (Self::V4(_) | Self::V6(_), _, _) => BTreeSet::new(),
        }
    }
}
