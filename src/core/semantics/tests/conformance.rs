//! The upstream conformance suite of ClusterNetworkPolicy v1alpha2 (network-policy-api `conformance/`), as data.
//!
//! Four houses of two pods each, called by their first letters. A manifest is one list of rules against three of them;
//! patches swap rules, and after each patch the suite probes.

use crate::net::Transport;
use crate::policy::{Direction, Peer, Policy, Rule, ServiceMatch};
use crate::testing::{
    Cluster, accept, admin, baseline, blocks, deny, named_any, network_policy, pass, pod, pods, set,
};

/// The houses, and in each the pods 0 and 1 with the suite's ports; a node with the host-network pod forest/centaur.
fn houses() -> Cluster {
    let mut cluster = Cluster::default();
    for (third, house) in ["g", "s", "h", "r"].into_iter().enumerate() {
        cluster = cluster.namespace(house, &format!("house={house}"));
        for last in [0, 1] {
            let it = pod(&format!("{house}/{last}"))
                .label("house", house)
                .at(&format!("10.0.{third}.{}", last + 1))
                .at(&format!("fd00::{third}:{}", last + 1))
                .port("web", Transport::Tcp, 80)
                .port("dns", Transport::Udp, 53);
            cluster = cluster.pod(it);
        }
    }
    cluster
        .node("node", "kubernetes.io/os=linux", &["192.168.0.1"])
        .pod(pod("forest/centaur").at("192.168.0.1").on_host_network())
}

/// A house and the services it is probed at.
type Probe = (&'static str, &'static str);

