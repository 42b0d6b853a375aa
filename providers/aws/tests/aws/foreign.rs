//! P7: what others do to what is ours is taken back, and nothing of theirs is ever touched.
//!
//! Ten random runs by default; the bar is `MOAT_RUNS=100 cargo test -p moat-aws foreign -- --nocapture`.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use moat_aws::tags;
use moat_core::drive::{drive, observe};
use moat_core::firewall::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use moat_core::inventory::{Attachment, Inventory};
use moat_core::plan::uninstall;
use moat_core::policy::Direction;
use moat_core::provider::Scope;
use moat_core::settings::Quotas;
use moat_tests::contract::Fixture;
use moat_tests::generate::{Cluster, QuotaChoice, cluster, edit};
use moat_tests::random::Random;
use moat_tests::reading;
use serde_json::{Value, json};

use crate::contract::Cloud;
use crate::localstack::run;
use crate::{recovery, world};

// ------------------------------------------------------------------------------------------------- Edits

/// What someone does by hand.
#[derive(Clone, Copy, Debug)]
enum Edit {
    AddRule,
    RemoveRule,
    RemoveTag,
    ChangeInterface,
    DeleteGroup,
}

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

async fn edit_by_hand(world: &mut recovery::World, what: Edit) {
    let first = GroupNumber::nth(0);
    let base = BTreeSet::from([world.base.clone()]);
    let cloud = &mut world.cloud;
    match what {
        Edit::AddRule => cloud.add_rule(first, rule("ingress 0.0.0.0/0 tcp/22"), "by hand").await,
        Edit::RemoveRule => cloud.remove_rule(first, rule("ingress 10.0.0.0/8 icmp/8/0")).await,
        Edit::RemoveTag => {
            let answer = reading::read(&cloud.account, &cloud.aws.config().vpc);
            let rules = answer["groups"].as_array().unwrap().iter();
            let rules = rules.flat_map(|group| group["rules"].as_array().unwrap());
            let marked = rules.filter(|rule| !rule["tags"][tags::CLUSTER].is_null());
            let untag = cloud.client.delete_tags().tags(Tag::builder().key(tags::CLUSTER).build());
            let ids = marked.map(|rule| reading::text(&rule["id"]).to_owned()).collect();
            untag.set_resources(Some(ids)).send().await.unwrap();
        }
        Edit::ChangeInterface => cloud.dress(world.interfaces[0].clone(), base).await,
        Edit::DeleteGroup => {
            // The third group is no other's peer.
            let third = cloud.id(GroupNumber::nth(2)).await;
            cloud.dress(world.interfaces[2].clone(), base).await;
            cloud.client.delete_security_group().group_id(third).send().await.unwrap();
        }
    }
}

#[test]
fn what_others_do_to_what_is_ours_is_taken_back_on_the_next_pass() {
    let edits = [
        Edit::AddRule,
        Edit::RemoveRule,
        Edit::RemoveTag,
        Edit::ChangeInterface,
        Edit::DeleteGroup,
    ];
    run(async {
        for what in edits {
            let mut world = recovery::World::new().await;
            let desired = world.before();
            assert_eq!(world.pass(&desired, None).await, Some(false));
            let wanted = recovery::shape(&world.read(), &world.interfaces);
            edit_by_hand(&mut world, what).await;
            let edited = recovery::shape(&world.read(), &world.interfaces);
            // A rule without its tag says what it said.
            assert_eq!(edited == wanted, matches!(what, Edit::RemoveTag), "{what:?}");
            world.pass(&desired, None).await.unwrap();
            assert_eq!(recovery::shape(&world.read(), &world.interfaces), wanted, "{what:?}");
            assert_eq!(world.pass(&desired, None).await, Some(true), "{what:?}");
            println!("{what:?}: taken back");
        }
    });
}

