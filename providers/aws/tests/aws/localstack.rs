//! EC2's API as LocalStack speaks it. The one that `AWS_ENDPOINT_URL` names, else one that lives as long as these tests.

use std::sync::LazyLock;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
pub(crate) use moat_test_cluster::account;
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

/// Calls EC2 as an account.
pub(crate) fn client(account: &str) -> Client {
    client_at(account, endpoint())
}

/// The same, wherever it sends its calls.
pub(crate) fn client_at(account: &str, endpoint: &str) -> Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
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

/// What LocalStack is asked besides EC2.
pub(crate) fn ask(method: &str, path: &str, body: &str) -> Value {
    serde_json::from_str(&moat_test_cluster::ask(method, path, body)).unwrap()
}
