//! What others did to network ACLs of ours: entries bear no tags, so that two pictures are compared.

use std::collections::BTreeSet;

use crate::finding::{Effect, Finding, Reason};
use crate::firewall::{Acl, AclKey, EntryKey};
use crate::policy::ObjectRef;
use crate::provider::Observed;

/// What someone else changed of network ACLs of ours, and of what these guard, between two pictures between which Moat did nothing.
#[must_use]
pub fn of_acls(before: &Observed, now: &Observed) -> Vec<Finding> {
    let ours = before.state.acls.iter().filter(|(key, _)| key.foreign().is_none());
    let edits = ours.flat_map(|(key, acl)| match now.state.acls.get(key) {
        Some(there) => edits(key, acl, there),
        None => vec![format!(
            "someone deleted network ACL {key}, or took its tags off: it is made again"
        )],
    });
    let guarded = before.state.subnets.iter().filter(|(_, guard)| guard.foreign().is_none());
    let moves = guarded.filter_map(|(subnet, guard)| {
        let id = now.state.subnets.get(subnet)?.foreign()?;
        let (subnet, id) = (&subnet.0, &id.0);
        Some(format!(
            "someone let `{id}` guard `{subnet}` in place of network ACL {guard}: from now on that is what the subnet gets back, and what \
             ours copies for it"
        ))
    });
    let drift = |message: String| {
        Finding::without_flows(ObjectRef::vpc(), Reason::Drift, Effect::Ignored, message)
    };
    edits.chain(moves).map(drift).collect()
}

fn edits(acl: &AclKey, before: &Acl, now: &Acl) -> Vec<String> {
    let keys: BTreeSet<&EntryKey> = before.0.keys().chain(now.0.keys()).collect();
    let edits = keys.into_iter().filter_map(|key| match (before.0.get(key), now.0.get(key)) {
        (Some(entry), None) => Some(format!("removed {key} `{entry}` from network ACL {acl}")),
        (None, Some(entry)) => Some(format!("put {key} `{entry}` into network ACL {acl}")),
        (Some(old), Some(new)) if old != new => {
            Some(format!("put `{new}` in place of {key} `{old}` of network ACL {acl}"))
        }
        (Some(_), Some(_)) | (None, None) => None,
    });
    edits.map(|edit| format!("someone {edit}: it is put right")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::{AclName, EntryNumber, ForeignAclId};
    use crate::inventory::SubnetId;
    use crate::policy::Direction;

    fn picture(entries: &[(u16, &str)], guard: &AclKey) -> Observed {
        let entry = |(number, text): &(u16, &str)| {
            let number = EntryNumber::try_from(*number).unwrap();
            (EntryKey { direction: Direction::Egress, number }, text.parse().unwrap())
        };
        let acl = Acl(entries.iter().map(entry).collect());
        let mut picture = Observed::default();
        picture.state.acls.insert(ours("pods"), acl);
        picture.state.acls.insert(ours("idle"), Acl::default());
        picture.state.subnets.insert(SubnetId("subnet-1".into()), guard.clone());
        picture
    }

    fn ours(name: &str) -> AclKey {
        AclKey::Ours(AclName(name.into()))
    }

    #[test]
    fn what_others_did_meanwhile_is_told_entry_by_entry_and_subnet_by_subnet() {
        let [deny, allow] = ["deny 10.0.0.0/8 all", "allow 10.0.0.0/8 all"];
        let before = picture(&[(1, deny), (2, deny), (3, deny)], &ours("pods"));
        assert_eq!(of_acls(&before, &before), []);
        let theirs = AclKey::Foreign(ForeignAclId("acl-1".into()));
        let mut now = picture(&[(1, deny), (2, allow), (9, allow)], &theirs);
        now.state.acls.remove(&ours("idle"));
        let found = of_acls(&before, &now);
        let said: Vec<&str> = found.iter().map(|finding| &*finding.message).collect();
        assert_eq!(
            said,
            [
                "someone deleted network ACL idle, or took its tags off: it is made again",
                "someone put `allow 10.0.0.0/8 all` in place of egress entry 2 `deny 10.0.0.0/8 all` of network ACL pods: it is put right",
                "someone removed egress entry 3 `deny 10.0.0.0/8 all` from network ACL pods: it is put right",
                "someone put egress entry 9 `allow 10.0.0.0/8 all` into network ACL pods: it is put right",
                "someone let `acl-1` guard `subnet-1` in place of network ACL pods: from now on that is what the subnet gets back, and \
                 what ours copies for it",
            ]
        );
    }
}
