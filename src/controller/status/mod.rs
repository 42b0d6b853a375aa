//! Tells on each policy what becomes of it (DESIGN §9).

mod conditions;
mod events;
mod installation;
mod objects;
mod report;
mod write;

pub(crate) use objects::{learn, resource};
#[cfg(test)]
pub(crate) use report::verdicts;
pub(crate) use write::Writer;
