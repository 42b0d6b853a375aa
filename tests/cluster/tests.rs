//! The servers themselves: they answer, they break on demand, and nothing of them is left.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;

use moat_test_cluster::{ControlPlane, Part, cloud, unique};

/// Whether somebody listens where the kubeconfig says.
fn listens(kubeconfig: &Path) -> bool {
    let text = std::fs::read_to_string(kubeconfig).expect("it is there");
    let (_, after) = text.split_once("https://").expect("a server");
    TcpStream::connect(after.split('"').next().expect("a port")).is_ok()
}

#[test]
fn a_part_that_is_killed_stays_down_until_it_is_started() {
    let cluster = ControlPlane::start();
    assert!(listens(&cluster.kubeconfig));
    let audit = cluster.audit.as_ref().expect("it is one of its own");
    let made = std::fs::read_to_string(audit).expect("it is there");
    assert!(made.contains(r#""verb":"create","user":{"username":"system:apiserver""#));
    assert!(!made.contains(r#""verb":"list""#));
    cluster.kill(Part::ApiServer);
    assert!(!listens(&cluster.kubeconfig));
    cluster.begin(Part::ApiServer);
    assert!(listens(&cluster.kubeconfig));
    for part in [Part::Etcd, Part::ControllerManager, Part::Scheduler] {
        cluster.kill(part);
        cluster.begin(part);
        cluster.stall(part);
        cluster.resume(part);
    }
    let folder = cluster.kubeconfig.parent().expect("a folder").to_owned();
    drop(cluster);
    assert!(!folder.exists());
}

#[test]
fn the_shared_one_is_one() {
    let (one, two) = (ControlPlane::shared(), ControlPlane::shared());
    assert_eq!(one.kubeconfig, two.kubeconfig);
    assert!(listens(&one.kubeconfig));
    assert_ne!(unique("web"), unique("web"));
}

#[test]
fn nodes_are_played_until_they_are_dropped() {
    let none = BTreeMap::new();
    let nodes = ControlPlane::shared().nodes(&["--no-ec2", "--cluster", &unique("nodes")], &none);
    assert_eq!(
        nodes.variables,
        BTreeMap::from([(
            "POD_SUBNETS".to_owned(),
            "10.0.128.0/17,fd00:10:0:0:8000::/65".to_owned()
        )])
    );
}

#[test]
fn nodes_have_a_vpc_of_their_own() {
    let name = unique("nodes");
    let nodes = ControlPlane::shared().nodes(&["--cluster", &name], &cloud("500000000001"));
    assert!(nodes.variables.get("VPC_ID").is_some_and(|vpc| vpc.starts_with("vpc-")));
}
