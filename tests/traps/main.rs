//! Falls of other translators (`facts/peers.md` §3), each driven from YAML to groups and judged by both references. The number is
//! the trap's.
#![expect(clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod comparison;
mod optimiser;
mod order;
mod quotas;
mod translation;
