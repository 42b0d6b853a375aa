//! Explanations as people read them.

use std::collections::BTreeSet;

use super::{Evidence, Explainer};
use crate::compile::{Desired, RuleReason};
use crate::finding::{Effect, Finding, Location, Reason};
use crate::firewall::{
    AclKey, AclName, EntryKey, EntryNumber, GroupKey, GroupNumber, Peer, Rule, State,
};
use crate::flow::{EndpointSet, FlowSet};
use crate::inventory::{InterfaceId, SubnetId};
use crate::net::{Interval, ServiceSet, Shape};
use crate::policy::{Direction, Kind, ObjectRef};
use crate::provider::{Observed, RuleId};
use crate::settings::{NodeTraffic, Settings};
use crate::testing::{Cluster, accept, admin, block_except, deny, network_policy, pod, pods, set};

/// A group: its number, its wearers, and its rules with whom they serve.
type Group<'a> = (usize, &'a [&'a str], &'a [(Rule, &'a [&'a ObjectRef])]);

/// What is desired.
fn desired(groups: &[Group<'_>]) -> Desired {
    let mut desired = Desired::default();
    for (number, wearers, rules) in groups {
        let number = GroupNumber::nth(number - 1);
        let key = GroupKey::Ours(number);
        let these = rules.iter().map(|(rule, _)| rule.clone()).collect();
        desired.state.groups.insert(key.clone(), these);
        for wearer in *wearers {
            let interface = InterfaceId(format!("eni-{}", wearer.replace('/', "-")).into());
            desired.state.interfaces.entry(interface).or_default().insert(key.clone());
        }
        for (rule, serves) in *rules {
            let serves = serves.iter().map(|object| (*object).clone()).collect();
            let reason = RuleReason { serves, witness: None };
            desired.reasons.insert((number, rule.clone()), reason);
        }
    }
    desired
}

fn rule(direction: Direction, shape: Shape, peer: Peer) -> Rule {
    Rule { direction, peer, shape }
}

fn everywhere() -> Peer {
    Peer::Prefix("0.0.0.0/0".parse().unwrap())
}

fn group(number: usize) -> Peer {
    Peer::Group(GroupKey::Ours(GroupNumber::nth(number - 1)))
}

fn tcp_80() -> Shape {
    Shape::Tcp(Interval::single(80))
}

/// y/a accepts tcp/80 of x/a; x/a wears group 1, y/a group 2.
fn shop() -> (Cluster, Desired) {
    let from_x = accept().peers([crate::policy::Peer::Pods(pods("ns=x", "pod=a"))]);
    let web = network_policy("y/web", "pod=a").ingress([from_x.services([set("tcp/80")])]);
    let object = web.object.clone();
    let settings = Settings { node_traffic: NodeTraffic::Probes, ..Settings::default() };
    let cluster = Cluster::xyz().policy(web).settings(settings).node("node", "", &["192.168.0.1"]);
    let open = rule(Direction::Egress, Shape::All, everywhere());
    let to_probe = Peer::Prefix("192.168.0.1/32".parse().unwrap());
    let probe = rule(Direction::Ingress, Shape::Tcp(Interval::single(8080)), to_probe);
    let groups: &[Group<'_>] = &[
        (1, &["x/a"], &[(open, &[])]),
        (2, &["y/a"], &[(rule(Direction::Ingress, tcp_80(), group(1)), &[&object]), (probe, &[])]),
    ];
    let mut cluster = cluster;
    let probed = cluster.pod_mut("y/a").clone().probe(8080);
    *cluster.pod_mut("y/a") = probed;
    (cluster, desired(groups))
}

/// The same state with other numbers, as a cloud that held groups before would.
fn renumbered(state: &State) -> State {
    let key = |key: &GroupKey| match key {
        GroupKey::Ours(number) => GroupKey::Ours(GroupNumber::nth(number.0.get() as usize + 9)),
        GroupKey::Foreign(_) => key.clone(),
    };
    let rename = |rule: &Rule| match &rule.peer {
        Peer::Group(group) => Rule { peer: Peer::Group(key(group)), ..rule.clone() },
        Peer::Prefix(_) => rule.clone(),
    };
    let groups = state.groups.iter();
    let interfaces = state.interfaces.iter();
    State {
        groups: groups.map(|(it, rules)| (key(it), rules.iter().map(rename).collect())).collect(),
        interfaces: interfaces
            .map(|(it, worn)| (it.clone(), worn.iter().map(key).collect::<BTreeSet<_>>()))
            .collect(),
        ..State::default()
    }
}

fn explain(
    shop: &(Cluster, Desired),
    held: &State,
    findings: &[Finding],
    flow: [&str; 3],
) -> super::Explanation {
    let held = Observed { state: held.clone(), ..Observed::default() };
    explain_towards(shop, &held, &renumbered(&shop.1.state), findings, flow)
}

fn explain_towards(
    (cluster, desired): &(Cluster, Desired),
    held: &Observed,
    target: &State,
    findings: &[Finding],
    [from, to, service]: [&str; 3],
) -> super::Explanation {
    let explainer = Explainer::new(Evidence {
        policies: &cluster.policies,
        cluster: "blue",
        inventory: &cluster.inventory,
        settings: &cluster.settings,
        desired,
        held,
        target,
        findings,
    });
    explainer.explain(&cluster.flow(from, to, service))
}

#[test]
fn a_flow_that_passes_names_the_policy_rule_and_the_group_rule_at_each_end() {
    let shop = shop();
    let held = renumbered(&shop.1.state);
    let it = explain(&shop, &held, &[], ["x/a", "y/a", "tcp/80"]);
    assert_eq!(
        it.to_string(),
        "\
x/a to y/a, tcp/80, IPv4
  policies: allow
  cloud:    allow
leaving x/a
  policies: allow, no rule decides
  cloud:    allow, by moat.blue.11: egress 0.0.0.0/0 all
            open by default or by a setting
reaching y/a
  policies: allow, by NetworkPolicy y/web, spec.ingress[0]
  cloud:    allow, by moat.blue.12: ingress moat.blue.11 tcp/80
            for NetworkPolicy y/web
"
    );
}

#[test]
fn a_flow_that_is_closed_names_what_isolates_it_and_the_groups_that_drop_it() {
    let shop = shop();
    let held = renumbered(&shop.1.state);
    let it = explain(&shop, &held, &[], ["z/b", "y/a", "udp/53"]);
    assert_eq!(
        it.to_string(),
        "\
z/b to y/a, udp/53, IPv4
  policies: deny
  cloud:    deny
leaving z/b
  policies: allow, no rule decides
  cloud:    allow, the pod has no interface in the cloud
reaching y/a
  policies: deny, NetworkPolicy y/web selects the pod, and no rule of it accepts this
  cloud:    deny, no rule of moat.blue.12 lets it through
"
    );
}

#[test]
fn settings_and_addresses_are_named() {
    let shop = shop();
    let held = renumbered(&shop.1.state);
    let it = explain(&shop, &held, &[], ["192.168.0.1", "y/a", "tcp/8080"]);
    assert_eq!(
        it.to_string(),
        "\
192.168.0.1 to y/a, tcp/8080, IPv4
  policies: allow
  cloud:    allow
leaving 192.168.0.1
  policies: allow, not a pod that policies see
  cloud:    allow, not a pod with groups of its own
reaching y/a
  policies: allow, by the setting nodeTraffic: it comes from a node
  cloud:    allow, by moat.blue.12: ingress 192.168.0.1/32 tcp/8080
            open by default or by a setting
"
    );
}

#[test]
fn a_deny_names_its_rule_tier_and_priority() {
    let (cluster, desired) = shop();
    let named = crate::policy::Rule { name: Some("no-telnet".into()), ..deny() };
    let cluster = cluster.policy(admin("guard", 7, pods("ns=y", "")).ingress([named]));
    let held = renumbered(&desired.state);
    let it = explain(&(cluster, desired), &held, &[], ["x/b", "y/a", "tcp/23"]);
    assert_eq!(
        it.ingress.decided.to_string(),
        "by ClusterNetworkPolicy guard, spec.ingress[0] `no-telnet`, tier Admin, priority 7"
    );
}

#[test]
fn what_is_not_applied_yet_explains_a_difference_if_nothing_else_does() {
    let shop = shop();
    let mut held = renumbered(&shop.1.state);
    let y_a = InterfaceId("eni-y-a".into());
    held.interfaces.insert(y_a, BTreeSet::new());
    let it = explain(&shop, &held, &[], ["x/a", "y/a", "tcp/80"]);
    let text = it.to_string();
    let tail: Vec<&str> = text.lines().skip(7).collect();
    assert_eq!(
        tail,
        [
            "reaching y/a",
            "  policies: allow, by NetworkPolicy y/web, spec.ingress[0]",
            "  cloud:    deny, the pod wears no group",
            "why the cloud differs",
            "  NotApplied: the cloud does not hold yet what is asked for `y/a` and drops this: apply the plan",
            "    at Pod y/a",
        ]
    );
}

/// The shop with a rule in y/a's group that others added, and the target with it.
fn with_alien(shop: &(Cluster, Desired)) -> (Observed, (GroupNumber, Rule)) {
    let key = (GroupNumber::nth(11), rule(Direction::Ingress, Shape::All, everywhere()));
    let mut state = renumbered(&shop.1.state);
    state.groups.entry(GroupKey::Ours(key.0)).or_default().insert(key.1.clone());
    let unmarked = [key.clone()].into();
    (Observed { state, unmarked, ..Observed::default() }, key)
}

#[test]
fn a_rule_that_someone_added_is_not_what_is_asked_for() {
    let shop = shop();
    let (held, _) = with_alien(&shop);
    let target = renumbered(&shop.1.state);
    let it = explain_towards(&shop, &held, &target, &[], ["x/b", "y/a", "udp/53"]);
    assert_eq!(
        it.ingress.to_string(),
        "  policies: deny, NetworkPolicy y/web selects the pod, and no rule of it accepts this\n  \
         cloud:    allow, by moat.blue.12: ingress 0.0.0.0/0 all\n            \
         which someone added: the plan revokes it\n"
    );
    assert_eq!(it.findings.iter().map(|it| it.reason).collect::<Vec<_>>(), [Reason::NotApplied]);
}

#[test]
fn a_rule_that_the_load_balancer_controller_keeps_explains_what_it_lets_through_as_it_is_spelled() {
    let shop = shop();
    let (mut held, key) = with_alien(&shop);
    let target = held.state.clone();
    held.foreign_rules.insert(key.clone());
    held.rule_ids.insert(key.clone(), RuleId("sgr-1".into()));
    let of = |held: &Observed| {
        let it = explain_towards(&shop, held, &target, &[], ["x/b", "y/a", "udp/53"]);
        let told = it.findings.first().map(|finding| (finding.reason, finding.message.to_string()));
        (it.ingress.filtered.to_string(), it.ingress.filtered.purpose(), told)
    };
    for spelled in ["ingress 0.0.0.0/0 all", "ingress 0.0.0.0/0 esp 7..300"] {
        let (rule, purpose, told) = of(&held);
        assert_eq!(rule, format!("by moat.blue.12: {spelled}"));
        assert_eq!(purpose.as_deref(), Some("which the AWS load balancer controller keeps"));
        let (reason, message) = told.unwrap();
        assert_eq!(reason, Reason::ForeignRule);
        assert!(message.contains(&format!("keeps `{spelled}` in `moat.blue.12`")), "{message}");
        let text = "ingress 0.0.0.0/0 esp 7..300".to_owned();
        held.unreadable.insert((key.0, RuleId("sgr-1".into())), text);
    }
}

fn shared(cluster: &Cluster, effect: Effect, service: &str) -> Finding {
    let box_ = FlowSet {
        sources: EndpointSet {
            pods: cluster.index("x/b").into_iter().collect(),
            addresses: crate::net::AddressSet::full(),
        },
        destinations: EndpointSet {
            pods: cluster.index("y/a").into_iter().collect(),
            addresses: crate::net::AddressSet::empty(),
        },
        services: service.parse::<ServiceSet>().unwrap(),
        family: None,
    };
    Finding {
        object: ObjectRef { kind: Kind::Pod, namespace: Some("y".into()), name: "a".into() },
        path: "".into(),
        reason: Reason::SharedInterface,
        effect,
        message: "`y/a` shares its interface".into(),
        flows: vec![box_].into(),
        witness: None,
        location: Some(Location { file: "shop.yaml".into(), line: 3, column: 5 }),
    }
}

#[test]
fn a_finding_explains_the_flows_of_its_boxes_and_of_its_effect_only() {
    let (cluster, mut desired) = shop();
    let open = rule(Direction::Ingress, Shape::All, everywhere());
    let two = GroupKey::Ours(GroupNumber::nth(1));
    desired.state.groups.entry(two).or_default().insert(open);
    let held = renumbered(&desired.state);
    let findings = [
        shared(&cluster, Effect::NotEnforced, "udp"),
        shared(&cluster, Effect::NotEnforced, "tcp"),
        shared(&cluster, Effect::Narrower, "tcp"),
    ];
    let shop = (cluster, desired);
    for from in ["x/b", "192.0.2.1"] {
        let it = explain(&shop, &held, &findings, [from, "y/a", "tcp/22"]);
        assert_eq!(it.findings, [findings[1].clone()], "{from}");
    }
    let it = explain(&shop, &held, &findings, ["x/b", "y/a", "tcp/22"]);
    let text = it.to_string();
    let tail: Vec<&str> = text.lines().rev().take(3).collect();
    assert_eq!(
        tail,
        [
            "    at Pod y/a (shop.yaml:3:5)",
            "  SharedInterface: `y/a` shares its interface",
            "why the cloud differs",
        ]
    );
    assert_eq!(explain(&shop, &held, &findings, ["x/c", "y/a", "tcp/22"]).findings, []);
    assert_eq!(explain(&shop, &held, &findings, ["x/a", "y/a", "tcp/80"]).findings, []);
}

#[test]
fn the_json_form_is_stable() {
    let shop = shop();
    let held = renumbered(&shop.1.state);
    let it = explain(&shop, &held, &[], ["x/a", "y/a", "tcp/80"]);
    let web = r#"{"kind":"NetworkPolicy","namespace":"y","name":"web"}"#;
    let expected = format!(
        concat!(
            r#"{{"from":"x/a","to":"y/a","service":"tcp/80","family":4,"policies":"allow","cloud":"allow","#,
            r#""egress":{{"policies":"allow","decided":{{"by":"Default"}},"cloud":"allow","filtered":"#,
            r#"{{"by":"Rule","group":"moat.blue.11","rule":"egress 0.0.0.0/0 all","asker":"Defaults","serves":[]}}}},"#,
            r#""ingress":{{"policies":"allow","decided":{{"by":"Rule","policy":{web},"tier":"NetworkPolicy","priority":null,"#,
            r#""path":"spec.ingress[0]","name":null,"action":"Accept","failedClosed":false}},"cloud":"allow","#,
            r#""filtered":{{"by":"Rule","group":"moat.blue.12","rule":"ingress moat.blue.11 tcp/80","asker":"Policies","#,
            r#""serves":[{web}]}}}},"crossings":[],"findings":[]}}"#,
        ),
        web = web
    );
    assert_eq!(serde_json::to_string(&it).unwrap(), expected);
}

// ------------------------------------------------------------------------------------------ Network ACLs

/// x/a and x/b in a subnet that is guarded: they may reach tcp/443 of all but 10/8, and nobody reaches them.
fn guarded(prior: &[&str]) -> (Cluster, Desired) {
    let web = accept().peers([block_except("0.0.0.0/0", &["10.0.0.0/8"])]);
    let web = network_policy("x/web", "").egress([web.services([set("tcp/443")])]);
    let cluster = Cluster::default()
        .namespace("x", "ns=x")
        .pod(pod("x/a").at("10.0.1.1"))
        .pod(pod("x/b").at("10.0.1.2"))
        .foreign("sg-base", &["egress 0.0.0.0/0 all"])
        .wired(&["sg-base"])
        .vpc(&["10.0.0.0/16"])
        .policy(network_policy("x/closed", "").ingress([]))
        .policy(web)
        .guarded("subnet-1", &["10.0.1.0/24"], prior);
    let cluster =
        Cluster { settings: Settings { quarantine: true, ..cluster.settings.clone() }, ..cluster };
    let desired = crate::compile::compile(&cluster.policies, &cluster.inventory, &cluster.settings);
    (cluster, desired)
}

/// What is told of a flow in a cloud, between one end and the other.
fn crossings(shop: &(Cluster, Desired), held: &State, flow: [&str; 3]) -> String {
    let held = Observed { state: held.clone(), ..Observed::default() };
    let told = explain_towards(shop, &held, &shop.1.state, &[], flow).crossings;
    told.iter().map(ToString::to_string).collect()
}

#[test]
fn an_entry_that_stops_a_flow_is_named_with_its_acl_its_subnet_and_the_policies_that_it_serves() {
    let shop = guarded(&["allow 0.0.0.0/0 all"]);
    let held = Observed { state: shop.1.state.clone(), ..Observed::default() };
    let it = explain_towards(&shop, &held, &shop.1.state, &[], ["x/a", "10.9.9.9", "tcp/443"]);
    assert_eq!(
        it.to_string(),
        "\
x/a to 10.9.9.9, tcp/443, IPv4
  policies: deny
  cloud:    deny
leaving x/a
  policies: deny, NetworkPolicy x/web selects the pod, and no rule of it accepts this
  cloud:    allow, by moat.blue.1: egress 0.0.0.0/0 tcp/443
            for NetworkPolicy x/web
leaving subnet-1
  cloud:    deny, by network ACL pods, egress entry 1: deny 10.0.0.0/8 tcp/443
            for NetworkPolicy x/web
reaching 10.9.9.9
  policies: allow, not a pod that policies see
  cloud:    allow, not a pod with groups of its own
"
    );
}

#[test]
fn a_flow_within_a_subnet_passes_by_its_acl_and_one_to_the_platform_by_all() {
    let shop = guarded(&["allow 0.0.0.0/0 all"]);
    let within = crossings(&shop, &shop.1.state, ["x/a", "x/b", "tcp/443"]);
    assert_eq!(
        within,
        "within subnet-1\n  cloud:    allow, no network ACL is asked within a subnet\n"
    );
    assert_eq!(crossings(&shop, &shop.1.state, ["x/a", "x/a", "tcp/443"]), "");
    assert_eq!(crossings(&shop, &shop.1.state, ["x/a", "169.254.169.254", "tcp/443"]), "");
}

#[test]
fn entries_of_others_are_told_from_ours_and_from_their_copies() {
    let shop = guarded(&["allow 0.0.0.0/0 tcp"]);
    let state = &shop.1.state;
    let out = ["x/a", "8.8.8.8", "tcp/443"];
    assert_eq!(
        crossings(&shop, state, out),
        "leaving subnet-1
  cloud:    allow, by network ACL pods, egress entry 30000: allow 0.0.0.0/0 tcp
            copied from acl-prior, the one before it
"
    );
    assert_eq!(
        crossings(&shop, state, ["x/a", "8.8.8.8", "udp/53"]),
        "leaving subnet-1\n  cloud:    deny, no entry of network ACL pods names it\n"
    );
    let before = State { acls: [].into(), subnets: [].into(), ..state.clone() };
    assert_eq!(
        crossings(&shop, &before, out),
        "leaving subnet-1
  cloud:    allow, by network ACL acl-prior, egress entry 100: allow 0.0.0.0/0 tcp
            a network ACL that is not Moat's
"
    );
    let mut stale = state.clone();
    let ours = AclKey::Ours(AclName("pods".into()));
    assert_eq!(stale.subnets, [(SubnetId("subnet-1".into()), ours.clone())].into());
    let key = EntryKey { direction: Direction::Egress, number: EntryNumber::try_from(7).unwrap() };
    stale.acls.get_mut(&ours).unwrap().0.insert(key, "deny 8.0.0.0/8 tcp".parse().unwrap());
    assert_eq!(
        crossings(&shop, &stale, out),
        "leaving subnet-1
  cloud:    deny, by network ACL pods, egress entry 7: deny 8.0.0.0/8 tcp
            which nothing asks for any more
"
    );
}

#[test]
fn a_reply_that_an_acl_stops_is_told_with_the_port_that_it_goes_to() {
    let shop = guarded(&["deny 0.0.0.0/0 tcp/50000-50010", "allow 0.0.0.0/0 all"]);
    assert_eq!(
        crossings(&shop, &shop.1.state, ["x/a", "8.8.8.8", "tcp/443"]),
        "leaving subnet-1
  cloud:    allow, by network ACL pods, egress entry 30010: allow 0.0.0.0/0 all
            copied from acl-prior, the one before it
a reply, tcp/50000, entering subnet-1
  cloud:    deny, by network ACL pods, ingress entry 30000: deny 0.0.0.0/0 tcp/50000-50010
            copied from acl-prior, the one before it
"
    );
}
