//! What single events cost a compiler that is kept alive.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moat_core::compile::{Compiler, Event, Extent, Inputs};
use moat_core::inventory::{Interface, InterfaceId, Node, Pod};
use moat_core::net::Transport;
use moat_core::policy::{
    Action, Labels, Peer, Peers, Policy, Rule, ServiceMatch, Services, Subject,
};

use crate::build::{block, ports, word};
use crate::figures::memory;
use crate::generate::Cluster;
use crate::random::Random;

/// How long events of one kind took to settle.
#[derive(Clone, Debug, Default)]
pub struct Row {
    times: Vec<Duration>,
    whole: usize,
}

/// A compiler at work on a cluster, with what each kind of event takes.
struct Bench {
    compiler: Compiler,
    rows: BTreeMap<&'static str, Row>,
    random: Random,
    pods: Vec<Pod>,
    policies: Vec<Policy>,
    made: u32,
}

/// The figures of a cluster, as text.
#[must_use]
pub fn latencies(cluster: Cluster, rounds: usize) -> String {
    let Cluster { policies, inventory, settings } = cluster;
    let pods = inventory.pods.iter().filter(|pod| pod.interface.is_some()).cloned().collect();
    let interfaces = inventory.interfaces.clone();
    let again = inventory.clone();
    let before = memory("VmRSS:");
    let mut compiler = Compiler::new(settings);
    let start = Instant::now();
    compiler.tell(Event::Policies(policies.clone()));
    compiler.tell(Event::Inventory(inventory));
    let told = start.elapsed();
    compiler.settle();
    let all = start.elapsed();
    let held = memory("VmRSS:").zip(before).map(|(after, before)| after.saturating_sub(before));
    let random = Random::new(1);
    let mut bench = Bench { compiler, rows: BTreeMap::new(), random, pods, policies, made: 0 };
    for _ in 0..rounds {
        bench.pods(&interfaces);
        bench.policies();
    }
    for _ in 0..rounds.div_ceil(100) {
        bench.node();
    }
    for _ in 0..rounds.div_ceil(100) {
        bench.time("all pods told again", [Event::Inventory(again.clone())]);
    }
    let (told, all) = (told.as_secs_f64(), all.as_secs_f64());
    let held = held.map_or(0, |bytes| bytes / 1_000_000);
    let mut text =
        format!("told everything at once: {told:.3} s, compiled after {all:.3} s, {held} MB\n");
    for (kind, row) in &bench.rows {
        text += &format!("{kind:<40} {row}\n");
    }
    text
}

/// What it takes to tell of single policies what will become of them, and of the whole cluster.
#[must_use]
pub fn opinions(cluster: Cluster, rounds: usize) -> String {
    let Cluster { policies, inventory, settings } = cluster;
    let inputs = Inputs { policies, inventory, settings };
    let (mut random, mut row) = (Random::new(1), Row::default());
    for _ in 0..rounds {
        let policy = random.pick(&inputs.policies);
        let start = Instant::now();
        let part = inputs.narrowed(&policy.object);
        let _ = part.compile();
        row.times.push(start.elapsed());
        row.whole += usize::from(part.inventory.pods.len() == inputs.inventory.pods.len());
    }
    let start = Instant::now();
    let _ = inputs.compile();
    let whole = start.elapsed().as_secs_f64();
    let (pods, policies) = (inputs.inventory.pods.len(), inputs.policies.len());
    format!("one policy of {policies}, {pods} pods             {row}\nall of them: {whole:.3} s\n")
}

impl Bench {
    fn time(&mut self, kind: &'static str, events: impl IntoIterator<Item = Event>) {
        let start = Instant::now();
        for event in events {
            self.compiler.tell(event);
        }
        let change = self.compiler.settle();
        let took = start.elapsed();
        let row = self.rows.entry(kind).or_default();
        row.times.push(took);
        row.whole += usize::from(matches!(change.extent, Extent::Everything(_)));
    }

