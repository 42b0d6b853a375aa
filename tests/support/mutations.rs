//! Deliberate mistakes in reading, compile and plan, each with the test that catches it. `tests/bin/mutations.rs` makes them.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// What somebody might get wrong.
    pub mistake: &'static str,
    /// The file, from the root of the repository.
    pub file: &'static str,
    /// What is right; occurs once.
    pub right: &'static str,
    /// What is wrong.
    pub wrong: &'static str,
    /// The test target, `core` for unit tests of the core, and the name of the test.
    pub test: &'static str,
}

impl Mutation {
    /// The text of the file with the mistake.
    ///
    /// # Errors
    ///
    /// What is right does not occur exactly once: the list has to follow the code.
    pub fn apply(&self, text: &str) -> Result<String, String> {
        match text.matches(self.right).count() {
            1 => Ok(text.replacen(self.right, self.wrong, 1)),
            count => Err(format!("`{}`: {count} places in {}", self.mistake, self.file)),
        }
    }
}

const DIFFERENTIAL: &str = "differential groups_let_through";
const PROOF: &str = "proof groups_equal_policies_as_sets";
const EVENTS: &str = "events told_of_events_in_any_order";
const BAND: &str = "transitions every_subset_of_every_stage_stays_inside_the_band";

/// The mistakes.
pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        mistake: "drop an except",
        file: "src/k8s/policy/address.rs",
        right: "AddressSet::from).difference(&excepts)",
        wrong: "AddressSet::from).union(&excepts)",
        test: "traps trap_02",
    },
    Mutation {
        mistake: "swap ICMP type and code",
        file: "src/k8s/policy/service.rs",
        right: "Message { kind, code }.point()",
        wrong: "Message { kind: code, code: kind }.point()",
        test: "traps trap_09",
    },
    Mutation {
        mistake: "merge ports 80 and 8080 to a range",
        file: "src/core/net/shape.rs",
        right: "self.tcp.iter().map(Shape::Tcp).collect();",
        wrong: "self.tcp.first().zip(self.tcp.iter().last()).and_then(|(low, last)| \
                super::Interval::new(low, last.high())).map(Shape::Tcp).into_iter().collect();",
        test: "traps trap_15",
    },
    Mutation {
        mistake: "take all tcp and all udp for everything",
        file: "src/core/net/shape.rs",
        right: "if self.first_missing(Shape::All, family).is_none() {",
        wrong: "if self.tcp.is_full() && self.udp.is_full() {",
        test: "traps trap_16",
    },
    Mutation {
        mistake: "let a prefix span a hole",
        file: "src/core/compile/cover.rs",
        right: "let full = sets.intersection::<T>(&lower.full, &upper.full);",
        wrong: "let full = Rc::clone(&lower.full);",
        test: "traps trap_82",
    },
    Mutation {
        mistake: "keep a rule that another one covers",
        file: "src/core/compile/cover.rs",
        right: "half.walk((first, length + 1), &self.full.set, rules);",
        wrong: "half.walk((first, length + 1), &ServiceSet::empty(), rules);",
        test: "traps trap_80",
    },
    Mutation {
        mistake: "ask rules in reverse order",
        file: "src/core/compile/fold.rs",
        right: "program.admin.iter().flat_map(|list| programs.list(*list)) {",
        wrong: "program.admin.iter().rev().flat_map(|list| programs.list(*list).iter().rev()) {",
        test: "traps trap_18",
    },
    Mutation {
        mistake: "take Pass for Accept",
        file: "src/core/compile/fold.rs",
        right: "Action::Pass => passed = passed.union(&matched),",
        wrong: "Action::Pass => allowed = allowed.union(&matched),",
        test: DIFFERENTIAL,
    },
    Mutation {
        mistake: "forget isolation",
        file: "src/core/compile/fold.rs",
        right: "        mendable = mendable.union(&undecided);\n",
        wrong: "        allowed = allowed.union(&undecided);\n",
        test: "traps trap_14",
    },
    Mutation {
        mistake: "let node traffic beat a Deny",
        file: "src/core/compile/fold.rs",
        right: "allowed = allowed.union(&undecided.intersection(&open));",
        wrong: "allowed = allowed.union(&open);",
        test: DIFFERENTIAL,
    },
    Mutation {
        mistake: "let path MTU messages through every Deny",
        file: "src/core/compile/program/resolver.rs",
        right: "spares_icmp: rule.services == Services::Every && !rule.failed_closed,",
        wrong: "spares_icmp: true,",
        test: DIFFERENTIAL,
    },
    Mutation {
        mistake: "take another ICMPv6 type for packet too big",
        file: "src/core/compile/fold.rs",
        right: "Message { kind: 2, code: 0 }",
        wrong: "Message { kind: 1, code: 0 }",
        test: "traps trap_11",
    },
    Mutation {
        mistake: "let a wide block in with the pods inside it that must stay out",
        file: "src/core/compile/grant.rs",
        right: "let conflicts = conflicts(function, cohorts);",
        wrong: "let conflicts = AddressSet::empty();",
        test: DIFFERENTIAL,
    },
    Mutation {
        mistake: "open all of sctp for one port",
        file: "src/core/compile/concession.rs",
        right: "said.sctp = Intervals::empty();",
        wrong: "said.sctp = Intervals::full();",
        test: "traps trap_13",
    },
    Mutation {
        mistake: "resolve any port name",
        file: "src/core/compile/program.rs",
        right: "if port.name == *name && transport",
        wrong: "if transport",
        test: "traps trap_04",
    },
    Mutation {
        mistake: "resolve a named port whatever its transport",
        file: "src/core/compile/program.rs",
        right: "transport.is_none_or(|transport| transport == port.transport)",
        wrong: "transport.is_none_or(|_| true)",
        test: DIFFERENTIAL,
    },
    Mutation {
        mistake: "keep silent about pods without a policy",
        file: "src/core/compile/loss.rs",
        right: "None if outcome.exact => return,",
        wrong: "None => return,",
        test: DIFFERENTIAL,
    },
    Mutation {
        mistake: "open egress to nodes",
        file: "src/core/compile/program.rs",
        right: "(NodeTraffic::None, _) | (_, Direction::Egress) => ServiceSet::empty(),",
        wrong: "(NodeTraffic::None, _) => ServiceSet::empty(),\n            (_, Direction::Egress) => ServiceSet::all(),",
        test: DIFFERENTIAL,
    },
    Mutation {
        mistake: "tell of flows that both let through",
        file: "src/core/compile/loss.rs",
        right: "(Effect::NotEnforced, given.difference(&wanted)),",
        wrong: "(Effect::NotEnforced, given.clone()),",
        test: PROOF,
    },
    Mutation {
        mistake: "keep silent about what the cloud never filters",
        file: "src/core/compile/loss.rs",
        right: "(true, addresses.intersection(platform).difference(&self.declared)),",
        wrong: "(true, AddressSet::empty()),",
        test: PROOF,
    },
    Mutation {
        mistake: "tell that a pod cannot reach itself",
        file: "src/core/compile/draw.rs",
        right: "        others.pods.remove(&pod);\n",
        wrong: "",
        test: PROOF,
    },
    Mutation {
        mistake: "close what no baseline rule decides",
        file: "src/core/compile/fold.rs",
        right: "        allowed = allowed.union(&undecided);\n    }\n    match loosen",
        wrong: "    }\n    match loosen",
        test: PROOF,
    },
    Mutation {
        mistake: "revoke first, move before the groups are filled",
        file: "src/core/plan/mod.rs",
        right: "return Some((stages, target, held));",
        wrong: "return Some((stages.into_iter().rev().collect(), target, held));",
        test: "traps trap_42",
    },
    Mutation {
        mistake: "plan without the proof",
        file: "src/core/plan/mod.rs",
        right: "match band::prove(now, goal.state, &stages, inventory, interfaces) {",
        wrong: "match band::prove(now, goal.state, &[], inventory, interfaces) {",
        test: BAND,
    },
    Mutation {
        mistake: "plan without looking at those whose rules name a mover's groups",
        file: "src/core/plan/part.rs",
        right: "(0..there.len()).filter(names).for_each(|place| near.set(place));",
        wrong: "",
        test: "core those_whose_rules_name",
    },
    Mutation {
        mistake: "let what is held be, though it finds a way once the rest is done",
        file: "src/core/plan/mod.rs",
        right: "if next.held == Held::default() || next.stages.is_empty() {",
        wrong: "if next.stages.len() < 1_000 {",
        test: "core no_subset_of_any_stage",
    },
    Mutation {
        mistake: "prove a move as if it only opened",
        file: "src/core/plan/band.rs",
        right: "(false, false, false) => Some(Course::Moves),",
        wrong: "(false, false, false) => Some(Course::Grows),",
        test: BAND,
    },
    Mutation {
        mistake: "move an interface over its quota of groups",
        file: "src/core/plan/draft.rs",
        right: "if let Some(breach) = budget::of_interface(interface, groups.len(), self.quotas) {",
        wrong: "if let Some(breach) = budget::of_interface(interface, 0, self.quotas) {",
        test: BAND,
    },
    Mutation {
        mistake: "leave groups behind that nobody wears",
        file: "src/core/plan/draft.rs",
        right: "    draft.leftovers();\n",
        wrong: "",
        test: BAND,
    },
    Mutation {
        mistake: "leave out the rules that open what is new",
        file: "src/core/plan/path.rs",
        right: "return Some(Path { early: BTreeSet::new(), rounds: vec![Round { add, remove }] });",
        wrong: "return Some(Path { early: BTreeSet::new(), rounds: vec![Round { add: BTreeSet::new(), remove }] });",
        test: BAND,
    },
    Mutation {
        mistake: "let an ICMP type take in its codes where two rules meet",
        file: "src/core/net/shape.rs",
        right: "(one.kind == kind).then_some(Messages::One(one))",
        wrong: "(one.kind == kind).then_some(Messages::Type(kind))",
        test: "core the_shape_that_two_shapes_share",
    },
    Mutation {
        mistake: "forget who names a pod that comes like no other",
        file: "src/core/compile/incremental/index/pods.rs",
        right: "if fewer == 0 || by_address {",
        wrong: "if by_address {",
        test: EVENTS,
    },
    Mutation {
        mistake: "look at two pods of many where addresses matter",
        file: "src/core/compile/incremental/world.rs",
        right: "let all = by_address || !cohort.alike.programmable();",
        wrong: "let all = !cohort.alike.programmable();",
        test: "core an_address_that_a_prefix",
    },
    Mutation {
        mistake: "take every place of a pod for the same",
        file: "src/core/compile/incremental/index/pods.rs",
        right: "let by_address = !cohort.alike.programmable() || !placed_alike;",
        wrong: "let _ = placed_alike;\n        let by_address = !cohort.alike.programmable();",
        test: "core an_address_that_a_prefix",
    },
    Mutation {
        mistake: "keep the references to pods that changed their class",
        file: "src/core/compile/incremental/classes.rs",
        right: "moved.grants.extend(member.iter().flat_map(|member| member.role.keys()));",
        wrong: "let _ = member;",
        test: EVENTS,
    },
    Mutation {
        mistake: "deny in an ACL what one pod of its subnets may",
        file: "src/core/compile/acl/passing.rs",
        right: "all = all.join(&here, ServiceSet::union);\n        }\n        roles",
        wrong: "all = all.join(&here, ServiceSet::intersection);\n        }\n        roles",
        test: "core what_one_pod_of_the_subnet_may_do",
    },
    Mutation {
        mistake: "take a pod that no policy governs for a closed one",
        file: "src/core/compile/acl/passing.rs",
        right: "open = [open[0] | families[0], open[1] | families[1]];",
        wrong: "open = [open[0], open[1]];",
        test: "core where_a_pod_inside_is_not_isolated",
    },
    Mutation {
        mistake: "forget that replies leave by the same ACL",
        file: "src/core/compile/acl/passing.rs",
        right: "let passing = self.towards(direction).join(&answered, ServiceSet::union);",
        wrong: "let passing = self.towards(direction).join(&answered, |first, _| first.clone());",
        test: "core replies_to_whoever_may_ask",
    },
    Mutation {
        mistake: "answer an echo by an echo",
        file: "src/core/compile/acl/passing.rs",
        right: "Family::V4 => &[(8, 0),",
        wrong: "Family::V4 => &[(8, 8),",
        test: "core an_answer_to_an_echo",
    },
    Mutation {
        mistake: "deny where a pod elsewhere may find another address",
        file: "src/core/compile/acl/passing.rs",
        right: "vec![vpc.iter().find(holds).copied().unwrap_or(Prefix::host(address))]",
        wrong: "vec![Prefix::host(address)]",
        test: "core what_a_pod_elsewhere_may_get",
    },
    Mutation {
        mistake: "trust an ACL with packets that stay in its subnet",
        file: "src/core/compile/acl/split.rs",
        right: "outside_fits && all.is_some_and(|all| may.inside.holds(all, &services));",
        wrong: "outside_fits || all.is_some_and(|all| may.inside.holds(all, &services));",
        test: "core groups_say_exactly_what_passes_inside",
    },
    Mutation {
        mistake: "rely on groups that may hold what they had before",
        file: "src/core/compile/acl/plot.rs",
        right: "!is_held && prior.iter()",
        wrong: "(is_held || !is_held) && prior.iter()",
        test: "core who_may_hold_more",
    },
    Mutation {
        mistake: "let both ends rely on each other",
        file: "src/core/compile/acl/plot.rs",
        right: "let admitted = self.admitted(passing, opposite(direction)).union(fills);",
        wrong: "let admitted = self.admitted(passing, opposite(direction)).union(&fills.difference(fills));",
        test: "core only_one_of_two_ends",
    },
    Mutation {
        mistake: "rely on groups that are not ours to say",
        file: "src/core/compile/acl/plot.rs",
        right: "let Carrier::Programmable(prior) = &cohort.carrier else { return false };",
        wrong: "let Carrier::Programmable(prior) = &cohort.carrier else { return true };",
        test: "core whose_groups_are_not_ours",
    },
    Mutation {
        mistake: "guard a subnet that holds others",
        file: "src/core/inventory.rs",
        right: "let left_alone = if subnet.has_others {",
        wrong: "let left_alone = if subnet.blocks.is_empty() {",
        test: "core a_subnet_with_others",
    },
    Mutation {
        mistake: "forget that isolation closes, too, when saying whom an entry serves",
        file: "src/core/compile/acl/served.rs",
        right: "accepts: isolates.then(",
        wrong: "accepts: (!isolates).then(",
        test: "core an_entry_serves_the_policies",
    },
    Mutation {
        mistake: "forget the room that the entries of others take",
        file: "src/core/compile/acl/plot.rs",
        right: "entries_per_acl.saturating_sub(taken.count() + 1)",
        wrong: "entries_per_acl.saturating_sub(taken.count().min(0) + 1)",
        test: "core the_entries_of_the_acl_before_ours",
    },
    Mutation {
        mistake: "say that an ACL closes what stays in its subnet",
        file: "src/core/compile/acl/mod.rs",
        right: "Some(closed.join(&past, ServiceSet::difference)",
        wrong: "Some(closed.join(&past, |closed, _| closed.clone())",
        test: "core an_acl_closes_what_no_group_can",
    },
    Mutation {
        mistake: "take the ports that were asked for those that are answered",
        file: "src/core/compile/acl/passing.rs",
        right: "replies.tcp = to_clients(&asked.tcp);",
        wrong: "replies.tcp = asked.tcp.clone();",
        test: "core replies_to_whoever_may_ask",
    },
    Mutation {
        mistake: "deny what answers by sctp",
        file: "src/core/compile/acl/passing.rs",
        right: "if asked.sctp.is_empty() { Intervals::empty() } else { Intervals::full() };",
        wrong: "if asked.sctp.is_empty() { Intervals::empty() } else { Intervals::empty() };",
        test: "core answers_by_sctp",
    },
    Mutation {
        mistake: "forget one family of what pods of both ask alike",
        file: "src/core/compile/acl/passing.rs",
        right: "known.insert((families, std::ptr::from_ref(&*function.addresses)))",
        wrong: "known.insert(([true, true], std::ptr::from_ref(&*function.addresses)))",
        test: "core what_passes_for_pods_of_one_family",
    },
    Mutation {
        mistake: "let an entry close what may pass",
        file: "src/core/compile/acl/entries.rs",
        right: "let boxes = largest_boxes(&function).into_iter()",
        wrong: "let boxes = largest_boxes(&function.map(|_| ServiceSet::line(T::FAMILY))).into_iter()",
        test: "core no_list_of_denies_is_shorter",
    },
    Mutation {
        mistake: "rely on groups that stay beside ours",
        file: "src/core/compile/acl/plot.rs",
        right: "prior.iter().all(|group| !self.settings.keep_groups.contains(group))",
        wrong: "prior.iter().all(|_| true)",
        test: "core whose_groups_are_not_ours",
    },
    Mutation {
        mistake: "copy one ACL for subnets that had another one",
        file: "src/core/inventory.rs",
        right: "(same != prior).then_some(",
        wrong: "(id == first && same != prior).then_some(",
        test: "core a_subnet_with_others",
    },
    Mutation {
        mistake: "leave no room for what is denied on the way",
        file: "src/core/compile/acl/plot.rs",
        right: "entries_per_acl.saturating_sub(taken.count() + 1) / 2",
        wrong: "entries_per_acl.saturating_sub(taken.count() + 1)",
        test: "core the_entries_of_the_acl_before_ours",
    },
    Mutation {
        mistake: "count the entries of the other family",
        file: "src/core/compile/acl/plot.rs",
        right: "entry.prefix.family() == family)",
        wrong: "entry.prefix.family() != family)",
        test: "core the_entries_of_the_acl_before_ours",
    },
    Mutation {
        mistake: "rely on an ACL for pods with an address elsewhere",
        file: "src/core/compile/acl/mod.rs",
        right: "let families = acls.map(|it| it == Some(acl));",
        wrong: "let families = acls.map(|_| true);",
        test: "core a_pod_with_an_address_elsewhere",
    },
    Mutation {
        mistake: "believe that an ACL sees what pods send by their nodes",
        file: "src/core/compile/acl/mod.rs",
        right: "let by_node = direction == Direction::Egress && cohort.shares_node();",
        wrong: "let by_node = direction == Direction::Ingress && cohort.shares_node();",
        test: "core an_acl_closes_nothing_of_what_pods_send",
    },
    Mutation {
        mistake: "forget who comes to an ACL when it denies less",
        file: "src/core/plan/guard.rs",
        right: "moved.get(id).or(self.now.subnets.get(id)).and_then(AclKey::ours) == Some(acl)",
        wrong: "!moved.contains_key(id) && self.now.subnets.get(id).and_then(AclKey::ours) == Some(acl)",
        test: "core an_acl_goes_on_denying_what",
    },
    Mutation {
        mistake: "rely on ends inside a subnet though new pods start open",
        file: "src/core/compile/acl/plot.rs",
        right: "closed_inside: match self.settings.quarantine {",
        wrong: "closed_inside: match self.settings.quarantine || room < usize::MAX {",
        test: "core groups_say_exactly_what_passes_inside_where_new",
    },
    Mutation {
        mistake: "expect a peer's next place in its own subnet alone",
        file: "src/core/compile/acl/passing.rs",
        right: "let alike = |block: &&Prefix| block.family() == Family::of(address);",
        wrong: "let alike = holds;",
        test: "core what_a_pod_elsewhere_may_get",
    },
    Mutation {
        mistake: "drop the entries of the ACL before ours",
        file: "src/core/compile/acl/mod.rs",
        right: "for (number, entry) in (1..).zip(denied.iter().copied().map(deny)).chain(theirs) {",
        wrong: "for (number, entry) in (1..).zip(denied.iter().copied().map(deny)).chain(theirs.take(0)) {",
        test: "core the_entries_of_the_acl_before_ours",
    },
    Mutation {
        mistake: "ask the last entry of the ACL before ours first",
        file: "src/core/compile/acl/prior.rs",
        right: "acl.0.iter().rev().filter(",
        wrong: "acl.0.iter().filter(",
        test: "core no_finding_shows_a_flow",
    },
    Mutation {
        mistake: "let a subnet come to an ACL that copies what was said before",
        file: "src/core/plan/guard.rs",
        right: "&& self.copies(goal, goal)",
        wrong: "&& (self.copies(goal, goal) || !needs.is_empty())",
        test: "core no_subnet_comes_to_an_acl_that_copies",
    },
    Mutation {
        mistake: "keep a subnet behind copies that have no room to follow",
        file: "src/core/plan/guard.rs",
        right: "if follows && middle == course.old {",
        wrong: "if middle == course.old {",
        test: "core a_subnet_goes_by_way_of_another",
    },
    Mutation {
        mistake: "stop denying before groups have changed",
        file: "src/core/plan/guard.rs",
        right: "self.stages.extend(groups.stages);\n        self.ease(&waits);",
        wrong: "self.ease(&waits);\n        self.stages.extend(groups.stages);",
        test: "transitions groups_and_network_acls",
    },
    Mutation {
        mistake: "stop denying what groups that are held rely on",
        file: "src/core/plan/guard.rs",
        right: "let waits = self.waiting(&groups);",
        wrong: "let waits = self.stuck.clone();",
        test: "core a_subnet_that_waits_goes_on",
    },
    Mutation {
        mistake: "let an entry take the place of one that others need",
        file: "src/core/plan/guard/entries.rs",
        right: "old.action == EntryAction::Deny\n        && others.all(",
        wrong: "old.action == EntryAction::Deny\n        || others.all(",
        test: "core an_entry_keeps_its_place",
    },
    Mutation {
        mistake: "let an ACL guard without the entries of the one before it",
        file: "src/core/plan/guard.rs",
        right: "let copied = self.wanted.acls.get(&AclKey::Ours(goal.clone()));\n            let there",
        wrong: "let copied = self.wanted.acls.get(&AclKey::Ours(goal.passing(0)));\n            let there",
        test: "transitions groups_and_network_acls",
    },
    Mutation {
        mistake: "deny on the way only what is wanted",
        file: "src/core/plan/guard.rs",
        right: "let middle = &course.old | &course.new;",
        wrong: "let middle = course.new.clone();",
        test: "core subnets_that_part",
    },
    Mutation {
        mistake: "let subnets that go different ways share an ACL",
        file: "src/core/plan/guard.rs",
        right: ".all(|(_, other)| &other.old | &other.new == middle)",
        wrong: ".all(|(_, other)| &other.old | &other.new != Denies::default())",
        test: "core subnets_that_part",
    },
    Mutation {
        mistake: "move who relies on denies that do not fit",
        file: "src/core/plan/guard.rs",
        right: "let stuck = |id: &SubnetId| self.stuck.contains(id);",
        wrong: "let stuck = |id: &SubnetId| self.stuck.contains(id) && self.courses.is_empty();",
        test: "core pods_stay_as_they_are",
    },
    Mutation {
        mistake: "pass the quota of entries on the way",
        file: "src/core/plan/guard.rs",
        right: "if let Some(breach) = self.breach(&place, copied, &middle) {",
        wrong: "if let Some(breach) = self.breach(&place, copied, &middle).filter(|_| false) {",
        test: "core what_does_not_fit",
    },
    Mutation {
        mistake: "copy the entries of others in any order",
        file: "src/core/plan/guard.rs",
        right: "steps.into_iter().for_each(|it| self.stage(Purpose::Follow, vec![it]));",
        wrong: "self.stage(Purpose::Follow, steps);",
        test: "core copies_follow_from_the_first",
    },
    Mutation {
        mistake: "let the old copies decide what the new ones leave",
        file: "src/core/plan/guard/copies.rs",
        right: "new.values().copied().chain(families).collect();",
        wrong: "new.values().copied().chain(families.into_iter().take(0)).collect();",
        test: "core copies_follow_from_the_first",
    },
    Mutation {
        mistake: "leave a passing ACL behind while something is held",
        file: "src/core/plan/guard.rs",
        right: "for (id, course) in &self.courses {\n            let (now, needs)",
        wrong: "for (id, course) in self.courses.iter().filter(|(id, _)| !waits.contains(*id)) {\n            let (now, needs)",
        test: "core a_subnet_that_waits",
    },
    Mutation {
        mistake: "keep what nobody has any more",
        file: "src/core/compile/shared.rs",
        right: "self.0.retain(|_, shared| Arc::strong_count(&shared.0) > OWN);",
        wrong: "self.0.retain(|_, shared| Arc::strong_count(&shared.0) >= OWN);",
        test: "core what_nobody_has_any_more",
    },
];

#[cfg(test)]
mod tests {
    use super::MUTATIONS;

    #[test]
    fn every_mistake_can_be_made_in_the_code_as_it_is() {
        for mutation in MUTATIONS {
            let path = format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), mutation.file);
            let wrong = mutation.apply(&std::fs::read_to_string(path).unwrap());
            assert!(wrong.is_ok(), "{wrong:?}");
        }
    }
}
