//! What to give up when the exact rules do not fit the quotas (DESIGN §6.6): a fixed ladder, never wider.
//!
//! Where everything but something is asked, single rules have to say the rest. A direction that does not fit gives up:
//!
//! 1. Protocols other than tcp, udp and ICMP: 252 of the 256 rules of "all but one port".
//! 2. The ICMP types without a name: 238 of the other 512 rules of "all but ping", for types that nobody uses.
//! 3. The ICMP types of which some codes are cut out: 255 of the rest.
//! 4. ICMP, if something of it is cut out.
//!
//! Where that is not enough, whatever is asked:
//!
//! 5. The Accept rules of whole policies, costliest first, until the rest fits.
//! 6. Everything.
//!
//! A direction that fits gives up nothing. When groups run out, whoever takes several goes down to the fourth rung. Then classes
//! are served by namespace in turn; the pods of the others are closed in the directions that policies govern, and nobody can
//! name them. In the end they are closed both ways: one group for all who are left. So it goes for a namespace first whose pods
//! wear more groups than it may have ([`crate::settings::Settings::groups_per_namespace`]), then for all.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::class::{Class, ClassId, Classes};
use super::cohort::{Cohort, CohortId};
use super::concession::{Concession, Concessions, GivenUp, Rung, Shortage};
use super::layout::Layout;
use super::meaning::{ByDirection, Meaning};
use super::program::node_addresses;
use crate::net::{Family, ServiceSet};
use crate::policy::{Action, Direction, Peer, Peers, Policy, Rule, ServiceMatch, Services, Word};

/// The concessions with one more step for whoever does not fit; none if everybody fits, or nothing is left to give up.
pub(crate) fn climb(
    meaning: &Meaning<'_>,
    classes: &Classes,
    layout: &Layout,
) -> Option<Concessions> {
    let too_large = applied(meaning, too_large(meaning, classes, layout));
    too_large.or_else(|| {
        [over_budget(meaning, classes, layout), over_account(meaning, layout)].into_iter().find_map(
            |stores| {
                [too_many, out_of_groups, sealed].into_iter().find_map(|step| {
                    let more =
                        stores.iter().flat_map(|store| step(meaning, classes, layout, store));
                    applied(meaning, more.collect())
                })
            },
        )
    })
}

/// Groups that have run out, with those who share them.
struct Store<'m> {
    shortage: Shortage,
    /// The namespace whose pods share them; none: all pods do.
    namespace: Option<&'m Word>,
    /// How many there are.
    allowed: usize,
    /// How many membership groups are among those in use.
    memberships: usize,
}

impl Store<'_> {
    /// What to tell was short. Where a namespace is beyond its budget, that decides whatever else was.
    fn told(&self, before: Option<Shortage>) -> Option<Shortage> {
        match self.shortage {
            Shortage::Namespace => Some(Shortage::Namespace),
            Shortage::Account | Shortage::Interface { .. } => before.or(Some(self.shortage)),
        }
    }

    fn is_of(&self, cohort: &Cohort) -> bool {
        self.namespace.is_none_or(|namespace| *namespace == cohort.namespace)
    }

    /// The cohorts of a class that share them.
    fn cohorts<'c>(
        &'c self,
        meaning: &'c Meaning<'_>,
        class: &'c Class,
    ) -> impl Iterator<Item = (CohortId, &'c Cohort)> {
        cohorts(meaning, class).filter(|(_, cohort)| self.is_of(cohort))
    }
}

/// The namespaces that need more groups than each may have.
fn over_budget<'m>(meaning: &'m Meaning<'_>, classes: &Classes, layout: &Layout) -> Vec<Store<'m>> {
    let Some(allowed) = meaning.settings.groups_per_namespace.map(NonZeroUsize::get) else {
        return Vec::new();
    };
    let worn = layout.by_namespace(meaning, classes).into_iter();
    let store = |(namespace, (_, memberships))| Store {
        shortage: Shortage::Namespace,
        namespace: Some(namespace),
        allowed,
        memberships,
    };
    worn.filter(|(_, (worn, _))| *worn > allowed).map(store).collect()
}

/// The account, if more groups are needed than it has.
fn over_account<'m>(meaning: &'m Meaning<'_>, layout: &Layout) -> Vec<Store<'m>> {
    let allowed = meaning.settings.quotas_of_classes().groups;
    let memberships = layout.memberships.len();
    let store = Store { shortage: Shortage::Account, namespace: None, allowed, memberships };
    (layout.count > allowed).then_some(store).into_iter().collect()
}

/// More concessions, by cohort.
type Step = BTreeMap<CohortId, Concession>;

