//! Reasons: a closed set of words, each the reason of a condition and of an event, and the label of a metric (DESIGN §9).

use std::fmt;

use moat_core::finding;

/// Why a condition has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// Every field was understood.
    Accepted,
    /// The cloud was read back and holds it.
    Programmed,
    /// The cloud lets through what the policy says, and nothing else.
    Exact,
    /// What is written in the configuration is in force.
    Configured,
    /// What is written in the configuration cannot be in force: the last one stays.
    InvalidConfiguration,
    /// The cloud is being changed.
    Pending,
    /// The configuration says `mode: Observe`.
    Observing,
    /// An annotation of the MoatInstallation says to pause.
    Paused,
    /// A change of many groups waits for a word.
    ChangeHeld,
    /// The cloud refused a step.
    CloudRefused,
    /// The cloud was not read.
    CloudUnread,
    /// The configuration's `namespaceSelector` leaves the namespace out.
    NotSelected,
    /// What is known of the cluster may be old.
    StaleCache,
    /// A construct has a fate that somebody should know of.
    Found(finding::Reason),
}

impl Reason {
    /// What is desired does not fit the quotas.
    pub(crate) const SHORT: Self = Self::Found(finding::Reason::QuotaExceeded);

    /// The word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Programmed => "Programmed",
            Self::Exact => "Exact",
            Self::Configured => "Configured",
            Self::InvalidConfiguration => "InvalidConfiguration",
            Self::Pending => "Pending",
            Self::Observing => "Observing",
            Self::Paused => "Paused",
            Self::ChangeHeld => "ChangeHeld",
            Self::CloudRefused => "CloudRefused",
            Self::CloudUnread => "CloudUnread",
            Self::NotSelected => "NotSelected",
            Self::StaleCache => "StaleCache",
            Self::Found(reason) => reason.as_str(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
