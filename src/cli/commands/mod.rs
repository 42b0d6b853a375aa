//! One file for each command.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod controller;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod plan;
pub(crate) mod status;
pub(crate) mod word;

use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::{Exit, Io};

/// `moat crds`: the custom resource definitions, as a stream of YAML documents.
pub(crate) fn crds(io: &mut Io<'_>) -> Result<Exit, Failure> {
    for crd in moat_k8s::crd::crds() {
        let text = serde_saphyr::to_string(&crd).map_err(std::io::Error::other)?;
        write!(io.stdout, "---\n{text}")?;
    }
    Ok(Exit::Clean)
}

/// `moat completions SHELL`.
pub(crate) fn completions(shell: Shell, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "moat", &mut script);
    io.stdout.write_all(&script)?;
    Ok(Exit::Clean)
}

/// A document, indented for people who look at it after all.
fn print_json(document: &impl Serialize, io: &mut Io<'_>) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut io.stdout, document).map_err(std::io::Error::from)?;
    Ok(writeln!(io.stdout)?)
}
