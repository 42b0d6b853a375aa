//! Real servers for tests, each a script of `localstack/`: a Kubernetes control plane, EC2's API, and what plays the nodes.
//! A server lives as long as its value, at most as long as the test's process, however that ends. `localstack/README.md`
//! says what they can do and what they cannot.
//!
//! Only with the feature `client` a client of Kubernetes is part of this crate.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that has no server fails")]

mod control_plane;
mod localstack;
#[cfg(feature = "client")]
mod objects;
mod server;

pub use control_plane::{ControlPlane, Part};
pub use localstack::{account, ask, ask_at, authority, cloud};
#[cfg(feature = "client")]
pub use objects::{Objects, PATIENCE, until};
pub use server::{Server, unique};
