//! The ends of flows, as people write and read them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use moat_core::flow::{Endpoint, EndpointSet, Flow};
use moat_core::inventory::{Inventory, Pod, PodIndex};
use moat_core::net::{AddressSet, Family, Prefix, Service};
use moat_core::policy::Word;
use moat_k8s::{WorkloadRef, Workloads};

use crate::failure::Failure;

/// The members of a set: its pods' names, then its address blocks.
pub(crate) fn members(set: &EndpointSet, inventory: &Inventory) -> Vec<String> {
    let pods = set.pods.iter().map(|index| Endpoint::Pod(*index).named(inventory));
    pods.chain(set.addresses.prefixes().iter().map(ToString::to_string)).collect()
}

/// The members of a set for people: addresses that are all but those of pods are not spelled out.
pub(crate) fn members_in_short(set: &EndpointSet, inventory: &Inventory) -> Vec<String> {
    let mut left = set.clone();
    let mut whole = Vec::new();
    for family in Family::BOTH {
        let every = AddressSet::from(Prefix::everything(family));
        let others = every.difference(&set.addresses).prefixes();
        let borne = |prefix: &Prefix| {
            let pods = inventory.pods_of_policies().flat_map(|(_, pod)| &pod.addresses);
            prefix.first() == prefix.last() && pods.into_iter().any(|it| *it == prefix.first())
        };
        if others.iter().all(borne) {
            left.addresses = left.addresses.difference(&every);
            whole.push(format!("every {family} address"));
        }
    }
    let mut members = members(&left, inventory);
    members.extend(whole);
    members
}

/// Finds what people name.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    inventory: &'a Inventory,
    pods: BTreeMap<String, PodIndex>,
    /// The first pod of each workload, by `namespace/kind/name` in lower case.
    workloads: BTreeMap<String, PodIndex>,
    bearers: BTreeMap<IpAddr, Vec<PodIndex>>,
}

impl<'a> Names<'a> {
    pub(crate) fn of(inventory: &'a Inventory, workloads: &Workloads) -> Self {
        let pods = inventory.pods.iter().enumerate();
        let pods = pods.map(|(index, _)| PodIndex(index));
        let pods: BTreeMap<String, PodIndex> =
            pods.map(|index| (Endpoint::Pod(index).named(inventory), index)).collect();
        let first = |(workload, names): (&WorkloadRef, &BTreeSet<Word>)| {
            let WorkloadRef { namespace, kind, name } = workload;
            let pod = pods.get(&format!("{namespace}/{}", names.first()?))?;
            Some((format!("{namespace}/{kind}/{name}"), *pod))
        };
        let workloads = workloads.iter().filter_map(first).collect();
        let mut bearers: BTreeMap<IpAddr, Vec<PodIndex>> = BTreeMap::new();
        for (index, pod) in inventory.pods_of_policies() {
            for address in &pod.addresses {
                bearers.entry(*address).or_default().push(index);
            }
        }
        Self { inventory, pods, workloads, bearers }
    }

    /// The flow between two ends by a service; `family` decides where both ends have both.
    pub(crate) fn flow(
        &self,
        from: &str,
        to: &str,
        service: &str,
        family: Option<Family>,
    ) -> Result<Flow, Failure> {
        let service: Service =
            service.parse().map_err(|error| Failure::Flow(format!("{error}")))?;
        let (source, destination) = (self.end(from)?, self.end(to)?);
        let family = self.family(&source, &destination, service, family).map_err(|why| {
            Failure::Flow(format!("no packet of {service} can go from `{from}` to `{to}`: {why}"))
        })?;
        let (source, destination) = (source.endpoint(family), destination.endpoint(family));
        match (source, destination) {
            (Some(source), Some(destination)) => Ok(Flow { source, destination, family, service }),
            (None, _) | (_, None) => {
                Err(Failure::Flow(format!("`{from}` and `{to}` have no {family} address both")))
            }
        }
    }

    /// Two dual-stack pods: the first family of the source that the destination has; ICMP and addresses settle it by
    /// themselves.
    fn family(
        &self,
        source: &End<'_>,
        destination: &End<'_>,
        service: Service,
        wanted: Option<Family>,
    ) -> Result<Family, String> {
        let common: Vec<Family> = source
            .families()
            .into_iter()
            .filter(|it| destination.families().contains(it))
            .collect();
        if common.is_empty() {
            return Err("they have no address family in common".into());
        }
        let fitting = common.iter().copied().filter(|family| service.exists_in(*family));
        let mut fitting = fitting.filter(|family| wanted.is_none_or(|wanted| wanted == *family));
        fitting.next().ok_or_else(|| {
            let families: Vec<String> = common.iter().map(ToString::to_string).collect();
            let families = families.join(" and ");
            match wanted {
                Some(family) if !service.exists_in(family) => {
                    format!("it does not exist in {family}")
                }
                Some(family) => format!("they do not both have {family}, only {families}"),
                None => format!("it does not exist in {families}"),
            }
        })
    }

