//! The whole transitions test by one command; `USAGE` tells how.
//!
//! With `--acls` some subnets' network ACLs are handed over. With `--faults` plans are executed there, and each kind of fault befalls
//! each call.

use std::process::ExitCode;

use moat_tests::arguments::Arguments;
use moat_tests::run::{Amount, guarded_faults, guarded_transitions, transitions};

const USAGE: &str =
    "transitions [--acls] [--faults] [--clusters N] [--first SEED] [--quotas any|tight|unlimited]";

fn main() -> ExitCode {
    let arguments = Arguments::of_process(USAGE);
    let amount = Amount {
        first: arguments.number("--first", 0),
        clusters: arguments.number("--clusters", 10_000),
        packets: 0,
    };
    if arguments.has("--faults") {
        let faults = guarded_faults(amount);
        return arguments.report(faults.map(|count| format!("{count} faults: the same end")));
    }
    let quotas = arguments.quotas();
    arguments.report(match arguments.has("--acls") {
        true => guarded_transitions(amount, quotas),
        false => transitions(amount, quotas),
    })
}
