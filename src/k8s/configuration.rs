//! The one configuration file, read by the commands and by the controller alike (DESIGN §10).
//!
//! ```yaml
//! apiVersion: moat.dev/v1alpha1
//! kind: Configuration
//! cluster: production
//! podSubnets: [10.0.128.0/18]
//! icmp: Essential
//! ```
//!
//! Every field but the first two has a default. Anything unknown is an error: a setting that is silently not in force
//! is worse than a refusal.

mod acls;
mod admission;
mod aws;
mod operation;
mod values;

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_saphyr::{MessageFormatter, UserMessageFormatter};
use thiserror::Error;

use moat_core::finding::Finding;
use moat_core::firewall::ForeignGroupId;
use moat_core::inventory::Inventory;
use moat_core::net::Prefix;
use moat_core::placement;
use moat_core::policy::{Namespaces, Policy, Selector, Subject, Tier, Word};
use moat_core::provider::Scope;
use moat_core::settings::{IcmpMode, NodeTraffic, OnQuota, Quotas, Settings};

pub use acls::{ClientPortRange, NetworkAcl};
pub use admission::{Admission, WebhookName};
pub use aws::{AwsAccess, Region, RoleArn};
pub use operation::{Level, Logging, Loopback, Serve};
pub(crate) use values::cloud_id;
pub use values::{
    AddressBlock, ClusterName, GroupId, NamespaceSelector, Percentage, QuotaOverrides, VpcId,
};

/// What an operator decides for one installation: one cluster in one VPC.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// Always `moat.dev/v1alpha1`.
    api_version: ApiVersion,
    /// Always `Configuration`.
    kind: ConfigurationKind,
    /// The owner tag of every group; immutable. A DNS label; default `default`.
    #[serde(default)]
    pub cluster: ClusterName,
    /// The VPC, such as `vpc-0123456789abcdef0`; needed by providers that reach more than one.
    #[serde(default)]
    pub vpc: Option<VpcId>,
    /// How the account of AWS is reached. Default: as the environment says.
    #[serde(default)]
    pub aws: AwsAccess,
    /// Subnets that hold pods and nothing else: taking them out of a wide rule costs no other address. Default: none.
    #[serde(default)]
    pub pod_subnets: Vec<AddressBlock>,
    /// Addresses of nodes besides those of the Node objects. Default: none.
    #[serde(default)]
    pub nodes: Vec<AddressBlock>,
    /// The account's limits where they differ from what the provider tells, and a namespace's.
    #[serde(default)]
    pub quotas: QuotaOverrides,
    /// Network ACLs of Moat's, with the subnets that each is to guard; of several that name one subnet, the first. Default: none.
    #[serde(default)]
    pub network_acls: Vec<NetworkAcl>,
    /// The ports from which clients ask, over tcp and udp, such as `1024-65535`: network ACLs close none of them towards anyone who
    /// may ask, since they see replies, too. Default: every port.
    #[serde(default)]
    pub client_ports: ClientPortRange,
    /// What isolated pods let through of ICMP besides what policies say. Default `Essential`.
    #[serde(default)]
    pub icmp: IcmpMode,
    /// What of their nodes' traffic reaches isolated pods. Default `Probes`.
    #[serde(default)]
    pub node_traffic: NodeTraffic,
    /// What to do when an exact translation does not fit the quotas. Default `Hold`.
    #[serde(default)]
    pub on_quota: OnQuota,
    /// Groups of others that stay on isolated pods whatever they allow. Default: none.
    #[serde(default)]
    pub keep_groups: Vec<GroupId>,
    /// Whether new pods start with a closed group until theirs is read back. Default `false`; needs `defaultGroups`.
    #[serde(default)]
    pub quarantine: bool,
    /// The groups that a pod returns to from quarantine.
    #[serde(default)]
    pub default_groups: Vec<GroupId>,
    /// Whether plans are carried out. Default `Enforce`.
    #[serde(default)]
    pub mode: Mode,
    /// The namespaces that policies are in force for, to roll out one by one. Default: all.
    #[serde(default)]
    pub namespace_selector: NamespaceSelector,
    /// The share of the groups that one plan of the controller may change before it waits for a word. Default `20%`.
    #[serde(default)]
    pub max_change: Percentage,
    /// Where the controller answers probes and metrics. Default: nowhere.
    #[serde(default)]
    pub serve: Serve,
    /// What the controller logs. Default: `info` and what is worse.
    #[serde(default)]
    pub log: Logging,
    /// The webhook that warns who applies a policy. Default: none.
    #[serde(default)]
    pub admission: Admission,
}

