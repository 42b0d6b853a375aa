//! Why policies and cloud differ at one end, and which object is told.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::HashMap;
use super::cohort::{Carrier, Cohort, CohortId};
use super::concession::{Rung, Shortage};
use super::meaning::Meaning;
use crate::finding::{Effect, Reason};
use crate::net::{AddressSet, Intervals, ServiceSet, Transport};
use crate::policy::{Action, Direction, Kind, ObjectRef, Rule, ServiceMatch, Services, Word};
use crate::settings::Settings;

/// The other end of a difference.
#[derive(Clone, Debug)]
pub(crate) enum Remote {
    /// Addresses that no pod bears.
    Addresses {
        /// Whether no group filters them.
        platform: bool,
        /// The addresses.
        addresses: AddressSet,
    },
    /// Pods.
    Pods {
        /// What was short if they gave up being named, to fit a quota.
        nameless: Option<Shortage>,
        /// Whether others claim their addresses, too.
        disputed: bool,
    },
}

/// Who is told of a difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Told {
    /// A policy, by its place.
    Policy(u32),
    /// A rule of a policy, by its path.
    Rule(u32, Arc<str>),
    /// Groups of others.
    Groups(ObjectRef),
    /// The VPC: no policy can change it.
    Vpc,
}

/// One reason of a difference: who is told, the reason, and the services that it explains.
pub(crate) type Blamed = (Told, Reason, ServiceSet);

/// The rules of each policy and direction that name ports of sctp, with what of it they explain.
type SctpRules = HashMap<(u32, Direction), Vec<(Arc<str>, ServiceSet)>>;

/// Finds the reasons.
pub(crate) struct Blame<'m, 'a> {
    meaning: &'m Meaning<'a>,
    sctp: SctpRules,
}

impl Remote {
    /// What was short for those who gave up being named.
    pub(crate) const fn shortage(&self) -> Option<Shortage> {
        match self {
            Self::Pods { nameless, .. } => *nameless,
            Self::Addresses { .. } => None,
        }
    }
}

impl<'m, 'a> Blame<'m, 'a> {
    /// For these policies.
    pub(crate) fn new(meaning: &'m Meaning<'a>) -> Self {
        let mut sctp = SctpRules::default();
        for (index, policy) in (0..).zip(meaning.policies) {
            for direction in Direction::BOTH {
                let rules = policy.rules(direction).unwrap_or_default();
                for rule in rules {
                    if let Some(explained) = sctp_ports(rule) {
                        let here = sctp.entry((index, direction)).or_default();
                        here.push((rule.path.clone(), explained));
                    }
                }
            }
        }
        Self { meaning, sctp }
    }

    /// The reasons of a difference at the end of a cohort's pods.
    pub(crate) fn of(
        &self,
        id: CohortId,
        cohort: &Cohort,
        direction: Direction,
        effect: Effect,
        remote: &Remote,
    ) -> Vec<Blamed> {
        let governing = self.meaning.programs.governing(id, direction);
        let all = ServiceSet::all();
        let reason = match (effect, cohort.untouchable(), remote) {
            (
                Effect::NotEnforced | Effect::Ignored,
                _,
                Remote::Addresses { platform: true, .. },
            ) => {
                return vec![(Told::Vpc, Reason::NeverFiltered, all)];
            }
            (Effect::NotEnforced | Effect::Ignored, Some(reason), _) => reason,
            (Effect::NotEnforced | Effect::Ignored, None, _) => Reason::GroupKept,
            (Effect::Narrower, untouchable, _)
                if untouchable.is_some() || self.meaning.granted(id, direction).is_none() =>
            {
                return vec![(Told::Groups(prior(cohort)), Reason::PriorGroups, all)];
            }
            (Effect::Narrower, _, _) => return self.narrower(id, cohort, direction, remote),
        };
        policies(governing, reason, &all)
    }

