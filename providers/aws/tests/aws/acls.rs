//! Network ACLs of ours, from their making to their end, beside those of others. All of it needs the fixes: LocalStack as published
//! loses ICMP, has no final denies and no limit of entries.

pub(crate) mod world;

use std::collections::{BTreeMap, BTreeSet};

use moat_aws::tags;
use moat_core::firewall::{Acl, AclKey, Entry, ForeignAclId};
use moat_core::inventory::{Attachment, Subnet, SubnetId};
use moat_core::net::Shape;
use moat_core::policy::Direction;
use moat_core::provider::{
    AclStep, HandedOver, Observed, Provider, ProviderError, QuotaKind, Scope, Step, Touched,
};
use moat_tests::contract::Fixture;
use serde_json::json;

use crate::calls::counted;
use crate::contract::Cloud;
use crate::icmp::every_message;
use crate::localstack::{ask, run};

use world::*;

#[test]
fn every_type_and_code_comes_back_from_the_entries_that_say_it() {
    let mut cloud = Cloud::new(1_000);
    let quotas = json!({"quotas": {"entries_per_acl": 5_000}});
    ask("PUT", &format!("/_faults/{}", cloud.account), &quotas.to_string());
    run(async {
        let prior = cloud.default_acl().await;
        let scope = Scope::default();
        cloud.look(&scope).await;
        cloud.take(&create("pods", &prior)).await.unwrap();
        let mut wanted = Acl::default();
        for direction in Direction::BOTH {
            let v4 = every_message().into_iter().map(|it| ("10.0.0.0/8", Shape::Icmp(it)));
            let v6 = every_message().into_iter().map(|it| ("2001:db8::/32", Shape::Icmpv6(it)));
            for ((block, shape), number) in v4.chain(v6).zip(1..) {
                let deny = entry(&format!("deny {block} all"));
                wanted.0.insert(key(direction, number), Entry { shape, ..deny });
            }
        }
        let steps = wanted.0.iter().map(|(key, entry)| {
            Step::Acl(AclStep::Put { acl: name("pods"), key: *key, entry: *entry })
        });
        let steps: Vec<Step> = steps.collect();
        for answer in cloud.aws.execute(&steps.iter().collect::<Vec<_>>()).await {
            answer.unwrap();
        }
        let observed = cloud.look(&scope).await;
        assert_eq!(observed.state.acls[&ours("pods")], wanted);
        let raw = cloud.acls().await;
        let raw = raw.iter().find(|acl| tags::acl("test", acl.tags()).is_some()).unwrap();
        let told: BTreeSet<_> = raw
            .entries()
            .iter()
            .filter_map(|row| {
                let it = row.icmp_type_code()?;
                Some((row.egress(), row.protocol(), it.r#type(), it.code()))
            })
            .collect();
        assert_eq!(told.len(), wanted.0.len(), "each is another one on the wire");
        println!(
            "{} ICMP entries written and read back equal, both families and directions",
            told.len()
        );
        assert_eq!(told.len(), 4 * (256 * 4 + 1));
    });
}

#[test]
fn an_acl_is_made_filled_guards_changes_in_place_gives_back_and_goes() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let (subnet, default) = (cloud.subnet(), cloud.default_acl().await);
        let theirs = cloud.make_acl().await;
        cloud.add_entry(&theirs.0, 50).await;
        cloud.associate(&subnet, &theirs.0).await;
        let neighbour = cloud.make_subnet("10.0.32.0/20", &[("Name", "nodes")]).await;
        let start = cloud.acls_of_all().await;
        let scope = by_id("pods", &subnet);
        let touched = Touched { acls: true, ..Touched::default() };

        let first = cloud.look(&scope).await;
        let told = |has_others| Subnet {
            blocks: vec!["10.0.0.0/20".parse().unwrap()],
            acl: name("pods"),
            prior: theirs.clone(),
            has_others,
        };
        assert_eq!(first.subnets, [(subnet.clone(), told(false))].into());
        let foreign = AclKey::Foreign(theirs.clone());
        let by_hand = (key(Direction::Ingress, 50), entry("deny 10.9.0.0/16 tcp/22"));
        assert_eq!(first.state.acls, [(foreign.clone(), Acl([by_hand].into()))].into());
        assert_eq!(first.state.subnets, [(subnet.clone(), foreign.clone())].into());

        let (ingress, egress) = (Direction::Ingress, Direction::Egress);
        let stages = [
            vec![create("pods", &theirs)],
            vec![
                put("pods", ingress, 100, "deny 10.9.0.0/16 tcp/22"),
                put("pods", ingress, 200, "allow 0.0.0.0/0 all"),
                put("pods", egress, 100, "deny 203.0.113.0/24 icmp/8/0"),
                put("pods", egress, 200, "allow ::/0 all"),
            ],
            vec![guard(&subnet, ours("pods"))],
            // In place, by what was learned and by what a picture showed.
            vec![put("pods", ingress, 100, "deny 10.9.0.0/16 tcp/22-23")],
            vec![
                put("pods", egress, 100, "deny 2001:db8::/32 icmpv6/128"),
                remove("pods", ingress, 200),
                put("pods", ingress, 150, "deny 10.0.0.0/8 proto/47"),
            ],
        ];
        counted(&cloud);
        for stage in &stages {
            for step in stage {
                assert_eq!(cloud.take(step).await, Ok(()), "{step}");
            }
            let part = cloud.aws.observe_again(&scope, &touched).await.unwrap();
            assert!(stage.iter().all(|step| part.shows(step)), "{stage:?}\n{part:?}");
            let part = Observed::clone(&*part);
            assert_eq!(part, cloud.look(&scope).await, "a part is the whole");
        }
        let calls = counted(&cloud);
        let calls = |call: &str| calls.get(call).copied().unwrap_or_default();
        let count = ["CreateNetworkAcl", "CreateNetworkAclEntry", "ReplaceNetworkAclEntry"];
        assert_eq!(count.map(calls), [1, 5, 2]);
        let count = ["DeleteNetworkAclEntry", "ReplaceNetworkAclAssociation", "DeleteNetworkAcl"];
        assert_eq!(count.map(calls), [1, 1, 0]);

        let now = cloud.look(&scope).await;
        let wanted = [
            (key(ingress, 100), entry("deny 10.9.0.0/16 tcp/22-23")),
            (key(ingress, 150), entry("deny 10.0.0.0/8 proto/47")),
            (key(egress, 100), entry("deny 2001:db8::/32 icmpv6/128")),
            (key(egress, 200), entry("allow ::/0 all")),
        ];
        assert_eq!(now.state.acls[&ours("pods")], Acl(wanted.into()));
        assert_eq!(now.state.subnets[&subnet], ours("pods"));
        assert_eq!(now.subnets, [(subnet.clone(), told(false))].into());
        assert!(now.state.acls.contains_key(&foreign), "the one that the subnet gets back");
        assert_eq!(now.former, BTreeMap::new());

        // A new process that nobody tells of the subnet gives it back.
        cloud.restart();
        let nothing = Scope::default();
        let later = cloud.look(&nothing).await;
        assert_eq!(later.subnets, BTreeMap::new());
        assert_eq!(later.former, [(subnet.clone(), theirs.clone())].into());
        assert_eq!(later.state.acls, now.state.acls);
        let in_use = cloud.take(&delete("pods")).await.unwrap_err();
        assert!(matches!(in_use, ProviderError::InUse { .. }), "{in_use}");
        cloud.take(&guard(&subnet, foreign)).await.unwrap();
        cloud.take(&delete("pods")).await.unwrap();
        let end = cloud.look(&nothing).await;
        assert_eq!((end.state.acls, end.state.subnets, end.former), Default::default());
        assert_eq!(cloud.acls_of_all().await, start, "as if Moat had never been there");
        assert_eq!(start.1[&*neighbour.0], *default.0);
    });
}

