//! Desired numbers to the numbers that groups bear in the cloud: a class keeps the group that most of its pods wear, so that an
//! edit costs rule calls, not interface calls.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::middle::is_passing;
use super::state::names;
use super::table::{Groups, Table};
use crate::firewall::{GroupKey, GroupNumber, Peer, Rule};
use crate::net::Shape;
use crate::policy::Direction;

/// Numbers of desired groups to numbers in the cloud.
pub(super) type Binding = BTreeMap<GroupNumber, GroupNumber>;

/// How often groups are compared anew, with the references that the round before has bound.
const ROUNDS: usize = 3;

/// The numbers in the cloud for those of the desired groups, and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    numbers: Vec<Option<GroupNumber>>,
    /// The place of the desired group that each group is bound to.
    holders: Vec<Option<usize>>,
}

/// Binds the desired groups that somebody wears or names, but to none of `banned`.
///
/// A group that nobody wears and no worn one names is as good as a free number: an interrupted plan made it, and planning
/// again uses it again.
pub(super) fn bind(table: &Table<'_>, banned: &BTreeSet<GroupNumber>) -> Bound {
    let rivals = Rivals::new(table, banned);
    // How alike two groups are can only be told once references are bound: what one round binds, the next compares.
    let mut bound = Bound::first(table);
    for _ in 0..=ROUNDS {
        let (mut next, compared) = rivals.settle(table, &bound);
        by_references(table, banned, &mut next);
        let before = std::mem::replace(&mut bound, next);
        if !compared || bound == before {
            break;
        }
    }
    by_number(table, banned, &mut bound);
    bound
}

impl Bound {
    /// What is bound whatever is there: the closed group, to its own number.
    fn first(table: &Table<'_>) -> Self {
        let (numbers, holders) = (vec![None; table.wanted.len()], vec![None; table.there.len()]);
        let mut bound = Self { numbers, holders };
        let closed = table.wanted.place_of(GroupNumber::CLOSED);
        if let Some(closed) = closed.filter(|closed| table.used.has(*closed)) {
            bound.bind(closed, table.there.place_of(GroupNumber::CLOSED), GroupNumber::CLOSED);
        }
        bound
    }

    /// The number in the cloud of a desired group.
    pub(super) fn number(&self, wanted: usize) -> Option<GroupNumber> {
        self.numbers.get(wanted).copied().flatten()
    }

    /// The place of the desired group that a group which is there is bound to.
    pub(super) fn holder(&self, there: usize) -> Option<usize> {
        self.holders.get(there).copied().flatten()
    }

    fn bind(&mut self, wanted: usize, there: Option<usize>, number: GroupNumber) {
        if let Some(bound) = self.numbers.get_mut(wanted) {
            *bound = Some(number);
        }
        if let Some(holder) = there.and_then(|there| self.holders.get_mut(there)) {
            *holder = Some(wanted);
        }
    }

    /// A desired group as the cloud names it.
    pub(super) fn rename(&self, wanted: &Groups<'_>, key: &GroupKey) -> GroupKey {
        let number = wanted.place(key).and_then(|place| self.number(place));
        number.map_or_else(|| key.clone(), GroupKey::Ours)
    }

    /// A desired rule in the numbers of the cloud.
    pub(super) fn rename_rule(&self, wanted: &Groups<'_>, rule: &Rule) -> Rule {
        let peer = match &rule.peer {
            Peer::Group(key) => Peer::Group(self.rename(wanted, key)),
            Peer::Prefix(_) => rule.peer.clone(),
        };
        Rule { peer, ..rule.clone() }
    }

    /// The numbers of all desired groups.
    pub(super) fn binding(&self, table: &Table<'_>) -> Binding {
        let numbers = table.wanted.numbers.iter().zip(&self.numbers);
        numbers.filter_map(|(group, number)| Some((*group, (*number)?))).collect()
    }
}

// ------------------------------------------------------------------------------------------- Wearers

