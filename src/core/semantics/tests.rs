//! The API texts as cases: what a policy says, and what becomes of packets.

mod cluster_policy;
mod conformance;
mod e2e;
mod essential;
mod network_policy;
mod settings;
