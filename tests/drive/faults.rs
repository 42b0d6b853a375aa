//! Every call is lost, refused or the death of the process: the end is the same, and nothing leaks.

use super::*;

/// A fault, for one call or three, at every call between two states.
fn whatever_befalls(
    start: &Sim,
    faults: &[(usize, Fault)],
    converge: impl Fn(&mut Sim),
    same: impl Fn(&Sim, &Sim) -> bool,
) {
    let count = |sim: &Sim| sim.calls().values().sum::<usize>();
    let mut well = start.clone();
    converge(&mut well);
    let calls = count(&well) - count(start);
    assert!(calls > 30, "there is something to befall");
    for (times, fault) in faults {
        for after in 0..calls {
            let mut sim = start.clone();
            let (times, fault) = (*times, fault.clone());
            sim.inject(Injection { call: None, after, times, fault: fault.clone() });
            converge(&mut sim);
            assert!(same(&sim, &well), "{fault:?} after {after} calls: {:#?}", holds(&sim));
        }
    }
}

fn refusals() -> [(usize, Fault); 3] {
    let errors = [
        ProviderError::Transient {
            action: "any".to_owned(),
            code: None,
            message: "lost".to_owned(),
        },
        ProviderError::NotYetVisible { subject: "a group".to_owned(), code: None },
        ProviderError::Throttled {
            action: "any".to_owned(),
            code: "any".to_owned(),
            retry_after: Some(LAG),
        },
    ];
    errors.map(|error| (3, Fault::Refuse(error)))
}

fn deaths() -> [(usize, Fault); 4] {
    let moments = [Moment::Before, Moment::After];
    let [lost_before, lost_after] = moments.map(|moment| (1, Fault::Lose(moment)));
    let [killed_before, killed_after] = moments.map(|moment| (1, Fault::Kill(moment)));
    [killed_before, killed_after, lost_before, lost_after]
}

#[test]
fn it_converges_to_the_same_end_whatever_befalls_any_call() {
    for lag in [Duration::ZERO, LAG] {
        let start = settled(&Config { lag, page: 5, ..Config::default() }, &before());
        let converge = |sim: &mut Sim| converge(sim, &after());
        let faults: Vec<_> = deaths().into_iter().chain(refusals()).collect();
        whatever_befalls(&start, &faults, converge, |sim, well| holds(sim) == holds(well));
    }
}

/// What groups mean, whatever their numbers: each interface's rules, with those who wear a group in its place.
fn means(sim: &Sim) -> BTreeMap<&InterfaceId, Meaning> {
    let wearers = |id: &ForeignGroupId| {
        let wearers = sim.vpc().interfaces().filter(|(_, it)| it.groups.contains(id));
        wearers.map(|(id, _)| id.0.to_string()).collect()
    };
    let meaning = |rule: &Rule| {
        let peer = match &rule.peer {
            Peer::Prefix(prefix) => vec![prefix.to_string()],
            Peer::Group(GroupKey::Foreign(id)) => wearers(id),
            Peer::Group(GroupKey::Ours(_)) => Vec::new(),
        };
        (rule.direction, peer, rule.shape)
    };
    let interfaces = sim.vpc().interfaces().map(|(id, interface)| {
        let groups = interface.groups.iter().filter_map(|group| sim.vpc().group(group));
        (id, groups.flat_map(|group| group.rules.keys()).map(meaning).collect())
    });
    interfaces.collect()
}

/// The rules of an interface, with their peers as prefixes or wearers.
type Meaning = BTreeSet<(Direction, Vec<String>, Shape)>;

#[test]
fn the_planner_and_the_driver_converge_and_leak_nothing_whatever_befalls_any_call() {
    let pod = |interface: InterfaceId| Pod {
        namespace: "shop".into(),
        name: interface.0.clone(),
        uid: interface.0.clone(),
        labels: Arc::default(),
        addresses: Vec::new(),
        node: None,
        ports: [].into(),
        probes: [].into(),
        host_network: false,
        interface: Some(interface),
    };
    let mut inventory = Inventory { pods: interfaces().map(pod).into(), ..Inventory::default() };
    let mut start = settled(&Config::default(), &before());
    start.place(&mut inventory).unwrap();
    let desired = Desired { state: after(), ..Desired::default() };
    let quotas = Quotas::default();
    let plan = |observed: &Observed| moat_core::plan::plan(&desired, observed, &inventory, &quotas);
    let records = |sim: &Sim| -> Vec<BTreeSet<ForeignGroupId>> {
        sim.vpc().interfaces().map(|(_, interface)| interface.record.clone()).collect()
    };
    whatever_befalls(
        &start,
        &deaths(),
        |sim| converge_by(sim, plan),
        |sim, well| {
            let groups = |sim: &Sim| sim.vpc().groups().count();
            means(sim) == means(well)
                && groups(sim) == groups(well)
                && records(sim) == records(well)
        },
    );
}

#[test]
fn a_record_is_written_before_an_interfaces_groups_change_and_removed_after() {
    let [a, ..] = interfaces();
    let killed_after_moving = |start: &Sim, groups: GroupKey, record: &[ForeignGroupId]| {
        let mut sim = start.clone();
        sim.inject(Injection {
            call: Some(Call::ModifyNetworkInterfaceAttribute),
            after: 0,
            times: 1,
            fault: Fault::Kill(Moment::After),
        });
        let groups = BTreeSet::from([groups]);
        let record = record.iter().cloned().collect();
        let step = Step::SetGroups { interface: a.clone(), groups, record };
        block_on(drive(&mut sim, &stages([vec![step]]), &scope()));
        assert!(sim.is_dead());
        let interface = sim.vpc().interfaces().find(|(id, _)| **id == a).unwrap().1.clone();
        (interface.groups.contains(&base_group()), interface.record)
    };
    let recorded = BTreeSet::from([base_group()]);
    let mut base = sim(Config::default());
    converge(&mut base, &State { groups: before().groups, ..State::default() });
    block_on(observe(&mut base, &scope())).unwrap();
    assert_eq!(killed_after_moving(&base, ours(0), &[base_group()]), (false, recorded.clone()));
    let moved = settled(&Config::default(), &before());
    let back = GroupKey::Foreign(base_group());
    assert_eq!(killed_after_moving(&moved, back, &[]), (true, recorded));
}
