//! P4, P5: the API server, its store and the cloud hang, go and come back while policies change.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use moat_test_cluster::{Part, Server, ask_at, until};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::changes::Changes;
use crate::kills::policy;
use crate::world::{Controller, World, signal};

/// How long changes go on between two outages.
const WHILE: Duration = Duration::from_secs(2);

/// When the cloud is as it should be at the latest.
const LATE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_and_comes_back_while_policies_change_makes_nobody_do_harm() {
    let world = Arc::new(World::new().await);
    let mut controller: Option<Controller> = None;
    let start = async || controller = Some(world.controller().await);
    let changes = Changes::begin(&world, start).await;
    let mut controller = controller.expect("one");
    for part in [Part::ApiServer, Part::Etcd] {
        sleep(WHILE).await;
        world.plane.kill(part);
        sleep(WHILE).await;
        world.plane.begin(part);
    }
    sleep(WHILE).await;
    // Longer than the lease is counted on.
    world.plane.stall(Part::ApiServer);
    sleep(Duration::from_secs(12)).await;
    world.plane.resume(Part::ApiServer);
    sleep(WHILE).await;
    assert!(controller.runs());
    let listed = controller.says("it is listed again");
    assert!(listed > 0, "a watch that goes on from too old a version gets 410");

    // A kind is there and not served: who comes to lead, while the API server starts, does not take it for empty.
    signal("TERM", &controller.process());
    until("it ends in order", async || (!controller.runs()).then_some(())).await;
    world.apply(&own_kind(false)).await;
    let writes = world.writes();
    world.plane.kill(Part::ApiServer);
    let mut controller = world.another();
    sleep(WHILE).await;
    world.plane.begin(Part::ApiServer);
    until("it leads, and knows what it lacks", async || {
        let both = ["leading", "is not served yet"].map(|text| controller.says(text));
        (!both.contains(&0)).then_some(())
    })
    .await;
    sleep(WHILE * 2).await;
    assert_eq!(world.writes(), writes, "nothing is written while a kind is not followed");
    world.apply(&own_kind(true)).await;
    sleep(WHILE).await;
    let told = changes.end(LATE).await;
    assert!(controller.runs());
    println!("5 outages of the API server, {listed} lists after 410: {told}");
}

/// The definition of VpcNetworkPolicies, served or not; those that are there stay.
fn own_kind(served: bool) -> Value {
    let crds = moat_k8s::crd::crds().into_iter();
    let mut crds = crds.map(|crd| serde_json::to_value(crd).expect("JSON"));
    let name = "vpcnetworkpolicies.moat.dev";
    let mut own = crds.find(|crd| crd["metadata"]["name"] == name).expect("it is one of ours");
    own["spec"]["versions"][0]["served"] = json!(served);
    own
}

/// A LocalStack that nobody else uses, at a port.
fn localstack(port: u16) -> Server {
    Server::start("up", &["--port", &port.to_string()], &BTreeMap::new())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// The condition `Programmed` of what is said of a NetworkPolicy, as its status and reason.
async fn programmed(world: &World, name: &str) -> Option<(String, String)> {
    let about = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "PolicyEnforcement",
        "metadata": {"namespace": "shop", "name": format!("netpol-{name}")},
    });
    let about = world.get(&about).await?;
    let conditions = about["status"]["conditions"].as_array()?.clone();
    let one = conditions.into_iter().find(|one| one["type"] == "Programmed")?;
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason")))
}

/// What somebody with every permission does who knows nothing of Moat: all interfaces wear the VPC's default group, and all of
/// Moat's groups are gone.
const RUIN: &str = r"
import sys, boto3
ec2 = boto3.client('ec2')
of = [{'Name': 'vpc-id', 'Values': [sys.argv[1]]}]
groups = ec2.describe_security_groups(Filters=of)['SecurityGroups']
default = next(it['GroupId'] for it in groups if it['GroupName'] == 'default')
for it in ec2.describe_network_interfaces(Filters=of)['NetworkInterfaces']:
    ec2.modify_network_interface_attribute(NetworkInterfaceId=it['NetworkInterfaceId'], Groups=[default])
ours = [it for it in groups if it['GroupName'].startswith('moat.')]
for it in ours:
    rules = ec2.describe_security_group_rules(Filters=[{'Name': 'group-id', 'Values': [it['GroupId']]}])['SecurityGroupRules']
    for egress, revoke in ((False, ec2.revoke_security_group_ingress), (True, ec2.revoke_security_group_egress)):
        ids = [rule['SecurityGroupRuleId'] for rule in rules if rule['IsEgress'] == egress]
        if ids:
            revoke(GroupId=it['GroupId'], SecurityGroupRuleIds=ids)
for it in ours:
    ec2.delete_security_group(GroupId=it['GroupId'])
print(len(ours))
";

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_hangs_is_ruined_or_vanishes_is_told_of_and_rebuilt_as_far_as_it_can_be() {
    let port = free_port();
    let cloud = localstack(port);
    let world = World::beside(&cloud).await;
    let process = &cloud.variables["MOAT_LOCALSTACK_PID"];
    world.pods("shop", &["web", "cart"]).await;
    let open = [policy("web", "web", "cart", 80)];
    world.apply(&open[0]).await;
    let address = format!("127.0.0.1:{}", free_port());
    let mut controller = world.serving(&address);
    world.programmed(&open).await;
    let equal = || {
        let metrics = ask_at(&address, "GET", "/metrics", "");
        let line = metrics.lines().find(|it| it.starts_with("moat_programmed_equals_intent "));
        line.is_some_and(|line| line.ends_with(" 1"))
    };
    until("the cloud equals what is asked for", async || equal().then_some(())).await;

    // It hangs, and one edit waits for it.
    let edited = [policy("web", "web", "cart", 8_080)];
    signal("STOP", process);
    world.apply(&edited[0]).await;
    until("the status tells", async || {
        (programmed(&world, "web").await? == ("Unknown".to_owned(), "CloudUnread".to_owned()))
            .then_some(())
    })
    .await;
    assert!(!equal(), "so does the metric");
    sleep(Duration::from_secs(4)).await;
    signal("CONT", process);
    world.programmed(&edited).await;
    until("and the metric", async || equal().then_some(())).await;
    let (state, sizes) = (world.read(), world.sizes());

    // Somebody deletes everything.
    let deleted = world.python(RUIN);
    assert_ne!(deleted, "0");
    assert_ne!(world.read(), state);
    // Who comes to lead looks at the whole cloud; who leads does, too, within a minute.
    world.depose(3).await;
    until("it is rebuilt", async || (world.sizes() == sizes).then_some(())).await;
    assert_eq!(world.read().interfaces.len(), state.interfaces.len());

    // It goes, and another one is there in which there is no such VPC.
    drop(cloud);
    world.apply(&open[0]).await;
    until("the status tells", async || {
        (programmed(&world, "web").await?.1 == "CloudUnread").then_some(())
    })
    .await;
    let cloud = localstack(port);
    sleep(Duration::from_secs(5)).await;
    assert!(controller.runs() && !equal());
    let (status, reason) = programmed(&world, "web").await.expect("it is told of");
    assert_ne!(status, "True", "{reason}");
    let (mut calls, _) = world.calls(0);
    calls.retain(|call| call["status"] == 200);
    assert_eq!(calls, Vec::<Value>::new(), "nothing is changed where nothing is known");
    println!(
        "a cloud that hung, {deleted} groups deleted by somebody, a cloud that vanished: {reason} at last"
    );
    drop(cloud);
}
