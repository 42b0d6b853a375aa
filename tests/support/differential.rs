//! P1: policies by [`Semantics`] equal groups by [`Cloud`] over what the compiler desires, but for exactly the findings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::AddAssign;

use moat_core::budget::{Breach, breaches};
use moat_core::compile::{Desired, compile};
use moat_core::finding::{Effect, Finding, Reason};
use moat_core::firewall::{AclKey, Cloud, Entry, State};
use moat_core::flow::{Endpoint, Flow};
use moat_core::inventory::{Inventory, Pod};
use moat_core::net::{Prefix, Service};
use moat_core::policy::{Direction, ObjectRef, Policy};
use moat_core::semantics::{Decision, Semantics};
use moat_core::settings::ClientPorts;

use crate::generate::Cluster;
use crate::packets::{Corners, packets_of};
use crate::random::Random;

/// What was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Clusters.
    pub clusters: usize,
    /// Network ACLs of ours.
    pub acls: usize,
    /// What they deny.
    pub entries: usize,
    /// Packets, each judged by both references.
    pub packets: usize,
    /// Those that both let through.
    pub allowed: usize,
    /// Those that both drop.
    pub denied: usize,
    /// Those that only policies let through or only the cloud, by the findings that say so.
    pub explained: BTreeMap<(Effect, Reason), usize>,
    /// Replies to packets that arrive, for several ports that these may come from.
    pub replies: usize,
    /// Witnesses of findings, each found to be real.
    pub witnesses: usize,
}

/// A sentence of the contract between policies, cloud and findings ([`Finding::flows`]) that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// Policies and cloud differ, and no finding says so.
    Unreported(Flow, Judgement),
    /// A finding's box holds a flow that both let through.
    NotALoss(Flow, Box<Finding>),
    /// A finding's witness is no difference of its kind, or lies outside of its boxes.
    FalseWitness(Flow, Box<Finding>),
    /// A finding has no witness, although a real flow is in its boxes.
    NoWitness(Flow, Box<Finding>),
    /// A network ACL drops the reply to a flow that arrives, asked from this port.
    Unanswered(Flow, u16),
    /// This policy closes a packet that an entry denies, and is not among those that the entry serves.
    Unserved(Flow, ObjectRef),
    /// What is desired passes a quota.
    OverQuota(Breach),
}

/// What both references say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the policies and settings let the flow through.
    pub policies: bool,
    /// Whether the groups let it through.
    pub cloud: bool,
}

impl Judgement {
    /// The effect that a finding about this difference has; none if there is no difference.
    #[must_use]
    pub const fn effect(self) -> Option<Effect> {
        match (self.policies, self.cloud) {
            (true, false) => Some(Effect::Narrower),
            (false, true) => Some(Effect::NotEnforced),
            (true, true) | (false, false) => None,
        }
    }
}

/// Compares `count` packets at the corners of a cluster, and some inside each finding's boxes.
///
/// # Errors
///
/// The first sentence that does not hold.
pub fn check(cluster: &Cluster, seed: u64, count: usize) -> Result<Tally, Disagreement> {
    let desired = compile(&cluster.policies, &cluster.inventory, &cluster.settings);
    compare(cluster, &desired, seed, count)
}

/// [`check`] for groups that are already there.
///
/// # Errors
///
/// The first sentence that does not hold.
pub fn compare(
    cluster: &Cluster,
    desired: &Desired,
    seed: u64,
    count: usize,
) -> Result<Tally, Disagreement> {
    let Cluster { policies, inventory, settings } = cluster;
    let semantics = Semantics::new(policies, inventory, settings);
    let cloud = Cloud::new(&desired.state, inventory);
    // Network ACLs that were there before go on denying what they did.
    let untouched = State::default();
    let before = Cloud::new(&untouched, inventory);
    let judge = |flow: &Flow| Judgement {
        policies: semantics.allows(flow) && before.crosses(flow),
        cloud: cloud.allows(flow),
    };
    if let Some(breach) = breaches(&desired.state, &settings.quotas).into_iter().next() {
        return Err(Disagreement::OverQuota(breach));
    }
    let mut tally = Tally { clusters: 1, acls: desired.state.acls.len(), ..Tally::default() };
    tally.entries = desired.counts.entries;
    for finding in &desired.findings {
        check_witness(finding, &judge)?;
        tally.witnesses += usize::from(finding.witness.is_some());
    }
    check_served(desired, &semantics, inventory)?;
    let mut random = Random::new(seed);
    let mut packets = Corners::of(&[cluster]).packets(&mut random, count);
    for flows in desired.findings.iter().flat_map(|finding| finding.flows.iter()).take(40) {
        packets.extend(packets_of(cluster, flows, &mut random, 8));
    }
    for flow in &packets {
        let judgement = judge(flow);
        tally += judge_one(flow, judgement, &desired.findings)?;
        if judgement.policies && judgement.cloud {
            for port in asked_from(settings.client_ports, flow.service) {
                tally.replies += 1;
                if before.answers(flow, port) && !cloud.answers(flow, port) {
                    return Err(Disagreement::Unanswered(*flow, port));
                }
            }
        }
    }
    Ok(tally)
}

