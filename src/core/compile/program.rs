//! Which rules decide about a cohort, in one direction: policies with their selectors resolved.
//!
//! Rule lists that read the same are one list, and cohorts under the same lists share one program, so that work is
//! done once for each distinct meaning and not once for each policy or pod.

mod resolver;

use std::hash::Hash;
use std::sync::Arc;

use smallvec::SmallVec;

pub(crate) use resolver::{Resolver, node_addresses, services_of};

use super::HashMap;
use super::cohort::{CohortId, Cohorts, SetId};
use crate::inventory::{Inventory, NamedPort};
use crate::net::{AddressSet, Interval, ServiceSet, Transport};
use crate::policy::{Action, Direction, Policy, Subject, Word};
use crate::settings::{IcmpMode, NodeTraffic, Settings};

/// One rule with its selectors resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Matcher {
    /// What it does with what it matches.
    pub(crate) action: Action,
    /// Whether it matches everyone.
    pub(crate) anyone: bool,
    /// The pods that it matches by selector.
    pub(crate) pods: Vec<SetId>,
    /// The addresses that it matches.
    pub(crate) addresses: Option<AddressesId>,
    /// The services that it matches; on ingress with the subject's named ports.
    pub(crate) services: Arc<ServiceSet>,
    /// On egress: the named ports that it matches at pods that it matches as pods.
    pub(crate) names: Vec<(Option<Transport>, Word)>,
    /// A Deny that leaves essential ICMP alone: it names no protocols and was understood.
    pub(crate) spares_icmp: bool,
}

/// An interned set of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AddressesId(u32);

/// An interned list of matchers, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ListId(u32);

/// A few lists.
pub(crate) type Lists = SmallVec<[ListId; 4]>;

/// What decides about the traffic of a pod in one direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Program {
    /// The direction.
    pub(crate) direction: Direction,
    /// The Admin tier, in order.
    pub(crate) admin: Lists,
    /// The NetworkPolicy tier, if it isolates the pod: sorted, each list once.
    pub(crate) accepts: Option<Lists>,
    /// The Baseline tier, in order.
    pub(crate) baseline: Lists,
    /// What isolation leaves open to nodes: tcp probe ports.
    pub(crate) probes: Arc<[u16]>,
    /// The families in which essential ICMP stays open.
    pub(crate) essential: [bool; 2],
}

/// Everything that programs refer to.
#[derive(Debug)]
pub(crate) struct Programs {
    lists: Interner<Vec<Matcher>>,
    /// Each list as addresses see it, by which no selector selects them.
    of_addresses: Vec<ListId>,
    addresses: Interner<AddressSet>,
    /// The addresses of all nodes, if settings open something to them.
    pub(crate) nodes: AddressesId,
    /// No addresses.
    nobody: AddressSet,
    /// What isolation leaves open to nodes.
    pub(crate) node_traffic: NodeTraffic,
    /// What isolation leaves open of ICMP.
    pub(crate) icmp: IcmpMode,
    /// For each policy: the pods that it is about.
    subjects: Vec<Option<SetId>>,
    /// For each cohort and direction: the policies that govern it, in the order in which they are asked.
    pub(crate) governing: Vec<[Vec<u32>; 2]>,
}

/// Equal values get the same number.
#[derive(Debug)]
struct Interner<T> {
    values: Vec<Arc<T>>,
    numbers: HashMap<Arc<T>, u32>,
}

// ---------------------------------------------------------------------------------------------- Programs

