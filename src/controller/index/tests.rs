use std::collections::BTreeMap;

use moat_core::compile::{Compiler, Event, Inputs};
use moat_core::inventory::Inventory;
use moat_core::settings::Settings;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What a watch sees of an object.
fn seen(object: &Value) -> Read {
    moat_k8s::read_object(object).expect("it is read")
}

fn pod(name: &str, app: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": app}},
        "status": {"podIPs": [{"ip": address}]},
    })
}

fn policy(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"podSelector": {"matchLabels": {"app": app}}},
    })
}

fn told(watched: Watched, news: News) -> Told {
    Told { watched, news }
}

fn listed(watched: Watched, objects: &[Value]) -> Told {
    told(watched, News::Listed(objects.iter().map(seen).collect()))
}

fn changed(watched: Watched, object: &Value) -> Told {
    told(watched, News::Changed(Box::new(seen(object))))
}

fn parts(index: &Index) -> (Vec<Policy>, Inventory, Vec<Finding>) {
    let snapshot = index.snapshot();
    (policies(&snapshot), snapshot.inventory, snapshot.findings)
}

#[test]
fn an_index_that_missed_deletes_and_heard_twice_is_as_one_that_was_told_at_once() {
    let pods = [pod("a", "web", "10.0.0.1"), pod("b", "web", "10.0.0.2")];
    let policies = [policy("one", "web")];
    let mut fresh = Index::default();
    fresh.take(listed(Watched::NetworkPolicies, &policies));
    fresh.take(listed(Watched::Pods, &pods));

    let mut index = Index::default();
    index.take(listed(Watched::Pods, &[pod("gone", "db", "10.0.0.9")]));
    index.take(listed(Watched::NetworkPolicies, &[policy("gone", "db")]));
    index.take(changed(Watched::Pods, &pod("a", "old", "10.0.0.7")));
    index.take(changed(Watched::Pods, &pods[0]));
    assert!(!index.take(changed(Watched::Pods, &pods[0])), "nothing is otherwise");
    // A finished pod is gone, as for who never saw it.
    let mut finished = pod("c", "web", "10.0.0.3");
    index.take(changed(Watched::Pods, &finished));
    finished["status"]["phase"] = json!("Succeeded");
    assert!(index.take(changed(Watched::Pods, &finished)));
    index.take(listed(Watched::Pods, &pods));
    index.take(listed(Watched::NetworkPolicies, &policies));
    assert_eq!(parts(&index), parts(&fresh));
}

#[test]
fn nothing_is_current_before_all_was_told_or_while_a_watch_is_broken() {
    let mut index = Index::default();
    for watched in Watched::of_policies() {
        assert!(!index.is_current());
        index.take(told(watched, News::Broken("not yet".to_owned())));
        index.take(told(watched, News::Alive));
        assert!(!index.is_current(), "alive, and nothing told");
        index.take(told(watched, News::NotInstalled));
    }
    assert!(index.is_current());
    assert!(index.take(told(Watched::Pods, News::Broken("connection refused".to_owned()))));
    assert!(!index.is_current());
    assert!(index.take(told(Watched::Pods, News::Alive)));
    assert!(index.is_current());
}

// ------------------------------------------------------------------------------------------- Random events

/// What happens in a cluster, or to a watch of it.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// An object is made or changes.
    Put(Made),
    /// The same, and the watch tells of it twice.
    Twice(Made),
    /// An object is deleted.
    Gone(Made),
    /// The same, and the watch does not tell.
    Lost(Made),
    /// The watch lists anew, as after a 410.
    Listed(Watched),
    /// The watch breaks off.
    Broken(Watched),
    /// The watch goes on.
    Alive(Watched),
}

/// An object of few: its kind, which of them, and how it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    watched: Watched,
    which: usize,
    how: usize,
}

/// What there is, and what the watches told of it.
#[derive(Default)]
pub(crate) struct Cluster {
    there: Objects,
    pub(crate) heard: Objects,
}

/// The objects of each kind.
pub(crate) type Objects = BTreeMap<Watched, BTreeMap<usize, Read>>;

