//! Findings as a good compiler shows its own: the place, the line, a caret, the reason, an example.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::finding::{Effect, Finding, Location, Reason};
use moat_core::inventory::Inventory;

use super::{Paint, count, few, lines_of, table, visible};
use crate::Terminal;
use crate::sources::Lines;

/// Findings of one reason and message as a block of lines: the first with its line, the others by their places.
pub(crate) fn blocks(
    findings: &[Finding],
    lines: &Lines,
    inventory: &Inventory,
    paint: Paint,
) -> Vec<String> {
    let mut alike: Vec<(&Finding, Vec<&Finding>)> = Vec::new();
    let mut places: BTreeMap<(Reason, Effect, &str), usize> = BTreeMap::new();
    for finding in findings {
        let key = (finding.reason, finding.effect, &*finding.message);
        let place = *places.entry(key).or_insert(alike.len());
        match alike.get_mut(place) {
            Some((_, others)) => others.push(finding),
            None => alike.push((finding, Vec::new())),
        }
    }
    alike
        .into_iter()
        .map(|(first, others)| block(first, &others, lines, inventory, paint))
        .collect()
}

fn block(
    finding: &Finding,
    others: &[&Finding],
    lines: &Lines,
    inventory: &Inventory,
    paint: Paint,
) -> String {
    /// More places than these are a matter for `--output json`.
    const PLACES: usize = 5;
    let Finding { reason, effect, message, witness, location, .. } = finding;
    let label = by_effect(*effect, paint, format!("{effect}[{reason}]:"));
    let mut text = vec![format!("{label} {}", visible(message))];
    let margin = location.as_ref().map_or(1, |location| location.line.to_string().len());
    let arrow = paint.blue(format!("{:margin$}-->", ""));
    let bar = paint.blue(format!("{:margin$} |", ""));
    let note = paint.blue(format!("{:margin$} =", ""));
    text.push(format!("{arrow} {}", place(finding)));
    let line = location.as_ref().and_then(|it| Some((it, lines.get(&it.file, it.line)?)));
    if let Some((location, line)) = line {
        let (line, blanks, carets) = underline(line, location);
        let number = paint.blue(format!("{:margin$} |", location.line));
        let carets = by_effect(*effect, paint, carets);
        text.extend([bar.clone(), format!("{number} {line}"), format!("{bar} {blanks}{carets}")]);
    }
    if let Some(flow) = witness {
        text.push(format!("{note} such as {}", flow.display(inventory)));
    }
    if !others.is_empty() {
        text.push(format!("{note} also at"));
        let shown = others.iter().take(PLACES);
        text.extend(shown.map(|other| format!("{arrow} {}", place(other))));
    }
    if let Some(more) = others.len().checked_sub(PLACES).filter(|more| *more > 0) {
        text.push(format!("{:margin$}     and {more} more places", ""));
    }
    text.join("\n") + "\n"
}

/// Where a finding stands: file, line and column, object and field.
fn place(finding: &Finding) -> String {
    let Finding { object, path, location, .. } = finding;
    let location = location.as_ref().map(|location| format!("{location}: ")).unwrap_or_default();
    let field = if path.is_empty() { String::new() } else { format!(" {path}") };
    visible(&format!("{location}{object}{field}"))
}

/// How many findings there are of each reason, what they cost, and where.
pub(crate) fn summary(findings: &[Finding], terminal: Terminal) -> String {
    let mut by_reason: BTreeMap<(Effect, Reason), Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_reason.entry((finding.effect, finding.reason)).or_default().push(finding);
    }
    let mut table = table(terminal, ["reason", "effect", "count", "objects", "what it is"]);
    for ((effect, reason), findings) in by_reason {
        let objects: BTreeSet<_> = findings.iter().map(|finding| &finding.object).collect();
        table.add_row([
            reason.to_string(),
            effect.to_string(),
            findings.len().to_string(),
            few(objects, 2, ", "),
            reason.describe().trim().trim_end_matches('.').to_owned(),
        ]);
    }
    lines_of(table)
}

/// One line: how many findings of each effect.
pub(crate) fn totals(findings: &[Finding], paint: Paint) -> String {
    if findings.is_empty() {
        return paint.green("no findings: the cloud is exact");
    }
    let effects = [Effect::NotEnforced, Effect::Narrower, Effect::Ignored];
    let counts = effects.into_iter().filter_map(|effect| {
        let number = findings.iter().filter(|finding| finding.effect == effect).count();
        (number > 0).then(|| by_effect(effect, paint, format!("{number} {effect}")))
    });
    let total = count(findings.len(), "finding");
    let standing = findings.iter().filter(|finding| finding.reason.is_standing()).count();
    let note = match standing {
        0 => String::new(),
        all if all == findings.len() => {
            "; all standing facts about the VPC, so this is clean".to_owned()
        }
        some => format!("; {} about the VPC", count(some, "standing fact")),
    };
    format!("{}: {}{note}", paint.bold(total), counts.collect::<Vec<_>>().join(", "))
}

/// In the order of their places, as a reader goes through the files; those without a place come last.
pub(crate) fn in_reading_order(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let place = |finding: &Finding| (finding.location.is_none(), finding.location.clone());
        let rest =
            |finding: &Finding| (finding.object.clone(), finding.path.clone(), finding.reason);
        place(a).cmp(&place(b)).then_with(|| rest(a).cmp(&rest(b)))
    });
}

fn by_effect(effect: Effect, paint: Paint, text: impl std::fmt::Display) -> String {
    match effect {
        Effect::NotEnforced => paint.red(text),
        Effect::Narrower => paint.yellow(text),
        Effect::Ignored => paint.bold(text),
    }
}

/// The line as it is shown, the blanks that lead to the place, and the carets under what stands there.
fn underline(line: &str, location: &Location) -> (String, String, String) {
    /// Longer lines are cut: minified JSON is one line.
    const LONGEST: usize = 160;
    let before = location.column.saturating_sub(1);
    let from = before.saturating_sub(LONGEST / 2);
    let shown: String =
        line.chars().skip(from).take(LONGEST).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let rest: String = shown.chars().skip(before - from).collect();
    let value = rest.trim_start_matches("- ");
    let blanks = " ".repeat((before - from) + (rest.chars().count() - value.chars().count()));
    let word = value.split(" #").next().unwrap_or_default().trim_end();
    (shown.trim_end().to_owned(), blanks, "^".repeat(word.chars().count().max(1)))
}
