//! How addresses read.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{ParseNetError, list, members, number};
use crate::net::{Address, AddressSet, Family, Interval, Prefix};

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl FromStr for Family {
    type Err = ParseNetError;

    /// Reads `IPv4` or `IPv6`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let family = Self::BOTH.into_iter().find(|family| family.to_string() == text);
        family.ok_or_else(|| ParseNetError::Family { text: text.to_owned() })
    }
}

// ------------------------------------------------------------------------------------------------ Prefix

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first(), self.length())
    }
}

impl FromStr for Prefix {
    type Err = ParseNetError;

    /// Reads `address/length`; host bits are dropped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (address, length) = text.split_once('/')?;
            Self::new(address.parse::<IpAddr>().ok()?, number(length).ok()?)
        };
        parse().ok_or_else(|| ParseNetError::Prefix { text: text.to_owned() })
    }
}

impl TryFrom<String> for Prefix {
    type Error = ParseNetError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

// -------------------------------------------------------------------------------------------- AddressSet

/// One maximal interval of addresses, as an address or a prefix if it is one.
struct Run<T>(Interval<T>);

impl<T: Address> fmt::Display for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.0.low(), self.0.high());
        let prefix = low.prefix(low.shared_bits(high));
        if low == high {
            low.to_ip().fmt(f)
        } else if (prefix.first(), prefix.last()) == (low.to_ip(), high.to_ip()) {
            prefix.fmt(f)
        } else {
            write!(f, "{}-{}", low.to_ip(), high.to_ip())
        }
    }
}

impl fmt::Display for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = self.v4.iter().map(|run| Run(run).to_string());
        let v6 = self.v6.iter().map(|run| Run(run).to_string());
        list(f, v4.chain(v6))
    }
}

impl FromStr for AddressSet {
    type Err = ParseNetError;

    /// Reads a list of addresses, blocks and ranges such as `10.0.0.0/8, 192.168.0.1-192.168.0.9`, or `none`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = Self::empty();
        for member in members(text) {
            let (v4, v6) = (run::<u32>(member)?, run::<u128>(member)?);
            if v4.is_none() && v6.is_none() {
                return Err(ParseNetError::Addresses { text: member.to_owned() });
            }
            let part = Self {
                v4: v4.map(Into::into).unwrap_or_default(),
                v6: v6.map(Into::into).unwrap_or_default(),
            };
            set = set.union(&part);
        }
        Ok(set)
    }
}

/// The addresses of one family that a member of a list names, if it names any.
fn run<T: Address>(text: &str) -> Result<Option<Interval<T>>, ParseNetError> {
    let address = |text: &str| text.parse().ok().and_then(T::from_ip);
    let ends = match (text.split_once('-'), text.contains('/')) {
        (Some((low, high)), _) => address(low).zip(address(high)),
        (None, true) => {
            let prefix: Prefix = text.parse()?;
            T::from_ip(prefix.first()).zip(T::from_ip(prefix.last()))
        }
        (None, false) => address(text).map(|address| (address, address)),
    };
    let inverted = || ParseNetError::Inverted { text: text.to_owned() };
    ends.map(|(low, high)| Interval::new(low, high).ok_or_else(inverted)).transpose()
}
