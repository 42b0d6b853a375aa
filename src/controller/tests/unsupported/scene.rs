//! The cluster and the cloud around the examples: what causes them besides policies, and what mends that.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use moat_core::firewall::Rule;
use moat_core::inventory::{Attachment, InterfaceId, SubnetId};
use moat_core::policy::Direction;
use moat_k8s::configuration::Configuration;
use moat_sim::{GroupId, NetworkInterface, SubnetConfig, Vpc, base_group};
use moat_test_cluster::until;
use serde_json::{Value, json};

use super::examples::{DECLARED, DECLARED_6, Example, SERVICE, UNDECLARED};
use crate::world::{World, reason};

/// The namespace of what no example is about.
pub(crate) const OTHERS: &str = "others";

/// The namespace of the example whose pod shares its node's interface.
pub(crate) const SHARED: &str = "sharedinterface-notenforced";

/// Policies besides the examples.
pub(crate) const POLICIES: usize = 3;

/// Those of them whose pods wear the group in which others keep a rule.
pub(crate) const OPENED: [&str; 1] = ["drift"];

/// What others left in the cloud.
pub(crate) struct Meddled {
    /// A group of Moat's, and a rule in it that stays there.
    rule: (GroupId, Rule),
    /// A group with a name of Moat's.
    taken: GroupId,
}

/// Sets everything up, and applies the examples.
pub(crate) async fn set(world: &World, examples: &[Example]) {
    let names: Vec<String> = examples.iter().map(Example::name).collect();
    for namespace in names.iter().map(String::as_str).chain([OTHERS]) {
        world
            .apply(
                &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            )
            .await;
    }
    let webs = names.iter().map(|name| pod(name, "web"));
    let pods: Vec<Value> = webs.chain(beside()).collect();
    for pod in &pods {
        world.apply(pod).await;
    }
    until("the pods run", async || {
        for pod in &pods {
            let there = world.get(pod).await?;
            let fails = pod["metadata"]["name"] == "failed";
            let phase = if fails { "Failed" } else { "Running" };
            (there["status"]["phase"] == phase).then_some(())?;
        }
        Some(())
    })
    .await;
    for (namespace, name, addresses) in [
        ("duplicateaddress-narrower", "peer", vec!["10.0.230.8".to_owned()]),
        ("duplicateaddress-narrower", "ghost", vec!["10.0.230.8".to_owned()]),
        ("undeclaredpodsubnets-narrower", "tool", vec![format!("{UNDECLARED}.8")]),
        (
            "familymismatch-narrower",
            "tool",
            vec![format!("{DECLARED}.8"), format!("{DECLARED_6}8")],
        ),
        (
            "familymismatch-narrower",
            "peer",
            vec![format!("{DECLARED}.9"), format!("{DECLARED_6}9")],
        ),
    ] {
        give(world, namespace, name, &addresses).await;
    }
    let wide = clothe(world).await;
    let subnets = "networkAcls: [{name: pods, subnets: {ids: [subnet-0a, subnet-0b]}}, {name: more, subnets: {ids: [subnet-0c]}}]";
    configure(world, &format!("keepGroups: [{}]\n{subnets}", wide.0));
    world.cloud.lock().as_someone_else(|vpc| {
        put_subnet(vpc, "subnet-0c", "10.0.128.0/18");
        close_a_subnet(vpc);
    });
    world
        .apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": OTHERS, "name": "web"},
            "spec": {"clusterIP": SERVICE, "ports": [{"port": 80}]},
        }))
        .await;
    for object in policies(examples).chain(branches()) {
        world.apply(&object).await;
    }
    trunks(world, ["true", "false"], 1).await;
}

