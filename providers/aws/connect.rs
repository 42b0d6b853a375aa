//! A client with the credentials and the region of the environment.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_ec2::config::{
    Builder, ConfigBag, Intercept, ProvideCredentials, RuntimeComponents, SharedCredentialsProvider,
};
use aws_sdk_ec2::error::BoxError;
use moat_core::provider::{Provider, ProviderError};
use thiserror::Error;

use crate::errors::{chain, is_refused, is_unreached};
use crate::time::Time;
use crate::{Aws, Config};

/// How to find EC2, besides what the environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The region, such as `eu-central-1`; by default the environment's.
    pub region: Option<String>,
    /// The ARN of a role to assume; by default none.
    pub role: Option<String>,
}

/// Why there is no connection to a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// Nothing says where the VPC is.
    #[error(
        "no AWS region: set `aws.region` in the configuration, `AWS_REGION`, or `region` in the profile that `AWS_PROFILE` names"
    )]
    Region,
    /// What says where the VPC is cannot be part of a host's name.
    #[error(
        "`{region}` is no AWS region: write one such as `eu-central-1` where it is set, in `aws.region` of the configuration, \
         `AWS_REGION`, or the profile"
    )]
    NoRegion {
        /// What it says.
        region: String,
    },
    /// Nothing says who calls.
    #[error(
        "no AWS credentials: give the pod's service account a role (Pod Identity or IRSA), or set `AWS_PROFILE` or \
         `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`: {reason}"
    )]
    Credentials {
        /// What the SDK found.
        reason: String,
    },
    /// The role cannot be assumed.
    #[error(
        "cannot assume the role `{role}`: let its trust policy name the caller, and allow the caller `sts:AssumeRole`: {reason}"
    )]
    Role {
        /// The role's ARN.
        role: String,
        /// What STS said.
        reason: String,
    },
    /// EC2 does not accept who calls: wrong or expired credentials, or a clock that is wrong by minutes.
    #[error("AWS refuses the credentials: renew them, and check this machine's clock: {reason}")]
    Refused {
        /// EC2's code and message.
        reason: String,
    },
    /// The VPC is not there.
    #[error(
        "there is no VPC `{vpc}` in the region `{region}` of this account: check `vpc` and the region"
    )]
    Vpc {
        /// The VPC's id.
        vpc: String,
        /// The region.
        region: String,
    },
    /// Nothing answers.
    #[error(
        "{service} does not answer in the region `{region}`: check the region, `AWS_ENDPOINT_URL`, and the way there from this \
         machine: {reason}"
    )]
    Unreached {
        /// Who was asked, and where.
        service: String,
        /// The region.
        region: String,
        /// What happened on the way.
        reason: String,
    },
    /// It answers, and only with errors of its own.
    #[error(
        "{service} fails in the region `{region}`: {reason}: try again in a few minutes, and look at the AWS Health Dashboard \
         if it lasts"
    )]
    Failing {
        /// Who was asked, and where.
        service: String,
        /// The region.
        region: String,
        /// The code and the message.
        reason: String,
    },
    /// EC2 cannot be asked.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(20);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A client's configuration without repetitions of its own, and with an end to each call.
#[must_use]
pub fn patient(builder: Builder) -> Builder {
    builder.retry_config(RetryConfig::disabled()).timeout_config(timeouts())
}

/// The same for the client of Service Quotas.
pub(crate) fn patient_quotas(
    builder: aws_sdk_servicequotas::config::Builder,
) -> aws_sdk_servicequotas::config::Builder {
    builder.retry_config(RetryConfig::disabled()).timeout_config(timeouts())
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(ATTEMPT)
        .build()
}

/// Connects to the VPC of a configuration.
///
/// The SDK finds credentials in this order: environment, profile, web identity (IRSA), container (Pod Identity), instance. Region
/// and endpoint are those of `AWS_REGION`, `AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL_SERVICE_QUOTAS`, `AWS_ENDPOINT_URL` and the
/// profile. One call shows that EC2 answers and that the VPC is there; the account's limits are asked for, too.
///
/// # Errors
/// What is missing, wrong or expired.
pub async fn connect(login: &Login, config: Config) -> Result<Aws, ConnectError> {
    connect_in(Time::real(), login, config).await
}

/// The same, in a time that may be simulated.
///
/// # Errors
/// Those of [`connect()`].
pub async fn connect_in(time: Time, login: &Login, config: Config) -> Result<Aws, ConnectError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts());
    if let Some(region) = &login.region {
        loader = loader.region(aws_config::Region::new(region.clone()));
    }
    let found = loader.load().await;
    let region = found.region().ok_or(ConnectError::Region)?.to_string();
    if !region.chars().all(|it| it.is_ascii_alphanumeric() || it == '-') {
        return Err(ConnectError::NoRegion { region });
    }
    let credentials = found.credentials_provider();
    let credentials = credentials.ok_or_else(|| ConnectError::Credentials {
        reason: "no source of credentials".to_owned(),
    })?;
    let signed = credentials.provide_credentials().await;
    signed.map_err(|error| ConnectError::Credentials { reason: chain(&error) })?;
    let endpoint = Endpoint::default();
    let mut builder = aws_sdk_ec2::config::Builder::from(&found);
    let mut quotas = aws_sdk_servicequotas::config::Builder::from(&found);
    if let Some(role) = &login.role {
        let assumed = AssumeRoleProvider::builder(role).session_name("moat").configure(&found);
        let assumed = assumed.build().await;
        assumed.provide_credentials().await.map_err(|error| {
            let reason = chain(&error);
            if is_unreached(&error) {
                let service = format!("STS, which gives the role `{role}`,");
                ConnectError::Unreached { service, region: region.clone(), reason }
            } else if is_refused(&error) {
                ConnectError::Refused { reason }
            } else {
                ConnectError::Role { role: role.clone(), reason }
            }
        })?;
        let assumed = SharedCredentialsProvider::new(assumed);
        builder = builder.credentials_provider(assumed.clone());
        quotas = quotas.credentials_provider(assumed);
    }
    let quotas = aws_sdk_servicequotas::Client::from_conf(quotas.build());
    let client = Client::from_conf(builder.interceptor(endpoint.clone()).build());
    let mut aws = Aws::new(&client, config, time).asking(&quotas);
    match aws.capabilities().await {
        Ok(_) => Ok(aws),
        Err(ProviderError::NotFound { subject: vpc, .. }) => Err(ConnectError::Vpc { vpc, region }),
        Err(ProviderError::Credentials { message }) => {
            Err(ConnectError::Refused { reason: message })
        }
        Err(ProviderError::Transient { code, message: reason, .. }) => {
            let at = endpoint.0.get().map_or("its endpoint", String::as_str);
            let service = format!("EC2 at `{at}`");
            Err(match code {
                None => ConnectError::Unreached { service, region, reason },
                Some(_) => ConnectError::Failing { service, region, reason },
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Learns where a client sends its calls: an SDK's error does not tell.
#[derive(Clone, Debug, Default)]
struct Endpoint(Arc<OnceLock<String>>);

impl Intercept for Endpoint {
    fn name(&self) -> &'static str {
        "Endpoint"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.get_or_init(|| context.request().uri().trim_end_matches('/').to_owned());
        Ok(())
    }
}
