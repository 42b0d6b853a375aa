//! Network ACLs and the subnets that they guard: what is read of them, and what a picture shows.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{NetworkAcl, NetworkInterface, Subnet};
use moat_core::firewall::{Acl, AclKey, AclName, ForeignAclId};
use moat_core::inventory::{self, SubnetId};
use moat_core::net::Prefix;
use moat_core::provider::{HandedOver, Observed, Scope};

use super::interfaces::{is_pods_alone, may_be_others};
use crate::errors::Failure;
use crate::{Aws, tags, wire};

/// The answers of EC2 about network ACLs that one picture is made of; empty where nobody asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acls {
    /// Those of the VPC, by id.
    pub(crate) all: BTreeMap<String, NetworkAcl>,
    /// The ids of ours.
    pub(crate) ours: BTreeMap<AclName, String>,
    /// The subnets that were handed over.
    claimed: BTreeMap<SubnetId, Claim>,
    /// The interfaces in them that may carry what is no pod.
    interfaces: Vec<NetworkInterface>,
    /// Whether they were read for this picture, and not for an earlier one.
    pub(crate) are_new: bool,
}

/// What was handed over of a subnet.
#[derive(Clone, Debug)]
struct Claim {
    /// The ACL that is to guard it.
    acl: AclName,
    blocks: Vec<Prefix>,
}

impl Aws {
    /// `known` are all interfaces of the VPC, if they were just read.
    pub(super) async fn ask_acls(
        &self,
        scope: &Scope,
        known: Option<&[NetworkInterface]>,
    ) -> Result<Acls, Failure> {
        let mut acls = Acls { are_new: true, ..Acls::default() };
        if !scope.acls.is_empty() {
            acls.claimed = claimed(&scope.acls, &self.read_subnets().await?);
        }
        let inside: BTreeSet<&str> = acls.claimed.keys().map(|id| &*id.0).collect();
        let read = match known {
            None if !inside.is_empty() => self.read_interfaces_in(&inside).await?,
            Some(_) | None => Vec::new(),
        };
        let there = known.unwrap_or(&read).iter().filter(|it| may_be_others(it));
        let there = there.filter(|it| it.subnet_id().is_some_and(|id| inside.contains(id)));
        acls.interfaces = there.cloned().collect();
        let all = self.read_acls().await?.into_iter();
        acls.all = all.filter_map(|acl| Some((acl.network_acl_id.clone()?, acl))).collect();
        acls.ours = name(&self.config.cluster, &acls.all);
        Ok(acls)
    }
}

/// The subnets that are handed over; one that several ACLs claim is the first one's.
fn claimed(acls: &BTreeMap<AclName, HandedOver>, subnets: &[Subnet]) -> BTreeMap<SubnetId, Claim> {
    let claim = |subnet: &Subnet| {
        let id = SubnetId(subnet.subnet_id()?.into());
        let (acl, _) = acls.iter().find(|(_, handed_over)| names(handed_over, &id, subnet))?;
        let v6 = subnet.ipv6_cidr_block_association_set().iter();
        let all = subnet.cidr_block().into_iter().chain(v6.filter_map(|it| it.ipv6_cidr_block()));
        let blocks: BTreeSet<Prefix> = all.filter_map(wire::prefix).collect();
        Some((id, Claim { acl: acl.clone(), blocks: blocks.into_iter().collect() }))
    };
    subnets.iter().filter_map(claim).collect()
}

fn names(handed_over: &HandedOver, id: &SubnetId, subnet: &Subnet) -> bool {
    let HandedOver { ids, tags } = handed_over;
    let mut wanted = tags.iter();
    let by_tags = !tags.is_empty()
        && wanted.all(|(key, value)| tags::value(subnet.tags(), key) == Some(&**value));
    ids.contains(id) || by_tags
}

