//! Groups, steps and counts as tables.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::compile::Desired;
use moat_core::finding::{Finding, Reason};
use moat_core::firewall::{AclKey, EntryAction, GroupKey, State};
use moat_core::plan::{Held, Plan, Stage};
use moat_core::policy::Direction;
use moat_core::provider::{AclStep, Observed, Step};

use super::{Paint, count, few, findings, lines_of, table};
use crate::failure::Failure;
use crate::json::{self, Writer};
use crate::{Exit, Io};

/// What `plan` and `apply` tell.
pub(crate) struct Report<'a> {
    pub(crate) desired: &'a Desired,
    /// What the first step finds.
    pub(crate) from: &'a State,
    /// Binds the desired groups to those in the cloud.
    pub(crate) plan: &'a Plan,
    pub(crate) findings: &'a [Finding],
    pub(crate) writer: Writer<'a>,
}

/// More than these are a matter for `--output json`: groups, rules of a group in one direction, lines of steps.
const MOST_GROUPS: usize = 40;
const MOST_RULES: usize = 12;
const MOST_LINES: usize = 120;

impl Report<'_> {
    /// Whether the plan leads to all that is desired.
    pub(crate) fn is_whole(&self) -> bool {
        self.plan.held == Held::default()
    }

    /// Clean if there are no findings but standing ones, and nothing is held.
    pub(crate) fn exit(&self) -> Exit {
        let clean = self.findings.iter().all(|finding| finding.reason.is_standing());
        if clean && self.is_whole() { Exit::Clean } else { Exit::Findings }
    }

    /// The form for machines.
    pub(crate) fn document(&self, stages: &[Stage], applied: Option<bool>) -> json::Plan {
        json::Plan {
            api_version: "moat.dev/plan/v1",
            groups: self.writer.groups(self.desired, self.plan),
            acls: self.writer.acls(self.desired, self.plan),
            stages: self.writer.stages(self.desired, self.from, stages),
            findings: json::Finding::all(self.findings, self.writer.inventory),
            counts: self.counts(stages),
            held: self.writer.held(&self.plan.held),
            applied,
        }
    }

    fn counts(&self, stages: &[Stage]) -> json::Counts {
        let counts = &self.desired.counts;
        json::Counts {
            pods: counts.pods,
            policies: counts.policies,
            classes: counts.classes,
            groups: counts.groups,
            rules: counts.rules,
            prefix_rules: counts.prefix_rules,
            copied_rules: counts.copied_rules,
            reference_rules: counts.reference_rules,
            minimum_prefix_rules: counts.minimum_prefix_rules,
            largest_group: counts.largest_group,
            entries: counts.entries,
            minimum_entries: counts.minimum_entries,
            steps: stages.iter().map(|stage| stage.steps.len()).sum(),
            findings: self.findings.len(),
        }
    }

    /// The groups that the stages touch: who wears them in the end, and what they let through.
    pub(crate) fn groups(&self, stages: &[Stage], io: &mut Io<'_>) -> Result<(), Failure> {
        let touched = self.touched(stages);
        let (groups, others): (Vec<_>, Vec<_>) = self
            .writer
            .groups(self.desired, self.plan)
            .into_iter()
            .partition(|group| touched.contains(&group.group));
        if groups.is_empty() {
            return Ok(());
        }
        let mut table = table(io.terminal, ["group", "worn by", "lets in", "lets out"]);
        for group in groups.iter().take(MOST_GROUPS) {
            let side = |rules: &[json::Rule]| {
                let lines = rules.iter().map(|it| format!("{} {}", it.service, it.peer));
                few(lines, MOST_RULES, "\n")
            };
            table.add_row([
                group.group.clone(),
                few(&group.pods, 3, "\n"),
                side(&group.ingress),
                side(&group.egress),
            ]);
        }
        writeln!(io.stdout, "{}", lines_of(table))?;
        if let Some(more) = groups.len().checked_sub(MOST_GROUPS).filter(|more| *more > 0) {
            writeln!(io.stdout, "and {more} more groups: `--output json` has all of them")?;
        }
        if !others.is_empty() {
            writeln!(io.stdout, "no change of {}", count(others.len(), "other group"))?;
        }
        Ok(writeln!(io.stdout)?)
    }

    /// The network ACLs of ours that the stages touch: what they guard in the end, and what they deny.
    pub(crate) fn acls(&self, stages: &[Stage], io: &mut Io<'_>) -> Result<(), Failure> {
        let steps = stages.iter().flat_map(|stage| &stage.steps);
        let named = steps.filter_map(|step| match step {
            Step::Acl(AclStep::Guard { by, .. }) => by.ours(),
            Step::Acl(
                AclStep::Create { acl, .. }
                | AclStep::Put { acl, .. }
                | AclStep::Remove { acl, .. }
                | AclStep::Delete(acl),
            ) => Some(acl),
            Step::CreateGroup(_)
            | Step::DeleteGroup(_)
            | Step::Authorize { .. }
            | Step::Revoke { .. }
            | Step::SetGroups { .. } => None,
        });
        let named: BTreeSet<String> = named.map(ToString::to_string).collect();
        let mut acls = self.writer.acls(self.desired, self.plan);
        acls.retain(|it| named.contains(&it.acl));
        if acls.is_empty() {
            return Ok(());
        }
        let mut table =
            table(io.terminal, ["network ACL", "guards", "on the way in", "on the way out"]);
        for json::Acl { acl, guards, ingress, egress } in acls {
            let side = |entries: Vec<json::Entry>| {
                let line = |it: json::Entry| format!("{} {}", it.number, it.entry);
                few(entries.into_iter().map(line), MOST_RULES, "\n")
            };
            let guards = few(guards.into_keys(), MOST_RULES, "\n");
            table.add_row([acl, guards, side(ingress), side(egress)]);
        }
        writeln!(io.stdout, "{}", lines_of(table))?;
        Ok(writeln!(io.stdout)?)
    }

    /// The steps, stage by stage.
    pub(crate) fn stages(
        &self,
        stages: &[Stage],
        what: &str,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let paint = Paint { on: io.terminal.colour };
        let mut left = MOST_LINES;
        for (stage, number) in stages.iter().zip(1..) {
            let calls = count(stage.steps.len(), "call");
            let title = paint.bold(format!("stage {number}: {}", stage.describe()));
            writeln!(io.stdout, "{title} ({calls} {what})")?;
            let mut lines: Vec<String> =
                stage.steps.iter().flat_map(|step| self.step(step, paint)).collect();
            lines.extend(self.moves(&stage.steps));
            for line in lines.iter().take(left) {
                writeln!(io.stdout, "  {line}")?;
            }
            if let Some(more) = lines.len().checked_sub(left).filter(|more| *more > 0) {
                writeln!(io.stdout, "  and {more} more lines: `--output json` has all of it")?;
            }
            left = left.saturating_sub(lines.len());
        }
        if stages.iter().flat_map(|stage| &stage.steps).any(cuts) {
            writeln!(
                io.stdout,
                "{} a network ACL cuts what it denies at once, connections that are established too; those that groups no longer \
                 let through go on until they are idle",
                paint.yellow("note:")
            )?;
        }
        for (reason, label) in [(Reason::NameTaken, "name taken:"), (Reason::Drift, "drift:")] {
            let found = self.findings.iter().filter(|finding| finding.reason == reason);
            let found: Vec<&str> = found.map(|finding| &*finding.message).collect();
            for message in found.iter().take(MOST_RULES) {
                writeln!(io.stdout, "{} {message}", paint.yellow(label))?;
            }
            if let Some(more) = found.len().checked_sub(MOST_RULES).filter(|more| *more > 0) {
                writeln!(io.stdout, "and {more} more such: `--output json` has all of them")?;
            }
        }
        let json::Held { groups, pods, limits } = self.writer.held(&self.plan.held);
        for limit in limits {
            writeln!(io.stdout, "{} {limit}", paint.yellow("held:"))?;
        }
        for (held, what) in [(groups, "rules"), (pods, "groups")] {
            if !held.is_empty() {
                let held = few(held, MOST_RULES, ", ");
                writeln!(io.stdout, "{} {held}: no change of {what}", paint.yellow("held:"))?;
            }
        }
        if !stages.is_empty() {
            writeln!(io.stdout)?;
        }
        Ok(())
    }

    /// A step: one line, or one for each of its rules; none for a move.
    fn step(&self, step: &Step, paint: Paint) -> Vec<String> {
        let toward = |direction: &Direction| match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        let (name, peer) = (|group| self.writer.name(group), |peer| self.writer.name(peer));
        match step {
            Step::CreateGroup(group) => vec![paint.green(format!("+ group {}", name(group)))],
            Step::DeleteGroup(group) => vec![paint.yellow(format!("- group {}", name(group)))],
            Step::Acl(step) => vec![self.acl_step(step)],
            Step::Authorize { group, direction, rules } => rules
                .iter()
                .map(|(rule, serves)| {
                    let line = format!(
                        "+ {} {direction} {} {} {}",
                        name(group),
                        rule.shape,
                        toward(direction),
                        peer(&rule.peer)
                    );
                    let serves =
                        if serves.is_empty() { String::new() } else { format!("  ({serves})") };
                    format!("{}{serves}", paint.green(line))
                })
                .collect(),
            Step::Revoke { group, direction, rules } => rules
                .iter()
                .map(|rule| {
                    paint.yellow(format!(
                        "- {} {direction} {} {} {}",
                        name(group),
                        rule.shape,
                        toward(direction),
                        peer(&rule.peer)
                    ))
                })
                .collect(),
            Step::SetGroups { .. } => Vec::new(),
        }
    }

    fn acl_step(&self, step: &AclStep) -> String {
        let note = match step {
            AclStep::Put { acl, key, entry } => {
                let serves = self.desired.asks_for(acl, *key, *entry);
                (!serves.is_empty()).then(|| few(serves, 3, ", "))
            }
            AclStep::Remove { acl, key } => {
                let there = self.from.acls.get(&AclKey::Ours(acl.clone()));
                there.and_then(|acl| acl.0.get(key)).map(|entry| format!("`{entry}`"))
            }
            AclStep::Create { .. } | AclStep::Guard { .. } | AclStep::Delete(_) => None,
        };
        note.map_or_else(|| step.to_string(), |note| format!("{step}  ({note})"))
    }

    /// The moves of a stage: pods that wear the same groups in the end, together; interfaces where no pod of them is known.
    fn moves(&self, steps: &[Step]) -> Vec<String> {
        let mut moves: BTreeMap<&BTreeSet<GroupKey>, BTreeSet<String>> = BTreeMap::new();
        for step in steps {
            if let Step::SetGroups { interface, groups, record: _ } = step {
                let mut carried = self.writer.carried_by(interface);
                if carried.is_empty() {
                    carried.push(interface.0.to_string());
                }
                moves.entry(groups).or_default().extend(carried);
            }
        }
        let line = |(groups, pods): (&BTreeSet<GroupKey>, BTreeSet<String>)| {
            let verb = if pods.len() == 1 { "wears" } else { "wear" };
            let groups: Vec<String> = groups.iter().map(|group| self.writer.name(group)).collect();
            format!("~ {} {verb} {}", few(pods, 3, ", "), groups.join(", "))
        };
        moves.into_iter().map(line).collect()
    }

    /// Sizes, the minimum, and the findings by reason.
    pub(crate) fn summary(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        let paint = Paint { on: io.terminal.colour };
        let counts = &self.desired.counts;
        writeln!(
            io.stdout,
            "{} and {} make {} and {}",
            count(counts.policies, "policy"),
            count(counts.pods, "pod"),
            count(counts.classes, "class").replace("classs", "classes"),
            count(counts.groups, "group"),
        )?;
        writeln!(
            io.stdout,
            "{}: {} that name a group, {} that name addresses ({} is the minimum){}; the largest group has {}",
            count(counts.rules, "rule"),
            counts.reference_rules,
            counts.prefix_rules,
            counts.minimum_prefix_rules,
            match counts.copied_rules {
                0 => String::new(),
                copied => format!(", {copied} copied from groups that gave way"),
            },
            count(counts.largest_group, "rule"),
        )?;
        if counts.entries > 0 {
            let entries = count(counts.entries, "entry");
            writeln!(
                io.stdout,
                "{entries} of network ACLs deny what groups leave to them ({} is the minimum)",
                counts.minimum_entries
            )?;
        }
        writeln!(io.stdout)?;
        if !self.findings.is_empty() {
            writeln!(io.stdout, "{}", findings::summary(self.findings, io.terminal))?;
            writeln!(io.stdout, "`moat check` with the same arguments shows each in its place")?;
        }
        Ok(writeln!(io.stdout, "{}", findings::totals(self.findings, paint))?)
    }

    /// What the cloud holds at the end.
    pub(crate) fn read_back(
        &self,
        observed: &Observed,
        paint: Paint,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let ours = observed.state.groups.iter().filter(|(key, _)| matches!(key, GroupKey::Ours(_)));
        let (groups, rules) =
            ours.fold((0, 0), |(groups, rules), (_, held)| (groups + 1, rules + held.len()));
        let wears =
            |worn: &&BTreeSet<GroupKey>| worn.iter().any(|key| matches!(key, GroupKey::Ours(_)));
        let interfaces = observed.state.interfaces.values().filter(wears).count();
        let acls = observed.state.acls.keys().filter(|key| key.ours().is_some()).count();
        let held = format!(
            "applied and read back: {}, {}, {}{}",
            count(groups, "group"),
            count(rules, "rule"),
            count(interfaces, "interface"),
            if acls > 0 { format!(", {}", count(acls, "network ACL")) } else { String::new() },
        );
        Ok(writeln!(io.stdout, "{}", paint.green(held))?)
    }

    /// The groups of ours that stages make, change or delete, or that interfaces begin to wear.
    fn touched(&self, stages: &[Stage]) -> BTreeSet<String> {
        let steps = stages.iter().flat_map(|stage| &stage.steps);
        let groups = steps.flat_map(|step| match step {
            Step::CreateGroup(group)
            | Step::DeleteGroup(group)
            | Step::Authorize { group, .. }
            | Step::Revoke { group, .. } => vec![self.writer.name(group)],
            Step::SetGroups { groups, .. } => {
                groups.iter().map(|group| self.writer.name(group)).collect()
            }
            Step::Acl(_) => Vec::new(),
        });
        groups.collect()
    }
}

/// Whether a step may cut connections that are established: an entry comes to deny something, or an ACL of ours to guard a subnet.
fn cuts(step: &Step) -> bool {
    match step {
        Step::Acl(AclStep::Put { entry, .. }) => entry.action == EntryAction::Deny,
        Step::Acl(AclStep::Guard { by, .. }) => by.ours().is_some(),
        Step::Acl(AclStep::Create { .. } | AclStep::Remove { .. } | AclStep::Delete(_))
        | Step::CreateGroup(_)
        | Step::DeleteGroup(_)
        | Step::Authorize { .. }
        | Step::Revoke { .. }
        | Step::SetGroups { .. } => false,
    }
}
