//! Policy objects of four kinds, read by one reader into the one policy model.
//!
//! The API server's defaults and validation are applied here, since a file has passed no server. What is not
//! understood fails closed, rule by rule: an Accept rule matches nothing, a Deny or Pass rule denies everything in its
//! place, and isolation stays (DESIGN §5).

mod address;
mod peer;
mod service;

use std::sync::Arc;

use moat_core::finding::{Effect, Reason};
use moat_core::policy::{
    Action, Direction, Kind, Namespaces, ObjectRef, Peers, PodSelector, Policy, Rule, Selector,
    Services, Subject, Tier,
};

use serde_json::{Map, Value};

use crate::reader::{Mark, Node, Reader};

/// What sets the four kinds apart.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// The API group and version.
    pub(crate) api_version: &'static str,
    /// The kind.
    pub(crate) kind: Kind,
    /// Whether objects live in a namespace and join the NetworkPolicy tier.
    pub(crate) namespaced: bool,
    /// The field that lists a rule's services.
    services: &'static str,
    /// What the CRD takes of rules in a direction, and of peers and protocols in a rule.
    most: usize,
    /// The members of one of `protocols`.
    protocols: &'static [&'static str],
    /// The members of a cluster kind's ingress peer.
    ingress_peer: &'static [&'static str],
}

/// Every kind of policy that Moat reads.
pub(crate) const DIALECTS: [Dialect; 4] = [
    Dialect {
        api_version: "networking.k8s.io/v1",
        kind: Kind::NetworkPolicy,
        namespaced: true,
        services: "ports",
        most: usize::MAX,
        protocols: &[],
        ingress_peer: &[],
    },
    Dialect {
        api_version: "policy.networking.k8s.io/v1alpha2",
        kind: Kind::ClusterNetworkPolicy,
        namespaced: false,
        services: "protocols",
        most: 25,
        protocols: &["tcp", "udp", "sctp", "destinationNamedPort"],
        ingress_peer: &["namespaces", "pods"],
    },
    Dialect {
        api_version: "moat.dev/v1alpha1",
        kind: Kind::VpcNetworkPolicy,
        namespaced: true,
        services: "protocols",
        most: 100,
        protocols: &["tcp", "udp", "sctp", "icmp", "icmpv6", "destinationNamedPort"],
        ingress_peer: &[],
    },
    Dialect {
        api_version: "moat.dev/v1alpha1",
        kind: Kind::ClusterVpcNetworkPolicy,
        namespaced: false,
        services: "protocols",
        most: 25,
        protocols: &["tcp", "udp", "sctp", "icmp", "icmpv6", "destinationNamedPort"],
        ingress_peer: &["namespaces", "pods", "networks"],
    },
];

impl Dialect {
    /// The kind of policy of an API version and a kind.
    pub(crate) fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        DIALECTS.iter().find(|one| one.api_version == api_version && one.kind.as_str() == kind)
    }

    const fn peers(direction: Direction) -> &'static str {
        match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        }
    }

    const fn rules(direction: Direction) -> &'static str {
        match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }

    const fn members(&self, direction: Direction) -> &'static [&'static str] {
        match direction {
            Direction::Ingress => self.ingress_peer,
            Direction::Egress => &["namespaces", "pods", "networks", "nodes", "domainNames"],
        }
    }
}

/// One policy object being read.
struct PolicyReader<'r> {
    reader: &'r mut Reader,
    dialect: &'static Dialect,
    object: ObjectRef,
    /// Something around the rules was not understood, so all of them fail closed.
    fails: bool,
}

impl Reader {
    /// The policy that an object of this dialect asks for.
    pub(crate) fn policy(&mut self, root: &Node<'_>, dialect: &'static Dialect) -> Policy {
        let object = self.object.clone();
        PolicyReader { reader: self, dialect, object, fails: false }.policy(root)
    }
}

