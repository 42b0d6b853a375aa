//! What a round of the worker comes to: what it tells those who report.

use std::sync::Arc;

use moat_core::compile::Inputs;
use moat_core::finding::Finding;
use moat_core::plan::Plan;
use moat_k8s::Orders;

use crate::consent::HeldChange;
use crate::index::Policies;
use crate::reload::Decision;

/// What came of a round, for those who report it; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// What the operator decided.
    pub(crate) decision: Decision,
    /// The policies as they were seen.
    pub(crate) policies: Arc<Policies>,
    /// What was compiled: its findings are left to who reports them.
    pub(crate) inputs: Arc<Inputs>,
    /// What was not understood of other objects, and what someone else did in groups of ours.
    pub(crate) findings: Arc<[Finding]>,
    /// What the last picture lacks.
    pub(crate) remaining: Arc<Plan>,
    /// What is to be done about SecurityGroupPolicies.
    pub(crate) quarantine: Arc<Orders>,
    /// Why the rest is not done, if it is not.
    pub(crate) holdup: Option<Holdup>,
}

/// Why a plan is not carried out to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holdup {
    /// It is under way: the next round goes on.
    Pending,
    /// The configuration says `mode: Observe`.
    Observing,
    /// The MoatInstallation says to pause.
    Paused,
    /// It changes so many groups that it waits for a word.
    ChangeHeld(HeldChange),
    /// The cloud refused a step.
    Refused(String),
    /// The cloud was not read.
    Unread(String),
    /// What is known of the cluster may be old.
    Stale(String),
}