/// One of the twenty manifests of seven rules (Baseline: five) in one direction.
#[derive(Clone, Copy)]
struct Manifest {
    name: &'static str,
    priority: u16,
    subject: &'static str,
    /// The house of rules 0 to 2.
    x: &'static str,
    /// Both services that the suite probes.
    probed: [&'static str; 2],
    /// The house and service of rules 3 and 4.
    s_at_p: Probe,
    /// The house and service of rules 5 and 6.
    c_at_q: Probe,
}

#[rustfmt::skip]
const SINGLE: [(Direction, Manifest); 6] = [
    (Direction::Ingress, Manifest { name: "IngressTCP", priority: 3, subject: "g", x: "r", probed: ["tcp/80", "tcp/8080"], s_at_p: ("s", "tcp/80"), c_at_q: ("h", "tcp/80") }),
    (Direction::Egress, Manifest { name: "EgressTCP", priority: 6, subject: "g", x: "r", probed: ["tcp/80", "tcp/8080"], s_at_p: ("s", "tcp/80"), c_at_q: ("h", "tcp/8080") }),
    (Direction::Ingress, Manifest { name: "IngressUDP", priority: 4, subject: "h", x: "r", probed: ["udp/53", "udp/5353"], s_at_p: ("s", "udp/5353"), c_at_q: ("g", "udp/53") }),
    (Direction::Egress, Manifest { name: "EgressUDP", priority: 7, subject: "h", x: "r", probed: ["udp/53", "udp/5353"], s_at_p: ("s", "udp/5353"), c_at_q: ("g", "udp/53") }),
    (Direction::Ingress, Manifest { name: "IngressSCTP", priority: 5, subject: "r", x: "g", probed: ["sctp/9003", "sctp/9005"], s_at_p: ("s", "sctp/9003"), c_at_q: ("h", "sctp/9003") }),
    (Direction::Egress, Manifest { name: "EgressSCTP", priority: 8, subject: "r", x: "g", probed: ["sctp/9003", "sctp/9005"], s_at_p: ("s", "sctp/9003"), c_at_q: ("h", "sctp/9003") }),
];

#[derive(Clone, Copy, PartialEq)]
enum Tier {
    Admin,
    Baseline,
}

fn house(name: &str) -> Peer {
    Peer::Pods(pods(&format!("house={name}"), ""))
}

fn with_rules(tier: Tier, manifest: &Manifest, direction: Direction, rules: Vec<Rule>) -> Policy {
    let subject = pods(&format!("house={}", manifest.subject), "");
    let mut policy = match tier {
        Tier::Admin => admin(manifest.name, manifest.priority, subject),
        Tier::Baseline => baseline("default", 10, subject),
    };
    match direction {
        Direction::Ingress => policy.ingress = Some(rules),
        Direction::Egress => policy.egress = Some(rules),
    }
    policy
}

/// The rules in the manifest's order; the Baseline variant is without the two that pass.
fn rules(tier: Tier, manifest: &Manifest, c_at_q: ServiceMatch) -> Vec<Rule> {
    let (s, p) = manifest.s_at_p;
    let (c, _) = manifest.c_at_q;
    let mut rules = vec![
        accept().peers([house(manifest.x)]),
        deny().peers([house(manifest.x)]),
        pass().peers([house(manifest.x)]),
        deny().peers([house(s)]).services([set(p)]),
        pass().peers([house(s)]).services([set(p)]),
        accept().peers([house(c)]).services([c_at_q]),
        deny().peers([house(c)]),
    ];
    if tier == Tier::Baseline {
        rules.remove(4);
        rules.remove(2);
    }
    rules
}

/// Which of the two probed services pass between the subject and a house.
fn probe(cluster: &Cluster, manifest: &Manifest, direction: Direction, other: &str) -> [bool; 2] {
    manifest.probed.map(|service| {
        let ends = [format!("{}/0", manifest.subject), format!("{other}/1")];
        match direction {
            Direction::Ingress => cluster.allows(&ends[1], &ends[0], service),
            Direction::Egress => cluster.allows(&ends[0], &ends[1], service),
        }
    })
}

/// Walks a manifest through the suite's patches, which accumulate.
fn walk(tier: Tier, manifest: &Manifest, direction: Direction) {
    let what = (manifest.name, direction);
    let (s, p) = manifest.s_at_p;
    let (c, q) = manifest.c_at_q;
    let mut rules = rules(tier, manifest, set(q));
    let at = |rules: &[Rule], other: &str| {
        let policy = with_rules(tier, manifest, direction, rules.to_vec());
        probe(&houses().policy(policy), manifest, direction, other)
    };
    assert_eq!(at(&rules, manifest.x), [true, true], "{what:?} (a)");
    assert_eq!(at(&rules, c), manifest.probed.map(|it| it == q), "{what:?} (b)");
    rules.swap(0, 1);
    assert_eq!(at(&rules, manifest.x), [false, false], "{what:?} (c)");
    assert_eq!(at(&rules, s), manifest.probed.map(|it| it != p), "{what:?} (d)");
    if tier == Tier::Admin {
        rules.swap(0, 2);
        assert_eq!(at(&rules, manifest.x), [true, true], "{what:?} (e)");
        rules.swap(3, 4);
        assert_eq!(at(&rules, s), [true, true], "{what:?} (f)");
    }
}

#[test]
fn manifests_of_one_direction_and_protocol_pass_their_steps() {
    for (direction, manifest) in &SINGLE {
        walk(Tier::Admin, manifest, *direction);
        walk(Tier::Baseline, manifest, *direction);
    }
}

/// CNP{Admin,Baseline}TierGress: all protocols in both directions at once, here one protocol's probes at a time.
#[test]
fn manifests_of_both_directions_pass_their_steps_in_each_protocol() {
    #[rustfmt::skip]
    let protocols = [
        (["tcp/80", "tcp/8080"], "tcp/80", ["tcp/80", "tcp/8080"]),
        (["udp/53", "udp/5353"], "udp/53", ["udp/5353", "udp/5353"]),
        (["sctp/9003", "sctp/9005"], "sctp/9003", ["sctp/9003", "sctp/9003"]),
    ];
    let s_at_p = || protocols.map(|(_, p, _)| set(p));
    let combined = |swaps: &[(usize, usize)]| {
        let one = |q: [ServiceMatch; 3]| {
            let mut rules = vec![
                accept().peers([house("r")]),
                deny().peers([house("r")]),
                pass().peers([house("r")]),
                deny().peers([house("s")]).services(s_at_p()),
                pass().peers([house("s")]).services(s_at_p()),
                accept().peers([house("h")]).services(q),
                deny().peers([house("h")]),
            ];
            swaps.iter().for_each(|(a, b)| rules.swap(*a, *b));
            rules
        };
        let mut policy = admin("gress-rules", 15, pods("house=g", ""));
        policy.ingress = Some(one(protocols.map(|(_, _, [into, _])| set(into))));
        policy.egress = Some(one(protocols.map(|(_, _, [_, out])| set(out))));
        houses().policy(policy)
    };
    for (probed, p, [into, out]) in protocols {
        let passes = |swaps: &[(usize, usize)], other: &str| {
            let cluster = combined(swaps);
            let other = format!("{other}/1");
            probed.map(|it| [cluster.allows(&other, "g/0", it), cluster.allows("g/0", &other, it)])
        };
        assert_eq!(passes(&[], "r"), [[true; 2]; 2], "(a)");
        assert_eq!(passes(&[], "h"), probed.map(|it| [it == into, it == out]), "(b)");
        assert_eq!(passes(&[(0, 1)], "r"), [[false; 2]; 2], "(c)");
        assert_eq!(passes(&[(0, 1)], "s"), probed.map(|it| [it != p; 2]), "(d)");
        assert_eq!(passes(&[(0, 1), (0, 2)], "r"), [[true; 2]; 2], "(e)");
        assert_eq!(passes(&[(0, 1), (0, 2), (3, 4)], "s"), [[true; 2]; 2], "(f)");
    }
}

/// CNP{Admin,Baseline}Tier{Ingress,Egress}NamedPort: step (b) with the port's name in the manifest's place.
#[test]
fn a_named_port_stands_for_the_number_it_has_at_the_destination() {
    let named_in = [
        (Tier::Admin, 2, "dns"),
        (Tier::Admin, 1, "web"),
        (Tier::Baseline, 0, "web"),
        (Tier::Baseline, 3, "dns"),
    ];
    for (tier, manifest, port) in named_in {
        let (direction, manifest) = &SINGLE[manifest];
        let rules = rules(tier, manifest, named_any(port));
        let cluster = houses().policy(with_rules(tier, manifest, *direction, rules));
        let (c, _) = manifest.c_at_q;
        assert_eq!(probe(&cluster, manifest, *direction, c), [true, false], "{}", manifest.name);
    }
}

/// CNP{Admin,Baseline}TierEgressInlineCIDRPeers.
#[test]
fn networks_match_pods_by_their_addresses_unless_a_rule_above_accepts_them() {
    let everywhere = || blocks(&["0.0.0.0/0", "::/0"]);
    for tier in [Tier::Admin, Tier::Baseline] {
        let (_, manifest) = &SINGLE[1];
        let manifest = Manifest { priority: 85, ..*manifest };
        let to_s = || accept().peers([Peer::Pods(pods("house=s", "house=s"))]);
        let rules = vec![to_s(), deny().peers([everywhere()])];
        let mut cluster =
            houses().policy(with_rules(tier, &manifest, Direction::Egress, rules.clone()));
        let reached = |cluster: &Cluster| cluster.table("g/0", "s/0 s/1 h/0 h/1 r/0 r/1", "tcp/80");
        assert_eq!(reached(&cluster), "..xxxx");
        assert!(!cluster.allows("g/0", "8.8.8.8", "tcp/443"));
        assert!(!cluster.allows("g/0", "2001:db8::8", "tcp/443"));

        for name in ["s/0", "s/1"] {
            cluster.pod_mut(name).labels = std::sync::Arc::default();
        }
        assert_eq!(reached(&cluster), "xxxxxx", "relabelled");

        let two = || blocks(&["10.0.3.1/32", "10.0.2.1/32", "fd00::3:1/128", "fd00::2:1/128"]);
        let rules = vec![accept().peers([two()]), to_s(), deny().peers([everywhere()])];
        let cluster = houses().policy(with_rules(tier, &manifest, Direction::Egress, rules));
        assert_eq!(reached(&cluster), "...x.x", "two addresses put first");
    }
}

/// CNPAdminTierPriorityField.
#[test]
fn the_lower_priority_is_asked_first() {
    let both = |policy: Policy, rule: Rule| {
        let rule = rule.peers([house("s")]);
        policy.ingress([rule.clone()]).egress([rule])
    };
    let passes = |moved: u16| {
        let g = || pods("house=g", "house=g");
        let cluster = houses()
            .policy(both(admin("fifty", 50, g()), deny()))
            .policy(both(admin("moved", moved, g()), pass()))
            .policy(both(baseline("default", 10, g()), accept()));
        [cluster.allows("g/0", "s/0", "tcp/80"), cluster.allows("s/1", "g/1", "udp/53")]
    };
    assert_eq!(passes(60), [false; 2]);
    assert_eq!(passes(40), [true; 2]);
}

/// CNPAdminTierIntegration.
#[test]
fn admin_passes_to_network_policies_and_these_leave_to_baseline() {
    let both = |policy: Policy, rule: Rule| {
        let rule = rule.peers([house("s")]);
        policy.ingress([rule.clone()]).egress([rule])
    };
    let cluster = |first: Rule| {
        houses()
            .policy(both(admin("pass-example", 10, pods("house=g", "")), first))
            .policy(both(network_policy("g/allow-gress", ""), accept()))
            .policy(both(baseline("default", 10, pods("house=g", "")), deny()))
    };
    let passes =
        |it: &Cluster| [it.allows("g/0", "s/0", "tcp/80"), it.allows("s/0", "g/0", "tcp/80")];
    assert_eq!(passes(&cluster(deny())), [false; 2]);
    assert_eq!(passes(&cluster(pass())), [true; 2]);
    assert_eq!(passes(&cluster(pass()).without("allow-gress")), [false; 2]);
}

/// CNP{Admin,Baseline}TierEgressNodePeers.
#[test]
fn nodes_are_reached_by_their_addresses() {
    let linux = || Peer::Nodes(crate::testing::selector("kubernetes.io/os=linux"));
    let everywhere = || blocks(&["0.0.0.0/0", "::/0"]);
    let policies = [
        admin("nodes", 75, pods("house=g", "house=g")).egress([
            accept().peers([linux()]).services([set("tcp/34345")]),
            pass().peers([linux()]).services([set("udp/34347")]),
            deny().peers([Peer::Pods(pods("house=s", "house=s")), linux(), everywhere()]),
        ]),
        baseline("default", 10, pods("house=g", "")).egress([
            accept().peers([linux()]).services([set("tcp/34345-34346")]),
            deny().peers([linux(), everywhere()]),
        ]),
    ];
    let passes = |policy: &Policy| {
        let cluster = houses().policy(policy.clone());
        let probes = ["tcp/34345", "tcp/34346", "udp/34347", "sctp/34348"];
        let to_node = probes.map(|it| cluster.allows("g/0", "forest/centaur", it));
        (to_node, cluster.allows("g/0", "s/0", "tcp/80"))
    };
    assert_eq!(passes(&policies[0]), ([true, false, true, false], false));
    assert_eq!(passes(&policies[1]), ([true, true, false, false], false));
}
