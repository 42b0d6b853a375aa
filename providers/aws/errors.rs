//! What EC2's error codes mean. Codes only: messages are for people.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use hyper_util::client::legacy;
use moat_core::provider::{ProviderError, QuotaKind, UNANSWERED, UNLISTED};
use moat_core::settings::Quotas;

use crate::call::Call;

/// What a failed call means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It had no effect: too many calls.
    Throttled,
    /// It had its effect or not.
    Unknown,
    /// It had no effect: there was no connection to send it through.
    Unreached,
    /// It names something that is not there, or not there yet.
    NotFound,
    /// It makes something that is there.
    Duplicate,
    /// It passes a limit.
    Quota(QuotaKind),
    /// It deletes something that is used.
    InUse,
    /// It changes what AWS or another service keeps for itself.
    NotOurs,
    /// The role may not call it.
    Unauthorized,
    /// The caller is not known, its clock is wrong, or its account is not open to EC2.
    Credentials,
    /// It is wrong in itself.
    Invalid,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The call.
    pub call: Call,
    /// What it means.
    pub meaning: Meaning,
    /// The code, empty where nothing answered.
    pub code: String,
    /// The code and the message, or what happened on the way.
    pub text: String,
    /// How long to wait, if the cloud said.
    pub retry_after: Option<Duration>,
}

/// EC2's codes ("Error codes", EC2 API reference), those of the SDKs' throttling set, and those of signing (Signature Version 4).
pub const TABLE: &[(&str, Meaning)] = &[
    ("RequestLimitExceeded", Meaning::Throttled),
    ("EC2ThrottledException", Meaning::Throttled),
    ("Throttling", Meaning::Throttled),
    ("ThrottlingException", Meaning::Throttled),
    ("ThrottledException", Meaning::Throttled),
    ("RequestThrottled", Meaning::Throttled),
    ("RequestThrottledException", Meaning::Throttled),
    ("TooManyRequestsException", Meaning::Throttled),
    ("SlowDown", Meaning::Throttled),
    ("BandwidthLimitExceeded", Meaning::Throttled),
    ("LimitExceededException", Meaning::Throttled),
    ("PriorRequestNotComplete", Meaning::Throttled),
    ("InternalError", Meaning::Unknown),
    ("InternalFailure", Meaning::Unknown),
    ("Unavailable", Meaning::Unknown),
    ("ServiceUnavailable", Meaning::Unknown),
    ("RequestTimeout", Meaning::Unknown),
    ("RequestTimeoutException", Meaning::Unknown),
    ("InvalidGroup.NotFound", Meaning::NotFound),
    ("InvalidSecurityGroupID.NotFound", Meaning::NotFound),
    ("InvalidPermission.NotFound", Meaning::NotFound),
    ("InvalidSecurityGroupRuleId.NotFound", Meaning::NotFound),
    ("InvalidNetworkInterfaceID.NotFound", Meaning::NotFound),
    ("InvalidNetworkInterface.NotFound", Meaning::NotFound),
    ("InvalidVpcID.NotFound", Meaning::NotFound),
    ("InvalidPrefixListID.NotFound", Meaning::NotFound),
    ("InvalidPrefixListId.NotFound", Meaning::NotFound),
    ("InvalidNetworkAclID.NotFound", Meaning::NotFound),
    ("InvalidNetworkAclEntry.NotFound", Meaning::NotFound),
    ("InvalidAssociationID.NotFound", Meaning::NotFound),
    ("InvalidSubnetID.NotFound", Meaning::NotFound),
    ("InvalidID", Meaning::NotFound),
    ("NoSuchResourceException", Meaning::NotFound),
    ("InvalidGroup.Duplicate", Meaning::Duplicate),
    ("InvalidPermission.Duplicate", Meaning::Duplicate),
    ("NetworkAclEntryAlreadyExists", Meaning::Duplicate),
    ("RulesPerSecurityGroupLimitExceeded", Meaning::Quota(QuotaKind::RulesPerGroup)),
    ("SecurityGroupsPerInterfaceLimitExceeded", Meaning::Quota(QuotaKind::GroupsPerInterface)),
    ("SecurityGroupsPerInstanceLimitExceeded", Meaning::Quota(QuotaKind::GroupsPerInterface)),
    ("SecurityGroupLimitExceeded", Meaning::Quota(QuotaKind::Groups)),
    ("NetworkAclEntryLimitExceeded", Meaning::Quota(QuotaKind::EntriesPerAcl)),
    ("DependencyViolation", Meaning::InUse),
    ("InvalidGroup.InUse", Meaning::InUse),
    ("UnauthorizedOperation", Meaning::Unauthorized),
    ("AccessDenied", Meaning::Unauthorized),
    ("AccessDeniedException", Meaning::Unauthorized),
    ("AuthFailure", Meaning::Credentials),
    ("Blocked", Meaning::Credentials),
    ("OptInRequired", Meaning::Credentials),
    ("ExpiredToken", Meaning::Credentials),
    ("ExpiredTokenException", Meaning::Credentials),
    ("IncompleteSignature", Meaning::Credentials),
    ("InvalidClientTokenId", Meaning::Credentials),
    ("MissingAuthenticationToken", Meaning::Credentials),
    ("RequestExpired", Meaning::Credentials),
    ("RequestTimeTooSkewed", Meaning::Credentials),
    ("SignatureDoesNotMatch", Meaning::Credentials),
    ("UnrecognizedClientException", Meaning::Credentials),
    ("CannotDelete", Meaning::NotOurs),
    ("InvalidGroup.Reserved", Meaning::NotOurs),
    ("OperationNotPermitted", Meaning::NotOurs),
    ("InvalidGroupId.Malformed", Meaning::Invalid),
    ("InvalidNetworkInterfaceId.Malformed", Meaning::Invalid),
    ("InvalidParameterCombination", Meaning::Invalid),
    ("InvalidParameterValue", Meaning::Invalid),
    ("InvalidPermission.Malformed", Meaning::Invalid),
    ("MissingParameter", Meaning::Invalid),
    ("NetworkAclLimitExceeded", Meaning::Invalid),
    ("TagLimitExceeded", Meaning::Invalid),
];

