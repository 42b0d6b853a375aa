//! A cluster in the VPC in memory: what others do there, and what Moat does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use moat_core::compile::{Desired, compile};
use moat_core::drive::{drive, observe};
use moat_core::firewall::{Acl, AclKey, AclName, Entry, ForeignAclId};
use moat_core::inventory::{Attachment, InterfaceId, Inventory, Subnet, SubnetId};
use moat_core::net::Prefix;
use moat_core::plan::{Held, Plan, plan, uninstall};
use moat_core::policy::Direction;
use moat_core::provider::{HandedOver, Observed, Scope};
use moat_core::settings::Quotas;
use moat_sim::{AclId, Config, NetworkInterface, Sim, SubnetConfig, Vpc, base_group, block_on};

use crate::build::word;
use crate::generate::Cluster;

/// A VPC in memory with a cluster in it.
#[derive(Clone, Debug)]
pub struct Driven {
    /// The VPC.
    pub sim: Sim,
    /// The ids of network ACLs of others, by those that the cluster gives them.
    acls: BTreeMap<ForeignAclId, AclId>,
    /// What was compiled last, and of what.
    compiled: Option<Arc<(Cluster, Desired)>>,
}

/// Rounds until nothing is left to do, at most.
const ROUNDS: usize = 20;

/// No quotas but that of rules: one call carries a thousand at most, and few rules are soon planned.
pub const FEW_RULES: Quotas = Quotas { rules_per_group: 60, ..Quotas::UNLIMITED };

impl Driven {
    /// A VPC without anything of a cluster's, which has its blocks and quotas.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let sim = Sim::new(Config {
            vpc: cluster.inventory.vpc.clone(),
            quotas: cluster.settings.quotas,
            paced: false,
            ..Config::default()
        });
        Self { sim, acls: BTreeMap::new(), compiled: None }
    }

    /// Others bring about what a cluster's inventory tells: addresses and interfaces of pods, subnets and what lies in them, and
    /// the network ACLs that are not ours. A subnet that is there keeps the ACL that guards it.
    ///
    /// # Errors
    ///
    /// A pod has no place.
    pub fn place(&mut self, cluster: &mut Cluster) -> Result<(), String> {
        self.sim.place(&mut cluster.inventory).map_err(|error| error.to_string())?;
        let (ids, inventory) = (&mut self.acls, &cluster.inventory);
        self.sim.as_someone_else(|vpc| {
            for (id, acl) in &inventory.acls {
                if !ids.contains_key(id) {
                    let made = vpc.create_acl(None).map_err(|error| error.to_string())?;
                    ids.insert(id.clone(), made);
                }
                rewrite(vpc, &ids[id], acl)?;
            }
            for (id, subnet) in &inventory.subnets {
                put_subnet(vpc, id, subnet, &ids[&subnet.prior])?;
            }
            Ok(())
        })
    }

    /// Observes, plans and executes until nothing is left to do; begins anew when killed. Tells the last picture.
    ///
    /// # Errors
    ///
    /// There is no end to it.
    pub fn converge(&mut self, cluster: &Cluster) -> Result<Arc<Observed>, String> {
        let mut compiled = self.compiled.take();
        let outcome = self.rounds(&scope(&cluster.inventory), |observed| {
            let told = Cluster { inventory: told(&cluster.inventory, observed), ..cluster.clone() };
            let known = compiled.take().filter(|known| known.0 == told);
            let known = known.unwrap_or_else(|| {
                let desired = compile(&told.policies, &told.inventory, &told.settings);
                Arc::new((told, desired))
            });
            let (told, desired) = &*known;
            let way = plan(desired, observed, &told.inventory, &told.settings.quotas);
            compiled = Some(known);
            way
        });
        self.compiled = compiled;
        outcome.map_err(|why| format!("{why}\n{cluster}"))
    }

    /// Gives everything back. Tells what is held at last.
    ///
    /// # Errors
    ///
    /// There is no end to it.
    pub fn uninstall(&mut self, cluster: &Cluster) -> Result<Held, String> {
        let quotas = &cluster.settings.quotas;
        let mut held = Held::default();
        let outcome = self.rounds(&scope(&cluster.inventory), |observed| {
            let way = uninstall(observed, &told(&cluster.inventory, observed), quotas);
            held.clone_from(&way.held);
            way
        });
        outcome.map(|_| held).map_err(|why| format!("{why}\n{cluster}"))
    }

    fn rounds(
        &mut self,
        scope: &Scope,
        mut plan: impl FnMut(&Observed) -> Plan,
    ) -> Result<Arc<Observed>, String> {
        let mut last = String::new();
        for _ in 0..ROUNDS {
            if let Ok(observed) = block_on(observe(&mut self.sim, scope)) {
                let way = plan(&observed);
                if way.stages.is_empty() {
                    return Ok(observed);
                }
                let outcome = block_on(drive(&mut self.sim, &way, scope));
                let tried = outcome.attempts.iter();
                let tried = tried.map(|it| format!("{}: {:?}", it.step, it.answer));
                last = tried.collect::<Vec<_>>().join("\n");
            }
            if self.sim.is_dead() {
                self.sim.restart();
            }
        }
        Err(format!("{ROUNDS} rounds are not enough; in the last one:\n{last}"))
    }

    /// Knows what another one compiled already.
    pub fn share(&mut self, other: &Self) {
        self.compiled.clone_from(&other.compiled);
    }

    /// How many calls were made.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.sim.calls().values().sum()
    }

    /// What guards subnets, and what network ACLs say.
    #[must_use]
    pub fn guards(&self) -> Guards {
        let vpc = self.sim.vpc();
        let subnets = vpc.subnets().map(|(id, subnet)| {
            let owner = vpc.acl(&subnet.acl).and_then(|acl| acl.owner.as_ref());
            let ours = owner.map(|owner| AclKey::Ours(owner.name.clone()));
            (id.clone(), ours.unwrap_or_else(|| AclKey::Foreign(subnet.acl.clone())))
        });
        let (mut ours, mut others) = (Vec::new(), BTreeMap::new());
        for (id, acl) in vpc.acls() {
            match &acl.owner {
                None => drop(others.insert(id.clone(), acl.entries.clone())),
                Some(owner) => {
                    let denied = acl.entries.own().map(|(key, entry)| (key.direction, *entry));
                    let copied = acl.entries.copied().map(|(key, entry)| (key.direction, entry));
                    let (name, prior) = (owner.name.clone(), owner.prior.clone());
                    let (denied, copied) = (denied.collect(), copied.collect());
                    ours.push(Ours { name, prior, denied, copied });
                }
            }
        }
        ours.sort_by(|one, other| one.name.cmp(&other.name));
        Guards { subnets: subnets.collect(), ours, others }
    }
}

