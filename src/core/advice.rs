//! What network ACLs could do for policies, where none is handed over: known by compiling as if they were (DESIGN §7).

use std::collections::BTreeMap;

use crate::compile::{self, Desired};
use crate::finding::{Effect, Finding, Reason};
use crate::firewall::{Acl, AclName, Entry, ForeignAclId, Peer};
use crate::inventory::{Inventory, Subnet, SubnetId};
use crate::net::{Family, Prefix};
use crate::policy::{Direction, ObjectRef, Policy};
use crate::settings::Settings;

/// What one policy takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Price {
    /// Rules that name prefixes.
    rules: usize,
    /// Entries of a network ACL.
    entries: Vec<(Direction, Entry)>,
}

/// The policies that a network ACL around the pods' subnets would say with less, or whole where groups cannot. `desired` is what
/// they are compiled to without one. Empty where some subnet is handed over already, or nobody tells what the pods' subnets are.
#[must_use]
pub fn cheaper_with_acls(
    policies: &[Policy],
    inventory: &Inventory,
    settings: &Settings,
    desired: &Desired,
) -> Vec<Finding> {
    let of_prefixes = desired.counts.prefix_rules > 0;
    let has_gains = of_prefixes || desired.findings.iter().any(is_short);
    if !inventory.subnets.is_empty() || settings.pod_subnets.is_empty() || !has_gains {
        return Vec::new();
    }
    let guarded = compile::compile(policies, &handed_over(inventory, settings), settings);
    let before = prices(desired);
    let after = prices(&guarded);
    let lost = |desired: &Desired, object: &ObjectRef| {
        desired.findings.iter().any(|finding| is_short(finding) && finding.object == *object)
    };
    let worth = policies.iter().filter_map(|policy| {
        let object = &policy.object;
        let price = after.get(object).filter(|price| !price.entries.is_empty())?;
        let rules = before.get(object).map_or(0, |price| price.rules);
        let only = lost(desired, object) && !lost(&guarded, object);
        let cheaper = price.rules + price.entries.len() < rules;
        (only || cheaper).then(|| finding(object.clone(), rules, price, only))
    });
    worth.collect()
}

/// So many entries are spelled.
const SHOWN: usize = 3;

fn finding(object: ObjectRef, rules: usize, price: &Price, only: bool) -> Finding {
    let entries: Vec<String> =
        price.entries.iter().map(|(direction, entry)| format!("`{direction} {entry}`")).collect();
    let (listed, count) =
        (entries.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "), entries.len());
    let more = if count > SHOWN { ", …" } else { "" };
    let plural = if count == 1 { "y" } else { "ies" };
    let whole = if only { ", and fit all of it into the quotas" } else { "" };
    let message = format!(
        "{count} entr{plural} of a network ACL, {listed}{more}, would leave {} of the {rules} rules that name addresses for it{whole}: \
         hand the pods' subnets over in `networkAcls`, if they hold pods alone",
        price.rules,
    );
    Finding::without_flows(object, Reason::CheaperWithAcl, Effect::Ignored, message)
}

/// Whether a policy is not kept whole because of quotas.
fn is_short(finding: &Finding) -> bool {
    finding.reason == Reason::QuotaExceeded && finding.effect != Effect::Ignored
}

/// The inventory if one network ACL guarded each subnet of the pods, in place of one that lets everything pass.
fn handed_over(inventory: &Inventory, settings: &Settings) -> Inventory {
    let prior = ForeignAclId("acl-open".into());
    let subnet = |block: &Prefix| Subnet {
        blocks: vec![*block],
        acl: AclName("pods".into()),
        prior: prior.clone(),
        has_others: false,
    };
    let named = settings
        .pod_subnets
        .iter()
        .map(|block| (SubnetId(block.to_string().into()), subnet(block)));
    let open = Acl::open(Family::BOTH);
    Inventory {
        subnets: named.collect(),
        acls: [(prior.clone(), open)].into(),
        ..inventory.clone()
    }
}

fn prices(desired: &Desired) -> BTreeMap<ObjectRef, Price> {
    let mut prices: BTreeMap<ObjectRef, Price> = BTreeMap::new();
    for ((_, rule), reason) in &desired.reasons {
        if matches!(rule.peer, Peer::Prefix(_)) {
            for policy in &*reason.serves {
                prices.entry(policy.clone()).or_default().rules += 1;
            }
        }
    }
    for ((_, direction, entry), policies) in &desired.denies {
        for policy in &**policies {
            prices.entry(policy.clone()).or_default().entries.push((*direction, *entry));
        }
    }
    prices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{IcmpMode, NodeTraffic, OnQuota, Quotas};
    use crate::testing::{Cluster, accept, block_except, blocks, network_policy};

    fn said(rules_per_group: usize, pod_subnets: &[&str], policies: &[Policy]) -> Vec<String> {
        let settings = Settings {
            icmp: IcmpMode::Strict,
            node_traffic: NodeTraffic::None,
            on_quota: OnQuota::Narrow,
            pod_subnets: pod_subnets.iter().map(|block| block.parse().unwrap()).collect(),
            quotas: Quotas { rules_per_group, groups_per_interface: 1, ..Quotas::default() },
            ..Settings::default()
        };
        let cluster = Cluster::xyz().wired(&["sg-base"]).settings(settings.clone());
        let desired = compile::compile(policies, &cluster.inventory, &settings);
        let found = cheaper_with_acls(policies, &cluster.inventory, &settings, &desired);
        assert!(found.iter().all(|it| it.reason == Reason::CheaperWithAcl));
        found.iter().map(|it| format!("{}: {}", it.object, it.message)).collect()
    }

    fn all_but(name: &str, except: &[&str]) -> Policy {
        let rule = accept().peers([block_except("0.0.0.0/0", except)]);
        network_policy(name, "").ingress([]).egress([rule])
    }

    #[test]
    fn a_policy_with_exceptions_is_told_what_an_acl_would_spare() {
        let policies = ["x/out", "y/out", "z/out"]
            .map(|name| all_but(name, &["198.51.100.0/24", "203.0.113.0/24"]));
        let wanted = "2 entries of a network ACL, `egress deny 198.51.100.0/24 all`, `egress deny 203.0.113.0/24 all`, would leave 1 \
                      of the 42 rules that name addresses for it: hand the pods' subnets over in `networkAcls`, if they hold pods alone";
        let subnet: &[&str] = &["10.0.0.0/16"];
        let all = ["x", "y", "z"].map(|it| format!("NetworkPolicy {it}/out: {wanted}"));
        assert_eq!(said(60, subnet, &policies), all);
        let told = said(20, subnet, &policies);
        assert!(
            told.iter().all(|it| it.contains("for it, and fit all of it into the quotas: hand")),
            "{told:?}"
        );
        assert_eq!(told.len(), 3);
        // Nobody tells where the pods are.
        assert_eq!(said(60, &[], &policies), [""; 0]);
    }

    #[test]
    fn a_policy_that_an_acl_spares_nothing_is_told_nothing() {
        let rule = accept().peers([blocks(&["198.51.100.0/24"])]);
        let policies =
            ["x/out", "y/out", "z/out"].map(|name| network_policy(name, "").egress([rule.clone()]));
        assert_eq!(said(60, &["10.0.0.0/16"], &policies), [""; 0]);
    }
}
