//! The calls about network ACLs and what they guard.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use aws_sdk_ec2::types::{
    NetworkAcl, NetworkAclEntry, NetworkInterface, ResourceType, Subnet, Tag, TagSpecification,
};
use moat_core::firewall::{AclName, EntryKey};
use moat_core::policy::Direction;

use super::{Run, VALUES, filter};
use crate::Aws;
use crate::call::Call;
use crate::errors::Failure;
use crate::tags;

// ----------------------------------------------------------------------------------------------- Reading

impl Aws {
    /// Every network ACL of the VPC, with its entries and its associations.
    pub(crate) async fn read_acls(&self) -> Result<Vec<NetworkAcl>, Failure> {
        let request = self.client.describe_network_acls();
        let request = request.filters(filter("vpc-id", [&self.config.vpc]));
        Ok(all_pages!(self, Call::DescribeNetworkAcls, request.clone(), network_acls))
    }

    /// Those of them that bear the tags of ours with this name.
    pub(crate) async fn read_own_acls(&self, acl: &AclName) -> Result<Vec<NetworkAcl>, Failure> {
        let tag = |key: &str, value: &str| filter(&format!("tag:{key}"), [value]);
        let request = self.client.describe_network_acls();
        let request = request.filters(filter("vpc-id", [&self.config.vpc]));
        let request = request.filters(tag(tags::CLUSTER, &self.config.cluster));
        let request = request.filters(tag(tags::ACL, &acl.0));
        Ok(all_pages!(self, Call::DescribeNetworkAcls, request.clone(), network_acls))
    }

    /// Every subnet of the VPC.
    pub(crate) async fn read_subnets(&self) -> Result<Vec<Subnet>, Failure> {
        let request = self.client.describe_subnets();
        let request = request.filters(filter("vpc-id", [&self.config.vpc]));
        Ok(all_pages!(self, Call::DescribeSubnets, request.clone(), subnets))
    }

    /// The interfaces that lie in these subnets.
    pub(crate) async fn read_interfaces_in(
        &self,
        subnets: &BTreeSet<&str>,
    ) -> Result<Vec<NetworkInterface>, Failure> {
        let subnets: Vec<&str> = subnets.iter().copied().collect();
        let mut all = Vec::new();
        for subnets in subnets.chunks(VALUES) {
            let request = self.client.describe_network_interfaces();
            let request = request.filters(filter("subnet-id", subnets.iter().copied()));
            let call = Call::DescribeNetworkInterfaces;
            all.extend(all_pages!(self, call, request.clone(), network_interfaces));
        }
        Ok(all)
    }
}

// ---------------------------------------------------------------------------------------------- Changing

impl Aws {
    /// Makes a network ACL; gives its id. However often it is sent, one token makes one.
    pub(crate) async fn create_acl(&self, run: Run, tags: Vec<Tag>) -> Result<String, Failure> {
        let tags = TagSpecification::builder().set_tags(Some(tags));
        let tags = tags.resource_type(ResourceType::NetworkAcl).build();
        let vpc = &self.config.vpc;
        // Keys of the standard library's hashes are random, and no two are alike.
        let token = format!("moat-{:016x}", RandomState::new().hash_one(&self.config.cluster));
        let answer = change!(
            self, run, CreateNetworkAcl: create_network_acl
                .vpc_id(vpc).tag_specifications(tags).client_token(token)
        )?;
        let acl = answer.network_acl.and_then(|acl| acl.network_acl_id);
        Ok(acl.unwrap_or_default())
    }

    /// Adds an entry to a network ACL.
    pub(crate) async fn add_entry(
        &self,
        run: Run,
        acl: &str,
        row: NetworkAclEntry,
    ) -> Result<(), Failure> {
        change!(
            self, run, CreateNetworkAclEntry: create_network_acl_entry
                .network_acl_id(acl).set_egress(row.egress).set_rule_number(row.rule_number)
                .set_rule_action(row.rule_action).set_protocol(row.protocol)
                .set_cidr_block(row.cidr_block).set_ipv6_cidr_block(row.ipv6_cidr_block)
                .set_port_range(row.port_range).set_icmp_type_code(row.icmp_type_code)
        )
        .map(drop)
    }

    /// Puts an entry in place of the one of its number and direction.
    pub(crate) async fn replace_entry(
        &self,
        run: Run,
        acl: &str,
        row: NetworkAclEntry,
    ) -> Result<(), Failure> {
        change!(
            self, run, ReplaceNetworkAclEntry: replace_network_acl_entry
                .network_acl_id(acl).set_egress(row.egress).set_rule_number(row.rule_number)
                .set_rule_action(row.rule_action).set_protocol(row.protocol)
                .set_cidr_block(row.cidr_block).set_ipv6_cidr_block(row.ipv6_cidr_block)
                .set_port_range(row.port_range).set_icmp_type_code(row.icmp_type_code)
        )
        .map(drop)
    }

    /// Removes an entry from a network ACL.
    pub(crate) async fn remove_entry(
        &self,
        run: Run,
        acl: &str,
        key: EntryKey,
    ) -> Result<(), Failure> {
        let egress = key.direction == Direction::Egress;
        change!(
            self, run, DeleteNetworkAclEntry: delete_network_acl_entry
                .network_acl_id(acl).egress(egress).rule_number(key.number.get().into())
        )
        .map(drop)
    }

    /// Lets a network ACL guard the subnet of an association, which ends; gives the new one's id.
    pub(crate) async fn associate(
        &self,
        run: Run,
        association: &str,
        acl: &str,
    ) -> Result<String, Failure> {
        let answer = change!(
            self, run, ReplaceNetworkAclAssociation: replace_network_acl_association
                .association_id(association).network_acl_id(acl)
        )?;
        Ok(answer.new_association_id.unwrap_or_default())
    }

    /// Deletes a network ACL.
    pub(crate) async fn delete_acl(&self, run: Run, acl: &str) -> Result<(), Failure> {
        change!(self, run, DeleteNetworkAcl: delete_network_acl.network_acl_id(acl)).map(drop)
    }
}
