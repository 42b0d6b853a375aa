//! Which calls the role may make, as far as dry runs tell.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{ResourceType, TagSpecification};
use moat_core::firewall::GroupNumber;
use moat_core::policy::Direction;

use crate::call::Call;
use crate::errors::{Failure, Meaning};
use crate::{Aws, tags, wire};

impl Aws {
    /// The calls that change something and that the role may not make. Nothing is changed.
    ///
    /// EC2 checks permissions on what a call names, so that those for groups and interfaces are asked about the ones that the
    /// last picture showed: before the first one there are none, and then only their creation is asked about. A call that a
    /// dry run says nothing about counts as permitted: it is named when it is refused.
    pub async fn forbidden(&self) -> BTreeSet<Call> {
        let mut answers = vec![self.try_to_create().await];
        if let Some(group) = self.memory.groups.values().next() {
            for direction in Direction::BOTH {
                answers.extend(self.try_to_change(group, direction).await);
            }
            let request = self.client.delete_security_group().group_id(group).dry_run(true);
            let call = Call::DeleteSecurityGroup;
            answers.push(self.send(call, || request.clone().send()).await.map(|_| ()));
        }
        if let Some((interface, worn)) = self.memory.interfaces.first_key_value() {
            let request = self.client.modify_network_interface_attribute().dry_run(true);
            let worn = worn.iter().filter_map(|key| self.id_of(key)).collect();
            let request = request.network_interface_id(&*interface.0).set_groups(Some(worn));
            let call = Call::ModifyNetworkInterfaceAttribute;
            answers.push(self.send(call, || request.clone().send()).await.map(|_| ()));
            let mark = || tags::mark(&self.config.cluster);
            let request = self.client.create_tags().resources(&*interface.0).tags(mark());
            let request = request.dry_run(true);
            answers.push(self.send(Call::CreateTags, || request.clone().send()).await.map(|_| ()));
            let request = self.client.delete_tags().resources(&*interface.0).tags(mark());
            let request = request.dry_run(true);
            answers.push(self.send(Call::DeleteTags, || request.clone().send()).await.map(|_| ()));
        }
        let refused = answers.into_iter().filter_map(Result::err);
        let refused = refused.filter(|failure| failure.meaning == Meaning::Unauthorized);
        refused.map(|failure| failure.call).collect()
    }

    async fn try_to_create(&self) -> Result<(), Failure> {
        let cluster = &self.config.cluster;
        let number = GroupNumber::nth(0);
        let tags = TagSpecification::builder().resource_type(ResourceType::SecurityGroup);
        let tags = tags.set_tags(Some(tags::owner(cluster, number))).build();
        let request = self.client.create_security_group().dry_run(true).description("Moat");
        let request = request.group_name(number.name(cluster)).vpc_id(&self.config.vpc);
        let request = request.tag_specifications(tags);
        self.send(Call::CreateSecurityGroup, || request.clone().send()).await.map(|_| ())
    }

    async fn try_to_change(&self, group: &str, direction: Direction) -> [Result<(), Failure>; 2] {
        let some = || Some(wire::default_egress([moat_core::net::Family::V4]));
        let tags = TagSpecification::builder().resource_type(ResourceType::SecurityGroupRule);
        let tags = tags.tags(tags::mark(&self.config.cluster)).build();
        match direction {
            Direction::Ingress => {
                let add = self.client.authorize_security_group_ingress().group_id(group);
                let add = add.set_ip_permissions(some()).tag_specifications(tags).dry_run(true);
                let remove = self.client.revoke_security_group_ingress().group_id(group);
                let remove = remove.set_ip_permissions(some()).dry_run(true);
                let add_call = Call::AuthorizeSecurityGroupIngress;
                let remove_call = Call::RevokeSecurityGroupIngress;
                [
                    self.send(add_call, || add.clone().send()).await.map(|_| ()),
                    self.send(remove_call, || remove.clone().send()).await.map(|_| ()),
                ]
            }
            Direction::Egress => {
                let add = self.client.authorize_security_group_egress().group_id(group);
                let add = add.set_ip_permissions(some()).tag_specifications(tags).dry_run(true);
                let remove = self.client.revoke_security_group_egress().group_id(group);
                let remove = remove.set_ip_permissions(some()).dry_run(true);
                let add_call = Call::AuthorizeSecurityGroupEgress;
                let remove_call = Call::RevokeSecurityGroupEgress;
                [
                    self.send(add_call, || add.clone().send()).await.map(|_| ()),
                    self.send(remove_call, || remove.clone().send()).await.map(|_| ()),
                ]
            }
        }
    }
}