/// While nobody looks, others change Moat's groups in the cloud.
pub(crate) fn meddle(world: &World) -> Meddled {
    world.cloud.lock().as_someone_else(|vpc| {
        let (id, worn) = interface(vpc, "drift");
        let ours = |id: &&GroupId| vpc.group(id).is_some_and(|group| group.owner.is_some());
        let own = worn.iter().find(ours).expect("it is programmed").clone();
        let balancer = rule("ingress 198.51.100.0/24 tcp/81");
        authorize_as(vpc, &own, &balancer, "elbv2.k8s.aws/targetGroupBinding=shared");
        authorize(vpc, &own, "ingress 198.51.100.0/24 tcp/22");
        vpc.set_groups(&id, [base_group()].into()).expect("it is worn");
        let taken = vpc.create_group("moat.default.4000", None).expect("a group");
        Meddled { rule: (own, balancer), taken }
    })
}

/// Something happens that no example is about: another round goes by.
pub(crate) async fn go_on(world: &World) {
    world.apply(&policy("annotated")).await;
    world.said(OTHERS, "netpol-annotated", |status| reason(status, "Exact") == "Exact").await;
}

/// Mends what the examples need, and the policies.
pub(crate) async fn mend(world: &World, examples: &[Example]) {
    configure(world, "");
    world.cloud.bereft.lock().expect("nobody panics with it").clear();
    attach(world, []);
    for example in examples {
        world.apply(&example.mended).await;
    }
    world.apply(&annotated("released-notenforced", "web", "moat.dev/release", "no")).await;
    // A pod keeps its interface, so another one takes its place.
    let fixed = pod("fixedinterface-notenforced", "web");
    world.delete(&fixed).await;
    until("it is gone", async || world.get(&fixed).await.is_none().then_some(())).await;
    world.apply(&fixed).await;
    world.apply(&annotated(OTHERS, "annotated", POD_ENI, "[]")).await;
    world.delete(&pod("duplicateaddress-narrower", "ghost")).await;
    world.delete(&pod(OTHERS, "failed")).await;
    for object in branches() {
        world.delete(&object).await;
    }
    trunks(world, ["true", "true"], 1_000).await;
}

/// Others leave the cloud as it was, and open what they closed.
pub(crate) fn leave(world: &World, Meddled { rule, taken }: Meddled) {
    world.cloud.lock().as_someone_else(|vpc| {
        vpc.delete_group(&taken).expect("nobody wears it");
        let narrow =
            vpc.groups().find_map(|(id, group)| (group.name == NARROW).then(|| id.clone()));
        let narrow = narrow.expect("it is there");
        open(vpc, &narrow);
        let (group, rule) = rule;
        let entry = vpc.group(&group).and_then(|group| group.rules.get(&rule));
        let id = entry.expect("it was left there").id.clone();
        vpc.revoke(&group, Direction::Ingress, &[id].into()).expect("revoked");
    });
}

/// Deletes every policy.
pub(crate) async fn end(world: &World, examples: &[Example]) {
    for object in policies(examples).chain([policy("annotated")]) {
        world.delete(&object).await;
    }
}

/// A group of others that lets through less than everything.
const NARROW: &str = "narrow";

/// The annotation that names a pod's interface.
const POD_ENI: &str = "vpc.amazonaws.com/pod-eni";

fn policies(examples: &[Example]) -> impl Iterator<Item = Value> {
    let examples = examples.iter().flat_map(|it| it.beside.iter().chain([&it.policy])).cloned();
    examples.chain([policy("prior"), policy("drift")])
}

/// The pods besides the examples' `web`s.
fn beside() -> Vec<Value> {
    let mut failed = annotated(OTHERS, "failed", "localstack.moat.dev/finish", "Failed");
    failed["spec"]["restartPolicy"] = json!("Never");
    vec![
        failed,
        annotated(OTHERS, "annotated", POD_ENI, "nonsense"),
        pod(OTHERS, "prior"),
        pod(OTHERS, "drift"),
        pod("duplicateaddress-narrower", "peer"),
        pod("duplicateaddress-narrower", "ghost"),
        pod("undeclaredpodsubnets-narrower", "tool"),
        pod("familymismatch-narrower", "tool"),
        pod("familymismatch-narrower", "peer"),
    ]
}

