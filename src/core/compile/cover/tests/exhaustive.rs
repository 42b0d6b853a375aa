//! Covers of small functions against a search for a smaller one.
//!
//! The service line is cut into atoms. An atom by itself costs as many rules as it has protocols, types or codes; every other
//! shape is a run of atoms and costs one. Parts of an atom are alike, so no cover gains from telling them apart.

use super::*;

/// A line of services, in atoms.
struct Line {
    /// Each atom, with the number of rules that name just it.
    atoms: Vec<(&'static str, usize)>,
    /// The runs of atoms that one rule can name, as first and last.
    runs: Vec<(usize, usize)>,
}

/// Shapes of lines: one range of ports; two of them and everything; ports, ICMP's tree and everything.
fn lines(family: Family) -> [Line; 3] {
    let icmp = |v4, v6| match family {
        Family::V4 => v4,
        Family::V6 => v6,
    };
    let ports = ["tcp/80", "tcp/81", "tcp/82", "tcp/83", "tcp/84"];
    let mut ports = Line { atoms: ports.map(|port| (port, 1)).to_vec(), runs: Vec::new() };
    ports.runs = (0..5).flat_map(|first| (first + 1..5).map(move |last| (first, last))).collect();
    let transports = Line {
        atoms: vec![
            ("tcp/0-79", 1),
            ("tcp/80", 1),
            ("tcp/81-65535", 1),
            ("udp/0-52", 1),
            ("udp/53-65535", 1),
            (icmp("sctp, icmp, proto", "sctp, icmpv6, proto"), 253),
        ],
        runs: vec![(0, 1), (1, 2), (0, 2), (3, 4), (0, 5)],
    };
    let tree = Line {
        atoms: vec![
            ("tcp/0-79", 1),
            ("tcp/80-65535", 1),
            (icmp("icmp/3/4", "icmpv6/3/4"), 1),
            (icmp("icmp/3/0-3, icmp/3/5-255", "icmpv6/3/0-3, icmpv6/3/5-255"), 255),
            (icmp("icmp/8", "icmpv6/8"), 1),
            (icmp("icmp/0-2, icmp/4-7, icmp/9-255", "icmpv6/0-2, icmpv6/4-7, icmpv6/9-255"), 254),
            ("udp, sctp, proto", 253),
        ],
        runs: vec![(0, 1), (2, 3), (2, 5), (0, 6)],
    };
    [ports, transports, tree]
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

/// Which atoms each address may use, a row of bits for each: random cells, or boxes added and taken away.
fn rows(random: &mut Random, addresses: usize, atoms: usize) -> Vec<u64> {
    let mut rows = vec![0; addresses];
    if random.below(2) == 0 {
        let density = 3 + random.below(7);
        for cell in 0..addresses * atoms {
            if random.below(10) < density {
                rows[cell / atoms] |= 1 << (cell % atoms);
            }
        }
        return rows;
    }
    for _ in 0..=random.below(6) {
        let size = 1 << random.below(addresses.ilog2() as usize + 1);
        let first = random.below(addresses / size) * size;
        let low = random.below(atoms);
        let high = low + random.below(atoms - low);
        let services = (1 << (high + 1)) - (1 << low);
        let add = random.below(4) != 0;
        for row in &mut rows[first..first + size] {
            *row = if add { *row | services } else { *row & !services };
        }
    }
    rows
}

/// All valid rules as sets of cells with their costs; cell `address * atoms + atom`. Without those that a larger one of no
/// higher cost holds.
fn candidates(rows: &[u64], line: &Line) -> Vec<(u64, usize)> {
    let atoms = line.atoms.len();
    let single = line.atoms.iter().enumerate().map(|(atom, (_, cost))| (1 << atom, *cost));
    let runs = line.runs.iter().map(|(first, last)| ((1 << (last + 1)) - (1 << first), 1));
    let shapes: Vec<(u64, usize)> = single.chain(runs).collect();
    let mut all = Vec::new();
    for size in (0..=rows.len().ilog2()).map(|bits| 1 << bits) {
        for first in (0..rows.len()).step_by(size) {
            let full = rows[first..first + size].iter().fold(u64::MAX, |full, row| full & row);
            for (shape, cost) in shapes.iter().filter(|(shape, _)| full & shape == *shape) {
                let cells =
                    (first..first + size).fold(0, |cells, row| cells | shape << (row * atoms));
                all.push((cells, *cost));
            }
        }
    }
    let larger = |(cells, cost): (u64, usize)| {
        all.iter().any(|(other, price)| *other != cells && other & cells == cells && *price <= cost)
    };
    all.iter().copied().filter(|candidate| !larger(*candidate)).collect()
}

/// Whether candidates that cost no more than `budget` together cover all of `cells`.
fn coverable(cells: u64, candidates: &[(u64, usize)], budget: usize) -> bool {
    if cells == 0 {
        return true;
    }
    let over = |cell: u32| candidates.iter().filter(move |(covered, _)| covered >> cell & 1 == 1);
    let cell = (0..64).filter(|cell| cells >> cell & 1 == 1).min_by_key(|cell| over(*cell).count());
    cell.is_some_and(|cell| {
        over(cell).any(|(covered, cost)| {
            budget
                .checked_sub(*cost)
                .is_some_and(|rest| coverable(cells & !covered, candidates, rest))
        })
    })
}

fn assert_minimal<T: Address>(seed: u64, last: T) {
    let mut random = Random(seed);
    let line = &lines(T::FAMILY)[random.below(3)];
    let addresses = 4 << random.below(2);
    let rows = rows(&mut random, addresses, line.atoms.len());
    let atoms: Vec<ServiceSet> = line.atoms.iter().map(|(text, _)| text.parse().unwrap()).collect();
    let mut allowed = StepFunction::constant(ServiceSet::empty());
    let points = std::iter::successors(Some(last), |address| address.previous());
    for (row, address) in rows.iter().rev().zip(points) {
        let services = (0..atoms.len()).filter(|atom| row >> atom & 1 == 1);
        let services = services.fold(ServiceSet::empty(), |set, atom| set.union(&atoms[atom]));
        let here =
            StepFunction::indicator(&Intervals::single(address), services, ServiceSet::empty());
        allowed = allowed.map2(&here, ServiceSet::union);
    }
    let rules = cover(&allowed);
    // Hundreds of rules, one for each protocol, are all alike: looking at some of those functions is enough.
    if rules.len() <= 40 || seed.is_multiple_of(16) {
        assert_eq!(union(&rules), allowed, "seed {seed}");
    }
    if rules.len() <= 40 {
        assert_eq!(certificate(&allowed, &rules), None, "seed {seed}");
    }
    let cells = rows.iter().rev().fold(0, |cells, row| cells << atoms.len() | row);
    let candidates = candidates(&rows, line);
    assert!(coverable(cells, &candidates, rules.len()), "seed {seed}");
    if let Some(fewer) = rules.len().checked_sub(1) {
        assert!(!coverable(cells, &candidates, fewer), "seed {seed}: {fewer} rules are enough");
    }
}

#[test]
fn no_search_finds_fewer_rules_for_3400_small_functions_of_ipv4() {
    for seed in 0..1700 {
        assert_minimal(seed, u32::MAX);
        assert_minimal(1700 + seed, 7u32);
    }
}

#[test]
fn no_search_finds_fewer_rules_for_1700_small_functions_of_ipv6() {
    for seed in 3400..5100 {
        assert_minimal(seed, u128::MAX);
    }
}
