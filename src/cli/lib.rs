//! The commands of `moat`: the same code that the golden tests drive.
//!
//! [`run`] takes arguments and streams and gives an [`Exit`]. It reads no environment and asks no terminal: what depends
//! on them comes in [`Io`].
//!
//! Exit codes: 0 done and clean, 2 done with findings, 1 not done.

mod args;
mod cloud;
mod commands;
mod compare;
mod embedded;
mod expect;
mod failure;
mod json;
mod live;
mod names;
mod oracle;
mod quotas;
mod sarif;
mod session;
mod sources;
mod status;
mod text;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
pub use cloud::{Account, Connect, Target, unreachable};
pub use commands::controller::{Follow, Kept, Left, Reread, Start, unfollowable};
use failure::Failure;
pub use live::{Cluster, Reach, clusterless};

/// Everything a command touches besides files.
pub struct Io<'a> {
    /// Where `-` reads from.
    pub stdin: &'a mut dyn Read,
    /// Where answers go.
    pub stdout: &'a mut dyn Write,
    /// Where errors and progress go.
    pub stderr: &'a mut dyn Write,
    /// What the streams can show.
    pub terminal: Terminal,
    /// How the cloud of `--provider aws` is reached.
    pub connect: &'a Connect<'a>,
    /// How a cluster is reached.
    pub reach: &'a Reach<'a>,
    /// How a controller is run.
    pub follow: &'a Follow<'a>,
}

/// What the streams can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// The width of standard output in characters; none where it is no terminal.
    pub width: Option<u16>,
    /// Whether answers are coloured.
    pub colour: bool,
    /// Whether errors are coloured.
    pub error_colour: bool,
    /// Whether long work tells on standard error how far it is.
    pub progress: bool,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and nothing to report: 0.
    Clean,
    /// Done, with findings, failed expectations, differences, or a flow whose cloud verdict is not its policies': 2.
    Findings,
    /// Not done: usage, files or the provider: 1.
    Failed,
}

/// The width of standard output, if it is a terminal.
#[must_use]
pub fn width() -> Option<u16> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0)
}

/// The schema of each JSON form (JSON Schema 2020-12), by the name of its file in `docs/schemas/`.
#[must_use]
pub fn schemas() -> BTreeMap<&'static str, serde_json::Value> {
    json::schemas().into_iter().map(|(name, schema)| (name, schema.to_value())).collect()
}

/// Runs one command. `arguments` begin with the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>, io: &mut Io<'_>) -> Exit {
    let answer = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => dispatch(arguments.command, io),
        Err(error) => return usage(&error, io),
    };
    match answer.and_then(|exit| Ok(io.stdout.flush().map(|()| exit)?)) {
        Ok(exit) => exit,
        // Whoever reads the answer has seen enough of it.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(failure) => {
            let paint = text::Paint { on: io.terminal.error_colour };
            // Nobody is left to tell if this cannot be written.
            let _ = writeln!(io.stderr, "{} {failure}", paint.red("error:"));
            Exit::Failed
        }
    }
}

fn dispatch(command: Command, io: &mut Io<'_>) -> Result<Exit, Failure> {
    if command.reads().into_iter().filter(|path| sources::is_stdin(path)).count() > 1 {
        return Err(Failure::StdinTwice);
    }
    match command {
        Command::Plan(plan) => commands::plan::run(&plan, io),
        Command::Apply(apply) => commands::apply::run(&apply, io),
        Command::Uninstall(uninstall) => commands::apply::uninstall(&uninstall, io),
        Command::Check(check) => commands::check::run(&check, io),
        Command::Explain(explain) => commands::explain::run(&explain, io),
        Command::Diff(diff) => commands::diff::run(&diff, io),
        Command::Status(status) => commands::status::run(&status, io),
        Command::Release(release) => commands::word::release(&release, io),
        Command::Pause(pause) => commands::word::pause(&pause, true, io),
        Command::Resume(pause) => commands::word::pause(&pause, false, io),
        Command::Controller(controller) => commands::controller::run(&controller, io),
        Command::Crds => commands::crds(io),
        Command::Completions { shell } => commands::completions(shell, io),
    }
}

/// Help and version are answers; everything else clap says is a usage error.
fn usage(error: &clap::Error, io: &mut Io<'_>) -> Exit {
    let text = error.render();
    let (stream, colour, exit): (&mut dyn Write, bool, Exit) = if error.use_stderr() {
        (io.stderr, io.terminal.error_colour, Exit::Failed)
    } else {
        (io.stdout, io.terminal.colour, Exit::Clean)
    };
    let written = if colour { write!(stream, "{}", text.ansi()) } else { write!(stream, "{text}") };
    if written.is_ok() { exit } else { Exit::Failed }
}

impl std::fmt::Debug for Io<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Io").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Clean => Self::SUCCESS,
            Exit::Findings => Self::from(2),
            Exit::Failed => Self::FAILURE,
        }
    }
}
