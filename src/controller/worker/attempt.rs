//! One round: see the cluster, plan, carry out, tell.

use std::sync::Arc;

use moat_core::compile::{Event, Inputs};
use moat_core::drift;
use moat_core::finding::Finding;
use moat_core::firewall::GroupNumber;
use moat_core::inventory::Inventory;
use moat_core::placement;
use moat_core::plan::{self, Plan};
use moat_core::provider::{Capabilities, Observed, Provider, ProviderError, Scope};
use moat_core::settings::Settings;
use moat_k8s::{Branches, Orders};
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::Worker;
use super::carry::Carried;
use crate::index::Policies;
use crate::kinds::Watched;
use crate::quarantine::{self, Facts};
use crate::round::{Holdup, Round};
use crate::telemetry::{Done, Phase};

/// The cluster as it is now, with its pods placed in the cloud.
struct Seen {
    policies: Arc<Policies>,
    inventory: Inventory,
    settings: Settings,
    findings: Vec<Finding>,
    scope: Scope,
    /// What decides about pods' interfaces; none while that is not known for sure.
    branches: Option<Branches>,
}

impl<P: Provider + Send> Worker<P> {
    /// Brings the cloud to what the policies say, as far as it comes.
    ///
    /// # Errors
    /// Why the cloud was not read.
    pub(super) async fn attempt(&mut self) -> Result<Round, String> {
        self.links.telemetry.begin();
        let (seen, observed) = self.see().await?;
        let Seen { policies, inventory, settings, mut findings, scope, branches } = seen;
        let quotas = settings.quotas;
        let (inputs, plan) =
            block_in_place(|| self.plan(settings, &policies, inventory, &observed));
        let (drifted, repaired) = self.drifted(&plan, &inputs, &observed);
        findings.extend(drifted);
        let hindrance = self.hindrance(&plan, &observed);
        // Where it cannot be read back once it was changed, the picture before tells what is known.
        let changes = hindrance.is_none() && !plan.stages.is_empty();
        let before =
            changes.then(|| self.beside(&inputs, branches.as_ref(), &observed, Some(&unread())));
        drop(observed);
        let Carried { done, remaining, holdup } = match hindrance {
            Some(_) => Carried { remaining: plan, holdup: hindrance, done: Vec::new() },
            None => self.carry_out(plan, &scope).await,
        };
        let shown = self.picture.as_ref().map(|picture| &*picture.observed);
        let told = shown.map(|it| self.beside(&inputs, branches.as_ref(), it, holdup.as_ref()));
        let (quarantine, beside) = told.or(before).unwrap_or_default();
        findings.extend(beside);
        self.links.telemetry.round(&Done {
            observed: shown,
            stages: &done,
            remaining: &remaining,
            ended: holdup.is_none(),
            repaired,
            counts: self.compiler.desired().counts,
            quotas,
        });
        Ok(Round {
            decision: self.decision.clone(),
            policies,
            inputs,
            findings: findings.into(),
            remaining: Arc::new(remaining),
            quarantine: Arc::new(quarantine),
            holdup,
        })
    }

    /// Looks at the cluster, and at the cloud for where its pods are.
    async fn see(&mut self) -> Result<(Seen, Arc<Observed>), String> {
        let text = |error: ProviderError| error.to_string();
        let (snapshot, sees_branches) = {
            let index = self.links.index.look();
            if self.decision.configuration.names_eni_configs() && !index.sees(Watched::EniConfigs) {
                return Err("the ENIConfigs that `networkAcls` names are not known: the controller may have to be allowed to list and \
                     watch `eniconfigs.crd.k8s.amazonaws.com`"
                    .to_owned());
            }
            (index.snapshot(), index.sees_branches())
        };
        let (mut inventory, mut findings) = (snapshot.inventory, snapshot.findings);
        let Capabilities { quotas, vpc, .. } = self.capabilities().await.map_err(text)?;
        findings.extend(placement::take_absent(&mut inventory));
        findings.extend(placement::disputed(&inventory));
        inventory.vpc = vpc;
        self.cloud.place(&mut inventory)?;
        let scope = self.decision.configuration.scope(&inventory);
        let observed = self.look(&scope).await.map_err(text)?;
        placement::place(&mut inventory, &observed);
        placement::release(&mut inventory, &snapshot.released);
        findings.extend(placement::unplaced(&inventory));
        findings.extend(self.decision.configuration.of_subnets(&inventory));
        findings.extend(snapshot.branches.findings(&inventory));
        let configuration = &self.decision.configuration;
        let mut settings = configuration.settings(quotas);
        // The group stays as long as somebody lets pods start with it.
        settings.quarantine |= snapshot.branches.is_quarantined(configuration.cluster.as_str());
        let policies = snapshot.policies;
        let branches = sees_branches.then_some(snapshot.branches);
        Ok((Seen { policies, inventory, settings, findings, scope, branches }, observed))
    }

