//! The VPC itself: groups, rules and interfaces, with EC2's own checks; subnets and network ACLs are in `acl`. It knows tags, but no owner: anyone may call it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use moat_core::firewall::{ForeignAclId, ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::{Attachment, InterfaceId, SubnetId};
use moat_core::net::{Family, Prefix, Shape};
use moat_core::policy::{Direction, Word};
use moat_core::provider::{ProviderError, QuotaKind, RuleId};
use moat_core::settings::Quotas;
use serde::{Deserialize, Serialize};

use crate::acl::{self, AclId, NetworkAcl, Subnet};

/// The id of a group, whoever owns it. Within the VPC every reference names an id.
pub type GroupId = ForeignGroupId;

/// Groups, rules, interfaces, subnets and network ACLs as they are.
///
/// Each method is one call of EC2: it checks everything first, and changes everything or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    pub(crate) blocks: Vec<Prefix>,
    pub(crate) quotas: Quotas,
    pub(crate) groups: BTreeMap<GroupId, Arc<Group>>,
    /// The group that bears each name, in lower case.
    names: BTreeMap<String, GroupId>,
    pub(crate) interfaces: BTreeMap<InterfaceId, Arc<NetworkInterface>>,
    pub(crate) subnets: BTreeMap<SubnetId, Subnet>,
    pub(crate) acls: BTreeMap<AclId, NetworkAcl>,
    /// How many ids were given out.
    pub(crate) given: u64,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Unique in the VPC, ignoring case.
    pub name: String,
    /// Its tags, if they are Moat's.
    pub owner: Option<Owner>,
    /// Its rules. A reference names a [`GroupKey::Foreign`] here, whosever the group is.
    pub rules: BTreeMap<Rule, RuleEntry>,
}

/// The tags that make a group a cluster's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The cluster.
    pub cluster: String,
    /// The group's number.
    pub number: GroupNumber,
}

/// What EC2 keeps of a rule besides what identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEntry {
    /// Its id.
    pub id: RuleId,
    /// Its description.
    pub description: String,
    /// The cluster whose tag it bears.
    pub cluster: Option<String>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkInterface {
    /// Whose it is; the VPC does not look at it.
    pub attachment: Attachment,
    /// What it carries, such as `pod shop/cart`; empty for interfaces that carry no pod.
    pub description: String,
    /// Its addresses, and the prefixes delegated to it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<Prefix>,
    /// The groups it wears; never none.
    pub groups: BTreeSet<GroupId>,
    /// The groups that its tags record as worn before Moat.
    pub record: BTreeSet<GroupId>,
}

/// The rules that one authorize can carry (aws-controllers-k8s/community#2186).
pub(crate) const RULES_PER_CALL: usize = 1_000;

impl Vpc {
    /// A VPC of these blocks, with the default network ACL, and without groups, interfaces and subnets.
    #[must_use]
    pub fn new(blocks: Vec<Prefix>, quotas: Quotas) -> Self {
        let (groups, names, interfaces) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let acls = [(acl::default_acl(), acl::open(&blocks))].into();
        let subnets = BTreeMap::new();
        Self { blocks, quotas, groups, names, interfaces, subnets, acls, given: 0 }
    }

    /// A group by its id.
    #[must_use]
    pub fn group(&self, id: &GroupId) -> Option<&Group> {
        self.groups.get(id).map(Arc::as_ref)
    }

    /// Whether there is a group or a network ACL of this id.
    pub(crate) fn holds(&self, id: &Word) -> bool {
        self.groups.contains_key(&ForeignGroupId(id.clone()))
            || self.acls.contains_key(&ForeignAclId(id.clone()))
    }

    /// The group that bears a name, whatever its case.
    pub(crate) fn named(&self, name: &str) -> Option<&GroupId> {
        self.names.get(&name.to_ascii_lowercase())
    }

