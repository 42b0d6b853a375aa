//! The part of a world that a plan can change, and whoever that can concern; the rest stays as it is in every state of the plan, and
//! everything else about a plan looks at the part alone.
//!
//! What is left out can never leave the band. An end that does not change, and that refers to no group of a mover and is
//! referred to by no rule that comes or goes, meets an end that changes by addresses alone, besides rules that stay: it lets
//! through the same at its own end in every state, and the proof compares the end that changes with every address. Joining or
//! intersecting all three of O, A and N with what stays keeps the band.

use std::collections::{BTreeMap, BTreeSet};

use super::bind::{Binding, Bound};
use super::state::{names, our_number};
use super::table::{Line, Marks, Table};
use crate::firewall::{GroupKey, GroupNumber, Peer, Rule, State};
use crate::inventory::{Attachment, Inventory};
use crate::provider::Observed;

/// The part of a world that a plan looks at.
#[derive(Debug)]
pub(super) struct Part {
    /// What is there of it.
    pub(super) observed: Observed,
    /// Its pods, and what else the cloud tells.
    pub(super) inventory: Inventory,
    /// What is wanted of it, in the cloud's numbers.
    pub(super) goal: State,
    /// The desired numbers of its groups, and of those that their rules name.
    pub(super) asked: Binding,
    /// Those of its groups that somebody apart wears, or a group apart names; and the closed group, which stays whoever wears it.
    pub(super) anchored: BTreeSet<GroupNumber>,
    /// The number of our groups apart.
    pub(super) others: usize,
}

/// What is there and what is wanted of it.
struct Sides<'t, 'a> {
    table: &'t Table<'a>,
    bound: &'t Bound,
    observed: &'a Observed,
    /// Rules of others that stay in groups of ours.
    kept: BTreeMap<GroupNumber, Vec<&'a Rule>>,
}

/// What changes. Groups go by the places of those that are there, interfaces by their lines.
struct Changes {
    /// Groups that are there and gain or lose rules, or go.
    groups: Marks,
    /// Desired groups that are not there, by their own places.
    fresh: Vec<usize>,
    /// Interfaces that are to wear other groups.
    moves: Marks,
}

impl Part {
    pub(super) fn new(
        table: &Table<'_>,
        bound: &Bound,
        observed: &Observed,
        inventory: &Inventory,
    ) -> Self {
        let mut kept: BTreeMap<GroupNumber, Vec<&Rule>> = BTreeMap::new();
        for (group, rule) in &observed.foreign_rules {
            kept.entry(*group).or_default().push(rule);
        }
        let sides = Sides { table, bound, observed, kept };
        let changes = sides.changes();
        let lines = sides.lines(&changes);
        sides.part(&changes, &lines, inventory)
    }

    /// The whole world in which this part has become that.
    pub(super) fn within(&self, whole: &State, that: State) -> State {
        let mut state = whole.clone();
        state.groups.retain(|key, _| !self.observed.state.groups.contains_key(key));
        state.groups.extend(that.groups);
        state.interfaces.extend(that.interfaces);
        state
    }
}

impl Sides<'_, '_> {
    // ---------------------------------------------------------------------------------------- Changes

    fn changes(&self) -> Changes {
        let Table { wanted, there, lines, used, .. } = self.table;
        let mut changes =
            Changes { groups: self.idle(), fresh: Vec::new(), moves: Marks::new(lines.len()) };
        for place in 0..there.numbers.len() {
            if self.gains_or_loses(place) {
                changes.groups.set(place);
            }
        }
        let absent = |place: &usize| {
            self.bound.number(*place).is_some_and(|number| there.place_of(number).is_none())
        };
        changes.fresh = used.places().filter(absent).collect();
        for (place, line) in lines.iter().enumerate() {
            let moves = line.wanted.as_ref().is_some_and(|asked| {
                let worn = |key| line.now.is_some_and(|now| now.contains(&key));
                line.now.map_or(0, BTreeSet::len) != asked.len()
                    || !asked.iter().all(|key| worn(self.bound.rename(wanted, key)))
            });
            if moves {
                changes.moves.set(place);
            }
        }
        changes
    }

