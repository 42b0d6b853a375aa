use moat_core::policy::Direction;
use moat_core::settings::Quotas;

use super::*;

const LIMIT: usize = 4;

fn vpc() -> (Vpc, AclId) {
    let blocks = ["10.0.0.0/16", "2001:db8::/56"].map(|text| text.parse().unwrap());
    let quotas = Quotas { entries_per_acl: LIMIT, ..Quotas::default() };
    let mut vpc = Vpc::new(blocks.into(), quotas);
    let id = vpc.create_acl(None).unwrap();
    (vpc, id)
}

fn key(direction: Direction, number: u16) -> EntryKey {
    EntryKey { direction, number: number.try_into().unwrap() }
}

fn entry(text: &str) -> Entry {
    text.parse().unwrap()
}

/// The answer to a call, which if it is an error changed nothing.
fn whole<T>(
    vpc: &mut Vpc,
    call: impl FnOnce(&mut Vpc) -> Result<T, ProviderError>,
) -> Result<T, ProviderError> {
    let before = vpc.clone();
    let answer = call(vpc);
    if answer.is_err() {
        assert_eq!(*vpc, before);
    }
    answer
}

#[test]
fn the_default_acl_lets_everything_pass_and_a_new_one_nothing() {
    let (vpc, id) = vpc();
    let entries: Vec<String> =
        vpc.acl(&default_acl()).unwrap().entries.0.iter().map(said).collect();
    let wanted = [
        "ingress entry 100 allow 0.0.0.0/0 all",
        "ingress entry 101 allow ::/0 all",
        "egress entry 100 allow 0.0.0.0/0 all",
        "egress entry 101 allow ::/0 all",
    ];
    assert_eq!(entries, wanted);
    assert_eq!(vpc.acl(&id), Some(&NetworkAcl::default()));
}

fn said((key, entry): (&EntryKey, &Entry)) -> String {
    format!("{key} {entry}")
}

#[test]
fn an_entry_is_created_once_and_replaced_and_deleted_where_it_is() {
    let (mut vpc, id) = vpc();
    let (here, other) = (key(Direction::Ingress, 10), key(Direction::Egress, 10));
    let (first, second) = (entry("deny 10.1.0.0/16 tcp/443"), entry("deny ::/0 icmpv6/128"));
    vpc.create_entry(&id, here, first).unwrap();
    let answer = whole(&mut vpc, |vpc| vpc.create_entry(&id, here, second));
    assert!(matches!(answer, Err(ProviderError::Duplicate { .. })), "{answer:?}");
    for answer in [
        whole(&mut vpc, |vpc| vpc.replace_entry(&id, other, second)),
        whole(&mut vpc, |vpc| vpc.delete_entry(&id, other)),
        whole(&mut vpc, |vpc| vpc.create_entry(&ForeignAclId("acl-gone".into()), here, first)),
    ] {
        assert!(matches!(answer, Err(ProviderError::NotFound { .. })), "{answer:?}");
    }
    vpc.replace_entry(&id, here, second).unwrap();
    assert_eq!(vpc.acl(&id).unwrap().entries.0, [(here, second)].into());
    vpc.delete_entry(&id, here).unwrap();
    assert_eq!(vpc.acl(&id), Some(&NetworkAcl::default()));
}

#[test]
fn each_direction_and_family_has_its_own_quota_and_the_final_deny_counts() {
    let (mut vpc, id) = vpc();
    let v4 = |third: u16| entry(&format!("deny 10.0.{third}.0/24 all"));
    let fits = u16::try_from(LIMIT).unwrap() - 1;
    for number in 1..=fits {
        vpc.create_entry(&id, key(Direction::Ingress, number), v4(number)).unwrap();
    }
    let over = key(Direction::Ingress, 9);
    let answer = whole(&mut vpc, |vpc| vpc.create_entry(&id, over, v4(9)));
    let quota = QuotaKind::EntriesPerAcl;
    assert!(
        matches!(&answer, Err(ProviderError::Quota { quota: which, limit: LIMIT, .. }) if *which == quota),
        "{answer:?}"
    );
    vpc.create_entry(&id, key(Direction::Egress, 9), v4(9)).unwrap();
    vpc.create_entry(&id, over, entry("deny ::/0 all")).unwrap();
    let answer = whole(&mut vpc, |vpc| vpc.replace_entry(&id, over, v4(9)));
    assert!(matches!(answer, Err(ProviderError::Quota { .. })), "{answer:?}");
    vpc.replace_entry(&id, key(Direction::Ingress, 1), v4(9)).unwrap();
}

#[test]
fn icmp_of_the_other_family_is_invalid() {
    let (mut vpc, id) = vpc();
    for text in ["deny 10.0.0.0/8 icmpv6/128", "deny ::/0 icmp/8"] {
        let put = |vpc: &mut Vpc| vpc.create_entry(&id, key(Direction::Ingress, 1), entry(text));
        let answer = whole(&mut vpc, put);
        assert!(matches!(answer, Err(ProviderError::Invalid { .. })), "{text}: {answer:?}");
    }
}

#[test]
fn an_association_moves_once_and_an_acl_that_guards_is_not_deleted() {
    let (mut vpc, id) = vpc();
    let subnet = SubnetId("subnet-a".into());
    let blocks = vec!["10.0.1.0/24".parse().unwrap()];
    vpc.put_subnet(subnet.clone(), SubnetConfig { blocks, tags: BTreeMap::new() });
    let first = vpc.subnet(&subnet).unwrap().association.clone();
    assert_eq!(vpc.subnet(&subnet).unwrap().acl, default_acl());
    let second = vpc.replace_association(&first, &id).unwrap();
    assert_eq!(vpc.subnet(&subnet).unwrap().acl, id);
    for (association, acl) in [(&first, default_acl()), (&second, ForeignAclId("acl-gone".into()))]
    {
        let answer = whole(&mut vpc, |vpc| vpc.replace_association(association, &acl));
        assert!(matches!(answer, Err(ProviderError::NotFound { .. })), "{answer:?}");
    }
    let answer = whole(&mut vpc, |vpc| vpc.delete_acl(&id));
    assert!(matches!(answer, Err(ProviderError::InUse { .. })), "{answer:?}");
    vpc.replace_association(&second, &default_acl()).unwrap();
    vpc.delete_acl(&id).unwrap();
    let answer = whole(&mut vpc, |vpc| vpc.delete_acl(&id));
    assert!(matches!(answer, Err(ProviderError::NotFound { .. })), "{answer:?}");
    vpc.remove_subnet(&subnet);
    let answer = whole(&mut vpc, |vpc| vpc.delete_acl(&default_acl()));
    assert!(matches!(answer, Err(ProviderError::Invalid { .. })), "{answer:?}");
}

#[test]
fn asking_again_for_an_acl_of_a_cluster_makes_no_second_one() {
    let (mut vpc, prior) = vpc();
    let owner = |prior: &AclId| AclOwner {
        cluster: "blue".to_owned(),
        name: AclName("pods".into()),
        prior: prior.clone(),
    };
    let id = vpc.create_acl(Some(owner(&prior))).unwrap();
    assert_eq!(vpc.create_acl(Some(owner(&prior))), Ok(id.clone()));
    let answer = whole(&mut vpc, |vpc| vpc.create_acl(Some(owner(&default_acl()))));
    assert!(matches!(answer, Err(ProviderError::Duplicate { .. })), "{answer:?}");
    vpc.disown_acl(&id).unwrap();
    assert_ne!(vpc.create_acl(Some(owner(&prior))), Ok(id));
}
