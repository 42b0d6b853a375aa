//! The shapes of `facts/benchmarks.md` §4, generated: B1, B2 and its variant, B3, B6, B9.

mod histograms;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use moat_core::firewall::{ForeignGroupId, Peer as RulePeer, Rule as GroupRule};
use moat_core::inventory::{Attachment, Interface, InterfaceId, Inventory, Pod};
use moat_core::net::{Family, Prefix, ServiceSet, Shape, Transport};
use moat_core::policy::{
    Action, Direction, Kind, Labels, Namespaces, ObjectRef, Peer, Peers, PodSelector, Policy,
    Requirement, Rule, Selector, ServiceMatch, Services, Subject, Tier, Word,
};
use moat_core::settings::{IcmpMode, Quotas, Settings};

use crate::build::{block, ports, prefix, word};
use crate::generate::Cluster;

/// A named shape, with the number of units that it has in full.
#[derive(Clone, Copy, Debug)]
pub struct BenchmarkShape {
    /// Its name in `facts/benchmarks.md`.
    pub name: &'static str,
    /// Namespaces, policies or pairs in full.
    pub full: usize,
    /// Makes it with some number of units.
    pub make: fn(usize) -> Cluster,
}

/// Where all pods are.
pub const POD_BLOCK: &str = "10.0.0.0/8";

/// All of them.
pub const SHAPES: [BenchmarkShape; 6] = [
    BenchmarkShape { name: "B1", full: 25_000, make: small_namespaces },
    BenchmarkShape { name: "B2", full: 10_000, make: one_namespace },
    BenchmarkShape { name: "B2-pairs", full: 5_000, make: pairs },
    BenchmarkShape { name: "B3", full: 1_000, make: cluster_scoped },
    BenchmarkShape { name: "B6", full: 604, make: histograms::real_histograms },
    BenchmarkShape { name: "B9", full: 3, make: kube_burner },
];

/// B1: namespaces of two pods `app-1=scale-1` and two `app-2=scale-2`; default deny, and each kind from its own kind.
fn small_namespaces(namespaces: usize) -> Cluster {
    let mut made = Making::default();
    for index in 0..namespaces {
        let name = word(format!("ns-{index}"));
        made.namespace(&name, &[("app", &name)]);
        for (pod, key, value) in [
            (0, "app-1", "scale-1"),
            (1, "app-1", "scale-1"),
            (2, "app-2", "scale-2"),
            (3, "app-2", "scale-2"),
        ] {
            made.pod(&name, &format!("pod-{pod}"), &[(key, value)]);
        }
        made.policy(
            &name,
            "default-deny",
            Selector::everything(),
            Some(Vec::new()),
            Some(Vec::new()),
        );
        for (policy, key, value) in [("np-1", "app-1", "scale-1"), ("np-2", "app-2", "scale-2")] {
            let app = Selector::label(key, value);
            let rules = vec![from_pods(&name, app.clone())];
            made.policy(&name, policy, app, Some(rules), Some(Vec::new()));
        }
    }
    made.cluster()
}

/// B2: as many pods as policies, all alike, in one namespace.
fn one_namespace(count: usize) -> Cluster {
    let mut made = Making::default();
    let name = word("one");
    made.namespace(&name, &[]);
    for index in 0..count {
        made.pod(&name, &format!("pod-{index}"), &[("app-1", "scale-1")]);
        let app = Selector::label("app-1", "scale-1");
        let rules = vec![from_pods(&name, app.clone())];
        made.policy(&name, &format!("np-{index}"), app, Some(rules), Some(Vec::new()));
    }
    made.cluster()
}

/// B2's variant: pairs of pods with unique labels, two policies a pair, one each way.
fn pairs(count: usize) -> Cluster {
    let mut made = Making::default();
    let name = word("one");
    made.namespace(&name, &[]);
    for index in 0..count {
        let labels = [format!("a-{index}"), format!("b-{index}")];
        for (own, other) in [(0, 1), (1, 0)] {
            made.pod(&name, &labels[own], &[("unique", &labels[own])]);
            let subject = Selector::label("unique", labels[own].as_str());
            let rules = vec![from_pods(&name, Selector::label("unique", labels[other].as_str()))];
            made.policy(&name, &labels[own], subject, Some(rules), Some(Vec::new()));
        }
    }
    made.cluster()
}

