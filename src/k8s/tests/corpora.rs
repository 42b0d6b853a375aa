//! Real policies: everything parses, and only what is written below is reported.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use moat_core::finding::{Finding, Reason};
use moat_core::policy::{Policy, Subject};

use crate::{Cluster, Options, Source};

/// A folder of real policies: below `MOAT_CORPUS`, or below `shared/corpus` beside or above the workspace.
pub(super) fn corpus(folder: &str) -> Vec<Source> {
    let beside = |above: &Path| Some(above.join("shared/corpus")).filter(|path| path.is_dir());
    let given = std::env::var_os("MOAT_CORPUS").map(PathBuf::from);
    let found = || Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find_map(beside);
    let root = given.or_else(found).expect("MOAT_CORPUS says where the real policies are");
    let entries = std::fs::read_dir(root.join(folder)).expect("the corpus has this folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let source = |path: &PathBuf| Source {
        name: Arc::from(path.file_name().and_then(|name| name.to_str()).expect("a name")),
        bytes: std::fs::read(path).expect("readable").into(),
    };
    paths.iter().map(source).collect()
}

fn findings(cluster: &Cluster) -> Vec<String> {
    let line = |finding: &Finding| {
        let place = finding.location.as_ref().map_or_else(String::new, ToString::to_string);
        format!("{place} {}: {}", finding.reason, finding.message)
    };
    cluster.findings.iter().map(line).collect()
}

#[test]
fn the_shop_and_the_recipes_parse() {
    let shop = crate::read(&corpus("online-boutique"), &Options::default());
    assert_eq!(
        (shop.policies.len(), shop.inventory.pods.len(), shop.workloads.len()),
        (13, 12, 12)
    );
    assert_eq!(findings(&shop), Vec::<String>::new());

    let recipes = crate::read(&corpus("recipes"), &Options { assume_pods: true });
    assert_eq!((recipes.policies.len(), recipes.inventory.pods.len()), (14, 13));
    let twice = "11-deny-egress-traffic-from-an-application.yaml:1:1 DuplicateObject: a second NetworkPolicy \
                 `foo-deny-egress`: this one is ignored, keep one of the two";
    assert_eq!(findings(&recipes), [twice]);
}

#[test]
fn the_live_cluster_parses() {
    let live = crate::read(&corpus("moj-live"), &Options::default());
    assert_eq!((live.policies.len(), live.inventory.namespaces.len()), (3208, 1458));
    let reasons: Vec<Reason> = live.findings.iter().map(|finding| finding.reason).collect();
    assert_eq!(reasons, [Reason::DuplicateObject; 4]);
}

/// Each manifest of the suite is a cluster of its own; `{{…}}` stands for a host port. Two of the project's user
/// stories are not YAML.
#[test]
fn the_conformance_manifests_parse() {
    for mut source in corpus("cnp-conformance") {
        let text = String::from_utf8(source.bytes.to_vec()).expect("UTF-8");
        source.bytes = template_ports(&text).into_bytes().into();
        let cluster = crate::read(std::slice::from_ref(&source), &Options { assume_pods: true });
        let found = findings(&cluster);
        let is_broken_upstream = source.name.starts_with("user-story-4");
        assert_eq!(found.is_empty(), !is_broken_upstream, "{found:#?}");
        let has_policies = !is_broken_upstream
            && !source.name.starts_with("crd-")
            && *source.name != *"manifests.yaml";
        assert_eq!(!cluster.policies.is_empty(), has_policies, "{}", source.name);
        let is_whole = |policy: &Policy| policy.subject != Subject::Nobody;
        assert!(cluster.policies.iter().all(is_whole), "{}", source.name);
    }
}

/// A text with every `{{ index .HostNetworkPorts N }}` replaced by a port.
fn template_ports(text: &str) -> String {
    let mut parts = text.split("{{ index .HostNetworkPorts ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (index, rest) = part.split_once(" }}").expect("a template ends");
        out.push_str(&format!("{}{rest}", 34345 + index.parse::<u16>().expect("a number")));
    }
    out
}
