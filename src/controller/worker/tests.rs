use moat_core::inventory::Inventory;
use moat_k8s::Read;
use moat_sim::{Config, Sim};
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::time::Duration;

use super::*;
use crate::consent::Word;
use crate::index::tests::{Cluster, happening, whole};
use crate::index::{Index, Live};
use crate::lease::Tenure;
use crate::round::Round;
use crate::telemetry::Telemetry;
use crate::watch::{News, Told};

/// The calls that a change of one pod or policy takes at most: two for each group or interface that is another then.
const FEW: usize = 4;

/// A worker on a VPC in memory, and what it is told of a cluster.
struct World {
    worker: Worker<Sim>,
    index: Index,
}

impl World {
    fn new(sim: Sim, index: Index) -> Self {
        let decision = Decision { configuration: Arc::default(), refused: None };
        let tenure = Tenure::fixed(true);
        let telemetry = Arc::new(Telemetry::new(&decision.configuration, tenure.clone()));
        let links = Links {
            decision: watch::channel(decision).1,
            index: Live::of(index.clone()),
            rounds: watch::channel(None).0,
            tenure,
            word: watch::channel(Some(Word::default())).1,
            stop: watch::channel(false).1,
            telemetry,
            home: "moat".to_owned(),
        };
        Self { worker: Worker::new(sim, links), index }
    }

    /// Another worker on the same cloud, which hears of the cluster as it is now.
    fn at_first_sight(&self, cluster: &Cluster) -> Self {
        let mut world = Self::new(self.worker.cloud.clone(), whole(&cluster.heard));
        world.worker.cloud.restart();
        world
    }

    fn tell(&mut self, told: Told) {
        self.index.take(told);
        self.worker.links.index = Live::of(self.index.clone());
    }

    fn change(&mut self, watched: Watched, read: Read) {
        self.tell(Told { watched, news: News::Changed(Box::new(read)) });
    }

    /// A round; how long it took, and the calls that changed something.
    async fn round(&mut self) -> (Round, Duration, usize) {
        let before = self.worker.cloud.mutating_calls();
        let began = Instant::now();
        let round = self.worker.attempt().await.unwrap();
        (round, began.elapsed(), self.worker.cloud.mutating_calls() - before)
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
    let mut world = World::new(Sim::new(Config::default()), Index::default());
    for watched in Watched::ALL {
        let all = if watched == Watched::Pods {
            (0..pods).map(|number| pod(number, number / 20)).collect()
        } else if watched == Watched::NetworkPolicies {
            let port = |number| 1_000 + number / applications;
            (0..policies).map(|number| policy(number, applications, port(number))).collect()
        } else {
            Vec::new()
        };
        world.tell(Told { watched, news: News::Listed(all) });
    }
    println!("{pods} pods, {policies} policies");
    let say = |what: &str, (round, took, calls): (Round, Duration, usize), most| {
        println!("{what}: {took:.1?}, {calls} calls");
        assert_eq!(round.holdup, None);
        assert!(calls <= most, "{what}");
    };
    say("from nothing", world.round().await, usize::MAX);
    let (round, ..) = world.round().await;
    let began = Instant::now();
    let desired = round.inputs.compile();
    println!("findings of all: {:.1?}", began.elapsed());
    let began = Instant::now();
    drop(crate::status::verdicts(&round, &desired));
    println!("what becomes of each policy: {:.1?}", began.elapsed());
    for number in 0..3 {
        say("nothing changed", world.round().await, 0);
        world.change(Watched::Pods, pod(number, 1));
        say("a pod has other labels", world.round().await, FEW);
        let policy = policy(number, applications, 9_000 + number);
        world.change(Watched::NetworkPolicies, policy);
        say("a policy opens another port", world.round().await, FEW);
    }
}

/// 20 clusters of 60 events. The cloud in memory shows at once, so that only what it shows of
/// pods that are gone differs.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_told_of_each_event_compiles_what_one_compiles_that_sees_all_at_first_sight()
 {
    let mut runner = TestRunner::deterministic();
    let inputs = |round: Round| {
        let mut inputs = Inputs::clone(&round.inputs);
        let Inventory { pods, interfaces, foreign, .. } = &mut inputs.inventory;
        interfaces.retain(|id, _| pods.iter().any(|pod| pod.interface.as_ref() == Some(id)));
        foreign.retain(|id, _| interfaces.values().any(|it| it.prior.contains(id)));
        inputs
    };
    for case in 0..20 {
        let (mut cluster, mut world) =
            (Cluster::default(), World::new(Sim::new(Config::default()), Index::default()));
        for happening in vec(happening(), 60).new_tree(&mut runner).unwrap().current() {
            let context = format!("case {case}: {happening:?}");
            cluster.tells(happening).into_iter().for_each(|told| world.tell(told));
            let (round, ..) = world.round().await;
            let (scratch, ..) = world.at_first_sight(&cluster).round().await;
            assert_eq!(inputs(round), inputs(scratch), "{context}");
        }
        // What only a gone pod's interface wore goes once the picture is read anew.
        world.worker.picture = None;
        world.round().await;
        let (.., calls) = world.at_first_sight(&cluster).round().await;
        assert_eq!(calls, 0, "case {case}: there was more to do");
    }
}
