//! Address blocks: `ipBlock` of NetworkPolicy and `networks` of ClusterNetworkPolicy.

use std::net::{IpAddr, Ipv4Addr};

use moat_core::finding::Reason;
use moat_core::net::{AddressSet, Prefix};

use super::Dialect;
use crate::reader::{Node, Reader};

/// What the CRDs take of `networks` in a peer.
const MOST_NETWORKS: usize = 25;

/// An address block as someone wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    prefix: Prefix,
    /// Host bits are set, or an octet has leading zeros.
    sloppy: bool,
}

impl Reader {
    /// An `ipBlock`: a block and the blocks taken out of it, each inside and smaller.
    pub(super) fn ip_block(&mut self, at: &Node<'_>, dialect: &Dialect) -> AddressSet {
        self.fields(at, &["cidr", "except"]);
        let Some(cidr) = at.get("cidr") else {
            self.missing(at, "cidr", "an ipBlock is a block such as `10.0.0.0/8`");
            return AddressSet::empty();
        };
        let block = self.block(&cidr);
        let excepts: Vec<Prefix> = at.get("except").map_or_else(Vec::new, |except| {
            self.at_most(&except, dialect.most);
            let excepts: Vec<Node<'_>> = self.list(&except).collect();
            excepts.iter().filter_map(|except| self.except(except, block)).collect()
        });
        let excepts: AddressSet = excepts.into_iter().collect();
        block.map_or_else(AddressSet::empty, AddressSet::from).difference(&excepts)
    }

    fn except(&mut self, at: &Node<'_>, block: Option<Prefix>) -> Option<Prefix> {
        let (except, block) = (self.block(at)?, block?);
        if !block.contains_prefix(except) || except == block {
            let message = format!("`{except}` must lie within `{block}` and be smaller");
            self.problem(at, Reason::InvalidCidr, message);
        }
        Some(except)
    }

    /// A list of blocks.
    pub(super) fn networks(&mut self, at: &Node<'_>) -> AddressSet {
        let networks: Vec<Node<'_>> = self.bounded_list(at, MOST_NETWORKS).collect();
        networks.iter().filter_map(|network| self.block(network)).collect()
    }

    fn block(&mut self, at: &Node<'_>) -> Option<Prefix> {
        let text = self.text(at)?;
        let Some(block) = parse(text) else {
            let message =
                format!("`{text}` is not an address block such as `10.0.0.0/8` or `2001:db8::/32`");
            self.problem(at, Reason::InvalidCidr, message);
            return None;
        };
        if block.sloppy {
            let message = format!("`{text}` is read as `{0}`: write `{0}`", block.prefix);
            self.note(at, Reason::SloppyCidr, message);
        }
        Some(block.prefix)
    }
}

/// Reads a block as the API server's lenient parser does: host bits are dropped and octets are decimal in spite of
/// leading zeros. IPv6 addresses that wrap IPv4 ones are refused: data planes disagree on what they mean.
fn parse(text: &str) -> Option<Block> {
    let (address, length) = text.split_once('/')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length: u8 = Some(length).filter(|length| is_number(length))?.parse().ok()?;
    let zeros = || {
        let octets: Option<Vec<u8>> = address
            .split('.')
            .map(|octet| octet.parse().ok().filter(|_| is_number(octet)))
            .collect();
        Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets?).ok()?)))
    };
    let strict: Option<IpAddr> = address.parse().ok();
    let address = strict.or_else(zeros)?;
    if let IpAddr::V6(address) = address
        && address.to_ipv4_mapped().is_some()
    {
        return None;
    }
    let prefix = Prefix::new(address, length)?;
    Some(Block { prefix, sloppy: strict.is_none() || prefix.first() != address })
}
