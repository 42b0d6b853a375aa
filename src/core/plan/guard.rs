//! How network ACLs change, around the change of groups.
//!
//! ```text
//! follow   our ACLs come to say what those before them say
//! guard    each subnet comes to deny what it denies, and what it is to deny
//! …        groups and interfaces change
//! ease     what a subnet is no longer to deny goes, and so do ACLs that nobody needs
//! ```
//!
//! The groups that are there may rely on what is denied, and so may those that are wanted: both lie in force while groups change.
//! So whatever passes is let through by groups on the way, which keep to their own band, and denied on neither side; and what
//! passes on both sides is denied by neither. Our entries only deny, so that any part of those that come or go lies between.
//!
//! A subnet changes in place if everybody whom its ACL guards is to go the same way; else it goes by way of an ACL of its own,
//! which lives only during the plan.

mod copies;
mod entries;

use std::collections::{BTreeMap, BTreeSet};

use entries::{Denies, denies};

use super::{Held, Plan, Purpose, Stage, state};
use crate::budget::{self, Breach};
use crate::compile::Desired;
use crate::firewall::{Acl, AclKey, AclName, ForeignAclId, State};
use crate::inventory::{InterfaceId, Inventory, Pod, SubnetId};
use crate::provider::{AclStep, Observed, Step};
use crate::settings::Quotas;

/// The network ACLs of a plan in the making.
#[derive(Debug)]
pub(super) struct Guards<'a> {
    wanted: &'a State,
    inventory: &'a Inventory,
    quotas: &'a Quotas,
    courses: BTreeMap<SubnetId, Course>,
    /// As found, with what is recorded.
    start: (State, BTreeMap<AclName, ForeignAclId>),
    /// As far as the stages have come.
    now: State,
    stages: Vec<Stage>,
    /// What subnets get back is recorded on each ACL of ours.
    priors: BTreeMap<AclName, ForeignAclId>,
    /// Subnets that stay as they are, as what they need does not fit.
    stuck: BTreeSet<SubnetId>,
    breaches: BTreeSet<Breach>,
}

/// Where a subnet goes.
#[derive(Debug)]
struct Course {
    /// The ACL of ours that is to guard it; none: the one before.
    goal: Option<AclName>,
    /// What guards it if none of ours does.
    prior: ForeignAclId,
    old: Denies,
    new: Denies,
}

impl<'a> Guards<'a> {
    /// What ACLs have to do; none if none of ours is there or wanted.
    pub(super) fn new(
        desired: &'a Desired,
        observed: &Observed,
        inventory: &'a Inventory,
        quotas: &'a Quotas,
    ) -> Option<Self> {
        let is_ours = |state: &State| state.acls.keys().any(|key| key.foreign().is_none());
        if !is_ours(&desired.state) && !is_ours(&observed.state) {
            return None;
        }
        let wanted = &desired.state;
        let prior = observed.subnets.iter().map(|(id, subnet)| (id, &subnet.prior));
        let courses = prior.chain(&observed.former).map(|(id, prior)| {
            let now = observed.state.subnets.get(id).and_then(|key| observed.state.acls.get(key));
            let ours = |key: &&AclKey| key.foreign().is_none();
            let guarded = observed.state.subnets.get(id).is_some_and(|key| ours(&key));
            let goal = wanted.subnets.get(id).filter(ours);
            let course = Course {
                goal: goal.and_then(AclKey::ours).cloned(),
                prior: prior.clone(),
                old: now.filter(|_| guarded).map(denies).unwrap_or_default(),
                new: goal.and_then(|key| wanted.acls.get(key)).map(denies).unwrap_or_default(),
            };
            (id.clone(), course)
        });
        let courses = courses.collect();
        let (acls, subnets) = (observed.state.acls.clone(), observed.state.subnets.clone());
        let now = State { acls, subnets, ..State::default() };
        let (stages, stuck, breaches) = Default::default();
        let priors = observed.acl_priors.clone();
        let start = (now.clone(), priors.clone());
        let world = Self {
            wanted,
            inventory,
            quotas,
            courses,
            start,
            now,
            stages,
            priors,
            stuck,
            breaches,
        };
        Some(world)
    }

    /// The stages before groups change; the interfaces that must not change meanwhile.
    pub(super) fn before(&mut self) -> BTreeSet<InterfaceId> {
        self.guard(false);
        let stuck = |id: &SubnetId| self.stuck.contains(id);
        self.inside(stuck).map(|(_, interface)| interface.clone()).collect()
    }

