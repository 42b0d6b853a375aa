//! The contract of a provider, against LocalStack.
//!
//! What LocalStack cannot hold: an interface that another service requested, so that one that is fixed is shared here; both are
//! for Moat to leave alone.
//!
//! What LocalStack cannot hold without our fixes is named by `.ci/published`, which runs the rest. Nor does the ICMP bar hold
//! there: it reads 4,000 rules back for longer than a call may take. Nor Service Quotas: limits are assumed there, as they are
//! where a role may not ask.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use moat_aws::time::Time;
use moat_aws::{Aws, Config, tags, wire};
use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Rule};
use moat_core::inventory::{Attachment, InterfaceId};
use moat_core::policy::Direction;
use moat_core::settings::Quotas;
use moat_tests::contract::Fixture;

use crate::localstack::{account, client, endpoint, quotas_client, run};

/// A VPC of an account of its own, dual-stack, with one subnet.
pub(crate) struct Cloud {
    pub(crate) account: String,
    pub(crate) client: Client,
    pub(crate) aws: Aws,
    pub(crate) time: Time,
    pub(crate) subnet: String,
    made: usize,
}

impl Cloud {
    pub(crate) fn new(page: i32) -> Self {
        run(Self::make(page))
    }

    pub(crate) async fn make(page: i32) -> Self {
        let account = account();
        let client = client(&account);
        let vpc = client.create_vpc().cidr_block("10.0.0.0/16");
        let vpc = vpc.amazon_provided_ipv6_cidr_block(true).send().await.unwrap();
        let vpc = vpc.vpc().and_then(|vpc| vpc.vpc_id()).unwrap().to_owned();
        let subnet = client.create_subnet().vpc_id(&vpc).cidr_block("10.0.0.0/20");
        let subnet = subnet.send().await.unwrap();
        let subnet = subnet.subnet().and_then(|subnet| subnet.subnet_id()).unwrap().to_owned();
        let config = Config {
            page,
            quotas: Quotas::default(),
            cooldown: std::time::Duration::from_secs(30),
            ..Config::new("test", vpc)
        };
        let time = Time::simulated();
        let aws = Aws::new(&client, config, time.clone());
        let aws = aws.asking(&quotas_client(&account, endpoint()));
        Self { account, client, aws, time, subnet, made: 0 }
    }

    /// The id of a group of ours, read past the provider.
    pub(crate) async fn id(&self, number: GroupNumber) -> String {
        let of =
            |key, value: String| Filter::builder().name(format!("tag:{key}")).values(value).build();
        let groups = self.client.describe_security_groups();
        let groups = groups.filters(of(tags::CLUSTER, self.aws.config().cluster.clone()));
        let groups = groups.filters(of(tags::NUMBER, number.0.to_string()));
        let groups = groups.send().await.unwrap();
        groups.security_groups()[0].group_id().unwrap().to_owned()
    }

    async fn authorize(&self, group: &str, rule: Rule, description: &str) {
        let direction = rule.direction;
        let rules = BTreeMap::from([(rule, description.to_owned())]);
        let theirs = |key: &GroupKey| match key {
            GroupKey::Foreign(id) => Some(id.0.to_string()),
            GroupKey::Ours(_) => None,
        };
        let permissions = wire::permissions(&rules, theirs).unwrap();
        match direction {
            Direction::Ingress => {
                let call = self.client.authorize_security_group_ingress().group_id(group);
                call.set_ip_permissions(Some(permissions)).send().await.unwrap();
            }
            Direction::Egress => {
                let call = self.client.authorize_security_group_egress().group_id(group);
                call.set_ip_permissions(Some(permissions)).send().await.unwrap();
            }
        }
    }

    /// What EC2's merged form says of a group.
    async fn merged(&self, group: &str) -> Vec<Rule> {
        let groups = self.client.describe_security_groups().group_ids(group);
        let groups = groups.send().await.unwrap();
        let group = &groups.security_groups()[0];
        let key = |id: &str| GroupKey::Foreign(ForeignGroupId(id.into()));
        let ingress = wire::merged(Direction::Ingress, group.ip_permissions(), &key);
        let egress = wire::merged(Direction::Egress, group.ip_permissions_egress(), &key);
        let all = ingress.into_iter().chain(egress);
        all.map(|reading| match reading {
            wire::Reading::Rule(rule) => rule,
            wire::Reading::List { .. } | wire::Reading::Unreadable { .. } => panic!("{reading:?}"),
        })
        .collect()
    }
}

