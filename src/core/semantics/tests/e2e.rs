//! The truth tables of Kubernetes' own e2e tests (`test/e2e/network/netpol`): namespaces x, y, z with pods a, b, c.
//! A row for each source, a column for each destination; `x` is closed.

use crate::net::Transport;
use crate::policy::{Peer, Peers, Policy, Rule};
use crate::testing::{
    Cluster, PODS, accept, block_except, blocks, named, network_policy, pods, set,
};

const OPEN: &str = "... ... ...";

/// The table where every source reaches the same destinations.
fn columns(row: &str) -> [String; 9] {
    std::array::from_fn(|_| row.to_owned())
}

/// Everything open, but into x/a only what `column` says, source by source; a pod always reaches itself.
fn into_x_a(column: &str) -> [String; 9] {
    let cells: Vec<char> = column.chars().filter(|it| *it != ' ').collect();
    std::array::from_fn(|row| format!("{}.. ... ...", if row == 0 { '.' } else { cells[row] }))
}

/// Everything open, but out of x/a only what `row` says.
fn out_of_x_a(row: &str) -> [String; 9] {
    std::array::from_fn(|index| if index == 0 { row.to_owned() } else { OPEN.to_owned() })
}

fn from(namespaces: &str, labels: &str) -> Peer {
    Peer::Pods(pods(namespaces, labels))
}

fn client_a() -> Policy {
    network_policy("x/policy", "pod=a")
}

#[test]
fn default_deny_ingress_and_default_deny_all() {
    let expected: [String; 9] = std::array::from_fn(|row| match PODS[row] {
        "x/a" => ".xx ... ...".into(),
        "x/b" => "x.x ... ...".into(),
        "x/c" => "xx. ... ...".into(),
        _ => "xxx ... ...".into(),
    });
    let deny = network_policy("x/deny", "").ingress([]);
    assert_eq!(Cluster::xyz().policy(deny).cells("tcp/80"), expected);
    assert_eq!(
        Cluster::xyz().policy(client_a().ingress([])).cells("tcp/80"),
        into_x_a("xxx xxx xxx")
    );

    let all = network_policy("x/deny", "").ingress([]).egress([]);
    let expected: [String; 9] = std::array::from_fn(|row| match PODS[row] {
        "x/a" => ".xx xxx xxx".into(),
        "x/b" => "x.x xxx xxx".into(),
        "x/c" => "xx. xxx xxx".into(),
        _ => "xxx ... ...".into(),
    });
    assert_eq!(Cluster::xyz().policy(all).cells("tcp/80"), expected);
}

#[test]
fn who_may_reach_one_target() {
    #[rustfmt::skip]
    let cases: [(&str, Vec<Peer>, &str); 13] = [
        ("podSelector in the own namespace", vec![from("x", "pod=b")], "x.x xxx xxx"),
        ("all pods of the own namespace", vec![from("x", "")], "... xxx xxx"),
        ("all namespaces", vec![from("", "")], "... ... ..."),
        ("namespaceSelector by label", vec![from("ns=y", "")], "xxx ... xxx"),
        ("namespaceSelector by expression", vec![from("ns in x|y", "")], "... ... xxx"),
        ("namespaceSelector by negated expression", vec![from("ns notin x", "")], "xxx ... ..."),
        ("default namespace label", vec![from("kubernetes.io/metadata.name=z", "")], "xxx xxx ..."),
        ("pod or namespace", vec![from("x", "pod=b"), from("ns=y", "")], "x.x ... xxx"),
        ("pod and namespace", vec![from("ns=y", "pod=a")], "xxx .xx xxx"),
        ("several pods and several namespaces", vec![from("ns notin x", "pod in b|c")], "xxx x.. x.."),
        ("any pod of that label anywhere", vec![from("", "pod=b")], "x.x x.x x.x"),
        ("other namespace only", vec![from("ns!=x", "pod=a")], "xxx .xx .xx"),
        ("stacked with its own selector", vec![from("ns=y", "pod in a|b"), from("ns=y", "pod in b|c")], "xxx ... xxx"),
    ];
    for (name, peers, column) in cases {
        let rule = Rule { peers: Peers::AnyOf(peers), ..accept() };
        let cluster = Cluster::xyz().policy(client_a().ingress([rule]));
        assert_eq!(cluster.cells("tcp/80"), into_x_a(column), "{name}");
    }
}

#[test]
fn ports_of_stacked_and_overlapping_policies_add_up() {
    let from_y = |port: &str| accept().peers([from("ns=y", "")]).services([set(port)]);
    let cluster = Cluster::xyz().policy(client_a().ingress([from_y("tcp/80")]));
    assert_eq!(cluster.cells("tcp/80"), into_x_a("xxx ... xxx"));
    assert_eq!(cluster.cells("tcp/81"), into_x_a("xxx xxx xxx"));

    let second = network_policy("x/second", "pod=a").ingress([from_y("tcp/81")]);
    let cluster = cluster.policy(second);
    assert_eq!(cluster.cells("tcp/81"), into_x_a("xxx ... xxx"));

    let overlapping = network_policy("x/third", "").ingress([accept().peers([from("", "pod=a")])]);
    let cluster = cluster.policy(overlapping);
    let mut expected = into_x_a("xxx ... .xx");
    for (row, cells) in expected.iter_mut().enumerate() {
        // x/b and x/c are isolated by the third policy alone.
        let open = PODS[row].ends_with('a');
        let itself = |column: usize| open || row == column;
        let cell = |column| if itself(column) { '.' } else { 'x' };
        cells.replace_range(1..3, &[cell(1), cell(2)].iter().collect::<String>());
    }
    assert_eq!(cluster.cells("tcp/81"), expected);
}

