//! Where pods are in the cloud: what a picture tells of their interfaces, written into an inventory.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::finding::{Effect, Finding, Reason};
use crate::firewall::{ForeignGroupId, GroupKey, Rule};
use crate::inventory::{Attachment, InterfaceId, Inventory, Pod};
use crate::policy::{Kind, ObjectRef, Word};
use crate::provider::{Observed, Scope};

/// What a picture is to show of these pods: their interfaces, and the bearers of the addresses of those whose interface nobody
/// names; with the [defaults](Scope::defaults).
#[must_use]
pub fn scope(inventory: &Inventory, defaults: &BTreeSet<ForeignGroupId>) -> Scope {
    let interfaces = inventory.pods.iter().filter_map(|pod| pod.interface.clone());
    let unnamed = inventory.pods_of_policies().filter(|(_, pod)| pod.interface.is_none());
    let addresses = unnamed.flat_map(|(_, pod)| pod.addresses.iter().copied());
    let (interfaces, addresses) = (interfaces.collect(), addresses.collect());
    Scope { interfaces, addresses, defaults: defaults.clone(), ..Scope::default() }
}

/// Takes out the pods without an address, with a finding for each: a real cloud has none to give.
pub fn take_absent(inventory: &mut Inventory) -> Vec<Finding> {
    let mut absent = Vec::new();
    inventory.pods.retain(|pod| {
        let is_there = !pod.addresses.is_empty();
        if !is_there {
            let message =
                "the pod has no address yet, so policies do not see it: read it again once its `status.podIPs` tell";
            absent.push(ignored(pod, "", Reason::NotRunning, message.into()));
        }
        is_there
    });
    absent
}

/// Says of each pod whose interface the picture that it was [placed](place) by does not show that nothing filters it.
#[must_use]
pub fn unplaced(inventory: &Inventory) -> Vec<Finding> {
    let told = inventory.pods_of_policies().filter_map(|(_, pod)| {
        let interface = pod.interface.as_ref()?;
        if inventory.interfaces.contains_key(interface) {
            return None;
        }
        let message = format!(
            "`{}` is not in the VPC, so nothing filters the pod: if the pod is ending, this passes; else look whether it is the \
             right VPC and region, or make the pod anew",
            interface.0
        );
        let path = "metadata.annotations[vpc.amazonaws.com/pod-eni]";
        Some(ignored(pod, path, Reason::NoInterface, message.into()))
    });
    told.collect()
}

/// Says of each address that several pods claim whose it is said to be. Each of them stays isolated as its own policies say;
/// where rules name the address, the compiler opens what all of them may, no more.
#[must_use]
pub fn disputed(inventory: &Inventory) -> Vec<Finding> {
    let mut claims: BTreeMap<IpAddr, Vec<&Pod>> = BTreeMap::new();
    for (_, pod) in inventory.pods_of_policies() {
        for address in &pod.addresses {
            claims.entry(*address).or_default().push(pod);
        }
    }
    let disputed = claims.iter().filter(|(_, pods)| pods.len() > 1);
    let findings = disputed.flat_map(|(address, pods)| {
        let names: Vec<_> =
            pods.iter().map(|pod| format!("`{}/{}`", pod.namespace, pod.name)).collect();
        let message = format!(
            "{} claim `{address}`, and one pod at most can bear it: where rules name the address, what only some of them may \
             stays closed; leave out the pods that are gone",
            names.join(" and ")
        );
        let of = move |pod: &&Pod| {
            ignored(pod, "status", Reason::DuplicateAddress, message.clone().into())
        };
        pods.iter().map(of).collect::<Vec<_>>()
    });
    findings.collect()
}

fn ignored(pod: &Pod, path: &str, reason: Reason, message: Cow<'static, str>) -> Finding {
    let (namespace, name) = (Some(pod.namespace.clone()), pod.name.clone());
    let object = ObjectRef { kind: Kind::Pod, namespace, name };
    let finding = Finding::without_flows(object, reason, Effect::Ignored, message);
    Finding { path: path.into(), ..finding }
}

/// Writes into an inventory what a picture of its [`scope`] shows. Pods whose interface nobody names are on the one that bears
/// their address: on EKS their node's. One that carries a single pod is no other's.
pub fn place(inventory: &mut Inventory, observed: &Observed) {
    inventory.interfaces.clone_from(&observed.interfaces);
    inventory.foreign = observed.state.groups.iter().filter_map(others).collect();
    inventory.subnets.clone_from(&observed.subnets);
    let acls = observed.state.acls.iter();
    let acls = acls.filter_map(|(key, acl)| Some((key.foreign()?.clone(), acl.clone())));
    inventory.acls = acls.collect();
    let mut named: BTreeSet<InterfaceId> =
        inventory.pods.iter().filter_map(|pod| pod.interface.clone()).collect();
    let unnamed = inventory.pods.iter_mut();
    for pod in unnamed.filter(|pod| pod.interface.is_none() && !pod.host_network) {
        let bearer = pod.addresses.iter().find_map(|address| observed.bearers.get(address));
        let is_free = |id: &&InterfaceId| {
            let attachment = observed.interfaces.get(*id).map(|interface| interface.attachment);
            attachment == Some(Attachment::Shared) || named.insert((*id).clone())
        };
        pod.interface = bearer.filter(is_free).cloned();
    }
}

/// Lets go of the interfaces of released pods, by namespace and name: nothing is desired of them, so they get back what they wore
/// before, and policies say that the pods are not filtered.
pub fn release(inventory: &mut Inventory, released: &BTreeSet<(Word, Word)>) {
    for pod in &inventory.pods {
        if released.contains(&(pod.namespace.clone(), pod.name.clone()))
            && let Some(interface) = pod.interface.as_ref()
            && let Some(interface) = inventory.interfaces.get_mut(interface)
            && interface.attachment == Attachment::Exclusive
        {
            interface.attachment = Attachment::Released;
        }
    }
}

fn others((key, rules): (&GroupKey, &BTreeSet<Rule>)) -> Option<(ForeignGroupId, BTreeSet<Rule>)> {
    Some((key.foreign()?.clone(), rules.clone()))
}
