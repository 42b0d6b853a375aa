//! Ownership and records.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::Tag;
use moat_aws::tags::{
    CLUSTER, NUMBER, acl, acl_owner, number, owner, prior_acl, record, recorded, tag,
};
use moat_core::firewall::{AclName, ForeignAclId, ForeignGroupId, GroupNumber};
use proptest::collection::btree_set;
use proptest::prelude::*;

fn groups() -> impl Strategy<Value = BTreeSet<ForeignGroupId>> {
    let id = prop_oneof!["sg-[0-9a-f]{17}", "sg-[0-9a-f]{8}"];
    btree_set(id.prop_map(|id| ForeignGroupId(id.into())), 0..40)
}

proptest! {
    #[test]
    fn a_record_of_any_length_comes_back_and_each_tag_is_short_enough(groups in groups()) {
        let record = record("prod", &groups);
        prop_assert!(record.values().all(|value| value.chars().count() <= 256));
        prop_assert_eq!(record.is_empty(), groups.is_empty());
        let tags: Vec<Tag> = record.iter().map(|(key, value)| tag(key, value)).collect();
        prop_assert_eq!(recorded("prod", &tags), groups);
        prop_assert_eq!(recorded("test", &tags), BTreeSet::new(), "another cluster's is not ours");
    }

    #[test]
    fn a_group_is_ours_by_both_of_its_tags(index in 0..5_000_usize) {
        let wanted = GroupNumber::nth(index);
        let tags = owner("prod", wanted);
        prop_assert_eq!(number("prod", &tags), Some(wanted));
        prop_assert_eq!(number("test", &tags), None);
        for missing in 0..tags.len() {
            let mut rest = tags.clone();
            rest.remove(missing);
            prop_assert_eq!(number("prod", &rest), None);
        }
    }
}

#[test]
fn a_network_acl_is_ours_by_both_of_its_tags_and_tells_what_its_subnets_get_back() {
    let (name, prior) = (AclName("pods".into()), ForeignAclId("acl-1".into()));
    let tags = acl_owner("prod", &name, &prior);
    assert_eq!((acl("prod", &tags), prior_acl(&tags)), (Some(name.clone()), Some(prior)));
    assert_eq!(acl("test", &tags), None);
    for (missing, wanted) in [(0, None), (1, None), (2, Some(name))] {
        let mut rest = tags.clone();
        rest.remove(missing);
        assert_eq!(acl("prod", &rest), wanted);
        assert_eq!(prior_acl(&rest).is_none(), missing == 2);
    }
}

/// Sixteen groups are the most that an interface can wear.
#[test]
fn the_longest_record_takes_two_tags_and_the_cluster() {
    let groups = (0..16).map(|index| ForeignGroupId(format!("sg-{index:017x}").into())).collect();
    let keys: Vec<String> = record("prod", &groups).into_keys().collect();
    assert_eq!(keys, ["moat.dev/cluster", "moat.dev/prior-1", "moat.dev/prior-2"]);
}

#[test]
fn a_number_in_another_spelling_is_nobodys() {
    for text in ["01", "+1", "0", "", "x", "4294967296"] {
        assert_eq!(number("prod", &[tag(CLUSTER, "prod"), tag(NUMBER, text)]), None, "{text}");
    }
}
