//! What policies and settings let through at one end, as functions. Written from the API texts and DESIGN §5.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use moat_core::inventory::NamedPort;
use moat_core::net::{
    AddressSet, Family, Interval, Intervals, Message, Messages, ServiceSet, Shape, Transport,
};
use moat_core::policy::{
    Action, Direction, Labels, Peer, Peers, Policy, Rule, Selector, ServiceMatch, Services,
    Subject, Tier,
};
use moat_core::settings::{IcmpMode, NodeTraffic};

use super::classes::{ClassId, Classes};
use super::sets::{Addresses, ByClass, End, SetId, Sets, everywhere, of_family, sweep};
use crate::generate::Cluster;

/// What the policies ask for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    cluster: &'a Cluster,
    /// In the order in which they are asked.
    policies: Vec<&'a Policy>,
    /// The policies of each class, as the place of a list in `lists`.
    of: Vec<usize>,
    lists: Vec<Rc<[usize]>>,
    known: HashMap<Key, Rc<Folded>>,
}

/// What an end depends on: the policies, the direction, the family, and on ingress the pod's own ports and probes.
type Key = (usize, Direction, Family, Option<(Arc<[NamedPort]>, Arc<[u16]>)>);

/// An end, before and after essential ICMP is let through.
#[derive(Debug)]
struct Folded {
    plain: Rc<End>,
    mended: Rc<End>,
    /// Whether a flow of tcp or udp passes with some address.
    connects: bool,
}

/// The rules of one direction that select a pod.
struct Program<'a> {
    rules: Vec<(Tier, &'a Rule)>,
    isolated: bool,
}

/// What tiers make of the services between a pod and one remote.
struct Decided {
    allowed: SetId,
    /// Closed because the pod is isolated.
    isolated: SetId,
    /// Closed by isolation, or by a Deny that speaks of no protocol.
    mendable: SetId,
}

/// The rules that match a remote, each with the services that it matches there, in the order of the rules.
type Matches = [(usize, SetId)];

impl<'a> Asked<'a> {
    pub(super) fn new(cluster: &'a Cluster, classes: &mut Classes<'_>) -> Self {
        let mut policies: Vec<&Policy> = cluster.policies.iter().collect();
        policies.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let mut selecting = vec![Vec::new(); classes.list.len()];
        for (place, policy) in policies.iter().enumerate() {
            if let Subject::Pods(selector) = &policy.subject {
                for class in classes.selected(cluster, selector).iter() {
                    selecting[*class].push(place);
                }
            }
        }
        let (mut lists, mut places) = (Vec::new(), HashMap::new());
        let of = selecting.into_iter().map(|list| {
            let list: Rc<[usize]> = list.into();
            *places.entry(list.clone()).or_insert_with(|| {
                lists.push(list);
                lists.len() - 1
            })
        });
        let of = of.collect();
        Self { cluster, policies, of, lists, known: HashMap::new() }
    }

    /// What the end of a class's pods lets through.
    pub(super) fn end(
        &mut self,
        class: ClassId,
        direction: Direction,
        family: Family,
        classes: &mut Classes<'_>,
        sets: &mut Sets,
    ) -> Rc<End> {
        let folded = self.folded(class, direction, family, classes, sets);
        let mut connects = || {
            Direction::BOTH.into_iter().any(|direction| {
                let folded = self.folded(class, direction, family, classes, sets);
                folded.connects || meets(class, &folded.plain.classes, family, classes, sets)
            })
        };
        if folded.plain == folded.mended || !connects() {
            return folded.plain.clone();
        }
        folded.mended.clone()
    }

