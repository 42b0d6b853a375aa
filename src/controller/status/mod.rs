//! Tells on each policy what becomes of it (DESIGN §9).

mod conditions;
mod events;
mod installation;
mod report;
mod write;

#[cfg(test)]
pub(crate) use report::verdicts;
pub(crate) use write::{Writer, learn, resource};
