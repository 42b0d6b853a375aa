//! Runs a property over many seeds; a failure is shrunk and printed with its seed.

use std::ops::AddAssign;

use moat_core::inventory::Inventory;

use crate::differential::{Tally, check};
use crate::generate::{Cluster, QuotaChoice};
use crate::shrink::shrink;
use crate::{crash, transitions, uninstall};

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// The first seed.
    pub first: u64,
    /// How many clusters, one for each seed from there on.
    pub clusters: u64,
    /// Packets for each cluster, besides those of its findings.
    pub packets: usize,
}

/// Compares policies and cloud over the clusters that `make` makes of many seeds.
///
/// # Errors
///
/// The smallest form of the first cluster that fails, with its seed and the sentence that does not hold.
pub fn differential(amount: Amount, make: impl Fn(u64) -> Cluster + Sync) -> Result<Tally, String> {
    over_seeds(amount, |seed| {
        let made = make(seed);
        check(&made, seed, amount.packets).map_err(|found| {
            let again = |candidate: &Cluster| {
                let found_again = check(candidate, seed, 4 * amount.packets).err();
                found_again.is_some_and(|other| other.sentence() == found.sentence())
            };
            let describe = |smallest: &Cluster, inventory: &Inventory| {
                let why = check(smallest, seed, 4 * amount.packets).err();
                why.unwrap_or_else(|| found.clone()).describe(inventory)
            };
            let smallest = shrink(made.clone(), again);
            format!("seed {seed}: {}\n{smallest}", describe(&smallest, &smallest.inventory))
        })
    })
}

/// Walks plans over many clusters, three edits each.
///
/// # Errors
///
/// The first cluster and edit of which some state leaves the band.
pub fn transitions(amount: Amount, quotas: QuotaChoice) -> Result<transitions::Tally, String> {
    over_seeds(amount, |seed| transitions::check(seed, quotas, 3))
}

/// The same where network ACLs are handed over.
///
/// # Errors
///
/// The first cluster and edit of which some state leaves the band.
pub fn guarded_transitions(
    amount: Amount,
    quotas: QuotaChoice,
) -> Result<transitions::Tally, String> {
    over_seeds(amount, |seed| transitions::check_guarded(seed, quotas, 3))
}

/// Kills at every call on the way between two states of many clusters, and counts the deaths.
///
/// # Errors
///
/// The first death that leaves something behind.
pub fn crashes(amount: Amount) -> Result<usize, String> {
    over_seeds(amount, crash::check)
}

/// Lets every kind of fault befall every call on the way between two states of many clusters whose network ACLs are handed over, and
/// counts them.
///
/// # Errors
///
/// The first fault that leaves something behind.
pub fn guarded_faults(amount: Amount) -> Result<usize, String> {
    over_seeds(amount, crash::check_guarded)
}

/// Uninstalls many clusters whose network ACLs were handed over.
///
/// # Errors
///
/// The first one after which something is not as others made it.
pub fn uninstalls(amount: Amount) -> Result<uninstall::Tally, String> {
    over_seeds(amount, uninstall::check)
}

/// Adds up what a property counts over many seeds, on every core.
///
/// # Errors
///
/// Those of the least seed that fails.
pub fn over_seeds<T: AddAssign + Default + Send>(
    amount: Amount,
    property: impl Fn(u64) -> Result<T, String> + Sync,
) -> Result<T, String> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds = amount.first..amount.first + amount.clusters;
    let part = |worker: usize| {
        let mut total = T::default();
        for seed in seeds.clone().skip(worker).step_by(workers) {
            total += property(seed).map_err(|why| (seed, why))?;
        }
        Ok(total)
    };
    let parts: Vec<Result<T, (u64, String)>> = std::thread::scope(|scope| {
        let part = &part;
        let running: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || part(worker))).collect();
        let joined = running.into_iter().map(|worker| match worker.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    });
    let mut total = T::default();
    let mut failure: Option<(u64, String)> = None;
    for part in parts {
        match part {
            Ok(counted) => total += counted,
            Err(one) => {
                failure = Some(match failure {
                    Some(least) if least.0 < one.0 => least,
                    Some(_) | None => one,
                });
            }
        }
    }
    failure.map_or(Ok(total), |(_, why)| Err(why))
}
