//! EC2's API, as LocalStack speaks it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

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