#[test]
fn subnets_are_handed_over_by_id_or_by_all_of_their_tags_to_the_first_name() {
    let mut cloud = Cloud::new(5);
    run(async {
        let plain = cloud.subnet();
        let both = cloud.make_subnet("10.0.32.0/20", &[("pods", "yes"), ("tier", "web")]).await;
        let half = cloud.make_subnet("10.0.48.0/20", &[("pods", "yes"), ("tier", "x")]).await;
        let absent = SubnetId("subnet-0".into());
        let word = |text: &str| text.into();
        let tagged = HandedOver {
            ids: [plain.clone(), absent].into(),
            tags: [(word("pods"), word("yes")), (word("tier"), word("web"))].into(),
        };
        let by_id = HandedOver { ids: [both.clone(), half.clone()].into(), ..tagged.clone() };
        let by_id = HandedOver { tags: BTreeMap::new(), ..by_id };
        let acls = [(name("b"), by_id), (name("a"), tagged)].into();
        let scope = Scope { acls, ..Scope::default() };
        let shown = cloud.look(&scope).await.subnets;
        let shown: BTreeMap<_, _> = shown.into_iter().map(|(id, it)| (id, it.acl)).collect();
        assert_eq!(shown, [(plain, name("a")), (both, name("a")), (half, name("b"))].into());
        let nothing = HandedOver::default();
        let scope = Scope { acls: [(name("a"), nothing)].into(), ..Scope::default() };
        assert_eq!(cloud.look(&scope).await.subnets, BTreeMap::new(), "no tags are no claim");
    });
}

