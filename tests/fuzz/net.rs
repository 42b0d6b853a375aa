//! The notation of addresses and services: what is read is written, and reads back as itself.
#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use moat_core::net::{AddressSet, Prefix, Service, ServiceSet};

fn round_trip<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>();
        assert!(again.is_ok_and(|again| again == value), "{text:?} became {value}");
    }
}

fuzz_target!(|text: &str| {
    round_trip::<Prefix>(text);
    round_trip::<AddressSet>(text);
    round_trip::<Service>(text);
    round_trip::<ServiceSet>(text);
});
