//! Tags: whose a group or a network ACL is, and what an interface wore, or a subnet had, before Moat.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Tag;
use moat_core::firewall::{AclName, ForeignAclId, ForeignGroupId, GroupNumber};

pub use moat_core::provider::{CLUSTER_TAG as CLUSTER, NUMBER_TAG as NUMBER};

/// The start of the tags that record an interface's prior groups: `moat.dev/prior-1` and so on.
pub const PRIOR: &str = "moat.dev/prior-";
/// The tag that the VPC resource controller gives each branch interface.
pub const BRANCH: &str = "vpcresources.k8s.aws/vlan-id";
/// The tag that the VPC CNI gives each interface of a node: the instance's id.
pub const NODE: &str = "node.k8s.amazonaws.com/instance_id";
/// The tag that holds the name of a network ACL.
pub const ACL: &str = "moat.dev/acl";
/// The tag of a network ACL that records the one that its subnets get back.
pub const PRIOR_ACL: &str = "moat.dev/prior";

/// The longest value of a tag, in characters (`Tag`, EC2 API reference).
const LONGEST: usize = 256;

/// The tags of a group of ours.
#[must_use]
pub fn owner(cluster: &str, number: GroupNumber) -> Vec<Tag> {
    vec![tag(CLUSTER, cluster), tag(NUMBER, number.0.to_string())]
}

/// The tag of a rule of ours.
#[must_use]
pub fn mark(cluster: &str) -> Tag {
    tag(CLUSTER, cluster)
}

/// The number of a group, if these are its tags and it is a group of the cluster's. A number in any but the usual spelling is
/// no number: two groups would share it.
#[must_use]
pub fn number(cluster: &str, tags: &[Tag]) -> Option<GroupNumber> {
    let number = value(tags, NUMBER)?;
    let parsed = number.parse().ok().map(GroupNumber)?;
    let ours = value(tags, CLUSTER) == Some(cluster) && parsed.0.to_string() == number;
    ours.then_some(parsed)
}

/// The tags of a network ACL of ours.
#[must_use]
pub fn acl_owner(cluster: &str, acl: &AclName, prior: &ForeignAclId) -> Vec<Tag> {
    vec![tag(CLUSTER, cluster), tag(ACL, &*acl.0), tag(PRIOR_ACL, &*prior.0)]
}

/// The name of a network ACL, if these are its tags and it is one of the cluster's.
#[must_use]
pub fn acl(cluster: &str, tags: &[Tag]) -> Option<AclName> {
    let ours = value(tags, CLUSTER) == Some(cluster);
    value(tags, ACL).filter(|_| ours).map(|name| AclName(name.into()))
}

/// The network ACL that the subnets of one of ours get back, by its tags.
#[must_use]
pub fn prior_acl(tags: &[Tag]) -> Option<ForeignAclId> {
    value(tags, PRIOR_ACL).map(|id| ForeignAclId(id.into()))
}

/// The tags that record the groups an interface wore; empty for none.
#[must_use]
pub fn record(cluster: &str, groups: &BTreeSet<ForeignGroupId>) -> BTreeMap<String, String> {
    let mut values: Vec<String> = Vec::new();
    for group in groups {
        match values.last_mut() {
            Some(value) if value.len() + 1 + group.0.len() <= LONGEST => {
                value.push(' ');
                value.push_str(&group.0);
            }
            Some(_) | None => values.push(group.0.to_string()),
        }
    }
    let mut tags: BTreeMap<String, String> =
        (1..).map(|place: usize| format!("{PRIOR}{place}")).zip(values).collect();
    if !tags.is_empty() {
        tags.insert(CLUSTER.to_owned(), cluster.to_owned());
    }
    tags
}

/// The groups that an interface's tags record; another cluster's record is not ours.
#[must_use]
pub fn recorded(cluster: &str, tags: &[Tag]) -> BTreeSet<ForeignGroupId> {
    if value(tags, CLUSTER) != Some(cluster) {
        return BTreeSet::new();
    }
    let values = tags.iter().filter(|tag| tag.key().is_some_and(|key| key.starts_with(PRIOR)));
    let words = values.filter_map(Tag::value).flat_map(str::split_whitespace);
    words.map(|id| ForeignGroupId(id.into())).collect()
}

/// The tags of the record that an interface bears, whatever is in them.
#[must_use]
pub fn record_tags(tags: &[Tag]) -> BTreeMap<String, String> {
    let ours = tags.iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default())));
    let ours = ours.filter(|(key, _)| *key == CLUSTER || key.starts_with(PRIOR));
    ours.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// A tag.
#[must_use]
pub fn tag(key: impl Into<String>, value: impl Into<String>) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The value of a key.
#[must_use]
pub fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}
