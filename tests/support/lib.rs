//! What the tests share: seeded generators of clusters, packets at their corners, the properties, and a shrinker.
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helper fails by panicking, and says why"
)]

pub mod arguments;
pub mod band;
pub mod build;
pub mod contract;
pub mod crash;
pub mod differential;
pub mod driven;
pub mod figures;
pub mod generate;
pub mod incremental;
pub mod latency;
pub mod mutations;
pub mod packets;
pub mod print;
pub mod proof;
pub mod random;
pub mod reading;
pub mod run;
pub mod scenario;
pub mod shapes;
pub mod shrink;
pub mod state;
pub mod transitions;
pub mod uninstall;