impl Programs {
    /// Finds the policies that govern each cohort. `order` lists the policies as they are asked.
    pub(crate) fn new<'a>(
        policies: &'a [&'a Policy],
        order: &[u32],
        cohorts: &mut Cohorts<'a>,
        inventory: &Inventory,
        settings: &Settings,
    ) -> Self {
        let mut addresses = Interner::default();
        let nodes = inventory.node_addresses(|_| true);
        let nodes = nodes.union(&settings.nodes.iter().copied().collect());
        let nodes = AddressesId(addresses.number(nodes));
        let mut subjects = vec![None; policies.len()];
        let mut governing = vec![[Vec::new(), Vec::new()]; cohorts.list.len()];
        for index in order {
            let Some(policy) = policies.get(*index as usize) else { continue };
            let Subject::Pods(selector) = &policy.subject else { continue };
            let set = cohorts.select(selector);
            if let Some(subject) = subjects.get_mut(*index as usize) {
                *subject = Some(set);
            }
            for id in cohorts.members(set) {
                let Some(lists) = governing.get_mut(*id as usize) else { continue };
                for (direction, list) in Direction::BOTH.into_iter().zip(lists) {
                    if policy.rules(direction).is_some() {
                        list.push(*index);
                    }
                }
            }
        }
        let (node_traffic, icmp) = (settings.node_traffic, settings.icmp);
        let (lists, nobody) = (Interner::default(), AddressSet::empty());
        let of_addresses = Vec::new();
        Self {
            lists,
            of_addresses,
            addresses,
            nodes,
            nobody,
            subjects,
            node_traffic,
            icmp,
            governing,
        }
    }

    /// The pods that a policy is about, by its place; none if its selector could not be understood.
    pub(crate) fn subject(&self, policy: usize) -> Option<SetId> {
        *self.subjects.get(policy)?
    }

    /// The policies that govern a cohort in a direction, in the order in which they are asked.
    pub(crate) fn governing(&self, cohort: CohortId, direction: Direction) -> &[u32] {
        let both = self.governing.get(cohort as usize);
        both.map_or(&[], |[ingress, egress]| match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        })
    }

    /// Interns a list, and the one that is left of it for addresses.
    fn number(&mut self, list: Vec<Matcher>) -> ListId {
        let for_addresses = |matcher: &Matcher| matcher.anyone || matcher.addresses.is_some();
        let left = list.iter().filter(|matcher| for_addresses(matcher));
        let left: Vec<Matcher> = left
            .map(|matcher| Matcher { pods: Vec::new(), names: Vec::new(), ..matcher.clone() })
            .collect();
        let left = self.lists.number(left);
        let number = self.lists.number(list);
        self.of_addresses.resize(self.lists.values.len(), ListId(left));
        ListId(number)
    }

    /// The matchers of a list.
    pub(crate) fn list(&self, id: ListId) -> &[Matcher] {
        self.lists.values.get(id.0 as usize).map_or(&[], |list| list)
    }

    /// The addresses of an interned set.
    pub(crate) fn addresses(&self, id: AddressesId) -> &AddressSet {
        self.addresses.values.get(id.0 as usize).map_or(&self.nobody, |set| set)
    }

    /// What opens for nodes at an isolated pod.
    pub(crate) fn opens_to_nodes(&self, program: &Program) -> ServiceSet {
        match (self.node_traffic, program.direction) {
            (NodeTraffic::None, _) | (_, Direction::Egress) => ServiceSet::empty(),
            (NodeTraffic::All, Direction::Ingress) => ServiceSet::all(),
            (NodeTraffic::Probes, Direction::Ingress) => {
                let ports = program.probes.iter().copied().map(Interval::single).collect();
                ServiceSet::ports(Transport::Tcp, ports)
            }
        }
    }
}

impl Program {
    /// What of it concerns addresses: programs that differ in selectors alone have it in common.
    pub(crate) fn of_addresses(&self, programs: &Programs) -> Self {
        let left = |id: &ListId| programs.of_addresses.get(id.0 as usize).copied().unwrap_or(*id);
        Self {
            admin: self.admin.iter().map(left).collect(),
            accepts: self.accepts.as_ref().map(|lists| as_set(lists.iter().map(left).collect())),
            baseline: self.baseline.iter().map(left).collect(),
            ..self.clone()
        }
    }
}

impl<T: Hash + Eq> Default for Interner<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: HashMap::default() }
    }
}

impl<T: Hash + Eq> Interner<T> {
    fn number(&mut self, value: T) -> u32 {
        if let Some(known) = self.numbers.get(&value) {
            return *known;
        }
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let value = Arc::new(value);
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }
}

impl Matcher {
    /// The services that the rule matches for a pod that it matches as a pod.
    pub(crate) fn services_at(&self, ports: &[NamedPort]) -> ServiceSet {
        let mut services = (*self.services).clone();
        for (transport, name) in &self.names {
            services = services.union(&named(ports, *transport, name));
        }
        services
    }
}

/// Lists whose order means nothing.
fn as_set(mut lists: Lists) -> Lists {
    lists.sort_unstable();
    lists.dedup();
    lists
}

/// The services of the container ports of a name.
pub(crate) fn named(ports: &[NamedPort], transport: Option<Transport>, name: &Word) -> ServiceSet {
    let mut set = ServiceSet::empty();
    for port in ports {
        if port.name == *name && transport.is_none_or(|transport| transport == port.transport) {
            set =
                set.union(&ServiceSet::ports(port.transport, Interval::single(port.number).into()));
        }
    }
    set
}
