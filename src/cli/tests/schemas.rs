//! The JSON forms against their schemas in `docs/schemas/`, which are made from the same types.
//!
//! `MOAT_UPDATE=1 cargo test -p moat-cli --test schemas` writes the schemas.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::ffi::OsString;
use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use boon::{Compiler, Schemas};
use moat_cli::{Exit, Io, Terminal};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_schemas_in_the_repository_are_those_of_the_types() {
    for (name, schema) in moat_cli::schemas() {
        let file = root().join("docs/schemas").join(name);
        let expected = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("MOAT_UPDATE").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &expected).unwrap();
        }
        let there = fs::read_to_string(&file).unwrap_or_default();
        assert!(there == expected, "{name} has drifted: MOAT_UPDATE=1 writes it");
    }
}

#[test]
fn what_the_commands_print_fits_its_schema() {
    std::env::set_current_dir(root()).unwrap();
    let mut forms = Forms::new();
    for example in ["shop", "icmp-health-checks", "tiers"].map(|it| format!("examples/{it}")) {
        forms.check("plan.v1.json", &run(&["plan", &example, "--output", "json"], ""));
        forms.check("plan.v1.json", &run(&["apply", &example, "--output", "json"], ""));
        forms.check("check.v1.json", &run(&["check", &example, "--output", "json"], ""));
        forms.check(
            "diff.v1.json",
            &run(&["diff", "examples/shop", &example, "--output", "json"], ""),
        );
    }
    let expect = ["--expect", "examples/expectations/shop.yaml"];
    let check = ["check", "examples/shop", "--output", "json", expect[0], expect[1]];
    forms.check("check.v1.json", &run(&check, ""));
    let flow = ["shop/deployment/cart", "shop/statefulset/database", "tcp/5432", "examples/shop"];
    let explain = [&["explain"][..], &flow, &["--output", "json"]].concat();
    forms.check("explain.v1.json", &run(&explain, ""));
    let questions = "{\"from\": \"shop/web-0\", \"to\": \"shop/cart-0\", \"service\": \"tcp/8080\", \"family\": 4}\n{}\n";
    let many = ["explain", "--flows", "-", "--output", "json", "examples/shop"];
    let answers = run(&many, questions);
    let mut lines = answers.lines();
    forms.check("flow-verdict.v1.json", lines.next().unwrap());
    forms.check("flow-error.v1.json", lines.next().unwrap());
    assert_eq!(lines.next(), None);
}

struct Forms {
    compiler: Compiler,
    schemas: Schemas,
}

impl Forms {
    fn new() -> Self {
        Self { compiler: Compiler::new(), schemas: Schemas::new() }
    }

    fn check(&mut self, schema: &str, text: &str) {
        let file = root().canonicalize().unwrap().join("docs/schemas").join(schema);
        let index = self.compiler.compile(file.to_str().unwrap(), &mut self.schemas).unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        if let Err(error) = self.schemas.validate(&value, index) {
            panic!("{schema}: {error:#}\n{text}");
        }
    }
}

fn run(arguments: &[&str], input: &str) -> String {
    let mut stdin = Cursor::new(input.as_bytes());
    let (mut stdout, mut stderr) = (Vec::new(), io::sink());
    let mut io = Io {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        terminal: Terminal::default(),
        connect: &moat_cli::unreachable,
        reach: &moat_cli::clusterless,
        follow: &moat_cli::unfollowable,
    };
    let words = ["moat"].iter().chain(arguments).map(OsString::from);
    let exit = moat_cli::run(words, &mut io);
    let bad = input.lines().any(|line| line == "{}");
    assert!(bad == (exit == Exit::Failed), "{arguments:?} ended with {exit:?}");
    String::from_utf8(stdout).unwrap()
}
