//! Random small clusters with every construct that a policy can hold, from a seed.
//!
//! Values come from small pools, so that rules overlap, contradict and complete each other.

mod edits;
mod events;
mod inventory;
mod policies;
mod services;
mod subnets;

use std::num::NonZeroUsize;

use moat_core::inventory::Inventory;
use moat_core::net::Prefix;
use moat_core::policy::Policy;
use moat_core::settings::{ClientPorts, IcmpMode, NodeTraffic, OnQuota, Quotas, Settings};

use crate::build::prefix;
use crate::random::Random;

pub use edits::edit;
pub use events::{events, follow};
pub use subnets::hand_over;

/// All that a compile looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The policies.
    pub policies: Vec<Policy>,
    /// Pods, nodes and interfaces.
    pub inventory: Inventory,
    /// What the operator decided.
    pub settings: Settings,
}

/// Which quotas the clusters of a run live under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaChoice {
    /// Now and then those of an account, now and then tight ones, mostly none; now and then a budget for each namespace.
    Any,
    /// 5 rules for a group, 3 groups for an interface, 20 groups: the ladder of DESIGN §6.6 is walked to its end.
    Tight,
    /// None.
    Unlimited,
}

/// 5 rules, 3 groups on an interface, 20 groups.
pub const TIGHT: Quotas =
    Quotas { rules_per_group: 5, groups_per_interface: 3, groups: 20, entries_per_acl: 6 };

/// Where pods live.
pub(crate) const POD_SUBNETS: [&str; 4] =
    ["10.0.1.0/24", "10.0.2.0/24", "2001:db8:0:1::/64", "2001:db8:0:2::/64"];
/// Where nodes live.
pub(crate) const NODE_SUBNETS: [&str; 2] = ["10.0.9.0/24", "2001:db8:0:9::/64"];

/// The cluster of a seed.
#[must_use]
pub fn cluster(seed: u64, quotas: QuotaChoice) -> Cluster {
    let mut random = Random::new(seed);
    let mut inventory = inventory::inventory(&mut random);
    let policies = policies::policies(&mut random, &inventory);
    let mut settings = settings(&mut random, quotas);
    if random.chance(5) {
        inventory::dispute(&mut random, &mut inventory);
    }
    // Last, so that the rest of a seed's cluster is the same with a budget and without.
    if quotas == QuotaChoice::Any && random.chance(30) {
        settings.groups_per_namespace = NonZeroUsize::new(random.between(1, 2));
    }
    Cluster { policies, inventory, settings }
}

/// The cluster of a seed, in a VPC whose network ACLs are handed over for some of the pod subnets.
#[must_use]
pub fn guarded_cluster(seed: u64, quotas: QuotaChoice) -> Cluster {
    let mut cluster = cluster(seed, quotas);
    subnets::guard(&mut Random::new(!seed), &mut cluster);
    cluster
}

/// A cluster edited, and what is handed over of its subnets.
#[must_use]
pub fn edit_guarded(random: &mut Random, cluster: &Cluster) -> Cluster {
    let mut edited = edit(random, cluster);
    if random.chance(60) {
        subnets::edit(random, &mut edited);
    }
    edited
}

fn settings(random: &mut Random, quotas: QuotaChoice) -> Settings {
    let any = [(60, Quotas::UNLIMITED), (20, Quotas::default()), (20, TIGHT)];
    let icmp =
        random.weighted(&[(3, IcmpMode::Strict), (4, IcmpMode::Essential), (3, IcmpMode::Open)]);
    let node_traffic =
        random.weighted(&[(4, NodeTraffic::Probes), (3, NodeTraffic::All), (3, NodeTraffic::None)]);
    Settings {
        icmp,
        node_traffic,
        on_quota: random.weighted(&[(1, OnQuota::Hold), (1, OnQuota::Narrow)]),
        pod_subnets: pod_subnets(random),
        nodes: if random.chance(15) { vec![prefix("10.0.9.128/28")] } else { Vec::new() },
        keep_groups: if random.chance(5) { vec![inventory::narrow_group()] } else { Vec::new() },
        groups_per_namespace: None,
        quotas: match quotas {
            QuotaChoice::Any => random.weighted(&any),
            QuotaChoice::Tight => TIGHT,
            QuotaChoice::Unlimited => Quotas::UNLIMITED,
        },
        // The two have nothing to do with each other.
        quarantine: node_traffic == NodeTraffic::None,
        client_ports: ClientPorts::default(),
    }
}

fn pod_subnets(random: &mut Random) -> Vec<Prefix> {
    let all = POD_SUBNETS.map(prefix);
    match random.below(10) {
        0..5 => all.to_vec(),
        5..8 => Vec::new(),
        _ => random.some(&all, 50),
    }
}
