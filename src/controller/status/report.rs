//! What becomes of each policy, after a round: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use moat_core::compile::Desired;
use moat_core::finding::{self, Effect, Finding};
use moat_core::firewall::{AclName, GroupKey, GroupNumber};
use moat_core::inventory::{Attachment, ByNamespace, InterfaceId, Inventory, Pod, PodIndex};
use moat_core::plan::Plan;
use moat_core::policy::{ObjectRef, PodSelector, Policy, Subject, Word};
use moat_core::provider::Touched;
use moat_k8s::crd::{FindingRow, PAUSED, Summary, Unfiltered};

use crate::index::Known;
use crate::reason::Reason;
use crate::round::{Holdup, Round};

/// What becomes of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether every field was understood; else why not.
    pub(crate) accepted: Result<(), Said>,
    /// Whether the cloud was read back and holds it.
    pub(crate) programmed: Result<(), Undone>,
    /// What the cloud does otherwise than the policy says, if anything.
    pub(crate) inexact: Option<Said>,
    /// The findings, those that change flows first.
    pub(crate) findings: Vec<FindingRow>,
    /// How many findings there are.
    pub(crate) total: usize,
    /// Sizes.
    pub(crate) summary: Summary,
    /// The pods that the cloud does not filter.
    pub(crate) unfiltered: Vec<Unfiltered>,
}

/// A reason with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

/// Why the cloud does not hold a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// It will, without anybody's help.
    Underway(Said),
    /// Somebody must do something.
    Stalled(Said),
    /// Nobody can tell.
    Unknown(Said),
}

/// Rows of findings that a status holds at most.
pub(crate) const ROWS: usize = 100;

/// Pods that it names at most, for each reason why they are not filtered.
const NAMES: usize = 100;

/// What becomes of each policy. `desired` is what the inputs of the round compile to.
pub(crate) fn verdicts(round: &Round, desired: &Desired) -> BTreeMap<ObjectRef, Verdict> {
    let mut found: BTreeMap<&ObjectRef, Vec<&Finding>> = BTreeMap::new();
    for finding in desired.findings.iter().chain(round.findings.iter()) {
        found.entry(&finding.object).or_default().push(finding);
    }
    let sizes = sizes(desired);
    let lacking = Lacking::of(round);
    let pods = round.inputs.inventory.by_namespace();
    let inventory = &round.inputs.inventory;
    let left_out = round.decision.configuration.left_out(inventory);
    let mut subjects = Subjects { inventory, left_out: &left_out, pods, selected: BTreeMap::new() };
    let verdicts = round.policies.iter().map(|(object, known)| {
        let compiled = found.get(object).into_iter().flatten().copied();
        let findings: Vec<&Finding> = known.findings.iter().chain(compiled).collect();
        let selected = subjects.of(&known.policy);
        let pods = &selected.pods;
        let size = sizes.get(object);
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let summary = Summary {
            pods: count(pods.len()),
            groups: count(size.map_or(0, |size| size.groups.len())),
            rules: count(size.map_or(0, |size| size.rules)),
            acls: count(size.map_or(0, |size| size.acls.len())),
            entries: count(size.map_or(0, |size| size.entries)),
        };
        let namespace = object.namespace.as_ref();
        let programmed = if namespace.is_some_and(|it| left_out.contains(it)) {
            Err(Undone::Unknown(not_selected()))
        } else {
            lacking.programmed(pods, &findings, round)
        };
        let unfiltered = selected.unfiltered.clone();
        (object.clone(), verdict(known, &findings, programmed, (summary, unfiltered), inventory))
    });
    verdicts.collect()
}

fn verdict(
    known: &Known,
    findings: &[&Finding],
    programmed: Result<(), Undone>,
    (summary, unfiltered): (Summary, Vec<Unfiltered>),
    inventory: &Inventory,
) -> Verdict {
    let changes = |finding: &&&Finding| finding.effect != Effect::Ignored;
    let misread = known.findings.iter().find(|finding| changes(&finding));
    let first = findings.iter().find(changes).map(|finding| said(finding));
    let partly = unfiltered.iter().any(|it| it.reason == Reason::NotSelected.as_str());
    let mut rows: Vec<&Finding> = findings.to_vec();
    rows.sort_by_key(|finding| finding.effect == Effect::Ignored);
    Verdict {
        accepted: misread.map_or(Ok(()), |finding| Err(said(finding))),
        programmed,
        inexact: first.or_else(|| partly.then(not_selected)),
        total: rows.len(),
        findings: rows.into_iter().take(ROWS).map(|finding| row(finding, inventory)).collect(),
        summary,
        unfiltered,
    }
}

fn said(finding: &Finding) -> Said {
    let place = if finding.path.is_empty() { String::new() } else { format!("{}: ", finding.path) };
    Said { reason: Reason::Found(finding.reason), message: format!("{place}{}", finding.message) }
}

