//! Probes, metrics and the level of the log, over HTTP.

use std::net::SocketAddr;

use moat_controller::{Log, Ports};
use moat_test_cluster::until;
use serde_json::json;

use crate::http::{self, port};
use crate::world::World;

/// The status and the body of an answer.
async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    http::ask(address, method, path, body).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_and_follower_are_ready_and_only_one_tells_what_it_enforces() {
    let world = World::new().await;
    world.pods("shop", &["web"]).await;
    let log = Log::start("info").expect("nobody logs yet");
    let (serve, first) = port().await;
    let (level, log_address) = port().await;
    let ports = Ports { serve, log: level, ..Ports::default() };
    let _leader = world.controller_with("one", ports, Some(log));
    let sees = async |address, line: &str| {
        let (status, text) = ask(address, "GET", "/metrics", "").await;
        assert_eq!(status, 200);
        text.lines().any(|other| other == line).then_some(text)
    };
    until("one leads", async || sees(first, "moat_leader 1").await).await;
    world
        .apply(&json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"podSelector": {}, "ingress": [{"ports": [{"protocol": "SCTP", "port": 9}]}]},
        }))
        .await;
    let finding = "moat_findings{reason=\"SctpPort\",effect=\"Narrower\"} 1";
    let text = until("the finding is counted", async || sees(first, finding).await).await;
    for line in [
        "moat_programmed_equals_intent 1",
        "moat_policies{condition=\"Programmed\",status=\"True\",reason=\"Programmed\"} 1",
        "moat_change_latency_seconds_count 1",
        "moat_rules{group=\"moat.default.1\",direction=\"ingress\",family=\"IPv4\"} 1",
        "moat_ec2_requests_total{op=\"CreateSecurityGroup\",code=\"OK\"} 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
    // Both share the VPC in memory, which tells of its requests to who came last.
    let (serve, second) = port().await;
    let ports = Ports { serve, ..Ports::default() };
    let _follower = world.controller_with("two", ports, None);
    for address in [first, second] {
        until("it is ready", async || {
            (ask(address, "GET", "/readyz", "").await == (200, "ok\n".to_owned())).then_some(())
        })
        .await;
        assert_eq!(ask(address, "GET", "/healthz", "").await, (200, "ok\n".to_owned()));
    }
    let text = sees(second, "moat_leader 0").await.expect("two follows");
    assert!(!text.contains("moat_findings{"), "{text}");

    let level = async |method, body| ask(log_address, method, "/log", body).await;
    assert_eq!(level("GET", "").await, (200, "info\n".to_owned()));
    assert_eq!(level("PUT", "off").await, (200, "off\n".to_owned()));
    let (status, why) = level("PUT", "loud").await;
    assert!(status == 400 && why.contains("`loud`"), "{status} {why}");
    assert_eq!(level("GET", "").await, (200, "off\n".to_owned()));
    assert_eq!(ask(first, "PUT", "/log", "info").await.0, 404, "only where nobody else reaches it");
}