/// Ports from which a client may ask: the first and the last one that is assumed, and those that rules are about.
fn asked_from(ports: ClientPorts, service: Service) -> impl Iterator<Item = u16> {
    let itself = match service {
        Service::Tcp(port) | Service::Udp(port) => port,
        Service::Sctp(_) | Service::Icmp(_) | Service::Icmpv6(_) | Service::Other(_) => 0,
    };
    let ports = ports.0;
    let from: BTreeSet<u16> =
        [ports.low(), ports.high(), 53, 80, 443, 8080, itself].into_iter().collect();
    from.into_iter().filter(move |port| ports.contains(*port))
}

fn check_witness(
    finding: &Finding,
    judge: &impl Fn(&Flow) -> Judgement,
) -> Result<(), Disagreement> {
    let Some(flow) = finding.witness else { return Ok(()) };
    let inside = finding.flows.iter().any(|flows| flows.contains(&flow));
    if inside && judge(&flow).effect() == Some(finding.effect) {
        return Ok(());
    }
    Err(Disagreement::FalseWitness(flow, Box::new(finding.clone())))
}

/// At each pod behind an ACL, the corners of each entry: whoever closes them is among those whom the entry serves.
fn check_served(
    desired: &Desired,
    semantics: &Semantics<'_>,
    inventory: &Inventory,
) -> Result<(), Disagreement> {
    let is_borne = |at: IpAddr| inventory.pods.iter().any(|pod| pod.addresses.contains(&at));
    for ((acl, direction, Entry { prefix, shape, .. }), serves) in &desired.denies {
        let family = prefix.family();
        let guards = |id| desired.state.subnets.get(id).and_then(AclKey::ours) == Some(acl);
        let subnets = inventory.subnets.iter().filter(|(id, _)| guards(*id));
        let blocks: Vec<Prefix> = subnets.flat_map(|(_, it)| it.blocks.iter().copied()).collect();
        let is_behind = |pod: &Pod| {
            pod.address(family).is_some_and(|at| blocks.iter().any(|block| block.contains(at)))
        };
        let corners = [prefix.first(), prefix.last()].into_iter().filter(|at| !is_borne(*at));
        let Some(service) = shape.services().within(family).first() else { continue };
        for other in corners.map(Endpoint::Address) {
            for (pod, _) in inventory.pods_of_policies().filter(|(_, pod)| is_behind(pod)) {
                let (source, destination) = match direction {
                    Direction::Egress => (Endpoint::Pod(pod), other),
                    Direction::Ingress => (other, Endpoint::Pod(pod)),
                };
                let flow = Flow { source, destination, family, service };
                let verdict = semantics.verdict(&flow);
                let decision = match direction {
                    Direction::Egress => verdict.egress,
                    Direction::Ingress => verdict.ingress,
                };
                let mut closers = closers(&decision).into_iter();
                if let Some(policy) = closers.find(|policy| !serves.contains(&policy.object)) {
                    return Err(Disagreement::Unserved(flow, policy.object.clone()));
                }
            }
        }
    }
    Ok(())
}

/// The policies that close something.
fn closers<'a>(decision: &Decision<'a>) -> Vec<&'a Policy> {
    match decision {
        Decision::Rule { policy, .. } if !decision.allowed() => vec![*policy],
        Decision::Isolated { policies } => policies.clone(),
        Decision::Rule { .. }
        | Decision::NodeTraffic
        | Decision::EssentialIcmp
        | Decision::OpenIcmp
        | Decision::Itself
        | Decision::NotAPod
        | Decision::Default => Vec::new(),
    }
}

