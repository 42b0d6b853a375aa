//! What people say on the MoatInstallation holds: a pause, and which change of many groups may be carried out.

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use moat_k8s::configuration::Configuration;
use moat_test_cluster::until;
use serde_json::{Value, json};

use crate::world::{World, conditions, reason, rules};

/// The MoatInstallation with these annotations.
fn installation(annotations: &Value) -> Value {
    json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "MoatInstallation",
        "metadata": {"name": "default", "annotations": annotations},
        "spec": {},
    })
}

/// Lets the pod of this name be reached at one port.
fn policy(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": name}},
            "ingress": [{"ports": [{"protocol": "TCP", "port": port}]}],
        },
    })
}

/// Lets every pod be reached from some addresses.
fn everywhere() -> Value {
    json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "ClusterVpcNetworkPolicy",
        "metadata": {"name": "audit"},
        "spec": {
            "tier": "Admin",
            "priority": 1,
            "subject": {"namespaces": {}},
            "ingress": [{"action": "Accept", "from": [{"networks": ["203.0.113.0/24"]}]}],
        },
    })
}

/// What the installation says, once a condition of it holds.
async fn told(world: &World, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    until(what, async || {
        let status = world.get(&installation(&json!({}))).await?.get("status")?.clone();
        holds(&status).then_some(status)
    })
    .await
}

