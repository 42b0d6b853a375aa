//! Why a call failed.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a call failed, by what the caller must do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// Wait, then try again.
    #[error(
        "the cloud throttles `{action}` ({code}): try again later, or let others in the account call less"
    )]
    Throttled {
        /// The cloud's name of the call.
        action: String,
        /// The cloud's code.
        code: String,
        /// How long to wait, if the cloud said.
        retry_after: Option<Duration>,
    },
    /// Wait for a picture that shows it.
    #[error("`{subject}` is not visible yet{}: try again in a few minutes", in_brackets(code.as_deref()))]
    NotYetVisible {
        /// The group, rule or interface.
        subject: String,
        /// The cloud's code, if it was asked.
        code: Option<String>,
    },
    /// Observe again and plan anew: it is there already.
    #[error("`{subject}` exists already{}: plan again from what is there", in_brackets(code.as_deref()))]
    Duplicate {
        /// The group or rule.
        subject: String,
        /// The cloud's code, if it was asked.
        code: Option<String>,
    },
    /// Observe again and plan anew: it is gone.
    #[error("`{subject}` does not exist{}: plan again from what is there", in_brackets(code.as_deref()))]
    NotFound {
        /// The group, rule or interface.
        subject: String,
        /// The cloud's code, if it was asked.
        code: Option<String>,
    },
    /// Observe again and plan anew: someone else changed it since the last picture.
    #[error("`{subject}` is not as it was observed: plan again from what is there")]
    Changed {
        /// The interface.
        subject: String,
    },
    /// Plan within the limit, or raise it.
    #[error(
        "the quota `{quota}` of {limit} is reached for `{subject}` ({code}): raise it, or set `quotas` to the account's"
    )]
    Quota {
        /// Which limit.
        quota: QuotaKind,
        /// Its value.
        limit: usize,
        /// What would have passed it.
        subject: String,
        /// The cloud's code.
        code: String,
    },
    /// Wait until nobody uses it.
    #[error("`{subject}` is in use ({code}): stop what wears it or names it in a rule")]
    InUse {
        /// The group.
        subject: String,
        /// The cloud's code.
        code: String,
    },
    /// Decide whose it is.
    #[error("`{subject}` belongs to someone else: {advice}")]
    NotOurs {
        /// The group or interface.
        subject: String,
        /// What can be done about it.
        advice: String,
    },
    /// Give the role this permission.
    #[error("not allowed to call `{action}` ({code}): give the role this permission")]
    Unauthorized {
        /// The cloud's name of the call.
        action: String,
        /// The cloud's code.
        code: String,
    },
    /// Give the process credentials that the cloud accepts, and the right time.
    #[error(
        "the cloud does not accept the credentials: {message}: renew them, and check this machine's clock"
    )]
    Credentials {
        /// What is wrong with them.
        message: String,
    },
    /// A fault of ours: the step itself is wrong.
    #[error("the cloud refuses a call as invalid: {message}: please report this")]
    Invalid {
        /// What the cloud said.
        message: String,
    },
    /// Observe again: the call may have been taken or not.
    #[error("`{action}` got no clear answer: {message}: try again later")]
    Transient {
        /// The cloud's name of the call.
        action: String,
        /// The cloud's code, if it answered at all.
        code: Option<String>,
        /// The code and what the cloud said, or what happened on the way.
        message: String,
    },
}

fn in_brackets(code: Option<&str>) -> String {
    code.map_or_else(String::new, |code| format!(" ({code})"))
}

/// What a caller must do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remedy {
    /// Wait, then execute the same step again: it had no effect.
    Wait,
    /// Observe again, and plan anew unless the picture shows the step.
    Observe,
    /// Tell a person: the same step would fail again.
    Report,
}

impl ProviderError {
    /// `NotFound` of something that the process itself knows not to be there.
    #[must_use]
    pub fn not_found(subject: impl fmt::Display) -> Self {
        Self::NotFound { subject: subject.to_string(), code: None }
    }

    /// What the caller must do.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Throttled { .. } | Self::NotYetVisible { .. } => Remedy::Wait,
            Self::Duplicate { .. }
            | Self::NotFound { .. }
            | Self::Changed { .. }
            | Self::Transient { .. } => Remedy::Observe,
            Self::Quota { .. }
            | Self::InUse { .. }
            | Self::NotOurs { .. }
            | Self::Unauthorized { .. }
            | Self::Credentials { .. }
            | Self::Invalid { .. } => Remedy::Report,
        }
    }
}

/// The limits that a call can run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QuotaKind {
    /// [`Quotas::rules_per_group`](crate::settings::Quotas::rules_per_group).
    RulesPerGroup,
    /// [`Quotas::groups_per_interface`](crate::settings::Quotas::groups_per_interface).
    GroupsPerInterface,
    /// [`Quotas::groups`](crate::settings::Quotas::groups).
    Groups,
    /// [`Quotas::entries_per_acl`](crate::settings::Quotas::entries_per_acl).
    EntriesPerAcl,
}

impl QuotaKind {
    /// Every kind.
    pub const ALL: [Self; 4] =
        [Self::RulesPerGroup, Self::GroupsPerInterface, Self::Groups, Self::EntriesPerAcl];
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RulesPerGroup => "rules per group",
            Self::GroupsPerInterface => "groups per interface",
            Self::Groups => "groups",
            Self::EntriesPerAcl => "entries per network ACL",
        })
    }
}
