//! The commands that look at a cluster: the program as a whole against a real API server, without any cloud.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod reading;
mod status;
mod world;
