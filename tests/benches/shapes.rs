//! `cargo bench -p moat-tests [-- --only B1] [--scale PERCENT] [--quotas] [--whole]`: the shapes of `facts/benchmarks.md`, halved and
//! whole.
//!
//! Prints counts, ratios, memory and time, and the time of the proof of equality apart; asserts nothing about time, but fails
//! where policies and groups are not equal or rules are too many. `--quotas` compiles under an account's quotas. `--whole`, with one
//! shape, tells the peak of memory above the input, too. `--only edits [--rounds N]` times single events in a compiler that is kept
//! alive, at the size of B1 or of `--shape NAME`. `--only admission` times what it takes to tell of one policy what will become of
//! it. `--only acls` hands over the network ACL of a subnet with all pods, and tells what that costs and saves.

use std::process::ExitCode;

use moat_core::settings::Quotas;
use moat_tests::arguments::Arguments;
use moat_tests::figures::{counts, guarding, measure, prove, small_edit};
use moat_tests::latency::{latencies, opinions};
use moat_tests::shapes::{BenchmarkShape, SHAPES};

const USAGE: &str = "shapes [--only SHAPE|edits|admission|acls] [--shape SHAPE] [--rounds N] [--scale PERCENT] [--quotas] [--whole]";

fn main() -> ExitCode {
    let arguments = Arguments::of_process(USAGE);
    let only = arguments.value("--only").unwrap_or_default();
    let scale = usize::try_from(arguments.number("--scale", 100)).unwrap_or(100);
    if only == "edits" {
        let name = arguments.value("--shape").unwrap_or("B1");
        let Some(shape) = SHAPES.iter().find(|shape| shape.name == name) else {
            println!("`--shape {name}`: write one of the shapes' names");
            return ExitCode::FAILURE;
        };
        let mut cluster = (shape.make)((shape.full * scale).div_ceil(100));
        if arguments.has("--quotas") {
            cluster.settings.quotas = Quotas::default();
        }
        let rounds = usize::try_from(arguments.number("--rounds", 300)).unwrap_or(300);
        println!("single events at the size of {name}");
        print!("{}", latencies(cluster, rounds));
        return ExitCode::SUCCESS;
    }
    if only == "admission" {
        for shape in &SHAPES {
            let cluster = (shape.make)((shape.full * scale).div_ceil(100));
            print!("{}: {}", shape.name, opinions(cluster, 20));
        }
        return ExitCode::SUCCESS;
    }
    if only == "acls" {
        for shape in &SHAPES {
            let cluster = (shape.make)((shape.full * scale).div_ceil(100));
            println!("{}: {}", shape.name, guarding(&cluster));
        }
        return ExitCode::SUCCESS;
    }
    for shape in SHAPES.iter().filter(|shape| shape.name.contains(only)) {
        if let Err(why) = report(shape, scale, arguments.has("--quotas"), arguments.has("--whole"))
        {
            println!("NOT EQUAL: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn report(shape: &BenchmarkShape, scale: usize, quotas: bool, whole: bool) -> Result<(), String> {
    let full = (shape.full * scale).div_ceil(100);
    // B9 has no size: its three runs are 0, 1 and 3 excepts.
    let sizes = match shape.name {
        "B9" => vec![0, 1, 3],
        _ if whole => vec![full],
        _ => vec![full / 4, full / 2, full],
    };
    let mut last = None;
    for size in sizes {
        let mut cluster = (shape.make)(size);
        if quotas {
            cluster.settings.quotas = Quotas::default();
        }
        let run = measure(&cluster);
        let seconds = run.wall.as_secs_f64();
        let ratio = last.map(|before: f64| format!(", {:.2} times the last", seconds / before));
        // What was freed before is used again, and hides what a later run needs.
        let peak = run.peak.filter(|_| whole).map(|peak| format!(", peak {} MB", peak / 1_000_000));
        let (ratio, peak) = (ratio.unwrap_or_default(), peak.unwrap_or_default());
        println!("{} at {size}: {seconds:.3} s{ratio}{peak}", shape.name);
        println!("  {}", counts(&run.desired));
        println!("  {}", small_edit(&cluster, &run.desired).unwrap_or_else(|why| why));
        let proven = prove(&cluster, &run.desired, 2_000)?;
        proven.lines().for_each(|line| println!("  {line}"));
        last = (shape.name != "B9").then_some(seconds);
    }
    Ok(())
}
