//! How carefully each group and each interface changes. A plan begins without care; what a proof finds outside of the band, or
//! a draft outside of a quota, takes one more step of care, until the plan is proved. The last step is to stay as it is.

use std::collections::{BTreeMap, BTreeSet};

use super::band::{Escape, Turn};
use super::draft::changed;
use super::goal::Goal;
use super::path::Manner;
use super::state::{in_use, our_number, ours, rules, worn};
use super::{Held, Purpose, Stage};
use crate::budget::{self, Breach};
use crate::firewall::{GroupKey, GroupNumber, Rule, State};
use crate::inventory::InterfaceId;
use crate::net::Family;
use crate::policy::Direction;
use crate::settings::Quotas;

/// How an interface changes its groups, from the cheapest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Manners {
    /// At once.
    #[default]
    OneCall,
    /// Old and new together, then new: others may need it to wear its new identity before they close.
    TwoCalls,
    /// In the second round, when the groups that it joins hold their new rules alone.
    Late,
    /// By the middle group that an interrupted plan has given to it or to its like.
    Again,
    /// By a middle group of its own: see [`super::middle`].
    Middle,
}

/// The care of everything; what is not named takes none.
#[derive(Clone, Debug, Default)]
pub(super) struct Care {
    groups: BTreeMap<(GroupNumber, Direction), Manner>,
    interfaces: BTreeMap<InterfaceId, Manners>,
    /// Groups whose wearers get a fresh one instead.
    pub(super) spare: BTreeSet<GroupNumber>,
    held_groups: BTreeSet<(GroupNumber, Direction)>,
    held_interfaces: BTreeSet<InterfaceId>,
    /// Interfaces that have no slot left, and give up groups of passage that interrupted plans have left on them.
    shedding: BTreeSet<InterfaceId>,
    breaches: BTreeSet<Breach>,
    /// How many were held when the others were last tried anew.
    relaxed: usize,
    /// Nothing more can be tried: everything stays as it is.
    pub(super) exhausted: bool,
}

/// What does not fit a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    pub(super) breach: Breach,
    pub(super) groups: BTreeSet<(GroupNumber, Direction)>,
    pub(super) interfaces: BTreeSet<InterfaceId>,
    /// A group that cannot be made, or cannot hold its rules.
    pub(super) created: Option<GroupNumber>,
}

impl Stuck {
    pub(super) fn new(breach: Breach) -> Self {
        let (groups, interfaces) = (BTreeSet::new(), BTreeSet::new());
        Self { breach, groups, interfaces, created: None }
    }

    /// A group cannot hold what is wanted of it.
    pub(super) fn group(group: GroupNumber, breach: Breach) -> Self {
        Self { created: Some(group), ..Self::new(breach) }
    }

    /// Interfaces cannot wear so much.
    pub(super) fn interfaces(interfaces: BTreeSet<InterfaceId>, breach: Breach) -> Self {
        Self { interfaces, ..Self::new(breach) }
    }

    /// A worn group has no path within the quota.
    pub(super) fn path(
        group: GroupNumber,
        direction: Direction,
        manner: Manner,
        old: &BTreeSet<Rule>,
        new: &BTreeSet<Rule>,
        quotas: &Quotas,
    ) -> Self {
        let between = match manner {
            Manner::Direct => old | new,
            Manner::Through => old | &super::path::intersection(old, new),
        };
        let count = |family: &Family| budget::rules(&between, direction, *family);
        let family = Family::BOTH.into_iter().max_by_key(count).unwrap_or(Family::V4);
        let (needs, limit) = (count(&family), quotas.rules_per_group);
        let breach = Breach::RulesPerGroup { group, direction, family, needs, limit };
        Self { groups: BTreeSet::from([(group, direction)]), ..Self::new(breach) }
    }
}

/// Something that can take more care.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entity {
    Group(GroupNumber, Direction),
    Interface(InterfaceId),
}

/// One more step of care, from the cheapest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Cautious,
    Late,
    Again,
    Fresh,
    Hold,
}

