//! `moat apply` and `moat uninstall`: plan, ask, carry the plan out, and read it back.

use std::io::Read;

use moat_core::compile::Desired;
use moat_core::firewall::{GroupKey, GroupNumber};
use moat_core::plan::Plan;
use moat_k8s::INSTALLATION;

use crate::args::{Apply, Consent, Output, Uninstall};
use crate::commands::print_json;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::Paint;
use crate::text::plan::Report;
use crate::{Exit, Io, text};

pub(crate) fn run(arguments: &Apply, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let plan = &arguments.plan;
    let mut session = Session::open(&plan.paths, &plan.input, &[], io)?;
    let desired = session.compile(io)?;
    carry_out(&mut session, &desired, plan.output, &arguments.consent, io)
}

/// `moat uninstall`: every interface gets back what it wore, and no group of ours is left.
pub(crate) fn uninstall(arguments: &Uninstall, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut session = Session::without_objects(&arguments.cloud, &arguments.live, io)?;
    carry_out(&mut session, &Desired::default(), arguments.output, &arguments.consent, io)
}

fn carry_out(
    session: &mut Session,
    desired: &Desired,
    output: Output,
    Consent { yes, no_controller }: &Consent,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    session.may_apply()?;
    if !no_controller {
        session.be_alone()?;
    }
    let findings = session.all_findings(desired);
    let observed = session.observe()?;
    let closed = GroupKey::Ours(GroupNumber::CLOSED);
    if observed.state.groups.contains_key(&closed) && !desired.state.groups.contains_key(&closed) {
        let cluster = session.cluster();
        writeln!(
            io.stderr,
            "note: no pod starts where a SecurityGroupPolicy names a group that is gone: let `kubectl delete sgp -A -l {INSTALLATION}={cluster}` \
             come first"
        )?;
    }
    if let Some(place) = session.asks_before().filter(|_| !*yes) {
        let plan = session.plan(desired, &observed);
        if output == Output::Json && !plan.stages.is_empty() {
            let message =
                "with `--output json` nobody can be asked: look at `moat plan`, then give `--yes`";
            return Err(Failure::Usage(message.to_owned()));
        }
        let findings = session.with_drift(findings.clone(), &observed, &plan.stages);
        let writer = session.writer();
        let from = &observed.state;
        let report = Report { desired, from, plan: &plan, findings: &findings, writer };
        report.groups(&plan.stages, io)?;
        report.acls(&plan.stages, io)?;
        report.stages(&plan.stages, "to do", io)?;
        confirm(&plan, place, io)?;
    }
    let applied = session.apply(desired, observed.clone(), io);
    // What was done before a failure is kept as well: it happened.
    session.save()?;
    let applied = applied?;
    // Nothing is left to do: this plan binds the groups to those that are there.
    let settled = session.plan(desired, &applied.observed);
    let findings = session.with_drift(findings, &observed, &applied.stages);
    let writer = session.writer();
    let from = &observed.state;
    let report = Report { desired, from, plan: &settled, findings: &findings, writer };
    match output {
        Output::Json => print_json(&report.document(&applied.stages, Some(report.is_whole())), io)?,
        Output::Text => {
            let paint = Paint { on: io.terminal.colour };
            report.groups(&applied.stages, io)?;
            report.acls(&applied.stages, io)?;
            report.stages(&applied.stages, "done", io)?;
            if session.has_input() {
                report.summary(io)?;
            }
            report.read_back(&applied.observed, paint, io)?;
        }
    }
    Ok(report.exit())
}

/// Asks whether a plan is to be carried out.
fn confirm(plan: &Plan, place: &str, io: &mut Io<'_>) -> Result<(), Failure> {
    let steps: usize = plan.stages.iter().map(|stage| stage.steps.len()).sum();
    if steps == 0 {
        return Ok(());
    }
    io.stdout.flush()?;
    write!(io.stderr, "Carry out {} in {place}? [y/N] ", text::count(steps, "call"))?;
    io.stderr.flush()?;
    let mut answer = Vec::new();
    for byte in Read::bytes(&mut *io.stdin) {
        let byte = byte?;
        if byte == b'\n' {
            break;
        }
        answer.push(byte);
    }
    if matches!(answer.trim_ascii(), b"y" | b"Y" | b"yes") {
        return Ok(());
    }
    Err(Failure::NotApplied("nobody said yes: answer `y`, or give `--yes`".to_owned()))
}
