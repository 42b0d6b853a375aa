//! What packets may meet between two states.

use moat_core::firewall::{Cloud, State};
use moat_core::flow::Flow;
use moat_core::inventory::Inventory;

/// What was and what should be let through, for some packets. That is the band of P4 even where a plan holds something: what
/// is desired may then open and close again on the way to what can be had.
#[derive(Clone, Debug)]
pub struct Band<'a> {
    /// Where the packets come from and go to.
    pub inventory: &'a Inventory,
    packets: Vec<(Flow, bool, bool)>,
}

impl<'a> Band<'a> {
    /// The band between two states.
    #[must_use]
    pub fn new(old: &State, new: &State, inventory: &'a Inventory, packets: Vec<Flow>) -> Self {
        let (old, new) = (Cloud::new(old, inventory), Cloud::new(new, inventory));
        let judged = |flow: Flow| (flow, old.allows(&flow), new.allows(&flow));
        let packets = packets.into_iter().map(judged).collect();
        Self { inventory, packets }
    }

    /// The packets judged.
    #[must_use]
    pub const fn packets(&self) -> usize {
        self.packets.len()
    }

    /// The packet that a state lets through or drops although old and new both do otherwise.
    #[must_use]
    pub fn left_by(&self, state: &State) -> Option<String> {
        let cloud = Cloud::new(state, self.inventory);
        self.packets.iter().find_map(|(flow, old, new)| {
            let through = cloud.allows(flow);
            let escape = old == new && through != *old;
            let word = if through { "opens" } else { "closes" };
            escape.then(|| format!("{word} {}", flow.display(self.inventory)))
        })
    }

    /// A packet that a state judges unlike the new one.
    #[must_use]
    pub fn differs_from(&self, state: &State) -> Option<Flow> {
        let cloud = Cloud::new(state, self.inventory);
        let mut packets = self.packets.iter();
        packets.find(|(flow, _, new)| cloud.allows(flow) != *new).map(|(flow, _, _)| *flow)
    }
}