/// One more rung for classes whose rules do not fit on their interfaces, in the directions that do not.
fn too_large(meaning: &Meaning<'_>, classes: &Classes, layout: &Layout) -> Step {
    let mut more = Step::new();
    for (class, (shortage, excess)) in &layout.too_large {
        let Some(class) = classes.list.get(*class) else { continue };
        for (id, cohort) in cohorts(meaning, class) {
            let mut next = (*cohort.concession).clone();
            if class.grants == [None, None] {
                next.nameless = true;
            }
            for (direction, excess) in exceeded(*excess) {
                let given_up = next_rung(meaning, classes, id, cohort, direction, excess);
                next = next.with(direction, given_up);
            }
            next.shortage = next.shortage.or(Some(*shortage));
            more.insert(id, next);
        }
    }
    more
}

/// One more of the fine rungs for classes that take several groups.
fn too_many(meaning: &Meaning<'_>, classes: &Classes, layout: &Layout, store: &Store<'_>) -> Step {
    let mut more = Step::new();
    for (class, place) in classes.list.iter().zip(0..) {
        for (id, cohort) in store.cohorts(meaning, class) {
            let mut next = (*cohort.concession).clone();
            for (direction, _) in exceeded(layout.beyond_first(place)) {
                let given_up = cohort.concession.of(direction);
                if let Some(rung) = fine_rung(meaning, id, direction, given_up.rung) {
                    next = next.with(direction, GivenUp { rung, ..given_up.clone() });
                    next.shortage = store.told(next.shortage);
                }
            }
            more.insert(id, next);
        }
    }
    more
}

/// Where they are still too many: nothing for those who are not served.
fn out_of_groups(
    meaning: &Meaning<'_>,
    classes: &Classes,
    layout: &Layout,
    store: &Store<'_>,
) -> Step {
    let mut more = Step::new();
    for class in unserved(meaning, classes, layout, store) {
        let directions = Direction::BOTH.into_iter().zip(class.grants);
        let governed = directions.filter_map(|(direction, grant)| grant.map(|_| direction));
        let governed: Vec<Direction> = governed.collect();
        for (id, cohort) in store.cohorts(meaning, class) {
            let closed = closed(cohort, governed.iter().copied());
            let shortage = store.told(closed.shortage);
            more.insert(id, Concession { nameless: true, shortage, ..closed });
        }
    }
    more
}

/// Where even a closed group for each pattern of isolation is too many: one group, closed both ways.
fn sealed(meaning: &Meaning<'_>, _: &Classes, _: &Layout, store: &Store<'_>) -> Step {
    let unserved = meaning.cohorts.iter();
    let unserved = unserved.filter(|(_, cohort)| cohort.concession.nameless && store.is_of(cohort));
    unserved.map(|(id, cohort)| (id, closed(cohort, Direction::BOTH))).collect()
}

fn cohorts<'m>(
    meaning: &'m Meaning<'_>,
    class: &'m Class,
) -> impl Iterator<Item = (CohortId, &'m Cohort)> {
    class.cohorts.iter().filter_map(|id| Some((*id, meaning.cohorts.get(*id)?)))
}

/// The directions with rules that do not fit, and how many.
fn exceeded(excess: ByDirection<usize>) -> impl Iterator<Item = (Direction, usize)> {
    Direction::BOTH.into_iter().zip(excess).filter(|(_, excess)| *excess > 0)
}

/// What a cohort concedes, closed in some directions besides.
fn closed(cohort: &Cohort, directions: impl IntoIterator<Item = Direction>) -> Concession {
    let now = (*cohort.concession).clone();
    directions.into_iter().fold(now, |now, direction| {
        let without = now.of(direction).without.clone();
        now.with(direction, GivenUp { rung: Rung::Everything, without })
    })
}

/// All concessions with those of a step; none if the step changes nothing.
fn applied(meaning: &Meaning<'_>, mut more: Step) -> Option<Concessions> {
    let mut concessions = Concessions::new();
    let mut changed = false;
    for (id, cohort) in meaning.cohorts.iter() {
        let concession = match more.remove(&id) {
            Some(next) if next != *cohort.concession => {
                changed = true;
                Arc::new(next)
            }
            Some(_) | None => cohort.concession.clone(),
        };
        if *concession != Concession::default() {
            concessions.extend(cohort.pods.iter().map(|pod| (*pod, concession.clone())));
        }
    }
    changed.then_some(concessions)
}

/// What a cohort gives up next in a direction.
fn next_rung(
    meaning: &Meaning<'_>,
    classes: &Classes,
    id: CohortId,
    cohort: &Cohort,
    direction: Direction,
    excess: usize,
) -> GivenUp {
    let mut next = cohort.concession.of(direction).clone();
    if let Some(rung) = fine_rung(meaning, id, direction, next.rung) {
        next.rung = rung;
        return next;
    }
    let mut costs = costs(meaning, classes, id, direction, &next.without);
    costs.sort_by_key(|(index, cost)| (std::cmp::Reverse(*cost), *index));
    next.rung = next.rung.max(if costs.is_empty() { Rung::Everything } else { Rung::Accepts });
    let mut saved = 0;
    for (index, cost) in costs {
        if saved < excess {
            next.without.insert(index);
            saved += cost;
        }
    }
    next
}

