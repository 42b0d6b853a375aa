//! Which groups of others our pods go on wearing.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::HashMap;
use crate::compile::cohort::CohortId;
use crate::firewall::ForeignGroupId;

/// The groups of others that cohorts of classes wear.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    by_cohort: HashMap<CohortId, BTreeSet<ForeignGroupId>>,
    /// How many cohorts wear each.
    wearers: BTreeMap<ForeignGroupId, usize>,
}

impl Foreign {
    /// Lets a cohort wear these groups, or none; the groups that it wore or wears.
    pub(super) fn wear(
        &mut self,
        cohort: CohortId,
        groups: Option<&BTreeSet<ForeignGroupId>>,
    ) -> BTreeSet<ForeignGroupId> {
        let mut concerned = self.by_cohort.remove(&cohort).unwrap_or_default();
        for group in &concerned {
            if let Some(count) = self.wearers.get_mut(group) {
                *count -= 1;
            }
        }
        self.wearers.retain(|_, count| *count > 0);
        if let Some(groups) = groups.filter(|groups| !groups.is_empty()) {
            for group in groups {
                *self.wearers.entry(group.clone()).or_default() += 1;
            }
            self.by_cohort.insert(cohort, groups.clone());
            concerned.extend(groups.iter().cloned());
        }
        concerned
    }

    pub(super) fn is_worn(&self, group: &ForeignGroupId) -> bool {
        self.wearers.contains_key(group)
    }

    /// The groups that somebody wears.
    pub(super) fn worn(&self) -> impl Iterator<Item = &ForeignGroupId> + '_ {
        self.wearers.keys()
    }
}
