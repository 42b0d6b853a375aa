//! Quotas as arithmetic, before any call (Amazon VPC quotas).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::firewall::{AclName, Entry, GroupKey, GroupNumber, Named, Naming, Peer, Rule, State};
use crate::inventory::{InterfaceId, Inventory};
use crate::net::Family;
use crate::policy::{Direction, Word};
use crate::settings::Quotas;

/// A limit that a state would pass, with the numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "quota", rename_all = "camelCase")]
pub enum Breach {
    /// [`Quotas::rules_per_group`].
    RulesPerGroup {
        /// The group.
        group: GroupNumber,
        /// The direction that is counted.
        direction: Direction,
        /// The family that is counted.
        family: Family,
        /// The rules that it would hold.
        needs: usize,
        /// The quota.
        limit: usize,
    },
    /// [`Quotas::groups_per_interface`].
    GroupsPerInterface {
        /// The interface.
        interface: InterfaceId,
        /// The groups that it would wear.
        needs: usize,
        /// The quota.
        limit: usize,
    },
    /// [`Quotas::entries_per_acl`].
    EntriesPerAcl {
        /// The network ACL.
        acl: AclName,
        /// The direction that is counted.
        direction: Direction,
        /// The family that is counted.
        family: Family,
        /// The entries that it would hold, the final deny among them.
        needs: usize,
        /// The quota.
        limit: usize,
    },
    /// [`Quotas::groups`].
    Groups {
        /// The groups of ours that there would be.
        needs: usize,
        /// The quota.
        limit: usize,
    },
    /// [`Quotas::RULES_PER_INTERFACE`]: the two quotas cannot both be what they are said to be.
    RulesPerInterface {
        /// Their product.
        needs: usize,
        /// The quota.
        limit: usize,
    },
}

/// What rules cost in one direction and family: a prefix counts in its own family, a reference in both.
#[must_use]
pub fn rules<'a>(
    rules: impl IntoIterator<Item = &'a Rule>,
    direction: Direction,
    family: Family,
) -> usize {
    let counts = |rule: &&Rule| {
        rule.direction == direction
            && match &rule.peer {
                Peer::Prefix(prefix) => prefix.family() == family,
                Peer::Group(_) => true,
            }
    };
    rules.into_iter().filter(counts).count()
}

/// The limits that a group of these rules passes, the furthest in each direction.
pub fn of_group<'a>(
    group: GroupNumber,
    held: &'a BTreeSet<Rule>,
    quotas: &'a Quotas,
) -> impl Iterator<Item = Breach> + 'a {
    let limit = quotas.rules_per_group;
    let each = Direction::BOTH
        .into_iter()
        .flat_map(|direction| Family::BOTH.into_iter().map(move |family| (direction, family)));
    each.filter_map(move |(direction, family)| {
        let needs = rules(held, direction, family);
        let breach = Breach::RulesPerGroup { group, direction, family, needs, limit };
        (needs > limit).then_some(breach)
    })
}

/// The limit that an interface wearing so many groups passes.
#[must_use]
pub fn of_interface(interface: &InterfaceId, needs: usize, quotas: &Quotas) -> Option<Breach> {
    let limit = quotas.groups_per_interface;
    let breach = Breach::GroupsPerInterface { interface: interface.clone(), needs, limit };
    (needs > limit).then_some(breach)
}

/// What entries cost in each direction and family that they name, the final deny among them.
#[must_use]
pub fn entries(
    entries: impl IntoIterator<Item = (Direction, Entry)>,
) -> BTreeMap<(Direction, Family), usize> {
    let mut counts: BTreeMap<(Direction, Family), usize> = BTreeMap::new();
    for (direction, entry) in entries {
        *counts.entry((direction, entry.prefix.family())).or_insert(1) += 1;
    }
    counts
}

