//! `moat check`: what is not enforced exactly, and which expectations are not met; for pipelines.

use crate::args::{Check, CheckOutput};
use crate::commands::print_json;
use crate::expect::{self, Outcome};
use crate::failure::Failure;
use crate::oracle::{Clouds, Oracle};
use crate::session::Session;
use crate::text::{Paint, count, findings};
use crate::{Exit, Io, json, sarif};

pub(crate) fn run(arguments: &Check, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut session = Session::open(&arguments.paths, &arguments.input, &arguments.expect, io)?;
    let wanted = expect::read(&arguments.expect, io)?;
    let desired = session.compile(io)?;
    let found = session.with_advice(session.all_findings(&desired), &desired);
    let outcomes = if wanted.is_empty() {
        Vec::new()
    } else {
        let clouds = Clouds::of(&mut session, &desired, io)?;
        let oracle = Oracle::of(&session, &desired, &clouds, &found);
        wanted.into_iter().map(|wanted| wanted.test(&oracle)).collect()
    };
    match arguments.output {
        CheckOutput::Text => text(&session, &found, &outcomes, !arguments.expect.is_empty(), io)?,
        CheckOutput::Json => {
            let document = json::Check {
                api_version: "moat.dev/check/v1",
                findings: json::Finding::all(&found, &session.inventory),
                expectations: outcomes.iter().map(|it| it.document(&session.inventory)).collect(),
            };
            print_json(&document, io)?;
        }
        CheckOutput::Sarif => {
            print_json(&sarif::log(&found, &outcomes, &session.inventory), io)?;
        }
    }
    let clean = found.iter().all(|finding| finding.reason.is_standing())
        && outcomes.iter().all(Outcome::is_met);
    Ok(if clean { Exit::Clean } else { Exit::Findings })
}

fn text(
    session: &Session,
    found: &[moat_core::finding::Finding],
    outcomes: &[Outcome],
    expected: bool,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let paint = Paint { on: io.terminal.colour };
    let lines = session.lines(found);
    for block in findings::blocks(found, &lines, &session.inventory, paint) {
        writeln!(io.stdout, "{block}")?;
    }
    if !found.is_empty() {
        writeln!(io.stdout, "{}", findings::summary(found, io.terminal))?;
    }
    for outcome in outcomes {
        writeln!(io.stdout, "{}", outcome.line(paint))?;
    }
    if expected {
        let met = outcomes.iter().filter(|outcome| outcome.is_met()).count();
        let (all, failed) = (count(outcomes.len(), "expectation"), outcomes.len() - met);
        writeln!(io.stdout, "{}: {met} met, {failed} failed", paint.bold(all))?;
    }
    let (policies, pods) = (session.policies.len(), session.inventory.pods.len());
    let (policies, pods) = (count(policies, "policy"), count(pods, "pod"));
    Ok(writeln!(io.stdout, "{policies}, {pods}; {}", findings::totals(found, paint))?)
}
