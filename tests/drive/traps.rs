//! Traps that other systems fell into, by their numbers.

use super::*;

fn authorize(index: usize, rules: impl IntoIterator<Item = Rule>) -> Step {
    let rules = rules.into_iter().map(|rule| (rule, "shop/web".to_owned())).collect();
    Step::Authorize { group: GroupNumber::nth(index), direction: Direction::Ingress, rules }
}

fn revoke(index: usize, rules: impl IntoIterator<Item = Rule>) -> Step {
    let rules = rules.into_iter().collect();
    Step::Revoke { group: GroupNumber::nth(index), direction: Direction::Ingress, rules }
}

fn ingress(port: u16) -> Rule {
    tcp(Direction::Ingress, everywhere(), port)
}

/// Someone changes the rules of `moat.default.1`.
fn by_hand(sim: &mut Sim, add: Rule, remove: &Rule) {
    sim.as_someone_else(|vpc| {
        let named = |group: &moat_sim::Group| group.name == "moat.default.1";
        let (id, group) = vpc.groups().find(|(_, group)| named(group)).unwrap();
        let (id, rules) = (id.clone(), group.rules.clone());
        vpc.authorize(&id, &[(add, "by hand".to_owned())].into(), None).unwrap();
        let ids = [rules.get(remove).unwrap().id.clone()].into();
        vpc.revoke(&id, remove.direction, &ids).unwrap();
    });
}

#[test]
fn trap_43_a_grant_over_the_quota_is_reported_and_what_was_there_stays_whole() {
    let mut sim = settled(&Config::default(), &before());
    let held = holds(&sim);
    let plan = stages([vec![authorize(0, (1..61).map(ingress))], vec![revoke(0, [ingress(80)])]]);
    let outcome = block_on(drive(&mut sim, &plan, &scope()));
    assert_eq!(outcome.ending, Ending::Failed);
    let failed: Vec<String> = outcome.failures().map(|(_, error)| error.to_string()).collect();
    assert_eq!(
        failed,
        [
            "the quota `rules per group` of 60 is reached for `moat.1` (RulesPerSecurityGroupLimitExceeded): raise it, or set `quotas` to the account's"
        ]
    );
    assert_eq!(holds(&sim), held);
}

#[test]
fn trap_44_what_is_there_or_gone_already_is_read_again_and_counts_once_a_picture_shows_it() {
    let mut sim = settled(&Config::default(), &before());
    by_hand(&mut sim, ingress(81), &ingress(80));
    let before = sim.mutating_calls();
    let done = stages([vec![authorize(0, [ingress(81)]), revoke(0, [ingress(80)])]]);
    assert_eq!(block_on(drive(&mut sim, &done, &scope())).ending, Ending::Done);
    assert_eq!(sim.mutating_calls() - before, 2, "each is tried once");
    let partly = stages([vec![authorize(0, [ingress(81), ingress(82)])]]);
    assert_eq!(block_on(drive(&mut sim, &partly, &scope())).ending, Ending::PlanAgain);
}

#[test]
fn trap_46_a_new_group_is_not_worn_before_its_default_rules_are_read_back_as_gone() {
    let mut sim = sim(Config::default());
    sim.inject(Injection {
        call: Some(Call::RevokeSecurityGroupEgress),
        after: 0,
        times: 1,
        fault: Fault::Lose(Moment::Before),
    });
    let observed = block_on(observe(&mut sim, &scope())).unwrap();
    let outcome = plan(&observed, &before());
    let outcome = block_on(drive(&mut sim, &outcome, &scope()));
    assert_eq!(outcome.ending, Ending::PlanAgain);
    assert!(outcome.attempts.iter().all(|attempt| attempt.purpose == Purpose::Create));
    let group = outcome.observed.unwrap().state.groups.get(&ours(0)).cloned().unwrap();
    assert!(group.iter().all(|rule| rule.shape == Shape::All), "the picture shows them");
    converge(&mut sim, &before());
}

#[test]
fn trap_47_a_group_that_is_not_visible_yet_is_waited_for_and_never_created_twice() {
    let lag = Duration::from_secs(120);
    let mut sim = sim(Config { lag, ..Config::default() });
    block_on(observe(&mut sim, &scope())).unwrap();
    let create = Step::CreateGroup(GroupNumber::nth(0));
    let plan = stages([vec![create], vec![authorize(0, [ingress(80)])]]);
    assert_eq!(block_on(drive(&mut sim, &plan, &scope())).ending, Ending::Done);
    assert_eq!(sim.calls().get(&Call::CreateSecurityGroup), Some(&1));
    assert!(sim.now() >= 2 * lag, "{:?}", sim.now());

    let lag = Duration::from_secs(3_600);
    let mut never = self::sim(Config { lag, ..Config::default() });
    assert_eq!(block_on(drive(&mut never, &plan, &scope())).ending, Ending::Failed);
    assert_eq!(never.calls().get(&Call::CreateSecurityGroup), Some(&1));
    assert!(never.now() < Duration::from_secs(900), "{:?}", never.now());
}
