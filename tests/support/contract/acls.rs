//! Network ACLs, and the subnets that they guard.
//!
//! A provider's tests write `moat_tests::acl_contract! { fixture, block_on }` beside the rest of the contract.

use moat_core::firewall::{Acl, AclKey, AclName, Entry, EntryKey, ForeignAclId};
use moat_core::inventory::{Subnet, SubnetId};
use moat_core::provider::{AclStep, HandedOver};

use super::*;

/// A cloud whose subnets can be handed over.
pub trait Subnets: Fixture {
    /// Someone makes a subnet that the default network ACL guards: its id, its blocks and that ACL's id. Nothing lies in it.
    fn make_subnet(&mut self)
    -> impl Future<Output = (SubnetId, Vec<Prefix>, ForeignAclId)> + Send;
}

/// One test for each check of network ACLs.
#[macro_export]
macro_rules! acl_contract {
    ($fixture:expr, $run:expr) => {
        $crate::contract! { @ $fixture, $run,
            a_subnet_is_shown_with_the_acl_that_guards_it_only_where_it_is_handed_over
            a_new_acl_is_shown_without_entries_and_is_a_duplicate_if_made_again
            an_entry_is_put_changed_in_place_and_removed
            icmp_of_both_families_and_every_other_shape_come_back_as_they_were_put
            a_subnet_is_guarded_by_ours_and_given_back
            an_acl_that_guards_is_not_deleted
            a_deleted_acl_is_gone_and_its_name_is_free
            one_entry_too_many_is_refused
            what_is_not_there_of_acls_is_not_found
            acls_read_again_are_as_a_whole_picture_shows_them
            a_new_process_goes_on_with_the_acls_of_its_picture
        }
    };
}

fn name() -> AclName {
    AclName("pods".into())
}

fn of_ours() -> AclKey {
    AclKey::Ours(name())
}

fn key(direction: Direction, number: u16) -> EntryKey {
    EntryKey { direction, number: number.try_into().expect("a number of an entry") }
}

fn entry(text: &str) -> Entry {
    text.parse().expect("an entry")
}

fn make(prior: &ForeignAclId) -> Step {
    Step::Acl(AclStep::Create { acl: name(), prior: prior.clone() })
}

fn put(key: EntryKey, text: &str) -> Step {
    Step::Acl(AclStep::Put { acl: name(), key, entry: entry(text) })
}

fn remove(key: EntryKey) -> Step {
    Step::Acl(AclStep::Remove { acl: name(), key })
}

fn guard(subnet: &SubnetId, by: AclKey) -> Step {
    Step::Acl(AclStep::Guard { subnet: subnet.clone(), by })
}

fn delete() -> Step {
    Step::Acl(AclStep::Delete(name()))
}

fn handed_over<'a>(subnets: impl IntoIterator<Item = &'a SubnetId>) -> Scope {
    let over = HandedOver { ids: subnets.into_iter().cloned().collect(), ..HandedOver::default() };
    Scope { acls: [(name(), over)].into(), ..Scope::default() }
}

fn entries(observed: &Observed) -> Acl {
    observed.state.acls.get(&of_ours()).cloned().expect("the ACL is there")
}

/// `Observed::subnets`: "the subnets of the scope that exist"; of others nothing is shown.
pub async fn a_subnet_is_shown_with_the_acl_that_guards_it_only_where_it_is_handed_over<
    F: Subnets,
>(
    mut fixture: F,
) {
    let (inside, blocks, acl) = fixture.make_subnet().await;
    fixture.make_subnet().await;
    let gone = SubnetId("subnet-0123456789abcdef0".into());
    let observed = settled(&mut fixture, &handed_over([&inside, &gone])).await;
    let guard = AclKey::Foreign(acl.clone());
    let shown = Subnet { blocks, acl: name(), prior: acl, has_others: false };
    assert_eq!(observed.subnets, [(inside.clone(), shown)].into());
    assert_eq!(observed.former, BTreeMap::new());
    assert_eq!(observed.state.subnets, [(inside, guard.clone())].into());
    assert_eq!(observed.state.acls.keys().collect::<Vec<_>>(), [&guard]);
    let passes = observed.state.acls[&guard].decides(
        Direction::Ingress,
        IpAddr::from([192, 0, 2, 1]),
        moat_core::net::Service::Tcp(443),
    );
    assert!(passes.is_some(), "the default ACL lets everything pass");
    assert_eq!(*settled(&mut fixture, &Scope::default()).await, Observed::default());
}