#[test]
fn rules_of_the_load_balancer_controller_in_our_groups_stay() {
    run(async {
        let mut world = recovery::World::new().await;
        let desired = world.before();
        world.pass(&desired, None).await.unwrap();
        let kept = rule("ingress 10.1.0.0/16 tcp/8080");
        let description = "elbv2.k8s.aws/targetGroupBinding=shared";
        world.cloud.add_rule(GroupNumber::nth(0), kept.clone(), description).await;
        let with = world.read();
        assert_eq!(world.pass(&desired, None).await, Some(true));
        let edited = rule("ingress 0.0.0.0/0 tcp/22");
        world.cloud.add_rule(GroupNumber::nth(0), edited, "by hand").await;
        assert_eq!(world.pass(&desired, None).await, Some(false));
        assert!(with.groups[&GroupKey::Ours(GroupNumber::nth(0))].contains(&kept));
        assert_eq!(world.read(), with, "only the other rule is taken back");
    });
}

// -------------------------------------------------------------------------------------------------- Runs

fn how_many() -> u64 {
    std::env::var("MOAT_RUNS").map_or(10, |text| text.parse().unwrap())
}

/// What others have beside a cluster: a node's interface, what another cluster of Moat's made and recorded, and a group that
/// bears a name of the cluster's.
async fn others(cloud: &mut Cloud, random: &mut Random) {
    let texts = ["ingress 10.0.0.0/8 all", "egress 0.0.0.0/0 tcp/443", "ingress ::/0 icmpv6/128/0"];
    let rules = random.some(&texts, 60).into_iter().map(rule).collect();
    let group = cloud.make_group(rules).await;
    cloud.make_interface(Attachment::Shared, [group.clone()].into()).await;
    let theirs = make_named(cloud, "moat.other.1", tags::owner("other", GroupNumber::nth(0))).await;
    // One that nobody wears, for whoever takes it for their own.
    make_named(cloud, "moat.other.2", tags::owner("other", GroupNumber::nth(1))).await;
    make_named(cloud, "moat.test.3", vec![tags::tag("Name", "theirs")]).await;
    let branch = cloud.make_interface(Attachment::Exclusive, [theirs].into()).await;
    let record = tags::record("other", &[group].into());
    let record = record.into_iter().map(|(key, value)| tags::tag(key, value)).collect();
    let request = cloud.client.create_tags().resources(&*branch.0);
    request.set_tags(Some(record)).send().await.unwrap();
}

async fn make_named(cloud: &Cloud, name: &str, tags: Vec<Tag>) -> ForeignGroupId {
    let tags = TagSpecification::builder().set_tags(Some(tags));
    let tags = tags.resource_type(ResourceType::SecurityGroup).build();
    let made = cloud.client.create_security_group().group_name(name).description("theirs");
    let made = made.vpc_id(&cloud.aws.config().vpc).tag_specifications(tags).send().await.unwrap();
    ForeignGroupId(made.group_id().unwrap().into())
}

/// The same cluster, whose pods wore several groups before Moat.
fn with_more_worn(mut cluster: Cluster) -> Cluster {
    let more = ["sg-more1", "sg-more2"].map(|name| ForeignGroupId(name.into()));
    for (place, group) in (0..).zip(&more) {
        let from = rule(&format!("ingress 10.{place}.0.0/16 tcp/22"));
        cluster.inventory.foreign.insert(group.clone(), [from].into());
    }
    for interface in cluster.inventory.interfaces.values_mut() {
        interface.prior.extend(more.clone());
    }
    cluster
}

fn is_ours(group: &Value) -> bool {
    group["tags"]["moat.dev/cluster"] == "test"
}

/// What is nobody's business but others': their groups with every rule, id, tag and description, and every interface but those
/// that the pods of a cluster have for themselves.
fn theirs(answer: &Value, pods: &BTreeSet<String>) -> Value {
    let groups = answer["groups"].as_array().unwrap().iter().filter(|group| !is_ours(group));
    let interfaces = answer["interfaces"].as_array().unwrap().iter();
    let interfaces = interfaces.filter(|it| !pods.contains(reading::text(&it["id"])));
    json!({
        "groups": groups.collect::<Vec<_>>(),
        "interfaces": interfaces.collect::<Vec<_>>(),
    })
}

