//! How long the program takes, in a cluster of a size, from the last of its lists to a cloud that is as the policies ask for,
//! where the cloud is empty and where it is so already; how long single changes take; and the memory that a pod takes.
//!
//! Small by default; the bar by `MOAT_START=20000,5000 cargo test --release -p moat --no-default-features --features controller
//! --test start -- --nocapture`: pods and policies. The API server is a real one; the cloud is in the memory of the program, so
//! what it takes is counted too. No time decides the test: that the program comes to its end does, and that it writes nothing
//! but that it leads when it is started again.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;

use moat_test_cluster::{ControlPlane, Objects};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

/// Pods that one application has.
const REPLICAS: usize = 20;
/// Applications of one namespace.
const APPLICATIONS: usize = 10;
/// How many objects are made at a time.
const AT_ONCE: usize = 48;

/// How many changes are timed.
const CHANGES: usize = 20;

/// A program that runs, until its value is dropped.
struct Program {
    child: Child,
    port: SocketAddr,
}

/// What one start took.
struct Took {
    lists: Duration,
    equal: Duration,
    said: Duration,
    kilobytes: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_starts_in_a_cluster_comes_to_its_end_and_again_without_a_write() {
    let text = std::env::var("MOAT_START").unwrap_or_else(|_| "200,50".to_owned());
    let sizes: Vec<usize> = text.split(',').map(|part| part.parse().expect("numbers")).collect();
    let [pods, policies] = *sizes else { panic!("`{text}`: PODS,POLICIES") };
    let plane = ControlPlane::start();
    let objects = Objects::of(&plane).await;
    for crd in moat_k8s::crd::crds() {
        objects.apply(&serde_json::to_value(crd).expect("JSON")).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (mut program, Took { kilobytes: empty, .. }) =
        start(&plane, &objects, folder.path(), 0).await;
    program.stop().await;

    fill(&objects, pods, policies).await;
    println!("{pods} pods and {policies} policies");
    for what in ["from nothing", "again, in a cloud that is so already"] {
        let (mut program, took) = start(&plane, &objects, folder.path(), policies).await;
        let Took { lists, equal, said, kilobytes } = took;
        println!(
            "{what}: lists in after {lists:.1?}; {:.1?} later the cloud is as the policies ask for, {:.1?} later all of them say so; \
             {} MB, {:.1} kB a pod",
            equal - lists,
            said - lists,
            kilobytes / 1024,
            kilobytes.saturating_sub(empty) as f64 / pods as f64
        );
        program.stop().await;
    }
    let before = plane.written().len();
    let (program, _) = start(&plane, &objects, folder.path(), policies).await;
    let more = plane.written().split_off(before);
    let kinds: Vec<&Value> = more.iter().map(|event| &event["objectRef"]["resource"]).collect();
    assert_eq!(kinds, ["moatinstallations"], "that it leads, and nothing else");

    let applications = pods.div_ceil(REPLICAS);
    let apart = pods / CHANGES;
    let pod = |number| pod(number * apart, number * apart / REPLICAS + 1);
    program.changes(&objects, "a pod has other labels", (0..CHANGES).map(pod)).await;
    let policy = |number| policy(number, applications, 9_000 + number);
    program.changes(&objects, "a policy opens another port", (0..CHANGES).map(policy)).await;
}

/// Starts the program and waits until it is done with so many policies.
async fn start(
    plane: &ControlPlane,
    objects: &Objects,
    folder: &Path,
    policies: usize,
) -> (Program, Took) {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
    let file = folder.join("moat.yaml");
    let text = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "Configuration",
        "serve": {"address": port.to_string()},
        "log": {"level": "error"},
    });
    std::fs::write(&file, text.to_string()).expect("written");
    objects.free_lease().await;
    let began = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_moat"))
        .args(["controller", "--provider", "sim", "--state"])
        .arg(folder.join("cloud.json"))
        .arg("--config")
        .arg(&file)
        .env("KUBECONFIG", &plane.kubeconfig)
        .spawn();
    let mut program = Program { child: child.expect("the program runs"), port };
    let mut when = async |path: &str, holds: &dyn Fn(&str) -> bool| {
        while !program.get(path).is_some_and(|text| holds(&text)) {
            assert_eq!(program.child.try_wait().expect("a process"), None, "it runs on");
            sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    };
    let lists = when("/readyz", &|text| text.starts_with("HTTP/1.1 200")).await;
    let equal = when("/metrics", &|text| text.contains("moat_programmed_equals_intent 1")).await;
    let programmed = r#"moat_policies{condition="Programmed",status="True",reason="Programmed"}"#;
    let counted = format!("{programmed} {policies}\n");
    let said = when("/metrics", &|text| policies == 0 || text.contains(&counted)).await;
    let status = format!("/proc/{}/status", program.child.id());
    let status = std::fs::read_to_string(status).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    let kilobytes = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    (program, Took { lists, equal, said, kilobytes })
}

/// Makes namespaces, their pods as the kubelet would leave them, and policies.
async fn fill(objects: &Objects, pods: usize, policies: usize) {
    let applications = pods.div_ceil(REPLICAS);
    let made = (0..applications.div_ceil(APPLICATIONS)).map(|number| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(number * APPLICATIONS)}})
    });
    at_once(objects, made).await;
    at_once(objects, (0..pods).map(|number| pod(number, number / REPLICAS))).await;
    let port = |number| 1_000 + number / applications;
    let policy = |number| policy(number, applications, port(number));
    at_once(objects, (0..policies).map(policy)).await;
}