fn judge_one(
    flow: &Flow,
    judgement: Judgement,
    findings: &[Finding],
) -> Result<Tally, Disagreement> {
    let holds = |finding: &&Finding| finding.flows.iter().any(|flows| flows.contains(flow));
    let mut tally = Tally { packets: 1, ..Tally::default() };
    let Some(effect) = judgement.effect() else {
        let (through, dropped) = (judgement.policies, !judgement.policies);
        if through && let Some(finding) = findings.iter().find(holds) {
            return Err(Disagreement::NotALoss(*flow, Box::new(finding.clone())));
        }
        (tally.allowed, tally.denied) = (usize::from(through), usize::from(dropped));
        return Ok(tally);
    };
    let of_effect = findings.iter().filter(|finding| finding.effect == effect);
    for finding in of_effect.filter(holds) {
        if finding.witness.is_none() {
            return Err(Disagreement::NoWitness(*flow, Box::new(finding.clone())));
        }
        *tally.explained.entry((effect, finding.reason)).or_default() += 1;
    }
    if tally.explained.is_empty() {
        return Err(Disagreement::Unreported(*flow, judgement));
    }
    Ok(tally)
}

// ------------------------------------------------------------------------------------------------ Tally

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.clusters += other.clusters;
        self.acls += other.acls;
        self.entries += other.entries;
        self.packets += other.packets;
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.replies += other.replies;
        self.witnesses += other.witnesses;
        for (why, count) in other.explained {
            *self.explained.entry(why).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            clusters,
            acls,
            entries,
            packets,
            allowed,
            denied,
            replies,
            witnesses,
            explained,
        } = self;
        writeln!(
            f,
            "{clusters} clusters, {packets} packets: {allowed} allowed and {denied} denied by both; {replies} replies arrive"
        )?;
        writeln!(f, "{acls} network ACLs with {entries} denies")?;
        writeln!(f, "{witnesses} witnesses, all real; differences explained by:")?;
        for ((effect, reason), count) in explained {
            writeln!(f, "  {count:>8} {effect}: {reason}")?;
        }
        Ok(())
    }
}

impl Disagreement {
    /// Which sentence does not hold, so that a smaller cluster can be recognised as failing in the same way.
    #[must_use]
    pub const fn sentence(&self) -> &'static str {
        match self {
            Self::Unreported(_, Judgement { policies: true, .. }) => {
                "policies allow what the cloud drops, and no finding says so"
            }
            Self::Unreported(..) => {
                "the cloud lets through what policies deny, and no finding says so"
            }
            Self::NotALoss(..) => "a finding's box holds a flow that both let through",
            Self::FalseWitness(..) => "a finding's witness is no difference of its kind",
            Self::NoWitness(..) => "a finding with a real difference has no witness",
            Self::Unanswered(..) => "a network ACL drops the reply to a flow that arrives",
            Self::Unserved(..) => "an entry does not serve a policy that closes what it denies",
            Self::OverQuota(_) => "what is desired passes a quota",
        }
    }

    /// The sentence with the flow and the finding.
    #[must_use]
    pub fn describe(&self, inventory: &Inventory) -> String {
        let (flow, finding) = match self {
            Self::Unreported(flow, _) | Self::Unanswered(flow, _) => (flow, None),
            Self::NotALoss(flow, finding)
            | Self::FalseWitness(flow, finding)
            | Self::NoWitness(flow, finding) => (flow, Some(finding)),
            Self::Unserved(flow, policy) => {
                return format!("{}: {policy}, {}", self.sentence(), flow.display(inventory));
            }
            Self::OverQuota(breach) => return format!("{}: {breach}", self.sentence()),
        };
        let mut text = format!("{}: {}", self.sentence(), flow.display(inventory));
        if let Some(Finding { object, path, reason, effect, flows, .. }) = finding.map(Box::as_ref)
        {
            text.push_str(&format!("\n  {object} {path} {reason} ({effect})"));
            for flows in flows.iter() {
                text.push_str(&format!("\n    {}", flows.display(inventory)));
            }
        }
        text
    }
}
