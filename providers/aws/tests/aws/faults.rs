//! Faults at EC2's side of the wire: throttling, lost answers, lag, denied permissions, wrong credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moat_aws::call::{Call, Effect};
use moat_core::drive::{Ending, drive};
use moat_core::firewall::{ForeignGroupId, GroupKey};
use moat_core::inventory::Attachment;
use moat_core::policy::Direction;
use moat_core::provider::{Observed, Provider, ProviderError, Scope, Step};
use moat_tests::contract::{Fixture, execute};
use serde_json::{Value, json};

use crate::acls::world as acls;
use crate::calls::{World, authorize, counted, group, plan, revoke};
use crate::contract::Cloud;
use crate::localstack::{ask, run};

fn inject(cloud: &Cloud, table: &Value) {
    ask("PUT", &format!("/_faults/{}", cloud.account), &table.to_string());
}

#[test]
fn a_tenth_of_calls_throttled_costs_little_more() {
    let cloud = Cloud::new(1_000);
    run(async {
        let mut world = World::new(cloud).await;
        let build = world.build();
        let throttle = json!({"op": "*", "code": "RequestLimitExceeded", "status": 503, "every": 10, "times": -1});
        counted(&world.cloud);
        inject(&world.cloud, &json!({"rules": [throttle]}));
        world.drive(&build).await;
        let calls = counted(&world.cloud);
        println!("a tenth throttled: {calls:?}");
        let writes: u64 =
            calls.iter().filter(|(name, _)| !name.starts_with("Describe")).map(|(_, it)| it).sum();
        assert!(writes * 100 <= 72 * 115, "{writes} calls");
    });
}

/// What EC2 says it does not know yet is waited for, and nothing is made twice.
#[test]
fn new_groups_that_are_not_visible_yet_are_waited_for() {
    let cloud = Cloud::new(1_000);
    run(async {
        let mut world = World::new(cloud).await;
        counted(&world.cloud);
        inject(&world.cloud, &json!({"lag": {"unseen": 3, "stale": 2}}));
        let build = world.build();
        let observed = world.drive(&build).await;
        assert_eq!(observed.rule_ids.len(), World::GROUPS * 20);
        let calls = counted(&world.cloud);
        println!("with lag: {calls:?}");
        assert_eq!(calls["CreateSecurityGroup"], 12);
    });
}

/// A lost answer, before or after the call took effect, at each call in turn: the step is shown after all, or planned again.
#[test]
fn a_lost_answer_leaves_one_group_and_all_of_its_rules() {
    let direction = Direction::Ingress;
    let steps = [vec![Step::CreateGroup(group(0))], vec![authorize(0, direction, 80..90)]];
    let plan = plan(steps.to_vec());
    for after in [false, true] {
        for skip in 0..3 {
            let mut cloud = Cloud::new(1_000);
            let lose = json!({"op": "writes", "drop": true, "after": after, "skip": skip});
            inject(&cloud, &json!({"rules": [lose]}));
            run(async {
                let nothing = Scope::default();
                let mut tries = 0;
                loop {
                    tries += 1;
                    let observed = cloud.aws.observe(&nothing).await.unwrap();
                    let mut rest = plan.clone();
                    for stage in &mut rest.stages {
                        stage.steps.retain(|step| !observed.shows(step));
                    }
                    // What a planner does with the default rules of a group whose creation lost its answer.
                    let there = observed.state.groups.values().flatten().cloned();
                    let unwanted: BTreeSet<_> =
                        there.filter(|it| it.direction == Direction::Egress).collect();
                    if !unwanted.is_empty() {
                        let (group, direction) = (group(0), Direction::Egress);
                        let revoke = Step::Revoke { group, direction, rules: unwanted };
                        drive(&mut cloud.aws, &crate::calls::plan(vec![vec![revoke]]), &nothing)
                            .await;
                        continue;
                    }
                    if observed.state.groups.len() == 1 {
                        rest.stages.remove(0);
                    }
                    let outcome = drive(&mut cloud.aws, &rest, &nothing).await;
                    if outcome.ending == Ending::Done {
                        break;
                    }
                    assert_eq!(outcome.ending, Ending::PlanAgain, "{:?}", outcome.attempts);
                    assert!(tries < 5);
                }
                let observed = cloud.aws.observe(&nothing).await.unwrap();
                assert_eq!(observed.state.groups.len(), 1);
                assert_eq!(observed.rule_ids.len(), 10, "after {after}, skip {skip}");
            });
        }
    }
}

