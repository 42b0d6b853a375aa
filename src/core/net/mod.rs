//! Canonical sets: prefixes, port intervals, ICMP types and codes, services. Equal sets are equal values, and every
//! operation is exact.

mod interval;
mod notation;
mod prefix;
mod service;
mod steps;

pub use interval::{Interval, Intervals, Point};
pub use notation::ParseNetError;
pub use prefix::{Address, AddressSet, Family, Prefix};
pub use service::{Message, Messages, Protocol, Service, ServiceSet, Shape, Transport};
pub use steps::StepFunction;
