//! Network ACLs: what they take off groups, what they must not touch, and what only they can do.

mod exceptions;

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{assert_text, flows, plain, with_pod_subnets};
use crate::finding::Reason;
use crate::firewall::{Acl, AclKey, AclName, ForeignAclId, ForeignGroupId};
use crate::inventory::{Attachment, Subnet, SubnetId};
use crate::net::Interval;
use crate::policy::{Direction, Peers, Policy, Rule};
use crate::settings::{ClientPorts, Quotas, Settings};
use crate::testing::{
    Cluster, accept, admin, block_except, blocks, deny, network_policy, pod, pods, set,
};

/// What the default ACL of a VPC says.
const OPEN: &[&str] = &["allow 0.0.0.0/0 all", "allow ::/0 all"];

/// The entries of ours, without those of the ACL before it, then the groups.
fn text(cluster: &Cluster) -> String {
    let desired = cluster.compile();
    flows::assert_honest(cluster, &desired);
    let own = |(acl, it): (&AclKey, &Acl)| {
        it.own()
            .map(|(key, entry)| (acl.ours().unwrap().clone(), key.direction, *entry))
            .collect::<Vec<_>>()
    };
    let own: BTreeSet<_> = desired.state.acls.iter().flat_map(own).collect();
    assert!(desired.denies.keys().eq(&own), "each entry has whom it serves, and nothing else has");
    assert!(desired.denies.values().all(|serves| !serves.is_empty()), "{:?}", desired.denies);
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
    // Nobody wears the closed group.
    text + &cluster.groups(&desired).replace("moat.999999: \n", "")
}

/// What the ACL of a subnet that holds x/a and x/b denies; asked flow by flow, replies too.
#[track_caller]
fn assert_denies(cluster: Cluster, expected: &[&str]) {
    assert_acl(&cluster.guarded("subnet-1", &["10.0.1.0/24"], OPEN), expected);
}

/// The same for subnets that are handed over already.
#[track_caller]
fn assert_acl(cluster: &Cluster, expected: &[&str]) {
    let text = text(cluster);
    let ours = |line: &&str| line.contains(" deny ");
    assert_eq!(text.lines().filter(ours).collect::<Vec<_>>(), expected, "{text}");
}