#[test]
fn an_interface_that_carries_no_pod_makes_a_subnet_one_with_others() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let group = cloud.make_group(BTreeSet::new()).await;
        let mut scope = by_id("pods", &cloud.subnet());
        let has_others = async |cloud: &mut Cloud, scope: &Scope| {
            let whole = cloud.look(scope).await;
            let touched = Touched { acls: true, ..Touched::default() };
            let again = cloud.aws.observe_again(scope, &touched).await.unwrap();
            assert_eq!(*again, whole);
            whole.subnets[&cloud.subnet()].has_others
        };
        cloud.make_interface(Attachment::Exclusive, [group.clone()].into()).await;
        assert!(!has_others(&mut cloud, &scope).await, "a branch");
        let pods = cloud.make_interface(Attachment::Shared, [group.clone()].into()).await;
        assert!(has_others(&mut cloud, &scope).await, "nobody's");
        scope.interfaces.insert(pods);
        assert!(!has_others(&mut cloud, &scope).await, "a pod's");
        let node = cloud.make_interface(Attachment::Shared, [group.clone()].into()).await;
        let address = cloud.make_address(node.clone()).await;
        assert!(has_others(&mut cloud, &scope).await, "a node's");
        let with_its_address = Scope { addresses: [address].into(), ..scope.clone() };
        assert!(!has_others(&mut cloud, &with_its_address).await, "it bears a pod's address");
        let tag = tags::tag(tags::NODE, "i-0");
        cloud.client.create_tags().resources(&*node.0).tags(tag).send().await.unwrap();
        assert!(!has_others(&mut cloud, &scope).await, "the VPC CNI's, and no instance's first");
    });
}

#[test]
fn whose_an_acl_is_its_tags_tell_and_what_is_gone_is_replaced_by_the_default() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let (subnet, default) = (cloud.subnet(), cloud.default_acl().await);
        let gone = ForeignAclId("acl-0".into());
        let scope = by_id("pods", &subnet);
        cloud.look(&scope).await;
        cloud.take(&create("pods", &gone)).await.unwrap();
        let new = guard(&subnet, ours("pods"));
        cloud.take(&new).await.unwrap();
        let theirs = cloud.make_acl().await;
        for (key, value) in [(tags::CLUSTER, "other"), (tags::ACL, "pods")] {
            let tag = tags::tag(key, value);
            cloud.client.create_tags().resources(&*theirs.0).tags(tag).send().await.unwrap();
        }
        let shown = cloud.look(&scope).await;
        assert_eq!(shown.subnets[&subnet].prior, default);
        let keys: Vec<AclKey> = shown.state.acls.into_keys().collect();
        assert_eq!(keys, [ours("pods"), AclKey::Foreign(default.clone())]);

        // Someone takes the tag off: from then on it is someone else's.
        let id = cloud.acl_id("pods").await;
        let tag = aws_sdk_ec2::types::Tag::builder().key(tags::ACL).build();
        cloud.client.delete_tags().resources(&id).tags(tag).send().await.unwrap();
        let shown = cloud.look(&scope).await;
        assert_eq!(shown.subnets[&subnet].prior, ForeignAclId(id.as_str().into()));
        assert!(!shown.state.acls.contains_key(&ours("pods")));

        assert!(!shown.subnets[&subnet].has_others);
        cloud.associate(&subnet, &theirs.0).await;
        assert!(cloud.look(&scope).await.subnets[&subnet].has_others, "another cluster guards it");
    });
}

