//! A real Prometheus scrapes a controller: every query of the dashboard has an answer, and every alert's condition comes true.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use moat_controller::Ports;
use moat_core::policy::Direction;
use moat_core::provider::ProviderError;
use moat_k8s::configuration::Configuration;
use moat_sim::{Call, Fault, Injection};
use moat_test_cluster::Part;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::http::{ask, port};
use crate::world::World;

/// A Prometheus that scrapes one target each second, and the queries that it has not answered yet.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    unanswered: BTreeMap<String, String>,
    _folder: tempfile::TempDir,
}

/// How many seconds a stage may take; a watch on an API server that is gone is given up after 100.
const PATIENCE: u32 = 240;

impl Prometheus {
    /// Starts it with every query of the dashboard and of the alerts.
    async fn scraping(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let configuration = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "moat", "static_configs": [{"targets": [target.to_string()]}]}],
        });
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, configuration.to_string()).expect("writable");
        let (listener, address) = port().await;
        drop(listener);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus");
        let child = Command::new(program)
            .arg("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .expect("deploy/prometheus runs");
        let unanswered = moat_deploy::queries("20s").into_iter().chain(moat_deploy::alerts());
        // Two panels with one query are one.
        let unanswered = unanswered.map(|(name, query)| (query, name)).collect();
        Self { child, address, unanswered, _folder: folder }
    }

    /// Asks everything that has no answer yet, until these names have one.
    async fn answers(&mut self, names: &[&str]) {
        for _ in 0..PATIENCE {
            for query in self.unanswered.keys().cloned().collect::<Vec<_>>() {
                if self.answer(&query).await {
                    self.unanswered.remove(&query);
                }
            }
            if !self.unanswered.values().any(|name| names.contains(&&**name)) {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        panic!("without an answer: {:#?}", self.unanswered);
    }

    /// Whether there is an answer with a number in it.
    async fn answer(&self, query: &str) -> bool {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let Some((status, text)) =
            ask(self.address, "GET", &format!("/api/v1/query?query={encoded}"), "").await
        else {
            return false;
        };
        assert!(status == 200 || status == 503, "{query}: {status} {text}");
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        series.iter().any(|one| one["value"][1].as_str().is_some_and(|value| value != "NaN"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets tcp in at each of these ports, and a port of sctp, which the cloud cannot say.
fn policy(ports: &[u16]) -> Value {
    let mut ports: Vec<Value> =
        ports.iter().map(|port| json!({"protocol": "TCP", "port": port})).collect();
    ports.push(json!({"protocol": "SCTP", "port": 9}));
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "podSelector": {},
            "ingress": [{"from": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": ports}],
        },
    })
}

fn refuse(call: Call, times: usize, error: ProviderError) -> Injection {
    Injection { call: Some(call), after: 0, times, fault: Fault::Refuse(error) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboard_and_of_every_alert_has_an_answer() {
    let world = World::new().await;
    let (serve, address) = port().await;
    let ports = Ports { serve, log: None };
    let configuration = "apiVersion: moat.dev/v1alpha1\nkind: Configuration\n\
        quotas: {rulesPerGroup: 4, groups: 1}\nnodeTraffic: None\nicmp: Strict\n";
    let configuration: Configuration = configuration.parse().expect("it is right");
    world.pods("shop", &["web"]).await;
    world.apply(&policy(&[80, 90, 100, 110])).await;

    let controller = world.controller_of("one", configuration, ports, None);
    let mut prometheus = Prometheus::scraping(address).await;
    world.said("shop", "netpol-web", |status| status["summary"]["rules"] == 4).await;

    // What others do shows with the next picture of the cloud, a minute later at most.
    world.cloud.lock().as_someone_else(|vpc| {
        let ours = vpc.groups().find(|(_, group)| group.owner.is_some());
        let (id, rules) = ours.map(|(id, group)| (id.clone(), group.rules.clone())).expect("one");
        let ingress = rules.iter().filter(|(rule, _)| rule.direction == Direction::Ingress);
        let ids = ingress.map(|(_, entry)| entry.id.clone()).collect();
        vpc.revoke(&id, Direction::Ingress, &ids).expect("others may");
    });
    prometheus
        .answers(&["MoatDrift", "MoatRuleQuotaNearlyUsed", "MoatGroupQuotaNearlyUsed", "Findings"])
        .await;

    // What is edited is timed.
    world.apply(&policy(&[80, 90, 100])).await;
    prometheus.answers(&["Changes", "Phases, 99th percentile", "Calls per needed call"]).await;

    // A cloud that throttles and refuses lets revocations wait.
    let throttled = ProviderError::Throttled {
        action: "ec2:DescribeSecurityGroups".to_owned(),
        code: "RequestLimitExceeded".to_owned(),
        retry_after: None,
    };
    let refused = ProviderError::Unauthorized {
        action: "ec2:RevokeSecurityGroupIngress".to_owned(),
        code: "UnauthorizedOperation".to_owned(),
    };
    world.cloud.lock().inject(refuse(Call::DescribeSecurityGroups, 8, throttled));
    world.cloud.lock().inject(refuse(Call::RevokeSecurityGroupIngress, usize::MAX, refused));
    world.apply(&policy(&[80, 90])).await;
    prometheus
        .answers(&[
            "MoatCloudDiffers",
            "MoatPolicyStalled",
            "MoatThrottled",
            "MoatRevocationPending",
        ])
        .await;
    world.cloud.lock().heal();

    world.plane.kill(Part::ApiServer);
    prometheus.answers(&["MoatStaleCache"]).await;
    controller.stop().await;
    prometheus.answers(&["MoatNoLeader"]).await;
    assert_eq!(prometheus.unanswered, BTreeMap::new(), "all the others had an answer meanwhile");
}
