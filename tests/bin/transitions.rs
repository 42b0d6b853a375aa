//! The whole transitions test by one command; `USAGE` tells how.

use std::process::ExitCode;

use moat_tests::arguments::Arguments;
use moat_tests::run::{Amount, transitions};

const USAGE: &str = "transitions [--clusters N] [--first SEED] [--quotas any|tight|unlimited]";

fn main() -> ExitCode {
    let arguments = Arguments::of_process(USAGE);
    let amount = Amount {
        first: arguments.number("--first", 0),
        clusters: arguments.number("--clusters", 10_000),
        packets: 0,
    };
    arguments.report(transitions(amount, arguments.quotas()))
}