impl Care {
    /// Leaves alone what was programmed before and no longer fits (DESIGN §6.6): an interface over the quotas that wears groups of
    /// ours keeps them, and they keep their rules. An interface that is `stuck` keeps whatever it wears.
    pub(super) fn holding(
        over_quota: &BTreeSet<InterfaceId>,
        stuck: &BTreeSet<InterfaceId>,
        now: &State,
    ) -> Self {
        let mut care = Self { held_interfaces: stuck.clone(), ..Self::default() };
        for interface in over_quota.iter().chain(stuck) {
            let groups: Vec<GroupNumber> =
                worn(now, interface).iter().filter_map(our_number).collect();
            if !groups.is_empty() {
                care.held_interfaces.insert(interface.clone());
            }
            let sides = groups.into_iter().flat_map(|group| Direction::BOTH.map(|it| (group, it)));
            care.held_groups.extend(sides);
        }
        care
    }

    pub(super) fn group(&self, group: GroupNumber, direction: Direction) -> Manner {
        self.groups.get(&(group, direction)).copied().unwrap_or_default()
    }

    pub(super) fn interface(&self, interface: &InterfaceId) -> Manners {
        self.interfaces.get(interface).copied().unwrap_or_default()
    }

    /// The state at the end: the goal without what is held.
    pub(super) fn target(&self, goal: &Goal<'_>, now: &State) -> State {
        goal.target(now, &self.shedding, &self.held_groups, &self.held_interfaces)
    }

    /// What stays as it is although the goal is another.
    pub(super) fn held(&self, goal: &Goal<'_>, target: &State) -> Held {
        let differs = |group: &GroupNumber| rules(target, *group) != rules(goal.state, *group);
        let interfaces = changed(goal.state, target).into_keys().collect();
        let groups = ours(target).filter(differs).collect();
        Held { groups, interfaces, breaches: self.breaches.iter().cloned().collect() }
    }

    /// Forgets all care but what is held: what others needed while the held ones were to change, they may not need any more. Whether
    /// there is something to forget since the last time.
    pub(super) fn relax(&mut self) -> bool {
        let held = self.held_groups.len() + self.held_interfaces.len();
        let careful =
            !(self.groups.is_empty() && self.interfaces.is_empty() && self.spare.is_empty());
        if self.exhausted || !careful || std::mem::replace(&mut self.relaxed, held) == held {
            return false;
        }
        self.groups.clear();
        self.interfaces.clear();
        self.spare.clear();
        true
    }

    /// Takes one more step of care for what a proof found outside of the band.
    pub(super) fn heed(&mut self, escape: &Escape, stages: &[Stage], now: &State, target: &State) {
        let moving = stages
            .get(escape.stage)
            .is_some_and(|stage| matches!(stage.purpose, Purpose::Wear | Purpose::Move));
        let moves = changed(now, target);
        let mut alike: BTreeMap<_, Vec<&InterfaceId>> = BTreeMap::new();
        for (interface, passage) in &moves {
            alike.entry(*passage).or_default().push(interface);
        }
        let (in_use, _) = in_use(now);
        let concerned = |interface: &InterfaceId, direction: Direction| -> Vec<Entity> {
            let movers = moves.get(interface).and_then(|passage| alike.get(passage));
            let movers = movers.into_iter().flatten().map(|it| Entity::Interface((*it).clone()));
            let groups = worn(now, interface) | worn(target, interface);
            let changes = |group: &GroupNumber| {
                let of = |state| -> Vec<&Rule> {
                    rules(state, *group).iter().filter(|rule| rule.direction == direction).collect()
                };
                in_use.contains(group)
                    && target.groups.contains_key(&GroupKey::Ours(*group))
                    && of(now) != of(target)
            };
            let groups = groups.iter().filter_map(our_number).filter(changes);
            movers.chain(groups.map(|group| Entity::Group(group, direction))).collect()
        };
        let next = |turns: &[Turn]| -> BTreeMap<Entity, Next> {
            let ends = escape.ends.iter().filter(|(_, turn)| turns.contains(turn));
            let entities =
                ends.flat_map(|((interface, direction), _)| concerned(interface, *direction));
            entities.filter_map(|entity| Some((entity.clone(), self.next(&entity)?))).collect()
        };
        let mut found = next(&[Turn::First]);
        if found.values().all(|next| *next > Next::Cautious) {
            found = next(&[Turn::First, Turn::Second]);
        }
        let Some(least) = found.values().min().copied() else {
            return self.hold_everything(now, target);
        };
        found.retain(|_, next| *next == least);
        // The same step at both: where interfaces move, they; where rules change, the groups.
        let preferred = |entity: &Entity| matches!(entity, Entity::Interface(_)) == moving;
        if found.keys().any(preferred) {
            found.retain(|entity, _| preferred(entity));
        }
        for entity in found.into_keys() {
            self.step(entity, least);
        }
    }

