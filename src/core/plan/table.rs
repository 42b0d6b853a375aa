//! What is wanted and what is there, side by side: one pass over each, after which groups go by their places in lists.

use std::borrow::Cow;
use std::cell::{LazyCell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};

use super::state::our_number;
use crate::compile::Desired;
use crate::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use crate::inventory::{Attachment, Interface, InterfaceId, Inventory};
use crate::provider::Observed;

/// The groups and interfaces of a plan's two sides.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// The desired groups of ours.
    pub(super) wanted: Groups<'a>,
    /// Those of them that somebody is to wear, or that such a group names; and the closed group, if its name is free.
    pub(super) used: Marks,
    /// The groups that are there, ours and others'.
    pub(super) there: Groups<'a>,
    /// The interfaces that are there, sorted.
    pub(super) lines: Vec<Line<'a>>,
    /// The places of the desired groups that each line is to wear.
    asked: Lists,
    /// The places of the groups that each line wears, or that the cloud tells where no state says so.
    worn: Lists,
    /// The groups that are there that each of them names.
    names: OnceCell<Lists>,
}

/// An interface.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) id: &'a InterfaceId,
    /// What it is to wear, in the numbers of the desired groups; none where nothing is wanted, or nothing may change.
    pub(super) wanted: Option<Cow<'a, BTreeSet<GroupKey>>>,
    /// What it wears.
    pub(super) now: Option<&'a BTreeSet<GroupKey>>,
    /// What the picture tells about it.
    pub(super) seen: Option<&'a Interface>,
    /// What the inventory tells about it.
    pub(super) told: Option<&'a Interface>,
}

/// Groups with their rules, by place: ours first, by number.
#[derive(Debug, Default)]
pub(super) struct Groups<'a> {
    pub(super) numbers: Vec<GroupNumber>,
    foreign: Vec<&'a ForeignGroupId>,
    rules: Vec<&'a BTreeSet<Rule>>,
}

/// A flag for each place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks(Vec<bool>);

/// Lists of places, each by the place of what it belongs to.
#[derive(Debug, Default)]
struct Lists {
    all: Vec<usize>,
    ends: Vec<usize>,
}

// ------------------------------------------------------------------------------------------------- Table

impl<'a> Table<'a> {
    pub(super) fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        inventory: &'a Inventory,
    ) -> Self {
        let wanted = Groups::ours(&desired.state.groups);
        let there = Groups::ours(&observed.state.groups)
            .with_foreign(&observed.state.groups, &inventory.foreign);
        let lines = lines(desired, observed, inventory);
        let (mut asked, mut worn) = (Lists::default(), Lists::default());
        let mut used = Marks::new(wanted.len());
        for line in &lines {
            let ours = line.wanted.iter().flat_map(|wanted| wanted.iter());
            asked.push(ours.filter_map(|key| wanted.place(key)).inspect(|place| used.set(*place)));
            worn.push(line.wears().iter().filter_map(|key| there.place(key)));
        }
        let mut table = Self { wanted, used, there, lines, asked, worn, names: OnceCell::new() };
        let closed = table.wanted.place_of(GroupNumber::CLOSED);
        if let Some(closed) = closed.filter(|_| !observed.taken.contains_key(&GroupNumber::CLOSED))
        {
            table.used.set(closed);
        }
        table.use_named();
        table
    }

    /// The places of the desired groups that a line is to wear.
    pub(super) fn asked(&self, line: usize) -> &[usize] {
        self.asked.of(line)
    }

    /// The places of the groups that a line wears.
    pub(super) fn worn(&self, line: usize) -> &[usize] {
        self.worn.of(line)
    }

    /// The places of the groups that a group which is there names.
    pub(super) fn names(&self, place: usize) -> &[usize] {
        let all = || {
            let mut names = Lists::default();
            for rules in &self.there.rules {
                names.push(rules.iter().filter_map(|rule| self.there.place(peer(rule)?)));
            }
            names
        };
        self.names.get_or_init(all).of(place)
    }

    /// The groups that are there and that somebody wears.
    pub(super) fn in_wear(&self) -> Marks {
        let mut marks = Marks::new(self.there.len());
        self.worn.all.iter().for_each(|place| marks.set(*place));
        marks
    }

    /// Marks what used groups name.
    fn use_named(&mut self) {
        let mut queue: Vec<usize> = self.used.places().collect();
        if queue.len() == self.wanted.len() {
            return;
        }
        while let Some(place) = queue.pop() {
            for named in self.wanted.rules(place).iter().filter_map(peer) {
                if let Some(named) = self.wanted.place(named).filter(|it| !self.used.has(*it)) {
                    self.used.set(named);
                    queue.push(named);
                }
            }
        }
    }
}

