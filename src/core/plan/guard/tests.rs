use super::*;
use crate::firewall::{Entry, EntryKey, EntryNumber};
use crate::inventory::Subnet;
use crate::plan::{plan, uninstall};
use crate::policy::Direction;

/// Entries of egress, `10 deny 10.0.0.0/8 tcp/22`.
fn acl(entries: &[&str]) -> Acl {
    let read = |text: &&str| {
        let (number, entry) = text.split_once(' ').unwrap();
        let number = EntryNumber::try_from(number.parse::<u16>().unwrap()).unwrap();
        (EntryKey { direction: Direction::Egress, number }, entry.parse::<Entry>().unwrap())
    };
    Acl(entries.iter().map(read).collect())
}

fn name(text: &str) -> AclName {
    AclName(text.into())
}

fn prior() -> ForeignAclId {
    ForeignAclId("acl-prior".into())
}

/// Subnets, and the ACLs of ours that guard them or are to: each with its entries.
struct World {
    subnets: Vec<&'static str>,
    now: State,
    desired: Desired,
    quotas: Quotas,
    /// What ours record.
    recorded: ForeignAclId,
}

impl World {
    fn new(subnets: &[&'static str]) -> Self {
        let mut now = State::default();
        now.acls.insert(AclKey::Foreign(prior()), acl(&[OPEN]));
        for subnet in subnets {
            now.subnets.insert(SubnetId((*subnet).into()), AclKey::Foreign(prior()));
        }
        let (desired, quotas) = (Desired::default(), Quotas::default());
        Self { subnets: subnets.to_vec(), now, desired, quotas, recorded: prior() }
    }

    fn guarded(mut self, by: &str, subnets: &[&str], entries: &[&str]) -> Self {
        set(&mut self.now, by, subnets, entries);
        self
    }

    fn wants(mut self, by: &str, subnets: &[&str], entries: &[&str]) -> Self {
        set(&mut self.desired.state, by, subnets, entries);
        self
    }

    fn observed(&self) -> Observed {
        let subnet =
            || Subnet { blocks: Vec::new(), acl: name("pods"), prior: prior(), has_others: false };
        let subnets = self.subnets.iter().map(|id| (SubnetId((*id).into()), subnet()));
        let subnets = subnets.collect();
        let ours = self.now.acls.keys().filter_map(AclKey::ours);
        let acl_priors = ours.map(|acl| (acl.clone(), self.recorded.clone())).collect();
        Observed { state: self.now.clone(), subnets, acl_priors, ..Observed::default() }
    }

    /// The calls of the way, and the fewest.
    fn costs(&self) -> (usize, usize) {
        let way = plan(&self.desired, &self.observed(), &Inventory::default(), &self.quotas);
        (way.calls(), way.minimum_calls())
    }

    /// The steps by stage, once it is seen that planning again has nothing to do.
    fn way(&self) -> Vec<(Purpose, Vec<String>)> {
        let (inventory, observed) = (Inventory::default(), self.observed());
        let way = plan(&self.desired, &observed, &inventory, &self.quotas);
        let made = way.target.acls.keys().filter_map(AclKey::ours);
        let acl_priors = made.map(|acl| (acl.clone(), prior())).collect();
        let end = Observed { state: way.target.clone(), acl_priors, ..observed };
        let again = plan(&self.desired, &end, &inventory, &self.quotas);
        assert_eq!(again.stages, []);
        told(&way)
    }
}

fn told(way: &Plan) -> Vec<(Purpose, Vec<String>)> {
    let steps = |stage: &Stage| stage.steps.iter().map(ToString::to_string).collect();
    way.stages.iter().map(|stage| (stage.purpose, steps(stage))).collect()
}

fn set(state: &mut State, by: &str, subnets: &[&str], entries: &[&str]) {
    state.acls.insert(AclKey::Ours(name(by)), acl(entries));
    for subnet in subnets {
        state.subnets.insert(SubnetId((*subnet).into()), AclKey::Ours(name(by)));
    }
}

/// What goes before ours, where it stands there and where ours copy it.
const OPEN: &str = "100 allow 0.0.0.0/0 all";
const COPY: &str = "30000 allow 0.0.0.0/0 all";
const PRIVATE: &str = "1 deny 10.0.0.0/8 tcp/443";

#[test]
fn an_acl_is_whole_before_it_guards_and_guards_nothing_before_it_goes() {
    let world = World::new(&["one", "two"]).wants("pods", &["one", "two"], &[PRIVATE, COPY]);
    let expected = [
        (Purpose::Create, vec!["create network ACL pods"]),
        (
            Purpose::Prepare,
            vec![
                "put egress entry 1 `deny 10.0.0.0/8 tcp/443` into network ACL pods",
                "put egress entry 30000 `allow 0.0.0.0/0 all` into network ACL pods",
            ],
        ),
        (Purpose::Tighten, vec!["let pods guard one", "let pods guard two"]),
    ];
    let expected = expected.map(|(it, all)| (it, all.into_iter().map(str::to_owned).collect()));
    assert_eq!(world.way(), expected);
    assert_eq!(world.costs(), (5, 5));

    let there = World::new(&["one", "two"]).guarded("pods", &["one", "two"], &[PRIVATE, COPY]);
    let back = uninstall(&there.observed(), &Inventory::default(), &there.quotas);
    let expected = [
        (Purpose::Widen, vec!["let acl-prior guard one", "let acl-prior guard two"]),
        (Purpose::Delete, vec!["delete network ACL pods"]),
    ];
    let expected = expected.map(|(it, all)| (it, all.into_iter().map(str::to_owned).collect()));
    assert_eq!(told(&back), expected);
}

#[test]
fn an_acl_that_records_what_other_subnets_get_back_is_made_anew_for_these() {
    let mut world = World::new(&["one"]).wants("pods", &["one"], &[PRIVATE, COPY]);
    world.now.acls.insert(AclKey::Ours(name("pods")), acl(&[PRIVATE, COPY]));
    assert_eq!(world.way(), [(Purpose::Tighten, vec!["let pods guard one".to_owned()])]);
    world.recorded = ForeignAclId("acl-other".into());
    let purposes: Vec<Purpose> = world.way().iter().map(|(purpose, _)| *purpose).collect();
    assert_eq!(purposes, [Purpose::Delete, Purpose::Create, Purpose::Prepare, Purpose::Tighten]);
}

#[test]
fn an_edited_exception_is_one_call() {
    let world = World::new(&["one"])
        .guarded("pods", &["one"], &[PRIVATE, "2 deny 192.0.2.0/24 all", COPY])
        .wants("pods", &["one"], &["1 deny 10.0.0.0/9 tcp/443", "2 deny 192.0.2.0/24 all", COPY]);
    let put = "put egress entry 1 `deny 10.0.0.0/9 tcp/443` into network ACL pods".to_owned();
    assert_eq!(world.way(), [(Purpose::Tighten, vec![put])]);
    assert_eq!(world.costs(), (1, 1));
}

#[test]
fn an_entry_keeps_its_place_while_others_need_what_it_denies() {
    let halves = ["1 deny 10.0.0.0/9 tcp/443", "2 deny 10.128.0.0/9 tcp/443", COPY];
    let world = World::new(&["one"]).guarded("pods", &["one"], &[PRIVATE, COPY]).wants(
        "pods",
        &["one"],
        &halves,
    );
    let expected = [
        (
            Purpose::Tighten,
            vec![
                "put egress entry 2 `deny 10.0.0.0/9 tcp/443` into network ACL pods".to_owned(),
                "put egress entry 3 `deny 10.128.0.0/9 tcp/443` into network ACL pods".to_owned(),
            ],
        ),
        (Purpose::Widen, vec!["remove egress entry 1 from network ACL pods".to_owned()]),
    ];
    assert_eq!(world.way(), expected);
}

#[test]
fn subnets_that_go_different_ways_part() {
    let world = World::new(&["one", "two"]).guarded("pods", &["one"], &[PRIVATE, COPY]).wants(
        "pods",
        &["one", "two"],
        &["1 deny 192.0.2.0/24 all", COPY],
    );
    let way = world.way();
    let purposes: Vec<Purpose> = way.iter().map(|(purpose, _)| *purpose).collect();
    let passing = |steps: &Vec<String>| steps.iter().any(|step| step.contains("pods+1"));
    assert_eq!(purposes.last(), Some(&Purpose::Delete), "{way:#?}");
    assert!(way.iter().any(|(_, steps)| passing(steps)), "{way:#?}");
    let passing: usize = way.iter().map(|(_, steps)| steps.len()).sum();
    assert_eq!(world.costs(), (passing, 2));
}

/// The interface of a pod in subnet `one`, an inventory with that pod, and a picture that tells where the subnet lies.
fn inhabited(world: &World) -> (InterfaceId, Inventory, Observed) {
    let mut observed = world.observed();
    let one = observed.subnets.get_mut(&SubnetId("one".into())).unwrap();
    one.blocks = vec!["10.0.1.0/24".parse().unwrap()];
    let interface = InterfaceId("eni-a".into());
    let pod = crate::testing::pod("x/a").at("10.0.1.1");
    let pods = [Pod { interface: Some(interface.clone()), ..pod }].into();
    let subnets = observed.subnets.clone();
    (interface, Inventory { pods, subnets, ..Inventory::default() }, observed)
}

/// The steps around a plan of groups that holds the pod in subnet `one`.
fn around_held(world: &World) -> Vec<(Purpose, Vec<String>)> {
    let (interface, inventory, observed) = inhabited(world);
    let mut guards = Guards::new(&world.desired, &observed, &inventory, &world.quotas).unwrap();
    assert_eq!(guards.before(), BTreeSet::new());
    let held = Held { interfaces: [interface].into(), ..Held::default() };
    told(&guards.around(Plan { held, ..Plan::default() }))
}

#[test]
fn a_subnet_that_waits_comes_to_its_own_acl_where_that_denies_as_much() {
    let world = World::new(&["one", "two"])
        .guarded("pods+1", &["one"], &[PRIVATE, COPY])
        .guarded("pods", &["two"], &[PRIVATE, COPY])
        .wants("pods", &["one", "two"], &[PRIVATE, COPY]);
    let expected = [
        (Purpose::Widen, vec!["let pods guard one".to_owned()]),
        (Purpose::Delete, vec!["delete network ACL pods+1".to_owned()]),
    ];
    assert_eq!(around_held(&world), expected);
}

#[test]
fn an_acl_goes_on_denying_what_a_subnet_that_comes_to_it_waits_for() {
    let world = World::new(&["one", "two"])
        .guarded("pods+1", &["one"], &[PRIVATE, COPY])
        .guarded("pods", &["two"], &[PRIVATE, COPY])
        .wants("pods", &["one", "two"], &["1 deny 192.0.2.0/24 all", COPY]);
    let put = |acl| format!("put egress entry 2 `deny 192.0.2.0/24 all` into network ACL {acl}");
    let expected = [
        (Purpose::Tighten, vec![put("pods"), put("pods+1")]),
        (Purpose::Widen, vec!["let pods guard one".to_owned()]),
        (Purpose::Delete, vec!["delete network ACL pods+1".to_owned()]),
    ];
    assert_eq!(around_held(&world), expected);
}

#[test]
fn a_subnet_that_waits_goes_on_denying_what_groups_may_rely_on() {
    let world = World::new(&["one"]).guarded("pods", &["one"], &[PRIVATE, COPY]).wants(
        "pods",
        &["one"],
        &["1 deny 192.0.2.0/24 all", COPY],
    );
    let put = "put egress entry 2 `deny 192.0.2.0/24 all` into network ACL pods".to_owned();
    assert_eq!(around_held(&world), [(Purpose::Tighten, vec![put])]);
}

#[test]
fn pods_stay_as_they_are_where_denies_do_not_fit() {
    let many: Vec<String> =
        (0..18_u8).map(|it| format!("{} deny 10.{it}.0.0/16 all", it + 1)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain([COPY]).collect();
    let world = World::new(&["one"]).guarded("pods", &["one"], &many).wants(
        "pods",
        &["one"],
        &[PRIVATE, COPY],
    );
    let (interface, inventory, observed) = inhabited(&world);
    let mut guards = Guards::new(&world.desired, &observed, &inventory, &world.quotas).unwrap();
    assert_eq!(guards.before(), [interface].into());
}

#[test]
fn subnets_that_part_go_on_denying_what_they_did_until_groups_have_changed() {
    let other = "1 deny 192.0.2.0/24 all";
    let world = World::new(&["one", "two"])
        .guarded("pods", &["one", "two"], &[PRIVATE, COPY])
        .wants("pods", &["one"], &[PRIVATE, COPY])
        .wants("others", &["two"], &[other, COPY]);
    let (_, inventory, observed) = inhabited(&world);
    let mut guards = Guards::new(&world.desired, &observed, &inventory, &world.quotas).unwrap();
    assert_eq!(guards.before(), BTreeSet::new());
    let others = &guards.now.acls[&AclKey::Ours(name("others"))];
    assert_eq!(denies(others), denies(&acl(&[PRIVATE, "2 deny 192.0.2.0/24 all"])));
    let guard = &guards.now.subnets[&SubnetId("two".into())];
    assert_eq!(guard.ours(), Some(&name("others")));
}

#[test]
fn copies_follow_from_the_first_and_the_old_list_goes_last() {
    let narrow = ["30000 deny 198.51.100.0/24 all", "30010 allow 0.0.0.0/0 all"];
    let world = World::new(&["one"]).guarded("pods", &["one"], &[PRIVATE, COPY]).wants(
        "pods",
        &["one"],
        &[&[PRIVATE], &narrow[..]].concat(),
    );
    let way = world.way();
    let steps: Vec<&str> = way.iter().flat_map(|(_, steps)| steps).map(String::as_str).collect();
    assert_eq!(
        steps,
        [
            "put egress entry 29970 `deny 198.51.100.0/24 all` into network ACL pods",
            "put egress entry 29980 `allow 0.0.0.0/0 all` into network ACL pods",
            "put egress entry 29990 `deny 0.0.0.0/0 all` into network ACL pods",
            "remove egress entry 30000 from network ACL pods",
            "remove egress entry 29990 from network ACL pods",
        ]
    );
    assert!(way.iter().all(|(purpose, steps)| *purpose == Purpose::Follow && steps.len() == 1));
    assert_eq!(world.costs(), (5, 3));
}

#[test]
fn copies_without_room_in_front_of_them_move_behind_first() {
    let world = World::new(&["one"])
        .guarded("pods", &["one"], &[PRIVATE, "10000 allow 0.0.0.0/0 all"])
        .wants("pods", &["one"], &[PRIVATE, "30000 allow 10.0.0.0/8 all"]);
    let steps: Vec<String> = world.way().into_iter().flat_map(|(_, steps)| steps).collect();
    let [behind, gone, ..] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(behind, "put egress entry 32756 `allow 0.0.0.0/0 all` into network ACL pods");
    assert_eq!(gone, "remove egress entry 10000 from network ACL pods");
    assert_eq!(steps.len(), 6, "{steps:#?}");
}

#[test]
fn a_subnet_goes_by_way_of_another_acl_where_copies_have_no_room_for_old_and_new() {
    let list = |first: u16, count: u16, net: u8| -> Vec<String> {
        let entry = |it| format!("{} allow {net}.{it}.0.0/16 all", first + 10 * it);
        (0..count).map(entry).collect()
    };
    let with = |entries: &[String]| -> Vec<String> {
        std::iter::once(PRIVATE.to_owned()).chain(entries.iter().cloned()).collect()
    };
    let [old, new] = [list(30_000, 12, 10), list(30_000, 11, 11)].map(|it| with(&it));
    let [old, new] = [&old, &new].map(|it| it.iter().map(String::as_str).collect::<Vec<_>>());
    let world = World::new(&["one", "two"]).guarded("pods", &["one", "two"], &old).wants(
        "pods",
        &["one", "two"],
        &new,
    );
    let way = world.way();
    let stages: Vec<(Purpose, usize, &str)> =
        way.iter().map(|(purpose, steps)| (*purpose, steps.len(), &*steps[0])).collect();
    assert_eq!(
        stages,
        [
            (Purpose::Create, 1, "create network ACL pods+1"),
            (
                Purpose::Prepare,
                12,
                "put egress entry 1 `deny 10.0.0.0/8 tcp/443` into network ACL pods+1"
            ),
            (Purpose::Tighten, 2, "let pods+1 guard one"),
            (Purpose::Prepare, 1, "remove egress entry 30110 from network ACL pods"),
            (
                Purpose::Prepare,
                11,
                "put egress entry 30000 `allow 11.0.0.0/16 all` into network ACL pods"
            ),
            (Purpose::Widen, 2, "let pods guard one"),
            (Purpose::Delete, 1, "delete network ACL pods+1"),
        ]
    );
}

#[test]
fn no_subnet_comes_to_an_acl_that_copies_what_was_said_before() {
    let stale = World::new(&["one"])
        .guarded("pods", &[], &[PRIVATE, "30000 allow 10.0.0.0/8 all"])
        .guarded("pods+1", &["one"], &[PRIVATE, COPY])
        .wants("pods", &["one"], &[PRIVATE, COPY]);
    let steps: Vec<String> = stale.way().into_iter().flat_map(|(_, steps)| steps).collect();
    assert_eq!(
        steps,
        [
            "put egress entry 30000 `allow 0.0.0.0/0 all` into network ACL pods",
            "let pods guard one",
            "delete network ACL pods+1",
        ]
    );
}

#[test]
fn what_does_not_fit_stays_and_says_so() {
    let many: Vec<String> =
        (0..16_u8).map(|it| format!("{} deny 10.{it}.0.0/16 all", it + 1)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain([COPY]).collect();
    let others: Vec<String> =
        (0..9_u8).map(|it| format!("{} deny 11.{it}.0.0/16 all", it + 1)).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).chain([COPY]).collect();
    let world =
        World::new(&["one"]).guarded("pods", &["one"], &many).wants("pods", &["one"], &others);
    let way = plan(&world.desired, &world.observed(), &Inventory::default(), &world.quotas);
    assert_eq!((way.stages, way.target), (Vec::new(), world.now));
    let [breach] = way.held.breaches.as_slice() else { panic!("{:?}", way.held) };
    assert_eq!(
        breach.to_string(),
        "network ACL pods needs 27 IPv4 egress entries, the quota is 20"
    );
}
