//! Findings as SARIF 2.1.0 (OASIS), for code hosts that show them beside the lines.

use std::collections::BTreeSet;

use moat_core::finding::{Effect, Finding, Location, Reason};
use moat_core::inventory::Inventory;
use serde_json::{Value, json};

use crate::expect::Outcome;

/// The rule id of an expectation that is not met; every other id is a finding's reason.
const EXPECTATION: &str = "ExpectationFailed";

/// A log with one run: the findings, and the expectations that are not met.
pub(crate) fn log(findings: &[Finding], outcomes: &[Outcome], inventory: &Inventory) -> Value {
    let reasons: BTreeSet<Reason> = findings.iter().map(|finding| finding.reason).collect();
    let rule = |id: &str, text: &str| json!({"id": id, "shortDescription": {"text": text}});
    let mut rules: Vec<Value> =
        reasons.iter().map(|it| rule(it.as_str(), it.describe().trim())).collect();
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.is_met()).collect();
    if !failed.is_empty() {
        rules.push(rule(EXPECTATION, "Policies or cloud do not do what an expectation wants."));
    }
    let findings = findings.iter().map(|finding| of_finding(finding, inventory));
    let results: Vec<Value> = findings.chain(failed.into_iter().map(of_expectation)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "moat",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn of_finding(finding: &Finding, inventory: &Inventory) -> Value {
    let level = match finding.effect {
        Effect::NotEnforced => "error",
        Effect::Narrower => "warning",
        Effect::Ignored => "note",
    };
    let example =
        finding.witness.as_ref().map(|flow| format!(" Such as {}.", flow.display(inventory)));
    let text = format!("{} ({}).{}", finding.message, finding.effect, example.unwrap_or_default());
    let construct = format!("{} {}", finding.object, finding.path);
    let location = location(finding.location.as_ref(), Some(construct.trim_end()));
    json!({
        "ruleId": finding.reason.as_str(),
        "level": level,
        "message": {"text": text},
        "locations": [location],
    })
}

fn of_expectation(outcome: &Outcome) -> Value {
    let text = format!("{}: {}", outcome.name(), outcome.message.as_deref().unwrap_or_default());
    json!({
        "ruleId": EXPECTATION,
        "level": "error",
        "message": {"text": text},
        "locations": [location(Some(outcome.location()), None)],
    })
}

fn location(place: Option<&Location>, construct: Option<&str>) -> Value {
    let mut location = serde_json::Map::new();
    if let Some(Location { file, line, column }) = place {
        let region = json!({"startLine": line, "startColumn": column});
        let artifact = json!({"uri": uri(file)});
        location.insert(
            "physicalLocation".into(),
            json!({"artifactLocation": artifact, "region": region}),
        );
    }
    if let Some(construct) = construct {
        location.insert("logicalLocations".into(), json!([{"fullyQualifiedName": construct}]));
    }
    location.into()
}

/// A path as a relative reference (RFC 3986): what is not allowed there is escaped.
fn uri(path: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte);
    path.bytes()
        .map(
            |byte| {
                if allowed(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}
