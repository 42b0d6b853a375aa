//! The whole differential test by one command; `USAGE` tells how.
//!
//! With `--acls` some subnets' network ACLs are handed over. Prints what was compared and which findings explained the differences. With `--keep-going` it prints one
//! shrunk failure of each sentence instead of stopping at the first.

use std::collections::BTreeSet;
use std::process::ExitCode;

use moat_tests::arguments::Arguments;
use moat_tests::differential::{Tally, check};
use moat_tests::generate::{Cluster, cluster, guarded_cluster};
use moat_tests::run::{Amount, differential};

const USAGE: &str = "differential [--acls] [--clusters N] [--packets N] [--first SEED] [--quotas any|tight|unlimited] \
                     [--keep-going]";

fn main() -> ExitCode {
    let arguments = Arguments::of_process(USAGE);
    let amount = Amount {
        first: arguments.number("--first", 0),
        clusters: arguments.number("--clusters", 10_000),
        packets: usize::try_from(arguments.number("--packets", 150)).unwrap_or(150),
    };
    let quotas = arguments.quotas();
    let acls = arguments.has("--acls");
    let make = |seed| if acls { guarded_cluster(seed, quotas) } else { cluster(seed, quotas) };
    if arguments.has("--keep-going") {
        return survey(amount, make);
    }
    arguments.report(differential(amount, make))
}

/// Prints the first failure of each sentence, shrunk, and how many clusters fail.
fn survey(amount: Amount, make: impl Fn(u64) -> Cluster + Copy + Sync) -> ExitCode {
    let (mut total, mut failed, mut seen) = (Tally::default(), 0, BTreeSet::new());
    for seed in amount.first..amount.first + amount.clusters {
        match check(&make(seed), seed, amount.packets) {
            Ok(tally) => total += tally,
            Err(found) => {
                failed += 1;
                if seen.insert(found.sentence()) {
                    let one = Amount { first: seed, clusters: 1, ..amount };
                    println!("{}", differential(one, make).err().unwrap_or_default());
                }
            }
        }
    }
    println!("{total}{failed} clusters fail");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