/// `Create`: "it holds the final denies alone, and guards nothing"; `Duplicate`: "it is there already".
pub async fn a_new_acl_is_shown_without_entries_and_is_a_duplicate_if_made_again<F: Subnets>(
    mut fixture: F,
) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let scope = handed_over([&subnet]);
    let before = settled(&mut fixture, &scope).await;
    let observed = take(&mut fixture, &scope, vec![make(&prior)]).await;
    let mut wanted = Observed::clone(&before);
    wanted.state.acls.insert(of_ours(), Acl::default());
    wanted.acl_priors.insert(name(), prior.clone());
    assert_eq!(*observed, wanted);
    let error = refusal(&mut fixture, &scope, make(&prior)).await;
    assert!(matches!(error, ProviderError::Duplicate { .. }), "{error}");
    fixture.restart();
    let error = refusal(&mut fixture, &scope, make(&prior)).await;
    assert!(matches!(error, ProviderError::Duplicate { .. }), "{error}");
}

/// `Put`: "in place of the one that bears its key if there is one"; `Remove`. The default ACL stays as it was.
pub async fn an_entry_is_put_changed_in_place_and_removed<F: Subnets>(mut fixture: F) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let scope = handed_over([&subnet]);
    let before = settled(&mut fixture, &scope).await;
    let (into, out) = (key(Direction::Ingress, 10), key(Direction::Egress, 10));
    let steps = vec![
        make(&prior),
        put(into, "deny 10.9.0.0/16 all"),
        put(out, "deny 10.9.0.0/16 tcp/443"),
        put(into, "allow 10.8.0.0/16 udp/53"),
        put(key(Direction::Ingress, 5), "deny 10.7.0.0/16 all"),
        remove(key(Direction::Ingress, 5)),
    ];
    let observed = take(&mut fixture, &scope, steps).await;
    let wanted =
        [(into, entry("allow 10.8.0.0/16 udp/53")), (out, entry("deny 10.9.0.0/16 tcp/443"))];
    assert_eq!(entries(&observed).0, wanted.into());
    let default = AclKey::Foreign(prior);
    assert_eq!(observed.state.acls[&default], before.state.acls[&default]);
    assert_eq!(observed.state.subnets, before.state.subnets);
}

/// Type and code of ICMP, 0 and all included, and every other shape, in both families and directions.
pub async fn icmp_of_both_families_and_every_other_shape_come_back_as_they_were_put<F: Subnets>(
    mut fixture: F,
) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let scope = handed_over([&subnet]);
    let texts = [
        "deny 0.0.0.0/0 icmp",
        "allow 10.1.2.3/32 icmp/0",
        "deny 10.9.0.0/16 icmp/0/0",
        "deny 10.9.0.0/16 icmp/3/4",
        "deny 10.9.0.0/16 icmp/255/255",
        "deny ::/0 icmpv6",
        "deny 2001:db8::/47 icmpv6/128",
        "allow 2001:db8::/47 icmpv6/0/0",
        "allow 2001:db8::/47 icmpv6/2/0",
        "allow 0.0.0.0/0 all",
        "deny ::/0 tcp/0-65535",
        "deny ::/0 udp/53",
        "deny 10.9.0.0/16 sctp",
        "allow 10.9.0.0/16 proto/47",
    ];
    let mut wanted = BTreeMap::new();
    let mut steps = vec![make(&prior)];
    for direction in Direction::BOTH {
        for (text, number) in texts.into_iter().zip((10_u16..).step_by(10)) {
            wanted.insert(key(direction, number), entry(text));
            steps.push(put(key(direction, number), text));
        }
    }
    let observed = take(&mut fixture, &scope, steps).await;
    assert_eq!(entries(&observed).0, wanted);
}

