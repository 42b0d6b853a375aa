//! Interned service sets, rule lists and ends, so that comparing two ends of a flow is comparing numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::function::Function;
use super::intern::Interner;
use crate::firewall::{GroupKey, Peer, Rule, State};
use crate::inventory::InterfaceId;
use crate::net::{Address, AddressSet, Family, Prefix, ServiceSet, Shape, StepFunction};
use crate::policy::Direction;

/// A set of services of one family.
pub(super) type SetId = u32;
/// A function from remote addresses of one family to sets.
pub(super) type FunctionId = u32;
/// The rules of a group.
pub(super) type RulesId = u32;
/// The groups that an interface wears.
pub(super) type WornId = u32;
/// The rules of all groups that an interface wears, together.
pub(super) type EndId = u32;
/// A group.
type GroupId = u32;

/// No service.
pub(super) const NOTHING: SetId = 0;
/// No group.
pub(super) const NO_GROUPS: WornId = 0;

/// Everything that is interned during a proof.
#[derive(Debug)]
pub(super) struct Desk {
    groups: Interner<GroupKey>,
    sets: Interner<ServiceSet>,
    unions: HashMap<(SetId, SetId), SetId>,
    meets: HashMap<(SetId, SetId), SetId>,
    shapes: HashMap<(Shape, Family), SetId>,
    functions: Interner<Function>,
    /// The functions of some prefixes, each with its services.
    plain: HashMap<(Family, Vec<(Prefix, SetId)>), FunctionId>,
    /// The functions of two together.
    sums: HashMap<(FunctionId, FunctionId), FunctionId>,
    rules: Interner<BTreeSet<Rule>>,
    compiled: Vec<[[Towards; 2]; 2]>,
    worn: Interner<Vec<GroupId>>,
    ends: Interner<Vec<RulesId>>,
    joined: Vec<[[Towards; 2]; 2]>,
    towards: HashMap<(EndId, Direction, Family, u128, WornId), SetId>,
}

/// A state, interned.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) rules: BTreeMap<GroupKey, RulesId>,
    pub(super) worn: BTreeMap<InterfaceId, WornId>,
}

/// What an end lets through in one direction and family.
#[derive(Clone, Debug)]
struct Towards {
    addresses: FunctionId,
    /// By the group that the other end wears, sorted.
    references: Vec<(GroupId, SetId)>,
}

const fn of_direction(direction: Direction) -> usize {
    match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    }
}

