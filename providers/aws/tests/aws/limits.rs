//! The account's limits: told by Service Quotas, else assumed with the reason.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use moat_aws::time::Time;
use moat_aws::{Aws, Config};
use moat_core::provider::{Provider, QuotaKind};
use moat_core::settings::Quotas;
use moat_tests::contract::Fixture;
use serde_json::json;

use crate::contract::Cloud;
use crate::localstack::{ask, quotas_client, run};

/// The limits of a cloud, as a process learns them that has the configured ones besides.
fn learn(cloud: &Cloud, endpoint: &str) -> (Quotas, Vec<(QuotaKind, String)>) {
    let configured = Quotas { rules_per_group: 70, ..Quotas::default() };
    let config = Config { quotas: configured, ..cloud.aws.config().clone() };
    let client = quotas_client(&cloud.account, endpoint);
    let mut aws = Aws::new(&cloud.client, config, Time::simulated()).asking(&client);
    let answer = run(aws.capabilities()).unwrap();
    (answer.quotas, answer.assumed.into_iter().collect())
}

/// Needs the fixes: LocalStack as published has no Service Quotas.
#[test]
fn the_accounts_limits_are_read_once_by_each_process() {
    let mut cloud = Cloud::new(1_000);
    let raise = |rules, groups| {
        let quotas = json!({"quotas": {"rules_per_group": rules, "groups": groups}});
        ask("PUT", &format!("/_faults/{}", cloud.account), &quotas.to_string());
    };
    let wanted = |rules_per_group, groups_per_interface, groups| Quotas {
        rules_per_group,
        groups_per_interface,
        groups,
        ..Quotas::default()
    };
    raise(100, 5_000);
    let first = run(cloud.aws.capabilities()).unwrap();
    assert_eq!((first.quotas, first.assumed.len()), (wanted(100, 5, 5_000), 0));
    raise(250, 300);
    assert_eq!(run(cloud.aws.capabilities()).unwrap().quotas, first.quotas);
    cloud.restart();
    let later = run(cloud.aws.capabilities()).unwrap();
    // 250 rules leave room for four groups: the product is at most 1,000.
    assert_eq!(later.quotas, wanted(250, 4, 300));
}

#[test]
fn what_the_account_does_not_tell_is_assumed_and_said() {
    let cloud = Cloud::new(1_000);
    let configured = Quotas { rules_per_group: 70, ..Quotas::default() };
    let (denied, number, nothing) = (
        (403, r#"{"__type": "AccessDeniedException", "Message": "no"}"#),
        (200, r#"{"Quota": {"QuotaCode": "L", "Value": 60.5}}"#),
        (501, "{}"),
    );
    let absent = (400, r#"{"__type": "NoSuchResourceException", "Message": "no"}"#);
    for (answer, reason) in [
        (
            Some(denied),
            "not allowed to call `servicequotas:GetServiceQuota` (AccessDeniedException): give the role this permission",
        ),
        (Some(absent), "there is no quota `L-0EA8095F` (NoSuchResourceException): ask AWS"),
        (Some(number), "its value is no number"),
        (
            Some(nothing),
            "`servicequotas:GetServiceQuota` got no clear answer: HTTP status 501: no message: try again later",
        ),
        (None, "`servicequotas:GetServiceQuota` got no clear answer: "),
    ] {
        let (quotas, assumed) = learn(&cloud, &answering(answer));
        assert_eq!(quotas, configured, "{reason}");
        let kinds: Vec<QuotaKind> = assumed.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, QuotaKind::ALL);
        // What broke the connection is the system's to say.
        let told = if answer.is_none() {
            assumed[0].1.starts_with(reason)
        } else {
            assumed[0].1 == reason
        };
        assert!(told, "{}", assumed[0].1);
    }
}

/// The address of something that gives one answer to everybody, or closes the door.
pub(crate) fn answering(answer: Option<(u16, &'static str)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let Some((status, body)) = answer else { return url };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 16_384]);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} Said\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    url
}
