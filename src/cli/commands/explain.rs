//! `moat explain`: why a flow passes or not, in the policies and in the cloud; one flow in words, or many as JSON lines.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use moat_core::explain::{Answer, Crossing, Explanation};
use moat_core::flow::Flow;
use moat_core::net::Family;
use serde::Deserialize;

use crate::args::{Explain, Output};
use crate::commands::print_json;
use crate::expect;
use crate::failure::Failure;
use crate::json::{self, FlowVerdict, Verdict};
use crate::oracle::{Clouds, Oracle};
use crate::session::{self, Session};
use crate::sources;
use crate::text::{Paint, few, findings};
use crate::{Exit, Io};

/// One line of `--flows`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    from: String,
    to: String,
    service: String,
    #[serde(default)]
    family: Option<u8>,
}

/// The longest line of `--flows`.
const LONGEST_LINE: u64 = 1 << 20;

pub(crate) fn run(arguments: &Explain, io: &mut Io<'_>) -> Result<Exit, Failure> {
    if let Some(flows) = &arguments.flows {
        let paths: Vec<PathBuf> = arguments.arguments.iter().map(PathBuf::from).collect();
        return many(flows, &paths, arguments, io);
    }
    let [from, to, service, paths @ ..] = arguments.arguments.as_slice() else {
        return Err(usage());
    };
    if paths.is_empty() && !arguments.input.live.is_named() {
        return Err(usage());
    }
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let family = family(arguments)?;
    let mut session = Session::open(&paths, &arguments.input, &[], io)?;
    let desired = session.compile(io)?;
    let found = session.all_findings(&desired);
    let clouds = Clouds::of(&mut session, &desired, io)?;
    let oracle = Oracle::of(&session, &desired, &clouds, &found);
    let flow = oracle.names.flow(from, to, service, family)?;
    let explanation = oracle.explainer.explain(&flow);
    match arguments.output {
        Output::Text => text(&flow, &explanation, &session, io)?,
        Output::Json => print_json(&json::Explain::of(&explanation, &session), io)?,
    }
    let same = explanation.policies == explanation.cloud;
    Ok(if same { Exit::Clean } else { Exit::Findings })
}

fn usage() -> Failure {
    let message = "`explain` takes FROM TO SERVICE and then at least one path, such as `moat explain shop/web-0 \
                   shop/database-0 tcp/5432 examples/shop`, or `--context NAME`; with `--flows FILE` every argument is a path";
    Failure::Usage(message.to_owned())
}

fn family(arguments: &Explain) -> Result<Option<Family>, Failure> {
    let Some(text) = &arguments.family else { return Ok(None) };
    let family = text.parse().ok().and_then(|number| expect::family(Some(number)).flatten());
    let refused = || Failure::Usage(format!("`--family {text}`: a family is 4 or 6"));
    family.map(Some).ok_or_else(refused)
}

// -------------------------------------------------------------------------------------------- many flows

