//! The program as a whole: `moat controller` between a real API server and EC2's API as LocalStack speaks it.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod acls;
mod beside;
mod changes;
mod failover;
mod kills;
mod latency;
mod outages;
mod quarantine;
mod world;
