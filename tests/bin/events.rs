//! The whole incremental test by one command; `USAGE` tells how.

use std::process::ExitCode;

use moat_tests::arguments::Arguments;
use moat_tests::incremental::check;
use moat_tests::run::{Amount, over_seeds};

const USAGE: &str =
    "events [--clusters N] [--events N] [--first SEED] [--quotas any|tight|unlimited]";

fn main() -> ExitCode {
    let arguments = Arguments::of_process(USAGE);
    let amount = Amount {
        first: arguments.number("--first", 0),
        clusters: arguments.number("--clusters", 400),
        packets: 0,
    };
    let quotas = arguments.quotas();
    let events = usize::try_from(arguments.number("--events", 25)).unwrap_or(25);
    arguments.report(over_seeds(amount, |seed| check(seed, quotas, events)))
}