    fn pods(&mut self, interfaces: &BTreeMap<InterfaceId, Interface>) {
        let model = self.random.pick(&self.pods);
        let Some(interface) = model.interface.as_ref().and_then(|id| interfaces.get(id)) else {
            return;
        };
        self.made += 1;
        let id = InterfaceId(word(format!("eni-new-{}", self.made)));
        let address = |host: u32| vec![IpAddr::from(Ipv4Addr::from(0x0aff_0000 + host))];
        let pod = Pod {
            name: word(format!("new-{}", self.made)),
            uid: word(format!("uid-new-{}", self.made)),
            addresses: address(self.made),
            interface: None,
            ..model
        };
        let carried = Pod { interface: Some(id.clone()), ..pod.clone() };
        let labels: Labels = [("app-9", format!("scale-{}", self.made))].into_iter().collect();
        let relabelled = Pod { labels: Arc::new(labels), ..carried.clone() };
        let moved = Pod { addresses: address(self.made + 0x1000), ..carried.clone() };
        let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
        let appears = Event::Interface(id.clone(), interface.clone());
        self.time("pod created, without an interface", [Event::Pod(pod)]);
        self.time("pod given an interface", [appears.clone(), Event::Pod(carried.clone())]);
        self.time("pod moved to another address", [Event::Pod(moved)]);
        self.time("pod relabelled like no other", [Event::Pod(relabelled)]);
        self.time("pod relabelled back", [Event::Pod(carried.clone())]);
        let goes = [Event::PodGone(namespace, name), Event::InterfaceGone(id)];
        self.time("pod deleted", goes);
        self.time("pod created, with an interface", [appears, Event::Pod(carried.clone())]);
        let (namespace, name) = (carried.namespace, carried.name);
        let old = self.random.pick(&self.pods);
        self.time("pod deleted", [Event::PodGone(namespace, name)]);
        let gone = Event::PodGone(old.namespace.clone(), old.name.clone());
        self.time("one of two pods alike deleted", [gone]);
        self.time("one of two pods alike created", [Event::Pod(old)]);
    }

    fn policies(&mut self) {
        let old = self.random.pick(&self.policies);
        self.made += 1;
        let Subject::Pods(pods) = old.subject.clone() else { return };
        let rule = |peer| Rule {
            path: "spec.ingress[0]".into(),
            name: None,
            action: Action::Accept,
            peers: Peers::AnyOf(vec![peer]),
            services: Services::AnyOf(vec![ServiceMatch::Set(ports(Transport::Tcp, 443, 443))]),
            failed_closed: false,
        };
        let net = format!("192.0.{}.0/24", self.made % 250);
        let mut edited = old.clone();
        edited.ingress.get_or_insert_default().push(rule(Peer::Addresses(block(&net, &[]))));
        let mut object = old.object.clone();
        object.name = word(format!("new-{}", self.made));
        let rule = rule(Peer::Pods(pods));
        let ingress = Some(vec![rule]);
        let new = Policy { object: object.clone(), ingress, ..old.clone() };
        self.time("policy edited", [Event::Policy(edited)]);
        self.time("policy edited back", [Event::Policy(old.clone())]);
        self.time("policy created", [Event::Policy(new)]);
        self.time("policy deleted", [Event::PolicyGone(object)]);
        self.time("policy deleted that was always there", [Event::PolicyGone(old.object.clone())]);
        self.time("policy created that was always there", [Event::Policy(old)]);
    }

    fn node(&mut self) {
        self.made += 1;
        let node = Node {
            name: word(format!("node-{}", self.made)),
            labels: Arc::default(),
            addresses: vec![IpAddr::from(Ipv4Addr::from(0x0a40_0000 + self.made))],
        };
        self.time("node created", [Event::Node(node)]);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(place).copied().unwrap_or_default().as_secs_f64() * 1_000.0
        };
        let (count, whole) = (times.len(), self.whole);
        write!(
            f,
            "p50 {:9.4} ms  p99 {:9.4} ms  worst {:9.4} ms  {count} times, {whole} as a whole",
            at(50),
            at(99),
            at(100)
        )
    }
}
