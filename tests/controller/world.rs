//! A cluster with played nodes, a VPC in LocalStack, and controllers between them, each a process.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use moat_core::firewall::{GroupKey, State};
use moat_core::settings::Settings;
use moat_k8s::{Options, Source};
use moat_test_cluster::{
    ControlPlane, Objects, Server, account, ask_at, authority, cloud, unique, until,
};
use moat_tests::generate::Cluster;
use moat_tests::reading::{self, Reader};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Everything that a test needs.
pub(crate) struct World {
    objects: Objects,
    pub(crate) plane: ControlPlane,
    /// The environment of EC2's clients.
    pub(crate) variables: BTreeMap<String, String>,
    configuration: PathBuf,
    account: String,
    vpc: String,
    reader: Reader,
    _nodes: Server,
    folder: tempfile::TempDir,
    _turn: SemaphorePermit<'static>,
}

/// So many worlds are there at a time: with more, everybody waits for everybody.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A controller, which ends by SIGKILL with its value.
pub(crate) struct Controller {
    child: Child,
    /// What it logs.
    log: PathBuf,
}

impl World {
    /// A control plane and an account of its own, with Moat's kinds, and nodes.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with other nodes: arguments of `localstack/nodes/up`.
    pub(crate) async fn with(nodes: &[&str]) -> Self {
        let account = account();
        Self::on(cloud(&account), account, nodes).await
    }

    /// The same on a LocalStack that nobody else uses.
    pub(crate) async fn beside(localstack: &Server) -> Self {
        let account = account();
        let mut variables = localstack.variables.clone();
        variables.insert("AWS_ACCESS_KEY_ID".to_owned(), account.clone());
        Self::on(variables, account, &[]).await
    }

    async fn on(variables: BTreeMap<String, String>, account: String, nodes: &[&str]) -> Self {
        let _turn = TURNS.acquire().await.expect("it is never closed");
        let plane = ControlPlane::start();
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().display().to_string();
        let nodes = plane.nodes(&[&["--out", &out], nodes].concat(), &variables);
        let told = |name: &str| nodes.variables.get(name).cloned().expect("the script tells");
        let (configuration, vpc) = (told("CONFIGURATION").into(), told("VPC_ID"));
        let objects = Objects::of(&plane).await;
        for crd in moat_k8s::crd::crds() {
            objects.apply(&serde_json::to_value(crd).expect("JSON")).await;
        }
        let (reader, _nodes) = (Reader::of(&variables), nodes);
        Self {
            objects,
            plane,
            variables,
            configuration,
            account,
            vpc,
            reader,
            _nodes,
            folder,
            _turn,
        }
    }

    /// Starts a controller. The lease of one that was killed does not stand in its way.
    pub(crate) async fn controller(&self) -> Controller {
        self.free_lease().await;
        self.another()
    }

    /// Starts a controller beside others.
    pub(crate) fn another(&self) -> Controller {
        self.start(&self.configuration)
    }

    /// Starts one that answers at an address.
    pub(crate) fn serving(&self, address: &str) -> Controller {
        self.start(&self.configured(&format!("serve: {{address: \"{address}\"}}")))
    }

    /// Starts one with more in its configuration, which [`Self::configured`] changes.
    pub(crate) fn with_settings(&self, more: &str) -> Controller {
        self.start(&self.configured(more))
    }

    /// Writes a configuration with more in it.
    pub(crate) fn configured(&self, more: &str) -> PathBuf {
        let written = std::fs::read_to_string(&self.configuration).expect("it is there");
        let path = self.folder.path().join("configured.yaml");
        std::fs::write(&path, format!("{written}{more}\n")).expect("writable");
        path
    }

    fn start(&self, configuration: &Path) -> Controller {
        let log = self.folder.path().join(unique("log"));
        let file = File::create(&log).expect("writable");
        let child = Command::new(env!("CARGO_BIN_EXE_moat"))
            .args(["controller", "--provider", "aws", "--config"])
            .arg(configuration)
            .envs(&self.variables)
            .env("KUBECONFIG", &self.plane.kubeconfig)
            .stderr(if std::env::var_os("MOAT_LOG").is_some() {
                Stdio::inherit()
            } else {
                file.into()
            })
            .spawn()
            .expect("the program runs");
        Controller { child, log }
    }

    /// Runs a command in the account: its exit code, and all that it printed.
    pub(crate) fn moat(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_moat"))
            .args(arguments)
            .args(["--provider", "aws", "--config"])
            .arg(&self.configuration)
            .envs(&self.variables)
            .env("KUBECONFIG", &self.plane.kubeconfig)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), text)
    }

    /// The groups, rules and interfaces as EC2 answers them, read without a line of Moat's, at a moment in which they stay the same.
    pub(crate) fn read(&self) -> State {
        self.glimpses().take(100).flatten().next().expect("it does not change all the time")
    }

    /// The same, read again and again; none where something changed meanwhile. A reading takes several calls: what one shows and
    /// the next one shows, too, was so between both.
    pub(crate) fn glimpses(&self) -> impl Iterator<Item = Option<State>> + '_ {
        let mut last = Value::Null;
        std::iter::from_fn(move || {
            let next = self.reader.read(&self.account, &self.vpc);
            let stays = next == last;
            last = next;
            Some(stays.then(|| reading::state(&last, "default")))
        })
    }

    /// Runs a program in Python on the account, with the VPC as its argument; what it prints.
    pub(crate) fn python(&self, program: &str) -> String {
        let ran = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("localstack/python"))
            .args(["-c", program, &self.vpc])
            .envs(&self.variables)
            .output()
            .expect("it runs");
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
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
        self.ask("DELETE", "");
        self.slow(&json!([{"skip": skip, "times": 1, "after": after, "delay": 3600}]));
    }

    /// Lets rules of `localstack/README.md`, "Faults", befall Moat's writes.
    pub(crate) fn slow(&self, rules: &Value) {
        let mut rules = rules.clone();
        for rule in rules.as_array_mut().expect("rules") {
            rule["op"] = json!("writes");
            rule["agent"] = json!("aws-sdk-rust");
        }
        self.ask("PUT", &json!({"rules": rules}).to_string());
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
        let path = format!("/_calls/{}?from={from}", self.account);
        let answer = ask_at(authority(&self.variables), "GET", &path, "");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let mut calls = answer["calls"].as_array().cloned().unwrap_or_default();
        let last = calls.last().and_then(|call| call["n"].as_u64()).unwrap_or(from);
        calls.retain(|call| !is_read(call["op"].as_str().unwrap_or_default()));
        (calls, last)
    }

    /// Ends every fault.
    pub(crate) fn mend(&self) {
        self.ask("DELETE", "");
    }

    fn ask(&self, method: &str, body: &str) -> Value {
        let path = format!("/_faults/{}", self.account);
        let answer = ask_at(authority(&self.variables), method, &path, body);
        serde_json::from_str(&answer).expect("JSON")
    }
}

impl Controller {
    /// Ends it by SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Lets it hang, by SIGSTOP.
    pub(crate) fn stop(&self) {
        signal("STOP", &self.process());
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        signal("CONT", &self.process());
    }

    /// Its process's id.
    pub(crate) fn process(&self) -> String {
        self.child.id().to_string()
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// How many lines of its log hold a text.
    pub(crate) fn says(&self, text: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).expect("it is there");
        log.lines().filter(|line| line.contains(text)).count()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Sends a process a signal.
pub(crate) fn signal(name: &str, process: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process).status();
    assert!(sent.expect("there is `kill`").success(), "{process} is gone");
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
