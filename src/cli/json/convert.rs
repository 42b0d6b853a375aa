//! From the core's types to the forms.

use moat_core::explain::{self, Decided, Filtered, Guarded};
use moat_core::finding;
use moat_core::flow;
use moat_core::inventory::Inventory;
use moat_core::net::Family;
use moat_core::policy::{self, Direction};

use super::{
    Construct, Crossing, DirectionForm, EffectForm, End, Explain, Finding, Flow, FlowSet, Location,
    Object, Verdict,
};
use crate::names;
use crate::session::Session;

impl Verdict {
    pub(crate) const fn of(allowed: bool) -> Self {
        if allowed { Self::Allow } else { Self::Deny }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl From<explain::Answer> for Verdict {
    fn from(answer: explain::Answer) -> Self {
        Self::of(answer == explain::Answer::Allow)
    }
}

impl Explain {
    pub(crate) fn of(explanation: &explain::Explanation, session: &Session) -> Self {
        let explain::Explanation { from, to, service, family, policies, cloud, .. } = explanation;
        let end = |end: &explain::End| End {
            policies: end.policies.into(),
            decision: end.decided.to_string(),
            decided_by: Construct::deciding(&end.decided, session),
            cloud: end.cloud.into(),
            filtered: end.filtered.to_string(),
            serves: match &end.filtered {
                Filtered::Rule { serves, .. } => serves.iter().map(Object::of).collect(),
                Filtered::Nothing { .. } | Filtered::Unfiltered { .. } => Vec::new(),
            },
        };
        Self {
            api_version: "moat.dev/explain/v1",
            flow: Flow {
                from: from.clone(),
                to: to.clone(),
                service: service.clone(),
                family: *family,
            },
            policies: (*policies).into(),
            cloud: (*cloud).into(),
            egress: end(&explanation.egress),
            ingress: end(&explanation.ingress),
            crossings: explanation.crossings.iter().map(Crossing::of).collect(),
            findings: Finding::all(&explanation.findings, &session.inventory),
        }
    }
}

impl Crossing {
    fn of(crossing: &explain::Crossing) -> Self {
        let explain::Crossing { reply, subnet, direction, cloud, guarded } = crossing;
        Self {
            reply: reply.clone(),
            subnet: subnet.clone(),
            direction: DirectionForm::of(*direction),
            cloud: (*cloud).into(),
            guarded: guarded.to_string(),
            serves: match guarded {
                Guarded::Entry { serves, .. } => serves.iter().map(Object::of).collect(),
                Guarded::FinalDeny { .. } | Guarded::Within | Guarded::ByNode => Vec::new(),
            },
        }
    }
}

impl Construct {
    /// The rule or the policies that decide; none where a setting does, or nothing.
    pub(crate) fn deciding(decided: &Decided, session: &Session) -> Vec<Self> {
        let construct = |object: &policy::ObjectRef, path: &str| Self {
            object: Object::of(object),
            path: path.into(),
            location: session.locate(object, path).as_ref().map(Location::of),
        };
        match decided {
            Decided::Rule { policy, path, .. } => vec![construct(policy, path)],
            Decided::Isolation { policies } => {
                policies.iter().map(|policy| construct(policy, "")).collect()
            }
            Decided::NodeTraffic
            | Decided::EssentialIcmp
            | Decided::OpenIcmp
            | Decided::Itself
            | Decided::NotAPod
            | Decided::Default => Vec::new(),
        }
    }
}

impl Finding {
    pub(crate) fn of(finding: &finding::Finding, inventory: &Inventory) -> Self {
        Self {
            object: Object::of(&finding.object),
            path: finding.path.clone(),
            reason: finding.reason.as_str(),
            effect: match finding.effect {
                finding::Effect::Narrower => EffectForm::Narrower,
                finding::Effect::NotEnforced => EffectForm::NotEnforced,
                finding::Effect::Ignored => EffectForm::Ignored,
            },
            message: finding.message.to_string(),
            flows: finding.flows.iter().map(|flows| FlowSet::of(flows, inventory)).collect(),
            witness: finding.witness.as_ref().map(|flow| Flow::of(flow, inventory)),
            location: finding.location.as_ref().map(Location::of),
        }
    }

    pub(crate) fn all(findings: &[finding::Finding], inventory: &Inventory) -> Vec<Self> {
        findings.iter().map(|finding| Self::of(finding, inventory)).collect()
    }
}

impl Object {
    pub(crate) fn of(object: &policy::ObjectRef) -> Self {
        Self {
            kind: object.kind.as_str(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        }
    }
}

impl Location {
    pub(crate) fn of(location: &finding::Location) -> Self {
        let finding::Location { file, line, column } = location;
        Self { file: file.clone(), line: *line, column: *column }
    }
}

impl Flow {
    pub(crate) fn of(flow: &flow::Flow, inventory: &Inventory) -> Self {
        Self {
            from: flow.source.named(inventory),
            to: flow.destination.named(inventory),
            service: flow.service.to_string(),
            family: family(flow.family),
        }
    }
}

const fn family(family: Family) -> u8 {
    match family {
        Family::V4 => 4,
        Family::V6 => 6,
    }
}

impl FlowSet {
    pub(crate) fn of(flows: &flow::FlowSet, inventory: &Inventory) -> Self {
        Self {
            from: names::members(&flows.sources, inventory),
            to: names::members(&flows.destinations, inventory),
            services: flows.services.to_string(),
            family: flows.family.map(family),
        }
    }
}

impl DirectionForm {
    pub(super) const fn of(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::Ingress,
            Direction::Egress => Self::Egress,
        }
    }
}
