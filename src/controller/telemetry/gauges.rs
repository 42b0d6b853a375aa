//! What holds at the moment of a scrape.

use std::fmt::Result;
use std::sync::Arc;

use moat_core::firewall::Naming;
use moat_k8s::configuration::Mode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::{Seen, Telemetry};

/// Metrics of the moment. What only a leader knows, only a leader tells.
#[derive(Debug)]
pub(super) struct Gauges(pub(super) Arc<Telemetry>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result {
        let seen = self.0.seen();
        let leads = seen.tenure.is_held();
        one(&mut encoder, "leader", "Whether this process leads", u64::from(leads))?;
        let enforces = u64::from(seen.mode == Mode::Enforce);
        one(
            &mut encoder,
            "enforcing",
            "Whether plans are carried out: `mode` is Enforce",
            enforces,
        )?;
        let watches = seen.watches.iter().map(|(watched, standing)| {
            let current = standing.complete && standing.broken.is_none();
            ([("kind", watched.plural())], u64::from(current))
        });
        many(
            &mut encoder,
            "watch_current",
            "Whether what is known of a kind is complete and current",
            watches,
        )?;
        if leads {
            led(&seen, &mut encoder)?;
        }
        drop(seen);
        self.0.cloud.encode(&mut encoder)
    }
}

fn led(seen: &Seen, encoder: &mut DescriptorEncoder<'_>) -> Result {
    let oldest = seen.revokes.values().map(|since| since.elapsed().as_secs_f64());
    one(
        encoder,
        "pending_revokes_oldest_seconds",
        "How long the oldest revocation waits that closes something; 0 if none waits",
        oldest.fold(0.0, f64::max),
    )?;
    let findings = seen.findings.iter().map(|((reason, effect), count)| {
        ([("reason", reason.as_str()), ("effect", effect.as_str())], number(*count))
    });
    many(encoder, "findings", "Findings, by reason and effect", findings)?;
    let policies = seen.policies.iter().map(|((condition, status, reason), count)| {
        ([("condition", &**condition), ("status", status), ("reason", reason)], number(*count))
    });
    many(encoder, "policies", "Policies, by each condition of theirs", policies)?;
    if let Some(equal) = seen.equal {
        one(
            encoder,
            "programmed_equals_intent",
            "Whether the cloud was read back and is as the policies ask for",
            u64::from(equal),
        )?;
    }
    let Some(left) = &seen.left else { return Ok(()) };
    let rules = left.rules.iter().map(|((group, direction, family), count)| {
        let group = group.named(&seen.cluster).to_string();
        let (direction, family) = (direction.to_string(), family.to_string());
        ([("group", group), ("direction", direction), ("family", family)], number(*count))
    });
    many(
        encoder,
        "rules",
        "Rules of a group as the quota counts them: one that names a group counts in both families",
        rules,
    )?;
    one(
        encoder,
        "rule_quota",
        "Rules that a group may have, for each direction and family",
        number(left.quotas.rules_per_group),
    )?;
    let entries = left.entries.iter().map(|((acl, direction, family), count)| {
        let (direction, family) = (direction.to_string(), family.to_string());
        ([("acl", acl.to_string()), ("direction", direction), ("family", family)], number(*count))
    });
    many(
        encoder,
        "acl_entries",
        "Entries of a network ACL as the quota counts them: the final deny is one",
        entries,
    )?;
    one(
        encoder,
        "acl_entry_quota",
        "Entries that a network ACL may have, for each direction and family",
        number(left.quotas.entries_per_acl),
    )?;
    one(
        encoder,
        "address_rules",
        "Rules that name addresses, as desired",
        number(left.counts.prefix_rules),
    )?;
    one(
        encoder,
        "rules_minimum",
        "The fewest rules that name addresses with the same meaning",
        number(left.counts.minimum_prefix_rules),
    )?;
    one(encoder, "groups", "Groups of Moat's", number(left.groups))?;
    one(encoder, "group_quota", "Groups that Moat may have", number(left.quotas.groups))
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn one<N>(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: N) -> Result
where
    ConstGauge<N>: EncodeMetric,
{
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn many<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = (L, u64)>,
) -> Result {
    let kind = ConstGauge::new(0_u64).metric_type();
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in series {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