/// The ids of the cluster's ACLs. Of several with one name, one is ours: the first that guards something, else the first.
fn name(cluster: &str, acls: &BTreeMap<String, NetworkAcl>) -> BTreeMap<AclName, String> {
    let mut ids: BTreeMap<AclName, &String> = BTreeMap::new();
    let (idle, guarding): (Vec<_>, Vec<_>) =
        acls.iter().partition(|(_, acl)| acl.associations().is_empty());
    for (id, acl) in guarding.into_iter().chain(idle) {
        if let Some(name) = tags::acl(cluster, acl.tags()) {
            ids.entry(name).or_insert(id);
        }
    }
    ids.into_iter().map(|(name, id)| (name, id.clone())).collect()
}

// ----------------------------------------------------------------------------------------------- Picture

impl Acls {
    /// The same, for a later picture.
    pub(super) fn known(&self) -> Self {
        Self { are_new: false, ..self.clone() }
    }

    /// Puts into a picture what it shows of network ACLs.
    pub(super) fn develop(&self, scope: &Scope, observed: &mut Observed) {
        let mut shown: BTreeSet<&str> = self.ours.values().map(String::as_str).collect();
        let mut given_back = BTreeSet::new();
        for (subnet, guard) in self.guarded() {
            let Some(prior) = self.prior(guard) else { continue };
            let key = self.key(guard);
            if let Some(Claim { acl, blocks }) = self.claimed.get(&subnet) {
                let (acl, blocks) = (acl.clone(), blocks.clone());
                let mut inside = self.interfaces.iter();
                let has_others = self.is_of_another(guard)
                    || inside
                        .any(|it| it.subnet_id() == Some(&*subnet.0) && !is_pods_alone(it, scope));
                let told = inventory::Subnet { blocks, acl, prior: prior.clone(), has_others };
                observed.subnets.insert(subnet.clone(), told);
            } else if key.foreign().is_none() {
                observed.former.insert(subnet.clone(), prior.clone());
            } else {
                continue;
            }
            observed.state.subnets.insert(subnet, key);
            given_back.insert(prior);
        }
        let priors = self.ours.iter();
        let priors = priors.filter_map(|(name, id)| Some((name.clone(), self.prior(id)?)));
        observed.acl_priors = priors.collect();
        shown.extend(given_back.iter().map(|id| &*id.0));
        for (id, acl) in shown.iter().filter_map(|id| self.all.get_key_value(*id)) {
            let entries = acl.entries().iter().filter_map(wire::entry).collect();
            observed.state.acls.insert(self.key(id), Acl(entries));
        }
    }

    /// Each subnet, and the id of the ACL that guards it.
    fn guarded(&self) -> impl Iterator<Item = (SubnetId, &str)> + '_ {
        let all = self.all.iter();
        let associations =
            all.flat_map(|(id, acl)| acl.associations().iter().map(move |it| (id, it)));
        associations.filter_map(|(id, it)| Some((SubnetId(it.subnet_id()?.into()), &**id)))
    }

    /// Whether an ACL is Moat's, and not one of ours: another cluster's.
    fn is_of_another(&self, id: &str) -> bool {
        let bears = |acl: &NetworkAcl| tags::value(acl.tags(), tags::ACL).is_some();
        self.key(id).foreign().is_some() && self.all.get(id).is_some_and(bears)
    }

    fn key(&self, id: &str) -> AclKey {
        let ours = self.ours.iter().find(|(_, ours)| *ours == id);
        ours.map_or_else(
            || AclKey::Foreign(ForeignAclId(id.into())),
            |(name, _)| AclKey::Ours(name.clone()),
        )
    }

    /// What the subnets that an ACL guards get back: the ACL itself if it is not ours, else the one on record that is there and not
    /// ours, else the VPC's default one.
    fn prior(&self, guard: &str) -> Option<ForeignAclId> {
        let theirs = |id: &str| match self.key(id) {
            AclKey::Foreign(id) => Some(id),
            AclKey::Ours(_) => None,
        };
        theirs(guard)
            .or_else(|| {
                let recorded = tags::prior_acl(self.all.get(guard)?.tags())?;
                self.all.get_key_value(&*recorded.0).and_then(|(id, _)| theirs(id))
            })
            .or_else(|| {
                let default = self.all.iter().find(|(_, acl)| acl.is_default() == Some(true));
                default.and_then(|(id, _)| theirs(id))
            })
    }
}
