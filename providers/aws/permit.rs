//! Which calls the role may not make, as far as dry runs tell.

use std::collections::{BTreeMap, BTreeSet};

use moat_core::firewall::GroupNumber;
use moat_core::net::Family;
use moat_core::policy::Direction;

use crate::call::Call;
use crate::errors::{Failure, Meaning};
use crate::request::Run;
use crate::{Aws, tags, wire};

impl Aws {
    /// The calls that change something and that the role may not make. Nothing is changed.
    ///
    /// EC2 checks permissions on what a call names, so that those for groups, rules and interfaces are asked about ones that
    /// the last picture showed: before the first one there are none, and then only the creation of groups is asked about. A
    /// call that a dry run says nothing about counts as permitted: it is named when it is refused.
    pub async fn forbidden(&self) -> BTreeSet<Call> {
        let mut answers = vec![self.try_to_create().await];
        if let Some(group) = self.memory.groups.values().next() {
            for direction in Direction::BOTH {
                let anyone = wire::default_egress([Family::V4]);
                answers.push(self.add(Run::Dry, group, direction, anyone).await);
            }
            answers.push(self.delete(Run::Dry, group).await);
        }
        for direction in Direction::BOTH {
            let mut rules = self.memory.rules.iter();
            let Some(((number, _), ids)) = rules.find(|((_, rule), _)| rule.direction == direction)
            else {
                continue;
            };
            if let Some(group) = self.memory.groups.get(number) {
                answers.push(self.remove(Run::Dry, group, direction, ids.clone()).await);
            }
        }
        if let Some((interface, worn)) = self.memory.interfaces.first_key_value() {
            let worn = worn.iter().filter_map(|key| self.id_of(key)).collect();
            let mark = (tags::CLUSTER.to_owned(), self.config.cluster.clone());
            answers.push(self.dress(Run::Dry, &interface.0, worn).await);
            answers.push(self.untag(Run::Dry, &interface.0, [&mark.0]).await);
            answers.push(self.tag(Run::Dry, &interface.0, &BTreeMap::from([mark])).await);
        }
        let refused = answers.into_iter().filter_map(Result::err);
        let refused = refused.filter(|failure| failure.meaning == Meaning::Unauthorized);
        refused.map(|failure| failure.call).collect()
    }

    async fn try_to_create(&self) -> Result<(), Failure> {
        let (cluster, number) = (&self.config.cluster, GroupNumber::nth(0));
        let tags = tags::owner(cluster, number);
        self.create(Run::Dry, &number.name(cluster), tags).await.map(|_| ())
    }
}