    /// The groups that are bound to nothing desired and that nobody uses any more.
    fn idle(&self) -> Marks {
        let there = &self.table.there;
        let mut idle = Marks::new(there.len());
        let unbound = |place: &usize| self.bound.holder(*place).is_none();
        (0..there.numbers.len()).filter(unbound).for_each(|place| idle.set(place));
        if idle.places().next().is_none() {
            return idle;
        }
        let still = self.table.lines.iter().enumerate().filter(|(_, line)| line.wanted.is_none());
        let worn = still.flat_map(|(line, _)| self.table.worn(line)).copied();
        let foreign = (there.numbers.len()..there.len()).flat_map(|it| self.table.names(it));
        let kept = self.kept.values().flatten().filter_map(|rule| there.place_of(names(rule)?));
        let mut queue: Vec<usize> = worn.chain(foreign.copied()).chain(kept).collect();
        while let Some(place) = queue.pop() {
            if idle.has(place) {
                idle.clear(place);
                queue.extend(self.table.names(place));
            }
        }
        idle
    }

    /// Whether the rules of a group that is there change.
    fn gains_or_loses(&self, place: usize) -> bool {
        let Table { wanted, there, .. } = self.table;
        let now = there.rules(place);
        let kept = there.numbers.get(place).and_then(|number| self.kept.get(number));
        match self.bound.holder(place) {
            Some(_) if kept.is_some() => self.wanted_of(place) != *now,
            Some(holder) => {
                let asked = wanted.rules(holder);
                let in_order = || asked.iter().zip(now).all(|(rule, it)| self.is(rule, it));
                let in_any = || {
                    let mut asked = asked.iter();
                    asked.all(|rule| now.contains(&self.bound.rename_rule(wanted, rule)))
                };
                asked.len() != now.len() || !(in_order() || in_any())
            }
            None => kept.into_iter().flatten().any(|rule| !now.contains(*rule)),
        }
    }

    /// Whether a desired rule is one that is there.
    fn is(&self, asked: &Rule, there: &Rule) -> bool {
        let peer = match (&asked.peer, &there.peer) {
            (Peer::Group(asked), Peer::Group(there)) => {
                self.bound.rename(&self.table.wanted, asked) == *there
            }
            (asked, there) => asked == there,
        };
        asked.direction == there.direction && asked.shape == there.shape && peer
    }

    /// The rules that are wanted of a group that is there.
    fn wanted_of(&self, place: usize) -> BTreeSet<Rule> {
        let Table { wanted, there, .. } = self.table;
        let kept = there.numbers.get(place).and_then(|number| self.kept.get(number));
        let kept = kept.into_iter().flatten().map(|rule| (*rule).clone());
        match self.bound.holder(place) {
            Some(holder) => {
                let asked = wanted.rules(holder).iter();
                asked.map(|rule| self.bound.rename_rule(wanted, rule)).chain(kept).collect()
            }
            None => there.rules(place).iter().cloned().chain(kept).collect(),
        }
    }

    /// The groups that an interface is to wear.
    fn goal_of(&self, line: &Line<'_>) -> Option<BTreeSet<GroupKey>> {
        let asked = line.wanted.as_ref().map(|asked| {
            asked.iter().map(|key| self.bound.rename(&self.table.wanted, key)).collect()
        });
        asked.or_else(|| line.now.cloned())
    }

    // ------------------------------------------------------------------------------------------ Lines

