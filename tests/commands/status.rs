//! `moat status`, `release`, `pause` and `resume`, with a controller at work and without.

use moat_test_cluster::until;
use serde_json::{Value, json};

use crate::world::{Answer, World, argument, policy};

/// What `moat status` tells of `shop`.
fn status(world: &World, more: &[&str]) -> (Answer, Value) {
    let answer =
        world.moat(&[&["status", "--namespace", "shop", "--output", "json"], more].concat());
    let told = serde_json::from_str(&answer.text).unwrap_or_default();
    (answer, told)
}

/// The state of each pod, with the reasons.
fn states(told: &Value) -> Vec<String> {
    let pods = told["pods"].as_array().into_iter().flatten();
    let state = |pod: &Value| {
        let reasons = pod["reasons"].as_array().into_iter().flatten();
        let reasons = reasons.filter_map(|it| it["reason"].as_str()).collect::<Vec<_>>().join(",");
        let text = |key: &str| pod[key].as_str().unwrap_or_default().to_owned();
        format!("{} {} {reasons}", text("name"), text("state")).trim_end().to_owned()
    };
    pods.map(state).collect()
}

/// Waits until the pods stand so.
async fn stands(world: &World, wanted: &[&str]) -> Value {
    until(&wanted.join("; "), async || {
        let (_, told) = status(world, &[]);
        (states(&told) == wanted).then_some(told)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_of_each_pod_and_a_pod_is_released_and_taken_back() {
    let world = World::new().await;
    world.pods("shop", &["db", "web"]).await;
    world.moat(&["status"]).holds(2, &["no MoatInstallation"]);
    world.install().await;
    world.apply(&policy(5432)).await;
    stands(&world, &["db Unknown Unreported", "web Unselected"]).await;
    world
        .moat(&["release", "shop/db"])
        .holds(0, &["pod shop/db is released", "no controller has led"]);
    world.moat(&["release", "shop/db", "--undo"]).holds(0, &["pod shop/db is taken back"]);
    world
        .moat(&["release", "shop/none"])
        .holds(1, &["there is no pod `shop/none` in the cluster at"]);
    world.moat(&["release", "db"]).holds(1, &["give NAMESPACE/POD"]);
    world.moat(&["pause"]).holds(1, &["there is no MoatInstallation `default`"]);

    let controller = world.controller();
    let told = stands(&world, &["db Enforced", "web Unselected"]).await;
    let installation = &told["installations"][0];
    assert_eq!(
        (&installation["name"], &installation["mode"], &installation["paused"]),
        (&json!("default"), &json!("Enforce"), &json!(false)),
    );
    assert!(installation["leader"].is_string(), "{told:#}");
    let of_db = json!([{"kind": "NetworkPolicy", "namespace": "shop", "name": "db"}]);
    assert_eq!((&told["pods"][0]["ingress"], &told["pods"][0]["egress"]), (&of_db, &json!([])));
    let table = world.moat(&["status"]);
    table.holds(0, &[" leads\n", "mode Enforce", ", sim, 2 of ", "Programmed=True", "1 enforced"]);
    let line = table.text.lines().find(|line| line.starts_with("shop ")).expect("a line");
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells, ["shop", "db", "netpol/db", "-", "Enforced", "-"]);

    let released = world.moat(&["release", "shop/db"]);
    released.holds(0, &["gives its interface the groups back", "`moat release shop/db --undo`"]);
    assert_eq!(released.notes, "", "nothing keeps it from being done");
    stands(&world, &["db NotEnforced Released", "web Unselected"]).await;
    let about = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "PolicyEnforcement",
        "metadata": {"namespace": "shop", "name": "netpol-db"},
    });
    let unfiltered = json!([{"reason": "Released", "pods": 1, "names": ["shop/db"]}]);
    until("the policy says so", async || {
        (world.get(&about).await?["status"]["unfiltered"] == unfiltered).then_some(())
    })
    .await;
    world.moat(&["check", "--context", "control-plane"]).holds(2, &["Released"]);
    world
        .moat(&["release", "shop/db", "--undo"])
        .holds(0, &["gives its interface the groups of its policies again"]);
    stands(&world, &["db Enforced", "web Unselected"]).await;

    world.moat(&["pause"]).holds(0, &["MoatInstallation default pauses"]);
    world.apply(&policy(6432)).await;
    stands(&world, &["db Stalled Paused", "web Unselected"]).await;
    world
        .moat(&["status"])
        .holds(2, &["paused: `moat resume default`", "Paused: the MoatInstallation says to pause"]);
    world.moat(&["release", "shop/web"]).holds(0, &["`moat resume default` lets it go on"]);
    world.moat(&["resume"]).holds(0, &["MoatInstallation default goes on"]);
    stands(&world, &["db Enforced", "web Unselected"]).await;

    // Whoever does not renew the lease for its duration does not lead.
    controller.kill();
    until("nobody leads", async || {
        let answer = world.moat(&["status"]);
        answer.text.contains("nobody leads").then(|| answer.holds(2, &[]))
    })
    .await;
    world.moat(&["resume"]).holds(0, &["nobody leads `default`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_look_into_one_namespace_is_told_of_it_and_of_what_is_missing() {
    let world = World::new().await;
    world.install().await;
    world.pods("shop", &["db"]).await;
    world.pods("lab", &["other"]).await;
    world.apply(&policy(5432)).await;
    let _controller = world.controller();
    stands(&world, &["db Enforced"]).await;
    let someone = world.as_someone(&json!([])).await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"namespace": "shop", "name": "someone"},
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list"]},
            {"apiGroups": ["moat.dev"], "resources": ["vpcnetworkpolicies", "policyenforcements"], "verbs": ["list"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": "shop", "name": "someone"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "someone"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "someone"}],
    });
    world.apply(&role).await;
    world.apply(&binding).await;
    let live = ["--kubeconfig", argument(&someone)];
    let told = until("the grant is in force", async || {
        let (answer, told) = status(&world, &live);
        (!told.is_null()).then_some((answer, told))
    });
    let (answer, told) = told.await;
    assert_eq!(states(&told), ["db Enforced"]);
    for missing in ["clustervpcnetworkpolicies.moat.dev", "moatinstallations.moat.dev"] {
        answer.holds(2, &["note: not all is shown", missing]);
    }
    let all = world.moat(&[&["status"][..], &live].concat());
    all.holds(1, &["does not let you list", "`pods`"]);
}
