//! B6: the histograms of a real cluster.

use std::collections::BTreeSet;

use moat_core::policy::{
    Namespaces, Peer, PodSelector, Requirement, Rule, Selector, Services, Word,
};

use super::{Making, accept, tcp};
use crate::build::{block, word};
use crate::generate::Cluster;
use crate::random::Random;

/// Values with how often each occurs.
type Histogram = &'static [(usize, usize)];

const LOCAL_PODS: Histogram = &[
    (1, 1436),
    (2, 559),
    (3, 54),
    (4, 243),
    (5, 2512),
    (6, 496),
    (7, 927),
    (8, 196),
    (9, 240),
    (10, 211),
    (11, 572),
    (12, 482),
    (13, 60),
    (14, 33),
    (15, 47),
    (16, 57),
    (17, 100),
    (18, 39),
    (19, 84),
    (20, 99),
    (21, 116),
    (22, 136),
    (23, 30),
    (24, 50),
    (25, 339),
    (26, 41),
    (27, 9),
    (28, 2),
    (33, 2),
    (34, 2),
    (36, 1),
    (38, 2),
    (53, 1),
    (58, 2),
    (80, 1),
    (81, 1),
    (87, 2),
    (127, 431),
    (154, 9),
];
const BLOCKS: Histogram =
    &[(0, 9208), (1, 5521), (2, 72), (3, 346), (4, 7), (5, 1), (6, 263), (7, 2), (14, 2), (21, 1)];
const PEER_PODS: Histogram = &[
    (1, 590),
    (2, 4621),
    (3, 393),
    (4, 649),
    (5, 868),
    (6, 433),
    (7, 384),
    (8, 62),
    (9, 63),
    (10, 75),
    (11, 18),
    (12, 75),
    (13, 346),
    (16, 84),
    (20, 25),
    (21, 27),
    (22, 33),
    (25, 51),
    (34, 1),
    (36, 1),
    (42, 6),
    (58, 1),
    (80, 40),
    (94, 1),
    (127, 288),
    (154, 3),
    (3578, 70),
];
const PORTS: Histogram = &[(0, 7517), (1, 7127), (2, 757), (4, 6), (5, 16)];

/// B6: the histograms of a real cluster (npinaeva/k8s-netpol-scale). Pods are numbered within their namespace, and a set of
/// pods is a range of numbers. The largest peer set is one namespace.
pub(super) fn real_histograms(namespaces: usize) -> Cluster {
    const LARGEST: usize = 3_578;
    let scale = |full: usize| (full * namespaces).div_ceil(604);
    let mut random = Random::new(0x6e_7069);
    let mut made = Making::default();
    let names: Vec<Word> = (0..namespaces).map(|index| word(format!("ns-{index}"))).collect();
    let rest = scale(5_413 - LARGEST);
    for (index, name) in names.iter().enumerate() {
        made.namespace(name, &[("kubernetes.io/metadata.name", name)]);
        let pods = if index == 0 {
            scale(LARGEST)
        } else {
            rest / names.len() + usize::from(index <= rest % names.len())
        };
        for pod in 0..pods {
            made.pod(name, &format!("pod-{pod}"), &[("number", &pod.to_string())]);
        }
    }
    let live = scale(9_624);
    let mut rules_left = scale(15_423);
    for policy in 0..scale(13_678) {
        let name = if random.chance(20) { names[0].clone() } else { random.pick(&names) };
        let object = format!("np-{policy}");
        if policy >= live {
            let ingress = (policy < live + scale(495)).then(Vec::new);
            let subject = if ingress.is_some() {
                Selector::everything()
            } else {
                Selector::label("number", "nobody")
            };
            made.policy(&name, &object, subject, Some(ingress.unwrap_or_default()), None);
            continue;
        }
        let count = if rules_left > live - policy { 2.min(rules_left) } else { 1 };
        rules_left = rules_left.saturating_sub(count);
        let rules = random.many(count, |random, index| real_rule(random, &names, index));
        let subject = some_pods(&mut random, LOCAL_PODS);
        made.policy(&name, &object, subject, Some(rules), None);
    }
    made.cluster()
}

fn real_rule(random: &mut Random, names: &[Word], index: usize) -> Rule {
    let blocks = draw(random, BLOCKS);
    let mut peers = random.many(blocks, |random, _| {
        let [high, low] = [random.between(11, 172), random.below(256)];
        Peer::Addresses(block(&format!("{high}.{low}.0.0/{}", random.between(16, 24)), &[]))
    });
    if blocks == 0 {
        let wanted = draw(random, PEER_PODS);
        let name = if wanted > 10 { names[0].clone() } else { random.pick(names) };
        peers.push(Peer::Pods(PodSelector {
            namespaces: Namespaces::Named(name),
            pods: if wanted == 3_578 { Selector::everything() } else { up_to(wanted) },
        }));
    }
    let count = draw(random, PORTS);
    let chosen = random.many(count, |random, _| {
        let port = random.pick(&[80, 443, 8080, 8443, 9090, 5432, 6379, 3306]);
        (port, port)
    });
    let services = if chosen.is_empty() { Services::Every } else { tcp(&chosen) };
    accept(&format!("spec.ingress[{index}]"), peers, services)
}

fn draw(random: &mut Random, histogram: Histogram) -> usize {
    let weighted: Vec<(usize, usize)> =
        histogram.iter().map(|(value, count)| (*count, *value)).collect();
    random.weighted(&weighted)
}

fn some_pods(random: &mut Random, histogram: Histogram) -> Selector {
    up_to(draw(random, histogram))
}

/// The first `count` pods of a namespace.
fn up_to(count: usize) -> Selector {
    let values: BTreeSet<Word> = (0..count).map(|number| word(number.to_string())).collect();
    [Requirement::In(word("number"), values)].into_iter().collect()
}
