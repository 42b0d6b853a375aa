//! What a missing or wrong environment gets.

use moat_aws::time::Time;
use moat_aws::{Aws, Config};
use moat_core::provider::{Provider, ProviderError};

use crate::localstack::{account, client, run};

#[test]
fn an_unknown_vpc_is_not_found() {
    let config = Config::new("test", "vpc-0123456789abcdef0");
    let mut aws = Aws::new(&client(&account()), config, Time::simulated());
    let answer = run(aws.capabilities());
    let subject = "vpc-0123456789abcdef0".to_owned();
    assert_eq!(answer, Err(ProviderError::NotFound { subject }));
}
