//! The provider for AWS: its parts by themselves, and the whole against EC2's API as LocalStack speaks it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod acls;
mod calls;
mod clusters;
mod connect;
mod contract;
mod convergence;
mod edits;
mod entries;
mod errors;
mod faults;
mod foreign;
mod icmp;
mod limits;
mod localstack;
mod pace;
mod policy;
mod recovery;
mod tags;
mod wire;
mod world;
