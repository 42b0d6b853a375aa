//! `moat apply`: plans, carries the plan out, and reads it back.

use moat_core::plan::Plan as CorePlan;

use crate::args::{Output, Plan};
use crate::commands::print_json;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::Paint;
use crate::{Exit, Io, text};

pub(crate) fn run(arguments: &Plan, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut session = Session::open(&arguments.paths, &arguments.input, &[], io)?;
    let desired = session.compile(io)?;
    let applied = session.apply(&desired, io);
    // What was done before a failure is kept as well: it happened.
    session.save()?;
    let applied = applied?;
    // Nothing is left to do: this plan binds the groups to those that are there.
    let settled: CorePlan = session.plan(&desired, &applied.observed);
    let findings = session.all_findings(&desired);
    let report = text::plan::Report {
        desired: &desired,
        plan: &settled,
        findings: &findings,
        writer: session.writer(),
    };
    match arguments.output {
        Output::Json => print_json(&report.document(&applied.stages, Some(report.is_whole())), io)?,
        Output::Text => {
            let paint = Paint { on: io.terminal.colour };
            report.groups(&applied.stages, io)?;
            report.stages(&applied.stages, "done", io)?;
            report.summary(io)?;
            report.read_back(&applied.observed, paint, io)?;
        }
    }
    Ok(report.exit())
}