/// The interfaces that the picture, its state or the inventory names.
fn lines<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
    inventory: &'a Inventory,
) -> Vec<Line<'a>> {
    let mut seen = observed.interfaces.iter().peekable();
    let mut now = observed.state.interfaces.iter().peekable();
    let mut told = inventory.interfaces.iter().peekable();
    let mut asked = desired.state.interfaces.iter().peekable();
    let mut lines = Vec::with_capacity(now.len());
    let borne = LazyCell::new(|| {
        inventory.pods.iter().filter_map(|pod| pod.interface.as_ref()).collect::<BTreeSet<_>>()
    });
    let nothing = desired.state.interfaces.is_empty();
    loop {
        let next = [
            seen.peek().map(|(id, _)| *id),
            now.peek().map(|(id, _)| *id),
            told.peek().map(|(id, _)| *id),
        ];
        let Some(id) = next.into_iter().flatten().min() else { return lines };
        while asked.next_if(|(other, _)| *other < id).is_some() {}
        let asked = asked.next_if(|(other, _)| *other == id).map(|(_, groups)| groups);
        let now = now.next_if(|(other, _)| *other == id).map(|(_, groups)| groups);
        let seen = seen.next_if(|(other, _)| *other == id).map(|(_, interface)| interface);
        let told = told.next_if(|(other, _)| *other == id).map(|(_, interface)| interface);
        let given_back = || nothing || borne.contains(id);
        let wanted = seen.and_then(|seen| wanted(asked, now, seen, given_back));
        lines.push(Line { id, wanted, now, seen, told });
    }
}

/// What an interface is to wear.
fn wanted<'a>(
    asked: Option<&'a BTreeSet<GroupKey>>,
    now: Option<&BTreeSet<GroupKey>>,
    seen: &Interface,
    given_back: impl Fn() -> bool,
) -> Option<Cow<'a, BTreeSet<GroupKey>>> {
    match seen.attachment {
        Attachment::Exclusive => {}
        Attachment::Fixed | Attachment::Released | Attachment::Shared => return None,
    }
    // What no policy concerns any more gets back what it wore. Not the interface of a pod that is gone: nobody uses it, the
    // cloud is about to delete it, and the calls are for pods that live. At the end, when nothing is wanted, it does, too.
    let left = || {
        let prior = || seen.prior.iter().cloned().map(GroupKey::Foreign);
        let worn = now.is_some_and(|now| now.iter().cloned().eq(prior()));
        (!worn && given_back()).then(|| Cow::Owned(prior().collect()))
    };
    // An interface always wears a group.
    asked.map(Cow::Borrowed).or_else(left).filter(|groups| !groups.is_empty())
}

// ---------------------------------------------------------------------------------------------- Line

impl Line<'_> {
    /// What it wears, or where no state says so, what the cloud tells.
    pub(super) fn wears(&self) -> Cow<'_, BTreeSet<GroupKey>> {
        match (self.now, self.seen.or(self.told)) {
            (Some(now), _) => Cow::Borrowed(now),
            (None, Some(told)) => {
                Cow::Owned(told.prior.iter().cloned().map(GroupKey::Foreign).collect())
            }
            (None, None) => Cow::Owned(BTreeSet::new()),
        }
    }
}