/// The answer to a creation is lost, and no picture shows the group: the next try adopts it by its name and tags.
#[test]
fn a_group_whose_creation_lost_its_answer_is_adopted() {
    let mut cloud = Cloud::new(1_000);
    let lose = json!({"op": "CreateSecurityGroup", "drop": true, "after": true});
    inject(&cloud, &json!({"rules": [lose]}));
    run(async {
        let create = Step::CreateGroup(group(0));
        let answer = execute(&mut cloud.aws, &create).await;
        assert!(matches!(answer, Err(ProviderError::Transient { .. })), "{answer:?}");
        execute(&mut cloud.aws, &create).await.unwrap();
        let observed = cloud.aws.observe(&Scope::default()).await.unwrap();
        assert_eq!(
            observed.state.groups,
            [(moat_core::firewall::GroupKey::Ours(group(0)), BTreeSet::new())].into()
        );
    });
}

#[test]
fn a_group_of_someone_else_with_our_name_is_left_alone() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let vpc = cloud.aws.config().vpc.clone();
        let request = cloud.client.create_security_group().group_name("Moat.Test.1").vpc_id(vpc);
        let theirs = request.description("theirs").send().await.unwrap();
        let answer = execute(&mut cloud.aws, &Step::CreateGroup(group(0))).await;
        let subject = "moat.1".to_owned();
        let code = Some("InvalidGroup.Duplicate".to_owned());
        assert_eq!(answer, Err(ProviderError::Duplicate { subject, code }));
        let theirs = GroupKey::Foreign(ForeignGroupId(theirs.group_id.unwrap().into()));
        let taken = [(group(0), theirs)].into();
        let wanted = Observed { taken, ..Observed::default() };
        assert_eq!(*cloud.aws.observe(&Scope::default()).await.unwrap(), wanted);
    });
}

/// It takes no group that is not visible yet for the reason, which would be waited for.
#[test]
fn an_interface_that_is_gone_is_told_at_once() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let base = cloud.make_group(BTreeSet::new()).await;
        let interface = cloud.make_interface(Attachment::Exclusive, [base].into()).await;
        let scope = Scope { interfaces: [interface.clone()].into(), ..Scope::default() };
        cloud.aws.observe(&scope).await.unwrap();
        execute(&mut cloud.aws, &Step::CreateGroup(group(0))).await.unwrap();
        let groups = [GroupKey::Ours(group(0))].into();
        let move_it = Step::SetGroups { interface: interface.clone(), groups, record: [].into() };
        let code = "InvalidNetworkInterfaceID.NotFound";
        let op = "ModifyNetworkInterfaceAttribute";
        inject(&cloud, &json!({"rules": [{"op": op, "code": code, "times": -1}]}));
        let answer = execute(&mut cloud.aws, &move_it).await;
        let subject = interface.0.to_string();
        assert_eq!(answer, Err(ProviderError::NotFound { subject, code: Some(code.to_owned()) }));

        inject(&cloud, &json!({}));
        let delete = cloud.client.delete_network_interface().network_interface_id(&*interface.0);
        delete.send().await.unwrap();
        let before = cloud.time.elapsed();
        let plan = plan(vec![vec![move_it]]);
        let outcome = drive(&mut cloud.aws, &plan, &scope).await;
        assert_eq!(outcome.ending, Ending::Done, "nothing is left to do for it");
        assert_eq!(cloud.time.elapsed(), before);
    });
}

