//! What others do to our groups: it is seen, and can be taken back, whatever it is.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    AddPrefixListEntry, Filter, IpPermission, IpRange, PrefixListId, Tag, UserIdGroupPair,
};
use moat_aws::tags::CLUSTER;
use moat_core::firewall::{GroupKey, Rule};
use moat_core::policy::Direction;
use moat_core::provider::{Observed, Provider, Scope, Step};
use moat_tests::contract::{Fixture, execute};

use crate::calls::{authorize, group};
use crate::contract::Cloud;
use crate::localstack::run;

fn texts(rules: impl IntoIterator<Item = Rule>) -> Vec<String> {
    rules.into_iter().map(|rule| rule.to_string()).collect()
}

#[test]
fn rules_of_every_kind_that_others_add_are_seen_and_revoked_by_their_ids() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let nothing = Scope::default();
        execute(&mut cloud.aws, &Step::CreateGroup(group(0))).await.unwrap();
        execute(&mut cloud.aws, &authorize(0, Direction::Ingress, 80..82)).await.unwrap();
        let before = cloud.aws.observe(&nothing).await.unwrap();
        let id = cloud.id(group(0)).await;

        let list = cloud.client.create_managed_prefix_list().prefix_list_name("theirs");
        let list = list.max_entries(5).address_family("IPv4");
        let list = list.entries(AddPrefixListEntry::builder().cidr("192.0.2.0/24").build());
        let list = list.entries(AddPrefixListEntry::builder().cidr("198.51.100.0/24").build());
        let list = list.send().await.unwrap().prefix_list.unwrap().prefix_list_id.unwrap();
        let theirs = cloud.make_group(BTreeSet::new()).await;

        let permission = |protocol: &str, from, to| {
            IpPermission::builder().ip_protocol(protocol).from_port(from).to_port(to)
        };
        let block = |text: &str| IpRange::builder().cidr_ip(text).build();
        let pair = UserIdGroupPair::builder().group_id(&*theirs.0).build();
        let listed = PrefixListId::builder().prefix_list_id(&list).build();
        let added = [
            permission("1", 3, -1).ip_ranges(block("10.1.2.3/16")),
            permission("17", 53, 53).user_id_group_pairs(pair),
            permission("47", 0, 65_535).ip_ranges(block("10.0.0.0/8")),
            permission("tcp", 443, 443).prefix_list_ids(listed),
        ];
        for permission in added {
            let request = cloud.client.authorize_security_group_ingress().group_id(&id);
            request.ip_permissions(permission.build()).send().await.unwrap();
        }
        let observed = cloud.aws.observe(&nothing).await.unwrap();
        let rules = |observed: &Observed| observed.state.groups[&GroupKey::Ours(group(0))].clone();
        let new: BTreeSet<Rule> = rules(&observed).difference(&rules(&before)).cloned().collect();
        let theirs = &theirs.0;
        let mut wanted = vec![
            "ingress 10.0.0.0/8 47".to_owned(),
            "ingress 10.1.0.0/16 icmp/3".to_owned(),
            "ingress 192.0.2.0/24 tcp/443".to_owned(),
            "ingress 198.51.100.0/24 tcp/443".to_owned(),
            format!("ingress {theirs} udp/53"),
        ];
        let mut seen = texts(new.clone());
        wanted.sort();
        seen.sort();
        let protocol = |text: &String| text.replace(" proto/47", " 47");
        assert_eq!(seen.iter().map(protocol).collect::<Vec<_>>(), wanted);

        // What no rule can say is told as it is spelled.
        let spelled: Vec<&String> = observed.unreadable.values().collect();
        assert_eq!(spelled, [&format!("ingress {list} tcp/443")]);

        let revoke = Step::Revoke { group: group(0), direction: Direction::Ingress, rules: new };
        execute(&mut cloud.aws, &revoke).await.unwrap();
        assert_eq!(cloud.aws.observe(&nothing).await.unwrap(), before);
    });
}

/// A rule whose tag someone removed is ours all the same: its group says so.
#[test]
fn a_rule_without_its_tag_is_still_seen() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let nothing = Scope::default();
        execute(&mut cloud.aws, &Step::CreateGroup(group(0))).await.unwrap();
        execute(&mut cloud.aws, &authorize(0, Direction::Egress, 80..82)).await.unwrap();
        let mut wanted = Observed::clone(&*cloud.aws.observe(&nothing).await.unwrap());
        assert_eq!(wanted.unmarked, BTreeSet::new());
        let (key, rule) = wanted.rule_ids.first_key_value().unwrap();
        let (key, rule) = (key.clone(), rule.0.to_string());
        let marked = cloud.client.describe_security_group_rules();
        let of_cluster = Filter::builder().name("tag:moat.dev/cluster").values("test").build();
        let untag = cloud.client.delete_tags().resources(rule);
        untag.tags(Tag::builder().key(CLUSTER).build()).send().await.unwrap();
        let left = marked.filters(of_cluster).send().await.unwrap();
        assert_eq!(left.security_group_rules().len(), 1, "the other one still bears its tag");
        wanted.unmarked.insert(key);
        assert_eq!(*cloud.aws.observe(&nothing).await.unwrap(), wanted);
    });
}

/// A group whose tags someone removed is no longer ours: it is neither read nor written, and its name is not taken over.
#[test]
fn a_group_without_its_tags_is_someone_elses() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let nothing = Scope::default();
        execute(&mut cloud.aws, &Step::CreateGroup(group(0))).await.unwrap();
        let id = cloud.id(group(0)).await;
        cloud.aws.observe(&nothing).await.unwrap();
        let untag = cloud.client.delete_tags().resources(id);
        untag.tags(Tag::builder().key(CLUSTER).build()).send().await.unwrap();
        assert!(cloud.aws.observe(&nothing).await.unwrap().state.groups.is_empty());
        for step in [Step::CreateGroup(group(0)), Step::DeleteGroup(group(0))] {
            assert!(execute(&mut cloud.aws, &step).await.is_err(), "{step}");
        }
    });
}
