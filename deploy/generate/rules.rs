//! The alerts, as a rule file of Prometheus; the chart wraps it in a PrometheusRule.

use serde_json::{Value, json};

/// One alert.
struct Alert {
    name: &'static str,
    expr: &'static str,
    /// How long it holds before it fires.
    lasts: &'static str,
    severity: &'static str,
    summary: &'static str,
    description: &'static str,
}

/// Where an alert is explained; its name in lower case follows.
const RUNBOOK: &str = concat!(env!("CARGO_PKG_HOMEPAGE"), "/docs/alerts#");

/// Every alert (`docs/alerts.md` says what to do).
const ALERTS: [Alert; 9] = [
    Alert {
        name: "MoatCloudDiffers",
        expr: "min(moat_programmed_equals_intent) == 0 and on () max(moat_enforcing) == 1",
        lasts: "5m",
        severity: "critical",
        summary: "The cloud is not as the policies ask for",
        description: "For five minutes the security groups have differed from what the policies ask for, or could not be read.",
    },
    Alert {
        name: "MoatRevocationPending",
        expr: "max(moat_pending_revokes_oldest_seconds) > 20",
        lasts: "0s",
        severity: "critical",
        summary: "A revocation is overdue",
        description: "A rule that the policies no longer allow has been open for {{ $value | humanizeDuration }}. An address can be another pod's after 30 seconds.",
    },
    Alert {
        name: "MoatRuleQuotaNearlyUsed",
        expr: "max by (group, direction, family) (moat_rules) / on () group_left () max(moat_rule_quota) > 0.85",
        lasts: "10m",
        severity: "warning",
        summary: "A security group is nearly full",
        description: "{{ $labels.group }} uses {{ $value | humanizePercentage }} of its quota of {{ $labels.direction }} rules for {{ $labels.family }}.",
    },
    Alert {
        name: "MoatGroupQuotaNearlyUsed",
        expr: "max(moat_groups) / max(moat_group_quota) > 0.85",
        lasts: "10m",
        severity: "warning",
        summary: "The quota of security groups is nearly used",
        description: "Moat has {{ $value | humanizePercentage }} of the groups that it may have.",
    },
    Alert {
        name: "MoatThrottled",
        expr: "sum(rate(moat_ec2_requests_total{code=~\"RequestLimitExceeded|.*Thrott.*|TooManyRequestsException|SlowDown|BandwidthLimitExceeded|LimitExceededException|PriorRequestNotComplete\"}[10m])) / sum(rate(moat_ec2_requests_total[10m])) > 0.1",
        lasts: "0s",
        severity: "warning",
        summary: "EC2 throttles Moat",
        description: "{{ $value | humanizePercentage }} of the requests of ten minutes were throttled: changes take longer.",
    },
    Alert {
        name: "MoatPolicyStalled",
        expr: "sum by (reason) (moat_policies{condition=\"Stalled\",status=\"True\"}) > 0",
        lasts: "15m",
        severity: "warning",
        summary: "Policies wait for somebody",
        description: "{{ $value }} policies stall with {{ $labels.reason }}; `kubectl get policyenforcements -A` shows which.",
    },
    Alert {
        name: "MoatDrift",
        expr: "sum(increase(moat_drift_repairs_total[15m])) > 0",
        lasts: "0s",
        severity: "warning",
        summary: "Somebody else changes what is Moat's",
        description: "{{ $value | humanize }} things of Moat's were changed by others and put right within 15 minutes.",
    },
    Alert {
        name: "MoatNoLeader",
        expr: "sum(moat_leader) == 0 or absent(moat_leader)",
        lasts: "1m",
        severity: "critical",
        summary: "No replica of Moat leads",
        description: "For a minute no replica has held the lease: nothing changes in the cloud, whatever policies say.",
    },
    Alert {
        name: "MoatStaleCache",
        expr: "min by (kind) (moat_watch_current) == 0",
        lasts: "5m",
        severity: "warning",
        summary: "What Moat knows of the cluster is old",
        description: "For five minutes a replica has not followed {{ $labels.kind }}: it changes nothing until it does.",
    },
];

/// The rule file.
#[must_use]
pub fn rules() -> Value {
    let rules = ALERTS.iter().map(|alert| {
        json!({
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.lasts,
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.summary,
                "description": alert.description,
                "runbook_url": format!("{RUNBOOK}{}", alert.name.to_lowercase()),
            },
        })
    });
    json!({"groups": [{"name": "moat", "rules": rules.collect::<Vec<_>>()}]})
}
