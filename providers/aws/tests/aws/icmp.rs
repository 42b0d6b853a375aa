//! Every ICMP type with every code, and with single ones, is written and read back, in both families and directions.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::firewall::{GroupKey, GroupNumber, Peer, Rule};
use moat_core::net::{Message, Messages, Prefix, Shape};
use moat_core::policy::Direction;
use moat_core::provider::{Provider, Scope, Step};
use moat_tests::contract::execute;

use crate::contract::Cloud;
use crate::localstack::run;

/// How many rules a group holds in one direction and family.
const QUOTA: usize = 60;

pub(crate) fn every_message() -> Vec<Messages> {
    let one = |kind, code| Messages::One(Message { kind, code });
    let of = |kind| [Messages::Type(kind), one(kind, 0), one(kind, 1), one(kind, 255)];
    (0..=u8::MAX).flat_map(of).chain([Messages::All]).collect()
}

#[test]
fn every_type_and_code_comes_back_as_it_was_sent() {
    let mut cloud = Cloud::new(1_000);
    let prefix = |text: &str| Peer::Prefix(text.parse::<Prefix>().unwrap());
    let mut wanted: BTreeMap<GroupKey, BTreeSet<Rule>> = BTreeMap::new();
    run(async {
        for (index, messages) in every_message().chunks(QUOTA).enumerate() {
            let group = GroupNumber::nth(index);
            execute(&mut cloud.aws, &Step::CreateGroup(group)).await.unwrap();
            for direction in Direction::BOTH {
                let rule = |peer, shape| Rule { direction, peer, shape };
                let v4 = messages.iter().map(|it| rule(prefix("10.0.0.0/8"), Shape::Icmp(*it)));
                let v6 =
                    messages.iter().map(|it| rule(prefix("2001:db8::/32"), Shape::Icmpv6(*it)));
                let sent: BTreeSet<Rule> = v4.chain(v6).collect();
                wanted.entry(GroupKey::Ours(group)).or_default().extend(sent.iter().cloned());
                let rules = sent.into_iter().map(|rule| (rule, "shop/web".to_owned())).collect();
                execute(&mut cloud.aws, &Step::Authorize { group, direction, rules })
                    .await
                    .unwrap();
            }
        }
        let observed = cloud.aws.observe(&Scope::default()).await.unwrap();
        assert_eq!(observed.state.groups, wanted);
        assert_eq!(observed.rule_ids.len(), 4 * every_message().len());
        assert_eq!(cloud.aws.observe(&Scope::default()).await.unwrap(), observed);
    });
}
