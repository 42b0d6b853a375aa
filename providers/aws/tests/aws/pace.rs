//! Token buckets, repetitions and their budget, on a simulated clock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moat_aws::call::{Call, Effect, Rate};
use moat_aws::errors::{Failure, Meaning};
use moat_aws::pace::Pace;
use moat_aws::time::Time;
use moat_core::provider::{Meter, Tokens};

use crate::localstack::run;

const CALL: Call = Call::AuthorizeSecurityGroupIngress;

fn failure(call: Call, meaning: Meaning) -> Failure {
    Failure { call, meaning, code: String::new(), text: String::new(), retry_after: None }
}

/// A cloud with a token bucket, written without the library that the pace uses.
struct Cloud {
    time: Time,
    rate: Rate,
    level: Cell<f64>,
    at: Cell<Duration>,
    calls: Cell<u32>,
}

impl Cloud {
    fn new(time: &Time, burst: u32, per_second: u32) -> Self {
        let rate = Rate::of(burst, per_second);
        let level = Cell::new(burst.into());
        Self { time: time.clone(), rate, level, at: Cell::default(), calls: Cell::new(0) }
    }

    async fn answer(&self) -> Result<(), Failure> {
        self.calls.set(self.calls.get() + 1);
        let now = self.time.elapsed();
        let flowed = (now - self.at.get()).as_secs_f64() * f64::from(self.rate.per_second.get());
        let level = (self.level.get() + flowed).min(self.rate.burst.get().into());
        self.at.set(now);
        // A rounding error is no call too many.
        if level + 1e-6 < 1.0 {
            self.level.set(level);
            return Err(failure(CALL, Meaning::Throttled));
        }
        self.level.set(level - 1.0);
        Ok(())
    }

    fn send_all(&self, calls: u32) -> Vec<Result<(), Failure>> {
        let pace = Pace::new(self.time.clone(), BTreeMap::new());
        run(async {
            let mut answers = Vec::new();
            for _ in 0..calls {
                answers.push(pace.send(CALL, || self.answer()).await);
            }
            answers
        })
    }

    fn send_together(&self, calls: u32) -> Vec<Result<(), Failure>> {
        let pace = Pace::new(self.time.clone(), BTreeMap::new());
        let answer = || async {
            // Others get on while this one is on its way.
            tokio::task::yield_now().await;
            self.answer().await
        };
        let calls = (0..calls).map(|_| pace.send(CALL, answer));
        run(self.time.side_by_side(calls))
    }
}

#[test]
fn a_thousand_calls_take_what_the_bucket_sets_and_none_is_throttled() {
    let time = Time::simulated();
    let cloud = Cloud::new(&time, 50, 5);
    let answers = cloud.send_all(1_000);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(cloud.calls.get(), 1_000);
    let (taken, bound) = (time.elapsed(), Duration::from_secs((1_000 - 50) / 5));
    assert!(taken >= bound && taken <= bound.mul_f64(1.01), "{taken:?}");
}

#[test]
fn a_thousand_calls_side_by_side_take_no_longer_and_no_shorter() {
    let time = Time::simulated();
    let cloud = Cloud::new(&time, 50, 5);
    let answers = cloud.send_together(1_000);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(cloud.calls.get(), 1_000);
    let (taken, bound) = (time.elapsed(), Duration::from_secs((1_000 - 50) / 5));
    assert!(taken >= bound && taken <= bound.mul_f64(1.01), "{taken:?}");
}

/// The bucket of the cloud is empty from the start: sixteen calls find out at once, which is one lesson and not sixteen.
#[test]
fn calls_that_are_throttled_together_teach_once() {
    let time = Time::simulated();
    let cloud = Cloud::new(&time, 50, 5);
    cloud.level.set(0.0);
    let answers = cloud.send_together(100);
    assert!(answers.iter().all(Result::is_ok));
    let (taken, bound) = (time.elapsed(), Duration::from_secs(100 / 5));
    assert!(taken <= bound.mul_f64(2.0), "{taken:?}");
}

#[test]
fn few_calls_are_on_their_way_at_a_time_and_who_waits_for_one_keeps_nobody_from_another() {
    let time = Time::simulated();
    let pace = Pace::new(time.clone(), BTreeMap::new());
    let (now, most) = (Cell::new(0_u32), Cell::new(0_u32));
    let order = RefCell::new(Vec::new());
    let attempt = |call| {
        let (now, most, order) = (&now, &most, &order);
        move || async move {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            tokio::task::yield_now().await;
            now.set(now.get() - 1);
            order.borrow_mut().push(call);
            Ok(())
        }
    };
    let calls = [CALL; 60].into_iter().chain([Call::CreateSecurityGroup; 40]);
    let calls = calls.map(|call| pace.send(call, attempt(call)));
    let answers: Vec<Result<(), Failure>> = run(time.side_by_side(calls));
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(most.get(), 16);
    assert_eq!(time.elapsed(), Duration::from_secs(2), "ten calls more than the bucket holds");
    assert_eq!(order.borrow()[90..], [CALL; 10], "nobody else waits");
}

