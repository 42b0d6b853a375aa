//! The cloud that a command works on: the VPC in memory, or an account that the program reaches.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use moat_core::drive::{self, Outcome};
use moat_core::finding::Finding;
use moat_core::inventory::Inventory;
use moat_core::net::Prefix;
use moat_core::placement;
use moat_core::plan::Plan;
use moat_core::provider::{Capabilities, Observed, ProviderError, QuotaKind, Scope};
use moat_core::settings::Quotas;
use moat_k8s::configuration::{AwsAccess, Configuration};
use moat_sim::{Sim, block_on};

use crate::args::{self, Provider};
use crate::embedded;
use crate::failure::Failure;

/// An account of a cloud: a [`moat_core::provider::Provider`] whose calls are waited for.
pub trait Account {
    /// What the cloud can express and how much of it.
    ///
    /// # Errors
    /// Those of [`moat_core::provider::Provider::capabilities`].
    fn capabilities(&mut self) -> Result<Capabilities, ProviderError>;

    /// A picture, read with patience: [`drive::observe`].
    ///
    /// # Errors
    /// Those of [`moat_core::provider::Provider::observe`], when waiting did not help.
    fn observe(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError>;

    /// The calls that a plan needs and that are known to be refused, without making any: none where that cannot be asked.
    fn forbidden(&mut self, _: &Plan) -> Vec<String> {
        Vec::new()
    }

    /// Carries a plan out and reads it back: [`drive::drive`].
    fn drive<'plan>(&mut self, plan: &'plan Plan, scope: &Scope) -> Outcome<'plan>;
}

/// What an account is reached for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The owner tag of the groups.
    pub cluster: String,
    /// The VPC, such as `vpc-0123456789abcdef0`.
    pub vpc: String,
    /// Where it is, unless the environment says.
    pub region: Option<String>,
    /// The ARN of a role to assume, if there is one.
    pub role: Option<String>,
    /// The limits that the configuration tells, and AWS's defaults for others.
    pub quotas: Quotas,
}

/// Reaches an account, or says why not and what to do.
pub type Connect<'a> = dyn Fn(&Target) -> Result<Box<dyn Account>, String> + 'a;

/// Reaches nothing: this program is built without the cloud.
///
/// # Errors
/// Always.
pub fn unreachable(_: &Target) -> Result<Box<dyn Account>, String> {
    Err("this program is built without AWS: build it with its default features".to_owned())
}

/// Where a command's groups are.
pub(crate) enum Cloud {
    /// In memory, kept in a file if there is one.
    Embedded(Box<Sim>, Option<PathBuf>),
    /// In a VPC of an account.
    Account(Box<dyn Account>, String),
}

impl Cloud {
    /// The cloud that the arguments name.
    pub(crate) fn open(
        configuration: &Configuration,
        cluster: &str,
        named: &args::Cloud,
        connect: &Connect<'_>,
    ) -> Result<Self, Failure> {
        match named.provider {
            Provider::Sim => {
                let sim = embedded::open(configuration, cluster, named.state.as_deref())?;
                Ok(Self::Embedded(Box::new(sim), named.state.clone()))
            }
            Provider::Aws => {
                let target = target(configuration, cluster, named)?;
                let account = connect(&target).map_err(Failure::Unreached)?;
                Ok(Self::Account(account, target.vpc))
            }
        }
    }

    /// Writes into an inventory what the cloud tells of its pods, and says what the cloud and its configuration hold for all.
    pub(crate) fn place(
        &mut self,
        inventory: &mut Inventory,
        configuration: &Configuration,
    ) -> Result<Place, Failure> {
        match self {
            Self::Embedded(sim, _) => {
                let handed_over = configuration.scope(inventory).acls;
                embedded::put_subnets(sim, &handed_over);
                sim.place(inventory).map_err(|error| Failure::Usage(error.to_string()))?;
                let picture = if handed_over.is_empty() {
                    None
                } else {
                    let scope = configuration.scope(inventory);
                    let observed = block_on(drive::observe(&mut **sim, &scope));
                    let observed = observed.map_err(Failure::Unread)?;
                    placement::place(inventory, &observed);
                    Some(observed)
                };
                let config = sim.config();
                // The embedded VPC keeps its pods in subnets of their own.
                let (quotas, pod_subnets) = (config.quotas, config.pod_subnets.clone());
                let assumed = BTreeMap::new();
                let findings = configuration.of_subnets(inventory);
                Ok(Place { quotas, assumed, pod_subnets, findings, picture })
            }
            Self::Account(account, _) => {
                let Capabilities { quotas, assumed, vpc } =
                    account.capabilities().map_err(Failure::Unread)?;
                let mut findings = placement::take_absent(inventory);
                let scope = configuration.scope(inventory);
                let observed = account.observe(&scope).map_err(Failure::Unread)?;
                inventory.vpc = vpc;
                placement::place(inventory, &observed);
                findings.extend(placement::unplaced(inventory));
                findings.extend(configuration.of_subnets(inventory));
                let pod_subnets = Vec::new();
                Ok(Place { quotas, assumed, pod_subnets, findings, picture: Some(observed) })
            }
        }
    }

