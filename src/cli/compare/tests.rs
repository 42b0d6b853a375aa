//! The boxes of a comparison against both semantics, flow by flow.

use moat_tests::generate::{self, QuotaChoice};
use moat_tests::packets::Corners;
use moat_tests::random::Random;

use super::*;

#[test]
fn every_flow_that_differs_is_in_one_box_of_its_change_and_no_other_is_in_any() {
    const CLUSTERS: u64 = 60;
    const PACKETS: usize = 400;
    let mut different = 0;
    for seed in 0..CLUSTERS {
        let cluster = generate::cluster(seed, QuotaChoice::Unlimited);
        let mut random = Random::new(seed);
        let mut edited = generate::edit(&mut random, &cluster);
        // The same pods: what differs is the policies.
        edited.inventory = cluster.inventory.clone();
        edited.settings = cluster.settings.clone();
        let inventory = &cluster.inventory;
        let old = Side::of(&cluster.policies, inventory, &cluster.settings);
        let new = Side::of(&edited.policies, inventory, &cluster.settings);
        let found = differences(&old, &new, inventory);
        let corners = Corners::of(&[&cluster, &edited]);
        let witnesses = found.iter().map(|difference| difference.witness);
        for flow in corners.packets(&mut random, PACKETS).into_iter().chain(witnesses) {
            let change = match (old.semantics.allows(&flow), new.semantics.allows(&flow)) {
                (false, true) => Some(Change::Opened),
                (true, false) => Some(Change::Closed),
                (true, true) | (false, false) => None,
            };
            different += usize::from(change.is_some());
            let itself = flow.source == flow.destination;
            let boxes = found.iter().filter(|it| it.flows.contains(&flow) && !itself);
            let changes: Vec<Change> = boxes.map(|it| it.change).collect();
            let shown = flow.display(inventory);
            assert_eq!(changes, Vec::from_iter(change), "seed {seed}: {shown}");
        }
    }
    assert!(different > 100, "{different} flows differ: the edits change too little");
}
