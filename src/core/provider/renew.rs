//! A picture of which a part was read anew.

use std::collections::BTreeSet;

use super::{Observed, RuleId, Touched};
use crate::firewall::{ForeignGroupId, GroupKey, GroupNumber};
use crate::inventory::InterfaceId;

impl Observed {
    /// Puts what was read anew in place of what was known of the same: `part` is a picture of what was touched, and of the groups
    /// of others that belong to it. What is touched and not in it is gone. It takes as long as the part is large, unless a
    /// group of others may have lost the last interface that names it.
    pub fn renew(&mut self, touched: &Touched, part: Self) {
        touched.groups.iter().for_each(|number| self.forget_group(*number));
        let mut left = BTreeSet::new();
        for interface in &touched.interfaces {
            left.extend(self.forget_interface(interface));
        }
        left.retain(|group| !part.state.groups.contains_key(&GroupKey::Foreign(group.clone())));
        if !touched.interfaces.is_empty() {
            self.bearers.retain(|_, bearer| !touched.interfaces.contains(bearer));
        }
        self.state.groups.extend(part.state.groups);
        self.state.interfaces.extend(part.state.interfaces);
        self.rule_ids.extend(part.rule_ids);
        self.taken.extend(part.taken);
        self.foreign_rules.extend(part.foreign_rules);
        self.unmarked.extend(part.unmarked);
        self.unreadable.extend(part.unreadable);
        self.interfaces.extend(part.interfaces);
        self.bearers.extend(part.bearers);
        self.records.extend(part.records);
        if touched.acls {
            self.state.acls = part.state.acls;
            self.state.subnets = part.state.subnets;
            self.subnets = part.subnets;
            self.acl_priors = part.acl_priors;
            self.former = part.former;
        }
        for group in left {
            let key = GroupKey::Foreign(group);
            if !self.names(&key) {
                self.state.groups.remove(&key);
            }
        }
    }

    fn forget_group(&mut self, number: GroupNumber) {
        self.taken.remove(&number);
        for rule in self.state.groups.remove(&GroupKey::Ours(number)).into_iter().flatten() {
            let key = (number, rule);
            self.rule_ids.remove(&key);
            self.foreign_rules.remove(&key);
            self.unmarked.remove(&key);
        }
        let first = (number, RuleId("".into()));
        let unreadable = self.unreadable.range(first..).take_while(|((of, _), _)| *of == number);
        let unreadable: Vec<_> = unreadable.map(|(key, _)| key.clone()).collect();
        unreadable.iter().for_each(|key| drop(self.unreadable.remove(key)));
    }

    /// The groups of others that it named.
    fn forget_interface(&mut self, id: &InterfaceId) -> BTreeSet<ForeignGroupId> {
        self.records.remove(id);
        let prior = self.interfaces.remove(id).map(|interface| interface.prior);
        let worn = self.state.interfaces.remove(id).unwrap_or_default();
        let worn = worn.iter().filter_map(GroupKey::foreign).cloned();
        prior.into_iter().flatten().chain(worn).collect()
    }

    /// Whether an interface wears a group of others, or is to be given it back. Most that wear one count it as prior.
    fn names(&self, key: &GroupKey) -> bool {
        let is_prior = |group| self.interfaces.values().any(|it| it.prior.contains(group));
        key.foreign().is_some_and(is_prior)
            || self.state.interfaces.values().any(|worn| worn.contains(key))
    }
}