#[test]
fn what_only_a_person_can_mend_is_said_by_its_name() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        let action = "ec2:CreateSecurityGroup".to_owned();
        let code = "UnauthorizedOperation".to_owned();
        for (code, wanted) in [
            ("UnauthorizedOperation", ProviderError::Unauthorized { action, code }),
            (
                "RequestExpired",
                ProviderError::Credentials { message: "RequestExpired: Injected fault".into() },
            ),
            (
                "AuthFailure",
                ProviderError::Credentials { message: "AuthFailure: Injected fault".into() },
            ),
        ] {
            let fault = json!({"op": "CreateSecurityGroup", "code": code, "status": 403});
            inject(&cloud, &json!({"rules": [fault]}));
            assert_eq!(execute(&mut cloud.aws, &Step::CreateGroup(group(0))).await, Err(wanted));
        }
    });
}

/// A pod's interface outlives it for a while: the group is deleted once it is gone, or given up after the cooldown.
#[test]
fn a_group_that_is_still_worn_is_given_time() {
    let mut cloud = Cloud::new(1_000);
    run(async {
        execute(&mut cloud.aws, &Step::CreateGroup(group(0))).await.unwrap();
        cloud.aws.observe(&Scope::default()).await.unwrap();
        let fault = |times| json!({"rules": [{"op": "DeleteSecurityGroup", "code": "DependencyViolation", "times": times}]});
        inject(&cloud, &fault(-1));
        let before = cloud.time.elapsed();
        let answer = execute(&mut cloud.aws, &Step::DeleteGroup(group(0))).await;
        assert!(matches!(answer, Err(ProviderError::InUse { .. })), "{answer:?}");
        let waited = cloud.time.elapsed() - before;
        assert!(
            waited >= Duration::from_secs(30) && waited <= Duration::from_secs(40),
            "{waited:?}"
        );
        cloud.aws.observe(&Scope::default()).await.unwrap();
        inject(&cloud, &fault(2));
        execute(&mut cloud.aws, &Step::DeleteGroup(group(0))).await.unwrap();
    });
}

/// A dry run tells what the role may not do of what is planned, before anything is half done, and changes nothing.
#[test]
fn missing_permissions_are_named_before_they_are_needed() {
    let cloud = Cloud::new(1_000);
    run(async {
        let mut world = World::new(cloud).await;
        let build = world.build();
        world.scope.acls = acls::by_id("pods", &world.cloud.subnet()).acls;
        world.cloud.aws.observe(&world.scope).await.unwrap();
        let about_acls = acls::steps_of_each_kind(&mut world.cloud).await;
        let before = world.drive(&build).await;
        let back = Step::SetGroups {
            interface: world.scope.interfaces.first().unwrap().clone(),
            groups: [GroupKey::Foreign(world.base.clone())].into(),
            record: BTreeSet::new(),
        };
        let mut steps: Vec<Step> = build.steps().cloned().chain([back]).collect();
        for direction in Direction::BOTH {
            steps.extend([authorize(0, direction, 90..91), revoke(0, direction, 80..81)]);
        }
        steps.push(Step::DeleteGroup(group(1)));
        steps.extend(about_acls);
        counted(&world.cloud);
        assert_eq!(world.cloud.aws.forbidden(&steps).await, BTreeSet::new());
        let changes = Call::ALL.iter().copied().filter(|call| call.effect() == Effect::Changes);
        let changes: BTreeSet<Call> = changes.collect();
        let once = changes.iter().map(|call| (call.as_str().to_owned(), 1)).collect();
        assert_eq!(counted(&world.cloud), once, "each is asked about once");
        for call in changes {
            let fault =
                json!({"op": call.as_str(), "code": "UnauthorizedOperation", "status": 403});
            inject(&world.cloud, &json!({"rules": [fault]}));
            assert_eq!(world.cloud.aws.forbidden(&steps).await, BTreeSet::from([call]));
        }
        assert_eq!(world.cloud.aws.observe(&world.scope).await.unwrap(), before);
        counted(&world.cloud);
        assert_eq!(world.cloud.aws.forbidden([]).await, BTreeSet::new());
        assert_eq!(counted(&world.cloud), BTreeMap::new(), "nothing to do, nothing to ask");
    });
}
