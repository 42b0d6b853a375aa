//! What a picture tells of others' work.

use super::*;
use crate::firewall::Peer;
use crate::net::{Family, Interval, Prefix, Shape};
use crate::plan::Purpose;
use crate::policy::Direction;
use crate::provider::RuleId;
use crate::testing::{Cluster, network_policy};

fn everyone(family: Family, port: u16) -> Rule {
    let peer = Peer::Prefix(Prefix::everything(family));
    Rule { direction: Direction::Ingress, peer, shape: Shape::Tcp(Interval::single(port)) }
}

/// A picture of the first group with one rule that cannot be said, shown as one for each family, and one that can be.
fn picture() -> (Observed, BTreeSet<(GroupNumber, Rule)>) {
    let group = GroupNumber::nth(0);
    let mut observed = Observed::default();
    let shown = Family::BOTH.map(|family| (everyone(family, 22), "sgr-1"));
    for (rule, id) in shown.into_iter().chain([(everyone(Family::V4, 443), "sgr-2")]) {
        observed.rule_ids.insert((group, rule), RuleId(id.into()));
    }
    let text = "ingress pl-1 300 22..22".to_owned();
    observed.unreadable.insert((group, RuleId("sgr-1".into())), text);
    let all: BTreeSet<_> = observed.rule_ids.keys().cloned().collect();
    observed.unmarked.clone_from(&all);
    (observed, all)
}

fn messages(findings: &[Finding]) -> Vec<(Reason, &str)> {
    findings.iter().map(|finding| (finding.reason, &*finding.message)).collect()
}

#[test]
fn what_is_kept_is_told_once_as_the_cloud_spells_it() {
    let (mut observed, all) = picture();
    observed.foreign_rules = all;
    let told = |rule: &str| {
        format!(
            "the AWS load balancer controller keeps `{rule}` in `moat.blue.1`, and Moat leaves it there: let a policy allow \
             what the load balancer needs, and end the Ingress or Service behind it to be rid of the rule"
        )
    };
    let wanted = [told("ingress 0.0.0.0/0 tcp/443"), told("ingress pl-1 300 22..22")];
    let wanted = wanted.each_ref().map(|message| (Reason::ForeignRule, message.as_str()));
    assert_eq!(messages(&kept(&observed, "blue")), wanted);
}

#[test]
fn a_group_that_bears_a_name_of_ours_is_told_with_the_tags_it_lacks() {
    let mut observed = Observed::default();
    let bereft = GroupKey::Foreign(crate::firewall::ForeignGroupId("sg-1".into()));
    observed.taken.insert(GroupNumber::nth(2), bereft);
    let wanted = "`sg-1` bears the name `moat.blue.3` without the tags of it: it is left alone, and its number is passed over; if \
                  someone took the tags off, put back `moat.dev/cluster=blue` and `moat.dev/number=3` before applying, or delete \
                  the group once nobody wears it";
    let found = taken(&observed, "blue");
    assert_eq!(messages(&found), [(Reason::NameTaken, wanted)]);
    assert_eq!(found[0].object.to_string(), "SecurityGroup sg-1");
}

#[test]
fn what_is_revoked_is_told_once_as_the_cloud_spells_it() {
    let (observed, all) = picture();
    let rules = all.into_iter().map(|(_, rule)| rule).collect();
    let revoke = Step::Revoke { group: GroupNumber::nth(0), direction: Direction::Ingress, rules };
    let stage = Stage { purpose: Purpose::Tighten, steps: vec![revoke] };
    let found = repaired(&observed, &[stage], &Inventory::default(), "blue");
    let wanted = [
        "`moat.blue.1` holds `ingress 0.0.0.0/0 tcp/443`, which does not bear Moat's tag: someone added the rule, or took the \
         tag off; no policy asks for it, and it is revoked",
        "`moat.blue.1` holds `ingress pl-1 300 22..22`, a rule that Moat cannot say, read as one that lets through no less; no \
         policy asks for it, and it is revoked",
    ];
    assert_eq!(messages(&found), wanted.map(|message| (Reason::Drift, message)));
}

#[test]
fn a_policy_tells_what_a_rule_that_is_kept_opens_beside_it() {
    let cluster = Cluster::xyz()
        .policy(network_policy("x/in", "pod=a").ingress([]))
        .policy(network_policy("x/out", "pod=a").egress([]))
        .policy(network_policy("x/b", "pod=b").ingress([]));
    let Cluster { policies, inventory, .. } = &cluster;
    let group = GroupNumber::nth(0);
    let kept = everyone(Family::V4, 443);
    let mut observed = Observed::default();
    observed.foreign_rules.insert((group, kept.clone()));
    observed.state.groups.insert(GroupKey::Ours(group), [kept].into());
    for (interface, group) in [("eni-x-a", group), ("eni-x-b", GroupNumber::nth(1))] {
        let worn = [GroupKey::Ours(group)].into();
        observed.state.interfaces.insert(InterfaceId(interface.into()), worn);
    }
    let found = opened(policies, inventory, &observed, "blue");
    let wanted = "the AWS load balancer controller keeps `ingress 0.0.0.0/0 tcp/443` in `moat.blue.1`, which pods of this policy \
                  wear: it lets them be reached whatever the policy says; allow what the load balancer needs, or end the Ingress \
                  or Service behind it";
    assert_eq!(messages(&found), [(Reason::ForeignRule, wanted)]);
    assert_eq!(found[0].object, policies[0].object);

    let allowed = Rule { shape: Shape::All, ..everyone(Family::V4, 443) };
    let rules = observed.state.groups.entry(GroupKey::Ours(group)).or_default();
    rules.insert(allowed);
    assert_eq!(opened(policies, inventory, &observed, "blue"), []);
}
