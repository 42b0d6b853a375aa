//! Subnets whose network ACLs are handed over, and what the ACLs before say.

use moat_core::firewall::{Acl, AclName, EntryKey, ForeignAclId};
use moat_core::inventory::{Subnet, SubnetId};
use moat_core::net::{Interval, Prefix};
use moat_core::policy::{
    Action, Direction, Kind, Namespaces, ObjectRef, Peer, Peers, PodSelector, Policy, Rule,
    Selector, ServiceMatch, Services, Subject, Tier,
};
use moat_core::settings::ClientPorts;

use super::{Cluster, POD_SUBNETS};
use crate::build::{addresses, entry, entry_number, prefix, services, word};
use crate::random::Random;

/// Hands over the ACL of one subnet of these blocks, which has been the VPC's default one.
pub fn hand_over(cluster: &mut Cluster, blocks: &[&str]) {
    let prior = ForeignAclId(word("acl-open"));
    let subnet = Subnet {
        blocks: blocks.iter().map(|block| prefix(block)).collect(),
        acl: AclName(word("pods")),
        prior: prior.clone(),
        has_others: false,
    };
    cluster.inventory.subnets.insert(SubnetId(word("subnet-0")), subnet);
    cluster.inventory.acls.insert(prior, acl(OPEN));
}

/// Hands over one of the two pod subnets or both, to one ACL or to two.
pub(super) fn guard(random: &mut Random, cluster: &mut Cluster) {
    let [v4_of_one, v4_of_other, v6_of_one, v6_of_other] = POD_SUBNETS.map(prefix);
    let blocks = [[v4_of_one, v6_of_one], [v4_of_other, v6_of_other]];
    let apart = random.chance(30);
    let alone = random.chance(30);
    for (index, blocks) in blocks.into_iter().enumerate().take(if alone { 1 } else { 2 }) {
        let acl = if apart { format!("pods-{index}") } else { "pods".to_owned() };
        let prior = random.pick(&["acl-open", "acl-open", "acl-open", "acl-narrow"]);
        let subnet = Subnet {
            blocks: blocks.to_vec(),
            acl: AclName(word(acl)),
            prior: ForeignAclId(word(prior)),
            has_others: random.chance(10),
        };
        cluster.inventory.subnets.insert(SubnetId(word(format!("subnet-{index}"))), subnet);
    }
    for (id, entries) in [("acl-open", OPEN), ("acl-narrow", NARROW)] {
        cluster.inventory.acls.insert(ForeignAclId(word(id)), acl(entries));
    }
    for index in 0..random.below(3) {
        cluster.policies.push(common(random, index));
    }
    let high = Interval::new(1_024, u16::MAX).unwrap_or(Interval::FULL);
    let assumed = [(2, Interval::FULL), (1, high)];
    cluster.settings.client_ports = ClientPorts(random.weighted(&assumed));
    cluster.settings.quarantine = random.chance(70);
    cluster.inventory.source_nat = random.chance(50);
}

/// Changes what is handed over, what holds for all pods, or what the network ACL before ours says.
pub(super) fn edit(random: &mut Random, cluster: &mut Cluster) {
    let ids: Vec<SubnetId> = cluster.inventory.subnets.keys().cloned().collect();
    let one = (!ids.is_empty()).then(|| random.below(ids.len())).and_then(|at| ids.get(at));
    let one = one.and_then(|id| cluster.inventory.subnets.get_mut(id));
    match (random.below(7), one) {
        (0, Some(subnet)) => subnet.has_others = !subnet.has_others,
        (1, Some(subnet)) => {
            subnet.acl = AclName(word(random.pick(&["pods", "pods-0", "pods-1"])));
        }
        (2, Some(_)) => drop(cluster.inventory.subnets.pop_first()),
        (6, Some(subnet)) => {
            let entries = random.pick(&[OPEN, NARROW, WITHOUT_TELNET, LONG]);
            cluster.inventory.acls.insert(subnet.prior.clone(), acl(entries));
        }
        (3, _) => {
            cluster.policies.retain(|policy| !policy.object.name.starts_with("common"));
        }
        _ => cluster.policies.push(common(random, 7)),
    }
}