    /// Every group.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, &Group)> + '_ {
        self.groups.iter().map(|(id, group)| (id, group.as_ref()))
    }

    /// Every interface.
    pub fn interfaces(&self) -> impl Iterator<Item = (&InterfaceId, &NetworkInterface)> + '_ {
        self.interfaces.iter().map(|(id, interface)| (id, interface.as_ref()))
    }

    /// CreateSecurityGroup: a group that lets everything out, as new groups do.
    ///
    /// # Errors
    /// `Invalid` for a name that EC2 refuses, `Duplicate` for one that is taken, `Quota` for one group too many.
    pub fn create_group(
        &mut self,
        name: &str,
        owner: Option<Owner>,
    ) -> Result<GroupId, ProviderError> {
        let name = name.trim_end();
        let refused = name.is_empty() || name.len() > 255 || name.starts_with("sg-");
        if refused || !name.chars().all(|it| it == '&' || is_description(it)) {
            return Err(invalid(format!("`{name}` is no name for a group")));
        }
        if self.named(name).is_some() {
            return Err(ProviderError::Duplicate { subject: name.to_owned(), code: None });
        }
        let owned = self.groups.values().filter(|group| group.owner.is_some()).count();
        if owner.is_some() && owned >= self.quotas.groups {
            return Err(quota(QuotaKind::Groups, self.quotas.groups, name));
        }
        let families: BTreeSet<Family> = self.blocks.iter().map(|it| it.family()).collect();
        let families = families.into_iter().chain([Family::V4]).collect::<BTreeSet<_>>();
        let everything = families.into_iter().map(|family| Rule {
            direction: Direction::Egress,
            peer: Peer::Prefix(Prefix::everything(family)),
            shape: Shape::All,
        });
        let rules = everything.map(|rule| (rule, self.entry(String::new(), None))).collect();
        let id = ForeignGroupId(self.fresh("sg").into());
        self.insert_group(id.clone(), Group { name: name.to_owned(), owner, rules });
        Ok(id)
    }

    /// DeleteTags: a group is nobody's.
    ///
    /// # Errors
    /// `NotFound` for an unknown group.
    pub fn disown(&mut self, id: &GroupId) -> Result<(), ProviderError> {
        self.change_group(id, |group| group.owner = None)
    }

    /// AuthorizeSecurityGroupIngress or -Egress: adds rules, each with its description, and all with the tag of a
    /// cluster, if there is one.
    ///
    /// # Errors
    /// `NotFound` for an unknown group, or one that a rule names; `Duplicate` for a rule that is there; `Quota` for rules
    /// that do not fit; `Invalid` for what EC2 cannot say.
    pub fn authorize(
        &mut self,
        id: &GroupId,
        rules: &BTreeMap<Rule, String>,
        cluster: Option<&str>,
    ) -> Result<(), ProviderError> {
        let group = self.groups.get(id).ok_or_else(|| not_found(&id.0))?;
        let direction = one_direction(rules.keys())?;
        for (rule, description) in rules {
            check(rule)?;
            if description.chars().count() > 255 || !description.chars().all(is_description) {
                return Err(invalid(format!("`{description}` is no description of a rule")));
            }
            match &rule.peer {
                Peer::Group(GroupKey::Foreign(peer)) if self.groups.contains_key(peer) => {}
                Peer::Group(peer) => return Err(not_found(&peer.to_string())),
                Peer::Prefix(_) => {}
            }
            if group.rules.contains_key(rule) {
                return Err(ProviderError::Duplicate {
                    subject: format!("a rule of {}", id.0),
                    code: None,
                });
            }
        }
        let after = group.rules.keys().chain(rules.keys());
        let after: Vec<_> = after.filter(|rule| rule.direction == direction).collect();
        let limit = self.quotas.rules_per_group;
        for family in Family::BOTH {
            if after.iter().filter(|rule| counts_in(rule, family)).count() > limit {
                return Err(quota(QuotaKind::RulesPerGroup, limit, &id.0));
            }
        }
        let added: Vec<_> = rules
            .iter()
            .map(|(rule, description)| (rule.clone(), self.entry(description.clone(), cluster)))
            .collect();
        self.change_group(id, |group| group.rules.extend(added))
    }

    /// RevokeSecurityGroupIngress or -Egress: removes the rules of these ids.
    ///
    /// # Errors
    /// `NotFound` for an unknown group, or an id that is no rule of it in this direction.
    pub fn revoke(
        &mut self,
        id: &GroupId,
        direction: Direction,
        rules: &BTreeSet<RuleId>,
    ) -> Result<(), ProviderError> {
        let group = self.groups.get(id).ok_or_else(|| not_found(&id.0))?;
        let there = group.rules.iter().filter(|(rule, _)| rule.direction == direction);
        let there: BTreeSet<&RuleId> = there.map(|(_, entry)| &entry.id).collect();
        match rules.iter().find(|rule| !there.contains(rule)) {
            Some(missing) => Err(not_found(&missing.0)),
            None if rules.is_empty() => Err(invalid("a call without rules".to_owned())),
            None => self.change_group(id, |group| {
                group.rules.retain(|_, entry| !rules.contains(&entry.id));
            }),
        }
    }

    /// DeleteSecurityGroup.
    ///
    /// # Errors
    /// `NotFound`; `InUse` while an interface wears it or a rule of another group names it.
    pub fn delete_group(&mut self, id: &GroupId) -> Result<(), ProviderError> {
        if !self.groups.contains_key(id) {
            return Err(not_found(&id.0));
        }
        let worn = self.interfaces.values().any(|interface| interface.groups.contains(id));
        let peer = Peer::Group(GroupKey::Foreign(id.clone()));
        let mut others = self.groups.iter().filter(|(other, _)| *other != id);
        let named = others.any(|(_, group)| group.rules.keys().any(|rule| rule.peer == peer));
        if worn || named {
            let code = "DependencyViolation".to_owned();
            return Err(ProviderError::InUse { subject: id.0.to_string(), code });
        }
        if let Some(group) = self.groups.remove(id) {
            self.names.remove(&group.name.to_ascii_lowercase());
        }
        Ok(())
    }

    /// ModifyNetworkInterfaceAttribute: lets an interface wear exactly these groups.
    ///
    /// # Errors
    /// `NotFound` for an unknown interface or group; `Invalid` for no group; `Quota` for too many.
    pub fn set_groups(
        &mut self,
        id: &InterfaceId,
        groups: BTreeSet<GroupId>,
    ) -> Result<(), ProviderError> {
        if groups.is_empty() {
            return Err(invalid(format!("`{}` must wear a group", id.0)));
        }
        if let Some(missing) = groups.iter().find(|group| !self.groups.contains_key(group)) {
            return Err(not_found(&missing.0));
        }
        let limit = self.quotas.groups_per_interface;
        if groups.len() > limit {
            return Err(quota(QuotaKind::GroupsPerInterface, limit, &id.0));
        }
        self.change_interface(id, |interface| interface.groups = groups)
    }

    /// CreateTags or DeleteTags: records the groups that an interface wore before Moat; none removes the record.
    ///
    /// # Errors
    /// `NotFound` for an unknown interface.
    pub fn record(
        &mut self,
        id: &InterfaceId,
        groups: BTreeSet<GroupId>,
    ) -> Result<(), ProviderError> {
        self.change_interface(id, |interface| interface.record = groups)
    }

    /// CreateNetworkInterface, with an id of the caller's choice. One that is there is replaced.
    pub fn put_interface(&mut self, id: InterfaceId, interface: NetworkInterface) {
        self.interfaces.insert(id, Arc::new(interface));
    }

    /// DeleteNetworkInterface.
    pub fn remove_interface(&mut self, id: &InterfaceId) {
        self.interfaces.remove(id);
    }

    /// A group with an id of the caller's choice.
    pub(crate) fn put_group(
        &mut self,
        id: GroupId,
        name: &str,
        rules: impl IntoIterator<Item = Rule>,
    ) {
        let rules = rules.into_iter().map(|rule| (rule, self.entry(String::new(), None))).collect();
        self.insert_group(id, Group { name: name.to_owned(), owner: None, rules });
    }

    /// A group as a whole.
    pub(crate) fn insert_group(&mut self, id: GroupId, group: Group) {
        self.names.insert(group.name.to_ascii_lowercase(), id.clone());
        self.groups.insert(id, Arc::new(group));
    }

    fn change_group(
        &mut self,
        id: &GroupId,
        change: impl FnOnce(&mut Group),
    ) -> Result<(), ProviderError> {
        let group = self.groups.get_mut(id).ok_or_else(|| not_found(&id.0))?;
        change(Arc::make_mut(group));
        Ok(())
    }

    fn change_interface(
        &mut self,
        id: &InterfaceId,
        change: impl FnOnce(&mut NetworkInterface),
    ) -> Result<(), ProviderError> {
        let interface = self.interfaces.get_mut(id).ok_or_else(|| not_found(&id.0))?;
        change(Arc::make_mut(interface));
        Ok(())
    }

    fn entry(&mut self, description: String, cluster: Option<&str>) -> RuleEntry {
        let id = RuleId(self.fresh("sgr").into());
        RuleEntry { id, description, cluster: cluster.map(str::to_owned) }
    }

    pub(crate) fn fresh(&mut self, kind: &str) -> String {
        self.given = self.given.saturating_add(1);
        format!("{kind}-{:017x}", self.given)
    }
}