    fn end(&self, text: &str) -> Result<End<'a>, Failure> {
        if let Ok(address) = text.parse::<IpAddr>() {
            let canonical = address.to_canonical();
            if address != canonical {
                return Err(Failure::Flow(format!(
                    "`{text}` wraps an IPv4 address: write `{canonical}`"
                )));
            }
            return match self.bearers.get(&address).map_or(&[][..], Vec::as_slice) {
                [] => Ok(End::Address(address)),
                [index] => Ok(End::AddressOf(*index, address)),
                several => {
                    let names = several.iter().map(|it| Endpoint::Pod(*it).named(self.inventory));
                    let names = names.collect::<Vec<_>>().join("` and `");
                    Err(Failure::Flow(format!("`{names}` claim `{address}`: name one of them")))
                }
            };
        }
        let index = match text.matches('/').count() {
            1 if text.parse::<Prefix>().is_ok() => {
                return Err(Failure::Flow(format!(
                    "`{text}` is an address block: a flow has one address, such as one of the block's"
                )));
            }
            1 => self.pods.get(text),
            2 => self.workloads.get(&kind_in_lower_case(text)),
            _ => {
                return Err(Failure::Flow(format!(
                    "`{text}` is neither a pod (`namespace/pod`), nor a workload (`namespace/kind/name`), nor an address"
                )));
            }
        };
        let pod = index.and_then(|index| Some((*index, self.inventory.pod(*index)?)));
        let (index, pod) = pod.ok_or_else(|| Failure::Flow(self.unknown(text)))?;
        Ok(End::Pod(index, pod))
    }

    /// What to say of a name that nobody bears.
    fn unknown(&self, text: &str) -> String {
        let what = if text.matches('/').count() == 2 { "workload" } else { "pod" };
        let near = nearest(text, self.pods.keys().chain(self.workloads.keys()));
        if near.is_empty() {
            let total = self.pods.len();
            return format!("there is no {what} `{text}` among the {total} pods that were read");
        }
        let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
        format!("there is no {what} `{text}`; did you mean {}?", near.join(" or "))
    }
}

/// Up to three names that `text` is a part of, or else that are a slip of the keyboard away: a letter in three of the last
/// part is wrong at most.
fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n String>) -> Vec<&'n str> {
    let (space, last) = text.rsplit_once('/').unwrap_or(("", text));
    let most = (last.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = names
        .map(|name| {
            let (first, own) = name.rsplit_once('/').unwrap_or_default();
            let within = own == last && first.split('/').next() == space.split('/').next();
            let part = within || name.starts_with(text);
            (if part { 0 } else { strsim::osa_distance(text, name) }, name.as_str())
        })
        .filter(|(wrong, _)| *wrong <= most)
        .collect();
    near.sort_unstable();
    let parts = near.iter().filter(|(wrong, _)| *wrong == 0).count();
    near.truncate(if parts > 0 { parts.min(3) } else { 3 });
    near.into_iter().map(|(_, name)| name).collect()
}

/// An end before the family is settled.
enum End<'a> {
    Pod(PodIndex, &'a Pod),
    /// A live pod by its address.
    AddressOf(PodIndex, IpAddr),
    Address(IpAddr),
}

impl End<'_> {
    fn families(&self) -> Vec<Family> {
        match self {
            // In the order of `status.podIPs`: the pod's first family comes first.
            Self::Pod(_, pod) => pod.addresses.iter().map(|it| Family::of(*it)).collect(),
            Self::AddressOf(_, address) | Self::Address(address) => vec![Family::of(*address)],
        }
    }

    /// The end in a family; a hostNetwork pod is its node's address.
    fn endpoint(&self, family: Family) -> Option<Endpoint> {
        match self {
            Self::Pod(_, pod) if pod.host_network => pod.address(family).map(Endpoint::Address),
            Self::Pod(index, _) | Self::AddressOf(index, _) => Some(Endpoint::Pod(*index)),
            Self::Address(address) => Some(Endpoint::Address(*address)),
        }
    }
}

/// A workload's name with its kind as it is looked up: `shop/Deployment/web` is `shop/deployment/web`.
fn kind_in_lower_case(text: &str) -> String {
    let parts = text.split('/').enumerate();
    let parts =
        parts.map(|(place, part)| if place == 1 { part.to_lowercase() } else { part.into() });
    parts.collect::<Vec<_>>().join("/")
}
