//! A generated cluster in a VPC of LocalStack's, brought up as `moat apply` does.

use std::collections::BTreeMap;

use moat_core::compile::{Desired, compile};
use moat_core::drive::{Outcome, drive, observe};
use moat_core::firewall::{ForeignGroupId, GroupKey, Peer, Rule, State};
use moat_core::inventory::InterfaceId;
use moat_core::plan::{Plan, plan};
use moat_core::provider::{ProviderError, Scope};
use moat_core::settings::Quotas;
use moat_tests::contract::Fixture;
use moat_tests::generate::Cluster;
use moat_tests::reading;
use serde_json::{Value, json};

use crate::contract::Cloud;
use crate::localstack::ask;

/// A VPC, and what stands in it for the groups and interfaces of a generated cluster.
pub(crate) struct World {
    pub(crate) cloud: Cloud,
    groups: BTreeMap<ForeignGroupId, ForeignGroupId>,
    interfaces: BTreeMap<InterfaceId, InterfaceId>,
}

/// One round of `moat apply`: what was told to a cluster, desired, and planned.
pub(crate) struct Round {
    /// The cluster with the interfaces and the groups of others as the provider sees them.
    pub(crate) cluster: Cluster,
    pub(crate) desired: Desired,
    pub(crate) plan: Plan,
}

/// The most that an account can have: rules times groups of an interface are 1,000 ([`Quotas::RULES_PER_INTERFACE`]).
pub(crate) const LARGEST: Quotas =
    Quotas { rules_per_group: 200, groups_per_interface: 5, groups: 2_500, entries_per_acl: 20 };

impl World {
    pub(crate) fn new() -> Self {
        Self { cloud: Cloud::new(1_000), groups: BTreeMap::new(), interfaces: BTreeMap::new() }
    }

    /// Sets faults, and the limits of the account as a cluster assumes them.
    pub(crate) fn set(&self, quotas: &Quotas, rules: &Value) {
        let quotas = json!({
            // Moat does not count what others have, the default group among them.
            "groups": quotas.groups + self.groups.len() + 1,
            "rules_per_group": quotas.rules_per_group,
            "groups_per_interface": quotas.groups_per_interface,
        });
        let table = json!({"quotas": quotas, "rules": rules});
        ask("PUT", &format!("/_faults/{}", self.cloud.account), &table.to_string());
    }

    /// Makes the groups of others and the interfaces that a cluster has and the VPC has not, and gives the cluster with the
    /// names that they have there. Addresses stay those of the cluster: EC2 does not ask whose they are.
    pub(crate) async fn place(&mut self, cluster: &Cluster) -> Cluster {
        let mut placed = cluster.clone();
        if placed.settings.quotas == Quotas::UNLIMITED {
            placed.settings.quotas = LARGEST;
        }
        // A group that others refer to comes before them, by its name.
        for (name, rules) in &cluster.inventory.foreign {
            if !self.groups.contains_key(name) {
                let rules = rules.iter().map(|rule| self.translated(rule)).collect();
                let id = self.cloud.make_group(rules).await;
                self.groups.insert(name.clone(), id);
            }
        }
        for (name, interface) in &cluster.inventory.interfaces {
            if !self.interfaces.contains_key(name) {
                let worn = interface.prior.iter().map(|group| self.groups[group].clone()).collect();
                let id = self.cloud.make_interface(interface.attachment, worn).await;
                self.interfaces.insert(name.clone(), id);
            }
        }
        for pod in &mut placed.inventory.pods {
            pod.interface = pod.interface.as_ref().map(|name| self.interfaces[name].clone());
        }
        for group in &mut placed.settings.keep_groups {
            *group = self.groups[group].clone();
        }
        placed
    }

    /// What stands for an interface of a generated cluster.
    pub(crate) fn id(&self, name: &InterfaceId) -> &InterfaceId {
        &self.interfaces[name]
    }

    fn translated(&self, rule: &Rule) -> Rule {
        let peer = match &rule.peer {
            Peer::Group(GroupKey::Foreign(name)) => {
                Peer::Group(GroupKey::Foreign(self.groups[name].clone()))
            }
            Peer::Group(GroupKey::Ours(_)) | Peer::Prefix(_) => rule.peer.clone(),
        };
        Rule { peer, ..rule.clone() }
    }

    /// Observes, compiles and plans.
    pub(crate) async fn look(&mut self, placed: &Cluster) -> Result<Round, ProviderError> {
        let mut cluster = placed.clone();
        let observed = observe(&mut self.cloud.aws, &scope(placed)).await?;
        let others = observed.state.groups.iter().filter_map(|(key, rules)| match key {
            GroupKey::Foreign(id) => Some((id.clone(), rules.clone())),
            GroupKey::Ours(_) => None,
        });
        cluster.inventory.foreign = others.collect();
        cluster.inventory.interfaces.clone_from(&observed.interfaces);
        let Cluster { policies, inventory, settings } = &cluster;
        let desired = compile(policies, inventory, settings);
        let plan = plan(&desired, &observed, inventory, &settings.quotas);
        Ok(Round { cluster, desired, plan })
    }

    pub(crate) async fn drive<'plan>(
        &mut self,
        round: &'plan Round,
        placed: &Cluster,
    ) -> Outcome<'plan> {
        drive(&mut self.cloud.aws, &round.plan, &scope(placed)).await
    }

    /// Round after round, until there is nothing to do; gives that round.
    pub(crate) async fn converge(&mut self, placed: &Cluster) -> Round {
        let mut last = String::new();
        for _ in 0..20 {
            let round = self.look(placed).await.unwrap();
            if round.plan.stages.is_empty() {
                return round;
            }
            let outcome = self.drive(&round, placed).await;
            let failures: Vec<_> = outcome.failures().collect();
            assert!(failures.is_empty(), "{failures:?}\n{placed}");
            last = format!("{:?}: {:?}", outcome.ending, outcome.attempts);
        }
        panic!("twenty rounds are not enough: {last}\n{placed}");
    }

    /// What EC2 answers, read without a line of Moat's.
    pub(crate) fn read(&self) -> State {
        reading::state(&self.answer(), "test")
    }

    pub(crate) fn answer(&self) -> Value {
        reading::read(&self.cloud.account, &self.cloud.aws.config().vpc)
    }
}

fn scope(cluster: &Cluster) -> Scope {
    let pods = cluster.inventory.pods.iter();
    let interfaces = pods.filter_map(|pod| pod.interface.clone()).collect();
    Scope { interfaces, ..Scope::default() }
}
