//! What an operator decides for the whole cluster.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::firewall::ForeignGroupId;
use crate::net::{Interval, Prefix};
use crate::provider::QuotaKind;

/// The settings that change what policies mean or how the cloud may be used (DESIGN §5, §6, §10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What isolated pods let through of ICMP besides what policies say.
    pub icmp: IcmpMode,
    /// What of their nodes' traffic reaches isolated pods.
    pub node_traffic: NodeTraffic,
    /// What to do when an exact translation does not fit the quotas.
    pub on_quota: OnQuota,
    /// Subnets that hold pods and nothing else: taking them out of a wide rule costs no other address.
    pub pod_subnets: Vec<Prefix>,
    /// Addresses of nodes, besides those of the Node objects.
    pub nodes: Vec<Prefix>,
    /// The ports from which clients ask, over tcp and udp: those that replies go to. A network ACL sees replies, too, so it closes
    /// none of these ports towards anyone who may ask.
    pub client_ports: ClientPorts,
    /// Groups of others that stay on isolated pods whatever they allow.
    pub keep_groups: Vec<ForeignGroupId>,
    /// The cloud's limits.
    pub quotas: Quotas,
    /// The groups that the pods of one namespace may wear between them, so that others find some left; none: as many as there are.
    pub groups_per_namespace: Option<NonZeroUsize>,
    /// Keep a group without rules ([`crate::firewall::GroupNumber::CLOSED`]) for new interfaces to start with, though nobody wears
    /// it.
    pub quarantine: bool,
}

impl Settings {
    /// The limits for the groups of classes: those that stay whoever wears them are taken off.
    #[must_use]
    pub fn quotas_of_classes(&self) -> Quotas {
        let groups = self.quotas.groups.saturating_sub(usize::from(self.quarantine));
        Quotas { groups, ..self.quotas }
    }
}

/// What isolated pods let through of ICMP besides what policies say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IcmpMode {
    /// Nothing.
    Strict,
    /// ICMPv4 3/4 and ICMPv6 2/0 from every address, for each pod that has an accepted tcp or udp flow, where
    /// isolation, or a Deny without protocols, would close them: path MTU discovery works.
    #[default]
    Essential,
    /// Every ICMP type that no rule decides, at both ends.
    Open,
}

/// The ports from which clients ask, over tcp and udp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientPorts(pub Interval<u16>);

impl Default for ClientPorts {
    /// Every port: nothing is assumed of clients. Those of the Amazon VPC user guide ("Ephemeral ports") ask from 1024 to 65535.
    fn default() -> Self {
        Self(Interval::FULL)
    }
}

/// What of their nodes' traffic reaches isolated pods. Beats isolation, never an explicit Deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeTraffic {
    /// The probe ports of each pod, from every node: a security group cannot name one node.
    #[default]
    Probes,
    /// Everything from every node.
    All,
    /// Nothing.
    None,
}

/// What to do when an exact translation does not fit the quotas (DESIGN §6.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnQuota {
    /// A class programmed before keeps its last state whole.
    #[default]
    Hold,
    /// Close what does not fit at once.
    Narrow,
}

/// The cloud's limits. A reference to a group counts in both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quotas {
    /// Rules of one group for each direction and family.
    pub rules_per_group: usize,
    /// Groups that one interface can wear.
    pub groups_per_interface: usize,
    /// Groups of the VPC's region that are free for this cluster.
    pub groups: usize,
    /// Entries of one network ACL for each direction and family, the final deny among them.
    pub entries_per_acl: usize,
}

impl Default for Quotas {
    /// The defaults of an AWS account (Amazon VPC quotas): 60 rules, 5 groups on an interface, 2,500 groups, 20 entries.
    fn default() -> Self {
        Self { rules_per_group: 60, groups_per_interface: 5, groups: 2_500, entries_per_acl: 20 }
    }
}

impl Quotas {
    /// The most entries that EC2 ever allows for one direction and family of a network ACL (Amazon VPC quotas).
    pub const ENTRIES_PER_ACL: usize = 40;

    /// No limits but those that nobody can raise: for measuring the compiler alone.
    pub const UNLIMITED: Self = Self {
        rules_per_group: usize::MAX,
        groups_per_interface: usize::MAX,
        groups: usize::MAX,
        entries_per_acl: Self::ENTRIES_PER_ACL,
    };

    /// The product of rules for a group and groups for an interface never passes this (Amazon VPC quotas).
    pub const RULES_PER_INTERFACE: usize = 1_000;

    /// These limits with as many groups for an interface as the product allows, at least one: raising the rules lowers them.
    #[must_use]
    pub fn within_the_product(self) -> Self {
        let most = Self::RULES_PER_INTERFACE / self.rules_per_group.max(1);
        Self { groups_per_interface: self.groups_per_interface.min(most.max(1)), ..self }
    }

    /// The limit of a kind.
    #[must_use]
    pub const fn of(&self, kind: QuotaKind) -> usize {
        match kind {
            QuotaKind::RulesPerGroup => self.rules_per_group,
            QuotaKind::GroupsPerInterface => self.groups_per_interface,
            QuotaKind::Groups => self.groups,
            QuotaKind::EntriesPerAcl => self.entries_per_acl,
        }
    }

    /// The limit of a kind, to be changed.
    pub const fn of_mut(&mut self, kind: QuotaKind) -> &mut usize {
        match kind {
            QuotaKind::RulesPerGroup => &mut self.rules_per_group,
            QuotaKind::GroupsPerInterface => &mut self.groups_per_interface,
            QuotaKind::Groups => &mut self.groups,
            QuotaKind::EntriesPerAcl => &mut self.entries_per_acl,
        }
    }
}
