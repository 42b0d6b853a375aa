//! New pods start closed where the configuration says so, and nowhere else; other people's SecurityGroupPolicies stay as they are.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use moat_core::firewall::GroupNumber;
use moat_k8s::configuration::Configuration;
use moat_sim::base_group;
use moat_test_cluster::until;
use serde_json::{Value, json};

use crate::account::{Right, granted_by, of_quarantine};
use crate::world::World;

/// A SecurityGroupPolicy of someone else.
fn policy(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "vpcresources.k8s.aws/v1beta1",
        "kind": "SecurityGroupPolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "securityGroups": {"groupIds": ["sg-0123456789abcdef0"]},
        },
    })
}

/// Writes the configuration.
fn configure(world: &World, more: &str) {
    let text = format!(
        "apiVersion: moat.dev/v1alpha1\nkind: Configuration\ndefaultGroups: [{}]\n\
         namespaceSelector: {{matchExpressions: [{{key: aside, operator: DoesNotExist}}]}}\n{more}\n",
        base_group().0
    );
    let configuration: Configuration = text.parse().expect("a configuration");
    *world.configuration.lock().expect("nobody panics with it") = Ok(configuration);
}

/// Lets all nodes tell whether they have a trunk.
async fn trunks(world: &World, told: &str) {
    let nodes: Api<Node> = Api::all(world.client.clone());
    for name in ["default-0", "default-1"] {
        let labels =
            json!({"metadata": {"labels": {"vpc.amazonaws.com/has-trunk-attached": told}}});
        let patched = nodes.patch(name, &PatchParams::default(), &Patch::Merge(&labels)).await;
        patched.expect("patched");
    }
}

/// Namespace, name and groups of every SecurityGroupPolicy.
async fn policies(world: &World) -> BTreeSet<[String; 3]> {
    let all = world.list(&policy("", "any")).await;
    let text = |it: &Value, at: &str| it.pointer(at).map(ToString::to_string).unwrap_or_default();
    let told = |it: &Value| {
        ["/metadata/namespace", "/metadata/name", "/spec/securityGroups/groupIds"]
            .map(|at| text(it, at).replace('"', ""))
    };
    all.iter().map(told).collect()
}

/// The cloud's id of the closed group, and the number of its rules.
fn closed(world: &World) -> Option<(String, usize)> {
    let sim = world.cloud.lock();
    let name = GroupNumber::CLOSED.name("default");
    let found = sim.vpc().groups().find(|(_, group)| group.name == name);
    found.map(|(id, group)| (id.0.to_string(), group.rules.len()))
}

/// What the MoatInstallation says of starts: objects and messages.
async fn starts(world: &World) -> Vec<[String; 2]> {
    let installation = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "MoatInstallation",
        "metadata": {"name": "default"},
    });
    let status = world.get(&installation).await.unwrap_or_default()["status"].clone();
    let rows = status["findings"].as_array().cloned().unwrap_or_default();
    let starts = rows.iter().filter(|row| row["reason"] == "StartsOpen");
    let text = |row: &Value, at: &str| row[at].as_str().unwrap_or_default().to_owned();
    starts.map(|row| ["object", "message"].map(|at| text(row, at))).collect()
}

async fn hold(world: &World, what: &str, wanted: &[[&str; 3]]) {
    let wanted: BTreeSet<[String; 3]> =
        wanted.iter().map(|policy| policy.map(str::to_owned)).collect();
    until(what, async || (policies(world).await == wanted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_in_scope_start_closed_as_long_as_the_configuration_says_so() {
    let world = World::new().await;
    for role in of_quarantine() {
        world.apply(&role).await;
    }
    for namespace in ["default", "media", "shop", "theirs"] {
        world.pods(namespace, &["web"]).await;
    }
    world
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aside", "labels": {"aside": ""}}}))
        .await;
    let others = [policy("media", "own"), policy("theirs", "moat-default")];
    for policy in &others {
        world.apply(policy).await;
    }
    world
        .apply(&json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"podSelector": {}},
        }))
        .await;
    configure(&world, "quarantine: true");
    let _controller = world.controller("one");

    // No node has a trunk: nobody would start.
    let group = until("the group is there", async || closed(&world)).await;
    let lacking = "no node has a trunk for branch interfaces";
    until("that is told", async || {
        let told = starts(&world).await;
        let is = |[object, message]: &[String; 2]| {
            object == "Namespace shop" && message.ends_with(lacking)
        };
        told.iter().any(is).then_some(())
    })
    .await;
    let theirs = [
        ["media", "own", "[sg-0123456789abcdef0]"],
        ["theirs", "moat-default", "[sg-0123456789abcdef0]"],
    ];
    hold(&world, "nothing is written", &theirs).await;

    trunks(&world, "true").await;
    let (id, rules) = group;
    assert_eq!(rules, 0);
    let listed = format!("[{id}]");
    let own = |namespace| [namespace, "moat-default", &listed];
    let quarantined = [theirs[0], theirs[1], own("media"), own("shop")];
    // Not those that Moat needs, nor `aside`, nor where the name is another one's. Namespaces without pods, too.
    let empty = ["kube-node-lease", "kube-public"].map(own);
    hold(&world, "they are written", &[&quarantined[..], &empty].concat()).await;
    let told = until("what is left out is told", async || {
        let told = starts(&world).await;
        (told.len() == 2).then_some(told)
    })
    .await;
    let ends = [
        "Moat needs pods here in order to start",
        "its SecurityGroupPolicy `moat-default` is not Moat's",
    ];
    for ([object, message], (namespace, end)) in
        told.iter().zip(["default", "theirs"].iter().zip(ends))
    {
        assert_eq!(object, &format!("Namespace {namespace}"));
        assert!(message.ends_with(end), "{message}");
    }

    configure(&world, "");
    hold(&world, "they are gone", &theirs).await;
    until("then the group goes", async || closed(&world).is_none().then_some(())).await;
    until("new pods start open, which is told", async || {
        let told = starts(&world).await;
        (told.len() == 1 && told[0][0] == "VPC").then_some(())
    })
    .await;
    for policy in &others {
        let there = world.get(policy).await.expect("it is there");
        assert_eq!(there["spec"], policy["spec"]);
    }
    let granted = granted_by(&of_quarantine());
    let mut asked: BTreeSet<Right> = world.asked.beside(&granted);
    asked.retain(|(_, resource, verb, _)| {
        resource == "securitygrouppolicies" && !["list", "watch"].contains(&verb.as_str())
    });
    assert_eq!(asked, granted, "each grant is asked for, and no other");
}