/// The limit that a network ACL of these entries passes.
#[must_use]
pub fn of_acl(
    acl: &AclName,
    entries: impl IntoIterator<Item = (Direction, Entry)>,
    quotas: &Quotas,
) -> Option<Breach> {
    let limit = quotas.entries_per_acl;
    let most = self::entries(entries).into_iter().max_by_key(|(_, needs)| *needs);
    let ((direction, family), needs) = most.filter(|(_, needs)| *needs > limit)?;
    Some(Breach::EntriesPerAcl { acl: acl.clone(), direction, family, needs, limit })
}

/// The limit that so many groups of ours pass.
#[must_use]
pub fn of_groups(needs: usize, quotas: &Quotas) -> Option<Breach> {
    let limit = quotas.groups;
    (needs > limit).then_some(Breach::Groups { needs, limit })
}

/// The limits of the account that contradict each other. [`Quotas::UNLIMITED`] is no account's.
#[must_use]
pub fn of_account(quotas: &Quotas) -> Option<Breach> {
    let needs = quotas.rules_per_group.checked_mul(quotas.groups_per_interface)?;
    let limit = Quotas::RULES_PER_INTERFACE;
    (needs > limit).then_some(Breach::RulesPerInterface { needs, limit })
}

/// Every limit that a state passes: its groups of ours, and the interfaces that wear one.
#[must_use]
pub fn breaches(state: &State, quotas: &Quotas) -> Vec<Breach> {
    let ours = state.groups.iter().filter_map(|(key, rules)| match key {
        GroupKey::Ours(number) => Some((*number, rules)),
        GroupKey::Foreign(_) => None,
    });
    let count = ours.clone().count();
    let acls = state.acls.iter().filter_map(|(key, held)| Some((key.ours()?, held)));
    let moved = state
        .interfaces
        .iter()
        .filter(|(_, worn)| worn.iter().any(|group| matches!(group, GroupKey::Ours(_))));
    ours.flat_map(|(group, rules)| of_group(group, rules, quotas))
        .chain(moved.filter_map(|(interface, worn)| of_interface(interface, worn.len(), quotas)))
        .chain(of_groups(count, quotas))
        .chain(acls.filter_map(|(acl, held)| {
            of_acl(acl, held.0.iter().map(|(key, entry)| (key.direction, *entry)), quotas)
        }))
        .collect()
}

/// The groups of ours that the pods of each namespace wear. One that pods of several wear counts for each of them: it is the
/// same as if the others were not there.
#[must_use]
pub fn groups_by_namespace<'a>(
    state: &State,
    inventory: &'a Inventory,
) -> BTreeMap<&'a Word, BTreeSet<GroupNumber>> {
    let mut worn: BTreeMap<&Word, BTreeSet<GroupNumber>> = BTreeMap::new();
    for (_, pod) in inventory.pods_of_policies() {
        let groups = pod.interface.as_ref().and_then(|id| state.interfaces.get(id));
        let ours = groups.into_iter().flatten().filter_map(|key| match key {
            GroupKey::Ours(number) => Some(*number),
            GroupKey::Foreign(_) => None,
        });
        worn.entry(&pod.namespace).or_default().extend(ours);
    }
    worn.retain(|_, groups| !groups.is_empty());
    worn
}

impl Naming for Breach {
    fn write(&self, cluster: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RulesPerGroup { group, direction, family, needs, limit } => {
                let group = Named(group, cluster);
                write!(f, "{group} needs {needs} {family} {direction} rules, the quota is {limit}")
            }
            Self::GroupsPerInterface { interface, needs, limit } => {
                write!(f, "{} needs {needs} groups, the quota is {limit}", interface.0)
            }
            Self::EntriesPerAcl { acl, direction, family, needs, limit } => write!(
                f,
                "network ACL {acl} needs {needs} {family} {direction} entries, the quota is {limit}"
            ),
            Self::Groups { needs, limit } => {
                let are = if *needs == 1 { "group is" } else { "groups are" };
                write!(f, "{needs} {are} needed, the quota is {limit}")
            }
            Self::RulesPerInterface { needs, limit } => write!(
                f,
                "rules per group times groups per interface is {needs}, and EC2 allows no more than {limit}"
            ),
        }
    }
}
