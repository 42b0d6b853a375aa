//! How long the program takes, in a cluster of a size, from the last of its lists to a cloud that is as the policies ask for;
//! and the memory that a pod takes.
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
    let empty = start(&plane, &objects, folder.path(), 0).await.kilobytes;

    fill(&objects, pods, policies).await;
    println!("{pods} pods and {policies} policies");
    for what in ["from nothing", "again"] {
        let Took { lists, equal, said, kilobytes } =
            start(&plane, &objects, folder.path(), policies).await;
        println!(
            "{what}: lists in after {lists:.1?}; {:.1?} later the cloud is as the policies ask for, {:.1?} later all of them say so; \
             {} MB, {:.1} kB a pod",
            equal - lists,
            said - lists,
            kilobytes / 1024,
            kilobytes.saturating_sub(empty) as f64 / pods as f64
        );
    }
    let before = plane.written().len();
    start(&plane, &objects, folder.path(), policies).await;
    let more = plane.written().split_off(before);
    let kinds: Vec<&Value> = more.iter().map(|event| &event["objectRef"]["resource"]).collect();
    assert_eq!(kinds, ["moatinstallations"], "that it leads, and nothing else");
}

/// Starts the program, waits until it is done with so many policies, and ends it.
async fn start(plane: &ControlPlane, objects: &Objects, folder: &Path, policies: usize) -> Took {
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
        .args(["controller", "--provider", "sim", "--config"])
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
    Took { lists, equal, said, kilobytes }
}

/// Makes namespaces, their pods as the kubelet would leave them, and policies.
async fn fill(objects: &Objects, pods: usize, policies: usize) {
    let applications = pods.div_ceil(REPLICAS);
    let made = (0..applications.div_ceil(APPLICATIONS)).map(|number| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(number * APPLICATIONS)}})
    });
    at_once(objects, made).await;
    at_once(objects, (0..pods).map(pod)).await;
    at_once(objects, (0..policies).map(|number| policy(number, applications))).await;
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

fn pod(number: usize) -> Value {
    let application = number / REPLICAS;
    let address = format!("10.{}.{}.{}", 1 + number / 62_500, number / 250 % 250, 1 + number % 250);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace(application),
            "name": format!("pod-{number}"),
            "labels": {"app": format!("app-{application}")},
        },
        "spec": {"schedulerName": "none", "containers": [{"name": "main", "image": "none", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    })
}

/// A policy of one application that lets pods of the next one of its namespace in at a port.
fn policy(number: usize, applications: usize) -> Value {
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
                "ports": [{"protocol": "TCP", "port": 1_000 + number / applications}],
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
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
