//! What depends on a terminal: colours, widths, progress.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::ffi::OsString;
use std::io;
use std::path::Path;

use moat_cli::{Io, Terminal};

fn run(arguments: &[&str], terminal: Terminal) -> (String, String) {
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut io = Io {
        stdin: &mut io::empty(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        terminal,
        connect: &moat_cli::unreachable,
        reach: &moat_cli::clusterless,
        follow: &moat_cli::unfollowable,
    };
    moat_cli::run(["moat"].iter().chain(arguments).map(OsString::from), &mut io);
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn colours_are_where_they_are_on_and_change_no_word() {
    let commands: [&[&str]; 4] = [
        &["apply", "examples/shop"],
        &["check", "examples/shop", "--expect", "examples/expectations/shop.yaml"],
        &["explain", "shop/web-0", "shop/cart-0", "tcp/1", "examples/shop"],
        &["diff", "examples/shop", "examples/tiers"],
    ];
    for command in commands {
        let (plain, _) = run(command, Terminal::default());
        let (painted, _) = run(command, Terminal { colour: true, ..Terminal::default() });
        assert!(!plain.contains('\u{1b}'), "{plain}");
        assert!(painted.contains('\u{1b}'), "{painted}");
        let mut parts = painted.split("\u{1b}[");
        let first = parts.next().unwrap().to_owned();
        let rest = parts.map(|part| part.split_once('m').unwrap().1);
        let bare = rest.fold(first, |bare, part| bare + part);
        assert_eq!(bare, plain);
    }
}

#[test]
fn errors_are_coloured_by_their_own_stream() {
    let (_, plain) = run(&["plan", "nowhere"], Terminal { colour: true, ..Terminal::default() });
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let painted = run(&["plan", "nowhere"], Terminal { error_colour: true, ..Terminal::default() });
    assert!(painted.1.contains('\u{1b}'), "{painted:?}");
}

#[test]
fn tables_are_no_wider_than_the_terminal() {
    for width in [20, 60, 80, 200] {
        let terminal = Terminal { width: Some(width), ..Terminal::default() };
        let (text, _) = run(&["apply", "examples/shop"], terminal);
        for word in ["kube-system/coredns-0", "203.0.113.128/25", "ProbesFromAllNodes"] {
            assert!(text.contains(word), "{width} breaks {word}: {text}");
        }
        let rules = text.lines().filter(|line| line.starts_with('─'));
        let widest = rules.map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= usize::from(width), "{width}: {text}");
    }
}

#[test]
fn only_a_terminal_hears_of_progress() {
    let flows = ["explain", "--flows", "src/cli/tests/golden/input/flows.jsonl", "examples/shop"];
    let (_, quiet) = run(&flows, Terminal::default());
    assert!(!quiet.contains('…'), "{quiet}");
    let (_, told) = run(&flows, Terminal { progress: true, ..Terminal::default() });
    assert!(told.starts_with("answering flows …\n"), "{told}");
}
