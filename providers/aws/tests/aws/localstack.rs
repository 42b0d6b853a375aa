//! EC2's API as LocalStack speaks it. The one that `AWS_ENDPOINT_URL` names, else one that lives as long as these tests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use moat_test_cluster::cloud;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    /// A runtime for each test: connections belong to it.
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
}

pub(crate) const REGION: &str = "eu-central-1";

/// Runs a future.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Where EC2 answers.
pub(crate) fn endpoint() -> &'static str {
    static ENDPOINT: LazyLock<String> =
        LazyLock::new(|| cloud(&account())["AWS_ENDPOINT_URL"].clone());
    &ENDPOINT
}

/// The id of an account that nobody else uses: an access key of twelve digits is one.
pub(crate) fn account() -> String {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    let place = GIVEN.fetch_add(1, Ordering::Relaxed);
    format!("{:012}", 100_000_000_000 + u64::from(std::process::id()) % 1_000_000 * 10_000 + place)
}

/// Calls EC2 as an account.
pub(crate) fn client(account: &str) -> Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint())
        .credentials_provider(Credentials::new(account, "localstack", None, None, "test"));
    Client::from_conf(config.build())
}

/// Calls Service Quotas as an account.
pub(crate) fn quotas_client(account: &str, endpoint: &str) -> aws_sdk_servicequotas::Client {
    let config = aws_sdk_servicequotas::Config::builder()
        .behavior_version(aws_sdk_servicequotas::config::BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new(account, "localstack", None, None, "test"));
    aws_sdk_servicequotas::Client::from_conf(config.build())
}

/// What LocalStack is asked besides EC2: the faults and the calls of an account (`localstack/README.md`).
pub(crate) fn ask(method: &str, path: &str, body: &str) -> Value {
    let authority = endpoint().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).unwrap()
}