/// Whether plans are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Plan and report; change nothing.
    Observe,
    /// Plan, carry out and report.
    #[default]
    Enforce,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ConfigurationError {
    /// What is wrong, and what to do.
    pub message: String,
    /// Line and column, from 1, where they are known.
    pub place: Option<(usize, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum ApiVersion {
    #[serde(rename = "moat.dev/v1alpha1")]
    V1Alpha1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum ConfigurationKind {
    Configuration,
}

// ----------------------------------------------------------------------------------------- Configuration

impl Default for Configuration {
    fn default() -> Self {
        Self {
            api_version: ApiVersion::V1Alpha1,
            kind: ConfigurationKind::Configuration,
            cluster: ClusterName::default(),
            vpc: None,
            aws: AwsAccess::default(),
            pod_subnets: Vec::new(),
            nodes: Vec::new(),
            quotas: QuotaOverrides::default(),
            network_acls: Vec::new(),
            client_ports: ClientPortRange::default(),
            icmp: IcmpMode::default(),
            node_traffic: NodeTraffic::default(),
            on_quota: OnQuota::default(),
            keep_groups: Vec::new(),
            quarantine: false,
            default_groups: Vec::new(),
            mode: Mode::default(),
            namespace_selector: NamespaceSelector::default(),
            max_change: Percentage::default(),
            serve: Serve::default(),
            log: Logging::default(),
            admission: Admission::default(),
        }
    }
}

impl FromStr for Configuration {
    type Err = ConfigurationError;

    /// Reads one YAML or JSON document.
    fn from_str(text: &str) -> Result<Self, ConfigurationError> {
        // A number is no name, and `yes` is no boolean, as everywhere in Kubernetes.
        let options = serde_saphyr::options! { no_schema: true, strict_booleans: true };
        let configuration: Self = serde_saphyr::from_str_with_options(text, options)?;
        configuration.check().map_err(|message| ConfigurationError { message, place: None })?;
        Ok(configuration)
    }
}

impl Configuration {
    /// The part that changes what policies mean or how the cloud may be used, given the limits the provider tells.
    #[must_use]
    pub fn settings(&self, provider: Quotas) -> Settings {
        Settings {
            icmp: self.icmp,
            node_traffic: self.node_traffic,
            on_quota: self.on_quota,
            pod_subnets: self.pod_subnets(),
            nodes: self.nodes.iter().map(|block| block.0).collect(),
            keep_groups: self.keep_groups.iter().map(GroupId::to_foreign).collect(),
            quotas: self.quotas.over(provider),
            quarantine: self.quarantine,
            groups_per_namespace: self.quotas.groups_per_namespace,
            client_ports: self.client_ports.0,
        }
    }

    /// `defaultGroups` as the core names them.
    #[must_use]
    pub fn default_groups(&self) -> BTreeSet<ForeignGroupId> {
        self.default_groups.iter().map(GroupId::to_foreign).collect()
    }

    /// What a picture is to show of an inventory: its pods' interfaces, `defaultGroups`, and the subnets of `networkAcls`.
    #[must_use]
    pub fn scope(&self, inventory: &Inventory) -> Scope {
        let acls = self.network_acls.iter().map(|acl| acl.resolve(&inventory.eni_configs));
        placement::scope(inventory, self.default_groups(), acls.collect())
    }

    /// Whether `networkAcls` names subnets by ENIConfigs.
    #[must_use]
    pub fn names_eni_configs(&self) -> bool {
        self.network_acls.iter().any(|acl| acl.eni_configs().next().is_some())
    }

    /// Says of an inventory that is [placed](placement::place) what of `networkAcls` no network ACL of Moat's guards, and why; and where
    /// others' drop what policies may let pass.
    #[must_use]
    pub fn of_subnets(&self, inventory: &Inventory) -> Vec<Finding> {
        let named = self.network_acls.iter().flat_map(NetworkAcl::eni_configs);
        let unknown = named.filter(|name| !inventory.eni_configs.contains_key(*name)).map(|name| {
            placement::left_alone(format!(
                "no ENIConfig `{name}` that names a subnet is to be seen: apply it, or correct `networkAcls`"
            ))
        });
        let unguarded = placement::unguarded(inventory, &self.scope(inventory).acls);
        unknown.chain(unguarded).chain(placement::dropping(inventory)).collect()
    }

    /// `podSubnets` as blocks.
    #[must_use]
    pub fn pod_subnets(&self) -> Vec<Prefix> {
        self.pod_subnets.iter().map(|block| block.0).collect()
    }

    /// The policies as far as `namespaceSelector` lets them be in force: those of other namespaces are left out, and
    /// cluster-wide ones keep only the subjects within.
    #[must_use]
    pub fn in_force(&self, policies: Vec<Policy>, inventory: &Inventory) -> Vec<Policy> {
        let selector = &self.namespace_selector.0;
        if selector.is_everything() {
            return policies;
        }
        let selected = |name: &Word| selector.matches(&inventory.namespace_labels(name));
        policies.into_iter().filter_map(|policy| policy.limited_to(selector, selected)).collect()
    }

    /// The namespaces that `namespaceSelector` leaves out.
    #[must_use]
    pub fn left_out<'a>(&self, inventory: &'a Inventory) -> BTreeSet<&'a Word> {
        let selector = &self.namespace_selector.0;
        let namespaces = inventory.namespaces.iter();
        namespaces.filter(|(_, labels)| !selector.matches(labels)).map(|(name, _)| name).collect()
    }

    /// The first field that holds something else and that only a restart puts into force; none if all others do.
    #[must_use]
    pub fn fixed_otherwise(&self, next: &Self) -> Option<&'static str> {
        let fixed = [
            ("cluster", self.cluster == next.cluster),
            ("vpc", self.vpc == next.vpc),
            ("aws", self.aws == next.aws),
            ("serve", self.serve == next.serve),
            ("log", self.log == next.log),
            ("admission", self.admission == next.admission),
        ];
        fixed.into_iter().find(|(_, is_same)| !is_same).map(|(field, _)| field)
    }

    fn check(&self) -> Result<(), String> {
        if self.quarantine && self.default_groups.is_empty() {
            return Err("`quarantine` needs `defaultGroups`: the groups that pods return to".into());
        }
        NetworkAcl::check(&self.network_acls)?;
        self.quotas.check()
    }
}

