//! The permissions that a role is given.

use std::collections::BTreeSet;

use moat_aws::call::Call;
use moat_aws::tags::{BRANCH, CLUSTER};
use serde_json::Value;

const POLICY: &str = include_str!("../../../../deploy/iam-policy.json");

#[test]
fn the_policy_allows_the_calls_that_are_made_and_no_others() {
    let policy: Value = serde_json::from_str(POLICY).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.map(|statement| &statement["Action"]);
    let actions = actions.flat_map(|it| it.as_array().cloned().unwrap_or(vec![it.clone()]));
    let allowed: BTreeSet<String> = actions.map(|it| it.as_str().unwrap().to_owned()).collect();
    let made = Call::ALL.iter().map(|call| call.action().to_owned());
    assert_eq!(allowed, made.collect());
}

#[test]
fn the_policy_names_the_tags_that_are_set() {
    for (kind, key) in [("RequestTag", CLUSTER), ("ResourceTag", CLUSTER), ("ResourceTag", BRANCH)]
    {
        assert!(POLICY.contains(&format!("\"aws:{kind}/{key}\"")), "{key}");
    }
    let keys =
        CLUSTER.split_once('/').map(|(domain, _)| format!("\"aws:TagKeys\": \"{domain}/*\""));
    assert!(POLICY.contains(&keys.unwrap()));
}