/// A pod that is labelled by its name.
fn pod(namespace: &str, name: &str) -> Value {
    let ports = json!([{"name": "http", "containerPort": 8_080}]);
    let mut container = json!({"name": "main", "image": "none", "ports": ports});
    if namespace == "probesfromallnodes-ignored" {
        container["readinessProbe"] = json!({"tcpSocket": {"port": 8_080}});
    }
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {"containers": [container]},
    });
    if namespace == "released-notenforced" {
        pod["metadata"]["annotations"] = json!({"moat.dev/release": "true"});
    }
    pod
}

fn annotated(namespace: &str, name: &str, key: &str, value: &str) -> Value {
    let mut pod = pod(namespace, name);
    pod["metadata"]["annotations"] = json!({key: value});
    pod
}

/// A NetworkPolicy about a pod of the others. The group of `drift`, in which others keep a rule, is its alone.
fn policy(app: &str) -> Value {
    let port = if app == "drift" { 84 } else { 80 };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": OTHERS, "name": app},
        "spec": {
            "podSelector": {"matchLabels": {"app": app}},
            "ingress": [{"ports": [{"protocol": "TCP", "port": port}]}],
        },
    })
}

/// What decides about pods' interfaces: SecurityGroupPolicies, two of which select one pod, and the VPC CNI in standard mode.
fn branches() -> Vec<Value> {
    let policy = |namespace: &str, name: &str, app: &str| {
        json!({
            "apiVersion": "vpcresources.k8s.aws/v1beta1",
            "kind": "SecurityGroupPolicy",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {
                "podSelector": {"matchLabels": {"app": app}},
                "securityGroups": {"groupIds": ["sg-0123456789abcdef0"]},
            },
        })
    };
    let mode = json!({"name": "POD_SECURITY_GROUP_ENFORCING_MODE", "value": "standard"});
    let labels = json!({"k8s-app": "aws-node"});
    // It is there, and runs nowhere.
    let spec = json!({
        "nodeSelector": {"no": "where"},
        "containers": [{"name": "aws-node", "image": "none", "env": [mode]}],
    });
    let cni = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"namespace": "kube-system", "name": "aws-node"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    });
    vec![
        policy(SHARED, "web", "web"),
        policy(OTHERS, "one", "prior"),
        policy(OTHERS, "two", "prior"),
        cni,
    ]
}

/// Lets nodes tell whether they have a trunk, and all of them how many branch interfaces it has room for.
async fn trunks(world: &World, has: [&str; 2], room: usize) {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let parameters = PatchParams::default();
    for (place, has) in has.into_iter().enumerate() {
        let name = format!("default-{place}");
        let labels = json!({"metadata": {"labels": {"vpc.amazonaws.com/has-trunk-attached": has}}});
        nodes.patch(&name, &parameters, &Patch::Merge(&labels)).await.expect("patched");
        let room = json!({"vpc.amazonaws.com/pod-eni": room.to_string()});
        let status = json!({"status": {"capacity": room, "allocatable": room}});
        nodes.patch_status(&name, &parameters, &Patch::Merge(&status)).await.expect("patched");
    }
}

/// Writes the configuration.
fn configure(world: &World, setting: &str) {
    let text = format!(
        "apiVersion: moat.dev/v1alpha1\nkind: Configuration\nmaxChange: 100%\n\
         podSubnets: [{DECLARED}.0/24, '{DECLARED_6}/64']\n{setting}\n"
    );
    let configuration: Configuration = text.parse().expect("a configuration");
    *world.configuration.lock().expect("nobody panics with it") = Ok(configuration);
}

/// Gives a pod other addresses.
async fn give(world: &World, namespace: &str, name: &str, addresses: &[String]) {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), namespace);
    let listed: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
    let status = json!({"status": {"podIP": addresses[0], "podIPs": listed}});
    let parameters = PatchParams::default();
    pods.patch_status(name, &parameters, &Patch::Merge(&status)).await.expect("patched");
}

