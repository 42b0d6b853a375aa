//! Small clusters, and the groups and findings that they compile to, as text.
//!
//! A text has the groups with the pods that wear them, each followed by its rules, then the findings: effect, reason, object
//! and field, with lines of their own for the flows and the witness. Each cluster is also asked flow by flow, against both
//! semantics ([`flows`]).

mod acls;
mod carving;
mod classes;
mod flows;
mod icmp;
mod ladder;
mod nodes;
mod order;
mod peers;
mod ports;
mod prior;
mod quotas;
mod reasons;
mod tiers;

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Desired, compile};
use crate::finding::{Finding, Reason};
use crate::firewall::{GroupKey, never_filtered};
use crate::flow::FlowSet;
use crate::net::{AddressSet, Intervals, Prefix};
use crate::settings::{IcmpMode, NodeTraffic, Quotas, Settings};
use crate::testing::Cluster;

/// Compares what a cluster compiles to with a text, but for standing findings, which every isolation brings along; then
/// asks it flow by flow. Indentation does not matter.
#[track_caller]
fn assert_compiles(cluster: &Cluster, expected: &str) {
    assert_found(cluster, |reason| !reason.is_standing(), expected);
}

/// Compares what a cluster compiles to, with the findings of some reasons only.
#[track_caller]
fn assert_found(cluster: &Cluster, reasons: impl Fn(Reason) -> bool, expected: &str) {
    let desired = cluster.compile();
    let mut actual = cluster.groups(&desired);
    for finding in desired.findings.iter().filter(|finding| reasons(finding.reason)) {
        writeln!(actual, "{}", cluster.finding(finding)).unwrap();
    }
    assert_text(&actual, expected);
    flows::assert_honest(cluster, &desired);
}

/// Compares texts line by line, whatever their indentation.
#[track_caller]
fn assert_text(actual: &str, expected: &str) {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    assert!(lines(actual) == lines(expected), "<<<\n{actual}>>> is not\n{expected}");
}

impl Cluster {
    fn compile(&self) -> Desired {
        compile(&self.policies, &self.inventory, &self.settings)
    }

    /// The groups on the interfaces that Moat programs, with the pods that wear them.
    fn groups(&self, desired: &Desired) -> String {
        let mut wearers: BTreeMap<&GroupKey, Vec<String>> =
            desired.state.groups.keys().map(|key| (key, Vec::new())).collect();
        for pod in &self.inventory.pods {
            let worn = pod.interface.as_ref().and_then(|id| desired.state.interfaces.get(id));
            for key in worn.into_iter().flatten() {
                wearers.get_mut(key).unwrap().push(format!("{}/{}", pod.namespace, pod.name));
            }
        }
        let mut text = String::new();
        for (key, pods) in wearers {
            writeln!(text, "{key}: {}", pods.join(", ")).unwrap();
            for rule in desired.state.groups.get(key).into_iter().flatten() {
                writeln!(text, "  {rule}").unwrap();
            }
        }
        text
    }

    /// A line for the finding, one for each box and one for the witness; the addresses of IPv4 that groups filter are `anywhere`.
    fn finding(&self, finding: &Finding) -> String {
        let path = format!(" {}", finding.path);
        let filtered = AddressSet::full().difference(&never_filtered(&self.inventory.vpc));
        let filtered = AddressSet { v6: Intervals::empty(), ..filtered }.to_string();
        let flows = |flows: &FlowSet| {
            let family = flows.family.map_or_else(String::new, |family| format!(" {family}"));
            let flows = flows.display(&self.inventory).to_string();
            flows.replace(&filtered, "anywhere") + &family
        };
        let mut text =
            format!("{} {} {}{}", finding.effect, finding.reason, finding.object, path.trim_end());
        for flows in finding.flows.iter().map(flows) {
            write!(text, "\n  {flows}").unwrap();
        }
        if let Some(witness) = finding.witness {
            write!(text, "\n  such as {}", witness.display(&self.inventory)).unwrap();
        }
        text
    }
}

impl Cluster {
    /// Each pod behind the group `sg-base`, which lets everything through, in IPv4.
    fn based(self) -> Self {
        self.foreign("sg-base", &["ingress 0.0.0.0/0 all", "egress 0.0.0.0/0 all"])
            .wired(&["sg-base"])
    }
}

/// Nothing but what policies say, so that texts stay short; quotas off.
fn plain() -> Settings {
    Settings {
        icmp: IcmpMode::Strict,
        node_traffic: NodeTraffic::None,
        quotas: Quotas::UNLIMITED,
        ..Settings::default()
    }
}

/// Plain settings with these pod subnets.
fn with_pod_subnets(blocks: &[&str]) -> Settings {
    let pod_subnets: Vec<Prefix> = blocks.iter().map(|block| block.parse().unwrap()).collect();
    Settings { pod_subnets, ..plain() }
}

/// Plain settings with limits: rules for a group, groups for an interface, groups.
fn limited(rules_per_group: usize, groups_per_interface: usize, groups: usize) -> Settings {
    let quotas = Quotas { rules_per_group, groups_per_interface, groups, ..Quotas::default() };
    Settings { quotas, ..plain() }
}