/// B3: namespaces of 100 companies, ten kinds of ten pods each, each kind from its own kind in its own company.
fn cluster_scoped(namespaces: usize) -> Cluster {
    let mut made = Making::default();
    for index in 0..namespaces {
        let name = word(format!("ns-{index}"));
        let company = format!("company-{}", index % 100);
        made.namespace(&name, &[("company", &company)]);
        for kind in 0..10 {
            let app = format!("scale-{kind}");
            for pod in 0..10 {
                made.pod(&name, &format!("pod-{kind}-{pod}"), &[("app", &app)]);
            }
            let subject = Selector::label("app", app.as_str());
            let namespaces = Namespaces::Matching(Selector::label("company", company.as_str()));
            let peer = Peer::Pods(PodSelector { namespaces, pods: subject.clone() });
            let rules = vec![accept("spec.ingress[0]", vec![peer], Services::Every)];
            made.policy(&name, &format!("np-{kind}"), subject, Some(rules), Some(Vec::new()));
        }
    }
    made.cluster()
}

/// B9: kube-burner's network-policy workload, with this many excepts for each CIDR.
fn kube_burner(excepts: usize) -> Cluster {
    let mut made = Making::default();
    let names: Vec<Word> = (0..10).map(|index| word(format!("ns-{index}"))).collect();
    for name in &names {
        made.namespace(name, &[("kubernetes.io/metadata.name", name)]);
        for number in 1..=10 {
            made.pod(name, &format!("pod-{number}"), &[("num", &number.to_string())]);
        }
    }
    for (index, name) in names.iter().enumerate() {
        made.policy(name, "deny-all", Selector::everything(), Some(Vec::new()), Some(Vec::new()));
        let proxy = Namespaces::Matching(Selector::label(
            "kubernetes.io/metadata.name",
            "network-policy-proxy",
        ));
        let proxy = Peer::Pods(PodSelector { namespaces: proxy, pods: Selector::everything() });
        let rule = accept("spec.ingress[0]", vec![proxy], tcp(&[(9001, 9001)]));
        made.policy(name, "proxy", Selector::everything(), Some(vec![rule]), None);
        for round in 1..=10_usize {
            let rules = burner_rules(&names, index, round, excepts);
            let subject = numbers(&["1", "2"]);
            made.policy(name, &format!("in-{round}"), subject.clone(), Some(rules.clone()), None);
            made.policy(name, &format!("out-{round}"), subject, None, Some(rules));
        }
    }
    made.cluster()
}

fn burner_rules(names: &[Word], namespace: usize, round: usize, excepts: usize) -> Vec<Rule> {
    let first = (20 * namespace + 2 * (round - 1) + 1) % names.len();
    let pods = if round <= 5 { ["1", "2"] } else { ["3", "4"] };
    let chosen = [first, (first + 1) % names.len()].map(|index| names[index].clone());
    let key = word("kubernetes.io/metadata.name");
    let namespaces = [Requirement::In(key, chosen.into())].into_iter().collect();
    let pods = PodSelector { namespaces: Namespaces::Matching(namespaces), pods: numbers(&pods) };
    let blocks = [2 * round + 1, 2 * round + 2].map(|index| {
        let (high, low) = (index / 256 + 1, index % 256);
        let except: Vec<String> =
            (0..excepts).map(|third| format!("{high}.{low}.{third}.0/24")).collect();
        let except: Vec<&str> = except.iter().map(String::as_str).collect();
        Peer::Addresses(block(&format!("{high}.{low}.0.0/16"), &except))
    });
    let ranges = [(5000, 5005), (5010, 5015)];
    vec![
        accept(
            "rules[0]",
            vec![Peer::Pods(pods)],
            tcp(&[(8080, 8080), (8081, 8081), ranges[0], ranges[1]]),
        ),
        accept(
            "rules[1]",
            blocks.to_vec(),
            tcp(&[(1001, 1001), (1002, 1002), ranges[0], ranges[1]]),
        ),
    ]
}