/// What the cloud has before a controller comes: pods that share an interface, have none, or wear groups of others. The group that
/// lets everything in.
async fn clothe(world: &World) -> GroupId {
    let shared = format!("{SHARED}/web");
    attach(
        world,
        [
            (&shared, Attachment::Shared),
            ("duplicateaddress-narrower/peer", Attachment::Shared),
            ("fixedinterface-notenforced/web", Attachment::Fixed),
        ],
    );
    let bereft = "nointerface-notenforced/web".to_owned();
    world.cloud.bereft.lock().expect("nobody panics with it").insert(bereft);
    let mut worn = Vec::new();
    for (namespace, name) in [("groupkept-notenforced", "web"), (OTHERS, "prior")] {
        let there = world.get(&pod(namespace, name)).await.expect("a pod");
        let uid = there["metadata"]["uid"].as_str().expect("a uid").to_owned();
        worn.push((name, format!("pod {namespace}/{name} {uid}")));
    }
    world.cloud.lock().as_someone_else(|vpc| {
        let wide = group(vpc, "wide");
        open(vpc, &wide);
        let narrow = group(vpc, NARROW);
        authorize(vpc, &narrow, "egress 10.0.0.0/8 tcp/53");
        for (name, description) in worn {
            let groups = if name == "prior" {
                [narrow.clone()].into()
            } else {
                [base_group(), wide.clone()].into()
            };
            let interface = NetworkInterface {
                attachment: Attachment::Exclusive,
                description,
                addresses: BTreeSet::new(),
                groups,
                record: BTreeSet::new(),
            };
            vpc.put_interface(InterfaceId(format!("eni-{name}").into()), interface);
        }
        wide
    })
}

/// Gives these pods interfaces that are not just their own to be changed, and no others.
fn attach<const N: usize>(world: &World, pods: [(&str, Attachment); N]) {
    let mut sim = world.cloud.lock();
    let mut config = sim.config().clone();
    config.attachments = pods.map(|(pod, attachment)| (pod.to_owned(), attachment)).into();
    sim.configure(config);
}

/// A group of others without rules.
fn group(vpc: &mut Vpc, name: &str) -> GroupId {
    let id = vpc.create_group(name, None).expect("a group");
    let given = vpc.group(&id).expect("it is there").rules.values();
    let given: BTreeSet<_> = given.map(|entry| entry.id.clone()).collect();
    vpc.revoke(&id, Direction::Egress, &given).expect("revoked");
    id
}

/// Lets a group let everything through.
fn open(vpc: &mut Vpc, group: &GroupId) {
    for direction in ["ingress", "egress"] {
        for block in ["0.0.0.0/0", "::/0"] {
            authorize(vpc, group, &format!("{direction} {block} all"));
        }
    }
}

fn put_subnet(vpc: &mut Vpc, id: &str, block: &str) -> SubnetId {
    let id = SubnetId(id.into());
    let blocks = vec![block.parse().expect("a block")];
    vpc.put_subnet(id.clone(), SubnetConfig { blocks, tags: BTreeMap::new() });
    id
}

/// A subnet whose network ACL lets nothing pass.
fn close_a_subnet(vpc: &mut Vpc) {
    let id = put_subnet(vpc, "subnet-0b", "10.0.240.0/24");
    let acl = vpc.create_acl(None).expect("an ACL");
    let association = vpc.subnet(&id).expect("it is there").association.clone();
    vpc.replace_association(&association, &acl).expect("both are there");
}

fn authorize(vpc: &mut Vpc, group: &GroupId, text: &str) {
    authorize_as(vpc, group, &rule(text), "");
}

fn authorize_as(vpc: &mut Vpc, group: &GroupId, rule: &Rule, description: &str) {
    let rules = BTreeMap::from([(rule.clone(), description.to_owned())]);
    vpc.authorize(group, &rules, None).expect("a rule");
}

fn rule(text: &str) -> Rule {
    text.parse().expect("a rule")
}

/// The interface of one of the others' pods, and the groups that it wears.
fn interface(vpc: &Vpc, pod: &str) -> (InterfaceId, BTreeSet<GroupId>) {
    let start = format!("pod {OTHERS}/{pod} ");
    let mut interfaces = vpc.interfaces().filter(|(_, it)| it.description.starts_with(&start));
    let (id, interface) = interfaces.next().expect("it has one");
    (id.clone(), interface.groups.clone())
}
