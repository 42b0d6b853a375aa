use std::collections::BTreeMap;

use moat_core::firewall::{Acl, AclName, ForeignAclId};
use moat_core::inventory::{Interface, InterfaceId, Subnet, SubnetId};
use serde_json::{Value, json};

use super::*;
use crate::{Content, Part, Parts, read_object};

/// What these objects say, with an interface for each pod, of the attachment that its annotation `interface` names; and what was not
/// understood.
fn gather(objects: &[Value]) -> (Branches, Inventory, Vec<Finding>) {
    let mut parts = Parts::default();
    let mut told = Vec::new();
    let mut interfaces = BTreeMap::new();
    for object in objects {
        let read = read_object(object).expect("it is read");
        told.extend(read.findings);
        let Content::Part(mut part) = read.content else { panic!("{object}") };
        let name = Word::clone(&read.object.name);
        if let Part::Pod(Some(pod)) = &mut part {
            let attachment = match object["metadata"]["annotations"]["interface"].as_str() {
                Some("own") => Attachment::Exclusive,
                Some("fixed") => Attachment::Fixed,
                _ => Attachment::Shared,
            };
            let id = InterfaceId(format!("eni-{name}").into());
            pod.interface = Some(id.clone());
            interfaces.insert(id, Interface { attachment, prior: BTreeSet::new() });
        }
        let namespace = read.object.namespace.unwrap_or_else(|| "".into());
        let _ = parts.put((Word::clone(&namespace), Word::clone(&name)), part.clone());
        assert!(!parts.put((namespace, name), part), "it is the same");
    }
    let branches = parts.branches.clone();
    let inventory = Inventory { interfaces, ..parts.inventory(BTreeSet::new()) };
    (branches, inventory, told)
}

/// What is found of these objects.
fn found(objects: &[Value]) -> Vec<String> {
    let (branches, inventory, mut told) = gather(objects);
    told.extend(branches.findings(&inventory));
    let said = |it: Finding| format!("{} {} {}: {}", it.effect, it.object, it.reason, it.message);
    told.into_iter().map(said).collect()
}

fn pod(name: &str, app: &str, node: &str, interface: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "shop",
            "name": name,
            "labels": {"app": app},
            "annotations": {"interface": interface},
        },
        "spec": {"nodeName": node},
        "status": {"podIPs": [{"ip": "10.0.0.1"}]},
    })
}

fn node(name: &str, labels: &Value, room: Option<&str>) -> Value {
    let mut node =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
    if let Some(room) = room {
        node["status"] = json!({"allocatable": {"vpc.amazonaws.com/pod-eni": room}});
    }
    node
}

fn sgp(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["securityGroups"] = json!({"groupIds": ["sg-1"]});
    json!({
        "apiVersion": "vpcresources.k8s.aws/v1beta1",
        "kind": "SecurityGroupPolicy",
        "metadata": {"namespace": "shop", "name": name},
        "spec": spec,
    })
}

fn pods(app: &str) -> Value {
    json!({"podSelector": {"matchLabels": {"app": app}}})
}

fn cni_node(name: &str, feature: &str) -> Value {
    json!({
        "apiVersion": "vpcresources.k8s.aws/v1alpha1",
        "kind": "CNINode",
        "metadata": {"name": name},
        "spec": {"features": [{"name": feature}]},
    })
}

fn cni(variables: &Value) -> Value {
    let containers = json!([{"name": "aws-node", "env": variables}, {"name": "agent"}]);
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"namespace": "kube-system", "name": "aws-node"},
        "spec": {"template": {"spec": {"containers": containers}}},
    })
}

#[test]
fn policies_that_certainly_select_one_pod_are_told_once_each() {
    let all = json!({"podSelector": {}});
    let mut by_account = pods("web");
    by_account["serviceAccountSelector"] = json!({"matchLabels": {"team": "a"}});
    let mut by_any_account = pods("web");
    by_any_account["serviceAccountSelector"] = json!({});
    let mut elsewhere = sgp("else", &all);
    elsewhere["metadata"]["namespace"] = json!("other");
    let objects = [
        pod("one", "web", "n", "own"),
        pod("two", "web", "n", "own"),
        pod("db", "db", "n", "own"),
        sgp("a", &by_any_account),
        sgp("b", &by_account),
        sgp("c", &all),
        sgp("d", &pods("db")),
        sgp("e", &pods("nobody")),
        elsewhere,
    ];
    let joined = |other: &str, first: &str| {
        format!(
            "ignored SecurityGroupPolicy shop/{other} GroupsJoined: `{first}` selects pods of this one, too: their interfaces \
             start with the groups of both; let one of the two select each pod"
        )
    };
    assert_eq!(found(&objects), [joined("c", "a"), joined("d", "c")]);
}

