//! The provider for AWS: its parts by themselves, and the whole against EC2's API as LocalStack speaks it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connect;
mod contract;
mod errors;
mod icmp;
mod localstack;
mod pace;
mod tags;
mod wire;
