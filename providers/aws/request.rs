//! The calls themselves, one function each: what is sent, and what is taken from the answer.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{
    Filter, IpPermission, NetworkInterface, ResourceType, SecurityGroup, SecurityGroupRule, Tag,
    TagSpecification,
};
use moat_core::net::Prefix;
use moat_core::policy::Direction;
use moat_core::provider::{ProviderError, RuleId};

use crate::Aws;
use crate::call::Call;
use crate::errors::Failure;
use crate::tags;

/// How many values a filter can have ("List and filter your resources", EC2 User Guide).
pub(crate) const VALUES: usize = 200;

/// All pages of an answer.
macro_rules! all_pages {
    ($aws:expr, $call:expr, $request:expr, $field:ident) => {{
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let request = $request.max_results($aws.config.page).set_next_token(token);
            let answer = $aws.send($call, || request.clone().send()).await?;
            all.extend(answer.$field.unwrap_or_default());
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break all;
            }
        }
    }};
}

/// A call that changes something.
macro_rules! change {
    ($aws:ident, $run:ident, $call:ident: $request:ident$(.$set:ident($value:expr))+) => {{
        let request = $aws.client.$request().dry_run($run.is_dry())$(.$set($value))+;
        $aws.send(Call::$call, || request.clone().send()).await
    }};
}

mod acl;

