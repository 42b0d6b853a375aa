//! Why each rule is there: the policies that it serves, and a packet that no other rule lets through; and the counts.

use std::fmt::Write;

use super::{assert_text, limited, plain, with_pod_subnets};
use crate::compile::Counts;
use crate::inventory::Attachment;
use crate::policy::Peer;
use crate::settings::{NodeTraffic, Settings};
use crate::testing::{
    Cluster, accept, admin, blocks, deny, named, network_policy, pod, pods, selector, set,
};

/// x/db and its clients x/web and x/tool, none of whom is behind a group.
fn shop() -> Cluster {
    Cluster::default()
        .namespace("x", "")
        .pod(pod("x/db").label("app", "db").at("10.0.0.2").at("fd00::2").probe(8080))
        .pod(pod("x/web").label("app", "web").at("10.0.0.1"))
        .pod(pod("x/tool").label("app", "tool").at("10.0.0.3"))
        .node("node", "", &["192.168.0.1"])
        .settings(plain())
        .based()
}

fn app(name: &str) -> Peer {
    Peer::Pods(pods("x", &format!("app={name}")))
}

/// Each rule with the policies that it serves and its witness.
fn reasons(cluster: &Cluster) -> String {
    let mut text = String::new();
    for ((group, rule), reason) in &cluster.compile().reasons {
        let serves: Vec<String> = reason.serves.iter().map(ToString::to_string).collect();
        let shown = |flow: crate::flow::Flow| format!(" ({})", flow.display(&cluster.inventory));
        let witness = reason.witness.map_or_else(String::new, shown);
        writeln!(text, "{group} {rule}: {}{witness}", serves.join(", ")).unwrap();
    }
    text
}