/// Whether a rule counts against the quota of a family: references count in both (`vpc-security-groups`, quotas).
fn counts_in(rule: &Rule, family: Family) -> bool {
    match &rule.peer {
        Peer::Prefix(prefix) => prefix.family() == family,
        Peer::Group(_) => true,
    }
}

fn one_direction<'a>(
    rules: impl ExactSizeIterator<Item = &'a Rule>,
) -> Result<Direction, ProviderError> {
    if rules.len() > RULES_PER_CALL {
        return Err(invalid(format!("more than {RULES_PER_CALL} rules in one call")));
    }
    let directions: BTreeSet<Direction> = rules.map(|rule| rule.direction).collect();
    match (directions.len(), directions.first()) {
        (1, Some(direction)) => Ok(*direction),
        _ => Err(invalid("a call without rules, or with both directions".to_owned())),
    }
}

/// ICMP belongs to IPv4 and ICMPv6 to IPv6.
fn check(rule: &Rule) -> Result<(), ProviderError> {
    let family = match &rule.peer {
        Peer::Prefix(prefix) => prefix.family(),
        Peer::Group(_) => return Ok(()),
    };
    match (rule.shape, family) {
        (Shape::Icmp(_), Family::V6) | (Shape::Icmpv6(_), Family::V4) => {
            Err(invalid(format!("a rule for {family} with the other family's ICMP")))
        }
        (
            Shape::All
            | Shape::Tcp(_)
            | Shape::Udp(_)
            | Shape::Sctp
            | Shape::Icmp(_)
            | Shape::Icmpv6(_)
            | Shape::Other(_),
            _,
        ) => Ok(()),
    }
}

/// The characters of a description (EC2 API reference, `IpRange`).
fn is_description(character: char) -> bool {
    character.is_ascii_alphanumeric() || " ._-:/()#,@[]+=;{}!$*".contains(character)
}

pub(crate) fn not_found(subject: &str) -> ProviderError {
    ProviderError::not_found(subject)
}

pub(crate) fn invalid(message: String) -> ProviderError {
    ProviderError::Invalid { message }
}

pub(crate) fn quota(quota: QuotaKind, limit: usize, subject: &str) -> ProviderError {
    let code = match quota {
        QuotaKind::RulesPerGroup => "RulesPerSecurityGroupLimitExceeded",
        QuotaKind::GroupsPerInterface => "SecurityGroupsPerInterfaceLimitExceeded",
        QuotaKind::Groups => "SecurityGroupLimitExceeded",
        QuotaKind::EntriesPerAcl => "NetworkAclEntryLimitExceeded",
    };
    ProviderError::Quota { quota, limit, subject: subject.to_owned(), code: code.to_owned() }
}

#[cfg(test)]
mod tests;