fn numbers(values: &[&str]) -> Selector {
    let values: BTreeSet<Word> = values.iter().map(word).collect();
    [Requirement::In(word("num"), values)].into_iter().collect()
}

// ------------------------------------------------------------------------------------------------ Making

/// A cluster in the making. Every pod owns its interface, which wears one group that is open both ways.
#[derive(Default)]
struct Making {
    policies: Vec<Policy>,
    inventory: Inventory,
    labels: BTreeMap<Vec<(String, String)>, Arc<Labels>>,
}

impl Making {
    fn labels(&mut self, pairs: &[(&str, &str)]) -> Arc<Labels> {
        let key =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let made = || Arc::new(pairs.iter().copied().collect());
        self.labels.entry(key).or_insert_with(made).clone()
    }

    fn namespace(&mut self, name: &Word, pairs: &[(&str, &str)]) {
        let labels = self.labels(pairs);
        self.inventory.namespaces.insert(name.clone(), labels);
    }

    fn pod(&mut self, namespace: &Word, name: &str, pairs: &[(&str, &str)]) {
        let labels = self.labels(pairs);
        let index = self.inventory.pods.len();
        let host = u32::try_from(index).unwrap_or(u32::MAX);
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 4)).saturating_add(host));
        let id = InterfaceId(word(format!("eni-{index}")));
        let prior = BTreeSet::from([base()]);
        let interface = Interface { attachment: Attachment::Exclusive, prior };
        self.inventory.interfaces.insert(id.clone(), interface);
        self.inventory.pods.push(Pod {
            namespace: namespace.clone(),
            name: word(name),
            uid: word(format!("uid-{index}")),
            labels,
            addresses: vec![IpAddr::V4(address)],
            node: None,
            ports: Arc::default(),
            probes: Arc::default(),
            host_network: false,
            interface: Some(id),
        });
    }

    fn policy(
        &mut self,
        namespace: &Word,
        name: &str,
        pods: Selector,
        ingress: Option<Vec<Rule>>,
        egress: Option<Vec<Rule>>,
    ) {
        let (kind, namespaces) = (Kind::NetworkPolicy, Namespaces::Named(namespace.clone()));
        self.policies.push(Policy {
            object: ObjectRef { kind, namespace: Some(namespace.clone()), name: word(name) },
            tier: Tier::NetworkPolicy,
            subject: Subject::Pods(PodSelector { namespaces, pods }),
            ingress,
            egress,
        });
    }

    fn cluster(mut self) -> Cluster {
        let open = Direction::BOTH.into_iter().flat_map(|direction| {
            Family::BOTH.map(|family| {
                let peer = RulePeer::Prefix(Prefix::everything(family));
                GroupRule { direction, peer, shape: Shape::All }
            })
        });
        self.inventory.foreign.insert(base(), open.collect());
        self.inventory.vpc = vec![prefix(POD_BLOCK)];
        self.inventory.pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let settings = Settings {
            icmp: IcmpMode::Strict,
            pod_subnets: vec![prefix("10.128.0.0/9")],
            quotas: Quotas::UNLIMITED,
            ..Settings::default()
        };
        Cluster { policies: self.policies, inventory: self.inventory, settings }
    }
}

fn base() -> ForeignGroupId {
    ForeignGroupId(word("sg-base"))
}

fn from_pods(namespace: &Word, pods: Selector) -> Rule {
    let peer = Peer::Pods(PodSelector { namespaces: Namespaces::Named(namespace.clone()), pods });
    accept("spec.ingress[0]", vec![peer], Services::Every)
}

fn accept(path: &str, peers: Vec<Peer>, services: Services) -> Rule {
    let (action, peers) = (Action::Accept, Peers::AnyOf(peers));
    Rule { path: path.into(), name: None, action, peers, services, failed_closed: false }
}

fn tcp(ranges: &[(u16, u16)]) -> Services {
    let sets = ranges.iter().map(|(low, high)| ports(Transport::Tcp, *low, *high));
    let all = sets.fold(ServiceSet::empty(), |all, set| all.union(&set));
    Services::AnyOf(vec![ServiceMatch::Set(all)])
}