#[test]
fn a_rule_serves_the_policies_that_accept_some_of_what_it_lets_through() {
    let lan = || blocks(&["10.0.0.0/8"]);
    let one = network_policy("x/one", "app=db")
        .ingress([accept().peers([lan()]).services([set("tcp/80")])]);
    let two = network_policy("x/two", "app=db")
        .ingress([accept().peers([app("web"), lan()]).services([set("tcp/80-90")])]);
    let other = network_policy("x/other", "app=db")
        .ingress([accept().peers([app("tool")]).services([set("udp/53")])]);
    let elsewhere = network_policy("x/elsewhere", "app=web").ingress([accept().peers([lan()])]);
    let cluster = shop().policy(one).policy(two).policy(other).policy(elsewhere);
    assert_text(&reasons(&cluster), "
        moat.1 ingress 10.0.0.0/8 tcp/80-90: NetworkPolicy x/one, NetworkPolicy x/two (10.0.0.0 → x/db 10.0.0.2 tcp/80)
        moat.1 ingress moat.2 udp/53: NetworkPolicy x/other (x/tool 10.0.0.3 → x/db 10.0.0.2 udp/53)
        moat.1 ingress moat.3 tcp/80-90: NetworkPolicy x/two
        moat.1 egress 0.0.0.0/0 all: 
        moat.3 ingress 10.0.0.0/8 all: NetworkPolicy x/elsewhere (10.0.0.0 → x/web 10.0.0.1 tcp/0)
        moat.3 egress 0.0.0.0/0 all: 
        ");
}

#[test]
fn a_deny_serves_no_rule_and_what_is_open_by_default_serves_nobody() {
    let denied = admin("no-net", 1, pods("x", "app=db"))
        .ingress([deny().peers([blocks(&["128.0.0.0/1", "::/0"])])]);
    assert_text(
        &reasons(&shop().policy(denied)),
        "
        moat.1 ingress 0.0.0.0/1 all:  (0.0.0.0 → x/db 10.0.0.2 tcp/0)
        moat.1 egress 0.0.0.0/0 all: 
        ",
    );
}

#[test]
fn rules_that_settings_ask_for_serve_no_policy() {
    let settings = Settings { node_traffic: NodeTraffic::Probes, ..plain() };
    let cluster = shop().policy(network_policy("x/db", "app=db").ingress([])).settings(settings);
    assert_text(
        &reasons(&cluster),
        "
        moat.1 ingress 192.168.0.1/32 tcp/8080:  (192.168.0.1 → x/db 10.0.0.2 tcp/8080)
        moat.1 egress 0.0.0.0/0 all: 
        ",
    );
}

#[test]
fn rules_for_nodes_and_for_named_ports_serve_their_policies() {
    let nodes = Peer::Nodes(selector(""));
    let from_nodes = admin("nodes", 1, pods("x", "app=db"))
        .ingress([accept().peers([nodes]).services([set("tcp/443")])]);
    let by_name = network_policy("x/web", "app=web")
        .egress([accept().peers([app("db")]).services([named(crate::net::Transport::Tcp, "sql")])]);
    let mut cluster = shop().policy(from_nodes).policy(by_name);
    let db = cluster.pod_mut("x/db").clone().port("sql", crate::net::Transport::Tcp, 5432);
    *cluster.pod_mut("x/db") = db;
    let cluster = cluster.policy(network_policy("x/db", "app=db").ingress([]));
    assert_text(&reasons(&cluster), "
        moat.1 ingress 192.168.0.1/32 tcp/443: ClusterNetworkPolicy nodes (192.168.0.1 → x/db 10.0.0.2 tcp/443)
        moat.1 egress 0.0.0.0/0 all: 
        moat.2 ingress 0.0.0.0/0 all: 
        moat.2 egress moat.1 tcp/5432: NetworkPolicy x/web (x/web 10.0.0.1 → x/db 10.0.0.2 tcp/5432)
        ");
}

#[test]
fn a_rule_for_a_pod_without_a_group_serves_the_policy_that_names_the_pod() {
    let from_web = accept().peers([app("web")]).services([set("tcp/80")]);
    let cluster = shop()
        .policy(network_policy("x/db", "app=db").ingress([from_web]))
        .policy(network_policy("x/tool", "app=db").ingress([accept().peers([app("tool")])]))
        .attached("x/web", Attachment::Shared, &["sg-base"]);
    assert_text(&reasons(&cluster), "
        moat.1 ingress 10.0.0.1/32 tcp/80: NetworkPolicy x/db (x/web 10.0.0.1 → x/db 10.0.0.2 tcp/80)
        moat.1 ingress moat.2 all: NetworkPolicy x/tool (x/tool 10.0.0.3 → x/db 10.0.0.2 tcp/0)
        moat.1 egress 0.0.0.0/0 all: 
        ");
}

#[test]
fn a_reference_that_puts_a_pod_back_serves_the_policy_of_its_address() {
    let lan = accept().peers([blocks(&["10.0.0.0/29"])]).services([set("tcp/80")]);
    let no_tool = deny().peers([app("tool")]);
    let cluster = shop()
        .settings(with_pod_subnets(&["10.0.0.0/30"]))
        .policy(admin("no-tool", 1, pods("x", "app=db")).ingress([no_tool]))
        .policy(network_policy("x/lan", "app=db").ingress([lan]));
    assert_text(
        &reasons(&cluster),
        "
        moat.1 ingress 10.0.0.4/30 tcp/80: NetworkPolicy x/lan (10.0.0.4 → x/db 10.0.0.2 tcp/80)
        moat.1 ingress moat.2 tcp/80: NetworkPolicy x/lan (x/web 10.0.0.1 → x/db 10.0.0.2 tcp/80)
        moat.1 egress 0.0.0.0/0 all: 
        ",
    );
}

#[test]
fn a_rule_for_addresses_that_are_no_nodes_serves_no_policy_about_nodes() {
    let nodes = Peer::Nodes(selector(""));
    let lan = accept().peers([blocks(&["10.0.0.0/8"])]).services([set("tcp/443")]);
    let cluster = shop()
        .policy(network_policy("x/nodes", "app=db").ingress([accept().peers([nodes])]))
        .policy(network_policy("x/lan", "app=db").ingress([lan]));
    assert_text(
        &reasons(&cluster),
        "
        moat.1 ingress 10.0.0.0/8 tcp/443: NetworkPolicy x/lan (10.0.0.0 → x/db 10.0.0.2 tcp/443)
        moat.1 ingress 192.168.0.1/32 all: NetworkPolicy x/nodes (192.168.0.1 → x/db 10.0.0.2 tcp/0)
        moat.1 egress 0.0.0.0/0 all: 
        ",
    );
}

#[test]
fn a_membership_rule_serves_like_the_references_that_it_stands_for() {
    let from = accept().peers([app("web"), app("tool")]).services([set("tcp/80")]);
    let only_web = network_policy("x/web", "app=web").ingress([]);
    let cluster = shop()
        .policy(network_policy("x/db", "app=db").ingress([from]))
        .policy(only_web)
        .settings(limited(1, 5, 20));
    assert_text(
        &reasons(&cluster),
        "
        moat.1 ingress moat.4 tcp/80: NetworkPolicy x/db (x/tool 10.0.0.3 → x/db 10.0.0.2 tcp/80)
        moat.1 egress 0.0.0.0/0 all: 
        moat.3 egress 0.0.0.0/0 all: 
        ",
    );
}

#[test]
fn the_witness_of_a_rule_is_outside_of_every_other_prefix_rule_of_its_group() {
    let nested = accept().peers([blocks(&["10.0.0.0/8"])]).services([set("tcp/80")]);
    let wide = accept().peers([blocks(&["10.0.0.0/24"])]).services([set("tcp/79-81, icmp/8")]);
    let cluster = shop().policy(network_policy("x/db", "app=db").ingress([nested, wide]));
    assert_text(
        &reasons(&cluster),
        "
        moat.1 ingress 10.0.0.0/8 tcp/80: NetworkPolicy x/db (10.0.1.0 → x/db 10.0.0.2 tcp/80)
        moat.1 ingress 10.0.0.0/24 tcp/79-81: NetworkPolicy x/db (10.0.0.0 → x/db 10.0.0.2 tcp/79)
        moat.1 ingress 10.0.0.0/24 icmp/8: NetworkPolicy x/db (10.0.0.0 → x/db 10.0.0.2 icmp/8/0)
        moat.1 egress 0.0.0.0/0 all: 
        ",
    );
}

#[test]
fn counts_tell_prefix_copied_and_reference_rules_apart() {
    let web = accept().peers([app("web"), blocks(&["10.0.0.0/8", "fd00::/8"])]);
    let cluster = shop()
        .policy(network_policy("x/db", "app=db").ingress([web.services([set("tcp/80, udp/53")])]));
    let counts = Counts {
        pods: 3,
        policies: 1,
        classes: 2,
        groups: 2,
        rules: 7,
        prefix_rules: 4,
        copied_rules: 1,
        reference_rules: 2,
        minimum_prefix_rules: 4,
        largest_group: 4,
        entries: 0,
        minimum_entries: 0,
    };
    assert_eq!(cluster.compile().counts, counts);
}

#[test]
fn an_empty_cluster_counts_nothing() {
    assert_eq!(Cluster::default().compile().counts, Counts::default());
}
