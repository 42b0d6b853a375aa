//! The one readable notation of sets, written by `Display` and read back by `FromStr`. Findings, goldens and `explain` share it.
//!
//! | what | examples |
//! |---|---|
//! | a service | `tcp/443` `udp/53` `sctp/9003` `icmp/8/0` `icmpv6/2/0` `proto/47` |
//! | what one rule can name | `all` `tcp` `tcp/80` `tcp/80-443` `sctp` `icmp` `icmp/3` `icmp/3/4` `proto/47` |
//! | a set of services | `none` `tcp/80-443, udp/53` `sctp/9003` `icmp/0-7, icmp/8/1-255` `proto` `proto/33-57` |
//! | a set of ports or other numbers | `none` `80` `80, 443-445` |
//! | a set of addresses | `none` `10.0.0.0/8, 10.1.2.3, 192.168.0.1-192.168.0.9` |
//!
//! A word alone means all of its protocol. ICMP is printed in numbers; a type is read by its name, too ([`Message::type_named`]).
//! A packet has a code, so the service `icmp/echo-request` is type 8, code 0, while as a shape or a set it is every code of type 8.
//!
//! [`Message::type_named`]: super::Message::type_named

mod addresses;
mod services;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{Interval, Intervals, Point};

/// A text that is not in the notation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseNetError {
    /// Not an address family.
    #[error("`{text}` is not an address family: write `IPv4` or `IPv6`")]
    Family {
        /// The text.
        text: String,
    },
    /// Not an address block.
    #[error("`{text}` is not an address block such as `10.0.0.0/8` or `2001:db8::/32`")]
    Prefix {
        /// The text.
        text: String,
    },
    /// Not a member of a list of addresses.
    #[error(
        "`{text}` is neither an address, nor a block such as `10.0.0.0/8`, nor a range such as `10.0.0.1-10.0.0.9`"
    )]
    Addresses {
        /// The text.
        text: String,
    },
    /// Not a number of the range that is wanted.
    #[error("`{text}` is not a number from 0 to {greatest}")]
    Number {
        /// The text.
        text: String,
        /// The greatest number that would do.
        greatest: String,
    },
    /// A range that ends before it begins.
    #[error("`{text}` ends before it begins: write the lower end first")]
    Inverted {
        /// The text.
        text: String,
    },
    /// Not a transport.
    #[error("`{text}` is not a transport: write `tcp`, `udp` or `sctp`")]
    Transport {
        /// The text.
        text: String,
    },
    /// A service that begins with none of the words.
    #[error(
        "`{text}` is not a service such as `tcp/443`, `udp/53`, `sctp/9003`, `icmp/echo-request`, `icmpv6/2/0` or `proto/47`"
    )]
    Service {
        /// The text.
        text: String,
    },
    /// Something that one rule cannot name.
    #[error(
        "`{text}` is not what one rule can name: all, a range of tcp or udp ports, sctp as a whole, icmp or icmpv6 as a whole or \
         one type or one type and code, or one protocol number"
    )]
    Shape {
        /// The text.
        text: String,
    },
    /// Not an ICMP type.
    #[error(
        "`{text}` is not a type of {word}: write a number from 0 to 255 or a name such as `echo-request`"
    )]
    MessageType {
        /// The text.
        text: String,
        /// `icmp` or `icmpv6`.
        word: &'static str,
    },
    /// The number of a protocol that has its own word.
    #[error("protocol {number} has its own word: write `{word}` in place of `proto/{number}`")]
    HasWord {
        /// The number.
        number: u8,
        /// The word.
        word: &'static str,
    },
}

/// Reads a number of the line `T`.
fn number<T: Point + fmt::Display + FromStr>(text: &str) -> Result<T, ParseNetError> {
    let wrong = |_| ParseNetError::Number { text: text.to_owned(), greatest: T::MAX.to_string() };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    Some(text).filter(|_| digits).unwrap_or_default().parse().map_err(wrong)
}

/// Writes a list, `none` if it is empty.
fn list<I: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = I>,
) -> fmt::Result {
    let mut separator = "";
    for item in items {
        write!(f, "{separator}{item}")?;
        separator = ", ";
    }
    if separator.is_empty() { f.write_str("none") } else { Ok(()) }
}

/// The members of a list that [`list`] wrote.
fn members(text: &str) -> impl Iterator<Item = &str> {
    let list = Some(text).filter(|text| text.trim() != "none");
    list.into_iter().flat_map(|text| text.split(',')).map(str::trim)
}

// ------------------------------------------------------------------------------------ Interval, Intervals

impl<T: Point + fmt::Display> fmt::Display for Interval<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low() == self.high() {
            return write!(f, "{}", self.low());
        }
        write!(f, "{}-{}", self.low(), self.high())
    }
}

impl<T: Point + fmt::Display + FromStr> FromStr for Interval<T> {
    type Err = ParseNetError;

    /// Reads `80` or `80-443`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        Self::new(number(low)?, number(high)?)
            .ok_or_else(|| ParseNetError::Inverted { text: text.to_owned() })
    }
}

impl<T: Point + fmt::Display> fmt::Display for Intervals<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.iter())
    }
}

impl<T: Point + fmt::Display + FromStr> FromStr for Intervals<T> {
    type Err = ParseNetError;

    /// Reads a list such as `80, 443-445`, or `none`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        members(text).map(str::parse::<Interval<T>>).collect()
    }
}

#[cfg(test)]
mod tests;
