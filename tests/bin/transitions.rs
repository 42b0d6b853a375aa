//! The whole transitions test by one command: `transitions [--clusters N] [--first SEED] [--quotas any|tight|unlimited]`.

use std::process::ExitCode;

use moat_tests::arguments::Arguments;
use moat_tests::run::{Amount, transitions};

fn main() -> ExitCode {
    let arguments = Arguments::of_process();
    let amount = Amount {
        first: arguments.number("--first", 0),
        clusters: arguments.number("--clusters", 10_000),
        packets: 0,
    };
    arguments.report(transitions(amount, arguments.quotas()))
}