fn not_selected() -> Said {
    let message = "the configuration's `namespaceSelector` leaves a namespace out: nothing is enforced for the pods there";
    Said { reason: Reason::NotSelected, message: message.to_owned() }
}

fn row(finding: &Finding, inventory: &Inventory) -> FindingRow {
    FindingRow {
        path: finding.path.to_string(),
        reason: finding.reason.to_string(),
        effect: finding.effect.as_str().to_owned(),
        message: finding.message.to_string(),
        witness: finding.witness.as_ref().map(|flow| flow.display(inventory).to_string()),
    }
}

/// Where a policy lives in the cloud.
#[derive(Default)]
struct Size<'a> {
    /// The groups that hold rules for it.
    groups: BTreeSet<GroupNumber>,
    /// These rules.
    rules: usize,
    /// The network ACLs that hold entries for it.
    acls: BTreeSet<&'a AclName>,
    /// These entries.
    entries: usize,
}

/// Where each policy lives.
fn sizes(desired: &Desired) -> BTreeMap<&ObjectRef, Size<'_>> {
    let mut sizes: BTreeMap<&ObjectRef, Size<'_>> = BTreeMap::new();
    for ((group, _), reason) in &desired.reasons {
        for policy in reason.serves.iter() {
            let size = sizes.entry(policy).or_default();
            size.groups.insert(*group);
            size.rules += 1;
        }
    }
    for ((acl, ..), serves) in &desired.denies {
        for policy in serves.iter() {
            let size = sizes.entry(policy).or_default();
            size.acls.insert(acl);
            size.entries += 1;
        }
    }
    sizes
}

/// The pods of each subject, which policies share.
struct Subjects<'a> {
    inventory: &'a Inventory,
    /// The namespaces for which nothing is in force.
    left_out: &'a BTreeSet<&'a Word>,
    pods: ByNamespace<'a>,
    selected: BTreeMap<&'a PodSelector, Rc<Selected>>,
}

/// The pods of a subject.
#[derive(Default)]
struct Selected {
    pods: Vec<PodIndex>,
    unfiltered: Vec<Unfiltered>,
}

impl<'a> Subjects<'a> {
    fn of(&mut self, policy: &'a Policy) -> Rc<Selected> {
        let Subject::Pods(selector) = &policy.subject else { return Rc::default() };
        let Self { inventory, left_out, pods, selected } = self;
        let select = || {
            let pods: Vec<(PodIndex, &Pod)> = pods.selected(selector).collect();
            let unfiltered = unfiltered(&pods, inventory, left_out);
            Rc::new(Selected {
                pods: pods.into_iter().map(|(index, _)| index).collect(),
                unfiltered,
            })
        };
        Rc::clone(selected.entry(selector).or_insert_with(select))
    }
}

/// Those of some pods that no group of ours filters, by reason.
fn unfiltered(
    pods: &[(PodIndex, &Pod)],
    inventory: &Inventory,
    left_out: &BTreeSet<&Word>,
) -> Vec<Unfiltered> {
    let mut found: BTreeMap<Reason, Vec<&Pod>> = BTreeMap::new();
    for (_, pod) in pods {
        let reason = match inventory.interface(pod).map(|interface| interface.attachment) {
            _ if left_out.contains(&pod.namespace) => Reason::NotSelected,
            Some(Attachment::Exclusive) => continue,
            Some(Attachment::Shared) => Reason::Found(finding::Reason::SharedInterface),
            Some(Attachment::Fixed) => Reason::Found(finding::Reason::FixedInterface),
            Some(Attachment::Released) => Reason::Found(finding::Reason::Released),
            None => Reason::Found(finding::Reason::NoInterface),
        };
        found.entry(reason).or_default().push(pod);
    }
    let name = |pod: &&Pod| format!("{}/{}", pod.namespace, pod.name);
    let told = |(reason, pods): (Reason, Vec<&Pod>)| Unfiltered {
        reason: reason.to_string(),
        pods: i32::try_from(pods.len()).unwrap_or(i32::MAX),
        names: pods.iter().take(NAMES).map(name).collect(),
    };
    found.into_iter().map(told).collect()
}

/// The pods whose groups the cloud does not hold as desired.
struct Lacking {
    underway: BTreeSet<PodIndex>,
    held: BTreeSet<PodIndex>,
}

impl Lacking {
    fn of(round: &Round) -> Self {
        let Plan { target, held, .. } = &*round.remaining;
        let Touched { groups, interfaces, acls } = Touched::by(round.remaining.steps());
        let carried = |groups: &BTreeSet<GroupNumber>, interfaces: &BTreeSet<InterfaceId>| {
            if groups.is_empty() && interfaces.is_empty() {
                return BTreeSet::new();
            }
            let is_of = |key: &GroupKey| match key {
                GroupKey::Ours(number) => groups.contains(number),
                GroupKey::Foreign(_) => false,
            };
            let touches = |id: &InterfaceId| {
                let worn = target.interfaces.get(id);
                interfaces.contains(id) || worn.is_some_and(|worn| worn.iter().any(is_of))
            };
            let pods = round.inputs.inventory.pods.iter().enumerate();
            let touched = pods.filter(|(_, pod)| pod.interface.as_ref().is_some_and(touches));
            touched.map(|(index, _)| PodIndex(index)).collect()
        };
        let mut underway = carried(&groups, &interfaces);
        if acls {
            underway.extend(round.inputs.inventory.pods_in_subnets());
        }
        Self { underway, held: carried(&held.groups, &held.interfaces) }
    }

