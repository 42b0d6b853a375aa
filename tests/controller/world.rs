//! A cluster with played nodes, a VPC in LocalStack, and controllers between them, each a process.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use moat_core::firewall::{GroupKey, State};
use moat_core::settings::Settings;
use moat_k8s::{Options, Source};
use moat_test_cluster::{ControlPlane, Objects, Server, account, ask, cloud, until};
use moat_tests::generate::Cluster;
use moat_tests::reading;
use serde_json::{Value, json};

/// Everything that a test needs.
pub(crate) struct World {
    objects: Objects,
    plane: ControlPlane,
    variables: BTreeMap<String, String>,
    configuration: PathBuf,
    account: String,
    vpc: String,
    _nodes: Server,
    _folder: tempfile::TempDir,
}

/// A controller, which ends by SIGKILL with its value.
pub(crate) struct Controller(Child);

impl World {
    /// A control plane and an account of its own, with Moat's kinds, and nodes.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with other nodes: arguments of `localstack/nodes/up`.
    pub(crate) async fn with(nodes: &[&str]) -> Self {
        let plane = ControlPlane::start();
        let account = account();
        let variables = cloud(&account);
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().display().to_string();
        let nodes = plane.nodes(&[&["--out", &out], nodes].concat(), &variables);
        let told = |name: &str| nodes.variables.get(name).cloned().expect("the script tells");
        let (configuration, vpc) = (told("CONFIGURATION").into(), told("VPC_ID"));
        let objects = Objects::of(&plane).await;
        for crd in moat_k8s::crd::crds() {
            objects.apply(&serde_json::to_value(crd).expect("JSON")).await;
        }
        let _nodes = nodes;
        Self { objects, plane, variables, configuration, account, vpc, _nodes, _folder: folder }
    }

    /// Starts a controller. The lease of one that was killed does not stand in its way.
    pub(crate) async fn controller(&self) -> Controller {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": "default", "name": "moat-default"},
        });
        if self.get(&lease).await.is_some() {
            self.delete(&lease).await;
        }
        self.another()
    }

    /// Starts a controller beside others.
    pub(crate) fn another(&self) -> Controller {
        let child = Command::new(env!("CARGO_BIN_EXE_moat"))
            .args(["controller", "--provider", "aws", "--config"])
            .arg(&self.configuration)
            .envs(&self.variables)
            .env("KUBECONFIG", &self.plane.kubeconfig)
            .stderr(if std::env::var_os("MOAT_LOG").is_some() {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .spawn();
        Controller(child.expect("the program runs"))
    }

    /// The groups, rules and interfaces as EC2 answers them, read without a line of Moat's.
    pub(crate) fn read(&self) -> State {
        reading::state(&reading::read(&self.account, &self.vpc), "default")
    }

    /// What is compared of two ends: everything but the numbers of groups.
    pub(crate) fn sizes(&self) -> (Vec<usize>, Vec<usize>) {
        let state = self.read();
        let ours = state.groups.iter().filter(|(key, _)| matches!(key, GroupKey::Ours(_)));
        let mut rules: Vec<usize> = ours.map(|(_, rules)| rules.len()).collect();
        rules.sort_unstable();
        (rules, state.interfaces.values().map(std::collections::BTreeSet::len).collect())
    }

    /// Waits until NetworkPolicies are said to be in the cloud, as they are at the moment.
    pub(crate) async fn programmed(&self, policies: &[Value]) {
        for policy in policies {
            let generation =
                self.get(policy).await.expect("it is there")["metadata"]["generation"].clone();
            let mut about = json!({"apiVersion": "moat.dev/v1alpha1", "kind": "PolicyEnforcement"});
            about["metadata"] = policy["metadata"].clone();
            let name = policy["metadata"]["name"].as_str().expect("a name");
            about["metadata"]["name"] = json!(format!("netpol-{name}"));
            let said = async || {
                let about = self.get(&about).await?;
                let conditions = about["status"]["conditions"].as_array()?.clone();
                let holds = |condition: &Value| {
                    condition["type"] == "Programmed"
                        && condition["status"] == "True"
                        && condition["observedGeneration"] == generation
                };
                conditions.iter().any(holds).then_some(())
            };
            until(&format!("{name} is programmed"), said).await;
        }
    }

    /// The cluster as it would be with these policies.
    pub(crate) async fn cluster(&self, policies: &[Value]) -> Cluster {
        let mut items = policies.to_vec();
        for kind in ["Namespace", "Node", "Pod"] {
            items.extend(self.list(&json!({"apiVersion": "v1", "kind": kind})).await);
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let source = Source { name: "-".into(), bytes: list.to_string().into_bytes().into() };
        let read = moat_k8s::read(&[source], &Options::default());
        Cluster {
            policies: read.policies,
            inventory: read.inventory,
            settings: Settings::default(),
        }
    }

    /// Lets a number of Moat's writes pass and holds the next one up for good, before or after it takes effect.
    pub(crate) fn hold(&self, skip: usize, after: bool) {
        let rule = json!({
            "op": "writes", "agent": "aws-sdk-rust", "skip": skip, "times": 1, "after": after, "delay": 3600,
        });
        self.ask("DELETE", "");
        self.ask("PUT", &json!({"rules": [rule]}).to_string());
    }

    /// How many writes reached EC2 since [`Self::hold`].
    pub(crate) fn writes(&self) -> usize {
        let answer = self.ask("GET", "");
        let calls = answer["calls"].as_object().expect("counters");
        let writes = calls.iter().filter(|(name, _)| !is_read(name));
        let counted = writes.map(|(_, count)| count.as_u64().expect("a number")).sum::<u64>();
        usize::try_from(counted).expect("few")
    }

    /// The calls that changed something, after a place in EC2's log; and the place of the last call.
    pub(crate) fn calls(&self, from: u64) -> (Vec<Value>, u64) {
        let answer = ask("GET", &format!("/_calls/{}?from={from}", self.account), "");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let mut calls = answer["calls"].as_array().cloned().unwrap_or_default();
        let last = calls.last().and_then(|call| call["n"].as_u64()).unwrap_or(from);
        calls.retain(|call| !is_read(call["op"].as_str().unwrap_or_default()));
        (calls, last)
    }

    /// The API server's writes by the controller, but for its lease.
    pub(crate) fn written(&self) -> Vec<Value> {
        let audit = self.plane.audit.as_ref().expect("a control plane of its own");
        let audit = std::fs::read_to_string(audit).expect("the audit log");
        let events = audit.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let ours = |event: &Value| {
            event["userAgent"].as_str().is_some_and(|agent| agent.starts_with("moat"))
                && event["objectRef"]["resource"] != "leases"
        };
        events.filter(ours).collect()
    }

    /// Ends every fault.
    pub(crate) fn mend(&self) {
        self.ask("DELETE", "");
    }

    fn ask(&self, method: &str, body: &str) -> Value {
        let answer = ask(method, &format!("/_faults/{}", self.account), body);
        serde_json::from_str(&answer).expect("JSON")
    }
}

impl Controller {
    /// Ends it by SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Deref for World {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

fn is_read(call: &str) -> bool {
    call.starts_with("Describe") || call.starts_with("Get")
}