/// `Guard`, by ours and by the one that it gets back; `Observed::former`: what is not handed over any more.
pub async fn a_subnet_is_guarded_by_ours_and_given_back<F: Subnets>(mut fixture: F) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let (other, ..) = fixture.make_subnet().await;
    let scope = handed_over([&subnet, &other]);
    let before = settled(&mut fixture, &scope).await;
    let into = key(Direction::Ingress, 10);
    let steps = vec![
        make(&prior),
        put(into, "deny 10.9.0.0/16 icmp/8"),
        guard(&subnet, of_ours()),
        put(into, "deny 10.9.0.0/16 icmp/0/0"),
    ];
    let observed = take(&mut fixture, &scope, steps).await;
    let theirs = AclKey::Foreign(prior.clone());
    let guards = [(subnet.clone(), of_ours()), (other.clone(), theirs.clone())];
    assert_eq!(observed.state.subnets, guards.into());
    assert_eq!(observed.subnets, before.subnets, "what a subnet gets back stays known");

    let former = settled(&mut fixture, &Scope::default()).await;
    assert_eq!(former.former, [(subnet.clone(), prior)].into());
    assert_eq!(former.subnets, BTreeMap::new());
    assert_eq!(former.state.subnets, [(subnet.clone(), of_ours())].into());
    assert_eq!(former.state.acls, observed.state.acls);

    let back = vec![guard(&subnet, theirs), delete()];
    assert_eq!(*take(&mut fixture, &Scope::default(), back).await, Observed::default());
    assert_eq!(settled(&mut fixture, &scope).await, before);
}

/// `InUse`: an ACL that guards a subnet.
pub async fn an_acl_that_guards_is_not_deleted<F: Subnets>(mut fixture: F) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let scope = handed_over([&subnet]);
    take(&mut fixture, &scope, vec![make(&prior), guard(&subnet, of_ours())]).await;
    let error = refusal(&mut fixture, &scope, delete()).await;
    assert!(matches!(error, ProviderError::InUse { .. }), "{error}");
}

/// `Delete`, and `NotFound` for what is gone.
pub async fn a_deleted_acl_is_gone_and_its_name_is_free<F: Subnets>(mut fixture: F) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let scope = handed_over([&subnet]);
    let before = settled(&mut fixture, &scope).await;
    let into = key(Direction::Ingress, 10);
    let steps = vec![make(&prior), put(into, "deny 10.9.0.0/16 all"), delete()];
    assert_eq!(take(&mut fixture, &scope, steps).await, before);
    let error = refusal(&mut fixture, &scope, delete()).await;
    assert!(matches!(error, ProviderError::NotFound { .. }), "{error}");
    let observed = take(&mut fixture, &scope, vec![make(&prior)]).await;
    assert_eq!(entries(&observed), Acl::default());
}

/// `Quota`, of entries: each direction and family has its own, and the final deny counts.
pub async fn one_entry_too_many_is_refused<F: Subnets>(mut fixture: F) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let scope = handed_over([&subnet]);
    let capabilities = fixture.provider().capabilities().await.expect("the cloud can be read");
    let limit = u16::try_from(capabilities.quotas.entries_per_acl).expect("a limit of entries");
    let v4 =
        |number: u16| put(key(Direction::Ingress, number), &format!("deny 10.9.{number}.0/24 all"));
    let mut steps = vec![make(&prior)];
    steps.extend((1..limit).map(v4));
    steps.push(put(key(Direction::Egress, 1), "deny 10.9.0.0/16 all"));
    steps.push(put(key(Direction::Ingress, 900), "deny 2001:db8::/32 all"));
    take(&mut fixture, &scope, steps).await;
    // Whether the final deny counts, EC2's texts and others' measurements differ: one more at most.
    let plan = stage(vec![v4(limit)]);
    drive(fixture.provider(), &plan, &scope).await;
    let error = refusal(&mut fixture, &scope, v4(limit + 1)).await;
    let quota = QuotaKind::EntriesPerAcl;
    assert!(
        matches!(&error, ProviderError::Quota { quota: which, .. } if *which == quota),
        "{error}"
    );
}

