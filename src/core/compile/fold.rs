//! The tiers of a program asked about one remote, as operations on sets of services.

use super::cohort::SetId;
use super::program::{AddressesId, Matcher, Program, Programs};
use crate::inventory::NamedPort;
use crate::net::{Intervals, Message, ServiceSet};
use crate::policy::Action;
use crate::settings::IcmpMode;

/// The other end of a flow, as programs see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote<'a> {
    /// The sets that select it and its named ports, if it is a pod.
    pub(crate) pod: Option<(&'a [SetId], &'a [NamedPort])>,
    /// The address sets that its address lies in, sorted.
    pub(crate) within: &'a [AddressesId],
}

/// Whether settings apply on top of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loosen {
    /// They do.
    BySettings,
    /// Policies alone.
    Never,
}

impl Matcher {
    fn matches(&self, remote: &Remote<'_>) -> Option<ServiceSet> {
        let within = self.addresses.is_some_and(|set| remote.within.binary_search(&set).is_ok());
        match remote.pod {
            Some((sets, ports))
                if self.anyone || self.pods.iter().any(|set| sets.binary_search(set).is_ok()) =>
            {
                Some(self.services_at(ports))
            }
            Some(_) => within.then(|| (*self.services).clone()),
            None => (self.anyone || within).then(|| (*self.services).clone()),
        }
    }
}

/// The services that pass between the owner of a program and one remote.
pub(crate) fn fold(
    programs: &Programs,
    program: &Program,
    remote: &Remote<'_>,
    loosen: Loosen,
) -> ServiceSet {
    let mut allowed = ServiceSet::empty();
    let mut undecided = ServiceSet::all();
    let mut passed = ServiceSet::empty();
    // What isolation or a Deny without protocols closes: essential ICMP passes through it.
    let mut mendable = ServiceSet::empty();
    for rule in program.admin.iter().flat_map(|list| programs.list(*list)) {
        let Some(services) = rule.matches(remote) else { continue };
        let matched = undecided.intersection(&services);
        undecided = undecided.difference(&services);
        match rule.action {
            Action::Accept => allowed = allowed.union(&matched),
            Action::Pass => passed = passed.union(&matched),
            Action::Deny if rule.spares_icmp => mendable = mendable.union(&matched),
            Action::Deny => {}
        }
    }
    undecided = undecided.union(&passed);
    if let Some(lists) = &program.accepts {
        let rules = lists.iter().flat_map(|list| programs.list(*list));
        for services in rules.filter_map(|rule| rule.matches(remote)) {
            allowed = allowed.union(&undecided.intersection(&services));
            undecided = undecided.difference(&services);
        }
        mendable = mendable.union(&undecided);
        if loosen == Loosen::BySettings {
            let open = opened_by_settings(programs, program, remote);
            allowed = allowed.union(&undecided.intersection(&open));
        }
    } else {
        for rule in program.baseline.iter().flat_map(|list| programs.list(*list)) {
            let Some(services) = rule.matches(remote) else { continue };
            let matched = undecided.intersection(&services);
            undecided = undecided.difference(&services);
            match rule.action {
                Action::Accept | Action::Pass => allowed = allowed.union(&matched),
                Action::Deny if rule.spares_icmp => mendable = mendable.union(&matched),
                Action::Deny => {}
            }
        }
        allowed = allowed.union(&undecided);
    }
    match loosen {
        Loosen::BySettings => allowed.union(&mendable.intersection(&essential(program.essential))),
        Loosen::Never => allowed,
    }
}

/// What settings open where isolation closes.
fn opened_by_settings(programs: &Programs, program: &Program, remote: &Remote<'_>) -> ServiceSet {
    let mut open = ServiceSet::empty();
    if remote.within.binary_search(&programs.nodes).is_ok() {
        open = programs.opens_to_nodes(program);
    }
    if programs.icmp == IcmpMode::Open {
        open.icmp = Intervals::full();
        open.icmpv6 = Intervals::full();
    }
    open
}

/// The messages that path MTU discovery needs: "fragmentation needed" (RFC 1191) and "packet too big" (RFC 8201).
fn essential(families: [bool; 2]) -> ServiceSet {
    let mut set = ServiceSet::empty();
    if families[0] {
        set.icmp = Intervals::single(Message { kind: 3, code: 4 }.point());
    }
    if families[1] {
        set.icmpv6 = Intervals::single(Message { kind: 2, code: 0 }.point());
    }
    set
}
