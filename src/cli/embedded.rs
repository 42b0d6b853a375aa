//! The VPC in memory, and the file that keeps it between commands.

use std::fs;
use std::io;
use std::path::Path;

use moat_core::net::{AddressSet, Prefix};
use moat_k8s::configuration::Configuration;
use moat_sim::{Config, Sim};

use crate::failure::Failure;

/// The VPC that the configuration describes: from the state file if there is one, else a new one.
pub(crate) fn open(
    configuration: &Configuration,
    cluster: &str,
    state: Option<&Path>,
) -> Result<Sim, Failure> {
    let Some(path) = state else { return Ok(Sim::new(config(configuration, cluster))) };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Sim::new(config(configuration, cluster)));
        }
        Err(source) => return Err(Failure::Unreadable { path: path.to_owned(), source }),
    };
    let refused = |message: String| Failure::State { path: path.to_owned(), message };
    let mut sim = Sim::from_json(&text).map_err(|error| refused(error.to_string()))?;
    if sim.config().cluster != cluster {
        let message =
            format!("it belongs to the cluster `{}`, not `{cluster}`", sim.config().cluster);
        return Err(refused(message));
    }
    // The configuration settles limits and subnets, whatever they were when the file was written.
    sim.configure(config(configuration, cluster));
    Ok(sim)
}

/// Keeps the VPC. The file is replaced whole, or not at all.
pub(crate) fn save(sim: &Sim, path: &Path) -> Result<(), Failure> {
    let unwritable = |source| Failure::Unwritable { path: path.to_owned(), source };
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    fs::write(&name, sim.to_json()).map_err(unwritable)?;
    fs::rename(&name, path).map_err(unwritable)
}

/// The default VPC, changed where the configuration says otherwise.
fn config(configuration: &Configuration, cluster: &str) -> Config {
    let mut config = Config { cluster: cluster.to_owned(), ..Config::default() };
    config.quotas = configuration.quotas.over(config.quotas);
    let declared = configuration.pod_subnets();
    if !declared.is_empty() {
        let space: AddressSet = config.vpc.iter().copied().collect();
        let outside = |subnet: &&Prefix| !space.contains_all(&AddressSet::from(**subnet));
        config.vpc.extend(declared.iter().filter(outside).copied());
        config.pod_subnets = declared;
    }
    config
}