impl Made {
    /// The object, as a watch reads it.
    fn read(self) -> Read {
        let Self { watched, which, how } = self;
        let resource = watched.resource();
        let mut object = json!({"metadata": {"name": format!("it-{which}"), "generation": how}});
        object["apiVersion"] = json!(resource.api_version);
        object["kind"] = json!(resource.kind);
        if watched.is_namespaced() {
            object["metadata"]["namespace"] = json!(["it-0", "it-1"][which % 2]);
        }
        let app =
            |number: usize| json!({"matchLabels": {"app": (["web", "db", "job"][number % 3])}});
        match watched {
            Watched::Namespaces => {
                object["metadata"]["labels"] = json!({"team": (["a", "b"][how % 2])})
            }
            Watched::Nodes => {
                object["status"] = json!({"addresses": [{"type": "InternalIP", "address": format!("10.1.0.{how}")}]});
                if how % 2 == 0 {
                    object["status"]["allocatable"] =
                        json!({"vpc.amazonaws.com/pod-eni": how.to_string()});
                }
            }
            Watched::Pods => {
                object["metadata"]["labels"] = app(how)["matchLabels"].clone();
                if how % 5 == 0 {
                    object["metadata"]["annotations"] = json!({"moat.dev/release": "true"});
                }
                let phase = ["Running", "Running", "Pending", "Succeeded"][how % 4];
                object["status"] =
                    json!({"phase": phase, "podIPs": [{"ip": format!("10.0.0.{}", how / 3)}]});
                object["spec"] = json!({"hostNetwork": how % 11 == 0});
            }
            Watched::Services => object["spec"] = json!({"clusterIP": format!("172.20.0.{how}")}),
            Watched::NetworkPolicies => {
                let from = [
                    json!({"podSelector": app(how / 3)}),
                    json!({"ipBlock": {"cidr": "10.0.0.0/8"}}),
                ];
                let port = [
                    json!({"port": 80}),
                    json!({"port": "http"}),
                    json!({"port": 80, "prot": "TCP"}),
                ];
                object["spec"] = json!({
                    "podSelector": app(how),
                    "ingress": [{"from": [(from[how % 2].clone())], "ports": [(port[how % 3].clone())]}],
                });
            }
            Watched::ClusterNetworkPolicies => {
                object["spec"] = json!({
                    "tier": (["Admin", "Baseline"][how % 2]),
                    "priority": how % 4,
                    "subject": {"pods": {"namespaceSelector": {}, "podSelector": app(how)}},
                    "ingress": [{"action": (["Accept", "Deny", "Pass"][how % 3]), "from": [{"namespaces": {}}]}],
                });
            }
            Watched::VpcNetworkPolicies | Watched::ClusterVpcNetworkPolicies => {
                object["spec"] = json!({"podSelector": app(how), "policyTypes": ["Ingress"]});
            }
            Watched::SecurityGroupPolicies => {
                let groups = json!({"groupIds": [format!("sg-{how}")]});
                let heeded = json!({"podSelector": app(how), "securityGroups": groups});
                object["spec"] = [heeded, json!({"securityGroups": groups})][how % 2].clone();
            }
            Watched::CniNodes => {
                let name = ["SecurityGroupsForPods", "CustomNetworking"][how % 2];
                object["spec"] = json!({"features": [{"name": name}]});
            }
            Watched::EniConfigs => object["spec"] = json!({"subnet": format!("subnet-{how}")}),
            Watched::CniDaemonSet => {
                let (namespace, name) = moat_k8s::CNI;
                let mode = json!({"name": "POD_SECURITY_GROUP_ENFORCING_MODE", "value": (["strict", "standard"][how % 2])});
                object["metadata"] = json!({"namespace": namespace, "name": name});
                object["spec"] = json!({"template": {"spec": {"containers": [{"env": [mode]}]}}});
            }
        }
        moat_k8s::read_object(&object).expect("it has a name")
    }
}

