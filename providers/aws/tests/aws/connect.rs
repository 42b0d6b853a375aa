//! What a missing or wrong environment gets.

use std::process::Command;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{BehaviorVersion, Region};
use moat_aws::time::Time;
use moat_aws::{Aws, Config, Login, connect_in};
use moat_core::provider::{Provider, ProviderError};
use serde_json::json;

use crate::contract::Cloud;
use crate::limits::answering;
use crate::localstack::{REGION, account, ask, client, endpoint, run};

/// Names the VPC that this test's own child process connects to, and the role it assumes.
const CHILD: (&str, &str) = ("MOAT_TEST_VPC", "MOAT_TEST_ROLE");

/// How a process with just these variables fares: the environment is one for all threads, so it takes a process of its own.
fn fares(variables: &[Variable<'_>]) -> String {
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
        let answer = run(connect_in(Time::simulated(), &login, Config::new("test", vpc)));
        println!("fares: {}", answer.map_or_else(|error| error.to_string(), |_| "well".to_owned()));
        return;
    }
    let cloud = Cloud::new(1_000);
    let vpc = (CHILD.0, cloud.aws.config().vpc.as_str());
    let region = ("AWS_REGION", REGION);
    let key = ("AWS_ACCESS_KEY_ID", cloud.account.as_str());
    let secret = ("AWS_SECRET_ACCESS_KEY", "localstack");
    let url = ("AWS_ENDPOINT_URL", endpoint());
    let all = [vpc, region, key, secret, url];
    let with = |variable: Variable<'static>| -> Vec<Variable<'_>> {
        all.into_iter().filter(|(name, _)| *name != variable.0).chain([variable]).collect()
    };
    let without = |name| all.into_iter().filter(|(it, _)| *it != name).collect::<Vec<_>>();
    let starts = |variables: &[Variable<'_>], start: &str| {
        let fares = fares(variables);
        assert!(fares.starts_with(start), "{fares}\ninstead of\n{start}");
        println!("{fares}");
        assert!(fares.lines().count() == 1);
    };
    starts(&all, "well");
    starts(&[vpc, region, key, secret, ("AWS_ENDPOINT_URL_EC2", endpoint())], "well");
    starts(
        &without("AWS_REGION"),
        "no AWS region: set `aws.region` in the configuration, `AWS_REGION`",
    );
    starts(&[vpc, region, url], "no AWS credentials: give the pod's service account a role");
    for nowhere in ["http://127.0.0.1:1", "https://ec2.nowhere-1.invalid"] {
        let start = format!(
            "EC2 at `{nowhere}` does not answer in the region `eu-central-1`: check the region, `AWS_ENDPOINT_URL`"
        );
        starts(&with(("AWS_ENDPOINT_URL", nowhere)), &start);
    }
    starts(
        &with(("AWS_REGION", "nowhere-1")),
        &format!("there is no VPC `{}` in the region `nowhere-1` of this account: check", vpc.1),
    );
    starts(
        &with(("AWS_REGION", "eu central")),
        "`eu central` is no AWS region: write one such as `eu-central-1` where it is set",
    );
    starts(
        &with((CHILD.0, "vpc-0123456789abcdef0")),
        "there is no VPC `vpc-0123456789abcdef0` in the region `eu-central-1`",
    );
    let role = (CHILD.1, "arn:aws:iam::000000000000:role/moat");
    for (code, start) in [
        (
            "AccessDenied",
            "cannot assume the role `arn:aws:iam::000000000000:role/moat`: let its trust policy name the caller, and allow the \
             caller `sts:AssumeRole`: AccessDenied: no",
        ),
        ("InvalidClientTokenId", REFUSED),
        ("ExpiredToken", REFUSED),
    ] {
        let body = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
        );
        let sts = answering(Some((403, body.leak())));
        let variables = [vpc, region, key, secret, url, role, ("AWS_ENDPOINT_URL_STS", &sts)];
        starts(&variables, &start.replace("CODE", code));
    }
    let faults = format!("/_faults/{}", cloud.account);
    for (code, status, start) in [
        ("AuthFailure", 401, REFUSED),
        ("RequestExpired", 400, REFUSED),
        ("RequestTimeTooSkewed", 403, REFUSED),
        ("SignatureDoesNotMatch", 403, REFUSED),
        ("ExpiredToken", 400, REFUSED),
        ("InvalidClientTokenId", 403, REFUSED),
        ("OptInRequired", 401, REFUSED),
        (
            "UnauthorizedOperation",
            403,
            "not allowed to call `ec2:DescribeVpcs` (UnauthorizedOperation): give the role this permission",
        ),
        ("InternalError", 500, FAILS),
    ] {
        let fault = json!({"op": "DescribeVpcs", "code": code, "status": status, "times": -1});
        ask("PUT", &faults, &json!({"rules": [fault]}).to_string());
        starts(&all, &start.replace("CODE", code).replace("URL", url.1));
    }
}

/// A variable of the environment.
type Variable<'a> = (&'static str, &'a str);

const FAILS: &str = "EC2 at `URL` fails in the region `eu-central-1`: CODE: Injected fault: try again in a few minutes, \
     and look at the AWS Health Dashboard";
const REFUSED: &str =
    "AWS refuses the credentials: renew them, and check this machine's clock: CODE: ";

#[test]
fn an_unknown_vpc_is_not_found() {
    let config = Config::new("test", "vpc-0123456789abcdef0");
    let mut aws = Aws::new(&client(&account()), config, Time::simulated());
    let answer = run(aws.capabilities());
    assert_eq!(answer, Err(ProviderError::not_found("vpc-0123456789abcdef0")));
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
