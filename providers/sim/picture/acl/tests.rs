use std::sync::Arc;
use std::time::Duration;

use moat_core::firewall::{Entry, EntryKey, ForeignAclId};
use moat_core::inventory::InterfaceId;
use moat_core::policy::{Direction, Word};
use moat_core::provider::{AclStep, Provider, Step, Touched};

use super::*;
use crate::{AclOwner, Config, Fault, Injection, Moment, SubnetConfig, base_group, block_on};

fn name(text: &str) -> AclName {
    AclName(text.into())
}

fn subnet(index: u8) -> SubnetId {
    SubnetId(format!("subnet-{index}").into())
}

/// Three subnets: the first is tagged `pods`, and the second too.
fn config() -> Config {
    let subnets = (1..=3).map(|index| {
        let tags = [(Word::from("pods"), Word::from("yes"))].into_iter().filter(|_| index < 3);
        let blocks = vec![format!("10.0.{index}.0/24").parse().unwrap()];
        (subnet(index), SubnetConfig { blocks, tags: tags.collect() })
    });
    Config { subnets: subnets.collect(), ..Config::default() }
}

fn over(ids: &[u8], tagged: bool) -> HandedOver {
    let tags = tagged.then(|| ("pods".into(), "yes".into()));
    HandedOver { ids: ids.iter().copied().map(subnet).collect(), tags: tags.into_iter().collect() }
}

fn scope<'a>(acls: impl IntoIterator<Item = (&'a str, HandedOver)>) -> Scope {
    let acls = acls.into_iter().map(|(text, over)| (name(text), over)).collect();
    Scope { acls, ..Scope::default() }
}

fn look(sim: &mut Sim, scope: &Scope) -> Arc<Observed> {
    block_on(sim.observe(scope)).unwrap()
}

fn take(sim: &mut Sim, step: AclStep) -> Result<(), ProviderError> {
    block_on(sim.execute(&[&Step::Acl(step)])).remove(0)
}

fn create(sim: &mut Sim, acl: &str) {
    take(sim, AclStep::Create { acl: name(acl), prior: default_acl() }).unwrap();
}

fn guard(index: u8, acl: &str) -> AclStep {
    AclStep::Guard { subnet: subnet(index), by: AclKey::Ours(name(acl)) }
}

fn put(acl: &str, entry: &str) -> AclStep {
    let key = EntryKey { direction: Direction::Ingress, number: 10.try_into().unwrap() };
    AclStep::Put { acl: name(acl), key, entry: entry.parse::<Entry>().unwrap() }
}

fn calls(sim: &Sim, call: Call) -> usize {
    sim.calls().get(&call).copied().unwrap_or_default()
}

#[test]
fn a_subnet_that_several_acls_claim_is_the_firsts_and_no_tags_name_none() {
    let mut sim = Sim::new(config());
    let claims = [("a", over(&[2], false)), ("b", over(&[3], true)), ("c", over(&[1, 3], false))];
    let observed = look(&mut sim, &scope(claims));
    let heirs: Vec<_> =
        observed.subnets.iter().map(|(id, it)| (id.clone(), it.acl.clone())).collect();
    assert_eq!(heirs, [(subnet(1), name("b")), (subnet(2), name("a")), (subnet(3), name("b"))]);
    let observed = look(&mut sim, &scope([("a", over(&[], false))]));
    assert_eq!(observed.subnets.len(), 0);
}