    /// The whole way, around that of groups.
    pub(super) fn around(mut self, groups: Plan) -> Plan {
        if groups.stages.is_empty() && groups.held == Held::default() {
            (self.now, self.priors) = self.start.clone();
            self.stages = Vec::new();
            self.guard(true);
        }
        let waits = self.waiting(&groups);
        self.stages.extend(groups.stages);
        self.ease(&waits);
        let Self { now, stages, breaches, .. } = self;
        let target = State { acls: now.acls, subnets: now.subnets, ..groups.target };
        let breaches = groups.held.breaches.into_iter().chain(breaches).collect();
        let held = Held { breaches, ..groups.held };
        Plan { stages, target, held, ..groups }
    }

    fn stage(&mut self, purpose: Purpose, steps: Vec<AclStep>) {
        if steps.is_empty() {
            return;
        }
        for step in &steps {
            step.apply(&mut self.now);
            if let AclStep::Create { acl, prior } = step {
                self.priors.insert(acl.clone(), prior.clone());
            }
        }
        self.stages.push(Stage { purpose, steps: steps.into_iter().map(Step::Acl).collect() });
    }

    fn acl(&self, acl: &AclName) -> Option<&Acl> {
        self.now.acls.get(&AclKey::Ours(acl.clone()))
    }

