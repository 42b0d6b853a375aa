//! What packets may meet between two states.

use moat_core::firewall::{Cloud, State};
use moat_core::flow::Flow;
use moat_core::inventory::Inventory;
use moat_core::semantics::Semantics;

/// What was and what should be let through, for some packets. That is the band of P4 even where a plan holds something: what
/// is desired may then open and close again on the way to what can be had.
#[derive(Clone, Debug)]
pub struct Band<'a> {
    /// Where the packets come from and go to.
    pub inventory: &'a Inventory,
    packets: Vec<Judged>,
}

/// A packet, and what may become of it.
#[derive(Clone, Copy, Debug)]
struct Judged {
    flow: Flow,
    /// Whether everybody lets it through.
    must_pass: bool,
    /// Whether anybody does.
    may_pass: bool,
    /// Whether the last one does.
    passes_at_last: bool,
    /// Whether everybody lets it through and its replies, too.
    must_be_answered: bool,
}

/// The port from which packets are asked.
const ASKED_FROM: u16 = 40_000;

impl<'a> Band<'a> {
    /// The band between two states.
    #[must_use]
    pub fn new(old: &State, new: &State, inventory: &'a Inventory, packets: Vec<Flow>) -> Self {
        let clouds = [old, new].map(|state| Cloud::new(state, inventory));
        let judge = |flow: &Flow| clouds.iter().map(|it| it.allows(flow)).collect();
        let mut band = Self::judged(inventory, packets, judge);
        for packet in &mut band.packets {
            let answered = |cloud: &Cloud<'_>| cloud.answers(&packet.flow, ASKED_FROM);
            packet.must_be_answered = packet.must_pass && clouds.iter().all(answered);
        }
        band
    }

    /// The band of policies that change, each of which may be in force at any time; the last ones are at last.
    #[must_use]
    pub fn of_policies(
        meanings: &[Semantics<'_>],
        inventory: &'a Inventory,
        packets: Vec<Flow>,
    ) -> Self {
        let judge = |flow: &Flow| meanings.iter().map(|it| it.allows(flow)).collect();
        Self::judged(inventory, packets, judge)
    }

    fn judged(
        inventory: &'a Inventory,
        packets: Vec<Flow>,
        judge: impl Fn(&Flow) -> Vec<bool>,
    ) -> Self {
        let judged = |flow: Flow| {
            let passes = judge(&flow);
            Judged {
                flow,
                must_pass: passes.iter().all(|passes| *passes),
                may_pass: passes.iter().any(|passes| *passes),
                passes_at_last: passes.last().copied().unwrap_or_default(),
                must_be_answered: false,
            }
        };
        Self { inventory, packets: packets.into_iter().map(judged).collect() }
    }

    /// The packets judged.
    #[must_use]
    pub const fn packets(&self) -> usize {
        self.packets.len()
    }

    /// Those of them of which only one thing may become: let through always, or never.
    #[must_use]
    pub fn decided(&self) -> usize {
        self.packets.iter().filter(|packet| packet.must_pass == packet.may_pass).count()
    }

    /// The packet that a state lets through or drops although everybody does otherwise.
    #[must_use]
    pub fn left_by(&self, state: &State) -> Option<String> {
        let cloud = Cloud::new(state, self.inventory);
        self.packets.iter().find_map(|packet| {
            let through = cloud.allows(&packet.flow);
            let escapes = if through { !packet.may_pass } else { packet.must_pass };
            let unanswered = packet.must_be_answered && !cloud.answers(&packet.flow, ASKED_FROM);
            let word = match through {
                _ if unanswered && !escapes => "leaves without replies",
                true => "opens",
                false => "closes",
            };
            let found = || format!("{word} {}", packet.flow.display(self.inventory));
            (escapes || unanswered).then(found)
        })
    }

    /// A packet that a state judges unlike the last one.
    #[must_use]
    pub fn differs_from(&self, state: &State) -> Option<Flow> {
        let cloud = Cloud::new(state, self.inventory);
        let differs = |packet: &&Judged| cloud.allows(&packet.flow) != packet.passes_at_last;
        self.packets.iter().find(differs).map(|packet| packet.flow)
    }
}
