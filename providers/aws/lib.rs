//! A VPC of AWS, through EC2's API: the one crate that knows the SDK.
//!
//! [`connect()`] gives an [`Aws`], which is a [`Provider`]: [`observe`](Provider::observe) reads one picture in few calls,
//! [`execute`](Provider::execute) makes the calls of a stage's steps, side by side. Rules are spelled in [`wire`], ownership and
//! records in [`tags`], errors in [`errors`], and no call escapes [`pace`].

pub mod call;
mod connect;
pub mod errors;
mod execute;
mod limits;
mod observe;
pub mod pace;
mod permit;
mod request;
pub mod tags;
pub mod time;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::Client;
use moat_core::firewall::{GroupKey, GroupNumber, Rule};
use moat_core::inventory::InterfaceId;
use moat_core::net::{Family, Prefix};
use moat_core::policy::Word;
use moat_core::provider::{
    Capabilities, Meter, Observed, Provider, ProviderError, RuleId, Scope, Step, Touched,
};
use moat_core::settings::Quotas;
use tokio::sync::OnceCell;

pub use connect::{ConnectError, Login, connect, connect_in, patient};

use call::{Call, Rate};
use limits::Limits;
use pace::Pace;
use time::Time;

/// What is to be managed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The owner's tag on everything that Moat makes.
    pub cluster: String,
    /// The id of the VPC, such as `vpc-0123456789abcdef0`.
    pub vpc: String,
    /// The limits of the account, where it does not tell them.
    pub quotas: Quotas,
    /// The rates of calls whose limits the account has had changed.
    pub rates: BTreeMap<Call, Rate>,
    /// How many things one page of an answer holds, 5 to 1000.
    pub page: i32,
    /// How long a group that is still worn is tried to be deleted, counted from the last picture: a pod's branch interface
    /// outlives it by 60 s (`branch-eni-cooldown` of the VPC resource controller).
    pub cooldown: Duration,
}

/// A VPC of AWS, and a process that calls it.
#[derive(Debug)]
pub struct Aws {
    client: Client,
    service_quotas: Option<aws_sdk_servicequotas::Client>,
    limits: Option<Limits>,
    config: Config,
    time: Time,
    pace: Pace,
    memory: Memory,
}

/// What a process knows: from its last picture, and what it made since.
#[derive(Debug, Default)]
struct Memory {
    groups: BTreeMap<GroupNumber, String>,
    rules: BTreeMap<(GroupNumber, Rule), BTreeSet<RuleId>>,
    interfaces: BTreeMap<InterfaceId, BTreeSet<GroupKey>>,
    /// Groups that were made and that no picture has shown yet.
    made: BTreeSet<GroupNumber>,
    /// Those of them whose default rules are still there.
    unfinished: BTreeSet<GroupNumber>,
    /// The address blocks of the VPC.
    blocks: OnceCell<Vec<Prefix>>,
    acls: execute::acl::Known,
    /// What the last picture was made of.
    answers: Option<observe::Answers>,
    /// Until when a group in use is tried to be deleted.
    patience: Duration,
}

impl Config {
    /// A cluster in a VPC, with the defaults of an AWS account.
    #[must_use]
    pub fn new(cluster: impl Into<String>, vpc: impl Into<String>) -> Self {
        Self {
            cluster: cluster.into(),
            vpc: vpc.into(),
            quotas: Quotas::default(),
            rates: BTreeMap::new(),
            page: 1_000,
            cooldown: Duration::from_secs(90),
        }
    }
}

impl Aws {
    /// A process that calls EC2 through a client. The client's own repetitions are turned off: they would be outside every
    /// budget, and repeat what may have been done.
    #[must_use]
    pub fn new(client: &Client, config: Config, time: Time) -> Self {
        let client = Client::from_conf(patient(client.config().to_builder()).build());
        let pace = Pace::new(time.clone(), config.rates.clone());
        let memory = Memory::default();
        Self { client, service_quotas: None, limits: None, config, time, pace, memory }
    }

    /// The same, but the account's limits are asked for through this client; without, the configured ones hold.
    #[must_use]
    pub fn asking(mut self, client: &aws_sdk_servicequotas::Client) -> Self {
        let patient = connect::patient_quotas(client.config().to_builder()).build();
        self.service_quotas = Some(aws_sdk_servicequotas::Client::from_conf(patient));
        self
    }

    /// What it manages.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The region that it calls.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.client.config().region().map(AsRef::as_ref)
    }

    /// The address blocks of the VPC, read once.
    async fn blocks(&self) -> Result<&[Prefix], ProviderError> {
        let blocks = self.memory.blocks.get_or_try_init(|| self.read_blocks()).await;
        blocks.map(Vec::as_slice)
    }

    async fn families(&self) -> Result<BTreeSet<Family>, ProviderError> {
        let blocks = self.blocks().await?.iter();
        Ok(blocks.map(|block| block.family()).chain([Family::V4]).collect())
    }

    /// The group of an id: ours, if a picture or this process says so.
    fn key(&self, id: &str) -> GroupKey {
        let ours = self.memory.groups.iter().find(|(_, known)| *known == id);
        ours.map_or_else(|| observe::foreign(id), |(number, _)| GroupKey::Ours(*number))
    }
}

impl Provider for Aws {
    async fn capabilities(&mut self) -> Result<Capabilities, ProviderError> {
        let vpc = self.read_blocks().await?;
        self.memory.blocks = OnceCell::new_with(Some(vpc.clone()));
        let limits = match self.limits.take() {
            Some(limits) => limits,
            None => self.read_limits().await,
        };
        let Limits { quotas, assumed } = self.limits.insert(limits).clone();
        Ok(Capabilities { quotas, assumed, vpc })
    }

    async fn observe(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError> {
        self.picture(scope, None).await.map(Arc::new)
    }

    async fn observe_again(
        &mut self,
        scope: &Scope,
        touched: &Touched,
    ) -> Result<Arc<Observed>, ProviderError> {
        self.picture(scope, Some(touched)).await.map(Arc::new)
    }

    async fn execute(&mut self, steps: &[&Step]) -> Vec<Result<(), ProviderError>> {
        self.take(steps).await
    }

    fn group_id(&self, number: GroupNumber) -> Option<Word> {
        self.memory.groups.get(&number).map(|id| id.as_str().into())
    }

    async fn wait(&mut self, duration: Duration) {
        self.time.sleep(duration).await;
    }

    fn meter(&mut self, meter: Arc<dyn Meter>) {
        self.pace.meter(meter);
    }
}