#[test]
fn allow_all_stands_beside_others_in_both_directions() {
    let deny = network_policy("x/deny", "").ingress([]).egress([]);
    let allow = network_policy("x/allow", "").ingress([accept()]).egress([accept()]);
    let cluster = Cluster::xyz().policy(deny).policy(allow);
    assert_eq!(cluster.cells("tcp/80"), columns(OPEN));
    let any_port = accept().services([set("tcp")]);
    let allow_tcp = network_policy("x/allow", "").ingress([any_port.clone()]).egress([any_port]);
    let cluster = cluster.without("allow").policy(allow_tcp);
    assert_eq!(cluster.cells("tcp/80"), columns(OPEN), "any port of one protocol");
    assert!(!cluster.allows("y/a", "x/a", "udp/80"));
}

#[test]
fn deletion_opens_what_the_policy_closed() {
    let cluster = Cluster::xyz().policy(client_a().ingress([]).egress([]));
    assert_ne!(cluster.cells("tcp/80"), columns(OPEN));
    assert_eq!(cluster.without("policy").cells("tcp/80"), columns(OPEN));
}

#[test]
fn named_ports_on_ingress_from_a_namespace_and_on_egress() {
    let port = || named(Transport::Tcp, "serve-80-tcp");
    let cluster = Cluster::xyz().policy(client_a().ingress([accept().services([port()])]));
    assert_eq!(cluster.cells("tcp/80"), columns(OPEN));
    assert_eq!(cluster.cells("tcp/81"), into_x_a("xxx xxx xxx"));

    let from_y = accept().peers([from("ns=y", "")]).services([port()]);
    let cluster = Cluster::xyz().policy(client_a().ingress([from_y]));
    assert_eq!(cluster.cells("tcp/80"), into_x_a("xxx ... xxx"));
    assert_eq!(cluster.cells("tcp/81"), into_x_a("xxx xxx xxx"));

    let cluster = Cluster::xyz().policy(client_a().egress([accept().services([port()])]));
    assert_eq!(cluster.cells("tcp/80"), columns(OPEN));
    assert_eq!(cluster.cells("tcp/81"), out_of_x_a(".xx xxx xxx"));
    assert_eq!(cluster.cells("udp/80"), out_of_x_a(".xx xxx xxx"));
}

#[test]
fn egress_by_pod_by_namespace_and_at_the_client() {
    let to = |peer: Peer| Cluster::xyz().policy(client_a().egress([accept().peers([peer])]));
    assert_eq!(to(from("x", "pod=b")).cells("tcp/80"), out_of_x_a("..x xxx xxx"));
    assert_eq!(to(from("ns=y", "pod=a")).cells("tcp/80"), out_of_x_a(".xx .xx xxx"));
    assert_eq!(to(from("ns=y", "")).cells("tcp/80"), out_of_x_a(".xx ... xxx"));
    let closed = Cluster::xyz().policy(client_a().egress([]));
    assert_eq!(closed.cells("tcp/80"), out_of_x_a(".xx xxx xxx"));
}

#[test]
fn ingress_and_egress_of_one_policy_are_independent() {
    let rule = |peer| accept().peers([peer]);
    let policy = client_a().ingress([rule(from("ns=y", ""))]).egress([rule(from("ns=z", ""))]);
    let mut expected = into_x_a("xxx ... xxx");
    expected[0] = ".xx xxx ...".into();
    assert_eq!(Cluster::xyz().policy(policy).cells("tcp/80"), expected);
}

#[test]
fn blocks_excepts_and_the_union_of_both() {
    let to = |peer: Peer| network_policy("x/cidr", "pod=a").egress([accept().peers([peer])]);
    let cluster = Cluster::xyz().policy(to(blocks(&["10.0.2.2/32"])));
    assert_eq!(cluster.cells("tcp/80"), out_of_x_a(".xx xxx x.x"));

    // `podIP/4` except `podIP/32`, as upstream writes it.
    let cluster = Cluster::xyz().policy(to(block_except("0.0.0.0/4", &["10.0.2.2/32"])));
    assert_eq!(cluster.cells("tcp/80"), out_of_x_a("... ... .x."));

    let back = network_policy("x/back", "pod=a");
    let back = back.egress([accept().peers([blocks(&["10.0.2.2/32"])])]);
    assert_eq!(cluster.policy(back).cells("tcp/80"), columns(OPEN));
}

#[test]
fn sctp_udp_and_tcp_rules_open_only_their_own() {
    for (own, others) in [
        ("sctp", ["tcp/80", "udp/80"]),
        ("udp", ["tcp/80", "sctp/80"]),
        ("tcp", ["udp/80", "sctp/80"]),
    ] {
        let rule = accept().services([set(&format!("{own}/80"))]);
        let cluster = Cluster::xyz().policy(client_a().ingress([rule]));
        assert_eq!(cluster.cells(&format!("{own}/80")), columns(OPEN), "{own}");
        for other in others {
            assert_eq!(cluster.cells(other), into_x_a("xxx xxx xxx"), "{own} {other}");
        }
    }
}
