//! What there is to ask about flows once everything is read, compiled and in the cloud.

use std::sync::Arc;

use moat_core::compile::Desired;
use moat_core::explain::{Evidence, Explainer};
use moat_core::finding::Finding;
use moat_core::firewall::State;
use moat_core::plan::Held;
use moat_core::provider::Observed;

use crate::Io;
use crate::failure::Failure;
use crate::names::Names;
use crate::session::Session;

/// What the cloud holds, and what it is to hold.
pub(crate) struct Clouds {
    /// What the provider holds: without a state file, as it is after applying; with one, as it is.
    held: Arc<Observed>,
    /// What it is to hold at the end.
    target: State,
}

/// Answers flows: policies by the semantics, the cloud by the firewall over what the provider holds.
pub(crate) struct Oracle<'a> {
    pub(crate) session: &'a Session,
    pub(crate) names: Names<'a>,
    pub(crate) explainer: Explainer<'a>,
}

impl Clouds {
    pub(crate) fn of(
        session: &mut Session,
        desired: &Desired,
        io: &mut Io<'_>,
    ) -> Result<Self, Failure> {
        let mut held = session.observe()?;
        if !session.cloud_lasts() {
            held = session.apply(desired, held, io)?.observed;
        }
        let plan = session.plan(desired, &held);
        // What a plan holds back is not applied either. Groups bear other numbers there, which changes no flow.
        let target = if plan.held == Held::default() { plan.target } else { desired.state.clone() };
        Ok(Self { held, target })
    }
}

impl<'a> Oracle<'a> {
    pub(crate) fn of(
        session: &'a Session,
        desired: &'a Desired,
        clouds: &'a Clouds,
        findings: &'a [Finding],
    ) -> Self {
        let explainer = Explainer::new(Evidence {
            policies: &session.policies,
            cluster: session.cluster(),
            inventory: &session.inventory,
            settings: &session.settings,
            desired,
            held: &clouds.held,
            target: &clouds.target,
            findings,
        });
        let names = Names::of(&session.inventory, &session.workloads);
        Self { session, names, explainer }
    }
}