    async fn capabilities(&mut self) -> Result<Capabilities, ProviderError> {
        match &self.capabilities {
            Some(capabilities) => Ok(capabilities.clone()),
            None => {
                let read = self.cloud.capabilities().await?;
                Ok(self.capabilities.insert(read).clone())
            }
        }
    }

    /// Compiles what is news, and plans the way there.
    fn plan(
        &mut self,
        settings: Settings,
        policies: &Arc<Policies>,
        inventory: Inventory,
        observed: &Observed,
    ) -> (Arc<Inputs>, Plan) {
        let began = Instant::now();
        self.tell_policies(policies, &inventory);
        let (compiler, telemetry) = (&mut self.compiler, &self.links.telemetry);
        let quotas = settings.quotas;
        compiler.tell(Event::Settings(settings));
        compiler.tell(Event::Inventory(inventory));
        let known = self.inputs.take().filter(|_| !compiler.has_news());
        compiler.settle();
        let inputs = known.unwrap_or_else(|| Arc::new(compiler.inputs()));
        self.inputs = Some(Arc::clone(&inputs));
        let compiled = Instant::now();
        telemetry.took(Phase::Compile, compiled - began);
        let plan = plan::plan(compiler.desired(), observed, &inputs.inventory, &quotas);
        telemetry.took(Phase::Plan, compiled.elapsed());
        telemetry.planned(&plan);
        (inputs, plan)
    }

    /// Tells the compiler of the policies in force: of those that changed, where all are.
    fn tell_policies(&mut self, policies: &Arc<Policies>, inventory: &Inventory) {
        let configuration = &self.decision.configuration;
        if !configuration.namespace_selector.0.is_everything() {
            let all = policies.values().map(|known| known.policy.clone()).collect();
            self.compiler.tell(Event::Policies(configuration.in_force(all, inventory)));
            self.told = None;
            return;
        }
        match self.told.replace(Arc::clone(policies)) {
            Some(before) => news(&before, policies).for_each(|event| self.compiler.tell(event)),
            None => {
                let all = policies.values().map(|known| known.policy.clone()).collect();
                self.compiler.tell(Event::Policies(all));
            }
        }
    }

    /// What others did to what is ours, and how much of it this plan puts right.
    fn drifted(
        &mut self,
        plan: &Plan,
        inputs: &Inputs,
        observed: &Observed,
    ) -> (Vec<Finding>, usize) {
        let cluster = &*self.decision.configuration.cluster.to_string();
        let mut found = drift::kept(observed, cluster);
        found.extend(drift::taken(observed, cluster));
        let mut repaired = drift::repaired(observed, &plan.stages, &inputs.inventory, cluster);
        repaired.append(&mut self.meanwhile);
        let repairs = repaired.len();
        self.repaired.retain(|known| !repaired.contains(known));
        self.repaired.extend(repaired);
        found.extend(self.repaired.iter().cloned());
        (found, repairs)
    }

    /// What is to be done about SecurityGroupPolicies; and what is found beside the plan: the policies beside which rules of others
    /// open something, and pods that start open.
    fn beside(
        &self,
        inputs: &Inputs,
        branches: Option<&Branches>,
        observed: &Observed,
        holdup: Option<&Holdup>,
    ) -> (Orders, Vec<Finding>) {
        let Inputs { policies, inventory, .. } = inputs;
        let configuration = &*self.decision.configuration;
        let cluster = &*configuration.cluster.to_string();
        let mut found = drift::opened(policies, inventory, observed, cluster);
        let (orders, open) = quarantine::decide(&Facts {
            configuration,
            branches,
            has_policies: !policies.is_empty(),
            inventory,
            observed,
            group: self.cloud.group_id(GroupNumber::CLOSED),
            holdup,
            home: &self.links.home,
        });
        found.extend(open);
        (orders, found)
    }
}

/// Nobody has read the cloud since it was changed.
const fn unread() -> Holdup {
    Holdup::Unread(String::new())
}

/// What happened to policies since they were seen before: one that is as it was keeps its place in memory.
fn news<'a>(before: &'a Arc<Policies>, now: &'a Arc<Policies>) -> impl Iterator<Item = Event> + 'a {
    let same = Arc::ptr_eq(before, now);
    let gone = before.keys().filter(|object| !now.contains_key(*object));
    let changed = now.iter().filter(|(object, known)| {
        before.get(*object).is_none_or(|before| !Arc::ptr_eq(before, known))
    });
    let gone = gone.cloned().map(Event::PolicyGone);
    let news = gone.chain(changed.map(|(_, known)| Event::Policy(known.policy.clone())));
    (!same).then_some(news).into_iter().flatten()
}
