//! What lasts and what changes from one event to the next. That all of it is right is for the property of `tests/events.rs`.

use std::collections::BTreeSet;

use super::{Cause, Change, Compiler, Event, Extent};
use crate::firewall::{GroupKey, GroupNumber};
use crate::inventory::{Attachment, Interface, InterfaceId, Pod};
use crate::policy::{Peer, Policy, Word};
use crate::settings::{IcmpMode, NodeTraffic, Quotas, Settings};
use crate::testing::{Cluster, accept, admin, blocks, deny, network_policy, pod, pods, set};

/// Three apps of three pods each; the first one lets the second one in.
fn told() -> Compiler {
    let mut cluster = Cluster::default().namespace("x", "");
    for app in 0..3 {
        for replica in 1..4 {
            cluster = cluster.pod(
                pod(&format!("x/app{app}-{replica}"))
                    .label("app", &app.to_string())
                    .at(&format!("10.0.{app}.{replica}")),
            );
        }
    }
    let cluster = cluster
        .foreign("sg-base", &["ingress 0.0.0.0/0 all", "egress 0.0.0.0/0 all"])
        .wired(&["sg-base"]);
    let mut compiler = Compiler::new(Settings {
        icmp: IcmpMode::Strict,
        node_traffic: NodeTraffic::None,
        quotas: Quotas::UNLIMITED,
        ..Settings::default()
    });
    compiler.tell(Event::Inventory(cluster.inventory));
    compiler.tell(Event::Policy(policy("tcp/80")));
    compiler.settle();
    compiler
}

/// The first app's policy.
fn policy(services: &str) -> Policy {
    let client = Peer::Pods(pods("x", "app=1"));
    let rule = accept().peers([client]).services([set(services)]);
    network_policy("x/server", "app=0").ingress([rule])
}

/// One more pod of an app, with its interface.
fn joining(compiler: &mut Compiler, app: usize, address: &str) -> (Pod, InterfaceId) {
    let id = InterfaceId(Word::from("eni-new"));
    let prior = BTreeSet::from([crate::firewall::ForeignGroupId("sg-base".into())]);
    let interface = Interface { attachment: Attachment::Exclusive, prior };
    let new = pod("x/new").label("app", &app.to_string()).at(address);
    let new = Pod { interface: Some(id.clone()), ..new };
    compiler.tell(Event::Interface(id.clone(), interface));
    compiler.tell(Event::Pod(new.clone()));
    (new, id)
}

#[test]
fn a_pod_that_joins_others_like_it_changes_what_its_own_interface_wears_and_nothing_else() {
    let mut compiler = told();
    let (new, id) = joining(&mut compiler, 1, "10.0.1.9");
    let interfaces = BTreeSet::from([id]);
    let only = Change { groups: BTreeSet::new(), interfaces, extent: Extent::Touched(0) };
    assert_eq!(compiler.settle(), only);
    compiler.tell(Event::PodGone(new.namespace, new.name));
    assert_eq!(compiler.settle(), only);
    assert_eq!(compiler.settle(), Change::default());
}

#[test]
fn an_edited_policy_changes_the_rules_of_the_group_that_its_pods_go_on_wearing() {
    let mut compiler = told();
    let before = compiler.desired().clone();
    let worn = before.state.interfaces.values().flatten();
    let ours: BTreeSet<&GroupKey> = worn.filter(|key| matches!(key, GroupKey::Ours(_))).collect();
    assert_eq!(ours.len(), 2, "{before:#?}");
    compiler.tell(Event::Policy(policy("tcp/443")));
    let change = compiler.settle();
    let groups = BTreeSet::from([GroupKey::Ours(GroupNumber::nth(0))]);
    let expected = Change { groups, interfaces: BTreeSet::new(), extent: Extent::Touched(1) };
    assert_eq!(change, expected);
    assert_eq!(compiler.desired().state.interfaces, before.state.interfaces);
    assert_ne!(compiler.desired().state.groups, before.state.groups);
}

#[test]
fn what_one_pod_gets_depends_on_all_while_two_claim_one_interface() {
    let mut compiler = told();
    let (new, _) = joining(&mut compiler, 1, "10.0.1.9");
    compiler.settle();
    let rival = Pod { name: "rival".into(), ..new };
    let (namespace, name) = (rival.namespace.clone(), rival.name.clone());
    compiler.tell(Event::Pod(rival));
    assert_eq!(compiler.settle().extent, Extent::Everything(Cause::Entangled));
    assert_eq!(compiler.desired().state, compiler.inputs().compile().state);
    compiler.tell(Event::PodGone(namespace, name));
    assert_eq!(compiler.settle().extent, Extent::Everything(Cause::Entangled));
    compiler.tell(Event::Policy(policy("tcp/443")));
    assert_eq!(compiler.settle().extent, Extent::Touched(1));
}

#[test]
fn an_address_that_a_prefix_must_not_let_in_is_noticed_however_many_pods_are_like_it() {
    let (client, server) = (pods("x", "app=1"), pods("x", "app=0"));
    let deny = admin("deny", 1, server).ingress([deny().peers([Peer::Pods(client)])]);
    let from = |block| {
        let rule = accept().peers([blocks(&[block])]);
        Event::Policy(network_policy("x/server", "app=0").ingress([rule]))
    };
    let mut compiler = told();
    compiler.tell(Event::Policy(deny));
    compiler.tell(from("10.0.1.64/26"));
    assert_eq!(compiler.settle().extent, Extent::Touched(1));
    joining(&mut compiler, 1, "10.0.1.70");
    assert_eq!(compiler.settle().extent, Extent::Everything(Cause::Entangled));
    compiler.tell(Event::PodGone("x".into(), "new".into()));
    compiler.settle();
    compiler.tell(from("10.0.1.3/32"));
    assert_eq!(compiler.settle().extent, Extent::Everything(Cause::Entangled));
    assert_eq!(compiler.desired().state, compiler.inputs().compile().state);
}

#[test]
fn what_nobody_has_any_more_is_thrown_out() {
    let mut compiler = told();
    for low in 1..800 {
        compiler.tell(Event::Policy(policy(&format!("tcp/{low}-{}", low + 1))));
        compiler.settle();
    }
    assert!(compiler.pools.len() < 600, "{} sets are held", compiler.pools.len());
    assert_eq!(compiler.desired().state.groups, compiler.inputs().compile().state.groups);
}

#[test]
fn a_compiler_can_go_to_another_thread() {
    fn goes<T: Send + Sync>(_: &T) {}
    goes(&told());
}