    /// Takes one more step of care for what does not fit a quota.
    pub(super) fn fit(&mut self, stuck: Stuck, now: &State, target: &State) {
        let groups = stuck.groups.into_iter().map(|(group, it)| Entity::Group(group, it));
        let mut entities: BTreeSet<Entity> = groups.collect();
        entities.extend(stuck.interfaces.into_iter().map(Entity::Interface));
        let mut advanced = false;
        for entity in entities {
            if let (Entity::Interface(interface), Breach::GroupsPerInterface { .. }) =
                (&entity, &stuck.breach)
                && self.next(&entity) == Some(Next::Hold)
                && worn(now, interface).len() > 1
                && self.shedding.insert(interface.clone())
            {
                self.interfaces.insert(interface.clone(), Manners::OneCall);
                advanced = true;
                continue;
            }
            if let Some(next) = self.next(&entity) {
                if next == Next::Hold {
                    self.breaches.insert(stuck.breach.clone());
                }
                self.step(entity, next);
                advanced = true;
            }
        }
        if let Some(group) = stuck.created {
            self.breaches.insert(stuck.breach);
            advanced |= self.without(group, now, target);
        }
        if !advanced {
            self.hold_everything(now, target);
        }
    }

    /// Leaves everything as it is that would need a group.
    fn without(&mut self, group: GroupNumber, now: &State, target: &State) -> bool {
        let key = GroupKey::Ours(group);
        let before = (self.held_groups.len(), self.held_interfaces.len());
        for (interface, (_, new)) in changed(now, target) {
            if new.contains(&key) {
                self.held_interfaces.insert(interface);
            }
        }
        for (other, rules_of) in &target.groups {
            let Some(other) = our_number(other) else { continue };
            for direction in Direction::BOTH {
                let of = |rules: &BTreeSet<Rule>| {
                    rules.iter().any(|rule| {
                        rule.direction == direction && super::state::names(rule) == Some(group)
                    })
                };
                let itself = other == group && now.groups.contains_key(&key);
                if itself || (of(rules_of) && !of(rules(now, other))) {
                    self.held_groups.insert((other, direction));
                }
            }
        }
        before != (self.held_groups.len(), self.held_interfaces.len())
    }

    fn next(&self, entity: &Entity) -> Option<Next> {
        match entity {
            Entity::Group(group, direction) => {
                if self.held_groups.contains(&(*group, *direction)) {
                    return None;
                }
                Some(match self.group(*group, *direction) {
                    Manner::Direct => Next::Cautious,
                    Manner::Through if self.spare.contains(group) => Next::Hold,
                    Manner::Through => Next::Fresh,
                })
            }
            Entity::Interface(interface) => {
                if self.held_interfaces.contains(interface) {
                    return None;
                }
                Some(match self.interface(interface) {
                    Manners::OneCall => Next::Cautious,
                    Manners::TwoCalls => Next::Late,
                    Manners::Late => Next::Again,
                    Manners::Again => Next::Fresh,
                    Manners::Middle => Next::Hold,
                })
            }
        }
    }

    fn step(&mut self, entity: Entity, next: Next) {
        match (next, entity) {
            (Next::Hold, Entity::Group(group, direction)) => {
                self.held_groups.insert((group, direction));
            }
            // Both directions may ask for it at once.
            (Next::Fresh, Entity::Group(group, _)) => {
                self.spare.insert(group);
            }
            (Next::Cautious | Next::Late | Next::Again, Entity::Group(group, direction)) => {
                self.groups.insert((group, direction), Manner::Through);
            }
            (Next::Hold, Entity::Interface(interface)) => {
                self.held_interfaces.insert(interface);
            }
            (next, Entity::Interface(interface)) => {
                let manners = match next {
                    Next::Cautious => Manners::TwoCalls,
                    Next::Late => Manners::Late,
                    Next::Again => Manners::Again,
                    Next::Fresh | Next::Hold => Manners::Middle,
                };
                self.interfaces.insert(interface, manners);
            }
        }
    }

    /// Where nothing else helps: what can be proved always is to change nothing.
    fn hold_everything(&mut self, now: &State, target: &State) {
        self.exhausted = true;
        self.held_interfaces.extend(changed(now, target).into_keys());
        let all = target.groups.keys().chain(now.groups.keys()).filter_map(our_number);
        self.held_groups.extend(all.flat_map(|group| Direction::BOTH.map(|it| (group, it))));
    }
}