    /// The subnets that an ACL of ours guards.
    fn guarded<'s>(&'s self, acl: &'s AclName) -> impl Iterator<Item = (&'s SubnetId, &'s Course)> {
        let guards =
            move |id: &SubnetId| self.now.subnets.get(id).and_then(AclKey::ours) == Some(acl);
        self.courses.iter().filter(move |(id, _)| guards(id))
    }

    /// The ACLs of ours.
    fn ours(&self) -> impl Iterator<Item = &AclName> {
        self.now.acls.keys().filter_map(AclKey::ours)
    }

    // ------------------------------------------------------------------------------------------ Guard

    /// Lets each subnet deny what it does and what it is to; `alone` if nothing changes but ACLs.
    fn guard(&mut self, alone: bool) {
        self.follow();
        let places = self.places();
        self.fill(&places.fresh);
        let new = |acl: &AclName| -> Option<Denies> {
            let guarded = self.guarded(acl).flat_map(|(_, course)| course.new.iter().copied());
            alone.then(|| guarded.collect())
        };
        let grown = places.grown.iter().filter_map(|(acl, middle)| {
            Some(entries::add(acl, self.acl(acl)?, middle, new(acl).as_ref()))
        });
        let moved = places.moved.iter();
        let moved = moved.map(|(subnet, acl)| guard(subnet, AclKey::Ours(acl.clone())));
        let steps = grown.flatten().chain(moved).collect();
        self.stage(Purpose::Tighten, steps);
    }

    /// Copies what the ACLs before ours say, where there is room for old and new side by side.
    fn follow(&mut self) {
        let names: Vec<AclName> = self.ours().cloned().collect();
        for acl in names {
            let goal = self.guarded(&acl).find_map(|(_, course)| course.goal.clone());
            let wanted = goal.and_then(|goal| self.wanted.acls.get(&AclKey::Ours(goal)));
            let (Some(wanted), Some(there)) = (wanted, self.acl(&acl)) else { continue };
            let steps = copies::follow(&acl, there, wanted);
            let mut then = self.now.clone();
            let fits = steps.iter().all(|step| {
                step.apply(&mut then);
                budget::breaches(&then, self.quotas).is_empty()
            });
            if fits {
                steps.into_iter().for_each(|it| self.stage(Purpose::Follow, vec![it]));
            }
        }
    }

    /// Whether an ACL of ours says, behind its own entries, what that of a goal is to say there.
    fn copies(&self, acl: &AclName, goal: &AclName) -> bool {
        let wanted = self.wanted.acls.get(&AclKey::Ours(goal.clone()));
        self.acl(acl).zip(wanted).is_none_or(|(there, wanted)| copies::are_alike(there, wanted))
    }

    /// By what ACL each subnet goes while groups change.
    fn places(&mut self) -> Places {
        let mut places = Places::default();
        let mut breaches = BTreeSet::new();
        let mut stuck = BTreeSet::new();
        for (id, course) in &self.courses {
            let middle = &course.old | &course.new;
            let now = self.now.subnets.get(id).and_then(AclKey::ours);
            let Some(goal) = &course.goal else { continue };
            let follows = now.is_none_or(|acl| self.copies(acl, goal));
            if follows && middle == course.old {
                continue;
            }
            let alike = |acl: &&AclName| {
                self.guarded(acl).all(|(_, other)| &other.old | &other.new == middle)
            };
            let place = match now.filter(|_| follows).filter(alike) {
                Some(acl) => acl.clone(),
                None => {
                    let is_idle = |acl: &AclName| self.guarded(acl).next().is_none();
                    places.free(goal, (&middle, &course.prior), is_idle)
                }
            };
            let copied = now.filter(|now| **now == place).unwrap_or(goal);
            if let Some(breach) = self.breach(&place, copied, &middle) {
                breaches.insert(breach);
                stuck.insert(id.clone());
            } else if now == Some(&place) {
                places.grown.insert(place, middle);
            } else {
                places.fresh.insert(place.clone(), (middle, course.prior.clone(), goal.clone()));
                places.moved.insert(id.clone(), place);
            }
        }
        self.breaches.extend(breaches);
        self.stuck = stuck;
        places
    }

    /// The limit that an ACL passes with these denies, beside what it copies: by itself, or as wanted of another one.
    fn breach(&self, acl: &AclName, copied: &AclName, denies: &Denies) -> Option<Breach> {
        let key = AclKey::Ours(copied.clone());
        let of = if acl == copied { self.acl(acl) } else { None };
        let copied = of.or_else(|| self.wanted.acls.get(&key))?;
        let copied = copied.copied().map(|(key, entry)| (key.direction, entry));
        budget::of_acl(acl, denies.iter().copied().chain(copied), self.quotas)
    }

    /// Makes ACLs that guard nothing hold just this. One that records what other subnets get back is made anew.
    fn fill(&mut self, fresh: &BTreeMap<AclName, Fresh>) {
        let stale = fresh.iter().filter(|(acl, (_, prior, _))| {
            self.acl(acl).is_some() && self.priors.get(*acl) != Some(prior)
        });
        let stale = stale.map(|(acl, _)| AclStep::Delete(acl.clone())).collect();
        self.stage(Purpose::Delete, stale);
        let absent = fresh.iter().filter(|(acl, _)| self.acl(acl).is_none());
        let create = |(acl, (_, prior, _)): (&AclName, &Fresh)| AclStep::Create {
            acl: acl.clone(),
            prior: prior.clone(),
        };
        let steps = absent.map(create).collect();
        self.stage(Purpose::Create, steps);
        let filled = fresh.iter().flat_map(|(acl, (denies, _, goal))| {
            let copied = self.wanted.acls.get(&AclKey::Ours(goal.clone()));
            let there = self.acl(acl).cloned().unwrap_or_default();
            entries::fill(acl, &there, denies, copied)
        });
        // What goes makes room.
        let (puts, gone): (Vec<AclStep>, _) =
            filled.partition(|step| matches!(step, AclStep::Put { .. }));
        self.stage(Purpose::Prepare, gone);
        self.stage(Purpose::Prepare, puts);
    }

    // ------------------------------------------------------------------------------------------- Ease

    /// What is no longer to be denied goes, but for subnets that wait.
    fn ease(&mut self, waits: &BTreeSet<SubnetId>) {
        loop {
            let before = self.stages.len();
            let eased = self.eased(waits);
            self.stage(Purpose::Widen, eased);
            let names: BTreeSet<AclName> = self.ours().cloned().collect();
            let wanted = self.wanted.acls.keys().filter_map(AclKey::ours);
            let idle = |acl: &&AclName| self.guarded(acl).next().is_none();
            let goals: BTreeMap<AclName, Fresh> = wanted
                .filter(idle)
                .filter_map(|acl| {
                    let goes = |course: &Course| course.goal.as_ref() == Some(acl);
                    let (id, course) = self.courses.iter().find(|(_, course)| goes(course))?;
                    let needs = self.needs(id, course, waits);
                    Some((acl.clone(), (needs, course.prior.clone(), acl.clone())))
                })
                .collect();
            let needless = names.iter().filter(idle).filter(|acl| !goals.contains_key(*acl));
            let needless = needless.map(|acl| AclStep::Delete(acl.clone())).collect();
            self.fill(&goals);
            self.stage(Purpose::Delete, needless);
            if self.stages.len() == before {
                return;
            }
        }
    }

    /// Subnets that can go where they are to, and entries that nobody whom they guard is to have.
    fn eased(&self, waits: &BTreeSet<SubnetId>) -> Vec<AclStep> {
        let (mut steps, mut moved) = (Vec::new(), BTreeMap::new());
        for (id, course) in &self.courses {
            let (now, needs) = (self.now.subnets.get(id), self.needs(id, course, waits));
            let goal = match &course.goal {
                Some(goal)
                    if self.priors.get(goal) == Some(&course.prior)
                        && self.copies(goal, goal)
                        && self.acl(goal).is_some_and(|acl| denies(acl) == needs) =>
                {
                    AclKey::Ours(goal.clone())
                }
                None if needs.is_empty() => AclKey::Foreign(course.prior.clone()),
                Some(_) | None => continue,
            };
            if now.is_some_and(|now| now.foreign().is_none()) && now != Some(&goal) {
                steps.push(guard(id, goal.clone()));
                moved.insert(id, goal);
            }
        }
        for acl in self.ours() {
            // Those that come to it in the same stage need it as it is.
            let guards = |id: &SubnetId| {
                moved.get(id).or(self.now.subnets.get(id)).and_then(AclKey::ours) == Some(acl)
            };
            let stays = self.courses.iter().filter(|(id, _)| guards(id));
            let keeps = stays.map(|(id, course)| self.needs(id, course, waits));
            let keep = keeps.reduce(|all, one| &all | &one);
            let trimmed = keep.zip(self.acl(acl)).map(|(keep, it)| entries::trim(acl, it, &keep));
            steps.extend(trimmed.into_iter().flatten());
        }
        steps
    }

    /// What a subnet is to deny at the end of the plan.
    fn needs(&self, id: &SubnetId, course: &Course, waits: &BTreeSet<SubnetId>) -> Denies {
        match waits.contains(id) {
            _ if self.stuck.contains(id) => course.old.clone(),
            true => &course.new | &course.old,
            false => course.new.clone(),
        }
    }

    /// The subnets whose groups may still rely on what was denied: something in them is held.
    fn waiting(&self, groups: &Plan) -> BTreeSet<SubnetId> {
        let Plan { held, target, .. } = groups;
        let is_held = |interface: &InterfaceId| {
            let worn = target.interfaces.get(interface).into_iter().flatten();
            let mut ours = worn.filter_map(state::our_number);
            held.interfaces.contains(interface) || ours.any(|group| held.groups.contains(&group))
        };
        let holds = self.inside(|_| true).filter(|(_, interface)| is_held(interface));
        holds.map(|(subnet, _)| subnet.clone()).chain(self.stuck.iter().cloned()).collect()
    }

    /// The interfaces of pods in some subnets.
    fn inside<'s>(
        &'s self,
        of: impl Fn(&SubnetId) -> bool + 's,
    ) -> impl Iterator<Item = (&'s SubnetId, &'s InterfaceId)> {
        let subnets = self.inventory.subnets.iter().filter(move |(id, _)| of(id));
        subnets.flat_map(|(id, subnet)| {
            let is_inside = |pod: &Pod| {
                let mut blocks = subnet.blocks.iter();
                blocks.any(|block| pod.addresses.iter().any(|address| block.contains(*address)))
            };
            let pods = self.inventory.pods.iter().filter(move |pod| is_inside(pod));
            pods.filter_map(move |pod| Some((id, pod.interface.as_ref()?)))
        })
    }
}