async fn at_once(objects: &Objects, made: impl Iterator<Item = Value>) {
    let mut tasks = JoinSet::new();
    let objects = Arc::new(objects.clone());
    for object in made {
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await.expect("there is one").expect("no panic");
        }
        let objects = Arc::clone(&objects);
        tasks.spawn(async move {
            objects.apply(&object).await;
            if object.get("status").is_some() {
                objects.apply_status(&object).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
}

fn namespace(application: usize) -> String {
    format!("team-{}", application / APPLICATIONS)
}

/// A pod that belongs to an application; where it is, its number says.
fn pod(number: usize, application: usize) -> Value {
    let address = format!("10.{}.{}.{}", 1 + number / 62_500, number / 250 % 250, 1 + number % 250);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace(number / REPLICAS),
            "name": format!("pod-{number}"),
            "labels": {"app": format!("app-{application}")},
        },
        "spec": {"schedulerName": "none", "containers": [{"name": "main", "image": "none", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    })
}

/// A policy of one application that lets pods of the next one of its namespace in at a port.
fn policy(number: usize, applications: usize, port: usize) -> Value {
    let of = number % applications;
    let from = of / APPLICATIONS * APPLICATIONS + (of + 1) % APPLICATIONS;
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace(of), "name": format!("policy-{number}")},
        "spec": {
            "podSelector": {"matchLabels": {"app": format!("app-{of}")}},
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": format!("app-{from}")}}}],
                "ports": [{"protocol": "TCP", "port": port}],
            }],
        },
    })
}

impl Program {
    /// What it answers; none while it does not.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.port).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: moat\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Lets it stop by itself, so that it keeps its cloud.
    async fn stop(&mut self) {
        let process = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &process]).status().expect("it is told");
        assert!(told.success());
        while self.child.try_wait().expect("a process").is_none() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Applies objects, one after another, and says how long the program took for each: from when it was told until the cloud
    /// was read back.
    async fn changes(&self, objects: &Objects, what: &str, changed: impl Iterator<Item = Value>) {
        let mut took = Vec::new();
        for object in changed {
            let before = self.latency();
            objects.apply(&object).await;
            let mut after = self.latency();
            while after.0 <= before.0 {
                sleep(Duration::from_millis(20)).await;
                after = self.latency();
            }
            took.push((after.1 - before.1) * 1_000.0);
        }
        took.sort_by(f64::total_cmp);
        let nth = |place: usize| took.get(place).copied().unwrap_or_default();
        let (middle, longest) = (nth(took.len() / 2), nth(took.len() - 1));
        println!("{what}, {} times: {middle:.0} ms, the longest {longest:.0} ms", took.len());
    }

    /// How many changes arrived, and the seconds that they took.
    fn latency(&self) -> (f64, f64) {
        let text = self.get("/metrics").expect("it answers");
        let value = |name: &str| {
            let of_name = |line: &str| Some(line.strip_prefix(name)?.trim().to_owned());
            let value = text.lines().find_map(of_name).expect("it is told");
            value.parse::<f64>().expect("a number")
        };
        let name = "moat_change_latency_seconds";
        (value(&format!("{name}_count ")), value(&format!("{name}_sum ")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
