//! What a missing or wrong environment gets.

use std::process::Command;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{BehaviorVersion, Region};
use moat_aws::time::Time;
use moat_aws::{Aws, Config, Login, connect};
use moat_core::provider::{Provider, ProviderError};
use serde_json::json;

use crate::contract::Cloud;
use crate::localstack::{REGION, account, ask, client, endpoint, run};

/// Names the VPC that this test's own child process connects to, and the role it assumes.
const CHILD: (&str, &str) = ("MOAT_TEST_VPC", "MOAT_TEST_ROLE");

/// How a process with just these variables fares: the environment is one for all threads, so it takes a process of its own.
fn fares(variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "connect::an_environment_connects_or_says_what_is_missing",
            "--nocapture",
        ])
        .env_clear()
        // Nothing is found by chance: neither files nor the machine's own role.
        .envs([("HOME", "/nonexistent"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("fares: "));
    line.map(|(_, fares)| fares.to_owned()).unwrap_or(text)
}

#[test]
fn an_environment_connects_or_says_what_is_missing() {
    if let Ok(vpc) = std::env::var(CHILD.0) {
        let login = Login { role: std::env::var(CHILD.1).ok(), ..Login::default() };
        let answer = run(connect(&login, Config::new("test", vpc)));
        println!("fares: {}", answer.map_or_else(|error| error.to_string(), |_| "well".to_owned()));
        return;
    }
    let cloud = Cloud::new(1_000);
    let vpc = cloud.aws.config().vpc.as_str();
    let region = ("AWS_REGION", REGION);
    let key = ("AWS_ACCESS_KEY_ID", cloud.account.as_str());
    let secret = ("AWS_SECRET_ACCESS_KEY", "localstack");
    let url = ("AWS_ENDPOINT_URL", endpoint());
    let at = |vpc| (CHILD.0, vpc);
    let starts = |variables: &[(&str, &str)], start: &str| {
        let fares = fares(variables);
        assert!(fares.starts_with(start), "{fares}");
    };
    starts(&[at(vpc), region, key, secret, url], "well");
    starts(&[at(vpc), region, key, secret, ("AWS_ENDPOINT_URL_EC2", endpoint())], "well");
    starts(
        &[at(vpc), key, secret, url],
        "no AWS region: set `aws.region` in the configuration, `AWS_REGION`",
    );
    starts(&[at(vpc), region, url], "no AWS credentials: give the pod's service account a role");
    for nowhere in ["http://127.0.0.1:1", "https://ec2.nowhere-1.invalid"] {
        let start = format!(
            "EC2 at `{nowhere}` does not answer in the region `eu-central-1`: check the region, `AWS_ENDPOINT_URL`"
        );
        starts(&[at(vpc), region, key, secret, ("AWS_ENDPOINT_URL", nowhere)], &start);
    }
    let role = (CHILD.1, "arn:aws:iam::000000000000:role/moat");
    starts(&[at(vpc), region, key, secret, url, role], "cannot assume the role `arn:aws:iam");
    starts(
        &[at("vpc-0123456789abcdef0"), region, key, secret, url],
        "there is no VPC `vpc-0123456789abcdef0` in the region `eu-central-1`",
    );
    let faults = format!("/_faults/{}", cloud.account);
    for (code, start) in [
        (
            "RequestExpired",
            "AWS refuses the credentials: renew them, and check this machine's clock",
        ),
        ("AuthFailure", "AWS refuses the credentials"),
        ("UnauthorizedOperation", "not allowed to call `ec2:DescribeVpcs`"),
    ] {
        let fault = json!({"op": "DescribeVpcs", "code": code, "status": 403, "times": -1});
        ask("PUT", &faults, &json!({"rules": [fault]}).to_string());
        starts(&[at(vpc), region, key, secret, url], start);
    }
}

#[test]
fn an_unknown_vpc_is_not_found() {
    let config = Config::new("test", "vpc-0123456789abcdef0");
    let mut aws = Aws::new(&client(&account()), config, Time::simulated());
    let answer = run(aws.capabilities());
    let subject = "vpc-0123456789abcdef0".to_owned();
    assert_eq!(answer, Err(ProviderError::NotFound { subject }));
}

#[test]
fn a_call_that_nothing_signs_is_about_credentials() {
    let bare = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint());
    let client = Client::from_conf(bare.build());
    let mut aws = Aws::new(&client, Config::new("test", "vpc-1"), Time::simulated());
    let answer = run(aws.capabilities());
    assert!(matches!(answer, Err(ProviderError::Credentials { .. })), "{answer:?}");
}