    fn folded(
        &mut self,
        class: ClassId,
        direction: Direction,
        family: Family,
        classes: &mut Classes<'_>,
        sets: &mut Sets,
    ) -> Rc<Folded> {
        let pod = classes.list[class].pod;
        let own = match direction {
            Direction::Ingress => Some((pod.ports.clone(), pod.probes.clone())),
            Direction::Egress => None,
        };
        let key = (self.of[class], direction, family, own);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let program = self.program(key.0, direction);
        let own = key.3.as_ref().map(|(ports, probes)| (&**ports, &**probes));
        let fold = Fold { cluster: self.cluster, program, direction, family, own };
        let folded = Rc::new(fold.run(classes, sets));
        self.known.insert(key, folded.clone());
        folded
    }

    fn program(&self, list: usize, direction: Direction) -> Program<'a> {
        let mut program = Program { rules: Vec::new(), isolated: false };
        for policy in self.lists[list].iter().map(|place| self.policies[*place]) {
            let Some(rules) = policy.rules(direction) else { continue };
            program.isolated |= policy.tier == Tier::NetworkPolicy;
            program.rules.extend(rules.iter().map(|rule| (policy.tier, rule)));
        }
        program
    }
}

/// Whether a class has a flow of tcp or udp with another pod.
fn meets(
    class: ClassId,
    by_class: &ByClass,
    family: Family,
    classes: &Classes<'_>,
    sets: &Sets,
) -> bool {
    let other = |id: ClassId| id != class || classes.list[id].pods.len() > 1;
    let listed = by_class.listed.iter().any(|(id, set)| sets.connects(*set) && other(*id));
    listed
        || sets.connects(by_class.default)
            && classes.of_family(family).any(|id| other(id) && sets.connects(by_class.at(id)))
}

// ------------------------------------------------------------------------------------------------- Fold

/// The making of one end.
struct Fold<'f, 'a> {
    cluster: &'a Cluster,
    program: Program<'a>,
    direction: Direction,
    family: Family,
    /// On ingress: the named ports and probes of the pod.
    own: Option<(&'f [NamedPort], &'f [u16])>,
}

impl Fold<'_, '_> {
    fn run(&self, classes: &mut Classes<'_>, sets: &mut Sets) -> Folded {
        let nodes = of_family(&self.nodes(None), self.family);
        let (plain_line, mended_line) = self.by_address(&nodes, sets);
        let connects = plain_line.0.iter().any(|(_, set)| sets.connects(*set));
        let (plain, mended) = self.by_class(&nodes, classes, sets);
        let end = |addresses, classes| Rc::new(End { addresses, classes });
        Folded { plain: end(plain_line, plain), mended: end(mended_line, mended), connects }
    }

    fn by_address(
        &self,
        nodes: &Addresses,
        sets: &mut Sets,
    ) -> (super::sets::Line, super::sets::Line) {
        let mut parts = Vec::new();
        let mut services = Vec::new();
        for (_, rule) in &self.program.rules {
            parts.push(self.addresses(rule));
            services.push(self.services(rule, None, sets));
        }
        parts.push(nodes.clone());
        let mut line = |mend: bool| {
            sweep(self.family, &parts, |active| {
                let matches: Vec<(usize, SetId)> =
                    active.iter().filter_map(|rule| Some((*rule, *services.get(*rule)?))).collect();
                self.value(&matches, active.contains(&services.len()), mend, sets)
            })
        };
        let plain = line(false);
        let mended = if self.mends() { line(true) } else { plain.clone() };
        (plain, mended)
    }

