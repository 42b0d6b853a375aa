//! Console sessions in documents and goldens, kept true: each `$ moat …` is run in process, and what follows it must be
//! what the command prints.
//!
//! `MOAT_UPDATE=1 cargo test -p moat-cli --test console` writes what the commands print; the difference is reviewed like code.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use moat_cli::{Exit, Io, Terminal};

/// Stands for any lines in a document that shows only some; such a block is compared, never written.
const SOME_LINES: &str = "…";

#[test]
fn console_sessions_are_what_the_commands_print() {
    std::env::set_current_dir(root()).unwrap();
    let mut wrong = String::new();
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        let console = Console::new(&file);
        let (actual, mismatch) = console.replay(&text);
        if std::env::var_os("MOAT_UPDATE").is_some() && actual != text {
            fs::write(&file, &actual).unwrap();
        } else if actual != text {
            let _ = writeln!(wrong, "{}:\n{}", file.display(), first_difference(&text, &actual));
        }
        if let Some(mismatch) = mismatch {
            let _ = writeln!(wrong, "{}:\n{mismatch}", file.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nUPDATE=1 writes what the commands print");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The documents with console sessions: the README, the examples' own, the JSON forms, and the goldens.
fn documents() -> Vec<PathBuf> {
    let mut documents = vec![PathBuf::from("README.md")];
    let mut folders = vec!["docs".into(), "examples".into(), PathBuf::from("src/cli/tests/golden")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                documents.push(path);
            }
        }
    }
    documents.sort();
    assert!(documents.len() > 4, "{documents:?}");
    documents
}

/// Runs the commands of one document. They share a scratch folder, `$TMP`.
struct Console {
    scratch: PathBuf,
}

impl Console {
    fn new(document: &Path) -> Self {
        let name = document.display().to_string().replace(['/', '.'], "-");
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch).unwrap();
        Self { scratch }
    }

    /// The document with what its commands print, and the first block with `…` that does not fit.
    fn replay(&self, text: &str) -> (String, Option<String>) {
        let (mut actual, mut mismatch) = (String::new(), None);
        let mut lines = text.lines().peekable();
        let mut inside = false;
        while let Some(line) = lines.next() {
            let _ = writeln!(actual, "{line}");
            if line.starts_with("```") {
                inside = line == "```console" && !inside;
            }
            let Some(command) = line.strip_prefix("$ ").filter(|_| inside) else { continue };
            let mut expected = Vec::new();
            while let Some(line) = lines.next_if(|it| !it.starts_with("$ ") && *it != "```") {
                expected.push(line);
            }
            let printed: String = command.split("; ").map(|command| self.run(command)).collect();
            if expected.contains(&SOME_LINES) {
                let printed: Vec<&str> = printed.lines().collect();
                if !fits(&expected, &printed) {
                    let message = format!("$ {command}\nprints\n{}", printed.join("\n"));
                    mismatch.get_or_insert(message);
                }
                for line in expected {
                    let _ = writeln!(actual, "{line}");
                }
            } else {
                actual.push_str(&printed);
            }
        }
        (actual, mismatch)
    }

    fn run(&self, command: &str) -> String {
        let command = command.replace("$TMP", &self.scratch.display().to_string());
        let mut words = shell_words(&command);
        // The README's own spelling of `moat`.
        if words.starts_with(&["cargo".into(), "run".into()]) {
            let end = words.iter().position(|word| word == "--").unwrap();
            words.splice(..=end, ["moat".to_owned()]);
        }
        let printed = match words[0].as_str() {
            "moat" => {
                let printed = run_moat(&words);
                if words[1] == "apply" && words.iter().any(|word| word == "--state") {
                    nothing_is_left(&words);
                }
                printed
            }
            "cp" => {
                copy(Path::new(&words[1]), Path::new(&words[2]));
                String::new()
            }
            "replace" => {
                let text = fs::read_to_string(&words[1]).unwrap();
                assert!(text.contains(&words[2]), "{command}: nothing to replace");
                fs::write(&words[1], text.replace(&words[2], &words[3])).unwrap();
                String::new()
            }
            other => panic!("the console does not know `{other}`"),
        };
        printed.replace(&self.scratch.display().to_string(), "$TMP")
    }
}

fn run_moat(words: &[String]) -> String {
    let (words, input) = match words.iter().position(|word| word == "<") {
        Some(place) => (&words[..place], Some(&words[place + 1])),
        None => (words, None),
    };
    let mut stdin: Box<dyn Read> = match input {
        Some(path) => Box::new(File::open(path).unwrap()),
        None => Box::new(io::empty()),
    };
    let printed = Shared::default();
    let exit = {
        let (mut stdout, mut stderr) = (printed.clone(), printed.clone());
        let mut io = Io {
            stdin: &mut stdin,
            stdout: &mut stdout,
            stderr: &mut stderr,
            terminal: Terminal::default(),
            connect: &moat_cli::unreachable,
            reach: &moat_cli::clusterless,
            follow: &moat_cli::unfollowable,
        };
        moat_cli::run(words.iter().map(OsString::from), &mut io)
    };
    let mut text = String::from_utf8(printed.0.borrow().clone()).unwrap();
    match exit {
        Exit::Clean => {}
        Exit::Findings => text.push_str("[exit 2]\n"),
        Exit::Failed => text.push_str("[exit 1]\n"),
    }
    text
}

/// After applying, planning again yields nothing.
fn nothing_is_left(words: &[String]) {
    let mut words = words.to_vec();
    words[1] = "plan".to_owned();
    words.extend(["--output".to_owned(), "json".to_owned()]);
    let plan = run_moat(&words);
    assert!(plan.contains("\"stages\": [],"), "{words:?}: {plan}");
}

/// Both output streams, in the order in which they are written.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Words at blanks; single quotes keep blanks.
fn shell_words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            copy(&path, &to.join(path.file_name().unwrap()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// Whether lines fit a pattern in which `…` stands for any lines.
fn fits(pattern: &[&str], lines: &[&str]) -> bool {
    match pattern.split_first() {
        None => lines.is_empty(),
        Some((&SOME_LINES, rest)) => (0..=lines.len()).any(|skipped| fits(rest, &lines[skipped..])),
        Some((first, rest)) => {
            lines.split_first().is_some_and(|(line, lines)| line == first && fits(rest, lines))
        }
    }
}

fn first_difference(expected: &str, actual: &str) -> String {
    let (mut expected, mut actual) = (expected.lines(), actual.lines());
    for number in 1.. {
        match (expected.next(), actual.next()) {
            (None, None) => break,
            (expected, actual) if expected == actual => {}
            (expected, actual) => {
                return format!("line {number}\n  expected: {expected:?}\n  actual:   {actual:?}");
            }
        }
    }
    "they differ in their last line's end".to_owned()
}
