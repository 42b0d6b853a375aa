//! The groups of others that a pod wears when Moat comes: which stay, which go, what is copied (DESIGN §6.8).

use super::{assert_compiles, assert_found, plain};
use crate::finding::Reason;
use crate::firewall::ForeignGroupId;
use crate::policy::Peer;
use crate::settings::Settings;
use crate::testing::{Cluster, accept, blocks, network_policy, pod, pods, set};

/// x/db behind these groups, x/web behind the base group.
fn shop(groups: &[&str]) -> Cluster {
    Cluster::default()
        .namespace("x", "")
        .pod(pod("x/db").label("app", "db").at("10.0.0.2"))
        .pod(pod("x/web").label("app", "web").at("10.0.0.1"))
        .settings(plain())
        .based()
        .foreign("sg-empty", &[])
        .foreign("sg-monitoring", &["ingress 10.9.0.0/16 tcp/443"])
        .foreign("sg-both", &["ingress 10.0.0.0/8 all", "egress sg-base udp/53"])
        .foreign("sg-egress", &["egress 10.0.0.0/8 tcp/53", "egress sg-base udp/53"])
        .attached("x/db", crate::inventory::Attachment::Exclusive, groups)
}

/// x/db accepts tcp/443 of 10.0.0.0/8.
fn isolated(groups: &[&str]) -> Cluster {
    let lan = accept().peers([blocks(&["10.0.0.0/8"])]).services([set("tcp/443")]);
    shop(groups).policy(network_policy("x/db", "app=db").ingress([lan]))
}

fn keeping(cluster: Cluster, groups: &[&str]) -> Cluster {
    let keep_groups = groups.iter().map(|id| ForeignGroupId((*id).into())).collect();
    cluster.settings(Settings { keep_groups, ..plain() })
}

/// But for what no group filters.
fn found(reason: Reason) -> bool {
    reason != Reason::NeverFiltered
}

#[test]
fn a_wide_group_goes_and_its_rules_are_copied_where_no_policy_governs() {
    assert_found(
        &isolated(&["sg-base"]),
        found,
        "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
          egress 0.0.0.0/0 all
        ignored GroupReplaced SecurityGroup sg-base
        ",
    );
}

#[test]
fn a_group_whose_rules_lie_inside_what_the_pod_is_allowed_stays() {
    assert_found(
        &isolated(&["sg-base", "sg-monitoring"]),
        found,
        "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
          egress 0.0.0.0/0 all
        sg-monitoring: x/db
          ingress 10.9.0.0/16 tcp/443
        ignored GroupReplaced SecurityGroup sg-base
        ",
    );
}

#[test]
fn a_group_without_rules_stays_since_others_may_name_it() {
    assert_found(
        &isolated(&["sg-base", "sg-empty"]),
        found,
        "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
          egress 0.0.0.0/0 all
        sg-empty: x/db
        ignored GroupReplaced SecurityGroup sg-base
        ",
    );
}

#[test]
fn nothing_is_copied_where_policies_govern_both_directions() {
    let cluster =
        shop(&["sg-base"]).policy(network_policy("x/db", "app=db").ingress([]).egress([accept()]));
    assert_found(
        &cluster,
        found,
        "
        moat.1: x/db
          egress 0.0.0.0/0 all
        ignored GroupReplaced SecurityGroup sg-base
        ",
    );
}

