//! A VPC in memory, with the semantics, quotas, pacing, lag and faults of the real one.
//!
//! [`Sim`] is a [`Provider`](moat_core::provider::Provider): what the commands use where no cloud is given, and what tests use to
//! see what a cloud would do. Its time is its own: it passes only in [`Provider::wait`](moat_core::provider::Provider::wait).
//! [`Sim::place`] gives an inventory's pods and nodes addresses and interfaces; [`Sim::to_json`] and [`Sim::from_json`] keep
//! everything in one file.

mod acl;
mod call;
mod config;
mod fault;
mod file;
mod picture;
mod place;
mod provider;
mod vpc;

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use moat_core::firewall::ForeignGroupId;
use moat_core::provider::{ANSWERED, Metered, ProviderError, UNANSWERED, UNLISTED};

pub use acl::{AclId, AclOwner, AssociationId, NetworkAcl, Subnet, SubnetConfig, default_acl};
pub use call::Call;
pub use config::Config;
pub use fault::{Fault, Injection, Moment};
pub use file::StateError;
pub use place::PlaceError;
pub use vpc::{Group, GroupId, NetworkInterface, Owner, RuleEntry, Vpc};

use call::Buckets;
use fault::Faults;
use place::Placements;
use provider::Memory;

/// The VPC in memory, and a process that calls it.
#[derive(Clone, Debug)]
pub struct Sim {
    config: Config,
    vpc: Vpc,
    placements: Placements,
    /// The time since the VPC began.
    now: Duration,
    buckets: Buckets,
    /// What the VPC was until each moment, as long as readers still see it so.
    past: VecDeque<(Duration, Vpc)>,
    memory: Memory,
    faults: Faults,
    dead: bool,
    calls: BTreeMap<Call, usize>,
    metered: Metered,
}

/// The group that every pod's interface and every node wears at first: open both ways and in both families.
#[must_use]
pub fn base_group() -> GroupId {
    ForeignGroupId("sg-0ba5e000000000000".into())
}

impl Sim {
    /// A VPC that holds nothing but the base group, and the subnets of its configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut vpc = Vpc::new(config.vpc.clone(), config.quotas);
        vpc.put_group(base_group(), "base", place::open());
        vpc.put_subnets(&config);
        Self {
            config,
            vpc,
            placements: Placements::default(),
            now: Duration::ZERO,
            buckets: Buckets::default(),
            past: VecDeque::new(),
            memory: Memory::default(),
            faults: Faults::default(),
            dead: false,
            calls: BTreeMap::new(),
            metered: Metered::default(),
        }
    }

    /// How it is set up.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Sets it up otherwise; what it holds stays as it is.
    pub fn configure(&mut self, config: Config) {
        self.vpc.blocks.clone_from(&config.vpc);
        self.vpc.quotas = config.quotas;
        self.vpc.put_subnets(&config);
        self.config = config;
    }

    /// The VPC as it is, whatever readers see yet.
    #[must_use]
    pub const fn vpc(&self) -> &Vpc {
        &self.vpc
    }

    /// The time since the VPC began.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// How often each call was made, refused ones included.
    #[must_use]
    pub const fn calls(&self) -> &BTreeMap<Call, usize> {
        &self.calls
    }

    /// How many calls were made that change something, refused ones included.
    #[must_use]
    pub fn mutating_calls(&self) -> usize {
        self.calls.iter().filter(|(call, _)| call.mutates()).map(|(_, count)| count).sum()
    }

    /// Lets calls run into a fault.
    pub fn inject(&mut self, injection: Injection) {
        self.faults.add(injection);
    }

    /// Takes back every injected fault.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// Whether a [`Fault::Kill`] has struck.
    #[must_use]
    pub const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Starts a process anew: it remembers nothing, and the VPC is as it was.
    pub fn restart(&mut self) {
        self.dead = false;
        self.memory = Memory::default();
    }

    /// Lets someone else, with every permission and no limit of pace, change the VPC.
    pub fn as_someone_else<T>(&mut self, change: impl FnOnce(&mut Vpc) -> T) -> T {
        self.remember();
        change(&mut self.vpc)
    }

    /// Keeps what readers go on seeing for a while.
    fn remember(&mut self) {
        let (now, lag) = (self.now, self.config.lag);
        while self.past.front().is_some_and(|(until, _)| until.saturating_add(lag) <= now) {
            self.past.pop_front();
        }
        if !lag.is_zero() {
            self.past.push_back((now, self.vpc.clone()));
        }
    }

    /// The VPC as readers see it: each change shows once the lag has passed.
    fn visible(&self) -> &Vpc {
        let stale =
            self.past.iter().find(|(until, _)| until.saturating_add(self.config.lag) > self.now);
        stale.map_or(&self.vpc, |(_, vpc)| vpc)
    }

    /// Makes one call, and tells of it.
    fn call<T>(
        &mut self,
        call: Call,
        effect: impl FnOnce(&mut Self) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let answer = self.make(call, effect);
        let code = answer.as_ref().map_or_else(code, |_| ANSWERED);
        self.metered.answered(call.as_str(), code);
        answer
    }

    /// Makes one call: pace, faults, effect.
    fn make<T>(
        &mut self,
        call: Call,
        effect: impl FnOnce(&mut Self) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let lost = || {
            let (action, message) = (call.as_str().to_owned(), "it is lost".to_owned());
            Err(ProviderError::Transient { action, code: None, message })
        };
        if self.dead {
            return lost();
        }
        *self.calls.entry(call).or_default() += 1;
        if self.config.paced {
            let taken = self.buckets.take(call, self.now);
            self.metered.took(call.as_str(), self.buckets.tokens(call));
            if !taken {
                return Err(ProviderError::Throttled {
                    action: call.as_str().to_owned(),
                    code: THROTTLED.to_owned(),
                    retry_after: None,
                });
            }
        }
        let fault = self.faults.next(call);
        match &fault {
            Some(Fault::Refuse(error)) => return Err(error.clone()),
            Some(Fault::Lose(Moment::Before)) => return lost(),
            Some(Fault::Kill(Moment::Before)) => {
                self.dead = true;
                return lost();
            }
            Some(Fault::Lose(Moment::After) | Fault::Kill(Moment::After)) | None => {}
        }
        let answer = effect(self);
        match fault {
            Some(Fault::Lose(Moment::After)) => lost(),
            Some(Fault::Kill(Moment::After)) => {
                self.dead = true;
                lost()
            }
            Some(Fault::Refuse(_) | Fault::Lose(_) | Fault::Kill(_)) | None => answer,
        }
    }
}

/// What EC2 answers to who calls too often.
const THROTTLED: &str = "RequestLimitExceeded";

/// The code of a refusal, for a meter.
fn code(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::Throttled { .. } => THROTTLED,
        ProviderError::Unauthorized { .. } => "UnauthorizedOperation",
        ProviderError::Transient { .. } => UNANSWERED,
        ProviderError::NotYetVisible { .. }
        | ProviderError::Duplicate { .. }
        | ProviderError::NotFound { .. }
        | ProviderError::Changed { .. }
        | ProviderError::Quota { .. }
        | ProviderError::InUse { .. }
        | ProviderError::NotOurs { .. }
        | ProviderError::Credentials { .. }
        | ProviderError::Invalid { .. } => UNLISTED,
    }
}

/// Runs a future of this provider: such a future never waits for anything, so no runtime is needed.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}