/// What holds for all pods, as what a network ACL can deny has to: some addresses or services are closed, or nothing comes in.
fn common(random: &mut Random, index: usize) -> Policy {
    let name = word(format!("common-{index}"));
    let everyone = PodSelector {
        namespaces: Namespaces::Matching(Selector::everything()),
        pods: Selector::everything(),
    };
    let peers = match random.below(4) {
        0 => Peers::Anyone,
        1 => Peers::AnyOf(vec![Peer::Addresses(addresses(&["10.0.0.0/8", "192.168.0.0/16"]))]),
        2 => Peers::AnyOf(vec![Peer::Addresses(addresses(&["10.0.64.0/18", "2600::/16"]))]),
        _ => Peers::AnyOf(vec![Peer::Addresses(
            addresses(&["0.0.0.0/0", "::/0"]).difference(&addresses(&[
                "10.0.0.0/8",
                "172.16.0.0/12",
                "2001:db8::/32",
            ])),
        )]),
    };
    let choices = ["tcp/22", "tcp/443", "udp/53", "tcp/8000-9000", "icmp/8", "icmpv6/128"];
    let chosen = match random.chance(40) {
        true => Services::Every,
        false => {
            let some = random.some(&choices, 50);
            Services::AnyOf(some.iter().map(|it| ServiceMatch::Set(services(it))).collect())
        }
    };
    let rule = Rule {
        path: "spec.egress[0]".into(),
        name: None,
        action: Action::Deny,
        peers,
        services: chosen,
        failed_closed: false,
    };
    let rules = vec![rule];
    let both = random.below(3);
    Policy {
        object: ObjectRef { kind: Kind::ClusterNetworkPolicy, namespace: None, name },
        tier: Tier::Admin { priority: 0 },
        subject: Subject::Pods(everyone),
        ingress: (both != 0).then(|| rules.clone()),
        egress: (both != 1).then_some(rules),
    }
}

/// What the default ACL of a VPC says.
const OPEN: &[&str] = &["allow 0.0.0.0/0 all", "allow ::/0 all"];

/// Some exceptions, some of them before what they are exceptions of.
const NARROW: &[&str] = &[
    "deny 192.168.0.0/17 all",
    "allow 192.168.0.0/16 all",
    "deny 0.0.0.0/0 udp/53",
    "deny ::/0 icmpv6/128/0",
    "allow 0.0.0.0/0 all",
    "allow ::/0 all",
];

/// One exception in front of everything.
const WITHOUT_TELNET: &[&str] = &["deny 0.0.0.0/0 tcp/23", "allow 0.0.0.0/0 all", "allow ::/0 all"];

/// So many that another such list has no room beside them.
const LONG: &[&str] = &[
    "deny 198.18.0.0/15 all",
    "deny 0.0.0.0/0 tcp/23",
    "deny 0.0.0.0/0 tcp/25",
    "deny 0.0.0.0/0 tcp/135-139",
    "deny 0.0.0.0/0 tcp/445",
    "deny 0.0.0.0/0 udp/135-139",
    "deny 0.0.0.0/0 udp/445",
    "allow 10.0.0.0/8 all",
    "deny 192.168.128.0/17 all",
    "allow 0.0.0.0/0 all",
    "deny ::/0 tcp/23",
    "allow ::/0 all",
];

/// The same entries both ways, ten numbers apart.
fn acl(entries: &[&str]) -> Acl {
    let numbered = |direction| {
        entries.iter().zip(1_u16..).map(move |(text, place)| {
            (EntryKey { direction, number: entry_number(10 * place) }, entry(text))
        })
    };
    Acl(Direction::BOTH.into_iter().flat_map(numbered).collect())
}

impl Cluster {
    /// The blocks of the subnets in which nobody is but pods, as the configuration or the cloud says.
    pub(crate) fn only_pods(&self) -> impl Iterator<Item = Prefix> + '_ {
        let handed_over = self.inventory.subnets.values().filter(|subnet| !subnet.has_others);
        let handed_over = handed_over.flat_map(|subnet| &subnet.blocks);
        self.settings.pod_subnets.iter().chain(handed_over).copied()
    }
}
