//! Network ACLs: what they take off groups, what they must not touch, and what only they can do.

use std::fmt::Write;

use super::{assert_text, flows, plain};
use crate::firewall::{Acl, AclName, EntryKey, EntryNumber, ForeignAclId};
use crate::inventory::{Attachment, Subnet, SubnetId};
use crate::net::Interval;
use crate::policy::Direction;
use crate::settings::{ClientPorts, Quotas, Settings};
use crate::testing::{
    Cluster, accept, admin, block_except, blocks, deny, network_policy, pod, pods, set,
};

impl Cluster {
    /// Where the ACL of a subnet of these blocks is handed over as `pods`; the one before it has these entries both ways.
    fn guarded(mut self, name: &str, blocks: &[&str], prior: &[&str]) -> Self {
        let subnet = Subnet {
            blocks: blocks.iter().map(|block| block.parse().unwrap()).collect(),
            acl: AclName("pods".into()),
            prior: ForeignAclId("acl-prior".into()),
            has_others: false,
        };
        self.inventory.subnets.insert(SubnetId(name.into()), subnet);
        let numbered = |direction| {
            let entries = (1..).zip(prior).map(move |(number, entry)| {
                let number = EntryNumber::try_from(number * 100).unwrap();
                (EntryKey { direction, number }, entry.parse().unwrap())
            });
            entries.collect::<Vec<_>>()
        };
        let prior = Direction::BOTH.into_iter().flat_map(numbered).collect();
        self.inventory.acls.insert(ForeignAclId("acl-prior".into()), Acl(prior));
        self
    }
}

/// What the default ACL of a VPC says.
const OPEN: &[&str] = &["allow 0.0.0.0/0 all", "allow ::/0 all"];

/// The entries of ours, without those of the ACL before it, then the groups.
fn text(cluster: &Cluster) -> String {
    let desired = cluster.compile();
    flows::assert_honest(cluster, &desired);
    let mut text = String::new();
    for (key, entry) in desired.state.acls.values().flat_map(|acl| &acl.0) {
        if key.number.get() < 10_000 {
            let direction = match key.direction {
                Direction::Ingress => "ingress",
                Direction::Egress => "egress",
            };
            writeln!(text, "{direction} {entry}").unwrap();
        }
    }
    text + &cluster.groups(&desired)
}

/// x/a and x/b in a subnet, x/c in another one; ingress is closed.
fn closed(settings: Settings) -> Cluster {
    let placed = |name, address| pod(name).label("pod", &name[2..]).at(address);
    Cluster::default()
        .namespace("x", "ns=x")
        .pod(placed("x/a", "10.0.1.1"))
        .pod(placed("x/b", "10.0.1.2"))
        .pod(placed("x/c", "10.0.2.1"))
        .based()
        .settings(settings)
        .vpc(&["10.0.0.0/16"])
        .policy(network_policy("x/closed", "").ingress([]))
}

/// tcp/443 to everywhere but private addresses.
fn but_private() -> crate::policy::Rule {
    let private = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    accept().peers([block_except("0.0.0.0/0", private)]).services([set("tcp/443")])
}

#[test]
fn an_exception_of_31_rules_is_one_rule_and_three_entries() {
    let policy = network_policy("x/web", "pod in a|b").egress([but_private()]);
    let cluster = closed(plain()).policy(policy);
    assert_eq!(cluster.compile().counts.prefix_rules, 31);
    assert_text(
        &text(&cluster.guarded("subnet-1", &["10.0.1.0/24"], OPEN)),
        "
        egress deny 10.0.0.0/8 tcp/443
        egress deny 172.16.0.0/12 tcp/443
        egress deny 192.168.0.0/16 tcp/443
        moat.1: x/a, x/b
          egress 0.0.0.0/0 tcp/443
        moat.2: x/c
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn everything_but_one_port_is_one_rule_and_one_entry() {
    let policy = admin("no-telnet", 1, pods("ns=x", "")).egress([deny().services([set("tcp/23")])]);
    let cluster = closed(plain()).policy(policy);
    assert_eq!(cluster.compile().counts.prefix_rules, 256);
    assert_text(
        &text(&cluster.guarded("subnet-1", &["10.0.0.0/16"], OPEN)),
        "
        egress deny 0.0.0.0/0 tcp/23
        moat.1: x/a, x/b, x/c
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn what_one_pod_of_the_subnet_may_do_is_left_to_groups() {
    let policy = network_policy("x/web", "pod=a").egress([but_private()]);
    let other = accept().peers([blocks(&["10.9.0.0/16"])]).services([set("tcp/443")]);
    let other = network_policy("x/other", "pod=b").egress([other]);
    let cluster = closed(plain()).policy(policy).policy(other);
    let guarded = cluster.clone().guarded("subnet-1", &["10.0.1.0/24"], OPEN);
    assert_text(
        &text(&guarded),
        "
        egress deny 172.16.0.0/12 tcp/443
        egress deny 192.168.0.0/16 tcp/443
        moat.1: x/a
          egress 0.0.0.0/5 tcp/443
          egress 8.0.0.0/7 tcp/443
          egress 11.0.0.0/8 tcp/443
          egress 12.0.0.0/6 tcp/443
          egress 16.0.0.0/4 tcp/443
          egress 32.0.0.0/3 tcp/443
          egress 64.0.0.0/2 tcp/443
          egress 128.0.0.0/1 tcp/443
        moat.2: x/b
          egress 10.9.0.0/16 tcp/443
        moat.3: x/c
          egress 0.0.0.0/0 all
        ",
    );
}
