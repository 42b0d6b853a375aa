//! Proves that the tests catch mistakes: makes each deliberate mistake in a copy of the tree, and the named test must fail.
//!
//! `cargo run -p moat-tests --bin mutations [-- --only TEXT]`. The copy and its builds are kept in `target/mutations`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use moat_tests::arguments::Arguments;
use moat_tests::mutations::{MUTATIONS, Mutation};

fn main() -> ExitCode {
    let arguments = Arguments::of_process();
    let only = arguments.value("--only").unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let copy = root.join("target/mutations/tree");
    match copy_tree(&root, &copy).map(|()| run_all(&copy, only)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            println!("{missed} mistakes are not caught");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes each mistake in turn, and counts those that no test catches.
fn run_all(copy: &Path, only: &str) -> usize {
    let mut missed = 0;
    for mutation in MUTATIONS.iter().filter(|mutation| mutation.mistake.contains(only)) {
        let word = match caught(copy, mutation) {
            Ok(true) => "caught".to_owned(),
            Ok(false) => "MISSED".to_owned(),
            Err(why) => format!("STALE, {why}:"),
        };
        missed += usize::from(word != "caught");
        println!("{word}  {} ({})", mutation.mistake, mutation.test);
    }
    missed
}

/// Whether the named test fails with the mistake.
fn caught(copy: &Path, mutation: &Mutation) -> Result<bool, String> {
    let file = copy.join(mutation.file);
    let right =
        std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", mutation.file))?;
    let wrong = mutation.apply(&right)?;
    let write = |text: &str| std::fs::write(&file, text).map_err(|error| error.to_string());
    write(&wrong)?;
    let built = cargo(copy, mutation, &["--no-run"]);
    let passed =
        built.clone().and_then(|built| if built { cargo(copy, mutation, &[]) } else { Ok(false) });
    write(&right)?;
    if !built? {
        return Err(format!("`{}` does not compile", mutation.mistake));
    }
    passed.map(|passed| !passed)
}

fn cargo(copy: &Path, mutation: &Mutation, more: &[&str]) -> Result<bool, String> {
    let (target, test) = mutation.test.split_once(' ').unwrap_or((mutation.test, ""));
    let output = Command::new("cargo")
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", copy.join("../build"))
        .env("RUST_BACKTRACE", "0")
        .args(["test", "--quiet", "-p", "moat-tests", "--test", target])
        .args(more)
        .args(["--", test])
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
