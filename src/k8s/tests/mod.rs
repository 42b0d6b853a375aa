//! Whole files in, whole values out.

mod assume;
mod cases;
mod corpora;
mod documents;
mod hostile;
mod onto;
mod schemas;
mod show;
mod traps;

use std::sync::Arc;

use moat_core::finding::Finding;
use moat_core::policy::Policy;
use serde_json::Value;

use crate::{Cluster, Content, Options, Source};

/// Reads one text as the file `f`.
fn read(text: &str) -> Cluster {
    crate::read(&[source("f", text.as_bytes())], &Options::default())
}

fn source(name: &str, bytes: &[u8]) -> Source {
    Source { name: name.into(), bytes: Arc::from(bytes) }
}

/// Reads one policy object as a watch delivers it.
pub(crate) fn read_policy(object: &Value) -> Option<(Policy, Vec<Finding>)> {
    let read = crate::read_object(object)?;
    match read.content {
        Content::Policy(policy) => Some((*policy, read.findings)),
        Content::Part(_) => None,
    }
}