#[test]
fn others_are_interfaces_that_no_pod_of_the_scope_has_and_the_acl_of_another_cluster() {
    let mut sim = Sim::new(config());
    let mut scope = scope([("a", over(&[1, 2, 3], false))]);
    let mut lay = |id: &str, attachment, address: &str| {
        let interface = NetworkInterface {
            attachment,
            description: String::new(),
            addresses: [address.parse().unwrap()].into(),
            groups: [base_group()].into(),
            record: BTreeSet::new(),
        };
        sim.as_someone_else(|vpc| vpc.put_interface(InterfaceId(id.into()), interface));
    };
    lay("eni-pods", Attachment::Exclusive, "10.0.1.4/32");
    lay("eni-known", Attachment::Shared, "10.0.1.5/32");
    lay("eni-bearer", Attachment::Shared, "10.0.1.16/28");
    lay("eni-database", Attachment::Shared, "10.0.2.4/32");
    scope.interfaces.insert(InterfaceId("eni-known".into()));
    scope.addresses.insert([10, 0, 1, 17].into());
    sim.as_someone_else(|vpc| {
        let (cluster, name) = ("other".to_owned(), name("a"));
        let theirs =
            vpc.create_acl(Some(AclOwner { cluster, name, prior: default_acl() })).unwrap();
        let association = vpc.subnet(&subnet(3)).unwrap().association.clone();
        vpc.replace_association(&association, &theirs).unwrap();
    });
    let observed = look(&mut sim, &scope);
    let others: Vec<bool> = observed.subnets.values().map(|it| it.has_others).collect();
    assert_eq!(others, [false, true, true]);
}

#[test]
fn what_a_subnet_gets_back_is_what_the_acl_records_or_the_default_if_that_is_gone() {
    let mut sim = Sim::new(config());
    let theirs = sim.as_someone_else(|vpc| vpc.create_acl(None)).unwrap();
    let scope = scope([("a", over(&[1], false))]);
    look(&mut sim, &scope);
    take(&mut sim, AclStep::Create { acl: name("a"), prior: theirs.clone() }).unwrap();
    take(&mut sim, guard(1, "a")).unwrap();
    let prior = |sim: &mut Sim| {
        let whole = look(sim, &scope);
        let former = look(sim, &Scope::default());
        let prior = whole.subnets.get(&subnet(1)).unwrap().prior.clone();
        assert_eq!(former.former, [(subnet(1), prior.clone())].into());
        for observed in [whole, former] {
            let acls: Vec<&AclKey> = observed.state.acls.keys().collect();
            let ours = AclKey::Ours(name("a"));
            assert_eq!(acls, [&ours, &AclKey::Foreign(prior.clone())]);
            assert_eq!(observed.state.subnets, [(subnet(1), ours)].into());
        }
        prior
    };
    assert_eq!(prior(&mut sim), theirs);
    sim.as_someone_else(|vpc| vpc.delete_acl(&theirs)).unwrap();
    assert_eq!(prior(&mut sim), default_acl());
}

#[test]
fn who_hands_over_no_subnet_and_has_no_acl_pays_for_no_call() {
    let mut sim = Sim::new(config());
    let nothing = Scope::default();
    let read = |sim: &mut Sim, scope: &Scope| {
        let before = calls(sim, Call::DescribeNetworkAcls) + calls(sim, Call::DescribeSubnets);
        look(sim, scope);
        calls(sim, Call::DescribeNetworkAcls) + calls(sim, Call::DescribeSubnets) - before
    };
    assert_eq!(read(&mut sim, &nothing), 0, "nothing is ours");
    let handed_over = scope([("a", over(&[1], false))]);
    assert_eq!(read(&mut sim, &handed_over), 2);
    create(&mut sim, "a");
    take(&mut sim, guard(1, "a")).unwrap();
    assert_eq!(read(&mut sim, &handed_over), 2);
    assert_eq!(read(&mut sim, &nothing), 2, "the last picture had ours");
    sim.restart();
    assert_eq!(read(&mut sim, &nothing), 2, "the first picture of a process");
    take(&mut sim, AclStep::Guard { subnet: subnet(1), by: AclKey::Foreign(default_acl()) })
        .unwrap();
    take(&mut sim, AclStep::Delete(name("a"))).unwrap();
    read(&mut sim, &nothing);
    assert_eq!(read(&mut sim, &nothing), 0, "nothing is ours any more");
}

