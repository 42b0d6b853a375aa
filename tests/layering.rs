//! The arrows of the architecture, and that every source file is part of a crate.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and JSON answers null for what it has not"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// The normal dependencies of each crate of the workspace, by name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo tells in JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |package: &Value| {
        let all = package["dependencies"].as_array().cloned().unwrap_or_default();
        let normal = all.iter().filter(|dependency| dependency["kind"].is_null());
        normal.map(|dependency| text(&dependency["name"])).collect()
    };
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    packages.iter().map(|package| (text(&package["name"]), of(package))).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_core_depends_on_an_allow_list() {
    let known = dependencies();
    let core = known.get("moat-core").expect("the core is a crate");
    assert!(
        core.is_subset(&set(&["foldhash", "ipnet", "serde", "smallvec", "thiserror"])),
        "{core:?}"
    );
}

#[test]
fn crates_of_ours_depend_on_each_other_only_along_the_arrows() {
    let arrows = BTreeMap::from([
        ("moat", set(&["moat-aws", "moat-cli", "moat-controller", "moat-core", "moat-k8s"])),
        ("moat-cli", set(&["moat-core", "moat-k8s", "moat-sim"])),
        ("moat-controller", set(&["moat-core", "moat-k8s"])),
        ("moat-core", set(&[])),
        ("moat-k8s", set(&["moat-core"])),
        ("moat-sim", set(&["moat-core"])),
        ("moat-aws", set(&["moat-core"])),
        ("moat-test-cluster", set(&[])),
        ("moat-tests", set(&["moat-core", "moat-k8s", "moat-sim", "moat-test-cluster"])),
        ("moat-deploy", set(&[])),
    ]);
    for (name, dependencies) in dependencies() {
        let ours: BTreeSet<String> =
            dependencies.into_iter().filter(|other| other.starts_with("moat")).collect();
        let allowed = arrows.get(name.as_str()).expect("every crate has its arrows here");
        assert!(ours.is_subset(allowed), "{name} depends on {ours:?}");
    }
}

/// A file that no `mod` line names compiles nowhere: it would look tested and be dead.
#[test]
fn every_source_file_is_a_module() {
    let mut orphans = Vec::new();
    for folder in ["src", "providers", "tests"] {
        walk(&root().join(folder), &mut orphans);
    }
    assert_eq!(orphans, Vec::<PathBuf>::new());
}

fn walk(folder: &Path, orphans: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("a folder");
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            let skipped = path.join("Cargo.toml").exists() && path.ends_with("fuzz");
            if !skipped && !path.ends_with("target") {
                walk(&path, orphans);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !reachable(&path) {
            orphans.push(path);
        }
    }
}

/// Whether a manifest names the file, Cargo finds it as a test, or a `mod` line of its parent module names it.
fn reachable(path: &Path) -> bool {
    let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let folder = path.parent().expect("a folder");
    let (module, home) = match (stem.as_str(), folder.parent()) {
        ("mod", Some(above)) => {
            (folder.file_name().expect("a name").to_string_lossy().into_owned(), above.to_owned())
        }
        _ => (stem, folder.to_owned()),
    };
    let test_of_crate = folder.ends_with("tests") && folder.with_file_name("Cargo.toml").exists();
    test_of_crate
        || named_by_manifest(path)
        || parents(&home).iter().any(|parent| declares(parent, &module))
}

fn named_by_manifest(path: &Path) -> bool {
    path.ancestors().skip(1).any(|folder| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let inside = path.strip_prefix(folder).expect("an ancestor").to_string_lossy().into_owned();
        manifest.contains(&format!("path = \"{inside}\"")) || inside == "src/main.rs"
    })
}

/// The files that can declare the modules of a folder: its own roots, and the module that the folder belongs to.
fn parents(folder: &Path) -> Vec<PathBuf> {
    let own = ["lib.rs", "main.rs", "mod.rs"].map(|name| folder.join(name));
    own.into_iter().chain([folder.with_extension("rs")]).filter(|path| path.exists()).collect()
}

fn declares(parent: &Path, module: &str) -> bool {
    let text = std::fs::read_to_string(parent).unwrap_or_default();
    text.lines().any(|line| line.trim().ends_with(&format!("mod {module};")))
}