fn many(
    flows: &PathBuf,
    paths: &[PathBuf],
    arguments: &Explain,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    if arguments.family.is_some() {
        let message = "`--family` is for one flow: with `--flows` each line has its own `family`";
        return Err(Failure::Usage(message.to_owned()));
    }
    let unreadable = |source| Failure::Unreadable { path: flows.to_owned(), source };
    // A file that is not there is better known before the work than after it.
    let file =
        if sources::is_stdin(flows) { None } else { Some(File::open(flows).map_err(unreadable)?) };
    let mut session = Session::open(paths, &arguments.input, std::slice::from_ref(flows), io)?;
    let desired = session.compile(io)?;
    let found = session.all_findings(&desired);
    let clouds = Clouds::of(&mut session, &desired, io)?;
    let oracle = Oracle::of(&session, &desired, &clouds, &found);
    session::progress(io, true, || "answering flows".to_owned())?;
    let stdout = &mut *io.stdout;
    let mut reader: BufReader<&mut dyn Read> = BufReader::with_capacity(1 << 16, io.stdin);
    let mut file = file;
    if let Some(file) = &mut file {
        reader = BufReader::with_capacity(1 << 16, file);
    }
    let (mut exit, mut number, mut bad) = (Exit::Clean, 0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        if read.map_err(unreadable)? == 0 {
            break;
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match answer(&line, &oracle) {
            Ok(verdict) => {
                if verdict.policies != verdict.cloud {
                    exit = Exit::Findings;
                }
                match arguments.output {
                    Output::Json => {
                        serde_json::to_writer(&mut *stdout, &verdict)
                            .map_err(std::io::Error::from)?;
                        writeln!(stdout)?;
                    }
                    Output::Text => writeln!(stdout, "{}", one_line(&verdict))?,
                }
            }
            Err(error) => {
                bad += 1;
                let error = json::FlowError { line: number, error };
                match arguments.output {
                    Output::Json => {
                        serde_json::to_writer(&mut *stdout, &error)
                            .map_err(std::io::Error::from)?;
                        writeln!(stdout)?;
                    }
                    Output::Text => writeln!(stdout, "error in line {number}: {}", error.error)?,
                }
            }
        }
        // Who asks line by line gets answers line by line.
        if reader.buffer().is_empty() {
            stdout.flush()?;
        }
    }
    if bad > 0 {
        let flows = flows.display();
        return Err(Failure::Flow(format!(
            "{bad} of {number} lines of `{flows}` could not be answered: each says why in its place"
        )));
    }
    Ok(exit)
}

fn answer(line: &[u8], oracle: &Oracle<'_>) -> Result<FlowVerdict, String> {
    let Question { from, to, service, family } = serde_json::from_slice(line).map_err(|error| {
        format!("not a flow such as {{\"from\": \"a/b\", \"to\": \"10.0.0.1\", \"service\": \"tcp/443\"}}: {error}")
    })?;
    let Some(wanted) = expect::family(family) else { return Err("`family` is 4 or 6".to_owned()) };
    let flow = oracle.names.flow(&from, &to, &service, wanted).map_err(|it| it.to_string())?;
    let answer = oracle.explainer.compare(&flow);
    let inventory = &oracle.session.inventory;
    Ok(FlowVerdict {
        policies: Verdict::of(answer.policies.allowed()),
        cloud: Verdict::of(answer.cloud.allows()),
        findings: answer.findings.iter().map(|it| json::Finding::of(it, inventory)).collect(),
        from,
        to,
        service,
        family,
    })
}

fn one_line(verdict: &FlowVerdict) -> String {
    let FlowVerdict { from, to, service, policies, cloud, findings, .. } = verdict;
    let (policies, cloud) = (policies.word(), cloud.word());
    let flow = format!("policies {policies:<5}  cloud {cloud:<5}  {from} → {to} {service}");
    if findings.is_empty() {
        return flow;
    }
    let reasons: BTreeSet<&str> = findings.iter().map(|finding| finding.reason).collect();
    format!("{flow}  {}", few(reasons, 3, ", "))
}

// ---------------------------------------------------------------------------------------------- one flow

/// The explanation, with the places of the rules that decide and the lines of what explains a difference.
fn text(
    flow: &Flow,
    explanation: &Explanation,
    session: &Session,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let paint = Paint { on: io.terminal.colour };
    let Explanation { from, to, policies, cloud, egress, ingress, crossings, findings, .. } =
        explanation;
    let answer = |answer: &Answer| match answer {
        Answer::Allow => paint.green(answer),
        Answer::Deny => paint.red(answer),
    };
    writeln!(io.stdout, "{}", paint.bold(flow.display(&session.inventory)))?;
    writeln!(io.stdout, "  policies: {}", answer(policies))?;
    writeln!(io.stdout, "  cloud:    {}", answer(cloud))?;
    let (replies, first): (Vec<&Crossing>, Vec<&Crossing>) =
        crossings.iter().partition(|crossing| crossing.reply.is_some());
    let ends =
        [(format!("leaving {from}"), egress, first), (format!("reaching {to}"), ingress, replies)];
    for (title, end, then) in ends {
        writeln!(io.stdout, "{}", paint.bold(title))?;
        writeln!(io.stdout, "  policies: {}, {}", answer(&end.policies), end.decided)?;
        for construct in json::Construct::deciding(&end.decided, session) {
            if let Some(json::Location { file, line, column }) = construct.location {
                writeln!(io.stdout, "            {file}:{line}:{column}")?;
            }
        }
        writeln!(io.stdout, "  cloud:    {}, {}", answer(&end.cloud), end.filtered)?;
        if let Some(purpose) = end.filtered.purpose() {
            writeln!(io.stdout, "            {purpose}")?;
        }
        for crossing in then {
            writeln!(io.stdout, "{}", paint.bold(crossing.place()))?;
            writeln!(io.stdout, "  cloud:    {}, {}", answer(&crossing.cloud), crossing.guarded)?;
            if let Some(purpose) = crossing.guarded.purpose() {
                writeln!(io.stdout, "            {purpose}")?;
            }
        }
    }
    if policies != cloud {
        writeln!(io.stdout, "\n{}", paint.bold("why the cloud differs"))?;
    }
    let lines = session.lines(findings);
    for block in findings::blocks(findings, &lines, &session.inventory, paint) {
        write!(io.stdout, "{block}")?;
    }
    Ok(())
}
