//! Desired numbers to the numbers that groups bear in the cloud: a class keeps the group that most of its pods wear, so that an
//! edit costs rule calls, not interface calls.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::middle::is_passing;
use super::state::{in_use, names, our_number, ours, rules, worn};
use crate::firewall::{GroupKey, GroupNumber, Peer, Rule, State};
use crate::net::Shape;
use crate::policy::Direction;

/// Numbers of desired groups to numbers in the cloud.
pub(super) type Binding = BTreeMap<GroupNumber, GroupNumber>;

/// How often groups are compared anew, with the references that the round before has bound.
const ROUNDS: usize = 3;

/// Binds the desired groups that somebody wears or names, but to none of `banned`.
///
/// A group that nobody wears and no worn one names is as good as a free number: an interrupted plan made it, and planning
/// again uses it again.
pub(super) fn bind(desired: &State, observed: &State, banned: &BTreeSet<GroupNumber>) -> Binding {
    // How alike two groups are can only be told once references are bound: what one round binds, the next compares.
    let named = [Named::new(desired), Named::new(observed)];
    let mut binding = Binding::new();
    for _ in 0..=ROUNDS {
        let mut next = by_wearers(desired, observed, banned, &named, &binding);
        by_references(desired, observed, banned, &mut next);
        if std::mem::replace(&mut binding, next) == binding {
            break;
        }
    }
    let taken: BTreeSet<GroupNumber> = binding.values().copied().collect();
    let (worn, named) = in_use(observed);
    let mut free = (0..)
        .map(GroupNumber::nth)
        .filter(|number| !taken.contains(number) && !worn.contains(number))
        .filter(|number| !named.contains(number))
        .filter(|number| !banned.contains(number));
    for group in used(desired) {
        if !binding.contains_key(&group) {
            binding.extend(free.next().map(|number| (group, number)));
        }
    }
    binding
}

/// A desired state with the numbers of the cloud.
pub(super) fn rename(state: &State, binding: &Binding) -> State {
    let key = |key: &GroupKey| match key {
        GroupKey::Ours(number) => GroupKey::Ours(binding.get(number).copied().unwrap_or(*number)),
        GroupKey::Foreign(_) => key.clone(),
    };
    let bound = |group: &&GroupKey| our_number(group).is_none_or(|it| binding.contains_key(&it));
    let groups = state.groups.iter().filter(|(group, _)| bound(group)).map(|(group, rules)| {
        (key(group), rules.iter().map(|rule| rename_rule(rule, binding)).collect())
    });
    let interfaces = state
        .interfaces
        .iter()
        .map(|(interface, worn)| (interface.clone(), worn.iter().map(key).collect()));
    State { groups: groups.collect(), interfaces: interfaces.collect() }
}

/// A desired rule with the numbers of the cloud.
pub(super) fn rename_rule(rule: &Rule, binding: &Binding) -> Rule {
    match names(rule).and_then(|number| binding.get(&number)) {
        Some(number) => Rule { peer: Peer::Group(GroupKey::Ours(*number)), ..rule.clone() },
        None => rule.clone(),
    }
}

/// Greedily, the largest common set of wearers first.
fn by_wearers(
    desired: &State,
    observed: &State,
    banned: &BTreeSet<GroupNumber>,
    [named_wanted, named_there]: &[Named; 2],
    known: &Binding,
) -> Binding {
    let mut common: BTreeMap<(GroupNumber, GroupNumber), usize> = BTreeMap::new();
    let mut sizes: BTreeMap<GroupNumber, usize> = BTreeMap::new();
    for (interface, wanted) in &desired.interfaces {
        let there: Vec<_> = worn(observed, interface).iter().filter_map(our_number).collect();
        for number in &there {
            *sizes.entry(*number).or_default() += 1;
        }
        for group in wanted.iter().filter_map(our_number) {
            let lasting = |it: &&GroupNumber| !is_passing(**it) && !banned.contains(it);
            for number in there.iter().filter(lasting) {
                *common.entry((group, *number)).or_default() += 1;
            }
        }
    }
    let bound: BTreeSet<GroupNumber> = known.values().copied().collect();
    let (mut of_group, mut of_number) = (BTreeMap::new(), BTreeMap::new());
    for (group, number) in common.keys() {
        *of_group.entry(*group).or_insert(0) += 1;
        *of_number.entry(*number).or_insert(0) += 1;
    }
    let mut candidates: Vec<_> = common
        .into_iter()
        .map(|((group, number), wearers)| {
            // What has no rival is bound in any case.
            if (of_group.get(&group), of_number.get(&number)) == (Some(&1), Some(&1)) {
                return (Reverse(wearers), 0, 0, number, group);
            }
            let (wanted, there) = (rules(desired, group), rules(observed, number));
            let asked = named_wanted.of(group, |namer| known.get(&namer).copied());
            let told = named_there.of(number, |namer| bound.contains(&namer).then_some(namer));
            let alike = alike(wanted, there, known, &bound) + asked.intersection(&told).count();
            // Each step towards a binding makes it the more likely one, so that planning again does not change its mind.
            let different = wanted.len() + asked.len() + there.len() + told.len() - 2 * alike;
            let others = sizes.get(&number).copied().unwrap_or(0) - wearers;
            (Reverse(wearers), others, different, number, group)
        })
        .collect();
    candidates.sort_unstable();
    let (mut binding, mut taken) = (Binding::new(), BTreeSet::new());
    for (_, _, _, number, group) in candidates {
        if !binding.contains_key(&group) && taken.insert(number) {
            binding.insert(group, number);
        }
    }
    binding
}

