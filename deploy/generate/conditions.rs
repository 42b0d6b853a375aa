//! How kube-state-metrics makes metrics of conditions (`--custom-resource-state-config`). Its kind is feature-frozen in favour of
//! resource-state-metrics; Moat's own `moat_policies` counts the same conditions without it, but not by name.

use serde_json::{Value, json};

/// The configuration.
#[must_use]
pub fn conditions() -> Value {
    let resource = |kind: &str, namespaced: bool| {
        let mut labels = json!({"policy_kind": ["spec", "policy", "kind"], "policy": ["spec", "policy", "name"]});
        if let (true, Some(labels)) = (namespaced, labels.as_object_mut()) {
            labels.insert("namespace".to_owned(), json!(["metadata", "namespace"]));
        }
        json!({
            "groupVersionKind": {"group": "moat.dev", "version": "v1alpha1", "kind": kind},
            "metricNamePrefix": "moat_enforcement",
            "labelsFromPath": labels,
            "metrics": [{
                "name": "condition",
                "help": "A condition of what became of a policy: 1 for True, 0 for False, -1 for Unknown",
                "each": {
                    "type": "Gauge",
                    "gauge": {
                        "path": ["status", "conditions"],
                        "labelsFromPath": {"type": ["type"], "reason": ["reason"]},
                        "valueFrom": ["status"],
                    },
                },
            }],
        })
    };
    let resources =
        [resource("PolicyEnforcement", true), resource("ClusterPolicyEnforcement", false)];
    json!({"kind": "CustomResourceStateMetrics", "spec": {"resources": resources}})
}