#[test]
fn trap_64_a_pod_that_a_policy_selects_is_told_why_it_shares_its_nodes_interface() {
    let policy = sgp("web", &pods("web"));
    let said = |pod: &str, why: &str| {
        format!(
            "ignored Pod shop/{pod} SharedInterface: SecurityGroupPolicy `web` selects the pod, which shares its node's interface \
             all the same: {why}"
        )
    };
    let mut on_host = pod("host", "web", "n", "shared");
    on_host["spec"]["hostNetwork"] = json!(true);
    let objects = [
        pod("one", "web", "n", "shared"),
        pod("own", "web", "n", "own"),
        pod("fixed", "web", "n", "fixed"),
        pod("other", "db", "n", "shared"),
        on_host,
        policy.clone(),
    ];
    let late = "it is older than the policy or than its own labels, or the webhook `mpod.vpc.k8s.aws` did not answer as it was \
                made; make it anew";
    assert_eq!(found(&objects), [said("one", late)]);

    let windows = node("w", &json!({"kubernetes.io/os": "windows"}), None);
    let objects = [pod("one", "web", "w", "shared"), windows, policy];
    let why = "its node `w` runs Windows; let it run where pods can have interfaces of their own";
    assert_eq!(found(&objects)[0], said("one", why));
}

#[test]
fn nodes_without_a_trunk_are_told_of_where_anybody_counts_on_one() {
    let trunk = |value: &str| json!({"vpc.amazonaws.com/has-trunk-attached": value});
    let mut nodes = vec![
        node("a", &trunk("true"), None),
        node("b", &json!({}), None),
        cni_node("b", "SecurityGroupsForPods"),
        node("c", &json!({}), None),
        node("d", &json!({"eks.amazonaws.com/compute-type": "fargate"}), None),
        cni_node("d", "CustomNetworking"),
        node("e", &json!({}), None),
        cni_node("e", "CustomNetworking"),
        node("f", &trunk("not-supported"), None),
        node("g", &json!({"kubernetes.io/os": "windows"}), None),
    ];
    assert_eq!(found(&nodes), [""; 0], "nobody does");
    nodes.push(sgp("web", &pods("web")));
    assert_eq!(
        found(&nodes),
        [
            "ignored Node e NoTrunk: pods here cannot have interfaces of their own: the node has no trunk for them, and so it is with \
             2 more; choose instance types that can trunk (`vpc.amazonaws.com/has-trunk-attached`), and set `ENABLE_POD_ENI` of \
             `aws-node`"
        ]
    );
}

#[test]
fn trap_73_nodes_are_told_of_whose_branch_interfaces_are_used_up() {
    let mut objects = vec![
        node("a", &json!({}), Some("2")),
        node("b", &json!({}), Some("1")),
        node("c", &json!({}), Some("0")),
        pod("one", "web", "a", "own"),
        pod("two", "web", "a", "shared"),
        pod("three", "web", "c", "own"),
    ];
    assert_eq!(found(&objects), [""; 0]);
    objects.push(pod("four", "web", "a", "own"));
    let said = |more: &str| {
        format!(
            "ignored Node a TrunkFull: pods have all 2 branch interfaces of the node{more}: further pods that a \
             SecurityGroupPolicy selects wait for another node"
        )
    };
    assert_eq!(found(&objects), [said("")]);
    objects.push(pod("five", "web", "b", "own"));
    assert_eq!(found(&objects), [said(", and so it is with one more")]);
}

#[test]
fn trap_78_standard_mode_is_told_of_where_a_pod_has_an_interface_of_its_own() {
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    let mode = |value: &str| variable("POD_SECURITY_GROUP_ENFORCING_MODE", value);
    let snat = variable("AWS_VPC_K8S_CNI_EXTERNALSNAT", "true");
    let own = pod("own", "web", "n", "own");
    let said = |egress: &str| {
        format!(
            "not enforced VPC StandardMode: the VPC CNI enforces groups in standard mode: nothing filters what pods and the kubelet \
             of one node send each other{egress}; set `POD_SECURITY_GROUP_ENFORCING_MODE: strict` of `aws-node`, and make the \
             pods anew"
        )
    };
    let at_node = ", and what leaves the VPC passes the node's groups instead of the pod's";
    let found = |variables: Value| found(&[own.clone(), cni(&variables)]);
    assert_eq!(found(json!([mode("standard")])), [said(at_node)]);
    assert_eq!(found(json!([mode("standard"), snat])), [said("")]);
    assert_eq!(found(json!([mode("strict")])), [""; 0]);
    assert_eq!(found(json!([])), [""; 0]);
    assert_eq!(super::tests::found(&[cni(&json!([mode("standard")]))]), [""; 0], "nobody has one");
}

