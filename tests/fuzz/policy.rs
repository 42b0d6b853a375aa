//! One parsed object, as a watch delivers it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(object) = serde_json::from_slice::<Value>(bytes) {
        let once = moat_k8s::read_object(&object);
        assert_eq!(once, moat_k8s::read_object(&object));
    }
});