#[test]
fn refusals_say_what_they_are_about() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let (subnet, default) = (cloud.subnet(), cloud.default_acl().await);
        let scope = by_id("pods", &subnet);
        cloud.look(&scope).await;
        cloud.take(&create("pods", &default)).await.unwrap();
        let again = cloud.take(&create("pods", &default)).await.unwrap_err();
        assert!(
            matches!(&again, ProviderError::Duplicate { subject, .. } if subject == "network ACL pods")
        );
        for number in 1..20 {
            cloud
                .take(&put("pods", Direction::Ingress, number, "deny 10.0.0.0/8 tcp/80"))
                .await
                .unwrap();
        }
        let more = cloud.take(&put("pods", Direction::Ingress, 20, "deny 10.0.0.0/8 all")).await;
        let wanted = ProviderError::Quota {
            quota: QuotaKind::EntriesPerAcl,
            limit: 20,
            subject: "network ACL pods".into(),
            code: "NetworkAclEntryLimitExceeded".into(),
        };
        assert_eq!(more, Err(wanted));
        let unsaid =
            cloud.take(&put("pods", Direction::Egress, 1, "deny 10.0.0.0/8 icmpv6/1")).await;
        assert!(matches!(unsaid, Err(ProviderError::Invalid { .. })), "{unsaid:?}");

        let id = cloud.acl_id("pods").await;
        cloud.take(&remove("pods", Direction::Ingress, 19)).await.unwrap();
        cloud.add_entry(&id, 30).await;
        let there = cloud.take(&put("pods", Direction::Ingress, 30, "deny 10.0.0.0/8 all")).await;
        let wanted = ProviderError::Duplicate {
            subject: "ingress entry 30 of network ACL pods".into(),
            code: Some("NetworkAclEntryAlreadyExists".into()),
        };
        assert_eq!(there, Err(wanted));
        let remove = remove("pods", Direction::Egress, 9);
        let absent = ProviderError::NotFound {
            subject: "egress entry 9 of network ACL pods".into(),
            code: Some("InvalidNetworkAclEntry.NotFound".into()),
        };
        assert_eq!(cloud.take(&remove).await, Err(absent));

        cloud.associate(&subnet, &id).await;
        let moved = cloud.take(&guard(&subnet, ours("pods"))).await;
        assert_eq!(moved, Err(ProviderError::Changed { subject: subnet.0.to_string() }));
        let other = cloud.make_subnet("10.0.32.0/20", &[("Name", "nodes")]).await;
        cloud.look(&scope).await;
        let unasked = cloud.take(&guard(&other, ours("pods"))).await;
        assert_eq!(unasked, Err(ProviderError::not_found(&other.0)));
        let unknown = cloud.take(&put("others", Direction::Ingress, 1, "deny ::/0 all")).await;
        assert_eq!(unknown, Err(ProviderError::not_found("network ACL others")));
    });
}

/// EC2 takes two ACLs of one name for two.
#[test]
fn an_acl_whose_creation_was_not_answered_is_found_again() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let default = cloud.default_acl().await;
        let scope = by_id("pods", &cloud.subnet());
        cloud.look(&scope).await;
        let lost = json!({"rules": [
            {"op": "CreateNetworkAcl", "after": true, "drop": true, "times": 1},
        ]});
        ask("PUT", &format!("/_faults/{}", cloud.account), &lost.to_string());
        let answer = cloud.take(&create("pods", &default)).await;
        assert!(matches!(answer, Err(ProviderError::Transient { .. })), "{answer:?}");
        cloud.take(&create("pods", &default)).await.unwrap();
        assert_eq!(cloud.acls().await.len(), 2, "the default one, and ours");
        let first = put("pods", Direction::Ingress, 1, "deny 10.0.0.0/8 all");
        cloud.take(&first).await.unwrap();
        cloud.restart();
        assert!(cloud.look(&scope).await.shows(&first));
    });
}

#[test]
fn acls_are_read_where_there_are_some_or_may_be_some() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let (subnet, default) = (cloud.subnet(), cloud.default_acl().await);
        let (nothing, scope) = (Scope::default(), by_id("pods", &subnet));
        let reads = async |cloud: &mut Cloud, scope: &Scope| {
            counted(cloud);
            cloud.look(scope).await;
            let calls = counted(cloud);
            let of = |call: &str| calls.get(call).copied().unwrap_or_default();
            (calls.values().sum::<u64>(), of("DescribeNetworkAcls"), of("DescribeSubnets"))
        };
        assert_eq!(reads(&mut cloud, &nothing).await, (4, 1, 0), "a first picture");
        assert_eq!(reads(&mut cloud, &nothing).await, (3, 0, 0), "a steady state");
        assert_eq!(reads(&mut cloud, &scope).await, (5, 1, 1), "a subnet is handed over");
        cloud.take(&create("pods", &default)).await.unwrap();
        assert_eq!(reads(&mut cloud, &nothing).await, (4, 1, 0), "there is one of ours");
        cloud.take(&delete("pods")).await.unwrap();
        assert_eq!(reads(&mut cloud, &nothing).await, (3, 0, 0), "there is none");
    });
}