#[test]
fn what_leaves_by_the_node_is_told_of_where_a_pod_in_a_guarded_subnet_has_no_interface_of_its_own()
{
    let snat = json!([{"name": "AWS_VPC_K8S_CNI_EXTERNALSNAT", "value": "true"}]);
    let found = |interface: &str, variables: &Value, block: &str| {
        let (branches, inventory, _) = gather(&[pod("one", "web", "n", interface), cni(variables)]);
        let prior = ForeignAclId("acl-1".into());
        let subnet = Subnet {
            blocks: vec![block.parse().expect("a block")],
            acl: AclName("pods".into()),
            prior: prior.clone(),
            has_others: false,
        };
        let inventory = Inventory {
            subnets: [(SubnetId("subnet-1".into()), subnet)].into(),
            acls: [(prior, Acl::default())].into(),
            ..inventory
        };
        let found = branches.findings(&inventory).into_iter();
        found.map(|it| (it.reason, it.message.contains("`shop/one`"))).collect::<Vec<_>>()
    };
    let plain = json!([]);
    let translates = |objects: &[Value]| gather(objects).1.source_nat;
    assert!(translates(&[cni(&plain)]), "as the VPC CNI does unless it is told otherwise");
    assert!(!translates(&[cni(&snat)]) && !translates(&[]));
    assert_eq!(found("shared", &plain, "10.0.0.0/24"), [(Reason::LeavesByNode, true)]);
    assert_eq!(found("shared", &plain, "10.0.1.0/24"), [], "it is elsewhere");
    assert_eq!(found("shared", &snat, "10.0.0.0/24"), [], "others translate");
    for interface in ["own", "fixed"] {
        assert_eq!(found(interface, &plain, "10.0.0.0/24"), [], "{interface}");
    }
}

#[test]
fn what_the_resource_controller_passes_over_is_told_and_selects_nobody() {
    let mut without = sgp("without", &json!({}));
    let mut groupless = sgp("groupless", &json!({"podSelector": {}}));
    groupless["spec"].as_object_mut().expect("an object").remove("securityGroups");
    let odd = json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}});
    let objects = [pod("one", "web", "n", "shared"), without.take(), groupless, sgp("odd", &odd)];
    let passed_over = "the VPC resource controller passes it over";
    assert_eq!(
        found(&objects),
        [
            format!(
                "ignored SecurityGroupPolicy shop/without InvalidField: without `podSelector` or `serviceAccountSelector` {passed_over}"
            ),
            format!(
                "ignored SecurityGroupPolicy shop/groupless InvalidField: without `securityGroups.groupIds` {passed_over}"
            ),
            "ignored SecurityGroupPolicy shop/odd InvalidSelector: `Near` is none of `In`, `NotIn`, `Exists` and `DoesNotExist`; it is \
             left out"
                .to_owned(),
        ]
    );
}

// --------------------------------------------------------------------------------------------- Quarantine

/// What stands in the way of quarantining `media` and `shop`.
fn obstacles(objects: &[Value]) -> [Option<String>; 2] {
    let (branches, inventory, _) = gather(objects);
    let namespaces = ["media", "shop"].map(Word::from);
    let mut all = branches.obstacles(&inventory, "default", &namespaces.clone().into());
    let found = namespaces.map(|namespace| all.remove(&namespace).expect("it is told of"));
    assert!(all.is_empty());
    found
}

fn own(namespace: &str, group: &str) -> Value {
    let mut policy = sgp("moat-default", &json!({"podSelector": {}}));
    policy["metadata"]["namespace"] = json!(namespace);
    policy["metadata"]["labels"] = json!({"moat.dev/cluster": "default"});
    policy["spec"]["securityGroups"]["groupIds"] = json!([group]);
    policy
}

