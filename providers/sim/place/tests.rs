use std::sync::Arc;

use moat_core::inventory::{Interface, Node};

use super::*;
use crate::Config;

fn pod(name: &str) -> Pod {
    Pod {
        namespace: "shop".into(),
        name: name.into(),
        uid: name.into(),
        labels: Arc::default(),
        addresses: Vec::new(),
        node: Some("node".into()),
        ports: [].into(),
        probes: [].into(),
        host_network: false,
        interface: None,
    }
}

fn node(name: &str) -> Node {
    Node { name: name.into(), labels: Arc::default(), addresses: Vec::new() }
}

fn inventory(pods: &[&str]) -> Inventory {
    Inventory {
        pods: pods.iter().map(|name| pod(name)).collect(),
        nodes: vec![node("node")],
        ..Inventory::default()
    }
}

fn placed(sim: &mut Sim, pods: &[&str]) -> Inventory {
    let mut inventory = inventory(pods);
    sim.place(&mut inventory).unwrap();
    inventory
}

#[test]
fn every_pod_gets_an_address_of_the_pod_subnets_and_an_interface_in_the_base_group() {
    for config in [Config::default(), Config::dual_stack()] {
        let mut sim = Sim::new(config.clone());
        let inventory = placed(&mut sim, &["cart", "web"]);
        for pod in &inventory.pods {
            assert_eq!(pod.addresses.len(), config.pod_subnets.len());
            let inside = |address| config.pod_subnets.iter().any(|it| it.contains(address));
            assert!(pod.addresses.iter().copied().all(inside), "{:?}", pod.addresses);
            let prior = BTreeSet::from([base_group()]);
            let interface = Interface { attachment: Attachment::Exclusive, prior };
            assert_eq!(inventory.interface(pod), Some(&interface));
        }
        assert_ne!(inventory.pods[0].addresses, inventory.pods[1].addresses);
        assert!(config.node_subnets[0].contains(inventory.nodes[0].addresses[0]));
        assert_eq!(inventory.foreign, BTreeMap::from([(base_group(), open().collect())]));
        assert_eq!(inventory.vpc, config.vpc);
    }
}

#[test]
fn one_more_pod_renumbers_nobody() {
    let few = placed(&mut Sim::new(Config::default()), &["cart", "web"]);
    let more = placed(&mut Sim::new(Config::default()), &["a", "cart", "database", "web"]);
    assert_eq!(few.pods[0], more.pods[1]);
    assert_eq!(few.pods[1], more.pods[3]);
}

#[test]
fn a_full_subnet_is_filled_to_its_last_free_address_and_then_refuses() {
    let config = Config { pod_subnets: vec!["10.0.1.0/28".parse().unwrap()], ..Config::default() };
    let names: Vec<String> = (0..12).map(|index| format!("pod-{index:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let full = placed(&mut Sim::new(config.clone()), &names[..11]);
    let addresses: BTreeSet<_> = full.pods.iter().map(|pod| pod.addresses[0].to_string()).collect();
    let free: BTreeSet<_> = (4..15).map(|last| format!("10.0.1.{last}")).collect();
    assert_eq!(addresses, free);
    assert_eq!(
        Sim::new(config).place(&mut inventory(&names)),
        Err(PlaceError::Full { owner: "shop/pod-11".into(), subnets: "10.0.1.0/28".into() })
    );
}

#[test]
fn what_was_given_stays_given_and_what_vanished_is_released() {
    let config = Config { pod_subnets: vec!["10.0.1.0/28".parse().unwrap()], ..Config::default() };
    let mut sim = Sim::new(config);
    let before = placed(&mut sim, &["m", "n", "o", "p", "q", "r", "s", "t"]);
    let after = placed(&mut sim, &["a", "b", "c", "m", "n", "o", "p", "q", "r", "s", "t"]);
    assert_eq!(before.pods[..], after.pods[3..]);
    placed(&mut sim, &["t"]);
    assert_eq!(sim.placements.0.keys().collect::<Vec<_>>(), ["node", "shop/t"]);
    assert_eq!(sim.vpc.interfaces().count(), 1);
}

#[test]
fn a_pod_that_is_born_again_gets_a_new_interface() {
    let mut sim = Sim::new(Config::default());
    let first = placed(&mut sim, &["web"]);
    let mut again = inventory(&["web"]);
    again.pods[0].uid = "born again".into();
    sim.place(&mut again).unwrap();
    assert_ne!(first.pods[0].interface, again.pods[0].interface);
    assert_eq!(sim.vpc.interfaces().count(), 1);
}

#[test]
fn a_pod_with_addresses_keeps_them_and_nobody_else_gets_them() {
    let alone = placed(&mut Sim::new(Config::default()), &["cart", "web"]);
    let mut inventory = inventory(&["cart", "web"]);
    inventory.pods[1].addresses.clone_from(&alone.pods[0].addresses);
    Sim::new(Config::default()).place(&mut inventory).unwrap();
    assert_eq!(inventory.pods[1].addresses, alone.pods[0].addresses);
    assert_ne!(inventory.pods[0].addresses, alone.pods[0].addresses);
}

#[test]
fn a_pod_on_its_nodes_network_bears_its_address_and_has_no_interface() {
    let mut inventory = inventory(&["agent"]);
    inventory.pods[0].host_network = true;
    Sim::new(Config::default()).place(&mut inventory).unwrap();
    assert_eq!(inventory.pods[0].addresses, inventory.nodes[0].addresses);
    assert_eq!(inventory.pods[0].interface, None);
    assert_eq!(inventory.interfaces, BTreeMap::new());
}

#[test]
fn pods_of_a_node_share_its_interface_where_the_node_says_so() {
    let attachments =
        [("node".to_owned(), Attachment::Shared), ("shop/own".to_owned(), Attachment::Fixed)];
    let config = Config { attachments: attachments.into(), ..Config::default() };
    let inventory = placed(&mut Sim::new(config), &["cart", "own", "web"]);
    let [cart, own, web] = &inventory.pods[..] else { panic!("three pods") };
    assert_eq!(cart.interface, web.interface);
    assert_ne!(cart.interface, own.interface);
    assert_eq!(inventory.interface(cart).unwrap().attachment, Attachment::Shared);
    assert_eq!(inventory.interface(own).unwrap().attachment, Attachment::Fixed);
}

#[test]
fn an_interface_that_the_inventory_names_is_made_as_it_tells() {
    let mut inventory = inventory(&["web"]);
    let id = InterfaceId("eni-web".into());
    let group = moat_core::firewall::ForeignGroupId("sg-web".into());
    let interface =
        Interface { attachment: Attachment::Exclusive, prior: BTreeSet::from([group.clone()]) };
    inventory.pods[0].interface = Some(id.clone());
    inventory.interfaces.insert(id.clone(), interface.clone());
    inventory.foreign.insert(group.clone(), BTreeSet::new());
    Sim::new(Config::default()).place(&mut inventory).unwrap();
    assert_eq!(inventory.interfaces, BTreeMap::from([(id, interface)]));
    assert_eq!(inventory.foreign, BTreeMap::from([(group, BTreeSet::new())]));
}
