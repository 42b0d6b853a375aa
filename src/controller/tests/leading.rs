//! Two controllers: one leads, the other follows when it goes, however it goes.

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
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

async fn holder(world: &World) -> Option<String> {
    let leases: Api<Lease> = Api::default_namespaced(world.client.clone());
    let lease = leases.get_opt("moat-default").await.ok()??;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
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
