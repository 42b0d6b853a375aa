//! `moat`: wires one provider into one command.

#[cfg(feature = "aws")]
mod account;
#[cfg(feature = "controller")]
mod cluster;
#[cfg(feature = "controller")]
mod follow;

use std::io::{self, BufWriter, IsTerminal};
use std::process::ExitCode;

use moat_cli::{Io, Terminal};

#[cfg(feature = "aws")]
use account::connect;
#[cfg(feature = "controller")]
use cluster::reach;
#[cfg(feature = "controller")]
use follow::follow;
#[cfg(not(feature = "controller"))]
use moat_cli::clusterless as reach;
#[cfg(not(feature = "controller"))]
use moat_cli::unfollowable as follow;
#[cfg(not(feature = "aws"))]
use moat_cli::unreachable as connect;

fn main() -> ExitCode {
    let (mut stdout, mut stderr) = (BufWriter::new(io::stdout()), io::stderr());
    // https://no-color.org: any value but the empty one switches colours off.
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let terminal = Terminal {
        width: moat_cli::width(),
        colour: colour && io::stdout().is_terminal(),
        error_colour: colour && stderr.is_terminal(),
        progress: stderr.is_terminal(),
    };
    let mut io = Io {
        stdin: &mut io::stdin(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        terminal,
        connect: &connect,
        reach: &reach,
        follow: &follow,
    };
    moat_cli::run(std::env::args_os(), &mut io).into()
}