/// x/a and x/b in a subnet, x/c in another one; ingress is closed.
fn closed(settings: Settings) -> Cluster {
    let settings = Settings { quarantine: true, ..settings };
    let placed = |name, address| pod(name).label("pod", name.trim_start_matches("x/")).at(address);
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
fn but_private() -> Rule {
    let private = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    accept().peers([block_except("0.0.0.0/0", private)]).services([set("tcp/443")])
}

#[test]
fn an_exception_of_31_rules_is_one_rule_and_three_entries() {
    let policy = network_policy("x/web", "pod in a|b").egress([but_private()]);
    let cluster = closed(plain()).policy(policy);
    assert_eq!(cluster.compile().counts.prefix_rules, 31);
    let guarded = cluster.guarded("subnet-1", &["10.0.1.0/24"], OPEN);
    let mut findings = guarded.compile().findings;
    findings.retain(|finding| !finding.reason.is_standing() && !finding.flows.is_empty());
    assert_eq!(findings, [], "what groups say more inside, the ends there close");
    assert_text(
        &text(&guarded),
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

// ------------------------------------------------------------------------- What must not be denied, or only there

/// tcp/443 out, but to private addresses, for all pods inside.
fn web() -> Policy {
    network_policy("x/web", "pod in a|b").egress([but_private()])
}

const PRIVATE: [&str; 3] = [
    "egress deny 10.0.0.0/8 tcp/443",
    "egress deny 172.16.0.0/12 tcp/443",
    "egress deny 192.168.0.0/16 tcp/443",
];

#[test]
fn replies_to_whoever_may_ask_are_not_denied() {
    let clients = accept().peers([blocks(&["10.0.0.0/8"])]);
    let open = |services: &str| {
        let rule = clients.clone().services([set(services)]);
        network_policy("x/open", "pod=b").ingress([rule])
    };
    let [_, others @ ..] = PRIVATE;
    assert_denies(closed(plain()).policy(web()).policy(open("tcp/80")), &others);
    assert_denies(closed(plain()).policy(web()).policy(open("udp/80")), &PRIVATE);
    let high = ClientPorts(Interval::new(1_024, u16::MAX).unwrap());
    let settings = Settings { client_ports: high, ..plain() };
    assert_denies(closed(settings).policy(web()).policy(open("tcp/80")), &PRIVATE);
}

#[test]
fn answers_by_sctp_are_not_denied() {
    let policy = admin("no-sctp", 1, pods("ns=x", "")).egress([deny().services([set("sctp")])]);
    let cluster = closed(plain()).policy(policy);
    assert_denies(cluster.clone(), &["egress deny 0.0.0.0/0 sctp"]);
    let others = block_except("0.0.0.0/0", &["10.0.0.0/8"]);
    let asked = accept().peers([others]).services([set("sctp/36412")]);
    let open = network_policy("x/open", "pod=b").ingress([asked]);
    assert_denies(cluster.policy(open), &[]);
}

#[test]
fn what_passes_for_pods_of_one_family_is_not_forgotten_for_those_of_the_other() {
    let but = ["2001:db8::/48", "2001:db8:2::/48"];
    let both = accept().peers([blocks(&["0.0.0.0/0"]), block_except("::/0", &but)]);
    let web = network_policy("x/web", "").egress([both.services([set("tcp/443")])]);
    let mut cluster = closed(plain()).policy(web);
    cluster.pod_mut("x/b").addresses = vec!["fd00:1::2".parse().unwrap()];
    let guarded = cluster.guarded("subnet-1", &["10.0.1.0/24", "fd00:1::/64"], OPEN);
    let expected = ["egress deny 2001:db8::/48 tcp/443", "egress deny 2001:db8:2::/48 tcp/443"];
    assert_acl(&guarded, &expected);
}

/// No interface is in two subnets, but addresses that are told late may say so.
#[test]
fn a_pod_with_an_address_elsewhere_is_left_to_its_groups() {
    let but = block_except("2001:db8::/32", &["2001:db8:8000::/36"]);
    let web = network_policy("x/web", "pod in a|b").egress([accept().peers([but])]);
    let mut cluster = closed(plain()).policy(web);
    cluster.pod_mut("x/a").addresses.push("fd00:1::1".parse().unwrap());
    cluster.pod_mut("x/b").addresses.push("fd00:2::2".parse().unwrap());
    assert_text(
        &text(&cluster.guarded("subnet-1", &["10.0.1.0/24", "fd00:1::/64"], OPEN)),
        "
        egress deny 2001:db8:8000::/36 all
        moat.1: x/a
          egress 2001:db8::/32 all
        moat.2: x/b
          egress 2001:db8::/33 all
          egress 2001:db8:9000::/36 all
          egress 2001:db8:a000::/35 all
          egress 2001:db8:c000::/34 all
        moat.3: x/c
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn an_answer_to_an_echo_is_no_icmp_that_may_be_denied() {
    let no_replies = |services: &str| {
        admin("icmp", 1, pods("ns=x", ""))
            .ingress([deny().services([set(services)]), accept().peers([blocks(&["0.0.0.0/0"])])])
    };
    let out = network_policy("x/out", "").egress([accept().peers([blocks(&["8.0.0.0/8"])])]);
    let cluster = |services: &str| {
        let cluster = closed(plain()).without("closed").policy(no_replies(services));
        cluster.policy(out.clone())
    };
    assert_denies(cluster("icmp/0"), &[]);
    assert_denies(cluster("icmp/5"), &["ingress deny 0.0.0.0/0 icmp/5"]);
}

#[test]
fn where_a_pod_inside_is_not_isolated_nothing_is_denied() {
    assert_denies(
        closed(plain()).policy(network_policy("x/web", "pod=a").egress([but_private()])),
        &[],
    );
}

#[test]
fn groups_say_exactly_what_passes_inside_where_somebody_there_lets_it_in() {
    let serve = network_policy("x/serve", "pod=b")
        .ingress([accept().peers([blocks(&["10.0.1.0/24"])]).services([set("tcp/443")])]);
    let high = ClientPorts(Interval::new(1_024, u16::MAX).unwrap());
    let settings = Settings { client_ports: high, ..plain() };
    let cluster = closed(settings).policy(web()).policy(serve);
    let guarded = cluster.guarded("subnet-1", &["10.0.1.0/24"], OPEN);
    let desired = guarded.compile();
    flows::assert_honest(&guarded, &desired);
    // What is left out of 10/8 takes eight rules, what is left out of a /24 three times as many.
    let [_, others @ ..] = PRIVATE;
    assert_acl(&guarded, &others);
    assert_eq!(desired.counts.largest_group, 8);
}

#[test]
fn groups_say_exactly_what_passes_inside_where_new_pods_start_open() {
    let mut cluster = closed(plain()).policy(web());
    cluster.settings.quarantine = false;
    let guarded = cluster.guarded("subnet-1", &["10.0.1.0/24"], OPEN);
    assert_text(
        &text(&guarded),
        "
        egress deny 172.16.0.0/12 tcp/443
        egress deny 192.168.0.0/16 tcp/443
        moat.1: x/a, x/b
          egress 0.0.0.0/5 tcp/443
          egress 8.0.0.0/7 tcp/443
          egress 11.0.0.0/8 tcp/443
          egress 12.0.0.0/6 tcp/443
          egress 16.0.0.0/4 tcp/443
          egress 32.0.0.0/3 tcp/443
          egress 64.0.0.0/2 tcp/443
          egress 128.0.0.0/1 tcp/443
        moat.2: x/c
          egress 0.0.0.0/0 all
        ",
    );
}

#[test]
fn only_one_of_two_ends_relies_on_the_other() {
    let both = admin("both", 1, pods("ns=x", ""))
        .egress([deny().services([set("tcp/23")])])
        .ingress([deny().services([set("tcp/23")])]);
    let high = ClientPorts(Interval::new(1_024, u16::MAX).unwrap());
    let settings = Settings { client_ports: high, ..plain() };
    let cluster = closed(settings).without("closed").policy(both);
    let guarded = cluster.guarded("subnet-1", &["10.0.0.0/16"], OPEN);
    assert_acl(&guarded, &["egress deny 0.0.0.0/0 tcp/23"]);
}

#[test]
fn whose_groups_are_not_ours_to_say_closes_nothing_for_others() {
    let cluster = closed(plain()).policy(web());
    let fixed = cluster.clone().attached("x/b", Attachment::Fixed, &["sg-base"]);
    let keep_groups = vec![ForeignGroupId("sg-kept".into())];
    let kept = cluster
        .foreign("sg-kept", &["ingress 10.0.0.0/8 all"])
        .attached("x/b", Attachment::Exclusive, &["sg-base", "sg-kept"])
        .settings(Settings { keep_groups, quarantine: true, ..plain() });
    for cluster in [fixed, kept] {
        let guarded = cluster.guarded("subnet-1", &["10.0.1.0/24"], OPEN);
        let desired = guarded.compile();
        flows::assert_honest(&guarded, &desired);
        assert_eq!(
            desired.counts.largest_group, 8,
            "what is left out of 10/8 is left out by rules"
        );
    }
}

#[test]
fn who_may_hold_more_than_is_asked_closes_nothing_for_others() {
    let hosts: Vec<String> = (0..40).map(|host| format!("192.0.2.{}/32", 2 * host)).collect();
    let hosts = blocks(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
    let too_much = network_policy("x/too-much", "pod=b")
        .ingress([accept().peers([hosts]).services([set("tcp/80")])]);
    let quotas = Quotas { rules_per_group: 31, groups_per_interface: 1, ..Quotas::UNLIMITED };
    let cluster = closed(Settings { quotas, ..plain() }).policy(web()).policy(too_much);
    let guarded = cluster.guarded("subnet-1", &["10.0.1.0/24"], OPEN);
    let desired = guarded.compile();
    assert!(!desired.over_quota.is_empty());
    let widest = desired
        .state
        .groups
        .values()
        .flatten()
        .any(|rule| *rule == "egress 0.0.0.0/0 tcp/443".parse().unwrap());
    assert!(!widest, "x/a does not rely on x/b");
}

#[test]
fn what_a_pod_elsewhere_may_get_is_not_denied_where_it_may_find_another_address() {
    let peer = crate::policy::Peer::Pods(pods("x", "pod=c"));
    let rule = accept().peers([peer]).services([set("tcp/443")]);
    let to_c = network_policy("x/to-c", "pod=a").egress([rule]);
    let serve = network_policy("x/serve", "pod=c").ingress([accept()]);
    let cluster = closed(plain()).policy(web()).policy(to_c).policy(serve);
    let [_, others @ ..] = PRIVATE;
    assert_denies(cluster.clone(), &others);
    // Nobody is there now; x/c may be tomorrow.
    let free = accept().peers([block_except("0.0.0.0/0", &["10.0.2.128/25"])]);
    let free = network_policy("x/web", "pod in a|b").egress([free.services([set("tcp/443")])]);
    assert_denies(cluster.clone().without("web").policy(free), &[]);
    let known = cluster.guarded("subnet-2", &["10.0.2.0/24"], OPEN);
    let elsewhere = known.inventory.subnets.values().next().cloned().unwrap();
    let elsewhere = Subnet { acl: AclName("others".into()), ..elsewhere };
    let mut known = known;
    known.inventory.subnets.insert(SubnetId("subnet-2".into()), elsewhere.clone());
    assert_denies(known.clone(), &others);
    // Its next place may be in another subnet of pods.
    let zone = Subnet { blocks: vec!["192.168.9.0/24".parse().unwrap()], ..elsewhere };
    known.inventory.subnets.insert(SubnetId("subnet-3".into()), zone);
    assert_denies(known, &["egress deny 172.16.0.0/12 tcp/443"]);
}

#[test]
fn a_subnet_with_others_and_one_of_another_acl_are_left_alone() {
    let guarded = closed(plain()).policy(web()).guarded("subnet-1", &["10.0.1.0/24"], OPEN);
    let mut others = guarded.clone();
    others.inventory.subnets.values_mut().for_each(|subnet| subnet.has_others = true);
    assert_acl(&others, &[]);
    let mut unknown = guarded.clone();
    unknown.inventory.acls.clear();
    assert_acl(&unknown, &[]);
    let (one, two) = (SubnetId("subnet-1".into()), SubnetId("subnet-2".into()));
    let prior = ForeignAclId("acl-narrow".into());
    let mut two_priors = guarded.guarded("subnet-2", &["10.0.2.0/24"], OPEN);
    two_priors.inventory.acls.insert(prior.clone(), Acl::default());
    two_priors.inventory.subnets.get_mut(&two).unwrap().prior = prior;
    let guards = two_priors.compile().state.subnets;
    assert_eq!(guards, [(one, AclKey::Ours(AclName("pods".into())))].into());
}

#[test]
fn the_entries_of_the_acl_before_ours_come_after_them_and_take_their_room() {
    let cluster = |entries_per_acl| {
        let quotas = Quotas { entries_per_acl, ..Quotas::UNLIMITED };
        closed(Settings { quotas, ..plain() }).policy(web())
    };
    let prior = &["deny 192.0.2.0/24 tcp/25", "allow 0.0.0.0/0 all"];
    let guarded = cluster(9).guarded("subnet-1", &["10.0.1.0/24"], prior);
    let desired = guarded.compile();
    let acl = desired.state.acls.values().next().unwrap();
    let egress = acl.0.iter().filter(|(key, _)| key.direction == Direction::Egress);
    let egress: Vec<String> =
        egress.map(|(key, entry)| format!("{} {entry}", key.number.get())).collect();
    assert_eq!(
        egress,
        [
            "1 deny 10.0.0.0/8 tcp/443",
            "2 deny 172.16.0.0/12 tcp/443",
            "3 deny 192.168.0.0/16 tcp/443",
            "30000 deny 192.0.2.0/24 tcp/25",
            "30010 allow 0.0.0.0/0 all",
        ]
    );
    let short = cluster(7).guarded("subnet-1", &["10.0.1.0/24"], prior).compile();
    assert_eq!(short.counts.entries, 2);
}

#[test]
fn an_acl_closes_what_no_group_can_for_pods_on_interfaces_that_may_not_change() {
    let fixed = closed(plain())
        .attached("x/a", Attachment::Fixed, &["sg-base"])
        .attached("x/b", Attachment::Shared, &["sg-base"])
        .policy(network_policy("x/out", "").egress([]));
    assert_denies(fixed, &["ingress deny 0.0.0.0/0 all", "egress deny 0.0.0.0/0 all"]);
}

#[test]
fn an_acl_closes_nothing_of_what_pods_send_by_their_nodes() {
    let mut shared = closed(plain())
        .attached("x/a", Attachment::Shared, &["sg-base"])
        .attached("x/b", Attachment::Shared, &["sg-base"])
        .policy(network_policy("x/out", "").egress([]));
    let leaks = |cluster: &Cluster| -> Vec<String> {
        let guarded = cluster.clone().guarded("subnet-1", &["10.0.1.0/24"], OPEN);
        let found = guarded.compile().findings.into_iter();
        let shared =
            found.filter(|it| it.reason == Reason::SharedInterface && &*it.object.name == "out");
        let flows = shared.flat_map(|it| it.flows.to_vec());
        flows.map(|it| it.display(&guarded.inventory).to_string()).collect()
    };
    let inside = [
        "x/a, x/b → 10.0.1.0/24 tcp, udp, sctp, icmp, proto",
        "x/a → x/b tcp, udp, sctp, icmp, proto",
        "x/b → x/a tcp, udp, sctp, icmp, proto",
    ];
    assert_eq!(leaks(&shared), inside);
    assert_denies(shared.clone(), &["ingress deny 0.0.0.0/0 all", "egress deny 0.0.0.0/0 all"]);
    shared.inventory.source_nat = true;
    let outside = "x/a, x/b → 0.0.0.0-9.255.255.255, 10.0.1.0/24, 10.1.0.0-169.254.169.122, 169.254.169.124-169.254.169.249, \
                   169.254.169.252, 169.254.169.255-169.254.170.1, 169.254.170.3-255.255.255.255 tcp, udp, sctp, icmp, proto";
    let [_, within @ ..] = inside;
    assert_eq!(leaks(&shared), [&[outside], &within[..]].concat());
    assert_denies(shared, &["ingress deny 0.0.0.0/0 all", "egress deny 10.0.0.0/16 all"]);
}

#[test]
fn an_entry_serves_the_policies_that_close_some_of_what_it_denies() {
    let reachable = accept().peers([blocks(&["10.0.0.0/8", "172.16.0.0/12"])]);
    let internal = network_policy("x/internal", "pod=a").egress([reachable]);
    let telnet = deny().peers([blocks(&["172.16.0.0/12"])]).services([set("tcp/443")]);
    let guard = admin("guard", 1, pods("ns=x", "")).egress([telnet]);
    let elsewhere = network_policy("x/elsewhere", "pod=c").egress([]);
    let cluster = closed(plain()).policy(web()).policy(guard).policy(elsewhere);
    let serves = |cluster: Cluster| -> Vec<String> {
        let desired = cluster.guarded("subnet-1", &["10.0.1.0/24"], OPEN).compile();
        let told = desired.denies.iter().map(|((acl, direction, entry), policies)| {
            let policies: Vec<String> = policies.iter().map(ToString::to_string).collect();
            format!("{acl} {direction} {entry}: {}", policies.join(", "))
        });
        told.collect()
    };
    assert_eq!(
        serves(cluster.clone()),
        [
            "pods egress deny 10.0.0.0/8 tcp/443: NetworkPolicy x/web",
            "pods egress deny 172.16.0.0/12 tcp/443: NetworkPolicy x/web, ClusterNetworkPolicy guard",
            "pods egress deny 192.168.0.0/16 tcp/443: NetworkPolicy x/web",
        ]
    );
    // One that accepts all of what an entry denies closes none of it.
    assert_eq!(
        serves(cluster.policy(internal)),
        [
            "pods egress deny 172.16.0.0/12 tcp/443: NetworkPolicy x/web, ClusterNetworkPolicy guard",
            "pods egress deny 192.168.0.0/16 tcp/443: NetworkPolicy x/internal, NetworkPolicy x/web",
        ]
    );
}

#[test]
fn no_finding_shows_a_flow_that_the_acl_before_ours_drops() {
    let policy = admin("no-dns", 1, pods("ns=x", "")).egress([deny().services([set("udp/53")])]);
    let cluster = closed(with_pod_subnets(&["10.0.1.0/24"])).policy(policy);
    let cluster = cluster.attached("x/a", Attachment::Fixed, &["sg-base"]);
    let witness = |prior: &[&str]| {
        let mut guarded = cluster.clone().guarded("subnet-1", &["10.0.1.0/24"], prior);
        guarded.inventory.subnets.values_mut().for_each(|subnet| subnet.has_others = true);
        let mut findings = guarded.compile().findings.into_iter();
        let fixed =
            findings.find(|it| it.reason == Reason::FixedInterface && &*it.object.name == "no-dns");
        let flow = fixed.unwrap().witness?;
        Some(flow.display(&guarded.inventory).to_string())
    };
    let but = ["allow 192.0.2.0/24 udp/53", "deny 0.0.0.0/0 udp/53", "allow 0.0.0.0/0 all"];
    let [_, none @ ..] = but;
    assert_eq!(witness(OPEN).as_deref(), Some("x/a 10.0.1.1 → 0.0.0.0 udp/53"));
    assert_eq!(witness(&but).as_deref(), Some("x/a 10.0.1.1 → 192.0.2.0 udp/53"));
    assert_eq!(witness(&none), None);
}

#[test]
fn a_finding_shows_what_leaves_by_a_node_whatever_the_acl_before_ours_drops() {
    let policy = admin("no-dns", 1, pods("ns=x", "")).egress([deny().services([set("udp/53")])]);
    let cluster = closed(with_pod_subnets(&["10.0.1.0/24"])).policy(policy);
    let shared = cluster.attached("x/a", Attachment::Shared, &["sg-base"]);
    let prior = &["deny 0.0.0.0/0 udp/53", "allow 0.0.0.0/0 all"];
    let mut guarded = shared.guarded("subnet-1", &["10.0.1.0/24"], prior);
    let mut witness = |source_nat| {
        guarded.inventory.source_nat = source_nat;
        let desired = guarded.compile();
        flows::assert_honest(&guarded, &desired);
        let found = desired.findings.into_iter();
        let mut found =
            found.filter(|it| it.reason == Reason::SharedInterface && &*it.object.name == "no-dns");
        let flow = found.find_map(|it| it.witness)?;
        Some(flow.display(&guarded.inventory).to_string())
    };
    assert_eq!(witness(false), None);
    assert_eq!(witness(true).as_deref(), Some("x/a 10.0.1.1 → 0.0.0.0 udp/53"));
}