impl Cluster {
    /// Lets something happen; what the watches tell of it.
    pub(crate) fn tells(&mut self, happening: Happening) -> Vec<Told> {
        let Self { there, heard } = self;
        let mut put = |made: Made| {
            let read = made.read();
            there.entry(made.watched).or_default().insert(made.which, read.clone());
            heard.entry(made.watched).or_default().insert(made.which, read.clone());
            told(made.watched, News::Changed(Box::new(read)))
        };
        match happening {
            Happening::Put(made) => vec![put(made)],
            Happening::Twice(made) => vec![put(made), put(made)],
            Happening::Gone(made) => {
                there.entry(made.watched).or_default().remove(&made.which);
                let gone = heard.entry(made.watched).or_default().remove(&made.which);
                let gone = gone.map(|read| told(made.watched, News::Gone(Box::new(read))));
                gone.into_iter().collect()
            }
            Happening::Lost(made) => {
                there.entry(made.watched).or_default().remove(&made.which);
                Vec::new()
            }
            Happening::Listed(watched) => {
                let all = there.entry(watched).or_default();
                heard.insert(watched, all.clone());
                vec![told(watched, News::Listed(all.values().cloned().collect()))]
            }
            Happening::Broken(watched) => vec![told(watched, News::Broken("reset".to_owned()))],
            Happening::Alive(watched) => vec![told(watched, News::Alive)],
        }
    }
}

pub(crate) fn happening() -> impl Strategy<Value = Happening> {
    let watched = || proptest::sample::select(Watched::ALL.to_vec());
    let made = || {
        (watched(), 0..5_usize, 0..24_usize).prop_map(|(watched, which, how)| {
            // Of some there is one.
            let which = if watched.definition().only.is_some() { 0 } else { which };
            Made { watched, which, how }
        })
    };
    prop_oneof![
        8 => made().prop_map(Happening::Put),
        2 => made().prop_map(Happening::Twice),
        4 => made().prop_map(Happening::Gone),
        2 => made().prop_map(Happening::Lost),
        2 => watched().prop_map(Happening::Listed),
        1 => watched().prop_map(Happening::Broken),
        1 => watched().prop_map(Happening::Alive),
    ]
}

/// An index that is told everything at once.
pub(crate) fn whole(objects: &Objects) -> Index {
    let mut index = Index::default();
    for watched in Watched::ALL {
        let all = objects.get(&watched).into_iter().flat_map(|all| all.values().cloned()).collect();
        index.take(told(watched, News::Listed(all)));
    }
    index
}

fn policies(snapshot: &Snapshot) -> Vec<Policy> {
    snapshot.policies.values().map(|known| known.policy.clone()).collect()
}

fn inputs(snapshot: Snapshot) -> Inputs {
    let policies = policies(&snapshot);
    // A compiler is told of subnets, not of what names them.
    let inventory = Inventory { eni_configs: BTreeMap::new(), ..snapshot.inventory };
    Inputs { policies, inventory, settings: Settings::default() }
}

proptest! {
    // 40 clusters of 250 events.
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 1_000, ..ProptestConfig::default() })]

    /// What a compiler makes of the inputs that it was told one by one is `tests/events.rs`'s to compare.
    #[test]
    fn after_each_of_many_events_all_is_as_if_it_had_been_told_at_once(
        happenings in prop::collection::vec(happening(), 250)
    ) {
        let mut cluster = Cluster::default();
        let (mut index, mut compiler) = (Index::default(), Compiler::default());
        let all = happenings.into_iter().chain(Watched::ALL.map(Happening::Listed));
        for happening in all {
            let news = cluster.tells(happening);
            let before = index.snapshot();
            let mut changed = false;
            for told in news {
                changed |= index.take(told);
            }
            let (snapshot, scratch) = (index.snapshot(), whole(&cluster.heard).snapshot());
            prop_assert_eq!(&snapshot, &scratch);
            prop_assert!(changed || snapshot == before, "it changed, and nobody is told");
            compiler.tell(Event::Policies(policies(&snapshot)));
            compiler.tell(Event::Inventory(snapshot.inventory.clone()));
            compiler.settle();
            prop_assert_eq!(compiler.inputs(), inputs(scratch));
        }
        prop_assert_eq!(&cluster.there, &cluster.heard);
        prop_assert!(index.is_current());
    }
}
