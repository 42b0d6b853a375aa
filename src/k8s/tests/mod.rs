//! Whole files in, whole values out.

mod assume;
mod cases;
mod corpora;
mod documents;
mod hostile;
mod schemas;
mod show;
mod traps;

use std::sync::Arc;

use crate::{Cluster, Options, Source};

/// Reads one text as the file `f`.
fn read(text: &str) -> Cluster {
    crate::read(&[source("f", text.as_bytes())], &Options::default())
}

fn source(name: &str, bytes: &[u8]) -> Source {
    Source { name: name.into(), bytes: Arc::from(bytes) }
}