/// An ACL that guards nothing yet: what it is to deny, what goes before it, and whose copies it holds.
type Fresh = (Denies, ForeignAclId, AclName);

/// Where subnets go while groups change.
#[derive(Debug, Default)]
struct Places {
    /// ACLs that deny more from then on, where they are.
    grown: BTreeMap<AclName, Denies>,
    /// ACLs that are filled before they guard anything.
    fresh: BTreeMap<AclName, Fresh>,
    /// Subnets that those come to guard.
    moved: BTreeMap<SubnetId, AclName>,
}

impl Places {
    /// An ACL for subnets that deny this and get that back: that of the goal, or else one that lives during the plan.
    fn free(
        &self,
        goal: &AclName,
        wanted: (&Denies, &ForeignAclId),
        is_idle: impl Fn(&AclName) -> bool,
    ) -> AclName {
        let fits = |acl: &AclName| {
            let fresh = self.fresh.get(acl);
            is_idle(acl) && fresh.is_none_or(|(denies, prior, _)| (denies, prior) == wanted)
        };
        let passing = (1_usize..).map(|number| goal.passing(number));
        let mut names = std::iter::once(goal.clone()).chain(passing);
        names.find(|acl| fits(acl)).unwrap_or_else(|| goal.clone())
    }
}

fn guard(subnet: &SubnetId, by: AclKey) -> AclStep {
    AclStep::Guard { subnet: subnet.clone(), by }
}

#[cfg(test)]
mod tests;
