//! Address families, canonical prefixes and sets of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{Interval, Intervals, Point};

/// The two address families. ICMP belongs to [`Family::V4`] and ICMPv6 to [`Family::V6`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// An address prefix whose host bits are zero (invariant `CanonicalPrefix`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(IpNet);

/// A set of IPv4 and IPv6 addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AddressSet {
    /// The IPv4 addresses, as numbers.
    pub v4: Intervals<u32>,
    /// The IPv6 addresses, as numbers.
    pub v6: Intervals<u128>,
}

/// An address of one family as a point on its line.
pub trait Address: Point {
    /// The family whose addresses these are.
    const FAMILY: Family;
    /// The bits of an address: 32 or 128.
    const LENGTH: u8;
    /// The address as the standard library's type.
    fn to_ip(self) -> IpAddr;
    /// The prefix of `length` bits that holds this address; lengths beyond [`Address::LENGTH`] mean one address.
    fn prefix(self, length: u8) -> Prefix;
    /// The addresses of a set that are of this family.
    fn of(set: &AddressSet) -> &Intervals<Self>;
    /// The set of just these addresses.
    fn set(addresses: Intervals<Self>) -> AddressSet;
    /// The address, if it is of this family.
    fn from_ip(address: IpAddr) -> Option<Self>;
    /// The number of leading bits that two addresses share.
    fn shared_bits(self, other: Self) -> u8;
    /// Where the upper half of the prefix of `length` bits that begins at this address begins; none for a single address.
    fn upper_half(self, length: u8) -> Option<Self>;
}

impl Family {
    /// Both families.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

// ----------------------------------------------------------------------------------------------- Address

impl Address for u32 {
    const FAMILY: Family = Family::V4;
    const LENGTH: u8 = 32;
    fn to_ip(self) -> IpAddr {
        Ipv4Addr::from(self).into()
    }
    fn prefix(self, length: u8) -> Prefix {
        Prefix(Ipv4Net::new_assert(Ipv4Addr::from(self), length.min(Self::LENGTH)).trunc().into())
    }
    fn of(set: &AddressSet) -> &Intervals<Self> {
        &set.v4
    }
    fn set(addresses: Intervals<Self>) -> AddressSet {
        AddressSet { v4: addresses, v6: Intervals::empty() }
    }
    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(address.into()),
            IpAddr::V6(_) => None,
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
    fn shared_bits(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }
    fn upper_half(self, length: u8) -> Option<Self> {
        (length < Self::LENGTH).then(|| self | (1 << (Self::LENGTH - 1 - length)))
    }
}

impl Address for u128 {
    const FAMILY: Family = Family::V6;
    const LENGTH: u8 = 128;
    fn to_ip(self) -> IpAddr {
        Ipv6Addr::from(self).into()
    }
    fn prefix(self, length: u8) -> Prefix {
        Prefix(Ipv6Net::new_assert(Ipv6Addr::from(self), length.min(Self::LENGTH)).trunc().into())
    }
    fn of(set: &AddressSet) -> &Intervals<Self> {
        &set.v6
    }
    fn set(addresses: Intervals<Self>) -> AddressSet {
        AddressSet { v4: Intervals::empty(), v6: addresses }
    }
    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address.into()),
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 128")]
    fn shared_bits(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }
    fn upper_half(self, length: u8) -> Option<Self> {
        (length < Self::LENGTH).then(|| self | (1 << (Self::LENGTH - 1 - length)))
    }
}

// ------------------------------------------------------------------------------------------------ Prefix

impl Prefix {
    /// The prefix of `length` bits that holds `address`; host bits are dropped. None if the address has fewer bits.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        IpNet::new(address, length).ok().map(|net| Self(net.trunc()))
    }

    /// One address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self(address.into())
    }

    /// Every address of a family: `0.0.0.0/0` or `::/0`.
    #[must_use]
    pub fn everything(family: Family) -> Self {
        match family {
            Family::V4 => 0u32.prefix(0),
            Family::V6 => 0u128.prefix(0),
        }
    }

    /// The family of its addresses.
    #[must_use]
    pub fn family(self) -> Family {
        Family::of(self.first())
    }

    /// The number of fixed leading bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.0.prefix_len()
    }

    /// The least address.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.0.network()
    }

    /// The greatest address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        self.0.broadcast()
    }

    /// Whether `address` lies within.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether every address of `other` lies within.
    #[must_use]
    pub fn contains_prefix(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }
}

// -------------------------------------------------------------------------------------------- AddressSet

impl From<Prefix> for AddressSet {
    fn from(prefix: Prefix) -> Self {
        fn whole<T: Address>(prefix: Prefix) -> Option<Intervals<T>> {
            let interval = Interval::new(T::from_ip(prefix.first())?, T::from_ip(prefix.last())?)?;
            Some(interval.into())
        }
        Self { v4: whole(prefix).unwrap_or_default(), v6: whole(prefix).unwrap_or_default() }
    }
}

impl From<IpAddr> for AddressSet {
    fn from(address: IpAddr) -> Self {
        Prefix::host(address).into()
    }
}

impl FromIterator<Prefix> for AddressSet {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            let set = Self::from(prefix);
            v4.extend(set.v4.iter());
            v6.extend(set.v6.iter());
        }
        Self { v4: v4.into_iter().collect(), v6: v6.into_iter().collect() }
    }
}

impl AddressSet {
    /// No address.
    #[must_use]
    pub fn empty() -> Self {
        Self { v4: Intervals::empty(), v6: Intervals::empty() }
    }

    /// Every address of both families.
    #[must_use]
    pub fn full() -> Self {
        Self { v4: Intervals::full(), v6: Intervals::full() }
    }

    /// Whether no address is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether `address` is in the set.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.into()),
            IpAddr::V6(address) => self.v6.contains(address.into()),
        }
    }

    /// Whether every address of `other` is in the set.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        self.v4.contains_all(&other.v4) && self.v6.contains_all(&other.v6)
    }

    /// The addresses of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { v4: self.v4.union(&other.v4), v6: self.v6.union(&other.v6) }
    }

    /// The addresses of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self { v4: self.v4.intersection(&other.v4), v6: self.v6.intersection(&other.v6) }
    }

    /// The addresses of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self { v4: self.v4.difference(&other.v4), v6: self.v6.difference(&other.v6) }
    }

    /// The least address, IPv4 first.
    #[must_use]
    pub fn first(&self) -> Option<IpAddr> {
        self.v4.first().map(Address::to_ip).or_else(|| self.v6.first().map(Address::to_ip))
    }

    /// The fewest prefixes that make up exactly this set, in address order, IPv4 first.
    #[must_use]
    pub fn prefixes(&self) -> Vec<Prefix> {
        fn of<T: Address>(set: &Intervals<T>, out: &mut Vec<Prefix>) {
            for interval in set.iter() {
                split(interval, T::MIN, T::MAX, 0, out);
            }
        }
        /// Halves the prefix of `length` bits from `low` to `high` until its parts lie inside `wanted` or outside.
        fn split<T: Address>(
            wanted: Interval<T>,
            low: T,
            high: T,
            length: u8,
            out: &mut Vec<Prefix>,
        ) {
            if wanted.low() <= low && high <= wanted.high() {
                out.push(low.prefix(length));
            } else if let Some(middle) = low.upper_half(length)
                && wanted.low() <= high
                && low <= wanted.high()
            {
                split(wanted, low, middle.previous().unwrap_or(low), length + 1, out);
                split(wanted, middle, high, length + 1, out);
            }
        }
        let mut out = Vec::new();
        of(&self.v4, &mut out);
        of(&self.v6, &mut out);
        out
    }
}
