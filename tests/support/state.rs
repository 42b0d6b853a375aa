//! What the steps of a plan do to a state, written from [`Step`]'s own terms: a step that breaks them is an error.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::firewall::{Acl, AclKey, AclName, GroupKey, Peer, Rule, State};
use moat_core::inventory::{InterfaceId, Inventory, SubnetId};
use moat_core::provider::{AclStep, Observed, RuleId, Step};

/// The state of a VPC in which nothing of ours is: interfaces wear their prior groups.
#[must_use]
pub fn untouched(inventory: &Inventory) -> State {
    let foreign = inventory.foreign.iter();
    let interfaces = inventory.interfaces.iter();
    let acls = inventory.acls.iter();
    let subnets = inventory.subnets.iter();
    State {
        groups: foreign.map(|(id, rules)| (GroupKey::Foreign(id.clone()), rules.clone())).collect(),
        interfaces: interfaces.map(|(id, interface)| (id.clone(), prior(interface))).collect(),
        acls: acls.map(|(id, acl)| (AclKey::Foreign(id.clone()), acl.clone())).collect(),
        subnets: subnets.map(|(id, it)| (id.clone(), AclKey::Foreign(it.prior.clone()))).collect(),
    }
}

fn prior(interface: &moat_core::inventory::Interface) -> BTreeSet<GroupKey> {
    interface.prior.iter().cloned().map(GroupKey::Foreign).collect()
}

/// A state with interfaces come and gone, and network ACLs of others, as an inventory tells.
#[must_use]
pub fn by_others(mut state: State, inventory: &Inventory) -> State {
    state.interfaces.retain(|id, _| inventory.interfaces.contains_key(id));
    for (id, interface) in &inventory.interfaces {
        state.interfaces.entry(id.clone()).or_insert_with(|| prior(interface));
    }
    let acls = inventory.acls.iter();
    state.acls.extend(acls.map(|(id, acl)| (AclKey::Foreign(id.clone()), acl.clone())));
    state
}

/// A picture of a state, without lag, as a provider gives it.
#[must_use]
pub fn observed(state: &State, inventory: &Inventory) -> Observed {
    let mut rule_ids = BTreeMap::new();
    for (key, rules) in &state.groups {
        if let GroupKey::Ours(number) = key {
            for (index, rule) in rules.iter().enumerate() {
                let id = RuleId(format!("sgr-{}-{index}", number.0).into());
                rule_ids.insert((*number, rule.clone()), id);
            }
        }
    }
    let ours = |id: &InterfaceId| {
        let worn = state.interfaces.get(id);
        worn.is_some_and(|worn| worn.iter().any(|key| matches!(key, GroupKey::Ours(_))))
    };
    // Those that guard nothing were made for subnets of theirs.
    let acl_prior = |acl: &AclName| {
        let key = AclKey::Ours(acl.clone());
        let guarded = |id: &SubnetId| state.subnets.get(id) == Some(&key);
        let mut subnets = inventory.subnets.iter();
        let behind = subnets.clone().find(|(id, _)| guarded(id));
        let (_, subnet) = behind.or_else(|| subnets.find(|(_, subnet)| subnet.acl == *acl))?;
        Some((acl.clone(), subnet.prior.clone()))
    };
    let acl_priors = state.acls.keys().filter_map(AclKey::ours).filter_map(acl_prior).collect();
    let recorded = inventory.interfaces.iter().filter(|(id, _)| ours(id));
    Observed {
        state: state.clone(),
        rule_ids,
        taken: BTreeMap::new(),
        foreign_rules: BTreeSet::new(),
        unmarked: BTreeSet::new(),
        unreadable: BTreeMap::new(),
        interfaces: inventory.interfaces.clone(),
        bearers: BTreeMap::new(),
        records: recorded.map(|(id, interface)| (id.clone(), interface.prior.clone())).collect(),
        subnets: inventory.subnets.clone(),
        acl_priors,
        former: BTreeMap::new(),
    }
}

/// Takes a step.
///
/// # Errors
///
/// Why the cloud would refuse it.
pub fn take(state: &mut State, step: &Step) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("{step}: {why}"));
    match step {
        Step::CreateGroup(number) => {
            if state.groups.insert(GroupKey::Ours(*number), BTreeSet::new()).is_some() {
                return refuse("the group exists already");
            }
        }
        Step::Authorize { group, direction, rules } => {
            let Some(there) = state.groups.get_mut(&GroupKey::Ours(*group)) else {
                return refuse("no such group");
            };
            let fresh =
                rules.keys().all(|rule| rule.direction == *direction && !there.contains(rule));
            if rules.is_empty() || !fresh {
                return refuse("a rule is there already, or none is given");
            }
            there.extend(rules.keys().cloned());
        }
        Step::Revoke { group, direction, rules } => {
            let Some(there) = state.groups.get_mut(&GroupKey::Ours(*group)) else {
                return refuse("no such group");
            };
            let known =
                rules.iter().all(|rule| rule.direction == *direction && there.contains(rule));
            if rules.is_empty() || !known {
                return refuse("a rule is not there, or none is given");
            }
            there.retain(|rule| !rules.contains(rule));
        }
        Step::SetGroups { interface, groups, .. } => {
            if groups.is_empty() || !groups.iter().all(|key| state.groups.contains_key(key)) {
                return refuse("an interface wears at least one group, and only groups that exist");
            }
            let Some(worn) = state.interfaces.get_mut(interface) else {
                return refuse("no such interface");
            };
            worn.clone_from(groups);
        }
        Step::DeleteGroup(number) => {
            let key = GroupKey::Ours(*number);
            let named = |rule: &Rule| rule.peer == Peer::Group(key.clone());
            let mut others = state.groups.iter().filter(|(other, _)| **other != key);
            let named = others.any(|(_, rules)| rules.iter().any(named));
            if named || state.interfaces.values().any(|worn| worn.contains(&key)) {
                return refuse("the group is in use");
            }
            if state.groups.remove(&key).is_none() {
                return refuse("no such group");
            }
        }
        Step::Acl(step) => return take_acl(state, step).or_else(refuse),
    }
    Ok(())
}

fn take_acl(state: &mut State, step: &AclStep) -> Result<(), &'static str> {
    let ours = |acl: &AclName| AclKey::Ours(acl.clone());
    match step {
        AclStep::Create { acl, .. } => match state.acls.insert(ours(acl), Acl::default()) {
            None => Ok(()),
            Some(_) => Err("the ACL exists already"),
        },
        AclStep::Put { acl, key, entry } => {
            let there = state.acls.get_mut(&ours(acl)).ok_or("no such ACL")?;
            there.0.insert(*key, *entry);
            Ok(())
        }
        AclStep::Remove { acl, key } => {
            let there = state.acls.get_mut(&ours(acl)).ok_or("no such ACL")?;
            there.0.remove(key).map(drop).ok_or("no such entry")
        }
        AclStep::Guard { subnet, by } => {
            if !state.acls.contains_key(by) {
                return Err("no such ACL");
            }
            state.subnets.insert(subnet.clone(), by.clone());
            Ok(())
        }
        AclStep::Delete(acl) if state.subnets.values().any(|by| *by == ours(acl)) => {
            Err("the ACL guards a subnet")
        }
        AclStep::Delete(acl) => state.acls.remove(&ours(acl)).map(drop).ok_or("no such ACL"),
    }
}
