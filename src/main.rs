//! `moat`: wires one provider into one command.

fn main() {}
