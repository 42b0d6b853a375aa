//! Trap 60 and DESIGN §6.8: a new pod's interface starts with the closed group, and wears its own moments later.

use std::collections::BTreeSet;

use moat_core::firewall::{GroupKey, GroupNumber};
use moat_core::inventory::InterfaceId;
use moat_test_cluster::until;
use serde_json::{Value, json};

use crate::world::World;

/// A pod of an app.
fn pod(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    })
}

/// The interface of a pod, once it has one.
async fn interface(world: &World, name: &str) -> InterfaceId {
    let id = until("the pod has an interface", async || {
        let pod = world.get(&pod(name, name)).await?;
        let annotation = pod["metadata"]["annotations"]["vpc.amazonaws.com/pod-eni"].as_str()?;
        let entries: Value = serde_json::from_str(annotation).ok()?;
        entries[0]["eniId"].as_str().map(str::to_owned)
    });
    InterfaceId(id.await.into())
}

/// Waits until an interface wears groups.
async fn wears(world: &World, interface: &InterfaceId, groups: &BTreeSet<GroupKey>) {
    let worn = async || (world.read().interfaces.get(interface) == Some(groups)).then_some(());
    until(&format!("{interface:?} wears {groups:?}"), worn).await;
}

/// The ids of the groups that new interfaces started with, after a place in EC2's log.
fn born(world: &World, from: u64) -> Vec<String> {
    let (calls, _) = world.calls(from);
    let made = calls.iter().filter(|call| call["op"] == "CreateNetworkInterface");
    made.map(|call| call["request"]["Groups"].to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_starts_closed_and_goes_back_to_the_default_groups() {
    let world = World::new().await;
    world.pods("shop", &["web"]).await;
    let web = interface(&world, "web").await;
    let base = world.read().interfaces[&web].clone();
    let [GroupKey::Foreign(default)] = &base.iter().cloned().collect::<Vec<_>>()[..] else {
        panic!("{base:?}");
    };
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"ports": [{"protocol": "TCP", "port": 80}]}],
        },
    });
    world.apply(&policy).await;
    let defaults = format!("defaultGroups: [{}]", default.0);
    world.free_lease().await;
    let controller = world.with_settings(&format!("quarantine: true\n{defaults}"));
    world.programmed(std::slice::from_ref(&policy)).await;
    let quarantine = json!({
        "apiVersion": "vpcresources.k8s.aws/v1beta1",
        "kind": "SecurityGroupPolicy",
        "metadata": {"namespace": "shop", "name": "moat-default"},
    });
    let there = until("the quarantine is there", async || world.get(&quarantine).await).await;
    let closed = there["spec"]["securityGroups"]["groupIds"].clone();
    let group = GroupKey::Ours(GroupNumber::CLOSED);
    assert_eq!(world.read().groups[&group], [].into());

    let (_, from) = world.calls(0);
    for (name, app) in [("again", "web"), ("late", "late")] {
        world.apply(&pod(name, app)).await;
    }
    let (again, late) = (interface(&world, "again").await, interface(&world, "late").await);
    let programmed = world.read().interfaces[&web].clone();
    assert!(!programmed.contains(&group) && programmed != base, "{programmed:?}");
    wears(&world, &again, &programmed).await;
    wears(&world, &late, &base).await;
    assert_eq!(born(&world, from), [closed.to_string(), closed.to_string()]);

    // Switched off, it leaves nothing behind.
    world.configured(&defaults);
    until("the quarantine is gone", async || world.get(&quarantine).await.is_none().then_some(()))
        .await;
    until("its group goes", async || (!world.read().groups.contains_key(&group)).then_some(()))
        .await;
    let (_, from) = world.calls(0);
    world.apply(&pod("last", "last")).await;
    let last = interface(&world, "last").await;
    let open = born(&world, from);
    assert!(open.len() == 1 && open[0].contains(&*default.0), "{open:?}");
    wears(&world, &last, &base).await;

    // What a pod started with is none of its prior groups.
    controller.kill();
    let (code, text) = world.moat(&["uninstall", "--yes", "--no-controller"]);
    assert_eq!(code, Some(0), "{text}");
    let end = world.read();
    for interface in [&web, &again, &late, &last] {
        assert_eq!(end.interfaces[interface], base);
    }
    assert!(!end.groups.keys().any(|key| matches!(key, GroupKey::Ours(_))), "{end:#?}");
}
