//! The requests that the provider makes, and its tokens.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use moat_core::provider::{Meter, Tokens};
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// What the provider told of its requests.
#[derive(Debug, Default)]
pub(crate) struct Cloud {
    requests: Family<[(&'static str, &'static str); 2], Counter>,
    tokens: Mutex<BTreeMap<&'static str, (Tokens, Instant)>>,
}

impl Cloud {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "ec2_requests",
            "Requests to the cloud, by operation and by the code of the answer: OK, the cloud's code, Other, or None where nothing answered",
            self.requests.clone(),
        );
    }

    /// The tokens that each bucket has at this moment.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let mut metric = encoder.encode_descriptor(
            "ec2_tokens",
            "Requests of an operation that can set out at once",
            None,
            ConstGauge::new(0_u64).metric_type(),
        )?;
        for (operation, (tokens, at)) in &*tokens {
            let left = ConstGauge::new(u64::from(tokens.after(at.elapsed())));
            left.encode(metric.encode_family(&[("op", *operation)])?)?;
        }
        Ok(())
    }
}

impl Meter for Cloud {
    fn answered(&self, operation: &'static str, code: &'static str) {
        self.requests.get_or_create(&[("op", operation), ("code", code)]).inc();
    }

    fn took(&self, operation: &'static str, bucket: Tokens) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(operation, (bucket, Instant::now()));
    }
}
