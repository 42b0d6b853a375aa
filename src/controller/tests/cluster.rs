//! The controller against a real API server, with the VPC in memory for a cloud.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod admission;
mod consent;
mod enforcement;
mod leading;
mod serving;
mod world;
