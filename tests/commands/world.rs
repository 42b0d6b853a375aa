//! A cluster with played nodes, the program, and a controller on a VPC in memory.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use moat_test_cluster::{ControlPlane, Objects, Server};
use serde_json::{Value, json};

/// The only context of a control plane's kubeconfig.
pub(crate) const CONTEXT: &str = "control-plane";

/// Everything that a test needs.
pub(crate) struct World {
    objects: Objects,
    pub(crate) plane: ControlPlane,
    folder: tempfile::TempDir,
    _nodes: Server,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// What it printed on standard output.
    pub(crate) text: String,
    /// What it printed on standard error.
    pub(crate) notes: String,
}

/// A controller, which ends by SIGKILL with its value.
pub(crate) struct Controller(Child);

impl World {
    /// A control plane of its own, and nodes.
    pub(crate) async fn new() -> Self {
        let plane = ControlPlane::start();
        let nodes = plane.nodes(&["--no-ec2"], &BTreeMap::new());
        let objects = Objects::of(&plane).await;
        let folder = tempfile::tempdir().expect("a folder");
        Self { objects, plane, folder, _nodes: nodes }
    }

    /// Installs Moat's kinds.
    pub(crate) async fn install(&self) {
        for crd in moat_k8s::crd::crds() {
            self.apply(&serde_json::to_value(crd).expect("JSON")).await;
        }
    }

    /// Runs a command, where KUBECONFIG names the control plane.
    pub(crate) fn moat(&self, arguments: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_moat"))
            .args(arguments)
            .env("KUBECONFIG", &self.plane.kubeconfig)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (text, notes) = (text(output.stdout), text(output.stderr));
        Answer { code: output.status.code(), text, notes }
    }

    /// Starts a controller on a VPC in memory.
    pub(crate) fn controller(&self) -> Controller {
        let child = Command::new(env!("CARGO_BIN_EXE_moat"))
            .arg("controller")
            .env("KUBECONFIG", &self.plane.kubeconfig)
            .stderr(Stdio::null())
            .spawn();
        Controller(child.expect("the program runs"))
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("writable");
        path
    }

    /// A kubeconfig by which somebody asks who may do what these rules say.
    pub(crate) async fn as_someone(&self, rules: &Value) -> PathBuf {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "someone"},
            "rules": rules,
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "someone"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "someone"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "someone"}],
        });
        self.apply(&role).await;
        self.apply(&binding).await;
        let text = std::fs::read_to_string(&self.plane.kubeconfig).expect("it is there");
        let user = "user: {";
        assert!(text.contains(user), "{text}");
        self.file("someone", &text.replace(user, "user: {as: someone, "))
    }
}

impl Answer {
    /// Whether the command ended so, and said all of this.
    pub(crate) fn holds(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for said in said {
            assert!(self.text.contains(said) || self.notes.contains(said), "`{said}`: {self:#?}");
        }
    }
}

impl Controller {
    /// Ends it by SIGKILL: its lease ends by itself.
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

/// A path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Lets the pods `db` of `shop` be reached by those of `web` at one port.
pub(crate) fn policy(port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "db"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "db"}},
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                "ports": [{"protocol": "TCP", "port": port}],
            }],
        },
    })
}
