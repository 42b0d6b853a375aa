//! Which calls the role may not make, as far as dry runs tell.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::firewall::AclName;
use moat_core::net::Family;
use moat_core::policy::Direction;
use moat_core::provider::{AclStep, Step};

use crate::call::Call;
use crate::errors::{Failure, Meaning};
use crate::request::Run;
use crate::{Aws, tags, wire};

impl Aws {
    /// The calls that these steps need and that the role may not make. Nothing is changed; each call is asked about once.
    ///
    /// EC2 checks permissions on what a call names, so that it is asked about what a step would change and the last picture
    /// showed. A call that only concerns groups yet to be made, or that a dry run says nothing about, counts as permitted: it is
    /// named when it is refused.
    pub async fn forbidden(&self, steps: impl IntoIterator<Item = &Step>) -> BTreeSet<Call> {
        let mut asked = BTreeSet::new();
        let mut forbidden = BTreeSet::new();
        for step in steps {
            for call in calls(step) {
                if asked.contains(&call) {
                    continue;
                }
                let Some(answer) = self.try_dry(call, step).await else { continue };
                asked.insert(call);
                if answer.is_err_and(|failure| failure.meaning == Meaning::Unauthorized) {
                    forbidden.insert(call);
                }
            }
        }
        forbidden
    }

    /// What EC2 says of a call that a step needs, or nothing where what it names is not there yet.
    async fn try_dry(&self, call: Call, step: &Step) -> Option<Result<(), Failure>> {
        let group = |number| self.memory.groups.get(number);
        let answer = match step {
            Step::CreateGroup(number) if call == Call::CreateSecurityGroup => {
                let (name, tags) =
                    (number.name(&self.config.cluster), tags::owner(&self.config.cluster, *number));
                self.create(Run::Dry, &name, tags).await.map(|_| ())
            }
            Step::CreateGroup(_) => return None,
            Step::Authorize { group: number, direction, .. } => {
                let anyone = wire::default_egress([Family::V4]);
                self.add(Run::Dry, group(number)?, *direction, anyone).await
            }
            Step::Revoke { group: number, direction, rules } => {
                let known = |rule| self.memory.rules.get(&(*number, Clone::clone(rule)));
                let ids = rules.iter().find_map(known)?;
                self.remove(Run::Dry, group(number)?, *direction, ids.clone()).await
            }
            Step::SetGroups { interface, .. } if call == Call::ModifyNetworkInterfaceAttribute => {
                let worn = self.memory.interfaces.get(interface)?;
                let worn = worn.iter().filter_map(|key| self.id_of(key)).collect();
                self.dress(Run::Dry, &interface.0, worn).await
            }
            Step::SetGroups { interface, record, .. } => {
                let mark = (tags::CLUSTER.to_owned(), self.config.cluster.clone());
                if record.is_empty() {
                    self.untag(Run::Dry, &interface.0, [&mark.0]).await
                } else {
                    self.tag(Run::Dry, &interface.0, &BTreeMap::from([mark])).await
                }
            }
            Step::DeleteGroup(number) => self.delete(Run::Dry, group(number)?).await,
            Step::Acl(step) => self.try_dry_acl(call, step).await?,
        };
        Some(answer)
    }

    /// The same of a step about network ACLs. Which of its two calls puts an entry, the last picture tells.
    async fn try_dry_acl(&self, call: Call, step: &AclStep) -> Option<Result<(), Failure>> {
        let known = &self.memory.acls;
        let id = |acl: &AclName| self.acl_id(acl).ok();
        Some(match step {
            AclStep::Create { acl, prior } => {
                let tags = tags::acl_owner(&self.config.cluster, acl, prior);
                self.create_acl(Run::Dry, tags).await.map(|_| ())
            }
            AclStep::Put { acl, key, entry } => {
                let row = wire::spell_entry(*key, *entry);
                match (known.holds(acl, *key), call == Call::ReplaceNetworkAclEntry) {
                    (true, true) => self.replace_entry(Run::Dry, id(acl)?, row).await,
                    (false, false) => self.add_entry(Run::Dry, id(acl)?, row).await,
                    (true, false) | (false, true) => return None,
                }
            }
            AclStep::Remove { acl, key } => self.remove_entry(Run::Dry, id(acl)?, *key).await,
            AclStep::Guard { subnet, by } => {
                let association = known.association(subnet)?;
                self.associate(Run::Dry, association, known.id(by)?).await.map(|_| ())
            }
            AclStep::Delete(acl) => self.delete_acl(Run::Dry, id(acl)?).await,
        })
    }
}

/// The calls of a step that change something.
fn calls(step: &Step) -> Vec<Call> {
    match step {
        Step::CreateGroup(_) => vec![Call::CreateSecurityGroup, Call::RevokeSecurityGroupEgress],
        Step::Authorize { direction: Direction::Ingress, .. } => {
            vec![Call::AuthorizeSecurityGroupIngress]
        }
        Step::Authorize { direction: Direction::Egress, .. } => {
            vec![Call::AuthorizeSecurityGroupEgress]
        }
        Step::Revoke { direction: Direction::Ingress, .. } => {
            vec![Call::RevokeSecurityGroupIngress]
        }
        Step::Revoke { direction: Direction::Egress, .. } => vec![Call::RevokeSecurityGroupEgress],
        Step::SetGroups { record, .. } => {
            let record = if record.is_empty() { Call::DeleteTags } else { Call::CreateTags };
            vec![record, Call::ModifyNetworkInterfaceAttribute]
        }
        Step::DeleteGroup(_) => vec![Call::DeleteSecurityGroup],
        Step::Acl(step) => match step {
            AclStep::Create { .. } => vec![Call::CreateNetworkAcl],
            AclStep::Put { .. } => vec![Call::CreateNetworkAclEntry, Call::ReplaceNetworkAclEntry],
            AclStep::Remove { .. } => vec![Call::DeleteNetworkAclEntry],
            AclStep::Guard { .. } => vec![Call::ReplaceNetworkAclAssociation],
            AclStep::Delete(_) => vec![Call::DeleteNetworkAcl],
        },
    }
}
