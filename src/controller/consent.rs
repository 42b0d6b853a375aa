//! What people say to a controller that runs, by annotations of its MoatInstallation, and which changes wait for their word.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use futures_util::{StreamExt, pin_mut};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Error, watch_object};
use kube::{Api, Client};
use moat_core::firewall::{GroupKey, GroupNumber, State};
use moat_core::plan::{Plan, is_passing};
use moat_core::provider::{Observed, Step};
use moat_k8s::configuration::Percentage;
use moat_k8s::crd::{APPROVED_CHANGE, MoatInstallation};
use tokio::sync::watch;
use tracing::warn;

/// What is said on a MoatInstallation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// Nothing is to be changed.
    pub(crate) is_paused: bool,
    /// The id of the change that may be carried out.
    pub(crate) approved: Option<String>,
}

/// A change that waits for a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldChange {
    /// Names it. It stays the same while the same groups are to change in the same way, wherever pods come and go.
    pub(crate) id: String,
    /// The groups that it makes, changes or deletes.
    pub(crate) groups: usize,
    /// The groups that there are, or would be.
    pub(crate) of: usize,
}

/// Holds changes of many groups until somebody approves.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The groups whose change was let through, until it is done: news may cut it in two.
    passed: BTreeSet<GroupNumber>,
}

/// So few groups may always change: a share of them says nothing.
const FEW: usize = 10;

/// Tells what is said, as long as somebody listens. A kind that is not installed says nothing.
pub(crate) async fn listen(client: Client, name: String, say: watch::Sender<Option<Word>>) {
    let objects = watch_object(Api::<MoatInstallation>::all(client), &name).default_backoff();
    pin_mut!(objects);
    while let Some(object) = objects.next().await {
        let word = match object {
            Ok(object) => object.as_ref().map(Word::of).unwrap_or_default(),
            Err(Error::InitialListFailed(kube::Error::Api(status))) if status.is_not_found() => {
                Word::default()
            }
            Err(error) => {
                warn!(%error, "the MoatInstallation is not followed: its last word holds");
                continue;
            }
        };
        let is_news = |last: &mut Option<Word>| {
            let is_news = last.as_ref() != Some(&word);
            *last = Some(word.clone());
            is_news
        };
        say.send_if_modified(is_news);
    }
}

impl Word {
    fn of(object: &MoatInstallation) -> Self {
        let says = |key| object.metadata.annotations.as_ref()?.get(key).cloned();
        Self { is_paused: object.is_paused(), approved: says(APPROVED_CHANGE) }
    }
}

impl Gate {
    /// Whether a plan may be carried out. Where no pod wears a group of ours yet, it may: `mode: Observe` is the way to look before.
    ///
    /// # Errors
    /// It changes more than this share of the groups, and nobody approved.
    pub(crate) fn pass(
        &mut self,
        plan: &Plan,
        observed: &Observed,
        most: Percentage,
        word: &Word,
    ) -> Result<(), HeldChange> {
        let changed = changed(plan);
        let of = ours(&observed.state).max(ours(&plan.target));
        let groups = changed.difference(&self.passed).count();
        let id = id(plan);
        let is_small = groups <= most.of(of).max(FEW) || !is_worn(&observed.state);
        if is_small || word.approved.as_ref() == Some(&id) {
            self.passed.extend(changed);
            return Ok(());
        }
        Err(HeldChange { id, groups, of })
    }

    /// Nothing is left to do.
    pub(crate) fn done(&mut self) {
        self.passed.clear();
    }
}

/// The groups that a plan makes, changes or deletes. Those of passage come and go with it.
fn changed(plan: &Plan) -> BTreeSet<GroupNumber> {
    plan.stages.iter().flat_map(|stage| &stage.steps).filter_map(of_group).collect()
}

fn of_group(step: &Step) -> Option<GroupNumber> {
    let group = match step {
        Step::CreateGroup(group)
        | Step::Authorize { group, .. }
        | Step::Revoke { group, .. }
        | Step::DeleteGroup(group) => Some(*group),
        Step::SetGroups { .. } | Step::Acl(_) => None,
    };
    group.filter(|group| !is_passing(*group))
}

