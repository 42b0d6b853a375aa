//! Which subnets the configuration hands over to network ACLs of Moat's (DESIGN §7).

use std::collections::{BTreeMap, BTreeSet};

use moat_core::firewall::AclName;
use moat_core::inventory::SubnetId;
use moat_core::net::Interval;
use moat_core::policy::Word;
use moat_core::provider::HandedOver;
use moat_core::settings::ClientPorts;
use serde::Deserialize;

use super::values::{cloud_id, label};

/// A network ACL, and the subnets that it is to guard.
///
/// ```yaml
/// networkAcls:
/// - name: pods
///   subnets:
///     tags: {moat.dev/pods: "true"}
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkAcl {
    /// Its name: a DNS label.
    name: AclLabel,
    /// The subnets. They hold pods of this cluster and nothing else.
    subnets: SubnetSelector,
}

/// Subnets: those that any of its fields names. At least one does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SubnetSelector {
    /// Their ids.
    #[serde(default)]
    ids: BTreeSet<SubnetName>,
    /// Tags, all of which a subnet bears.
    #[serde(default)]
    tags: BTreeMap<Word, Word>,
    /// The names of ENIConfigs (`crd.k8s.amazonaws.com/v1alpha1`, custom networking of the VPC CNI): their `spec.subnet`.
    #[serde(default)]
    eni_configs: BTreeSet<Word>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct AclLabel(Word);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct SubnetName(SubnetId);

/// The ports from which clients ask, such as `1024-65535`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ClientPortRange(pub(super) ClientPorts);

impl NetworkAcl {
    /// The name, and the subnets that it names: an ENIConfig's is known from what those that are there say.
    pub(super) fn resolve(&self, eni_configs: &BTreeMap<Word, SubnetId>) -> (AclName, HandedOver) {
        let SubnetSelector { ids, tags, eni_configs: named } = &self.subnets;
        let named = named.iter().filter_map(|name| eni_configs.get(name));
        let ids = ids.iter().map(|id| &id.0).chain(named).cloned().collect();
        (AclName(self.name.0.clone()), HandedOver { ids, tags: tags.clone() })
    }

    /// The ENIConfigs that it names.
    pub(super) fn eni_configs(&self) -> impl Iterator<Item = &Word> {
        self.subnets.eni_configs.iter()
    }

    /// Whether all of them name subnets, each has its own name, and each subnet id one ACL.
    pub(super) fn check(all: &[Self]) -> Result<(), String> {
        let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for Self { name: AclLabel(name), subnets } in all {
            if *subnets == SubnetSelector::default() {
                return Err(format!(
                    "`networkAcls`: `{name}` names no subnet: give `ids`, `tags` or `eniConfigs` in `subnets`"
                ));
            }
            if !names.insert(name) {
                return Err(format!(
                    "`networkAcls`: two are called `{name}`: give each its own name"
                ));
            }
            if let Some(SubnetName(id)) = subnets.ids.iter().find(|id| !ids.insert(*id)) {
                return Err(format!("`networkAcls`: two name `{}`: one ACL guards a subnet", id.0));
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for AclLabel {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        label(&name, "the name of a network ACL").map(Self)
    }
}

impl TryFrom<String> for SubnetName {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        cloud_id(id, "subnet-", "a subnet").map(SubnetId).map(Self)
    }
}

impl TryFrom<String> for ClientPortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let ports: Option<Interval<u16>> = text.parse().ok();
        let ports =
            ports.ok_or_else(|| format!("`{text}` is no range of ports, such as `1024-65535`"));
        ports.map(|ports| Self(ClientPorts(ports)))
    }
}
