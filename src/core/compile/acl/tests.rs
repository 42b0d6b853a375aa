//! Entries against exhaustive search.

use proptest::prelude::*;

use super::entries::Deniable;
use crate::net::{AddressSet, Prefix, ServiceSet, Shape, StepFunction};

type Function = StepFunction<u32, ServiceSet>;

/// A cell: which of four neighbouring addresses, and which of three neighbouring ports.
type Cells = [[bool; 3]; 4];

fn function(cells: &Cells) -> Function {
    let mut function = StepFunction::constant(ServiceSet::empty());
    for (address, ports) in (0_u32..).zip(cells) {
        for (port, _) in (80_u16..).zip(ports).filter(|(_, is_in)| **is_in) {
            let here = AddressSet::from(format!("10.0.0.{address}/32").parse::<Prefix>().unwrap());
            let service: ServiceSet = format!("tcp/{port}").parse().unwrap();
            let cell = StepFunction::indicator(&here.v4, service, ServiceSet::empty());
            function = function.map2(&cell, ServiceSet::union);
        }
    }
    function
}

/// Every box of those cells: a prefix and a range of ports.
fn boxes() -> Vec<(Vec<usize>, std::ops::RangeInclusive<usize>)> {
    let prefixes = [vec![0], vec![1], vec![2], vec![3], vec![0, 1], vec![2, 3], vec![0, 1, 2, 3]];
    let ranges = [0..=0, 1..=1, 2..=2, 0..=1, 1..=2, 0..=2];
    prefixes
        .iter()
        .flat_map(|prefix| ranges.iter().map(move |range| (prefix.clone(), range.clone())))
        .collect()
}

/// The fewest boxes within `deniable` that close `wanted`, by trying all.
fn by_search(wanted: &Cells, deniable: &Cells) -> usize {
    let valid = |(prefix, range): &(Vec<usize>, std::ops::RangeInclusive<usize>)| {
        prefix.iter().all(|address| range.clone().all(|port| deniable[*address][port]))
    };
    let boxes: Vec<_> = boxes().into_iter().filter(valid).collect();
    let mut states = std::collections::BTreeSet::from([*wanted]);
    let mut count = 0;
    while !states.contains(&Cells::default()) {
        count += 1;
        let mut next = std::collections::BTreeSet::new();
        for state in &states {
            for (prefix, range) in &boxes {
                let mut left = *state;
                for address in prefix {
                    range.clone().for_each(|port| left[*address][port] = false);
                }
                next.insert(left);
            }
        }
        states = next;
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_list_of_denies_is_shorter_and_none_closes_more_than_may_be(
        wanted in any::<Cells>(),
        more in any::<Cells>(),
    ) {
        let mut deniable = wanted;
        for (cells, more) in deniable.iter_mut().flatten().zip(more.iter().flatten()) {
            *cells |= more;
        }
        let (asked, may) = (function(&wanted), function(&deniable));
        let boxes = Deniable::new(may.clone());
        let few = boxes.few(&asked, 20).unwrap();
        let entries = boxes.fewest(&asked, few);
        prop_assert_eq!(entries.named.len(), by_search(&wanted, &deniable));
        prop_assert_eq!(entries.at_least, entries.named.len());
        let closed = super::plot::closing::<u32>(&entries);
        prop_assert_eq!(closed.map2(&asked, ServiceSet::intersection), asked);
        let beyond = closed.map2(&may, ServiceSet::difference);
        prop_assert_eq!(beyond, StepFunction::constant(ServiceSet::empty()));
    }
}

#[test]
fn entries_are_not_wider_than_what_they_are_for() {
    let everything = StepFunction::constant(ServiceSet::line(crate::net::Family::V4));
    let boxes = Deniable::new(everything);
    let wanted = function(&[[true, true, false], [true, true, false], [false; 3], [false; 3]]);
    let few = boxes.few(&wanted, 20).unwrap();
    let entries = boxes.fewest(&wanted, few);
    let shape = Shape::Tcp(crate::net::Interval::new(80, 81).unwrap());
    assert_eq!(entries.named, [("10.0.0.0/31".parse().unwrap(), shape)]);
}
