//! `moat status`: what of each pod is enforced and what is not, and who sees to it.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::policy::ObjectRef;
use moat_k8s::Installation;
use moat_k8s::crd::{InstallationStatus, ProviderInUse};

use crate::args::{Status, StatusOutput};
use crate::commands::print_json;
use crate::failure::Failure;
use crate::status::{Cause, Row, State, View};
use crate::text::{Paint, columns, count, few, visible};
use crate::{Exit, Io, json};

/// Policies that a cell of the table names at most.
const NAMED: usize = 3;

pub(crate) fn run(arguments: &Status, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let namespace = arguments.namespace.as_deref();
    let mut published =
        arguments.cluster.reach(io)?.published(namespace).map_err(Failure::Cluster)?;
    for why in &published.unread {
        writeln!(io.stderr, "note: not all is shown: {why}")?;
    }
    let is_whole = published.unread.is_empty();
    let installations = std::mem::take(&mut published.installations);
    let mut view = View::of(published, namespace.is_none());
    view.look(&arguments.cloud, io)?;
    let rows = view.rows();
    match arguments.output {
        StatusOutput::Json => {
            let document = json::Status {
                api_version: "moat.dev/status/v1",
                installations: installations.iter().map(json::Installation::of).collect(),
                pods: rows.iter().map(json::PodStatus::of).collect(),
            };
            print_json(&document, io)?;
        }
        StatusOutput::Table => table(&installations, &rows, is_whole, io)?,
    }
    let is_led = !installations.is_empty()
        && installations.iter().all(|it| matches!(it.leader, Ok(Some(_)) | Err(_)));
    let is_fine = rows.iter().all(|row| row.state.is_fine());
    Ok(if is_led && is_fine { Exit::Clean } else { Exit::Findings })
}

fn table(
    installations: &[Installation],
    rows: &[Row<'_>],
    is_whole: bool,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let paint = Paint { on: io.terminal.colour };
    for installation in installations {
        write!(io.stdout, "{}", about(installation, paint))?;
    }
    if installations.is_empty() && is_whole {
        let none = "no MoatInstallation: no controller has led in this cluster, so nothing is enforced by one";
        writeln!(io.stdout, "{}", paint.yellow(none))?;
    }
    if !rows.is_empty() {
        let mut header = vec!["NAMESPACE", "POD", "INGRESS", "EGRESS", "STATE", "REASON"];
        header.extend(rows.iter().any(|row| row.groups.is_some()).then_some("GROUPS"));
        let lines: Vec<_> = rows.iter().map(line).collect();
        write!(io.stdout, "\n{}", columns(&header, &lines))?;
    }
    let because: BTreeSet<&Cause> = rows.iter().flat_map(|row| &row.because).collect();
    for (place, Cause { reason, message }) in because.into_iter().enumerate() {
        if place == 0 {
            writeln!(io.stdout)?;
        }
        writeln!(io.stdout, "{}: {}", paint.bold(visible(reason)), visible(message))?;
    }
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.state).or_default() += 1;
    }
    let counts = counts.iter().map(|(state, number)| {
        let text = format!("{number} {}", state.words());
        if state.is_fine() { paint.green(text) } else { paint.yellow(text) }
    });
    writeln!(io.stdout, "\n{}: {}", count(rows.len(), "pod"), few(counts, State::ALL.len(), ", "))?;
    Ok(())
}

/// Who leads an installation, and how far it is.
fn about(Installation { object, leader }: &Installation, paint: Paint) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let status = object.status.clone().unwrap_or_default();
    let InstallationStatus { conditions, version, provider, settings, quotas, .. } = &status;
    let mode = settings.as_ref().map_or("unknown", |settings| &settings.mode);
    let mut text = paint.bold(format!("MoatInstallation {name}")) + ": ";
    text += &match leader {
        Ok(Some(leader)) => format!("{} leads", visible(leader)),
        Ok(None) => paint.yellow("nobody leads: what is told is as old as the last leader's end"),
        Err(why) => format!("{} led last, and who does is not known: {why}", status.leader),
    };
    text += &format!("\n  mode {mode}, version {version}");
    if let Some(ProviderInUse { name, vpc, region }) = provider {
        let places = [vpc, region].into_iter().flatten().map(|it| format!(" {it}"));
        text += &visible(&format!(", {name}{}", places.collect::<String>()));
    }
    if let Some(quotas) = quotas {
        text += &format!(", {} of {} groups", quotas.groups.used, quotas.groups.limit);
    }
    for condition in conditions {
        let line = format!(
            "{}={}, {}: {}",
            condition.type_, condition.status, condition.reason, condition.message
        );
        text += "\n  ";
        let line = visible(&line);
        text += &if condition.status == "True" { line } else { paint.yellow(line) };
    }
    if object.is_paused() {
        text += &paint.yellow(format!("\n  paused: `moat resume {name}` lets it go on"));
    }
    text + "\n"
}

fn line(row: &Row<'_>) -> Vec<String> {
    let policies = |policies: &[&ObjectRef]| {
        few(policies.iter().map(|it| format!("{}/{}", it.kind.short_name(), it.name)), NAMED, ",")
    };
    let reasons: BTreeSet<&str> = row.because.iter().map(|cause| &*cause.reason).collect();
    let state = format!("{:?}", row.state);
    let mut line = vec![
        row.pod.namespace.to_string(),
        row.pod.name.to_string(),
        policies(&row.ingress),
        policies(&row.egress),
        if row.state == State::Unselected { "-".to_owned() } else { state },
        few(reasons, NAMED, ","),
    ];
    line.extend(row.groups.as_ref().map(|groups| few(groups, NAMED, ",")));
    line
}