/// What a code and an HTTP status mean: an unknown code goes by its status.
#[must_use]
pub fn meaning(code: Option<&str>, status: u16) -> Meaning {
    let known = TABLE.iter().find(|(name, _)| Some(*name) == code);
    known.map_or_else(
        || match status {
            429 => Meaning::Throttled,
            401 => Meaning::Credentials,
            403 => Meaning::Unauthorized,
            400..=499 => Meaning::Invalid,
            _ => Meaning::Unknown,
        },
        |(_, meaning)| *meaning,
    )
}

impl Failure {
    /// Its code, for a meter: one of [`TABLE`], or that it is none.
    #[must_use]
    pub fn label(&self) -> &'static str {
        let listed = TABLE.iter().map(|(code, _)| *code).find(|code| *code == self.code);
        listed.unwrap_or(if self.code.is_empty() { UNANSWERED } else { UNLISTED })
    }

    /// What befell a call.
    #[must_use]
    pub fn of<E>(call: Call, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure =
            |meaning, text| Self { call, meaning, code: String::new(), text, retry_after: None };
        match error {
            SdkError::ServiceError(answer) => {
                let response = answer.raw();
                let code = answer.err().code();
                let message = answer.err().message().unwrap_or("no message").trim_end_matches('.');
                let status = response.status().as_u16();
                let told = code.map_or_else(|| format!("HTTP status {status}"), str::to_owned);
                let text = format!("{told}: {message}");
                let seconds = response.headers().get("retry-after").and_then(|it| it.parse().ok());
                let meaning = meaning(code, status);
                let retry_after = seconds.map(Duration::from_secs);
                Self { code: told, retry_after, ..failure(meaning, text) }
            }
            // Nothing was sent: what can be missing is the region or the credentials.
            SdkError::ConstructionFailure(_) => failure(Meaning::Credentials, chain(error)),
            SdkError::DispatchFailure(_) if is_unreached(error) => {
                failure(Meaning::Unreached, chain(error))
            }
            SdkError::DispatchFailure(broken) if broken.is_other() && !is_sent(error) => {
                failure(Meaning::Credentials, chain(error))
            }
            SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_)
            | _ => failure(Meaning::Unknown, chain(error)),
        }
    }

    /// Whether it does not find, or finds already, a rule rather than the group that was named.
    fn is_about_rule(&self) -> bool {
        let absent = matches!(self.meaning, Meaning::NotFound | Meaning::Duplicate);
        absent
            && (self.code.starts_with("InvalidPermission")
                || self.code.starts_with("InvalidSecurityGroupRule"))
    }

    /// Whether the code is about an interface.
    #[must_use]
    pub fn is_about_interface(&self) -> bool {
        self.code.starts_with("InvalidNetworkInterface")
    }

    /// Whether it does not find, or finds already, an entry rather than the network ACL that was named.
    #[must_use]
    pub fn is_about_entry(&self) -> bool {
        let absent = matches!(self.meaning, Meaning::NotFound | Meaning::Duplicate);
        absent && self.code.contains("NetworkAclEntry")
    }

    /// Whether it does not find what ties a network ACL to a subnet.
    #[must_use]
    pub fn is_about_association(&self) -> bool {
        self.meaning == Meaning::NotFound && self.code.starts_with("InvalidAssociationID")
    }

    /// What the caller of the port is told; `subject` is what the call was about.
    #[must_use]
    pub fn about(self, subject: &str, quotas: &Quotas) -> ProviderError {
        let action = self.call.action().to_owned();
        let subject =
            if self.is_about_rule() { format!("a rule of {subject}") } else { subject.to_owned() };
        let code = (!self.code.is_empty()).then(|| self.code.clone());
        match self.meaning {
            Meaning::Throttled => {
                ProviderError::Throttled { action, code: self.code, retry_after: self.retry_after }
            }
            Meaning::Unknown | Meaning::Unreached => {
                ProviderError::Transient { action, code, message: self.text }
            }
            Meaning::NotFound => ProviderError::NotFound { subject, code },
            Meaning::Duplicate => ProviderError::Duplicate { subject, code },
            Meaning::Quota(quota) => {
                ProviderError::Quota { quota, limit: quotas.of(quota), subject, code: self.code }
            }
            Meaning::InUse => ProviderError::InUse { subject, code: self.code },
            Meaning::NotOurs => {
                let text = self.text;
                let advice =
                    format!("AWS refuses `{action}` ({text}): ask its owner, or leave it out");
                ProviderError::NotOurs { subject, advice }
            }
            Meaning::Unauthorized => ProviderError::Unauthorized { action, code: self.code },
            Meaning::Credentials => ProviderError::Credentials { message: self.text },
            Meaning::Invalid => ProviderError::Invalid {
                message: format!("{action} for `{subject}`: {}", self.text),
            },
        }
    }
}

fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// Whether no connection came about: the name does not resolve, or nothing listens there in time.
pub(crate) fn is_unreached(error: &(dyn Error + 'static)) -> bool {
    sources(error).filter_map(|error| error.downcast_ref()).any(legacy::Error::is_connect)
}

/// Whether a request was on its way: whatever became of the connection, it says nothing about credentials.
fn is_sent(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(|error| error.is::<legacy::Error>())
}

/// What a service of AWS answered: its code and its message.
fn answered<'a>(error: &'a (dyn Error + 'static)) -> Option<(&'a str, &'a str)> {
    let answer = sources(error).find_map(|error| error.downcast_ref::<ErrorMetadata>())?;
    Some((answer.code()?, answer.message().unwrap_or("no message").trim_end_matches('.')))
}

/// Whether a service of AWS refuses who calls, rather than what they ask for.
pub(crate) fn is_refused(error: &(dyn Error + 'static)) -> bool {
    answered(error).is_some_and(|(code, _)| meaning(Some(code), 400) == Meaning::Credentials)
}

/// What a service of AWS answered, else what an error says, and what is behind it; each once, since some repeat their source.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    if let Some((code, message)) = answered(error) {
        return format!("{code}: {message}");
    }
    let mut texts: Vec<String> = Vec::new();
    for text in sources(error).map(ToString::to_string) {
        if !texts.last().is_some_and(|last| last.ends_with(&text)) {
            texts.push(text);
        }
    }
    // Some are lists, an item a line.
    texts.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}
