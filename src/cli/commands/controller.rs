//! `moat controller`: what it is to follow, and in which cloud; the rest is the program's.

use std::path::Path;

use crate::args::{self, Provider};
use crate::cloud::{self, Target};
use crate::failure::Failure;
use crate::session::configuration;
use crate::sources;
use crate::{Exit, Io, embedded};
use moat_k8s::Access;
use moat_k8s::configuration::{ClusterName, Configuration};
use moat_sim::Sim;

/// What a controller is started with.
pub struct Start {
    /// What the operator decided; the cluster's name is the one that counts.
    pub configuration: Configuration,
    /// Reads it again, unless it came from standard input.
    pub reread: Option<Box<Reread>>,
    /// Which cluster.
    pub access: Access,
    /// Where the groups are.
    pub cloud: Kept,
}

/// Reads a configuration; or says what is wrong with it, and what to do.
pub type Reread = dyn FnMut() -> Result<Configuration, String> + Send;

/// The cloud that a controller keeps.
pub enum Kept {
    /// A VPC in memory.
    Embedded(Box<Sim>),
    /// A VPC of an account.
    Account(Target),
}

/// The VPC in memory as a controller left it, if it kept one and came to the end of what it did.
pub type Left = Option<Box<Sim>>;

/// Follows a cluster until the process is told to stop; or says why not, and what to do.
pub type Follow<'a> = dyn Fn(Start) -> Result<Left, String> + 'a;

/// Follows nothing: this program is built without the controller.
///
/// # Errors
/// Always.
pub fn unfollowable(_: Start) -> Result<Left, String> {
    Err("this program is built without the controller: build it with its default features"
        .to_owned())
}

pub(crate) fn run(command: &args::Controller, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let args::Controller { cloud: named, cluster: live } = command;
    let (config, called) = (named.config.clone(), named.cluster.clone());
    let configuration = read(config.as_deref(), called.as_ref(), io.stdin)?;
    let cluster = configuration.cluster.to_string();
    let cloud = match named.provider {
        Provider::Sim => {
            let sim = embedded::open(&configuration, &cluster, named.state.as_deref())?;
            Kept::Embedded(Box::new(sim))
        }
        Provider::Aws => Kept::Account(cloud::target(&configuration, &cluster, named)?),
    };
    // What comes from standard input comes once.
    let file = config.filter(|path| !sources::is_stdin(path));
    let reread = file.map(|path| -> Box<Reread> {
        Box::new(move || {
            let read = read(Some(&path), called.as_ref(), &mut std::io::empty());
            read.map_err(|failure| failure.to_string())
        })
    });
    let start = Start { configuration, reread, access: live.access(), cloud };
    let left = (io.follow)(start).map_err(Failure::NotApplied)?;
    if let (Some(sim), Some(path)) = (left, &named.state) {
        embedded::save(&sim, path)?;
    }
    Ok(Exit::Clean)
}

/// The configuration, with the name of the cluster that counts.
fn read(
    file: Option<&Path>,
    cluster: Option<&ClusterName>,
    stdin: &mut dyn std::io::Read,
) -> Result<Configuration, Failure> {
    let mut configuration = configuration(file, stdin)?;
    if let Some(cluster) = cluster {
        configuration.cluster = cluster.clone();
    }
    Ok(configuration)
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("access", &self.access).finish_non_exhaustive()
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
