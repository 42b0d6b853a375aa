//! Policies turned into programs, each rule list once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{AddressesId, ListId, Lists, Matcher, Program, Programs, as_set, named};
use crate::compile::HashMap;
use crate::compile::cohort::{CohortId, Cohorts};
use crate::inventory::{Inventory, NamedPort};
use crate::net::{AddressSet, ServiceSet, Transport};
use crate::policy::{
    Action, Direction, Labels, Peer, Peers, Policy, Rule, Selector, ServiceMatch, Services, Tier,
    Word,
};
use crate::settings::{NodeTraffic, Settings};

/// Turns policies into programs, each rule list once.
#[derive(Debug)]
pub(crate) struct Resolver<'a, 'c> {
    policies: &'a [&'a Policy],
    inventory: &'a Inventory,
    settings: &'a Settings,
    cohorts: &'c mut Cohorts<'a>,
    /// The lists that were resolved.
    known: HashMap<ListKey, ListId>,
}

/// A policy, a direction, and the subject's ports where the rules name any.
type ListKey = (u32, Direction, Option<Arc<[NamedPort]>>);

impl<'a, 'c> Resolver<'a, 'c> {
    /// A resolver over these objects.
    pub(crate) fn new(
        policies: &'a [&'a Policy],
        inventory: &'a Inventory,
        settings: &'a Settings,
        cohorts: &'c mut Cohorts<'a>,
    ) -> Self {
        Self { policies, inventory, settings, cohorts, known: HashMap::default() }
    }

    /// The program of a cohort in a direction, none if no policy governs it. The Accept rules of the policies in
    /// `without` are left out.
    pub(crate) fn program(
        &mut self,
        programs: &mut Programs,
        id: CohortId,
        direction: Direction,
        without: &BTreeSet<u32>,
    ) -> Option<Program> {
        let governing = programs.governing(id, direction).to_vec();
        if governing.is_empty() {
            return None;
        }
        let cohort = self.cohorts.get(id)?;
        let ports = cohort.ports.clone();
        let mut program = Program {
            direction,
            admin: Lists::new(),
            accepts: None,
            baseline: Lists::new(),
            probes: Arc::default(),
            essential: [false; 2],
        };
        let opens = matches!(programs.node_traffic, NodeTraffic::Probes);
        if opens && direction == Direction::Ingress {
            program.probes = cohort.probes.clone();
        }
        for index in governing {
            let Some(policy) = self.policies.get(index as usize) else { continue };
            let list = self.list(programs, index, policy, direction, &ports, without);
            match policy.tier {
                Tier::Admin { .. } => program.admin.push(list),
                Tier::NetworkPolicy => {
                    program.accepts.get_or_insert_default().push(list);
                }
                Tier::Baseline { .. } => program.baseline.push(list),
            }
        }
        program.accepts = program.accepts.map(as_set);
        if program.accepts.is_some() {
            // The NetworkPolicy tier is final for a pod that it isolates.
            program.baseline.clear();
        }
        Some(program)
    }

    fn list(
        &mut self,
        programs: &mut Programs,
        index: u32,
        policy: &'a Policy,
        direction: Direction,
        ports: &Arc<[NamedPort]>,
        without: &BTreeSet<u32>,
    ) -> ListId {
        let rules = policy.rules(direction).unwrap_or_default();
        if without.contains(&index) {
            let rest = rules.iter().filter(|rule| rule.action != Action::Accept);
            let list = rest.map(|rule| self.matcher(programs, rule, direction, ports)).collect();
            return programs.number(list);
        }
        let by_subject = direction == Direction::Ingress && rules.iter().any(Rule::names_ports);
        let key = (index, direction, by_subject.then(|| ports.clone()));
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let list = rules.iter().map(|rule| self.matcher(programs, rule, direction, ports));
        let list = list.collect();
        let list = programs.number(list);
        self.known.insert(key, list);
        list
    }

    fn matcher(
        &mut self,
        programs: &mut Programs,
        rule: &'a Rule,
        direction: Direction,
        ports: &[NamedPort],
    ) -> Matcher {
        let mut matcher = Matcher {
            action: rule.action,
            anyone: rule.peers == Peers::Anyone,
            pods: Vec::new(),
            addresses: None,
            services: Arc::default(),
            names: Vec::new(),
            spares_icmp: rule.services == Services::Every && !rule.failed_closed,
        };
        let mut addresses = AddressSet::default();
        if let Peers::AnyOf(peers) = &rule.peers {
            for peer in peers {
                match peer {
                    Peer::Pods(selector) => matcher.pods.push(self.cohorts.select(selector)),
                    Peer::Addresses(set) => addresses = addresses.union(set),
                    Peer::Nodes(selector) => {
                        let nodes = node_addresses(selector, self.inventory, self.settings);
                        addresses = addresses.union(&nodes);
                    }
                }
            }
        }
        matcher.pods.retain(|set| !self.cohorts.members(*set).is_empty());
        matcher.pods.sort_unstable();
        matcher.pods.dedup();
        if !addresses.is_empty() {
            matcher.addresses = Some(AddressesId(programs.addresses.number(addresses)));
        }
        matcher.services =
            Arc::new(services_of(&rule.services, |transport, name| match direction {
                Direction::Ingress => named(ports, transport, name),
                Direction::Egress => {
                    matcher.names.push((transport, name.clone()));
                    ServiceSet::empty()
                }
            }));
        matcher
    }
}

/// The addresses of the nodes that a selector selects; those that only settings name are nodes without labels.
pub(crate) fn node_addresses(
    selector: &Selector,
    inventory: &Inventory,
    settings: &Settings,
) -> AddressSet {
    let nodes = inventory.node_addresses(|node| selector.matches(&node.labels));
    if selector.matches(&Labels::default()) {
        nodes.union(&settings.nodes.iter().copied().collect())
    } else {
        nodes
    }
}

/// The services of a rule, its named ones as `resolve` says.
pub(crate) fn services_of(
    services: &Services,
    mut resolve: impl FnMut(Option<Transport>, &Word) -> ServiceSet,
) -> ServiceSet {
    let Services::AnyOf(matches) = services else { return ServiceSet::all() };
    let mut set = ServiceSet::empty();
    for one in matches {
        match one {
            ServiceMatch::Set(services) => set = set.union(services),
            ServiceMatch::Named { transport, name } => set = set.union(&resolve(*transport, name)),
        }
    }
    set
}
