//! Why one flow passes or not.
