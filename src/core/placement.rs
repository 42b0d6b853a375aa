//! Where pods are in the cloud: what a picture tells of their interfaces, written into an inventory.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::compile::acl;
use crate::finding::{Effect, Finding, Reason};
use crate::firewall::{AclName, ForeignGroupId, GroupKey, Rule};
use crate::inventory::{Attachment, InterfaceId, Inventory, LeftAlone, Pod};
use crate::policy::{Kind, ObjectRef, Word};
use crate::provider::{HandedOver, Observed, Scope};

/// What a picture is to show of these pods: their interfaces, and the bearers of the addresses of those whose interface nobody
/// names; with the [defaults](Scope::defaults) and the subnets that are [handed over](Scope::acls).
#[must_use]
pub fn scope(
    inventory: &Inventory,
    defaults: BTreeSet<ForeignGroupId>,
    acls: BTreeMap<AclName, HandedOver>,
) -> Scope {
    let interfaces = inventory.pods.iter().filter_map(|pod| pod.interface.clone());
    let unnamed = inventory.pods_of_policies().filter(|(_, pod)| pod.interface.is_none());
    let addresses = unnamed.flat_map(|(_, pod)| pod.addresses.iter().copied());
    let (interfaces, addresses) = (interfaces.collect(), addresses.collect());
    Scope { interfaces, addresses, defaults, acls }
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

/// Says of each subnet that is handed over, and each ACL that nothing is handed over to, why no ACL of Moat's guards it. Groups alone
/// say there what they can.
#[must_use]
pub fn unguarded(inventory: &Inventory, acls: &BTreeMap<AclName, HandedOver>) -> Vec<Finding> {
    let left = inventory.handed_over().filter_map(|(id, subnet, left_alone)| {
        let id = &id.0;
        Some(match left_alone? {
            LeftAlone::HasOthers => format!(
                "`{id}` holds interfaces that are no pods', which a network ACL would hit, too, or another cluster's Moat guards it: \
                 keep subnets of `networkAcls` for pods of one cluster, or leave it out"
            ),
            LeftAlone::NoPrior => format!(
                "nobody can tell which network ACL `{id}` gets back: let one of the VPC's guard it"
            ),
            LeftAlone::OtherPrior(first) => format!(
                "the entries of `{}`, the network ACL of `{id}`, differ from those of `{}`, and one ACL cannot stand for both: \
                 give `{id}` an ACL of its own in `networkAcls`",
                subnet.prior.0, first.0
            ),
        })
    });
    let absent = acls.iter().flat_map(|(name, handed_over)| {
        let absent = handed_over.ids.iter().filter_map(|id| match inventory.subnets.get(id) {
            None => Some(format!(
                "`{}` is not in the VPC, or another account shares it, and keeps its network ACL: correct `networkAcls`",
                id.0
            )),
            Some(subnet) if subnet.acl != *name => Some(format!(
                "`{}` is handed over to `{}`, too, which gets it: name it once in `networkAcls`",
                id.0, subnet.acl.0
            )),
            Some(_) => None,
        });
        let by_tags = !handed_over.tags.is_empty();
        let has_some = inventory.subnets.values().any(|subnet| subnet.acl == *name);
        let none = (by_tags && handed_over.ids.is_empty() && !has_some).then(|| {
            format!(
                "no subnet of the VPC bears the tags of `{}`, but for those of other names: correct `networkAcls`",
                name.0
            )
        });
        absent.chain(none)
    });
    let absent: Vec<String> = absent.collect();
    left.chain(absent).map(left_alone).collect()
}

/// Says of each network ACL that guarded subnets before they were handed over what it drops whatever policies say. Ours copies it: no
/// policy opens what it drops.
#[must_use]
pub fn dropping(inventory: &Inventory) -> Vec<Finding> {
    let said = acl::dropping(inventory).into_iter().map(|(acl, (subnets, direction, named))| {
        let subnets: Vec<String> = subnets.iter().map(|id| format!("`{}`", id.0)).collect();
        let message = format!(
            "`{}`, the network ACL of {}, drops packets whatever policies say, such as {direction} {} {}: where policies are to decide, let \
             it pass them; no ACL of Moat's opens more",
            acl.0,
            subnets.join(" and "),
            named.0,
            named.1,
        );
        Finding::without_flows(ObjectRef::vpc(), Reason::PriorAcl, Effect::Narrower, message)
    });
    said.collect()
}

/// A subnet, or what is said to be one, that no network ACL of Moat's guards.
#[must_use]
pub fn left_alone(message: String) -> Finding {
    Finding::without_flows(ObjectRef::vpc(), Reason::SubnetLeftAlone, Effect::Ignored, message)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::{Acl, Entry, EntryKey, ForeignAclId};
    use crate::inventory::{Subnet, SubnetId};
    use crate::net::Family;
    use crate::policy::Direction;

    #[test]
    fn a_subnet_that_no_acl_of_ours_guards_says_why() {
        let subnet = |acl: &str, prior: &str, has_others| Subnet {
            blocks: Vec::new(),
            acl: AclName(acl.into()),
            prior: ForeignAclId(prior.into()),
            has_others,
        };
        let id = |id: &str| SubnetId(id.into());
        let key = EntryKey { direction: Direction::Ingress, number: 100.try_into().unwrap() };
        let deny: Entry = "deny 10.9.0.0/16 tcp/22".parse().unwrap();
        let inventory = Inventory {
            subnets: BTreeMap::from([
                (id("subnet-1"), subnet("pods", "acl-open", false)),
                (id("subnet-2"), subnet("pods", "acl-same", false)),
                (id("subnet-3"), subnet("pods", "acl-narrow", false)),
                (id("subnet-4"), subnet("pods", "acl-gone", false)),
                (id("subnet-5"), subnet("pods", "acl-narrow", true)),
                (id("subnet-6"), subnet("more", "acl-narrow", false)),
            ]),
            acls: BTreeMap::from([
                (ForeignAclId("acl-open".into()), Acl::default()),
                (ForeignAclId("acl-same".into()), Acl::default()),
                (ForeignAclId("acl-narrow".into()), Acl([(key, deny)].into())),
            ]),
            ..Inventory::default()
        };
        let tags = BTreeMap::from([("pods".into(), "yes".into())]);
        let acls = BTreeMap::from([
            (
                AclName("pods".into()),
                HandedOver { ids: [id("subnet-1"), id("subnet-9")].into(), tags: tags.clone() },
            ),
            (
                AclName("more".into()),
                HandedOver { ids: [id("subnet-1")].into(), tags: tags.clone() },
            ),
            (AclName("none".into()), HandedOver { ids: BTreeSet::new(), tags }),
        ]);
        let found = unguarded(&inventory, &acls);
        let said: Vec<&str> = found.iter().map(|finding| &*finding.message).collect();
        assert_eq!(
            said,
            [
                "the entries of `acl-narrow`, the network ACL of `subnet-3`, differ from those of `subnet-1`, and one ACL cannot stand \
                 for both: give `subnet-3` an ACL of its own in `networkAcls`",
                "nobody can tell which network ACL `subnet-4` gets back: let one of the VPC's guard it",
                "`subnet-5` holds interfaces that are no pods', which a network ACL would hit, too, or another cluster's Moat guards it: \
                 keep subnets of `networkAcls` for pods of one cluster, or leave it out",
                "`subnet-1` is handed over to `pods`, too, which gets it: name it once in `networkAcls`",
                "no subnet of the VPC bears the tags of `none`, but for those of other names: correct `networkAcls`",
                "`subnet-9` is not in the VPC, or another account shares it, and keeps its network ACL: correct `networkAcls`",
            ]
        );
        assert!(found.iter().all(|finding| finding.reason == Reason::SubnetLeftAlone));
    }

    #[test]
    fn what_the_acl_before_ours_drops_is_said_once() {
        // What comes after an entry that lets everything pass drops nothing.
        let deny = |number: u16| {
            let key =
                EntryKey { direction: Direction::Ingress, number: number.try_into().unwrap() };
            let mut acl = Acl::open([Family::V4]);
            acl.0.insert(key, "deny 10.9.0.0/16 tcp/22".parse().unwrap());
            acl
        };
        let subnet = |acl: &str| Subnet {
            blocks: vec!["10.0.1.0/24".parse().unwrap()],
            acl: AclName("pods".into()),
            prior: ForeignAclId(acl.into()),
            has_others: false,
        };
        let subnets = [("subnet-1", "acl-1"), ("subnet-2", "acl-2"), ("subnet-3", "acl-2")];
        let inventory = Inventory {
            subnets: subnets.map(|(id, acl)| (SubnetId(id.into()), subnet(acl))).into(),
            acls: [("acl-1", 101), ("acl-2", 99)]
                .map(|(id, number)| (ForeignAclId(id.into()), deny(number)))
                .into(),
            ..Inventory::default()
        };
        let said: Vec<_> = dropping(&inventory).into_iter().map(|it| it.message).collect();
        assert_eq!(
            said,
            [
                "`acl-2`, the network ACL of `subnet-2` and `subnet-3`, drops packets whatever policies say, such as ingress 10.9.0.0/16 \
              tcp/22: where policies are to decide, let it pass them; no ACL of Moat's opens more"
            ]
        );
    }
}
