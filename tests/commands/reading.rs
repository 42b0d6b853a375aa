//! `plan`, `check`, `explain` and `diff` of a live cluster, and what they say when it cannot be read.

use moat_test_cluster::until;
use serde_json::json;

use crate::world::{CONTEXT, World, argument, policy};

#[tokio::test(flavor = "multi_thread")]
async fn a_live_cluster_is_read_like_manifests_and_manifests_take_the_place_of_its_objects() {
    let world = World::new().await;
    world.pods("shop", &["web", "db"]).await;
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": "shop", "name": "api"},
        "spec": {
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api"}},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            },
        },
    });
    world.apply(&deployment).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop"}});
    until("all pods run", async || {
        let pods = world.list(&pod).await;
        let run = pods.iter().filter(|pod| pod.pointer("/status/podIP").is_some()).count();
        (run == 3).then_some(())
    })
    .await;
    world.apply(&policy(5432)).await;
    let live = ["--context", CONTEXT];
    let run = |arguments: &[&str]| world.moat(&[arguments, &live].concat());
    let explain = |from: &str, service: &str, more: &[&str]| {
        run(&[&["explain", from, "shop/db", service], more].concat())
    };

    run(&["plan"])
        .holds(0, &["tcp/5432 moat.default.", "1 policy and", "`moat apply` carries them out"]);
    run(&["check"]).holds(0, &["1 policy, "]);
    explain("shop/web", "tcp/5432", &[]).holds(0, &["policies: allow", "cloud:    allow"]);
    explain("shop/web", "tcp/22", &[]).holds(0, &["policies: deny", "cloud:    deny"]);
    // A Deployment's pods are known by what the API server says of them alone.
    explain("shop/deployment/api", "tcp/5432", &[]).holds(0, &["shop/api-", "policies: deny"]);

    let edited = world.file("edited.yaml", &policy(6432).to_string());
    let edited = argument(&edited);
    explain("shop/web", "tcp/5432", &[edited]).holds(0, &["policies: deny"]);
    explain("shop/web", "tcp/6432", &[edited]).holds(0, &["policies: allow", "edited.yaml:1:"]);
    let opened = "+ shop/web → shop/db: tcp/6432";
    run(&["diff", edited])
        .holds(2, &[opened, "- shop/web → shop/db: tcp/5432", "1 opened, 1 closed"]);
    let same = world.file("same.yaml", &policy(5432).to_string());
    run(&["diff", argument(&same)])
        .holds(0, &["no difference: both let the same flows through, for 3 pods"]);
    // The pods of a workload of a file are those that run, where any do.
    let scaled = world.file("scaled.yaml", &deployment.to_string());
    let scaled = argument(&scaled);
    run(&["explain", "shop/deployment/api", "shop/web", "tcp/1", scaled]).holds(0, &["shop/api-"]);
    run(&["explain", "shop/api-0", "shop/web", "tcp/1", scaled])
        .holds(1, &["there is no pod `shop/api-0`"]);

    // A list of more than a page is read to its end.
    for number in 0..501 {
        let mut more = policy(number + 1);
        more["metadata"]["name"] = json!(format!("more-{number}"));
        world.apply(&more).await;
    }
    run(&["check"]).holds(0, &["502 policies, "]);

    let ours = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "VpcNetworkPolicy",
        "metadata": {"namespace": "shop", "name": "ping"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    });
    let ours = world.file("ours.yaml", &ours.to_string());
    let note = "note: the cluster does not serve VpcNetworkPolicy: `moat crds | kubectl apply";
    run(&["plan", argument(&ours)]).holds(0, &[note]);
    world.install().await;
    let answer = run(&["plan", argument(&ours)]);
    assert!(!answer.notes.contains("note"), "{answer:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_cannot_be_read_is_told_with_what_to_do() {
    let world = World::new().await;
    world.pods("shop", &["web"]).await;

    let absent = world.moat(&["plan", "--context", "production"]);
    absent.holds(1, &["no context `production`; it has `control-plane`"]);
    world.moat(&["plan"]).holds(1, &["<PATH>..."]);
    world.moat(&["explain", "a/b", "a/c", "tcp/1"]).holds(1, &["or `--context NAME`"]);
    world.moat(&["diff", "--context", CONTEXT, "a", "b"]).holds(1, &["give NEW alone"]);
    world.moat(&["diff", "a"]).holds(1, &["`--context NAME`, and NEW alone"]);

    let text = std::fs::read_to_string(&world.plane.kubeconfig).expect("it is there");
    let (before, after) = text.split_once("https://").expect("a server");
    let (_, after) = after.split_once('"').expect("its end");
    let nowhere = world.file("nowhere", &format!("{before}https://127.0.0.1:1\"{after}"));
    let unreached = world.moat(&["check", "--kubeconfig", argument(&nowhere)]);
    unreached.holds(1, &["https://127.0.0.1:1", "does not answer", "refused", "`kubectl version`"]);

    let some = json!([{"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list"]}]);
    let someone = world.as_someone(&some).await;
    let live = ["--kubeconfig", argument(&someone)];
    // What is not served need not be granted.
    let refused =
        "does not let you list `namespaces`, `networkpolicies.networking.k8s.io`, `nodes`: ";
    let grant = "--verb=list --resource=namespaces,networkpolicies.networking.k8s.io,nodes";
    world.moat(&[&["plan"][..], &live].concat()).holds(1, &[refused, grant]);
    world.install().await;
    let refused = "`vpcnetworkpolicies.moat.dev`";
    world.moat(&[&["plan"][..], &live].concat()).holds(1, &[refused]);
    let all = json!([
        {"apiGroups": [""], "resources": ["pods", "services", "namespaces", "nodes"], "verbs": ["list"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list"]},
        {"apiGroups": ["moat.dev"], "resources": ["vpcnetworkpolicies", "clustervpcnetworkpolicies"], "verbs": ["list"]},
    ]);
    world.as_someone(&all).await;
    until("the grant is in force", async || {
        (world.moat(&[&["plan"][..], &live].concat()).code == Some(0)).then_some(())
    })
    .await;
}
