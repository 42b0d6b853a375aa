//! The controller against a real API server, with the VPC in memory for a cloud.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod account;
mod admission;
mod certificates;
mod consent;
mod enforcement;
mod grants;
mod http;
mod leading;
mod prometheus;
mod quarantine;
mod serving;
mod unsupported;
mod world;
