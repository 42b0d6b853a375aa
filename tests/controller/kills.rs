//! P4, P5: a controller that is killed at any of its writes, before and after it took effect, is followed by another one.
//!
//! A few writes by default, every one by `MOAT_KILLS=all cargo test -p moat --test controller -- --nocapture`.

use moat_core::firewall::State;
use moat_test_cluster::{PATIENCE, until};
use moat_tests::band::Band;
use moat_tests::packets::Corners;
use moat_tests::random::Random;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::world::World;

/// A policy of `shop` that lets the pods of one name be reached by those of another at one port.
pub(crate) fn policy(name: &str, subject: &str, peer: &str, port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": subject}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": peer}}}],
                "ports": [{"protocol": "TCP", "port": port}],
            }],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
    })
}

/// Two states of the policies, between which groups are made and deleted, rules come and go, and interfaces move.
fn policies() -> [Vec<Value>; 2] {
    [
        vec![
            policy("web", "web", "cart", 80),
            policy("store", "database", "cart", 5432),
            policy("more", "other", "web", 22),
        ],
        vec![
            policy("web", "web", "other", 443),
            policy("store", "database", "web", 5432),
            policy("more", "cart", "web", 80),
        ],
    ]
}

/// What a controller leads to: the state, and its sizes.
struct End {
    state: State,
    sizes: (Vec<usize>, Vec<usize>),
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_killed_at_any_write_is_followed_to_the_same_end_within_the_band() {
    let world = World::new().await;
    world.pods("shop", &["web", "cart", "database", "other"]).await;
    let policies = policies();
    let clusters = [world.cluster(&policies[0]).await, world.cluster(&policies[1]).await];
    let packets = Corners::of(&[&clusters[0], &clusters[1]]).packets(&mut Random::new(1), 20_000);
    let inventory = &clusters[1].inventory;
    assert!(packets.len() > 1_000, "{}", packets.len());

    // The ends, as they are without any fault.
    let mut ends = Vec::new();
    for policies in policies.iter().chain([&policies[0]]) {
        enforce(&world, policies).await;
        ends.push(quiet(&world, policies).await);
    }
    assert_eq!(ends[0].sizes, ends[2].sizes, "the same policies, the same groups");
    let bands = [(0, 1), (1, 0)].map(|(old, new): (usize, usize)| {
        Band::new(&ends[old].state, &ends[new].state, inventory, packets.clone())
    });

    let every = std::env::var("MOAT_KILLS").is_ok_and(|value| value == "all");
    let (mut kills, mut states, mut reached) = (0, 0, true);
    let mut write = 0;
    while reached {
        reached = false;
        for after in [false, true] {
            for (to, band) in [1, 0].into_iter().zip(&bands) {
                let when = format!("killed at write {write}, after: {after}, to {to}");
                let holds = |state: &State| assert_eq!(band.left_by(state), None, "{when}");
                world.hold(write, after);
                let first = enforce_with(&world, &policies[to]).await;
                let hit = held_up(&world, &policies[to], write).await;
                first.kill();
                holds(&world.read());
                world.mend();
                kills += usize::from(hit);
                reached |= hit;
                let second = world.controller().await;
                until(&when, async || {
                    holds(&world.glimpses().nth(1)??);
                    states += 1;
                    (world.sizes() == ends[to].sizes).then_some(())
                })
                .await;
                world.programmed(&policies[to]).await;
                assert_eq!(band.differs_from(&world.read()), None, "{when}");
                second.kill();
            }
        }
        write += if every { 1 } else { 15 };
    }
    println!(
        "{kills} kills, {states} states read while the next one went on, {} packets each, all within the band",
        packets.len()
    );
    assert!(kills >= 8, "{kills}: every write is reached");
}

/// Applies policies and lets a controller of its own enforce them.
async fn enforce(world: &World, policies: &[Value]) {
    let controller = enforce_with(world, policies).await;
    world.programmed(policies).await;
    quiet(world, policies).await;
    controller.kill();
}

async fn enforce_with(world: &World, policies: &[Value]) -> crate::world::Controller {
    for policy in policies {
        world.apply(policy).await;
    }
    world.controller().await
}

/// The end, once nothing has changed for a while.
async fn quiet(world: &World, policies: &[Value]) -> End {
    world.programmed(policies).await;
    let mut last = world.read();
    loop {
        sleep(Duration::from_secs(1)).await;
        let next = world.read();
        if next == last {
            return End { state: next, sizes: world.sizes() };
        }
        last = next;
    }
}

/// Whether so many writes pass, and one more is held up; none if everything is programmed before.
async fn held_up(world: &World, policies: &[Value], write: usize) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if world.writes() > write {
            // Time for it to take effect, where it does.
            sleep(Duration::from_millis(200)).await;
            return true;
        }
        sleep(Duration::from_millis(20)).await;
        if started.elapsed() > Duration::from_secs(10) {
            world.programmed(policies).await;
            return false;
        }
    }
    panic!("neither a write nor an end");
}
