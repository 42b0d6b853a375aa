//! P4, P5: while policies change, the leader is killed, or sleeps for longer than its lease lasts and wakes up again.
//!
//! Once by default, more often by `MOAT_FAILOVERS=10 cargo test -p moat --test controller failover -- --nocapture`; from the second time on,
//! a write of whoever sleeps arrives after the other one took over.

use std::sync::Arc;

use serde_json::json;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::changes::{Changes, SLOWLY};
use crate::world::World;

/// How long others leave the lease of who is silent alone: 15 s, and a try each 2 s.
const TAKEN: Duration = Duration::from_secs(30);

/// How long changes go on before and after.
const WHILE: Duration = Duration::from_secs(4);

/// When the cloud is as it should be at the latest: what a deposed leader does late shows with the next whole picture, after a minute.
const LATE: Duration = Duration::from_secs(90);

fn rounds() -> usize {
    std::env::var("MOAT_FAILOVERS").map_or(1, |text| text.parse().expect("a number"))
}

/// Waits until another one holds the lease, and has written to EC2.
async fn taken_from(world: &World, before: &str) {
    let taken = async {
        while world.holder().await == before {
            sleep(Duration::from_millis(200)).await;
        }
        let writes = world.writes();
        while world.writes() == writes {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(TAKEN, taken).await.expect("another one leads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_while_policies_change_is_followed_within_the_band() {
    let world = Arc::new(World::new().await);
    let mut leader = None;
    let changes = Changes::begin(&world, async || leader = Some(world.controller().await)).await;
    let mut leader = leader.expect("one");
    let mut longest = Duration::ZERO;
    for _ in 0..rounds() {
        let next = world.another();
        sleep(WHILE).await;
        let (before, began) = (world.holder().await, Instant::now());
        leader.kill();
        taken_from(&world, &before).await;
        longest = longest.max(began.elapsed());
        leader = next;
    }
    sleep(WHILE).await;
    let told = changes.end(LATE).await;
    println!(
        "{} leaders killed, the next one at work after {longest:.1?} at most: {told}",
        rounds()
    );
    leader.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_sleeps_past_its_lease_while_policies_change_does_no_harm() {
    let world = Arc::new(World::new().await);
    let mut both = Vec::new();
    let changes = Changes::begin(&world, async || both.push(world.controller().await)).await;
    both.push(world.another());
    for round in 0..rounds() {
        sleep(WHILE).await;
        let before = world.holder().await;
        let (leader, follower) = (round % 2, (round + 1) % 2);
        if round > 0 {
            // One write waits on the way until the other one is at work.
            let late = json!([{"times": 1, "delay": 25}, {"times": -1, "delay": SLOWLY}]);
            world.slow(&late);
            let writes = world.writes();
            while world.writes() == writes {
                sleep(Duration::from_millis(5)).await;
            }
        }
        both[leader].stop();
        taken_from(&world, &before).await;
        both[leader].go_on();
        let after = world.holder().await;
        sleep(WHILE * 2).await;
        assert_eq!(world.holder().await, after, "who woke up follows");
        assert!(both[leader].runs() && both[follower].runs());
    }
    let told = changes.end(LATE).await;
    println!("{} leaders slept past their lease: {told}", rounds());
}
