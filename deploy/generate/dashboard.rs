//! The dashboard, in the schema of Grafana (`@grafana/schema`, `raw/dashboard`).

use serde_json::{Value, json};

/// One panel of a row.
struct Panel {
    title: &'static str,
    about: &'static str,
    kind: Kind,
    unit: &'static str,
    /// Columns of the 24 that a row has.
    width: u64,
    /// Expressions, each with the legend of its series.
    queries: &'static [(&'static str, &'static str)],
}

enum Kind {
    /// One number, green where it is at least this.
    AtLeast(f64),
    /// One number, green where it is below this.
    Below(f64),
    Lines,
    Stack,
}

const fn panel(
    (title, about): (&'static str, &'static str),
    kind: Kind,
    unit: &'static str,
    width: u64,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, about, kind, unit, width, queries }
}

const ROWS: [(&str, &[Panel]); 7] = [
    (
        "Intent and cloud",
        &[
            panel(
                (
                    "Cloud equals intent",
                    "Whether the cloud was read back and is as the policies ask for.",
                ),
                Kind::AtLeast(1.0),
                "bool_yes_no",
                4,
                &[("min(moat_programmed_equals_intent)", "")],
            ),
            panel(
                (
                    "Policies programmed",
                    "The share of the policies that the cloud was read back to hold.",
                ),
                Kind::AtLeast(1.0),
                "percentunit",
                4,
                &[(
                    "sum(moat_policies{condition=\"Programmed\",status=\"True\"}) / sum(moat_policies{condition=\"Programmed\"})",
                    "",
                )],
            ),
            panel(
                (
                    "Oldest pending revocation",
                    "How long the oldest revocation waits that closes something.",
                ),
                Kind::Below(20.0),
                "s",
                4,
                &[("max(moat_pending_revokes_oldest_seconds)", "")],
            ),
            panel(
                ("Policies", "Policies by each condition of theirs."),
                Kind::Lines,
                "short",
                6,
                &[("sum by (condition, status) (moat_policies)", "{{condition}} {{status}}")],
            ),
            panel(
                ("Stalled policies", "Policies that somebody has to do something for, by reason."),
                Kind::Stack,
                "short",
                6,
                &[("sum by (reason) (moat_policies{condition=\"Stalled\"})", "{{reason}}")],
            ),
        ],
    ),
    (
        "Latency",
        &[
            panel(
                (
                    "Changes",
                    "From the first word of a change until the cloud was read back with all of it.",
                ),
                Kind::Lines,
                "s",
                12,
                &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(moat_change_latency_seconds_bucket[$__rate_interval])))",
                        "p50",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(moat_change_latency_seconds_bucket[$__rate_interval])))",
                        "p99",
                    ),
                ],
            ),
            panel(
                ("Phases, 99th percentile", "The parts of enforcing."),
                Kind::Lines,
                "s",
                12,
                &[(
                    "histogram_quantile(0.99, sum by (le, phase) (rate(moat_enforcement_latency_seconds_bucket[$__rate_interval])))",
                    "{{phase}}",
                )],
            ),
        ],
    ),
    (
        "Quotas",
        &[
            panel(
                (
                    "Fullest groups",
                    "Rules of a group as a share of its quota, for each direction and family.",
                ),
                Kind::Lines,
                "percentunit",
                12,
                &[(
                    "topk(10, max by (group, direction, family) (moat_rules) / on () group_left () max(moat_rule_quota))",
                    "{{group}} {{direction}} {{family}}",
                )],
            ),
            panel(
                ("Groups", "Moat's groups as a share of those that it may have."),
                Kind::Lines,
                "percentunit",
                6,
                &[("max(moat_groups) / max(moat_group_quota)", "groups")],
            ),
            panel(
                ("Rules that name addresses", "As they are, and the fewest that mean the same."),
                Kind::Lines,
                "short",
                6,
                &[("max(moat_address_rules)", "rules"), ("max(moat_rules_minimum)", "minimum")],
            ),
        ],
    ),
    (
        "Requests",
        &[
            panel(
                ("Requests", "Requests to EC2, by operation."),
                Kind::Stack,
                "reqps",
                6,
                &[("sum by (op) (rate(moat_ec2_requests_total[$__rate_interval]))", "{{op}}")],
            ),
            panel(
                ("Refused requests", "Those that were not granted, by operation and code."),
                Kind::Stack,
                "reqps",
                6,
                &[(
                    "sum by (op, code) (rate(moat_ec2_requests_total{code!=\"OK\"}[$__rate_interval]))",
                    "{{op}} {{code}}",
                )],
            ),
            panel(
                ("Tokens", "Requests of an operation that can set out at once."),
                Kind::Lines,
                "short",
                6,
                &[("min by (op) (moat_ec2_tokens)", "{{op}}")],
            ),
            panel(
                (
                    "Calls per needed call",
                    "Changing calls for each that what was done takes at least, over an hour.",
                ),
                Kind::Lines,
                "short",
                6,
                &[(
                    "sum(increase(moat_ec2_requests_total{op!~\"Describe.*|Get.*\",code=\"OK\"}[1h])) / sum(increase(moat_ec2_minimum_calls_total[1h]))",
                    "calls",
                )],
            ),
        ],
    ),
    (
        "Findings",
        &[panel(
            (
                "Findings",
                "What the cloud cannot say, or a policy did not mean, by reason and effect.",
            ),
            Kind::Stack,
            "short",
            24,
            &[("sum by (reason, effect) (moat_findings)", "{{reason}} {{effect}}")],
        )],
    ),
    (
        "Drift",
        &[
            panel(
                ("Repairs", "What others changed of Moat's and was put right, over an hour."),
                Kind::Lines,
                "short",
                12,
                &[("sum(increase(moat_drift_repairs_total[1h]))", "repairs")],
            ),
            panel(
                (
                    "Unsafe plans",
                    "Groups and interfaces that came to be left as they are for want of a safe way, over an hour.",
                ),
                Kind::Lines,
                "short",
                12,
                &[("sum(increase(moat_unsafe_plan_rejections_total[1h]))", "left as they are")],
            ),
        ],
    ),
    (
        "Leader",
        &[
            panel(
                ("Leaders", "Replicas that lead; but for the moments of a change, one does."),
                Kind::AtLeast(1.0),
                "short",
                6,
                &[("sum(moat_leader)", "")],
            ),
            panel(
                (
                    "Knowledge of the cluster",
                    "Whether what is known of each kind is complete and current, in every replica.",
                ),
                Kind::Lines,
                "bool",
                18,
                &[("min by (kind) (moat_watch_current)", "{{kind}}")],
            ),
        ],
    ),
];