fn filter(name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    let values = values.into_iter().map(Into::into).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

impl Aws {
    /// The one way out.
    pub(crate) async fn send<T, E, F>(
        &self,
        call: Call,
        request: impl Fn() -> F + Send,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let attempt = || {
            let request = request();
            // On the heap, since few are under way of the many that wait.
            Box::pin(async move { request.await.map_err(|error| Failure::of(call, &error)) })
        };
        self.pace.send(call, attempt).await
    }

    /// What the caller of the port is told of a failure.
    pub(crate) fn told(&self, failure: Failure, subject: &str) -> ProviderError {
        let known = self.limits.as_ref().map(|limits| limits.quotas);
        failure.about(subject, &known.unwrap_or(self.config.quotas))
    }
}

// ----------------------------------------------------------------------------------------------- Reading

impl Aws {
    /// The address blocks of the VPC, of both families.
    pub(crate) async fn read_blocks(&self) -> Result<Vec<Prefix>, ProviderError> {
        let vpc = &self.config.vpc;
        let request = self.client.describe_vpcs().filters(filter("vpc-id", [vpc]));
        let answer = self.send(Call::DescribeVpcs, || request.clone().send()).await;
        let answer = answer.map_err(|failure| self.told(failure, vpc))?;
        let found = answer.vpcs().first();
        let found = found.ok_or_else(|| ProviderError::not_found(vpc))?;
        let v4 = found.cidr_block_association_set().iter().filter_map(|it| it.cidr_block());
        let v6 = found.ipv6_cidr_block_association_set().iter();
        let v6 = v6.filter_map(|it| it.ipv6_cidr_block());
        let all = found.cidr_block().into_iter().chain(v4).chain(v6);
        let blocks: BTreeSet<Prefix> = all.filter_map(|block| block.parse().ok()).collect();
        Ok(blocks.into_iter().collect())
    }

    /// Every interface of the VPC.
    pub(crate) async fn read_interfaces(&self) -> Result<Vec<NetworkInterface>, Failure> {
        let request = self.client.describe_network_interfaces();
        let request = request.filters(filter("vpc-id", [&self.config.vpc]));
        let call = Call::DescribeNetworkInterfaces;
        Ok(all_pages!(self, call, request.clone(), network_interfaces))
    }

    /// The interfaces of these ids that are in the VPC.
    pub(crate) async fn read_interfaces_by_id(
        &self,
        ids: &BTreeSet<&str>,
    ) -> Result<Vec<NetworkInterface>, Failure> {
        let ids: Vec<&str> = ids.iter().copied().collect();
        let mut all = Vec::new();
        for ids in ids.chunks(VALUES) {
            let request = self.client.describe_network_interfaces();
            let request = request.filters(filter("network-interface-id", ids.iter().copied()));
            let request = request.filters(filter("vpc-id", [&self.config.vpc]));
            let call = Call::DescribeNetworkInterfaces;
            all.extend(all_pages!(self, call, request.clone(), network_interfaces));
        }
        Ok(all)
    }

    /// The interface of this id, if it is in the VPC.
    pub(crate) async fn read_interface(
        &self,
        id: &str,
    ) -> Result<Option<NetworkInterface>, Failure> {
        let found = self.read_interfaces_by_id(&[id].into()).await?;
        Ok(found.into_iter().find(|it| it.network_interface_id() == Some(id)))
    }

    /// Every group of the VPC.
    pub(crate) async fn read_groups(&self) -> Result<Vec<SecurityGroup>, Failure> {
        self.groups_where("vpc-id", &[&self.config.vpc]).await
    }

    /// The groups of these ids, of whatever VPC.
    pub(crate) async fn read_groups_by_id(
        &self,
        ids: &BTreeSet<&str>,
    ) -> Result<Vec<SecurityGroup>, Failure> {
        let ids: Vec<&str> = ids.iter().copied().collect();
        let mut all = Vec::new();
        for ids in ids.chunks(VALUES) {
            all.extend(self.groups_where("group-id", ids).await?);
        }
        Ok(all)
    }

    /// The groups of these names in the VPC.
    pub(crate) async fn read_groups_by_name(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<Vec<SecurityGroup>, Failure> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut all = Vec::new();
        for names in names.chunks(VALUES) {
            all.extend(self.groups_where("group-name", names).await?);
        }
        all.retain(|group| group.vpc_id() == Some(&self.config.vpc));
        Ok(all)
    }

    async fn groups_where(
        &self,
        name: &str,
        values: &[&str],
    ) -> Result<Vec<SecurityGroup>, Failure> {
        let request =
            self.client.describe_security_groups().filters(filter(name, values.iter().copied()));
        Ok(all_pages!(self, Call::DescribeSecurityGroups, request.clone(), security_groups))
    }

    /// The rules that bear the cluster's tag, in whatever VPC.
    pub(crate) async fn read_marked_rules(&self) -> Result<Vec<SecurityGroupRule>, Failure> {
        let name = format!("tag:{}", tags::CLUSTER);
        self.rules_where(&name, &[&self.config.cluster]).await
    }

    /// Every rule of these groups.
    pub(crate) async fn read_rules_of(
        &self,
        groups: &BTreeSet<&str>,
    ) -> Result<Vec<SecurityGroupRule>, Failure> {
        let groups: Vec<&str> = groups.iter().copied().collect();
        let mut all = Vec::new();
        for groups in groups.chunks(VALUES) {
            all.extend(self.rules_where("group-id", groups).await?);
        }
        Ok(all)
    }

    async fn rules_where(
        &self,
        name: &str,
        values: &[&str],
    ) -> Result<Vec<SecurityGroupRule>, Failure> {
        let request = self.client.describe_security_group_rules();
        let request = request.filters(filter(name, values.iter().copied()));
        let call = Call::DescribeSecurityGroupRules;
        Ok(all_pages!(self, call, request.clone(), security_group_rules))
    }

    /// The blocks of a prefix list.
    pub(crate) async fn read_list(&self, list: &str) -> Result<BTreeSet<Prefix>, Failure> {
        let request = self.client.get_managed_prefix_list_entries().prefix_list_id(list);
        let call = Call::GetManagedPrefixListEntries;
        let entries = all_pages!(self, call, request.clone(), entries);
        Ok(entries.iter().filter_map(|entry| entry.cidr()?.parse().ok()).collect())
    }
}

// ---------------------------------------------------------------------------------------------- Changing

/// Whether a call is made, or EC2 is only asked whether it may be made (`DryRun`, EC2 API reference).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// It takes effect.
    Real,
    /// It has none.
    Dry,
}

impl Run {
    const fn is_dry(self) -> bool {
        matches!(self, Self::Dry)
    }
}

