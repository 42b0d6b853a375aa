//! P4, P5: a fault at each call of a plan in turn, before and after it took effect; then `moat` observes and plans again.
//!
//! Whatever befalls a call: the same end but for numbers, nothing opened or closed on the way that neither end opens or
//! closes, and nothing left behind. The state is read after every step by a reader that shares no code with the writer.
//! A few calls by default, each kind among them; every call by `MOAT_FAULTS=all cargo test -p moat-aws recovery -- --nocapture`.

mod fault;
mod packets;
mod world;

use std::collections::BTreeMap;

use moat_core::firewall::{GroupKey, State};
use moat_core::provider::Step;
use moat_tests::band::Band;
use moat_tests::contract::Fixture;
use moat_tests::reading;

use self::fault::Kind;
use self::packets::packets;
pub(crate) use self::world::{World, shape};
use crate::localstack::{ask, run};

/// The calls of both plans without a fault, and the shapes they lead to.
struct Well {
    calls: [Vec<String>; 2],
    shapes: [Vec<String>; 2],
}

async fn well() -> Well {
    let mut world = World::new().await;
    let mut well = Well { calls: [vec![], vec![]], shapes: [vec![], vec![]] };
    for (place, desired) in [world.before(), world.after()].iter().enumerate() {
        let start = world.calls().len();
        // One step at a time, as they are taken when a fault is injected.
        assert_eq!(world.pass(desired, Some(&|_| ())).await, Some(false));
        well.calls[place] = world.calls().split_off(start);
        assert_eq!(world.pass(desired, None).await, Some(true));
        well.shapes[place] = shape(&world.read(), &world.interfaces);
    }
    well
}

/// What was seen.
#[derive(Default)]
struct Tally {
    faults: BTreeMap<(Kind, bool), usize>,
    boundaries: usize,
    packets: usize,
    leaks: usize,
    passes: usize,
}

/// Both plans, each with a fault at one call.
async fn strike(kind: Kind, index: usize, after: bool, well: &Well, tally: &mut Tally) {
    let mut world = World::new().await;
    let desired = [world.before(), world.after()];
    let mut now = world.read();
    for (place, desired) in desired.iter().enumerate() {
        let Some(rules) = (index < well.calls[place].len())
            .then(|| kind.rules(&well.calls[place], index, after))
            .flatten()
        else {
            while world.pass(desired, None).await != Some(true) {}
            now = world.read();
            continue;
        };
        *tally.faults.entry((kind, after)).or_default() += 1;
        let op = &well.calls[place][index];
        let when = format!(
            "{kind:?} {} {op}, call {index} of plan {place}",
            if after { "after" } else { "before" }
        );
        let inventory = world.inventory.clone();
        let band = Band::new(&now, &desired.state, &inventory, packets());
        let seen = std::sync::Mutex::new((0, 0));
        let (account, vpc) = (world.cloud.account.clone(), world.cloud.aws.config().vpc.clone());
        let look = |step: &Step| {
            let state = reading::state(&reading::read(&account, &vpc), "test");
            let judged = holds(&band, &state, &format!("{when}, at `{step}`"));
            let mut seen = seen.lock().unwrap();
            *seen = (seen.0 + 1, seen.1 + judged);
        };
        world.set(&rules);
        if kind == Kind::Kill {
            world.pass(desired, None).await;
            world.cloud.restart();
        } else {
            // Up to the fault, all is as it is without.
            let look_from_there = |step: &Step| {
                if is_hit(&account) {
                    look(step);
                }
            };
            world.pass(desired, Some(&look_from_there)).await;
        }
        assert!(is_hit(&account), "{when}: nothing was hit");
        ask("DELETE", &format!("/_faults/{account}"), "");
        tally.packets += holds(&band, &world.read(), &when);
        tally.boundaries += 1;

        for pass in 1.. {
            let extra = world.read();
            let done = world.pass(desired, Some(&look)).await.unwrap();
            let state = world.read();
            let leaked = number_of_ours(&state).saturating_sub(number_of_ours(&desired.state));
            assert!(leaked <= usize::from(pass == 1), "{when}: {leaked} leaked after pass {pass}");
            tally.leaks += leaked;
            if done {
                assert_eq!(extra, state);
                break;
            }
            tally.passes = tally.passes.max(pass);
            assert!(pass < 4, "{when}: it does not converge");
        }
        now = world.read();
        assert_eq!(shape(&now, &world.interfaces), well.shapes[place], "{when}");
        let (boundaries, packets) = *seen.lock().unwrap();
        tally.boundaries += boundaries;
        tally.packets += packets;
    }
}

/// Whether a call of the account met a fault.
/// The packets judged: a state lets none through, and drops none, as neither end of the band does.
fn holds(band: &Band<'_>, state: &State, when: &str) -> usize {
    assert_eq!(band.left_by(state), None, "{when}");
    band.packets()
}

fn is_hit(account: &str) -> bool {
    let answer = ask("GET", &format!("/_faults/{account}"), "");
    answer["faulted"].as_object().is_some_and(|hit| !hit.is_empty())
}

fn number_of_ours(state: &State) -> usize {
    state.groups.keys().filter(|key| matches!(key, GroupKey::Ours(_))).count()
}

#[test]
fn a_fault_at_any_call_leads_to_the_same_end_within_the_band() {
    run(async {
        let well = well().await;
        let longest = well.calls.iter().map(Vec::len).max().unwrap();
        let all = std::env::var("MOAT_FAULTS").is_ok_and(|text| text == "all");
        let mut tally = Tally::default();
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            for after in [false, true] {
                // Those calls that can meet such a fault, in either plan.
                let meets = |index: &usize| {
                    let mut calls = well.calls.iter().filter(|calls| *index < calls.len());
                    calls.any(|calls| kind.rules(calls, *index, after).is_some())
                };
                let mut indices: Vec<usize> = (0..longest).filter(meets).collect();
                if !all {
                    let one = place * indices.len() / Kind::ALL.len();
                    let turn = place % 2 == usize::from(after);
                    indices = if turn { vec![indices[one]] } else { vec![] };
                }
                for index in indices {
                    strike(kind, index, after, &well, &mut tally).await;
                }
            }
        }
        let [build, edit] = &well.calls;
        println!("calls: {} from nothing, {} of an edit", build.len(), edit.len());
        println!("{:<14} {:>7} {:>7}", "fault", "before", "after");
        for kind in Kind::ALL {
            let count = |after| tally.faults.get(&(kind, after)).copied().unwrap_or_default();
            println!("{:<14} {:>7} {:>7}", format!("{kind:?}"), count(false), count(true));
            assert!(count(false) + count(true) > 0, "{kind:?} is not tried");
        }
        let Tally { boundaries, packets, leaks, passes, .. } = tally;
        println!("{boundaries} states between calls, {packets} packets, all within the band");
        println!(
            "the same end after at most {passes} passes more; leaked after the first: {leaks}"
        );
    });
}
