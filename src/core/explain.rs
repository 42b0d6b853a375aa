//! Why one flow passes or not: what the policies say, what the cloud does, and what explains a difference.
//!
//! [`Explainer::compare`] answers many flows; [`Explainer::explain`] tells one in full, as a value that prints itself
//! for a person on call and serialises for machines.

mod causes;
mod crossing;
mod explanation;
mod text;

use std::borrow::Cow;
use std::sync::Arc;

pub use crossing::{Author, Crossing, Guarded};
pub use explanation::{Answer, Asker, Decided, End, Explanation, Filtered};

use crate::compile::{Desired, RuleReason};
use crate::drift;
use crate::finding::{Effect, Finding, Reason};
use crate::firewall::{self, Cloud, GroupKey, Naming, Peer, Rule, State};
use crate::flow::{Endpoint, Flow};
use crate::inventory::{InterfaceId, Inventory};
use crate::net::Family;
use crate::policy::{Direction, Kind, ObjectRef, Policy};
use crate::provider::Observed;
use crate::semantics::{self, Decision, Semantics};
use crate::settings::Settings;

use causes::Causes;

/// What an explanation draws on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What is asked for.
    pub policies: &'a [Policy],
    /// The owner tag of the groups, which is in their names.
    pub cluster: &'a str,
    /// Whom it is about.
    pub inventory: &'a Inventory,
    /// What the operator decides.
    pub settings: &'a Settings,
    /// What policies and settings come to.
    pub desired: &'a Desired,
    /// What the provider holds.
    pub held: &'a Observed,
    /// What it is to hold at the end (`Plan::target`).
    pub target: &'a State,
    /// What is known to differ: the findings of reading and of compiling.
    pub findings: &'a [Finding],
}

/// Explains flows. Made once, asked for many.
#[derive(Debug)]
pub struct Explainer<'a> {
    evidence: Evidence<'a>,
    semantics: Semantics<'a>,
    held: Cloud<'a>,
    target: Cloud<'a>,
    causes: Causes<'a>,
}

/// What policies and cloud say of one flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison<'a> {
    /// What the policies say.
    pub policies: semantics::Verdict<'a>,
    /// What the cloud does.
    pub cloud: firewall::Verdict<'a>,
    /// Why the two differ; empty where they do not.
    pub findings: Vec<Cow<'a, Finding>>,
}

impl<'a> Explainer<'a> {
    /// Indexes what there is to explain with.
    #[must_use]
    pub fn new(evidence: Evidence<'a>) -> Self {
        let Evidence { policies, inventory, settings, held, target, findings, .. } = evidence;
        Self {
            evidence,
            semantics: Semantics::new(policies, inventory, settings),
            held: Cloud::new(&held.state, inventory),
            target: Cloud::new(target, inventory),
            causes: Causes::new(findings),
        }
    }

