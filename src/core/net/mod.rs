//! Canonical sets: prefixes, port intervals, ICMP types and codes, services. Equal sets are equal values, and every
//! operation is exact.

#[cfg(test)]
pub(crate) mod arbitrary;
mod icmp;
mod interval;
mod notation;
mod prefix;
mod service;
mod shape;
mod steps;

pub use icmp::{Message, Messages};
pub use interval::{Interval, Intervals, Point};
pub use notation::ParseNetError;
pub use prefix::{Address, AddressSet, Family, Prefix};
pub use service::{Protocol, Service, ServiceSet, Transport};
pub use shape::Shape;
pub use steps::StepFunction;

#[cfg(test)]
mod tests;