/// What guards subnets, and what network ACLs say, whatever ids and numbers ours bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guards {
    /// By subnet.
    pub subnets: BTreeMap<SubnetId, AclKey>,
    /// Those of ours.
    pub ours: Vec<Ours>,
    /// Those of others.
    pub others: BTreeMap<AclId, Acl>,
}

/// What a network ACL of ours says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// Its name.
    pub name: AclName,
    /// What its subnets get back.
    pub prior: AclId,
    /// What its own entries deny.
    pub denied: BTreeSet<(Direction, Entry)>,
    /// What it copies, in order.
    pub copied: Vec<(Direction, Entry)>,
}

/// What the controller would ask a picture for.
fn scope(inventory: &Inventory) -> Scope {
    let mut acls: BTreeMap<AclName, HandedOver> = BTreeMap::new();
    for (id, subnet) in &inventory.subnets {
        acls.entry(subnet.acl.clone()).or_default().ids.insert(id.clone());
    }
    let interfaces = inventory.interfaces.keys().cloned().collect();
    Scope { interfaces, acls, ..Scope::default() }
}

/// An inventory with what a picture tells of subnets.
fn told(inventory: &Inventory, observed: &Observed) -> Inventory {
    let acls = observed.state.acls.iter();
    let acls = acls.filter_map(|(key, acl)| Some((key.foreign()?.clone(), acl.clone())));
    let (subnets, acls) = (observed.subnets.clone(), acls.collect());
    Inventory { subnets, acls, ..inventory.clone() }
}

/// Lets an ACL of others say just this.
fn rewrite(vpc: &mut Vpc, id: &AclId, acl: &Acl) -> Result<(), String> {
    let there = vpc.acl(id).map(|acl| acl.entries.clone()).unwrap_or_default();
    if there == *acl {
        return Ok(());
    }
    let gone = there.0.keys().try_for_each(|key| vpc.delete_entry(id, *key));
    let put = gone.and_then(|()| {
        let mut entries = acl.0.iter();
        entries.try_for_each(|(key, entry)| vpc.create_entry(id, *key, *entry))
    });
    put.map_err(|error| error.to_string())
}

/// Makes a subnet that this ACL guards, if it is not there, and lets something lie in it that is no pod, or nothing.
fn put_subnet(vpc: &mut Vpc, id: &SubnetId, subnet: &Subnet, prior: &AclId) -> Result<(), String> {
    if vpc.subnet(id).is_none() {
        let (blocks, tags) = (subnet.blocks.clone(), BTreeMap::new());
        vpc.put_subnet(id.clone(), SubnetConfig { blocks, tags });
        let association = vpc.subnet(id).map(|subnet| subnet.association.clone());
        let association = association.ok_or("a subnet is gone")?;
        vpc.replace_association(&association, prior).map_err(|error| error.to_string())?;
    }
    let other = InterfaceId(word(format!("eni-other-{}", id.0)));
    vpc.remove_interface(&other);
    if let Some(block) = subnet.blocks.first().filter(|_| subnet.has_others) {
        let interface = NetworkInterface {
            attachment: Attachment::Fixed,
            description: String::new(),
            addresses: [Prefix::host(block.last())].into(),
            groups: [base_group()].into(),
            record: BTreeSet::new(),
        };
        vpc.put_interface(other, interface);
    }
    Ok(())
}
