//! The part of a cluster on which the rules of some cohorts depend, translated as if it were all.

use std::collections::BTreeSet;

use super::index::{Index, PolicyId};
use super::store::{Store, name_of};
use crate::compile::class::Standing;
use crate::compile::cohort::CohortId;
use crate::compile::concession::Concessions;
use crate::compile::grant::Grant;
use crate::compile::meaning::{ByDirection, Meaning};
use crate::compile::shared::Pools;
use crate::inventory::PodIndex;
use crate::policy::{Policy, Tier};

/// What came of the cohorts that were asked for.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The distinct grants; their references name cohorts of the index.
    pub(super) grants: Vec<Grant>,
    /// For each cohort its grants, by their places, and what becomes of its prior groups.
    pub(super) owners: Vec<(CohortId, ByDirection<Option<usize>>, Standing)>,
}

/// Translates the policies of some cohorts. What passes at their end depends on the policies about them, on the pods that those
/// name, on other pods that claim those pods' addresses, and on nothing else, unless addresses are taken out.
pub(super) fn find(
    index: &Index,
    store: &mut Store,
    owners: &BTreeSet<CohortId>,
    pools: &mut Pools,
) -> Found {
    let about: BTreeSet<PolicyId> = owners.iter().flat_map(|id| index.about(*id)).collect();
    let policies: Vec<&Policy> = about.iter().filter_map(|id| index.policy_at(*id)).collect();
    let mut there = owners.clone();
    there.extend(about.iter().flat_map(|id| index.peers(*id)));
    // Where no rule denies or passes, addresses of pods that references name do not matter: two pods are like more.
    let by_address = policies.iter().any(|policy| policy.tier != Tier::NetworkPolicy);
    let cohorts = there.iter().filter_map(|id| index.cohort(*id));
    let names = cohorts.flat_map(|cohort| {
        let all = by_address || !cohort.alike.programmable();
        cohort.pods.iter().take(if all { usize::MAX } else { 2 })
    });
    let mut names: BTreeSet<_> = names.collect();
    let addresses = names.iter().filter_map(|name| store.pod(name)).flat_map(|pod| &pod.addresses);
    let claimants: Vec<_> = addresses.flat_map(|address| index.claimants(*address)).collect();
    names.extend(claimants);
    let pods = names.into_iter().filter_map(|name| store.pod(name).cloned()).collect();
    store.with_pods(pods, |inventory, settings| {
        let meaning = Meaning::new(&policies, inventory, settings, &Concessions::new(), pools);
        let of = |pod: &PodIndex| index.of(&name_of(inventory.pod(*pod)?));
        let first = |cohort: &super::super::cohort::Cohort| cohort.pods.first().and_then(of);
        let global: Vec<Option<CohortId>> = meaning.cohorts.list.iter().map(first).collect();
        let rename = |grant: &Grant| {
            let renamed = grant.references.iter().filter_map(|(id, services)| {
                Some(((*global.get(*id as usize)?)?, services.clone()))
            });
            let mut references: Vec<_> = renamed.collect();
            references.sort_unstable_by_key(|(id, _)| *id);
            // Cohorts that were split by their addresses.
            references.dedup_by_key(|(id, _)| *id);
            Grant { references, ..grant.clone() }
        };
        let mut found = Found::default();
        let mut known: Vec<Option<usize>> = vec![None; meaning.grants.len()];
        let mut seen = BTreeSet::new();
        for ((local, cohort), granted) in meaning.cohorts.iter().zip(&meaning.granted) {
            let Some(id) = global.get(local as usize).copied().flatten() else { continue };
            if !owners.contains(&id) || !seen.insert(id) {
                continue;
            }
            let standing = Standing::new(&meaning, cohort, *granted);
            let grants = granted.map(|grant| {
                let slot = known.get_mut(grant?)?;
                if slot.is_none() {
                    found.grants.push(rename(meaning.grants.get(grant?)?));
                    *slot = Some(found.grants.len() - 1);
                }
                *slot
            });
            found.owners.push((id, grants, standing));
        }
        found
    })
}
