//! A plan as text for people: stages with their purpose, a line for each rule that comes or goes, moves by what they have in
//! common, and what it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::state::{apply, worn};
use super::{Plan, Purpose, Stage};
use crate::firewall::State;
use crate::provider::Step;

/// A plan beside the state that it starts from.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    plan: &'a Plan,
    from: &'a State,
}

impl Plan {
    /// The plan as text, seen from the state that it was made for.
    #[must_use]
    pub const fn text<'a>(&'a self, from: &'a State) -> Text<'a> {
        Text { plan: self, from }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut state = self.from.clone();
        for (place, stage) in self.plan.stages.iter().enumerate() {
            writeln!(f, "{}. {}: {}", place + 1, stage.purpose, stage.describe())?;
            write_stage(f, stage, &state)?;
            stage.steps.iter().for_each(|step| apply(&mut state, step));
        }
        let held = &self.plan.held;
        for breach in &held.breaches {
            writeln!(f, "held: {breach}")?;
        }
        if !held.groups.is_empty() {
            writeln!(f, "held: {} keep their rules", list(&held.groups))?;
        }
        if !held.interfaces.is_empty() {
            let names = held.interfaces.iter().map(|interface| &interface.0);
            writeln!(f, "held: {} keep their groups", list(names))?;
        }
        let (calls, minimum) = (self.plan.calls(), self.plan.minimum_calls());
        match calls {
            0 => writeln!(f, "nothing to do"),
            1 => writeln!(f, "1 call, the fewest possible"),
            _ if calls == minimum => writeln!(f, "{calls} calls, the fewest possible"),
            _ => writeln!(f, "{calls} calls; {minimum} would be the fewest without the band"),
        }
    }
}

/// The steps of a stage, those of one group together, and interfaces that go the same way together.
fn write_stage(f: &mut fmt::Formatter<'_>, stage: &Stage, before: &State) -> fmt::Result {
    let mut moves: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut named = None;
    for step in &stage.steps {
        match step {
            Step::CreateGroup(group) => writeln!(f, "   + {group}")?,
            Step::DeleteGroup(group) => writeln!(f, "   - {group}")?,
            Step::Acl(step) => writeln!(f, "   {step}")?,
            Step::Authorize { group, rules, .. } => {
                if named.replace(*group) != Some(*group) {
                    writeln!(f, "   {group}")?;
                }
                for (rule, description) in rules {
                    writeln!(f, "     + {}  ({description})", rule)?;
                }
            }
            Step::Revoke { group, rules, .. } => {
                if named.replace(*group) != Some(*group) {
                    writeln!(f, "   {group}")?;
                }
                for rule in rules {
                    writeln!(f, "     - {}", rule)?;
                }
            }
            Step::SetGroups { interface, groups, .. } => {
                let way = (list(worn(before, interface)), list(groups));
                moves.entry(way).or_default().push(interface.0.to_string());
            }
        }
    }
    for ((old, new), interfaces) in moves {
        const SHOWN: usize = 3;
        let shown = interfaces.get(..SHOWN).unwrap_or(&interfaces).join(", ");
        let count = interfaces.len();
        let plural = if count == 1 { "" } else { "s" };
        let more = if count > SHOWN { ", …" } else { "" };
        writeln!(f, "   {count} interface{plural}: {old} → {new}  ({shown}{more})")?;
    }
    Ok(())
}

fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: BTreeSet<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.into_iter().collect::<Vec<_>>().join(", ")
}

impl Stage {
    /// What the stage does, in a few words. Groups and network ACLs never share one.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        let of_acls = self.steps.iter().any(|step| matches!(step, Step::Acl(_)));
        match self.purpose {
            Purpose::Create if of_acls => "make network ACLs that guard nothing yet",
            Purpose::Prepare if of_acls => "fill network ACLs that guard nothing yet",
            Purpose::Delete if of_acls => "delete network ACLs that guard nothing",
            Purpose::Create
            | Purpose::Prepare
            | Purpose::Tighten
            | Purpose::Wear
            | Purpose::Move
            | Purpose::Follow
            | Purpose::Widen
            | Purpose::Clean
            | Purpose::Delete => self.purpose.describe(),
        }
    }
}

impl Purpose {
    /// What a stage of this purpose does, in a few words.
    const fn describe(self) -> &'static str {
        match self {
            Self::Create => "make groups that nobody wears yet",
            Self::Prepare => "add rules that open nothing",
            Self::Tighten => "close what is no longer allowed",
            Self::Wear => "give interfaces groups beside those they wear",
            Self::Move => "leave interfaces just their groups",
            Self::Follow => "copy what the network ACL before ours says",
            Self::Widen => "open what becomes allowed",
            Self::Clean => "remove rules that allow nothing by themselves",
            Self::Delete => "delete groups that nobody wears",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Prepare => "prepare",
            Self::Tighten => "tighten",
            Self::Wear => "wear",
            Self::Move => "move",
            Self::Follow => "follow",
            Self::Widen => "widen",
            Self::Clean => "clean",
            Self::Delete => "delete",
        })
    }
}

/// A state in a few lines, for messages of tests and for logs.
#[cfg(test)]
pub(super) fn state(state: &State) -> String {
    let mut text = String::new();
    for (key, rules) in &state.groups {
        text += &format!("{key}\n");
        for rule in rules {
            text += &format!("    {}\n", rule);
        }
    }
    for (interface, groups) in &state.interfaces {
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        text += &format!("{}: {}\n", interface.0, groups.join(", "));
    }
    text
}
