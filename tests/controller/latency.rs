//! From a change in the cluster to the cloud: how long until EC2 has what a policy's edit or a pod's new interface asks for.
//!
//! Small by default; the bar by `MOAT_LATENCY=2000,500,600 cargo test --release -p moat --test controller latency -- --nocapture`: pods,
//! policies, and seconds at five changes a second, then the same time in which nobody may write anything. No time
//! decides the test: that everything is programmed at last does, and that a steady state is quiet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep};

use crate::world::World;

/// What is measured.
struct Load {
    pods: usize,
    policies: usize,
    seconds: u64,
}

/// Pods that one Deployment has.
const REPLICAS: usize = 20;

/// Changes a second.
const RATE: u64 = 5;

impl Load {
    fn asked_for() -> Self {
        let text = std::env::var("MOAT_LATENCY").unwrap_or_else(|_| "40,10,10".to_owned());
        let numbers: Vec<u64> =
            text.split(',').map(|part| part.parse().expect("numbers")).collect();
        let [pods, policies, seconds] = *numbers else { panic!("`{text}`: PODS,POLICIES,SECONDS") };
        let size = |number: u64| usize::try_from(number).expect("a size");
        Self { pods: size(pods), policies: size(policies), seconds }
    }

    const fn applications(&self) -> usize {
        self.pods.div_ceil(REPLICAS)
    }
}

/// What EC2's log shows, read again and again: when a port was first opened, and when an interface's groups were last set, as
/// it can come to them in two calls.
type Seen = Arc<Mutex<BTreeMap<String, Instant>>>;

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_in_the_cloud_and_a_steady_state_is_quiet() {
    let load = Load::asked_for();
    let world = Arc::new(World::with(&["--nodes", "4"]).await);
    fill(&world, &load).await;
    let controller = world.controller().await;
    let started = Instant::now();
    programmed(&world, load.policies).await;
    settle(&world).await;
    println!(
        "{} pods and {} policies: programmed {:.1?} after the start",
        load.pods,
        load.policies,
        started.elapsed()
    );

    let (seen, _, mut last) = (Seen::default(), (), world.calls(0).1);
    let watching = {
        let (world, seen) = (Arc::clone(&world), Arc::clone(&seen));
        tokio::task::spawn_blocking(move || {
            while Arc::strong_count(&seen) > 1 {
                let (calls, to) = world.calls(last);
                last = to;
                let now = Instant::now();
                let mut seen = seen.lock().expect("no panic");
                for mark in calls.iter().flat_map(marks) {
                    if mark.starts_with("port ") {
                        seen.entry(mark).or_insert(now);
                    } else {
                        seen.insert(mark, now);
                    }
                }
                drop(seen);
                std::thread::sleep(Duration::from_millis(10));
            }
        })
    };
    let asked = change(&world, &load).await;
    programmed(&world, load.policies).await;
    settle(&world).await;
    report(&asked, &seen.lock().expect("no panic"));
    drop(seen);
    watching.await.expect("no panic");

    let (before, written) = (world.calls(0).1, world.plane.written().len());
    sleep(Duration::from_secs(load.seconds)).await;
    assert_eq!(world.calls(before).0, Vec::<Value>::new(), "a steady state writes nothing to EC2");
    let more = world.plane.written().split_off(written);
    assert_eq!(more, Vec::<Value>::new(), "nor to the API server");
    controller.kill();
}

/// Deployments, and policies that select them.
async fn fill(world: &World, load: &Load) {
    world.pods("load", &[]).await;
    for application in 0..load.applications() {
        world.apply(&deployment(application)).await;
    }
    for number in 0..load.policies {
        // Applications that ask for the same share their group, until an edit makes all of their pods move.
        let port = u64::try_from(number % load.applications()).expect("a port") + 1;
        world.apply(&policy(load, number, port)).await;
    }
    let wanted = load.applications() * REPLICAS;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "load"}});
    loop {
        let pods = world.list(&pod).await;
        let run = pods.iter().filter(|pod| pod.pointer("/status/podIP").is_some()).count();
        if run >= wanted {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn deployment(application: usize) -> Value {
    let name = format!("app-{application}");
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": "load", "name": name},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "none"}], "terminationGracePeriodSeconds": 0},
            },
        },
    })
}

/// A policy that lets the pods of one application be reached by those of another at a port.
fn policy(load: &Load, number: usize, port: u64) -> Value {
    let (of, from) = (number % load.applications(), (number / 7 + 1) % load.applications());
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "load", "name": format!("policy-{number}")},
        "spec": {
            "podSelector": {"matchLabels": {"app": format!("app-{of}")}},
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": format!("app-{from}")}}}],
                "ports": [{"protocol": "TCP", "port": port}],
            }],
        },
    })
}

/// The pods that have an interface, by application, the oldest first.
type Running = BTreeMap<String, VecDeque<Value>>;