    /// Why rules say less than policies do: sctp has no ports; a quota; subnets taken out; one reference for two families.
    fn narrower(
        &self,
        id: CohortId,
        cohort: &Cohort,
        direction: Direction,
        remote: &Remote,
    ) -> Vec<Blamed> {
        let mut governing = self.meaning.programs.governing(id, direction);
        if governing.is_empty() {
            // A sealed pod is closed in both directions on behalf of the policies of the other one.
            governing = self.meaning.programs.governing(id, direction.opposite());
        }
        let mut rest = ServiceSet::all();
        let mut blamed = Vec::new();
        for index in governing {
            for (path, explained) in self.sctp.get(&(*index, direction)).into_iter().flatten() {
                rest = rest.difference(explained);
                let told = Told::Rule(*index, path.clone());
                blamed.push((told, Reason::SctpPort, explained.clone()));
            }
        }
        let given_up = cohort.concession.of(direction);
        let carved = self.meaning.granted(id, direction).map(|(_, grant)| &grant.carved);
        let reason = match remote {
            Remote::Pods { nameless: Some(_), .. } => Reason::QuotaExceeded,
            Remote::Pods { disputed: true, .. } => Reason::DuplicateAddress,
            _ if given_up.rung != Rung::Exact => Reason::QuotaExceeded,
            Remote::Addresses { addresses, .. }
                if carved.is_some_and(|carved| carved.contains_all(addresses)) =>
            {
                Reason::UndeclaredPodSubnets
            }
            Remote::Pods { .. } if carved.is_some_and(|carved| !carved.is_empty()) => {
                Reason::FamilyMismatch
            }
            Remote::Addresses { .. } | Remote::Pods { .. } => Reason::QuotaExceeded,
        };
        let left_out =
            |index: &&u32| given_up.rung == Rung::Accepts && given_up.without.contains(index);
        let left_out: Vec<u32> = governing.iter().filter(left_out).copied().collect();
        let responsible = if left_out.is_empty() { governing } else { &left_out };
        blamed.extend(policies(responsible, reason, &rest));
        blamed
    }

    /// The object and the field of whom is told.
    pub(crate) fn object(&self, told: Told) -> Option<(ObjectRef, Arc<str>)> {
        let policy = |index: u32| {
            self.meaning.policies.get(index as usize).map(|policy| policy.object.clone())
        };
        Some(match told {
            Told::Policy(index) => (policy(index)?, Arc::from("")),
            Told::Rule(index, path) => (policy(index)?, path),
            Told::Groups(object) => (object, Arc::from("")),
            Told::Vpc => (ObjectRef::vpc(), Arc::from("")),
        })
    }
}

fn policies(indexes: &[u32], reason: Reason, services: &ServiceSet) -> Vec<Blamed> {
    indexes.iter().map(|index| (Told::Policy(*index), reason, services.clone())).collect()
}

/// What to tell the reader of a finding: what happens, and what to do.
pub(crate) fn advice(reason: Reason) -> &'static str {
    const ADVICE: &[(Reason, &str)] = &[
        (
            Reason::SctpPort,
            "security groups have no ports for sctp, so these flows stay closed; allow sctp as a whole, or use tcp or udp",
        ),
        (
            Reason::NeverFiltered,
            "no security group filters the platform's resolver, metadata, time and licence addresses: what \
             policies deny there passes",
        ),
        (
            Reason::UndeclaredPodSubnets,
            "pods that must stay out share wide address blocks with others, so the VPC's blocks are closed for addresses \
             that no pod bears; declare `podSubnets` to make this exact",
        ),
        (
            Reason::FamilyMismatch,
            "the policy tells a pod's two addresses apart, which one reference cannot: what only one of them may do stays \
             closed",
        ),
        (
            Reason::DuplicateAddress,
            "another pod claims the same address, and only what both of them may passes there; delete the pod that is gone",
        ),
        (
            Reason::SharedInterface,
            "the groups of interfaces that carry several pods are left alone, and what the policy denies passes them: give the \
             pods interfaces of their own; a pod that a SecurityGroupPolicy selects says by an event why it has none",
        ),
        (
            Reason::FixedInterface,
            "the groups of the pods' interfaces cannot be changed, and what the policy denies passes",
        ),
        (
            Reason::Released,
            "the annotation `moat.dev/release` asks that Moat let go of the pods, and what the policy denies passes: take it off",
        ),
        (Reason::NoInterface, "the cloud has no interface for the pods, so nothing filters them"),
        (
            Reason::GroupKept,
            "a group that `keepGroups` lists lets through more than the policy does",
        ),
        (
            Reason::PriorGroups,
            "where no policy governs a direction, this group of others lets through less than everything",
        ),
    ];
    let found = ADVICE.iter().find(|(of, _)| *of == reason);
    found.map_or(reason.describe().trim(), |(_, advice)| advice)
}

