//! Traps 42 and 45: the order of calls. Traps 43, 44, 46 and 47 are the driver's: `tests/drive.rs`.

use moat_core::drive::observe;
use moat_core::provider::{ProviderError, Scope};
use moat_sim::{Config, Fault, Injection, Sim, block_on};
use moat_tests::scenario::{Scenario, network_policy};
use moat_tests::transitions::between;

fn open(ports: &str) -> Scenario {
    Scenario::of(&network_policy("p", "{}", &format!("ingress: [{{ports: {ports}}}]")))
}

#[test]
fn trap_42_no_window_has_less_than_before_and_after_share() {
    let steps = [
        ("[{port: 80}]", "[{port: 80, endPort: 90}]"),
        ("[{port: 80, endPort: 90}]", "[{port: 85, endPort: 99}]"),
        ("[{port: 80}, {port: 443}]", "[{port: 443}, {port: 8443}]"),
    ];
    for (before, after) in steps {
        let tally = between(&open(before).cluster, &open(after).cluster);
        let tally = tally.unwrap_or_else(|why| panic!("{why}"));
        assert!(tally.busy > 0 && tally.held == 0 && tally.states > 2, "{tally}");
    }
}

#[test]
fn trap_45_a_partial_picture_is_no_picture_so_nothing_is_revoked_from_it() {
    let made = open("[{port: 80}]");
    let mut sim = Sim::new(Config { page: 1, ..Config::dual_stack() });
    let mut inventory = made.cluster.inventory;
    sim.place(&mut inventory).unwrap_or_else(|error| panic!("{error}"));
    let scope =
        Scope { interfaces: inventory.interfaces.keys().cloned().collect(), ..Scope::default() };
    block_on(observe(&mut sim, &scope)).expect("a whole picture");
    let pages: usize = sim.calls().values().sum();
    assert!(pages > 3, "the picture has pages");
    for after in 0..pages {
        let mut sim = sim.clone();
        let code = "UnauthorizedOperation".to_owned();
        let error = ProviderError::Unauthorized { action: "any".to_owned(), code };
        let fault = Fault::Refuse(error.clone());
        sim.inject(Injection { call: None, after, times: 1, fault });
        assert_eq!(block_on(observe(&mut sim, &scope)), Err(error));
    }
}