fn is_audited(world: &World) -> bool {
    rules(world).iter().any(|rule| rule.contains("203.0.113.0/24"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_most_groups_waits_until_its_id_is_approved() {
    let world = World::new().await;
    let names: Vec<String> = (0..12).map(|number| format!("app{number}")).collect();
    world.pods("shop", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (name, port) in names.iter().zip(8000..) {
        world.apply(&policy(name, port)).await;
    }
    let budget =
        "apiVersion: moat.dev/v1alpha1\nkind: Configuration\nquotas: {groupsPerNamespace: 40}";
    *world.configuration.lock().expect("nobody panics with it") =
        Ok(budget.parse().expect("a configuration"));
    let controller = world.controller("one");
    let status = told(&world, "all is enforced", |status| {
        conditions(status).get("Programmed").is_some_and(|(status, ..)| status == "True")
            && status["quotas"]["groups"]["used"] == json!(12)
    })
    .await;
    assert_eq!(status["leader"], json!("one"));
    assert_eq!(status["namespaces"], json!([{"namespace": "shop", "groups": 12, "limit": 40}]));
    assert_eq!(status["provider"], json!({"name": "sim", "vpc": "vpc-0a"}));
    assert_eq!(status["settings"]["mode"], json!("Enforce"));
    let kinds = status["supportedFeatures"].as_array().expect("features").len();
    assert_eq!(kinds, 4);

    world.apply(&everywhere()).await;
    let status = told(&world, "it is held", |status| status.get("heldChange").is_some()).await;
    assert_eq!(reason(&status, "Programmed"), "ChangeHeld");
    assert_eq!(status["heldChange"]["groups"], json!(12));
    let of_policy = world.said("shop", "netpol-app0", |status| {
        conditions(status).get("Stalled").is_some_and(|(_, reason, _)| reason == "ChangeHeld")
    });
    assert_eq!(reason(&of_policy.await, "Programmed"), "ChangeHeld");
    assert!(!is_audited(&world));
    // Another leader holds it as well.
    controller.stop().await;
    let _controller = world.controller("two");
    let again = told(&world, "another one holds it", |status| status["leader"] == "two").await;
    assert_eq!(again["heldChange"], status["heldChange"]);
    assert!(!is_audited(&world));

    let id = status["heldChange"]["id"].as_str().expect("an id");
    world.apply(&installation(&json!({"moat.dev/approved-change": id}))).await;
    until("it is carried out", async || is_audited(&world).then_some(())).await;
    told(&world, "nothing is held", |status| {
        status.get("heldChange").is_none() && reason(status, "Programmed") == "Programmed"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_installation_reports_and_changes_nothing_until_it_goes_on() {
    let world = World::new().await;
    world.pods("shop", &["web"]).await;
    world.apply(&installation(&json!({"moat.dev/paused": "true"}))).await;
    world.apply(&policy("web", 8080)).await;
    let _controller = world.controller("one");
    let status = world.said("shop", "netpol-web", |status| !conditions(status).is_empty()).await;
    assert_eq!(reason(&status, "Programmed"), "Paused");
    assert_eq!(rules(&world), Vec::<String>::new());

    world.apply(&installation(&json!({}))).await;
    world.said("shop", "netpol-web", |status| reason(status, "Programmed") == "Programmed").await;
    assert!(!rules(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_in_force_once_it_is_written_and_a_wrong_one_is_named() {
    let write = |world: &World, written: Result<Configuration, String>| {
        *world.configuration.lock().expect("nobody panics with it") = written;
    };
    let world = World::new().await;
    let observing = "apiVersion: moat.dev/v1alpha1\nkind: Configuration\nmode: Observe";
    write(&world, Ok(observing.parse().expect("a configuration")));
    world.pods("shop", &["web"]).await;
    world.apply(&policy("web", 8080)).await;
    let _controller = world.controller("one");
    world.said("shop", "netpol-web", |status| reason(status, "Programmed") == "Observing").await;
    assert_eq!(rules(&world), Vec::<String>::new());

    write(&world, Err("line 3: `icmp`: unknown variant `Opne`".to_owned()));
    let status = told(&world, "it is refused", |status| {
        reason(status, "Configured") == "InvalidConfiguration"
    })
    .await;
    assert_eq!(status["settings"]["mode"], json!("Observe"), "the last one stays");
    let events: Api<Event> = Api::all(world.client.clone());
    let said = until("an event says so", async || {
        let events = events.list(&ListParams::default()).await.ok()?;
        let is_it = |event: &Event| event.reason.as_deref() == Some("InvalidConfiguration");
        events.items.into_iter().find(is_it)
    })
    .await;
    assert!(said.note.is_some_and(|note| note.contains("`Opne`")));

    write(&world, Ok(Configuration::default()));
    world.said("shop", "netpol-web", |status| reason(status, "Programmed") == "Programmed").await;
    let status = told(&world, "it is mended", |status| {
        reason(status, "Configured") == "Configured" && status["settings"]["mode"] == "Enforce"
    });
    status.await;
    assert!(!rules(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_roll_out_leaves_out_says_so_and_is_not_called_programmed() {
    let world = World::new().await;
    let text = "apiVersion: moat.dev/v1alpha1\nkind: Configuration\nnamespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}";
    *world.configuration.lock().expect("nobody panics with it") =
        Ok(text.parse().expect("a configuration"));
    world.pods("shop", &["web"]).await;
    world.pods("lab", &["web"]).await;
    let mut outside = policy("web", 8080);
    outside["metadata"]["namespace"] = json!("lab");
    world.apply(&policy("web", 8080)).await;
    world.apply(&outside).await;
    world.apply(&everywhere()).await;
    let _controller = world.controller("one");
    world.said("shop", "netpol-web", |status| reason(status, "Programmed") == "Programmed").await;
    let status = world.said("lab", "netpol-web", |status| !conditions(status).is_empty()).await;
    let told = |status: &str| (status.to_owned(), "NotSelected".to_owned(), 1);
    let conditions = conditions(&status);
    assert_eq!(
        (conditions.get("Programmed"), conditions.get("Exact")),
        (Some(&told("Unknown")), Some(&told("False"))),
        "{status:#}"
    );
    let unfiltered = json!([{"reason": "NotSelected", "pods": 1, "names": ["lab/web"]}]);
    assert_eq!(status["unfiltered"], unfiltered);
    let about = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "ClusterPolicyEnforcement",
        "metadata": {"name": "cvnp-audit"},
    });
    let of_cluster = until("the cluster's policy is told of", async || {
        let status = world.get(&about).await?.get("status")?.clone();
        (reason(&status, "Programmed") == "Programmed").then_some(status)
    })
    .await;
    assert_eq!(reason(&of_cluster, "Exact"), "NotSelected", "{of_cluster:#}");
    assert_eq!(
        (&of_cluster["summary"]["pods"], &of_cluster["unfiltered"]),
        (&json!(2), &unfiltered)
    );
}
