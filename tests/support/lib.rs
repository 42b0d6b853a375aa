//! What the tests share: seeded generators of clusters, builders, the state after a plan.

pub mod contract;
