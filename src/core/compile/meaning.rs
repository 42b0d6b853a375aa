//! What policies ask for each cohort, and what of it the cloud is told.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::HashMap;
use super::acl::{self, Guards};
use super::cohort::{CohortId, Cohorts, Families};
use super::concession::{Concession, Concessions, Rung};
use super::effective::{ByAddress, Function};
use super::grant::{Grant, Granting, conflicts};
use super::program::{Program, Programs, Resolver};
use super::shared::{Pools, Shared};
use crate::inventory::Inventory;
use crate::net::{AddressSet, Family};
use crate::policy::{Direction, Policy};
use crate::settings::{IcmpMode, Settings};

/// The place of a grant in [`Meaning::grants`]; equal grants have the same place.
pub(crate) type GrantId = usize;

/// A pair of things by direction, ingress first.
pub(crate) type ByDirection<T> = [T; 2];

/// Everything the policies say, by cohort.
#[derive(Debug)]
pub(crate) struct Meaning<'a> {
    /// The policies.
    pub(crate) policies: &'a [&'a Policy],
    /// The pods.
    pub(crate) inventory: &'a Inventory,
    /// The settings.
    pub(crate) settings: &'a Settings,
    /// The pods by cohort.
    pub(crate) cohorts: Cohorts<'a>,
    /// The policies by cohort.
    pub(crate) programs: Programs,
    /// What policies ask, for each cohort and direction; none where no policy governs it.
    pub(crate) asked: Vec<ByDirection<Option<Rc<Function>>>>,
    /// What rules say, for each programmable cohort and direction that a policy governs.
    pub(crate) granted: Vec<ByDirection<Option<GrantId>>>,
    /// The distinct grants.
    pub(crate) grants: Vec<Rc<Grant>>,
    /// What network ACLs of ours take off groups.
    pub(crate) guards: Guards,
}

/// The place of a direction in a [`ByDirection`].
pub(crate) const fn place(direction: Direction) -> usize {
    match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    }
}

impl<'a> Meaning<'a> {
    /// Reads the policies; equal sets of the same pools are one. Cohorts are split by their addresses where what a reference must say depends on them.
    pub(crate) fn new(
        policies: &'a [&'a Policy],
        inventory: &'a Inventory,
        settings: &'a Settings,
        concessions: &Concessions,
        pools: &mut Pools,
    ) -> Self {
        let mut order: Vec<u32> = (0..).take(policies.len()).collect();
        order.sort_by_key(|index| policies.get(*index as usize).map(|policy| policy.rank()));
        let mut splits = acl::addresses(inventory);
        loop {
            let mut cohorts = Cohorts::new(inventory, &splits, concessions);
            let mut programs = Programs::new(policies, &order, &mut cohorts, inventory, settings);
            let (all, set) = (&mut cohorts, &mut programs);
            let folded = Folded::new(policies, inventory, settings, all, set, pools);
            if folded.splits.is_subset(&splits) {
                let mut meaning = Self {
                    policies,
                    inventory,
                    settings,
                    cohorts,
                    programs,
                    asked: folded.asked,
                    granted: Vec::new(),
                    grants: Vec::new(),
                    guards: Guards::default(),
                };
                let Self { cohorts, asked, .. } = &meaning;
                let conceded = &folded.conceded;
                meaning.guards = Guards::new(cohorts, asked, conceded, inventory, settings, pools);
                meaning.grant(folded.conceded, pools);
                return meaning;
            }
            splits.extend(folded.splits);
        }
    }

    fn grant(&mut self, conceded: Vec<ByDirection<Option<Rc<Function>>>>, pools: &mut Pools) {
        let guards = &mut self.guards;
        let conceded = self.cohorts.iter().zip(conceded).map(|((id, cohort), both)| {
            let mut directions = Direction::BOTH.into_iter();
            both.map(|function| {
                let direction = directions.next()?;
                Some(guards.said((id, cohort), direction, function?, pools))
            })
        });
        let conceded: Vec<ByDirection<Option<Rc<Function>>>> = conceded.collect();
        let mut granting = Granting::new(&self.cohorts, self.inventory, self.settings, pools);
        let mut known: HashMap<Rc<Grant>, GrantId> = HashMap::default();
        let mut done: HashMap<(Option<*const Function>, Families, Rung), GrantId> =
            HashMap::default();
        for ((_, cohort), functions) in self.cohorts.iter().zip(&conceded) {
            let mut granted = [None, None];
            let governed = functions.iter().any(Option::is_some);
            let given_up = &cohort.concession.given_up;
            for ((slot, function), given_up) in granted.iter_mut().zip(functions).zip(given_up) {
                let rung = given_up.rung;
                let closed = governed && rung == Rung::Everything;
                if !cohort.programmable() || function.is_none() && !closed {
                    continue;
                }
                let function = function.as_ref().filter(|_| !closed);
                let key = (function.map(Rc::as_ptr), cohort.families, rung);
                let id = *done.entry(key).or_insert_with(|| {
                    let grant = Rc::new(match function {
                        Some(function) => granting.grant(function, cohort.families, rung),
                        None => granting.nothing(),
                    });
                    *known.entry(grant.clone()).or_insert_with(|| {
                        self.grants.push(grant);
                        self.grants.len() - 1
                    })
                });
                *slot = Some(id);
            }
            self.granted.push(granted);
        }
    }

    /// What policies ask for a cohort in a direction; none where no policy governs it, which means everything.
    pub(crate) fn asked(&self, id: CohortId, direction: Direction) -> Option<&Rc<Function>> {
        self.asked.get(id as usize)?.get(place(direction))?.as_ref()
    }

    /// What rules say for a cohort in a direction.
    pub(crate) fn granted(&self, id: CohortId, direction: Direction) -> Option<(GrantId, &Grant)> {
        let grant = (*self.granted.get(id as usize)?.get(place(direction))?)?;
        Some((grant, self.grants.get(grant)?))
    }
}

