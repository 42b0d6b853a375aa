//! The objects that say what becomes of policies: their names, and how they are written.

use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use moat_core::policy::{ObjectRef, Word};
use moat_k8s::crd::{
    ClusterPolicyEnforcement, EnforcementStatus, PolicyEnforcement, PolicyReference,
};
use serde_json::{Value, json};

use crate::index::Known;
use crate::kinds::Watched;

/// What is there about a policy.
pub(crate) struct Written {
    /// The unique id of the policy.
    pub(crate) owner: String,
    /// The name of the object.
    pub(super) name: String,
    pub(crate) status: EnforcementStatus,
}

/// Who writes, as server-side apply calls it.
const MANAGER: &str = "moat";

/// The longest name that the API server takes: a DNS subdomain (RFC 1123).
const LONGEST_NAME: usize = 253;

/// What an object says, and of which policy.
pub(crate) fn learn(object: DynamicObject) -> Option<(ObjectRef, Written)> {
    let of = |pointer: &str| object.data.pointer(pointer).cloned().unwrap_or_default();
    let policy: PolicyReference = serde_json::from_value(of("/spec/policy")).ok()?;
    let status = serde_json::from_value(of("/status")).unwrap_or_default();
    let owner = object.metadata.owner_references?.into_iter().next()?;
    let watched = Watched::ALL.into_iter().find(|it| it.resource().kind == policy.kind)?;
    let namespace = object.metadata.namespace.map(Word::from);
    let key = ObjectRef { kind: watched.definition().policy?, namespace, name: policy.name.into() };
    Some((key, Written { owner: owner.uid, name: object.metadata.name?, status }))
}

pub(super) fn parameters() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

/// The objects that say what becomes of policies.
pub(crate) fn resource(is_namespaced: bool) -> ApiResource {
    if is_namespaced {
        ApiResource::erase::<PolicyEnforcement>(&())
    } else {
        ApiResource::erase::<ClusterPolicyEnforcement>(&())
    }
}

pub(super) async fn put_status(
    api: &Api<DynamicObject>,
    resource: &ApiResource,
    name: &str,
    status: Value,
) -> Result<(), kube::Error> {
    let patch = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": { "name": name },
        "status": status,
    });
    api.patch_status(name, &parameters(), &Patch::Apply(&patch)).await.map(drop)
}

/// The object that says what becomes of a policy, without its status.
pub(super) fn enforcement(watched: Watched, policy: &ObjectRef, name: &str, uid: &str) -> Value {
    let (own, policies) = (resource(policy.namespace.is_some()), watched.resource());
    json!({
        "apiVersion": own.api_version,
        "kind": own.kind,
        "metadata": {
            "name": name,
            "ownerReferences": [{
                "apiVersion": policies.api_version,
                "kind": policies.kind,
                "name": &*policy.name,
                "uid": uid,
            }],
        },
        "spec": { "policy": { "kind": policies.kind, "name": &*policy.name } },
    })
}

/// The name of the object about a policy: a NetworkPolicy and a VpcNetworkPolicy may share theirs.
pub(super) fn name(known: &Known) -> String {
    let ObjectRef { kind, name, .. } = &known.policy.object;
    let name = format!("{}-{name}", kind.short_name());
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let id = known.uid.chars().take(8).collect::<String>();
    let kept: String = name.chars().take(LONGEST_NAME - 1 - id.len()).collect();
    format!("{}-{id}", kept.trim_end_matches(['.', '-']))
}