/// As `moat uninstall` does, until there is nothing to do or it cannot go on; the number of our groups that are left.
async fn give_back(world: &mut world::World) -> usize {
    let scope = Scope::default();
    for _ in 0..4 {
        let observed = observe(&mut world.cloud.aws, &scope).await.unwrap();
        let interfaces = observed.interfaces.clone();
        let inventory = Inventory { interfaces, ..Inventory::default() };
        let plan = uninstall(&observed, &inventory, &Quotas::default());
        if plan.stages.is_empty() {
            break;
        }
        drive(&mut world.cloud.aws, &plan, &scope).await;
    }
    world.answer()["groups"].as_array().unwrap().iter().filter(|group| is_ours(group)).count()
}

#[test]
fn what_others_have_is_byte_for_byte_untouched_by_any_run_and_by_an_uninstall() {
    let (mut groups, mut interfaces, mut referenced) = (0, 0, 0);
    for seed in 0..how_many() {
        let mut random = Random::new(seed ^ 0x0074_6865_6972);
        let mut before = cluster(seed, QuotaChoice::Any);
        let mut after = edit(&mut random, &before);
        if seed % 2 == 1 {
            (before, after) = (with_more_worn(before), with_more_worn(after));
        }
        let mut world = world::World::new();
        run(async {
            others(&mut world.cloud, &mut random).await;
            let clusters = [world.place(&before).await, world.place(&after).await];
            let start = world.answer();
            // Only what the pods of these clusters have for themselves may change in between.
            let exclusive = [&before, &after].into_iter().flat_map(|it| &it.inventory.interfaces);
            let exclusive =
                exclusive.filter(|(_, it)| matches!(it.attachment, Attachment::Exclusive));
            let pods = exclusive.map(|(name, _)| world.id(name).0.to_string()).collect();
            let untouched = theirs(&start, &pods);
            groups += untouched["groups"].as_array().unwrap().len();
            interfaces += untouched["interfaces"].as_array().unwrap().len();
            for placed in &clusters {
                world.set(&placed.settings.quotas, &json!([]));
                world.converge(placed).await;
                assert_eq!(theirs(&world.answer(), &pods), untouched, "seed {seed}");
            }
            world.set(&world::LARGEST, &json!([]));

            // Someone lets a group of ours in: it cannot be deleted until they stop.
            let read = world.read();
            let ours = read.groups.keys().find(|key| matches!(key, GroupKey::Ours(_)));
            if let Some(GroupKey::Ours(number)) = ours {
                let id = ForeignGroupId(world.cloud.id(*number).await.into());
                let peer = Peer::Group(GroupKey::Foreign(id));
                let rule = Rule { peer, ..rule("ingress 10.0.0.0/8 tcp/5432") };
                assert_eq!(rule.direction, Direction::Ingress);
                let friend = world.cloud.make_group([rule].into()).await;
                let with = theirs(&world.answer(), &pods);
                // What its own rules name stays with it.
                assert!(give_back(&mut world).await >= 1, "seed {seed}: the one that is named");
                assert_eq!(theirs(&world.answer(), &pods), with, "seed {seed}");
                world.cloud.delete_group(friend).await;
                referenced += 1;
            }
            assert_eq!(give_back(&mut world).await, 0, "seed {seed}");
            assert_eq!(world.answer(), start, "seed {seed}: as if Moat had never been there");
        });
    }
    println!(
        "{} runs with an edit and an uninstall: {groups} groups and {interfaces} interfaces of others untouched",
        how_many()
    );
    println!("{referenced} of our groups deleted once others no longer named them");
    assert!(referenced > 0);
}
