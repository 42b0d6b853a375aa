//! How a VPC in memory is set up.

use std::collections::BTreeMap;
use std::time::Duration;

use moat_core::inventory::{Attachment, SubnetId};
use moat_core::net::{Address, Prefix};
use moat_core::settings::Quotas;
use serde::{Deserialize, Serialize};

use crate::SubnetConfig;

/// How a VPC in memory is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The owner's tag on everything that Moat makes.
    pub cluster: String,
    /// The address blocks of the VPC.
    pub vpc: Vec<Prefix>,
    /// The subnets of the pods. A pod without an address gets one of each family that occurs here.
    pub pod_subnets: Vec<Prefix>,
    /// The subnets of the nodes; families as for pods.
    pub node_subnets: Vec<Prefix>,
    /// Subnets that network ACLs guard; those above need none of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subnets: BTreeMap<SubnetId, SubnetConfig>,
    /// What carries a pod.
    pub attachment: Attachment,
    /// What carries the pods of some nodes (by the node's name), and some pods (by `namespace/name`), instead.
    pub attachments: BTreeMap<String, Attachment>,
    /// The limits of the account.
    pub quotas: Quotas,
    /// How long readers do not see a change.
    pub lag: Duration,
    /// Whether calls are paced by EC2's token buckets.
    pub paced: bool,
    /// How many things one page of an answer holds; at least 1.
    pub page: usize,
}

/// 2001:db8:1234:1a00::, the block of AWS's own examples.
const V6: u128 = 0x2001_0db8_1234_1a00 << 64;

impl Default for Config {
    /// A cluster `default` on 10.0.0.0/16 and 2001:db8:1234:1a00::/56; its pods have IPv4 addresses in 10.0.128.0/17 and own
    /// their interfaces; quotas, paces and pages are AWS's; changes show at once.
    fn default() -> Self {
        let v4 = |third: u8| u32::from_be_bytes([10, 0, third, 0]);
        Self {
            cluster: "default".to_owned(),
            vpc: vec![v4(0).prefix(16), V6.prefix(56)],
            pod_subnets: vec![v4(128).prefix(17)],
            node_subnets: vec![v4(0).prefix(20)],
            subnets: BTreeMap::new(),
            attachment: Attachment::Exclusive,
            attachments: BTreeMap::new(),
            quotas: Quotas::default(),
            lag: Duration::ZERO,
            paced: true,
            page: 1_000,
        }
    }
}

impl Config {
    /// As the default, but pods and nodes have IPv6 addresses too, in 2001:db8:1234:1a80::/64 and 2001:db8:1234:1a00::/64.
    #[must_use]
    pub fn dual_stack() -> Self {
        let mut config = Self::default();
        config.pod_subnets.push((V6 | 0x80 << 64).prefix(64));
        config.node_subnets.push(V6.prefix(64));
        config
    }
}
