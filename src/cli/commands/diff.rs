//! `moat diff`: two sets of policies by the flows they let through.

use std::path::PathBuf;

use moat_k8s::{Content, Options, Read, Source};
use moat_sim::{Config, Sim};

use crate::args::{Diff, Output};
use crate::commands::print_json;
use crate::compare::{self, Side};
use crate::failure::Failure;
use crate::text::{Paint, count, few};
use crate::{Exit, Io, json, live, names, session, sources};

/// How many names of each end a line of text shows.
const SHOWN: usize = 4;

pub(crate) fn run(arguments: &Diff, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let configuration = session::configuration(arguments.config.as_deref(), io.stdin)?;
    let config = arguments.config.as_slice();
    let mut read = |paths: &[PathBuf]| sources::read(paths, config, io.stdin);
    let (old, new) = match (&*arguments.sides, arguments.live.is_named()) {
        ([old, new], false) => (read(std::slice::from_ref(old))?, read(std::slice::from_ref(new))?),
        ([new], true) => (Vec::new(), read(std::slice::from_ref(new))?),
        (_, true) => return Err(usage("with `--context` the cluster is OLD: give NEW alone")),
        (_, false) => {
            return Err(usage("`diff` takes OLD and NEW; or `--context NAME`, and NEW alone"));
        }
    };
    let with = read(&arguments.with)?;
    let mut live = arguments.live.reach(io)?;
    let there = live::there(live.as_mut(), io)?;
    // Both are asked about the same pods: those of the new side, of the old one, of what stands beside them, and of the
    // cluster. Where one object is in several, the first counts.
    let everything: Vec<_> = new.iter().chain(&old).chain(&with).cloned().collect();
    let options = Options { assume_pods: arguments.assume_pods };
    let is_policy = |read: &&Read| matches!(read.content, Content::Policy(_));
    let of_cluster: Vec<Read> = there.objects.iter().filter(is_policy).cloned().collect();
    let mut inventory = moat_k8s::read_onto(there.objects, &everything, &options).inventory;
    let policies = |sources: &[Source]| {
        moat_k8s::read_onto(of_cluster.clone(), sources, &Options::default()).policies
    };
    let mut cloud = Sim::new(Config::default());
    cloud.place(&mut inventory).map_err(|error| Failure::Usage(error.to_string()))?;
    let settings = configuration.settings(cloud.config().quotas);
    let (old, new) = (policies(&old), policies(&new));
    live::note_absent(&there.absent, &new, io)?;
    let (old, new) =
        (configuration.in_force(old, &inventory), configuration.in_force(new, &inventory));
    let (old, new) = (Side::of(&old, &inventory, &settings), Side::of(&new, &inventory, &settings));
    let differences = compare::differences(&old, &new, &inventory);
    match arguments.output {
        Output::Json => {
            let difference = |it: &compare::Difference| json::Difference {
                change: it.change,
                flows: json::FlowSet::of(&it.flows, &inventory),
                witness: json::Flow::of(&it.witness, &inventory),
            };
            let differences = differences.iter().map(difference).collect();
            print_json(&json::Diff { api_version: "moat.dev/diff/v1", differences }, io)?;
        }
        Output::Text => {
            let paint = Paint { on: io.terminal.colour };
            for it in &differences {
                let from = few(names::members_in_short(&it.flows.sources, &inventory), SHOWN, ", ");
                let to =
                    few(names::members_in_short(&it.flows.destinations, &inventory), SHOWN, ", ");
                let line = match it.change {
                    json::Change::Opened => {
                        paint.green(format!("+ {from} → {to}: {}", it.flows.services))
                    }
                    json::Change::Closed => {
                        paint.red(format!("- {from} → {to}: {}", it.flows.services))
                    }
                };
                writeln!(io.stdout, "{line}")?;
                writeln!(io.stdout, "    such as {}", it.witness.display(&inventory))?;
            }
            if differences.is_empty() {
                let pods = count(inventory.pods.len(), "pod");
                writeln!(
                    io.stdout,
                    "no difference: both let the same flows through, for {pods} and every address"
                )?;
            } else {
                let opened = differences.iter().filter(|it| it.change == json::Change::Opened);
                let opened = opened.count();
                let closed = differences.len() - opened;
                writeln!(io.stdout, "{opened} opened, {closed} closed")?;
            }
        }
    }
    Ok(if differences.is_empty() { Exit::Clean } else { Exit::Findings })
}

fn usage(message: &str) -> Failure {
    Failure::Usage(message.to_owned())
}
