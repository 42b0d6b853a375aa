//! What will become of a candidate: pure.

use moat_core::compile::Inputs;
use moat_core::finding::{Finding, Reason};
use moat_core::inventory::{Attachment, Interface, InterfaceId, Inventory};
use moat_core::placement;
use moat_core::policy::{ObjectRef, Policy, Subject};
use moat_core::settings::Quotas;
use moat_k8s::configuration::Configuration;
use moat_k8s::{Content, Read};

use super::lines;
use crate::index::Snapshot;

/// What is said of a candidate among the others.
///
/// `placed` is what the cloud was last seen to be. Who never saw it, and whoever is new, is taken for a pod with an interface of
/// its own, so that no warning is wrong; warnings about interfaces are left out then.
pub(super) fn warnings(
    candidate: Read,
    cluster: Snapshot,
    placed: Option<&Inputs>,
    configuration: &Configuration,
) -> Vec<String> {
    let Content::Policy(policy) = candidate.content else { return Vec::new() };
    let object = candidate.object;
    let mut said: Vec<String> = candidate.findings.iter().map(lines::finding).collect();
    let others = cluster.policies.iter().filter(|(other, _)| **other != object);
    let others = others.map(|(_, known)| known.policy.clone());
    let policies = others.chain([*policy]).collect();
    let mut inventory = cluster.inventory;
    placement::take_absent(&mut inventory);
    place(&mut inventory, placed);
    let mut policies = configuration.in_force(policies, &inventory);
    policies.sort_by(|one, other| one.object.cmp(&other.object));
    let Some(policy) = policies.iter().find(|policy| policy.object == object) else {
        let text = "`namespaceSelector` in Moat's configuration leaves this namespace out, so the policy is not enforced yet";
        said.push(lines::about("metadata.namespace", text));
        return lines::fitting(said);
    };
    if selects_nothing(policy, &inventory) {
        let path = if object.namespace.is_some() { "spec.podSelector" } else { "spec.subject" };
        let text = "it selects no pod that runs, so nothing is enforced until one does; if there should be some, compare their labels";
        said.push(lines::about(path, text));
    }
    let settings = placed.map(|placed| placed.settings.clone());
    let settings = settings.unwrap_or_else(|| configuration.settings(Quotas::default()));
    let part = Inputs { policies, inventory, settings }.narrowed(&object);
    let desired = part.compile();
    said.extend(desired.findings.iter().filter_map(|finding| of(&object, finding)));
    lines::fitting(said)
}

/// What a finding tells whoever applies a policy. Standing facts are no news.
fn of(object: &ObjectRef, finding: &Finding) -> Option<String> {
    if finding.object == *object {
        return (!finding.reason.is_standing()).then(|| lines::finding(finding));
    }
    // The one that is asked later is told; this one may be the other.
    let meets = finding.reason == Reason::EqualPriority
        && finding.message.starts_with(&format!("`{object}` "));
    meets.then(|| {
        let other = &finding.object;
        let text = format!(
            "EqualPriority: `{other}` has the same tier and priority and selects some of the same pods: this one is asked first, \
             by name; give one of them another priority"
        );
        lines::about("spec.priority", &text)
    })
}

fn selects_nothing(policy: &Policy, inventory: &Inventory) -> bool {
    let Subject::Pods(selector) = &policy.subject else { return false };
    inventory.by_namespace().selected(selector).next().is_none()
}

/// Puts the pods where they were last seen.
fn place(inventory: &mut Inventory, placed: Option<&Inputs>) {
    let seen = placed.map(|placed| &placed.inventory);
    if let Some(seen) = seen {
        inventory.vpc.clone_from(&seen.vpc);
        inventory.foreign.clone_from(&seen.foreign);
    }
    for pod in &mut inventory.pods {
        let known = seen.and_then(|seen| {
            let key = (&pod.namespace, &pod.name);
            let place =
                seen.pods.binary_search_by_key(&key, |it| (&it.namespace, &it.name)).ok()?;
            seen.pods.get(place).filter(|known| known.uid == pod.uid)
        });
        let interface = known.and_then(|known| known.interface.clone());
        let told = interface.as_ref().and_then(|id| seen?.interfaces.get(id)).cloned();
        match (known, interface, told) {
            (Some(_), Some(id), Some(interface)) => {
                pod.interface = Some(id.clone());
                inventory.interfaces.insert(id, interface);
            }
            // Seen, and the cloud has none for it.
            (Some(_), interface, _) => pod.interface = interface,
            (None, ..) => {
                let id = InterfaceId(format!("{}/{}", pod.namespace, pod.name).into());
                let own =
                    Interface { attachment: Attachment::Exclusive, prior: Default::default() };
                pod.interface = Some(id.clone());
                inventory.interfaces.insert(id, own);
            }
        }
    }
}