    /// The interfaces that change, that wear a group that changes, or that meet such a one by a reference.
    fn lines(&self, changes: &Changes) -> Vec<usize> {
        let Table { there, lines, .. } = self.table;
        // Whoever wears one of these is concerned.
        let mut near = changes.groups.clone();
        let mut mark = |rule: &Rule| {
            let Peer::Group(key) = &rule.peer else { return };
            there.place(key).into_iter().for_each(|place| near.set(place));
        };
        for place in changes.groups.places() {
            let (now, then) = (there.rules(place), self.wanted_of(place));
            now.symmetric_difference(&then).for_each(&mut mark);
        }
        let mut moving = Marks::new(there.len());
        for line in changes.moves.places() {
            self.table.worn(line).iter().for_each(|place| moving.set(*place));
            for asked in self.table.asked(line) {
                self.table.wanted.rules(*asked).iter().for_each(|rule| {
                    mark(&self.bound.rename_rule(&self.table.wanted, rule));
                });
            }
            let goal = lines.get(line).and_then(|line| self.goal_of(line)).unwrap_or_default();
            goal.iter().filter_map(|key| there.place(key)).for_each(|place| moving.set(place));
        }
        for place in moving.places() {
            there.rules(place).iter().for_each(&mut mark);
        }
        if moving.places().next().is_some() {
            let names = |place: &usize| self.table.names(*place).iter().any(|it| moving.has(*it));
            (0..there.len()).filter(names).for_each(|place| near.set(place));
        }
        let concerned = |place: &usize| {
            changes.moves.has(*place)
                || self.table.worn(*place).iter().any(|group| near.has(*group))
                || lines.get(*place).is_some_and(|line| self.is_record_left(line))
        };
        (0..lines.len()).filter(concerned).collect()
    }

    /// Whether an interface has a record although it wears nothing of ours.
    fn is_record_left(&self, line: &Line<'_>) -> bool {
        let ours = |key: &GroupKey| our_number(key).is_some();
        !self.observed.records.is_empty()
            && line.now.is_some_and(|now| !now.iter().any(ours))
            && line.seen.is_some_and(|seen| matches!(seen.attachment, Attachment::Exclusive))
            && self.observed.records.contains_key(line.id)
    }

    // ------------------------------------------------------------------------------------------- Part

    fn part(&self, changes: &Changes, lines: &[usize], inventory: &Inventory) -> Part {
        let Table { wanted, there, .. } = self.table;
        let taken = self.observed.taken.clone();
        let mut observed = Observed { taken, ..Observed::default() };
        let mut goal = State::default();
        let mut part = Inventory::default();
        let mut groups = changes.groups.clone();
        for place in lines {
            let Some(line) = self.table.lines.get(*place) else { continue };
            let of = |worn: &BTreeSet<GroupKey>, groups: &mut Marks| {
                let places = worn.iter().filter_map(|key| there.place(key));
                places.for_each(|place| groups.set(place));
            };
            of(&line.wears(), &mut groups);
            if let Some(now) = line.now {
                observed.state.interfaces.insert(line.id.clone(), now.clone());
            }
            if let Some(worn) = self.goal_of(line) {
                of(&worn, &mut groups);
                goal.interfaces.insert(line.id.clone(), worn);
            }
            if let Some(seen) = line.seen {
                observed.interfaces.insert(line.id.clone(), seen.clone());
            }
            if let Some(told) = line.told {
                part.interfaces.insert(line.id.clone(), told.clone());
            }
            if let Some(record) = self.observed.records.get(line.id) {
                observed.records.insert(line.id.clone(), record.clone());
            }
        }
        let anchored = self.anchors(changes, lines, &mut groups);
        for place in groups.places() {
            let Some(key) = there.key(place) else { continue };
            goal.groups.insert(key.clone(), self.wanted_of(place));
            let rules = there.rules(place);
            if let GroupKey::Foreign(id) = &key
                && inventory.foreign.contains_key(id)
            {
                part.foreign.insert(id.clone(), rules.clone());
            }
            if self.observed.state.groups.contains_key(&key) {
                observed.state.groups.insert(key, rules.clone());
            }
        }
        for place in &changes.fresh {
            if let Some(number) = self.bound.number(*place) {
                let rules = wanted.rules(*place).iter();
                let rules = rules.map(|rule| self.bound.rename_rule(wanted, rule)).collect();
                goal.groups.insert(GroupKey::Ours(number), rules);
            }
        }
        let carried = |interface| {
            goal.interfaces.contains_key(interface)
                || part.interfaces.contains_key(interface)
                || observed.interfaces.contains_key(interface)
        };
        let pods = inventory.pods_of_policies().map(|(_, pod)| pod);
        let pods = pods.filter(|pod| pod.interface.as_ref().is_some_and(carried)).cloned();
        part.pods = pods.collect();
        let others = (0..there.numbers.len()).filter(|place| !groups.has(*place)).count();
        let asked = self.asked(&goal, &changes.fresh);
        Part { observed, inventory: part, goal, asked, anchored, others }
    }

