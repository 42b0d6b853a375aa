//! The VPC in memory, and the file that keeps it between commands.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use moat_core::firewall::AclName;
use moat_core::inventory::SubnetId;
use moat_core::net::{AddressSet, Family, Prefix};
use moat_core::policy::Word;
use moat_core::provider::HandedOver;
use moat_k8s::configuration::Configuration;
use moat_sim::{Config, Sim, SubnetConfig};

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

/// Gives the VPC the subnets that network ACLs are to guard, if any are: one for each IPv4 block of the pods' with the IPv6 block at its
/// place. They bear the ids that the configuration names, as far as those reach, and all others the tags that it names.
pub(crate) fn put_subnets(sim: &mut Sim, acls: &BTreeMap<AclName, HandedOver>) {
    if acls.is_empty() {
        return;
    }
    let blocks = &sim.config().pod_subnets;
    let [v4, v6] = Family::BOTH.map(|family| {
        let blocks = blocks.iter().copied().filter(move |block| block.family() == family);
        blocks.collect::<Vec<Prefix>>()
    });
    let names = acls.values().flat_map(|it| it.ids.iter().cloned());
    let generated = (1..).map(|number| SubnetId(format!("subnet-{number}").into()));
    let tags: BTreeMap<Word, Word> = acls
        .values()
        .flat_map(|it| &it.tags)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let subnets = names.chain(generated).zip(0..v4.len().max(v6.len())).map(|(id, place)| {
        let blocks = [v4.get(place), v6.get(place)].into_iter().flatten().copied().collect();
        (id, SubnetConfig { blocks, tags: tags.clone() })
    });
    let subnets = subnets.collect();
    sim.configure(Config { subnets, ..sim.config().clone() });
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