    fn by_class(
        &self,
        nodes: &Addresses,
        classes: &mut Classes<'_>,
        sets: &mut Sets,
    ) -> (ByClass, ByClass) {
        let mut matched: BTreeMap<ClassId, Vec<(usize, SetId)>> = BTreeMap::new();
        let mut anyone: Vec<(usize, SetId)> = Vec::new();
        for (place, (_, rule)) in self.program.rules.iter().enumerate() {
            let plain = self.services(rule, None, sets);
            let named = self.direction == Direction::Egress && rule.names_ports();
            let at = |class: ClassId, classes: &Classes<'_>, sets: &mut Sets| {
                let ports = &classes.list[class].pod.ports;
                if named { self.services(rule, Some(ports), sets) } else { plain }
            };
            match &rule.peers {
                Peers::Anyone => {
                    anyone.push((place, plain));
                    if named {
                        for class in 0..classes.list.len() {
                            if !classes.list[class].pod.ports.is_empty() {
                                let services = at(class, classes, sets);
                                matched.entry(class).or_default().push((place, services));
                            }
                        }
                    }
                }
                Peers::AnyOf(peers) => {
                    for peer in peers {
                        if let Peer::Pods(selector) = peer {
                            for class in classes.selected(self.cluster, selector).iter() {
                                let services = at(*class, classes, sets);
                                matched.entry(*class).or_default().push((place, services));
                            }
                        }
                    }
                    for class in classes.at(&self.addresses(rule), self.family) {
                        matched.entry(class).or_default().push((place, plain));
                    }
                }
            }
        }
        let from_nodes: BTreeSet<ClassId> = classes.at(nodes, self.family).into_iter().collect();
        for class in &from_nodes {
            matched.entry(*class).or_default();
        }
        matched.retain(|class, _| classes.list[*class].pod.address(self.family).is_some());
        for list in matched.values_mut() {
            list.extend(&anyone);
            list.sort_unstable();
        }
        let mut all = |mend: bool| {
            let default = self.value(&anyone, false, mend, sets);
            let value = |(class, list): (&ClassId, &Vec<(usize, SetId)>)| {
                (*class, self.value(list, from_nodes.contains(class), mend, sets))
            };
            ByClass { default, listed: matched.iter().map(value).collect() }
        };
        let plain = all(false);
        let mended = if self.mends() { all(true) } else { plain.clone() };
        (plain, mended)
    }

    /// Whether essential ICMP can change anything.
    fn mends(&self) -> bool {
        self.direction == Direction::Ingress && self.cluster.settings.icmp != IcmpMode::Strict
    }

    /// What passes between the pod and a remote that these rules match.
    fn value(&self, matches: &Matches, from_node: bool, mend: bool, sets: &mut Sets) -> SetId {
        let Decided { mut allowed, isolated, mendable } = self.decide(matches, sets);
        let icmp = sets.keep(icmp(self.family));
        if self.cluster.settings.icmp == IcmpMode::Open {
            let open = sets.intersection(isolated, icmp);
            allowed = sets.union(allowed, open);
        }
        if self.direction == Direction::Ingress {
            if from_node {
                let open = self.node_traffic().within(self.family);
                let open = sets.keep(open);
                let open = sets.intersection(isolated, open);
                allowed = sets.union(allowed, open);
            }
            if mend {
                let essential = sets.keep(essential(self.family));
                let open = sets.intersection(mendable, essential);
                allowed = sets.union(allowed, open);
            }
        }
        allowed
    }

    /// The three tiers.
    fn decide(&self, matches: &Matches, sets: &mut Sets) -> Decided {
        let nothing = sets.empty();
        let (mut allowed, mut mendable) = (nothing, nothing);
        let mut open = sets.all(self.family);
        let rules = matches.iter().map(|(rule, set)| (self.program.rules[*rule], *set));

        let mut passed = nothing;
        for ((tier, rule), services) in rules.clone() {
            if !matches!(tier, Tier::Admin { .. }) {
                continue;
            }
            let here = sets.intersection(services, open);
            open = sets.difference(open, here);
            match rule.action {
                Action::Accept => allowed = sets.union(allowed, here),
                Action::Pass => passed = sets.union(passed, here),
                Action::Deny if is_silent(rule) => mendable = sets.union(mendable, here),
                Action::Deny => {}
            }
        }
        open = sets.union(open, passed);

        for ((tier, rule), services) in rules.clone() {
            if tier == Tier::NetworkPolicy && rule.action == Action::Accept {
                let here = sets.intersection(services, open);
                open = sets.difference(open, here);
                allowed = sets.union(allowed, here);
            }
        }
        if self.program.isolated {
            mendable = sets.union(mendable, open);
            return Decided { allowed, isolated: open, mendable };
        }

        for ((tier, rule), services) in rules {
            if !matches!(tier, Tier::Baseline { .. }) {
                continue;
            }
            let here = sets.intersection(services, open);
            open = sets.difference(open, here);
            match rule.action {
                Action::Accept | Action::Pass => allowed = sets.union(allowed, here),
                Action::Deny if is_silent(rule) => mendable = sets.union(mendable, here),
                Action::Deny => {}
            }
        }
        Decided { allowed: sets.union(allowed, open), isolated: nothing, mendable }
    }

    /// The addresses that a rule matches as addresses.
    fn addresses(&self, rule: &Rule) -> Addresses {
        match &rule.peers {
            Peers::Anyone => everywhere(self.family),
            Peers::AnyOf(peers) => {
                let sets = peers.iter().map(|peer| match peer {
                    Peer::Pods(_) => Addresses::empty(),
                    Peer::Addresses(set) => of_family(set, self.family),
                    Peer::Nodes(selector) => of_family(&self.nodes(Some(selector)), self.family),
                });
                sets.flat_map(|set| set.iter().collect::<Vec<_>>()).collect()
            }
        }
    }

    /// The addresses of the nodes of a selector, or of all. Those of the settings are nodes without labels.
    fn nodes(&self, selector: Option<&Selector>) -> AddressSet {
        let wanted = |labels: &Labels| selector.is_none_or(|selector| selector.matches(labels));
        let known = self.cluster.inventory.node_addresses(|node| wanted(&node.labels));
        let more = self.cluster.settings.nodes.iter().copied();
        let more = if wanted(&Labels::default()) { more.collect() } else { AddressSet::empty() };
        known.union(&more)
    }

    /// The services of a rule; names are those of the pod itself on ingress, else of `remote`.
    fn services(&self, rule: &Rule, remote: Option<&[NamedPort]>, sets: &mut Sets) -> SetId {
        let set = match &rule.services {
            Services::Every => ServiceSet::all(),
            Services::AnyOf(list) => {
                let ports = self.own.map(|(ports, _)| ports).or(remote).unwrap_or_default();
                list.iter().fold(ServiceSet::empty(), |all, one| match one {
                    ServiceMatch::Set(set) => all.union(set),
                    ServiceMatch::Named { transport, name } => {
                        let meant = ports.iter().filter(|port| {
                            port.name == *name && transport.is_none_or(|it| it == port.transport)
                        });
                        meant.fold(all, |all, port| {
                            let number = Intervals::single(port.number);
                            all.union(&ServiceSet::ports(port.transport, number))
                        })
                    }
                })
            }
        };
        sets.keep(set.within(self.family))
    }

    fn node_traffic(&self) -> ServiceSet {
        match self.cluster.settings.node_traffic {
            NodeTraffic::None => ServiceSet::empty(),
            NodeTraffic::All => ServiceSet::all(),
            NodeTraffic::Probes => {
                let probes = self.own.map(|(_, probes)| probes).unwrap_or_default();
                let ports = probes.iter().copied().map(Interval::single);
                ServiceSet::ports(Transport::Tcp, ports.collect())
            }
        }
    }
}

/// Whether a Deny speaks of no protocol, and was understood.
fn is_silent(rule: &Rule) -> bool {
    rule.services == Services::Every && !rule.failed_closed
}

fn icmp(family: Family) -> ServiceSet {
    let both = [Shape::Icmp(Messages::All), Shape::Icmpv6(Messages::All)].map(Shape::services);
    both[0].union(&both[1]).within(family)
}

/// Fragmentation needed, and packet too big.
fn essential(family: Family) -> ServiceSet {
    let one = |kind, code| Messages::One(Message { kind, code });
    let both = [Shape::Icmp(one(3, 4)), Shape::Icmpv6(one(2, 0))].map(Shape::services);
    both[0].union(&both[1]).within(family)
}
