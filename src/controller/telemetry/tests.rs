use moat_core::firewall::{Acl, AclKey, EntryKey, EntryNumber, ForeignAclId};
use moat_core::policy::{Kind, ObjectRef};
use moat_core::provider::{Meter, Tokens};

use super::*;

fn telemetry(leads: bool) -> Arc<Telemetry> {
    Arc::new(Telemetry::new(&Configuration::default(), Tenure::fixed(leads)))
}

fn number(number: u32) -> GroupNumber {
    GroupNumber(number.try_into().expect("it is not zero"))
}

/// A stage that closes one rule of a group.
fn tightening() -> Stage {
    let text = "ingress 10.0.0.0/8 tcp/80";
    let rule = text.parse().expect("a rule");
    let rules = BTreeSet::from([rule]);
    let step = Step::Revoke { group: number(1), direction: Direction::Ingress, rules };
    Stage { purpose: Purpose::Tighten, steps: vec![step] }
}

/// Ends a round with what is left of a plan.
fn end(telemetry: &Telemetry, stages: &[Stage], remaining: &[Stage]) {
    telemetry.round(&Done {
        observed: None,
        stages,
        remaining: &Plan { stages: remaining.to_vec(), ..Plan::default() },
        ended: remaining.is_empty(),
        repaired: 0,
        counts: Counts::default(),
        quotas: Quotas::default(),
    });
}

/// The values of a metric, by its labels as they are written.
fn values(telemetry: &Arc<Telemetry>, name: &str) -> Vec<(String, f64)> {
    let text = telemetry.text();
    let of_name = text.lines().filter_map(|line| line.strip_prefix(name));
    let samples = of_name.filter(|rest| rest.starts_with([' ', '{']));
    let samples = samples.map(|rest| {
        let (labels, value) = rest.rsplit_once(' ').expect("a value");
        (labels.to_owned(), value.parse().expect("a number"))
    });
    samples.collect()
}

fn value(telemetry: &Arc<Telemetry>, name: &str) -> Option<f64> {
    values(telemetry, name).first().map(|(_, value)| *value)
}

