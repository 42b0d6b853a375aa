//! Whole files in, whole values out.

mod corpora;
