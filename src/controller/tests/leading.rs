//! Two controllers: one leads, the other follows when it goes, however it goes.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use moat_controller::{Cluster, Taking};
use moat_k8s::Access;
use moat_test_cluster::{Part, until};
use serde_json::{Value, json};

use crate::world::World;

/// Isolates the pods of `web`.
fn closed() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}},
    })
}

async fn lease(world: &World) -> Option<LeaseSpec> {
    let leases: Api<Lease> = Api::default_namespaced(world.client.clone());
    leases.get_opt("moat-default").await.ok()??.spec
}

async fn holder(world: &World) -> Option<String> {
    lease(world).await?.holder_identity.filter(|holder| !holder.is_empty())
}

async fn led_by(world: &World, who: &str) {
    until(who, async || (holder(world).await.as_deref() == Some(who)).then_some(())).await;
}

fn groups(world: &World) -> usize {
    world.cloud.lock().vpc().groups().filter(|(_, group)| group.owner.is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_handed_over_at_once_and_taken_from_the_dead_when_its_time_has_passed() {
    let world = World::new().await;
    world.pods("shop", &["web"]).await;
    let first = world.controller("first");
    led_by(&world, "first").await;
    let second = world.controller("second");

    first.stop().await;
    assert_ne!(holder(&world).await.as_deref(), Some("first"), "nobody waits for who stopped");
    led_by(&world, "second").await;

    // The one who leads works.
    world.apply(&closed()).await;
    until("the second enforces", async || (groups(&world) == 1).then_some(())).await;

    let third = world.controller("third");
    drop(second);
    led_by(&world, "third").await;
    world.delete(&closed()).await;
    until("the third cleans up", async || (groups(&world) == 0).then_some(())).await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_holds_the_lease_while_it_works_and_no_controller_leads_meanwhile() {
    let world = World::new().await;
    let kubeconfig = Some(world.plane.kubeconfig.clone());
    let cluster = Cluster::reach(Access { kubeconfig, context: None }).await.expect("a cluster");
    let take = async |me: &str| match cluster.take("default", me).await.expect("it may") {
        Taking::Ours(hold) => Ok(hold),
        Taking::Of(holder) => Err(holder),
    };
    let hold = take("command").await.expect("nobody else is there");
    let controller = world.controller("one");
    // It waits while the lease is renewed.
    for _ in 0..2 {
        let before = lease(&world).await;
        until("it is renewed", async || (lease(&world).await != before).then_some(())).await;
        assert_eq!(holder(&world).await.as_deref(), Some("command"));
    }
    assert!(hold.is_held());
    assert_eq!(take("another").await.err().as_deref(), Some("command"));
    hold.give_back().await;
    assert_ne!(holder(&world).await.as_deref(), Some("command"), "nobody waits for it");
    led_by(&world, "one").await;

    assert_eq!(take("command").await.err().as_deref(), Some("one"));
    drop(controller);
    let hold = until("his time is over", async || take("command").await.ok()).await;
    assert_eq!(holder(&world).await.as_deref(), Some("command"));
    hold.give_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_was_away_is_followed_again() {
    let world = World::new().await;
    world.pods("shop", &["web"]).await;
    let _controller = world.controller("one");
    world.apply(&closed()).await;
    until("it enforces", async || (groups(&world) == 1).then_some(())).await;
    for part in [Part::ApiServer, Part::Etcd] {
        world.plane.kill(part);
        world.plane.begin(part);
        world.delete(&closed()).await;
        until("it goes on", async || (groups(&world) == 0).then_some(())).await;
        world.apply(&closed()).await;
        until("and on", async || (groups(&world) == 1).then_some(())).await;
    }
}
