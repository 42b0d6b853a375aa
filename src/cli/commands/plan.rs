//! `moat plan`: what would be done, and what the cloud cannot express.

use crate::args::{Output, Plan};
use crate::commands::print_json;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::Paint;
use crate::{Exit, Io, text};

pub(crate) fn run(arguments: &Plan, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut session = Session::open(&arguments.paths, &arguments.input, &[], io)?;
    let desired = session.compile(io)?;
    let observed = session.observe()?;
    let plan = session.plan(&desired, &observed);
    let findings = session.with_drift(session.all_findings(&desired), &observed, &plan.stages);
    let report = text::plan::Report {
        desired: &desired,
        from: &observed.state,
        plan: &plan,
        findings: &findings,
        writer: session.writer(),
    };
    match arguments.output {
        Output::Json => print_json(&report.document(&plan.stages, None), io)?,
        Output::Text => {
            let paint = Paint { on: io.terminal.colour };
            report.groups(&plan.stages, io)?;
            report.acls(&plan.stages, io)?;
            report.stages(&plan.stages, "to do", io)?;
            report.summary(io)?;
            let steps: usize = plan.stages.iter().map(|stage| stage.steps.len()).sum();
            let next = if steps == 0 && report.is_whole() {
                paint.green("nothing to do: the cloud holds all of it")
            } else if steps == 0 {
                paint.yellow("nothing can be done: what is held stays as it is")
            } else {
                format!(
                    "{} to do: `moat apply` carries them out",
                    paint.bold(text::count(steps, "call"))
                )
            };
            writeln!(io.stdout, "{next}")?;
        }
    }
    Ok(report.exit())
}