/// The next of the fine rungs on which something of what is asked is given up.
fn fine_rung(
    meaning: &Meaning<'_>,
    id: CohortId,
    direction: Direction,
    rung: Rung,
) -> Option<Rung> {
    let asked = meaning.asked(id, direction)?;
    let [v4, v6] = Family::BOTH.map(|family| [family]);
    let reaches = || asked.singled_out().map(|(_, reach)| reach);
    let differs = |next: Rung| {
        let differs = |services: &ServiceSet, families: &[Family]| {
            next.sayable(services, families) != rung.sayable(services, families)
        };
        let by_address = reaches().filter_map(|reach| reach.exact.as_ref());
        by_address.chain([&*asked.addresses]).any(|by_address| {
            by_address.v4.pieces().any(|(_, services)| differs(services, &v4))
                || by_address.v6.pieces().any(|(_, services)| differs(services, &v6))
        }) || reaches().any(|reach| differs(&reach.selected, &Family::BOTH))
    };
    Rung::FINE.into_iter().find(|next| *next > rung && differs(*next))
}

/// What the Accept rules of each policy cost a cohort in a direction, about: addresses and classes times shapes.
fn costs(
    meaning: &Meaning<'_>,
    classes: &Classes,
    id: CohortId,
    direction: Direction,
    without: &BTreeSet<u32>,
) -> Vec<(u32, usize)> {
    let left = meaning.programs.governing(id, direction).iter().filter(|it| !without.contains(it));
    let costs = left.filter_map(|index| {
        let policy = meaning.policies.get(*index as usize)?;
        let accepts = accepts(policy, direction)
            .map(|rule| names(meaning, classes, &rule.peers) * shapes(&rule.services));
        Some((*index, accepts.sum()))
    });
    costs.filter(|(_, cost)| *cost > 0).collect()
}

fn accepts(policy: &Policy, direction: Direction) -> impl Iterator<Item = &Rule> {
    let rules = policy.rules(direction).unwrap_or_default();
    rules.iter().filter(|rule| rule.action == Action::Accept)
}

fn names(meaning: &Meaning<'_>, classes: &Classes, peers: &Peers) -> usize {
    let Peers::AnyOf(peers) = peers else { return 1 };
    let each = peers.iter().map(|peer| match peer {
        Peer::Pods(selector) => {
            let set = meaning.cohorts.selected(selector);
            let members = set.map_or(&[][..], |set| meaning.cohorts.members(set));
            let named: BTreeSet<ClassId> =
                members.iter().filter_map(|cohort| classes.of(*cohort)).collect();
            named.len()
        }
        Peer::Addresses(set) => set.prefixes().len(),
        Peer::Nodes(selector) => {
            node_addresses(selector, meaning.inventory, meaning.settings).prefixes().len()
        }
    });
    each.sum()
}

fn shapes(services: &Services) -> usize {
    let Services::AnyOf(list) = services else { return 1 };
    let each = list.iter().map(|one| match one {
        ServiceMatch::Set(set) => set.maximal_shapes_of_both().len(),
        ServiceMatch::Named { .. } => 1,
    });
    each.sum()
}

/// The classes that get no groups of their own, so that the rest fit.
fn unserved<'c>(
    meaning: &Meaning<'_>,
    classes: &'c Classes,
    layout: &Layout,
    store: &Store<'_>,
) -> Vec<&'c Class> {
    let mut turns: Vec<(usize, &str, ClassId)> = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut closed = BTreeSet::new();
    for (id, class) in classes.list.iter().enumerate() {
        let Some((_, cohort)) = store.cohorts(meaning, class).next() else { continue };
        if class.grants != [None, None] {
            closed.insert((class.grants.map(|grant| grant.is_some()), class.copied.clone()));
        }
        if !cohort.concession.nameless {
            let turn = seen.entry(&cohort.namespace).or_default();
            turns.push((*turn, &cohort.namespace, id));
            *turn += 1;
        }
    }
    turns.sort_unstable();
    let mut left = store.allowed.saturating_sub(closed.len() + store.memberships);
    let mut unserved = Vec::new();
    for (_, _, id) in turns {
        let groups = layout.groups.get(id).map_or(0, Vec::len);
        if groups <= left {
            left -= groups;
        } else {
            unserved.extend(classes.list.get(id));
        }
    }
    unserved
}
