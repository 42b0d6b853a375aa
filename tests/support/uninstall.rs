//! P7: uninstalled, a VPC is as it would be if Moat had never been there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;

use moat_core::firewall::Rule;
use moat_core::inventory::{InterfaceId, SubnetId};
use moat_core::net::Prefix;
use moat_core::plan::Held;
use moat_core::settings::Quotas;
use moat_sim::{AclId, GroupId, NetworkAcl, NetworkInterface, Owner, Vpc};

use crate::driven::{Driven, FEW_RULES};
use crate::generate::{QuotaChoice, edit_guarded, guarded_cluster};
use crate::random::Random;

/// What was there and is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Uninstalls.
    pub runs: usize,
    /// Interfaces that kept groups of ours, as the plan said: no way back fits their quotas.
    pub held: usize,
    /// Network ACLs of ours, of each cluster and edit.
    pub acls: usize,
    /// What they denied.
    pub denied: usize,
    /// The subnets that they guarded.
    pub subnets: usize,
}

/// All that can be read of a VPC, but for the ids that each call gives anew.
#[derive(Debug, PartialEq, Eq)]
struct Found<'a> {
    subnets: BTreeMap<&'a SubnetId, (&'a [Prefix], &'a AclId)>,
    acls: BTreeMap<&'a AclId, &'a NetworkAcl>,
    groups: BTreeMap<&'a GroupId, (&'a str, &'a Option<Owner>, BTreeSet<&'a Rule>)>,
    interfaces: BTreeMap<&'a InterfaceId, &'a NetworkInterface>,
}

/// Brings up the cluster of a seed, edits it twice, and uninstalls; others do the same in another VPC, where Moat never is.
///
/// # Errors
///
/// What is not as it is there.
pub fn check(seed: u64) -> Result<Tally, String> {
    let mut random = Random::new(seed ^ 0x006f_7574);
    let mut cluster = guarded_cluster(seed, QuotaChoice::Any);
    if cluster.settings.quotas == Quotas::UNLIMITED {
        cluster.settings.quotas = FEW_RULES;
    }
    let mut driven = Driven::new(&cluster);
    let mut alone = driven.clone();
    let mut tally = Tally { runs: 1, ..Tally::default() };
    for round in 0..3 {
        if round > 0 {
            cluster = edit_guarded(&mut random, &cluster);
        }
        alone.place(&mut cluster.clone())?;
        driven.place(&mut cluster)?;
        driven.converge(&cluster)?;
        let guards = driven.guards();
        tally.acls += guards.ours.len();
        tally.denied += guards.ours.iter().map(|acl| acl.denied.len()).sum::<usize>();
        tally.subnets += guards.subnets.values().filter(|key| key.ours().is_some()).count();
    }
    let held = driven.uninstall(&cluster)?;
    tally.held = held.interfaces.len();
    let (now, before) = (found(driven.sim.vpc()), found(alone.sim.vpc()));
    if now.without(&held) == before.without(&held) {
        return Ok(tally);
    }
    let (now, before) = (found(driven.sim.vpc()), found(alone.sim.vpc()));
    Err(format!(
        "seed {seed}: {held:?} is held; {now:#?}\nis not as others made it:\n{before:#?}\n{cluster}"
    ))
}

impl Found<'_> {
    /// All but what a plan said it would hold, and the groups that are worn there.
    fn without(mut self, held: &Held) -> Self {
        self.interfaces.retain(|id, _| !held.interfaces.contains(*id));
        if !held.interfaces.is_empty() {
            self.groups.retain(|_, (_, owner, _)| owner.is_none());
        }
        self
    }
}

fn found(vpc: &Vpc) -> Found<'_> {
    let groups = vpc.groups().map(|(id, it)| {
        let rules = it.rules.keys().collect();
        (id, (it.name.as_str(), &it.owner, rules))
    });
    Found {
        subnets: vpc.subnets().map(|(id, it)| (id, (it.blocks.as_slice(), &it.acl))).collect(),
        acls: vpc.acls().collect(),
        groups: groups.collect(),
        interfaces: vpc.interfaces().collect(),
    }
}

// ------------------------------------------------------------------------------------------------ Tally

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.held += other.held;
        self.acls += other.acls;
        self.denied += other.denied;
        self.subnets += other.subnets;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, held, acls, denied, subnets } = self;
        write!(
            f,
            "{runs} uninstalls; {acls} network ACLs with {denied} denies had guarded subnets {subnets} times: all as others made it, but for {held} interfaces whose way back fits no quota"
        )
    }
}