/// By whom and for what each group is named.
#[derive(Debug, Default)]
struct Named(BTreeMap<GroupNumber, BTreeSet<(GroupNumber, Direction, Shape)>>);

impl Named {
    fn new(state: &State) -> Self {
        let mut named = Self::default();
        for group in ours(state) {
            for rule in rules(state, group) {
                if let Some(other) = names(rule) {
                    let names = named.0.entry(other).or_default();
                    names.insert((group, rule.direction, rule.shape));
                }
            }
        }
        named
    }

    /// By whom and for what, as far as `rename` knows the namer.
    fn of(
        &self,
        group: GroupNumber,
        rename: impl Fn(GroupNumber) -> Option<GroupNumber>,
    ) -> BTreeSet<(GroupNumber, Direction, Shape)> {
        let names = self.0.get(&group).into_iter().flatten();
        names
            .filter_map(|(namer, direction, shape)| Some((rename(*namer)?, *direction, *shape)))
            .collect()
    }
}

/// The number of rules that two groups share; a reference to a group that is not bound is taken for equal to any other such one.
fn alike(
    wanted: &BTreeSet<Rule>,
    there: &BTreeSet<Rule>,
    known: &Binding,
    bound: &BTreeSet<GroupNumber>,
) -> usize {
    type Counts = BTreeMap<(Direction, Option<Peer>, Shape), usize>;
    fn count(rules: &BTreeSet<Rule>, peer: impl Fn(&Rule) -> Option<Peer>) -> Counts {
        let mut counts = Counts::new();
        for rule in rules {
            *counts.entry((rule.direction, peer(rule), rule.shape)).or_default() += 1;
        }
        counts
    }
    let there = count(there, |rule| {
        let unbound = names(rule).is_some_and(|it| !bound.contains(&it));
        (!unbound).then(|| rule.peer.clone())
    });
    let wanted = count(wanted, |rule| {
        let unbound = names(rule).is_some_and(|it| !known.contains_key(&it));
        (!unbound).then(|| rename_rule(rule, known).peer)
    });
    let shared = |(rule, count): (_, usize)| there.get(&rule).copied().unwrap_or(0).min(count);
    wanted.into_iter().map(shared).sum()
}

/// Binds groups that nobody wears, but that bound ones name, to those that are named alike.
fn by_references(
    desired: &State,
    observed: &State,
    banned: &BTreeSet<GroupNumber>,
    binding: &mut Binding,
) {
    let (worn, _) = in_use(observed);
    let mut bound: BTreeSet<GroupNumber> = binding.values().copied().collect();
    let free = |number: &GroupNumber, bound: &BTreeSet<GroupNumber>| {
        !worn.contains(number)
            && !is_passing(*number)
            && !banned.contains(number)
            && !bound.contains(number)
    };
    let mut queue: VecDeque<_> = binding.iter().map(|(group, number)| (*group, *number)).collect();
    while let Some((group, number)) = queue.pop_front() {
        for rule in rules(desired, group) {
            let Some(named) = names(rule).filter(|named| !binding.contains_key(named)) else {
                continue;
            };
            let named_there = rules(observed, number)
                .iter()
                .filter(|other| (other.direction, other.shape) == (rule.direction, rule.shape))
                .filter_map(names)
                .filter(|other| free(other, &bound));
            let different = |other: &GroupNumber| {
                let (wanted, there) = (rules(desired, named), rules(observed, *other));
                let shared = alike(wanted, there, binding, &bound);
                (wanted.len() + there.len() - 2 * shared, *other)
            };
            if let Some(there) = named_there.min_by_key(different) {
                binding.insert(named, there);
                bound.insert(there);
                queue.push_back((named, there));
            }
        }
    }
}

/// The groups of ours that somebody wears, or that a rule of such a group or of someone else's names.
pub(super) fn used(state: &State) -> BTreeSet<GroupNumber> {
    let worn = state.interfaces.values().flatten().filter_map(our_number);
    let foreign = state.groups.iter().filter(|(key, _)| our_number(key).is_none());
    let named = foreign.flat_map(|(_, rules)| rules.iter().filter_map(names));
    let mut queue: Vec<GroupNumber> = worn.chain(named).collect();
    let all: BTreeSet<GroupNumber> = ours(state).collect();
    let mut used = BTreeSet::new();
    while let Some(group) = queue.pop() {
        if all.contains(&group) && used.insert(group) {
            queue.extend(rules(state, group).iter().filter_map(names));
        }
    }
    used
}
