//! What policies ask for each cohort, and what of it the cloud is told.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::HashMap;
use super::cohort::{CohortId, Cohorts, Concession, Concessions};
use super::effective::Function;
use super::grant::{Grant, Terms, conflicts};
use super::program::{Program, Programs, Resolver};
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
    pub(crate) policies: &'a [Policy],
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
}

/// The place of a direction in a [`ByDirection`].
pub(crate) const fn place(direction: Direction) -> usize {
    match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    }
}

impl<'a> Meaning<'a> {
    /// Reads the policies. Cohorts are split by their addresses where what a reference must say depends on them.
    pub(crate) fn new(
        policies: &'a [Policy],
        inventory: &'a Inventory,
        settings: &'a Settings,
        concessions: &Concessions,
    ) -> Self {
        let mut order: Vec<u32> = (0..).take(policies.len()).collect();
        order.sort_by_key(|index| policies.get(*index as usize).map(Policy::rank));
        let mut splits = BTreeSet::new();
        loop {
            let mut cohorts = Cohorts::new(inventory, &splits, concessions);
            let mut programs = Programs::new(policies, &order, &mut cohorts, inventory, settings);
            let folded = Folded::new(policies, inventory, settings, &mut cohorts, &mut programs);
            let more = folded.splits(&cohorts, &programs);
            if more.is_subset(&splits) {
                let mut meaning = Self {
                    policies,
                    inventory,
                    settings,
                    cohorts,
                    programs,
                    asked: folded.asked,
                    granted: Vec::new(),
                    grants: Vec::new(),
                };
                meaning.grant(&folded.conceded);
                return meaning;
            }
            splits.extend(more);
        }
    }

    fn grant(&mut self, conceded: &[ByDirection<Option<Rc<Function>>>]) {
        let mut known: HashMap<Rc<Grant>, GrantId> = HashMap::default();
        let mut done: HashMap<(Option<*const Function>, [bool; 2], bool), GrantId> =
            HashMap::default();
        for ((_, cohort), functions) in self.cohorts.iter().zip(conceded) {
            let mut granted = [None, None];
            let sealed = cohort.concession.sealed && functions.iter().any(Option::is_some);
            for (slot, function) in granted.iter_mut().zip(functions) {
                let Concession { closed, only_ports, .. } = *cohort.concession;
                if !cohort.programmable() || function.is_none() && !sealed {
                    continue;
                }
                let function = function.as_ref().filter(|_| !closed);
                let key = (function.map(Rc::as_ptr), cohort.families, only_ports);
                let id = *done.entry(key).or_insert_with(|| {
                    let (inventory, settings) = (self.inventory, self.settings);
                    let terms = Terms { inventory, settings, only_ports };
                    let grant = Rc::new(function.map_or_else(Grant::nothing, |function| {
                        Grant::new(function, &self.cohorts, cohort.families, terms)
                    }));
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
struct Folded {
    asked: Vec<ByDirection<Option<Rc<Function>>>>,
    conceded: Vec<ByDirection<Option<Rc<Function>>>>,
    /// The address sets of the programs behind each function of a programmable cohort.
    used: Vec<(Rc<Function>, Program)>,
}

impl Folded {
    fn new<'a>(
        policies: &'a [Policy],
        inventory: &'a Inventory,
        settings: &'a Settings,
        cohorts: &mut Cohorts<'a>,
        programs: &mut Programs,
    ) -> Self {
        let owners: Vec<_> = cohorts
            .iter()
            .map(|(id, cohort)| (id, cohort.concession.clone(), cohort.programmable()))
            .collect();
        let mut resolver = Resolver::new(policies, inventory, settings, cohorts);
        let nothing = BTreeSet::new();
        let mut resolved = Vec::with_capacity(owners.len());
        for (id, concession, _) in &owners {
            let mut both = |without| {
                Direction::BOTH.map(|direction| resolver.program(programs, *id, direction, without))
            };
            let asked = both(&nothing);
            let conceded = if concession.without.is_empty() {
                asked.clone()
            } else {
                both(&concession.without)
            };
            resolved.push((asked, conceded));
        }
        let mut folder =
            Folder { programs, cohorts, mode: settings.icmp, known: HashMap::default() };
        let mut folded = Self { asked: Vec::new(), conceded: Vec::new(), used: Vec::new() };
        let mut seen = BTreeSet::new();
        for ((id, _, programmable), (asked, conceded)) in owners.into_iter().zip(resolved) {
            folded.asked.push(folder.fold(id, asked).map(|pair| pair.map(|(f, _)| f)));
            let functions = folder.fold(id, conceded);
            for (function, program) in functions.iter().flatten().filter(|_| programmable) {
                if seen.insert(Rc::as_ptr(function)) {
                    folded.used.push((function.clone(), program.clone()));
                }
            }
            folded.conceded.push(functions.map(|pair| pair.map(|(f, _)| f)));
        }
        folded
    }

    /// The address sets by which cohorts must be split: those of functions with conflicts.
    fn splits(&self, cohorts: &Cohorts<'_>, programs: &Programs) -> BTreeSet<AddressSet> {
        let conflicting =
            self.used.iter().filter(|(function, _)| !conflicts(function, cohorts).is_empty());
        conflicting.flat_map(|(_, program)| program.address_sets(programs)).collect()
    }
}

struct Folder<'x, 'a> {
    programs: &'x Programs,
    cohorts: &'x Cohorts<'a>,
    mode: IcmpMode,
    known: HashMap<Program, Rc<Function>>,
}

impl Folder<'_, '_> {
    fn fold(
        &mut self,
        owner: CohortId,
        both: ByDirection<Option<Program>>,
    ) -> ByDirection<Option<(Rc<Function>, Program)>> {
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
            Some((self.function(&program), program))
        })
    }

    fn function(&mut self, program: &Program) -> Rc<Function> {
        if let Some(known) = self.known.get(program) {
            return known.clone();
        }
        let function = Rc::new(Function::new(self.programs, program, self.cohorts));
        self.known.insert(program.clone(), function.clone());
        function
    }
}
