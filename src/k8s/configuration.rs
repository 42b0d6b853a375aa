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

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{MessageFormatter, UserMessageFormatter};
use thiserror::Error;

use moat_core::firewall::ForeignGroupId;
use moat_core::inventory::Inventory;
use moat_core::net::Prefix;
use moat_core::policy::{Namespaces, Policy, Selector, Subject, Tier, Word};
use moat_core::settings::{IcmpMode, NodeTraffic, OnQuota, Quotas, Settings};

use crate::reader::{Node, Reader};

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
    /// Subnets that hold pods and nothing else: taking them out of a wide rule costs no other address. Default: none.
    #[serde(default)]
    pub pod_subnets: Vec<AddressBlock>,
    /// Addresses of nodes besides those of the Node objects. Default: none.
    #[serde(default)]
    pub nodes: Vec<AddressBlock>,
    /// The account's limits where they differ from what the provider tells.
    #[serde(default)]
    pub quotas: QuotaOverrides,
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
}

/// Whether plans are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Mode {
    /// Plan and report; change nothing.
    Observe,
    /// Plan, carry out and report.
    #[default]
    Enforce,
}

/// Limits that the configuration knows better than the provider. A missing one is the provider's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaOverrides {
    /// Rules of one group for each direction and family; at least 1.
    pub rules_per_group: Option<usize>,
    /// Groups that one interface can wear; at least 1. Times `rulesPerGroup` at most 1,000.
    pub groups_per_interface: Option<usize>,
    /// Groups of the region that are free for this cluster.
    pub groups: Option<usize>,
}

/// Namespaces by their labels, as everywhere in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct NamespaceSelector(pub Selector);

/// A cluster's name: a DNS label (RFC 1123), since it becomes part of the groups' names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ClusterName(Word);

/// The cloud's id of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct VpcId(Word);

/// The cloud's id of a security group of others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct GroupId(Word);

/// An address block without host bits: what is written is what holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressBlock(Prefix);

/// A whole number of hundredths, from 0 to 100, written like `20%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Percentage(u8);

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
            pod_subnets: Vec::new(),
            nodes: Vec::new(),
            quotas: QuotaOverrides::default(),
            icmp: IcmpMode::default(),
            node_traffic: NodeTraffic::default(),
            on_quota: OnQuota::default(),
            keep_groups: Vec::new(),
            quarantine: false,
            default_groups: Vec::new(),
            mode: Mode::default(),
            namespace_selector: NamespaceSelector::default(),
            max_change: Percentage::default(),
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
        }
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

    fn check(&self) -> Result<(), String> {
        if self.quarantine && self.default_groups.is_empty() {
            return Err("`quarantine` needs `defaultGroups`: the groups that pods return to".into());
        }
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

// -------------------------------------------------------------------------------------------- its values

impl QuotaOverrides {
    /// These limits, and the provider's where there is none.
    #[must_use]
    pub fn over(&self, provider: Quotas) -> Quotas {
        Quotas {
            rules_per_group: self.rules_per_group.unwrap_or(provider.rules_per_group),
            groups_per_interface: self
                .groups_per_interface
                .unwrap_or(provider.groups_per_interface),
            groups: self.groups.unwrap_or(provider.groups),
        }
    }

    /// Amazon VPC quotas: rules for a group times groups for an interface is at most 1,000.
    fn check(&self) -> Result<(), String> {
        let Quotas { rules_per_group: rules, groups_per_interface: groups, .. } =
            self.over(Quotas::default());
        let limit = Quotas::RULES_PER_INTERFACE;
        if rules == 0 || groups == 0 {
            return Err("`quotas`: `rulesPerGroup` and `groupsPerInterface` are at least 1".into());
        }
        if rules.saturating_mul(groups) > limit {
            return Err(format!(
                "`quotas`: {rules} rules for a group times {groups} groups for an interface is more than the {limit} \
                 that EC2 ever allows: lower `rulesPerGroup` or `groupsPerInterface`"
            ));
        }
        Ok(())
    }
}

impl ClusterName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ClusterName {
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ClusterName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = (1..=63).contains(&name.len())
            && name.chars().all(|c| label(c) || c == '-')
            && name.starts_with(label)
            && name.ends_with(label);
        if !fits {
            return Err(format!(
                "`{name}` is not a cluster name: use 1 to 63 lower-case letters, digits and inner hyphens"
            ));
        }
        Ok(Self(name.into()))
    }
}

impl FromStr for ClusterName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        name.to_owned().try_into()
    }
}

impl VpcId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VpcId {
    type Err = String;

    fn from_str(id: &str) -> Result<Self, String> {
        id.to_owned().try_into()
    }
}

impl TryFrom<String> for VpcId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        cloud_id(id, "vpc-", "a VPC").map(Self)
    }
}

impl GroupId {
    fn to_foreign(&self) -> ForeignGroupId {
        ForeignGroupId(self.0.clone())
    }
}

impl TryFrom<String> for GroupId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        cloud_id(id, "sg-", "a security group").map(Self)
    }
}

fn cloud_id(id: String, prefix: &str, what: &str) -> Result<Word, String> {
    let rest = id.strip_prefix(prefix).unwrap_or_default();
    if rest.is_empty() || !rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        return Err(format!("`{id}` is not the id of {what}, such as `{prefix}0123456789abcdef0`"));
    }
    Ok(id.into())
}

impl Percentage {
    /// How many of `total` it is, rounded up.
    #[must_use]
    pub fn of(self, total: usize) -> usize {
        total.saturating_mul(self.0.into()).div_ceil(100)
    }
}

impl Default for Percentage {
    fn default() -> Self {
        Self(20)
    }
}

impl TryFrom<String> for Percentage {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.strip_suffix('%').filter(digits);
        let number = number.and_then(|number| number.parse().ok());
        let number = number.filter(|number| *number <= 100);
        number.map(Self).ok_or_else(|| format!("`{text}` is not a share between `0%` and `100%`"))
    }
}

impl TryFrom<Value> for NamespaceSelector {
    type Error = String;

    /// As the selectors of policies are read, but refused whole.
    fn try_from(selector: Value) -> Result<Self, String> {
        let mut reader = Reader::new();
        let selector = reader.selector(&Node::root(&selector));
        match reader.findings.first() {
            None => Ok(Self(selector)),
            Some(finding) if finding.path.is_empty() => Err(finding.message.to_string()),
            Some(finding) => Err(format!("`{}`: {}", finding.path, finding.message)),
        }
    }
}

impl TryFrom<String> for AddressBlock {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let prefix: Prefix = text.parse().map_err(|error| format!("{error}"))?;
        let address = text.split('/').next().and_then(|address| address.parse().ok());
        if address != Some(prefix.first()) {
            return Err(format!("`{text}` has host bits set: write `{prefix}`"));
        }
        if address != address.map(|address: IpAddr| address.to_canonical()) {
            return Err(format!("`{text}` wraps IPv4 addresses: write those"));
        }
        Ok(Self(prefix))
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
            .replace("value requires quoting", "a string belongs here, in quotes")
            .replace("expected sequence start", "a list belongs here")
            .replace("expected mapping start", "an object belongs here");
        Self { message, place: place.filter(|(line, _)| *line > 0) }
    }
}

#[cfg(test)]
mod tests;