fn ours(state: &State) -> usize {
    state.groups.keys().filter(|key| key.foreign().is_none()).count()
}

fn is_worn(state: &State) -> bool {
    state.interfaces.values().flatten().any(|key| matches!(key, GroupKey::Ours(_)))
}

/// Names what a plan does to groups.
fn id(plan: &Plan) -> String {
    let mut hasher = DefaultHasher::new();
    for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
        if of_group(step).is_some() {
            hasher.write(format!("{step:?}").as_bytes());
        }
    }
    format!("{:016x}", hasher.finish())
}

impl fmt::Display for HeldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, groups, of } = self;
        write!(
            f,
            "a change of {groups} of {of} groups is more than `maxChange` allows: look at it, and let it through with \
             the annotation `{APPROVED_CHANGE}: {id}` of the MoatInstallation"
        )
    }
}

#[cfg(test)]
mod tests {
    use moat_core::plan::{Purpose, Stage};

    use super::*;

    fn number(number: u32) -> GroupNumber {
        GroupNumber(number.try_into().expect("it is not zero"))
    }

    /// A cloud whose one pod wears the first of so many groups.
    fn cloud(groups: u32) -> Observed {
        let mut observed = Observed::default();
        for group in 1..=groups {
            observed.state.groups.insert(GroupKey::Ours(number(group)), BTreeSet::new());
        }
        let worn = BTreeSet::from([GroupKey::Ours(number(1))]);
        let interface = moat_core::inventory::InterfaceId("eni-1".into());
        observed.state.interfaces.insert(interface, worn);
        observed
    }

    fn delete(groups: std::ops::RangeInclusive<u32>) -> Plan {
        let steps = groups.map(|group| Step::DeleteGroup(number(group))).collect();
        Plan { stages: vec![Stage { purpose: Purpose::Delete, steps }], ..Plan::default() }
    }

    #[test]
    fn a_change_of_more_than_a_fifth_waits_until_its_own_id_is_approved() {
        let (there, most, silence) = (cloud(100), Percentage::default(), Word::default());
        let mut gate = Gate::default();
        assert_eq!(gate.pass(&delete(1..=20), &there, most, &silence), Ok(()));
        gate.done();
        let plan = delete(1..=21);
        let held = gate.pass(&plan, &there, most, &silence).expect_err("it is held");
        assert_eq!((held.groups, held.of), (21, 100));
        let other = Word { approved: Some("0".into()), ..Word::default() };
        assert_eq!(gate.pass(&plan, &there, most, &other), Err(held.clone()));
        let approved = Word { approved: Some(held.id.clone()), ..Word::default() };
        // What was approved does not let another change through.
        let more = delete(1..=50);
        assert!(gate.pass(&more, &there, most, &approved).is_err());
        assert_eq!(gate.pass(&plan, &there, most, &approved), Ok(()));
        // News cut it in two: the rest passes, though it has another id.
        assert_eq!(gate.pass(&delete(2..=21), &cloud(99), most, &approved), Ok(()));
        gate.done();
        assert!(gate.pass(&plan, &there, most, &silence).is_err(), "it is approved once");
    }

    #[test]
    fn few_groups_and_a_first_plan_do_not_wait() {
        let (most, silence) = (Percentage::default(), Word::default());
        let pass = |plan: &Plan, there: &Observed| {
            Gate::default().pass(plan, there, most, &silence).is_ok()
        };
        assert!(pass(&delete(1..=10), &cloud(12)));
        assert!(!pass(&delete(1..=11), &cloud(12)));
        assert!(pass(&delete(1_000_001..=1_000_050), &cloud(12)), "groups of passage do not count");
        let mut bare = cloud(12);
        bare.state.interfaces.clear();
        assert!(pass(&delete(1..=11), &bare));
    }
}
