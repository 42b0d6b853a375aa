//! What an API server can tell by itself of a policy, where the webhook is not wanted: `deploy/admission/policies.yaml` holds what
//! is made here.

use moat_core::finding::Reason;
use serde_json::{Value, json};

/// The kinds of policies: group, version, plural.
const KINDS: [(&str, &str, &str); 4] = [
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("policy.networking.k8s.io", "v1alpha2", "clusternetworkpolicies"),
    ("moat.dev", "v1alpha1", "vpcnetworkpolicies"),
    ("moat.dev", "v1alpha1", "clustervpcnetworkpolicies"),
];

/// One ValidatingAdmissionPolicy with its binding for each kind of policy: the warnings that need nothing but the policy.
#[must_use]
pub fn admission_policies() -> Vec<Value> {
    let of_kind = |(group, version, plural): (&str, &str, &str)| {
        let name = format!("moat-{plural}");
        let checks = checks(plural).into_iter().map(|(reason, expression, message)| {
            json!({"expression": expression, "message": format!("{reason}: {message}")})
        });
        [
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicy",
                "metadata": {"name": name},
                "spec": {
                    "failurePolicy": "Ignore",
                    "matchConstraints": {"resourceRules": [rule(group, version, plural)]},
                    "validations": checks.collect::<Vec<_>>(),
                },
            }),
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": {"name": name},
                "spec": {"policyName": name, "validationActions": ["Warn"]},
            }),
        ]
    };
    KINDS.into_iter().flat_map(of_kind).collect()
}

fn rule(group: &str, version: &str, plural: &str) -> Value {
    json!({
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["CREATE", "UPDATE"],
        "resources": [plural],
    })
}

/// What is checked of a kind: the reason, what has to hold in CEL, and what is said where it does not.
fn checks(plural: &str) -> Vec<(Reason, String, &'static str)> {
    let is_core = plural == "networkpolicies";
    let is_cluster_wide = plural.starts_with("cluster");
    let services = if is_core { "ports" } else { "protocols" };
    // Whether each service of each rule is fine.
    let each = |direction: &str, fine: &str| {
        format!(
            "(!has(object.spec.{direction}) || object.spec.{direction}.all(rule, \
             !has(rule.{services}) || rule.{services}.all(service, {fine})))"
        )
    };
    let no_sctp_port = if is_core {
        "!(has(service.port) && has(service.protocol) && service.protocol == 'SCTP')"
    } else {
        "!(has(service.sctp) && has(service.sctp.destinationPort))"
    };
    let no_name = if is_core {
        "!has(service.port) || type(service.port) != string"
    } else {
        "!has(service.destinationNamedPort)"
    };
    let pods_alone = if is_cluster_wide {
        "!has(peer.networks) && !has(peer.nodes) && !has(peer.domainNames)"
    } else {
        "!has(peer.ipBlock)"
    };
    let mut checks = vec![
        (
            Reason::SctpPort,
            format!("{} && {}", each("ingress", no_sctp_port), each("egress", no_sctp_port)),
            "security groups know sctp only as a whole: a rule that names a port of it stays closed there; leave the port out or \
             use tcp or udp",
        ),
        (
            Reason::NamedPortOfAddress,
            format!(
                "!has(object.spec.egress) || object.spec.egress.all(rule, !has(rule.{services}) || \
                 rule.{services}.all(service, {no_name}) || \
                 (has(rule.to) && size(rule.to) > 0 && rule.to.all(peer, {pods_alone})))"
            ),
            "nobody can resolve a named port at an address: egress to addresses matches nothing by name; write the port's number",
        ),
    ];
    if is_cluster_wide {
        checks.push((
            Reason::UnsupportedField,
            "!has(object.spec.egress) || object.spec.egress.all(rule, rule.to.all(peer, !has(peer.domainNames)))"
                .to_owned(),
            "`domainNames` is not supported: an Accept rule with it matches nothing, any other denies everything; use `networks`",
        ));
    }
    if plural == "clustervpcnetworkpolicies" {
        let hits = |key: &str, kind: u8, name: &str, code: u8| {
            let message = format!("service.{key}");
            format!(
                "(has({message}) && (!has({message}.type) || {message}.type == {kind} || {message}.type == '{name}') && \
                 (!has({message}.code) || {message}.code == {code}))"
            )
        };
        let both =
            [hits("icmp", 3, "destination-unreachable", 4), hits("icmpv6", 2, "packet-too-big", 0)];
        checks.push((
            Reason::PathMtu,
            format!(
                "!has(object.spec.ingress) || object.spec.ingress.all(rule, rule.action != 'Deny' || \
                 !has(rule.protocols) || !rule.protocols.exists(service, {}))",
                both.join(" || ")
            ),
            "a Deny rule closes the ICMP messages that path MTU discovery needs (3/4, for IPv6 2/0): large packets may hang; let \
             these messages through",
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `MOAT_UPDATE=1 cargo test -p moat-k8s deploy` writes the files that this compares.
    #[test]
    fn the_committed_objects_are_what_is_made_here() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = root.join("deploy/admission/policies.yaml");
        let texts: Vec<String> = admission_policies()
            .iter()
            .map(|object| serde_saphyr::to_string(object).expect("it serialises"))
            .collect();
        let text = texts.join("---\n");
        if std::env::var_os("MOAT_UPDATE").is_some() {
            std::fs::write(&path, &text).expect("writable");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "{} is stale: run with MOAT_UPDATE=1", path.display());
    }
}
