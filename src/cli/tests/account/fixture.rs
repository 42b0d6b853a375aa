//! A VPC in memory that commands reach as an account.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;

use moat_cli::{Account, Cluster, Exit, Io, Target, Terminal};
use moat_core::drive::{self, Outcome};
use moat_core::firewall::{GroupKey, Peer, Rule, State};
use moat_core::inventory::InterfaceId;
use moat_core::plan::Plan;
use moat_core::policy::Direction;
use moat_core::provider::{Capabilities, Observed, Provider, ProviderError, Scope};
use moat_k8s::Access;
use moat_k8s::{Options, Published, Source, There};
use moat_sim::{Config, Sim, block_on};
use serde_json::json;
use tempfile::TempDir;

const MANIFESTS: &str = r#"
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}, annotations: {vpc.amazonaws.com/pod-eni: '[{"eniId":"eni-0a"}]'}}, status: {podIP: 10.0.0.9}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}, annotations: {vpc.amazonaws.com/pod-eni: '[{"eniId":"eni-0b"}]'}}, status: {podIP: 10.0.0.10}}
---
{apiVersion: v1, kind: Pod, metadata: {name: starting, namespace: shop, labels: {app: db}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
"#;

/// One VPC, which commands reach one after the other, how often they looked at it besides what plans read back, the calls that
/// the role may not make, and an interface that goes before a plan is carried out.
#[derive(Clone)]
pub(crate) struct Shared(
    pub(crate) Rc<RefCell<Sim>>,
    pub(crate) Rc<Cell<usize>>,
    pub(crate) Rc<RefCell<Vec<String>>>,
    pub(crate) Rc<RefCell<Option<InterfaceId>>>,
);

impl Account for Shared {
    fn capabilities(&mut self) -> Result<Capabilities, ProviderError> {
        block_on(self.0.borrow_mut().capabilities())
    }

    fn observe(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError> {
        self.1.set(self.1.get() + 1);
        block_on(drive::observe(&mut *self.0.borrow_mut(), scope))
    }

    fn forbidden(&mut self, _: &Plan) -> Vec<String> {
        self.2.borrow().clone()
    }

    fn drive<'plan>(&mut self, plan: &'plan Plan, scope: &Scope) -> Outcome<'plan> {
        if let Some(goes) = self.3.take() {
            self.0.borrow_mut().as_someone_else(|vpc| vpc.remove_interface(&goes));
        }
        block_on(drive::drive(&mut *self.0.borrow_mut(), plan, scope))
    }
}

/// An account, and a folder of manifests.
pub(crate) struct Fixture {
    pub(crate) vpc: Shared,
    pub(crate) folder: TempDir,
    /// What the last command reached.
    pub(crate) reached: RefCell<Option<Target>>,
    /// Who leads in the cluster of every context, as far as that is known.
    pub(crate) leader: RefCell<Result<Option<String>, String>>,
    /// How often a command that took the lease finds it still its own.
    pub(crate) lasting: Cell<usize>,
}

/// A cluster that tells who leads, and of one pod. A lease that was taken is lost after it was looked at so often.
struct Led(Result<Option<String>, String>, Cell<usize>);

impl Cluster for Led {
    fn there(&mut self) -> Result<There, String> {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": "shop",
                "name": "db",
                "annotations": {"vpc.amazonaws.com/pod-eni": "[{\"eniId\": \"eni-0b\"}]"},
            },
            "status": {"podIP": "10.0.0.10"},
        });
        let objects = moat_k8s::read_object(&pod).into_iter().collect();
        Ok(There { objects, ..There::default() })
    }

    fn published(&mut self, _: Option<&str>) -> Result<Published, String> {
        Ok(Published { there: self.there()?, ..Published::default() })
    }

    fn leader(&mut self, installation: &str) -> Result<Option<String>, String> {
        assert_eq!(installation, "default");
        self.0.clone()
    }

    fn take(&mut self, installation: &str) -> Result<Option<String>, String> {
        self.leader(installation)
    }

    fn is_held(&self) -> bool {
        let left = self.1.get();
        self.1.set(left.saturating_sub(1));
        left > 0
    }

    fn release(&mut self, _: &str, _: &str, _: bool) -> Result<(), String> {
        Ok(())
    }

    fn pause(&mut self, _: &str, _: bool) -> Result<(), String> {
        Ok(())
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("shop.yaml"), MANIFESTS).unwrap();
        let source = Source { name: "shop.yaml".into(), bytes: MANIFESTS.as_bytes().into() };
        let mut read = moat_k8s::read(&[source], &Options::default());
        read.inventory.pods.retain(|pod| !pod.addresses.is_empty());
        let mut sim = Sim::new(Config::default());
        sim.place(&mut read.inventory).unwrap();
        let vpc = Shared(Rc::new(RefCell::new(sim)), Rc::default(), Rc::default(), Rc::default());
        let leader = RefCell::new(Ok(None));
        Self { vpc, folder, reached: RefCell::default(), leader, lasting: Cell::new(usize::MAX) }
    }

    /// Someone deletes an interface.
    pub(crate) fn remove_interface(&self, id: &str) {
        let id = InterfaceId(id.into());
        self.vpc.0.borrow_mut().as_someone_else(|vpc| vpc.remove_interface(&id));
    }

    /// Someone lets a service from everywhere into the first group, and describes the rule.
    pub(crate) fn add_rule(&self, service: &str, description: &str) -> Rule {
        let everywhere = Peer::Prefix("0.0.0.0/0".parse().unwrap());
        let (direction, shape) = (Direction::Ingress, service.parse().unwrap());
        let rule = Rule { direction, peer: everywhere, shape };
        self.vpc.0.borrow_mut().as_someone_else(|vpc| {
            let worn = |id: &str| vpc.interfaces().find(|(it, _)| &*it.0 == id).unwrap().1;
            let group = worn("eni-0b").groups.first().unwrap().clone();
            vpc.authorize(&group, &[(rule.clone(), description.to_owned())].into(), None).unwrap();
        });
        rule
    }

    /// Runs a command where there is no controller.
    pub(crate) fn run(&self, arguments: &[&str], answer: &str) -> (Exit, String) {
        let changes = matches!(arguments.first(), Some(&("apply" | "uninstall")));
        let alone: &[&str] = if changes { &["--no-controller"] } else { &[] };
        self.run_beside(&[arguments, alone].concat(), answer)
    }

    /// Runs a command where there may be one.
    pub(crate) fn run_beside(&self, arguments: &[&str], answer: &str) -> (Exit, String) {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let connect = |target: &Target| -> Result<Box<dyn Account>, String> {
            assert_eq!((&*target.cluster, &*target.vpc), ("default", "vpc-0a1"));
            *self.reached.borrow_mut() = Some(target.clone());
            Ok(Box::new(self.vpc.clone()))
        };
        let reach = |_: &Access| -> Result<Box<dyn Cluster>, String> {
            let lasting = Cell::new(self.lasting.get());
            Ok(Box::new(Led(self.leader.borrow().clone(), lasting)))
        };
        let exit = {
            let mut io = Io {
                stdin: &mut answer.as_bytes(),
                stdout: &mut stdout,
                stderr: &mut stderr,
                terminal: Terminal::default(),
                connect: &connect,
                reach: &reach,
                follow: &moat_cli::unfollowable,
            };
            let folder = self.folder.path().display().to_string();
            let words = arguments.iter().map(|word| word.replace("FOLDER", &folder));
            let account = ["--provider", "aws", "--vpc-id", "vpc-0a1"].map(str::to_owned);
            let words = ["moat".to_owned()].into_iter().chain(words).chain(account);
            moat_cli::run(words.map(OsString::from), &mut io)
        };
        (exit, String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
    }
}

/// Our groups, and what the pods of the manifests wear.
pub(crate) fn held(fixture: &Fixture) -> State {
    let mut sim = fixture.vpc.0.borrow_mut();
    let scope = Scope {
        interfaces: ["eni-0a", "eni-0b"].map(|id| InterfaceId(id.into())).into(),
        ..Scope::default()
    };
    let mut state = block_on(drive::observe(&mut *sim, &scope)).unwrap().state.clone();
    state.groups.retain(|key, _| matches!(key, GroupKey::Ours(_)));
    state
}
