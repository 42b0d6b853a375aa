//! Files of any bytes: documents, Lists, every kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moat_k8s::{Options, Source};

fuzz_target!(|bytes: &[u8]| {
    let source = Source { name: "f".into(), bytes: bytes.into() };
    let cluster = moat_k8s::read(&[source], &Options { assume_pods: true });
    assert!(cluster.findings.iter().all(|finding| finding.location.is_some()));
    for policy in &cluster.policies {
        let _ = cluster.places.locate(&policy.object, "spec.ingress[0].from[0]");
    }
});
