//! Generated clusters through EC2's API: what EC2 answers, read by a reader that shares no code with the writer, lets through
//! what policies say, but for exactly the findings. Ten by default, to be quick; the bar is
//! `MOAT_CLUSTERS=200 cargo test -p moat-aws clusters -- --nocapture`.

use moat_core::compile::Desired;
use moat_core::firewall::{GroupKey, State};
use moat_core::plan::Held;
use moat_tests::differential::{Tally, compare};
use moat_tests::generate::{QuotaChoice, cluster};
use serde_json::json;

use crate::localstack::run;
use crate::world::World;

/// The first seed: to look at one cluster again.
fn first() -> u64 {
    std::env::var("MOAT_FIRST").map_or(0, |text| text.parse().unwrap())
}

fn how_many() -> usize {
    std::env::var("MOAT_CLUSTERS").map_or(10, |text| text.parse().unwrap())
}

/// What is to be printed besides what was compared.
#[derive(Default)]
struct Sizes {
    groups: usize,
    rules: usize,
    interfaces: usize,
    held: usize,
}

impl Sizes {
    fn add(&mut self, state: &State) {
        let ours = state.groups.iter().filter(|(key, _)| is_ours(key));
        self.groups += ours.clone().count();
        self.rules += ours.map(|(_, rules)| rules.len()).sum::<usize>();
        self.interfaces += state.interfaces.values().filter(|it| it.iter().any(is_ours)).count();
    }
}

fn is_ours(key: &GroupKey) -> bool {
    matches!(key, GroupKey::Ours(_))
}

#[test]
fn what_ec2_answers_means_what_policies_say_but_for_exactly_the_findings() {
    let (mut tally, mut sizes) = (Tally::default(), Sizes::default());
    let mut seeds = first()..;
    while tally.clusters < how_many() {
        let seed = seeds.next().unwrap();
        let generated = cluster(seed, QuotaChoice::Any);
        let mut world = World::new();
        let round = run(async {
            let placed = world.place(&generated).await;
            world.set(&placed.settings.quotas, &json!([]));
            world.converge(&placed).await
        });
        if round.plan.held != Held::default() {
            sizes.held += 1;
            continue;
        }
        let read = world.read();
        sizes.add(&read);
        let told = Desired { state: read, ..round.desired };
        let compared = compare(&round.cluster, &told, seed, 600).unwrap_or_else(|why| {
            let why = why.describe(&round.cluster.inventory);
            panic!("seed {seed}: {why}\n{generated}")
        });
        tally += compared;
    }
    let Sizes { groups, rules, interfaces, held } = sizes;
    println!("{tally}{groups} groups, {rules} rules, {interfaces} interfaces wear them");
    println!(
        "0 differences without a finding; {held} clusters not compared: no way there keeps to the quotas"
    );
    assert!(held * 10 <= tally.clusters && groups > 0, "{tally}");
}