// -------------------------------------------------------------------------------------------- Groups

impl<'a> Groups<'a> {
    fn ours(groups: &'a BTreeMap<GroupKey, BTreeSet<Rule>>) -> Self {
        let mut all = Self::default();
        // Ours sort before those of others.
        for (key, rules) in groups {
            let Some(number) = our_number(key) else { break };
            all.numbers.push(number);
            all.rules.push(rules);
        }
        all
    }

    fn with_foreign(
        mut self,
        groups: &'a BTreeMap<GroupKey, BTreeSet<Rule>>,
        others: &'a BTreeMap<ForeignGroupId, BTreeSet<Rule>>,
    ) -> Self {
        let mut all: BTreeMap<&ForeignGroupId, &BTreeSet<Rule>> = others.iter().collect();
        all.extend(groups.iter().skip(self.len()).filter_map(|(key, rules)| match key {
            GroupKey::Foreign(id) => Some((id, rules)),
            GroupKey::Ours(_) => None,
        }));
        self.foreign.extend(all.keys());
        self.rules.extend(all.values());
        self
    }

    pub(super) const fn len(&self) -> usize {
        self.rules.len()
    }

    pub(super) fn place(&self, key: &GroupKey) -> Option<usize> {
        match key {
            GroupKey::Ours(number) => self.place_of(*number),
            GroupKey::Foreign(id) => {
                let place = self.foreign.binary_search(&id).ok()?;
                Some(self.numbers.len() + place)
            }
        }
    }

    /// The place of a group of ours. Where no number is missing, it is one less than the number.
    pub(super) fn place_of(&self, number: GroupNumber) -> Option<usize> {
        let guess = usize::try_from(number.0.get()).ok()?.checked_sub(1)?;
        if self.numbers.get(guess) == Some(&number) {
            return Some(guess);
        }
        self.numbers.binary_search(&number).ok()
    }

    pub(super) fn key(&self, place: usize) -> Option<GroupKey> {
        let foreign = || {
            let id = self.foreign.get(place.checked_sub(self.numbers.len())?)?;
            Some(GroupKey::Foreign((*id).clone()))
        };
        self.numbers.get(place).copied().map(GroupKey::Ours).or_else(foreign)
    }

    pub(super) fn rules(&self, place: usize) -> &'a BTreeSet<Rule> {
        static NONE: BTreeSet<Rule> = BTreeSet::new();
        self.rules.get(place).copied().unwrap_or(&NONE)
    }
}

// --------------------------------------------------------------------------------------------- Marks

impl Marks {
    pub(super) fn new(len: usize) -> Self {
        Self(vec![false; len])
    }

    pub(super) fn has(&self, place: usize) -> bool {
        self.0.get(place).copied().unwrap_or(false)
    }

    pub(super) fn set(&mut self, place: usize) {
        if let Some(mark) = self.0.get_mut(place) {
            *mark = true;
        }
    }

    pub(super) fn clear(&mut self, place: usize) {
        if let Some(mark) = self.0.get_mut(place) {
            *mark = false;
        }
    }

    /// The places with a mark, in order.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().filter(|(_, mark)| **mark).map(|(place, _)| place)
    }
}

// --------------------------------------------------------------------------------------------- Lists

impl Lists {
    fn push(&mut self, places: impl IntoIterator<Item = usize>) {
        self.all.extend(places);
        self.ends.push(self.all.len());
    }

    fn of(&self, place: usize) -> &[usize] {
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(place).copied().unwrap_or(0);
        self.all.get(start.unwrap_or(0)..end).unwrap_or(&[])
    }
}

/// The group that a rule names.
const fn peer(rule: &Rule) -> Option<&GroupKey> {
    match &rule.peer {
        Peer::Group(key) => Some(key),
        Peer::Prefix(_) => None,
    }
}
