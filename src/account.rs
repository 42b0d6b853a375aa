//! The account of `--provider aws`: each call is waited for.

use std::sync::Arc;

use moat_aws::{Aws, Config, Login};
use moat_cli::{Account, Target};
use moat_core::drive::{self, Outcome};
use moat_core::plan::Plan;
use moat_core::provider::{Capabilities, Observed, Provider, ProviderError, Scope};
use tokio::runtime::{Builder, Runtime};

/// A VPC of AWS, and what waits for its answers.
struct Waiting {
    runtime: Runtime,
    aws: Aws,
}

/// Reaches the VPC of a target, as the environment says where the target does not.
pub(crate) fn connect(target: &Target) -> Result<Box<dyn Account>, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let aws = runtime.block_on(reach(target))?;
    Ok(Box::new(Waiting { runtime, aws }))
}

/// The same, for who waits by himself.
pub(crate) async fn reach(target: &Target) -> Result<Aws, String> {
    let config = Config { quotas: target.quotas, ..Config::new(&*target.cluster, &*target.vpc) };
    let login = Login { region: target.region.clone(), role: target.role.clone() };
    moat_aws::connect(&login, config).await.map_err(|error| error.to_string())
}

impl Account for Waiting {
    fn capabilities(&mut self) -> Result<Capabilities, ProviderError> {
        self.runtime.block_on(self.aws.capabilities())
    }

    fn observe(&mut self, scope: &Scope) -> Result<Arc<Observed>, ProviderError> {
        self.runtime.block_on(drive::observe(&mut self.aws, scope))
    }

    fn forbidden(&mut self, plan: &Plan) -> Vec<String> {
        let forbidden = self.runtime.block_on(self.aws.forbidden(plan.steps()));
        forbidden.into_iter().map(|call| call.action().to_owned()).collect()
    }

    fn drive<'plan>(&mut self, plan: &'plan Plan, scope: &Scope) -> Outcome<'plan> {
        self.runtime.block_on(drive::drive(&mut self.aws, plan, scope))
    }
}
