//! What is done with network ACLs, by Moat and by others.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{NetworkAcl, PortRange, ResourceType, RuleAction, TagSpecification};
use moat_aws::tags;
use moat_core::firewall::{AclKey, AclName, Entry, EntryKey, ForeignAclId};
use moat_core::inventory::SubnetId;
use moat_core::policy::Direction;
use moat_core::provider::{AclStep, HandedOver, Observed, Provider, ProviderError, Scope, Step};
use moat_tests::contract::execute;

use crate::contract::Cloud;

pub(crate) fn name(name: &str) -> AclName {
    AclName(name.into())
}

pub(crate) fn ours(acl: &str) -> AclKey {
    AclKey::Ours(name(acl))
}

pub(crate) fn key(direction: Direction, number: u16) -> EntryKey {
    EntryKey { direction, number: number.try_into().unwrap() }
}

pub(crate) fn entry(text: &str) -> Entry {
    text.parse().unwrap()
}

pub(crate) fn put(acl: &str, direction: Direction, number: u16, text: &str) -> Step {
    Step::Acl(AclStep::Put { acl: name(acl), key: key(direction, number), entry: entry(text) })
}

pub(crate) fn create(acl: &str, prior: &ForeignAclId) -> Step {
    Step::Acl(AclStep::Create { acl: name(acl), prior: prior.clone() })
}

pub(crate) fn guard(subnet: &SubnetId, by: AclKey) -> Step {
    Step::Acl(AclStep::Guard { subnet: subnet.clone(), by })
}

pub(crate) fn remove(acl: &str, direction: Direction, number: u16) -> Step {
    Step::Acl(AclStep::Remove { acl: name(acl), key: key(direction, number) })
}

pub(crate) fn delete(acl: &str) -> Step {
    Step::Acl(AclStep::Delete(name(acl)))
}

/// What hands a subnet over to an ACL by its id.
pub(crate) fn by_id(acl: &str, subnet: &SubnetId) -> Scope {
    let ids = [subnet.clone()].into();
    let handed_over = HandedOver { ids, ..HandedOver::default() };
    Scope { acls: [(name(acl), handed_over)].into(), ..Scope::default() }
}

impl Cloud {
    pub(crate) fn subnet(&self) -> SubnetId {
        SubnetId(self.subnet.as_str().into())
    }

    pub(crate) async fn make_subnet(&self, block: &str, marks: &[(&str, &str)]) -> SubnetId {
        let marks = marks.iter().map(|(key, value)| tags::tag(*key, *value)).collect();
        let marks = TagSpecification::builder().set_tags(Some(marks));
        let marks = marks.resource_type(ResourceType::Subnet).build();
        let made = self.client.create_subnet().vpc_id(&self.aws.config().vpc).cidr_block(block);
        let made = made.tag_specifications(marks).send().await.unwrap();
        SubnetId(made.subnet().and_then(|it| it.subnet_id()).unwrap().into())
    }

    pub(crate) async fn make_acl(&self) -> ForeignAclId {
        let made = self.client.create_network_acl().vpc_id(&self.aws.config().vpc);
        let made = made.send().await.unwrap();
        ForeignAclId(made.network_acl().and_then(|it| it.network_acl_id()).unwrap().into())
    }

    pub(crate) async fn add_entry(&self, acl: &str, number: i32) {
        let request = self.client.create_network_acl_entry().network_acl_id(acl);
        let request =
            request.rule_number(number).egress(false).protocol("6").cidr_block("10.9.0.0/16");
        let ports = PortRange::builder().from(22).to(22).build();
        request.rule_action(RuleAction::Deny).port_range(ports).send().await.unwrap();
    }

    pub(crate) async fn acls(&self) -> Vec<NetworkAcl> {
        let vpc = aws_sdk_ec2::types::Filter::builder().name("vpc-id");
        let vpc = vpc.values(&self.aws.config().vpc).build();
        let answer = self.client.describe_network_acls().filters(vpc).send().await.unwrap();
        answer.network_acls().to_vec()
    }

    /// The id of an ACL of ours.
    pub(crate) async fn acl_id(&self, acl: &str) -> String {
        let all = self.acls().await;
        let ours = all.iter().find(|it| tags::acl("test", it.tags()) == Some(name(acl)));
        ours.unwrap().network_acl_id().unwrap().to_owned()
    }

    pub(crate) async fn default_acl(&self) -> ForeignAclId {
        let all = self.acls().await;
        let default = all.iter().find(|it| it.is_default() == Some(true)).unwrap();
        ForeignAclId(default.network_acl_id().unwrap().into())
    }

    /// Someone lets an ACL guard a subnet.
    pub(crate) async fn associate(&self, subnet: &SubnetId, acl: &str) {
        let all = self.acls().await;
        let mut all = all.iter().flat_map(|acl| acl.associations());
        let former = all.find(|it| it.subnet_id() == Some(&*subnet.0)).unwrap();
        let request = self.client.replace_network_acl_association().network_acl_id(acl);
        let request = request.set_association_id(former.network_acl_association_id.clone());
        request.send().await.unwrap();
    }

    /// Every ACL with its entries and tags, and each subnet with what guards it: all that outlives a change of associations.
    pub(crate) async fn acls_of_all(&self) -> (Vec<String>, BTreeMap<String, String>) {
        let mut guarded = BTreeMap::new();
        let mut all = self.acls().await;
        for acl in &mut all {
            for it in acl.associations.take().unwrap_or_default() {
                guarded.insert(it.subnet_id.unwrap(), it.network_acl_id.unwrap());
            }
        }
        (all.iter().map(|acl| format!("{acl:?}")).collect(), guarded)
    }

    pub(crate) async fn take(&mut self, step: &Step) -> Result<(), ProviderError> {
        execute(&mut self.aws, step).await
    }

    pub(crate) async fn look(&mut self, scope: &Scope) -> Observed {
        Observed::clone(&*self.aws.observe(scope).await.unwrap())
    }
}

/// Makes an ACL with an entry, and gives steps that need each call about ACLs, none of them taken.
pub(crate) async fn steps_of_each_kind(cloud: &mut Cloud) -> Vec<Step> {
    let (subnet, default) = (cloud.subnet(), cloud.default_acl().await);
    cloud.take(&create("pods", &default)).await.unwrap();
    cloud.take(&put("pods", Direction::Ingress, 1, "deny 10.0.0.0/8 all")).await.unwrap();
    vec![
        create("more", &default),
        put("pods", Direction::Ingress, 1, "deny 10.0.0.0/9 all"),
        put("pods", Direction::Egress, 1, "deny 10.0.0.0/8 all"),
        remove("pods", Direction::Ingress, 1),
        guard(&subnet, ours("pods")),
        delete("pods"),
    ]
}