impl Aws {
    /// Makes a group; gives its id.
    pub(crate) async fn create(
        &self,
        run: Run,
        name: &str,
        tags: Vec<Tag>,
    ) -> Result<String, Failure> {
        let (description, vpc) =
            (format!("Moat, cluster {}", self.config.cluster), &self.config.vpc);
        let tags = TagSpecification::builder().set_tags(Some(tags));
        let tags = tags.resource_type(ResourceType::SecurityGroup).build();
        let answer = change!(
            self, run, CreateSecurityGroup: create_security_group
                .group_name(name).description(description).vpc_id(vpc).tag_specifications(tags)
        )?;
        Ok(answer.group_id.unwrap_or_default())
    }

    /// Adds rules to a group, all with the cluster's tag.
    pub(crate) async fn add(
        &self,
        run: Run,
        group: &str,
        direction: Direction,
        permissions: Vec<IpPermission>,
    ) -> Result<(), Failure> {
        let mark = TagSpecification::builder().resource_type(ResourceType::SecurityGroupRule);
        let mark = mark.tags(tags::mark(&self.config.cluster)).build();
        let permissions = Some(permissions);
        match direction {
            Direction::Ingress => change!(
                self, run, AuthorizeSecurityGroupIngress: authorize_security_group_ingress
                    .group_id(group).set_ip_permissions(permissions).tag_specifications(mark)
            )
            .map(drop),
            Direction::Egress => change!(
                self, run, AuthorizeSecurityGroupEgress: authorize_security_group_egress
                    .group_id(group).set_ip_permissions(permissions).tag_specifications(mark)
            )
            .map(drop),
        }
    }

    /// Removes rules of a group by their ids.
    pub(crate) async fn remove(
        &self,
        run: Run,
        group: &str,
        direction: Direction,
        rules: BTreeSet<RuleId>,
    ) -> Result<(), Failure> {
        let ids = Some(rules.into_iter().map(|id| id.0.to_string()).collect());
        match direction {
            Direction::Ingress => change!(
                self, run, RevokeSecurityGroupIngress: revoke_security_group_ingress
                    .group_id(group).set_security_group_rule_ids(ids)
            )
            .map(drop),
            Direction::Egress => change!(
                self, run, RevokeSecurityGroupEgress: revoke_security_group_egress
                    .group_id(group).set_security_group_rule_ids(ids)
            )
            .map(drop),
        }
    }

    /// Removes egress rules of a group by what they say.
    pub(crate) async fn remove_egress(
        &self,
        run: Run,
        group: &str,
        permissions: Vec<IpPermission>,
    ) -> Result<(), Failure> {
        change!(
            self, run, RevokeSecurityGroupEgress: revoke_security_group_egress
                .group_id(group).set_ip_permissions(Some(permissions))
        )
        .map(drop)
    }

    /// Lets an interface wear exactly these groups.
    pub(crate) async fn dress(
        &self,
        run: Run,
        interface: &str,
        groups: BTreeSet<String>,
    ) -> Result<(), Failure> {
        let groups = Some(groups.into_iter().collect());
        change!(
            self, run, ModifyNetworkInterfaceAttribute: modify_network_interface_attribute
                .network_interface_id(interface).set_groups(groups)
        )
        .map(drop)
    }

    /// Sets tags.
    pub(crate) async fn tag(
        &self,
        run: Run,
        resource: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let tags = tags.iter().map(|(key, value)| tags::tag(key, value)).collect();
        change!(
            self, run, CreateTags: create_tags
                .resources(resource).set_tags(Some(tags))
        )
        .map(drop)
    }

    /// Removes tags, whatever their values.
    pub(crate) async fn untag(
        &self,
        run: Run,
        resource: &str,
        keys: impl IntoIterator<Item = &String>,
    ) -> Result<(), Failure> {
        let tags = keys.into_iter().map(|key| Tag::builder().key(key).build()).collect();
        change!(
            self, run, DeleteTags: delete_tags
                .resources(resource).set_tags(Some(tags))
        )
        .map(drop)
    }

    /// Deletes a group.
    pub(crate) async fn delete(&self, run: Run, group: &str) -> Result<(), Failure> {
        change!(self, run, DeleteSecurityGroup: delete_security_group.group_id(group)).map(drop)
    }
}