/// What rolling out by namespace does to one policy.
trait LimitedTo: Sized {
    /// This policy for the namespaces of `selector` alone; none if nothing of it is left. `selected` decides by name.
    fn limited_to(self, selector: &Selector, selected: impl Fn(&Word) -> bool) -> Option<Self>;
}

impl LimitedTo for Policy {
    fn limited_to(mut self, selector: &Selector, selected: impl Fn(&Word) -> bool) -> Option<Self> {
        match self.tier {
            Tier::NetworkPolicy if !self.object.namespace.as_ref().is_some_and(&selected) => {
                return None;
            }
            Tier::NetworkPolicy | Tier::Admin { .. } | Tier::Baseline { .. } => {}
        }
        if let Subject::Pods(pods) = &mut self.subject {
            match &mut pods.namespaces {
                Namespaces::Named(name) if !selected(name) => return None,
                Namespaces::Named(_) => {}
                Namespaces::Matching(own) => {
                    *own = own.requirements().chain(selector.requirements()).cloned().collect();
                }
            }
        }
        Some(self)
    }
}

impl From<serde_saphyr::Error> for ConfigurationError {
    fn from(error: serde_saphyr::Error) -> Self {
        let place = error.location().and_then(|location| {
            Some((location.line().try_into().ok()?, location.column().try_into().ok()?))
        });
        let message = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
        let message = message
            .replace("invalid u64", "not a whole number from 0 up")
            .replace("a nonzero usize", "a whole number from 1 up")
            .replace("value requires quoting", "a string belongs here, in quotes")
            .replace("expected sequence start", "a list belongs here")
            .replace("expected mapping start", "an object belongs here");
        Self { message, place: place.filter(|(line, _)| *line > 0) }
    }
}

#[cfg(test)]
mod tests;
