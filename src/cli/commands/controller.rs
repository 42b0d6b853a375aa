//! `moat controller`: what it is to follow, and in which cloud; the rest is the program's.

use crate::args::{self, Provider};
use crate::cloud::{self, Target};
use crate::failure::Failure;
use crate::session::configuration;
use crate::{Exit, Io, embedded};
use moat_k8s::configuration::Configuration;
use moat_sim::Sim;

/// What a controller is started with.
pub struct Start {
    /// What the operator decided; the cluster's name is the one that counts.
    pub configuration: Configuration,
    /// The context of the kubeconfig, if one is named.
    pub context: Option<String>,
    /// Where the groups are.
    pub cloud: Kept,
}

/// The cloud that a controller keeps.
pub enum Kept {
    /// A VPC in memory.
    Embedded(Box<Sim>),
    /// A VPC of an account.
    Account(Target),
}

/// Follows a cluster until the process is told to stop; or says why not, and what to do.
pub type Follow<'a> = dyn Fn(Start) -> Result<(), String> + 'a;

/// Follows nothing: this program is built without the controller.
///
/// # Errors
/// Always.
pub fn unfollowable(_: Start) -> Result<(), String> {
    Err("this program is built without the controller: build it with its default features"
        .to_owned())
}

pub(crate) fn run(command: &args::Controller, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let args::Controller { cloud: named, context } = command;
    let mut configuration = configuration(named.config.as_deref(), io)?;
    if let Some(cluster) = &named.cluster {
        configuration.cluster = cluster.clone();
    }
    let cluster = configuration.cluster.to_string();
    let cloud = match named.provider {
        Provider::Sim => {
            let sim = embedded::open(&configuration, &cluster, named.state.as_deref())?;
            Kept::Embedded(Box::new(sim))
        }
        Provider::Aws => Kept::Account(cloud::target(&configuration, &cluster, named)?),
    };
    let start = Start { configuration, context: context.clone(), cloud };
    (io.follow)(start).map_err(Failure::NotApplied)?;
    Ok(Exit::Clean)
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("context", &self.context).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(_) => f.write_str("Embedded"),
            Self::Account(target) => f.debug_tuple("Account").field(target).finish(),
        }
    }
}
