//! Moat's core: Kubernetes network policies in, a proven plan for cloud security groups out.
//!
//! ```text
//! Policies ─┐
//!           ├─▶ compile ─▶ Desired ─┐
//! Inventory ┘                       ├─▶ plan ─▶ stages of steps ─▶ a provider executes
//!                          Observed ┘
//! ```
//!
//! Everything here is pure: no clock, no I/O, no async runtime, no randomness, ordered collections. Two references, written
//! apart from the compiler and from each other, say what the ends mean: [`semantics`] for policies, [`firewall`] for groups.

pub mod advice;
pub mod budget;
pub mod compile;
pub mod drift;
pub mod drive;
pub mod explain;
pub mod finding;
pub mod firewall;
pub mod flow;
pub mod inventory;
pub mod net;
pub mod placement;
pub mod plan;
pub mod policy;
pub mod provider;
pub mod semantics;
pub mod settings;
#[cfg(test)]
pub(crate) mod testing;