    /// What policies and cloud say of a flow, and the findings that explain a difference: the flow is in a finding's
    /// boxes, someone else keeps the rule that carries it, or the cloud does not hold yet what it is to hold.
    #[must_use]
    pub fn compare(&self, flow: &Flow) -> Comparison<'_> {
        let (policies, cloud) = (self.semantics.verdict(flow), self.held.verdict(flow));
        let effect = match (policies.allowed(), cloud.allows()) {
            (true, false) => Some(Effect::Narrower),
            (false, true) => Some(Effect::NotEnforced),
            (true, true) | (false, false) => None,
        };
        let findings = effect.map_or_else(Vec::new, |effect| {
            if self.target.allows(flow) == cloud.allows() {
                let kept = self.kept(&cloud, flow).filter(|finding| finding.effect == effect);
                let known = self.causes.of(flow, effect).map(Cow::Borrowed);
                known.chain(kept.map(Cow::Owned)).collect()
            } else {
                vec![Cow::Owned(self.not_applied(flow, effect))]
            }
        });
        Comparison { policies, cloud, findings }
    }

    /// Why a flow passes or not, in full.
    #[must_use]
    pub fn explain(&self, flow: &Flow) -> Explanation {
        let Comparison { policies, cloud, findings } = self.compare(flow);
        let end = |decision: &Decision<'_>, end: firewall::End<'_>, direction| End {
            policies: Answer::of(decision.allowed()),
            decided: Decided::of(decision),
            cloud: Answer::of(end.allows()),
            filtered: self.filtered(flow, end, direction),
        };
        let inventory = self.evidence.inventory;
        Explanation {
            from: flow.source.named(inventory),
            to: flow.destination.named(inventory),
            service: flow.service.to_string(),
            family: match flow.family {
                Family::V4 => 4,
                Family::V6 => 6,
            },
            policies: Answer::of(policies.allowed()),
            cloud: Answer::of(cloud.allows()),
            egress: end(&policies.egress, cloud.egress, Direction::Egress),
            ingress: end(&policies.ingress, cloud.ingress, Direction::Ingress),
            crossings: self.crossings(flow),
            findings: findings.into_iter().map(Cow::into_owned).collect(),
        }
    }

    /// What the cloud does at one end, with the policies that asked for it.
    fn filtered(&self, flow: &Flow, end: firewall::End<'_>, direction: Direction) -> Filtered {
        let (here, there) = match direction {
            Direction::Egress => (flow.source, flow.destination),
            Direction::Ingress => (flow.destination, flow.source),
        };
        let cluster = self.evidence.cluster;
        match end {
            firewall::End::Carried { group, rule } => {
                let reason = self.reason(rule, here, there);
                let serves = reason.map(|reason| reason.serves.to_vec()).unwrap_or_default();
                let (asker, rule) = match group {
                    GroupKey::Foreign(_) => (Asker::Others, rule.named(cluster)),
                    GroupKey::Ours(number) => {
                        let (held, key) = (self.evidence.held, (*number, rule.clone()));
                        let asker = match reason {
                            None if held.foreign_rules.contains(&key) => Asker::LoadBalancer,
                            None if held.unmarked.contains(&key) => Asker::Someone,
                            None => Asker::Nobody,
                            Some(_) if serves.is_empty() => Asker::Defaults,
                            Some(_) => Asker::Policies,
                        };
                        (asker, drift::spelled(held, &key, cluster))
                    }
                };
                Filtered::Rule { group: group.named(cluster), rule, asker, serves }
            }
            firewall::End::Closed => Filtered::Nothing {
                groups: self.held.worn_by(here).map(|group| group.named(cluster)).collect(),
            },
            firewall::End::Unfiltered(why) => Filtered::Unfiltered { why },
        }
    }

    /// Why a rule is there. Groups bear other numbers in the desired state than in the cloud, so the rule that says the
    /// same is looked for among the desired groups of both ends.
    fn reason(&self, rule: &Rule, here: Endpoint, there: Endpoint) -> Option<&'a RuleReason> {
        let Desired { state, reasons, .. } = self.evidence.desired;
        let worn = |end| self.interface(end).and_then(|interface| state.interfaces.get(interface));
        let same_peer = |wanted: &Peer| match (wanted, &rule.peer) {
            (Peer::Prefix(wanted), Peer::Prefix(held)) => wanted == held,
            (Peer::Group(wanted), Peer::Group(_)) => {
                worn(there).is_some_and(|groups| groups.contains(wanted))
            }
            (Peer::Prefix(_), Peer::Group(_)) | (Peer::Group(_), Peer::Prefix(_)) => false,
        };
        worn(here)?.iter().find_map(|group| {
            let GroupKey::Ours(number) = group else { return None };
            let same = state.groups.get(group)?.iter().filter(|wanted| {
                wanted.direction == rule.direction
                    && wanted.shape == rule.shape
                    && same_peer(&wanted.peer)
            });
            same.into_iter().find_map(|wanted| reasons.get(&(*number, wanted.clone())))
        })
    }

    fn interface(&self, end: Endpoint) -> Option<&'a InterfaceId> {
        match end {
            Endpoint::Pod(index) => self.evidence.inventory.pod(index)?.interface.as_ref(),
            Endpoint::Address(_) => None,
        }
    }

    /// The rules of others in groups of ours that carry a flow.
    fn kept(
        &self,
        cloud: &firewall::Verdict<'_>,
        flow: &Flow,
    ) -> impl Iterator<Item = Finding> + use<> {
        let Evidence { cluster, held, .. } = self.evidence;
        let finding = |end| {
            let key = match end {
                firewall::End::Carried { group: GroupKey::Ours(number), rule } => {
                    (*number, rule.clone())
                }
                firewall::End::Carried { .. }
                | firewall::End::Closed
                | firewall::End::Unfiltered(_) => return None,
            };
            let spelled =
                held.foreign_rules.get(&key).map(|key| drift::spelled(held, key, cluster));
            let finding = drift::foreign_rule(key.0, &spelled?, cluster);
            Some(Finding { witness: Some(*flow), ..finding })
        };
        [finding(cloud.egress), finding(cloud.ingress)].into_iter().flatten()
    }

    /// The cloud is not yet as it is to be: a finding about the pod at the end where it is not.
    fn not_applied(&self, flow: &Flow, effect: Effect) -> Finding {
        let (held, target) = (self.held.verdict(flow), self.target.verdict(flow));
        let leaves =
            |verdict: &firewall::Verdict<'_>| verdict.egress.allows() && verdict.leaves.allows();
        let end = if leaves(&held) == leaves(&target) { flow.destination } else { flow.source };
        let inventory = self.evidence.inventory;
        let object = match end {
            Endpoint::Pod(index) => inventory.pod(index).map(|pod| ObjectRef {
                kind: Kind::Pod,
                namespace: Some(pod.namespace.clone()),
                name: pod.name.clone(),
            }),
            Endpoint::Address(_) => None,
        };
        let does = match effect {
            Effect::Narrower => "drops this",
            Effect::NotEnforced | Effect::Ignored => "lets this through",
        };
        Finding {
            object: object.unwrap_or_else(ObjectRef::vpc),
            path: "".into(),
            reason: Reason::NotApplied,
            effect,
            message: format!(
                "the cloud does not hold yet what is asked for `{}` and {does}: apply the plan",
                end.named(inventory)
            )
            .into(),
            flows: Arc::default(),
            witness: Some(*flow),
            location: None,
        }
    }
}

#[cfg(test)]
mod tests;