    /// Whether the cloud holds what a policy says of these pods.
    fn programmed(
        &self,
        pods: &[PodIndex],
        findings: &[&Finding],
        round: &Round,
    ) -> Result<(), Undone> {
        let undone = undone(round.holdup.as_ref());
        if let Undone::Unknown(Said { reason: Reason::StaleCache | Reason::CloudUnread, .. }) =
            undone
        {
            return Err(undone);
        }
        let mut found = findings.iter().map(|finding| said(finding));
        if let Some(said) = found.find(|said| said.reason == Reason::SHORT) {
            return Err(Undone::Stalled(said));
        }
        if pods.iter().any(|pod| self.held.contains(pod)) {
            let breaches = round.remaining.held.breaches.iter().map(ToString::to_string);
            let message = breaches.collect::<Vec<_>>().join("; ");
            let message =
                format!("what was in force stays, since no way keeps to the quotas: {message}");
            return Err(Undone::Stalled(Said { reason: Reason::SHORT, message }));
        }
        if pods.iter().any(|pod| self.underway.contains(pod)) { Err(undone) } else { Ok(()) }
    }
}

/// What it means for what is not done that a round did not come to its end.
pub(crate) fn undone(holdup: Option<&Holdup>) -> Undone {
    let said = |reason, message: &str| Said { reason, message: message.to_owned() };
    match holdup {
        Some(Holdup::Stale(message)) => {
            let message = format!("the cluster is not seen as it is: {message}");
            Undone::Unknown(said(Reason::StaleCache, &message))
        }
        Some(Holdup::Unread(message)) => Undone::Unknown(said(Reason::CloudUnread, message)),
        Some(Holdup::Observing) => {
            let message = "the configuration says `mode: Observe`: nothing is written to the cloud";
            Undone::Unknown(said(Reason::Observing, message))
        }
        Some(Holdup::Paused) => {
            let message =
                format!("the MoatInstallation says to pause by the annotation `{PAUSED}`");
            Undone::Stalled(said(Reason::Paused, &message))
        }
        Some(Holdup::ChangeHeld(held)) => {
            Undone::Stalled(said(Reason::ChangeHeld, &held.to_string()))
        }
        Some(Holdup::Refused(message)) => Undone::Stalled(said(Reason::CloudRefused, message)),
        Some(Holdup::Pending) | None => {
            Undone::Underway(said(Reason::Pending, "the cloud is being changed"))
        }
    }
}

#[cfg(test)]
mod tests {
    use moat_core::compile::RuleReason;
    use moat_core::firewall::{Peer, Rule};
    use moat_core::net::Shape;
    use moat_core::policy::{Direction, Kind};

    use super::*;

    #[test]
    fn a_policy_lives_in_groups_and_network_acls() {
        let policy = |name: &str| ObjectRef {
            kind: Kind::NetworkPolicy,
            namespace: Some("shop".into()),
            name: name.into(),
        };
        let (web, closed) = (policy("web"), policy("closed"));
        let rule = |number: u32, direction| {
            let number = GroupNumber(number.try_into().expect("it is not zero"));
            let peer = Peer::Group(GroupKey::Ours(number));
            let reason = RuleReason { serves: [web.clone()].into(), witness: None };
            ((number, Rule { direction, peer, shape: Shape::All }), reason)
        };
        let deny = |acl: &str, entry: &str, serves: &[&ObjectRef]| {
            let entry = entry.parse().expect("an entry");
            let serves = serves.iter().map(|policy| (*policy).clone()).collect();
            ((AclName(acl.into()), Direction::Egress, entry), serves)
        };
        let desired = Desired {
            reasons: [
                rule(1, Direction::Ingress),
                rule(1, Direction::Egress),
                rule(2, Direction::Ingress),
            ]
            .into(),
            denies: [
                deny("pods", "deny 10.0.0.0/8 tcp/443", &[&web, &closed]),
                deny("pods", "deny 172.16.0.0/12 tcp/443", &[&web]),
                deny("others", "deny 10.0.0.0/8 tcp/443", &[&web]),
            ]
            .into(),
            ..Desired::default()
        };
        let told = sizes(&desired).into_iter().map(|(policy, size)| {
            (&*policy.name, [size.groups.len(), size.rules, size.acls.len(), size.entries])
        });
        assert_eq!(told.collect::<Vec<_>>(), [("closed", [0, 0, 1, 1]), ("web", [2, 3, 2, 3])]);
    }
}
