use moat_k8s::Read;
use moat_sim::{Config, Sim};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Duration;

use super::*;
use crate::consent::Word;
use crate::index::Live;
use crate::lease::Tenure;
use crate::telemetry::Telemetry;
use crate::watch::{News, Told};

/// The calls that a change of one pod or policy takes at most: two for each group or interface that is another then.
const FEW: usize = 4;

/// A worker on a VPC in memory, and what tells it of a cluster.
struct World {
    worker: Worker<Sim>,
    tell: mpsc::Sender<Told>,
    taking: JoinHandle<()>,
}

impl World {
    fn new(sim: Sim) -> Self {
        let decision = Decision { configuration: Arc::default(), refused: None };
        let tenure = Tenure::fixed(true);
        let telemetry = Arc::new(Telemetry::new(&decision.configuration, tenure.clone()));
        let (tell, told) = mpsc::channel(1);
        let (index, take) = Live::new(told, Arc::clone(&telemetry));
        let links = Links {
            decision: watch::channel(decision).1,
            index,
            rounds: watch::channel(None).0,
            tenure,
            word: watch::channel(Some(Word::default())).1,
            stop: watch::channel(false).1,
            telemetry,
            home: "moat".to_owned(),
        };
        Self { worker: Worker::new(sim, links), tell, taking: tokio::spawn(take) }
    }

    /// Lets the worker's index take this.
    async fn tell(&mut self, watched: Watched, news: News) {
        self.tell.send(Told { watched, news }).await.unwrap();
        assert!(self.worker.links.index.changed().await);
    }

    /// A round, which comes to its end, and the steps that it took.
    async fn round(&mut self) -> (Duration, usize) {
        let before = self.worker.cloud.mutating_calls();
        let began = Instant::now();
        let round = self.worker.attempt().await.unwrap();
        let took = began.elapsed();
        assert_eq!(round.holdup, None);
        (took, self.worker.cloud.mutating_calls() - before)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.taking.abort();
    }
}

fn seen(object: &Value) -> Read {
    moat_k8s::read_object(object).unwrap()
}

/// Twenty pods to an application, ten applications to a namespace.
fn pod(number: usize, application: usize) -> Read {
    let address = format!("10.{}.{}.{}", 1 + number / 62_500, number / 250 % 250, 1 + number % 250);
    seen(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": format!("team-{}", number / 200),
            "name": format!("pod-{number}"),
            "labels": {"app": format!("app-{application}")},
        },
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }))
}

/// A policy of one application that lets the next one of its namespace in at a port.
fn policy(number: usize, applications: usize, port: usize) -> Read {
    let of = number % applications;
    let from = of / 10 * 10 + (of + 1) % 10;
    seen(&json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": format!("team-{}", of / 10), "name": format!("policy-{number}")},
        "spec": {
            "podSelector": {"matchLabels": {"app": format!("app-{of}")}},
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": format!("app-{from}")}}}],
                "ports": [{"protocol": "TCP", "port": port}],
            }],
        },
    }))
}

/// The bar by `MOAT_ROUND=20000,5000 cargo test --release -p moat-controller --lib one_change -- --nocapture`: pods and policies.
#[tokio::test(flavor = "multi_thread")]
async fn one_change_takes_few_calls_and_none_takes_none() {
    let text = std::env::var("MOAT_ROUND").unwrap_or_else(|_| "200,50".to_owned());
    let sizes: Vec<usize> = text.split(',').map(|part| part.parse().unwrap()).collect();
    let [pods, policies] = *sizes else { panic!("`{text}`: PODS,POLICIES") };
    let applications = pods.div_ceil(20);
    let mut world = World::new(Sim::new(Config::default()));
    for watched in Watched::ALL {
        let all = if watched == Watched::Pods {
            (0..pods).map(|number| pod(number, number / 20)).collect()
        } else if watched == Watched::NetworkPolicies {
            let port = |number| 1_000 + number / applications;
            (0..policies).map(|number| policy(number, applications, port(number))).collect()
        } else {
            Vec::new()
        };
        world.tell(watched, News::Listed(all)).await;
    }
    let (took, calls) = world.round().await;
    println!("{pods} pods, {policies} policies: from nothing {took:.1?}, {calls} calls");
    for _ in 0..3 {
        let (took, calls) = world.round().await;
        println!("nothing changed: {took:.1?}, {calls} calls");
        assert_eq!(calls, 0);
    }
    for number in 0..3 {
        world.tell(Watched::Pods, News::Changed(Box::new(pod(number, 1)))).await;
        let (took, calls) = world.round().await;
        println!("a pod has other labels: {took:.1?}, {calls} calls");
        assert!((1..=FEW).contains(&calls));
    }
    for number in 0..3 {
        let policy = policy(number, applications, 9_000 + number);
        world.tell(Watched::NetworkPolicies, News::Changed(Box::new(policy))).await;
        let (took, calls) = world.round().await;
        println!("a policy opens another port: {took:.1?}, {calls} calls");
        assert!((1..=FEW).contains(&calls));
    }
}
