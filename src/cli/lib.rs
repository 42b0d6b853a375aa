//! The commands of `moat`.