/// Edits policies and replaces pods in turn; when each was asked for, by the mark that it leaves in EC2's log.
async fn change(world: &Arc<World>, load: &Load) -> BTreeMap<String, Instant> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "load"}});
    let asked = Arc::new(Mutex::new(BTreeMap::new()));
    let running = Arc::new(Mutex::new(Running::new()));
    let following = {
        let (world, pod) = (Arc::clone(world), pod.clone());
        let (asked, running) = (Arc::clone(&asked), Arc::clone(&running));
        // The watch tells of pods that were there as soon as they change: those are no changes of ours.
        let mut known: BTreeSet<String> = BTreeSet::new();
        for pod in world.list(&pod).await {
            if let Some(interface) = interface(&pod) {
                known.insert(interface);
                runs(&running, pod);
            }
        }
        tokio::spawn(async move {
            let each = |pod: Value| {
                let Some(interface) = interface(&pod).filter(|one| known.insert(one.clone()))
                else {
                    return;
                };
                asked.lock().expect("no panic").insert(interface, Instant::now());
                runs(&running, pod);
            };
            world.follow(&pod, each).await;
        })
    };
    sleep(Duration::from_millis(500)).await;
    let mut turn = interval(Duration::from_millis(1_000 / RATE));
    turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..load.seconds * RATE {
        turn.tick().await;
        let place = usize::try_from(number).expect("a size");
        if number % 2 == 0 {
            let port = 1_024 + number;
            world.apply(&policy(load, place / 2 % load.policies, port)).await;
            asked.lock().expect("no panic").insert(format!("port {port}"), Instant::now());
        } else {
            let application = format!("app-{}", place % load.applications());
            let oldest =
                running.lock().expect("no panic").get_mut(&application).map(VecDeque::pop_front);
            if let Some(pod) = oldest.flatten() {
                world.delete(&pod).await;
            }
        }
    }
    settle(world).await;
    following.abort();
    asked.lock().expect("no panic").clone()
}

/// Adds a pod to those of its application.
fn runs(running: &Mutex<Running>, pod: Value) {
    let application = pod["metadata"]["labels"]["app"].as_str().unwrap_or_default().to_owned();
    running.lock().expect("no panic").entry(application).or_default().push_back(pod);
}

fn interface(pod: &Value) -> Option<String> {
    let text = pod["metadata"]["annotations"]["vpc.amazonaws.com/pod-eni"].as_str()?;
    let list: Value = serde_json::from_str(text).ok()?;
    Some(list[0]["eniId"].as_str()?.to_owned())
}

/// What a call is about: an interface whose groups it sets, or the ports that it opens.
fn marks(call: &Value) -> Vec<String> {
    let request = &call["request"];
    match call["op"].as_str() {
        Some("ModifyNetworkInterfaceAttribute") => {
            request["NetworkInterfaceId"].as_str().map(str::to_owned).into_iter().collect()
        }
        Some("AuthorizeSecurityGroupIngress") => {
            let permissions = request["IpPermissions"].as_array().into_iter().flatten();
            permissions
                .filter_map(|one| one["FromPort"].as_u64())
                .map(|port| format!("port {port}"))
                .collect()
        }
        Some(_) | None => Vec::new(),
    }
}

/// Waits until so many policies are said to be in the cloud, however long the cloud's rates make it.
async fn programmed(world: &World, policies: usize) {
    let about = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "PolicyEnforcement",
        "metadata": {"namespace": "load"},
    });
    let holds = |one: &Value| one["type"] == "Programmed" && one["status"] == "True";
    let is = |about: &&Value| {
        about["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(holds))
    };
    while world.list(&about).await.iter().filter(is).count() < policies {
        sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until a second passes in which nobody writes to EC2.
async fn settle(world: &World) {
    let mut last = world.calls(0).1;
    loop {
        sleep(Duration::from_secs(1)).await;
        let (calls, to) = world.calls(last);
        if calls.is_empty() {
            return;
        }
        last = to;
    }
}

fn report(asked: &BTreeMap<String, Instant>, seen: &BTreeMap<String, Instant>) {
    for (what, of) in [("an edited policy", "port "), ("a new interface", "eni-")] {
        let of_kind = asked.iter().filter(|(mark, _)| mark.starts_with(of));
        let mut times: Vec<Duration> = of_kind
            .filter_map(|(mark, at)| Some(seen.get(mark)?.saturating_duration_since(*at)))
            .collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let at = times.len().saturating_sub(1) * percent / 100;
            times.get(at).copied().unwrap_or_default().as_millis()
        };
        let overtaken = asked.keys().filter(|mark| mark.starts_with(of)).count() - times.len();
        println!(
            "{what}: {} times, {overtaken} more overtaken by another change, 50 % {} ms, 90 % {} ms, 99 % {} ms, the longest {} ms",
            times.len(),
            at(50),
            at(90),
            at(99),
            at(100)
        );
    }
}
