//! Policies that change five times a second, and what may be read from the cloud meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use moat_core::firewall::{Cloud, State};
use moat_core::flow::Flow;
use moat_core::inventory::Inventory;
use moat_core::semantics::Semantics;
use moat_test_cluster::PATIENCE;
use moat_tests::band::Band;
use moat_tests::generate::Cluster;
use moat_tests::packets::Corners;
use moat_tests::random::Random;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Duration, MissedTickBehavior, interval, sleep, timeout};

use crate::kills::policy;
use crate::world::World;

/// Changes, and whoever reads, until they are told to end.
pub(crate) struct Changes {
    world: Arc<World>,
    meant: Arc<Meant>,
    ends: Ends,
    changing: JoinHandle<usize>,
    reading: JoinHandle<(usize, usize, usize)>,
}

/// What tells both to end, at the latest when nobody waits for them any more.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// From one change to the next.
const PAUSE: Duration = Duration::from_millis(200);

/// How much later each of Moat's writes is, in seconds: what is between two of them lasts long enough to be read.
pub(crate) const SLOWLY: f64 = 0.2;

/// Each policy that changes, in both of its forms.
fn changing() -> [[Value; 2]; 3] {
    [
        [policy("web", "web", "cart", 80), policy("web", "web", "other", 443)],
        [policy("store", "database", "cart", 5432), policy("store", "database", "web", 5432)],
        [policy("more", "other", "web", 22), policy("more", "cart", "web", 80)],
    ]
}

/// What stays as it is, of a built-in kind and of one that an API server serves later than those.
fn staying() -> [Value; 2] {
    let own = json!({
        "apiVersion": "moat.dev/v1alpha1",
        "kind": "VpcNetworkPolicy",
        "metadata": {"namespace": "shop", "name": "own"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "database"}},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": "other"}}}],
                "protocols": [{"tcp": {"destinationPort": {"number": 9000}}}],
            }],
        },
    });
    [policy("stays", "database", "cart", 3306), own]
}

/// All policies, with each that changes in the form that its bit of a number says.
fn policies(forms: usize) -> Vec<Value> {
    let changing = changing().into_iter().enumerate();
    let changing =
        changing.map(|(place, [one, other])| if forms >> place & 1 == 0 { one } else { other });
    staying().into_iter().chain(changing).collect()
}

/// The policies of the kind that [`World::programmed`] asks for.
fn told_of(forms: usize) -> Vec<Value> {
    let all = policies(forms).into_iter();
    all.filter(|policy| policy["kind"] == "NetworkPolicy").collect()
}

/// How many combinations of forms there are. The last one is what holds at last.
const FORMS: usize = 8;

impl Changes {
    /// Makes pods and policies, and changes those once a controller has brought the cloud to what they say.
    pub(crate) async fn begin(world: &Arc<World>, controller: impl AsyncFnOnce()) -> Self {
        world.pods("shop", &["web", "cart", "database", "other"]).await;
        let mut clusters = Vec::new();
        for forms in 0..FORMS {
            clusters.push(world.cluster(&policies(forms)).await);
        }
        let all: Vec<&Cluster> = clusters.iter().collect();
        let packets = Corners::of(&all).packets(&mut Random::new(1), 4_000);
        let mut meant = Meant { clusters, packets };
        for policy in policies(FORMS - 1) {
            world.apply(&policy).await;
        }
        controller().await;
        world.programmed(&told_of(FORMS - 1)).await;
        // What no group can say, such as to filter the platform's own addresses, is in the findings, and not judged here.
        let (state, all) = (world.read(), meant.packets.len());
        meant.forget_what_differs(&state);
        assert!(meant.packets.len() * 10 > all * 9, "{} of {all}", meant.packets.len());
        let meant = Arc::new(meant);

        world.slow(&json!([{"times": -1, "delay": SLOWLY}]));
        let ends = Arc::new(AtomicBool::new(false));
        let changing = tokio::spawn(change(Arc::clone(world), Arc::clone(&ends)));
        let (read, means, until) = (Arc::clone(world), Arc::clone(&meant), Arc::clone(&ends));
        let reading = spawn_blocking(move || {
            let meanings = means.meanings();
            let (band, mut states, mut last) = (means.band(&meanings), 0, None);
            let goes_on = |_: &Option<State>| !until.load(Ordering::Relaxed);
            for state in read.glimpses().take_while(goes_on).flatten() {
                if last.as_ref() == Some(&state) {
                    continue;
                }
                assert_eq!(band.left_by(&state), None, "{state:#?}");
                states += 1;
                last = Some(state);
            }
            (states, band.decided(), band.packets())
        });
        Self { world: Arc::clone(world), meant, ends: Ends(ends), changing, reading }
    }