impl PolicyReader<'_> {
    fn policy(mut self, root: &Node<'_>) -> Policy {
        let start = self.reader.mark();
        self.reader.fields(root, &["apiVersion", "kind", "metadata", "spec", "status"]);
        let nothing = Value::Object(Map::new());
        let spec = &root.get_or("spec", &nothing);
        if self.dialect.namespaced {
            self.reader.fields(spec, &["podSelector", "policyTypes", "ingress", "egress"]);
            self.fail_every_rule(start);
            self.namespaced(spec)
        } else {
            self.reader.fields(spec, &["tier", "priority", "subject", "ingress", "egress"]);
            self.fail_every_rule(start);
            self.cluster(spec)
        }
    }

    fn fail_every_rule(&mut self, since: Mark) {
        self.fails |= self.reader.failed_since(since);
        self.reader.conclude(since, Effect::Narrower, "every rule of the policy fails closed");
    }

    // ---- the two families of kinds

    fn namespaced(mut self, spec: &Node<'_>) -> Policy {
        let start = self.reader.mark();
        let pods = spec.get("podSelector").map(|selector| self.reader.selector(&selector));
        let mut pods = pods.unwrap_or_default();
        if self.reader.failed_since(start) {
            (pods, self.fails) = (Selector::everything(), true);
        }
        let consequence = "the policy isolates its whole namespace and its rules match nothing";
        self.reader.conclude(start, Effect::Narrower, consequence);

        let types = self.policy_types(spec);
        let namespace =
            self.object.namespace.clone().unwrap_or_else(|| self.reader.word("default"));
        let [ingress, egress] = Direction::BOTH.map(|direction| self.rules(spec, direction));
        // `policyTypes` absent: Ingress always, Egress if there are egress rules (NetworkPolicySpec).
        let isolates = |direction: Direction, by_default: bool| match &types {
            Some(types) => types.contains(&direction),
            None => by_default || !spec.is_object(),
        };
        Policy {
            tier: Tier::NetworkPolicy,
            subject: Subject::Pods(PodSelector { namespaces: Namespaces::Named(namespace), pods }),
            ingress: isolates(Direction::Ingress, true)
                .then_some(ingress)
                .map(Option::unwrap_or_default),
            egress: isolates(
                Direction::Egress,
                egress.as_ref().is_some_and(|rules| !rules.is_empty()),
            )
            .then_some(egress)
            .map(Option::unwrap_or_default),
            object: self.object,
        }
    }

    /// The directions that the policy isolates; none if the default holds. What cannot be read isolates both.
    fn policy_types(&mut self, spec: &Node<'_>) -> Option<Vec<Direction>> {
        let list = spec.get("policyTypes")?;
        self.reader.at_most(&list, Direction::BOTH.len());
        let start = self.reader.mark();
        let mut types = Vec::new();
        for item in self.reader.list(&list) {
            match self.reader.text(&item) {
                Some("Ingress") => types.push(Direction::Ingress),
                Some("Egress") => types.push(Direction::Egress),
                Some(other) => {
                    let message = format!("`{other}` is neither `Ingress` nor `Egress`");
                    self.reader.problem(&item, Reason::InvalidField, message);
                }
                None => {}
            }
        }
        if self.reader.failed_since(start) {
            types = Direction::BOTH.to_vec();
        }
        self.reader.conclude(start, Effect::Narrower, "the policy isolates in both directions");
        (!types.is_empty()).then_some(types)
    }

    fn cluster(mut self, spec: &Node<'_>) -> Policy {
        let start = self.reader.mark();
        let tier = self.tier(spec);
        self.fail_every_rule(start);

        let start = self.reader.mark();
        let subject = self.subject(spec);
        let failed = self.reader.failed_since(start);
        self.reader.conclude(start, Effect::NotEnforced, "the policy selects nobody");
        let subject = subject.filter(|_| !failed).map_or(Subject::Nobody, Subject::Pods);

        let [ingress, egress] = Direction::BOTH
            .map(|direction| self.rules(spec, direction).filter(|rules| !rules.is_empty()));
        Policy { object: self.object, tier, subject, ingress, egress }
    }

    /// Tier and priority. A policy whose place is unknown, and whose rules fail closed, is asked before all others:
    /// anywhere else an Accept of another policy might come before its Deny.
    fn tier(&mut self, spec: &Node<'_>) -> Tier {
        let priority = spec.get("priority").and_then(|at| self.reader.number(&at, 0..=1000));
        if spec.get("priority").is_none() {
            self.reader.missing(spec, "priority", "write a number from 0, asked first, to 1000");
        }
        let tier = spec.get("tier");
        if tier.is_none() {
            self.reader.missing(spec, "tier", "write `Admin` or `Baseline`");
        }
        let name = tier.as_ref().and_then(|at| self.reader.text(at));
        match (name, priority) {
            (Some("Admin"), Some(priority)) => Tier::Admin { priority },
            (Some("Baseline"), Some(priority)) => Tier::Baseline { priority },
            (Some("Baseline"), None) => Tier::Baseline { priority: 0 },
            (name, _) => {
                if let Some((at, name)) = tier.zip(name).filter(|(_, name)| *name != "Admin") {
                    let message = format!("`{name}` is neither `Admin` nor `Baseline`");
                    self.reader.problem(&at, Reason::InvalidField, message);
                }
                Tier::Admin { priority: 0 }
            }
        }
    }

    fn subject(&mut self, spec: &Node<'_>) -> Option<PodSelector> {
        let Some(at) = spec.get("subject") else {
            self.reader.missing(spec, "subject", "give `namespaces` or `pods`");
            return None;
        };
        let (member, value) = self.reader.one_of(&at, &["namespaces", "pods"])?;
        Some(self.reader.cluster_pods(member, &value))
    }

    // ---- rules

    /// The rules of a direction; none if the field is absent. A list that cannot be read is one rule that cannot.
    fn rules(&mut self, spec: &Node<'_>, direction: Direction) -> Option<Vec<Rule>> {
        let list = spec.get(Dialect::rules(direction))?;
        if !list.value.is_array() {
            let start = self.reader.mark();
            self.reader.wrong_type(&list, "a list of rules");
            return Some(vec![self.failed(&list, self.unreadable_action(), None, start)]);
        }
        self.reader.at_most(&list, self.dialect.most);
        Some(list.items().map(|rule| self.rule(&rule, direction)).collect())
    }

    fn rule(&mut self, at: &Node<'_>, direction: Direction) -> Rule {
        let start = self.reader.mark();
        let (peers, services) = (Dialect::peers(direction), self.dialect.services);
        let (action, name) = if self.dialect.namespaced {
            self.reader.fields(at, &[peers, services]);
            (Some(Action::Accept), None)
        } else {
            self.reader.fields(at, &["name", "action", peers, services]);
            (self.action(at), self.name(at))
        };
        if !at.is_object() {
            return self.failed(at, self.unreadable_action(), None, start);
        }
        let namespace = if self.dialect.namespaced { self.object.namespace.clone() } else { None };
        let peers = self.reader.peers(at, direction, self.dialect, namespace.as_ref());
        let services = self.reader.services(at, self.dialect);
        match action {
            Some(action) if !self.fails && !self.reader.failed_since(start) => {
                Rule { path: at.path(), name, action, peers, services, failed_closed: false }
            }
            action => self.failed(at, action.unwrap_or(Action::Deny), name, start),
        }
    }

    /// What a rule does that cannot be read at all.
    const fn unreadable_action(&self) -> Action {
        if self.dialect.namespaced { Action::Accept } else { Action::Deny }
    }

    fn action(&mut self, at: &Node<'_>) -> Option<Action> {
        let Some(action) = at.get("action") else {
            self.reader.missing(at, "action", "write `Accept`, `Deny` or `Pass`");
            return None;
        };
        match self.reader.text(&action)? {
            "Accept" => Some(Action::Accept),
            "Deny" => Some(Action::Deny),
            "Pass" => Some(Action::Pass),
            other => {
                let message = format!("`{other}` is none of `Accept`, `Deny` and `Pass`");
                self.reader.problem(&action, Reason::InvalidField, message);
                None
            }
        }
    }

    /// A rule's name, which means nothing: a bad one spoils no rule.
    fn name(&mut self, at: &Node<'_>) -> Option<Arc<str>> {
        let name = at.get("name")?;
        let text = name.value.as_str();
        if text.is_none_or(|text| text.chars().count() > 100) {
            let message = "a rule's name is a string of at most 100 characters: shorten it";
            self.reader.note(&name, Reason::InvalidField, message);
        }
        text.map(Arc::from)
    }

    /// The rule that stands where one was not understood.
    fn failed(
        &mut self,
        at: &Node<'_>,
        action: Action,
        name: Option<Arc<str>>,
        since: Mark,
    ) -> Rule {
        let path = at.path();
        match action {
            Action::Accept => {
                self.reader.conclude(since, Effect::Narrower, "the rule matches nothing");
                let (peers, services) = (Peers::AnyOf(Vec::new()), Services::AnyOf(Vec::new()));
                Rule { path, name, action, peers, services, failed_closed: false }
            }
            Action::Deny | Action::Pass => {
                self.reader.conclude(
                    since,
                    Effect::Narrower,
                    "the rule denies everything in its place",
                );
                let (action, peers, services) = (Action::Deny, Peers::Anyone, Services::Every);
                Rule { path, name, action, peers, services, failed_closed: true }
            }
        }
    }
}
