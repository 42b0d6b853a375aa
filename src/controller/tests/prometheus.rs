//! A real Prometheus scrapes a controller: every query of the dashboard has an answer, and every alert fires.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use moat_controller::Ports;
use moat_core::provider::ProviderError;
use moat_k8s::configuration::Configuration;
use moat_sim::{Call, Fault, Injection};
use moat_test_cluster::Part;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::http::{ask, port};
use crate::world::World;

/// A Prometheus that scrapes one target and judges the alerts each second; what it was not seen to answer yet.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    alerts: usize,
    unanswered: BTreeSet<Question>,
    folder: tempfile::TempDir,
}

/// A name, of a panel or of an alert, and what is asked for it.
type Question = (String, String);

/// How long a stage may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

impl Prometheus {
    /// Starts one that has everything to ask.
    async fn scraping(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        // How long an alert holds before it fires is promtool's to test.
        let mut rules = moat_deploy::rules();
        let mut alerts = Vec::new();
        for rule in rules["groups"][0]["rules"].as_array_mut().expect("rules") {
            rule["for"] = json!("0s");
            alerts.push(rule["alert"].as_str().expect("a name").to_owned());
        }
        let targets = json!([{"targets": [target.to_string()]}]);
        let configuration = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [file("rules.yml")],
            "scrape_configs": [{"job_name": "moat", "static_configs": targets}],
        });
        std::fs::write(file("rules.yml"), rules.to_string()).expect("writable");
        std::fs::write(file("prometheus.yml"), configuration.to_string()).expect("writable");
        let (listener, address) = port().await;
        drop(listener);
        let log = std::fs::File::create(file("log")).expect("writable");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus");
        let child = Command::new(program)
            .arg("prometheus")
            .arg(format!("--config.file={}", file("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", file("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("deploy/prometheus runs");
        let fired = |name: String| {
            let query = format!(
                "count_over_time(ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}[1h])"
            );
            (name, query)
        };
        let (count, alerts) = (alerts.len(), alerts.into_iter().map(fired));
        let unanswered = moat_deploy::queries("20s").into_iter().chain(alerts).collect();
        Self { child, address, alerts: count, unanswered, folder }
    }

    /// Asks everything that has no answer yet, until these names have one.
    async fn answers(&mut self, names: &[&str]) {
        let began = Instant::now();
        while self.unanswered.iter().any(|(name, _)| names.contains(&&**name)) {
            for question in self.unanswered.clone() {
                if self.answer(&question.1).await {
                    self.unanswered.remove(&question);
                }
            }
            if began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                panic!("without an answer: {:#?}\n{}", self.unanswered, log.unwrap_or_default());
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Whether there is an answer with a number in it.
    async fn answer(&self, query: &str) -> bool {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/api/v1/query?query={encoded}");
        let Ok(Some((status, text))) = timeout(ANSWER, ask(self.address, "GET", &path, "")).await
        else {
            return false;
        };
        // While it starts, it says that it is not ready.
        assert!(status == 200 || status == 503, "{query}: {status} {text}");
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let series = answer["data"]["result"].as_array().into_iter().flatten();
        series.filter_map(|one| one["value"][1].as_str()).any(|value| value != "NaN")
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

fn refuse(world: &World, call: Call, error: ProviderError) {
    let injection =
        Injection { call: Some(call), after: 0, times: usize::MAX, fault: Fault::Refuse(error) };
    world.cloud.lock().inject(injection);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboard_has_an_answer_and_every_alert_fires() {
    let world = World::new().await;
    let (serve, address) = port().await;
    let ports = Ports { serve, ..Ports::default() };
    let configuration = "apiVersion: moat.dev/v1alpha1\nkind: Configuration\n\
        quotas: {rulesPerGroup: 4, groups: 1}\nnodeTraffic: None\nicmp: Strict\n";
    let configuration: Configuration = configuration.parse().expect("it is right");
    world.pods("shop", &["web"]).await;
    world.apply(&policy(&[80, 90, 100, 110])).await;
    *world.configuration.lock().expect("nobody panics with it") = Ok(configuration);

    let controller = world.controller_with("one", ports, None);
    let mut prometheus = Prometheus::scraping(address).await;
    let asked = prometheus.unanswered.len();
    world.said("shop", "netpol-web", |status| status["summary"]["rules"] == 4).await;
    prometheus
        .answers(&["MoatRuleQuotaNearlyUsed", "MoatGroupQuotaNearlyUsed", "Findings", "Leaders"])
        .await;

    // What is edited is timed.
    world.apply(&policy(&[80, 90, 100])).await;
    prometheus.answers(&["Changes", "Phases, 99th percentile", "Calls per needed call"]).await;

    let rule = "ingress 10.66.0.0/16 tcp/22".parse().expect("a rule");
    world.cloud.lock().as_someone_else(|vpc| {
        let ours = vpc.groups().find(|(_, group)| group.owner.is_some());
        let id = ours.map(|(id, _)| id.clone()).expect("one");
        vpc.authorize(&id, &[(rule, String::new())].into(), None).expect("others may");
    });
    world.depose(5).await;
    prometheus.answers(&["MoatNoLeader", "MoatDrift"]).await;

    let action = |call: Call| format!("ec2:{}", call.as_str());
    let throttled = ProviderError::Throttled {
        action: action(Call::DescribeSecurityGroups),
        code: "RequestLimitExceeded".to_owned(),
        retry_after: None,
    };
    refuse(&world, Call::DescribeSecurityGroups, throttled);
    world.depose(5).await;
    prometheus.answers(&["MoatThrottled", "MoatCloudDiffers", "Refused requests"]).await;
    world.cloud.lock().heal();

    let call = Call::RevokeSecurityGroupIngress;
    let refused = ProviderError::Unauthorized {
        action: action(call),
        code: "UnauthorizedOperation".to_owned(),
    };
    refuse(&world, call, refused);
    world.apply(&policy(&[80, 90])).await;
    prometheus.answers(&["MoatPolicyStalled", "Stalled policies", "MoatRevocationPending"]).await;
    world.cloud.lock().heal();

    world.plane.kill(Part::ApiServer);
    prometheus.answers(&["MoatStaleCache"]).await;
    controller.stop().await;
    assert_eq!(prometheus.unanswered, BTreeSet::new(), "all the others had an answer meanwhile");
    let alerts = prometheus.alerts;
    println!("{} queries of panels answered, {alerts} alerts fired", asked - alerts);
}
