//! What network ACLs say of a packet where it leaves or enters a subnet.

use serde::Serialize;

use super::{Answer, Explainer};
use crate::firewall::{AclKey, Border, EntryKey, EntryNumber};
use crate::flow::Flow;
use crate::inventory::SubnetId;
use crate::net::{Service, Shape};
use crate::policy::{Direction, ObjectRef};

/// What happens to a packet where it leaves or enters a subnet whose network ACL is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Crossing {
    /// What a reply bears; none: it is the first packet of the flow.
    pub reply: Option<String>,
    /// The subnet.
    pub subnet: String,
    /// Whether the packet leaves it or enters it.
    pub direction: Direction,
    /// What becomes of it.
    pub cloud: Answer,
    /// By what.
    pub guarded: Guarded,
}

/// What decides about a packet at the edge of a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all_fields = "camelCase")]
pub enum Guarded {
    /// An entry of the subnet's network ACL.
    Entry {
        /// The ACL: one of ours by its name, another one by its id.
        acl: String,
        /// The direction and the number of the entry.
        place: String,
        /// The entry.
        entry: String,
        /// Who asks for it.
        author: Author,
        /// The policies that it serves; empty unless policies ask for it.
        serves: Vec<ObjectRef>,
    },
    /// No entry of the subnet's network ACL names the packet.
    FinalDeny {
        /// The ACL.
        acl: String,
    },
    /// Both ends lie in the subnet.
    Within,
    /// The pod sends it by its node's interface.
    ByNode,
}

/// Who asks for an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Author {
    /// Policies.
    Policies,
    /// Someone else: it is a copy of an entry of this ACL, which ours took the place of.
    Copied(String),
    /// Someone else: it is an entry of an ACL that is not ours.
    Others,
    /// Nobody: it is about to go.
    Nobody,
}

impl Explainer<'_> {
    /// What network ACLs say of the first packet of a flow on its way, and of the first reply that they stop.
    pub(super) fn crossings(&self, flow: &Flow) -> Vec<Crossing> {
        let verdict = self.held.verdict(flow);
        let edges = [(Direction::Egress, verdict.leaves), (Direction::Ingress, verdict.enters)];
        if flow.source == flow.destination {
            return Vec::new();
        }
        if let [(direction, Border::Within(_)), _] = edges {
            return self.crossing(None, direction, edges[0].1).into_iter().collect();
        }
        let first = edges.into_iter().filter_map(|(way, it)| self.crossing(None, way, it));
        let stopped = verdict.allows().then(|| self.stopped(flow)).flatten();
        first.chain(stopped).collect()
    }

    /// The first reply of a flow that an ACL stops: ports that entries name tell all others apart.
    fn stopped(&self, flow: &Flow) -> Option<Crossing> {
        let ports = self.evidence.settings.client_ports.0;
        let held = self.evidence.held.state.acls.values();
        let entries = held.chain(self.evidence.inventory.acls.values()).flat_map(|acl| &acl.0);
        let edges = entries.flat_map(|(_, entry)| match entry.shape {
            Shape::Tcp(named) | Shape::Udp(named) => {
                vec![named.low(), named.high().saturating_add(1)]
            }
            Shape::All | Shape::Sctp | Shape::Icmp(_) | Shape::Icmpv6(_) | Shape::Other(_) => {
                Vec::new()
            }
        });
        let asked_from = std::iter::once(ports.low()).chain(edges);
        let mut replies = asked_from
            .filter(|port| ports.contains(*port))
            .flat_map(|port| self.held.replies(flow, port));
        let stopped = replies.find(|reply| !reply.allows())?;
        let (way, border) = match stopped.leaves.allows() {
            true => (Direction::Ingress, stopped.enters),
            false => (Direction::Egress, stopped.leaves),
        };
        self.crossing(Some(stopped.service), way, border)
    }

    fn crossing(
        &self,
        reply: Option<Service>,
        direction: Direction,
        border: Border<'_>,
    ) -> Option<Crossing> {
        let (subnet, guarded) = match border {
            Border::Unknown | Border::Platform => return None,
            Border::Within(subnet) => (subnet, Guarded::Within),
            Border::ByNode(subnet) => (subnet, Guarded::ByNode),
            Border::Passed { subnet, acl, number }
            | Border::Denied { subnet, acl, number: Some(number) } => {
                (subnet, self.guarded(subnet, acl, EntryKey { direction, number })?)
            }
            Border::Denied { subnet, acl, number: None } => {
                (subnet, Guarded::FinalDeny { acl: acl.to_string() })
            }
        };
        let (reply, subnet) = (reply.map(|it| it.to_string()), subnet.0.to_string());
        let cloud = Answer::of(border.allows());
        Some(Crossing { reply, subnet, direction, cloud, guarded })
    }

    /// An entry, with the policies that asked for it.
    fn guarded(&self, subnet: &SubnetId, acl: &AclKey, key: EntryKey) -> Option<Guarded> {
        let inventory = self.evidence.inventory;
        let told = || inventory.acls.get(acl.foreign()?);
        let entry = *self.evidence.held.state.acls.get(acl).or_else(told)?.0.get(&key)?;
        let serves = acl.ours().map(|acl| self.evidence.desired.asks_for(acl, key, entry));
        let serves = serves.unwrap_or_default();
        let author = match acl {
            AclKey::Foreign(_) => Author::Others,
            AclKey::Ours(_) if key.number.get() >= EntryNumber::COPIED => {
                let prior = inventory.subnets.get(subnet).map(|subnet| subnet.prior.0.to_string());
                Author::Copied(prior.unwrap_or_default())
            }
            AclKey::Ours(_) if serves.is_empty() => Author::Nobody,
            AclKey::Ours(_) => Author::Policies,
        };
        Some(Guarded::Entry {
            acl: acl.to_string(),
            place: key.to_string(),
            entry: entry.to_string(),
            author,
            serves: serves.to_vec(),
        })
    }
}
