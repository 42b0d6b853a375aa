//! What error codes mean.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpListener;
use std::thread;

use moat_aws::call::Call;
use moat_aws::errors::{Failure, Meaning, TABLE, meaning};
use moat_aws::time::Time;
use moat_aws::{Aws, Config};
use moat_core::provider::{Provider, ProviderError, QuotaKind, Remedy};
use moat_core::settings::Quotas;
use proptest::prelude::*;

use crate::localstack::{client_at, run};

#[test]
fn each_code_stands_in_the_table_once() {
    let codes: BTreeSet<&str> = TABLE.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes.len(), TABLE.len());
}

#[test]
fn the_codes_that_matter_most_mean_what_ec2_documents() {
    let quota = Meaning::Quota;
    for (code, wanted) in [
        ("RequestLimitExceeded", Meaning::Throttled),
        ("InternalError", Meaning::Unknown),
        ("InvalidGroup.NotFound", Meaning::NotFound),
        ("InvalidGroup.Duplicate", Meaning::Duplicate),
        ("InvalidPermission.Duplicate", Meaning::Duplicate),
        ("InvalidPermission.NotFound", Meaning::NotFound),
        ("RulesPerSecurityGroupLimitExceeded", quota(QuotaKind::RulesPerGroup)),
        ("SecurityGroupsPerInterfaceLimitExceeded", quota(QuotaKind::GroupsPerInterface)),
        ("SecurityGroupLimitExceeded", quota(QuotaKind::Groups)),
        ("NetworkAclEntryLimitExceeded", quota(QuotaKind::EntriesPerAcl)),
        ("NetworkAclEntryAlreadyExists", Meaning::Duplicate),
        ("InvalidNetworkAclID.NotFound", Meaning::NotFound),
        ("InvalidNetworkAclEntry.NotFound", Meaning::NotFound),
        ("InvalidAssociationID.NotFound", Meaning::NotFound),
        ("DependencyViolation", Meaning::InUse),
        ("UnauthorizedOperation", Meaning::Unauthorized),
        ("RequestExpired", Meaning::Credentials),
        ("InvalidParameterValue", Meaning::Invalid),
    ] {
        // A code goes before a status.
        for status in [400, 500, 503] {
            assert_eq!(meaning(Some(code), status), wanted, "{code}");
        }
    }
}

proptest! {
    #[test]
    fn an_unknown_code_goes_by_its_status(status in 100..600_u16) {
        let wanted = match status {
            429 => Meaning::Throttled,
            401 => Meaning::Credentials,
            403 => Meaning::Unauthorized,
            400..=499 => Meaning::Invalid,
            _ => Meaning::Unknown,
        };
        prop_assert_eq!(meaning(Some("Brand.New"), status), wanted);
        prop_assert_eq!(meaning(None, status), wanted);
    }
}

/// Whoever sees an error knows which permission, quota or object it is about.
#[test]
fn every_error_names_what_it_is_about() {
    let quotas = Quotas::default();
    for (code, meaning) in TABLE {
        let call = Call::AuthorizeSecurityGroupEgress;
        let text = format!("{code}: said EC2");
        let code_told = (*code).to_owned();
        let failure = Failure { call, meaning: *meaning, code: code_told, text, retry_after: None };
        let error = failure.about("moat.3", &quotas);
        let (named, remedy) = match meaning {
            Meaning::Throttled => ("ec2:AuthorizeSecurityGroupEgress", Remedy::Wait),
            Meaning::Unknown | Meaning::Unreached => {
                ("ec2:AuthorizeSecurityGroupEgress", Remedy::Observe)
            }
            Meaning::NotFound | Meaning::Duplicate => ("moat.3", Remedy::Observe),
            Meaning::Quota(_) | Meaning::InUse | Meaning::NotOurs => ("moat.3", Remedy::Report),
            Meaning::Unauthorized => ("ec2:AuthorizeSecurityGroupEgress", Remedy::Report),
            Meaning::Credentials | Meaning::Invalid => (*code, Remedy::Report),
        };
        let text = error.to_string();
        assert!(text.contains(named) && text.contains(code), "{error}");
        assert!(text.contains(": "), "what to do: {error}");
        assert_eq!(error.remedy(), remedy, "{error}");
    }
    for code in ["InvalidPermission.Duplicate", "InvalidSecurityGroupRuleId.NotFound"] {
        let (call, meaning) = (Call::RevokeSecurityGroupIngress, meaning(Some(code), 400));
        let (code, text) = (code.to_owned(), String::new());
        let failure = Failure { call, meaning, code, text, retry_after: None };
        let told = failure.about("moat.3", &quotas).to_string();
        assert!(told.starts_with("`a rule of moat.3` "), "{told}");
    }
    let failure = Failure {
        call: Call::CreateSecurityGroup,
        meaning: Meaning::Quota(QuotaKind::Groups),
        code: "SecurityGroupLimitExceeded".into(),
        text: String::new(),
        retry_after: None,
    };
    let wanted = ProviderError::Quota {
        quota: QuotaKind::Groups,
        limit: 2_500,
        subject: "moat.3".into(),
        code: "SecurityGroupLimitExceeded".into(),
    };
    assert_eq!(failure.about("moat.3", &quotas), wanted);
}

/// Idle connections are closed at any moment, also while a request is on its way.
#[test]
fn a_connection_that_breaks_off_says_nothing_about_credentials() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().read(&mut [0; 16_384]);
        }
    });
    let client = client_at("test", &url);
    let mut aws = Aws::new(&client, Config::new("test", "vpc-0"), Time::simulated());
    let error = run(aws.capabilities()).unwrap_err();
    assert!(matches!(&error, ProviderError::Transient { .. }), "{error}");
    assert_eq!(error.remedy(), Remedy::Observe);
}
