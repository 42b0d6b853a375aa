//! Tells on each policy what becomes of it (DESIGN §9).

mod conditions;
mod events;
mod installation;
mod report;
mod write;

pub(crate) use write::{Writer, learn, resource};