/// What to tell the reader about a quota, with the numbers: how far down the ladder it leads, and what to do.
pub(crate) fn out_of_quota(rung: Rung, shortage: Shortage, settings: &Settings) -> String {
    let quotas = settings.quotas;
    let short = match shortage {
        Shortage::Interface { needs, room } => format!(
            "the exact rules need {needs} groups of {} rules on an interface that has room for {room}",
            quotas.rules_per_group
        ),
        Shortage::Namespace => {
            let budget = settings.groups_per_namespace.map_or(usize::MAX, NonZeroUsize::get);
            format!(
                "a namespace needs more groups than the {budget} of `quotas.groupsPerNamespace`"
            )
        }
        Shortage::Account => format!("more than {} groups are needed", quotas.groups),
    };
    let closed = match rung {
        Rung::OtherProtocols => {
            "where everything but something is asked, protocols other than tcp, udp and ICMP stay closed"
        }
        Rung::UnnamedTypes => {
            "where everything but some ICMP is asked, ICMP types without a name stay closed, and protocols other than tcp and udp"
        }
        Rung::CutTypes => {
            "where everything but some ICMP is asked, ICMP types of which a code is denied stay closed whole, as do types \
             without a name and protocols other than tcp and udp"
        }
        Rung::CutIcmp => {
            "where everything but some ICMP is asked, all of ICMP stays closed, and protocols other than tcp and udp"
        }
        Rung::Accepts => "Accept rules of the policy are left out",
        Rung::Exact | Rung::Everything => "these flows stay closed",
    };
    let has_run_out = match shortage {
        Shortage::Account | Shortage::Namespace => true,
        Shortage::Interface { .. } => false,
    };
    let instead = match rung {
        Rung::OtherProtocols | Rung::UnnamedTypes | Rung::CutTypes | Rung::CutIcmp => {
            "accept what is needed instead of denying what is not"
        }
        Rung::Exact | Rung::Everything if has_run_out => "tell fewer pods apart",
        Rung::Exact | Rung::Accepts | Rung::Everything => "ask for less",
    };
    let limit = match shortage {
        Shortage::Namespace => "it",
        Shortage::Account | Shortage::Interface { .. } => "the quotas",
    };
    format!("{short}, so {closed}; raise {limit} or {instead}")
}

/// The groups of others on a cohort, as an object to tell about.
fn prior(cohort: &Cohort) -> ObjectRef {
    let names: Vec<&str> = match &cohort.carrier {
        Carrier::Programmable(prior) | Carrier::Untouchable(_, prior) => {
            prior.iter().map(|group| &*group.0).collect()
        }
        Carrier::Unknown => Vec::new(),
    };
    ObjectRef {
        kind: Kind::SecurityGroup,
        namespace: None,
        name: Word::from(if names.is_empty() { "none".to_owned() } else { names.join(",") }),
    }
}

/// What of sctp stays closed because a rule names ports of it: those that it accepts; any, if it cuts some out.
fn sctp_ports(rule: &Rule) -> Option<ServiceSet> {
    let Services::AnyOf(list) = &rule.services else { return None };
    let all = || ServiceSet::ports(Transport::Sctp, Intervals::full());
    let mut explained = ServiceSet::empty();
    for one in list {
        let ports = match one {
            ServiceMatch::Set(set) if set.sctp.is_empty() || set.sctp.is_full() => continue,
            ServiceMatch::Set(set) if rule.action == Action::Accept => {
                ServiceSet::ports(Transport::Sctp, set.sctp.clone())
            }
            ServiceMatch::Named { transport: None | Some(Transport::Sctp), .. }
            | ServiceMatch::Set(_) => all(),
            ServiceMatch::Named { transport: Some(Transport::Tcp | Transport::Udp), .. } => {
                continue;
            }
        };
        explained = explained.union(&ports);
    }
    (!explained.is_empty()).then_some(explained)
}