/// Rows of the grid that a panel takes.
const HEIGHT: u64 = 8;

/// The dashboard.
#[must_use]
pub fn dashboard() -> Value {
    let mut panels = Vec::new();
    let mut next = 1..;
    let mut y = 0;
    for (title, row) in ROWS {
        panels.push(json!({
            "id": next.next(), "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
        }));
        let mut x = 0;
        for panel in row {
            panels.push(panel.json(next.next(), (x, y + 1)));
            x += panel.width;
        }
        y += HEIGHT + 1;
    }
    json!({
        "uid": "moat",
        "title": "Moat",
        "description": "Security groups that follow network policies",
        "tags": ["moat", "network-policy"],
        "schemaVersion": 41,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [{
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
            "hide": 0, "multi": false, "includeAll": false, "options": [], "refresh": 1, "regex": "",
            "skipUrlSync": false,
        }]},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    })
}

impl Panel {
    fn json(&self, number: Option<u64>, (x, y): (u64, u64)) -> Value {
        let source = json!({"type": "prometheus", "uid": "${datasource}"});
        let letters = ["A", "B", "C"];
        let targets = self.queries.iter().zip(letters).map(|((query, legend), letter)| {
            json!({"refId": letter, "datasource": source, "expr": query, "legendFormat": legend})
        });
        let (kind, options, defaults) = self.kind.json(self.unit);
        json!({
            "id": number,
            "type": kind,
            "title": self.title,
            "description": self.about,
            "datasource": source,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": HEIGHT},
            "targets": targets.collect::<Vec<_>>(),
            "options": options,
            "fieldConfig": {"defaults": defaults, "overrides": []},
        })
    }
}

impl Kind {
    /// The plugin, its options, and how its fields look.
    fn json(&self, unit: &str) -> (&'static str, Value, Value) {
        let steps = |below: &str, from: f64, above: &str| {
            let steps = json!([{"value": null, "color": below}, {"value": from, "color": above}]);
            let thresholds = json!({"mode": "absolute", "steps": steps});
            json!({"unit": unit, "color": {"mode": "thresholds"}, "thresholds": thresholds, "min": 0})
        };
        let lines = |fill: u64, mode: &str| {
            let stacking = json!({"group": "A", "mode": mode});
            let custom = json!({"drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "auto", "stacking": stacking});
            json!({"unit": unit, "color": {"mode": "palette-classic"}, "custom": custom, "min": 0})
        };
        match self {
            Self::AtLeast(from) => ("stat", stat(), steps("red", *from, "green")),
            Self::Below(from) => ("stat", stat(), steps("green", *from, "red")),
            Self::Lines => ("timeseries", timeseries(), lines(0, "none")),
            Self::Stack => ("timeseries", timeseries(), lines(30, "normal")),
        }
    }
}

fn stat() -> Value {
    json!({
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
        "colorMode": "background", "graphMode": "area", "justifyMode": "auto", "textMode": "auto",
        "orientation": "auto", "wideLayout": true, "showPercentChange": false,
        "percentChangeColorMode": "standard",
    })
}

fn timeseries() -> Value {
    json!({
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": true},
        "tooltip": {"mode": "multi", "sort": "desc"},
    })
}