/// `NotFound`: an ACL, an entry or a subnet that is not there.
pub async fn what_is_not_there_of_acls_is_not_found<F: Subnets>(mut fixture: F) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let scope = handed_over([&subnet]);
    let into = key(Direction::Ingress, 10);
    for step in [put(into, "deny 10.9.0.0/16 all"), remove(into), guard(&subnet, of_ours())] {
        let error = refusal(&mut fixture, &scope, step).await;
        assert!(matches!(error, ProviderError::NotFound { .. }), "{error}");
    }
    take(&mut fixture, &scope, vec![make(&prior)]).await;
    let gone = SubnetId("subnet-0123456789abcdef0".into());
    let absent = AclKey::Foreign(ForeignAclId("acl-0123456789abcdef0".into()));
    for step in [remove(into), guard(&gone, of_ours()), guard(&subnet, absent)] {
        let error = refusal(&mut fixture, &scope, step).await;
        assert!(matches!(error, ProviderError::NotFound { .. }), "{error}");
    }
}

/// `observe_again`: "if nobody else changed anything, it is the picture that `observe` gives".
pub async fn acls_read_again_are_as_a_whole_picture_shows_them<F: Subnets>(mut fixture: F) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let scope = handed_over([&subnet]);
    settled(&mut fixture, &Scope::default()).await;
    let into = key(Direction::Ingress, 10);
    let steps = [
        make(&prior),
        put(into, "deny 10.9.0.0/16 icmp/8/0"),
        guard(&subnet, of_ours()),
        put(into, "deny ::/0 icmpv6/128/0"),
        create(0),
        guard(&subnet, AclKey::Foreign(prior.clone())),
        remove(into),
        delete(),
    ];
    // That a subnet is handed over now is among what was touched.
    let named = Touched { acls: true, ..Touched::default() };
    let mut touched = vec![(None, named)];
    touched.extend(steps.iter().map(|step| (Some(step), Touched::by([step]))));
    for (step, touched) in touched {
        if let Some(step) = step {
            let plan = stage(vec![step.clone()]);
            let outcome = drive(fixture.provider(), &plan, &scope).await;
            assert_eq!(outcome.ending, Ending::Done, "{:?}", outcome.attempts);
        }
        fixture.provider().wait(Duration::from_secs(60)).await;
        let again = observe_again(fixture.provider(), &scope, &touched).await;
        let whole = look(&mut fixture, &scope).await;
        assert_eq!(again.as_ref(), Ok(&whole), "after {step:?}");
    }
}

/// The trait: "a later process that observes and plans again comes to the same end".
pub async fn a_new_process_goes_on_with_the_acls_of_its_picture<F: Subnets>(mut fixture: F) {
    let (subnet, _, prior) = fixture.make_subnet().await;
    let scope = handed_over([&subnet]);
    let into = key(Direction::Ingress, 10);
    let steps = vec![make(&prior), put(into, "deny 10.9.0.0/16 all"), guard(&subnet, of_ours())];
    let before = take(&mut fixture, &scope, steps).await;
    fixture.restart();
    assert_eq!(look(&mut fixture, &scope).await, before);
    let steps = vec![
        put(into, "deny 10.8.0.0/16 all"),
        put(key(Direction::Ingress, 20), "deny 10.9.0.0/16 all"),
        guard(&subnet, AclKey::Foreign(prior)),
    ];
    let after = take(&mut fixture, &scope, steps).await;
    let wanted = [
        (into, entry("deny 10.8.0.0/16 all")),
        (key(Direction::Ingress, 20), entry("deny 10.9.0.0/16 all")),
    ];
    assert_eq!(entries(&after).0, wanted.into());
}
