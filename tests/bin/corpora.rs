//! Real policies, by path: `cargo run --release -p moat-tests --bin corpora [-- --only FOLDER]`.
//!
//! Reads `MOAT_CORPUS`, or `../shared/corpus` beside the workspace. For each folder: groups, rules, the exact minimum, the largest
//! group, findings by reason, and the time of reading and compiling. Each is proven equal to the policies, and minimal, or it fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use moat_core::finding::Reason;
use moat_core::net::Family;
use moat_core::settings::{Quotas, Settings};
use moat_k8s::{Options, Source, read};
use moat_sim::{Config, Sim};
use moat_tests::arguments::Arguments;
use moat_tests::figures::{counts, measure, prove, small_edit};
use moat_tests::generate::Cluster;

const FOLDERS: [&str; 4] = ["online-boutique", "recipes", "cnp-conformance", "moj-live"];

const USAGE: &str = "corpora [--only FOLDER]";

fn main() -> ExitCode {
    let arguments = Arguments::of_process(USAGE);
    let only = arguments.value("--only").unwrap_or_default();
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let root = std::env::var_os("MOAT_CORPUS").map_or(beside, PathBuf::from);
    for folder in FOLDERS.into_iter().filter(|folder| folder.contains(only)) {
        if let Err(why) = report(&root.join(folder)) {
            println!("{folder}: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn report(folder: &Path) -> Result<(), String> {
    let mut sources = Vec::new();
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().as_ref().into();
        sources.push(Source { name, bytes: bytes.into() });
    }
    let start = Instant::now();
    let mut made = read(&sources, &Options { assume_pods: true });
    let reading = start.elapsed();
    let config = Config::dual_stack();
    let mut sim = Sim::new(config.clone());
    sim.place(&mut made.inventory).map_err(|error| error.to_string())?;
    let families = Family::BOTH.len();
    let mut cluster = Cluster {
        policies: made.policies,
        inventory: made.inventory,
        settings: Settings { pod_subnets: config.pod_subnets, ..Settings::default() },
    };
    println!("{} ({} files, {families} families)", folder.display(), sources.len());
    let mut reasons: BTreeMap<Reason, usize> = BTreeMap::new();
    for finding in &made.findings {
        *reasons.entry(finding.reason).or_default() += 1;
    }
    println!("  read in {:.3} s; findings of reading: {reasons:?}", reading.as_secs_f64());
    for (name, quotas) in
        [("an account's quotas", Quotas::default()), ("no quotas", Quotas::UNLIMITED)]
    {
        cluster.settings.quotas = quotas;
        let run = measure(&cluster);
        println!("  {name}: compiled in {:.3} s: {}", run.wall.as_secs_f64(), counts(&run.desired));
        println!("    {}", small_edit(&cluster, &run.desired)?);
        for line in prove(&cluster, &run.desired, 20_000)?.lines() {
            println!("    {line}");
        }
    }
    Ok(())
}