#[test]
fn trap_66_a_namespace_whose_pods_could_not_start_closed_is_not_quarantined() {
    let trunk = |value: &str| json!({"vpc.amazonaws.com/has-trunk-attached": value});
    let with = node("a", &trunk("true"), None);
    let because = |why: &str| [None, Some(why.to_owned())];
    assert_eq!(obstacles(std::slice::from_ref(&with)), [None, None]);
    let on = |labels: &Value| {
        obstacles(&[with.clone(), node("b", labels, None), pod("one", "web", "b", "fixed")])
    };
    let without = "its pod `one` runs on `b`, which has no trunk for them";
    assert_eq!(on(&trunk("false")), because(without));
    let windows = "its pod `one` runs on `b`, which runs Windows";
    assert_eq!(on(&json!({"kubernetes.io/os": "windows"})), because(windows));
    let fargate = "its pod `one` runs on `b`, which is Fargate's";
    assert_eq!(on(&json!({"eks.amazonaws.com/compute-type": "fargate"})), because(fargate));
    let nowhere = Some("no node has a trunk for branch interfaces".to_owned());
    assert_eq!(obstacles(&[node("b", &trunk("false"), None)]), [nowhere.clone(), nowhere]);
    let told = [node("b", &json!({}), None), cni_node("b", "SecurityGroupsForPods")];
    assert_eq!(obstacles(&told), [None, None]);
}

#[test]
fn a_namespace_whose_pods_would_take_more_branch_interfaces_than_there_are_is_not_quarantined() {
    let labels = json!({"vpc.amazonaws.com/has-trunk-attached": "true"});
    let mut shared = ["one", "two"].map(|name| pod(name, "web", "a", "shared")).to_vec();
    let mut other = pod("three", "web", "a", "shared");
    other["metadata"]["namespace"] = json!("media");
    shared.extend([other, pod("own", "web", "a", "own")]);
    let with =
        |pods: &[Value], room: &str| obstacles(&[pods, &[node("a", &labels, Some(room))]].concat());
    assert_eq!(with(&shared, "4"), [None, None]);
    let lacking =
        "2 of its pods have no interface of their own yet, and the nodes have room for 1 more";
    assert_eq!(with(&shared, "3"), [None, Some(lacking.to_owned())]);
    // One that is quarantined stays so.
    shared.push(own("shop", "sg-1"));
    assert_eq!(with(&shared, "3"), [None, None]);
}

#[test]
fn orders_make_what_is_missing_and_take_back_what_is_ours_alone() {
    let mut theirs = own("theirs", "sg-0");
    theirs["metadata"]["labels"] = json!({"moat.dev/cluster": "other"});
    let mut renamed = own("renamed", "sg-0");
    renamed["metadata"]["name"] = json!("moat-other");
    let objects = [own("gone", "sg-1"), own("old", "sg-0"), own("right", "sg-1"), theirs, renamed];
    let (branches, _, _) = gather(&objects);
    let wanted: BTreeSet<Word> = ["new", "old", "right"].map(Word::from).into();
    let apply = ["new", "old"].map(|namespace| {
        let mut policy = own(namespace, "sg-1");
        policy["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("moat");
        policy
    });
    let orders = Orders { apply: apply.into(), delete: vec!["gone".into()] };
    assert_eq!(branches.orders("default", "sg-1", &wanted), orders);
    assert!(branches.is_quarantined("default") && !branches.is_quarantined("other"));
    assert!(!gather(&[sgp("moat-default", &json!({}))]).0.is_quarantined("default"));
    let obstacles = branches.obstacles(&Inventory::default(), "default", &["theirs".into()].into());
    let theirs = "its SecurityGroupPolicy `moat-default` is not Moat's".to_owned();
    assert_eq!(obstacles, BTreeMap::from([("theirs".into(), Some(theirs))]));
}

#[test]
fn trap_60_a_policy_beside_a_quarantine_is_told_that_it_opens_what_that_closes() {
    let objects = [
        pod("one", "web", "n", "own"),
        sgp("a", &pods("web")),
        own("shop", "sg-1"),
        sgp("z", &pods("web")),
    ];
    let said = |policy: &str| {
        format!(
            "ignored SecurityGroupPolicy shop/{policy} GroupsJoined: `moat-default`, Moat's quarantine, selects pods of this one, too: \
             their interfaces start with the groups of both, and so open; delete this one, if the pods need nothing but interfaces of \
             their own"
        )
    };
    assert_eq!(found(&objects), [said("a"), said("z")]);
}