    /// Ends them; what was changed and read meanwhile. The cloud comes to mean what the policies say at last.
    pub(crate) async fn end(self, patience: Duration) -> String {
        drop(self.ends);
        let changes = self.changing.await.expect("it does not panic");
        let (states, decided, packets) = self.reading.await.expect("every state lies in the band");
        let (world, meanings) = (&self.world, self.meant.meanings());
        world.mend();
        let band = self.meant.band(&meanings);
        let arrived = async {
            while band.differs_from(&world.read()).is_some() {
                sleep(Duration::from_millis(500)).await;
            }
        };
        timeout(patience, arrived).await.expect("the cloud comes to mean what the policies say");
        world.programmed(&told_of(FORMS - 1)).await;
        assert_eq!(band.differs_from(&world.read()), None, "and goes on to");
        assert!(changes > 0 && states > 1 && decided > 500, "{changes} {states} {decided}");
        format!(
            "{changes} changes, {states} different states read, {packets} packets each, of which {decided} must always pass or never, none otherwise; the same end"
        )
    }
}

/// The cluster with the policies in each combination of forms, and the packets that are judged.
struct Meant {
    clusters: Vec<Cluster>,
    packets: Vec<Flow>,
}

impl Meant {
    fn meanings(&self) -> Vec<Semantics<'_>> {
        fn meaning(it: &Cluster) -> Semantics<'_> {
            Semantics::new(&it.policies, &it.inventory, &it.settings)
        }
        self.clusters.iter().map(meaning).collect()
    }

    fn inventory(&self) -> &Inventory {
        &self.clusters.last().expect("some").inventory
    }

    fn band(&self, meanings: &[Semantics<'_>]) -> Band<'_> {
        Band::of_policies(meanings, self.inventory(), self.packets.clone())
    }

    /// Drops the packets of which a state does otherwise than the policies in their last form say.
    fn forget_what_differs(&mut self, state: &State) {
        let (meanings, cloud) = (self.meanings(), Cloud::new(state, self.inventory()));
        let last = meanings.last().expect("some");
        let mut packets = self.packets.clone();
        packets.retain(|packet| cloud.allows(packet) == last.allows(packet));
        self.packets = packets;
    }
}

/// Brings one policy after the other into its other form, and all into their last form in the end; how many changes the API
/// server took.
async fn change(world: Arc<World>, ends: Arc<AtomicBool>) -> usize {
    let policies = changing();
    let apply = async |policy: &Value| {
        matches!(timeout(PAUSE * 10, world.try_apply(policy)).await, Ok(Ok(())))
    };
    let (mut taken, mut turn) = (0, interval(PAUSE));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        turn.tick().await;
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let form = number / policies.len() % 2;
        taken += usize::from(apply(&policies[number % policies.len()][form]).await);
    }
    let last = async {
        for [_, last] in &policies {
            while !apply(last).await {
                sleep(PAUSE).await;
            }
        }
    };
    timeout(PATIENCE, last).await.expect("the API server is there at last");
    taken
}