#[test]
fn who_sleeps_side_by_side_wakes_up_in_turn_and_time_does_not_add_up() {
    let time = Time::simulated();
    let woken = RefCell::new(Vec::new());
    let sleep = |seconds: u64| {
        let (time, woken) = (&time, &woken);
        async move {
            for _ in 0..2 {
                time.sleep(Duration::from_secs(seconds)).await;
                woken.borrow_mut().push((seconds, time.elapsed().as_secs()));
            }
        }
    };
    run(async {
        time.side_by_side([5, 1, 3].map(sleep)).await;
        assert_eq!(*woken.borrow(), [(1, 1), (1, 2), (3, 3), (5, 5), (3, 6), (5, 10)]);
        time.sleep(Duration::from_secs(1)).await;
        assert_eq!(time.elapsed(), Duration::from_secs(11), "who is alone moves time on");
    });
}

#[test]
fn time_stands_still_for_an_answer() {
    let time = Time::simulated();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let (answered, slept) = (Cell::new(None), Cell::new(None));
    run(async {
        let ask = async {
            time.stand_still(receiver).await.unwrap();
            answered.set(Some(time.elapsed()));
        };
        let wait = async {
            time.sleep(Duration::from_secs(1)).await;
            slept.set(Some(time.elapsed()));
        };
        // The answer comes from outside, after a while that is no part of the simulation.
        std::thread::spawn(move || sender.send(()));
        let both: [std::pin::Pin<Box<dyn Future<Output = ()>>>; 2] =
            [Box::pin(ask), Box::pin(wait)];
        time.side_by_side(both).await;
    });
    assert_eq!(answered.get(), Some(Duration::ZERO));
    assert_eq!(slept.get(), Some(Duration::from_secs(1)));
}

/// Others use the account, or its limits are lower: what is learned keeps the repetitions few and the time short.
#[test]
fn a_slower_account_is_learned_from_its_throttling() {
    let time = Time::simulated();
    let cloud = Cloud::new(&time, 20, 2);
    let answers = cloud.send_all(400);
    assert!(answers.iter().all(Result::is_ok));
    assert!(cloud.calls.get() <= 460, "{} calls", cloud.calls.get());
    let (taken, bound) = (time.elapsed(), Duration::from_secs((400 - 20) / 2));
    assert!(taken <= bound.mul_f64(1.5), "{taken:?}");
}

