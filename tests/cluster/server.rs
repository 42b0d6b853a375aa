//! A script of `localstack/` that serves until its standard input closes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    /// What it printed before it was ready, `NAME=VALUE` lines: for LocalStack the environment of its clients.
    pub variables: BTreeMap<String, String>,
    /// The script's name, for messages.
    script: String,
    /// Taken away when it ends.
    running: Mutex<Option<Running>>,
}

/// A process and its two pipes.
#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts a script of `localstack/`, such as `up`, with these arguments and, besides the environment of the test, these
    /// variables. Returns when it is ready.
    ///
    /// # Panics
    /// The script ends before it is ready: what it says on standard error tells why.
    #[must_use]
    pub fn start(script: &str, arguments: &[&str], variables: &BTreeMap<String, String>) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../localstack").join(script);
        let mut child = Command::new(path)
            .args(arguments)
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script is there");
        let input = child.stdin.take().expect("it was asked for");
        let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let mut variables = BTreeMap::new();
        for line in lines.by_ref().map_while(Result::ok) {
            match line.split_once('=') {
                Some(("READY", _)) => {
                    let script = script.to_owned();
                    let running = Mutex::new(Some(Running { child, input, lines }));
                    return Self { variables, script, running };
                }
                Some((name, value)) => {
                    variables.insert(name.to_owned(), value.to_owned());
                }
                None => {}
            }
        }
        let status = child.wait();
        panic!(
            "`localstack/{script}` ended before it was ready, with {status:?}: see what it says above"
        );
    }

    /// Gives an order on the script's standard input, and waits until it is carried out.
    ///
    /// # Panics
    /// The order is refused, or the server has ended.
    pub fn order(&self, order: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.as_mut().expect("it runs until it is dropped");
        writeln!(running.input, "{order}").expect("it reads orders");
        let answer = running.lines.next().map(|line| line.expect("text"));
        assert_eq!(answer.as_deref(), Some("OK=1"), "`localstack/{}`", self.script);
    }
}

impl Drop for Server {
    /// Returns when the server has ended and has put away what it kept.
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { mut child, input, lines }) = running {
            drop((input, lines));
            let _ = child.wait();
        }
    }
}

/// A name that no other test uses, for a namespace or whatever else tests of one cluster could collide in.
#[must_use]
pub fn unique(base: &str) -> String {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    let (process, place) = (std::process::id(), GIVEN.fetch_add(1, Ordering::Relaxed));
    format!("{base}-{process}-{place}")
}
