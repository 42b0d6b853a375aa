//! What no plan may hold: a check of finished plans, apart from the code that makes them.

use std::collections::BTreeSet;
use std::fmt;

use super::Plan;
use super::goal::PASSAGE;
use super::path::covered;
use super::state::{apply, names, our_number, rules, worn};
use crate::budget::{self, Breach};
use crate::firewall::{GroupKey, GroupNumber, Rule, State};
use crate::policy::Direction;
use crate::provider::Step;
use crate::settings::Quotas;

/// A fault of a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A state on the way passes a limit that the first state does not pass so far.
    Quota(Breach),
    /// A rule is authorized that is there.
    DuplicateRule(GroupNumber, Rule),
    /// A rule is revoked that is not there.
    AbsentRule(GroupNumber, Rule),
    /// A rule in passage of a group that stays lets through more than those rules of the group do that it starts with or that
    /// are wanted of it.
    WiderRule(GroupNumber, Rule),
    /// A group is made that nobody wears and no rule names, other than the closed one.
    IdleGroup(GroupNumber),
    /// A group is deleted that somebody wears.
    WornGroup(GroupNumber),
    /// A group is deleted that another group's rule names.
    NamedGroup(GroupNumber),
    /// A group and direction gains or loses rules twice in one stage.
    TwiceInStage(GroupNumber, Direction),
}

/// The faults of a plan that starts from a state: none, for every plan that [`plan`](super::plan) makes.
#[must_use]
pub fn lint(plan: &Plan, from: &State, quotas: &Quotas) -> Vec<Fault> {
    let mut faults = BTreeSet::new();
    let mut state = from.clone();
    let first: BTreeSet<Breach> = budget::breaches(from, quotas).into_iter().collect();
    for stage in &plan.stages {
        let mut seen = BTreeSet::new();
        // What adds is taken first: the state in which a quota is nearest.
        let (adding, removing): (Vec<&Step>, Vec<&Step>) = stage
            .steps
            .iter()
            .partition(|step| !matches!(step, Step::Revoke { .. } | Step::DeleteGroup(_)));
        for step in adding.into_iter().chain(removing) {
            faults.extend(of_step(plan, from, &state, step));
            match step {
                Step::Authorize { group, direction, .. }
                | Step::Revoke { group, direction, .. } => {
                    let adds = matches!(step, Step::Authorize { .. });
                    if !seen.insert((*group, *direction, adds)) {
                        faults.insert(Fault::TwiceInStage(*group, *direction));
                    }
                }
                Step::CreateGroup(_)
                | Step::SetGroups { .. }
                | Step::DeleteGroup(_)
                | Step::Acl(_) => {}
            }
            apply(&mut state, step);
        }
        let breaches = budget::breaches(&state, quotas).into_iter();
        faults.extend(breaches.filter(|breach| !first.contains(breach)).map(Fault::Quota));
    }
    faults.into_iter().collect()
}

fn of_step(plan: &Plan, from: &State, state: &State, step: &Step) -> Vec<Fault> {
    match step {
        Step::CreateGroup(group) => {
            let used = plan.steps().any(|step| match step {
                Step::SetGroups { groups, .. } => groups.contains(&GroupKey::Ours(*group)),
                Step::Authorize { rules, .. } => rules.keys().any(|it| names(it) == Some(*group)),
                Step::CreateGroup(_)
                | Step::Revoke { .. }
                | Step::DeleteGroup(_)
                | Step::Acl(_) => false,
            });
            if used || *group == GroupNumber::CLOSED {
                Vec::new()
            } else {
                vec![Fault::IdleGroup(*group)]
            }
        }
        Step::Authorize { group, rules: added, .. } => {
            let lasting = plan.target.groups.contains_key(&GroupKey::Ours(*group));
            let mut faults = Vec::new();
            for (rule, description) in added {
                if rules(state, *group).contains(rule) {
                    faults.push(Fault::DuplicateRule(*group, rule.clone()));
                }
                if lasting && description == PASSAGE && !covered(rule, &band(plan, from, *group)) {
                    faults.push(Fault::WiderRule(*group, rule.clone()));
                }
            }
            faults
        }
        Step::Revoke { group, rules: removed, .. } => {
            let absent = removed.iter().filter(|rule| !rules(state, *group).contains(*rule));
            absent.map(|rule| Fault::AbsentRule(*group, rule.clone())).collect()
        }
        Step::SetGroups { .. } | Step::Acl(_) => Vec::new(),
        Step::DeleteGroup(group) => {
            let key = GroupKey::Ours(*group);
            let wears = state.interfaces.keys().any(|it| worn(state, it).contains(&key));
            let others = state.groups.iter().filter(|(other, _)| our_number(other) != Some(*group));
            let named = others.flat_map(|(_, rules)| rules).any(|it| names(it) == Some(*group));
            let worn = wears.then_some(Fault::WornGroup(*group));
            worn.into_iter().chain(named.then_some(Fault::NamedGroup(*group))).collect()
        }
    }
}

/// The rules that a group starts with, and those that are wanted of it.
fn band(plan: &Plan, from: &State, group: GroupNumber) -> BTreeSet<Rule> {
    let wanted = plan.steps().flat_map(|step| match step {
        Step::Authorize { group: of, rules, .. } if *of == group => {
            let wanted = rules.iter().filter(|(_, description)| *description != PASSAGE);
            wanted.map(|(rule, _)| rule.clone()).collect()
        }
        Step::CreateGroup(_)
        | Step::Authorize { .. }
        | Step::Revoke { .. }
        | Step::SetGroups { .. }
        | Step::DeleteGroup(_)
        | Step::Acl(_) => Vec::new(),
    });
    wanted.chain(rules(from, group).iter().cloned()).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota(breach) => write!(f, "on the way, {breach}"),
            Self::DuplicateRule(group, rule) => write!(f, "{group} holds `{rule}` already"),
            Self::AbsentRule(group, rule) => write!(f, "{group} does not hold `{rule}`"),
            Self::WiderRule(group, rule) => {
                write!(f, "`{rule}` in {group} is wider than what is there and what is wanted")
            }
            Self::IdleGroup(group) => write!(f, "{group} is made, and nobody wears or names it"),
            Self::WornGroup(group) => write!(f, "{group} is deleted while somebody wears it"),
            Self::NamedGroup(group) => write!(f, "{group} is deleted while a rule names it"),
            Self::TwiceInStage(group, direction) => {
                write!(f, "{group} changes its {direction} rules twice in one stage")
            }
        }
    }
}