#[test]
fn a_prior_group_that_is_narrow_where_no_policy_governs_is_not_widened() {
    assert_found(&isolated(&["sg-egress"]), found, "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
        sg-egress: x/db
          egress 10.0.0.0/8 tcp/53
          egress sg-base udp/53
        narrower PriorGroups SecurityGroup sg-egress
          x/db → 10.0.0.0/8 tcp/0-52, tcp/54-65535, udp, sctp, icmp, proto IPv4
          x/db → 0.0.0.0-9.255.255.255, 11.0.0.0-169.254.169.122, 169.254.169.124-169.254.169.249, 169.254.169.252, 169.254.169.255-169.254.170.1, 169.254.170.3-255.255.255.255 tcp, udp, sctp, icmp, proto IPv4
          x/db → x/web tcp/0-52, tcp/54-65535, udp/0-52, udp/54-65535, sctp, icmp, proto IPv4
          such as x/db 10.0.0.2 → 10.0.0.0 tcp/0
        ");
}

#[test]
fn rules_that_name_groups_are_copied_as_they_are() {
    let cluster = isolated(&["sg-both"]);
    assert_found(
        &cluster,
        found,
        "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
          egress sg-base udp/53
        ignored GroupReplaced SecurityGroup sg-both
        narrower PriorGroups SecurityGroup sg-both
          x/db → anywhere tcp, udp, sctp, icmp, proto IPv4
          x/db → x/web tcp, udp/0-52, udp/54-65535, sctp, icmp, proto IPv4
          such as x/db 10.0.0.2 → 0.0.0.0 tcp/0
        ",
    );
}

#[test]
fn a_listed_group_stays_and_what_it_opens_is_reported() {
    assert_found(&keeping(isolated(&["sg-base"]), &["sg-base"]), found, "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
        sg-base: x/db
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        not enforced GroupKept NetworkPolicy x/db
          10.0.0.0/8 → x/db tcp/0-442, tcp/444-65535, udp, sctp, icmp, proto IPv4
          0.0.0.0-9.255.255.255, 11.0.0.0-169.254.169.122, 169.254.169.124-169.254.169.249, 169.254.169.252, 169.254.169.255-169.254.170.1, 169.254.170.3-255.255.255.255 → x/db tcp, udp, sctp, icmp, proto IPv4
          x/web → x/db tcp/0-442, tcp/444-65535, udp, sctp, icmp, proto IPv4
          such as 10.0.0.0 → x/db 10.0.0.2 tcp/0
        ");
}

#[test]
fn a_listed_group_that_the_pod_does_not_wear_is_not_put_on_it() {
    assert_found(
        &keeping(isolated(&["sg-monitoring"]), &["sg-base"]),
        found,
        "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
        sg-monitoring: x/db
          ingress 10.9.0.0/16 tcp/443
        narrower PriorGroups SecurityGroup sg-monitoring
          x/db → anywhere tcp, udp, sctp, icmp, proto IPv4
          x/db → x/web tcp, udp, sctp, icmp, proto IPv4
          such as x/db 10.0.0.2 → 0.0.0.0 tcp/0
        ",
    );
}

#[test]
fn a_peer_keeps_its_prior_groups_whatever_they_allow() {
    let from_db = accept().peers([Peer::Pods(pods("x", "app=db"))]);
    let cluster = shop(&["sg-base", "sg-egress"])
        .policy(network_policy("x/web", "app=web").ingress([from_db]));
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
        moat.2: x/web
          ingress moat.1 all
          egress 0.0.0.0/0 all
        sg-base: x/db
          ingress 0.0.0.0/0 all
          egress 0.0.0.0/0 all
        sg-egress: x/db
          egress 10.0.0.0/8 tcp/53
          egress sg-base udp/53
        ",
    );
}

#[test]
fn pods_alike_but_for_groups_whose_copies_differ_are_two_classes() {
    let cluster = isolated(&["sg-egress"])
        .pod(pod("x/db-2").label("app", "db").at("10.0.0.3"))
        .attached("x/db-2", crate::inventory::Attachment::Exclusive, &["sg-base"]);
    assert_compiles(
        &cluster,
        "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
        moat.2: x/db-2
          ingress 10.0.0.0/8 tcp/443
          egress 0.0.0.0/0 all
        sg-egress: x/db
          egress 10.0.0.0/8 tcp/53
          egress sg-base udp/53
        ",
    );
}

#[test]
fn pods_alike_but_for_groups_that_stay_are_one_class() {
    let cluster = isolated(&["sg-base"])
        .pod(pod("x/db-2").label("app", "db").at("10.0.0.3"))
        .attached("x/db-2", crate::inventory::Attachment::Exclusive, &["sg-base", "sg-monitoring"]);
    assert_compiles(
        &cluster,
        "
        moat.1: x/db, x/db-2
          ingress 10.0.0.0/8 tcp/443
          egress 0.0.0.0/0 all
        sg-monitoring: x/db-2
          ingress 10.9.0.0/16 tcp/443
        ",
    );
}

#[test]
fn groups_stay_only_as_far_as_the_interface_has_room() {
    let mut cluster = isolated(&["sg-base", "sg-empty", "sg-monitoring"]);
    cluster.settings.quotas.groups_per_interface = 2;
    assert_found(
        &cluster,
        found,
        "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
          egress 0.0.0.0/0 all
        sg-empty: x/db
        ignored GroupReplaced SecurityGroup sg-base
        ignored GroupReplaced SecurityGroup sg-monitoring
        ",
    );
}

#[test]
fn a_group_whose_rules_nobody_knows_goes() {
    assert_found(
        &isolated(&["sg-unknown"]),
        found,
        "
        moat.1: x/db
          ingress 10.0.0.0/8 tcp/443
        ignored GroupReplaced SecurityGroup sg-unknown
        narrower PriorGroups SecurityGroup sg-unknown
          x/db → anywhere tcp, udp, sctp, icmp, proto IPv4
          x/db → x/web tcp, udp, sctp, icmp, proto IPv4
          such as x/db 10.0.0.2 → 0.0.0.0 tcp/0
        ",
    );
}

#[test]
fn what_is_told_of_a_replaced_group_does_not_change_with_the_pods_that_come_and_go() {
    let told = |cluster: &Cluster| {
        let found = cluster.compile().findings;
        let found = found.into_iter().filter(|finding| finding.reason == Reason::GroupReplaced);
        found.map(|finding| (finding.object, finding.message)).collect::<Vec<_>>()
    };
    let one = isolated(&["sg-base"]);
    let more = isolated(&["sg-base"])
        .pod(pod("x/db-2").label("app", "db").at("10.0.0.3"))
        .wired(&["sg-base"]);
    assert_eq!(told(&one).len(), 1);
    assert_eq!(told(&more), told(&one));
}
