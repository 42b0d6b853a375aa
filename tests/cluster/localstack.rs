//! EC2's API, as LocalStack speaks it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Server;

const VARIABLES: [&str; 5] = [
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
];

/// The environment of a client of EC2 in an account of its own, whose id has twelve digits. The LocalStack is that of
/// `AWS_ENDPOINT_URL`, if it is set; else one for the whole test binary is started.
#[must_use]
pub fn cloud(account: &str) -> BTreeMap<String, String> {
    static STARTED: LazyLock<Server> = LazyLock::new(|| Server::start("up", &[], &BTreeMap::new()));
    let given = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
    let mut variables = match std::env::var("AWS_ENDPOINT_URL") {
        Ok(_) => VARIABLES.into_iter().filter_map(given).collect(),
        Err(_) => STARTED.variables.clone(),
    };
    variables.insert("AWS_ACCESS_KEY_ID".to_owned(), account.to_owned());
    variables
}

/// What LocalStack is asked besides EC2, and its answer, JSON: the faults and the calls of an account (`localstack/README.md`).
///
/// # Panics
/// It does not answer, or refuses.
#[must_use]
pub fn ask(method: &str, path: &str, body: &str) -> String {
    ask_at(authority(&cloud("000000000000")), method, path, body)
}

/// Where the LocalStack of such an environment listens.
///
/// # Panics
/// It is none.
#[must_use]
pub fn authority(variables: &BTreeMap<String, String>) -> &str {
    let endpoint = variables.get("AWS_ENDPOINT_URL").expect("the script tells");
    endpoint.strip_prefix("http://").expect("it is plain HTTP")
}

/// What somebody else answers over plain HTTP.
///
/// # Panics
/// It does not answer, or refuses.
#[must_use]
pub fn ask_at(authority: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(authority).expect("it listens");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}

/// The id of an account that nobody else uses: an access key of twelve digits is one.
#[must_use]
pub fn account() -> String {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    let place = GIVEN.fetch_add(1, Ordering::Relaxed);
    format!("{:012}", 100_000_000_000 + u64::from(std::process::id()) % 1_000_000 * 10_000 + place)
}