#[test]
fn a_new_acl_cannot_be_named_before_readers_see_it() {
    let mut sim = Sim::new(Config { lag: Duration::from_secs(7), ..config() });
    look(&mut sim, &scope([("a", over(&[1], false))]));
    create(&mut sim, "a");
    let answer = take(&mut sim, put("a", "deny 10.9.0.0/16 all"));
    assert!(matches!(answer, Err(ProviderError::NotYetVisible { .. })), "{answer:?}");
    block_on(sim.wait(Duration::from_secs(7)));
    take(&mut sim, put("a", "deny 10.9.0.0/16 all")).unwrap();
    take(&mut sim, put("a", "deny 10.8.0.0/16 all")).unwrap();
    assert_eq!(calls(&sim, Call::ReplaceNetworkAclEntry), 1, "what was made since is replaced");
}

#[test]
fn a_process_that_is_killed_at_any_call_is_resumed_by_another() {
    let steps = [
        AclStep::Create { acl: name("a"), prior: default_acl() },
        put("a", "deny 10.9.0.0/16 all"),
        put("a", "deny 10.8.0.0/16 icmp/8/0"),
        guard(1, "a"),
    ];
    let scope = scope([("a", over(&[1], false))]);
    let mut ends = Vec::new();
    for moment in [Moment::Before, Moment::After] {
        for after in 0..=steps.len() {
            let mut sim = Sim::new(config());
            look(&mut sim, &scope);
            let (call, fault) = (None, Fault::Kill(moment));
            sim.inject(Injection { call, after, times: 1, fault });
            for step in &steps {
                if take(&mut sim, step.clone()).is_err() {
                    assert!(sim.is_dead());
                    sim.restart();
                    let wrapped = Step::Acl(step.clone());
                    if !look(&mut sim, &scope).shows(&wrapped) {
                        take(&mut sim, step.clone()).unwrap();
                    }
                }
            }
            sim.heal();
            let observed = look(&mut sim, &scope);
            assert!(steps[2..].iter().all(|step| observed.shows(&Step::Acl(step.clone()))));
            ends.push(observed);
        }
    }
    assert!(ends.iter().all(|end| *end == ends[0]));
}

#[test]
fn an_acl_that_someone_else_let_guard_the_subnet_is_not_replaced() {
    let mut sim = Sim::new(config());
    look(&mut sim, &scope([("a", over(&[1], false))]));
    create(&mut sim, "a");
    let theirs = sim.as_someone_else(|vpc| {
        let theirs = vpc.create_acl(None).unwrap();
        let association = vpc.subnet(&subnet(1)).unwrap().association.clone();
        vpc.replace_association(&association, &theirs).unwrap();
        theirs
    });
    let answer = take(&mut sim, guard(1, "a"));
    assert_eq!(answer, Err(ProviderError::Changed { subject: "subnet-1".into() }));
    assert_eq!(sim.vpc().subnet(&subnet(1)).unwrap().acl, theirs);
}

#[test]
fn an_acl_that_lost_its_tags_is_someone_elses() {
    let mut sim = Sim::new(config());
    let scope = scope([("a", over(&[1], false))]);
    look(&mut sim, &scope);
    create(&mut sim, "a");
    take(&mut sim, guard(1, "a")).unwrap();
    look(&mut sim, &scope);
    let id: ForeignAclId = sim.vpc().subnet(&subnet(1)).unwrap().acl.clone();
    sim.as_someone_else(|vpc| vpc.disown_acl(&id)).unwrap();
    let observed = look(&mut sim, &scope);
    assert_eq!(observed.subnets.get(&subnet(1)).unwrap().prior, id);
    assert_eq!(observed.state.subnets, [(subnet(1), AclKey::Foreign(id))].into());
    let answer = take(&mut sim, AclStep::Delete(name("a")));
    assert!(matches!(answer, Err(ProviderError::NotFound { .. })), "{answer:?}");
    let touched = Touched { acls: true, ..Touched::default() };
    let again = block_on(sim.observe_again(&scope, &touched)).unwrap();
    assert_eq!(again, observed);
}