    /// A picture of the interfaces of these pods.
    pub(crate) fn observe(
        &mut self,
        inventory: &Inventory,
        configuration: &Configuration,
    ) -> Result<Arc<Observed>, Failure> {
        let scope = configuration.scope(inventory);
        let observed = match self {
            Self::Embedded(sim, _) => block_on(drive::observe(&mut **sim, &scope)),
            Self::Account(account, _) => account.observe(&scope),
        };
        observed.map_err(Failure::Unread)
    }

    /// The calls that a plan needs and that will be refused.
    pub(crate) fn forbidden(&mut self, plan: &Plan) -> Vec<String> {
        match self {
            Self::Embedded(..) => Vec::new(),
            Self::Account(account, _) => account.forbidden(plan),
        }
    }

    /// Carries a plan out.
    pub(crate) fn drive<'plan>(
        &mut self,
        plan: &'plan Plan,
        inventory: &Inventory,
        configuration: &Configuration,
    ) -> Outcome<'plan> {
        let scope = configuration.scope(inventory);
        match self {
            Self::Embedded(sim, _) => block_on(drive::drive(&mut **sim, plan, &scope)),
            Self::Account(account, _) => account.drive(plan, &scope),
        }
    }

    /// The VPC of an account.
    pub(crate) fn vpc(&self) -> Option<&str> {
        match self {
            Self::Embedded(..) => None,
            Self::Account(_, vpc) => Some(vpc),
        }
    }

    /// Whether what it holds is worth looking at: an embedded VPC without a file is new each time.
    pub(crate) const fn lasts(&self) -> bool {
        matches!(self, Self::Embedded(_, Some(_)) | Self::Account(..))
    }

    /// Keeps an embedded VPC, if there is a file for it.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        match self {
            Self::Embedded(sim, Some(path)) => embedded::save(sim, path),
            Self::Embedded(_, None) | Self::Account(..) => Ok(()),
        }
    }
}

/// The VPC of an account that arguments and configuration name.
pub(crate) fn target(
    configuration: &Configuration,
    cluster: &str,
    named: &args::Cloud,
) -> Result<Target, Failure> {
    let configured = configuration.vpc.as_ref().map(|vpc| vpc.as_str().to_owned());
    let vpc = named.vpc_id.as_ref().map(|vpc| vpc.as_str().to_owned()).or(configured);
    let vpc = vpc.ok_or_else(|| {
        let message = "`--provider aws` needs to know the VPC: give `--vpc-id`, or `vpc` in the configuration";
        Failure::Usage(message.to_owned())
    })?;
    let quotas = configuration.quotas.over(Quotas::default());
    let AwsAccess { region, role_arn } = &configuration.aws;
    let region = region.as_ref().map(|region| region.as_str().to_owned());
    let role = role_arn.as_ref().map(|role| role.as_str().to_owned());
    Ok(Target { cluster: cluster.to_owned(), vpc, region, role, quotas })
}

/// What holds for all pods of a cloud.
pub(crate) struct Place {
    /// The account's limits.
    pub(crate) quotas: Quotas,
    /// Those of them that the account does not tell, with the reason.
    pub(crate) assumed: BTreeMap<QuotaKind, String>,
    /// Where only pods are, if the cloud knows.
    pub(crate) pod_subnets: Vec<Prefix>,
    /// The pods that are not there for policies, and those whose interface is not there.
    pub(crate) findings: Vec<Finding>,
    /// What the account was read from: plans start from the same picture.
    pub(crate) picture: Option<Arc<Observed>>,
}