/// What groups have wearers in common.
#[derive(Debug)]
struct Rivals {
    /// Pairs of a desired group and one that is there, neither of which has another choice.
    alone: Vec<(usize, usize)>,
    /// The others, by rank.
    ranked: Vec<(Rank, (usize, usize))>,
}

/// The largest common set of wearers first, and of equal ones that with the fewest other wearers.
type Rank = (Reverse<usize>, usize);

/// The choices that a group has.
#[derive(Clone, Copy, Debug)]
enum Choice {
    None,
    One(usize),
    Many,
}

impl Choice {
    const fn add(&mut self, place: usize) {
        *self = match *self {
            Self::None => Self::One(place),
            Self::One(known) if known == place => Self::One(place),
            Self::One(_) | Self::Many => Self::Many,
        };
    }
}

impl Rivals {
    fn new(table: &Table<'_>, banned: &BTreeSet<GroupNumber>) -> Self {
        let lasting: Vec<bool> = table
            .there
            .numbers
            .iter()
            .map(|number| !is_passing(*number) && !banned.contains(number))
            .collect();
        let lasting = |place: &usize| lasting.get(*place).copied().unwrap_or(false);
        let pairs = |line: usize| {
            let there = table.worn(line).iter().copied().filter(lasting);
            there.flat_map(move |there| table.asked(line).iter().map(move |it| (*it, there)))
        };
        let mut of_wanted = vec![Choice::None; table.wanted.len()];
        let mut of_there = vec![Choice::None; table.there.len()];
        for line in 0..table.lines.len() {
            for (wanted, there) in pairs(line) {
                of_wanted.get_mut(wanted).into_iter().for_each(|it| it.add(there));
                of_there.get_mut(there).into_iter().for_each(|it| it.add(wanted));
            }
        }
        let is_alone = |wanted: usize, there: usize| {
            matches!(of_wanted.get(wanted), Some(Choice::One(_)))
                && matches!(of_there.get(there), Some(Choice::One(_)))
        };
        let alone = of_wanted.iter().enumerate().filter_map(|(wanted, choice)| match choice {
            Choice::One(there) if is_alone(wanted, *there) => Some((wanted, *there)),
            Choice::None | Choice::One(_) | Choice::Many => None,
        });
        let alone = alone.collect();
        let mut sizes: Vec<usize> = vec![0; table.there.len()];
        let mut common: HashMap<(usize, usize), usize> = HashMap::new();
        for (line, it) in table.lines.iter().enumerate() {
            if it.wanted.is_none() {
                continue;
            }
            for there in table.worn(line) {
                sizes.get_mut(*there).into_iter().for_each(|size| *size += 1);
            }
            for (wanted, there) in pairs(line).filter(|(wanted, there)| !is_alone(*wanted, *there))
            {
                *common.entry((wanted, there)).or_default() += 1;
            }
        }
        let ranked = common.into_iter().map(|((wanted, there), wearers)| {
            let others = sizes.get(there).copied().unwrap_or(0) - wearers;
            ((Reverse(wearers), others), (wanted, there))
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        Self { alone, ranked }
    }

    /// Binds greedily, and tells whether it took comparing rules, which depends on what is `known` to be bound.
    fn settle(&self, table: &Table<'_>, known: &Bound) -> (Bound, bool) {
        let mut bound = Bound::first(table);
        let bind = |bound: &mut Bound, (wanted, there): (usize, usize)| {
            if let Some(number) = table.there.numbers.get(there)
                && bound.number(wanted).is_none()
                && bound.holder(there).is_none()
            {
                bound.bind(wanted, Some(there), *number);
            }
        };
        self.alone.iter().for_each(|pair| bind(&mut bound, *pair));
        let mut named = None;
        for equal in self.ranked.chunk_by(|a, b| a.0 == b.0) {
            let open: Vec<(usize, usize)> = equal
                .iter()
                .map(|(_, pair)| *pair)
                .filter(|(wanted, there)| {
                    bound.number(*wanted).is_none() && bound.holder(*there).is_none()
                })
                .collect();
            let mut counts: [HashMap<usize, usize>; 2] = Default::default();
            for (wanted, there) in &open {
                let [of_wanted, of_there] = &mut counts;
                *of_wanted.entry(*wanted).or_default() += 1;
                *of_there.entry(*there).or_default() += 1;
            }
            let [of_wanted, of_there] = &counts;
            let contested = |(wanted, there): &(usize, usize)| {
                of_wanted.get(wanted) != Some(&1) || of_there.get(there) != Some(&1)
            };
            let (contested, clear): (Vec<_>, Vec<_>) = open.into_iter().partition(contested);
            clear.into_iter().for_each(|pair| bind(&mut bound, pair));
            if contested.is_empty() {
                continue;
            }
            let named = named.get_or_insert_with(|| Named::both(table));
            let different = |pair| (named.different(table, known, pair), pair);
            let mut ordered: Vec<_> = contested.into_iter().map(different).collect();
            ordered
                .sort_unstable_by_key(|(different, (wanted, there))| (*different, *there, *wanted));
            ordered.into_iter().for_each(|(_, pair)| bind(&mut bound, pair));
        }
        (bound, named.is_some())
    }
}

/// By whom and for what each group is named, on both sides.
#[derive(Debug)]
struct Named {
    wanted: HashMap<usize, Vec<(usize, Direction, Shape)>>,
    there: HashMap<usize, Vec<(usize, Direction, Shape)>>,
}

impl Named {
    fn both(table: &Table<'_>) -> Self {
        let used = |place: &usize| table.used.has(*place);
        let ours = 0..table.there.numbers.len();
        Self {
            wanted: Self::of(&table.wanted, (0..table.wanted.len()).filter(used)),
            there: Self::of(&table.there, ours),
        }
    }

    fn of(
        groups: &Groups<'_>,
        namers: impl Iterator<Item = usize>,
    ) -> HashMap<usize, Vec<(usize, Direction, Shape)>> {
        let mut named: HashMap<usize, Vec<_>> = HashMap::new();
        for namer in namers {
            for rule in groups.rules(namer) {
                if let Some(place) = names(rule).and_then(|number| groups.place_of(number)) {
                    named.entry(place).or_default().push((namer, rule.direction, rule.shape));
                }
            }
        }
        named
    }

    /// In how much a desired group and one that is there differ: in rules, and in who names them for what. Each step towards
    /// a binding makes it the more likely one, so that planning again does not change its mind.
    fn different(
        &self,
        table: &Table<'_>,
        known: &Bound,
        (wanted, there): (usize, usize),
    ) -> usize {
        let asked = self.wanted.get(&wanted).into_iter().flatten();
        let asked: BTreeSet<_> = asked
            .filter_map(|(namer, direction, shape)| {
                Some((known.number(*namer)?, *direction, *shape))
            })
            .collect();
        let told = self.there.get(&there).into_iter().flatten();
        let told: BTreeSet<_> = told
            .filter(|(namer, _, _)| known.holder(*namer).is_some())
            .filter_map(|(namer, direction, shape)| {
                Some((*table.there.numbers.get(*namer)?, *direction, *shape))
            })
            .collect();
        let alike = alike(table, wanted, there, known) + asked.intersection(&told).count();
        let rules = table.wanted.rules(wanted).len() + table.there.rules(there).len();
        rules + asked.len() + told.len() - 2 * alike
    }
}

/// The number of rules that two groups share; a reference to a group that is not bound is taken for equal to any other such one.
fn alike(table: &Table<'_>, wanted: usize, there: usize, known: &Bound) -> usize {
    type Counts = BTreeMap<(Direction, Option<Peer>, Shape), usize>;
    fn count(rules: &BTreeSet<Rule>, peer: impl Fn(&Rule) -> Option<Peer>) -> Counts {
        let mut counts = Counts::new();
        for rule in rules {
            *counts.entry((rule.direction, peer(rule), rule.shape)).or_default() += 1;
        }
        counts
    }
    let there = count(table.there.rules(there), |rule| {
        let held = |number| known.holder(table.there.place_of(number)?);
        let unbound = names(rule).is_some_and(|it| held(it).is_none());
        (!unbound).then(|| rule.peer.clone())
    });
    let wanted = count(table.wanted.rules(wanted), |rule| {
        let number = |wanted| known.number(table.wanted.place_of(wanted)?);
        let unbound = names(rule).is_some_and(|it| number(it).is_none());
        (!unbound).then(|| known.rename_rule(&table.wanted, rule).peer)
    });
    let shared = |(rule, count): (_, usize)| there.get(&rule).copied().unwrap_or(0).min(count);
    wanted.into_iter().map(shared).sum()
}

// ---------------------------------------------------------------------------------------- References

/// The desired groups that are used and not bound, by place.
fn unbound(table: &Table<'_>, bound: &Bound) -> Vec<usize> {
    table.used.places().filter(|it| bound.number(*it).is_none()).collect()
}

/// Binds groups that nobody wears, but that bound ones name, to those that are named alike.
fn by_references(table: &Table<'_>, banned: &BTreeSet<GroupNumber>, bound: &mut Bound) {
    if unbound(table, bound).is_empty() {
        return;
    }
    let worn = table.in_wear();
    let free = |place: usize, bound: &Bound| {
        let number = table.there.numbers.get(place);
        !worn.has(place)
            && number.is_some_and(|it| !is_passing(*it) && !banned.contains(it))
            && bound.holder(place).is_none()
    };
    let mut queue: VecDeque<usize> =
        (0..table.wanted.len()).filter(|it| bound.number(*it).is_some()).collect();
    while let Some(group) = queue.pop_front() {
        let Some(place) = bound.number(group).and_then(|it| table.there.place_of(it)) else {
            continue;
        };
        for rule in table.wanted.rules(group) {
            let named = names(rule).and_then(|named| table.wanted.place_of(named));
            let Some(named) = named.filter(|named| bound.number(*named).is_none()) else {
                continue;
            };
            let there = table.there.rules(place).iter();
            let there = there
                .filter(|other| (other.direction, other.shape) == (rule.direction, rule.shape))
                .filter_map(|other| table.there.place_of(names(other)?))
                .filter(|other| free(*other, bound));
            let different = |other: &usize| {
                let shared = alike(table, named, *other, bound);
                let rules = table.wanted.rules(named).len() + table.there.rules(*other).len();
                (rules - 2 * shared, *other)
            };
            let closest = there.min_by_key(different);
            if let Some((other, number)) =
                closest.and_then(|it| Some((it, *table.there.numbers.get(it)?)))
            {
                bound.bind(named, Some(other), number);
                queue.push_back(named);
            }
        }
    }
}

/// Gives the others the smallest numbers that nobody uses.
fn by_number(table: &Table<'_>, banned: &BTreeSet<GroupNumber>, bound: &mut Bound) {
    let waiting = unbound(table, bound);
    if waiting.is_empty() {
        return;
    }
    let mut taken = table.in_wear();
    let worn: Vec<usize> = taken.places().collect();
    worn.into_iter().flat_map(|group| table.names(group)).for_each(|named| taken.set(*named));
    let mut free = (0..).map(GroupNumber::nth).filter(|number| !banned.contains(number));
    for group in waiting {
        let number = free.find_map(|number| {
            let place = table.there.place_of(number);
            let used = place.is_some_and(|it| taken.has(it) || bound.holder(it).is_some());
            (!used).then_some((place, number))
        });
        if let Some((place, number)) = number {
            bound.bind(group, place, number);
        }
    }
}