#[tokio::test(start_paused = true)]
async fn a_change_is_timed_from_the_first_word_of_it_until_the_cloud_is_read_back() {
    let telemetry = telemetry(true);
    let pass = async |seconds| tokio::time::advance(Duration::from_secs(seconds)).await;
    let timed = || {
        let count = value(&telemetry, "moat_change_latency_seconds_count");
        (count, value(&telemetry, "moat_change_latency_seconds_sum"))
    };
    telemetry.told(&BTreeMap::new(), true);
    pass(2).await;
    telemetry.told(&BTreeMap::new(), true);
    telemetry.begin();
    pass(1).await;
    // Told while the round is under way: it is another change.
    telemetry.told(&BTreeMap::new(), true);
    end(&telemetry, &[tightening()], &[tightening()]);
    assert_eq!(timed(), (Some(0.0), Some(0.0)));
    telemetry.begin();
    pass(1).await;
    end(&telemetry, &[], &[]);
    assert_eq!(timed(), (Some(1.0), Some(4.0)));
    // One that the cloud need not follow is none.
    telemetry.told(&BTreeMap::new(), true);
    telemetry.begin();
    end(&telemetry, &[], &[]);
    assert_eq!(timed(), (Some(1.0), Some(4.0)));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_pending_from_the_plan_that_asks_for_it_until_it_is_done() {
    let telemetry = telemetry(true);
    let oldest = || value(&telemetry, "moat_pending_revokes_oldest_seconds");
    let plan = Plan { stages: vec![tightening()], ..Plan::default() };
    assert_eq!(oldest(), Some(0.0));
    for passed in [3.0, 6.0] {
        telemetry.planned(&plan);
        tokio::time::advance(Duration::from_secs(3)).await;
        end(&telemetry, &[], &plan.stages);
        assert_eq!(oldest(), Some(passed));
        assert_eq!(value(&telemetry, "moat_programmed_equals_intent"), Some(0.0));
    }
    end(&telemetry, &plan.stages, &[]);
    assert_eq!(oldest(), Some(0.0));
    assert_eq!(value(&telemetry, "moat_programmed_equals_intent"), Some(1.0));
    assert_eq!(value(&telemetry, "moat_ec2_minimum_calls_total"), Some(1.0));
    // Whoever comes to lead has not looked yet, and may not be able to.
    telemetry.lease_changed();
    assert_eq!(value(&telemetry, "moat_programmed_equals_intent"), None);
    telemetry.unknown();
    assert_eq!(value(&telemetry, "moat_programmed_equals_intent"), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_lead_tells_nothing_that_only_a_leader_knows() {
    let finding = Finding {
        object: ObjectRef { kind: Kind::NetworkPolicy, namespace: None, name: "one".into() },
        path: "".into(),
        reason: Reason::SctpPort,
        effect: Effect::Narrower,
        message: "".into(),
        flows: Arc::new([]),
        witness: None,
        location: None,
    };
    for leads in [true, false] {
        let telemetry = telemetry(leads);
        end(&telemetry, &[], &[]);
        let stalled = ["Stalled", "True", "QuotaExceeded"].map(str::to_owned).into();
        telemetry.reported([&finding, &finding].into_iter(), [stalled].into_iter());
        let sees = |name| values(&telemetry, name);
        let led = |text: &str, value| leads.then(|| (text.to_owned(), value)).into_iter().collect();
        let found: Vec<_> = led("{reason=\"SctpPort\",effect=\"Narrower\"}", 2.0);
        assert_eq!(sees("moat_findings"), found);
        let said: Vec<_> =
            led("{condition=\"Stalled\",status=\"True\",reason=\"QuotaExceeded\"}", 1.0);
        assert_eq!(sees("moat_policies"), said);
        let equal: Vec<_> = led("", 1.0);
        assert_eq!(sees("moat_programmed_equals_intent"), equal);
        assert_eq!(sees("moat_leader"), [(String::new(), f64::from(u8::from(leads)))]);
    }
}

#[tokio::test(start_paused = true)]
async fn entries_of_our_acls_are_counted_with_the_final_deny() {
    let telemetry = telemetry(true);
    let key = |number| EntryKey {
        direction: Direction::Egress,
        number: EntryNumber::try_from(number).expect("a number"),
    };
    let deny = |block: &str| format!("deny {block} all").parse().expect("an entry");
    let acl = Acl([(key(1), deny("10.0.0.0/8")), (key(2), deny("fd00::/8"))].into());
    let mut observed = Observed::default();
    observed.state.acls = [
        (AclKey::Ours(AclName("pods".into())), acl.clone()),
        (AclKey::Foreign(ForeignAclId("acl-1".into())), acl),
    ]
    .into();
    telemetry.round(&Done {
        observed: Some(&observed),
        stages: &[],
        remaining: &Plan::default(),
        ended: true,
        repaired: 0,
        counts: Counts::default(),
        quotas: Quotas::default(),
    });
    let labels = |family| format!("{{acl=\"pods\",direction=\"egress\",family=\"{family}\"}}");
    assert_eq!(
        values(&telemetry, "moat_acl_entries"),
        [(labels("IPv4"), 2.0), (labels("IPv6"), 2.0)]
    );
    assert_eq!(value(&telemetry, "moat_acl_entry_quota"), Some(20.0));
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_and_tokens_flow_back() {
    let telemetry = telemetry(false);
    let meter = telemetry.meter();
    meter.answered("DescribeVpcs", "OK");
    meter.answered("DescribeVpcs", "OK");
    meter.took("DescribeVpcs", Tokens { left: 3, size: 5, period: Duration::from_secs(1) });
    let sees = |name| values(&telemetry, name);
    let labels = "{op=\"DescribeVpcs\",code=\"OK\"}".to_owned();
    assert_eq!(sees("moat_ec2_requests_total"), [(labels, 2.0)]);
    for left in [3.0, 4.0, 5.0, 5.0] {
        assert_eq!(sees("moat_ec2_tokens"), [("{op=\"DescribeVpcs\"}".to_owned(), left)]);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_lives_as_long_as_it_takes_turns() {
    let telemetry = telemetry(true);
    let works = with_signs_of_life(Arc::clone(&telemetry), async {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        std::future::pending::<()>().await;
    });
    let works = tokio::spawn(works);
    tokio::time::sleep(Duration::from_secs(6_010)).await;
    assert!(telemetry.lives());
    tokio::time::sleep(HANGS).await;
    assert!(!telemetry.lives());
    works.abort();
}