#[test]
fn a_tenth_of_calls_throttled_at_random_costs_a_tenth_more() {
    let time = Time::simulated();
    let pace = Pace::new(time, BTreeMap::new());
    let (calls, seed) = (Cell::new(0_u32), Cell::new(7_u64));
    let answer = || async {
        calls.set(calls.get() + 1);
        seed.set(seed.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        if (seed.get() >> 33).is_multiple_of(10) {
            return Err(failure(CALL, Meaning::Throttled));
        }
        Ok(())
    };
    run(async {
        for _ in 0..500 {
            pace.send(CALL, answer).await.unwrap();
        }
    });
    assert!((500..=575).contains(&calls.get()), "{} calls", calls.get());
}

#[test]
fn a_lost_answer_is_asked_for_again_by_reads_alone() {
    for call in Call::ALL {
        let pace = Pace::new(Time::simulated(), BTreeMap::new());
        let attempts = Cell::new(0);
        let answer = run(pace.send(*call, || async {
            attempts.set(attempts.get() + 1);
            if attempts.get() == 1 { Err(failure(*call, Meaning::Unknown)) } else { Ok(()) }
        }));
        match call.effect() {
            Effect::Reads => assert_eq!((answer, attempts.get()), (Ok(()), 2), "{call:?}"),
            Effect::Changes | Effect::Inquires => {
                let unknown = Err(failure(*call, Meaning::Unknown));
                assert_eq!((answer, attempts.get()), (unknown, 1), "{call:?}");
            }
        }
    }
}

#[test]
fn what_will_fail_again_is_tried_once() {
    let pace = Pace::new(Time::simulated(), BTreeMap::new());
    for meaning in [
        Meaning::NotFound,
        Meaning::Duplicate,
        Meaning::InUse,
        Meaning::Unauthorized,
        Meaning::Credentials,
        Meaning::Invalid,
    ] {
        let attempts = Cell::new(0);
        let answer: Result<(), Failure> = run(pace.send(Call::DescribeVpcs, || async {
            attempts.set(attempts.get() + 1);
            Err(failure(Call::DescribeVpcs, meaning))
        }));
        let wanted = failure(Call::DescribeVpcs, meaning);
        assert_eq!((answer, attempts.get()), (Err(wanted), 1));
    }
}

/// A cloud that throttles everything sees few calls, and whoever waits for it is told within about a minute.
#[test]
fn repetitions_end() {
    let time = Time::simulated();
    let pace = Pace::new(time.clone(), BTreeMap::new());
    let attempts = Cell::new(0);
    let refused = || async {
        attempts.set(attempts.get() + 1);
        Err::<(), Failure>(failure(CALL, Meaning::Throttled))
    };
    let answer = run(pace.send(CALL, refused));
    assert_eq!(answer, Err(failure(CALL, Meaning::Throttled)));
    assert!(time.elapsed() <= Duration::from_secs(70), "{:?}", time.elapsed());
    for _ in 0..100 {
        let _ = run(pace.send(CALL, refused));
    }
    assert!(attempts.get() <= 100 + 1 + 50, "{} attempts", attempts.get());
}

/// A person waits for the first answer, and nothing is under way.
#[test]
fn a_cloud_that_only_ever_fails_is_told_in_ten_seconds_and_one_that_answered_is_waited_for() {
    let time = Time::simulated();
    let pace = Pace::new(time.clone(), BTreeMap::new());
    let (read, fails) = (Call::DescribeVpcs, failure(Call::DescribeVpcs, Meaning::Unknown));
    run(async {
        let attempt = || async { Err::<(), _>(fails.clone()) };
        assert_eq!(pace.send(read, attempt).await, Err(fails.clone()));
        let first = time.elapsed();
        assert!(first > Duration::ZERO && first <= Duration::from_secs(10), "{first:?}");
        pace.send(read, || async { Ok(()) }).await.unwrap();
        assert_eq!(pace.send(read, attempt).await, Err(fails.clone()));
        assert!(time.elapsed() - first > Duration::from_secs(30), "{:?}", time.elapsed());
    });
}

#[test]
fn the_cloud_may_say_how_long_to_wait() {
    let time = Time::simulated();
    let pace = Pace::new(time.clone(), BTreeMap::new());
    let moments = RefCell::new(Vec::new());
    let asked = Duration::from_secs(17);
    run(pace.send(CALL, || async {
        moments.borrow_mut().push(time.elapsed());
        if moments.borrow().len() > 1 {
            return Ok(());
        }
        Err(Failure { retry_after: Some(asked), ..failure(CALL, Meaning::Throttled) })
    }))
    .unwrap();
    let moments = moments.into_inner();
    assert!(moments[1] - moments[0] >= asked, "{moments:?}");
}

#[test]
fn each_call_has_a_bucket_of_its_own_and_the_configuration_may_widen_it() {
    let time = Time::simulated();
    let pace = Pace::new(time.clone(), BTreeMap::from([(CALL, Rate::of(200, 5))]));
    run(async {
        for _ in 0..200 {
            pace.send(CALL, || async { Ok(()) }).await.unwrap();
        }
        for _ in 0..50 {
            pace.send(Call::CreateSecurityGroup, || async { Ok(()) }).await.unwrap();
        }
    });
    assert_eq!(time.elapsed(), Duration::ZERO);
}

#[test]
fn an_endpoint_that_never_answered_is_told_at_once_and_one_that_did_is_tried_again() {
    let time = Time::simulated();
    let pace = Pace::new(time.clone(), BTreeMap::new());
    run(async {
        for call in [Call::DescribeVpcs, CALL] {
            let answer: Result<(), _> =
                pace.send(call, || async { Err(failure(call, Meaning::Unreached)) }).await;
            assert_eq!(answer, Err(failure(call, Meaning::Unreached)));
            assert_eq!(time.elapsed(), Duration::ZERO);
        }
        pace.send(CALL, || async { Ok(()) }).await.unwrap();
        let tries = Cell::new(0);
        let answer = pace.send(CALL, || async {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(failure(CALL, Meaning::Unreached)) } else { Ok(()) }
        });
        assert_eq!(answer.await, Ok(()));
        assert_eq!(tries.get(), 3);
    });
}

/// Writes down what it hears.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(&'static str, String)>>);

impl Meter for Heard {
    fn answered(&self, operation: &'static str, code: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((operation, code.to_owned()));
    }

    fn took(&self, operation: &'static str, bucket: Tokens) {
        let Tokens { left, size, period } = bucket;
        let text = format!("{left} of {size}, one each {period:?}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((operation, text));
    }
}

#[test]
fn a_meter_hears_of_each_attempt_by_a_code_of_the_table() {
    let heard = Arc::new(Heard::default());
    let mut pace = Pace::new(Time::simulated(), BTreeMap::new());
    pace.meter(heard.clone());
    let with = |code: &str, meaning| Failure { code: code.to_owned(), ..failure(CALL, meaning) };
    let codes = [
        Err(with("RequestLimitExceeded", Meaning::Throttled)),
        Err(with("Brand.New", Meaning::Invalid)),
        Err(with("", Meaning::Unknown)),
        Ok(()),
    ];
    let next = Cell::new(0);
    run(async {
        for _ in 0..3 {
            let _ = pace
                .send(CALL, async || {
                    next.set(next.get() + 1);
                    codes[next.get() - 1].clone()
                })
                .await;
        }
    });
    let heard = heard.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // How much has come back after a wait is the wait's, which is a matter of chance.
    let after_waits = |(place, _): &(usize, _)| *place == 0 || place % 2 == 1;
    let heard: Vec<_> =
        heard.into_iter().enumerate().filter(after_waits).map(|(_, heard)| heard).collect();
    let expected = ["49 of 50, one each 200ms", "RequestLimitExceeded", "Other", "None", "OK"];
    let expected = expected.map(|text| (CALL.as_str(), text.to_owned()));
    assert_eq!(heard, expected);
}
