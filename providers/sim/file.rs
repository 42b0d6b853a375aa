//! The VPC as one JSON file. Rules are spelled in the notation of `moat_core::net`.

mod acl;

use std::collections::BTreeMap;
use std::time::Duration;

use moat_core::firewall::{ForeignGroupId, GroupKey, ParseEntryError, Peer, Rule};
use moat_core::inventory::{InterfaceId, SubnetId};
use moat_core::policy::Direction;
use moat_core::provider::RuleId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::acl::FileAcl;
use crate::acl::{AclId, Subnet};
use crate::call::Buckets;
use crate::place::Placements;
use crate::vpc::{Group, GroupId, NetworkInterface, Owner, RuleEntry, Vpc};
use crate::{Config, Sim};

/// The version of the file that is written, and the only one that is read.
const VERSION: &str = "moat.dev/sim/v1";

/// Why a text is no state of the embedded VPC.
#[derive(Debug, Error)]
pub enum StateError {
    /// Not JSON, or not of this form.
    #[error(
        "the state file of the embedded VPC is damaged: {0}: restore it, or begin with another"
    )]
    Malformed(#[from] serde_json::Error),
    /// Of another version.
    #[error(
        "the state file of the embedded VPC has `apiVersion: {found}`, and only `{VERSION}` can be read: begin with another"
    )]
    Version {
        /// The version of the file.
        found: String,
    },
    /// A rule that cannot be read.
    #[error("the state file of the embedded VPC is damaged: rule `{id}`: `{text}` cannot be read")]
    Rule {
        /// The rule.
        id: String,
        /// What cannot be read of it.
        text: String,
    },
    /// Something names a group that is not there.
    #[error(
        "the state file of the embedded VPC is damaged: `{by}` names the group `{group}`, which is not there"
    )]
    Group {
        /// The interface or rule.
        by: String,
        /// The group.
        group: String,
    },
    /// An entry of a network ACL that cannot be read.
    #[error("the state file of the embedded VPC is damaged: network ACL `{acl}`: {error}")]
    Entry {
        /// The ACL.
        acl: String,
        /// Why.
        error: ParseEntryError,
    },
    /// A subnet names a network ACL that is not there.
    #[error(
        "the state file of the embedded VPC is damaged: `{subnet}` names the network ACL `{acl}`, which is not there"
    )]
    Acl {
        /// The subnet.
        subnet: String,
        /// The ACL.
        acl: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    config: Config,
    now: Duration,
    /// How many ids were given out.
    given: u64,
    groups: BTreeMap<GroupId, FileGroup>,
    interfaces: BTreeMap<InterfaceId, NetworkInterface>,
    /// None: the default one as it is in a new VPC.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    acls: BTreeMap<AclId, FileAcl>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    subnets: BTreeMap<SubnetId, Subnet>,
    addresses: Placements,
    buckets: Buckets,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileGroup {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
    rules: Vec<FileRule>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    id: RuleId,
    direction: Direction,
    /// A prefix, or the id of a group.
    peer: String,
    service: String,
    description: String,
    /// The cluster whose tag it bears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

impl Sim {
    /// The VPC as JSON: everything that lasts, as if the lag had passed. What a process remembers, and faults, do not.
    #[must_use]
    pub fn to_json(&self) -> String {
        let groups = self.vpc.groups().map(|(id, group)| (id.clone(), FileGroup::of(group)));
        let interfaces = self.vpc.interfaces().map(|(id, it)| (id.clone(), it.clone()));
        let acls = self.vpc.acls().map(|(id, acl)| (id.clone(), FileAcl::of(acl)));
        let file = File {
            api_version: VERSION.to_owned(),
            config: self.config.clone(),
            now: self.now,
            given: self.vpc.given,
            groups: groups.collect(),
            interfaces: interfaces.collect(),
            acls: acls.collect(),
            subnets: self.vpc.subnets.clone(),
            addresses: self.placements.clone(),
            buckets: self.buckets.clone(),
        };
        // Maps with string keys and plain values: it cannot fail.
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }

    /// The VPC that a file holds; no process has called it yet.
    ///
    /// # Errors
    /// [`StateError`] for a text that [`Sim::to_json`] does not write.
    pub fn from_json(text: &str) -> Result<Self, StateError> {
        let Header { api_version: found } = serde_json::from_str(text)?;
        if found != VERSION {
            return Err(StateError::Version { found });
        }
        let file: File = serde_json::from_str(text)?;
        file.check()?;
        let mut sim = Self::new(file.config);
        sim.now = file.now;
        sim.vpc = Vpc::new(sim.config.vpc.clone(), sim.config.quotas);
        for (id, group) in file.groups {
            sim.vpc.insert_group(id, group.into_group()?);
        }
        sim.vpc.given = file.given;
        for (id, interface) in file.interfaces {
            sim.vpc.put_interface(id, interface);
        }
        for (id, acl) in file.acls {
            let acl = acl.into_acl(&id)?;
            sim.vpc.acls.insert(id, acl);
        }
        sim.vpc.subnets = file.subnets;
        sim.vpc.check_guards()?;
        sim.vpc.put_subnets(&sim.config);
        sim.placements = file.addresses;
        sim.buckets = file.buckets;
        Ok(sim)
    }
}

impl Vpc {
    /// Every ACL that guards a subnet is there.
    fn check_guards(&self) -> Result<(), StateError> {
        let missing = self.subnets().find(|(_, subnet)| self.acl(&subnet.acl).is_none());
        missing.map_or(Ok(()), |(id, subnet)| {
            let (subnet, acl) = (id.0.to_string(), subnet.acl.0.to_string());
            Err(StateError::Acl { subnet, acl })
        })
    }
}

impl File {
    /// Every group that something names is there.
    fn check(&self) -> Result<(), StateError> {
        let worn = self.interfaces.iter().flat_map(|(id, interface)| {
            interface.groups.iter().map(|group| (id.0.to_string(), group.0.to_string()))
        });
        let rules = self.groups.values().flat_map(|group| &group.rules);
        let named = rules
            .filter(|rule| rule.names_group())
            .map(|rule| (rule.id.0.to_string(), rule.peer.clone()));
        let there = |group: &str| self.groups.contains_key(&ForeignGroupId(group.into()));
        let missing = worn.chain(named).find(|(_, group)| !there(group));
        missing.map_or(Ok(()), |(by, group)| Err(StateError::Group { by, group }))
    }
}

impl FileGroup {
    fn of(group: &Group) -> Self {
        let rules = group.rules.iter().map(|(rule, entry)| FileRule {
            id: entry.id.clone(),
            direction: rule.direction,
            peer: match &rule.peer {
                Peer::Prefix(prefix) => prefix.to_string(),
                Peer::Group(key) => key.to_string(),
            },
            service: rule.shape.to_string(),
            description: entry.description.clone(),
            cluster: entry.cluster.clone(),
        });
        Self { name: group.name.clone(), owner: group.owner.clone(), rules: rules.collect() }
    }

    fn into_group(self) -> Result<Group, StateError> {
        let rules = self.rules.into_iter().map(FileRule::into_rule);
        let rules = rules.collect::<Result<_, StateError>>()?;
        Ok(Group { name: self.name, owner: self.owner, rules })
    }
}

impl FileRule {
    /// A prefix has a slash, and an id has none.
    fn names_group(&self) -> bool {
        !self.peer.contains('/')
    }

    fn into_rule(self) -> Result<(Rule, RuleEntry), StateError> {
        let unread =
            |text: &str| StateError::Rule { id: self.id.0.to_string(), text: text.to_owned() };
        let peer = if self.names_group() {
            Peer::Group(GroupKey::Foreign(ForeignGroupId(self.peer.as_str().into())))
        } else {
            Peer::Prefix(self.peer.parse().map_err(|_| unread(&self.peer))?)
        };
        let shape = self.service.parse().map_err(|_| unread(&self.service))?;
        let rule = Rule { direction: self.direction, peer, shape };
        Ok((rule, RuleEntry { id: self.id, description: self.description, cluster: self.cluster }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use moat_core::firewall::{AclName, EntryKey, GroupNumber};
    use moat_core::net::{Message, Messages, Prefix, Shape};
    use moat_core::provider::{Provider, Scope, Step};

    use super::*;
    use crate::{AclOwner, SubnetConfig, base_group, block_on, default_acl};

    fn with_subnet() -> Config {
        let blocks = vec!["10.0.128.0/17".parse().unwrap()];
        let tags = [("pods".into(), "yes".into())].into();
        let subnets = [(SubnetId("subnet-1".into()), SubnetConfig { blocks, tags })];
        Config { subnets: subnets.into(), ..Config::dual_stack() }
    }

    /// An ACL of ours guards the subnet.
    fn guard(vpc: &mut Vpc) {
        let name = AclName("pods".into());
        let owner = AclOwner { cluster: "default".to_owned(), name, prior: default_acl() };
        let id = vpc.create_acl(Some(owner)).unwrap();
        let key = EntryKey { direction: Direction::Egress, number: 10.try_into().unwrap() };
        vpc.create_entry(&id, key, "deny 10.9.0.0/16 icmp/3/4".parse().unwrap()).unwrap();
        let association = vpc.subnets().next().unwrap().1.association.clone();
        vpc.replace_association(&association, &id).unwrap();
    }

    fn busy() -> Sim {
        let mut sim = Sim::new(with_subnet());
        let group = GroupNumber::nth(0);
        let rule = |peer, shape| Rule { direction: Direction::Ingress, peer, shape };
        let message = Messages::One(Message { kind: 3, code: 4 });
        let everywhere: Prefix = "0.0.0.0/0".parse().unwrap();
        let rules = [
            rule(Peer::Prefix(everywhere), Shape::Icmp(message)),
            rule(Peer::Group(GroupKey::Ours(group)), Shape::All),
            rule(Peer::Group(GroupKey::Foreign(base_group())), Shape::Sctp),
        ];
        let rules = rules.map(|rule| (rule, "shop/web".to_owned())).into();
        let direction = Direction::Ingress;
        let steps = [Step::CreateGroup(group), Step::Authorize { group, direction, rules }];
        let answers = block_on(sim.execute(&steps.each_ref()));
        assert_eq!(answers, [Ok(()), Ok(())]);
        let interface = NetworkInterface {
            attachment: moat_core::inventory::Attachment::Exclusive,
            description: "pod shop/web 1".into(),
            addresses: BTreeSet::new(),
            groups: BTreeSet::from([base_group()]),
            record: BTreeSet::from([ForeignGroupId("sg-before".into())]),
        };
        sim.as_someone_else(|vpc| vpc.put_interface(InterfaceId("eni-1".into()), interface));
        sim.as_someone_else(guard);
        block_on(sim.wait(Duration::from_secs(5)));
        sim
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        let sim = busy();
        let mut read = Sim::from_json(&sim.to_json()).unwrap();
        assert_eq!(read.config, sim.config);
        assert_eq!(read.vpc, sim.vpc);
        assert_eq!(read.placements, sim.placements);
        assert_eq!(read.now, sim.now);
        assert_eq!(read.buckets, sim.buckets);
        assert_eq!(read.to_json(), sim.to_json());
        let observed = block_on(read.observe(&Scope::default())).unwrap();
        assert_eq!(observed.rule_ids.len(), 3);
    }

    #[test]
    fn a_file_without_network_acls_has_the_default_one_and_the_subnets_of_its_configuration() {
        let mut file: serde_json::Value = serde_json::from_str(&busy().to_json()).unwrap();
        let fields = file.as_object_mut().unwrap();
        fields.remove("acls").unwrap();
        fields.remove("subnets").unwrap();
        let read = Sim::from_json(&file.to_string()).unwrap();
        let new = Sim::new(with_subnet());
        assert_eq!(read.vpc.acls, new.vpc.acls);
        let guards = |sim: &Sim| -> Vec<_> {
            let subnets = sim.vpc.subnets();
            subnets.map(|(id, it)| (id.clone(), it.blocks.clone(), it.acl.clone())).collect()
        };
        assert_eq!(guards(&read), guards(&new));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_clear_error() {
        let good = busy().to_json();
        let table = [
            ("", "EOF while parsing"),
            ("{}", "missing field `apiVersion`"),
            (&good.replace("sim/v1", "sim/v9"), "has `apiVersion: moat.dev/sim/v9`"),
            (&good.replace("\"icmp/3/4", "\"icmp/3/4/5"), "`icmp/3/4/5` cannot be read"),
            (&good.replace("deny 10", "forbid 10"), "is not an entry such as"),
            (&good.replace("\"number\": 10,", "\"number\": 0,"), "run from 1 to 32766"),
            (&good.replace("\"acl\": \"acl-", "\"acl\": \"acl-x"), "which is not there"),
            (&good.replace("0.0.0.0/0", "0.0.0.0/33"), "`0.0.0.0/33` cannot be read"),
            (&good.replace("\"name\": \"base\"", "\"nom\": \"base\""), "unknown field `nom`"),
            (&good.replace("\"peer\": \"sg-", "\"peer\": \"sg-x"), "which is not there"),
        ];
        for (text, wanted) in table {
            let error = Sim::from_json(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn no_damage_makes_it_panic() {
        let good = busy().to_json();
        for place in (0..good.len()).step_by(7) {
            let (before, after) = good.split_at(place);
            assert!(Sim::from_json(before).is_err());
            for instead in ["9999999999999999999", "\"", "-1", "null", "[]", "/"] {
                let text = format!("{before}{instead}{}", after.get(1..).unwrap_or_default());
                if let Ok(mut sim) = Sim::from_json(&text) {
                    let create = Step::CreateGroup(GroupNumber::nth(5));
                    block_on(sim.wait(Duration::from_secs(1)));
                    let _ = block_on(sim.observe(&Scope::default()));
                    let _ = block_on(sim.execute(&[&create]));
                    sim.place(&mut moat_core::inventory::Inventory::default()).unwrap();
                }
            }
        }
    }
}