// ------------------------------------------------------------------------------------------------ Folded

/// Functions by cohort: as asked, and with what cohorts concede. Equal programs share one.
#[derive(Default)]
struct Folded {
    asked: Vec<ByDirection<Option<Rc<Function>>>>,
    conceded: Vec<ByDirection<Option<Rc<Function>>>>,
    /// The address sets by which cohorts must be split: those of functions with conflicts.
    splits: BTreeSet<AddressSet>,
}

/// Folds programs, each once, and those of their addresses that read the same once.
struct Folder<'x, 'a> {
    programs: &'x Programs,
    cohorts: &'x Cohorts<'a>,
    mode: IcmpMode,
    pools: &'x mut Pools,
    known: HashMap<Program, Rc<Function>>,
    addresses: HashMap<Program, Shared<ByAddress>>,
    /// The address sets by which cohorts under a function with conflicts must be split.
    splits: HashMap<*const Function, Vec<AddressSet>>,
}

impl Folded {
    fn new<'a>(
        policies: &'a [&'a Policy],
        inventory: &'a Inventory,
        settings: &'a Settings,
        cohorts: &mut Cohorts<'a>,
        programs: &mut Programs,
        pools: &mut Pools,
    ) -> Self {
        let owners: Vec<_> =
            cohorts.iter().map(|(id, cohort)| (id, cohort.concession.clone())).collect();
        let mut resolver = Resolver::new(policies, inventory, settings, cohorts);
        let none = Concession::default();
        let mut resolved = Vec::with_capacity(owners.len());
        for (id, concession) in owners {
            let mut both = |concession: &Concession| {
                Direction::BOTH.map(|direction| {
                    resolver.program(programs, id, direction, &concession.of(direction).without)
                })
            };
            let conceded = concession.given_up.iter().any(|given_up| !given_up.without.is_empty());
            resolved.push((both(&none), conceded.then(|| both(&concession))));
        }
        let mut folder = Folder::new(programs, cohorts, settings.icmp, pools);
        let mut folded = Self::default();
        for ((id, cohort), (asked, conceded)) in cohorts.iter().zip(resolved) {
            let asked = folder.fold(id, asked);
            let conceded = conceded.map_or_else(|| asked.clone(), |some| folder.fold(id, some));
            if cohort.programmable() && !folder.splits.is_empty() {
                let used = conceded.iter().flatten().map(Rc::as_ptr);
                let splits = used.filter_map(|function| folder.splits.get(&function));
                folded.splits.extend(splits.flatten().cloned());
            }
            folded.asked.push(asked);
            folded.conceded.push(conceded);
        }
        folded
    }
}

impl<'x, 'a> Folder<'x, 'a> {
    fn new(
        programs: &'x Programs,
        cohorts: &'x Cohorts<'a>,
        mode: IcmpMode,
        pools: &'x mut Pools,
    ) -> Self {
        let (known, addresses, splits) = Default::default();
        Self { programs, cohorts, mode, pools, known, addresses, splits }
    }

    fn fold(
        &mut self,
        owner: CohortId,
        both: ByDirection<Option<Program>>,
    ) -> ByDirection<Option<Rc<Function>>> {
        let essential = Family::BOTH.map(|family| {
            self.mode != IcmpMode::Strict
                && both.iter().any(|program| match program {
                    None => true,
                    Some(program) => {
                        let known =
                            program.accepts_flows(self.programs, self.cohorts, owner, family);
                        known.unwrap_or_else(|| {
                            self.function(program).accepts_flows(self.cohorts, owner, family)
                        })
                    }
                })
        });
        both.map(|program| {
            let mut program = program?;
            if program.direction == Direction::Ingress {
                program.essential = essential;
            }
            Some(self.function(&program))
        })
    }

    fn function(&mut self, program: &Program) -> Rc<Function> {
        if let Some(known) = self.known.get(program) {
            return known.clone();
        }
        let (programs, cohorts) = (self.programs, self.cohorts);
        let of_addresses = program.of_addresses(programs);
        let addresses = match self.addresses.get(&of_addresses) {
            Some(known) => known.clone(),
            None => {
                let new = Function::by_address(programs, &of_addresses);
                self.addresses
                    .entry(of_addresses)
                    .or_insert(self.pools.addresses.share(new))
                    .clone()
            }
        };
        let pool = &mut self.pools.services;
        let function = Rc::new(Function::new(programs, program, addresses, cohorts, pool));
        if !conflicts(&function, cohorts).is_empty() {
            let sets = program.address_sets(programs).collect();
            self.splits.insert(Rc::as_ptr(&function), sets);
        }
        self.known.insert(program.clone(), function.clone());
        function
    }
}
