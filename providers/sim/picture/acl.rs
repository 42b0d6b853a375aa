//! What pictures show of network ACLs and the subnets that they guard.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::firewall::{Acl, AclKey, AclName};
use moat_core::inventory::{self, Attachment, SubnetId};
use moat_core::net::Prefix;
use moat_core::provider::{HandedOver, Observed, ProviderError, Scope};

use super::{View, borne};
use crate::acl::{AclId, AssociationId, Subnet, default_acl};
use crate::provider::Memory;
use crate::{Call, NetworkInterface, Sim};

/// What a process learns of network ACLs besides what the picture shows.
#[derive(Default)]
pub(super) struct Learned {
    ids: BTreeMap<AclName, AclId>,
    associations: BTreeMap<SubnetId, AssociationId>,
}

impl View<'_> {
    /// The network ACLs that bear our tags. Of several that tell one name, one is ours: the first that guards something, else the first.
    fn acls_of_ours(&self) -> BTreeMap<AclName, AclId> {
        let mut ours = BTreeMap::new();
        let guards = |id: &AclId| self.vpc.subnets().any(|(_, subnet)| subnet.acl == *id);
        let (guarding, idle): (Vec<_>, Vec<_>) = self.vpc.acls().partition(|(id, _)| guards(id));
        for (id, acl) in guarding.into_iter().chain(idle) {
            if let Some(owner) = acl.owner.as_ref().filter(|it| it.cluster == self.cluster) {
                ours.entry(owner.name.clone()).or_insert_with(|| id.clone());
            }
        }
        ours
    }

    /// Adds what is to be shown of network ACLs.
    pub(super) fn answer_acls(&self, scope: &Scope, observed: &mut Observed) -> Learned {
        let ours = self.acls_of_ours();
        let key = |id: &AclId| {
            let named = ours.iter().find(|(_, our)| *our == id);
            named
                .map_or_else(|| AclKey::Foreign(id.clone()), |(name, _)| AclKey::Ours(name.clone()))
        };
        let prior = |guard: &AclId| match key(guard) {
            AclKey::Foreign(id) => id,
            AclKey::Ours(_) => {
                let owner = self.vpc.acl(guard).and_then(|acl| acl.owner.as_ref());
                let recorded = owner.map(|owner| &owner.prior);
                let there = |id: &&AclId| self.vpc.acl(id).is_some() && key(id).foreign().is_some();
                recorded.filter(there).cloned().unwrap_or_else(default_acl)
            }
        };
        let mut associations = BTreeMap::new();
        for (id, subnet) in self.vpc.subnets() {
            let (guard, prior) = (key(&subnet.acl), prior(&subnet.acl));
            if let Some(acl) = heir(scope, id, subnet) {
                let guards = self.vpc.acl(&subnet.acl).and_then(|acl| acl.owner.as_ref());
                let of_another = guards.is_some() && guard.foreign().is_some();
                let has_others = of_another || self.has_others(scope, subnet);
                let blocks = subnet.blocks.clone();
                let told = inventory::Subnet { blocks, acl, prior: prior.clone(), has_others };
                observed.subnets.insert(id.clone(), told);
            } else if guard.foreign().is_none() {
                observed.former.insert(id.clone(), prior.clone());
            } else {
                continue;
            }
            associations.insert(id.clone(), subnet.association.clone());
            observed.state.subnets.insert(id.clone(), guard);
            observed.state.acls.insert(AclKey::Foreign(prior), Acl::default());
        }
        observed.acl_priors = ours.iter().map(|(name, id)| (name.clone(), prior(id))).collect();
        observed
            .state
            .acls
            .extend(ours.keys().cloned().map(|it| (AclKey::Ours(it), Acl::default())));
        for (id, acl) in self.vpc.acls() {
            if let Some(shown) = observed.state.acls.get_mut(&key(id)) {
                shown.clone_from(&acl.entries);
            }
        }
        Learned { ids: ours, associations }
    }

    /// Whether an interface lies in a subnet that carries no pod, as far as the scope tells.
    fn has_others(&self, scope: &Scope, subnet: &Subnet) -> bool {
        self.vpc.interfaces().any(|(id, interface)| {
            lies_in(interface, &subnet.blocks)
                && interface.attachment != Attachment::Exclusive
                && !scope.interfaces.contains(id)
                && borne(interface, &scope.addresses).is_empty()
        })
    }
}

/// The ACL that a subnet is handed over to: the first of several.
fn heir(scope: &Scope, id: &SubnetId, subnet: &Subnet) -> Option<AclName> {
    let named = |over: &HandedOver| {
        let tagged = || over.tags.iter().all(|(tag, value)| subnet.tags.get(tag) == Some(value));
        over.ids.contains(id) || (!over.tags.is_empty() && tagged())
    };
    let mut acls = scope.acls.iter();
    acls.find(|(_, over)| named(over)).map(|(name, _)| name.clone())
}

fn lies_in(interface: &NetworkInterface, blocks: &[Prefix]) -> bool {
    let inside = |own: &Prefix| blocks.iter().any(|block| block.contains_prefix(*own));
    interface.addresses.iter().any(inside)
}

impl Sim {
    /// Whether a whole picture shows network ACLs: nobody else needs to pay for it.
    pub(super) fn looks_at_acls(&self, scope: &Scope) -> bool {
        let had_ours = |picture: &Observed| {
            let mut acls = picture.state.acls.keys();
            acls.any(|key| key.foreign().is_none()) || !picture.former.is_empty()
        };
        !scope.acls.is_empty()
            || !self.memory.acls.made.is_empty()
            || self.memory.picture.as_deref().is_none_or(had_ours)
    }

    /// Makes the calls that read network ACLs: those of ours alone, and what they guard, if nothing is handed over.
    pub(super) fn read_acls(
        &mut self,
        scope: &Scope,
        answer: &Observed,
    ) -> Result<(), ProviderError> {
        let (acls, subnets, interfaces) = if scope.acls.is_empty() {
            (answer.state.acls.len(), answer.former.len(), 0)
        } else {
            let vpc = self.visible();
            let blocks: Vec<Prefix> =
                answer.subnets.values().flat_map(|it| it.blocks.iter().copied()).collect();
            let inside = vpc.interfaces().filter(|(_, it)| lies_in(it, &blocks)).count();
            (vpc.acls.len(), vpc.subnets.len(), inside)
        };
        self.read_pages(Call::DescribeNetworkAcls, acls)?;
        self.read_pages(Call::DescribeSubnets, subnets)?;
        self.read_pages(Call::DescribeNetworkInterfaces, interfaces)
    }
}

impl Memory {
    /// A picture shows these network ACLs.
    pub(super) fn learn_acls(&mut self, learned: Learned, picture: &Observed) {
        let acls = &mut self.acls;
        acls.made.retain(|name| !learned.ids.contains_key(name));
        let made: BTreeSet<AclName> = acls.made.clone();
        acls.ids.retain(|name, _| made.contains(name));
        acls.keys.retain(|name, _| made.contains(name));
        for (name, id) in learned.ids {
            let shown = picture.state.acls.get(&AclKey::Ours(name.clone()));
            let keys = shown.map(|acl| acl.0.keys().copied().collect());
            acls.keys.insert(name.clone(), keys.unwrap_or_default());
            acls.ids.insert(name, id);
        }
        acls.associations = learned.associations;
    }
}

#[cfg(test)]
mod tests;
