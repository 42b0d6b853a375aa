//! Everything that cannot be enforced: told wherever people look, and gone again once it is mended.
//!
//! All examples share a cluster: they are there at once, then all are mended. What is told is compared whole.

mod examples;
mod scene;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use moat_controller::{Ports, Terms};
use moat_core::finding::{Effect, Reason};
use moat_k8s::unsupported::{Told, row};
use moat_test_cluster::PATIENCE;
use tokio::time::{Instant, sleep};

use crate::admission::{call, definition, webhook};
use crate::http::port;
use crate::world::{Controller, World};
use examples::{Example, Means, means};
use told::{Said, Series};

/// Goes through all reasons: the examples of those that policies cause, and how often each is found, with each effect.
fn accounted() -> (Vec<Example>, Series) {
    let mut ways = [0; 3];
    let (mut examples, mut found) = (Vec::new(), Series::new());
    for reason in Reason::ALL {
        let row = row(*reason);
        let mut count = |effect: Effect, times: usize| {
            let labels = [reason.as_str(), effect.as_str()].map(str::to_owned);
            *found.entry(labels.into()).or_default() += times;
            effect
        };
        let (way, told, effects): (_, &[Told], BTreeSet<Effect>) = match means(*reason) {
            Means::Policies(policies, beside) => {
                let effects = policies.iter().map(|example| count(example.effect, 1));
                let effects: BTreeSet<Effect> = effects.collect();
                let beside = (beside > 0).then(|| count(Effect::Ignored, beside));
                examples.extend(policies);
                (0, &[Told::Policy], effects.into_iter().chain(beside).collect())
            }
            Means::Others(effect, times) => {
                (1, &[Told::Pod, Told::Installation], [count(effect, times)].into())
            }
            Means::Never(why) => {
                println!("{reason}: {why}");
                (2, &[Told::Command], row.effects.iter().copied().collect())
            }
        };
        ways[way] += 1;
        assert!(told.contains(&row.told), "{reason}: docs/unsupported.md tells of {:?}", row.told);
        let documented: BTreeSet<Effect> = row.effects.iter().copied().collect();
        assert_eq!(documented, effects, "{reason}: docs/unsupported.md, and the examples");
    }
    let [policies, others, never] = ways;
    assert_eq!(ways.iter().sum::<usize>(), Reason::ALL.len());
    println!(
        "{} reasons: {policies} through policies, {others} through other objects and the cloud, {never} that cannot reach a \
         controller, and none missing",
        Reason::ALL.len()
    );
    (examples, found)
}

/// Waits until what is seen is what is wanted; else shows both.
async fn becomes<T: PartialEq + Debug>(what: &str, wanted: &T, mut look: impl AsyncFnMut() -> T) {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if seen == *wanted {
            return;
        }
        if Instant::now() > end {
            assert_eq!(seen, *wanted, "{what}");
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// A controller that warns who applies a policy, and where it tells its metrics.
async fn controller(world: &World, identity: &str) -> (Controller, SocketAddr) {
    let (ports, number) = webhook(Terms::default()).await;
    call(world, number).await;
    let (serve, address) = port().await;
    (world.controller_with(identity, Ports { serve, ..ports }, None), address)
}

fn by_name<T>(examples: &[Example], of: fn(&Example) -> T) -> BTreeMap<String, T> {
    examples.iter().map(|example| (example.name(), of(example))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_is_told_everywhere_and_gone_when_mended() {
    let (examples, counts) = accounted();
    let world = World::new().await;
    world.apply(&definition()).await;
    scene::set(&world, &examples).await;
    let (found, clean) = (by_name(&examples, Said::found), by_name(&examples, Said::clean));
    let first = world.controller("one");
    becomes("policies tell", &found, async || told::of(&world, &examples).await).await;
    first.stop().await;

    let meddled = scene::meddle(&world);
    let (second, metrics) = controller(&world, "two").await;
    becomes("metrics tell", &counts, async || told::series(metrics, "moat_findings").await).await;
    let conditions = told::counts(&found, scene::POLICIES, scene::OPENED.len());
    becomes("so do those of policies", &conditions, async || {
        told::series(metrics, "moat_policies").await
    })
    .await;
    scene::go_on(&world).await;
    becomes("metrics tell in the next round, too", &counts, async || {
        told::series(metrics, "moat_findings").await
    })
    .await;
    becomes("the installation tells", &told::of_cloud(&counts), async || {
        told::of_installation(&world).await
    })
    .await;
    let events = told::expected_events(&examples);
    becomes("events tell", &events, async || told::events(&world).await).await;
    second.stop().await;
    let (third, metrics) = controller(&world, "three").await;
    let mut lasting = counts;
    lasting.retain(|labels, _| labels[0] != Reason::Drift.as_str());
    becomes("what was put right is not told again", &lasting, async || {
        told::series(metrics, "moat_findings").await
    })
    .await;
    assert_eq!(told::of(&world, &examples).await, found, "another leader tells the same");
    becomes("warnings tell", &told::expected_warnings(&examples), async || {
        told::warnings(&world, &examples, |example| &example.policy).await
    })
    .await;

    scene::mend(&world, &examples).await;
    becomes("nothing is told of policies", &clean, async || told::of(&world, &examples).await)
        .await;
    let none = BTreeMap::new();
    becomes("nobody is warned", &none, async || {
        told::warnings(&world, &examples, |example| &example.mended).await
    })
    .await;
    third.stop().await;
    scene::leave(&world, meddled);
    let (_fourth, metrics) = controller(&world, "four").await;
    let standing = told::standing();
    becomes("but for what stands", &standing, async || {
        told::series(metrics, "moat_findings").await
    })
    .await;
    becomes("in the installation, too", &told::of_cloud(&standing), async || {
        told::of_installation(&world).await
    })
    .await;

    scene::end(&world, &examples).await;
    let nothing = Series::new();
    becomes("which falls last", &nothing, async || told::series(metrics, "moat_findings").await)
        .await;
    becomes("policies are gone", &nothing, async || told::series(metrics, "moat_policies").await)
        .await;
    assert_eq!(told::events(&world).await, events, "nothing was said twice");
}
