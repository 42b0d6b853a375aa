//! How rules and groups read: `ingress 10.0.0.0/8 tcp/443`, `egress moat.3 all`, `ingress sg-0123456789abcdef0 icmp/8`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{ForeignGroupId, GroupKey, GroupNumber, Peer, Rule};
use crate::budget::Breach;
use crate::net::ParseNetError;
use crate::policy::Direction;
use crate::provider::Step;

/// A text that is no rule of a group.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseRuleError {
    /// Not three words, or the first is no direction.
    #[error(
        "`{text}` is not a rule such as `ingress 10.0.0.0/8 tcp/443` or `egress moat.3 all`: write `ingress` or `egress`, the \
         other end and what is let through"
    )]
    Rule {
        /// The text.
        text: String,
    },
    /// A group of ours without a number, or no word at all.
    #[error(
        "`{text}` is not a group: write one of ours as `moat.` and its number from 1, another by its id such as \
         `sg-0123456789abcdef0`"
    )]
    Group {
        /// The text.
        text: String,
    },
    /// The other end, or what is let through, cannot be read.
    #[error(transparent)]
    Net(#[from] ParseNetError),
}

// ------------------------------------------------------------------------------------------------- Names

/// What mentions groups of ours. Its `Display` calls them `moat.3`; people who look at a cloud read the name that they have
/// there, `moat.production.3` in the cluster `production`.
pub trait Naming: Sized {
    /// Writes it, with a cluster as the cloud calls the groups.
    ///
    /// # Errors
    /// Those of the formatter.
    fn write(&self, cluster: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Its text, in which groups of ours bear the names that they have in the cloud.
    #[must_use]
    fn named(&self, cluster: &str) -> String {
        Named(self, Some(cluster)).to_string()
    }
}

/// Something as a cluster names it.
pub(crate) struct Named<'a, T>(pub(crate) &'a T, pub(crate) Option<&'a str>);

impl<T: Naming> fmt::Display for Named<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(self.1, f)
    }
}

macro_rules! short_names {
    ($($type:ty),*) => {
        $(impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.write(None, f)
            }
        })*
    };
}

short_names!(GroupNumber, GroupKey, Peer, Rule, Step, Breach);

// ------------------------------------------------------------------------------------------------ Groups

impl Naming for GroupNumber {
    fn write(&self, cluster: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match cluster {
            Some(cluster) => f.write_str(&self.name(cluster)),
            None => write!(f, "moat.{}", self.0),
        }
    }
}

impl FromStr for GroupNumber {
    type Err = ParseRuleError;

    /// Reads `moat.3`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_prefix("moat.").and_then(|number| number.parse().ok());
        number.map(Self).ok_or_else(|| ParseRuleError::Group { text: text.to_owned() })
    }
}

impl Naming for GroupKey {
    fn write(&self, cluster: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(number) => number.write(cluster, f),
            Self::Foreign(id) => f.write_str(&id.0),
        }
    }
}

impl FromStr for GroupKey {
    type Err = ParseRuleError;

    /// Reads `moat.3` as a group of ours and every other word as the id of another.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("moat.") {
            return text.parse().map(Self::Ours);
        }
        let word = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '/');
        let id = word.then(|| Self::Foreign(ForeignGroupId(text.into())));
        id.ok_or_else(|| ParseRuleError::Group { text: text.to_owned() })
    }
}

// ------------------------------------------------------------------------------------------------- Rules

impl Naming for Peer {
    fn write(&self, cluster: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => fmt::Display::fmt(prefix, f),
            Self::Group(group) => group.write(cluster, f),
        }
    }
}

impl FromStr for Peer {
    type Err = ParseRuleError;

    /// Reads an address block, else a group.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') {
            return Ok(Self::Prefix(text.parse()?));
        }
        text.parse().map(Self::Group)
    }
}

impl Naming for Rule {
    fn write(&self, cluster: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.direction, Named(&self.peer, cluster), self.shape)
    }
}

impl FromStr for Rule {
    type Err = ParseRuleError;

    /// Reads a direction, the other end and a shape.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseRuleError::Rule { text: text.to_owned() };
        let mut words = text.split(' ');
        let (Some(direction), Some(peer), Some(shape), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong());
        };
        let direction = Direction::BOTH.into_iter().find(|it| it.to_string() == direction);
        let direction = direction.ok_or_else(wrong)?;
        Ok(Self { direction, peer: peer.parse()?, shape: shape.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::net::arbitrary::{prefix, shape};

    fn peer() -> impl Strategy<Value = Peer> {
        let ours = any::<NonZeroU32>().prop_map(|number| GroupKey::Ours(GroupNumber(number)));
        let foreign = "sg-[0-9a-f]{17}".prop_map(|id| GroupKey::Foreign(ForeignGroupId(id.into())));
        let group = prop_oneof![ours, foreign];
        prop_oneof![prefix().prop_map(Peer::Prefix), group.prop_map(Peer::Group)]
    }

    proptest! {
        #[test]
        fn every_rule_is_read_back_as_it_was_written(peer in peer(), shape in shape()) {
            prop_assert_eq!(peer.to_string().parse(), Ok(peer.clone()));
            for direction in Direction::BOTH {
                let rule = Rule { direction, peer: peer.clone(), shape };
                prop_assert_eq!(rule.to_string().parse(), Ok(rule));
            }
        }
    }

    #[test]
    fn rules_read_as_documented() {
        for text in [
            "ingress 10.0.0.0/8 tcp/443",
            "egress moat.3 all",
            "ingress sg-0123456789abcdef0 icmp/8",
            "egress ::/0 icmpv6/2/0",
        ] {
            assert_eq!(text.parse::<Rule>().map(|rule| rule.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn every_refusal_says_what_to_write() {
        let refusal = |text: &str| text.parse::<Rule>().unwrap_err();
        for text in ["", "ingress 10.0.0.0/8", "in 10.0.0.0/8 all", "ingress 10.0.0.0/8 all all"] {
            assert_eq!(refusal(text), ParseRuleError::Rule { text: text.to_owned() });
        }
        for group in ["moat.0", "moat.x", ""] {
            let text = format!("egress {group} all");
            assert_eq!(refusal(&text), ParseRuleError::Group { text: group.to_owned() });
        }
        assert_eq!(
            refusal("egress 10.0.0.0/40 all").to_string(),
            "`10.0.0.0/40` is not an address block such as `10.0.0.0/8` or `2001:db8::/32`"
        );
    }
}