impl Fixture for Cloud {
    type Provider = Aws;

    fn provider(&mut self) -> &mut Aws {
        &mut self.aws
    }

    fn restart(&mut self) {
        let aws = Aws::new(&self.client, self.aws.config().clone(), self.time.clone());
        self.aws = aws.asking(&quotas_client(&self.account, endpoint()));
    }

    async fn make_group(&mut self, rules: BTreeSet<Rule>) -> ForeignGroupId {
        self.made += 1;
        let request = self.client.create_security_group().description("theirs");
        let request = request.group_name(format!("theirs-{}", self.made));
        let group = request.vpc_id(&self.aws.config().vpc).send().await.unwrap();
        let id = group.group_id().unwrap();
        let default = self.client.describe_security_groups().group_ids(id).send().await.unwrap();
        let default = default.security_groups()[0].ip_permissions_egress().to_vec();
        let revoke = self.client.revoke_security_group_egress().group_id(id);
        revoke.set_ip_permissions(Some(default)).send().await.unwrap();
        for rule in rules {
            self.authorize(id, rule, "theirs").await;
        }
        ForeignGroupId(id.into())
    }

    async fn rules_of(&mut self, group: ForeignGroupId) -> BTreeSet<Rule> {
        self.merged(&group.0).await.into_iter().collect()
    }

    async fn delete_group(&mut self, group: ForeignGroupId) {
        self.client.delete_security_group().group_id(&*group.0).send().await.unwrap();
    }

    async fn make_interface(
        &mut self,
        attachment: Attachment,
        groups: BTreeSet<ForeignGroupId>,
    ) -> InterfaceId {
        let tags = match attachment {
            Attachment::Exclusive => vec![tags::tag(tags::BRANCH, "1")],
            Attachment::Fixed | Attachment::Released | Attachment::Shared => {
                vec![tags::tag("Name", "node")]
            }
        };
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::NetworkInterface)
            .set_tags(Some(tags))
            .build();
        let request = self.client.create_network_interface().subnet_id(&self.subnet);
        let groups = groups.iter().map(|id| id.0.to_string()).collect();
        let request = request.set_groups(Some(groups)).tag_specifications(tags);
        let made = request.send().await.unwrap();
        let id = made.network_interface().and_then(|it| it.network_interface_id());
        InterfaceId(id.unwrap().into())
    }

    async fn make_address(&mut self, interface: InterfaceId) -> IpAddr {
        let request = self.client.assign_private_ip_addresses();
        let request = request.network_interface_id(&*interface.0);
        request.secondary_private_ip_address_count(1).send().await.unwrap();
        let found = self.client.describe_network_interfaces();
        let found = found.network_interface_ids(&*interface.0).send().await.unwrap();
        let addresses = found.network_interfaces()[0].private_ip_addresses();
        let secondary = addresses.iter().find(|address| address.primary() == Some(false)).unwrap();
        secondary.private_ip_address().unwrap().parse().unwrap()
    }

    async fn dress(&mut self, interface: InterfaceId, groups: BTreeSet<ForeignGroupId>) {
        let request = self.client.modify_network_interface_attribute();
        let request = request.network_interface_id(&*interface.0);
        let groups = groups.iter().map(|id| id.0.to_string()).collect();
        request.set_groups(Some(groups)).send().await.unwrap();
    }

    async fn add_rule(&mut self, group: GroupNumber, rule: Rule, description: &'static str) {
        self.authorize(&self.id(group).await, rule, description).await;
    }

    async fn untag_group(&mut self, group: GroupNumber) {
        let untag = self.client.delete_tags().resources(self.id(group).await);
        let keys = [tags::CLUSTER, tags::NUMBER].map(|key| Tag::builder().key(key).build());
        untag.set_tags(Some(keys.into())).send().await.unwrap();
    }

    async fn remove_rule(&mut self, group: GroupNumber, rule: Rule) {
        let id = self.id(group).await;
        let rules = BTreeMap::from([(rule, String::new())]);
        let permissions = wire::permissions(&rules, |_| None).unwrap();
        let request = self.client.revoke_security_group_ingress().group_id(id);
        request.set_ip_permissions(Some(permissions)).send().await.unwrap();
    }
}

mod in_one_page {
    use super::*;
    moat_tests::contract! { Cloud::new(1_000), run }
}

/// Pages are as short as EC2 allows.
mod in_short_pages {
    use super::*;
    moat_tests::contract! { Cloud::new(5), run }
}
