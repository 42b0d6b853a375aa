//! Proves that the tests catch mistakes: makes each deliberate mistake in a copy of the tree, and the named test, which passes
//! without it, must fail.
//!
//! `cargo run -p moat-tests --bin mutations [-- --only TEXT]`; a text of the mistake or of its file's path. The copy and its builds are
//! kept in `target/mutations`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use moat_tests::arguments::Arguments;
use moat_tests::mutations::{MUTATIONS, Mutation};

const USAGE: &str = "mutations [--only TEXT]";

fn main() -> ExitCode {
    let arguments = Arguments::of_process(USAGE);
    let only = arguments.value("--only").unwrap_or_default();
    let meant = |it: &&Mutation| it.mistake.contains(only) || it.file.contains(only);
    let chosen: Vec<&Mutation> = MUTATIONS.iter().filter(meant).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let copy = root.join("target/mutations/tree");
    let missed = copy_tree(&root, &copy).and_then(|()| {
        sound(&copy, &chosen)?;
        Ok(chosen.iter().filter(|mutation| !told(&copy, mutation)).count())
    });
    match missed {
        Ok(0) => {
            println!("{} mistakes, each caught", chosen.len());
            ExitCode::SUCCESS
        }
        Ok(missed) => {
            println!("{missed} of {} mistakes are not caught", chosen.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Every named test passes without a mistake, or its failure would say nothing.
fn sound(copy: &Path, chosen: &[&Mutation]) -> Result<(), String> {
    let tests: BTreeSet<&str> = chosen.iter().map(|mutation| mutation.test).collect();
    for test in tests {
        if !run(copy, test, &[])? {
            return Err(format!("`{test}` fails without any mistake"));
        }
    }
    Ok(())
}

/// Makes the mistake, prints a line of the table, and says whether the test caught it.
fn told(copy: &Path, mutation: &Mutation) -> bool {
    let started = Instant::now();
    let word = match caught(copy, mutation) {
        Ok(true) => "caught by",
        Ok(false) => "MISSED by",
        Err(why) => {
            println!("STALE: {why}");
            "not tried on"
        }
    };
    let seconds = started.elapsed().as_secs();
    println!("{:<68} {word} {:<62} {seconds:>3} s", mutation.mistake, mutation.test);
    word == "caught by"
}

/// Whether the named test fails with the mistake.
fn caught(copy: &Path, mutation: &Mutation) -> Result<bool, String> {
    let file = copy.join(mutation.file);
    let right =
        std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", mutation.file))?;
    let wrong = mutation.apply(&right)?;
    let write = |text: &str| std::fs::write(&file, text).map_err(|error| error.to_string());
    write(&wrong)?;
    let built = run(copy, mutation.test, &["--no-run"]);
    let passed = match built {
        Ok(true) => run(copy, mutation.test, &[]),
        Ok(false) => Err(format!("`{}` does not compile", mutation.mistake)),
        Err(why) => Err(why),
    };
    write(&right)?;
    passed.map(|passed| !passed)
}

/// Builds and runs a test, such as `traps trap_02` here or `core plan::` in the core, and says whether it passes.
fn run(copy: &Path, test: &str, more: &[&str]) -> Result<bool, String> {
    let (target, name) = test.split_once(' ').unwrap_or((test, ""));
    let place = match target {
        "core" => vec!["-p", "moat-core", "--lib"],
        target => vec!["-p", "moat-tests", "--test", target],
    };
    let output = Command::new("cargo")
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", copy.join("../build"))
        .env("CARGO_PROFILE_DEV_DEBUG", "none")
        .env("RUST_BACKTRACE", "0")
        .args(["test", "--quiet", "--locked"])
        .args(place)
        .args(more)
        .args(["--", name])
        .output();
    output.map(|output| output.status.success()).map_err(|error| error.to_string())
}

/// Copies what git knows of; unchanged files keep their times, so that builds are reused.
fn copy_tree(root: &Path, copy: &Path) -> Result<(), String> {
    let listed = Command::new("git").current_dir(root).args(["ls-files"]).output();
    let listed = listed.map_err(|error| format!("git ls-files: {error}"))?;
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    for name in names.lines() {
        let (from, to): (PathBuf, PathBuf) = (root.join(name), copy.join(name));
        let Ok(bytes) = std::fs::read(&from) else { continue };
        if std::fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        }
        std::fs::write(&to, bytes).map_err(|error| error.to_string())?;
    }
    Ok(())
}