const fn of_family(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

// -------------------------------------------------------------------------------------------------- Desk

impl Desk {
    pub(super) fn new() -> Self {
        let mut desk = Self {
            groups: Interner::new(),
            sets: Interner::new(),
            unions: HashMap::new(),
            meets: HashMap::new(),
            shapes: HashMap::new(),
            functions: Interner::new(),
            plain: HashMap::new(),
            sums: HashMap::new(),
            rules: Interner::new(),
            compiled: Vec::new(),
            worn: Interner::new(),
            ends: Interner::new(),
            joined: Vec::new(),
            towards: HashMap::new(),
        };
        desk.sets.intern(ServiceSet::empty());
        desk.worn.intern(Vec::new());
        desk
    }

    /// Interns a state.
    pub(super) fn picture(&mut self, state: &State) -> Picture {
        let rules = state.groups.iter().map(|(key, rules)| (key.clone(), self.rules_id(rules)));
        let rules = rules.collect();
        let worn = state.interfaces.iter().map(|(id, worn)| (id.clone(), self.worn_id(worn)));
        Picture { rules, worn: worn.collect() }
    }

    /// The number of a set of worn groups.
    pub(super) fn worn_id(&mut self, worn: &BTreeSet<GroupKey>) -> WornId {
        let mut groups: Vec<_> =
            worn.iter().map(|group| self.groups.intern(group.clone()).0).collect();
        groups.sort_unstable();
        self.worn.intern(groups).0
    }

    /// The number of the rules of a group.
    pub(super) fn rules_id(&mut self, rules: &BTreeSet<Rule>) -> RulesId {
        let (id, first) = self.rules.intern(rules.clone());
        if first {
            let compiled = Direction::BOTH
                .map(|direction| Family::BOTH.map(|family| self.compile(rules, direction, family)));
            self.compiled.push(compiled);
        }
        id
    }

    /// The end of an interface that wears these groups while they hold these rules.
    pub(super) fn end(&mut self, worn: WornId, picture: &Picture) -> EndId {
        let groups = self.worn.get(worn).iter().map(|group| self.groups.get(*group));
        let mut rules: Vec<RulesId> =
            groups.filter_map(|group| picture.rules.get(group).copied()).collect();
        rules.sort_unstable();
        rules.dedup();
        let (id, first) = self.ends.intern(rules.clone());
        if first {
            let joined = Direction::BOTH
                .map(|direction| Family::BOTH.map(|family| self.join(&rules, direction, family)));
            self.joined.push(joined);
        }
        id
    }

    /// The groups of a worn set, as numbers.
    pub(super) fn worn_groups(&self, worn: WornId) -> &[u32] {
        self.worn.get(worn)
    }

    /// The groups that an end names in a direction.
    pub(super) fn named(&self, end: EndId, direction: Direction) -> impl Iterator<Item = u32> + '_ {
        Family::BOTH
            .into_iter()
            .flat_map(move |family| &self.at(end, direction, family).references)
            .map(|(group, _)| *group)
    }

    /// The address function of an end.
    pub(super) fn function(&self, end: EndId, direction: Direction, family: Family) -> FunctionId {
        self.at(end, direction, family).addresses
    }

    /// What an end lets through to or from an address whose interface wears these groups.
    pub(super) fn towards(
        &mut self,
        end: EndId,
        direction: Direction,
        family: Family,
        address: u128,
        worn: WornId,
    ) -> SetId {
        let key = (end, direction, family, address, worn);
        if let Some(known) = self.towards.get(&key) {
            return *known;
        }
        let towards = self.at(end, direction, family);
        let mut all = self.functions.get(towards.addresses).at(address);
        let worn = self.worn.get(worn).iter();
        let by_reference: Vec<SetId> = worn
            .filter_map(|group| {
                let found = towards.references.binary_search_by_key(group, |(named, _)| *named);
                Some(towards.references.get(found.ok()?)?.1)
            })
            .collect();
        for set in by_reference {
            all = self.union(all, set);
        }
        self.towards.insert(key, all);
        all
    }

    /// Where the values of all address functions of an end change.
    pub(super) fn boundaries(&self, end: EndId, family: Family, into: &mut BTreeSet<u128>) {
        for direction in Direction::BOTH {
            self.functions.get(self.function(end, direction, family)).boundaries(into);
        }
    }

    /// The addresses with each pair of values that two address functions have.
    pub(super) fn pieces(&self, functions: [FunctionId; 2]) -> Vec<(AddressSet, [SetId; 2])> {
        let [a, b] = functions.map(|id| self.functions.get(id));
        a.pieces(b)
    }

    /// The services of a set.
    pub(super) fn services(&self, set: SetId) -> &ServiceSet {
        self.sets.get(set)
    }

    /// The services of one set that are not in another.
    pub(super) fn difference(&mut self, a: SetId, b: SetId) -> SetId {
        if a == b {
            return NOTHING;
        }
        let difference = self.sets.get(a).difference(self.sets.get(b));
        self.sets.intern(difference).0
    }

    /// The triples of values that three address functions have anywhere.
    pub(super) fn triples(&self, functions: [FunctionId; 3]) -> BTreeSet<[SetId; 3]> {
        let [a, b, c] = functions.map(|id| self.functions.get(id));
        a.triples(b, c)
    }

    /// The union of two sets.
    pub(super) fn union(&mut self, a: SetId, b: SetId) -> SetId {
        if a == b || b == NOTHING {
            return a;
        }
        if a == NOTHING {
            return b;
        }
        let key = (a.min(b), a.max(b));
        if let Some(known) = self.unions.get(&key) {
            return *known;
        }
        let union = self.sets.get(a).union(self.sets.get(b));
        let (id, _) = self.sets.intern(union);
        self.unions.insert(key, id);
        id
    }

    /// The intersection of two sets.
    pub(super) fn meet(&mut self, a: SetId, b: SetId) -> SetId {
        if a == b {
            return a;
        }
        if a == NOTHING || b == NOTHING {
            return NOTHING;
        }
        let key = (a.min(b), a.max(b));
        if let Some(known) = self.meets.get(&key) {
            return *known;
        }
        let meet = self.sets.get(a).intersection(self.sets.get(b));
        let (id, _) = self.sets.intern(meet);
        self.meets.insert(key, id);
        id
    }

    /// Whether all of `part` is in `whole`.
    pub(super) fn within(&mut self, part: SetId, whole: SetId) -> bool {
        self.union(part, whole) == whole
    }

    #[expect(clippy::indexing_slicing, reason = "an end is joined when it gets its number")]
    fn at(&self, end: EndId, direction: Direction, family: Family) -> &Towards {
        &self.joined[end as usize][of_direction(direction)][of_family(family)]
    }

    fn compile(&mut self, rules: &BTreeSet<Rule>, direction: Direction, family: Family) -> Towards {
        let mut prefixes: BTreeMap<Prefix, SetId> = BTreeMap::new();
        let mut references: BTreeMap<GroupId, SetId> = BTreeMap::new();
        for rule in rules.iter().filter(|rule| rule.direction == direction) {
            let services = self.shape(rule.shape, family);
            let sum = match &rule.peer {
                Peer::Prefix(prefix) if prefix.family() != family => continue,
                Peer::Prefix(prefix) => prefixes.entry(*prefix).or_insert(NOTHING),
                Peer::Group(group) => {
                    let group = self.groups.intern(group.clone()).0;
                    references.entry(group).or_insert(NOTHING)
                }
            };
            *sum = self.union(*sum, services);
        }
        let addresses = self.plain(family, prefixes.into_iter().collect());
        Towards { addresses, references: references.into_iter().collect() }
    }

    /// The services of a shape.
    fn shape(&mut self, shape: Shape, family: Family) -> SetId {
        let Self { shapes, sets, .. } = self;
        let services = || sets.intern(shape.services().within(family)).0;
        *shapes.entry((shape, family)).or_insert_with(services)
    }

    /// The function of prefixes with their services.
    fn plain(&mut self, family: Family, prefixes: Vec<(Prefix, SetId)>) -> FunctionId {
        let key = (family, prefixes);
        if let Some(known) = self.plain.get(&key) {
            return *known;
        }
        let function = match family {
            Family::V4 => Function::V4(self.steps(&key.1)),
            Family::V6 => Function::V6(self.steps(&key.1)),
        };
        let (id, _) = self.functions.intern(function);
        self.plain.insert(key, id);
        id
    }

    /// What two functions of one family give together.
    fn sum(&mut self, a: FunctionId, b: FunctionId) -> FunctionId {
        let key = (a.min(b), a.max(b));
        if a == b {
            return a;
        }
        if let Some(known) = self.sums.get(&key) {
            return *known;
        }
        let (first, second) = (self.functions.get(a).clone(), self.functions.get(b).clone());
        let sum = first.sum(&second, |a, b| self.union(a, b));
        let (id, _) = self.functions.intern(sum);
        self.sums.insert(key, id);
        id
    }

    fn steps<T: Address>(&mut self, prefixes: &[(Prefix, SetId)]) -> StepFunction<T, SetId> {
        match prefixes {
            [] => StepFunction::constant(NOTHING),
            [(prefix, set)] => {
                StepFunction::indicator(T::of(&AddressSet::from(*prefix)), *set, NOTHING)
            }
            _ => {
                let (left, right) = prefixes.split_at(prefixes.len() / 2);
                let (left, right) = (self.steps::<T>(left), self.steps(right));
                left.map2(&right, |a, b| self.union(*a, *b))
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "rules are compiled when they get their number")]
    fn join(&mut self, rules: &[RulesId], direction: Direction, family: Family) -> Towards {
        let mut addresses = self.plain(family, Vec::new());
        let mut references: BTreeMap<GroupId, SetId> = BTreeMap::new();
        for id in rules {
            let part =
                self.compiled[*id as usize][of_direction(direction)][of_family(family)].clone();
            addresses = self.sum(addresses, part.addresses);
            for (group, set) in part.references {
                let before = references.get(&group).copied().unwrap_or(NOTHING);
                references.insert(group, self.union(before, set));
            }
        }
        Towards { addresses, references: references.into_iter().collect() }
    }
}