    /// The groups of a part that are used apart. Takes groups in that may be used within the part alone.
    fn anchors(
        &self,
        changes: &Changes,
        lines: &[usize],
        groups: &mut Marks,
    ) -> BTreeSet<GroupNumber> {
        let Table { wanted, there, .. } = self.table;
        let mut apart = Marks::new(there.len());
        // In any case, used by somebody who stays as he is.
        let mut stays = Marks::new(there.len());
        let mut inside = lines.iter().peekable();
        for line in 0..self.table.lines.len() {
            let is_inside = inside.next_if(|it| **it == line).is_some();
            if !changes.moves.has(line) {
                for group in self.table.worn(line) {
                    stays.set(*group);
                    if !is_inside {
                        apart.set(*group);
                    }
                }
            }
        }
        let mut queue: Vec<usize> = groups
            .places()
            .filter(|place| changes.groups.has(*place) || !stays.has(*place))
            .collect();
        let fresh = changes.fresh.iter().flat_map(|place| wanted.rules(*place));
        let fresh =
            fresh.filter_map(|rule| there.place_of(names(&self.bound.rename_rule(wanted, rule))?));
        let take = |place: usize, groups: &mut Marks, queue: &mut Vec<usize>| {
            if !groups.has(place) && !stays.has(place) {
                groups.set(place);
                queue.push(place);
            }
        };
        fresh.for_each(|place| take(place, groups, &mut queue));
        while let Some(place) = queue.pop() {
            let (now, then) = (there.rules(place), self.wanted_of(place));
            for named in now.iter().chain(&then).filter_map(|rule| there.place_of(names(rule)?)) {
                take(named, groups, &mut queue);
            }
        }
        if groups.places().any(|place| place < there.numbers.len() && !stays.has(place)) {
            for place in (0..there.len()).filter(|place| !groups.has(*place)) {
                self.table.names(place).iter().for_each(|named| apart.set(*named));
            }
        }
        let anchored = groups.places().filter(|place| apart.has(*place));
        let anchored = anchored.filter_map(|place| there.numbers.get(place).copied());
        let closed = wanted.place_of(GroupNumber::CLOSED).and_then(|it| self.bound.number(it));
        anchored.chain(closed).collect()
    }

    /// The desired numbers of groups and of those that their rules name.
    fn asked(&self, goal: &State, fresh: &[usize]) -> Binding {
        let Table { wanted, there, .. } = self.table;
        let fresh: BTreeMap<GroupNumber, usize> =
            fresh.iter().filter_map(|place| Some((self.bound.number(*place)?, *place))).collect();
        let named = goal.groups.values().flatten().filter_map(names);
        let all = goal.groups.keys().filter_map(our_number).chain(named);
        all.filter_map(|number| {
            let held = there.place_of(number).and_then(|place| self.bound.holder(place));
            let place = held.or_else(|| fresh.get(&number).copied())?;
            Some((number, *wanted.numbers.get(place)?))
        })
        .collect()
    }
}
