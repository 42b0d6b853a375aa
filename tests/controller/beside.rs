//! Commands beside a controller: they see what it sees, and leave what it keeps alone.

use moat_core::firewall::GroupKey;
use moat_test_cluster::until;
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn commands_see_what_a_controller_sees_and_change_nothing_that_it_keeps() {
    let world = World::new().await;
    world.pods("shop", &["web", "other"]).await;
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": 80}]}],
        },
    });
    world.apply(&policy).await;
    let controller = world.controller().await;
    world.programmed(&[policy]).await;
    let kept = world.read();
    let live = ["--context", "control-plane"];
    let run = |command: &[&str]| world.moat(&[command, &live].concat());

    let (_, text) = run(&["plan"]);
    assert!(text.contains("nothing to do: the cloud holds all of it"), "{text}");
    let (_, text) = run(&["explain", "shop/other", "shop/web", "tcp/22"]);
    assert!(text.contains("policies: deny") && text.contains("cloud:    deny"), "{text}");
    let (_, text) = run(&["status", "--namespace", "shop"]);
    let line = text.lines().find(|line| line.starts_with("shop        web "));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("netpol/web") && line.contains("moat.default."), "{text}");

    for command in [&["apply", "--yes"][..], &["uninstall", "--yes"]] {
        let (code, text) = run(command);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("keeps the groups of `default` in vpc-"), "{text}");
    }
    assert_eq!(world.read(), kept);
    // Whoever does not renew the lease for its duration keeps nothing.
    controller.kill();
    until("nobody keeps it", async || (run(&["uninstall", "--yes"]).0 == Some(0)).then_some(()))
        .await;
    let ours = |key: &&GroupKey| matches!(key, GroupKey::Ours(_));
    assert_eq!(world.read().groups.keys().filter(ours).count(), 0);
}
