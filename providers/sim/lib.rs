//! A VPC in memory.
