//! What somebody finds who looks into a cluster once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use moat_core::policy::{Kind, ObjectRef};

use crate::Read;
use crate::crd::{EnforcementStatus, MoatInstallation};

/// Which cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The kubeconfig; else those that the environment's KUBECONFIG names, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context; else the current one.
    pub context: Option<String>,
}

/// The objects of a cluster that policies are about.
#[derive(Debug, Default)]
pub struct There {
    /// The objects.
    pub objects: Vec<Read>,
    /// The kinds of policies that the cluster does not serve.
    pub absent: BTreeSet<Kind>,
}

/// What Moat tells in a cluster of its policies and of itself, with the objects that it is about.
#[derive(Debug, Default)]
pub struct Published {
    /// Pods, their namespaces, and policies.
    pub there: There,
    /// What is said of each policy.
    pub statuses: BTreeMap<ObjectRef, Said>,
    /// The installations, by name.
    pub installations: Vec<Installation>,
    /// What could not be read: why, and what to do.
    pub unread: Vec<String>,
}

/// What is said of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The unique id of the policy.
    pub of: String,
    /// What becomes of it.
    pub status: EnforcementStatus,
}

/// An installation.
#[derive(Clone, Debug)]
pub struct Installation {
    /// What it says of itself.
    pub object: MoatInstallation,
    /// Who leads it at the moment; why that is not known.
    pub leader: Result<Option<String>, String>,
}
