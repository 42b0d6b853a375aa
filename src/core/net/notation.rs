//! The one readable notation of prefixes, addresses, services and shapes: written by `Display`, read by `FromStr`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use super::{Family, Prefix};

/// A text that is not in the notation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseNetError {
    /// Not an address block.
    #[error("`{text}` is not an address block such as `10.0.0.0/8` or `2001:db8::/32`")]
    Prefix {
        /// The text.
        text: String,
    },
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

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
            Self::new(address.parse::<IpAddr>().ok()?, length.parse().ok()?)
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
