//! The values of a configuration that are more than a text or a number: what cannot be meant cannot be written.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::str::FromStr;

use moat_core::firewall::ForeignGroupId;
use moat_core::net::Prefix;
use moat_core::policy::{Selector, Word};
use moat_core::provider::QuotaKind;
use moat_core::settings::Quotas;
use serde::Deserialize;
use serde_json::Value;

use crate::reader::{Node, Reader};

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
    /// Entries of one network ACL for each direction and family, the final deny among them; 1 to 40.
    pub entries_per_acl: Option<usize>,
    /// The groups that the pods of one namespace may wear between them; at least 1. No limit of the account's: a budget.
    pub groups_per_namespace: Option<NonZeroUsize>,
}

/// Namespaces by their labels, as everywhere in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct NamespaceSelector(pub Selector);

/// A cluster's name: a DNS label (RFC 1123), since it becomes part of the groups' names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ClusterName(pub(super) Word);

/// The cloud's id of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct VpcId(pub(super) Word);

/// The cloud's id of a security group of others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct GroupId(pub(super) Word);

/// An address block without host bits: what is written is what holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressBlock(pub(super) Prefix);

/// A whole number of hundredths, from 0 to 100, written like `20%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Percentage(pub(super) u8);

impl QuotaOverrides {
    /// These limits, and the provider's where there is none, with the groups of an interface that their product allows.
    #[must_use]
    pub fn over(&self, provider: Quotas) -> Quotas {
        self.written_over(provider).within_the_product()
    }

    /// The limit of a kind, if it is configured.
    #[must_use]
    pub const fn of(&self, kind: QuotaKind) -> Option<usize> {
        match kind {
            QuotaKind::RulesPerGroup => self.rules_per_group,
            QuotaKind::GroupsPerInterface => self.groups_per_interface,
            QuotaKind::Groups => self.groups,
            QuotaKind::EntriesPerAcl => self.entries_per_acl,
        }
    }

    fn written_over(&self, provider: Quotas) -> Quotas {
        Quotas {
            rules_per_group: self.rules_per_group.unwrap_or(provider.rules_per_group),
            groups_per_interface: self
                .groups_per_interface
                .unwrap_or(provider.groups_per_interface),
            groups: self.groups.unwrap_or(provider.groups),
            entries_per_acl: self.entries_per_acl.unwrap_or(provider.entries_per_acl),
        }
    }

    /// Amazon VPC quotas: rules for a group times groups for an interface is at most 1,000, entries of an ACL are 40.
    pub(super) fn check(&self) -> Result<(), String> {
        let quotas = self.written_over(Quotas::default());
        let Quotas { rules_per_group: rules, groups_per_interface: groups, .. } = quotas;
        if !(1..=Quotas::ENTRIES_PER_ACL).contains(&quotas.entries_per_acl) {
            return Err(format!(
                "`quotas`: `entriesPerAcl` is from 1 to {}: more entries EC2 never allows",
                Quotas::ENTRIES_PER_ACL
            ));
        }
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
        label(&name, "a cluster name").map(Self)
    }
}

/// A DNS label (RFC 1123).
pub(super) fn label(name: &str, what: &str) -> Result<Word, String> {
    let within = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=63).contains(&name.len())
        && name.chars().all(|c| within(c) || c == '-')
        && name.starts_with(within)
        && name.ends_with(within);
    if !fits {
        return Err(format!(
            "`{name}` is not {what}: use 1 to 63 lower-case letters, digits and inner hyphens"
        ));
    }
    Ok(name.into())
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
    pub(super) fn to_foreign(&self) -> ForeignGroupId {
        ForeignGroupId(self.0.clone())
    }
}

impl TryFrom<String> for GroupId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        cloud_id(id, "sg-", "a security group").map(Self)
    }
}

/// An id as EC2 gives them: a prefix, then lower-case letters and digits.
pub(crate) fn cloud_id(id: String, prefix: &str, what: &str) -> Result<Word, String> {
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

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
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
